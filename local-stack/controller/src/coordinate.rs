//! The coordinator's part: carrying a transition out on all nodes, and taking in what came of it.

use replica::{Change, NodeRef, OrderId};
use scheduler::{Action, ActionKind, Inputs};

use crate::call::{self, Flight, changes_state, name};
use crate::controller::Controller;
use crate::fence;
use crate::graph::Graph;
use crate::types::Effect;

/// The scheduler is asked again after this time even if nothing happened: rules and expiries may
/// depend on the date. Pacemaker's default for the same.
const RECHECK_NS: u64 = 15 * 60 * 1_000_000_000;

impl Controller {
    pub(crate) fn reschedule_if_needed(&mut self) {
        let grants = self.current_grants();
        if grants != self.grants {
            let seen = grants.iter();
            let seen = seen.map(|one| (one.ticket.clone(), one.granted, one.standby));
            self.replica.propose(Change::Tickets(seen.collect()));
            self.absorb();
            self.grants = grants;
            self.dirty = true;
        }
        if !self.dirty {
            return;
        }
        self.dirty = false;
        let inputs = Inputs {
            now: self.now.wall_s,
            grants: Some(self.grants.clone()),
        };
        let transition = (self.settings.schedule)(self.replica.cib(), &inputs);
        self.diagnostics.clone_from(&transition.diagnostics);
        self.fencing_timeout_ms = fence::timeout_ms(&transition.fencing_timeout);
        self.start_failure_is_fatal = transition.start_failure_is_fatal;
        self.recheck_ns = self.recheck_at(transition.recheck_by);
        self.graph = Graph::new(self.graph.number + 1, transition);
    }

    fn recheck_at(&self, recheck_by: Option<i64>) -> u64 {
        let latest = self.now.boot_ns.saturating_add(RECHECK_NS);
        let seconds = recheck_by.map(|at| at.saturating_sub(self.now.wall_s).max(1).unsigned_abs());
        seconds.map_or(latest, |seconds| {
            latest.min(
                self.now
                    .boot_ns
                    .saturating_add(seconds.saturating_mul(1_000_000_000)),
            )
        })
    }

    /// Fires everything that can be.
    pub(crate) fn fire(&mut self) {
        while let Some(action) = self.graph.next_ready() {
            match action.kind {
                ActionKind::Pseudo => self.graph.confirm(action.id),
                ActionKind::Cluster => self.cluster_action(&action),
                ActionKind::Resource => self.resource_action(&action),
            }
        }
    }

    fn resource_action(&mut self, action: &Action) {
        let node = self.node_of(action);
        let here = node.uname == self.node.uname;
        let number = self.replica.number_of(&node.uname);
        if !here && number.is_none() {
            let text = format!("{} belongs to another node: not done", action.key);
            self.effects.push_back(Effect::Log(text));
            return self.graph.fail(action.id);
        }
        let resource = name(action).to_owned();
        let order = self.new_order();
        let (uuid, fatal) = (&self.settings.uuid, self.start_failure_is_fatal);
        let command = call::command(order, action, self.graph.number, uuid, fatal);
        let flying = |(_, flight): &(&OrderId, &Flight)| flight.is_of(&node.uname, &resource);
        let flying: Vec<(OrderId, Flight)> = self
            .flights
            .iter()
            .filter(flying)
            .map(|(order, flight)| (*order, flight.clone()))
            .collect();
        let same = |(_, flight): &&(OrderId, Flight)| flight.command.is_same(&command);
        if let Some((order, _)) = flying.iter().find(same)
            && !self.aborted.contains(order)
        {
            // The same operation is under way already: its result counts for this transition.
            return self.graph.fly(action.id, *order);
        }
        let only_monitors = flying
            .iter()
            .all(|(_, flight)| flight.command.interval_ms > 0);
        let gives_way = only_monitors && changes_state(&action.operation);
        if !flying.is_empty() && !gives_way {
            return self.graph.hold(action.id);
        }
        if matches!(action.operation.as_str(), "start" | "promote")
            && self.is_begun_elsewhere(&node, &resource)
        {
            // The CIB does not know yet that it may be active there: whatever comes of it comes first.
            return self.graph.hold(action.id);
        }
        if action.operation == "delete" {
            self.replica.propose(Change::Forget {
                node,
                resource,
                failures: false,
            });
            return self.graph.confirm(action.id);
        }
        for (order, _) in flying {
            // Late words of its monitors do not count.
            self.flights.remove(&order);
        }
        self.graph.fly(action.id, order);
        let flight = Flight {
            node,
            command: command.clone(),
        };
        self.flights.insert(order, flight);
        match number {
            Some(number) if !here => self.replica.command(number, command),
            _ => self.carry_out(command),
        }
    }

    /// The resource is being started or promoted on another node by an order that this transition knows
    /// nothing of. (Instances of one clone start side by side, in one transition.)
    fn is_begun_elsewhere(&self, node: &NodeRef, resource: &str) -> bool {
        self.flights.iter().any(|(order, flight)| {
            let begins = matches!(flight.command.operation.as_str(), "start" | "promote");
            begins
                && flight.node.uname != node.uname
                && flight.command.resource == resource
                && self.graph.action_of(*order).is_none()
                && !self.graph.has(&flight.command.key, &flight.node.uname)
        })
    }

    /// Where an action belongs; without a word about it, here.
    fn node_of(&self, action: &Action) -> NodeRef {
        let node = action.node.as_ref();
        node.map_or_else(
            || self.node.clone(),
            |node| NodeRef {
                uname: node.uname.clone(),
                id: node.id.clone(),
            },
        )
    }

    pub(crate) fn new_order(&mut self) -> OrderId {
        self.next_order += 1;
        OrderId {
            incarnation: self.incarnation,
            number: self.next_order,
        }
    }

    /// The order has ended: the transition goes on, or, if that was not foreseen, another one follows.
    pub(crate) fn confirm_or_reschedule(&mut self, order: OrderId, success: bool) {
        match self.graph.action_of(order).map(|action| action.id) {
            Some(id) if success => self.graph.confirm(id),
            Some(id) => {
                self.graph.fail(id);
                self.dirty = true;
            }
            None => self.dirty = true,
        }
    }

    fn cluster_action(&mut self, action: &Action) {
        let node = self.node_of(action);
        let resource = name(action).to_owned();
        let change = match action.operation.as_str() {
            "clear_failcount" => Change::ClearFailures { node, resource },
            "lrm_delete" => Change::Forget {
                node,
                resource,
                failures: false,
            },
            "do_shutdown" if self.replica.is_alone() => return self.graph.confirm(action.id),
            "do_shutdown" => Change::Leave { node },
            "stonith" => return self.fence(action),
            other => {
                let text = format!("{other}: not known, not done");
                self.effects.push_back(Effect::Log(text));
                return self.graph.fail(action.id);
            }
        };
        self.replica.propose(change);
        self.graph.confirm(action.id);
    }
}
