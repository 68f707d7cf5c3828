//! Known seeds, and that a seed is a run.

use cluster_sim::{Report, run_seed};

#[test]
fn some_seeds_keep_every_promise_and_every_fault_comes() {
    let mut total = Report::default();
    for seed in 0..12 {
        let (report, breach) = run_seed(seed);
        assert_eq!(breach, None, "seed {seed}: cluster-sim replay {seed}");
        total.add(&report);
    }
    assert!(total.faults.iter().all(|count| *count > 0), "{total}");
    assert!(total.fencings > 0 && total.changes[0] > 0, "{total}");
}

#[test]
fn a_seed_is_a_run() {
    assert_eq!(run_seed(3), run_seed(3));
}
