//! Turns orderings into edges between actions and lets them take effect.

use crate::action::{ActFlags, ActionOrdering, Relation};
use crate::ids::{ActId, RscId};
use crate::model::Role;
use crate::plan::Plan;
use crate::text::INFINITY;
use crate::words::Word;

impl<'a> Plan<'a> {
    pub(crate) fn apply_orderings(&mut self) {
        for i in 0..self.orderings.len() {
            let ordering = self.orderings[i];
            if let Some(rsc) = ordering.first.rsc {
                self.order_from(rsc, &ordering);
            } else if let Some(rsc) = ordering.then.rsc {
                self.order_onto(ordering.first.action, rsc, &ordering);
            } else if let (Some(first), Some(then)) = (ordering.first.action, ordering.then.action)
            {
                self.order_actions(first, then, ordering.flags);
            }
        }
        for action in self.act.ids().rev() {
            self.block_dependents(action);
        }
        self.order_probes();
        for action in self.act.ids().rev() {
            self.update_action(action);
        }
        self.disable_invalid();
    }

    fn order_from(&mut self, rsc: RscId, ordering: &ActionOrdering) {
        let firsts = match (ordering.first.action, ordering.first.key) {
            (Some(action), _) => vec![action],
            (None, Some(key)) => {
                let mut found = self.find_actions(rsc, key, None);
                if found.is_empty() && ordering.then.rsc != Some(rsc) {
                    let role = self.role(rsc, true);
                    let moot = (key.name == Word::STOP && role == Role::Stopped)
                        || (key.name == Word::DEMOTE && role == Role::Unpromoted);
                    if !moot {
                        found.push(self.new_action(rsc, key, key.name, None, true));
                    }
                }
                found
            }
            (None, None) => return,
        };
        for first in firsts {
            match (ordering.then.rsc, ordering.then.action) {
                (Some(then), _) => self.order_onto(Some(first), then, ordering),
                (None, Some(then)) => {
                    self.order_actions(first, then, ordering.flags);
                }
                (None, None) => {}
            }
        }
    }

    fn order_onto(&mut self, first: Option<ActId>, rsc: RscId, ordering: &ActionOrdering) {
        let thens = match (ordering.then.action, ordering.then.key) {
            (Some(action), _) => vec![action],
            (None, Some(key)) => self.find_actions(rsc, key, None),
            (None, None) => return,
        };
        let mut flags = ordering.flags;
        let Some(first) = first else {
            if flags.has(Relation::FIRST_IMPLIES_THEN) {
                for then in thens {
                    self.act[then].flags.clear(ActFlags::RUNNABLE);
                }
            }
            return;
        };
        if self.act[first].rsc == Some(rsc) && self.is(first, ActFlags::ABORTS_MIGRATION) {
            flags.clear(Relation::FIRST_IMPLIES_THEN);
        }
        for then in thens {
            self.order_actions(first, then, flags);
        }
    }

    /// What must be with a resource that cannot come up, cannot come up either.
    pub(super) fn block_dependents(&mut self, action: ActId) {
        let a = &self.act[action];
        let task = a.task;
        let start = task == Word::START;
        if a.flags.has(ActFlags::RUNNABLE) || (!start && task != Word::PROMOTE) {
            return;
        }
        let Some(rsc) = a.rsc else {
            return;
        };
        let rsc = self.top_resource(rsc, true);
        for child in &self.rsc[rsc].children {
            let found = self.find_first_action(*child, None, Some(task), None);
            if found.is_none_or(|f| self.is(f, ActFlags::RUNNABLE)) {
                return;
            }
        }
        for id in self.with_this_colocations(rsc) {
            let colocation = &self.col[id];
            if colocation.score < INFINITY || (!start && colocation.primary_role != Role::Promoted)
            {
                continue;
            }
            let promoted = colocation.dependent_role == Role::Promoted;
            let dependent = colocation.dependent;
            self.note(dependent, None, crate::explain::What::Held(id));
            self.block(
                dependent,
                if promoted { Word::PROMOTE } else { Word::START },
            );
        }
    }

    fn block(&mut self, rsc: RscId, task: Word) {
        for i in (0..self.rsc[rsc].actions.len()).rev() {
            let action = self.rsc[rsc].actions[i];
            if self.act[action].task == task && self.is(action, ActFlags::RUNNABLE) {
                self.act[action].flags.clear(ActFlags::RUNNABLE);
                self.block_dependents(action);
                self.update_action(action);
            }
        }
        for i in 0..self.rsc[rsc].children.len() {
            self.block(self.rsc[rsc].children[i], task);
        }
    }

    /// Drops orderings that cannot be kept: those of a guest's launcher behind what is inside the
    /// guest, and those by load that go round in a circle.
    fn disable_invalid(&mut self) {
        for action in self.act.ids().rev() {
            for i in (0..self.act[action].before.len()).rev() {
                let edge = self.act[action].before[i] as usize;
                if self.is_invalid(action, edge) {
                    self.edges[edge].flags = Relation::NONE;
                }
            }
        }
    }

    fn is_invalid(&mut self, action: ActId, edge: usize) -> bool {
        let (first, flags) = (self.edges[edge].first, self.edges[edge].flags);
        if flags == Relation::NONE {
            return false;
        }
        let Some(rsc) = self.act[action].rsc else {
            return false;
        };
        if !flags.has(Relation::GUEST_ALLOWED)
            && self.act[first].rsc.is_some()
            && !self.rsc[rsc].launched.is_empty()
            && let Some(node) = self.act[first].node
            && self.guest_launcher(node) == Some(rsc)
        {
            return true;
        }
        flags == Relation::ON_SAME_NODE_OR_TARGET
            && self.act[action].task == Word::MIGRATE_TO
            && self.has_loop(action, action, edge)
    }
}
