//! One acceptor alone, as its member drives it, for the model checker: it exists only in the
//! package that the simulator builds (feature `weaken`).

use std::time::Duration;

use crate::acceptor::{Acceptor, Context, Offer};
use crate::durable::TicketRecord;
use crate::ids::{Ballot, MemberId, Term, TicketId};
use crate::message::Part;
use crate::obligation;
use crate::recovery::adopt_into;
use crate::rules::Rules;
use crate::time::{Time, stretched};

/// An acceptor of one ticket. What it is told it has on disk at once.
#[derive(Clone, Debug)]
pub struct Voter {
    me: MemberId,
    rules: Rules,
    drift_ppm: u32,
    /// The longest lease and its acquire-after.
    longest: Duration,
    acceptor: Acceptor,
    voting: bool,
    restart_until: Time,
}

impl Voter {
    /// One that has never run.
    #[must_use]
    pub fn new(
        me: MemberId,
        ticket: TicketId,
        rules: Rules,
        drift_ppm: u32,
        longest: Duration,
    ) -> Self {
        Self {
            me,
            rules,
            drift_ppm,
            longest,
            acceptor: Acceptor::new(ticket),
            voting: true,
            restart_until: Time::ZERO,
        }
    }

    /// What it has on disk.
    #[must_use]
    pub fn record(&self) -> &TicketRecord {
        &self.acceptor.record
    }

    /// Whether it votes.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.voting
    }

    /// The rest of its state, as numbers: the obligation's owner, term and end, the restart's end.
    #[must_use]
    pub fn memory(&self) -> (u16, Term, Time, Time) {
        let none = (u16::MAX, Term::NONE, Time::ZERO);
        let obligation = self.acceptor.obligation;
        let (owner, term, until) = obligation.map_or(none, |o| (o.owner.0, o.term, o.until));
        (owner, term, until, self.restart_until)
    }

    fn context(&self, now: Time) -> Context {
        Context {
            now,
            rules: self.rules,
            drift_ppm: self.drift_ppm,
            voting: self.voting,
            restart_until: self.restart_until,
            unsure_until: Time::ZERO,
        }
    }

    /// Hears a part of a datagram and answers it; `None` if there is nothing to say.
    pub fn hear(&mut self, now: Time, from: MemberId, part: &Part) -> Option<Part> {
        let ctx = self.context(now);
        let acceptor = &mut self.acceptor;
        let ticket = acceptor.record.ticket;
        match part {
            Part::Prepare {
                ballot, purpose, ..
            } => match acceptor.prepare(&ctx, from, *ballot, *purpose) {
                Ok(_) => Some(Part::Promise {
                    ticket,
                    ballot: *ballot,
                    accepted: acceptor.record.accepted.clone(),
                    max_term: acceptor.record.max_term,
                    obliged: acceptor.obliged(&ctx),
                }),
                Err(_) => None,
            },
            Part::Accept {
                accepted,
                purpose,
                replaces,
                lease,
                release,
                ..
            } => {
                let offer = Offer {
                    from,
                    accepted: accepted.clone(),
                    purpose: *purpose,
                    replaces: *replaces,
                    lease: *lease,
                    release: *release,
                };
                let (ballot, seq) = (accepted.ballot, accepted.seq);
                acceptor.accept(&ctx, offer).ok()?;
                Some(Part::Accepted {
                    ticket,
                    ballot,
                    seq,
                })
            }
            Part::Release { term, .. } => {
                acceptor.release(self.rules, from, *term);
                None
            }
            _ => None,
        }
    }

    /// The holder renews; whether this counts.
    pub fn renew(&mut self, now: Time, from: MemberId, ballot: Ballot, seq: u32) -> bool {
        let ctx = self.context(now);
        self.acceptor.renew(&ctx, from, ballot, seq).is_ok()
    }

    /// Its process starts again, with its memory.
    pub fn restart(&mut self, now: Time) {
        let (rules, longest, drift) = (self.rules, self.longest, self.drift_ppm);
        let record = self.acceptor.record.clone();
        let obligation = record
            .owed
            .map(|owed| obligation::restarted(owed, longest, drift, rules, now));
        self.acceptor = Acceptor { record, obligation };
        if rules.wait_after_restart() {
            self.restart_until = now.after(stretched(longest, drift));
        }
    }

    /// Its process starts again, without its memory. Returns when it may begin to read.
    pub fn lose(&mut self, now: Time) -> Time {
        let ticket = self.acceptor.record.ticket;
        let (me, rules, drift, longest) = (self.me, self.rules, self.drift_ppm, self.longest);
        *self = Self::new(me, ticket, rules, drift, longest);
        self.voting = false;
        if rules.wait_after_lost_memory() {
            now.after(stretched(longest, drift))
        } else {
            now
        }
    }

    /// Takes over what another voter has, if that is greater.
    pub fn adopt(&mut self, told: TicketRecord) {
        adopt_into(&mut self.acceptor.record, told);
    }

    /// It votes again.
    pub fn recovered(&mut self) {
        self.voting = true;
    }
}
