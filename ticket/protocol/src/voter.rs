//! A member as a voter: what it answers to the proposals of others, and of itself.

use crate::acceptor::Offer;
use crate::effect::Event;
use crate::ids::{Ballot, MemberId, Term, TicketId};
use crate::message::{Header, Part, Purpose, Reason, Refusal, Renewal};
use crate::participant::Participant;
use crate::value::{Accepted, LeaseClass};

impl Participant {
    pub(crate) fn on_part(&mut self, from: MemberId, header: &Header, part: Part) {
        match part {
            Part::Hello => {}
            Part::Stale {
                life,
                seen,
                incarnation,
            } => {
                self.on_stale(from, life, seen, incarnation);
            }
            Part::SeenAsk => self.on_seen_ask(from, header),
            Part::SeenTell { life, newest } => self.on_seen_tell(from, life, newest),
            Part::Ask {
                request,
                ticket,
                ask,
                wait_ms,
            } => {
                self.on_ask(from, header.seen.run, request, ticket, ask, wait_ms);
            }
            Part::Told { request, outcome } => {
                let place = (header.life, header.seen.run);
                self.on_told(from, place, request, outcome);
            }
            Part::Check { ticket, check } => self.on_check(from, ticket, check),
            Part::Checked {
                ticket,
                check,
                result,
            } => self.on_checked(ticket, check, result),
            Part::RecoverAsk { nonce, from: first } => self.on_recover_ask(from, nonce, first),
            Part::RecoverTell {
                nonce,
                from: first,
                records,
                next,
                recovery_epoch,
            } => {
                self.on_recover_tell(from, nonce, first, records, next, recovery_epoch);
            }
            Part::Answer {
                ticket,
                query,
                accepted,
                max_term: _,
                obliged,
            } => {
                self.on_answer(from, ticket, query, accepted, obliged);
            }
            other => self.on_ticket_part(from, other),
        }
    }

    /// What this member says to itself: its own acceptor's part in its own rounds.
    pub(crate) fn on_own_part(&mut self, part: Part) {
        let me = self.me;
        self.on_ticket_part(me, part);
    }

    fn on_ticket_part(&mut self, from: MemberId, part: Part) {
        match part {
            Part::Prepare {
                ticket,
                ballot,
                purpose,
            } => {
                self.on_prepare(from, ticket, ballot, purpose);
            }
            Part::Promise {
                ticket,
                ballot,
                accepted,
                max_term,
                obliged,
            } => {
                self.on_promise(from, ticket, ballot, accepted, max_term, obliged);
            }
            Part::Accept {
                ticket,
                accepted,
                purpose,
                replaces,
                lease,
                release,
            } => {
                let offer = Offer {
                    from,
                    accepted,
                    purpose,
                    replaces,
                    lease,
                    release,
                };
                self.on_accept(ticket, offer);
            }
            Part::Accepted {
                ticket,
                ballot,
                seq,
            } => self.on_accepted(from, ticket, ballot, seq),
            Part::Refused {
                ticket,
                ballot,
                seq,
                refusal,
            } => {
                self.on_refused(from, ticket, ballot, seq, refusal);
            }
            other => self.on_other_part(from, other),
        }
    }

    fn on_other_part(&mut self, from: MemberId, part: Part) {
        match part {
            Part::Renew {
                class,
                round,
                chunk,
                tickets,
            } => {
                self.on_renew(from, class, round, chunk, tickets);
            }
            Part::Renewed {
                class,
                round,
                chunk,
                refused,
            } => {
                self.on_renewed(from, class, round, chunk, refused);
            }
            Part::Release { ticket, term } => self.on_release(from, ticket, term),
            Part::Query { ticket, query } => self.on_query(from, ticket, query),
            Part::Notice {
                ticket,
                accepted,
                over,
            } => self.on_notice(ticket, accepted, over),
            _ => {}
        }
    }

    fn on_prepare(&mut self, from: MemberId, ticket: TicketId, ballot: Ballot, purpose: Purpose) {
        if ballot.member != from.0 {
            return;
        }
        let ctx = self.context();
        let Some(t) = self.ticket_index(ticket) else {
            return self.refuse_unknown(from, ticket, ballot, None);
        };
        let ticket_state = &mut self.tickets[t];
        ticket_state.ballot_seen = ticket_state.ballot_seen.max(ballot.counter);
        let acceptor = &mut ticket_state.acceptor;
        match acceptor.prepare(&ctx, from, ballot, purpose) {
            Ok(changed) => {
                if changed {
                    self.record_changed(t);
                }
                let part = self.promise(t, ballot);
                let gate = self.answer_gate(t);
                self.send_stored(gate, from, part);
            }
            Err(reason) => {
                let refusal = acceptor.refusal(&ctx, from, reason);
                self.send(
                    from,
                    Part::Refused {
                        ticket,
                        ballot,
                        seq: None,
                        refusal,
                    },
                );
            }
        }
        self.touch(t);
    }

    pub(crate) fn promise(&self, t: usize, ballot: Ballot) -> Part {
        let acceptor = &self.tickets[t].acceptor;
        Part::Promise {
            ticket: self.tickets[t].id,
            ballot,
            accepted: acceptor.record.accepted.clone(),
            max_term: acceptor.record.max_term,
            obliged: acceptor.obliged(&self.context()),
        }
    }

    fn on_accept(&mut self, ticket: TicketId, offer: Offer) {
        let ctx = self.context();
        let (from, ballot, seq) = (offer.from, offer.accepted.ballot, offer.accepted.seq);
        if ballot.member != from.0 {
            return;
        }
        let Some(t) = self.ticket_index(ticket) else {
            return self.refuse_unknown(from, ticket, ballot, Some(seq));
        };
        let news = offer.accepted.clone();
        match self.tickets[t].acceptor.accept(&ctx, offer) {
            Ok(changed) => {
                if changed {
                    self.record_changed(t);
                    self.learn(t, news);
                }
                let gate = self.answer_gate(t);
                self.send_stored(
                    gate,
                    from,
                    Part::Accepted {
                        ticket,
                        ballot,
                        seq,
                    },
                );
            }
            Err(reason) => {
                let refusal = self.tickets[t].acceptor.refusal(&ctx, from, reason);
                self.send(
                    from,
                    Part::Refused {
                        ticket,
                        ballot,
                        seq: Some(seq),
                        refusal,
                    },
                );
            }
        }
        self.touch(t);
    }

    fn refuse_unknown(
        &mut self,
        from: MemberId,
        ticket: TicketId,
        ballot: Ballot,
        seq: Option<u32>,
    ) {
        let refusal = Refusal {
            reason: Reason::UnknownTicket,
            promised: Ballot::default(),
            accepted: None,
            obliged: None,
        };
        self.send(
            from,
            Part::Refused {
                ticket,
                ballot,
                seq,
                refusal,
            },
        );
    }

    fn on_renew(
        &mut self,
        from: MemberId,
        class: LeaseClass,
        round: u32,
        chunk: u16,
        tickets: Vec<Renewal>,
    ) {
        let ctx = self.context();
        let mut refused = Vec::new();
        let mut gate = 0;
        for renewal in tickets {
            let Some(t) = self.ticket_index(renewal.ticket) else {
                continue;
            };
            let ballot = Ballot {
                counter: renewal.ballot,
                member: from.0,
            };
            let acceptor = &mut self.tickets[t].acceptor;
            match acceptor.renew(&ctx, from, ballot, renewal.seq) {
                Ok(changed) => {
                    if changed {
                        self.record_changed(t);
                    }
                    gate = gate.max(self.answer_gate(t));
                }
                Err(reason) => {
                    let refusal = acceptor.refusal(&ctx, from, reason);
                    refused.push((renewal.ticket, refusal));
                }
            }
            self.touch(t);
        }
        self.send_stored(
            gate,
            from,
            Part::Renewed {
                class,
                round,
                chunk,
                refused,
            },
        );
    }

    fn on_release(&mut self, from: MemberId, ticket: TicketId, term: Term) {
        let Some(t) = self.ticket_index(ticket) else {
            return;
        };
        if self.tickets[t]
            .acceptor
            .release(self.config.rules, from, term)
        {
            self.record_changed(t);
        }
        self.touch(t);
    }

    fn on_query(&mut self, from: MemberId, ticket: TicketId, query: u32) {
        let ctx = self.context();
        let Some(t) = self.ticket_index(ticket) else {
            return;
        };
        if !ctx.voting {
            return;
        }
        let acceptor = &self.tickets[t].acceptor;
        let part = Part::Answer {
            ticket,
            query,
            accepted: acceptor.record.accepted.clone(),
            max_term: acceptor.record.max_term,
            obliged: acceptor.obliged(&ctx),
        };
        let gate = self.answer_gate(t);
        self.send_stored(gate, from, part);
    }

    /// Takes note of a value, wherever it was heard of.
    pub(crate) fn learn(&mut self, t: usize, accepted: Accepted) {
        self.look_for_lost_memory(t, &accepted);
        let ticket = &mut self.tickets[t];
        let key = (accepted.ballot, accepted.seq);
        if accepted.ballot < ticket.read_at {
            return;
        }
        if ticket
            .known
            .as_ref()
            .is_some_and(|known| (known.ballot, known.seq) >= key)
        {
            return;
        }
        ticket.ballot_seen = ticket.ballot_seen.max(accepted.ballot.counter);
        let before = ticket.known_place();
        let after = crate::ticket::place(Some(&accepted.value));
        let owner = accepted.value.owner;
        if ticket
            .lead
            .as_ref()
            .is_some_and(|lead| lead.ballot < accepted.ballot)
        {
            // Somebody's value came after ours: go on only above it.
            ticket.lead = None;
        }
        ticket.known = Some(accepted);
        ticket.known_since = self.now;
        ticket.kick = None;
        self.touch(t);
        if before != after {
            let (term, phase) = after;
            let ticket = self.name(t);
            self.event(Event::Changed {
                ticket,
                owner,
                term,
                phase,
            });
        }
    }

    /// Takes note of what a majority that promised a ballot has. Whatever else was heard of below
    /// that ballot was never chosen and never will be: it may have been lost with the only memory
    /// that had it, and would be believed for ever.
    pub(crate) fn learn_majority(&mut self, t: usize, ballot: Ballot, best: Option<Accepted>) {
        let ticket = &mut self.tickets[t];
        let place = |accepted: &Accepted| (accepted.ballot, accepted.seq);
        let never = |known: &Accepted| {
            known.ballot < ballot && Some(place(known)) > best.as_ref().map(place)
        };
        if ticket.known.as_ref().is_some_and(never) {
            ticket.known = None;
        }
        if let Some(best) = best {
            self.learn(t, best);
        }
        self.tickets[t].read_at = ballot;
    }
}
