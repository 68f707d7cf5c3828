//! A member as a proposer: rounds, their answers, their failures. The states are drawn at
//! [`Proposal`].

use std::time::Duration;

use crate::acceptor::Offer;
use crate::ids::{Ballot, MemberId, MemberSet, Seq, Term, TicketId};
use crate::message::{Obliged, Part, Purpose, Reason, Refusal};
use crate::participant::Participant;
use crate::ticket::{Holding, Lead, Proposal, Round, Wish};
use crate::time::Time;
use crate::value::{Accepted, Value};

/// What a round is to make of a register.
pub(crate) struct Change {
    pub(crate) value: Value,
    /// Whether it renews the owner's lease.
    pub(crate) lease: bool,
    pub(crate) release: Option<Term>,
}

/// An obligation that is said to be over at once is not asked about more often than this.
const ASK_AGAIN_MIN: Duration = Duration::from_millis(5);

/// Failed attempts double the back-off this often: 64 times the first.
const BACK_OFF_DOUBLINGS: u32 = 6;

impl Participant {
    /// Looks at everything that may be due for ticket `t`.
    pub(crate) fn advance(&mut self, t: usize) {
        self.advance_holding(t);
        self.advance_round(t);
        self.advance_job(t);
        self.advance_candidate(t);
        if !matches!(self.tickets[t].proposal, Proposal::Idle)
            || self.now < self.tickets[t].retry_at
            || !self.memory.voting
        {
            return;
        }
        if let Some(wish) = self.wish(t) {
            self.propose(t, wish);
        }
    }

    /// What this member wants of the register now, if anything.
    pub(crate) fn wish(&self, t: usize) -> Option<Wish> {
        let ticket = &self.tickets[t];
        match &ticket.holding {
            Holding::Recalling { .. } | Holding::Leftover { .. } => None,
            Holding::Releasing(_) => Some(Wish::Release),
            Holding::Held(held) if held.lapsed => None,
            Holding::Held(held) => match &ticket.lead {
                None => Some(Wish::Own),
                Some(lead) => {
                    let change = self.own_change(held, &lead.value)?;
                    (change.value != lead.value).then_some(Wish::Own)
                }
            },
            Holding::None => self.job_wish(t).or_else(|| self.candidate_wish(t)),
        }
        .or_else(|| self.revoke_wish(t))
    }

    fn propose(&mut self, t: usize, wish: Wish) {
        // With a lead the value that a majority has is known, and the next may follow at once.
        if let Some(lead) = self.tickets[t]
            .lead
            .clone()
            .filter(|_| self.may_follow(t, wish))
        {
            let (ballot, purpose, last) = (lead.ballot, lead.purpose, lead.seq);
            let (value, highest) = (lead.value, self.highest_term(t));
            match self.change(t, wish, Some(&value), highest) {
                Some(change) => {
                    let place = (ballot, last + 1);
                    let offer = self.offer(place, purpose, Some((ballot, last)), change);
                    self.start_accept(t, wish, offer);
                }
                None => self.wish_gone(t, wish),
            }
            return;
        }
        let purpose = match wish {
            Wish::Acquire(purpose) => purpose,
            Wish::Own | Wish::Release => Purpose::Owner,
            Wish::Revoke => Purpose::Revoke,
        };
        self.start_prepare(t, wish, purpose);
    }

    /// Whether a wish needs no prepare: this member's last ballot still leads, and was promised for
    /// that. A site that released its ticket gets it back in one round, unless somebody has come in
    /// between: then no majority accepts. (A takeover asks first, so that it passes nobody in vain.)
    fn may_follow(&self, t: usize, wish: Wish) -> bool {
        let ticket = &self.tickets[t];
        let Some(lead) = &ticket.lead else {
            return false;
        };
        match wish {
            Wish::Own | Wish::Release => true,
            Wish::Acquire(Purpose::Grant) => {
                // What is proposed without a promise can no longer be taken back: not where it is
                // known that there is no majority.
                let connected = self.peers.iter().filter(|peer| peer.connected).count();
                let majority = connected + 1 >= self.config.majority();
                let leads = ticket.acceptor.record.promised == lead.ballot;
                let free = lead.purpose != Purpose::Revoke && !lead.value.is_held();
                majority && leads && free
            }
            Wish::Acquire(_) | Wish::Revoke => false,
        }
    }

    /// The highest term that this member knows of.
    fn highest_term(&self, t: usize) -> Term {
        let ticket = &self.tickets[t];
        ticket.acceptor.record.max_term.max(ticket.known_place().0)
    }

    fn round(&self, wish: Wish, ballot: Ballot, purpose: Purpose, gate: u64) -> Round {
        Round {
            wish,
            ballot,
            purpose,
            base: self.now,
            resend_at: self.now.after(self.resend_after(0)),
            resends: 0,
            gate,
            agreed: MemberSet::default(),
            refused: MemberSet::default(),
            obliged: Vec::new(),
            again: Vec::new(),
        }
    }

    fn start_prepare(&mut self, t: usize, wish: Wish, purpose: Purpose) {
        let ctx = self.context();
        let me = self.me;
        let own_first = ctx.rules.own_acceptor_first();
        let ticket = &mut self.tickets[t];
        let seen = ticket
            .ballot_seen
            .max(ticket.acceptor.record.promised.counter);
        let ballot = Ballot {
            counter: seen + 1,
            member: me.0,
        };
        ticket.ballot_seen = ballot.counter;
        ticket.lead = None;
        // The own acceptor promises first, and durably: whatever this ballot becomes, one memory
        // keeps it that is not the memory of a voter that may be lost.
        match ticket.acceptor.prepare(&ctx, me, ballot, purpose) {
            Ok(_) => self.record_changed(t),
            Err(reason) => return self.not_even_own(t, wish, reason),
        }
        let gate = if own_first {
            self.tickets[t].changed_at
        } else {
            0
        };
        let mut round = self.round(wish, ballot, purpose, gate);
        round.obliged = Vec::with_capacity(self.peers.len() + 1);
        let (best, max_term) = (None, Term::NONE);
        self.tickets[t].proposal = Proposal::Preparing {
            round,
            best,
            max_term,
        };
        let own = self.promise(t, ballot);
        self.send_stored(gate, me, own);
        self.send_round(t);
    }

    fn offer(
        &self,
        (ballot, seq): (Ballot, Seq),
        purpose: Purpose,
        replaces: Option<(Ballot, Seq)>,
        change: Change,
    ) -> Offer {
        let Change {
            value,
            lease,
            release,
        } = change;
        let accepted = Accepted { ballot, seq, value };
        Offer {
            from: self.me,
            accepted,
            purpose,
            replaces,
            lease,
            release,
        }
    }

    fn start_accept(&mut self, t: usize, wish: Wish, offer: Offer) {
        let ctx = self.context();
        let me = self.me;
        let own_first = ctx.rules.own_acceptor_first();
        let (ballot, seq, id) = (
            offer.accepted.ballot,
            offer.accepted.seq,
            self.tickets[t].id,
        );
        match self.tickets[t].acceptor.accept(&ctx, offer.clone()) {
            Ok(_) => self.record_changed(t),
            Err(reason) => return self.not_even_own(t, wish, reason),
        }
        self.learn(t, offer.accepted.clone());
        let gate = if own_first {
            self.tickets[t].changed_at
        } else {
            0
        };
        let round = self.round(wish, ballot, offer.purpose, gate);
        let own = Part::Accepted {
            ticket: id,
            ballot,
            seq,
        };
        self.note_sent(t);
        self.tickets[t].proposal = Proposal::Accepting { round, offer };
        self.send_stored(gate, me, own);
        self.send_round(t);
    }

    /// Sends the round to all who have not answered, once the own acceptor's part is on disk.
    fn send_round(&mut self, t: usize) {
        let ticket = &self.tickets[t];
        let id = ticket.id;
        let Some(round) = ticket.proposal.round() else {
            return;
        };
        let (gate, agreed, refused) = (round.gate, round.agreed, round.refused);
        let part = match &ticket.proposal {
            Proposal::Idle => return,
            Proposal::Preparing { round, .. } => Part::Prepare {
                ticket: id,
                ballot: round.ballot,
                purpose: round.purpose,
            },
            Proposal::Accepting { offer, .. } => offer.part(id),
        };
        let release = match &ticket.proposal {
            Proposal::Accepting { offer, .. } => offer.release,
            _ => None,
        };
        for p in 0..self.peers.len() {
            let to = self.peers[p].id;
            if agreed.contains(to) || refused.contains(to) {
                continue;
            }
            if let Some(term) = release {
                // A release is a fact, whatever becomes of the value that says so.
                self.send_stored(gate, to, Part::Release { ticket: id, term });
            }
            self.send_stored(gate, to, part.clone());
        }
    }

    /// Sends a round again, or gives it up.
    fn advance_round(&mut self, t: usize) {
        let (now, lifetime) = (self.now, self.lifetime);
        let Some(round) = self.tickets[t].proposal.round() else {
            return;
        };
        if now >= round.base.after(lifetime) {
            return self.attempt_failed(t, Reason::Mute);
        }
        if self.grant_overtaken(t) {
            return self.attempt_failed(t, Reason::Passed);
        }
        let Some(round) = self.tickets[t].proposal.round_mut() else {
            return;
        };
        let forgiven = round.forgive(now);
        if now < round.resend_at && !forgiven {
            return;
        }
        let (gate, resends) = (round.gate, round.resends + 1);
        let again = self.resend_after(resends);
        if let Some(round) = self.tickets[t].proposal.round_mut() {
            round.resends = resends;
            round.resend_at = now.after(again);
        }
        // Before that the first copy has not left yet.
        if gate <= self.memory.stored {
            self.send_round(t);
        }
    }

    pub(crate) fn on_promise(
        &mut self,
        from: MemberId,
        ticket: TicketId,
        ballot: Ballot,
        accepted: Option<Accepted>,
        max_term: Term,
        obliged: Option<Obliged>,
    ) {
        let (now, majority, by_seq) = (
            self.now,
            self.config.majority(),
            self.config.rules.ballot_seq(),
        );
        let (late, me) = (self.lifetime, self.me);
        let Some(t) = self.ticket_index(ticket) else {
            return;
        };
        let Proposal::Preparing {
            round,
            best,
            max_term: highest,
        } = &mut self.tickets[t].proposal
        else {
            return;
        };
        if round.ballot != ballot || now >= round.base.after(late) || round.agreed.contains(from) {
            return;
        }
        round.agreed.insert(from);
        if let Some(obliged) = obliged {
            round.note_obliged(now, me, from, &obliged);
        }
        *highest = (*highest).max(max_term);
        if let Some(accepted) = accepted {
            let newer = best.as_ref().is_none_or(|best| {
                if by_seq {
                    (accepted.ballot, accepted.seq) > (best.ballot, best.seq)
                } else {
                    accepted.ballot > best.ballot
                }
            });
            if newer {
                *best = Some(accepted);
            }
        }
        if round.agreed.len() >= majority {
            self.prepared(t);
        }
    }

    /// A majority promised: what it has is the value to start from.
    fn prepared(&mut self, t: usize) {
        let proposal = std::mem::replace(&mut self.tickets[t].proposal, Proposal::Idle);
        let Proposal::Preparing {
            round,
            best,
            max_term,
        } = proposal
        else {
            return;
        };
        let highest = max_term.max(self.highest_term(t));
        self.note_obliged(t, &round);
        let waits = round.wish == Wish::Acquire(Purpose::Grant) && self.free_at(&round) > self.now;
        if waits && self.config.rules.obligation_at_accept() {
            // They would refuse the value.
            self.tickets[t].proposal = Proposal::Preparing {
                round,
                best: None,
                max_term: Term::NONE,
            };
            return self.attempt_failed(t, Reason::Obliged);
        }
        let change = self.change(
            t,
            round.wish,
            best.as_ref().map(|best| &best.value),
            highest,
        );
        let replaces = best.as_ref().map(|best| (best.ballot, best.seq));
        self.learn_majority(t, round.ballot, best);
        self.touch(t);
        match change {
            Some(change) => {
                let offer = self.offer((round.ballot, 1), round.purpose, replaces, change);
                self.start_accept(t, round.wish, offer);
            }
            None => self.wish_gone(t, round.wish),
        }
    }

    pub(crate) fn on_accepted(
        &mut self,
        from: MemberId,
        ticket: TicketId,
        ballot: Ballot,
        seq: Seq,
    ) {
        let (now, majority, late) = (self.now, self.config.majority(), self.lifetime);
        let Some(t) = self.ticket_index(ticket) else {
            return;
        };
        let Proposal::Accepting { round, offer } = &mut self.tickets[t].proposal else {
            return;
        };
        let place = (offer.accepted.ballot, offer.accepted.seq);
        if place != (ballot, seq) || now >= round.base.after(late) {
            return;
        }
        round.agreed.insert(from);
        if round.agreed.len() < majority {
            return;
        }
        if self.grant_overtaken(t) {
            return self.attempt_failed(t, Reason::Passed);
        }
        let proposal = std::mem::replace(&mut self.tickets[t].proposal, Proposal::Idle);
        let Proposal::Accepting { round, offer } = proposal else {
            return;
        };
        let Offer {
            accepted,
            replaces,
            lease,
            ..
        } = offer;
        let ticket = &mut self.tickets[t];
        ticket.tries = 0;
        ticket.retry_at = now;
        let (purpose, value) = (round.purpose, accepted.value.clone());
        ticket.lead = Some(Lead {
            ballot,
            purpose,
            seq,
            value,
            replaces,
        });
        self.learn(t, accepted.clone());
        self.touch(t);
        let base = if self.config.rules.lease_from_send() {
            round.base
        } else {
            now
        };
        self.on_chosen(t, round.wish, &accepted, lease.then_some(base));
    }

    /// Whether a grant that is being agreed here has a successor already: somebody completed it
    /// and went on, as a revoke does. Late answers would still make a majority of it, and they
    /// would be no lie, but nothing may start under a term that this member knows is revoked.
    fn grant_overtaken(&self, t: usize) -> bool {
        let ticket = &self.tickets[t];
        let Proposal::Accepting { round, offer } = &ticket.proposal else {
            return false;
        };
        let place = (offer.accepted.ballot, offer.accepted.seq);
        let newer = |known: &Accepted| (known.ballot, known.seq) > place;
        matches!(round.wish, Wish::Acquire(_)) && ticket.known.as_ref().is_some_and(newer)
    }

    pub(crate) fn on_refused(
        &mut self,
        from: MemberId,
        ticket: TicketId,
        ballot: Ballot,
        seq: Option<Seq>,
        refusal: Refusal,
    ) {
        let (now, me, voters) = (self.now, self.me, self.peers.len() + 1);
        let majority = self.config.majority();
        let Some(t) = self.ticket_index(ticket) else {
            return;
        };
        let ticket = &mut self.tickets[t];
        ticket.ballot_seen = ticket.ballot_seen.max(refusal.promised.counter);
        let reason = refusal.reason;
        let mut failed = false;
        let same_step = match &ticket.proposal {
            Proposal::Idle => false,
            Proposal::Preparing { .. } => seq.is_none(),
            Proposal::Accepting { offer, .. } => seq == Some(offer.accepted.seq),
        };
        if let Some(round) = ticket.proposal.round_mut()
            && round.ballot == ballot
            && same_step
            && !round.agreed.contains(from)
            && !round.refused.contains(from)
        {
            round.refused.insert(from);
            if let Some(obliged) = refusal.obliged {
                round.note_obliged(now, me, from, &obliged);
                let until = obliged_until(now, &obliged);
                if reason == Reason::Obliged && until != Time::NEVER {
                    round
                        .again
                        .push((from, until.max(now.after(ASK_AGAIN_MIN))));
                }
            }
            failed = voters - round.refused.len() < majority;
        }
        if let Some(accepted) = refusal.accepted {
            self.learn(t, accepted);
        }
        if failed {
            self.attempt_failed(t, reason);
        }
        self.touch(t);
    }

    /// The own acceptor refuses, so nothing is proposed.
    fn not_even_own(&mut self, t: usize, wish: Wish, reason: Reason) {
        let ballot = self.tickets[t].acceptor.record.promised;
        let mut round = self.round(wish, ballot, Purpose::Owner, 0);
        if let Some(obliged) = self.tickets[t].acceptor.obliged(&self.context()) {
            round.note_obliged(self.now, self.me, self.me, &obliged);
        }
        self.tickets[t].proposal = Proposal::Preparing {
            round,
            best: None,
            max_term: Term::NONE,
        };
        self.attempt_failed(t, reason);
    }

    /// A round came to nothing: try again later, if it is still wanted then.
    pub(crate) fn attempt_failed(&mut self, t: usize, reason: Reason) {
        let proposal = std::mem::replace(&mut self.tickets[t].proposal, Proposal::Idle);
        let Some(round) = proposal.round() else {
            return;
        };
        self.note_obliged(t, round);
        let ticket = &mut self.tickets[t];
        ticket.lead = None;
        ticket.last_round = Some((round.agreed, round.refused));
        let tries = ticket.tries;
        ticket.tries = tries.saturating_add(1);
        let pause = self.back_off(tries);
        self.tickets[t].retry_at = self.now.after(pause);
        self.candidate_failed(t, round, reason);
        self.touch(t);
    }

    /// Random, so that two who want the same do not meet again; short at first, because a holder
    /// whose ballot was passed has only its lease to get above it.
    fn back_off(&mut self, tries: u32) -> Duration {
        let first = self.resend_after(0);
        let span = first * (1 << tries.min(BACK_OFF_DOUBLINGS));
        let most = self.config.round_timeout * 4;
        let span = span.min(most);
        span / 2 + self.random.up_to(span)
    }
}

/// Until when an acceptor is obliged, on this member's clock: not earlier than on its own, as it
/// told what was left before now.
pub(crate) fn obliged_until(now: Time, obliged: &Obliged) -> Time {
    obliged.left_ms.map_or(Time::NEVER, |ms| {
        now.after(Duration::from_millis(u64::from(ms)))
    })
}
