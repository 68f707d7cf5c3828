//! What tools and the site agent are shown.

use cib::Cib;
use scheduler::{Grant, Inputs};

use crate::controller::Controller;
use crate::dependents::{self, Dependent, LossPolicy};
use crate::graph::Graph;
use crate::types::State;

/// A resource's state with what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing is under way.
    Settled(State),
    /// A start or promotion runs.
    Starting,
    /// A stop or demotion runs.
    Stopping,
}

/// A resource that depends on a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependentView {
    /// Its id.
    pub resource: String,
    /// The constraint is about the promoted role.
    pub promoted: bool,
    /// What happens when the ticket is lost.
    pub policy: LossPolicy,
    /// How it stands.
    pub state: Shown,
}

/// How a ticket stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketView {
    /// The ticket.
    pub ticket: String,
    /// Term of the lease in force; 0 without one.
    pub term: u64,
    /// Its generation.
    pub generation: u64,
    /// The scheduler is told "granted", and not standby for any reason.
    pub granted: bool,
    /// The agent asked for a standby.
    pub standby: bool,
    /// What should run does.
    pub started: bool,
    /// Nothing runs, and the guard is not armed.
    pub quiet: bool,
    /// Why the ticket must be on hold.
    pub hold: Option<String>,
    /// What prevents dependents from starting or stopping.
    pub problems: Vec<String>,
    /// From the configuration.
    pub stop_budget_ms: u64,
    /// `CLOCK_BOOTTIME`.
    pub deadline_ns: Option<u64>,
    /// What depends on it.
    pub dependents: Vec<DependentView>,
    /// Dependents without a process of their own: past the lease only a reset of the node is sure to
    /// end them.
    pub without_process: Vec<String>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceView {
    /// Its id.
    pub id: String,
    /// Its agent.
    pub agent: String,
    /// How it stands.
    pub state: Shown,
    /// The cluster may start and stop it.
    pub managed: bool,
    /// Failures on this node.
    pub fail_count: u32,
    /// The last one, in one sentence.
    pub last_failure: Option<String>,
    /// The terms under which it was started.
    pub terms: Vec<(String, u64)>,
}

/// Whether a ticket's dependents could run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// All of them would.
    pub able: bool,
    /// What speaks against it.
    pub problems: Vec<String>,
}

impl Controller {
    /// A transition is under way.
    pub fn is_busy(&self) -> bool {
        self.graph.is_busy() || self.dirty || self.calls.values().any(|call| call.flying)
    }

    /// What the scheduler found wrong with the configuration.
    pub fn diagnostics(&self) -> &[String] {
        &self.diagnostics
    }

    /// Every ticket.
    pub fn tickets(&self) -> Vec<TicketView> {
        self.ticket_names()
            .iter()
            .map(|ticket| self.ticket(ticket))
            .collect()
    }

    /// The ticket is named by the configuration or by a lease.
    pub fn knows_ticket(&self, ticket: &str) -> bool {
        self.ticket_names().contains(ticket)
    }

    /// One ticket; one that nobody ever named is quiet and not granted.
    pub fn ticket(&self, ticket: &str) -> TicketView {
        let lease = self.gate.lease(ticket);
        let grant = self.grants.iter().find(|grant| grant.ticket == ticket);
        let granted = grant.is_some_and(|grant| grant.granted && !grant.standby);
        let dependents: Vec<DependentView> = self
            .dependents
            .get(ticket)
            .into_iter()
            .flatten()
            .map(|dependent| DependentView {
                resource: dependent.resource.clone(),
                promoted: dependent.promoted,
                policy: dependent.policy,
                state: self.shown(&dependent.resource),
            })
            .collect();
        let fine = |view: &DependentView| {
            let settled = Shown::Settled;
            view.state == settled(State::Started) || view.state == settled(State::Promoted)
        };
        TicketView {
            term: lease.map_or(0, |lease| lease.term),
            generation: lease.map_or(0, |lease| lease.generation),
            granted,
            standby: lease.is_some_and(|lease| lease.standby),
            started: granted && dependents.iter().all(fine),
            quiet: self.dependents_are_quiet(ticket) && !self.gate.is_armed(ticket),
            hold: self.hold(ticket),
            problems: self.problems(ticket),
            stop_budget_ms: self.stop_budget_ms(ticket),
            deadline_ns: lease.and_then(|lease| lease.deadline_ns),
            dependents,
            without_process: self.without_process(ticket),
            ticket: ticket.to_owned(),
        }
    }

    /// What an operator must know after a change: leases whose deadline stays in force although a
    /// dependent would not be stopped by the cluster.
    pub fn notes(&self) -> Vec<String> {
        let leased = |view: &TicketView| {
            let lease = self.gate.lease(&view.ticket);
            lease.is_some_and(|lease| lease.granted && !lease.hold && lease.deadline_ns.is_some())
        };
        let views = self.tickets().into_iter().filter(leased);
        views
            .filter_map(|view| {
                let hold = view.hold?;
                let ticket = view.ticket;
                Some(format!(
                    "ticket {ticket}: {hold}, and no hold is agreed yet: until it is, the lease's \
                     deadline stays in force and the guard acts on it"
                ))
            })
            .collect()
    }

    /// Every primitive of the configuration, and what else is known to run.
    pub fn resources(&self) -> Vec<ResourceView> {
        dependents::all(self.replica.cib())
            .into_iter()
            .map(|(id, agent)| {
                let terms = self.gate.started_under(&id);
                ResourceView {
                    agent,
                    state: self.shown(&id),
                    managed: dependents::not_managed(self.replica.cib(), &id, &self.node.uname)
                        .is_none(),
                    fail_count: replica::failures_of(self.replica.cib(), &self.node.id, &id),
                    last_failure: self.last_failure.get(&id).cloned(),
                    terms: terms
                        .into_iter()
                        .map(|gate| (gate.ticket, gate.term))
                        .collect(),
                    id,
                }
            })
            .collect()
    }

    fn shown(&self, resource: &str) -> Shown {
        let under_way = self.calls.values().find_map(|call| {
            if !call.flying || call.resource() != resource {
                return None;
            }
            match call.command.operation.as_str() {
                "start" | "promote" => Some(Shown::Starting),
                "stop" | "demote" => Some(Shown::Stopping),
                _ => None,
            }
        });
        under_way.unwrap_or_else(|| Shown::Settled(self.state(resource)))
    }

    /// Why the ticket must not be taken over: something that depends on it would not be stopped, or
    /// would not once the proposed configuration is in force.
    fn hold(&self, ticket: &str) -> Option<String> {
        let list = self.dependents.get(ticket)?;
        let current = self.hold_under(self.replica.cib(), list);
        current.or_else(|| self.proposed.get(ticket).cloned())
    }

    /// The reason under a configuration and what it says about a ticket's dependents.
    pub(crate) fn hold_under(&self, cib: &Cib, list: &[Dependent]) -> Option<String> {
        list.iter().find_map(|dependent| {
            let resource = &dependent.resource;
            match self.state(resource) {
                State::Stopped | State::Unknown => return None,
                State::Blocked => return Some(format!("the stop of {resource} failed")),
                State::Started | State::Promoted | State::Failed => {}
            }
            if dependent.policy == LossPolicy::Freeze {
                return Some(format!("{resource} is under loss policy freeze"));
            }
            dependents::not_managed(cib, resource, &self.node.uname)
        })
    }

    fn problems(&self, ticket: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let leased = self
            .gate
            .lease(ticket)
            .is_some_and(|l| l.granted && l.deadline_ns.is_some());
        let depends = self
            .dependents
            .get(ticket)
            .is_some_and(|list| !list.is_empty());
        if self.settings.tickets && leased && depends && !self.gate.is_guard_up() {
            problems.push("no guard answers on this node: nothing is started".to_owned());
        }
        if self.gate.is_lapsed(ticket) {
            let term = self.gate.lease(ticket).map_or(0, |lease| lease.term);
            problems.push(format!(
                "the lease of term {term} has ended: only a new term starts"
            ));
        }
        if let Some(refusal) = self.gate.refusal(ticket) {
            problems.push(format!("the guard is not armed: {refusal}"));
        }
        let names = self.names_under(ticket);
        problems.extend(
            names
                .iter()
                .filter_map(|name| self.last_failure.get(name))
                .cloned(),
        );
        problems
    }

    /// Would everything that depends on the ticket run here if it were granted? Nothing is changed.
    pub fn check(&self, ticket: &str) -> Check {
        let mut grants = self.current_grants();
        grants.retain(|grant| grant.ticket != ticket);
        grants.push(Grant {
            ticket: ticket.to_owned(),
            granted: true,
            standby: false,
        });
        let inputs = Inputs {
            now: self.now.wall_s,
            grants: Some(grants),
        };
        let graph = Graph::new(0, (self.settings.schedule)(self.replica.cib(), &inputs));
        let would = |resource: &str, operation: &str| {
            graph.resource_actions().any(|action| {
                action.operation == operation
                    && action
                        .resource
                        .as_ref()
                        .is_some_and(|known| known.id == resource)
            })
        };
        let mut problems = Vec::new();
        for dependent in self.dependents.get(ticket).into_iter().flatten() {
            let resource = &dependent.resource;
            let runs = matches!(self.state(resource), State::Started | State::Promoted);
            let fault = match (runs, dependent.promoted) {
                (true, false) => would(resource, "stop"),
                (_, true) => self.state(resource) != State::Promoted && !would(resource, "promote"),
                (false, false) => !would(resource, "start"),
            };
            if fault {
                let why = self.last_failure.get(resource).map(|w| format!(" ({w})"));
                let why = why.unwrap_or_default();
                problems.push(format!("{resource} would not be started{why}"));
            }
        }
        Check {
            able: problems.is_empty(),
            problems,
        }
    }
}
