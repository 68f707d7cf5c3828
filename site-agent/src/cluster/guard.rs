//! The guard, as a cluster backend uses it: told every deadline, asked what it holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stack_api::guard::{Answer, Arm, Deadline, Do, Event, Hold, Holding, Protection, State};
use ticket_protocol::{ClusterReport, Term, TicketName, Time};
use ticket_service::Reports;
use tokio::sync::mpsc;

use super::asker::{Asker, News};
use super::connection::{AskError, Guard};

/// How long the guard may take to answer. It does no I/O: it answers in microseconds or is hung.
const PATIENCE: Duration = Duration::from_secs(1);

/// A guard's asking end. Clones share one connection.
#[derive(Clone)]
pub(crate) struct GuardClient {
    path: Arc<Path>,
    asker: Asker<Guard>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    protection: Protection,
    connected: bool,
    /// What was armed and not disarmed, with the deadline told last: a guard that was restarted is
    /// told again.
    armed: BTreeMap<TicketName, Arm>,
}

impl GuardClient {
    /// Starts to keep a connection to the guard's socket.
    pub(crate) fn start(path: PathBuf) -> Self {
        let (asker, news) = Asker::start(path.clone(), PATIENCE);
        let client = Self {
            path: path.into(),
            asker,
            shared: Arc::new(Mutex::new(Shared {
                protection: Protection::None,
                connected: false,
                armed: BTreeMap::new(),
            })),
        };
        tokio::spawn(listen(client.clone(), news));
        client
    }

    /// The guard's socket.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How far the node is protected, as last heard, and whether the guard answers.
    pub(crate) fn protection(&self) -> (Protection, bool) {
        let shared = self.lock();
        match shared.connected {
            true => (shared.protection, true),
            false => (Protection::None, false),
        }
    }

    /// Tells a deadline at once. If the guard refuses it, the term is over for the guard and so for
    /// this node: that is reported. One that cannot be told changes nothing: the guard acts at the
    /// deadline before.
    pub(crate) fn deadline(
        &self,
        ticket: &TicketName,
        term: Term,
        deadline: Time,
        reports: &Reports,
    ) {
        let mut shared = self.lock();
        if let Some(arm) = shared.armed.get_mut(ticket)
            && arm.term == term.0
        {
            arm.deadline_ns = arm.deadline_ns.max(deadline.0);
        }
        drop(shared);
        let answer = self.asker.ask(Do::Deadline(Deadline {
            ticket: ticket.0.clone(),
            term: term.0,
            deadline_ns: deadline.0,
        }));
        let (ticket, reports) = (ticket.clone(), reports.clone());
        tokio::spawn(async move {
            match answer.await {
                Ok(_) => {}
                Err(AskError::Failed(why)) => {
                    tracing::warn!(%ticket, "{why}: it keeps the deadline before");
                }
                Err(AskError::Refused(reason)) => {
                    let report = ClusterReport::Failed {
                        ticket,
                        term,
                        reason,
                    };
                    // The loop has ended: nobody is left to be told.
                    let _ended = reports.send(report).await;
                }
            }
        });
    }

    /// Arms the guard for a term; done when the guard says so.
    ///
    /// # Errors
    /// The guard refuses or does not answer: nothing gated may start.
    pub(crate) async fn arm(&self, arm: Arm) -> Result<(), String> {
        let ticket = TicketName(arm.ticket.clone());
        self.asker.ask(Do::Arm(arm.clone())).await?;
        self.lock().armed.insert(ticket, arm);
        Ok(())
    }

    /// Everything of the term is confirmed stopped.
    ///
    /// # Errors
    /// The guard does not answer; it acts at the deadline, on nothing.
    pub(crate) async fn disarm(&self, ticket: &TicketName, term: Term) -> Result<(), String> {
        self.lock()
            .armed
            .retain(|name, arm| name != ticket || arm.term > term.0);
        let holding = Holding {
            ticket: ticket.0.clone(),
            term: term.0,
        };
        self.asker.ask(Do::Disarm(holding)).await?;
        Ok(())
    }

    /// A hold that the majority agreed to begins or ends.
    ///
    /// # Errors
    /// The guard does not answer; the deadline stays in force.
    pub(crate) async fn hold(
        &self,
        ticket: &TicketName,
        term: Term,
        on: bool,
    ) -> Result<(), String> {
        let hold = Hold {
            ticket: ticket.0.clone(),
            term: term.0,
            on,
        };
        self.asker.ask(Do::Hold(hold)).await?;
        Ok(())
    }

    /// What the guard holds.
    ///
    /// # Errors
    /// It does not answer: count nothing as held.
    pub(crate) async fn query(&self) -> Result<State, String> {
        match self.asker.ask(Do::Query).await? {
            Answer::State(state) => Ok(state),
            other => Err(format!("the guard answered something else: {other:?}")),
        }
    }

    /// The highest term of a ticket whose deadline the guard holds and `now` has not reached.
    ///
    /// # Errors
    /// The guard does not answer.
    pub(crate) async fn held(
        &self,
        ticket: &TicketName,
        now: Time,
    ) -> Result<Option<(Term, Time)>, String> {
        let state = self.query().await?;
        let held = state
            .held
            .iter()
            .filter(|held| held.ticket == ticket.0 && !held.over && held.deadline_ns > now.0)
            .max_by_key(|held| held.term);
        Ok(held.map(|held| (Term(held.term), Time(held.deadline_ns))))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Every change is one step: a panic elsewhere leaves it whole.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(client: GuardClient, mut news: mpsc::Receiver<News<Guard>>) {
    while let Some(piece) = news.recv().await {
        match piece {
            News::Connected => {
                client.lock().connected = true;
                let armed: Vec<Arm> = client.lock().armed.values().cloned().collect();
                for arm in armed {
                    client.asker.tell(Do::Arm(arm));
                }
                // Its protection may differ from the last one's. Asked from a task of its own: this
                // one must go on reading.
                tokio::spawn(ask_protection(client.clone()));
            }
            News::Disconnected(why) => {
                client.lock().connected = false;
                tracing::warn!("{why}");
            }
            News::Told(Ok(_)) => {}
            News::Told(Err(error)) => tracing::warn!("guard: {error}"),
            News::Event(Event::Fired {
                ticket,
                term,
                killed,
                unproven,
            }) => tracing::error!(
                ticket,
                term,
                killed,
                unproven,
                "the guard ended what ran past its lease"
            ),
            News::Event(Event::Stuck { ticket, term, pids }) => {
                tracing::error!(ticket, term, ?pids, "the guard cannot end these processes");
            }
        }
    }
}

async fn ask_protection(client: GuardClient) {
    match client.query().await {
        Ok(state) => client.lock().protection = state.protection,
        Err(error) => tracing::warn!(%error, "the guard did not tell its protection"),
    }
}
