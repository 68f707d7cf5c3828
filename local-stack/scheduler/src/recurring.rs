//! Recurring operations: to start, to keep, to cancel.

use crate::action::{ActFlags, Key, Relation, Side};
use crate::ids::{ActId, NodeId, RscId};
use crate::model::{Role, RscFlags};
use crate::plan::Plan;
use crate::words::Word;

/// A recurring operation as configured.
#[derive(Debug, Clone, Copy)]
struct Recurring {
    key: Key,
    role: Role,
}

const AFTER: Relation = Relation(Relation::FIRST_IMPLIES_THEN.0 | Relation::UNRUNNABLE_BLOCKS.0);

impl<'a> Plan<'a> {
    fn recurring(&mut self, rsc: RscId) -> Vec<Recurring> {
        let ops = self.rsc[rsc].ops.clone();
        let mut list = Vec::new();
        for op in ops.iter().filter(|o| o.interval_ms > 0) {
            let unfit = matches!(
                op.name,
                "stop"
                    | "start"
                    | "demote"
                    | "promote"
                    | "reload-agent"
                    | "migrate_to"
                    | "migrate_from"
            );
            let same = |o: &&crate::model::OpConfig<'_>| {
                o.name == op.name && o.interval_ms == op.interval_ms
            };
            let enabled = ops.iter().filter(same).any(|o| o.enabled);
            if op.element.id().is_empty()
                || unfit
                || ops.iter().filter(same).count() > 1
                || !enabled
            {
                continue;
            }
            let role = match op.element.attr("role") {
                None => Some(Role::Unknown),
                Some(role) => Role::parse(role).filter(|r| *r != Role::Unknown),
            };
            if let Some(role) = role {
                let key = Key {
                    name: self.words.get(op.name),
                    interval: op.interval_ms,
                };
                list.push(Recurring { key, role });
            }
        }
        list
    }

    pub(crate) fn create_recurring(&mut self, rsc: RscId) {
        let r = &self.rsc[rsc];
        if r.is(RscFlags::BLOCKED) || r.is(RscFlags::MAINTENANCE) {
            return;
        }
        let node = r.assigned;
        let wanted = node.is_some_and(|n| !self.node[n].maintenance)
            && (r.next_role != Role::Stopped || !r.is(RscFlags::MANAGED));
        let start = wanted.then(|| self.op(rsc, Word::START, node, true));
        for op in self.recurring(rsc) {
            if let Some(start) = start {
                self.recur_active(rsc, start, node, op);
            }
            self.recur_inactive(rsc, node, op);
        }
    }

    fn stays_optional(&self, rsc: RscId, node: Option<NodeId>, key: Key, start: ActId) -> bool {
        let Some(node) = node else {
            return false;
        };
        if !self.is(start, ActFlags::OPTIONAL) {
            return false;
        }
        let running = self.find_actions_exact(rsc, key, node);
        !running.is_empty() && !running.iter().any(|a| self.is(*a, ActFlags::RESCHEDULE))
    }

    fn recur_active(&mut self, rsc: RscId, start: ActId, node: Option<NodeId>, op: Recurring) {
        if op.role == Role::Stopped {
            return;
        }
        let optional = self.stays_optional(rsc, node, op.key, start);
        let (role, next) = (self.rsc[rsc].role, self.rsc[rsc].next_role);
        let any = op.role == Role::Unknown;
        if (!any && next != op.role) || (any && next == Role::Promoted) {
            if optional && let Some(node) = node {
                let cancel = self.new_cancel(rsc, op.key, node);
                let after = match (role, next) {
                    (Role::Unpromoted | Role::Started, Role::Promoted) => Some(Word::PROMOTE),
                    (Role::Unpromoted | Role::Started, Role::Stopped) => Some(Word::STOP),
                    (Role::Promoted, _) => Some(Word::DEMOTE),
                    _ => None,
                };
                if let Some(after) = after {
                    let flags = Relation::UNRUNNABLE_BLOCKS;
                    self.order(Self::side(cancel), Side::op(rsc, after), flags);
                }
            }
            return;
        }
        let monitor = self.new_action(rsc, op.key, op.key.name, node, optional);
        let usable = node.is_some_and(|n| self.node[n].online && !self.node[n].unclean);
        if !self.is(start, ActFlags::RUNNABLE) || !usable {
            self.act[monitor].flags.clear(ActFlags::RUNNABLE);
        }
        if next == Role::Promoted {
            self.act[monitor].target_rc = Some(8);
        }
        if node.is_none() || self.rsc[rsc].is(RscFlags::MANAGED) {
            self.order(Side::op(rsc, Word::START), Self::side(monitor), AFTER);
            self.order(
                Side::op(rsc, Word::RELOAD_AGENT),
                Self::side(monitor),
                AFTER,
            );
            let flags = Relation::ORDERED | Relation::UNRUNNABLE_BLOCKS;
            if next == Role::Promoted {
                self.order(Side::op(rsc, Word::PROMOTE), Self::side(monitor), flags);
            } else if role == Role::Promoted {
                self.order(Side::op(rsc, Word::DEMOTE), Self::side(monitor), flags);
            }
        }
    }

    /// Where a resource shall not run, monitors for the stopped role see to it.
    fn recur_inactive(&mut self, rsc: RscId, node: Option<NodeId>, op: Recurring) {
        if op.role != Role::Stopped || !self.rsc[rsc].is(RscFlags::UNIQUE) {
            return;
        }
        for other in self.order.clone() {
            let running = !self.find_actions_exact(rsc, op.key, other).is_empty();
            if node == Some(other) {
                if running {
                    let cancel = self.new_cancel(rsc, op.key, other);
                    let next = self.rsc[rsc].next_role;
                    if matches!(next, Role::Started | Role::Unpromoted) {
                        let flags = Relation::UNRUNNABLE_BLOCKS;
                        self.order(Self::side(cancel), Side::op(rsc, Word::START), flags);
                    }
                }
                continue;
            }
            let monitor = self.new_action(rsc, op.key, op.key.name, Some(other), running);
            self.act[monitor].target_rc = Some(7);
            if self.rsc[rsc].is(RscFlags::MANAGED) {
                for probe in self.find_actions(rsc, Key::once(Word::MONITOR), Some(other)) {
                    self.order_actions(probe, monitor, Relation::UNRUNNABLE_BLOCKS);
                }
            }
            self.recur_after_stop(rsc, other, monitor);
            if !self.node[other].online || self.node[other].unclean {
                self.act[monitor].flags.clear(ActFlags::RUNNABLE);
            }
        }
    }

    fn recur_after_stop(&mut self, rsc: RscId, node: NodeId, monitor: ActId) {
        let managed = self.rsc[rsc].is(RscFlags::MANAGED);
        for stop in self.find_actions_exact(rsc, Key::once(Word::STOP), node) {
            if !self.is(stop, ActFlags::OPTIONAL)
                && !self.is(monitor, ActFlags::OPTIONAL)
                && !managed
            {
                self.act[monitor].flags.set(ActFlags::OPTIONAL);
            }
            if !self.is(stop, ActFlags::RUNNABLE) {
                self.act[monitor].flags.clear(ActFlags::RUNNABLE);
            }
            if managed {
                self.order(Self::side(stop), Self::side(monitor), AFTER);
            }
        }
    }

    /// Cancels a recurring operation. If it is known to run, its own action becomes the
    /// cancellation.
    pub(crate) fn new_cancel(&mut self, rsc: RscId, key: Key, node: NodeId) -> ActId {
        let cancel = self.new_action(rsc, key, Word::CANCEL, Some(node), false);
        self.act[cancel].task = Word::CANCEL;
        self.rsc[rsc].actions.set_task(cancel, Word::CANCEL);
        self.act[cancel].cancel = Some(key);
        let name = self.words.text(key.name).to_owned();
        self.set_meta(cancel, "operation", name);
        self.set_meta(cancel, "interval", key.interval.to_string());
        cancel
    }

    pub(crate) fn schedule_cancel(&mut self, rsc: RscId, call: &str, key: Key, node: NodeId) {
        let cancel = self.new_cancel(rsc, key, node);
        self.set_meta(cancel, "call-id", call);
        self.order(
            Side::op(rsc, Word::STOP),
            Self::side(cancel),
            Relation::ORDERED,
        );
    }
}
