//! What the assignment weighed, for people who want to see the numbers.
//!
//! Nothing is recorded unless asked for: [`Plan::scores`] is `None` in every other run.

use crate::ids::{Id as _, NodeId, RscId};
use crate::model::RscFlags;
use crate::plan::Plan;

/// One number that the assignment went by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Score {
    /// How much a resource wants to be on a node.
    Weight {
        /// The step of the assignment, by the name that people know from Pacemaker's output.
        step: &'static str,
        /// The resource.
        resource: String,
        /// The node.
        node: String,
        /// From -1000000 (never) to 1000000 (must).
        score: i32,
    },
    /// How much an instance wants to be promoted.
    Promotion {
        /// The instance.
        resource: String,
        /// Where it will be, if anywhere.
        node: Option<String>,
        /// From -1000000 (never) to 1000000 (must).
        score: i32,
    },
    /// What a node has to give.
    Capacity {
        /// `Original` or `Remaining`.
        when: &'static str,
        /// The node.
        node: String,
        /// Name and amount.
        amounts: Vec<(String, i64)>,
    },
    /// What a resource takes from the node that it is assigned to.
    Utilization {
        /// The resource.
        resource: String,
        /// The node.
        node: String,
        /// Name and amount.
        amounts: Vec<(String, i64)>,
    },
}

impl Plan<'_> {
    /// Notes how a resource and its parts see all nodes.
    pub(crate) fn note_weights(&mut self, rsc: RscId, step: &'static str) {
        if self.scores.is_none() || self.rsc[rsc].is(RscFlags::REMOVED) {
            return;
        }
        let mut seen = Vec::new();
        for node in &self.order {
            let slot = self.rsc[rsc].allowed.get(node.at());
            if let Some(slot) = slot.filter(|s| s.present) {
                seen.push(Score::Weight {
                    step,
                    resource: self.rsc[rsc].id.to_string(),
                    node: self.node[*node].name.to_owned(),
                    score: slot.score,
                });
            }
        }
        self.scores.get_or_insert_default().append(&mut seen);
        let parts = match &self.rsc[rsc].bundle {
            Some(bundle) => {
                let replicas = bundle.replicas.iter();
                let mut parts: Vec<RscId> = replicas
                    .flat_map(|r| [r.ip, Some(r.container), r.remote])
                    .flatten()
                    .collect();
                parts.extend(bundle.child);
                parts
            }
            None => self.rsc[rsc].children.clone(),
        };
        for part in parts {
            self.note_weights(part, step);
        }
    }

    /// Notes how much an instance wants to be promoted.
    pub(crate) fn note_promotion(&mut self, instance: RscId) {
        if self.scores.is_none() {
            return;
        }
        let node = self.location(instance, false);
        let score = Score::Promotion {
            resource: self.rsc[instance].id.to_string(),
            node: node.map(|n| self.node[n].name.to_owned()),
            score: self.rsc[instance].sort_index,
        };
        self.scores.get_or_insert_default().push(score);
    }

    /// Notes what all nodes have to give.
    pub(crate) fn note_capacities(&mut self, when: &'static str) {
        if self.scores.is_none() {
            return;
        }
        for node in self.order.clone() {
            let score = Score::Capacity {
                when,
                node: self.node[node].name.to_owned(),
                amounts: amounts(&self.node[node].utilization.named(&self.words)),
            };
            self.scores.get_or_insert_default().push(score);
        }
    }

    /// Notes what a resource takes from its node.
    pub(crate) fn note_utilization(&mut self, rsc: RscId, node: NodeId) {
        if self.scores.is_none() {
            return;
        }
        let score = Score::Utilization {
            resource: self.rsc[rsc].id.to_string(),
            node: self.node[node].name.to_owned(),
            amounts: amounts(&self.rsc[rsc].utilization.named(&self.words)),
        };
        self.scores.get_or_insert_default().push(score);
    }
}

fn amounts(list: &[(&str, i64)]) -> Vec<(String, i64)> {
    list.iter()
        .map(|(name, amount)| ((*name).to_owned(), *amount))
        .collect()
}
