//! What `explain` says, case by case: `tests/explain/NAME.xml` is a cluster, its first line the words
//! after `explain`, `NAME.txt` the answer. After a change that is meant, `EXPLAIN_BLESS=1 cargo test -p
//! tools --test explain` writes the answers anew; read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use cib::Cib;
use scheduler::{Explained, Inputs, Subject};

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
