use super::*;

const TEXT: &str = r#"<cib><configuration><nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources><primitive id="A" class="ocf"><op id="A-m" interval="10" name="monitor"/></primitive>
<group id="g"><primitive id="B" class="lsb"/><!-- c --><primitive id="C" class="ocf"/></group></resources>
</configuration><status/></cib>"#;

fn found(expression: &str) -> Vec<String> {
    let document = Document::parse(TEXT, None).expect("xml");
    let path = XPath::parse(expression).unwrap_or_else(|e| panic!("{e}"));
    let list = path.elements(&document).unwrap_or_else(|e| panic!("{e}"));
    list.into_iter()
        .map(|e| {
            let element = document.element(e);
            element
                .attr("id")
                .unwrap_or_else(|| element.name())
                .to_owned()
        })
        .collect()
}

#[test]
fn expressions_that_people_use() {
    for (expression, wanted) in [
        ("//primitive", "A B C"),
        ("//primitive[@id='B']", "B"),
        ("/cib/configuration/resources/*", "A g"),
        ("//primitive[@class=\"ocf\"][2]", ""),
        ("(//primitive[@class='ocf'])[2]", "C"),
        ("//group/primitive[last()]", "C"),
        ("//group/primitive[position()<2]", "B"),
        ("//op/..", "A"),
        ("//primitive[op]", "A"),
        ("//primitive[not(op)]", "B C"),
        ("//primitive[not(op) and @class='ocf' or @id='A']", "A C"),
        ("//*[@id='g']//primitive|//node[@uname='n2']", "2 B C"),
        (
            "//primitive[starts-with(@id,'A') or contains(@class,'s')]",
            "A B",
        ),
        ("//op[@interval>9 and @interval<=10.0]", "A-m"),
        ("//node[@id != 1]", "2"),
        ("//primitive[@id='B']/following-sibling::primitive", "C"),
        ("//primitive[@id='C']/ancestor::group", "g"),
        ("//op/ancestor-or-self::*[@id]", "A A-m"),
        ("//@uname", "1 2"),
        ("//group/comment()", "g"),
        ("//*[name()='group']", "g"),
        ("//*[count(primitive)=2]", "g"),
        ("/", ""),
        ("/cib//status", "status"),
        ("id('g')/primitive[1]", "B"),
        ("//node[@id=2 - 1]", "1"),
        ("/cib/configuration/nodes/node[@uname=concat('n','2')]", "2"),
        ("//nothing", ""),
    ] {
        assert_eq!(found(expression).join(" "), wanted, "{expression}");
    }
}

#[test]
fn what_is_no_expression_is_refused_with_the_reason() {
    let deep = "(".repeat(5000);
    for (expression, word) in [
        ("", "end"),
        ("//", "name"),
        ("//a[", "end"),
        ("//a[@id='x]", "closed"),
        ("//a]", "]"),
        ("//a[foo()]", "foo"),
        ("//a[$x]", "variables"),
        ("//a[count()]", "count"),
        ("sideways::a", "sideways"),
        ("//a#b", "#"),
        (&deep, "nested"),
    ] {
        let error = XPath::parse(expression).expect_err(expression).to_string();
        assert!(error.contains(word), "{expression}: {error}");
    }
    let document = Document::parse(TEXT, None).expect("xml");
    let number = XPath::parse("count(//a)").expect("an expression");
    assert!(number.elements(&document).is_err());
}

#[test]
fn a_path_leads_back() {
    let document = Document::parse(TEXT, None).expect("xml");
    let op = document.find_by_id("A-m").expect("there").key();
    let path = path_of(&document, op);
    assert_eq!(
        path,
        "/cib/configuration/resources/primitive[@id='A']/op[@id='A-m']"
    );
    let back = XPath::parse(&path).expect("a path").elements(&document);
    assert_eq!(back, Ok(vec![op]));
}
