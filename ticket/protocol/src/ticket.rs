//! What a member knows of one ticket: its own acceptor, its own proposals, its own grant.

use crate::acceptor::{Acceptor, Offer};
use crate::command::{Progress, Step};
use crate::config::TicketConfig;
use crate::effect::StopCause;
use crate::ids::{Ballot, MemberId, MemberSet, RequestId, Seq, StopId, Term, TicketId};
use crate::message::{Obliged, Purpose};
use crate::proposer::obliged_until;
use crate::time::Time;
use crate::value::{Accepted, PhaseKind, Transfer, Value};

#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: TicketId,
    pub(crate) config: TicketConfig,
    pub(crate) acceptor: Acceptor,
    /// The change of the memory that the acceptor's record depends on.
    pub(crate) changed_at: u64,
    /// The newest value heard of, chosen or not: a hint, never a basis for a grant.
    pub(crate) known: Option<Accepted>,
    /// When `known` was heard of.
    pub(crate) known_since: Time,
    /// The last ballot of ours that a majority promised: nothing older is news.
    pub(crate) read_at: Ballot,
    /// The highest ballot counter heard of.
    pub(crate) ballot_seen: u64,
    pub(crate) proposal: Proposal,
    /// The ballot whose last value was chosen by a round of ours: the next value needs no
    /// prepare.
    pub(crate) lead: Option<Lead>,
    /// Attempts since the last success.
    pub(crate) tries: u32,
    /// Who agreed to the last round that failed, and who refused.
    pub(crate) last_round: Option<(MemberSet, MemberSet)>,
    /// No new attempt before.
    pub(crate) retry_at: Time,
    pub(crate) holding: Holding,
    pub(crate) candidate: Option<Candidate>,
    /// This site's cluster could not run it: it does not take over by itself before.
    pub(crate) unfit_until: Time,
    pub(crate) job: Option<Job>,
    /// Who had the ticket that is being taken over.
    pub(crate) taken_from: Option<MemberId>,
    /// The move by which the present grant came here: where it goes back if it cannot start.
    pub(crate) came_by: Option<Transfer>,
    /// What the cluster said of a hold before it said what is held.
    pub(crate) hold_said: Option<Option<String>>,
    /// Of the last order to stop.
    pub(crate) stop_count: u64,
    /// What went wrong here last.
    pub(crate) trouble: Option<String>,
    /// Arbitrators: when the sites are told next that the obligation is over, and how often they
    /// were.
    pub(crate) kick: Option<(Time, u32)>,
    /// When this ticket needs attention without any input.
    pub(crate) wake: Time,
    /// It is in the list of those to be looked at.
    pub(crate) touched: bool,
}

impl Ticket {
    pub(crate) fn new(config: TicketConfig) -> Self {
        let id = config.name.id();
        Self {
            id,
            config,
            acceptor: Acceptor::new(id),
            changed_at: 0,
            known: None,
            known_since: Time::ZERO,
            read_at: Ballot::default(),
            ballot_seen: 0,
            proposal: Proposal::Idle,
            lead: None,
            tries: 0,
            last_round: None,
            retry_at: Time::ZERO,
            holding: Holding::None,
            candidate: None,
            unfit_until: Time::ZERO,
            job: None,
            taken_from: None,
            came_by: None,
            hold_said: None,
            stop_count: 0,
            trouble: None,
            kick: None,
            wake: Time::NEVER,
            touched: false,
        }
    }

    pub(crate) fn held(&self) -> Option<&Held> {
        match &self.holding {
            Holding::Held(held) => Some(held),
            _ => None,
        }
    }

    pub(crate) fn held_mut(&mut self) -> Option<&mut Held> {
        match &mut self.holding {
            Holding::Held(held) => Some(held),
            _ => None,
        }
    }

    pub(crate) fn known_value(&self) -> Option<&Value> {
        self.known.as_ref().map(|known| &known.value)
    }

    /// Whether the newest value known was neither accepted here nor found at a majority: it may
    /// have been lost with the only memory that had it.
    pub(crate) fn is_hearsay(&self) -> bool {
        let key = |known: &Accepted| Some((known.ballot, known.seq));
        let unread = |known: &&Accepted| known.ballot >= self.read_at;
        let known = self.known.as_ref().filter(unread);
        known.is_some_and(|known| key(known) > self.acceptor.accepted_key())
    }

    /// Term and phase as far as known.
    pub(crate) fn known_place(&self) -> (Term, PhaseKind) {
        place(self.known_value())
    }
}

/// Term and phase of a value: what a grant names as the thing that it replaces.
pub(crate) fn place(value: Option<&Value>) -> (Term, PhaseKind) {
    value.map_or((Term::NONE, PhaseKind::None), |value| {
        (value.term, value.phase.kind())
    })
}

/// A ballot of ours that a majority follows. It outlives a release: whoever had the ticket last gets
/// it back in one round. That is as safe as a holder's next value: the value that it is made from is
/// the last one chosen unless a majority has promised a higher ballot, and then none accepts; terms,
/// obligations, restarts and holds are judged where it is accepted.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    pub(crate) ballot: Ballot,
    pub(crate) purpose: Purpose,
    pub(crate) seq: Seq,
    pub(crate) value: Value,
    /// The place of the value that it was made from.
    pub(crate) replaces: Option<(Ballot, Seq)>,
}

/// What a proposal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A grant, with a new term.
    Acquire(Purpose),
    /// The holder goes on: with its ballot, or with what it wants changed.
    Own,
    /// The last holder has stopped everything.
    Release,
    /// The operator revokes.
    Revoke,
}

/// A round of ours.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) wish: Wish,
    pub(crate) ballot: Ballot,
    pub(crate) purpose: Purpose,
    /// The round's first send is not before this.
    pub(crate) base: Time,
    pub(crate) resend_at: Time,
    pub(crate) resends: u32,
    /// The change of the memory that has to be on disk before anything of it leaves.
    pub(crate) gate: u64,
    pub(crate) agreed: MemberSet,
    pub(crate) refused: MemberSet,
    /// When the obligations that refused, or were told in promises, end; one per member.
    pub(crate) obliged: Vec<(MemberId, Time)>,
    /// Who refused because of an obligation is asked again when that is over.
    pub(crate) again: Vec<(MemberId, Time)>,
}

impl Round {
    /// Notes an obligation that `from` told of. Who takes over is not hindered by what is owed to
    /// itself.
    pub(crate) fn note_obliged(
        &mut self,
        now: Time,
        me: MemberId,
        from: MemberId,
        obliged: &Obliged,
    ) {
        let takes_over = self.wish == Wish::Acquire(Purpose::Takeover);
        if !(takes_over && obliged.owner == Some(me)) {
            self.obliged.push((from, obliged_until(now, obliged)));
        }
    }

    /// When somebody who refused is to be asked again.
    pub(crate) fn again_at(&self) -> Time {
        let ends = self.again.iter().map(|&(_, until)| until);
        ends.min().unwrap_or(Time::NEVER)
    }

    /// Forgets the refusals whose obligations are over by now; whether there were any.
    pub(crate) fn forgive(&mut self, now: Time) -> bool {
        let before = self.again.len();
        let (refused, obliged) = (&mut self.refused, &mut self.obliged);
        self.again.retain(|&(member, until)| {
            let over = until <= now;
            if over {
                refused.remove(member);
                obliged.retain(|&(one, _)| one != member);
            }
            !over
        });
        self.again.len() < before
    }
}

/// ```text
///           wish               majority promised            majority accepted
///   Idle ---------> Preparing --------------------> Accepting ----------------> Idle, with a lead
///    |  ^              | refused, or too late          | refused, or too late    |
///    |  +--------------+-------------------------------+                         |
///    |      wish, with a lead                          ^                         |
///    +-------------------------------------------------+<------------------------+
/// ```
#[derive(Clone, Debug)]
pub(crate) enum Proposal {
    Idle,
    Preparing {
        round: Round,
        best: Option<Accepted>,
        max_term: Term,
    },
    Accepting {
        round: Round,
        offer: Offer,
    },
}

impl Proposal {
    pub(crate) fn round(&self) -> Option<&Round> {
        match self {
            Self::Idle => None,
            Self::Preparing { round, .. } | Self::Accepting { round, .. } => Some(round),
        }
    }

    pub(crate) fn round_mut(&mut self) -> Option<&mut Round> {
        match self {
            Self::Idle => None,
            Self::Preparing { round, .. } | Self::Accepting { round, .. } => Some(round),
        }
    }
}

/// ```text
///            start of a site            Recalled, deadline valid
///   Recalling <------ (process) ------------------------------+
///    |    \                                                   v
///    |     +--------------------------------------------->  Held <---- own round chosen -- None
///    |  nothing valid: leftovers withdrawn or stopped      |    |                           ^ ^
///    v                                                     |    +-- lapse, or lost ---------+ |
///   None      stop confirmed: never resumed from here on   |                                  |
///                               Releasing <----------------+                                  |
///                                   +------ release chosen, or another term ------------------+
/// ```
#[derive(Debug)]
pub(crate) enum Holding {
    None,
    /// A restarted site asks its cluster what is still held.
    Recalling {
        again_at: Time,
    },
    /// This site holds the ticket.
    Held(Box<Held>),
    /// Everything is stopped: the ticket is being handed back.
    Releasing(Releasing),
    /// Something of a term that is over may still run here: it is being stopped, and again at
    /// that time if it failed.
    Leftover {
        term: Term,
        stop: StopId,
        again_at: Time,
    },
}

/// A grant of this site.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) term: Term,
    /// The lease's end; `NEVER` for a manual ticket.
    pub(crate) deadline: Time,
    pub(crate) value: Value,
    /// The cluster has read the grant back.
    pub(crate) started: bool,
    /// A grant that the cluster has not read back by then has failed.
    pub(crate) start_by: Time,
    /// A resumed manual grant is told to the cluster once a majority has confirmed it.
    pub(crate) grant_due: bool,
    pub(crate) stop: Option<Stop>,
    /// Where the ticket goes after the stop.
    pub(crate) transfer: Option<Transfer>,
    pub(crate) hold_wanted: Option<String>,
    /// A majority agreed on the hold: the lease does not run out while it lasts.
    pub(crate) hold_agreed: bool,
    /// This run told the cluster so, and it does not enforce the deadline.
    pub(crate) hold_told: bool,
    pub(crate) standby_wanted: bool,
    pub(crate) revoke_wanted: bool,
    /// A lapsed lease that is kept only where the rule "a lapse is final" was removed.
    pub(crate) lapsed: bool,
}

impl Held {
    /// Whether the lease is renewed. Not while the ticket is given up: a stop that hangs must not
    /// keep the ticket for ever. A planned move keeps its lease and is rolled back instead.
    pub(crate) fn renews(&self) -> bool {
        !self.lapsed && !self.gives_up() && self.value.is_renewed()
    }

    /// Whether everything is being stopped for good.
    pub(crate) fn gives_up(&self) -> bool {
        let stop = self.stop.as_ref();
        stop.is_some_and(|stop| stop.cause != StopCause::Move)
    }

    /// Whether the ticket may not be released.
    pub(crate) fn on_hold(&self) -> bool {
        self.hold_wanted.is_some() || self.hold_agreed || self.value.hold.is_some()
    }
}

/// An order to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) id: StopId,
    pub(crate) cause: StopCause,
    pub(crate) confirmed: bool,
    /// A stop that failed is ordered again then.
    pub(crate) again_at: Time,
    /// How often it failed.
    pub(crate) failures: u32,
}

/// A release under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Releasing {
    pub(crate) term: Term,
    pub(crate) transfer: Option<Transfer>,
    pub(crate) revoked: bool,
}

/// A takeover planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Of which value.
    pub(crate) of: (Ballot, Seq),
    /// Not before.
    pub(crate) at: Time,
    /// The end of the own obligation when this was planned.
    pub(crate) after: Time,
}

/// Whose wish a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Local(RequestId),
    Remote {
        from: MemberId,
        run: u32,
        request: u64,
    },
}

/// An operator's command, carried out here. One per ticket at a time.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) origin: Origin,
    pub(crate) kind: JobKind,
    pub(crate) deadline: Time,
    pub(crate) step: Step,
    /// A value of this job left this member: whether it was agreed may be unknown.
    pub(crate) sent: bool,
    /// Not tried before (an old holder's lease runs).
    pub(crate) not_before: Time,
    /// If no majority has answered by then, whoever asked is told who is silent.
    pub(crate) overdue: Time,
    pub(crate) told: Option<Progress>,
}

#[derive(Debug)]
pub(crate) enum JobKind {
    Grant {
        term: Term,
        phase: PhaseKind,
        revokes: u32,
        /// It was asked for here and not read before: it replaces what the first majority has,
        /// if nobody holds that.
        open: bool,
        force: Option<String>,
    },
    Move {
        to: MemberId,
        check: u64,
        resend_at: Time,
        transfer: Option<Transfer>,
    },
    Standby {
        on: bool,
    },
    Revoke {
        /// The term that is being revoked, once agreed.
        agreed: Option<Term>,
        /// When every obligation is over at a majority; `NEVER` if nothing ends them.
        over_at: Time,
    },
}
