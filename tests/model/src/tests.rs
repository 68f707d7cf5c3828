//! The smallest worlds, for `cargo test`; the `model` binary searches larger ones.

use ticket_protocol::Rules;

use crate::{Bounds, Crash, Found, search};

/// More than any of these worlds has.
const STATES_MAX: u64 = 2_000_000;

fn small(rules: Rules) -> Bounds {
    Bounds {
        rules,
        grants: [1, 1],
        renewals: 0,
        releases: 0,
        crash: Crash::Never,
        ticks: 3,
        fast: 0b110,
    }
}

fn clean(bounds: &Bounds) -> Found {
    let found = search(bounds, STATES_MAX);
    assert_eq!(found.violation, None);
    assert!(!found.cut_short);
    assert!(found.taken_over > 0, "{found:?}");
    found
}

#[test]
fn a_takeover_in_every_order_of_events() {
    clean(&small(Rules::default()));
}

#[test]
fn a_removed_rule_is_caught() {
    let rules = Rules::without("acquire-after").expect("there is such a rule");
    let found = search(&small(rules), STATES_MAX);
    assert!(found.violation.is_some(), "{} states", found.states);
}
