//! What a changed configuration means for what already runs.

use cib::Element;

use crate::action::{ActFlags, Key, Relation, Side};
use crate::digest::{Verdict, history_interval};
use crate::failcount::Counting;
use crate::ids::{NodeId, RscId};
use crate::model::{RscFlags, Variant};
use crate::plan::{DeferredCheck, Plan};
use crate::unpack::sorted_history;
use crate::words::Word;

impl<'a> Plan<'a> {
    pub(crate) fn check_changes(&mut self) {
        let Some(status) = self.root.child("status") else {
            return;
        };
        let states: Vec<Element<'a>> = status.children_named("node_state").collect();
        for node in self.order.clone() {
            if !self.node[node].maintenance && !self.available(node, false) {
                continue;
            }
            let name = self.node[node].name;
            let Some(state) = states.iter().find(|s| s.attr("uname") == Some(name)) else {
                continue;
            };
            let Some(list) = state.child("lrm").and_then(|l| l.child("lrm_resources")) else {
                continue;
            };
            for entry in list.children_named("lrm_resource") {
                if entry.children().next().is_none() {
                    continue;
                }
                for rsc in self.matching(entry.id()) {
                    if self.rsc[rsc].variant == Variant::Primitive {
                        self.check_history(entry, rsc, node);
                    }
                }
            }
        }
    }

    /// Every resource that is called like this, the last first.
    fn matching(&self, id: &str) -> Vec<RscId> {
        if let Some(list) = self.clone_names.get(id) {
            let mut list = list.clone();
            if let Some(rsc) = self.find(id).filter(|r| !list.contains(r)) {
                list.push(rsc);
            }
            list.sort_by_key(|r| std::cmp::Reverse(*r));
            return list;
        }
        self.find(id).into_iter().collect()
    }

    fn agent_changed(
        &mut self,
        rsc: RscId,
        node: NodeId,
        entry: Element<'a>,
        active: bool,
    ) -> bool {
        let r = &self.rsc[rsc];
        let configured = [
            ("type", Some(r.kind)),
            ("class", Some(r.class)),
            ("provider", r.provider),
        ];
        let mut changed = false;
        for (name, value) in configured {
            if entry.attr(name) != value.filter(|v| !v.is_empty()) {
                changed = true;
                self.unfence(Some(rsc), Some(node), None);
            }
        }
        if changed && active {
            self.op(rsc, Word::STOP, Some(node), false);
        }
        changed
    }

    fn check_history(&mut self, entry: Element<'a>, rsc: RscId, node: NodeId) {
        if self.rsc[rsc].is(RscFlags::REMOVED) {
            let top = self.top_resource(rsc, false);
            if !self.is_anonymous_clone(top) {
                self.schedule_cleanup(rsc, node, false);
            }
            return;
        }
        let active = self.is_running_on(rsc, node);
        if self.agent_changed(rsc, node, entry, active) {
            self.schedule_cleanup(rsc, node, false);
        }
        if !active {
            return;
        }
        let Some((entries, first)) = sorted_history(entry) else {
            return;
        };
        for &op in &entries[first..] {
            let task = op.attr("operation").unwrap_or("");
            let interval = history_interval(op);
            let maintenance =
                self.rsc[rsc].is(RscFlags::MAINTENANCE) || self.node[node].maintenance;
            if interval > 0 && maintenance {
                let key = Key {
                    name: self.words.get(task),
                    interval,
                };
                self.schedule_cancel(rsc, op.attr("call-id").unwrap_or(""), key, node);
            } else if interval > 0
                || matches!(task, "monitor" | "start" | "promote" | "migrate_from")
            {
                if self.needs_remote_name(rsc) {
                    let check = DeferredCheck {
                        rsc,
                        node,
                        entry: op,
                        last_failure: false,
                    };
                    self.deferred_checks.insert(0, check);
                } else {
                    self.clear_if_changed(rsc, node, op);
                }
            }
        }
    }

    fn clear_if_changed(&mut self, rsc: RscId, node: NodeId, op: Element<'a>) {
        let counting = Counting {
            effective: true,
            launched: false,
        };
        if self.check_operation(rsc, node, op) && self.failcount(node, rsc, counting, None).0 != 0 {
            self.clear_failcount(rsc, node);
        }
    }

    /// What could be compared only now that connections have an address.
    pub(crate) fn run_deferred_checks(&mut self) {
        for check in std::mem::take(&mut self.deferred_checks) {
            let DeferredCheck {
                rsc,
                node,
                entry,
                last_failure,
            } = check;
            if !last_failure {
                self.clear_if_changed(rsc, node, entry);
                continue;
            }
            let verdict = self.compare_digest(rsc, entry, node);
            if !matches!(verdict, Verdict::Unknown | Verdict::Match) {
                self.clear_failcount(rsc, node);
            }
        }
    }

    /// Reacts to a change of an operation's configuration; tells whether there was one.
    fn check_operation(&mut self, rsc: RscId, node: NodeId, op: Element<'a>) -> bool {
        let task = op.attr("operation").unwrap_or("");
        let interval = history_interval(op);
        let key = Key {
            name: self.words.get(task),
            interval,
        };
        if interval > 0 && self.op_config(rsc, task, interval, false).is_none() {
            if self.options.cancel_removed {
                self.schedule_cancel(rsc, op.attr("call-id").unwrap_or(""), key, node);
            }
            return true;
        }
        let verdict = self.compare_digest(rsc, op, node);
        let like_start = interval == 0 && matches!(task, "monitor" | "migrate_from" | "promote");
        let key = if like_start {
            Key::once(Word::START)
        } else {
            key
        };
        match verdict {
            Verdict::Match => false,
            Verdict::Restart => {
                self.force_restart(rsc, key, node);
                true
            }
            Verdict::Mismatch | Verdict::Unknown => {
                if interval > 0 {
                    self.unfence(Some(rsc), Some(node), None);
                    let again = self.new_action(rsc, key, key.name, Some(node), true);
                    self.act[again].flags.set(ActFlags::RESCHEDULE);
                } else if op.attr("op-restart-digest").is_some() {
                    self.unfence(Some(rsc), Some(node), None);
                    self.schedule_reload(rsc, node);
                } else {
                    self.force_restart(rsc, key, node);
                }
                true
            }
        }
    }

    fn force_restart(&mut self, rsc: RscId, key: Key, node: NodeId) {
        self.new_action(rsc, key, key.name, None, false);
        self.unfence(Some(rsc), Some(node), None);
    }

    fn schedule_reload(&mut self, rsc: RscId, node: NodeId) {
        let r = &self.rsc[rsc];
        if !r.is(RscFlags::MANAGED) || r.is(RscFlags::FAILED) {
            return;
        }
        if r.is(RscFlags::START_PENDING) {
            self.op(rsc, Word::STOP, Some(node), false);
            return;
        }
        self.rsc[rsc].flags.set(RscFlags::RELOAD);
        let reload = self.op(rsc, Word::RELOAD_AGENT, Some(node), false);
        // A stop or demotion makes the reload needless.
        let flags = Relation::ORDERED | Relation::THEN_CANCELS_FIRST;
        self.order(Self::side(reload), Side::op(rsc, Word::STOP), flags);
        self.order(Self::side(reload), Side::op(rsc, Word::DEMOTE), flags);
    }
}
