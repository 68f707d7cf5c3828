//! What members say to each other.
//!
//! Messages are datagrams: they may be lost, repeated, late or out of order. Everything that
//! one member has to say to another at one time travels in one [`Message`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::Outcome;
use crate::durable::TicketRecord;
use crate::ids::{Ballot, MemberId, Seq, Term, TicketId};
use crate::time::Time;
use crate::value::{Accepted, LeaseClass, PhaseKind};

/// A datagram between two members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks, and in which of its lives.
    pub header: Header,
    /// What it says.
    pub parts: Vec<Part>,
}

/// One life of a member: it ends when its memory is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// See [`crate::DurableState::store`].
    pub store: u64,
    /// See [`crate::DurableState::incarnation`].
    pub incarnation: u32,
}

/// How far one life of a member has come. A member whose state was rolled back comes less far
/// than it was seen, or starts the same run a second time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// See [`crate::DurableState::run`].
    pub run: u32,
    /// Drawn for each run.
    pub nonce: u32,
    /// See [`crate::DurableState::written`].
    pub written: u64,
}

/// Which life of a member speaks, and what its clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The configuration epoch.
    pub epoch: u64,
    /// A checksum of cluster name and members.
    pub digest: u32,
    /// Which life of it.
    pub life: Life,
    /// How far this life has come.
    pub seen: Seen,
    /// What [`Seen::written`] was when this run started.
    pub restored: u64,
    /// Whether it votes.
    pub voting: bool,
    /// The sender's clock when it sent this.
    pub clock: Time,
    /// The receiver's clock as last heard, and how long ago the sender heard it.
    pub echo: Option<(Time, Duration)>,
}

/// What a ballot may be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// The owner goes on with its own term.
    #[default]
    Owner,
    /// A site takes over by itself. Refused during an obligation, to avoid duels.
    Takeover,
    /// An operator's grant.
    Grant,
    /// An operator's forced grant: no obligation counts.
    Force,
    /// An operator's revoke, and nothing but that.
    Revoke,
}

/// Whom an acceptor protects at this moment, for how long by its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obliged {
    /// The holder; `None` protects against everybody.
    pub owner: Option<MemberId>,
    /// Its term.
    pub term: Term,
    /// What is left, in milliseconds, rounded up; `None` has no end.
    pub left_ms: Option<u32>,
}

/// Why an acceptor refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// It has promised a higher ballot.
    Passed,
    /// It protects the holder.
    Obliged,
    /// The promise was for something else.
    Purpose,
    /// The ticket is on hold.
    OnHold,
    /// It has not got the value that is to be renewed.
    Missing,
    /// It does not vote.
    Mute,
    /// It does not know the ticket.
    UnknownTicket,
}

/// A refusal, with all that helps the proposer to do better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The highest ballot promised.
    pub promised: Ballot,
    /// The value that it has.
    pub accepted: Option<Accepted>,
    /// Whom it protects.
    pub obliged: Option<Obliged>,
}

/// One ticket of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Which ticket.
    pub ticket: TicketId,
    /// The counter of the holder's ballot.
    pub ballot: u64,
    /// The value that is renewed.
    pub seq: Seq,
}

/// What one member asks another to do for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Take the ticket. Names what the grant replaces.
    Grant {
        /// The term that it replaces.
        term: Term,
        /// The phase that it replaces.
        phase: PhaseKind,
        /// The number of revokes that it replaces.
        revokes: u32,
        /// Why by force, if so.
        force: Option<String>,
    },
    /// Hand your ticket over.
    Move {
        /// The term that is to be handed over.
        term: Term,
        /// To whom.
        to: MemberId,
    },
    /// Set standby on your ticket.
    Standby {
        /// The term that it is about.
        term: Term,
        /// Or take it off.
        on: bool,
    },
}

/// One thing that a member says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// I am here (said on connecting, and when there is nothing else to say).
    Hello,
    /// You are older than what I have seen of you: your memory was rolled back.
    Stale {
        /// The life that this is about.
        life: Life,
        /// The newest seen of it.
        seen: Seen,
        /// The newest incarnation seen of its store: if this life is an older one, it is over.
        incarnation: u32,
    },
    /// What is the newest that you have seen of me?
    SeenAsk,
    /// This is the newest that I have seen of you, in this run of mine or before.
    SeenTell {
        /// The life that this is about.
        life: Life,
        /// The newest seen of the runs before this one; `None` if I have seen none since I
        /// started.
        newest: Option<Seen>,
    },
    /// Promise me this ballot.
    Prepare {
        /// Which ticket.
        ticket: TicketId,
        /// The ballot.
        ballot: Ballot,
        /// What for.
        purpose: Purpose,
    },
    /// Promised; this is what I have.
    Promise {
        /// Which ticket.
        ticket: TicketId,
        /// The ballot promised.
        ballot: Ballot,
        /// The value that I have.
        accepted: Option<Accepted>,
        /// The highest term seen.
        max_term: Term,
        /// Whom I protect.
        obliged: Option<Obliged>,
    },
    /// Accept this value.
    Accept {
        /// Which ticket.
        ticket: TicketId,
        /// Its ballot, its number, itself.
        accepted: Accepted,
        /// What the ballot is for.
        purpose: Purpose,
        /// The place of the value that it was made from. A hold that is older binds nobody.
        replaces: Option<(Ballot, Seq)>,
        /// Whether this is the owner's own round and renews its lease.
        lease: bool,
        /// The term whose holder, the sender, confirms that nothing of it runs any more.
        release: Option<Term>,
    },
    /// Accepted and stored.
    Accepted {
        /// Which ticket.
        ticket: TicketId,
        /// Its ballot.
        ballot: Ballot,
        /// Its number.
        seq: Seq,
    },
    /// Not promised, or not accepted (then with the number).
    Refused {
        /// Which ticket.
        ticket: TicketId,
        /// Of which ballot.
        ballot: Ballot,
        /// Of which value.
        seq: Option<Seq>,
        /// Why.
        refusal: Refusal,
    },
    /// Renew my leases of this class.
    Renew {
        /// The class.
        class: LeaseClass,
        /// Which round of renewals; the answer repeats it.
        round: u32,
        /// Which part of the round.
        chunk: u16,
        /// The tickets.
        tickets: Vec<Renewal>,
    },
    /// Renewed, all but these.
    Renewed {
        /// The class.
        class: LeaseClass,
        /// Which round.
        round: u32,
        /// Which part of it.
        chunk: u16,
        /// Not these.
        refused: Vec<(TicketId, Refusal)>,
    },
    /// Nothing of this term of mine runs any more.
    Release {
        /// Which ticket.
        ticket: TicketId,
        /// Which term.
        term: Term,
    },
    /// What have you got?
    Query {
        /// Which ticket.
        ticket: TicketId,
        /// The asker's number of this question.
        query: u32,
    },
    /// This.
    Answer {
        /// Which ticket.
        ticket: TicketId,
        /// The asker's number of the question.
        query: u32,
        /// The value.
        accepted: Option<Accepted>,
        /// The highest term seen.
        max_term: Term,
        /// Whom I protect.
        obliged: Option<Obliged>,
    },
    /// News, unasked: the newest value that I know.
    Notice {
        /// Which ticket.
        ticket: TicketId,
        /// The value.
        accepted: Accepted,
        /// Whether my obligation to its owner is over.
        over: bool,
    },
    /// Do this for an operator.
    Ask {
        /// The asker's number of this request, unique within its run.
        request: u64,
        /// Which ticket.
        ticket: TicketId,
        /// What.
        ask: Ask,
        /// How long the operator still waits, in milliseconds.
        wait_ms: u32,
    },
    /// How it went, or how it goes.
    Told {
        /// The asker's number of the request.
        request: u64,
        /// How.
        outcome: Outcome,
    },
    /// Could you run what depends on this ticket?
    Check {
        /// Which ticket.
        ticket: TicketId,
        /// The asker's number of the question.
        check: u64,
    },
    /// This is what my cluster says.
    Checked {
        /// Which ticket.
        ticket: TicketId,
        /// The asker's number of the question.
        check: u64,
        /// Yes, or why not.
        result: Result<(), String>,
    },
    /// I have lost my memory. What have you got?
    RecoverAsk {
        /// The asker's number of the question.
        nonce: u64,
        /// Only records of tickets from this one on.
        from: TicketId,
    },
    /// These.
    RecoverTell {
        /// The asker's number of the question.
        nonce: u64,
        /// The first ticket asked for.
        from: TicketId,
        /// In order.
        records: Vec<TicketRecord>,
        /// Where to go on, if there are more.
        next: Option<TicketId>,
        /// The recovery epoch.
        recovery_epoch: u16,
    },
}

impl Part {
    /// About how many bytes it takes, rounded up: what fits a datagram is counted with it.
    #[must_use]
    pub fn weight(&self) -> usize {
        const VALUE: usize = 64;
        let of = |accepted: &Accepted| {
            let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            VALUE + text(&accepted.value.hold) + text(&accepted.value.forced)
        };
        let refusal = |refusal: &Refusal| 40 + refusal.accepted.as_ref().map_or(0, of);
        match self {
            Self::Hello | Self::SeenAsk => 1,
            Self::Stale { .. } | Self::SeenTell { .. } | Self::Release { .. } => 40,
            Self::Prepare { .. } | Self::Accepted { .. } | Self::Query { .. } => 24,
            Self::Check { .. } | Self::RecoverAsk { .. } => 24,
            Self::Promise { accepted, .. } | Self::Answer { accepted, .. } => {
                56 + accepted.as_ref().map_or(0, of)
            }
            Self::Accept { accepted, .. } | Self::Notice { accepted, .. } => 24 + of(accepted),
            Self::Refused {
                refusal: refused, ..
            } => 24 + refusal(refused),
            Self::Renew { tickets, .. } => 24 + tickets.len() * 12,
            Self::Renewed { refused, .. } => {
                24 + refused
                    .iter()
                    .map(|(_, refused)| 5 + refusal(refused))
                    .sum::<usize>()
            }
            Self::Ask { .. } => 96,
            Self::Told { .. } => 160,
            Self::Checked { result, .. } => 24 + result.as_ref().err().map_or(0, String::len),
            Self::RecoverTell { records, .. } => {
                let record = |record: &TicketRecord| 64 + record.accepted.as_ref().map_or(0, of);
                32 + records.iter().map(record).sum::<usize>()
            }
        }
    }
}
