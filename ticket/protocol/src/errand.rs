//! Errands: what one member asks another to do for an operator, again and again until it answers,
//! or the operator's wait is over, or a majority has a later term than the errand is about: whoever
//! was asked cannot answer any better then, and may be dead.

use crate::command::{Outcome, Refused, Step, Why};
use crate::ids::{Ballot, MemberId, RequestId, Seq, Term};
use crate::message::{Ask, Life, Part};
use crate::participant::Participant;
use crate::ticket::{Origin, place};
use crate::time::{Time, whole_millis};
use crate::value::{PhaseKind, Value};

/// Who is asked answers each time it is asked again; one that has said nothing for so many round
/// timeouts is waited for no longer where the outcome can be read elsewhere.
const SILENT_ROUNDS: u32 = 4;

/// Something asked of another member until it answers.
#[derive(Debug)]
pub(crate) struct Errand {
    owner: ErrandOwner,
    to: MemberId,
    ticket: usize,
    number: u64,
    ask: Ask,
    pub(crate) deadline: Time,
    pub(crate) resend_at: Time,
    /// The life and run of the member that it was first sent to.
    sent: Option<(Option<Life>, u32)>,
    step: Step,
    /// The newest value heard of when a majority was last asked whether the errand is over.
    doubted: Option<(Ballot, Seq)>,
    /// Not asked again before.
    doubt_at: Time,
}

impl Errand {
    /// The term that it is about, if nothing can come of it under another.
    fn about(&self) -> Option<Term> {
        match (&self.owner, &self.ask) {
            (ErrandOwner::Request(_), Ask::Move { term, .. } | Ask::Standby { term, .. }) => {
                Some(*term)
            }
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrandOwner {
    Request(RequestId),
    Move(usize),
}

impl Participant {
    pub(crate) fn ask_member(
        &mut self,
        owner: ErrandOwner,
        to: MemberId,
        ticket: usize,
        ask: Ask,
        deadline: Time,
    ) {
        let step = match owner {
            ErrandOwner::Request(_) => Step::Agree,
            ErrandOwner::Move(_) => Step::Grant,
        };
        let number = self.random.next();
        let (resend_at, sent) = (Time::ZERO, None);
        self.errands.push(Errand {
            owner,
            to,
            ticket,
            number,
            ask,
            deadline,
            resend_at,
            sent,
            step,
            doubted: None,
            doubt_at: Time::ZERO,
        });
    }

    /// A move's ticket is released: now its target is asked to take it.
    pub(crate) fn move_on(&mut self, t: usize, to: MemberId, term: Term, deadline: Time) {
        let ask = Ask::Grant {
            term,
            phase: PhaseKind::Vacant,
            revokes: 0,
            force: None,
        };
        self.ask_member(ErrandOwner::Move(t), to, t, ask, deadline);
        self.run_errands();
    }

    pub(crate) fn run_errands(&mut self) {
        let now = self.now;
        let again = now.after(self.config.round_timeout);
        let mut e = 0;
        while e < self.errands.len() {
            let errand = &self.errands[e];
            if now >= errand.deadline {
                let errand = self.errands.swap_remove(e);
                self.errand_timed_out(&errand);
                continue;
            }
            self.doubt_errand(e);
            let errand = &self.errands[e];
            if now >= errand.resend_at {
                let (to, number, t) = (errand.to, errand.number, errand.ticket);
                let ask = errand.ask.clone();
                // The member that acts finishes first, so that its word is still heard here.
                let left = errand.deadline.since(now);
                let spare = (left / 4).min(self.config.round_timeout * 2);
                let wait_ms = whole_millis(left.saturating_sub(spare));
                let connected = self.peer(to).is_some_and(|peer| peer.connected);
                let errand = &mut self.errands[e];
                errand.resend_at = again;
                if connected {
                    let place = self.peer(to).map(|peer| (peer.life, peer.seen.run));
                    let errand = &mut self.errands[e];
                    errand.sent = errand.sent.or(place);
                    let ticket = self.tickets[t].id;
                    self.send(
                        to,
                        Part::Ask {
                            request: number,
                            ticket,
                            ask,
                            wait_ms,
                        },
                    );
                }
            }
            e += 1;
        }
    }

    /// A later term than an errand is about was heard of: a majority is asked whether that is so.
    fn doubt_errand(&mut self, e: usize) {
        let errand = &self.errands[e];
        let Some(known) = self.tickets[errand.ticket].known.as_ref() else {
            return;
        };
        let silence = self.config.round_timeout * SILENT_ROUNDS;
        let heard = self.peer(errand.to).and_then(|peer| peer.heard_at);
        if heard.is_some_and(|at| self.now.since(at) < silence) {
            return;
        }
        let later = errand.about().is_some_and(|term| known.value.term > term);
        let key = Some((known.ballot, known.seq));
        if later && errand.doubted != key && self.now >= errand.doubt_at {
            let (number, t, deadline) = (errand.number, errand.ticket, errand.deadline);
            self.errands[e].doubted = key;
            self.errands[e].doubt_at = self.now.after(self.config.round_timeout);
            self.read_for_errand(number, t, deadline);
        }
    }

    /// No majority told whether an errand is over: it is asked again.
    pub(crate) fn errand_unread(&mut self, number: u64) {
        if let Some(errand) = self.errands.iter_mut().find(|one| one.number == number) {
            errand.doubted = None;
        }
    }

    /// What a majority has, read because of an errand.
    pub(crate) fn errand_read(&mut self, number: u64, value: Option<&Value>) {
        let Some(e) = self.errands.iter().position(|one| one.number == number) else {
            return;
        };
        let errand = &self.errands[e];
        let Some(value) = value.filter(|value| errand.about().is_some_and(|it| value.term > it))
        else {
            return;
        };
        let ErrandOwner::Request(id) = errand.owner else {
            return;
        };
        let (t, deadline) = (errand.ticket, errand.deadline);
        match errand.ask {
            // The target has it, whichever way it came there: it says when it has started.
            Ask::Move { to, .. } if value.owner == to && value.is_renewed() => {
                if to == self.me && self.tickets[t].job.is_some() {
                    // It is just starting, by another wish.
                    self.errands[e].doubted = None;
                    return;
                }
                self.errands.swap_remove(e);
                let (term, phase) = place(Some(value));
                let (revokes, force) = (value.revokes, None);
                let ask = Ask::Grant {
                    term,
                    phase,
                    revokes,
                    force,
                };
                if to == self.me {
                    let kind = self.job_of(ask);
                    self.start_job(t, Origin::Local(id), kind, deadline);
                } else {
                    self.ask_member(ErrandOwner::Request(id), to, t, ask, deadline);
                }
            }
            _ => {
                self.errands.swap_remove(e);
                let holder = value.is_held().then_some(value.owner);
                let refused = Refused {
                    holder,
                    ..Refused::because(Why::Changed)
                };
                self.reply(id, Outcome::Refused(refused));
            }
        }
    }

    fn errand_timed_out(&mut self, errand: &Errand) {
        let (holder, may_run_for) = self.may_run(errand.ticket);
        let missing = vec![errand.to];
        let outcome = if errand.sent.is_some() {
            Outcome::Unknown {
                step: errand.step,
                missing,
                holder,
                may_run_for,
            }
        } else {
            Outcome::Refused(Refused {
                why: Why::Unreachable,
                missing,
                holder,
                may_run_for,
            })
        };
        self.errand_done(errand.owner, outcome);
    }

    fn errand_done(&mut self, owner: ErrandOwner, outcome: Outcome) {
        match owner {
            ErrandOwner::Request(id) => self.reply(id, outcome),
            ErrandOwner::Move(t) if outcome.is_final() => {
                let moving = self.tickets[t]
                    .job
                    .as_ref()
                    .is_some_and(|job| job.step == Step::Grant);
                if moving {
                    self.finish(t, outcome);
                }
            }
            ErrandOwner::Move(_) => {}
        }
    }

    pub(crate) fn on_told(
        &mut self,
        from: MemberId,
        (life, run): (Life, u32),
        request: u64,
        outcome: Outcome,
    ) {
        let same = |errand: &Errand| errand.to == from && errand.number == request;
        let Some(e) = self.errands.iter().position(same) else {
            return;
        };
        let Errand {
            owner,
            step,
            ticket,
            sent,
            ..
        } = self.errands[e];
        let restarted = sent.is_some_and(|sent| sent != (Some(life), run));
        let outcome = match outcome {
            Outcome::Refused(_) if restarted => {
                // It speaks for this run only: an earlier one may have done it.
                let (holder, may_run_for) = self.may_run(ticket);
                Outcome::Unknown {
                    step,
                    missing: Vec::new(),
                    holder,
                    may_run_for,
                }
            }
            outcome => outcome,
        };
        if let Outcome::Progress(progress) = &outcome {
            self.errands[e].step = progress.step;
        } else {
            self.errands.swap_remove(e);
        }
        self.errand_done(owner, outcome);
    }
}
