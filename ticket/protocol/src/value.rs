//! What a ticket's register holds.
//!
//! ```text
//!            grant              move               release (stop confirmed)
//!  (nothing) ----> Granted ----------> Moving ------------------> Vacant{heir}
//!                  ^  ^  |  ^             |                          |
//!                  |  |  |  +-- roll back-+                          |
//!                  |  |  +------ step down, release ---> Vacant -----+
//!                  |  |             takeover or grant, new term      |
//!                  |  +----------------------------------------------+
//!          grant   |     revoke (from every phase with an owner)
//!                  +---- Revoked <--------- Revoking
//!                          stop confirmed, or every obligation over
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{Ballot, MemberId, Seq, Term};
use crate::time::whole_millis;

/// The timing of a grant, part of the register, so that acceptors never depend on their own
/// configuration of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseClass {
    /// The lease, in milliseconds; zero for a manual ticket.
    pub lease_ms: u32,
    /// How long after its end the holder may still be stopping, in milliseconds.
    pub acquire_after_ms: u32,
}

impl LeaseClass {
    /// No lease: the operator is the failover.
    pub const MANUAL: Self = Self {
        lease_ms: 0,
        acquire_after_ms: 0,
    };

    /// A class of automatic tickets.
    #[must_use]
    pub fn new(lease: Duration, acquire_after: Duration) -> Self {
        // The lease is rounded down and the wait up: rounding must not eat the margin.
        let lease_ms = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX).max(1);
        Self {
            lease_ms,
            acquire_after_ms: whole_millis(acquire_after),
        }
    }

    /// Whether this is a manual ticket's class.
    #[must_use]
    pub fn is_manual(self) -> bool {
        self.lease_ms == 0
    }

    /// How long a grant lasts without renewal.
    #[must_use]
    pub fn lease(self) -> Duration {
        Duration::from_millis(u64::from(self.lease_ms))
    }

    /// How long after the lease's end the holder may still be stopping.
    #[must_use]
    pub fn acquire_after(self) -> Duration {
        Duration::from_millis(u64::from(self.acquire_after_ms))
    }
}

/// A planned move, as the register carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Distinguishes this move from every other.
    pub id: u64,
    /// Where it comes from.
    pub from: MemberId,
    /// Where it goes.
    pub to: MemberId,
    /// How long it may take; every member counts from when it first saw it.
    pub wait_ms: u32,
}

/// What is being done with a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Its owner holds it.
    Granted,
    /// Its owner holds it and is stopping what depends on it, to hand it over.
    Moving(Transfer),
    /// Released by its last owner, everything there stopped. With a transfer, its target goes
    /// first.
    Vacant(Option<Transfer>),
    /// Revoked by the operator; its owner may still be running.
    Revoking,
    /// Revoked, and nothing runs any more.
    Revoked,
}

/// A phase without its particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseKind {
    /// Never granted.
    None,
    /// See [`Phase::Granted`].
    Granted,
    /// See [`Phase::Moving`].
    Moving,
    /// See [`Phase::Vacant`].
    Vacant,
    /// See [`Phase::Revoking`].
    Revoking,
    /// See [`Phase::Revoked`].
    Revoked,
}

impl Phase {
    /// This phase without its particulars.
    #[must_use]
    pub fn kind(&self) -> PhaseKind {
        match self {
            Self::Granted => PhaseKind::Granted,
            Self::Moving(_) => PhaseKind::Moving,
            Self::Vacant(_) => PhaseKind::Vacant,
            Self::Revoking => PhaseKind::Revoking,
            Self::Revoked => PhaseKind::Revoked,
        }
    }
}

/// The value of a ticket's register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// Who holds it, or held it last (see the phase).
    pub owner: MemberId,
    /// The number of the last grant.
    pub term: Term,
    /// What is being done with it.
    pub phase: Phase,
    /// The timing of the last grant.
    pub class: LeaseClass,
    /// Whether its dependents are kept stopped (or unpromoted) although it is granted.
    pub standby: bool,
    /// Why it can neither be taken over nor released, if so.
    pub hold: Option<String>,
    /// Why it was granted by force, if the last grant was.
    pub forced: Option<String>,
    /// How often it was revoked since the last grant. A grant names it too, so that one that was
    /// asked for before a revoke does not undo it.
    pub revokes: u32,
}

impl Value {
    /// Whether the owner may be running what depends on this ticket.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(
            self.phase,
            Phase::Granted | Phase::Moving(_) | Phase::Revoking
        )
    }

    /// Whether the owner renews its lease in this phase. A revoked owner does not, or a stop
    /// that hangs would keep the ticket for ever.
    #[must_use]
    pub fn is_renewed(&self) -> bool {
        matches!(self.phase, Phase::Granted | Phase::Moving(_))
    }
}

/// A value with the place in the order of values that it was accepted at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The ballot.
    pub ballot: Ballot,
    /// The number within the ballot.
    pub seq: Seq,
    /// The value.
    pub value: Value,
}
