//! How one relation changes two actions, by the kind of resource that the later one belongs to.

use super::{Changed, Update};
use crate::action::{ActFlags, Key, Relation};
use crate::ids::{ActId, RscId};
use crate::model::{Role, RscFlags, Variant};
use crate::plan::Plan;
use crate::text;
use crate::words::Word;

impl<'a> Plan<'a> {
    pub(super) fn update_ordered(
        &mut self,
        rsc: RscId,
        first: ActId,
        then: ActId,
        update: Update,
    ) -> Changed {
        match self.rsc[rsc].variant {
            Variant::Primitive => self.update_plain(first, then, update),
            Variant::Group => self.update_group(first, then, update),
            Variant::Clone | Variant::Bundle => self.update_instances(first, then, update),
        }
    }

    fn update_plain(&mut self, first: ActId, then: ActId, update: Update) -> Changed {
        let was = (self.act[first].flags, self.act[then].flags);
        self.change_flags(first, then, update, was);
        let mut changed = Changed::default();
        if self.act[then].flags != was.1 {
            changed.then = true;
            if self.act[then]
                .rsc
                .is_some_and(|r| self.rsc[r].parent.is_some())
            {
                self.update_action(then);
            }
        }
        changed.first = self.act[first].flags != was.0;
        changed
    }

    fn change_flags(
        &mut self,
        first: ActId,
        then: ActId,
        update: Update,
        was: (ActFlags, ActFlags),
    ) {
        let Update {
            flags,
            filter,
            relation,
            ..
        } = update;
        let may_require = filter.has(ActFlags::OPTIONAL);
        if relation.has(Relation::ASYMMETRIC) {
            self.change_asymmetric(first, then);
        }
        if relation.has(Relation::THEN_IMPLIES_FIRST) && !was.1.has(ActFlags::OPTIONAL) {
            if may_require && !flags.has(ActFlags::OPTIONAL) && was.0.has(ActFlags::OPTIONAL) {
                self.act[first].flags.clear(ActFlags::OPTIONAL);
            }
            if flags.has(ActFlags::MIGRATABLE) && !self.is(then, ActFlags::MIGRATABLE) {
                self.act[first].flags.clear(ActFlags::MIGRATABLE);
            }
        }
        if relation.has(Relation::PROMOTED_THEN_IMPLIES_FIRST)
            && self.act[then]
                .rsc
                .is_some_and(|r| self.rsc[r].role == Role::Promoted)
            && may_require
            && !self.is(then, ActFlags::OPTIONAL)
        {
            self.act[first].flags.clear(ActFlags::OPTIONAL);
            if !self.is(then, ActFlags::MIGRATABLE) {
                self.act[first].flags.clear(ActFlags::MIGRATABLE);
            }
        }
        if relation.has(Relation::UNMIGRATABLE_THEN_BLOCKS) && may_require {
            if !self.is(then, ActFlags::MIGRATABLE | ActFlags::RUNNABLE) {
                self.act[first].flags.clear(ActFlags::RUNNABLE);
            }
            if !self.is(then, ActFlags::OPTIONAL) {
                self.act[first].flags.clear(ActFlags::OPTIONAL);
            }
        }
        if relation.has(Relation::FIRST_ELSE_THEN)
            && may_require
            && !self.is(first, ActFlags::RUNNABLE)
        {
            self.act[then]
                .flags
                .clear(ActFlags::MIGRATABLE | ActFlags::PSEUDO);
        }
        if relation.has(Relation::UNRUNNABLE_BLOCKS)
            && filter.has(ActFlags::RUNNABLE)
            && self.is(then, ActFlags::RUNNABLE)
            && !flags.has(ActFlags::RUNNABLE)
        {
            self.act[then]
                .flags
                .clear(ActFlags::RUNNABLE | ActFlags::MIGRATABLE);
        }
        if relation.has(Relation::FIRST_IMPLIES_THEN)
            && may_require
            && !flags.has(ActFlags::OPTIONAL)
            && !self.is(first, ActFlags::MIGRATABLE)
        {
            self.act[then].flags.clear(ActFlags::OPTIONAL);
        }
        if relation.has(Relation::INTERMEDIATE_STOP) {
            self.change_restart(first, then, filter);
        }
    }

    /// If the first of an asymmetric ordering cannot be done, neither can the second, unless it is
    /// done already.
    fn change_asymmetric(&mut self, first: ActId, then: ActId) {
        let Some(rsc) = self.act[then].rsc else {
            return;
        };
        if self.is(first, ActFlags::RUNNABLE) {
            return;
        }
        if self.is(then, ActFlags::OPTIONAL) {
            let role = self.role(rsc, true);
            let (task, node) = (self.act[then].task, self.act[then].node);
            if task == Word::STOP && role == Role::Stopped {
                return;
            }
            if task == Word::START && role >= Role::Started && self.runs_only_on(rsc, node) {
                return;
            }
        }
        self.act[then]
            .flags
            .clear(ActFlags::OPTIONAL | ActFlags::RUNNABLE);
    }

    /// A stop before a start: needed if the start is, or if there will be none.
    fn change_restart(&mut self, first: ActId, then: ActId, filter: ActFlags) {
        let required = !self.is(then, ActFlags::OPTIONAL);
        let mut concerned = filter.has(ActFlags::OPTIONAL) && required;
        let (a, b) = (self.act[first].rsc, self.act[then].rsc);
        if filter.has(ActFlags::RUNNABLE)
            && !self.is(then, ActFlags::RUNNABLE)
            && b.is_some_and(|r| self.rsc[r].is(RscFlags::MANAGED))
            && a == b
        {
            concerned = true;
        }
        if !concerned {
            return;
        }
        if self.is(first, ActFlags::RUNNABLE) || required {
            self.act[first].flags.clear(ActFlags::OPTIONAL);
        }
        if !self.is(then, ActFlags::MIGRATABLE) {
            self.act[first].flags.clear(ActFlags::MIGRATABLE);
        }
        if !self.is(first, ActFlags::OPTIONAL) && !self.is(first, ActFlags::RUNNABLE) {
            self.act[then].flags.clear(ActFlags::RUNNABLE);
        }
    }

    fn update_group(&mut self, first: ActId, then: ActId, update: Update) -> Changed {
        let mut changed = self.update_plain(first, then, update);
        let Some(group) = self.act[then].rsc else {
            return changed;
        };
        let task = self.act[then].task;
        for i in 0..self.rsc[group].children.len() {
            let member = self.rsc[group].children[i];
            if let Some(action) = self.find_first_action(member, None, Some(task), update.node) {
                changed |= self.update_ordered(member, first, action, update);
            }
        }
        changed
    }

    fn update_instances(&mut self, first: ActId, then: ActId, update: Update) -> Changed {
        let Some(collective) = self.act[then].rsc else {
            return Changed::default();
        };
        if let Some(rsc) = self.act[first].rsc
            && self.interleaved(then, rsc, collective)
        {
            return self.update_interleaved((first, rsc), (then, collective), update);
        }
        let mut changed = self.update_plain(first, then, update);
        let task = self.act[then].task;
        for instance in self.instances(collective) {
            let Some(action) = self.find_first_action(instance, None, Some(task), update.node)
            else {
                continue;
            };
            let flags = self.action_flags(instance, action, update.node);
            if !flags.has(ActFlags::RUNNABLE) {
                continue;
            }
            let this = self.update_ordered(instance, first, action, update);
            changed |= this;
            if this.then {
                self.update_after(action);
            }
        }
        changed
    }

    /// Whether a key is that of an operation or of the notification about it.
    fn key_ends(&self, key: Key, name: &str) -> bool {
        let text = self.words.text(key.name);
        key.interval == 0
            && text
                .strip_suffix(name)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    }

    fn interleaved(&self, then: ActId, a: RscId, b: RscId) -> bool {
        if a == b || !self.is_collective_of_instances(a) || !self.is_collective_of_instances(b) {
            return false;
        }
        let key = self.act[then].key;
        let down = self.key_ends(key, "stop") || self.key_ends(key, "demote");
        text::is_true(self.rsc[if down { a } else { b }].meta("interleave"))
    }

    fn update_interleaved(
        &mut self,
        (first, first_rsc): (ActId, RscId),
        (then, then_rsc): (ActId, RscId),
        update: Update,
    ) -> Changed {
        let mut changed = Changed::default();
        let first_task = self.original_task(first);
        let key = self.act[first].key;
        let current = self.key_ends(key, "stopped") || self.key_ends(key, "demoted");
        let then_task = self.act[then].task;
        for instance in self.instances(then_rsc) {
            let partner = self.compatible_instance(instance, first_rsc, Role::Unknown, current);
            let Some(partner) = partner else {
                let mandatory = Relation::UNRUNNABLE_BLOCKS | Relation::FIRST_IMPLIES_THEN;
                if !current && update.relation.any(mandatory) {
                    changed.then |= self.give(instance, None, true, true);
                }
                continue;
            };
            let for_first = self.instance_action(first, partner, first_task, update, true);
            let Some(for_first) = for_first else {
                continue;
            };
            let for_then = self.instance_action(then, instance, then_task, update, false);
            let Some(for_then) = for_then else {
                continue;
            };
            if self.order_actions(for_first, for_then, update.relation) {
                changed = Changed {
                    first: true,
                    then: true,
                };
            }
            let flags = self.action_flags(partner, for_first, update.node);
            let this = Update { flags, ..update };
            changed |= self.update_ordered(instance, for_first, for_then, this);
        }
        changed
    }

    /// The action of an instance (or of what its container contains) that corresponds to one of the
    /// collective.
    fn instance_action(
        &self,
        action: ActId,
        instance: RscId,
        task: Word,
        update: Update,
        for_first: bool,
    ) -> Option<ActId> {
        let whole = self.act[action].task;
        let inside = if for_first {
            !matches!(whole, Word::STOP | Word::STOPPED)
        } else {
            matches!(
                whole,
                Word::PROMOTE | Word::PROMOTED | Word::DEMOTE | Word::DEMOTED
            )
        };
        let contained = if inside {
            self.inside_container(instance)
        } else {
            None
        };
        match contained {
            Some(rsc) => self.find_first_action(rsc, None, Some(task), None),
            None => self.find_first_action(instance, None, Some(task), update.node),
        }
    }
}
