//! Assigning a clone, and colocating with one.

use crate::explain::What;
use crate::ids::{ColId, NodeId, RscId};
use crate::model::{Role, RscFlags};
use crate::plan::Plan;
use crate::text::INFINITY;

impl<'a> Plan<'a> {
    pub(super) fn assign_clone(&mut self, rsc: RscId, stop_if_fail: bool) -> Option<NodeId> {
        let r = &self.rsc[rsc];
        if !r.is(RscFlags::UNASSIGNED) || r.is(RscFlags::ASSIGNING) {
            return None;
        }
        self.rsc[rsc].flags.set(RscFlags::ASSIGNING);
        let promotable = self.rsc[rsc].is(RscFlags::PROMOTABLE);
        if promotable {
            self.add_promotion_scores(rsc);
        }
        for id in self.this_with_colocations(rsc) {
            let primary = self.col[id].primary;
            self.assign(primary, None, stop_if_fail);
        }
        for id in self.with_this_colocations(rsc) {
            let before = self.scores_before(rsc);
            self.add_dependent_scores(id, rsc);
            self.note_lost(rsc, before, What::Dependent(id));
        }
        self.note_weights(rsc, "pcmk__clone_assign");
        let mut instances = self.rsc[rsc].children.clone();
        self.sort_instances(&mut instances);
        self.rsc[rsc].children.clone_from(&instances);
        let (max, node_max) = self.rsc[rsc]
            .clone
            .as_ref()
            .map_or((0, 0), |c| (c.max, c.node_max));
        self.assign_instances(rsc, &instances, max, node_max);
        if promotable {
            self.set_roles(rsc);
        }
        self.rsc[rsc]
            .flags
            .clear(RscFlags::UNASSIGNED | RscFlags::ASSIGNING);
        None
    }

    /// Only the dependent must be marked for interleaving.
    fn can_interleave(&self, id: ColId) -> bool {
        let col = &self.col[id];
        self.is_collective_of_instances(col.dependent)
            && self.rsc[col.dependent].meta_true("interleave")
            && self.max_per_node(col.dependent) == self.max_per_node(col.primary)
    }

    pub(super) fn apply_with_clone(&mut self, dependent: RscId, primary: RscId, id: ColId) -> i32 {
        if self.rsc[primary].is(RscFlags::UNASSIGNED) {
            return 0;
        }
        let (score, primary_role, dependent_role) = {
            let col = &self.col[id];
            (col.score, col.primary_role, col.dependent_role)
        };
        if self.rsc[primary].is(RscFlags::PROMOTABLE) && primary_role != Role::Unknown {
            if self.rsc[dependent].is(RscFlags::UNASSIGNED) {
                self.place_with_promotable(primary, dependent, id);
                return 0;
            }
            if dependent_role == Role::Promoted {
                return self.promote_with_promotable(primary, dependent, id);
            }
        }
        if self.can_interleave(id) {
            match self.compatible_instance(dependent, primary, Role::Unknown, false) {
                Some(instance) => return self.apply_colocation(dependent, instance, id, true),
                None if score >= INFINITY => {
                    self.note(dependent, None, What::With(id));
                    self.give(dependent, None, true, true);
                }
                None => {}
            }
            return 0;
        }
        if score >= INFINITY {
            let places = self.unblocked_places(primary);
            self.intersect_nodes(dependent, &places, false);
            return 0;
        }
        let mut sum = 0;
        for instance in self.rsc[primary].children.clone() {
            sum += self.apply_colocation(dependent, instance, id, false);
        }
        sum
    }
}
