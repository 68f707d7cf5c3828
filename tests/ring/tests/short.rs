//! A short form of the long runs: seeds without a breach, the same again, and rules that are missed.

use ring_sim::{RULES, Report, run_seed};

#[test]
fn random_runs_keep_every_property() {
    let mut total = Report::default();
    for seed in 0..24 {
        let (report, breach) = run_seed(seed, None);
        assert_eq!(breach, None, "seed {seed}");
        total.add(&report);
    }
    assert!(total.deliveries > 10_000, "{total}");
    // Which steps a node dies in takes more seeds; that it does, none.
    let never = total.never();
    let rare = ["crashes in", "in a", "in its", "in an", "changes refused"];
    let missing: Vec<&String> = never
        .iter()
        .filter(|name| !rare.iter().any(|rare| name.starts_with(rare)))
        .collect();
    assert!(missing.is_empty(), "never came: {missing:?}: {total}");
    assert!(never.len() < 8, "hardly a step was died in: {never:?}");
}

#[test]
fn a_seed_is_a_run() {
    for seed in 100..104 {
        assert_eq!(run_seed(seed, None), run_seed(seed, None), "seed {seed}");
    }
}

#[test]
fn a_removed_rule_is_missed() {
    // The others take more seeds: `ring-sim rules` has them all.
    for (name, weakness) in RULES {
        if [
            "behind a gap",
            "a failed",
            "only newer",
            "incarnation",
            "a new process",
        ]
        .iter()
        .any(|rare| name.starts_with(rare))
        {
            continue;
        }
        let caught = (0..40).any(|seed| run_seed(seed, Some(weakness)).1.is_some());
        assert!(caught, "nobody missed: {name}");
    }
}
