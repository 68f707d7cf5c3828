//! What goes in comes out again, and what must not come in is refused with a place.

use cib::{Cib, Document, ErrorKind, OperationRecord};

const SMALL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<cib epoch="7" admin_epoch="0" num_updates="3" x-unknown="a &amp; b">
  <!-- kept -->
  <configuration>
    <resources>
      <primitive id="db" class="ocf" provider="heartbeat" type="pgsql" colour="blue"/>
    </resources>
  </configuration>
  <status/>
</cib>
"#;

#[test]
fn a_document_survives_a_round_trip() {
    let once = Document::parse(SMALL, None).expect("parse").to_text();
    let twice = Document::parse(&once, None).expect("parse again").to_text();
    assert_eq!(once, twice);
    for part in [
        "x-unknown=\"a &amp; b\"",
        "<!-- kept -->",
        "colour=\"blue\"",
    ] {
        assert!(once.contains(part), "{part} is lost in {once}");
    }
    let order = once.find("epoch=\"7\"") < once.find("admin_epoch");
    assert!(order, "attributes keep their order: {once}");
}

#[test]
fn elements_know_where_they_stand() {
    let document = Document::parse(SMALL, None).expect("parse");
    let db = document.find_by_id("db").expect("the primitive");
    let position = db.position().expect("a position");
    assert_eq!((position.line, position.column), (6, 7));
}

fn refusal(text: &str) -> (String, ErrorKind) {
    let error = Document::parse(text, Some("x.xml")).expect_err("this must be refused");
    (error.to_string(), error.kind)
}

#[test]
fn errors_name_file_line_and_column() {
    let (text, _) = refusal("<cib>\n  <a>\n  </b>\n</cib>");
    assert!(text.starts_with("x.xml:3:"), "{text}");
}

#[test]
fn entity_bombs_and_towers_are_refused() {
    let bomb = "<!DOCTYPE c [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><cib>&b;</cib>";
    assert!(matches!(refusal(bomb).1, ErrorKind::DocumentType));
    assert!(matches!(
        refusal("<cib a=\"&b;\"/>").1,
        ErrorKind::UnknownEntity { .. }
    ));
    let tower = format!("{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000));
    assert!(matches!(refusal(&tower).1, ErrorKind::TooDeep { .. }));
}

#[test]
fn results_replace_earlier_ones_and_failures_stay() {
    let mut cib = Cib::empty();
    let record = |operation: &str, interval_ms: u32, rc: i32| OperationRecord {
        resource: "db".into(),
        class: "ocf".into(),
        provider: Some("heartbeat".into()),
        kind: "pgsql".into(),
        operation: operation.into(),
        interval_ms,
        transition_key: "1:1:0:uuid".into(),
        rc,
        ..OperationRecord::default()
    };
    cib.record_operation("1", "paris", &record("start", 0, 0));
    cib.record_operation("1", "paris", &record("monitor", 10_000, 7));
    cib.record_operation("1", "paris", &record("stop", 0, 0));
    let ids: Vec<&str> = cib
        .root()
        .descendants()
        .filter(|e| e.name() == "lrm_rsc_op")
        .map(|e| e.id())
        .collect();
    assert_eq!(ids, ["db_last_0", "db_monitor_10000", "db_last_failure_0"]);
    let last = cib
        .document()
        .find_by_id("db_last_0")
        .expect("the last result");
    assert_eq!(last.attr("operation"), Some("stop"));
}

#[test]
fn text_among_elements_is_not_changed_by_writing() {
    let text = "<a>one <b/> two<c><d/></c>&#32;<e><![CDATA[]]></e></a>";
    let once = Document::parse(text, None).expect("it is XML").to_text();
    let twice = Document::parse(&once, None).expect("it is XML").to_text();
    assert_eq!(once, twice);
    assert!(once.starts_with("<a>one <b/> two<c>"), "{once}");
}
