//! Renewals: all tickets of one lease class that this site holds share one schedule, one round
//! and one deadline.
//!
//! ```text
//!   idle --every renew-every--> round sent --majority for every ticket--> idle
//!                                 |  ^ no answer within a round trip: sent again, as a fresh
//!                                 +--+ datagram; the deadline counts from the first one
//! ```
//!
//! A round is one datagram per hundred tickets and peer, and its answer. Nothing is written.

use std::time::Duration;

use crate::ids::{MemberId, MemberSet, TicketId};
use crate::message::{Part, Reason, Refusal, Renewal};
use crate::participant::Participant;
use crate::time::Time;
use crate::value::{Accepted, LeaseClass};

/// A ticket takes up to ten bytes of a renewal: so many fit a datagram.
const CHUNK: usize = 80;

#[derive(Debug)]
pub(crate) struct ClassLease {
    pub(crate) class: LeaseClass,
    every: Duration,
    next_at: Time,
    number: u32,
    pub(crate) round: Option<RenewalRound>,
}

#[derive(Debug)]
pub(crate) struct RenewalRound {
    base: Time,
    resend_at: Time,
    resends: u32,
    /// Ticket, what is renewed, who agreed.
    entries: Vec<(usize, Renewal, MemberSet)>,
    /// Who answered each chunk.
    answered: Vec<MemberSet>,
    /// Tickets without a majority.
    open: usize,
}

impl RenewalRound {
    /// A member lost its memory: what it renewed counts no more.
    pub(crate) fn forget(&mut self, member: MemberId) {
        for (_, _, agreed) in &mut self.entries {
            agreed.remove(member);
        }
    }
}

impl Participant {
    /// This site holds ticket `t`: its class is renewed from now on.
    pub(crate) fn lease_class_used(&mut self, t: usize) {
        let config = &self.tickets[t].config;
        let every = config.renew_every;
        let Some(class) = self.tickets[t].held().map(|held| held.value.class) else {
            return;
        };
        if class.is_manual() {
            return;
        }
        // A class that is not (or no longer) configured here is renewed all the same.
        let every = if every.is_zero() {
            class.lease() / 3
        } else {
            every.min(class.lease() / 2)
        };
        let first = self.now.after(every);
        match self.leases.iter_mut().find(|lease| lease.class == class) {
            Some(lease) => {
                lease.every = lease.every.min(every);
                lease.next_at = lease.next_at.min(first);
            }
            None => self.leases.push(ClassLease {
                class,
                every,
                next_at: first,
                number: 0,
                round: None,
            }),
        }
    }

    pub(crate) fn lease_timeout(&self) -> Time {
        let due = |lease: &ClassLease| {
            let resend = lease.round.as_ref().filter(|round| round.open > 0);
            lease
                .next_at
                .min(resend.map_or(Time::NEVER, |round| round.resend_at))
        };
        self.leases.iter().map(due).min().unwrap_or(Time::NEVER)
    }

    pub(crate) fn run_leases(&mut self) {
        for l in 0..self.leases.len() {
            if self.now >= self.leases[l].next_at {
                self.start_renewal(l);
            } else if let Some(round) = &self.leases[l].round
                && round.open > 0
                && self.now >= round.resend_at
            {
                let resends = round.resends + 1;
                let again = self.resend_after(resends);
                if let Some(round) = &mut self.leases[l].round {
                    round.resends = resends;
                    round.resend_at = self.now.after(again);
                }
                self.send_renewal(l);
            }
        }
    }

    fn start_renewal(&mut self, l: usize) {
        let class = self.leases[l].class;
        let mut entries = Vec::new();
        let mut used = false;
        for t in 0..self.tickets.len() {
            let Some(held) = self.tickets[t].held() else {
                continue;
            };
            if held.value.class != class || held.lapsed {
                continue;
            }
            used = true;
            let in_time = self.now < held.deadline || held.hold_agreed;
            if held.renews() && in_time {
                self.renew_own(t, &mut entries);
            }
        }
        let again = self.resend_after(0);
        let lease = &mut self.leases[l];
        lease.next_at = if used {
            self.now.after(lease.every)
        } else {
            Time::NEVER
        };
        lease.number = lease.number.wrapping_add(1);
        lease.round = (!entries.is_empty()).then(|| RenewalRound {
            base: self.now,
            resend_at: self.now.after(again),
            resends: 0,
            answered: vec![MemberSet::default(); entries.len().div_ceil(CHUNK)],
            open: entries.len(),
            entries,
        });
        if self.config.majority() == 1 {
            self.renewed_alone(l);
        } else {
            self.send_renewal(l);
        }
    }

    /// The own acceptor renews first, in memory.
    fn renew_own(&mut self, t: usize, entries: &mut Vec<(usize, Renewal, MemberSet)>) {
        let ctx = self.context();
        let me = self.me;
        let ticket = &mut self.tickets[t];
        let Some(lead) = &ticket.lead else { return };
        let (ballot, seq) = (lead.ballot, lead.seq);
        match ticket.acceptor.renew(&ctx, me, ballot, seq) {
            Ok(changed) => {
                let mut agreed = MemberSet::default();
                agreed.insert(me);
                let renewal = Renewal {
                    ticket: ticket.id,
                    ballot: ballot.counter,
                    seq,
                };
                entries.push((t, renewal, agreed));
                if changed {
                    self.record_changed(t);
                }
            }
            // A change is being agreed: that round renews the lease as well.
            Err(_) if ticket.proposal.round().is_some() => {}
            Err(_) => {
                ticket.lead = None;
                self.touch(t);
            }
        }
    }

    fn renewed_alone(&mut self, l: usize) {
        let Some(round) = &mut self.leases[l].round else {
            return;
        };
        round.open = 0;
        let base = round.base;
        let all: Vec<usize> = round.entries.iter().map(|&(t, _, _)| t).collect();
        for t in all {
            self.extend_lease(t, base);
        }
    }

    /// Sends every chunk to everybody who has not answered it.
    fn send_renewal(&mut self, l: usize) {
        let lease = &self.leases[l];
        let (class, number) = (lease.class, lease.number);
        let Some(round) = &lease.round else { return };
        let chunks: Vec<Vec<Renewal>> = round
            .entries
            .chunks(CHUNK)
            .map(|chunk| chunk.iter().map(|&(_, renewal, _)| renewal).collect())
            .collect();
        let answered = round.answered.clone();
        for p in 0..self.peers.len() {
            let to = self.peers[p].id;
            for (c, tickets) in chunks.iter().enumerate() {
                if answered[c].contains(to) {
                    continue;
                }
                let chunk = u16::try_from(c).unwrap_or(u16::MAX);
                let tickets = tickets.clone();
                self.send(
                    to,
                    Part::Renew {
                        class,
                        round: number,
                        chunk,
                        tickets,
                    },
                );
            }
        }
    }

    pub(crate) fn on_renewed(
        &mut self,
        from: MemberId,
        class: LeaseClass,
        number: u32,
        chunk: u16,
        refused: Vec<(TicketId, Refusal)>,
    ) {
        let majority = self.config.majority();
        let Some(lease) = self.leases.iter_mut().find(|lease| lease.class == class) else {
            return;
        };
        let Some(round) = lease.round.as_mut().filter(|_| lease.number == number) else {
            return;
        };
        let c = usize::from(chunk);
        let Some(answered) = round.answered.get_mut(c) else {
            return;
        };
        if refused
            .iter()
            .all(|(_, refusal)| refusal.reason != Reason::Missing)
        {
            answered.insert(from);
        }
        let base = if self.config.rules.lease_from_send() {
            round.base
        } else {
            self.now
        };
        let mut agreed_now = Vec::new();
        let (first, last) = (c * CHUNK, ((c + 1) * CHUNK).min(round.entries.len()));
        for (t, renewal, agreed) in &mut round.entries[first..last] {
            if agreed.contains(from) || refused.iter().any(|(id, _)| *id == renewal.ticket) {
                continue;
            }
            agreed.insert(from);
            if agreed.len() == majority {
                // It may be reached twice, if somebody's vote was forgotten in between.
                round.open = round.open.saturating_sub(1);
                agreed_now.push(*t);
            }
        }
        for t in agreed_now {
            self.extend_lease(t, base);
        }
        for (id, refusal) in refused {
            if let Some(t) = self.ticket_index(id) {
                self.renewal_refused(t, from, refusal);
            }
        }
    }

    fn renewal_refused(&mut self, t: usize, from: MemberId, refusal: Refusal) {
        let ticket = &mut self.tickets[t];
        ticket.ballot_seen = ticket.ballot_seen.max(refusal.promised.counter);
        let Some(lead) = &ticket.lead else { return };
        match refusal.reason {
            Reason::Missing => {
                // It missed the value, not just the renewal.
                let accepted = Accepted {
                    ballot: lead.ballot,
                    seq: lead.seq,
                    value: lead.value.clone(),
                };
                let (purpose, replaces, id) = (lead.purpose, lead.replaces, ticket.id);
                self.send(
                    from,
                    Part::Accept {
                        ticket: id,
                        accepted,
                        purpose,
                        replaces,
                        lease: true,
                        release: None,
                    },
                );
            }
            Reason::Passed if refusal.promised > lead.ballot => {
                ticket.lead = None;
                self.touch(t);
            }
            _ => {}
        }
        if let Some(accepted) = refusal.accepted {
            self.learn(t, accepted);
        }
    }
}
