//! Operators' commands where they are carried out: a grant at the new holder, a move at the old
//! one, a revoke at the member that was asked. One per ticket at a time, each with a deadline.
//!
//! ```text
//!   grant:   (WaitForLease) -> Agree -> Start -> done
//!   move:    Check -> Agree -> Stop -> Release -> Grant (asked of the target) -> done
//!               |       |        |        (after the release: a fresh grant, never a way back)
//!               +-------+--------+-> rolled back: refused
//!   revoke:  Agree -> Stop (until confirmed, or every obligation is over) -> done
//!   standby: Agree -> done
//! ```

use std::time::Duration;

use crate::command::{Outcome, Progress, Refused, Step, Why};
use crate::errand::ErrandOwner;
use crate::ids::{MemberId, Term};
use crate::message::{Ask, Purpose};
use crate::participant::Participant;
use crate::proposer::Change;
use crate::ticket::{Holding, Job, JobKind, Origin, Round, Wish, place};
use crate::time::Time;
use crate::value::{Accepted, Phase, PhaseKind, Value};

impl Participant {
    /// Begins to carry out a command; answers at once if there is nothing to do.
    pub(crate) fn start_job(&mut self, t: usize, origin: Origin, kind: JobKind, deadline: Time) {
        if self.tickets[t].job.is_some() {
            return self.tell(origin, Outcome::Refused(Refused::because(Why::Busy)));
        }
        if !self.memory.voting {
            return self.tell(origin, Outcome::Refused(Refused::because(Why::Mute)));
        }
        let step = match kind {
            JobKind::Move { .. } => Step::Check,
            _ => Step::Agree,
        };
        let not_before = Time::ZERO;
        let overdue = match kind {
            JobKind::Grant { open: true, .. } => self.read_until(),
            _ => Time::NEVER,
        };
        self.tickets[t].job = Some(Job {
            origin,
            kind,
            deadline,
            step,
            sent: false,
            not_before,
            overdue,
            told: None,
        });
        self.tickets[t].retry_at = self.now;
        self.begin(t);
        self.touch(t);
    }

    /// What a job changes at once.
    fn begin(&mut self, t: usize) {
        let ticket = &mut self.tickets[t];
        let Some(job) = &mut ticket.job else { return };
        match (&job.kind, &mut ticket.holding) {
            (JobKind::Grant { term, .. }, Holding::Held(held)) if held.stop.is_none() => {
                if held.term < *term {
                    return self.refuse(t, Why::Changed);
                }
                job.step = Step::Start;
                if self.now >= held.deadline {
                    // On hold, and cut off: nobody can say that the wish is met.
                    self.refuse_on_hold(t);
                } else if held.started {
                    self.finish_done(t);
                }
            }
            (JobKind::Grant { .. }, Holding::Held(_)) => self.refuse(t, Why::Changed),
            (JobKind::Revoke { .. }, Holding::Held(held)) => {
                if held.on_hold() {
                    return self.refuse_on_hold(t);
                }
                held.revoke_wanted = true;
                if let Some(order) = &held.stop
                    && order.cause == crate::effect::StopCause::Move
                {
                    self.roll_back(t, "revoked".to_owned());
                }
            }
            (JobKind::Standby { on }, Holding::Held(held)) => {
                held.standby_wanted = *on;
                if held.value.standby == *on {
                    self.finish_done(t);
                }
            }
            (JobKind::Move { .. }, Holding::Held(held)) => {
                if held.on_hold() {
                    self.refuse_on_hold(t);
                } else if held.stop.is_some() || held.value.phase != Phase::Granted {
                    self.refuse(t, Why::Busy);
                } else {
                    self.ask_target(t);
                }
            }
            (JobKind::Standby { .. } | JobKind::Move { .. }, _) => self.refuse(t, Why::NotGranted),
            (JobKind::Grant { .. } | JobKind::Revoke { .. }, _) => {}
        }
    }

    pub(crate) fn job_timeout(&self, t: usize) -> Time {
        let Some(job) = &self.tickets[t].job else {
            return Time::NEVER;
        };
        let mut wake = job.deadline;
        if !job.sent {
            wake = wake.min(job.overdue);
        }
        if job.not_before > self.now {
            wake = wake.min(job.not_before);
        }
        match &job.kind {
            JobKind::Move { resend_at, .. } if job.step == Step::Check => wake.min(*resend_at),
            JobKind::Revoke {
                over_at,
                agreed: Some(_),
            } if *over_at > self.now => wake.min(*over_at),
            _ => wake,
        }
    }

    /// Looks after a job's deadline and its waits.
    pub(crate) fn advance_job(&mut self, t: usize) {
        let now = self.now;
        let Some(job) = &self.tickets[t].job else {
            return;
        };
        if now >= job.deadline {
            return self.job_timed_out(t);
        }
        if now >= job.overdue {
            return self.job_overdue(t);
        }
        match &job.kind {
            JobKind::Move { resend_at, .. } if job.step == Step::Check && now >= *resend_at => {
                self.ask_target(t);
            }
            JobKind::Revoke {
                agreed: Some(term), ..
            } => {
                let term = *term;
                let Some(known) = &self.tickets[t].known else {
                    return;
                };
                let value = &known.value;
                // Only the holder itself says so before every obligation is over.
                let by_holder = known.ballot.member == value.owner.0 && self.me != value.owner;
                if value.term > term {
                    self.refuse(t, Why::Changed);
                } else if value.phase == Phase::Revoked && by_holder {
                    self.finish_revoked(t, term);
                }
            }
            _ => {}
        }
    }

    /// No majority has answered yet. Nothing was proposed, so that trying again is safe: it goes on
    /// for as long as the operator waits.
    fn job_overdue(&mut self, t: usize) {
        let (now, silent) = (self.now, self.silent(t));
        let Some(job) = &mut self.tickets[t].job else {
            return;
        };
        job.overdue = Time::NEVER;
        if !job.sent {
            let at_most = Some(job.deadline.since(now));
            self.progress(t, Step::Agree, silent, at_most);
        }
    }

    fn job_timed_out(&mut self, t: usize) {
        let missing = self.silent(t);
        let (holder, may_run_for) = self.may_run(t);
        let Some(job) = &self.tickets[t].job else {
            return;
        };
        let (step, sent) = (job.step, job.sent);
        let no_majority = Outcome::Refused(Refused {
            why: if holder.is_some() && missing.is_empty() {
                Why::MayRun
            } else {
                Why::NoMajority
            },
            missing: missing.clone(),
            holder,
            may_run_for,
        });
        let unknown = |missing| Outcome::Unknown {
            step,
            missing,
            holder,
            may_run_for,
        };
        let outcome = match &job.kind {
            JobKind::Grant { .. } if step == Step::Start => unknown(vec![self.me]),
            JobKind::Grant { .. } | JobKind::Standby { .. } if sent => unknown(missing),
            JobKind::Grant { .. } | JobKind::Standby { .. } => no_majority,
            JobKind::Revoke {
                agreed: Some(_), ..
            } => match holder {
                Some(holder) => Outcome::Pending {
                    holder,
                    may_run_for,
                },
                None => unknown(missing),
            },
            JobKind::Revoke { .. } if sent => unknown(missing),
            JobKind::Revoke { .. } => no_majority,
            JobKind::Move { to, .. } => match step {
                Step::Check => Outcome::Refused(Refused {
                    missing: vec![*to],
                    ..Refused::because(Why::Unreachable)
                }),
                Step::Agree => no_majority,
                Step::Stop => {
                    return self.roll_back(t, "not stopped when the wait was over".to_owned());
                }
                _ => unknown(vec![*to]),
            },
        };
        if let Some(held) = self.tickets[t].held_mut() {
            held.transfer = None;
            held.standby_wanted = held.value.standby;
        }
        self.finish(t, outcome);
    }

    /// What a job wants of the register.
    pub(crate) fn job_wish(&self, t: usize) -> Option<Wish> {
        let job = self.tickets[t].job.as_ref()?;
        match &job.kind {
            JobKind::Grant { force, .. } if self.now >= job.not_before => {
                let purpose = if force.is_some() {
                    Purpose::Force
                } else {
                    Purpose::Grant
                };
                Some(Wish::Acquire(purpose))
            }
            _ => None,
        }
    }

    pub(crate) fn grant_change(
        &mut self,
        t: usize,
        current: Option<&Value>,
        highest: Term,
    ) -> Option<Change> {
        let job = self.tickets[t].job.as_mut()?;
        let JobKind::Grant {
            term,
            phase,
            revokes,
            open,
            force,
        } = &mut job.kind
        else {
            return None;
        };
        if std::mem::take(open) {
            job.overdue = Time::NEVER;
            if let Some(value) = current.filter(|value| value.is_held() && value.owner != self.me) {
                let holder = Some(value.owner);
                let refused = Refused {
                    holder,
                    ..Refused::because(Why::Granted)
                };
                self.finish(t, Outcome::Refused(refused));
                return None;
            }
            (*term, *phase) = place(current);
            *revokes = current.map_or(0, |value| value.revokes);
        }
        let (named, force) = ((*term, *phase), force.clone());
        let found = place(current);
        // A revoke may have been completed while its grant was waiting for it.
        let completed = found == (named.0, PhaseKind::Revoked) && named.1 == PhaseKind::Revoking;
        let as_named =
            current.map_or(0, |value| value.revokes) == *revokes && (found == named || completed);
        // So may a takeover by this very site, or an attempt of this job, that came to nothing.
        let mine = current.is_some_and(|value| {
            value.owner == self.me && value.phase == Phase::Granted && value.term >= named.0
        });
        let same = as_named || mine;
        if !same {
            self.refuse_changed(t, current);
            return None;
        }
        if force.is_none() && current.is_some_and(|value| value.hold.is_some() && value.is_held()) {
            self.refuse_on_hold(t);
            return None;
        }
        let manual = current.filter(|value| value.is_held() && value.class.is_manual());
        if force.is_none() && manual.is_some_and(|value| value.owner != self.me) {
            // Nothing but its holder's release frees a manual ticket.
            self.refuse(t, Why::MayRun);
            return None;
        }
        Some(self.new_grant(t, current, highest, force))
    }

    /// A value of ours leaves: from here on an operator cannot be told that nothing happened.
    pub(crate) fn note_sent(&mut self, t: usize) {
        if let Some(job) = &mut self.tickets[t].job {
            job.sent = true;
        }
    }

    /// A round met obligations: whoever has to wait for them learns for how long.
    pub(crate) fn note_obliged(&mut self, t: usize, round: &Round) {
        let surely_free = self.surely_free_at(round);
        let free = self.free_at(round);
        let now = self.now;
        let Some(job) = &mut self.tickets[t].job else {
            return;
        };
        match &mut job.kind {
            JobKind::Grant { force: None, .. }
                if round.wish == Wish::Acquire(Purpose::Grant) && free > now =>
            {
                if free >= job.deadline {
                    let (holder, may_run_for) = self.may_run(t);
                    let outcome = Outcome::Refused(Refused {
                        holder,
                        may_run_for: may_run_for
                            .max((free != Time::NEVER).then(|| free.since(now))),
                        ..Refused::because(Why::MayRun)
                    });
                    return self.finish(t, outcome);
                }
                job.not_before = free;
                job.overdue = Time::NEVER;
                let holder = self.may_run(t).0;
                let waiting = holder.into_iter().collect();
                self.progress(t, Step::WaitForLease, waiting, Some(free.since(now)));
            }
            JobKind::Revoke { over_at, .. } if round.wish == Wish::Revoke => *over_at = surely_free,
            _ => {}
        }
    }

    pub(crate) fn job_granted(&mut self, t: usize) {
        if let Some(Job {
            kind: JobKind::Grant { .. },
            ..
        }) = &self.tickets[t].job
        {
            let me = self.me;
            self.progress(t, Step::Start, vec![me], None);
        }
    }

    pub(crate) fn job_started(&mut self, t: usize) {
        if let Some(Job {
            kind: JobKind::Grant { .. },
            ..
        }) = &self.tickets[t].job
        {
            if self.tickets[t].held().is_some_and(|held| held.gives_up()) {
                // Revoked, or failed by its cluster, before its start was heard of.
                return self.refuse(t, Why::Changed);
            }
            self.finish_done(t);
        }
    }

    pub(crate) fn job_start_failed(&mut self, t: usize, reason: String) {
        if let Some(Job {
            kind: JobKind::Grant { .. },
            ..
        }) = &self.tickets[t].job
        {
            self.refuse(t, Why::StartFailed(reason));
        }
    }

    /// The holder's own round was agreed.
    pub(crate) fn job_own_chosen(&mut self, t: usize) {
        let now = self.now;
        let Some(held) = self.tickets[t].held() else {
            return;
        };
        let (phase, standby, term) = (held.value.phase, held.value.standby, held.term);
        let until = held.deadline;
        let me = self.me;
        let Some(job) = &mut self.tickets[t].job else {
            return;
        };
        match &mut job.kind {
            JobKind::Standby { on } if *on == standby => self.finish_done(t),
            JobKind::Move { .. }
                if matches!(phase, Phase::Moving(_)) && job.step == Step::Agree =>
            {
                let left = job.deadline.since(now);
                self.progress(t, Step::Stop, vec![me], Some(left));
            }
            JobKind::Revoke {
                agreed: agreed @ None,
                over_at,
            } if phase == Phase::Revoking => {
                *agreed = Some(term);
                *over_at = Time::NEVER;
                let left = (until != Time::NEVER).then(|| until.since(now));
                self.progress(t, Step::Stop, vec![me], left);
            }
            _ => {}
        }
    }

    pub(crate) fn job_rolled_back(&mut self, t: usize, reason: String) {
        if let Some(Job {
            kind: JobKind::Move { .. },
            ..
        }) = &self.tickets[t].job
        {
            self.refuse(t, Why::StopFailed(reason));
        }
    }

    pub(crate) fn job_releasing(&mut self, t: usize) {
        match self.tickets[t].job.as_ref().map(|job| &job.kind) {
            Some(JobKind::Move { .. }) => self.progress(t, Step::Release, Vec::new(), None),
            Some(JobKind::Grant { .. } | JobKind::Standby { .. }) => self.refuse(t, Why::Changed),
            Some(JobKind::Revoke { .. }) | None => {}
        }
    }

    /// The release is agreed: a move goes on at its target.
    pub(crate) fn job_released(&mut self, t: usize, accepted: &Accepted) {
        let Some(job) = &self.tickets[t].job else {
            return;
        };
        match &job.kind {
            JobKind::Move { to, .. } => {
                let (to, deadline, term) = (*to, job.deadline, accepted.value.term);
                self.progress(t, Step::Grant, vec![to], None);
                self.move_on(t, to, term, deadline);
            }
            // One that came after the release was begun has yet to be counted as a revoke, or a
            // grant that was asked for before it would undo it.
            JobKind::Revoke {
                agreed: Some(term), ..
            } if accepted.value.phase == Phase::Revoked && *term == accepted.value.term => {
                self.finish_revoked(t, accepted.value.term);
            }
            _ => {}
        }
    }

    /// Another grant came before our release was heard to be agreed: the target's own, where the
    /// answers to us were slower than it was.
    pub(crate) fn job_superseded(&mut self, t: usize) {
        let Some(JobKind::Move { to, .. }) = self.tickets[t].job.as_ref().map(|job| &job.kind)
        else {
            return;
        };
        let to = *to;
        let known = self.tickets[t].known_value();
        let Some(value) = known.filter(|value| value.owner == to && value.is_renewed()) else {
            return self.refuse(t, Why::Changed);
        };
        let (term, phase) = place(Some(value));
        let (revokes, force) = (value.revokes, None);
        let ask = Ask::Grant {
            term,
            phase,
            revokes,
            force,
        };
        let deadline = self.tickets[t]
            .job
            .as_ref()
            .map_or(self.now, |job| job.deadline);
        self.progress(t, Step::Grant, vec![to], None);
        self.ask_member(ErrandOwner::Move(t), to, t, ask, deadline);
        self.run_errands();
    }

    /// The lease ran out under a job.
    pub(crate) fn job_lapsed(&mut self, t: usize) {
        match self.tickets[t].job.as_ref().map(|job| &job.kind) {
            Some(JobKind::Revoke {
                agreed: Some(_), ..
            }) => {
                // It goes on as if another member had asked: the obligations' end decides.
                let end = self.tickets[t]
                    .acceptor
                    .obligation
                    .map_or(self.now, |o| o.until);
                if let Some(Job {
                    kind: JobKind::Revoke { over_at, .. },
                    ..
                }) = &mut self.tickets[t].job
                {
                    *over_at = end;
                }
            }
            Some(JobKind::Grant { .. } | JobKind::Move { .. } | JobKind::Standby { .. }) => {
                self.refuse(t, Why::NoMajority);
            }
            _ => {}
        }
    }

    /// Who may be running, and for how long still, as far as this member knows.
    pub(crate) fn may_run(&self, t: usize) -> (Option<MemberId>, Option<Duration>) {
        let ticket = &self.tickets[t];
        let Some(value) = ticket.known_value().filter(|value| value.is_held()) else {
            return (None, None);
        };
        let mut until = ticket.acceptor.obligation.map_or(self.now, |o| o.until);
        if let Some(Job {
            kind: JobKind::Revoke { over_at, .. },
            ..
        }) = &ticket.job
            && value.phase == Phase::Revoking
            && *over_at != Time::NEVER
        {
            until = until.max(*over_at);
        }
        let endless = until == Time::NEVER || value.hold.is_some() || value.class.is_manual();
        (Some(value.owner), (!endless).then(|| until.since(self.now)))
    }

    pub(crate) fn progress(
        &mut self,
        t: usize,
        step: Step,
        waiting_for: Vec<MemberId>,
        at_most: Option<Duration>,
    ) {
        let Some(job) = &mut self.tickets[t].job else {
            return;
        };
        job.step = step;
        let progress = Progress {
            step,
            waiting_for,
            at_most,
        };
        if job.told.as_ref() == Some(&progress) {
            return;
        }
        job.told = Some(progress.clone());
        let origin = job.origin;
        self.tell(origin, Outcome::Progress(progress));
    }

    pub(crate) fn finish(&mut self, t: usize, outcome: Outcome) {
        if let Some(job) = self.tickets[t].job.take() {
            let outcome = match outcome {
                // Its value may be stored somewhere, and somebody may complete it.
                Outcome::Refused(refused)
                    if job.sent
                        && matches!(job.kind, JobKind::Grant { .. })
                        && !matches!(refused.why, Why::StartFailed(_))
                        && !(job.step == Step::Start && refused.why == Why::Changed) =>
                {
                    Outcome::Unknown {
                        step: job.step,
                        missing: refused.missing,
                        holder: refused.holder,
                        may_run_for: refused.may_run_for,
                    }
                }
                outcome => outcome,
            };
            self.tell(job.origin, outcome);
        }
        self.touch(t);
    }

    pub(crate) fn finish_done(&mut self, t: usize) {
        let known = self.tickets[t].known_value();
        let owner = known
            .filter(|value| value.is_held())
            .map(|value| value.owner);
        let (term, phase) = self.tickets[t].known_place();
        self.finish(t, Outcome::Done { owner, term, phase });
    }

    pub(crate) fn refuse(&mut self, t: usize, why: Why) {
        let (holder, may_run_for) = self.may_run(t);
        let missing = if why == Why::NoMajority {
            self.silent(t)
        } else {
            Vec::new()
        };
        self.finish(
            t,
            Outcome::Refused(Refused {
                why,
                missing,
                holder,
                may_run_for,
            }),
        );
    }

    pub(crate) fn refuse_changed(&mut self, t: usize, current: Option<&Value>) {
        let holder = current
            .filter(|value| value.is_held())
            .map(|value| value.owner);
        self.finish(
            t,
            Outcome::Refused(Refused {
                holder,
                ..Refused::because(Why::Changed)
            }),
        );
    }

    pub(crate) fn refuse_on_hold(&mut self, t: usize) {
        let known = self.tickets[t]
            .known_value()
            .and_then(|value| value.hold.clone());
        let wanted = self.tickets[t]
            .held()
            .and_then(|held| held.hold_wanted.clone());
        self.refuse(t, Why::OnHold(wanted.or(known).unwrap_or_default()));
    }

    /// Who did not answer the last round, or is not connected; this very member, where its own disk
    /// has kept the round from being sent.
    pub(crate) fn silent(&self, t: usize) -> Vec<MemberId> {
        let ticket = &self.tickets[t];
        if let Some(round) = ticket.proposal.round()
            && round.gate > self.memory.stored
        {
            return vec![self.me];
        }
        let heard = match ticket.proposal.round() {
            Some(round) => Some((round.agreed, round.refused)),
            None => ticket.last_round,
        };
        let silent = |peer: &&crate::peer::Peer| match heard {
            Some((agreed, refused)) => !agreed.contains(peer.id) && !refused.contains(peer.id),
            None => !peer.connected,
        };
        self.peers
            .iter()
            .filter(silent)
            .map(|peer| peer.id)
            .collect()
    }
}
