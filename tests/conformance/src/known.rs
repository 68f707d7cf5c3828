//! Differences from Debian's Pacemaker 2.1.5 that are known, each with the reason.

use crate::anchor::Verdict;

/// The class of a difference, if it is one of those that are explained.
pub fn known_class(_case: &str, _verdict: &Verdict) -> Option<&'static str> {
    None
}
