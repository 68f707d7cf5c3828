//! A cluster that is our own local stack.
//!
//! The stack is told the lease as it should be now ([`Lease`], said again after each reconnection)
//! and tells how the ticket stands ([`TicketStatus`]); a command is carried out when the status says
//! so. The guard gets every deadline from here, before the stack does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stack_api::guard::Protection;
use stack_api::stack::{
    Answer, Do, Event, Lease, ResourceState, Status, TicketName as StackTicket, TicketStatus,
};
use ticket_admin::{Dependent, NodeView};
use ticket_protocol::{ClusterCommand, ClusterReport, StopId, Term, TicketName, Time};
use ticket_service::{Clock, Reports};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::asker::{Asker, News};
use super::connection::Stack;
use super::guard::GuardClient;
use super::worker::{Driver, Ticket};

/// What a stop may take beyond the stack's own stop budget before it is reported as failed: the
/// scheduler's turn and the last agent's kill.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// How the local stack is driven.
pub(crate) struct Settings {
    /// Its control socket.
    pub(crate) socket: PathBuf,
    /// How long one request may take, and a grant until it is read back.
    pub(crate) timeout: Duration,
    /// Tickets without a lease.
    pub(crate) manual: BTreeSet<TicketName>,
    /// The leases of the others.
    pub(crate) leases: BTreeMap<TicketName, Duration>,
    /// The site, for `status`.
    pub(crate) site: String,
}

/// The driver. Clones share everything.
#[derive(Clone)]
pub(crate) struct StackDriver {
    settings: Arc<Settings>,
    clock: Clock,
    guard: Option<GuardClient>,
    asker: Asker<Stack>,
    reports: Reports,
    known: Arc<Mutex<Known>>,
    /// Raised whenever something became known, for those who wait for it.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    /// Why the stack cannot be reached, while it cannot.
    unreachable: Option<String>,
    /// The first thing said to it since it was last heard.
    told: Option<Instant>,
    node: String,
    protection: Option<Protection>,
    tickets: BTreeMap<TicketName, Entry>,
}

#[derive(Default)]
struct Entry {
    /// The lease as it should be.
    lease: Option<Lease>,
    status: Option<TicketStatus>,
    /// The hold that was reported, with its term.
    hold: Option<(Term, String)>,
    /// Since when the ticket is here and the stack does not keep it granted.
    unwell: Option<Instant>,
}

/// How far a wait has come.
enum Look {
    Done,
    Wait,
    Hopeless(String),
}

impl StackDriver {
    pub(crate) fn start(
        settings: Settings,
        clock: Clock,
        guard: Option<GuardClient>,
        reports: Reports,
    ) -> Self {
        let (asker, news) = Asker::start(settings.socket.clone(), settings.timeout);
        let known = Known {
            unreachable: Some("not connected yet".to_owned()),
            ..Known::default()
        };
        let driver = Self {
            settings: Arc::new(settings),
            clock,
            guard,
            asker,
            reports,
            known: Arc::new(Mutex::new(known)),
            changed: watch::Sender::new(0),
        };
        tokio::spawn(listen(driver.clone(), news));
        driver
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Every change is one step: a panic elsewhere leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the lease as it should be, and says it. `None`: nothing to change.
    fn set(&self, name: &TicketName, term: Term, change: impl FnOnce(&mut Lease)) -> Option<Lease> {
        let mut known = self.lock();
        let entry = known.tickets.entry(name.clone()).or_default();
        let seen = entry.status.as_ref().map_or(0, |status| status.generation);
        let mut lease = match entry.lease.take() {
            Some(lease) if lease.term > term.0 => {
                // A late command of a term that is over.
                entry.lease = Some(lease);
                return None;
            }
            Some(lease) if lease.term == term.0 => lease,
            Some(_) | None => Lease {
                ticket: name.0.clone(),
                term: term.0,
                generation: 0,
                granted: false,
                standby: false,
                stop: false,
                hold: false,
                deadline_ns: None,
            },
        };
        change(&mut lease);
        lease.generation = lease.generation.max(seen) + 1;
        entry.lease = Some(lease.clone());
        Some(lease)
    }

    /// Says a lease; the answer comes as news. A stack that takes nothing hears it when it is
    /// connected again.
    fn say(&self, lease: Lease) {
        self.lock().told.get_or_insert_with(Instant::now);
        if !self.asker.tell(Do::Lease(lease)) {
            tracing::warn!("the local stack takes no requests");
        }
    }

    /// Changes the lease and waits until the status satisfies `look`, within `limit`.
    async fn change_and_wait(
        &self,
        name: &TicketName,
        term: Term,
        change: impl FnOnce(&mut Lease),
        look: impl Fn(&TicketStatus) -> Look,
        limit: impl Fn(Option<&TicketStatus>) -> Instant,
        ticket: &Ticket,
    ) -> Result<(), String> {
        let mut changed = self.changed.subscribe();
        let lease = self
            .set(name, term, change)
            .ok_or_else(|| "a later term is known here".to_owned())?;
        let generation = lease.generation;
        self.say(lease);
        loop {
            let (until, problems) = {
                let known = self.lock();
                let status = known.tickets.get(name).and_then(|it| it.status.as_ref());
                // A later term of the stack's answers for ours too: it ends whatever is older.
                let current = status.filter(|it| {
                    it.term > term.0 || (it.term == term.0 && it.generation >= generation)
                });
                match current.map(&look) {
                    Some(Look::Done) => return Ok(()),
                    Some(Look::Hopeless(why)) => return Err(why),
                    Some(Look::Wait) | None => {}
                }
                (limit(status), problems(&known, current))
            };
            tokio::select! {
                // The sender lives as long as `self`.
                _ = changed.changed() => {}
                () = sleep_until(until) => return Err(problems),
                () = ticket.superseded() => {
                    return Err("made pointless by a later command".to_owned());
                }
            }
        }
    }

    async fn grant(
        &self,
        name: &TicketName,
        term: Term,
        deadline: Option<Time>,
        standby: bool,
        ticket: &Ticket,
    ) -> Result<(), String> {
        let began = Instant::now();
        let left = deadline.map_or(Duration::MAX, |at| at.since(self.clock.now()));
        let until = began + left.min(self.settings.timeout);
        let change = |lease: &mut Lease| {
            lease.granted = true;
            lease.standby = standby;
            lease.stop = false;
            lease.hold = false;
            lease.deadline_ns = lease.deadline_ns.max(deadline.map(|at| at.0));
        };
        let look = |status: &TicketStatus| match cannot_run(status) {
            _ if status.term > term.0 => {
                let later = status.term;
                Look::Hopeless(format!("the local stack knows a later term: {later}"))
            }
            _ if !status.granted => Look::Wait,
            _ if status.started || standby => Look::Done,
            Some(why) => Look::Hopeless(why),
            None => Look::Wait,
        };
        let result = self
            .change_and_wait(name, term, change, look, |_| until, ticket)
            .await;
        // What is still starting when the time is over (a database may take minutes) has the grant,
        // and is given up later if it comes to nothing.
        let known = self.lock();
        let status = known.tickets.get(name).and_then(|it| it.status.as_ref());
        let status = status.filter(|it| it.term == term.0 && it.granted);
        match status.map(cannot_run) {
            Some(None) if Instant::now() >= until => Ok(()),
            Some(_) | None => result,
        }
    }

    async fn stop(
        &self,
        name: &TicketName,
        term: Term,
        deadline: Option<Time>,
        ticket: &Ticket,
    ) -> Result<(), String> {
        let began = Instant::now();
        let longest = deadline.map(|at| began + at.since(self.clock.now()));
        let limit = |status: Option<&TicketStatus>| {
            let budget = status.map_or(self.settings.timeout, |status| {
                Duration::from_millis(status.stop_budget_ms)
            });
            let budget = began + budget + STOP_MARGIN;
            longest.map_or(budget, |longest| longest.min(budget))
        };
        let change = |lease: &mut Lease| lease.stop = true;
        self.change_and_wait(name, term, change, stopped, limit, ticket)
            .await
    }

    async fn recall(&self, name: &TicketName) -> ClusterReport {
        let status = self.first_status(name).await;
        let manual = self.settings.manual.contains(name);
        let held = match (&self.guard, &status) {
            // What runs goes on; what does not may only start by the majority's word of today.
            (_, Ok(status)) if manual => {
                (status.granted && runs(status)).then_some((Term(status.term), Time::NEVER))
            }
            (Some(guard), _) => match guard.held(name, self.clock.now()).await {
                Ok(held) => held,
                Err(error) => {
                    tracing::warn!(ticket = %name, %error, "nothing counts as held");
                    None
                }
            },
            (None, _) => None,
        };
        if let Err(error) = &status {
            tracing::warn!(ticket = %name, %error, "what runs here is not known");
        }
        if let Some((term, deadline)) = held {
            self.remember(name, term, deadline, status.as_ref().ok());
        }
        ClusterReport::Recalled {
            ticket: name.clone(),
            held,
            release_begun: false,
            quiet: status.is_ok_and(|status| status.quiet),
        }
    }

    /// Takes over the lease that an earlier agent gave the stack. It is not said before the protocol
    /// goes on with the term, by a renewal or an order.
    fn remember(
        &self,
        name: &TicketName,
        term: Term,
        deadline: Time,
        status: Option<&TicketStatus>,
    ) {
        let status = status.filter(|status| status.term == term.0);
        let lease = Lease {
            ticket: name.0.clone(),
            term: term.0,
            generation: status.map_or(0, |status| status.generation),
            granted: true,
            standby: status.is_some_and(|status| status.standby),
            stop: false,
            hold: false,
            deadline_ns: Some(deadline.0).filter(|_| deadline != Time::NEVER),
        };
        let mut known = self.lock();
        let entry = known.tickets.entry(name.clone()).or_default();
        if entry.lease.is_none() {
            entry.lease = Some(lease);
        }
    }

    /// The ticket's status, asked for as soon as the stack can be reached, within the timeout: both
    /// may have been started at the same moment.
    async fn first_status(&self, name: &TicketName) -> Result<TicketStatus, String> {
        let mut changed = self.changed.subscribe();
        let until = Instant::now() + self.settings.timeout;
        loop {
            let unreachable = self.lock().unreachable.clone();
            let Some(why) = unreachable else { break };
            tokio::select! {
                // The sender lives as long as `self`.
                _ = changed.changed() => {}
                () = sleep_until(until) => return Err(why),
            }
        }
        let question = Do::TicketStatus(StackTicket {
            ticket: name.0.clone(),
        });
        match self.asker.ask(question).await? {
            Answer::Ticket(status) => {
                self.learn(status.clone());
                Ok(status)
            }
            other => Err(format!(
                "the local stack answered something else: {other:?}"
            )),
        }
    }

    /// Takes a status in.
    fn learn(&self, status: TicketStatus) {
        let name = TicketName(status.ticket.clone());
        let mut known = self.lock();
        known.protection = Some(status.protection);
        let entry = known.tickets.entry(name.clone()).or_default();
        entry.status = Some(status);
        drop(known);
        self.changed.send_modify(|count| *count += 1);
        self.assess(&name);
    }

    /// Looks whether the stack keeps a ticket granted that is held here. If it does not for as long
    /// as a lease, the ticket is given up, so that another site can run what depends on it: a stack
    /// that is gone, hangs, has lost its guard, or counts the term as over.
    fn assess(&self, name: &TicketName) {
        let Some(patience) = self.settings.leases.get(name).copied() else {
            return;
        };
        let mut known = self.lock();
        let trouble = trouble(&known, name, patience);
        let Some(entry) = known.tickets.get_mut(name) else {
            return;
        };
        match (trouble, entry.unwell) {
            (None, _) => entry.unwell = None,
            (Some(_), Some(_)) => {}
            (Some(_), None) => {
                let since = Instant::now();
                entry.unwell = Some(since);
                let (driver, name) = (self.clone(), name.clone());
                tokio::spawn(async move { driver.lose_patience(&name, since, patience).await });
            }
        }
    }

    fn assess_all(&self) {
        let names: Vec<TicketName> = self.lock().tickets.keys().cloned().collect();
        for name in names {
            self.assess(&name);
        }
    }

    /// Gives a ticket up again and again, a lease apart, as long as it is unwell.
    async fn lose_patience(&self, name: &TicketName, since: Instant, patience: Duration) {
        let mut at = since + patience;
        loop {
            sleep_until(at).await;
            let (term, reason) = {
                let known = self.lock();
                let entry = known.tickets.get(name);
                let lease = entry.filter(|it| it.unwell == Some(since));
                let Some(lease) = lease.and_then(|it| it.lease.as_ref()) else {
                    return;
                };
                match trouble(&known, name, patience) {
                    Some(reason) => (Term(lease.term), reason),
                    None => return,
                }
            };
            let report = ClusterReport::Failed {
                ticket: name.clone(),
                term,
                reason,
            };
            if self.reports.send(report).await.is_err() {
                return;
            }
            at += patience;
        }
    }

    /// The report that a status calls for: a hold that begins, or ends.
    fn hold_change(&self, name: &TicketName) -> Option<(Term, bool, String)> {
        let mut known = self.lock();
        let entry = known.tickets.get_mut(name)?;
        let (lease, status) = (entry.lease.as_ref()?, entry.status.as_ref()?);
        let term = Term(lease.term);
        if !lease.granted || status.term != lease.term {
            entry.hold = None;
            return None;
        }
        match (&status.hold, &entry.hold) {
            (Some(reason), None) => {
                let reason = reason.clone();
                entry.hold = Some((term, reason.clone()));
                Some((term, true, reason))
            }
            (None, Some((term, reason))) => {
                let ended = (*term, false, reason.clone());
                entry.hold = None;
                Some(ended)
            }
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    /// Reports a hold; before its end is reported the deadline is in force again.
    async fn report_hold(&self, name: TicketName, term: Term, on: bool, reason: String) {
        if !on {
            if let Some(lease) = self.set(&name, term, |lease| lease.hold = false) {
                self.say(lease);
            }
            if let Some(guard) = &self.guard
                && let Err(error) = guard.hold(&name, term, false).await
            {
                tracing::error!(ticket = %name, %error, "the guard still keeps the hold");
                return;
            }
        }
        let report = ClusterReport::Hold {
            ticket: name,
            term,
            on,
            reason,
        };
        // The loop has ended: nobody is left to be told.
        let _ended = self.reports.send(report).await;
    }

    async fn hold_agreed(&self, name: &TicketName, term: Term) {
        if let Some(guard) = &self.guard
            && let Err(error) = guard.hold(name, term, true).await
        {
            tracing::warn!(ticket = %name, %error, "the deadline stays in force");
            return;
        }
        if let Some(lease) = self.set(name, term, |lease| lease.hold = true) {
            self.say(lease);
        }
    }

    async fn check(&self, name: &TicketName) -> Result<(), String> {
        let question = Do::CheckTicket(StackTicket {
            ticket: name.0.clone(),
        });
        match self.asker.ask(question).await? {
            Answer::Check(check) if check.able => Ok(()),
            Answer::Check(check) => Err(check.problems.join("; ")),
            other => Err(format!(
                "the local stack answered something else: {other:?}"
            )),
        }
    }

    /// A new connection: says every lease again and asks who is there.
    fn connected(&self) {
        let mut known = self.lock();
        known.unreachable = None;
        for entry in known.tickets.values_mut() {
            // A restarted stack knows nothing, whatever the last one said.
            entry.status = None;
        }
        let leases: Vec<Lease> = known
            .tickets
            .values()
            .filter_map(|entry| entry.lease.clone())
            .collect();
        drop(known);
        for lease in leases {
            self.say(lease);
        }
        let _told = self.asker.tell(Do::Status);
        self.changed.send_modify(|count| *count += 1);
        self.assess_all();
    }

    fn learn_all(&self, status: Status) {
        {
            let mut known = self.lock();
            known.node = status.node;
            known.protection = Some(status.protection);
        }
        for ticket in status.tickets {
            self.learn(ticket);
        }
    }
}

/// Why the stack does not keep a ticket granted that is held here; `None` if it does, or need not.
fn trouble(known: &Known, name: &TicketName, patience: Duration) -> Option<String> {
    let entry = known.tickets.get(name)?;
    let lease = entry.lease.as_ref()?;
    if !lease.granted || lease.stop {
        return None;
    }
    if let Some(why) = &known.unreachable {
        return Some(why.clone());
    }
    if known.told.is_some_and(|told| told.elapsed() > patience) {
        return Some("the local stack does not answer".to_owned());
    }
    let status = entry.status.as_ref().filter(|it| it.term == lease.term);
    match status {
        // Nothing is to run: a stack that knows that does all it should.
        Some(status) if status.standby && lease.standby => None,
        Some(status) if status.granted => cannot_run(status),
        Some(status) if !status.problems.is_empty() => Some(status.problems.join("; ")),
        Some(_) => Some("the local stack does not keep it granted".to_owned()),
        None => Some("the local stack does not know of the lease".to_owned()),
    }
}

/// Why a wait was in vain, as far as the stack tells.
fn problems(known: &Known, status: Option<&TicketStatus>) -> String {
    match (&known.unreachable, status) {
        (Some(why), _) => why.clone(),
        (None, Some(status)) if !status.problems.is_empty() => status.problems.join("; "),
        (None, Some(status)) if !status.quiet => {
            let running: Vec<String> = status
                .dependents
                .iter()
                .filter(|it| it.state != ResourceState::Stopped)
                .map(|it| format!("{} is {}", it.resource, it.state.name()))
                .collect();
            format!("not in time: {}", running.join(", "))
        }
        (None, Some(_)) => "not in time".to_owned(),
        (None, None) => "the local stack does not answer".to_owned(),
    }
}

/// Something that depends on the ticket is known to run.
fn runs(status: &TicketStatus) -> bool {
    let mut states = status.dependents.iter().map(|it| it.state);
    states.any(|state| matches!(state, ResourceState::Started | ResourceState::Promoted))
}

/// Why nothing that depends on a granted ticket runs or is going to, if that is so.
fn cannot_run(status: &TicketStatus) -> Option<String> {
    let down = |state: ResourceState| {
        matches!(
            state,
            ResourceState::Stopped | ResourceState::Failed | ResourceState::Blocked
        )
    };
    let idle = status.dependents.iter().all(|it| down(it.state));
    let hopeless = idle && !status.started && status.hold.is_none() && !status.problems.is_empty();
    hopeless.then(|| status.problems.join("; "))
}

/// Whether a stop has come to its end.
fn stopped(status: &TicketStatus) -> Look {
    if status.quiet {
        return Look::Done;
    }
    let blocked: Vec<&str> = status
        .dependents
        .iter()
        .filter(|it| it.state == ResourceState::Blocked)
        .map(|it| it.resource.as_str())
        .collect();
    match blocked.as_slice() {
        [] => Look::Wait,
        blocked => Look::Hopeless(format!("the stop of {} failed", blocked.join(", "))),
    }
}

impl Driver for StackDriver {
    fn deadline(&self, ticket: &TicketName, term: Term, deadline: Time) {
        if let Some(guard) = &self.guard {
            guard.deadline(ticket, term, deadline, &self.reports);
        }
        let mut known = self.lock();
        let lease = known
            .tickets
            .get_mut(ticket)
            .and_then(|entry| entry.lease.as_mut())
            .filter(|lease| lease.term == term.0 && lease.granted);
        if let Some(lease) = lease {
            lease.deadline_ns = lease.deadline_ns.max(Some(deadline.0));
            let lease = lease.clone();
            drop(known);
            self.say(lease);
            self.assess(ticket);
        }
    }

    async fn carry_out(&self, command: ClusterCommand, ticket: &Ticket) -> Option<ClusterReport> {
        match command {
            ClusterCommand::Grant {
                ticket: name,
                term,
                deadline,
                standby,
            } => {
                let result = self.grant(&name, term, deadline, standby, ticket).await;
                Some(ClusterReport::Granted {
                    ticket: name,
                    term,
                    result,
                })
            }
            // Told when it was posted.
            ClusterCommand::Extend { .. } => None,
            ClusterCommand::Stop {
                ticket: name,
                term,
                stop,
                deadline,
                ..
            } => {
                let result = self.stop(&name, term, deadline, ticket).await;
                Some(report_stopped(name, term, stop, result))
            }
            ClusterCommand::Withdraw { ticket: name, term } => {
                let change = |lease: &mut Lease| lease.granted = false;
                if let Some(lease) = self.set(&name, term, change) {
                    self.say(lease);
                }
                None
            }
            ClusterCommand::Activate {
                ticket: name, term, ..
            } => {
                if let Some(lease) = self.set(&name, term, |lease| lease.stop = false) {
                    self.say(lease);
                }
                None
            }
            ClusterCommand::Standby {
                ticket: name,
                term,
                on,
            } => {
                if let Some(lease) = self.set(&name, term, |lease| lease.standby = on) {
                    self.say(lease);
                }
                None
            }
            ClusterCommand::HoldAgreed { ticket: name, term } => {
                self.hold_agreed(&name, term).await;
                None
            }
            ClusterCommand::Check {
                ticket: name,
                check,
            } => {
                let result = self.check(&name).await;
                Some(ClusterReport::Checked {
                    ticket: name,
                    check,
                    result,
                })
            }
            ClusterCommand::Recall { ticket: name } => Some(self.recall(&name).await),
        }
    }

    fn nodes(&self) -> Vec<NodeView> {
        let guard = self.guard.as_ref().map(GuardClient::protection);
        let known = self.lock();
        // The stack knows more of its node than the guard alone: what it cannot arm protects nothing.
        let protection = match (known.protection, guard) {
            (Some(protection), Some((_, true))) => protection,
            (None, Some((protection, true))) => protection,
            (_, Some((_, false)) | None) => Protection::None,
        };
        let name = match known.node.as_str() {
            "" => self.settings.site.clone(),
            node => node.to_owned(),
        };
        vec![NodeView {
            name,
            site: self.settings.site.clone(),
            protection: protection.name().to_owned(),
            guard: guard.is_some_and(|(_, answers)| answers),
            cluster: known.unreachable.clone().unwrap_or_else(|| "ok".to_owned()),
        }]
    }

    fn dependents(&self, ticket: &TicketName) -> Vec<Dependent> {
        let known = self.lock();
        let entry = known.tickets.get(ticket);
        let status = entry.and_then(|entry| entry.status.as_ref());
        let dependents = status.map(|status| status.dependents.as_slice());
        dependents
            .unwrap_or_default()
            .iter()
            .map(|it| Dependent {
                resource: it.resource.clone(),
                state: it.state.name().to_owned(),
                node: Some(known.node.clone()).filter(|node| !node.is_empty()),
            })
            .collect()
    }

    fn stop_budget_ms(&self, ticket: &TicketName) -> Option<u64> {
        let known = self.lock();
        let status = known.tickets.get(ticket)?.status.as_ref()?;
        Some(status.stop_budget_ms)
    }

    /// The guard ends at the deadline what the stack runs; a restarted agent goes on before.
    async fn shut_down(&self, _granted: Vec<(TicketName, Term)>) {}
}

fn report_stopped(
    ticket: TicketName,
    term: Term,
    stop: StopId,
    result: Result<(), String>,
) -> ClusterReport {
    ClusterReport::Stopped {
        ticket,
        term,
        stop,
        result,
    }
}

/// Takes in what the stack says by itself.
async fn listen(driver: StackDriver, mut news: mpsc::Receiver<News<Stack>>) {
    while let Some(piece) = news.recv().await {
        driver.lock().told = None;
        match piece {
            News::Connected => driver.connected(),
            News::Disconnected(why) => {
                tracing::warn!("{why}");
                driver.lock().unreachable = Some(why);
                driver.changed.send_modify(|count| *count += 1);
                driver.assess_all();
            }
            News::Told(Ok(Answer::Ticket(status))) | News::Event(Event::Ticket(status)) => {
                let name = TicketName(status.ticket.clone());
                driver.learn(status);
                if let Some((term, on, reason)) = driver.hold_change(&name) {
                    // A task of its own: the guard is asked, and this one must go on reading.
                    let driver = driver.clone();
                    tokio::spawn(async move { driver.report_hold(name, term, on, reason).await });
                }
            }
            News::Told(Ok(Answer::Status(status))) => driver.learn_all(status),
            News::Told(Ok(_)) => {}
            News::Told(Err(error)) => tracing::warn!("local stack: {error}"),
            News::Event(Event::Protection { protection }) => {
                driver.lock().protection = Some(protection);
            }
            News::Event(Event::Lagged) => {
                let _told = driver.asker.tell(Do::Status);
            }
            News::Event(Event::Operation(_)) => {}
        }
    }
}
