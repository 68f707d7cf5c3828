use super::*;
use crate::xml::Document;

fn problems(resources: &str, constraints: &str) -> Vec<String> {
    let text = format!(
        "<cib admin_epoch=\"0\" epoch=\"0\" num_updates=\"0\" validate-with=\"pacemaker-3.9\">\n\
         <configuration><crm_config/><nodes/>\n<resources>{resources}</resources>\n\
         <constraints>{constraints}</constraints></configuration>\n<status/></cib>"
    );
    let document = Document::parse(&text, Some("c.xml")).expect("xml");
    let cib = Cib::from_document(document).expect("a CIB");
    check(&cib).iter().map(ToString::to_string).collect()
}

const A: &str = "<primitive id=\"A\" class=\"ocf\" provider=\"p\" type=\"t\"/>";
const B: &str = "<primitive id=\"B\" class=\"lsb\" type=\"t\"/>";

#[test]
fn a_good_configuration_has_no_problem() {
    let constraints = "<rsc_location id=\"l\" rsc=\"A\"><rule id=\"r\" score=\"-INFINITY\">\
                       <expression id=\"e\" attribute=\"#uname\" operation=\"eq\" value=\"n\"/></rule></rsc_location>\
                       <rsc_order id=\"o\" first=\"A\" then=\"B\" kind=\"Optional\"/>";
    assert_eq!(
        problems(&format!("{A}{B}"), constraints),
        Vec::<String>::new()
    );
    assert_eq!(check(&Cib::empty()), []);
}

#[test]
fn each_error_is_told_with_its_place() {
    let order = |id: &str, first: &str, then: &str| {
        format!("<rsc_order id=\"{id}\" first=\"{first}\" then=\"{then}\"/>")
    };
    let both = format!("{A}{B}");
    let location = |inside: &str| format!("<rsc_location id=\"l\" rsc=\"A\" {inside}/>");
    let date = "<rsc_location id=\"l\" rsc=\"A\"><rule id=\"r\" score=\"1\">\
                <date_expression id=\"d\" operation=\"gt\" start=\"2026-13-77\"/></rule></rsc_location>";
    for (resources, constraints, words) in [
        (format!("{A}{A}"), String::new(), "c.xml:3:65: <primitive id=\"A\">: the id is taken"),
        (A.to_owned(), location("node=\"n\" score=\"1o0\""), "no score; write a whole number"),
        (A.to_owned(), location("node=\"n\""), "write node and score"),
        (A.to_owned(), location("node=\"n\" scor=\"1\" score=\"1\""), "did you mean score?"),
        (A.to_owned(), date.to_owned(), "no date"),
        (B.to_owned(), location("node=\"n\" score=\"1\""), "there is nothing with this id"),
        ("<primitiv id=\"A\"/>".to_owned(), String::new(), "did you mean <primitive>?"),
        ("<primitive id=\"1\" class=\"lsb\" type=\"t\"/>".to_owned(), String::new(), "no identifier"),
        ("<primitive id=\"A\" class=\"ocf\" type=\"t\"/>".to_owned(), String::new(), "provider"),
        ("<primitive id=\"A\" template=\"A\"/>".to_owned(), String::new(), "its own template"),
        (
            "<template id=\"T\" template=\"U\" class=\"lsb\" type=\"t\"/>".to_owned(),
            String::new(),
            "there is no attribute template",
        ),
        (
            "<primitive id=\"A\" class=\"lsb\" type=\"t\"><meta_attributes id=\"m\"><nvpair id=\"n\" name=\"x\"/>\
             <rule id=\"q\"><rule id-ref=\"q\"/></rule></meta_attributes></primitive>"
                .to_owned(),
            String::new(),
            "part of what it refers to",
        ),
        (
            both.clone(),
            format!("{}{}", order("o", "A", "B"), order("p", "B", "A")),
            "in a circle: A -> B -> A",
        ),
        (both, "<rsc_order id=\"o\" first=\"A\" then=\"B\" kind=\"must\"/>".to_owned(), "Mandatory"),
    ] {
        let found = problems(&resources, &constraints);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(words), "{} has no '{words}'", found[0]);
    }
}

#[test]
fn all_errors_come_at_once_and_not_without_end() {
    let found = problems("<x/><y/><primitive id=\"A\"/>", "<z/>");
    assert_eq!(found.len(), 4, "{found:?}");
    let many = problems(&"<x/>".repeat(PROBLEMS_MAX + 5), "");
    assert_eq!(many.len(), PROBLEMS_MAX);
    assert!(
        many[PROBLEMS_MAX - 1].contains("5 more"),
        "{:?}",
        many.last()
    );
}
