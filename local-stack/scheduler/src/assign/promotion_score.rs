//! How well an instance is suited for promotion: what its agent says.

use crate::ids::{NodeId, RscId};
use crate::model::RscFlags;
use crate::plan::Plan;
use crate::text;

impl<'a> Plan<'a> {
    /// The member of an instance that is called `id` in history.
    fn member_called(&self, instance: RscId, id: &str) -> Option<RscId> {
        let all = self.with_descendants(instance).into_iter();
        all.into_iter().find(|r| {
            let r = &self.rsc[*r];
            r.xml_id == id || *r.id == *id
        })
    }

    fn promotion_score_applies(&self, rsc: RscId, node: NodeId) -> bool {
        let allowed = self.slot(rsc, node).is_some_and(|s| s.score >= 0);
        let r = &self.rsc[rsc];
        if !r.is(RscFlags::UNIQUE) {
            let id = text::base_name(&r.id);
            let clone = self.top_resource(rsc, false);
            let mut members = self.rsc[clone]
                .children
                .iter()
                .filter_map(|c| self.member_called(*c, id));
            let active = members.find(|m| self.rsc[*m].running_on.contains(&node));
            if active == Some(rsc) {
                return allowed;
            }
            let mut members = self.rsc[clone]
                .children
                .iter()
                .filter_map(|c| self.member_called(*c, id));
            if active.is_none() && members.any(|m| self.rsc[m].known_on.contains(&node)) {
                return allowed;
            }
        }
        if r.running_on.is_empty() && r.known_on.is_empty() {
            return allowed;
        }
        allowed && (r.known_on.contains(&node) || r.running_on.contains(&node))
    }

    fn promotion_attribute(&self, rsc: RscId, node: NodeId, name: &str) -> Option<i32> {
        let r = &self.rsc[rsc];
        let target = r.meta("container-attribute-target");
        let current = r.is(RscFlags::UNASSIGNED);
        let attribute = format!("master-{name}");
        self.attr_via_target(node, &attribute, target, current)
            .map(text::parse_score)
    }

    /// An instance's promotion score on a node; `None` if nothing is known.
    pub(crate) fn promotion_score(&self, rsc: RscId, node: NodeId) -> Option<i32> {
        let r = &self.rsc[rsc];
        if !r.children.is_empty() {
            let scores = r.children.iter().map(|c| self.promotion_score(*c, node));
            return scores.fold(None, |sum, score| match (sum, score) {
                (Some(x), Some(y)) => Some(x + y),
                (x, y) => x.or(y),
            });
        }
        if !self.promotion_score_applies(rsc, node) {
            return None;
        }
        let name = r.clone_name.unwrap_or(&r.id);
        self.promotion_attribute(rsc, node, name).or_else(|| {
            let base = text::base_name(&r.id);
            (!r.is(RscFlags::UNIQUE) && *base != *r.id)
                .then(|| self.promotion_attribute(rsc, node, base))
                .flatten()
        })
    }

    /// Lets instances go where they are best promoted.
    pub(super) fn add_promotion_scores(&mut self, clone: RscId) {
        if self.rsc[clone].is(RscFlags::PROMOTION_ADDED) {
            return;
        }
        self.rsc[clone].flags.set(RscFlags::PROMOTION_ADDED);
        for instance in self.rsc[clone].children.clone() {
            for i in 0..self.order.len() {
                let node = self.order[i];
                if self.slot(instance, node).is_none() || !self.available(node, false) {
                    continue;
                }
                let score = self.promotion_score(instance, node).unwrap_or(0);
                if score > 0 {
                    let slot = self.slot_mut(instance, node);
                    slot.score = text::add(slot.score, score);
                }
                let r = &mut self.rsc[instance];
                r.promotion_priority = r.promotion_priority.max(score);
            }
        }
    }
}
