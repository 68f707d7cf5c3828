//! A pure function from a CIB and a time to a transition graph.
//!
//! [`schedule`] reads nothing but its arguments: no clock, no file, no environment, no global state.
//! The same input gives the same answer, byte for byte.

mod action;
mod action_list;
mod amounts;
mod assign;
mod attributes;
mod changes;
mod constraint;
mod create;
mod criteria;
mod dates;
mod digest;
mod expand;
mod expand_bundle;
mod explain;
mod failcount;
mod fencing;
mod graph;
mod hash;
mod ids;
mod internal;
mod migrate;
mod model;
mod notify;
mod opmeta;
mod options;
mod plan;
mod probes;
mod recurring;
mod remote;
mod rules;
mod run;
mod scores;
mod shutdown;
mod status;
mod text;
mod transition;
mod unpack;
mod update;
mod walk;
mod words;

use std::cell::Cell;
use std::sync::Mutex;

pub use attributes::Attributes;
pub use digest::{DigestReport, Parameters};
pub use explain::{
    Cause, Code, Explained, Explanation, Kind, NodeLine, NodeVerdict, Place, Row, Subject, Verdict,
    explain,
};
pub use scores::Score;
pub use status::{NodeRole, NodeStatus, ResourceKind, ResourceStatus, Status};
pub use transition::{Action, ActionKind, NodeName, ResourceName, Synapse, Transition};

/// What the scheduler is told beside the CIB.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Seconds since the epoch; rules, expiry of failures and shutdown locks are judged by it.
    pub now: i64,
    /// The tickets this site holds, from its leases. `None`: read `ticket_state` in the CIB (a site
    /// without leases, a simulation).
    pub grants: Option<Vec<Grant>>,
}

/// A ticket that this site holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The ticket.
    pub ticket: String,
    /// Whether the site holds it.
    pub granted: bool,
    /// Whether what depends on it shall be stopped gracefully.
    pub standby: bool,
}

/// Stack for the recursion over orderings, whose depth the configuration determines.
const STACK_BYTES: usize = 512 << 20;

/// What to do now.
pub fn schedule(cib: &cib::Cib, inputs: &Inputs) -> Transition {
    with_stack(cib, |document| run::transition(document, inputs, false))
}

/// Like [`schedule`], for a CIB out of which secrets may have been blanked, as in reports: parameters
/// that are secrets do not count as changed then.
pub fn simulate(cib: &cib::Cib, inputs: &Inputs) -> Transition {
    with_stack(cib, |document| run::transition(document, inputs, true))
}

/// Like [`simulate`], with the numbers that the assignment went by.
pub fn simulate_with_scores(cib: &cib::Cib, inputs: &Inputs) -> (Transition, Vec<Score>) {
    with_stack(cib, |document| run::with_scores(document, inputs))
}

/// The digests of a resource's parameters on a node; none if the CIB does not know one of them.
/// `overrides` go before what is configured.
pub fn digests(
    cib: &cib::Cib,
    inputs: &Inputs,
    (resource, node): (&str, &str),
    overrides: &[(String, String)],
) -> Option<DigestReport> {
    with_stack(cib, |document| {
        run::digests(document, inputs, (resource, node), overrides)
    })
}

/// What nodes and resources are now.
pub fn status(cib: &cib::Cib, inputs: &Inputs) -> Status {
    with_stack(cib, |document| run::status(document, inputs))
}

thread_local! {
    /// Whether this thread has the stack that deep recursion needs.
    static DEEP: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` on a stack for the deepest configuration: whoever schedules many times starts one
/// thread for it instead of one each time.
pub fn with_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if DEEP.get() {
        return work();
    }
    // Whoever gets no thread takes the work back.
    let work = Mutex::new(Some(work));
    let take = || work.lock().ok().and_then(|mut work| work.take());
    let answer = std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().stack_size(STACK_BYTES);
        let worker = worker.spawn_scoped(scope, || {
            DEEP.set(true);
            take().map(|work| work())
        });
        worker.map(std::thread::ScopedJoinHandle::join)
    });
    match answer {
        Ok(Ok(Some(answer))) => answer,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        // No thread to be had: the stack at hand must do.
        _ => match take() {
            Some(work) => work(),
            None => unreachable!("nobody else takes the work"),
        },
    }
}

fn with_stack<T: Send>(cib: &cib::Cib, run: impl Fn(&cib::Document) -> T + Sync) -> T {
    let expanded = expand::expand(cib.document());
    let document = expanded.as_ref().unwrap_or_else(|| cib.document());
    with_deep_stack(|| run(document))
}

/// Seconds since the epoch of an ISO 8601 date, for programs that take dates from people.
pub fn parse_time(text: &str) -> Option<i64> {
    dates::parse(text, 0)
}

/// A time in seconds since the epoch as RFC 3339 writes it, in UTC.
pub fn time_text(time: i64) -> String {
    dates::text(time)
}

#[cfg(test)]
mod tests {
    use super::with_deep_stack;

    #[test]
    fn a_deep_stack_is_made_once() {
        let here = || std::thread::current().id();
        let outside = here();
        let (outer, inner) = with_deep_stack(|| (here(), with_deep_stack(here)));
        assert_ne!(outside, outer);
        assert_eq!(outer, inner);
    }

    #[test]
    #[should_panic(expected = "as it was")]
    fn a_panic_comes_through() {
        with_deep_stack(|| panic!("as it was"));
    }
}
