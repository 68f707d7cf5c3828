//! A short form of everything the `sim` binary does, for `cargo test`.

use ticket_protocol::Rules;

use crate::plan::Plan;
use crate::run::run;
use crate::scenario::SCENARIOS;
use crate::sweep::{Bound, determinism, sweep};

#[test]
fn scenarios_d1_to_d8() {
    for scenario in SCENARIOS {
        let played = scenario.play(false);
        assert!(
            played.violations.is_empty(),
            "{}: {:?}",
            scenario.name,
            played.violations
        );
        assert!(
            played.missed.is_empty(),
            "{}: {:?}",
            scenario.name,
            played.missed
        );
    }
}

/// Seeds of the short sweep: some seconds in an unoptimised build.
const SEEDS: u64 = 200;

#[test]
fn no_violation_in_a_short_sweep() {
    let bound = Bound {
        end: Some(SEEDS),
        ..Bound::default()
    };
    let result = sweep(0, bound, 2, |_| {});
    assert!(result.bad.is_empty(), "{:#?}", result.bad);
    let missing = result.faults.missing();
    assert!(missing.is_empty(), "never happened: {missing:?}");
    let per_mille = result.stats.takeovers * 1_000 / result.stats.events;
    assert!(per_mille >= 1, "{} takeovers", result.stats.takeovers);
    for command in ["grant", "revoke", "move", "standby", "activate"] {
        assert!(result.stats.done(command) > 0, "no {command} was ever done");
    }
}

#[test]
fn every_seed_twice_is_the_same() {
    assert_eq!(determinism(1_000..1_010), [0; 0]);
}

#[test]
fn removed_rules_are_caught() {
    for rule in ["lease-from-send", "obligation-at-accept", "revoke-stays"] {
        let caught = crate::rules::catch(rule, 0..SEEDS);
        assert!(matches!(caught, Ok(Some(_))), "{rule}: {caught:?}");
    }
}

#[test]
fn a_run_without_faults_is_quiet() {
    let mut plan = Plan::calm(1);
    plan.storm_ns = 60 * crate::plan::S;
    let result = run(plan, Rules::default(), false, false);
    assert_eq!(result.violations, []);
    assert_eq!(result.stats.takeovers, 0);
    assert_eq!(result.stats.alarms, 0);
}
