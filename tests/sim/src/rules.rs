//! Each safety rule removed, one at a time: the canary of the whole simulator. A rule whose absence
//! nobody notices is not needed, or not tested.

use ticket_protocol::Rules;

use crate::plan::Plan;
use crate::sweep::run_guarded;

/// How a removed rule was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// The first seed that found it.
    pub seed: u64,
    /// The oracle that found it.
    pub oracle: &'static str,
    /// What it saw.
    pub what: String,
}

/// Signs that something is wrong, but not that a promise of safety was broken: they count only
/// where nothing better is found.
const WEAK: [&str; 3] = ["liveness", "impossible", "panic"];

/// Looks for a violation with one rule removed, over the given seeds. `None` = not caught;
/// `Err` = there is no such rule.
///
/// # Errors
/// The name is unknown.
pub fn catch(rule: &str, seeds: std::ops::Range<u64>) -> Result<Option<Caught>, &'static str> {
    let Some(rules) = Rules::without(rule) else {
        return Err("no such rule");
    };
    let mut weak = None;
    for seed in seeds {
        for broken in run_guarded(Plan::from_seed(seed), rules).violations {
            let oracle = broken.invariant;
            let caught = Caught {
                seed,
                oracle,
                what: broken.what,
            };
            if !WEAK.contains(&oracle) {
                return Ok(Some(caught));
            }
            weak.get_or_insert(caught);
        }
    }
    Ok(weak)
}
