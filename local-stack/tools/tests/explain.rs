//! What `explain` says, case by case: `tests/explain/NAME.xml` is a cluster, its first line the words
//! after `explain`, `NAME.txt` the answer. After a change that is meant, `EXPLAIN_BLESS=1 cargo test -p
//! tools --test explain` writes the answers anew; read the difference.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cib::Cib;
use scheduler::{Cause, Code, Explained, Explanation, Inputs, Subject};

/// The time of every case: 2026-05-28T20:26:40Z.
const NOW: i64 = 1_780_000_000;

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
    let entries = fs::read_dir(&directory).expect("the cases are there");
    let mut cases: Vec<PathBuf> = entries
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "xml"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no case in {}", directory.display());
    cases
}

/// The cluster of a case, and the words after `explain`.
fn read(path: &Path) -> (Cib, Vec<String>) {
    let text = fs::read_to_string(path).expect("the case can be read");
    let first = text.lines().next().unwrap_or_default();
    let words = first
        .trim_start_matches("<!-- explain")
        .trim_end_matches("-->");
    let words = words.split_whitespace().map(str::to_owned).collect();
    let cib = Cib::parse(&text, Some("cib.xml")).expect("the case is a CIB");
    (cib, words)
}

fn inputs() -> Inputs {
    Inputs {
        now: NOW,
        grants: None,
    }
}

fn explain(cib: &Cib, words: &[String]) -> Explained {
    let subject = tools::explain_subject(words).expect("words that mean something");
    scheduler::explain(cib, &inputs(), &subject).expect("the CIB knows it")
}

#[test]
fn every_case_is_told_as_written() {
    let bless = std::env::var_os("EXPLAIN_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in cases() {
        let (cib, words) = read(&path);
        let explanation = explain(&cib, &words).explanation;
        let mut told = tools::explanation_text(&explanation, "cib.xml");
        told += &format!("exit {}\n", tools::explain_exit(&explanation));
        let golden = path.with_extension("txt");
        if bless {
            fs::write(&golden, &told).expect("the answer can be written");
            continue;
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if told != expected {
            let name = path.display();
            wrong.push(format!("{name}\n--- expected\n{expected}--- told\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn recording_changes_no_decision() {
    for path in cases() {
        let (cib, words) = read(&path);
        let with = tools::graph_xml(&explain(&cib, &words).transition);
        let without = tools::graph_xml(&scheduler::simulate(&cib, &inputs()));
        assert_eq!(with, without, "{}", path.display());
        let whole = scheduler::explain(&cib, &inputs(), &Subject::Cluster).expect("the cluster");
        assert_eq!(
            tools::graph_xml(&whole.transition),
            without,
            "{}",
            path.display()
        );
    }
}

/// Codes without a case, each with the reason.
const WITHOUT_A_CASE: &[(&str, &str)] = &[(
    "waits",
    "said only where an action is kept back by something that no other code names",
)];

fn add_codes(causes: &[Cause], codes: &mut BTreeSet<Code>) {
    for cause in causes {
        codes.insert(cause.code);
        add_codes(&cause.because, codes);
    }
}

fn codes_of(explanation: &Explanation, codes: &mut BTreeSet<Code>) {
    add_codes(&explanation.causes, codes);
    for line in &explanation.nodes {
        add_codes(&line.causes, codes);
    }
    for part in &explanation.parts {
        codes_of(part, codes);
    }
}

#[test]
fn every_code_has_a_case() {
    let mut told = BTreeSet::new();
    for path in cases() {
        let (cib, words) = read(&path);
        codes_of(&explain(&cib, &words).explanation, &mut told);
    }
    let missing: Vec<&str> = Code::ALL
        .iter()
        .filter(|c| !told.contains(c))
        .map(|c| c.as_str())
        .filter(|c| !WITHOUT_A_CASE.iter().any(|(code, _)| code == c))
        .collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}

#[test]
fn codes_are_distinct_and_explained() {
    let texts: BTreeSet<&str> = Code::ALL.iter().map(|c| c.as_str()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
    for code in Code::ALL {
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(code.as_str().chars().all(plain), "{}", code.as_str());
        assert!(code.meaning().trim().ends_with('.'), "{}", code.as_str());
    }
}

fn case(name: &str) -> (Cib, Vec<String>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
    read(&directory.join(format!("{name}.xml")))
}

#[test]
fn json_names_code_place_and_remedy() {
    let (cib, words) = case("ticket-not-granted");
    let explanation = explain(&cib, &words).explanation;
    let json = tools::explanation_json(&explanation, "cib.xml", NOW);
    assert_eq!(json["api-version"], tools::JSON_VERSION);
    assert_eq!(json["date"], "2026-05-28T20:26:40Z");
    assert_eq!(json["date_seconds"], NOW);
    let told = &json["explanation"];
    assert_eq!(told["kind"], "resource");
    assert_eq!(told["id"], "db");
    assert_eq!(told["verdict"], "stopped");
    assert_eq!(told["intended"], true);
    let cause = &told["causes"][0];
    assert_eq!(cause["code"], "ticket-not-granted");
    let place = &cause["at"][0];
    assert_eq!(place["element"], "rsc_ticket");
    assert_eq!(place["id"], "db-needs-dbT");
    assert_eq!(place["file"], "cib.xml");
    assert_eq!((&place["line"], &place["column"]), (&17.into(), &7.into()));
    assert_eq!(told["nodes"][0]["node"], "n1");
    assert_eq!(told["nodes"][0]["verdict"], "refused");
}

#[test]
fn one_node_alone() {
    let (cib, words) = case("why-not");
    let explanation = explain(&cib, &words).explanation;
    let refused = tools::only_node(explanation.clone(), "n2").expect("n2 is there");
    assert_eq!(
        refused.headline,
        "n2 cannot run db: constraint db-not-n2 gives n2 the score -INFINITY"
    );
    let chosen = tools::only_node(explanation.clone(), "n1").expect("n1 is there");
    assert_eq!(
        chosen.headline,
        "n1 is chosen for db: n1 is the only node that can"
    );
    let error = tools::only_node(explanation, "n3").expect_err("n3 is not there");
    assert_eq!(error, "no node n3; there are: n1, n2");
}

#[test]
fn what_is_not_there_is_not_explained() {
    let (cib, _) = case("why-not");
    let subject = Subject::Any("nobody".into());
    assert!(scheduler::explain(&cib, &inputs(), &subject).is_none());
    let words = ["thing".to_owned(), "db".to_owned()];
    assert!(tools::explain_subject(&words).is_err());
}
