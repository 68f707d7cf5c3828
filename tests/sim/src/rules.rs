//! Each safety rule removed, one at a time: the canary of the whole simulator. A rule whose absence
//! nobody notices is not needed, or not tested.

use ticket_protocol::Rules;

use crate::plan::Plan;
use crate::run::run;

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

/// Looks for a violation with one rule removed, over the given seeds. `None` = not caught;
/// `Err` = there is no such rule, or the feature `weaken` is off.
///
/// # Errors
/// The name is unknown, or rules cannot be removed in this build.
pub fn catch(rule: &str, seeds: std::ops::Range<u64>) -> Result<Option<Caught>, &'static str> {
    let Some(rules) = Rules::without(rule) else {
        return Err("no such rule, or built without the feature `weaken`");
    };
    for seed in seeds {
        let result = run(Plan::from_seed(seed), rules, true, false);
        if let Some(first) = result.violations.into_iter().next() {
            return Ok(Some(Caught {
                seed,
                oracle: first.invariant,
                what: first.what,
            }));
        }
    }
    Ok(None)
}
