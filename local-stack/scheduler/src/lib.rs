//! A pure function from a CIB and a time to a transition graph.
//!
//! [`schedule`] reads nothing but its arguments: no clock, no file, no environment, no global state.
//! The same input gives the same answer, byte for byte.

mod transition;

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

/// What to do now.
pub fn schedule(cib: &cib::Cib, inputs: &Inputs) -> Transition {
    let _ = (cib, inputs);
    Transition { cluster_delay: "60s".into(), fencing_timeout: "60s".into(), ..Transition::default() }
}
