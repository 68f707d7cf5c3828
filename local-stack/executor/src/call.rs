//! Names of orders, and what is told of them.

use std::time::Duration;

use crate::agent::Outcome;

/// Names one order to the executor; the caller gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What the executor tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// An operation ended; a recurring one is told the first time and when its result changes.
    Ended {
        /// The order.
        call: CallId,
        /// Its resource.
        resource: String,
        /// What the agent did.
        action: String,
        /// Zero for once.
        interval: Duration,
        /// How it ended.
        outcome: Outcome,
    },
    /// A recurring operation is gone and not in flight any more.
    Cancelled {
        /// The order to cancel it.
        call: CallId,
    },
}
