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
    assert!(
        total.faults.iter().all(|count| *count > 0),
        "a kind of fault never came: {total}"
    );
    assert!(
        total.lost > 0
            && total.duplicated > 0
            && total.late > 0
            && total.step_crashes > 0
            && total.step_cuts > 0
            && total.step_repeats > 0
            && total.slow_nodes > 0
            && total.full_queues > 0,
        "{total}"
    );
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
        if ["a failed", "only newer", "incarnation", "a new process"]
            .iter()
            .any(|rare| name.starts_with(rare))
        {
            continue;
        }
        let caught = (0..5).any(|seed| run_seed(seed, Some(weakness)).1.is_some());
        assert!(caught, "nobody missed: {name}");
    }
}
