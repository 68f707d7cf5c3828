//! Which nodes must be fenced, and the actions that do it.

use crate::action::{ActFlags, Relation};
use crate::digest::Verdict;
use crate::ids::{ActId, NodeId, RscId};
use crate::model::{NodeKind, RscFlags};
use crate::plan::Plan;
use crate::words::Word;

impl<'a> Plan<'a> {
    /// Marks a node for fencing.
    pub(crate) fn fence_node(&mut self, node: NodeId, priority_delay: bool) {
        if self.is_guest(node) {
            // A guest is fenced by recovering what launches it.
            let Some(launcher) = self.guest_launcher(node) else {
                return;
            };
            let r = &mut self.rsc[launcher];
            if !r.is(RscFlags::FAILED) && r.is(RscFlags::MANAGED) {
                r.flags.set(RscFlags::FAILED | RscFlags::STOP_IF_FAILED);
                self.node[node].remote_reset = true;
            }
        } else if self.is_dangling_guest(node) {
            if let Some(connection) = self.node[node].connection {
                let flags = &mut self.rsc[connection].flags;
                flags.set(RscFlags::FAILED | RscFlags::STOP_IF_FAILED);
            }
        } else if self.is_remote(node) {
            let connection = self.node[node].connection;
            let unmanaged = connection.is_some_and(|c| !self.rsc[c].is(RscFlags::MANAGED));
            if !unmanaged {
                self.node[node].remote_reset = true;
            }
            self.node[node].unclean = true;
            self.fence_op(node, None, true, false);
        } else if !self.node[node].unclean {
            self.node[node].unclean = true;
            self.fence_op(node, None, true, priority_delay);
        }
    }

    /// A guest whose launcher is gone from configuration and status.
    fn is_dangling_guest(&self, node: NodeId) -> bool {
        self.is_remote_kind(node)
            && self.node[node].connection.is_some_and(|c| {
                let r = &self.rsc[c];
                r.launcher.is_none() && r.is(RscFlags::REMOVED_LAUNCHED)
            })
    }

    /// The action that fences (or unfences) a node; required if it is not optional and possible.
    pub(crate) fn fence_op(
        &mut self,
        node: NodeId,
        operation: Option<&str>,
        optional: bool,
        priority_delay: bool,
    ) -> ActId {
        let operation = operation.unwrap_or(&self.options.fencing_action).to_owned();
        let name = format!("stonith-{}-{operation}", self.node[node].name);
        let word = self.words.get(&name);
        let mut optional = optional;
        let action = match self.singles.get(&word) {
            Some(action) => *action,
            None => {
                let key = crate::action::Key::once(word);
                let action = self.push_action(None, key, Word::STONITH, Some(node), true);
                let (uname, id) = (self.node[node].name, self.node[node].id);
                self.set_meta(action, "on_node", uname);
                self.set_meta(action, "on_node_uuid", id);
                self.set_meta(action, "stonith_action", operation);
                if self.options.unfencing {
                    optional &= !self.add_device_digests(action, node);
                }
                action
            }
        };
        if self.options.priority_fencing_delay > 0
            && (priority_delay || self.act_meta(action, "priority-fencing-delay").is_some())
        {
            let delay = self.priority_delay(node);
            self.set_meta(action, "priority-fencing-delay", delay.to_string());
        }
        if !optional && self.can_fence(Some(node)) {
            self.act[action].flags.clear(ActFlags::OPTIONAL);
        }
        action
    }

    /// Notes what unfencing devices look like; tells whether one has changed.
    fn add_device_digests(&mut self, action: ActId, node: NodeId) -> bool {
        let mut devices = Vec::new();
        for top in self.top.clone() {
            self.descend(top, &mut |r| devices.push(r));
        }
        devices.retain(|r| {
            let r = &self.rsc[*r];
            let provides = r
                .meta("provides")
                .is_some_and(|p| p.eq_ignore_ascii_case("unfencing"));
            r.children.is_empty()
                && r.is(RscFlags::FENCE_DEVICE)
                && (r.is(RscFlags::NEEDS_UNFENCING) || provides)
        });
        let (mut all, mut secure) = (String::new(), String::new());
        let mut changed = false;
        for device in devices.into_iter().rev() {
            let digests = self.fencing_digest(device, node);
            changed |= digests.verdict == Verdict::Mismatch;
            let r = &self.rsc[device];
            all.push_str(&format!("{}:{}:{},", r.id, r.kind, digests.all));
            secure.push_str(&format!("{}:{}:{},", r.id, r.kind, digests.secure));
        }
        self.set_meta(action, "digests-all", all);
        self.set_meta(action, "digests-secure", secure);
        changed
    }

    /// Seconds by which fencing a node waits, when the cluster has split evenly.
    fn priority_delay(&self, node: NodeId) -> i64 {
        if self.node[node].kind != NodeKind::Member || self.node[node].online {
            return 0;
        }
        let members = self.node.iter().filter(|n| n.kind == NodeKind::Member);
        let count = members.clone().count();
        let online = members.clone().filter(|n| n.online).count();
        let top = members.clone().map(|n| n.priority).max().unwrap_or(0);
        let low = members.map(|n| n.priority).min().unwrap_or(0);
        if online > count / 2 || top == low || self.node[node].priority < top {
            return 0;
        }
        self.options.priority_fencing_delay
    }

    /// Unfences a node (or every node that a device may run on) before `dependency`.
    pub(crate) fn unfence(
        &mut self,
        device: Option<RscId>,
        node: Option<NodeId>,
        dependency: Option<ActId>,
    ) {
        if !self.options.unfencing
            || device.is_some_and(|d| !self.rsc[d].is(RscFlags::FENCE_DEVICE))
        {
            return;
        }
        let fit = |plan: &Self, n: NodeId| {
            let node = &plan.node[n];
            node.online && !node.unclean && !node.shutdown
        };
        match node {
            Some(n) if fit(self, n) => {
                let action = self.fence_op(n, Some("on"), false, false);
                if let Some(dependency) = dependency {
                    self.order_actions(action, dependency, Relation::ORDERED);
                }
            }
            _ => {
                if let Some(device) = device {
                    for n in self.order.clone() {
                        if self.slot(device, n).is_some() && fit(self, n) {
                            self.unfence(Some(device), Some(n), dependency);
                        }
                    }
                }
            }
        }
    }
}
