//! A cluster that is driven by an external command.
//!
//! ```text
//! COMMAND grant   TICKET TERM MILLISECONDS   start what depends on the ticket; 0 = done, read back
//! COMMAND extend  TICKET TERM MILLISECONDS   the lease was renewed
//! COMMAND stop    TICKET TERM -              stop it all; 0 = everything is confirmed stopped
//! COMMAND revoke  TICKET TERM -              the term ended without a stop; 0 = nothing of it runs
//! COMMAND standby TICKET TERM on|off         keep it stopped although granted
//! COMMAND check   TICKET -    -              could it run here? 0 = yes
//! COMMAND status  TICKET -    -              prints `granted TERM` or `stopped`
//! ```
//!
//! Every call may be repeated, `grant` of the same term as well (after a restart of the agent).
//! MILLISECONDS are left of the lease (`-` for a manual ticket). `INTERLOCK_TICKET`,
//! `INTERLOCK_TERM` and, with a guard, `INTERLOCK_GUARD` are in its environment. Every call is
//! killed with its process group after the configured timeout, a grant also at the lease's end; one
//! that failed, hung or could not be run proves nothing, so after a failed stop the ticket counts as
//! running until the guard has acted. A failed `revoke` is repeated until it succeeds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stack_api::guard::Arm;
use ticket_admin::{Dependent, NodeView};
use ticket_protocol::{ClusterCommand, ClusterReport, Term, TicketName, Time};
use ticket_service::{Clock, Reports};

use super::guard::GuardClient;
use super::run;
use super::worker::{Driver, Ticket};

/// First pause before a failed revoke is repeated; doubles up to [`REVOKE_PAUSE_MAX`].
const REVOKE_PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause: a repaired cluster is withdrawn from within this time.
const REVOKE_PAUSE_MAX: Duration = Duration::from_secs(10);

/// How an external command is called.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Program and leading arguments.
    pub(crate) program: PathBuf,
    pub(crate) leading: Vec<String>,
    /// How long one call may take.
    pub(crate) timeout: Duration,
    /// How long the guard gives what depends on a ticket after the lease's end.
    pub(crate) stop_budgets: BTreeMap<TicketName, Duration>,
    /// Tickets without a lease.
    pub(crate) manual: BTreeSet<TicketName>,
    /// The site, for `status`.
    pub(crate) site: String,
}

/// The driver.
pub(crate) struct CommandDriver {
    settings: Settings,
    clock: Clock,
    guard: Option<GuardClient>,
    reports: Reports,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was started and is not confirmed stopped, by ticket.
    may_run: BTreeMap<TicketName, Term>,
    /// Tickets of which nothing runs, confirmed by the command since the last grant.
    quiet: BTreeSet<TicketName>,
    /// How the last call of each ticket failed.
    failures: BTreeMap<TicketName, String>,
}

impl CommandDriver {
    pub(crate) fn new(
        settings: Settings,
        clock: Clock,
        guard: Option<GuardClient>,
        reports: Reports,
    ) -> Self {
        Self {
            settings,
            clock,
            guard,
            reports,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one step: a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call that nothing supersedes.
    async fn call(&self, verb: &str, ticket: &TicketName, words: [&str; 2]) -> Called {
        let never = std::future::pending();
        self.call_until(verb, ticket, words, self.settings.timeout, never)
            .await
    }

    async fn call_until(
        &self,
        verb: &str,
        ticket: &TicketName,
        words: [&str; 2],
        within: Duration,
        superseded: impl Future<Output = ()>,
    ) -> Called {
        let mut arguments = self.settings.leading.clone();
        arguments.extend([verb, &ticket.0, words[0], words[1]].map(str::to_owned));
        let mut variables = vec![
            ("INTERLOCK_TICKET", ticket.0.clone()),
            ("INTERLOCK_TERM", words[0].to_owned()),
        ];
        if let Some(guard) = &self.guard
            && verb == "grant"
        {
            // Only what a grant starts is the guard's to end, not the command that stops it.
            let marker = marker(guard.path(), ticket, words[0]);
            variables.push((stack_api::guard::MARKER_VARIABLE, marker));
        }
        let program: &Path = &self.settings.program;
        let ended = run::run(program, &arguments, &variables, within, superseded).await;
        let ended = ended.map_err(|why| format!("{verb}: {why}"));
        match &ended {
            Ok(_) => self.lock().failures.remove(ticket),
            Err(why) => {
                tracing::warn!(%ticket, "cluster command {why}");
                self.lock().failures.insert(ticket.clone(), why.clone())
            }
        };
        ended.map(|ended| ended.output)
    }

    /// Milliseconds left until `deadline`; an error when it has passed.
    fn left(&self, deadline: Option<Time>) -> Result<(Duration, String), String> {
        let Some(deadline) = deadline else {
            return Ok((self.settings.timeout, "-".to_owned()));
        };
        let left = deadline.since(self.clock.now());
        match left.as_millis() {
            0 => Err("the lease was over before it could be carried out".to_owned()),
            millis => Ok((left.min(self.settings.timeout), millis.to_string())),
        }
    }

    async fn grant(
        &self,
        name: &TicketName,
        term: Term,
        deadline: Option<Time>,
        ticket: &Ticket,
    ) -> Result<(), String> {
        let older = self.lock().may_run.get(name).copied();
        if let Some(older) = older.filter(|older| *older != term) {
            // A new term never adopts what runs.
            self.stop(name, older).await?;
        }
        if let (Some(guard), Some(deadline)) = (&self.guard, deadline) {
            let budget = self.settings.stop_budgets.get(name).copied();
            guard
                .arm(Arm {
                    ticket: name.0.clone(),
                    term: term.0,
                    deadline_ns: deadline.0,
                    stop_budget_ns: stack_api::clock::span_ns(budget.unwrap_or_default()),
                    marker: marker(guard.path(), name, &term.0.to_string()),
                    reset: false,
                })
                .await?;
        }
        let (within, left) = self.left(deadline)?;
        {
            let mut state = self.lock();
            state.quiet.remove(name);
            state.may_run.insert(name.clone(), term);
        }
        let words = [&*term.0.to_string(), &*left];
        self.call_until("grant", name, words, within, ticket.superseded())
            .await
            .map(|_| ())
    }

    /// Stops what runs under a term.
    async fn stop(&self, name: &TicketName, term: Term) -> Result<(), String> {
        self.call("stop", name, [&term.0.to_string(), "-"]).await?;
        self.forget(name, term);
        Ok(())
    }

    /// Takes in that nothing of a term runs any more.
    fn forget(&self, name: &TicketName, term: Term) {
        let mut state = self.lock();
        if state
            .may_run
            .get(name)
            .is_none_or(|running| *running <= term)
        {
            state.may_run.remove(name);
            state.quiet.insert(name.clone());
        }
    }

    /// Repeats `revoke` until it succeeds or a later command makes it pointless.
    async fn withdraw(&self, name: &TicketName, term: Term, ticket: &Ticket) {
        let mut pause = REVOKE_PAUSE_MIN;
        // A confirmed stop leaves nothing to revoke.
        let quiet = self.lock().quiet.contains(name);
        while !quiet && let Err(why) = self.call("revoke", name, [&term.0.to_string(), "-"]).await {
            tracing::error!(ticket = %name, "still granted here as far as is known: {why}");
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(REVOKE_PAUSE_MAX),
                () = ticket.superseded() => return,
            }
        }
        self.forget(name, term);
        if let Some(guard) = &self.guard
            && let Err(error) = guard.disarm(name, term).await
        {
            tracing::warn!(ticket = %name, %error, "the guard was not disarmed");
        }
    }

    /// What is still held after a restart of this agent.
    async fn recall(&self, name: &TicketName) -> ClusterReport {
        let status = self.call("status", name, ["-", "-"]).await;
        let status = status.unwrap_or_default();
        let status = status.trim();
        let granted = status
            .strip_prefix("granted ")
            .and_then(|term| term.trim().parse().ok())
            .map(Term);
        let held = match &self.guard {
            _ if self.settings.manual.contains(name) => granted.map(|term| (term, Time::NEVER)),
            Some(guard) => match guard.held(name, self.clock.now()).await {
                Ok(held) => held,
                Err(error) => {
                    tracing::warn!(ticket = %name, %error, "nothing counts as held");
                    None
                }
            },
            None => None,
        };
        match granted {
            Some(term) => {
                self.lock().may_run.insert(name.clone(), term);
            }
            None if status == "stopped" => {
                self.lock().quiet.insert(name.clone());
            }
            None => {}
        }
        ClusterReport::Recalled {
            ticket: name.clone(),
            // Resumed only if the cluster and the guard mean the same term.
            held: held.filter(|(term, _)| granted == Some(*term)),
            release_begun: false,
            quiet: status == "stopped",
        }
    }
}

type Called = Result<String, String>;

/// The report of a change that is only reported when it failed.
fn failed(ticket: TicketName, term: Term, result: Result<(), String>) -> Option<ClusterReport> {
    result.err().map(|reason| ClusterReport::Failed {
        ticket,
        term,
        reason,
    })
}

/// The word that tells the guard what was started under a term: of this guard, because several
/// nodes may share a machine. A comma would end the word.
fn marker(guard: &Path, ticket: &TicketName, term: &str) -> String {
    format!("{}#{ticket}@{term}", guard.display()).replace(',', "_")
}

impl Driver for CommandDriver {
    fn deadline(&self, ticket: &TicketName, term: Term, deadline: Time) {
        if let Some(guard) = &self.guard {
            guard.deadline(ticket, term, deadline, &self.reports);
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
                let result = match standby {
                    true => self.standby(&name, term, true).await,
                    false => self.grant(&name, term, deadline, ticket).await,
                };
                Some(ClusterReport::Granted {
                    ticket: name,
                    term,
                    result,
                })
            }
            ClusterCommand::Stop {
                ticket: name,
                term,
                stop,
                ..
            } => {
                let result = self.stop(&name, term).await;
                Some(ClusterReport::Stopped {
                    ticket: name,
                    term,
                    stop,
                    result,
                })
            }
            ClusterCommand::Activate {
                ticket: name, term, ..
            } => {
                let result = self.grant(&name, term, ticket.deadline(), ticket).await;
                failed(name, term, result)
            }
            ClusterCommand::Standby {
                ticket: name,
                term,
                on,
            } => {
                let result = self.standby(&name, term, on).await;
                failed(name, term, result)
            }
            ClusterCommand::Check {
                ticket: name,
                check,
            } => {
                let result = self.call("check", &name, ["-", "-"]).await;
                Some(ClusterReport::Checked {
                    ticket: name,
                    check,
                    result: result.map(|_| ()),
                })
            }
            ClusterCommand::Recall { ticket: name } => Some(self.recall(&name).await),
            ClusterCommand::Extend { .. }
            | ClusterCommand::Withdraw { .. }
            | ClusterCommand::HoldAgreed { .. } => {
                self.carry_out_unanswered(command, ticket).await;
                None
            }
        }
    }

    fn nodes(&self) -> Vec<NodeView> {
        let (protection, guard) = match &self.guard {
            Some(guard) => guard.protection(),
            None => (stack_api::guard::Protection::None, false),
        };
        let failures = self.lock().failures.values().cloned().collect::<Vec<_>>();
        vec![NodeView {
            name: self.settings.site.clone(),
            site: self.settings.site.clone(),
            protection: protection.name().to_owned(),
            guard,
            cluster: match failures.as_slice() {
                [] => "ok".to_owned(),
                failures => failures.join("; "),
            },
        }]
    }

    fn dependents(&self, _ticket: &TicketName) -> Vec<Dependent> {
        Vec::new()
    }

    fn stop_budget_ms(&self, _ticket: &TicketName) -> Option<u64> {
        None
    }

    /// Without a guard nothing else would end what runs when the lease does.
    async fn shut_down(&self, granted: Vec<(TicketName, Term)>) {
        if self.guard.is_some() {
            return;
        }
        for (ticket, term) in granted {
            if self.settings.manual.contains(&ticket) {
                continue;
            }
            tracing::warn!(%ticket, "no guard: stopping what depends on it before we end");
            if let Err(why) = self.stop(&ticket, term).await {
                tracing::error!(%ticket, "it may run past its lease: {why}");
            }
        }
    }
}

impl CommandDriver {
    async fn standby(&self, name: &TicketName, term: Term, on: bool) -> Result<(), String> {
        let word = if on { "on" } else { "off" };
        let words = [&*term.0.to_string(), word];
        self.call("standby", name, words).await.map(|_| ())
    }

    /// Commands whose outcome the protocol does not wait for.
    async fn carry_out_unanswered(&self, command: ClusterCommand, ticket: &Ticket) {
        match command {
            ClusterCommand::Extend {
                ticket: name,
                term,
                deadline,
            } => {
                if let Ok((within, left)) = self.left(Some(deadline)) {
                    let words = [&*term.0.to_string(), &*left];
                    // A failed one is logged; the guard and the next renewal do the rest.
                    let _logged = self
                        .call_until("extend", &name, words, within, ticket.superseded())
                        .await;
                }
            }
            ClusterCommand::Withdraw { ticket: name, term } => {
                self.withdraw(&name, term, ticket).await;
            }
            ClusterCommand::HoldAgreed { ticket: name, term } => {
                if let Some(guard) = &self.guard
                    && let Err(error) = guard.hold(&name, term, true).await
                {
                    tracing::warn!(ticket = %name, %error, "the deadline stays in force");
                }
            }
            _ => {}
        }
    }
}
