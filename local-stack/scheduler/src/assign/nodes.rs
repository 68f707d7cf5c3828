//! Which node is better; taking one and giving it back.

use std::cmp::Ordering;

use super::Nodes;
use crate::action::ActFlags;
use crate::ids::{Id as _, NodeId, RscId};
use crate::model::Role;
use crate::options::Placement;
use crate::plan::Plan;
use crate::text::{self, INFINITY};
use crate::walk;
use crate::words::Word;

impl<'a> Plan<'a> {
    /// Whether any node of a table can take a resource.
    pub(crate) fn any_available(&self, nodes: &Nodes) -> bool {
        nodes.iter().enumerate().any(|(place, slot)| {
            slot.present && slot.score >= 0 && self.available(NodeId::new(place), false)
        })
    }

    /// Whether a node can take a resource that scores it like this.
    pub(crate) fn usable(&self, rsc: RscId, node: NodeId) -> bool {
        self.slot(rsc, node).is_some_and(|s| s.score >= 0) && self.available(node, false)
    }

    /// The better of two nodes first; `scores` are those of a resource.
    pub(crate) fn compare_nodes(
        &self,
        a: (NodeId, i32),
        b: (NodeId, i32),
        active: Option<NodeId>,
    ) -> Ordering {
        let score = |(node, score): (NodeId, i32)| {
            if self.available(node, false) {
                score
            } else {
                -INFINITY
            }
        };
        let by_name = || self.node[a.0].name.cmp(self.node[b.0].name);
        let by_score = score(b).cmp(&score(a));
        if by_score != Ordering::Equal {
            return by_score;
        }
        if self.options.placement == Placement::Minimal {
            return by_name();
        }
        if self.options.placement == Placement::Balanced {
            let by_capacity = self.compare_capacities(a.0, b.0);
            if by_capacity != Ordering::Equal {
                return by_capacity;
            }
        }
        let by_load = self.node[a.0].resources.cmp(&self.node[b.0].resources);
        by_load
            .then_with(|| match active {
                Some(active) if active == a.0 => Ordering::Less,
                Some(active) if active == b.0 => Ordering::Greater,
                _ => Ordering::Equal,
            })
            .then_with(by_name)
    }

    /// The nodes of a resource, the best first.
    pub(crate) fn sorted_nodes(&self, rsc: RscId, active: Option<NodeId>) -> Vec<(NodeId, i32)> {
        let mut nodes: Vec<(NodeId, i32)> = self
            .walk_nodes(rsc)
            .into_iter()
            .rev()
            .filter_map(|n| self.slot(rsc, n).map(|s| (n, s.score)))
            .collect();
        // Capacities do not order nodes totally; the standard library's sort may panic on that.
        text::merge_sort(&mut nodes, &|a, b| self.compare_nodes(*a, *b, active));
        nodes
    }

    /// The nodes that a resource knows, in the order that decides where comparisons do not.
    pub(crate) fn walk_nodes(&self, rsc: RscId) -> Vec<NodeId> {
        let known = self.order.iter().copied();
        let known: Vec<NodeId> = known.filter(|n| self.slot(rsc, *n).is_some()).collect();
        if self.options.placement != Placement::Balanced {
            return known;
        }
        let places = walk::walk(known.iter().map(|n| self.node[*n].id));
        places.into_iter().map(|place| known[place]).collect()
    }

    /// Gives a resource (and its parts) to a node, or to none. Tells whether that changes anything.
    pub(crate) fn give(
        &mut self,
        rsc: RscId,
        node: Option<NodeId>,
        force: bool,
        stop_if_fail: bool,
    ) -> bool {
        if !self.rsc[rsc].children.is_empty() {
            let mut changed = false;
            for child in self.rsc[rsc].children.clone() {
                changed |= self.give(child, node, force, stop_if_fail);
            }
            return changed;
        }
        let mut node = node;
        if let Some(n) = node.filter(|_| !force) {
            let score = self.slot(rsc, n).map_or(self.node[n].weight, |s| s.score);
            // A guest may come up yet.
            if score < 0 || (!self.available(n, false) && !self.is_guest(n)) {
                node = None;
                if stop_if_fail {
                    self.rsc[rsc].next_role = Role::Stopped;
                }
            }
        }
        let changed = self.rsc[rsc].assigned != node;
        self.unassign(rsc);
        match node {
            None if stop_if_fail => {
                self.rsc[rsc]
                    .flags
                    .clear(crate::model::RscFlags::UNASSIGNED);
                self.rsc[rsc].next_role = Role::Stopped;
                self.stop_actions(rsc);
            }
            None => {}
            Some(n) => {
                self.rsc[rsc]
                    .flags
                    .clear(crate::model::RscFlags::UNASSIGNED);
                self.rsc[rsc].assigned = node;
                self.node[n].allocated.insert(0, rsc);
                self.node[n].resources += 1;
                if let Some(slot) = self.rsc[rsc].allowed.get_mut(n.at()) {
                    slot.count += 1;
                }
                self.use_capacity(n, rsc, -1);
                self.note_utilization(rsc, n);
            }
        }
        changed
    }

    /// Actions that make no sense once the resource has no place.
    fn stop_actions(&mut self, rsc: RscId) {
        for i in 0..self.rsc[rsc].actions.len() {
            let action = &mut self.act[self.rsc[rsc].actions[i]];
            match action.task {
                Word::STOP => action.flags.clear(ActFlags::OPTIONAL),
                Word::START => action.flags.clear(ActFlags::RUNNABLE),
                _ if action.key.interval > 0 && action.target_rc != Some(7) => {
                    action.flags.clear(ActFlags::RUNNABLE);
                }
                _ => {}
            }
        }
    }

    /// Takes back what [`Self::give`] gave.
    pub(crate) fn unassign(&mut self, rsc: RscId) {
        self.rsc[rsc].flags.set(crate::model::RscFlags::UNASSIGNED);
        if !self.rsc[rsc].children.is_empty() {
            for child in self.rsc[rsc].children.clone() {
                self.unassign(child);
            }
            return;
        }
        let Some(node) = self.rsc[rsc].assigned.take() else {
            return;
        };
        self.node[node].allocated.retain(|r| *r != rsc);
        self.node[node].resources -= 1;
        self.use_capacity(node, rsc, 1);
    }

    /// The node that holds an attribute for a resource: the host, if that is asked for.
    pub(crate) fn attr_via_target(
        &self,
        node: NodeId,
        name: &str,
        target: Option<&str>,
        current: bool,
    ) -> Option<&str> {
        let host = target.is_some_and(|t| t.eq_ignore_ascii_case("host"));
        let launcher = self
            .guest_launcher(node)
            .filter(|_| host && self.is_guest(node));
        let Some(launcher) = launcher else {
            return self.attr(node, name);
        };
        let l = &self.rsc[launcher];
        let host = if current {
            l.running_on.first().copied()
        } else {
            l.assigned
        };
        host.and_then(|h| self.attr(h, name))
    }

    /// The value by which two resources are together. Resources are with a bundle where its
    /// containers are.
    pub(crate) fn colocation_value(&self, node: NodeId, name: &str, rsc: RscId) -> Option<&str> {
        let inside = self.is_bundle_node(node) && self.is_bundled(rsc) && {
            let top = self.top_resource(rsc, true);
            let child = self.rsc[top].bundle.as_ref().and_then(|b| b.child);
            child == Some(self.top_resource(rsc, false))
        };
        let target = if inside {
            Some("host")
        } else {
            self.rsc[rsc].meta("container-attribute-target")
        };
        self.attr_via_target(node, name, target, false)
    }

    /// Whether a resource's parent lets it (or it itself) use a node.
    pub(crate) fn top_slot(&self, rsc: RscId, node: NodeId) -> Option<&crate::model::Slot> {
        self.slot(self.rsc[rsc].parent.unwrap_or(rsc), node)
    }

    /// Whether a resource is active on one node alone.
    pub(crate) fn runs_only_on(&self, rsc: RscId, node: Option<NodeId>) -> bool {
        matches!((self.rsc[rsc].running_on.as_slice(), node), ([one], Some(n)) if *one == n)
    }
}
