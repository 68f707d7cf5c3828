//! What an acceptor owes the holder of a ticket: to accept nobody else for a while.
//!
//! ```text
//!   none --accept of a lease--> running(owner, term, until)
//!    ^                            |  ^ every further lease of the owner: until = max(until, ..)
//!    |                            |  +-------------------------------------------------------
//!    +-- release of that term ----+
//!    +-- until has passed --------+
//! ```
//!
//! The end lies (lease + acquire-after) x (1 + rho) after the acceptor stored the lease. The
//! holder counted its lease from before it sent it, so however slow its clock is, it has stopped
//! by then.

use std::time::Duration;

use crate::durable::Owed;
use crate::ids::{MemberId, Term};
use crate::rules::Rules;
use crate::time::{Time, stretched};
use crate::value::LeaseClass;

/// A running obligation, or one that has run out and was not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Obligation {
    pub(crate) owner: MemberId,
    pub(crate) term: Term,
    /// On the acceptor's clock; `NEVER` for a manual ticket.
    pub(crate) until: Time,
}

impl Obligation {
    pub(crate) fn is_running(&self, now: Time) -> bool {
        now < self.until
    }

    /// What is left, in milliseconds, rounded up; `None` has no end.
    pub(crate) fn left_ms(&self, now: Time) -> Option<u32> {
        (self.until != Time::NEVER).then(|| crate::time::whole_millis(self.until.since(now)))
    }
}

/// How long an acceptor is obliged by one lease of a class; `None` has no end.
pub(crate) fn span(class: LeaseClass, drift_ppm: u32, rules: Rules) -> Option<Duration> {
    if class.is_manual() {
        return None;
    }
    let after = if rules.acquire_after() {
        class.acquire_after()
    } else {
        Duration::ZERO
    };
    let ppm = if rules.drift_margin() { drift_ppm } else { 0 };
    Some(stretched(class.lease() + after, ppm))
}

/// What a restarted acceptor owes: what is on disk says whom, and the whole span counts again.
pub(crate) fn restarted(
    owed: Owed,
    longest: Duration,
    drift_ppm: u32,
    rules: Rules,
    now: Time,
) -> Obligation {
    let until = match owed.span_ms {
        _ if !rules.wait_after_restart() => now,
        None => Time::NEVER,
        Some(ms) => {
            let span = longest.max(Duration::from_millis(u64::from(ms)));
            now.after(stretched(span, drift_ppm))
        }
    };
    Obligation {
        owner: owed.owner,
        term: owed.term,
        until,
    }
}
