//! Spreading the instances of a clone, or the containers of a bundle, over the nodes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::Nodes;
use super::colocation::Merge;
use crate::explain::What;
use crate::ids::{Id as _, NodeId, RscId};
use crate::model::{Role, RscFlags, Slot, Variant};
use crate::plan::Plan;
use crate::text::{self, INFINITY};

/// What instances' colocations say about the nodes where they are: it does not change while they are
/// sorted.
pub(crate) type Known = BTreeMap<RscId, i32>;

impl<'a> Plan<'a> {
    /// The instances of a clone, or the containers of a bundle.
    pub(crate) fn instances(&self, rsc: RscId) -> Vec<RscId> {
        match &self.rsc[rsc].bundle {
            Some(bundle) => bundle.replicas.iter().map(|r| r.container).collect(),
            None => self.rsc[rsc].children.clone(),
        }
    }

    /// How many of [`Self::instances`] there are.
    pub(crate) fn instance_count(&self, rsc: RscId) -> usize {
        let r = &self.rsc[rsc];
        (r.bundle.as_ref()).map_or(r.children.len(), |b| b.replicas.len())
    }

    /// One of [`Self::instances`]; the collective itself if there are not so many.
    pub(crate) fn instance(&self, rsc: RscId, at: usize) -> RscId {
        let r = &self.rsc[rsc];
        let found = match &r.bundle {
            Some(bundle) => bundle.replicas.get(at).map(|r| r.container),
            None => r.children.get(at).copied(),
        };
        found.unwrap_or(rsc)
    }

    /// How many instances may be on one node.
    pub(crate) fn max_per_node(&self, rsc: RscId) -> i32 {
        let r = &self.rsc[rsc];
        match (&r.clone, &r.bundle) {
            (Some(clone), _) => clone.node_max,
            (_, Some(bundle)) => bundle.per_host,
            _ => 1,
        }
    }

    fn can_run_instance(&self, instance: RscId, node: NodeId, max_per_node: i32) -> bool {
        !self.rsc[instance].is(RscFlags::REMOVED)
            && self.available(node, false)
            && self
                .top_slot(instance, node)
                .is_some_and(|s| s.score >= 0 && s.count < max_per_node)
    }

    fn ban_unavailable(&mut self, instance: RscId, max_per_node: i32) {
        for i in 0..self.order.len() {
            let node = self.order[i];
            if self.slot(instance, node).is_none()
                || self.can_run_instance(instance, node, max_per_node)
            {
                continue;
            }
            if self
                .top_slot(instance, node)
                .is_some_and(|s| s.count >= max_per_node)
            {
                self.note(instance, Some(node), What::NodeLimit(max_per_node));
            }
            self.slot_mut(instance, node).score = -INFINITY;
            for child in self.rsc[instance].children.clone() {
                if self.slot(child, node).is_some() {
                    self.slot_mut(child, node).score = -INFINITY;
                }
            }
        }
    }

    // --- which instance goes first ---

    fn parent_scores(&mut self, rsc: RscId, nodes: Nodes) -> Nodes {
        let mut nodes = Some(nodes);
        for id in self.this_with_colocations(rsc) {
            let col = &self.col[id];
            #[allow(clippy::cast_precision_loss, reason = "scores are small")]
            let (other, factor) = (col.primary, col.score as f32 / INFINITY as f32);
            let merge = Merge::default();
            self.add_colocated_scores(other, Some(rsc), &mut nodes, Some(id), factor, merge);
        }
        for id in self.with_this_colocations(rsc) {
            let col = &self.col[id];
            if !self.has_influence(col, Some(rsc)) {
                continue;
            }
            #[allow(clippy::cast_precision_loss, reason = "scores are small")]
            let (other, factor) = (col.dependent, col.score as f32 / INFINITY as f32);
            let merge = Merge {
                nonnegative: true,
                ..Merge::default()
            };
            self.add_colocated_scores(other, Some(rsc), &mut nodes, Some(id), factor, merge);
        }
        nodes.unwrap_or_default()
    }

    fn colocated_score(&mut self, instance: RscId, node: NodeId, known: &mut Known) -> i32 {
        if let Some(score) = known.get(&instance) {
            return *score;
        }
        let n = &self.node[node];
        let mut nodes = vec![Slot::default(); self.node.len()];
        nodes[node.at()] = Slot {
            present: true,
            score: n.weight,
            count: 0,
            probe_mode: n.probe_mode,
        };
        let nodes = self.parent_scores(instance, nodes);
        let score = nodes.get(node.at()).map_or(0, |slot| slot.score);
        known.insert(instance, score);
        score
    }

    fn any_failed(&self, rsc: RscId) -> bool {
        let r = &self.rsc[rsc];
        r.is(RscFlags::FAILED) || r.children.iter().any(|c| self.any_failed(*c))
    }

    /// The number in an instance's name.
    pub(crate) fn instance_number(&self, rsc: RscId) -> i64 {
        let id = &self.rsc[rsc].id;
        let number = id
            .rsplit_once(':')
            .or_else(|| id.rsplit_once('-'))
            .map(|(_, n)| n);
        number.and_then(text::leading_int).unwrap_or(0)
    }

    /// Which of two instances is assigned first.
    pub(crate) fn compare_instances(&mut self, a: RscId, b: RscId, known: &mut Known) -> Ordering {
        let (node_a, count_a, _) = self.active_node(a);
        let (node_b, count_b, _) = self.active_node(b);
        if count_a > 0 && count_b > 0 && count_a != count_b {
            return count_a.cmp(&count_b);
        }
        let allowed = |p: &Self, r, n: NodeId| p.slot(r, n).is_some_and(|s| s.score >= 0);
        let fine_a = node_a.is_none_or(|n| allowed(self, a, n));
        let fine_b = node_b.is_none_or(|n| allowed(self, b, n));
        let node_a = node_a.filter(|_| fine_a);
        let node_b = node_b.filter(|_| fine_b);
        let first = fine_b.cmp(&fine_a).then_with(|| {
            let (x, y) = (&self.rsc[a], &self.rsc[b]);
            y.promotion_priority.cmp(&x.promotion_priority)
        });
        if first != Ordering::Equal {
            return first;
        }
        let (node_a, node_b) = match (node_a, node_b) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (Some(x), Some(y)) => (x, y),
        };
        let by_node = self
            .available(node_b, false)
            .cmp(&self.available(node_a, false));
        if by_node != Ordering::Equal {
            return by_node;
        }
        let slots = (
            self.top_slot(a, node_a).copied(),
            self.top_slot(b, node_b).copied(),
        );
        let by_parent = match slots {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(x), Some(y)) => x.count.cmp(&y.count),
        };
        let by_parent = by_parent.then_with(|| self.any_failed(a).cmp(&self.any_failed(b)));
        if by_parent != Ordering::Equal {
            return by_parent;
        }
        let by_colocation = self
            .colocated_score(b, node_b, known)
            .cmp(&self.colocated_score(a, node_a, known));
        by_colocation.then_with(|| self.instance_number(a).cmp(&self.instance_number(b)))
    }

    pub(crate) fn sort_instances(&mut self, instances: &mut [RscId]) {
        let plan = std::cell::RefCell::new((self, Known::new()));
        text::merge_sort(instances, &|a, b| {
            let (plan, known) = &mut *plan.borrow_mut();
            plan.compare_instances(*a, *b, known)
        });
    }

    // --- assigning ---

    fn count_on_parent(&mut self, instance: RscId, node: NodeId) {
        let parent = self.rsc[instance].parent.unwrap_or(instance);
        if self.slot(parent, node).is_some() {
            self.slot_mut(parent, node).count += 1;
        }
    }

    fn assign_instance(
        &mut self,
        instance: RscId,
        prefer: Option<NodeId>,
        max_per_node: i32,
    ) -> Option<NodeId> {
        if self.rsc[instance].is(RscFlags::ASSIGNING) {
            return None;
        }
        self.ban_unavailable(instance, max_per_node);
        let chosen = self.assign(instance, prefer, prefer.is_none());
        if let Some(node) = chosen {
            self.count_on_parent(instance, node);
        }
        chosen
    }

    /// Tries to leave an instance where it is. While another node is better for it, one place is
    /// set aside there and the try repeated, so that instances are not shuffled needlessly.
    fn assign_early(
        &mut self,
        instance: RscId,
        current: NodeId,
        max_per_node: i32,
        places: i32,
    ) -> bool {
        if !self.usable(instance, current) {
            return false;
        }
        let Some(parent) = self.rsc[instance].parent else {
            return false;
        };
        let all = self.with_descendants(instance);
        let saved: Vec<Nodes> = all.iter().map(|r| self.rsc[*r].allowed.clone()).collect();
        let saved_parent = self.rsc[parent].allowed.clone();
        let mut reserved = 0;
        let mut done = false;
        while reserved < places {
            let chosen = self.assign_instance(instance, Some(current), max_per_node);
            if chosen == Some(current) {
                done = true;
                break;
            }
            for (r, nodes) in all.iter().zip(&saved) {
                self.rsc[*r].allowed.clone_from(nodes);
            }
            if chosen.is_none() {
                self.unassign(instance);
                break;
            }
            reserved += 1;
            self.unassign(instance);
        }
        self.rsc[parent].allowed = saved_parent;
        if done {
            self.count_on_parent(instance, current);
        }
        done
    }

    fn preferred_node(&self, instance: RscId, optimum: i32) -> Option<NodeId> {
        let r = &self.rsc[instance];
        if r.running_on.is_empty() || !r.is(RscFlags::UNASSIGNED) || r.is(RscFlags::FAILED) {
            return None;
        }
        let node = self.current_node(instance)?;
        if !self.available(node, false) || self.node[node].weight < 0 {
            return None;
        }
        let full = self
            .top_slot(instance, node)
            .is_some_and(|s| s.count >= optimum);
        (!full).then_some(node)
    }

    /// Assigns instances: those that run first, to where they run, as far as that is fair.
    pub(crate) fn assign_instances(
        &mut self,
        collective: RscId,
        instances: &[RscId],
        max_total: i32,
        max_per_node: i32,
    ) {
        let mut nodes = 0;
        for i in 0..self.order.len() {
            let node = self.order[i];
            if self.slot(collective, node).is_some() {
                self.slot_mut(collective, node).count = 0;
                nodes += i32::from(self.available(node, false));
            }
        }
        let optimum = if nodes > 0 {
            (max_total / nodes).max(1)
        } else {
            1
        };
        let mut assigned = 0;
        for &instance in instances {
            if assigned >= max_total {
                break;
            }
            if let Some(current) = self.preferred_node(instance, optimum)
                && self.assign_early(instance, current, max_per_node, max_total - assigned)
            {
                assigned += 1;
            }
        }
        for &instance in instances {
            if !self.rsc[instance].is(RscFlags::UNASSIGNED) {
                continue;
            }
            if assigned >= max_total {
                self.add_score(instance, None, -INFINITY);
                self.note(instance, None, What::Limit(max_total));
            } else if self.assign_instance(instance, None, max_per_node).is_some() {
                assigned += 1;
            }
        }
    }

    // --- finding an instance for another ---

    fn any_blocked(&self, rsc: RscId) -> bool {
        let r = &self.rsc[rsc];
        r.is(RscFlags::BLOCKED) || r.children.iter().any(|c| self.any_blocked(*c))
    }

    /// Whether an instance is (or will be) on a node in a role, and not blocked.
    pub(crate) fn instance_matches(
        &self,
        instance: RscId,
        node: NodeId,
        role: Role,
        current: bool,
    ) -> bool {
        self.location(instance, current) == Some(node) && self.may_match(instance, role, current)
    }

    /// Whether an instance is (or will be) in a role, and not blocked.
    fn may_match(&self, instance: RscId, role: Role, current: bool) -> bool {
        (role == Role::Unknown || role == self.role(instance, current))
            && !self.any_blocked(instance)
    }

    /// An instance of `rsc` where `other` is (or may be).
    pub(crate) fn compatible_instance(
        &self,
        other: RscId,
        rsc: RscId,
        role: Role,
        current: bool,
    ) -> Option<RscId> {
        let count = self.instance_count(rsc);
        if let Some(node) = self.location(other, current) {
            let mut all = (0..count).map(|i| self.instance(rsc, i));
            return all.find(|i| self.instance_matches(*i, node, role, current));
        }
        // Of those that are in one place, by the nodes that the other likes best.
        let placed: Vec<(NodeId, RscId)> = (0..count)
            .map(|i| self.instance(rsc, i))
            .filter_map(|i| Some((self.location(i, current)?, i)))
            .filter(|(_, i)| self.may_match(*i, role, current))
            .collect();
        if placed.is_empty() {
            return None;
        }
        let mut nodes = self.sorted_nodes(other, None).into_iter();
        let find = |node| placed.iter().find(|(at, _)| *at == node);
        nodes.find_map(|(node, _)| find(node).map(|(_, i)| *i))
    }

    /// Where unblocked instances will be.
    pub(crate) fn unblocked_places(&self, rsc: RscId) -> Vec<(NodeId, i32)> {
        let instances = self.instances(rsc).into_iter();
        instances
            .filter(|i| !self.any_blocked(*i))
            .filter_map(|i| {
                let node = self.location(i, false)?;
                Some((node, self.slot(i, node).map_or(0, |s| s.score)))
            })
            .collect()
    }

    pub(crate) fn is_collective_of_instances(&self, rsc: RscId) -> bool {
        matches!(self.rsc[rsc].variant, Variant::Clone | Variant::Bundle)
    }
}
