//! What an invariant says when it is broken.

use crate::history::{Nanos, TicketId};

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The file of the invariant.
    pub invariant: &'static str,
    /// When it was seen.
    pub at: Nanos,
    /// Which ticket.
    pub ticket: TicketId,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.at / 1_000_000_000;
        let rest = self.at % 1_000_000_000;
        write!(
            f,
            "{}: at {seconds}.{rest:09} s, ticket {}: {}",
            self.invariant, self.ticket, self.what
        )
    }
}

/// More violations than this say nothing new about one run, and a broken run could make millions.
const VIOLATIONS_MAX: usize = 64;

/// The violations of one run, bounded.
#[derive(Clone, Debug, Default)]
pub struct Violations {
    list: Vec<Violation>,
}

impl Violations {
    /// Notes one; past a bound it is dropped, since the first ones explain the run.
    pub fn note(
        &mut self,
        invariant: &'static str,
        at: Nanos,
        ticket: TicketId,
        what: impl FnOnce() -> String,
    ) {
        if self.list.len() < VIOLATIONS_MAX {
            self.list.push(Violation {
                invariant,
                at,
                ticket,
                what: what(),
            });
        }
    }

    /// What was noted, in the order of time.
    #[must_use]
    pub fn list(&self) -> &[Violation] {
        &self.list
    }

    /// Whether the history is good so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
