//! What the order between actions means for each of them, until nothing changes any more.

mod apply;
mod ordered;
mod summary;

use crate::action::{ActFlags, Action, Relation};
use crate::ids::{ActId, NodeId, RscId};
use crate::model::{RscFlags, Variant};
use crate::plan::Plan;
use crate::words::Word;

/// What an update changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) first: bool,
    pub(crate) then: bool,
}

impl std::ops::BitOrAssign for Changed {
    fn bitor_assign(&mut self, other: Self) {
        self.first |= other.first;
        self.then |= other.then;
    }
}

/// One relation of an ordering as it is applied to two actions.
#[derive(Debug, Clone, Copy)]
struct Update {
    /// For collectives: only what is on this node.
    node: Option<NodeId>,
    /// The flags of the first action as they count here.
    flags: ActFlags,
    /// Which of the flags may be changed.
    filter: ActFlags,
    relation: Relation,
}

impl<'a> Plan<'a> {
    /// Brings an action in line with everything that comes before it.
    pub(crate) fn update_action(&mut self, then: ActId) {
        let before = self.act[then].flags;
        let mut changed = Changed::default();
        if before.has(ActFlags::MIN_RUNNABLE) {
            let action = &mut self.act[then];
            action.runnable_before = 0;
            action.required_before = action.required_before.max(1);
            action.flags.clear(ActFlags::RUNNABLE);
        }
        for i in (0..self.act[then].before.len()).rev() {
            let edge = self.act[then].before[i];
            self.update_edge(edge, then, &mut changed);
        }
        if before.has(ActFlags::MIN_RUNNABLE) {
            changed.then = before != self.act[then].flags;
        }
        if changed.then {
            if before.has(ActFlags::RUNNABLE) && !self.is(then, ActFlags::RUNNABLE) {
                self.block_dependents(then);
            }
            self.update_action(then);
            self.update_after(then);
        }
    }

    /// Brings everything that comes after an action in line with it.
    fn update_after(&mut self, action: ActId) {
        for i in (0..self.act[action].after.len()).rev() {
            let (then, _) = self.act[action].after[i];
            self.update_action(then);
        }
    }

    fn place_of(&self, action: &Action) -> Option<NodeId> {
        let group = action
            .rsc
            .filter(|r| self.rsc[*r].variant == Variant::Group);
        match group {
            Some(group) if action.task == Word::START => self.location(group, false),
            _ => action.node,
        }
    }

    fn update_edge(&mut self, edge: u32, then: ActId, changed: &mut Changed) {
        let at = edge as usize;
        let original = self.edges[at].first;
        let relation = self.edges[at].flags;
        let first_node = self.place_of(&self.act[original]);
        let then_node = self.place_of(&self.act[then]);
        if relation.has(Relation::ON_SAME_NODE)
            && first_node.is_some()
            && then_node.is_some()
            && first_node != then_node
        {
            self.edges[at].flags = Relation::NONE;
            return;
        }
        changed.first = false;
        let (first_rsc, then_rsc) = (self.act[original].rsc, self.act[then].rsc);
        if let Some(rsc) = first_rsc
            && relation.has(Relation::THEN_CANCELS_FIRST)
            && !self.is(then, ActFlags::OPTIONAL)
        {
            self.act[original].flags.set(ActFlags::OPTIONAL);
            if self.act[original].task == Word::RELOAD_AGENT {
                self.rsc[rsc].flags.clear(RscFlags::RELOAD);
            }
        }
        let mut first = original;
        if let (Some(a), Some(b)) = (first_rsc, then_rsc)
            && a != b
            && !self.is_inside(b, a)
        {
            first = self.confirming_action(original, a);
        }
        if first == original {
            let first_flags = self.flags_for_ordering(first, then_node);
            let then_flags = self.flags_for_ordering(then, first_node);
            *changed |= self.apply_relations(edge, then, first_flags, then_flags);
        } else if self.order_actions(first, then, relation) {
            changed.then = true;
            self.edges[at].flags = Relation::NONE;
        }
        if changed.first {
            self.update_after(first);
            self.update_action(first);
        }
    }

    /// Whether a resource is somewhere inside another.
    fn is_inside(&self, rsc: RscId, ancestor: RscId) -> bool {
        let mut current = self.rsc[rsc].parent;
        while let Some(parent) = current {
            if parent == ancestor {
                return true;
            }
            current = self.rsc[parent].parent;
        }
        false
    }

    /// What comes after an action of a collective comes after its confirmation, and that of the
    /// notifications about it.
    fn confirming_action(&self, action: ActId, rsc: RscId) -> ActId {
        if self.rsc[rsc].variant == Variant::Primitive {
            return action;
        }
        let key = self.act[action].key;
        let done = match key.name.done() {
            done @ (Word::RUNNING | Word::STOPPED | Word::PROMOTED | Word::DEMOTED)
                if key.interval == 0 =>
            {
                done
            }
            _ => return action,
        };
        let bundle = self.top_resource(rsc, true);
        let notified = self.rsc[rsc].is(RscFlags::NOTIFY)
            && (self.is_clone(rsc) || self.rsc[bundle].variant == Variant::Bundle);
        let name = match done {
            other if !notified => other,
            Word::RUNNING => Word::NOTIFIED_RUNNING,
            Word::STOPPED => Word::NOTIFIED_STOPPED,
            Word::PROMOTED => Word::NOTIFIED_PROMOTED,
            _ => Word::NOTIFIED_DEMOTED,
        };
        let key = crate::action::Key::once(name);
        self.find_first_action(rsc, Some(key), None, None)
            .unwrap_or(action)
    }

    /// The flags of an action as they count for what is ordered with it.
    fn flags_for_ordering(&mut self, action: ActId, node: Option<NodeId>) -> ActFlags {
        let Some(rsc) = self.act[action].rsc else {
            return self.act[action].flags;
        };
        let everywhere = self.action_flags(rsc, action, None);
        if node.is_none() || !self.is_clone(rsc) {
            return everywhere;
        }
        let mut there = self.action_flags(rsc, action, node);
        if everywhere.has(ActFlags::RUNNABLE) {
            there.set(ActFlags::RUNNABLE);
        }
        there
    }

    /// Applies each relation of an ordering.
    fn apply_relations(
        &mut self,
        edge: u32,
        then: ActId,
        first_flags: ActFlags,
        then_flags: ActFlags,
    ) -> Changed {
        let at = edge as usize;
        let first = self.edges[at].first;
        let mut node = self.act[then].node;
        if self.edges[at]
            .flags
            .has(Relation::FIRST_IMPLIES_SAME_NODE_THEN)
        {
            let flags = &mut self.edges[at].flags;
            flags.clear(Relation::FIRST_IMPLIES_SAME_NODE_THEN);
            flags.set(Relation::FIRST_IMPLIES_THEN);
            node = self.act[first].node;
        }
        let mut changed = self.apply_requirements(edge, then, node, first_flags);
        changed |= self.apply_abilities(edge, then, node, first_flags);
        let relation = self.edges[at].flags;
        if relation.has(Relation::FIRST_IMPLIES_THEN_GRAPHED)
            && self.is(first, ActFlags::RUNNABLE)
            && !first_flags.has(ActFlags::OPTIONAL)
        {
            self.act[then].flags.set(ActFlags::ALWAYS);
        }
        if relation.has(Relation::THEN_IMPLIES_FIRST_GRAPHED) && !then_flags.has(ActFlags::OPTIONAL)
        {
            self.act[first].flags.set(ActFlags::ALWAYS);
        }
        let strict = Relation::FIRST_IMPLIES_THEN
            | Relation::THEN_IMPLIES_FIRST
            | Relation::INTERMEDIATE_STOP;
        if relation.any(strict)
            && self.act[first].task == Word::STOP
            && !self.is(first, ActFlags::RUNNABLE)
            && self.is(then, ActFlags::RUNNABLE)
            && let Some(rsc) = self.act[first].rsc
            && !self.rsc[rsc].is(RscFlags::MANAGED)
            && self.rsc[rsc].is(RscFlags::BLOCKED)
        {
            self.act[then].flags.clear(ActFlags::RUNNABLE);
            changed.then = true;
        }
        changed
    }

    /// The relations by which one action makes another necessary.
    fn apply_requirements(
        &mut self,
        edge: u32,
        then: ActId,
        node: Option<NodeId>,
        first_flags: ActFlags,
    ) -> Changed {
        let first = self.edges[edge as usize].first;
        let relation = self.edges[edge as usize].flags;
        let then_rsc = self.act[then].rsc;
        let required = !first_flags.has(ActFlags::OPTIONAL);
        let only_optional = ActFlags(first_flags.0 & ActFlags::OPTIONAL.0);
        let mut changed = Changed::default();
        let filter = ActFlags::OPTIONAL;
        if relation.has(Relation::FIRST_IMPLIES_THEN) {
            let relation = Relation::FIRST_IMPLIES_THEN;
            if let Some(rsc) = then_rsc {
                let update = Update {
                    node,
                    flags: only_optional,
                    filter,
                    relation,
                };
                changed |= self.update_ordered(rsc, first, then, update);
            } else if required && self.is(then, ActFlags::OPTIONAL) {
                self.act[then].flags.clear(ActFlags::OPTIONAL);
                changed.then = true;
            }
        }
        if relation.has(Relation::INTERMEDIATE_STOP)
            && let Some(rsc) = then_rsc
        {
            let filter = ActFlags::OPTIONAL | ActFlags::RUNNABLE;
            let relation = Relation::INTERMEDIATE_STOP;
            let update = Update {
                node,
                flags: first_flags,
                filter,
                relation,
            };
            changed |= self.update_ordered(rsc, first, then, update);
        }
        if relation.has(Relation::THEN_IMPLIES_FIRST) {
            let relation = Relation::THEN_IMPLIES_FIRST;
            if let Some(rsc) = self.act[first].rsc {
                let update = Update {
                    node,
                    flags: first_flags,
                    filter,
                    relation,
                };
                changed |= self.update_ordered(rsc, first, then, update);
            } else if required && self.is(first, ActFlags::RUNNABLE) {
                self.act[first].flags.clear(ActFlags::RUNNABLE);
                changed.first = true;
            }
        }
        if relation.has(Relation::PROMOTED_THEN_IMPLIES_FIRST)
            && let Some(rsc) = then_rsc
        {
            let relation = Relation::PROMOTED_THEN_IMPLIES_FIRST;
            let update = Update {
                node,
                flags: only_optional,
                filter,
                relation,
            };
            changed |= self.update_ordered(rsc, first, then, update);
        }
        changed
    }

    /// The relations by which one action makes another possible or impossible.
    fn apply_abilities(
        &mut self,
        edge: u32,
        then: ActId,
        node: Option<NodeId>,
        flags: ActFlags,
    ) -> Changed {
        let at = edge as usize;
        let first = self.edges[at].first;
        let then_rsc = self.act[then].rsc;
        let mut changed = Changed::default();
        if self.edges[at].flags.has(Relation::MIN_RUNNABLE)
            && then_rsc.is_none()
            && flags.has(ActFlags::RUNNABLE)
        {
            let action = &mut self.act[then];
            action.runnable_before += 1;
            if action.runnable_before >= action.required_before
                && !action.flags.has(ActFlags::RUNNABLE)
            {
                action.flags.set(ActFlags::RUNNABLE);
                changed.then = true;
            }
        }
        if self.edges[at].flags.has(Relation::NESTED_REMOTE_PROBE)
            && let Some(rsc) = then_rsc
        {
            let running = self.act[first]
                .rsc
                .is_some_and(|r| !self.rsc[r].running_on.is_empty());
            if !flags.has(ActFlags::RUNNABLE) && running {
                self.edges[at].flags = Relation::NONE;
            } else {
                let relation = Relation::UNRUNNABLE_BLOCKS;
                let update = Update {
                    node,
                    flags,
                    filter: ActFlags::RUNNABLE,
                    relation,
                };
                changed |= self.update_ordered(rsc, first, then, update);
            }
        }
        let relation = self.edges[at].flags;
        if relation.has(Relation::UNRUNNABLE_BLOCKS)
            && then_rsc.is_none()
            && !flags.has(ActFlags::RUNNABLE)
            && self.is(then, ActFlags::RUNNABLE)
        {
            self.act[then].flags.clear(ActFlags::RUNNABLE);
            changed.then = true;
        }
        let Some(rsc) = then_rsc else {
            return changed;
        };
        let by_kind = [
            (Relation::MIN_RUNNABLE, ActFlags::RUNNABLE),
            (Relation::UNRUNNABLE_BLOCKS, ActFlags::RUNNABLE),
            (Relation::UNMIGRATABLE_THEN_BLOCKS, ActFlags::OPTIONAL),
            (Relation::FIRST_ELSE_THEN, ActFlags::OPTIONAL),
            (Relation::ORDERED, ActFlags::RUNNABLE),
            (Relation::ASYMMETRIC, ActFlags::RUNNABLE),
        ];
        for (kind, filter) in by_kind {
            if relation.has(kind) {
                let update = Update {
                    node,
                    flags,
                    filter,
                    relation: kind,
                };
                changed |= self.update_ordered(rsc, first, then, update);
            }
        }
        changed
    }
}
