//! Writes down what is left to do, and what each action waits for.

mod circles;
mod details;
mod inputs;
mod shared;

pub(crate) use shared::Shared;

use crate::action::ActFlags;
use crate::ids::{ActId, Id as _, RscId};
use crate::model::Variant;
use crate::plan::Plan;
use crate::transition::{Synapse, Transition};
use crate::words::Word;

impl<'a> Plan<'a> {
    /// The transition that the plan amounts to.
    pub(crate) fn create_graph(&mut self) -> Transition {
        let o = &self.options;
        let mut graph = Transition {
            synapses: Vec::new(),
            cluster_delay: o.cluster_delay.clone(),
            fencing_timeout: o.fencing_timeout.clone(),
            start_failure_is_fatal: o.start_failure_fatal,
            batch_limit: o.batch_limit,
            migration_limit: o.migration_limit,
            recheck_by: self.recheck_by,
            diagnostics: std::mem::take(&mut self.diagnostics),
        };
        for rsc in self.top.clone() {
            self.add_resource(rsc, &mut graph.synapses);
        }
        let differs = |p: &Self| {
            let mut nodes = p.node.ids();
            nodes.any(|n| {
                p.is_remote_kind(n) && p.node[n].maintenance != p.node[n].remote_maintenance
            })
        };
        if differs(self) {
            let update = self.pseudo("maintenance_nodes");
            self.act[update].flags.set(ActFlags::ALWAYS);
        }
        for action in self.act.ids().rev() {
            self.add_action(action, &mut graph.synapses);
        }
        let told = circles::open(&mut graph.synapses);
        graph.diagnostics.extend(told);
        graph
    }

    fn add_resource(&mut self, rsc: RscId, synapses: &mut Vec<Synapse>) {
        match self.rsc[rsc].variant {
            Variant::Primitive | Variant::Group => self.add_own_and_children(rsc, synapses),
            Variant::Clone => {
                for i in (0..self.rsc[rsc].actions.len()).rev() {
                    let action = self.rsc[rsc].actions[i];
                    self.action_flags(rsc, action, None);
                }
                self.create_clone_notices(rsc);
                for child in self.rsc[rsc].children.clone() {
                    self.add_resource(child, synapses);
                }
                self.add_own_and_children(rsc, synapses);
            }
            Variant::Bundle => {
                let Some(bundle) = self.rsc[rsc].bundle.clone() else {
                    return;
                };
                if let Some(child) = bundle.child {
                    self.add_resource(child, synapses);
                }
                for replica in &bundle.replicas {
                    let parts = [replica.ip, Some(replica.container), replica.remote];
                    for part in parts.into_iter().flatten() {
                        self.add_resource(part, synapses);
                    }
                }
            }
        }
    }

    fn add_own_and_children(&mut self, rsc: RscId, synapses: &mut Vec<Synapse>) {
        for i in (0..self.rsc[rsc].actions.len()).rev() {
            let action = self.rsc[rsc].actions[i];
            self.add_action(action, synapses);
        }
        for child in self.rsc[rsc].children.clone() {
            self.add_resource(child, synapses);
        }
    }

    /// Merges what several orderings say about the same two actions.
    fn merge_inputs(&mut self, action: ActId) {
        let mut before = std::mem::take(&mut self.act[action].before);
        before.reverse();
        before.sort_by_key(|e| self.edges[*e as usize].first);
        let mut merged: Vec<u32> = Vec::with_capacity(before.len());
        for edge in before {
            let this = self.edges[edge as usize];
            match merged.last() {
                Some(last) if self.edges[*last as usize].first == this.first => {
                    let last = &mut self.edges[*last as usize];
                    last.flags.set(this.flags);
                    last.in_graph |= this.in_graph;
                }
                _ => merged.push(edge),
            }
        }
        merged.reverse();
        self.act[action].before = merged;
    }

    fn add_action(&mut self, action: ActId, synapses: &mut Vec<Synapse>) {
        if !self.is(action, ActFlags::DEDUPED) {
            self.merge_inputs(action);
            self.act[action].flags.set(ActFlags::DEDUPED);
        }
        if self.is(action, ActFlags::IN_GRAPH) || !self.belongs_in_graph(action) {
            return;
        }
        self.act[action].flags.set(ActFlags::IN_GRAPH);
        let of_rsc = self.act[action].rsc.map_or(0, |r| self.rsc[r].priority);
        let priority = of_rsc.max(self.act[action].priority).max(0);
        let details = self.details(action);
        let mut inputs = Vec::new();
        for i in (0..self.act[action].before.len()).rev() {
            let edge = self.act[action].before[i] as usize;
            if self.is_input(action, edge) {
                self.edges[edge].in_graph = true;
                inputs.push(number(self.edges[edge].first));
            }
        }
        synapses.push(Synapse {
            priority,
            action: details,
            inputs,
        });
    }

    /// Whether an action is to be carried out at all.
    fn belongs_in_graph(&self, action: ActId) -> bool {
        let a = &self.act[action];
        if !a.flags.has(ActFlags::RUNNABLE) {
            return false;
        }
        if a.flags.has(ActFlags::OPTIONAL) && !a.flags.has(ActFlags::ALWAYS) {
            return false;
        }
        if let Some(rsc) = a.rsc
            && !self.rsc[rsc].is(crate::model::RscFlags::MANAGED)
            && a.task != Word::MONITOR
            && a.key.interval == 0
        {
            return false;
        }
        if a.flags.has(ActFlags::PSEUDO) || matches!(a.task, Word::STONITH | Word::SHUTDOWN) {
            return true;
        }
        let Some(node) = a.node else {
            return false;
        };
        let n = &self.node[node];
        a.flags.has(ActFlags::ON_DC)
            || (self.is_guest(node) && !n.remote_reset)
            || (n.online && !n.unclean)
    }
}

/// The number of an action in the graph.
pub(super) fn number(action: ActId) -> u32 {
    u32::try_from(action.at()).unwrap_or(u32::MAX - 1) + 1
}
