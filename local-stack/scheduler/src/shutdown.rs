//! Fencing and shutting down nodes, and what that means for the rest.

use crate::action::{ActFlags, Key, Relation};
use crate::ids::{ActId, Id as _, NodeId, RscId};
use crate::model::RscFlags;
use crate::plan::Plan;
use crate::words::Word;

impl<'a> Plan<'a> {
    fn any_managed(&self, rsc: RscId) -> bool {
        let r = &self.rsc[rsc];
        r.is(RscFlags::MANAGED) || r.children.iter().any(|c| self.any_managed(*c))
    }

    pub(crate) fn fence_and_shut_down(&mut self) {
        let managed = self.top.iter().any(|r| self.any_managed(*r));
        let mut dc_down = None;
        let mut fencings: Vec<ActId> = Vec::new();
        let mut shutdowns: Vec<ActId> = Vec::new();
        for node in self.order.clone() {
            if self.is_guest(node) {
                if self.node[node].remote_reset && managed && self.can_fence(Some(node)) {
                    self.fence_guest(node);
                }
                continue;
            }
            let is_dc = self.node[node].is_dc;
            if managed && self.node[node].unclean && self.can_fence(Some(node)) {
                let fencing = self.fence_op(node, None, false, false);
                self.order_around_fencing(fencing);
                if is_dc {
                    dc_down = Some(fencing);
                } else {
                    if let Some(last) = fencings
                        .last()
                        .copied()
                        .filter(|_| !self.options.concurrent_fencing)
                    {
                        self.order_actions(last, fencing, Relation::ORDERED);
                    }
                    fencings.push(fencing);
                }
            } else if !self.is_remote_kind(node)
                && self.node[node].online
                && self.node[node].shutdown
            {
                let down = self.shut_down(node);
                if is_dc {
                    dc_down = Some(down);
                } else {
                    shutdowns.push(down);
                }
            }
        }
        let Some(dc_down) = dc_down else {
            return;
        };
        if self.act[dc_down].task == Word::SHUTDOWN {
            for before in shutdowns.into_iter().rev() {
                self.order_actions(before, dc_down, Relation::ORDERED);
            }
        }
        if self.options.concurrent_fencing {
            for before in fencings.into_iter().rev() {
                self.order_actions(before, dc_down, Relation::ORDERED);
            }
        } else if let Some(last) = fencings.last() {
            self.order_actions(*last, dc_down, Relation::ORDERED);
        }
    }

    fn shut_down(&mut self, node: NodeId) -> ActId {
        let name = format!("do_shutdown-{}", self.node[node].name);
        let word = self.words.get(&name);
        let down = self.push_action(None, Key::once(word), Word::SHUTDOWN, Some(node), false);
        for place in (0..self.act.len()).rev() {
            let stop = ActId::new(place);
            let a = &self.act[stop];
            if a.node != Some(node) || a.task != Word::STOP {
                continue;
            }
            let Some(rsc) = a.rsc else {
                continue;
            };
            let r = &self.rsc[rsc];
            if r.is(RscFlags::MAINTENANCE)
                || self.node[node].maintenance
                || !r.flags.any(RscFlags::MANAGED | RscFlags::BLOCKED)
            {
                continue;
            }
            self.act[stop].flags.clear(ActFlags::OPTIONAL);
            let flags = Relation::ORDERED | Relation::UNRUNNABLE_BLOCKS;
            self.order(Self::side(stop), Self::side(down), flags);
        }
        self.set_meta(down, "op_no_wait", "true");
        down
    }

    // --- fencing ---

    fn known_on(&self, rsc: RscId, node: NodeId) -> bool {
        let r = &self.rsc[rsc];
        r.known_on.contains(&node)
            || r.parent
                .is_some_and(|p| self.is_anonymous_clone(p) && self.rsc[p].known_on.contains(&node))
    }

    /// Orders everything around the fencing of a node; what would be stopped there is as good as
    /// stopped.
    fn order_around_fencing(&mut self, fencing: ActId) {
        for rsc in self.top.clone() {
            self.order_rsc_around_fencing(rsc, fencing);
        }
    }

    fn order_rsc_around_fencing(&mut self, rsc: RscId, fencing: ActId) {
        if !self.rsc[rsc].children.is_empty() {
            for child in self.rsc[rsc].children.clone() {
                self.order_rsc_around_fencing(child, fencing);
            }
        } else if self.rsc[rsc].is(RscFlags::MANAGED)
            && let Some(target) = self.act[fencing].node
        {
            self.order_starts_after_fencing(rsc, fencing, target);
            self.imply_stops(rsc, fencing, target);
            self.imply_demotes(rsc, fencing, target);
        }
    }

    fn order_starts_after_fencing(&mut self, rsc: RscId, fencing: ActId, target: NodeId) {
        for i in (0..self.rsc[rsc].actions.len()).rev() {
            let action = self.rsc[rsc].actions[i];
            let flags = self.act[action].flags;
            if flags.has(ActFlags::NEEDS_FENCING) {
                self.order_actions(fencing, action, Relation::ORDERED);
            } else if flags.has(ActFlags::NEEDS_QUORUM)
                && self.act[action].task == Word::START
                && self.slot(rsc, target).is_some()
                && !self.known_on(rsc, target)
            {
                // It may be active there for all we know.
                let flags = Relation::ORDERED | Relation::UNRUNNABLE_BLOCKS;
                self.order_actions(fencing, action, flags);
            }
        }
    }

    fn imply_stops(&mut self, rsc: RscId, fencing: ActId, target: NodeId) {
        let top = self.top_resource(rsc, false);
        let stops = self.find_actions(rsc, Key::once(Word::STOP), Some(target));
        let after = self.rsc[rsc].is(RscFlags::NEEDS_FENCING) || self.is_guest(target);
        let parent_stop = (!stops.is_empty() && after)
            .then(|| self.find_first_action(top, None, Some(Word::STOP), None))
            .flatten();
        for stop in stops {
            self.act[stop]
                .flags
                .set(ActFlags::PSEUDO | ActFlags::RUNNABLE);
            if after {
                if !self.is_bundled(rsc) {
                    self.order_actions(fencing, stop, Relation::GUEST_ALLOWED);
                }
                if let Some(parent) = parent_stop {
                    self.order_actions(fencing, parent, Relation::GUEST_ALLOWED);
                }
            }
            if self.rsc[rsc].is(RscFlags::NOTIFY) {
                self.notify_after_fencing(stop, rsc, fencing);
            }
        }
    }

    fn imply_demotes(&mut self, rsc: RscId, fencing: ActId, target: NodeId) {
        let after = self.rsc[rsc].is(RscFlags::NEEDS_FENCING) || self.is_guest(target);
        for demote in self.find_actions(rsc, Key::once(Word::DEMOTE), Some(target)) {
            let n = &self.node[target];
            if n.online && !n.unclean && !self.rsc[rsc].is(RscFlags::FAILED) {
                continue;
            }
            self.act[demote]
                .flags
                .set(ActFlags::PSEUDO | ActFlags::RUNNABLE);
            if after && !self.is_bundled(rsc) {
                let flags = Relation::GUEST_ALLOWED | Relation::ORDERED;
                self.order_actions(fencing, demote, flags);
            }
        }
    }

    /// A guest is fenced by stopping it; an event marks when that is done.
    fn fence_guest(&mut self, node: NodeId) {
        let Some(launcher) = self.guest_launcher(node) else {
            return;
        };
        let stop = self.find_first_action(launcher, None, Some(Word::STOP), None);
        let starts = self
            .find_first_action(launcher, None, Some(Word::START), None)
            .is_some();
        let operation = if starts { "reboot" } else { "off" };
        let fencing = self.fence_op(node, Some(operation), false, false);
        self.act[fencing]
            .flags
            .set(ActFlags::PSEUDO | ActFlags::RUNNABLE);
        let flags = Relation::UNRUNNABLE_BLOCKS | Relation::FIRST_IMPLIES_THEN;
        match stop {
            Some(stop) if self.is(stop, ActFlags::PSEUDO) => {
                if let Some(host) = self.act[stop].node {
                    let parent = self.fence_op(host, None, false, false);
                    self.order_actions(parent, fencing, flags);
                }
            }
            Some(stop) => {
                self.order_actions(stop, fencing, flags);
            }
            None => {
                let connection = self.node[node].connection;
                let stop = connection
                    .and_then(|c| self.find_first_action(c, None, Some(Word::STOP), None));
                if let Some(stop) = stop {
                    self.order_actions(stop, fencing, Relation::ORDERED);
                }
            }
        }
        self.order_around_fencing(fencing);
    }
}
