//! What a member keeps on disk.

use serde::{Deserialize, Serialize};

use crate::ids::{Ballot, MemberId, Term, TicketId};
use crate::message::Purpose;
use crate::value::Accepted;

/// To whom an acceptor is obliged, without the time: that is counted again after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// The holder.
    pub owner: MemberId,
    /// Its term.
    pub term: Term,
    /// Lease and acquire-after of the longest lease accepted, in milliseconds; `None` for a
    /// manual ticket, which has no end.
    pub span_ms: Option<u32>,
}

/// One ticket's register at one acceptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRecord {
    /// Which ticket.
    pub ticket: TicketId,
    /// No lower ballot is answered.
    pub promised: Ballot,
    /// What the promise may be used for.
    pub promised_for: Purpose,
    /// The last value.
    pub accepted: Option<Accepted>,
    /// The highest term ever seen: the next grant's is higher.
    pub max_term: Term,
    /// Whom the acceptor must protect.
    pub owed: Option<Owed>,
    /// The highest term that this site itself began to release: never resumed.
    pub resigned: Term,
    /// The term of this site whose hold a majority agreed on: until the cluster ends the hold,
    /// its lease does not run out.
    pub hold_agreed: Term,
    /// The highest term of this site that lapsed: never resumed, whatever deadline its guard still
    /// holds. What ran of it may still have to be stopped.
    pub lapsed: Term,
    /// Own ballots up to this one may be of a life whose memory was lost: that this acceptor does
    /// not know what was proposed under them proves nothing.
    pub forgotten: Ballot,
}

/// The whole state on disk: small, written as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurableState {
    /// The member that it belongs to.
    pub member: MemberId,
    /// Drawn when the state was first made.
    pub store: u64,
    /// Raised when this member's memory can no longer be relied on.
    pub incarnation: u32,
    /// Whether this incarnation votes: not before it has recovered.
    pub voting: bool,
    /// How often the member has started in this incarnation.
    pub run: u32,
    /// How often this state was written in this incarnation.
    pub written: u64,
    /// The recovery epoch below which no term is granted.
    pub recovery_epoch: u16,
    /// How many starts in a row ended before their restarted obligations were over.
    pub unsettled: u32,
    /// One record per ticket ever heard of, ordered by ticket.
    pub tickets: Vec<TicketRecord>,
}

/// What the store found when the member started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// This member has never run: an operator has just set it up.
    Fresh,
    /// Its last state.
    State(DurableState),
    /// It had a state, which is missing, corrupt or known to be old.
    Lost {
        /// What is wrong with it.
        reason: String,
    },
}
