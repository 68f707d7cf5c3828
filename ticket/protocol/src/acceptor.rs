//! One ticket's register at one member.
//!
//! ```text
//!   prepare(b): b > promised  -> promised = b                          (durable, then answered)
//!   accept(b, s, v): b >= promised, (b, s) >= accepted, v allowed by the obligation
//!                             -> promised = b, accepted = (b, s, v)    (durable, then answered)
//!   renew(b, s): b >= promised, (b, s) = accepted -> obligation longer (in memory)
//!   release(term) by the holder of that term      -> obligation over
//! ```
//!
//! A register is only ever changed through these four, by the member itself as by its peers.

use crate::durable::{Owed, TicketRecord};
use crate::ids::{Ballot, MemberId, Seq, Term, TicketId};
use crate::message::{Obliged, Part, Purpose, Reason, Refusal};
use crate::obligation::{self, Obligation};
use crate::rules::Rules;
use crate::time::{Time, whole_millis};
use crate::value::{Accepted, Phase, Value};

/// What an acceptor needs to know of its member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) now: Time,
    pub(crate) rules: Rules,
    pub(crate) drift_ppm: u32,
    pub(crate) voting: bool,
    /// Until then no new term is accepted: this member restarted, and nobody has told it yet
    /// that nothing of its memory is missing.
    pub(crate) restart_until: Time,
    /// Until then not even the owner is answered: a peer that has seen more of this member than
    /// it remembers gets the time to say so.
    pub(crate) unsure_until: Time,
}

/// A value that a proposer wants accepted.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) from: MemberId,
    pub(crate) accepted: Accepted,
    pub(crate) purpose: Purpose,
    pub(crate) replaces: Option<(Ballot, Seq)>,
    pub(crate) lease: bool,
    pub(crate) release: Option<Term>,
}

impl Offer {
    /// As it travels.
    pub(crate) fn part(&self, ticket: TicketId) -> Part {
        Part::Accept {
            ticket,
            accepted: self.accepted.clone(),
            purpose: self.purpose,
            replaces: self.replaces,
            lease: self.lease,
            release: self.release,
        }
    }
}

/// Whether the durable part changed.
pub(crate) type Changed = bool;

#[derive(Clone, Debug)]
pub(crate) struct Acceptor {
    pub(crate) record: TicketRecord,
    pub(crate) obligation: Option<Obligation>,
}

impl Acceptor {
    pub(crate) fn new(ticket: TicketId) -> Self {
        Self {
            record: TicketRecord {
                ticket,
                promised: Ballot::default(),
                promised_for: Purpose::Owner,
                accepted: None,
                max_term: Term::NONE,
                owed: None,
                resigned: Term::NONE,
                hold_agreed: Term::NONE,
                lapsed: Term::NONE,
                forgotten: Ballot::default(),
            },
            obligation: None,
        }
    }

    pub(crate) fn accepted_key(&self) -> Option<(Ballot, Seq)> {
        self.record
            .accepted
            .as_ref()
            .map(|accepted| (accepted.ballot, accepted.seq))
    }

    fn value(&self) -> Option<&Value> {
        self.record
            .accepted
            .as_ref()
            .map(|accepted| &accepted.value)
    }

    /// Whom it protects now.
    pub(crate) fn obliged(&self, ctx: &Context) -> Option<Obliged> {
        let held = self
            .value()
            .filter(|value| value.hold.is_some() && value.is_held());
        if let Some(value) = held {
            return Some(Obliged {
                owner: Some(value.owner),
                term: value.term,
                left_ms: None,
            });
        }
        if let Some(obligation) = self.obligation.filter(|o| o.is_running(ctx.now)) {
            return Some(Obliged {
                owner: Some(obligation.owner),
                term: obligation.term,
                left_ms: obligation.left_ms(ctx.now),
            });
        }
        restarted(ctx)
    }

    /// Whether its member proposed this and it does not know of it. It stores whatever its member
    /// proposes before that leaves, so its memory was lost and nobody has noticed.
    pub(crate) fn has_forgotten(&self, me: MemberId, heard: &Accepted) -> bool {
        heard.ballot.member == me.0
            && heard.ballot.counter > self.record.forgotten.counter
            && Some((heard.ballot, heard.seq)) > self.accepted_key()
    }

    /// What `from` is told that is refused. Whom this acceptor protects is not kept waiting by
    /// that: where it is refused all the same, this member has restarted.
    pub(crate) fn refusal(&self, ctx: &Context, from: MemberId, reason: Reason) -> Refusal {
        let protects = self.obliged(ctx);
        let own = protects.is_some_and(|obliged| obliged.owner == Some(from));
        let obliged = if own && reason == Reason::Obliged {
            restarted(ctx)
        } else {
            protects
        };
        Refusal {
            reason,
            promised: self.record.promised,
            accepted: self.record.accepted.clone(),
            obliged,
        }
    }

    pub(crate) fn prepare(
        &mut self,
        ctx: &Context,
        from: MemberId,
        ballot: Ballot,
        purpose: Purpose,
    ) -> Result<Changed, Reason> {
        if !ctx.voting {
            return Err(Reason::Mute);
        }
        if ballot < self.record.promised {
            return Err(Reason::Passed);
        }
        if ballot == self.record.promised {
            return if purpose == self.record.promised_for {
                Ok(false)
            } else {
                Err(Reason::Purpose)
            };
        }
        let wait = match purpose {
            Purpose::Owner => ctx.unsure_until,
            Purpose::Force => Time::ZERO,
            _ => ctx.restart_until,
        };
        if ctx.now < wait {
            return Err(Reason::Obliged);
        }
        if purpose == Purpose::Takeover {
            // Not needed for safety, which is settled at accept: a holder whose ballot is passed
            // has to prepare again, so nobody should pass it in vain.
            // Neither hold nor manual ticket stops a promise: this acceptor may have missed their
            // end, and whoever takes over looks at what a majority has.
            match self.obliged(ctx) {
                Some(obliged) if obliged.left_ms.is_some() && obliged.owner != Some(from) => {
                    return Err(Reason::Obliged);
                }
                _ => {}
            }
        }
        self.record.promised = ballot;
        self.record.promised_for = purpose;
        Ok(true)
    }

    pub(crate) fn accept(&mut self, ctx: &Context, offer: Offer) -> Result<Changed, Reason> {
        if !ctx.voting {
            return Err(Reason::Mute);
        }
        let ballot = offer.accepted.ballot;
        if ballot < self.record.promised {
            return Err(Reason::Passed);
        }
        if ballot == self.record.promised && offer.purpose != self.record.promised_for {
            return Err(Reason::Purpose);
        }
        let repeated = match self.accepted_key() {
            Some((last, seq)) if last == ballot && ctx.rules.ballot_seq() => {
                if offer.accepted.seq < seq {
                    return Err(Reason::Passed);
                }
                offer.accepted.seq == seq
            }
            _ => false,
        };
        self.allowed(ctx, &offer)?;
        let owed = self.record.owed;
        self.oblige(ctx, &offer);
        if repeated {
            // Who read the value back after it had lost its memory owes nobody anything yet.
            return Ok(self.record.owed != owed);
        }
        self.record.promised = ballot;
        self.record.promised_for = offer.purpose;
        self.record.max_term = self.record.max_term.max(offer.accepted.value.term);
        self.record.accepted = Some(offer.accepted);
        Ok(true)
    }

    /// Whether hold, restart and obligation let this value in.
    fn allowed(&self, ctx: &Context, offer: &Offer) -> Result<(), Reason> {
        let value = &offer.accepted.value;
        if offer.purpose == Purpose::Revoke
            && !matches!(value.phase, Phase::Revoking | Phase::Revoked)
        {
            return Err(Reason::Purpose);
        }
        // Only the grant itself is forced; what its ballot is used for later is not.
        let forced = offer.purpose == Purpose::Force && value.phase == Phase::Granted;
        if forced && offer.accepted.seq == 1 {
            return Ok(());
        }
        // Values are made from what a majority has, and nobody but its holder, or force, ends a
        // hold or a manual grant: a value made from a newer one than this acceptor's shows that
        // it missed the end. Leases are different: they end by time alone.
        let missed = offer.replaces > self.accepted_key();
        let same_term = self.value().is_some_and(|last| last.term == value.term);
        if let Some(last) = self.value()
            && last.hold.is_some()
            && last.is_held()
            && !missed
            && !(same_term && (value.is_held() || offer.from == last.owner))
        {
            return Err(Reason::OnHold);
        }
        if ctx.now < ctx.restart_until && !same_term {
            return Err(Reason::Obliged);
        }
        let Some(obligation) = self.obligation.filter(|o| o.is_running(ctx.now)) else {
            return Ok(());
        };
        if !ctx.rules.obligation_at_accept() || (missed && obligation.until == Time::NEVER) {
            return Ok(());
        }
        let allowed = value.owner == obligation.owner
            && (value.is_held()
                || (offer.from == obligation.owner && offer.release == Some(obligation.term)));
        if allowed {
            Ok(())
        } else {
            Err(Reason::Obliged)
        }
    }

    /// What accepting the offer makes of the obligation.
    fn oblige(&mut self, ctx: &Context, offer: &Offer) {
        let value = &offer.accepted.value;
        if let Some(term) = offer.release {
            self.release(ctx.rules, offer.from, term);
        }
        if !ctx.rules.revoke_frees_nothing() && value.phase == Phase::Revoking {
            self.obligation = None;
            self.record.owed = None;
        }
        let own = offer.lease && offer.from == value.owner;
        if value.is_held() && (own || value.class.is_manual()) {
            self.extend(ctx, value);
        } else if !ctx.rules.obligation_maximum() {
            self.obligation = None;
            self.record.owed = None;
        }
    }

    fn extend(&mut self, ctx: &Context, value: &Value) {
        let span = obligation::span(value.class, ctx.drift_ppm, ctx.rules);
        let mut until = span.map_or(Time::NEVER, |span| ctx.now.after(span));
        let mut owed = Owed {
            owner: value.owner,
            term: value.term,
            span_ms: (!value.class.is_manual())
                .then(|| whole_millis(value.class.lease() + value.class.acquire_after())),
        };
        let same = self
            .obligation
            .filter(|o| o.owner == value.owner && o.is_running(ctx.now));
        if let (Some(last), true) = (same, ctx.rules.obligation_maximum()) {
            until = until.max(last.until);
            owed.term = owed.term.max(last.term);
            if let Some(before) = self
                .record
                .owed
                .filter(|before| before.owner == value.owner)
            {
                owed.span_ms = match (owed.span_ms, before.span_ms) {
                    (Some(new), Some(old)) => Some(new.max(old)),
                    _ => None,
                };
            }
        }
        self.record.owed = Some(owed);
        self.obligation = Some(Obligation {
            owner: value.owner,
            term: owed.term,
            until,
        });
    }

    /// The holder's lease goes on. Writes nothing, as a rule: whom the acceptor owes is on disk
    /// since the value was accepted, and a restarted acceptor counts the whole span again.
    pub(crate) fn renew(
        &mut self,
        ctx: &Context,
        from: MemberId,
        ballot: Ballot,
        seq: Seq,
    ) -> Result<Changed, Reason> {
        if !ctx.voting {
            return Err(Reason::Mute);
        }
        if ballot < self.record.promised {
            return Err(Reason::Passed);
        }
        match self.accepted_key() {
            Some(key) if key == (ballot, seq) => {}
            Some(key) if key > (ballot, seq) => return Err(Reason::Passed),
            _ => return Err(Reason::Missing),
        }
        let Some(accepted) = self.record.accepted.take() else {
            return Err(Reason::Missing);
        };
        let before = self.record.owed;
        let own = accepted.value.owner == from && accepted.value.is_renewed();
        if own {
            self.extend(ctx, &accepted.value);
        }
        self.record.accepted = Some(accepted);
        if own {
            Ok(before != self.record.owed)
        } else {
            Err(Reason::Passed)
        }
    }

    /// A manual ticket's holder is protected without an end, so also by a member that lost its
    /// memory and read the register back. (Leases of before the loss are over.)
    pub(crate) fn protect_manual(&mut self) {
        let Some(value) = self.value().filter(|value| value.is_held()) else {
            return;
        };
        if value.class.is_manual() {
            let (owner, term) = (value.owner, value.term);
            self.record.owed = Some(Owed {
                owner,
                term,
                span_ms: None,
            });
            self.obligation = Some(Obligation {
                owner,
                term,
                until: Time::NEVER,
            });
        }
    }

    /// The holder of this term confirms that nothing of it runs any more.
    pub(crate) fn release(&mut self, rules: Rules, from: MemberId, term: Term) -> Changed {
        let that_term = |owed: Term| owed == term || !rules.release_only_that_term();
        if self
            .obligation
            .is_some_and(|o| o.owner == from && that_term(o.term))
        {
            self.obligation = None;
        }
        if self
            .record
            .owed
            .is_some_and(|o| o.owner == from && that_term(o.term))
        {
            self.record.owed = None;
            return true;
        }
        false
    }
}

/// A restarted member protects everybody from everybody, until nothing it may have forgotten
/// matters.
fn restarted(ctx: &Context) -> Option<Obliged> {
    let until = ctx.restart_until.max(ctx.unsure_until);
    (ctx.now < until).then(|| Obliged {
        owner: None,
        term: Term::NONE,
        left_ms: Some(whole_millis(until.since(ctx.now))),
    })
}

#[cfg(test)]
mod tests;
