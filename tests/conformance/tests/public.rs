//! Every public case must give the recorded graph, but for those listed here with the reason.

use std::collections::{BTreeMap, BTreeSet};

use conformance::Recordings;

/// Cases that differ, and why. A case that no longer differs must be taken off the list.
const KNOWN: &[(&str, &str)] = &[
    (
        "bundle-interleave-down",
        "recorded by an older version: each instance of an ordered clone waits for the next one only",
    ),
    (
        "bundle-order-partial",
        "recorded by an older version: its containers had other parameters, so digests differ",
    ),
];

#[test]
#[allow(clippy::print_stderr, reason = "a test that does nothing must say so")]
fn public_cases_give_the_recorded_graphs() {
    let recordings = match Recordings::find() {
        Ok(recordings) => recordings,
        Err(directory) => {
            let ci = std::env::var("CI").is_ok_and(|v| v == "true");
            assert!(!ci, "no recordings in {}", directory.display());
            eprintln!();
            eprintln!(
                "NOT RUN: no recordings of Pacemaker in {}.",
                directory.display()
            );
            eprintln!("         Set INTERLOCK_CONFORMANCE to the directory that has them.");
            return;
        }
    };
    let known: BTreeMap<&str, &str> = KNOWN.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut differ = BTreeSet::new();
    let cases = recordings.cases().expect("the list of cases");
    for case in &cases {
        let verdict = match recordings.compare(case) {
            Ok(difference) if difference.is_none() => continue,
            Ok(d) => format!(
                "{} actions missing, {} extra; {} orderings missing, {} extra",
                d.missing.len(),
                d.extra.len(),
                d.unordered.len(),
                d.overordered.len()
            ),
            Err(message) => message,
        };
        differ.insert(case.name.as_str());
        if !known.contains_key(case.name.as_str()) {
            wrong.push(format!("{} ({}): {verdict}", case.name, case.group));
        }
    }
    eprintln!(
        "{} of {} cases equal",
        cases.len() - differ.len(),
        cases.len()
    );
    let mended: Vec<_> = known
        .keys()
        .filter(|name| !differ.contains(*name))
        .collect();
    assert!(
        wrong.is_empty(),
        "cases that differ from the recording:\n{}",
        wrong.join("\n")
    );
    assert!(
        mended.is_empty(),
        "no longer different, take off the list: {mended:?}"
    );
}

#[test]
fn recording_reasons_changes_no_public_answer() {
    let Ok(recordings) = Recordings::find() else {
        // The other test says so.
        return;
    };
    let mut wrong = Vec::new();
    for case in &recordings.cases().expect("the list of cases") {
        if recordings.recording_is_harmless(case) != Ok(true) {
            wrong.push(case.name.clone());
        }
    }
    assert!(wrong.is_empty(), "decided otherwise: {wrong:?}");
}
