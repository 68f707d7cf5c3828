//! One task a ticket that carries out the protocol's commands, one after the other.
//!
//! The event loop drops a command into the ticket's [`Mailbox`] and goes on. What is pointless by
//! then is dropped, so a mailbox never holds more than a few: a hanging cluster fills no queue. A
//! step that waits is told ([`Ticket::superseded`]) when a command makes it pointless.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ticket_admin::{Dependent, NodeView};
use ticket_protocol::{ClusterCommand, ClusterReport, Term, TicketName, Time};
use ticket_service::{Cluster, Reports};
use tokio::sync::Notify;

/// What a kind of cluster manager does with a command. One command of a ticket at a time.
pub(crate) trait Driver: Send + Sync + 'static {
    /// A new deadline, known before anything else is done: to the guard, without waiting, also
    /// while another command of the ticket is being carried out.
    fn deadline(&self, ticket: &TicketName, term: Term, deadline: Time);

    /// Carries a command out, within the driver's own time limits.
    fn carry_out(
        &self,
        command: ClusterCommand,
        ticket: &Ticket,
    ) -> impl Future<Output = Option<ClusterReport>> + Send;

    /// See [`Cluster::nodes`].
    fn nodes(&self) -> Vec<NodeView>;

    /// See [`Cluster::dependents`].
    fn dependents(&self, ticket: &TicketName) -> Vec<Dependent>;

    /// See [`Cluster::stop_budget_ms`].
    fn stop_budget_ms(&self, ticket: &TicketName) -> Option<u64>;

    /// See [`Cluster::shut_down`]; `granted` are the terms that were granted and not withdrawn.
    fn shut_down(&self, granted: Vec<(TicketName, Term)>) -> impl Future<Output = ()> + Send;
}

/// A cluster backend: a driver and its tickets' tasks.
pub(crate) struct Backend<D> {
    driver: Arc<D>,
    reports: Reports,
    tickets: BTreeMap<TicketName, Arc<Ticket>>,
}

impl<D: Driver> Backend<D> {
    pub(crate) fn new(driver: Arc<D>, reports: Reports) -> Self {
        Self {
            driver,
            reports,
            tickets: BTreeMap::new(),
        }
    }

    fn ticket(&mut self, name: &TicketName) -> Arc<Ticket> {
        let (driver, reports) = (&self.driver, &self.reports);
        let start = || {
            let ticket = Arc::new(Ticket::default());
            let task = work(Arc::clone(driver), Arc::clone(&ticket), reports.clone());
            tokio::spawn(task);
            ticket
        };
        let ticket = self.tickets.entry(name.clone()).or_insert_with(start);
        Arc::clone(ticket)
    }
}

impl<D: Driver> Cluster for Backend<D> {
    fn command(&mut self, command: ClusterCommand) {
        let name = name(&command).clone();
        match &command {
            ClusterCommand::Grant {
                term,
                deadline: Some(deadline),
                ..
            }
            | ClusterCommand::Extend { term, deadline, .. } => {
                self.driver.deadline(&name, *term, *deadline);
            }
            _ => {}
        }
        self.ticket(&name).post(command);
    }

    fn nodes(&self) -> Vec<NodeView> {
        self.driver.nodes()
    }

    fn dependents(&self, ticket: &TicketName) -> Vec<Dependent> {
        self.driver.dependents(ticket)
    }

    fn stop_budget_ms(&self, ticket: &TicketName) -> Option<u64> {
        self.driver.stop_budget_ms(ticket)
    }

    fn shut_down(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        let granted = self
            .tickets
            .iter()
            .filter_map(|(name, ticket)| Some((name.clone(), ticket.lock().granted?)))
            .collect();
        Box::pin(self.driver.shut_down(granted))
    }
}

/// One ticket's mailbox.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    mailbox: Mutex<Mailbox>,
    /// A command was posted.
    posted: Notify,
    /// A command was posted that makes the one being carried out pointless.
    superseded: Notify,
}

#[derive(Debug, Default)]
struct Mailbox {
    waiting: VecDeque<ClusterCommand>,
    /// The term granted last and not withdrawn.
    granted: Option<Term>,
    /// The latest deadline of that term.
    deadline: Option<Time>,
}

impl Ticket {
    /// Waits until the command being carried out has become pointless.
    pub(crate) async fn superseded(&self) {
        self.superseded.notified().await;
    }

    /// The latest deadline of the term granted last; `None` for a manual ticket.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.lock().deadline
    }

    fn lock(&self) -> MutexGuard<'_, Mailbox> {
        // Every change below is one step: a panic elsewhere leaves the mailbox whole.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, command: ClusterCommand) {
        let urgent = self.lock().post(command);
        if urgent {
            self.superseded.notify_one();
        }
        self.posted.notify_one();
    }

    async fn next(&self) -> ClusterCommand {
        loop {
            let posted = self.posted.notified();
            if let Some(command) = self.lock().waiting.pop_front() {
                return command;
            }
            posted.await;
        }
    }
}

impl Mailbox {
    /// Adds a command and drops those that it makes pointless. Says whether it makes pointless
    /// what is being carried out.
    fn post(&mut self, command: ClusterCommand) -> bool {
        use ClusterCommand as Command;
        match &command {
            Command::Extend { term, deadline, .. } => {
                if self.granted == Some(*term) {
                    self.deadline = self.deadline.max(Some(*deadline));
                }
                self.drop_waiting(|it| matches!(it, Command::Extend { .. }));
                self.waiting.push_back(command);
                return false;
            }
            Command::Grant { term, deadline, .. } => {
                self.granted = Some(*term);
                self.deadline = *deadline;
                self.drop_waiting(|it| self::term(it).is_some());
            }
            Command::Withdraw { term, .. } => {
                if self.granted.is_some_and(|granted| granted <= *term) {
                    self.granted = None;
                    self.deadline = None;
                }
                let over = *term;
                self.drop_waiting(|it| self::term(it).is_some_and(|term| term <= over));
            }
            Command::Stop { .. } => {
                self.drop_waiting(|it| {
                    matches!(it, Command::Stop { .. } | Command::Activate { .. })
                });
            }
            Command::Activate { .. } => {
                self.drop_waiting(|it| matches!(it, Command::Stop { .. }));
            }
            Command::Standby { .. } => {
                self.drop_waiting(|it| matches!(it, Command::Standby { .. }));
                self.waiting.push_back(command);
                return false;
            }
            Command::HoldAgreed { .. } | Command::Check { .. } | Command::Recall { .. } => {
                let same = std::mem::discriminant(&command);
                self.drop_waiting(|it| std::mem::discriminant(it) == same);
                self.waiting.push_back(command);
                return false;
            }
        }
        self.waiting.push_back(command);
        true
    }

    fn drop_waiting(&mut self, pointless: impl Fn(&ClusterCommand) -> bool) {
        self.waiting.retain(|it| !pointless(it));
    }
}

/// The ticket that a command is about.
pub(crate) fn name(command: &ClusterCommand) -> &TicketName {
    match command {
        ClusterCommand::Grant { ticket, .. }
        | ClusterCommand::Extend { ticket, .. }
        | ClusterCommand::Stop { ticket, .. }
        | ClusterCommand::Withdraw { ticket, .. }
        | ClusterCommand::Activate { ticket, .. }
        | ClusterCommand::Standby { ticket, .. }
        | ClusterCommand::HoldAgreed { ticket, .. }
        | ClusterCommand::Check { ticket, .. }
        | ClusterCommand::Recall { ticket } => ticket,
    }
}

/// The term that a command is about; `None` for a question.
fn term(command: &ClusterCommand) -> Option<Term> {
    match command {
        ClusterCommand::Grant { term, .. }
        | ClusterCommand::Extend { term, .. }
        | ClusterCommand::Stop { term, .. }
        | ClusterCommand::Withdraw { term, .. }
        | ClusterCommand::Activate { term, .. }
        | ClusterCommand::Standby { term, .. }
        | ClusterCommand::HoldAgreed { term, .. } => Some(*term),
        ClusterCommand::Check { .. } | ClusterCommand::Recall { .. } => None,
    }
}

/// A ticket's task: until the event loop takes no reports any more.
async fn work<D: Driver>(driver: Arc<D>, ticket: Arc<Ticket>, reports: Reports) {
    loop {
        let command = ticket.next().await;
        // What was superseded before it began is not in the mailbox any more: a notice that is
        // left from then is about something else.
        let _stale = take_now(ticket.superseded());
        let Some(report) = driver.carry_out(command, &ticket).await else {
            continue;
        };
        if reports.send(report).await.is_err() {
            return;
        }
    }
}

/// Takes a stored notice, if there is one, without waiting.
fn take_now(future: impl Future<Output = ()>) -> bool {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    future.as_mut().poll(&mut context).is_ready()
}

/// A site without a cluster manager: every command succeeds, and nothing ever runs.
pub(crate) struct Nothing {
    reports: Reports,
}

impl Nothing {
    pub(crate) fn new(reports: Reports) -> Self {
        Self { reports }
    }
}

impl Cluster for Nothing {
    fn command(&mut self, command: ClusterCommand) {
        let report = match command {
            ClusterCommand::Grant { ticket, term, .. } => ClusterReport::Granted {
                ticket,
                term,
                result: Ok(()),
            },
            ClusterCommand::Stop {
                ticket, term, stop, ..
            } => ClusterReport::Stopped {
                ticket,
                term,
                stop,
                result: Ok(()),
            },
            ClusterCommand::Check { ticket, check } => ClusterReport::Checked {
                ticket,
                check,
                result: Ok(()),
            },
            ClusterCommand::Recall { ticket } => ClusterReport::Recalled {
                ticket,
                held: None,
                release_begun: false,
                quiet: true,
            },
            ClusterCommand::Extend { .. }
            | ClusterCommand::Withdraw { .. }
            | ClusterCommand::Activate { .. }
            | ClusterCommand::Standby { .. }
            | ClusterCommand::HoldAgreed { .. } => return,
        };
        let reports = self.reports.clone();
        // The loop has ended: nobody is left to be told.
        tokio::spawn(async move { reports.send(report).await.ok() });
    }

    fn nodes(&self) -> Vec<NodeView> {
        Vec::new()
    }

    fn dependents(&self, _ticket: &TicketName) -> Vec<Dependent> {
        Vec::new()
    }

    fn stop_budget_ms(&self, _ticket: &TicketName) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests;
