//! The flags of a collective's action, from those of its parts.

use crate::action::ActFlags;
use crate::ids::{ActId, NodeId, RscId};
use crate::model::Variant;
use crate::plan::Plan;
use crate::words::Word;

impl<'a> Plan<'a> {
    /// The flags of an action of `rsc` or of what is in it, on a node or anywhere.
    pub(crate) fn action_flags(
        &mut self,
        rsc: RscId,
        action: ActId,
        node: Option<NodeId>,
    ) -> ActFlags {
        match self.rsc[rsc].variant {
            Variant::Primitive => self.act[action].flags,
            Variant::Group => self.group_flags(action, node),
            Variant::Clone => {
                let count = self.rsc[rsc].children.len();
                self.collective_flags(action, count, |p, i| p.rsc[rsc].children[i], node)
            }
            Variant::Bundle => {
                let child = self.rsc[rsc].bundle.as_ref().and_then(|b| b.child);
                let inside = matches!(
                    self.act[action].task,
                    Word::NOTIFY
                        | Word::NOTIFIED
                        | Word::PROMOTE
                        | Word::PROMOTED
                        | Word::DEMOTE
                        | Word::DEMOTED
                );
                let instances = match child.filter(|_| inside) {
                    Some(child) => self.rsc[child].children.clone(),
                    None => self.instances(rsc),
                };
                self.collective_flags(action, instances.len(), |_, i| instances[i], node)
            }
        }
    }

    fn group_flags(&mut self, action: ActId, node: Option<NodeId>) -> ActFlags {
        let mut flags = ActFlags::OPTIONAL | ActFlags::RUNNABLE | ActFlags::PSEUDO;
        let Some(group) = self.act[action].rsc else {
            return self.act[action].flags;
        };
        let whole = self.act[action].task;
        let task = if whole == Word::NOTIFIED {
            whole
        } else {
            whole.atomic()
        };
        for i in 0..self.rsc[group].children.len() {
            let member = self.rsc[group].children[i];
            let Some(found) = self.find_first_action(member, None, Some(task), node) else {
                if task != Word::STOP && task != Word::DEMOTE {
                    flags.clear(ActFlags::RUNNABLE);
                }
                continue;
            };
            let of_member = self.action_flags(member, found, node);
            if flags.has(ActFlags::OPTIONAL) && !of_member.has(ActFlags::OPTIONAL) {
                flags.clear(ActFlags::OPTIONAL);
                self.act[action].flags.clear(ActFlags::OPTIONAL);
            }
            if task != whole && flags.has(ActFlags::RUNNABLE) && !of_member.has(ActFlags::RUNNABLE)
            {
                flags.clear(ActFlags::RUNNABLE);
                self.act[action].flags.clear(ActFlags::RUNNABLE);
            }
        }
        flags
    }

    /// The operation of an instance that an action of its collective stands for.
    pub(super) fn original_task(&mut self, action: ActId) -> Word {
        let a = &self.act[action];
        let mut task = a.task;
        if task == Word::NOTIFY || task == Word::NOTIFIED {
            let about = match self.words.text(a.key.name).split_once("_notify_") {
                Some((_, about)) => about.to_owned(),
                None => return task,
            };
            task = self.words.get(&about);
        }
        let plain = self.act[action].rsc.is_some_and(|r| {
            let first = self.rsc[r].children.first();
            first.is_none_or(|c| self.rsc[*c].variant == Variant::Primitive)
        });
        if plain && task != Word::NOTIFIED {
            task.atomic()
        } else {
            task
        }
    }

    fn collective_flags(
        &mut self,
        action: ActId,
        count: usize,
        instance: impl Fn(&Self, usize) -> RscId,
        node: Option<NodeId>,
    ) -> ActFlags {
        let mut flags = ActFlags::OPTIONAL | ActFlags::RUNNABLE | ActFlags::PSEUDO;
        let mut any_runnable = false;
        let task = self.original_task(action);
        for i in 0..count {
            let instance = instance(self, i);
            let plain = self.rsc[instance].variant == Variant::Primitive;
            let place = if plain { node } else { None };
            let Some(found) = self.find_first_action(instance, None, Some(task), place) else {
                continue;
            };
            let of_instance = self.action_flags(instance, found, node);
            if flags.has(ActFlags::OPTIONAL) && !of_instance.has(ActFlags::OPTIONAL) {
                flags.clear(ActFlags::OPTIONAL);
                self.act[action].flags.clear(ActFlags::OPTIONAL);
            }
            any_runnable |= of_instance.has(ActFlags::RUNNABLE);
        }
        if !any_runnable {
            flags.clear(ActFlags::RUNNABLE);
            if node.is_none() {
                self.act[action].flags.clear(ActFlags::RUNNABLE);
            }
        }
        flags
    }
}
