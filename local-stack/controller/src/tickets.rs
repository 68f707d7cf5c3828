//! Tickets and what depends on them: what the scheduler is told, when the guard is armed and disarmed.

use std::collections::BTreeSet;

use scheduler::Grant;

use crate::controller::Controller;
use crate::dependents::{self, LossPolicy};
use crate::types::{Effect, Holding, State};

impl Controller {
    /// Every ticket that the configuration or a lease names.
    pub(crate) fn ticket_names(&self) -> BTreeSet<String> {
        let configured = self.dependents.keys().cloned();
        configured
            .chain(self.gate.tickets().map(str::to_owned))
            .collect()
    }

    /// Resources that depend on the ticket now, or were started under it.
    pub(crate) fn names_under(&self, ticket: &str) -> Vec<String> {
        let configured = self.dependents.get(ticket).into_iter().flatten();
        let mut names: BTreeSet<String> = configured.map(|d| d.resource.clone()).collect();
        names.extend(self.gate.started_with(ticket).map(str::to_owned));
        let mut instances = Vec::new();
        for name in &names {
            // Instances of a globally unique clone are known as `NAME:N`.
            let from = format!("{name}:");
            let range = self.states.range(from.clone()..);
            let own = range.take_while(|(known, _)| known.starts_with(&from));
            instances.extend(own.map(|(known, _)| known.clone()));
        }
        names.extend(instances);
        names.into_iter().collect()
    }

    pub(crate) fn state(&self, resource: &str) -> State {
        self.states.get(resource).copied().unwrap_or_default()
    }

    /// Losing the ticket only ends this resource's promoted role.
    pub(crate) fn is_only_demoted(&self, ticket: &str, resource: &str) -> bool {
        let mut about = self
            .dependents
            .get(ticket)
            .into_iter()
            .flatten()
            .filter(|d| d.resource == dependents::plain_id(resource))
            .peekable();
        about.peek().is_some() && about.all(dependents::Dependent::only_demoted)
    }

    /// The resource runs in a way that the ticket allows or forbids.
    fn runs_under(&self, ticket: &str, resource: &str) -> bool {
        match self.state(resource) {
            State::Stopped => false,
            State::Started => !self.is_only_demoted(ticket, resource),
            _ => true,
        }
    }

    /// Nothing that depends on the ticket runs, is about to, or is in doubt.
    pub(crate) fn dependents_are_quiet(&self, ticket: &str) -> bool {
        self.names_under(ticket).iter().all(|resource| {
            let flying = self.calls.values().any(|call| {
                let monitors = call.command.interval_ms > 0;
                call.flying && call.resource() == resource && !monitors
            });
            !flying && !self.doubtful.contains(resource) && !self.runs_under(ticket, resource)
        })
    }

    /// Something still runs under another term than the lease's, or nobody knows under which.
    fn runs_under_other_term(&self, ticket: &str, term: u64) -> bool {
        self.names_under(ticket).iter().any(|resource| {
            let known = self.state(resource) != State::Unknown;
            known
                && self.runs_under(ticket, resource)
                && self.gate.term_of(resource, ticket) != Some(term)
        })
    }

    /// What the scheduler is told about every ticket.
    pub(crate) fn current_grants(&self) -> Vec<Grant> {
        let grant = |ticket: String| {
            if !self.settings.tickets {
                return Grant {
                    ticket,
                    granted: true,
                    standby: false,
                };
            }
            let Some(lease) = self.gate.lease(&ticket) else {
                return Grant {
                    ticket,
                    granted: false,
                    standby: false,
                };
            };
            // What must stop although the lease is valid does so in the orderly way of a standby: no
            // loss policy applies.
            let standby = lease.granted
                && (lease.standby
                    || lease.stop
                    || !self.gate.is_covered(&ticket)
                    || self.runs_under_other_term(&ticket, lease.term));
            Grant {
                granted: lease.granted,
                standby,
                ticket,
            }
        };
        self.ticket_names().into_iter().map(grant).collect()
    }

    /// Ends leases whose deadline has passed.
    pub(crate) fn expire_leases(&mut self) {
        for Holding { ticket, term } in self.gate.expire(self.now.boot_ns) {
            let text = format!("ticket {ticket}: the lease of term {term} has ended");
            self.effects.push_back(Effect::Log(text));
        }
    }

    /// Expiry, arming, disarming, aborting.
    pub(crate) fn drive_tickets(&mut self) {
        if !self.settings.tickets {
            return;
        }
        self.expire_leases();
        let tickets: Vec<String> = self.dependents.keys().cloned().collect();
        for ticket in tickets {
            let stop_budget_ns = self.stop_budget_ms(&ticket).saturating_mul(1_000_000);
            if let Some((holding, deadline_ns)) = self.gate.ask_to_arm(&ticket) {
                let reset = self.needs_reset(&ticket);
                let arm = Effect::Arm {
                    holding,
                    deadline_ns,
                    stop_budget_ns,
                    reset,
                };
                self.effects.push_back(arm);
            }
        }
        for holding in self.gate.idle_armed() {
            if self.dependents_are_quiet(&holding.ticket) && self.gate.ask_to_disarm(&holding) {
                self.effects.push_back(Effect::Disarm(holding));
            }
        }
        self.abort_what_lost_its_ticket();
    }

    /// Something that runs under the ticket has no process that could be killed.
    pub(crate) fn needs_reset(&self, ticket: &str) -> bool {
        !self.without_process(ticket).is_empty()
    }

    /// Resources under the ticket that run (or may) and have no process that could be killed.
    pub(crate) fn without_process(&self, ticket: &str) -> Vec<String> {
        let mut names = self.names_under(ticket);
        names.retain(|name| self.gate.has_no_process(name) && self.state(name) != State::Stopped);
        names
    }

    /// Tells the guard again what it is armed for.
    pub(crate) fn arm_again(&mut self, resource: &str) {
        for Holding { ticket, .. } in self.gate.started_under(resource) {
            let stop_budget_ns = self.stop_budget_ms(&ticket).saturating_mul(1_000_000);
            if let Some((holding, deadline_ns)) = self.gate.ask_to_arm_again(&ticket) {
                let reset = self.needs_reset(&ticket);
                let arm = Effect::Arm {
                    holding,
                    deadline_ns,
                    stop_budget_ns,
                    reset,
                };
                self.effects.push_back(arm);
            }
        }
    }

    /// Milliseconds that stopping everything that depends on the ticket may take, one after the other.
    pub(crate) fn stop_budget_ms(&self, ticket: &str) -> u64 {
        let dependents = self.dependents.get(ticket).into_iter().flatten();
        dependents
            .map(|dependent| dependents::stop_ms(self.replica.cib(), dependent))
            .sum()
    }

    /// Tickets that gate the resource (for a start) or its promotion.
    fn gates_of(&self, resource: &str, operation: &str) -> Vec<String> {
        let plain = dependents::plain_id(resource);
        let concerns = |dependent: &dependents::Dependent| {
            let demotable = dependent.only_demoted();
            dependent.resource == plain && (operation == "promote" || !demotable)
        };
        self.dependents
            .iter()
            .filter(|(_, list)| list.iter().any(concerns))
            .map(|(ticket, _)| ticket.clone())
            .collect()
    }

    /// Tickets whose loss only demotes the resource.
    pub(crate) fn gated_promotion(&self, resource: &str) -> Vec<String> {
        let only = |ticket: &&String| self.is_only_demoted(ticket, resource);
        self.dependents.keys().filter(only).cloned().collect()
    }

    /// The terms under which an operation may begin, all of them held and guarded at this instant.
    ///
    /// # Errors
    /// The first ticket that is not.
    pub(crate) fn gates_to_begin(
        &self,
        resource: &str,
        operation: &str,
    ) -> Result<Vec<Holding>, String> {
        if !self.settings.tickets {
            return Ok(Vec::new());
        }
        let mut gates = Vec::new();
        for ticket in self.gates_of(resource, operation) {
            let term = self.gate.lease(&ticket).map_or(0, |lease| lease.term);
            if !self.gate.is_open(&ticket, self.now.boot_ns) {
                return Err(ticket);
            }
            gates.push(Holding { ticket, term });
        }
        Ok(gates)
    }

    /// Whatever starts this resource now must end: the lease is over, or for another term. A stop that
    /// was merely asked for waits for the start, whose timeout bounds it.
    pub(crate) fn lost_its_ticket(&self, resource: &str) -> bool {
        self.gate.started_under(resource).iter().any(|gate| {
            let frozen = self
                .dependents
                .get(&gate.ticket)
                .into_iter()
                .flatten()
                .any(|d| d.resource == resource && d.policy == LossPolicy::Freeze);
            let held = self.gate.lease(&gate.ticket).is_some_and(|lease| {
                lease.granted && lease.term == gate.term && self.gate.is_covered(&gate.ticket)
            });
            !frozen && !held
        })
    }
}
