//! Which instances of a promotable clone are promoted.

use std::cmp::Ordering;

use super::colocation::Merge;
use super::instances::Known;
use crate::ids::{ColId, Id as _, NodeId, RscId};
use crate::model::{Role, RscFlags};
use crate::options::NoQuorum;
use crate::plan::Plan;
use crate::text::{self, INFINITY};

#[allow(clippy::cast_precision_loss, reason = "scores are small")]
fn factor_of(score: i32) -> f32 {
    score as f32 / INFINITY as f32
}

impl<'a> Plan<'a> {
    /// Chooses roles for all instances.
    pub(super) fn set_roles(&mut self, clone: RscId) {
        for slot in &mut self.rsc[clone].allowed {
            slot.count = 0;
        }
        for instance in self.rsc[clone].children.clone() {
            self.set_priority(clone, instance);
        }
        self.sort_promotable(clone);
        let mut promoted = 0;
        for instance in self.rsc[clone].children.clone() {
            self.set_role(clone, instance, &mut promoted);
        }
    }

    fn add_promoted_locations(&mut self, of: RscId, instance: RscId, node: NodeId) {
        for id in self.rsc[of].locations.clone() {
            let location = &self.loc[id];
            if location.role != Role::Promoted {
                continue;
            }
            if let Some((_, score)) = location.nodes.iter().find(|(n, _)| *n == node) {
                let r = &mut self.rsc[instance];
                r.promotion_priority = text::add(r.promotion_priority, *score);
            }
        }
    }

    fn set_priority(&mut self, clone: RscId, instance: RscId) {
        if self.role(instance, true) == Role::Started {
            for r in self.with_descendants(instance) {
                if self.rsc[r].role == Role::Started {
                    self.rsc[r].role = Role::Unpromoted;
                }
            }
        }
        let Some(node) = self.location(instance, false) else {
            return;
        };
        let next = self.role(instance, false);
        match next {
            Role::Started | Role::Unknown => {
                // Without any score an instance is promoted only if a constraint says so.
                let score = self.promotion_score(instance, node).unwrap_or(-1);
                self.rsc[instance].promotion_priority = score;
            }
            Role::Unpromoted | Role::Stopped => {
                self.rsc[instance].promotion_priority = -INFINITY;
            }
            Role::Promoted => {}
        }
        self.add_promoted_locations(instance, instance, node);
        self.add_promoted_locations(clone, instance, node);
        for id in self.this_with_colocations(instance) {
            let primary = self.col[id].primary;
            self.apply_colocation(instance, primary, id, true);
        }
        self.rsc[instance].sort_index = if next == Role::Promoted {
            INFINITY
        } else {
            self.rsc[instance].promotion_priority
        };
    }

    fn sort_promotable(&mut self, clone: RscId) {
        if self.rsc[clone].is(RscFlags::PROMOTION_CONSTRAINED) {
            return;
        }
        self.rsc[clone]
            .flags
            .set(RscFlags::PROMOTION_CONSTRAINED | RscFlags::UPDATING_NODES);
        let instances = self.rsc[clone].children.clone();
        for &instance in &instances {
            let index = self.rsc[instance].sort_index;
            if index >= 0
                && let Some(node) = self.location(instance, false)
            {
                let slot = self.slot_mut(clone, node);
                slot.score = text::add(index, slot.score);
            }
        }
        // Where the clone itself is the dependent counts in the instances' priorities already.
        for id in self.with_this_colocations(clone) {
            self.merge_for_promotion(clone, id);
        }
        if self.ticket_prevents_promotion(clone) {
            self.add_score(clone, None, -INFINITY);
        }
        for &instance in &instances {
            let r = &self.rsc[instance];
            let node = self.location(instance, false);
            if !r.is(RscFlags::MANAGED) && r.next_role == Role::Promoted {
                self.rsc[instance].sort_index = INFINITY;
            } else if node.is_none() {
                self.rsc[instance].sort_index = -INFINITY;
            } else if let Some(node) = node.filter(|_| r.sort_index >= 0) {
                let score = self.slot(clone, node).map_or(0, |s| s.score);
                self.rsc[instance].sort_index = score;
            }
        }
        let mut instances = instances;
        let plan = std::cell::RefCell::new((&mut *self, Known::new()));
        text::merge_sort(&mut instances, &|a, b| {
            let (plan, known) = &mut *plan.borrow_mut();
            let (x, y) = (&plan.rsc[*a], &plan.rsc[*b]);
            let order = y.sort_index.cmp(&x.sort_index);
            let order = order.then_with(|| plan.role(*b, true).cmp(&plan.role(*a, true)));
            if order == Ordering::Equal {
                plan.compare_instances(*a, *b, known)
            } else {
                order
            }
        });
        self.rsc[clone].children = instances;
        self.rsc[clone].flags.clear(RscFlags::UPDATING_NODES);
    }

    fn merge_for_promotion(&mut self, clone: RscId, id: ColId) {
        let col = &self.col[id];
        if col.primary_role != Role::Promoted || !self.has_influence(col, None) {
            return;
        }
        let merge = Merge {
            active: true,
            nonnegative: true,
            this_with: false,
        };
        let other = col.dependent;
        let factor = factor_of(col.score);
        let mut nodes = Some(self.rsc[clone].allowed.clone());
        self.add_colocated_scores(other, Some(clone), &mut nodes, Some(id), factor, merge);
        if let Some(nodes) = nodes {
            self.rsc[clone].allowed = nodes;
        }
    }

    fn promotion_node(&self, rsc: RscId) -> Option<NodeId> {
        let r = &self.rsc[rsc];
        for child in &r.children {
            self.promotion_node(*child)?;
        }
        let node = self.location(rsc, false)?;
        if !r.is(RscFlags::MANAGED) {
            if self.role(rsc, true) != Role::Promoted {
                return None;
            }
        } else if r.promotion_priority < 0 || !self.available(node, true) {
            return None;
        }
        let clone = self.top_resource(rsc, false);
        let slot = self.slot(clone, node)?;
        let max = self.rsc[clone]
            .clone
            .as_ref()
            .map_or(0, |c| c.promoted_node_max);
        (slot.count < max || !r.is(RscFlags::MANAGED)).then_some(node)
    }

    fn set_role(&mut self, clone: RscId, instance: RscId, promoted: &mut i32) {
        let max = self.rsc[clone].clone.as_ref().map_or(0, |c| c.promoted_max);
        self.note_promotion(instance);
        let mut node = None;
        if self.rsc[instance].sort_index >= 0
            && (*promoted < max || !self.rsc[clone].is(RscFlags::MANAGED))
        {
            node = self.promotion_node(instance);
        }
        let frozen = self.rsc[instance].role < Role::Promoted
            && !self.options.quorate
            && self.options.no_quorum == NoQuorum::Freeze;
        let Some(node) = node.filter(|_| !frozen) else {
            for r in self.with_descendants(instance) {
                let assigned = !self.locations(r, false).is_empty();
                self.rsc[r].next_role = if assigned {
                    Role::Unpromoted
                } else {
                    Role::Stopped
                };
            }
            return;
        };
        self.slot_mut(clone, node).count += 1;
        for r in self.with_descendants(instance) {
            if self.rsc[r].next_role == Role::Unknown {
                self.rsc[r].next_role = Role::Promoted;
            }
        }
        *promoted += 1;
    }

    /// A dependent that is not placed yet goes where instances will be in the right role.
    pub(super) fn place_with_promotable(&mut self, clone: RscId, dependent: RscId, id: ColId) {
        let col = self.col[id].clone();
        let mut places = Vec::new();
        for instance in self.rsc[clone].children.clone() {
            let Some(node) = self.location(instance, false) else {
                continue;
            };
            if self.role(instance, false) != col.primary_role {
                continue;
            }
            if col.score < INFINITY {
                self.add_where_same(dependent, (node, clone), &col);
            }
            places.push((node, self.slot(instance, node).map_or(0, |s| s.score)));
        }
        let both = col.dependent_role == Role::Promoted && col.primary_role == Role::Promoted;
        if col.score >= INFINITY && !both {
            self.intersect_nodes(dependent, &places, true);
        }
    }

    fn add_where_same(
        &mut self,
        dependent: RscId,
        (place, primary): (NodeId, RscId),
        col: &crate::constraint::Colocation<'a>,
    ) {
        let mut allowed = std::mem::take(&mut self.rsc[dependent].allowed);
        for (index, slot) in allowed.iter_mut().enumerate().filter(|(_, s)| s.present) {
            let x = self.colocation_value(NodeId::new(index), col.attribute, dependent);
            let y = self.colocation_value(place, col.attribute, primary);
            let same = match (x, y) {
                (Some(x), Some(y)) => x.eq_ignore_ascii_case(y),
                (None, None) => true,
                _ => false,
            };
            if same {
                slot.score = text::add(slot.score, col.score);
            }
        }
        self.rsc[dependent].allowed = allowed;
    }

    /// An instance that may be promoted looks for the other's instance in the right role.
    pub(super) fn promote_with_promotable(
        &mut self,
        clone: RscId,
        dependent: RscId,
        id: ColId,
    ) -> i32 {
        let (score, role) = (self.col[id].score, self.col[id].primary_role);
        let before = self.rsc[dependent].promotion_priority;
        if self
            .compatible_instance(dependent, clone, role, false)
            .is_some()
        {
            self.rsc[dependent].promotion_priority = text::add(before, score);
        } else if score >= INFINITY {
            self.rsc[dependent].promotion_priority = -INFINITY;
        }
        self.rsc[dependent].promotion_priority - before
    }
}
