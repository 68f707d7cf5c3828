//! A site as the holder of a ticket: its lease, and what it wants of the register.
//! The states are drawn at [`Holding`].

use crate::effect::{ClusterCommand, Event, StopCause};
use crate::ids::{StopId, Term};
use crate::message::{Part, Purpose};
use crate::participant::Participant;
use crate::proposer::Change;
use crate::ticket::{Held, Holding, Proposal, Releasing, Stop, Wish};
use crate::time::Time;
use crate::value::{Accepted, Phase, Value};

impl Participant {
    /// What a wish makes of the register's value, or `None` if it no longer applies.
    pub(crate) fn change(
        &mut self,
        t: usize,
        wish: Wish,
        current: Option<&Value>,
        highest: Term,
    ) -> Option<Change> {
        match wish {
            Wish::Own => self.own_change(self.tickets[t].held()?, current?),
            Wish::Release => self.release_change(t, current?),
            Wish::Acquire(Purpose::Takeover) => self.takeover_change(t, current?, highest),
            Wish::Acquire(_) => self.grant_change(t, current, highest),
            Wish::Revoke => self.revoke_change(t, current),
        }
    }

    /// What the holder wants the register to say.
    pub(crate) fn own_change(&self, held: &Held, current: &Value) -> Option<Change> {
        if current.term != held.term || current.owner != self.me || !current.is_held() {
            return None;
        }
        let revoking = held.revoke_wanted && !held.on_hold();
        let first = u32::from(revoking && current.phase != Phase::Revoking);
        let revoked = current.phase == Phase::Revoking || revoking;
        let phase = match held.transfer {
            _ if revoked => Phase::Revoking,
            Some(transfer) => Phase::Moving(transfer),
            None => Phase::Granted,
        };
        let value = Value {
            phase,
            hold: held.hold_wanted.clone(),
            standby: held.standby_wanted,
            forced: current.forced.clone(),
            revokes: current.revokes.saturating_add(first),
            ..*current
        };
        Some(Change {
            value,
            lease: !revoked && !held.gives_up(),
            release: None,
        })
    }

    fn release_change(&self, t: usize, current: &Value) -> Option<Change> {
        let Holding::Releasing(releasing) = &self.tickets[t].holding else {
            return None;
        };
        if current.term != releasing.term || current.owner != self.me {
            return None;
        }
        let revoked = matches!(current.phase, Phase::Revoking | Phase::Revoked);
        let phase = if revoked || releasing.revoked {
            Phase::Revoked
        } else {
            Phase::Vacant(releasing.transfer)
        };
        let value = Value {
            phase,
            hold: None,
            standby: false,
            forced: current.forced.clone(),
            ..*current
        };
        Some(Change {
            value,
            lease: false,
            release: Some(releasing.term),
        })
    }

    /// A majority accepted a value of ours. `base` is when its lease began.
    pub(crate) fn on_chosen(
        &mut self,
        t: usize,
        wish: Wish,
        accepted: &Accepted,
        base: Option<Time>,
    ) {
        match wish {
            Wish::Acquire(purpose) => self.granted(t, purpose, accepted, base),
            Wish::Own => self.own_chosen(t, accepted, base),
            Wish::Release => self.released(t, accepted),
            Wish::Revoke => {
                self.notify(t, accepted);
                self.revoke_chosen(t, &accepted.value);
            }
        }
    }

    /// Tells everybody the news. Nothing depends on it but speed.
    fn notify(&mut self, t: usize, accepted: &Accepted) {
        let ticket = self.tickets[t].id;
        for p in 0..self.peers.len() {
            let to = self.peers[p].id;
            self.send(
                to,
                Part::Notice {
                    ticket,
                    accepted: accepted.clone(),
                    over: false,
                },
            );
        }
    }

    fn granted(&mut self, t: usize, purpose: Purpose, accepted: &Accepted, base: Option<Time>) {
        let (now, value) = (self.now, &accepted.value);
        let deadline = match base {
            _ if value.class.is_manual() => Time::NEVER,
            Some(base) => base.after(value.class.lease()),
            None => now,
        };
        if now >= deadline {
            // Agreed too late. Nothing of this term ran, and nothing ever will.
            self.tickets[t].lead = None;
            return;
        }
        let ticket = self.name(t);
        let term = value.term;
        let held = Held {
            term,
            deadline,
            value: value.clone(),
            started: false,
            start_by: if value.class.is_manual() {
                Time::NEVER
            } else {
                now.after(value.class.lease() + value.class.acquire_after())
            },
            grant_due: false,
            stop: None,
            transfer: None,
            hold_wanted: None,
            hold_agreed: false,
            hold_told: false,
            standby_wanted: false,
            revoke_wanted: false,
            lapsed: false,
        };
        let before = self.tickets[t].taken_from.take();
        let by_move = self.tickets[t].came_by.is_some();
        self.tickets[t].holding = Holding::Held(Box::new(held));
        self.tickets[t].candidate = None;
        self.tickets[t].trouble = None;
        self.lease_class_used(t);
        let until = (deadline != Time::NEVER).then_some(deadline);
        self.order(ClusterCommand::Grant {
            ticket: ticket.clone(),
            term,
            deadline: until,
            standby: false,
        });
        self.event(Event::Granted {
            ticket,
            term,
            taken_over_from: before.filter(|_| purpose == Purpose::Takeover && !by_move),
            forced: purpose == Purpose::Force,
        });
        self.notify(t, accepted);
        self.job_granted(t);
    }

    fn own_chosen(&mut self, t: usize, accepted: &Accepted, base: Option<Time>) {
        let now = self.now;
        let class = accepted.value.class;
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        if now >= held.deadline && !held.hold_agreed && !held.lapsed {
            return self.lapse(t);
        }
        let before = std::mem::replace(&mut held.value, accepted.value.clone());
        if let (Some(base), false) = (base, class.is_manual()) {
            self.extend_lease(t, base);
        }
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        let value = &held.value;
        let stop = match value.phase {
            Phase::Moving(_) if held.stop.is_none() && held.transfer.is_some() => {
                Some(StopCause::Move)
            }
            Phase::Revoking if held.stop.is_none() => Some(StopCause::Revoke),
            _ => None,
        };
        let hold_over = before.hold.clone().filter(|_| value.hold.is_none());
        let standby = (before.standby != value.standby).then_some(value.standby);
        let (term, changed) = (held.term, before != *value);
        let grant_due = std::mem::take(&mut held.grant_due) && value.phase != Phase::Revoking;
        let standby_now = held.value.standby;
        let ticket = self.name(t);
        if grant_due {
            if matches!(before.phase, Phase::Moving(_)) {
                // What the run before this one stopped for a move starts again.
                let (ticket, stop) = (ticket.clone(), StopId(0));
                self.order(ClusterCommand::Activate { ticket, term, stop });
            }
            let (ticket, standby) = (ticket.clone(), standby_now);
            self.order(ClusterCommand::Grant {
                ticket,
                term,
                deadline: None,
                standby,
            });
        }
        if let Some(reason) = hold_over {
            let (ticket, on) = (ticket.clone(), false);
            self.event(Event::Hold { ticket, on, reason });
        }
        self.tell_hold(t);
        if let Some(on) = standby {
            self.order(ClusterCommand::Standby { ticket, term, on });
        }
        if let Some(cause) = stop {
            self.order_stop(t, cause);
        }
        if changed {
            self.notify(t, accepted);
        }
        self.job_own_chosen(t);
    }

    /// Tells the cluster that a hold is agreed: from then on nothing ends what runs. So this run
    /// must have agreed on it itself, and its own vote must be beyond doubt: a memory from before
    /// the hold's end says that it is agreed, too.
    pub(crate) fn tell_hold(&mut self, t: usize) {
        let settled = self.restart.is_none();
        let ticket = &mut self.tickets[t];
        let chosen = ticket
            .lead
            .as_ref()
            .and_then(|lead| lead.value.hold.clone());
        let (Some(reason), Some(held)) = (chosen, ticket.held_mut()) else {
            return;
        };
        if !settled || held.hold_told || held.lapsed || held.hold_wanted.is_none() {
            return;
        }
        (held.hold_agreed, held.hold_told) = (true, true);
        let term = held.term;
        self.tickets[t].acceptor.record.hold_agreed = term;
        self.record_changed(t);
        let ticket = self.name(t);
        self.order(ClusterCommand::HoldAgreed {
            ticket: ticket.clone(),
            term,
        });
        let on = true;
        self.event(Event::Hold { ticket, on, reason });
    }

    /// A lease that began at `base` is agreed.
    pub(crate) fn extend_lease(&mut self, t: usize, base: Time) {
        let (now, final_lapse) = (self.now, self.config.rules.lapse_is_final());
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        let deadline = base.after(held.value.class.lease());
        if deadline <= held.deadline || deadline <= now {
            return;
        }
        if held.lapsed || (now >= held.deadline && !held.hold_agreed) {
            if final_lapse {
                return;
            }
            held.lapsed = false;
        }
        held.deadline = deadline;
        let term = held.term;
        let ticket = self.name(t);
        self.order(ClusterCommand::Extend {
            ticket,
            term,
            deadline,
        });
        self.touch(t);
    }

    /// Orders everything that depends on ticket `t` to be stopped.
    pub(crate) fn order_stop(&mut self, t: usize, cause: StopCause) {
        let confirmed = !self.config.rules.stop_before_release();
        let id = self.next_stop(t);
        let until = match (&self.tickets[t].job, cause) {
            (Some(job), StopCause::Move) => Some(job.deadline),
            _ => None,
        };
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        held.stop = Some(Stop {
            id,
            cause,
            confirmed,
            again_at: Time::NEVER,
            failures: 0,
        });
        let term = held.term;
        let lease = (held.deadline != Time::NEVER).then_some(held.deadline);
        let ticket = self.name(t);
        let deadline = until.or(lease);
        self.order(ClusterCommand::Stop {
            ticket,
            term,
            stop: id,
            cause,
            deadline,
        });
        self.touch(t);
    }

    /// Numbers of orders to stop differ across restarts too.
    pub(crate) fn next_stop(&mut self, t: usize) -> StopId {
        self.tickets[t].stop_count += 1;
        StopId((u64::from(self.memory.run) << 32) | self.tickets[t].stop_count)
    }

    /// The site gives its ticket up: it stops everything first.
    pub(crate) fn step_down(&mut self, t: usize) {
        // Who steps down lets the others go first.
        let now = self.now;
        let class = self.tickets[t].config.class();
        let pause = (class.lease() + class.acquire_after()).max(self.config.round_timeout * 8);
        self.tickets[t].unfit_until = now.after(pause);
        if self.tickets[t]
            .held()
            .is_some_and(|held| held.stop.is_none())
        {
            self.order_stop(t, StopCause::StepDown);
        }
    }

    /// Ends a lease whose time is over.
    pub(crate) fn expire(&mut self, t: usize) {
        let over = |held: &Held| self.now >= held.deadline && !held.hold_agreed && !held.lapsed;
        if self.tickets[t].held().is_some_and(over) {
            self.lapse(t);
        }
    }

    /// Looks after the lease, the stop and the release.
    pub(crate) fn advance_holding(&mut self, t: usize) {
        let now = self.now;
        let newer = self.tickets[t].known_place().0;
        let held = match &self.tickets[t].holding {
            Holding::Held(held) => held,
            Holding::Leftover { term, again_at, .. } if now >= *again_at => {
                let term = *term;
                return self.stop_leftover(t, term);
            }
            Holding::Recalling { again_at } if now >= *again_at => return self.recall(t),
            Holding::None => return self.disown(t),
            _ => return,
        };
        if held.lapsed {
            if newer > held.term {
                self.tickets[t].holding = Holding::None;
            }
            return;
        }
        if now >= held.deadline && !held.hold_agreed {
            return self.lapse(t);
        }
        if !held.started && held.stop.is_none() && now >= held.start_by {
            let term = held.term;
            return self.grant_failed(t, term, "no answer from the site's cluster".to_owned());
        }
        let Some(stop) = &held.stop else { return };
        if stop.confirmed && !held.on_hold() {
            return self.begin_release(t);
        }
        if now >= stop.again_at {
            self.repeat_stop(t);
        }
    }

    /// What the register says of this site and this site is not, and nobody but its owner can end:
    /// a hold whose holder lost its lease before the hold was agreed, or its memory of it; a manual
    /// ticket that was revoked after its holder had lost its memory.
    fn disown(&mut self, t: usize) {
        let ticket = &self.tickets[t];
        let mine = |value: &&Value| {
            let endless = if value.class.is_manual() {
                value.phase == Phase::Revoking
            } else {
                value.hold.is_some()
            };
            value.owner == self.me && value.is_held() && endless
        };
        let Some(value) = ticket.known_value().filter(mine) else {
            return;
        };
        let (term, resigned) = (value.term, ticket.acceptor.record.resigned);
        if !self.is_site || !self.memory.voting {
            return;
        }
        if term > resigned {
            self.stop_leftover(t, term);
        } else {
            // It was stopped before its release was begun, by a run that did not finish it.
            self.leftover_quiet(t, term);
        }
    }

    fn repeat_stop(&mut self, t: usize) {
        let ticket = self.name(t);
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        let (term, end) = (held.term, held.deadline);
        let Some(stop) = &mut held.stop else { return };
        stop.again_at = Time::NEVER;
        let (stop, cause) = (stop.id, stop.cause);
        let deadline = (end != Time::NEVER).then_some(end);
        self.order(ClusterCommand::Stop {
            ticket,
            term,
            stop,
            cause,
            deadline,
        });
    }

    /// The lease ran out, or the register is no longer ours: the term is over for good.
    pub(crate) fn lapse(&mut self, t: usize) {
        let ticket = self.name(t);
        let keep = !self.config.rules.lapse_is_final();
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        let term = held.term;
        held.lapsed = true;
        let class = held.value.class;
        if !keep {
            let record = &mut self.tickets[t].acceptor.record;
            record.lapsed = record.lapsed.max(term);
            self.record_changed(t);
        }
        self.event(Event::Lapsed {
            ticket: ticket.clone(),
            term,
        });
        self.order(ClusterCommand::Withdraw {
            ticket: ticket.clone(),
            term,
        });
        if class.is_manual() {
            // No deadline ends what runs, so it is stopped until that is confirmed.
            self.stop_leftover(t, term);
        } else if !keep {
            self.tickets[t].holding = Holding::None;
        }
        let ticket = &mut self.tickets[t];
        ticket.lead = None;
        ticket.candidate = None;
        if ticket
            .proposal
            .round()
            .is_some_and(|round| round.wish == Wish::Own)
            && !keep
        {
            ticket.proposal = Proposal::Idle;
        }
        self.job_lapsed(t);
        self.touch(t);
    }

    /// Stops what may run of a term that is over, and releases the term once that is confirmed.
    pub(crate) fn stop_leftover(&mut self, t: usize, term: Term) {
        // A cluster refuses orders of a lower term than it knows, and this member may have lost the
        // memory of a higher one: whatever was heard of meanwhile counts, each time it is ordered.
        let ticket = &self.tickets[t];
        let term = term
            .max(ticket.acceptor.record.max_term)
            .max(ticket.known_place().0);
        let stop = self.next_stop(t);
        let again_at = Time::NEVER;
        self.tickets[t].holding = Holding::Leftover {
            term,
            stop,
            again_at,
        };
        let (ticket, cause) = (self.name(t), StopCause::Leftover);
        self.order(ClusterCommand::Stop {
            ticket,
            term,
            stop,
            cause,
            deadline: None,
        });
    }

    /// Everything is stopped. From here on the term is never resumed, not even after a restart.
    fn begin_release(&mut self, t: usize) {
        let Some(held) = self.tickets[t].held() else {
            return;
        };
        let releasing = Releasing {
            term: held.term,
            transfer: held.transfer,
            revoked: held.value.phase == Phase::Revoking,
        };
        self.release(t, releasing);
    }

    pub(crate) fn release(&mut self, t: usize, releasing: Releasing) {
        let term = releasing.term;
        let ticket = self.name(t);
        self.order(ClusterCommand::Withdraw { ticket, term });
        let state = &mut self.tickets[t];
        state.holding = Holding::Releasing(releasing);
        state.acceptor.record.resigned = state.acceptor.record.resigned.max(term);
        if state
            .proposal
            .round()
            .is_some_and(|round| round.wish == Wish::Own)
        {
            state.proposal = Proposal::Idle;
            state.lead = None;
        }
        state.retry_at = self.now;
        self.record_changed(t);
        self.tell_release(t, term);
        self.job_releasing(t);
        self.touch(t);
    }

    /// A release is a fact, whatever becomes of the value that says so.
    fn tell_release(&mut self, t: usize, term: Term) {
        let (rules, me) = (self.config.rules, self.me);
        self.tickets[t].acceptor.release(rules, me, term);
        let (ticket, gate) = (self.tickets[t].id, self.tickets[t].changed_at);
        for p in 0..self.peers.len() {
            let to = self.peers[p].id;
            self.send_stored(gate, to, Part::Release { ticket, term });
        }
    }

    fn released(&mut self, t: usize, accepted: &Accepted) {
        if !matches!(self.tickets[t].holding, Holding::Releasing(_)) {
            self.tickets[t].lead = None;
            return;
        }
        self.tickets[t].holding = Holding::None;
        let (ticket, term) = (self.name(t), accepted.value.term);
        self.event(Event::Released { ticket, term });
        self.notify(t, accepted);
        self.job_released(t, accepted);
    }

    /// A wish turned out not to apply to what the register says.
    pub(crate) fn wish_gone(&mut self, t: usize, wish: Wish) {
        match wish {
            Wish::Own => self.lapse(t),
            Wish::Release => {
                if matches!(self.tickets[t].holding, Holding::Releasing(_)) {
                    self.tickets[t].holding = Holding::None;
                }
                self.job_superseded(t);
            }
            Wish::Acquire(_) | Wish::Revoke => self.tickets[t].candidate = None,
        }
        let pause = self.resend_after(0);
        self.tickets[t].lead = None;
        self.tickets[t].retry_at = self.now.after(pause);
        self.touch(t);
    }
}
