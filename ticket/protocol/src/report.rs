//! What the site's cluster says about its tickets.

use std::time::Duration;

use crate::effect::{Alarm, ClusterCommand, ClusterReport, Event, StopCause};
use crate::ids::{StopId, Term};
use crate::participant::Participant;
use crate::ticket::{Held, Holding, Releasing};
use crate::time::Time;
use crate::value::{Phase, Value};

/// A stop that failed is ordered again after this long, doubling: what hinders a stop (a busy
/// file system, a missing agent) rarely goes away within a second.
const STOP_AGAIN: Duration = Duration::from_secs(2);
/// ... up to 32 times that.
const STOP_AGAIN_DOUBLINGS: u32 = 5;

impl Participant {
    pub(crate) fn on_report(&mut self, report: ClusterReport) {
        let (ClusterReport::Granted { ticket, .. }
        | ClusterReport::Stopped { ticket, .. }
        | ClusterReport::Checked { ticket, .. }
        | ClusterReport::Hold { ticket, .. }
        | ClusterReport::Recalled { ticket, .. }
        | ClusterReport::Failed { ticket, .. }) = &report;
        let Some(t) = self.ticket_named(ticket) else {
            return;
        };
        self.touch(t);
        match report {
            ClusterReport::Granted { term, result, .. } => match result {
                Ok(()) => self.grant_read_back(t, term),
                Err(reason) => self.grant_failed(t, term, reason),
            },
            ClusterReport::Stopped {
                term, stop, result, ..
            } => {
                self.on_stopped(t, term, stop, result);
            }
            ClusterReport::Checked { check, result, .. } => self.own_checked(t, check, result),
            ClusterReport::Hold {
                term, on, reason, ..
            } => self.on_hold(t, term, on, reason),
            ClusterReport::Recalled {
                held,
                release_begun,
                quiet,
                ..
            } => {
                self.on_recalled(t, held, release_begun, quiet);
            }
            ClusterReport::Failed { term, reason, .. } => {
                if self.tickets[t].held().is_some_and(|held| held.term == term) {
                    self.tickets[t].trouble = Some(reason);
                    self.step_down(t);
                }
            }
        }
    }

    fn grant_read_back(&mut self, t: usize, term: Term) {
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        if held.term != term || held.started {
            return;
        }
        held.started = true;
        let ticket = self.name(t);
        self.event(Event::Started { ticket, term });
        self.job_started(t);
    }

    /// The cluster did not take the grant. What it may have started is stopped before the ticket
    /// goes anywhere else.
    pub(crate) fn grant_failed(&mut self, t: usize, term: Term, reason: String) {
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        if held.term != term || held.stop.is_some() {
            return;
        }
        held.start_by = Time::NEVER;
        let ticket = self.name(t);
        self.event(Event::Alarm(Alarm::GrantFailed {
            ticket,
            term,
            reason: reason.clone(),
        }));
        self.tickets[t].trouble = Some(reason.clone());
        let back = self.tickets[t].came_by.take();
        let me = self.me;
        if let (Some(held), Some(came)) = (self.tickets[t].held_mut(), back)
            && came.from != me
        {
            // A move whose start failed goes back to where it came from.
            held.transfer = Some(crate::value::Transfer {
                id: came.id,
                from: me,
                to: came.from,
                wait_ms: came.wait_ms,
            });
        }
        self.step_down(t);
        self.job_start_failed(t, reason);
    }

    fn on_stopped(&mut self, t: usize, term: Term, stop: StopId, result: Result<(), String>) {
        let now = self.now;
        if let Holding::Leftover {
            term: over,
            stop: ordered,
            ..
        } = self.tickets[t].holding
        {
            if (over, ordered) == (term, stop) {
                self.leftover_stopped(t, term, result);
            }
            return;
        }
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        if held.term != term {
            return;
        }
        let Some(order) = held.stop.as_mut().filter(|order| order.id == stop) else {
            return;
        };
        let Err(reason) = result else {
            order.confirmed = true;
            return;
        };
        let cause = order.cause;
        order.again_at = now.after(STOP_AGAIN * (1 << order.failures.min(STOP_AGAIN_DOUBLINGS)));
        order.failures += 1;
        let ticket = self.name(t);
        self.tickets[t].trouble = Some(reason.clone());
        self.event(Event::Alarm(Alarm::StopFailed {
            ticket,
            term,
            reason: reason.clone(),
        }));
        if cause == StopCause::Move {
            self.roll_back(t, reason);
        }
    }

    fn leftover_stopped(&mut self, t: usize, term: Term, result: Result<(), String>) {
        if let Err(reason) = result {
            // What does not stop is left to the guard: nothing of this term has a lease any more.
            let ticket = self.name(t);
            self.tickets[t].trouble = Some(reason.clone());
            self.event(Event::Alarm(Alarm::StopFailed {
                ticket,
                term,
                reason,
            }));
            if let Holding::Leftover { again_at, .. } = &mut self.tickets[t].holding {
                *again_at = self.now.after(STOP_AGAIN * 4);
            }
            return;
        }
        self.leftover_quiet(t, term);
    }

    /// Nothing up to a term that is over runs here any more: if the register still names such a
    /// term of this site, hand it back.
    pub(crate) fn leftover_quiet(&mut self, t: usize, term: Term) {
        self.tickets[t].holding = Holding::None;
        let me = self.me;
        let own = self.tickets[t].known_value();
        let Some(own) = own.filter(|own| own.owner == me && own.term <= term) else {
            return;
        };
        if !own.is_held() || (own.class.is_manual() && own.phase != Phase::Revoking) {
            return;
        }
        let transfer = match own.phase {
            Phase::Moving(transfer) => Some(transfer),
            _ => None,
        };
        let (term, revoked) = (own.term, own.phase == Phase::Revoking);
        self.release(
            t,
            Releasing {
                term,
                transfer,
                revoked,
            },
        );
    }

    /// The move is taken back: what was stopped starts again, and no late confirmation of that
    /// stop counts.
    pub(crate) fn roll_back(&mut self, t: usize, reason: String) {
        let ticket = self.name(t);
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        held.transfer = None;
        let term = held.term;
        if let Some(stop) = held.stop.take() {
            self.order(ClusterCommand::Activate {
                ticket: ticket.clone(),
                term,
                stop: stop.id,
            });
        }
        self.event(Event::RolledBack {
            ticket,
            reason: reason.clone(),
        });
        self.job_rolled_back(t, reason);
        self.touch(t);
    }

    fn on_hold(&mut self, t: usize, term: Term, on: bool, reason: String) {
        if matches!(self.tickets[t].holding, Holding::Recalling { .. }) {
            // It counts once it is known what is still held.
            self.tickets[t].hold_said = Some(on.then_some(reason));
            return;
        }
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        if held.term != term {
            return;
        }
        if on {
            held.hold_wanted = Some(reason.clone());
            let moving = held
                .stop
                .as_ref()
                .is_some_and(|stop| stop.cause == StopCause::Move);
            if moving {
                self.roll_back(t, format!("on hold: {reason}"));
            }
        } else {
            held.hold_wanted = None;
            (held.hold_agreed, held.hold_told) = (false, false);
            self.tickets[t].acceptor.record.hold_agreed = Term::NONE;
            self.record_changed(t);
        }
    }

    /// A restarted site's cluster says what it still holds.
    fn on_recalled(
        &mut self,
        t: usize,
        held: Option<(Term, Time)>,
        release_begun: bool,
        quiet: bool,
    ) {
        if !matches!(self.tickets[t].holding, Holding::Recalling { .. }) {
            return;
        }
        self.tickets[t].holding = Holding::None;
        let me = self.me;
        let highest = self.tickets[t].acceptor.record.max_term;
        if let Some((term, _)) = held.filter(|&(term, _)| term > highest) {
            // The guard knows of a grant that this member's own state does not.
            self.tickets[t].acceptor.record.max_term = term;
            if self.memory.voting {
                self.lose_memory(format!(
                    "the guard holds term {term}, the state ends at {highest}"
                ));
            }
        }
        let record = &self.tickets[t].acceptor.record;
        let (resigned, lapsed) = (record.resigned, record.lapsed);
        let own = record.accepted.as_ref().map(|own| own.value.clone());
        let own = own.filter(|own| own.owner == me);
        if let Some(own) = &own {
            let ended = release_begun || own.term <= resigned.max(lapsed);
            let free = !ended && self.memory.voting;
            if free && own.is_held() && self.resume(t, own, held) {
                return;
            }
        }
        if let Some((term, _)) = held {
            let ticket = self.name(t);
            self.order(ClusterCommand::Withdraw { ticket, term });
        }
        let old = held.map(|(term, _)| term);
        match own {
            Some(own) if own.is_held() => {
                if quiet {
                    self.leftover_quiet(t, own.term);
                } else {
                    self.stop_leftover(t, own.term);
                }
            }
            Some(own) if own.term == resigned && !own.is_held() => {
                // The release that was begun before the restart is finished.
                let transfer = match own.phase {
                    Phase::Vacant(transfer) => transfer,
                    _ => None,
                };
                let revoked = own.phase == Phase::Revoked;
                self.release(
                    t,
                    Releasing {
                        term: own.term,
                        transfer,
                        revoked,
                    },
                );
            }
            _ => {
                if !quiet {
                    // Whatever runs, no lease of this site covers it.
                    let heard = self.tickets[t].known_place().0.max(highest);
                    let term = old.unwrap_or(heard);
                    if term == Term::NONE && !self.memory.voting {
                        // It cannot be named before the memory is back.
                        return self.recall_later(t);
                    }
                    self.stop_leftover(t, term);
                }
            }
        }
    }

    /// Says again what the last run said: an order of it to stop may still be under way, and the
    /// stack may have restarted too.
    fn reassert(&mut self, t: usize, own: &Value) {
        let ticket = self.name(t);
        let (term, standby) = (own.term, own.standby);
        let Some(held) = self.tickets[t].held_mut() else {
            return;
        };
        let deadline = (held.deadline != Time::NEVER).then_some(held.deadline);
        if matches!(own.phase, Phase::Moving(_)) {
            // Whoever asked for the move asks this run in vain: back to where it was.
            let (ticket, stop) = (ticket.clone(), StopId(0));
            self.order(ClusterCommand::Activate { ticket, term, stop });
        }
        let order = ClusterCommand::Grant {
            ticket: ticket.clone(),
            term,
            deadline,
            standby,
        };
        self.order(order);
        self.order(ClusterCommand::Standby {
            ticket,
            term,
            on: standby,
        });
    }

    /// Goes on with a term, if the guard still holds a valid deadline for it.
    fn resume(&mut self, t: usize, own: &Value, held: Option<(Term, Time)>) -> bool {
        let now = self.now;
        let ticket = self.name(t);
        // A hold that its own acceptor has stored may never have been agreed.
        let record = &self.tickets[t].acceptor.record;
        let agreed = own.hold.is_some() && record.hold_agreed == own.term;
        let said = self.tickets[t].hold_said.take();
        let hold_wanted = said.unwrap_or_else(|| own.hold.clone());
        let agreed = agreed && hold_wanted.is_some();
        let manual = own.class.is_manual();
        // No deadline speaks for a manual ticket: where something newer was heard of (it was forced
        // away, say), nothing is claimed before a majority has said that it is still held here.
        let doubtful = manual && self.tickets[t].is_hearsay();
        let deadline = match held {
            Some((term, _)) if term != own.term => return false,
            None if manual && own.phase == Phase::Revoking => return false,
            _ if manual => Time::NEVER,
            Some((_, deadline)) if now < deadline || agreed => deadline,
            _ => return false,
        };
        let term = own.term;
        self.tickets[t].holding = Holding::Held(Box::new(Held {
            term,
            deadline,
            value: own.clone(),
            started: false,
            start_by: if manual {
                Time::NEVER
            } else {
                now.after(own.class.lease() + own.class.acquire_after())
            },
            grant_due: held.is_none() || doubtful,
            stop: None,
            transfer: None,
            hold_wanted,
            hold_agreed: agreed,
            hold_told: false,
            standby_wanted: own.standby,
            revoke_wanted: false,
            lapsed: false,
        }));
        self.lease_class_used(t);
        self.event(Event::Resumed {
            ticket: ticket.clone(),
            term,
        });
        if held.is_some() && !doubtful && own.phase != Phase::Revoking {
            self.reassert(t, own);
        }
        true
    }
}
