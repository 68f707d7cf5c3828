//! Everything the scheduler knows and decides in one run.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use cib::Element;

use crate::action::{Action, ActionOrdering, Relation};
use crate::constraint::{Colocation, Location, TicketConstraint, TicketState};
use crate::hash::NumberMap;
use crate::ids::{ActId, ColId, LocId, NodeId, RscId, Table};
use crate::model::{Node, NodeKind, Resource, RscFlags, Slot, Variant};
use crate::options::Options;
use crate::rules::{Facts, References};
use crate::text;
use crate::words::{Word, Words};

/// The state of a run.
pub(crate) struct Plan<'a> {
    pub(crate) root: Element<'a>,
    pub(crate) references: References<'a>,
    pub(crate) rsc_defaults: Option<Element<'a>>,
    pub(crate) op_defaults: Option<Element<'a>>,
    pub(crate) now: i64,
    pub(crate) options: Options,
    /// Whether secrets may have been blanked out of the configuration.
    pub(crate) sanitized: bool,
    pub(crate) words: Words,
    pub(crate) node: Table<NodeId, Node<'a>>,
    /// The nodes by name; every loop over nodes follows it.
    pub(crate) order: Vec<NodeId>,
    pub(crate) dc: Option<NodeId>,
    pub(crate) have_remote: bool,
    pub(crate) rsc: Table<RscId, Resource<'a>>,
    /// Resources without a parent, in the order of their treatment.
    pub(crate) top: Vec<RscId>,
    pub(crate) by_id: HashMap<Rc<str>, RscId>,
    pub(crate) act: Table<ActId, Action>,
    pub(crate) singles: HashMap<Word, ActId>,
    pub(crate) edges: Vec<crate::action::Edge>,
    pub(crate) edge_flags: NumberMap<(ActId, ActId), Relation>,
    pub(crate) orderings: Vec<ActionOrdering>,
    pub(crate) col: Table<ColId, Colocation<'a>>,
    pub(crate) loc: Table<LocId, Location>,
    pub(crate) ticket_constraints: Vec<TicketConstraint>,
    pub(crate) tickets: BTreeMap<String, TicketState>,
    pub(crate) tags: HashMap<&'a str, Vec<&'a str>>,
    pub(crate) templates: HashMap<&'a str, Vec<&'a str>>,
    pub(crate) history: HashMap<(&'a str, &'a str), Element<'a>>,
    /// Identifiers in histories, as they stand in the document.
    pub(crate) history_names: std::collections::HashSet<&'a str>,
    /// Who is called like this in history.
    pub(crate) clone_names: HashMap<&'a str, Vec<RscId>>,
    pub(crate) stop_needed: Vec<RscId>,
    pub(crate) deferred_checks: Vec<DeferredCheck<'a>>,
    pub(crate) forced_reschedule: HashMap<cib::ElementId, ()>,
    pub(crate) recheck_by: Option<i64>,
    pub(crate) diagnostics: Vec<String>,
    pub(crate) failed: Vec<(NodeId, RscId, Element<'a>)>,
    /// Takes notes, if somebody wants to know why.
    pub(crate) recorder: Option<Box<crate::explain::Recorder<'a>>>,
    /// What the graph's actions share.
    pub(crate) shared: crate::graph::Shared,
    /// What the assignment weighed; none unless asked for.
    pub(crate) scores: Option<Vec<crate::scores::Score>>,
}

/// A history entry whose digest can be compared only after assignment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeferredCheck<'a> {
    pub(crate) rsc: RscId,
    pub(crate) node: NodeId,
    pub(crate) entry: Element<'a>,
    /// Whether the entry is that of the last failure (else of an active operation).
    pub(crate) last_failure: bool,
}

impl<'a> Plan<'a> {
    pub(crate) fn facts<'m>(&self) -> Facts<'m, 'a> {
        Facts {
            now: self.now,
            ..Facts::default()
        }
    }

    pub(crate) fn recheck(&mut self, at: i64) {
        if at > self.now && self.recheck_by.is_none_or(|r| r > at) {
            self.recheck_by = Some(at);
        }
    }

    // --- nodes ---

    pub(crate) fn find_node(&self, name: &str) -> Option<NodeId> {
        self.order
            .iter()
            .copied()
            .find(|n| self.node[*n].name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn find_node_id(&self, id: &str) -> Option<NodeId> {
        self.order
            .iter()
            .copied()
            .find(|n| self.node[*n].id.eq_ignore_ascii_case(id))
    }

    /// Whether the node is a guest or a remote node.
    pub(crate) fn is_remote_kind(&self, node: NodeId) -> bool {
        self.node[node].kind == NodeKind::Remote
    }

    pub(crate) fn is_guest(&self, node: NodeId) -> bool {
        self.is_remote_kind(node) && self.guest_launcher(node).is_some()
    }

    pub(crate) fn is_remote(&self, node: NodeId) -> bool {
        self.is_remote_kind(node) && self.guest_launcher(node).is_none()
    }

    /// What launches a guest node.
    pub(crate) fn guest_launcher(&self, node: NodeId) -> Option<RscId> {
        self.node[node]
            .connection
            .and_then(|c| self.rsc[c].launcher)
    }

    pub(crate) fn is_bundle_node(&self, node: NodeId) -> bool {
        self.is_guest(node)
            && self.node[node]
                .connection
                .is_some_and(|c| self.is_bundled(c))
    }

    pub(crate) fn attr(&self, node: NodeId, name: &str) -> Option<&str> {
        self.node[node].attrs.get(name).map(AsRef::as_ref)
    }

    /// Whether a node is up, clean, and neither leaving nor restricted.
    pub(crate) fn available(&self, node: NodeId, consider_guest: bool) -> bool {
        let n = &self.node[node];
        if !n.online || n.shutdown || n.unclean || n.standby || n.maintenance {
            return false;
        }
        if consider_guest
            && self.is_guest(node)
            && let Some(launcher) = self.guest_launcher(node)
        {
            return self.location(launcher, false).is_some();
        }
        true
    }

    pub(crate) fn can_fence(&self, node: Option<NodeId>) -> bool {
        if let Some(n) = node
            && let Some(launcher) = self.guest_launcher(n).filter(|_| self.is_guest(n))
        {
            let hosts = &self.rsc[launcher].running_on;
            return hosts
                .iter()
                .all(|h| self.node[*h].online || self.can_fence(Some(*h)));
        }
        let o = &self.options;
        if !o.fencing || !o.have_fencing {
            return false;
        }
        if o.quorate || o.no_quorum == crate::options::NoQuorum::Ignore {
            return true;
        }
        if let Some(n) = node {
            if self.node[n].online {
                return true;
            }
            return o.remote_without_quorum && self.is_remote(n);
        }
        false
    }

    // --- resources ---

    pub(crate) fn top_resource(&self, rsc: RscId, into_bundle: bool) -> RscId {
        let mut current = rsc;
        while let Some(parent) = self.rsc[current].parent {
            if !into_bundle && self.rsc[parent].variant == Variant::Bundle {
                break;
            }
            current = parent;
        }
        current
    }

    pub(crate) fn is_clone(&self, rsc: RscId) -> bool {
        self.rsc[rsc].variant == Variant::Clone
    }

    pub(crate) fn is_anonymous_clone(&self, rsc: RscId) -> bool {
        self.is_clone(rsc) && !self.rsc[rsc].is(RscFlags::UNIQUE)
    }

    pub(crate) fn is_bundled(&self, rsc: RscId) -> bool {
        self.rsc[self.top_resource(rsc, true)].variant == Variant::Bundle
            && self.rsc[rsc].variant != Variant::Bundle
    }

    /// A resource by its full identifier, anywhere.
    pub(crate) fn find(&self, id: &str) -> Option<RscId> {
        self.by_id.get(id).copied()
    }

    /// The innermost instance or the resource itself, with all of its descendants.
    pub(crate) fn descend(&self, rsc: RscId, visit: &mut dyn FnMut(RscId)) {
        visit(rsc);
        for child in &self.rsc[rsc].children {
            self.descend(*child, visit);
        }
    }

    pub(crate) fn with_descendants(&self, rsc: RscId) -> Vec<RscId> {
        let mut all = Vec::new();
        self.descend(rsc, &mut |r| all.push(r));
        all
    }

    pub(crate) fn set_recursive(&mut self, rsc: RscId, flag: RscFlags) {
        for r in self.with_descendants(rsc) {
            self.rsc[r].flags.set(flag);
        }
    }

    pub(crate) fn slot(&self, rsc: RscId, node: NodeId) -> Option<&Slot> {
        self.rsc[rsc]
            .allowed
            .get(crate::ids::Id::at(node))
            .filter(|s| s.present)
    }

    /// A resource's view of a node, made if there is none (with the score of the node itself).
    pub(crate) fn slot_mut(&mut self, rsc: RscId, node: NodeId) -> &mut Slot {
        let place = crate::ids::Id::at(node);
        let (weight, probe_mode) = (self.node[node].weight, self.node[node].probe_mode);
        let count = self.node.len();
        let allowed = &mut self.rsc[rsc].allowed;
        if allowed.len() < count {
            allowed.resize(count, Slot::default());
        }
        let slot = &mut allowed[place];
        if !slot.present {
            *slot = Slot {
                present: true,
                score: weight,
                count: 0,
                probe_mode,
            };
        }
        slot
    }

    /// Adds a score for a node, or for all, to a resource and what it consists of.
    pub(crate) fn add_score(&mut self, rsc: RscId, node: Option<NodeId>, score: i32) {
        for r in self.with_descendants(rsc) {
            match node {
                Some(n) => {
                    let slot = self.slot_mut(r, n);
                    slot.score = text::add(slot.score, score);
                }
                None => {
                    for i in 0..self.order.len() {
                        let n = self.order[i];
                        let slot = self.slot_mut(r, n);
                        slot.score = text::add(slot.score, score);
                    }
                }
            }
        }
        if node.is_none() && score == -text::INFINITY {
            self.rsc[rsc].assigned = None;
        }
    }

    /// Every node with minus infinity.
    pub(crate) fn ban_everywhere(&mut self, rsc: RscId) {
        let slots = self.node.iter().map(|n| Slot {
            present: true,
            score: -text::INFINITY,
            count: 0,
            probe_mode: n.probe_mode,
        });
        self.rsc[rsc].allowed = slots.collect();
    }

    /// Where a resource is: the best of the nodes it is active on, how many there are, how many of
    /// these are up and clean.
    pub(crate) fn active_node(&self, rsc: RscId) -> (Option<NodeId>, usize, usize) {
        let r = &self.rsc[rsc];
        if r.variant == Variant::Bundle {
            return self.bundle_active_node(rsc);
        }
        let mut best = None;
        let mut clean = 0;
        let happy = |n: NodeId| self.node[n].online && !self.node[n].unclean;
        for &node in &r.running_on {
            clean += usize::from(happy(node));
            self.consider_active(rsc, node, &mut best);
        }
        (best, r.running_on.len(), clean)
    }

    pub(crate) fn consider_active(&self, rsc: RscId, node: NodeId, best: &mut Option<NodeId>) {
        let r = &self.rsc[rsc];
        let happy = |n: NodeId| self.node[n].online && !self.node[n].unclean;
        if let Some(source) = r.partial_source {
            if node == source {
                *best = Some(node);
            }
        } else if !r.is(RscFlags::NEEDS_FENCING) && happy(node) && !best.is_some_and(happy) {
            *best = Some(node);
        }
        if best.is_none() {
            *best = Some(node);
        }
    }

    fn bundle_active_node(&self, rsc: RscId) -> (Option<NodeId>, usize, usize) {
        let mut nodes: Vec<NodeId> = Vec::new();
        let replicas = self.rsc[rsc]
            .bundle
            .as_ref()
            .map_or(&[][..], |b| &b.replicas[..]);
        for replica in replicas {
            for node in &self.rsc[replica.container].running_on {
                if !nodes.contains(node) {
                    nodes.push(*node);
                }
            }
        }
        let happy = |n: NodeId| self.node[n].online && !self.node[n].unclean;
        let mut best = None;
        for &node in &nodes {
            self.consider_active(rsc, node, &mut best);
        }
        (
            best,
            nodes.len(),
            nodes.iter().filter(|n| happy(**n)).count(),
        )
    }

    pub(crate) fn current_node(&self, rsc: RscId) -> Option<NodeId> {
        self.active_node(rsc).0
    }

    /// The active node and the number of nodes that count under the resource's `requires`.
    pub(crate) fn active_required(&self, rsc: RscId) -> (Option<NodeId>, usize) {
        let (node, all, clean) = self.active_node(rsc);
        if self.rsc[rsc].is(RscFlags::NEEDS_FENCING) {
            (node, all)
        } else {
            (node, clean)
        }
    }

    /// Where a resource is (`now`) or will be, considering all of its parts.
    pub(crate) fn locations(&self, rsc: RscId, current: bool) -> Vec<NodeId> {
        let mut list = Vec::new();
        self.add_locations(rsc, current, &mut list);
        list
    }

    fn add_locations(&self, rsc: RscId, current: bool, list: &mut Vec<NodeId>) {
        let r = &self.rsc[rsc];
        if !r.children.is_empty() {
            for child in &r.children {
                self.add_locations(*child, current, list);
            }
        } else if current {
            for node in &r.running_on {
                if !list.contains(node) {
                    list.push(*node);
                }
            }
        } else if let Some(node) = r.assigned
            && !list.contains(&node)
        {
            list.push(node);
        }
    }

    /// The single node of [`Self::locations`].
    pub(crate) fn location(&self, rsc: RscId, current: bool) -> Option<NodeId> {
        let r = &self.rsc[rsc];
        if r.children.is_empty() {
            return match *r.running_on.as_slice() {
                _ if !current => r.assigned,
                [one] => Some(one),
                _ => None,
            };
        }
        let mut found = None;
        (self.one_location(rsc, current, &mut found)).then_some(found)?
    }

    /// Collects the nodes of [`Self::locations`] as long as it is one and the same.
    fn one_location(&self, rsc: RscId, current: bool, found: &mut Option<NodeId>) -> bool {
        let r = &self.rsc[rsc];
        let mut same = |node: NodeId| *found.get_or_insert(node) == node;
        if r.children.is_empty() {
            return if current {
                r.running_on.iter().all(|n| same(*n))
            } else {
                r.assigned.is_none_or(same)
            };
        }
        let mut children = r.children.iter();
        children.all(|c| self.one_location(*c, current, found))
    }

    /// Whether a resource is active anywhere (`all`: each of its parts).
    pub(crate) fn is_active(&self, rsc: RscId, all: bool) -> bool {
        let r = &self.rsc[rsc];
        match r.variant {
            Variant::Primitive => r.running_on.iter().any(|n| {
                let node = &self.node[*n];
                node.unclean || node.online || !r.is(RscFlags::MANAGED)
            }),
            Variant::Bundle => {
                let replicas = r.bundle.as_ref().map_or(&[][..], |b| &b.replicas[..]);
                let mut members = replicas
                    .iter()
                    .flat_map(|p| [p.ip, p.child, Some(p.container), p.remote])
                    .flatten();
                // The first part of the first replica speaks for all.
                members
                    .next()
                    .is_some_and(|first| self.is_active(first, all))
            }
            _ if all => r.children.iter().all(|c| self.is_active(*c, true)),
            _ => r.children.iter().any(|c| self.is_active(*c, false)),
        }
    }

    /// The role a resource has now, or will have; of a collective, the greatest of its parts.
    pub(crate) fn role(&self, rsc: RscId, current: bool) -> crate::model::Role {
        let r = &self.rsc[rsc];
        match r.variant {
            Variant::Primitive => {
                if current {
                    r.role
                } else {
                    r.next_role
                }
            }
            _ => {
                let roles = r.children.iter().map(|c| self.role(*c, current));
                roles.max().unwrap_or(crate::model::Role::Unknown)
            }
        }
    }

    pub(crate) fn is_running_on(&self, rsc: RscId, node: NodeId) -> bool {
        self.rsc[rsc].running_on.contains(&node)
    }

    /// The connection that a launcher launches, if it makes a guest node.
    pub(crate) fn launched_connection(&self, rsc: RscId) -> Option<RscId> {
        if !self.have_remote {
            return None;
        }
        let launched = &self.rsc[rsc].launched;
        launched
            .iter()
            .copied()
            .find(|l| self.rsc[*l].is(RscFlags::REMOTE_CONNECTION))
    }

    /// Whether the resource is the connection to a remote (not guest) node.
    pub(crate) fn is_remote_connection(&self, rsc: RscId) -> bool {
        self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION)
            && self
                .find_node(&self.rsc[rsc].id.clone())
                .is_some_and(|n| self.is_remote(n))
    }
}
