use super::*;

const TEXT: &str = r#"<cib admin_epoch="0" epoch="5" num_updates="3"><configuration><crm_config/><nodes/>
<resources><primitive id="A" class="ocf" type="Dummy"><meta_attributes id="A-m"><nvpair id="A-t" name="target-role" value="Stopped"/></meta_attributes></primitive>
<primitive id="B" class="lsb" type="x"/></resources><constraints/></configuration><status/></cib>"#;

fn request(operation: Operation, section: Option<&str>, data: &str) -> Request {
    Request {
        section: section.map(str::to_owned),
        ..Request::new(operation, Some(Document::parse(data, None).expect("xml")))
    }
}

/// The CIB after a request, and its version.
fn after(request: &Request) -> Result<(String, String), RequestError> {
    let mut cib = Cib::parse(TEXT, None).expect("a CIB");
    apply(&mut cib, request)?;
    Ok((cib.to_text(), cib.version().to_string()))
}

#[test]
fn changes_of_the_configuration_raise_the_epoch_and_others_the_updates() {
    use Operation::{Create, Delete, Modify, Replace};
    let resources = Some("resources");
    for (request, word, version) in [
        (
            request(Create, resources, "<primitive id=\"C\"/>"),
            "\"C\"",
            "0.6.0",
        ),
        (
            request(Create, Some("tags"), "<tag id=\"t\"/>"),
            "<tags>",
            "0.6.0",
        ),
        (
            request(Create, Some("status"), "<node_state id=\"1\"/>"),
            "node_state",
            "0.5.4",
        ),
        (
            request(Modify, None, "<nvpair id=\"A-t\" value=\"Started\"/>"),
            "Started",
            "0.6.0",
        ),
        (
            request(Modify, None, "<nvpair id=\"A-t\" value=\"Stopped\"/>"),
            "Stopped",
            "0.5.3",
        ),
        (
            request(Modify, None, "<cib admin_epoch=\"admin_epoch++\"/>"),
            "admin_epoch=\"1\"",
            "1.5.4",
        ),
        (
            request(Replace, resources, "<resources/>"),
            "<resources/>",
            "0.6.0",
        ),
        (
            request(Replace, None, "<primitive id=\"B\" class=\"ocf\"/>"),
            "\"B\" class=\"ocf\"/>",
            "0.6.0",
        ),
        (
            request(Delete, None, "<primitive id=\"B\"/>"),
            "\"A\"",
            "0.6.0",
        ),
        (
            request(Delete, None, "<primitive id=\"B\" class=\"ocf\"/>"),
            "\"B\"",
            "0.5.3",
        ),
        (Request::new(Operation::Bump, None), "\"B\"", "0.6.0"),
        (
            Request::new(Operation::Erase, None),
            "<resources/>",
            "1.6.0",
        ),
    ] {
        let (text, now) = after(&request).unwrap_or_else(|e| panic!("{request:?}: {e}"));
        assert!(text.contains(word), "{request:?}: {text}");
        assert_eq!(now, version, "{request:?}: {text}");
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    use Operation::{Create, Modify, Replace};
    let exists = after(&request(Create, Some("resources"), "<primitive id=\"A\"/>"));
    assert!(matches!(exists, Err(RequestError::Exists(_))), "{exists:?}");
    let missing = after(&request(Modify, None, "<primitive id=\"Z\"/>"));
    assert!(
        matches!(missing, Err(RequestError::Missing(_))),
        "{missing:?}"
    );
    let old = after(&request(
        Replace,
        None,
        "<cib epoch=\"5\" num_updates=\"2\"/>",
    ));
    assert!(matches!(old, Err(RequestError::Old { .. })), "{old:?}");
    let section = after(&request(Modify, Some("resorces"), "<a/>"));
    assert!(
        matches!(section, Err(RequestError::Invalid(_))),
        "{section:?}"
    );
}

#[test]
fn xpaths_choose_one_or_all() {
    let with = |operation, path: &str| Request {
        xpath: Some(XPath::parse(path).expect("a path")),
        ..Request::new(operation, None)
    };
    let (one, _) = after(&with(Operation::Delete, "//primitive")).expect("deleted");
    assert!(!one.contains("\"A\"") && one.contains("\"B\""), "{one}");
    let (all, _) = after(&with(Operation::DeleteAll, "//primitive")).expect("deleted");
    assert!(!all.contains("primitive"), "{all}");
    let nothing = after(&with(Operation::Modify, "//nothing"));
    assert!(
        matches!(nothing, Err(RequestError::Missing(_))),
        "{nothing:?}"
    );
}

#[test]
fn a_transaction_is_done_wholly_or_not_at_all() {
    let both = |second: &str| {
        let text = format!(
            "<cib_transaction><cib_request cib_op=\"cib_create\" cib_section=\"resources\"><cib_calldata>\
             <primitive id=\"C\"/></cib_calldata></cib_request>{second}</cib_transaction>"
        );
        read_transaction(&Document::parse(&text, None).expect("xml"))
    };
    let good = both(
        "<cib_request cib_op=\"cib_delete_alt\" cib_callopt=\"2\" cib_section=\"//primitive[@id='A']\"/>",
    );
    let mut cib = Cib::parse(TEXT, None).expect("a CIB");
    apply_all(&mut cib, &good.expect("a transaction")).expect("applied");
    assert_eq!(cib.version().to_string(), "0.6.0");
    assert!(cib.document().find_by_id("C").is_some() && cib.document().find_by_id("A").is_none());
    let before = cib.to_text();
    let bad = both(
        "<cib_request cib_op=\"cib_modify\"><cib_calldata><primitive id=\"Q\"/></cib_calldata></cib_request>",
    );
    let mut other = Cib::parse(TEXT, None).expect("a CIB");
    let (place, error) = apply_all(&mut other, &bad.expect("a transaction")).expect_err("refused");
    assert_eq!(
        (place, matches!(error, RequestError::Missing(_))),
        (1, true)
    );
    assert!(other.document().find_by_id("C").is_none());
    assert_ne!(before, other.to_text());
    assert!(both("<cib_request cib_op=\"cib_upgrade\"/>").is_err());
}
