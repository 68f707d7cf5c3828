//! The order of assignment, where capacities count.

use std::cmp::Ordering;

use super::Nodes;
use super::colocation::Merge;
use crate::ids::{Id as _, NodeId, RscId};
use crate::plan::Plan;
use crate::text::{self, INFINITY};

impl<'a> Plan<'a> {
    /// Those that care most where they are come first.
    pub(super) fn sort_resources(&mut self) {
        let mut nodes: Vec<(NodeId, i32)> = self
            .order
            .iter()
            .map(|n| (*n, self.node[*n].weight))
            .collect();
        text::merge_sort(&mut nodes, &|a, b| self.compare_nodes(*a, *b, None));
        let mut top = self.top.clone();
        // What a resource prefers does not change while sorting.
        let mut scores: Vec<Option<Nodes>> = vec![None; self.rsc.len()];
        for &rsc in &top {
            let merge = Merge {
                this_with: true,
                ..Merge::default()
            };
            self.add_colocated_scores(rsc, Some(rsc), &mut scores[rsc.at()], None, 1.0, merge);
        }
        let score = |rsc: RscId, node: Option<NodeId>| {
            let slots = node.zip(scores[rsc.at()].as_ref());
            let slot = slots.and_then(|(n, slots)| slots.get(n.at()));
            slot.filter(|s| s.present).map_or(-INFINITY, |s| s.score)
        };
        text::merge_sort(&mut top, &|a, b| {
            let by_priority = self.rsc[*b].priority.cmp(&self.rsc[*a].priority);
            if by_priority != Ordering::Equal {
                return by_priority;
            }
            let here = |r: RscId| self.current_node(r);
            let by_place = score(*b, here(*b)).cmp(&score(*a, here(*a)));
            if by_place != Ordering::Equal {
                return by_place;
            }
            for (node, _) in &nodes {
                let by_node = score(*b, Some(*node)).cmp(&score(*a, Some(*node)));
                if by_node != Ordering::Equal {
                    return by_node;
                }
            }
            Ordering::Equal
        });
        self.top = top;
    }
}
