//! Operators' commands at the member that was asked: read the register from a majority, then act
//! here, or ask the site that has to act.
//!
//! ```text
//!   command --> Reading --majority answered--> job here
//!                  |                       \-> Asked (sent again until answered) --> outcome
//!                  +-- too few answers until the wait is over: refused, names who is missing
//! ```
//!
//! An errand whose outcome may have come about without the member that was asked reads, too.

use std::time::Duration;

use crate::command::{Command, Outcome, Progress, Refused, Step, Why};
use crate::config::Role;
use crate::effect::{ClusterCommand, Effect};
use crate::errand::ErrandOwner;
use crate::ids::{MemberId, MemberSet, RequestId, Term, TicketId};
use crate::message::{Ask, Obliged, Part};
use crate::participant::Participant;
use crate::proposer::obliged_until;
use crate::ticket::{Holding, JobKind, Origin, place};
use crate::time::Time;
use crate::value::{Accepted, Phase, PhaseKind, Value};

/// Commands under way at one member: far more than operators type.
const REQUESTS_MAX: usize = 1024;
/// Outcomes remembered for askers whose answer was lost; each asks again within a second or so.
const FINISHED_MAX: usize = 256;
/// Questions to the cluster under way; each is asked by one move.
const CHECKS_MAX: usize = 256;
/// A majority that does not answer within so many round timeouts is waited for in the open: whoever
/// asked learns who is silent.
const READ_ROUNDS: u32 = 4;

/// A command that is being read for, or was asked of another member.
#[derive(Debug)]
pub(crate) struct Request {
    ticket: usize,
    reading: Reading,
    deadline: Time,
    query: u32,
    /// No majority has answered by then: an operator is told who is silent, and it goes on; an errand
    /// is looked after in another way.
    overdue: Time,
    resend_at: Time,
    answered: MemberSet,
    best: Option<Accepted>,
    obliged: Vec<(MemberId, Obliged, Time)>,
}

/// What a majority is read for.
#[derive(Debug)]
enum Reading {
    /// An operator's command.
    Command(RequestId, Command),
    /// An errand, by its number.
    Errand(u64),
}

/// An outcome told to another member.
#[derive(Debug)]
pub(crate) struct Finished {
    from: MemberId,
    run: u32,
    request: u64,
    outcome: Outcome,
}

/// A question to the cluster on behalf of a move.
#[derive(Debug)]
pub(crate) struct AnsweredCheck {
    ticket: TicketId,
    own: u64,
    from: MemberId,
    check: u64,
    result: Option<Result<(), String>>,
}

impl Participant {
    pub(crate) fn on_command(&mut self, id: RequestId, command: Command) {
        if let Command::Recover { reason } = command {
            return self.on_recover_command(id, &reason);
        }
        let Some(t) = command.ticket().and_then(|name| self.ticket_named(name)) else {
            return self.reply(id, Outcome::Refused(Refused::because(Why::UnknownTicket)));
        };
        if let Command::Grant { to, .. } | Command::Move { to, .. } = &command
            && self
                .config
                .member(*to)
                .is_none_or(|member| member.role != Role::Site)
        {
            return self.reply(id, Outcome::Refused(Refused::because(Why::NotASite)));
        }
        if self.requests.len() >= REQUESTS_MAX {
            return self.reply(id, Outcome::Refused(Refused::because(Why::Busy)));
        }
        let deadline = self.now.after(command.wait());
        if let Some(kind) = self.unread_grant(t, &command) {
            return self.start_job(t, Origin::Local(id), kind, deadline);
        }
        self.read(t, Reading::Command(id, command), deadline);
        self.run_requests();
    }

    /// Asks a majority what it has, because of an errand.
    pub(crate) fn read_for_errand(&mut self, number: u64, t: usize, deadline: Time) {
        if self.requests.len() < REQUESTS_MAX {
            self.read(t, Reading::Errand(number), deadline);
        }
    }

    fn read(&mut self, t: usize, reading: Reading, deadline: Time) {
        let query = u32::try_from(self.random.next() >> 32).unwrap_or_default();
        let mut request = Request {
            ticket: t,
            reading,
            deadline,
            query,
            overdue: deadline.min(self.read_until()),
            resend_at: self.now.after(self.resend_after(0)),
            answered: MemberSet::default(),
            best: None,
            obliged: Vec::new(),
        };
        if self.memory.voting {
            request.answered.insert(self.me);
            let acceptor = &self.tickets[t].acceptor;
            request.best.clone_from(&acceptor.record.accepted);
            if let Some(obliged) = acceptor.obliged(&self.context()) {
                let until = obliged_until(self.now, &obliged);
                request.obliged.push((self.me, obliged, until));
            }
        }
        self.send_query(&request);
        self.requests.push(request);
    }

    /// A majority that has not answered by then may not be there.
    pub(crate) fn read_until(&self) -> Time {
        self.now.after(self.config.round_timeout * READ_ROUNDS)
    }

    /// A grant to this very site of a ticket that nobody holds, as far as its own acceptor knows:
    /// the promises tell all that a read would, so the read is left out.
    fn unread_grant(&self, t: usize, command: &Command) -> Option<JobKind> {
        let ticket = &self.tickets[t];
        let free = ticket.known_value().is_none_or(|value| !value.is_held())
            && ticket.acceptor.obliged(&self.context()).is_none()
            && matches!(ticket.holding, Holding::None)
            && ticket.job.is_none();
        match command {
            Command::Grant {
                to, force: None, ..
            } if *to == self.me && free => {
                let (term, phase) = ticket.known_place();
                let (revokes, open) = (0, true);
                Some(JobKind::Grant {
                    term,
                    phase,
                    revokes,
                    open,
                    force: None,
                })
            }
            _ => None,
        }
    }

    fn send_query(&mut self, request: &Request) {
        let ticket = self.tickets[request.ticket].id;
        for p in 0..self.peers.len() {
            let to = self.peers[p].id;
            if !request.answered.contains(to) {
                self.send(
                    to,
                    Part::Query {
                        ticket,
                        query: request.query,
                    },
                );
            }
        }
    }

    pub(crate) fn on_answer(
        &mut self,
        from: MemberId,
        ticket: TicketId,
        query: u32,
        accepted: Option<Accepted>,
        obliged: Option<Obliged>,
    ) {
        let now = self.now;
        let Some(t) = self.ticket_index(ticket) else {
            return;
        };
        if let Some(accepted) = &accepted {
            self.learn(t, accepted.clone());
        }
        let mine = |request: &&mut Request| request.query == query && request.ticket == t;
        let Some(request) = self.requests.iter_mut().find(mine) else {
            return;
        };
        if request.answered.contains(from) {
            return;
        }
        request.answered.insert(from);
        if let Some(accepted) = accepted {
            let key = (accepted.ballot, accepted.seq);
            if request
                .best
                .as_ref()
                .is_none_or(|best| (best.ballot, best.seq) < key)
            {
                request.best = Some(accepted);
            }
        }
        if let Some(obliged) = obliged {
            request
                .obliged
                .push((from, obliged, obliged_until(now, &obliged)));
        }
        self.run_requests();
    }

    /// Looks after all requests and errands.
    pub(crate) fn run_requests(&mut self) {
        let (now, majority) = (self.now, self.config.majority());
        let mut r = 0;
        while r < self.requests.len() {
            let request = &self.requests[r];
            if request.answered.len() >= majority {
                let request = self.requests.swap_remove(r);
                self.decide(request);
            } else if now >= request.overdue {
                let request = self.requests.swap_remove(r);
                self.unread(request);
            } else {
                if now >= request.resend_at {
                    let mut request = self.requests.swap_remove(r);
                    self.send_query(&request);
                    request.resend_at = now.after(self.config.round_timeout);
                    self.requests.push(request);
                    continue;
                }
                r += 1;
            }
        }
        self.run_errands();
    }

    pub(crate) fn request_timeout(&self) -> Time {
        let reading = self
            .requests
            .iter()
            .map(|request| request.overdue.min(request.resend_at));
        let asked = self
            .errands
            .iter()
            .map(|errand| errand.deadline.min(errand.resend_at));
        reading.chain(asked).min().unwrap_or(Time::NEVER)
    }

    /// Reading changes nothing, so that it is tried for as long as the operator waits: members that
    /// are slow, or come back, still answer in time.
    fn unread(&mut self, mut request: Request) {
        let id = match request.reading {
            Reading::Command(id, _) => id,
            Reading::Errand(number) => return self.errand_unread(number),
        };
        let silent = |id: &MemberId| !request.answered.contains(*id);
        let missing: Vec<MemberId> = self
            .peers
            .iter()
            .map(|peer| peer.id)
            .filter(silent)
            .collect();
        if self.now < request.deadline {
            let (step, waiting_for) = (Step::Read, missing);
            let at_most = Some(request.deadline.since(self.now));
            let progress = Progress {
                step,
                waiting_for,
                at_most,
            };
            self.reply(id, Outcome::Progress(progress));
            request.overdue = request.deadline;
            return self.requests.push(request);
        }
        let (holder, may_run_for) = self.may_run(request.ticket);
        let outcome = Outcome::Refused(Refused {
            why: Why::NoMajority,
            missing,
            holder,
            may_run_for,
        });
        self.reply(id, outcome);
    }

    /// A majority answered: what is to be done, and by whom?
    fn decide(&mut self, request: Request) {
        let Request {
            ticket: t,
            reading,
            deadline,
            best,
            obliged,
            ..
        } = request;
        let value = best.map(|best| best.value);
        let (id, command) = match reading {
            Reading::Command(id, command) => (id, command),
            Reading::Errand(number) => return self.errand_read(number, value.as_ref()),
        };
        let kind = match self.judge(&command, value.as_ref(), &obliged) {
            Ok(kind) => kind,
            Err(outcome) => return self.reply(id, outcome),
        };
        let (actor, kind) = match kind {
            Act::Here(kind) => (self.me, Err(kind)),
            Act::At(site, ask) => (site, Ok(ask)),
        };
        match kind {
            Err(kind) => self.start_job(t, Origin::Local(id), kind, deadline),
            Ok(ask) if actor == self.me => {
                let kind = self.job_of(ask);
                self.start_job(t, Origin::Local(id), kind, deadline);
            }
            Ok(ask) => {
                self.ask_member(ErrandOwner::Request(id), actor, t, ask, deadline);
            }
        }
    }

    /// What a command comes to, given what a majority has.
    fn judge(
        &self,
        command: &Command,
        value: Option<&Value>,
        obliged: &[(MemberId, Obliged, Time)],
    ) -> Result<Act, Outcome> {
        let now = self.now;
        let holder = value
            .filter(|value| value.is_held())
            .map(|value| value.owner);
        let protects = obliged
            .iter()
            .filter(|(_, obliged, _)| obliged.owner == holder);
        let until = holder.and_then(|_| protects.map(|&(_, _, until)| until).max());
        let may_run_for = until
            .filter(|&until| until != Time::NEVER)
            .map(|until| until.since(now));
        let refuse = |why| {
            Err(Outcome::Refused(Refused {
                why,
                missing: Vec::new(),
                holder,
                may_run_for,
            }))
        };
        let on_hold = value
            .filter(|value| value.is_held())
            .and_then(|value| value.hold.clone());
        let (term, phase) = place(value);
        let revokes = value.map_or(0, |value| value.revokes);
        let grant = |force| Ask::Grant {
            term,
            phase,
            revokes,
            force,
        };
        match command {
            Command::Grant { to, force, .. } => {
                let live = until.is_some_and(|until| until > now);
                let granted = matches!(phase, PhaseKind::Granted | PhaseKind::Moving);
                if force.is_none() && granted && live && holder != Some(*to) {
                    return refuse(on_hold.map_or(Why::Granted, Why::OnHold));
                }
                Ok(Act::At(*to, grant(force.clone())))
            }
            Command::Revoke { .. } => match (phase, on_hold) {
                (PhaseKind::None, _) => refuse(Why::NotGranted),
                (_, Some(reason)) => refuse(Why::OnHold(reason)),
                _ => Ok(Act::Here(JobKind::Revoke {
                    agreed: None,
                    over_at: Time::ZERO,
                })),
            },
            Command::Move { to, .. } => match (value, on_hold) {
                (_, Some(reason)) => refuse(Why::OnHold(reason)),
                (Some(value), None) if value.phase == Phase::Granted => {
                    if value.owner == *to {
                        // It has the ticket, or had it when it died: it says when it runs there.
                        return Ok(Act::At(*to, grant(None)));
                    }
                    Ok(Act::At(value.owner, Ask::Move { term, to: *to }))
                }
                (Some(value), None) if value.is_held() => refuse(Why::Busy),
                _ => refuse(Why::NotGranted),
            },
            Command::Standby { on, .. } => match value {
                Some(value) if value.is_renewed() => {
                    Ok(Act::At(value.owner, Ask::Standby { term, on: *on }))
                }
                _ => refuse(Why::NotGranted),
            },
            Command::Recover { .. } => refuse(Why::NotLost),
        }
    }

    pub(crate) fn job_of(&mut self, ask: Ask) -> JobKind {
        match ask {
            Ask::Grant {
                term,
                phase,
                revokes,
                force,
            } => JobKind::Grant {
                term,
                phase,
                revokes,
                open: false,
                force,
            },
            Ask::Move { term: _, to } => JobKind::Move {
                to,
                check: self.random.next(),
                resend_at: Time::ZERO,
                transfer: None,
            },
            Ask::Standby { term: _, on } => JobKind::Standby { on },
        }
    }

    /// Another member asks on behalf of an operator.
    pub(crate) fn on_ask(
        &mut self,
        from: MemberId,
        run: u32,
        request: u64,
        ticket: TicketId,
        ask: Ask,
        wait_ms: u32,
    ) {
        let same =
            |done: &&Finished| done.from == from && done.run == run && done.request == request;
        if let Some(done) = self.finished.iter().find(same) {
            let outcome = done.outcome.clone();
            return self.send(from, Part::Told { request, outcome });
        }
        let origin = Origin::Remote { from, run, request };
        let Some(t) = self.ticket_index(ticket) else {
            return self.tell(
                origin,
                Outcome::Refused(Refused::because(Why::UnknownTicket)),
            );
        };
        if !self.is_site {
            return self.tell(origin, Outcome::Refused(Refused::because(Why::NotASite)));
        }
        if let Some(job) = &self.tickets[t].job
            && job.origin == origin
        {
            let (waiting_for, at_most) = (Vec::new(), None);
            let now_at = Progress {
                step: job.step,
                waiting_for,
                at_most,
            };
            let told = job.told.clone().unwrap_or(now_at);
            return self.send(
                from,
                Part::Told {
                    request,
                    outcome: Outcome::Progress(told),
                },
            );
        }
        if let Ask::Grant { term, .. } = &ask
            && self.grants_already(t, *term)
        {
            // Asked again when it is over.
            return;
        }
        if let Ask::Move { term, .. } | Ask::Standby { term, .. } = &ask
            && self.tickets[t].held().is_none_or(|held| held.term != *term)
        {
            return self.tell(origin, Outcome::Refused(Refused::because(Why::Changed)));
        }
        let deadline = self.now.after(Duration::from_millis(u64::from(wait_ms)));
        let kind = self.job_of(ask);
        self.start_job(t, origin, kind, deadline);
    }

    /// Whether this very term is being started here for somebody else.
    fn grants_already(&self, t: usize, term: Term) -> bool {
        let ticket = &self.tickets[t];
        let job = ticket.job.as_ref();
        job.is_some_and(|job| matches!(job.kind, JobKind::Grant { .. }))
            && ticket.held().is_some_and(|held| held.term == term)
    }

    /// Tells whoever wished it how a job goes.
    pub(crate) fn tell(&mut self, origin: Origin, outcome: Outcome) {
        match origin {
            Origin::Local(id) => self.reply(id, outcome),
            Origin::Remote { from, run, request } => {
                if outcome.is_final() {
                    if self.finished.len() == FINISHED_MAX {
                        self.finished.pop_front();
                    }
                    let outcome = outcome.clone();
                    self.finished.push_back(Finished {
                        from,
                        run,
                        request,
                        outcome,
                    });
                }
                self.send(from, Part::Told { request, outcome });
            }
        }
    }

    pub(crate) fn reply(&mut self, id: RequestId, outcome: Outcome) {
        self.effects.push_back(Effect::Reply { id, outcome });
    }

    /// Asks this site's cluster on behalf of `from`, once.
    pub(crate) fn check_for(&mut self, t: usize, from: MemberId, check: u64) {
        let ticket = self.tickets[t].id;
        let same = |asked: &&AnsweredCheck| asked.from == from && asked.check == check;
        if let Some(asked) = self.checks.iter().find(same) {
            if let Some(result) = asked.result.clone() {
                self.send(
                    from,
                    Part::Checked {
                        ticket,
                        check,
                        result,
                    },
                );
            }
            return;
        }
        if !self.is_site || !self.memory.voting {
            let result = Err("this member cannot hold tickets now".to_owned());
            return self.send(
                from,
                Part::Checked {
                    ticket,
                    check,
                    result,
                },
            );
        }
        if self.checks.len() == CHECKS_MAX {
            self.checks.pop_front();
        }
        let own = self.random.next();
        self.checks.push_back(AnsweredCheck {
            ticket,
            own,
            from,
            check,
            result: None,
        });
        let ticket = self.name(t);
        self.order(ClusterCommand::Check { ticket, check: own });
    }

    pub(crate) fn own_checked(&mut self, t: usize, own: u64, result: Result<(), String>) {
        let ticket = self.tickets[t].id;
        let same = |asked: &&mut AnsweredCheck| asked.own == own && asked.ticket == ticket;
        let Some(asked) = self.checks.iter_mut().find(same) else {
            return;
        };
        asked.result = Some(result.clone());
        let (from, check) = (asked.from, asked.check);
        self.send(
            from,
            Part::Checked {
                ticket,
                check,
                result,
            },
        );
    }
}

/// Who carries a command out.
enum Act {
    Here(JobKind),
    At(MemberId, Ask),
}
