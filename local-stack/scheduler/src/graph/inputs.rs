//! Which orderings count in the graph.

use crate::action::{ActFlags, Relation};
use crate::ids::ActId;
use crate::model::RscFlags;
use crate::plan::Plan;
use crate::words::Word;

impl<'a> Plan<'a> {
    /// Whether an action has to wait for the other end of an edge.
    pub(super) fn is_input(&mut self, action: ActId, edge: usize) -> bool {
        let e = self.edges[edge];
        if e.in_graph {
            return true;
        }
        let harmless = Relation::THEN_IMPLIES_FIRST_GRAPHED
            | Relation::FIRST_IMPLIES_THEN_GRAPHED
            | Relation::ORDERED;
        let first = &self.act[e.first];
        let runnable = first.flags.has(ActFlags::RUNNABLE);
        let is_stop = first.key.name == Word::STOP && first.key.interval == 0;
        if e.flags == Relation::NONE
            || (!runnable && e.flags.0 & !harmless.0 == 0)
            || (!runnable && e.flags.has(Relation::MIN_RUNNABLE))
            || (!runnable && e.flags.has(Relation::UNMIGRATABLE_THEN_BLOCKS))
        {
            return false;
        }
        let migratable = first.flags.has(ActFlags::MIGRATABLE);
        if migratable
            && (e.flags.has(Relation::IF_FIRST_UNMIGRATABLE)
                || (e.flags == Relation::ORDERED && is_stop))
        {
            return false;
        }
        if e.flags == Relation::ON_SAME_NODE_OR_TARGET {
            if self.load_matters(action, e.first) {
                return true;
            }
            self.edges[edge].flags = Relation::NONE;
            return false;
        }
        if e.flags == Relation::REQUIRED_ON_SAME_NODE {
            let then = self.act[action].node;
            let elsewhere = first.node.is_some() && then.is_some() && first.node != then;
            if elsewhere || first.flags.has(ActFlags::OPTIONAL) {
                self.edges[edge].flags = Relation::NONE;
                return false;
            }
            return true;
        }
        if let (Some(a), then) = (first.rsc, self.act[action].rsc)
            && Some(a) != then
            && self.rsc[a].is(RscFlags::FAILED)
            && !self.rsc[a].is(RscFlags::MANAGED)
            && is_stop
            && then.is_some_and(|t| self.is_clone(t))
        {
            return false;
        }
        !first.flags.has(ActFlags::OPTIONAL)
            || first.flags.any(ActFlags::ALWAYS | ActFlags::IN_GRAPH)
            || self.belongs_in_graph(e.first)
    }

    /// Whether an ordering by load matters: what frees the place is where the other one goes.
    fn load_matters(&self, action: ActId, first: ActId) -> bool {
        let (a, first) = (&self.act[action], &self.act[first]);
        match a.rsc {
            Some(rsc) if a.task == Word::MIGRATE_TO => first.node == self.rsc[rsc].assigned,
            _ => first.node == a.node && !first.flags.has(ActFlags::OPTIONAL),
        }
    }

    /// Whether an edge closes a circle.
    pub(crate) fn has_loop(&mut self, start: ActId, action: ActId, edge: usize) -> bool {
        let first = self.edges[edge].first;
        if self.is(first, ActFlags::DETECT_LOOP) || !self.is_input(action, edge) {
            return false;
        }
        if first == start {
            return true;
        }
        self.act[first].flags.set(ActFlags::DETECT_LOOP);
        let mut found = false;
        for i in (0..self.act[first].before.len()).rev() {
            let next = self.act[first].before[i] as usize;
            if self.has_loop(start, first, next) {
                found = true;
                break;
            }
        }
        self.act[first].flags.clear(ActFlags::DETECT_LOOP);
        found
    }
}
