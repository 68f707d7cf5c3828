//! Our own cases: the scheduler does what the documentation says.

use cib::Cib;
use conformance::own_cases;
use conformance::random::Sketch;
use scheduler::{Inputs, Subject};

#[test]
fn own_cases_are_answered_as_documented() {
    let cases = own_cases().expect("the cases are well formed");
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    let mut report = String::new();
    for case in &cases {
        let wrong = case.ours().and_then(|graph| case.wrong(&graph));
        let wrong = wrong.unwrap_or_else(|message| vec![message]);
        if !wrong.is_empty() {
            report += &format!("{}: {}\n  {}\n", case.name, case.says, wrong.join("\n  "));
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn own_cases_are_decided_alike_when_reasons_are_recorded() {
    for case in own_cases().expect("the cases are well formed") {
        assert_eq!(case.ours(), case.ours_explained(), "{}", case.name);
    }
}

#[test]
fn a_wrong_answer_is_found_out() {
    let cases = own_cases().expect("the cases are well formed");
    let of = |name: &str| {
        let found = cases.iter().find(|c| c.name == name);
        found.expect("a case of that name")
    };
    let other = of("location-ban").ours().expect("a graph");
    let wrong = of("group-stop").wrong(&other).expect("a comparison");
    assert!(
        wrong.contains(&"missing: stop ip n1".to_owned()),
        "{wrong:?}"
    );
    assert!(
        wrong.contains(&"too much: start db n2".to_owned()),
        "{wrong:?}"
    );
    let order = "not in this order: stop db n1 < stop fs n1".to_owned();
    assert!(wrong.contains(&order), "{wrong:?}");
}

/// Enough for every feature of the random clusters to come up several times.
const SEEDS: u64 = 150;

#[test]
fn random_clusters_are_explained_and_decided_alike() {
    for seed in 0..SEEDS {
        let text = Sketch::cold(seed).cib.to_text();
        let cib = Cib::parse(&text, None).expect("a CIB");
        let inputs = Inputs {
            now: 1_780_000_000,
            grants: None,
        };
        let plain = tools::graph_xml(&scheduler::simulate(&cib, &inputs));
        let told = scheduler::explain(&cib, &inputs, &Subject::Cluster).expect("the cluster");
        assert_eq!(tools::graph_xml(&told.transition), plain, "seed {seed}");
        for part in &told.explanation.parts {
            let odd = part.causes.is_empty() && part.verdict > scheduler::Verdict::Moving;
            assert!(!odd, "seed {seed}: no reason for {}", part.headline);
        }
    }
}
