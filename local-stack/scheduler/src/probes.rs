//! Probes: asking nodes what they run, where that is not known.

use crate::action::{ActFlags, Key, Relation, Side};
use crate::ids::{ActId, NodeId, RscId};
use crate::model::{ProbeMode, Role, RscFlags, Variant};
use crate::plan::Plan;
use crate::words::Word;

impl<'a> Plan<'a> {
    pub(crate) fn schedule_probes(&mut self) {
        for node in self.order.clone() {
            if !self.node[node].online {
                if self.is_failed_remote(node) {
                    self.fence_node(node, false);
                }
                continue;
            }
            if self.node[node].unclean || !self.node[node].discovery {
                continue;
            }
            for rsc in self.top.clone() {
                self.create_probe(rsc, node);
            }
        }
    }

    fn create_probe(&mut self, rsc: RscId, node: NodeId) -> bool {
        match self.rsc[rsc].variant {
            Variant::Clone => self.probe_clone(rsc, node),
            Variant::Bundle => self.probe_bundle(rsc, node),
            _ => self.probe(rsc, node),
        }
    }

    fn probe_all(&mut self, list: &[RscId], node: NodeId) -> bool {
        let mut any = false;
        for &rsc in list {
            any |= self.create_probe(rsc, node);
        }
        any
    }

    fn probe(&mut self, rsc: RscId, node: NodeId) -> bool {
        if !self.options.startup_probes {
            return false;
        }
        let connection = self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION);
        if self.is_remote_kind(node)
            && (self.rsc[rsc].class == "stonith"
                || (self.is_guest(node) && self.launched_connection(rsc).is_some())
                || connection)
        {
            return false;
        }
        if !self.rsc[rsc].children.is_empty() {
            let children = self.rsc[rsc].children.clone();
            return self.probe_all(&children, node);
        }
        let r = &self.rsc[rsc];
        if (r.launcher.is_some() && !connection)
            || r.is(RscFlags::REMOVED)
            || r.known_on.contains(&node)
        {
            return false;
        }
        let top = self.top_resource(rsc, false);
        let slot = self.slot(rsc, node);
        let exclusive =
            r.is(RscFlags::EXCLUSIVE_PROBES) || self.rsc[top].is(RscFlags::EXCLUSIVE_PROBES);
        if exclusive && slot.is_none_or(|s| s.probe_mode != ProbeMode::Exclusive) {
            return false;
        }
        let mode = slot.map_or(self.node[node].probe_mode, |s| s.probe_mode);
        if mode == ProbeMode::Never {
            return false;
        }
        if self.is_guest(node)
            && let Some(guest) = self.guest_launcher(node)
        {
            if self.rsc[guest].role == Role::Stopped {
                self.order_probe_then_start(guest, top);
                return false;
            }
            if self.guest_will_stop(node, guest) {
                let flags = Relation::ORDERED;
                self.order_ops((guest, Word::STOP), (top, Word::START), flags);
                return false;
            }
        }
        self.create_one_probe(rsc, top, node);
        true
    }

    fn create_one_probe(&mut self, rsc: RscId, top: RscId, node: NodeId) {
        let probe = self.op(rsc, Word::MONITOR, Some(node), false);
        self.act[probe].flags.clear(ActFlags::OPTIONAL);
        self.order_after_unfencing(rsc, node, probe, Relation::ORDERED);
        if !self.is_running_on(rsc, node) {
            self.act[probe].target_rc = Some(7);
        } else if self.rsc[rsc].role == Role::Promoted {
            self.act[probe].target_rc = Some(8);
        }
        let top = if self.is_clone(top) { top } else { rsc };
        let mut flags = Relation::ORDERED;
        if !self.is(probe, ActFlags::RUNNABLE) && self.rsc[top].running_on.is_empty() {
            flags = flags | Relation::UNRUNNABLE_BLOCKS;
        }
        self.order(Self::side(probe), Side::op(top, Word::START), flags);
        if top == rsc {
            let reload = Side::op(top, Word::RELOAD_AGENT);
            self.order(Self::side(probe), reload, Relation::ORDERED);
        }
    }

    fn order_probe_then_start(&mut self, probed: RscId, started: RscId) {
        let r = &self.rsc[probed];
        if r.assigned.is_some_and(|n| !r.known_on.contains(&n)) {
            let flags = Relation::ORDERED;
            self.order_ops((probed, Word::MONITOR), (started, Word::START), flags);
        }
    }

    fn guest_will_stop(&self, node: NodeId, guest: RscId) -> bool {
        let (n, g) = (&self.node[node], &self.rsc[guest]);
        let moving =
            g.role > Role::Stopped && g.assigned.is_some_and(|a| !g.running_on.contains(&a));
        n.remote_reset
            || n.unclean
            || g.is(RscFlags::FAILED)
            || g.next_role == Role::Stopped
            || moving
    }

    fn known_anywhere(&self, rsc: RscId, node: NodeId) -> bool {
        let r = &self.rsc[rsc];
        if r.children.is_empty() {
            return r.known_on.contains(&node);
        }
        r.children.iter().any(|c| self.known_anywhere(*c, node))
    }

    fn probe_clone(&mut self, rsc: RscId, node: NodeId) -> bool {
        if self.rsc[rsc].is(RscFlags::EXCLUSIVE_PROBES) {
            let allowed = self.slot(rsc, node);
            if allowed.is_none_or(|s| s.probe_mode != ProbeMode::Exclusive) {
                // What is told of nodes leaves this one out.
                if allowed.is_some() {
                    self.slot_mut(rsc, node).present = false;
                }
                return false;
            }
        }
        self.sort_by_number(rsc);
        let instances = self.rsc[rsc].children.clone();
        if self.rsc[rsc].is(RscFlags::UNIQUE) {
            return self.probe_all(&instances, node);
        }
        let known = instances
            .iter()
            .copied()
            .find(|i| self.known_anywhere(*i, node));
        let chosen = known
            .or_else(|| {
                let mut all = instances.iter().copied();
                all.find(|i| self.location(*i, false) == Some(node))
            })
            .or_else(|| instances.first().copied());
        chosen.is_some_and(|c| self.create_probe(c, node))
    }

    fn probe_bundle(&mut self, rsc: RscId, node: NodeId) -> bool {
        let Some(bundle) = self.rsc[rsc].bundle.clone() else {
            return false;
        };
        let mut any = false;
        for replica in &bundle.replicas {
            if let Some(ip) = replica.ip {
                any |= self.create_probe(ip, node);
            }
            if let Some(child) = replica.child.filter(|_| replica.node == Some(node)) {
                any |= self.create_probe(child, node);
            }
            if self.create_probe(replica.container, node) {
                any = true;
                if bundle.per_host == 1 {
                    // No peer starts before it is known that none is there yet.
                    for peer in &bundle.replicas {
                        if peer.container != replica.container {
                            let flags = Relation::ORDERED | Relation::ON_SAME_NODE;
                            let probe = (replica.container, Word::MONITOR);
                            self.order_ops(probe, (peer.container, Word::START), flags);
                        }
                    }
                }
            }
            if let Some(remote) = replica.remote
                && self.create_probe(remote, node)
            {
                let key = Some(Key::once(Word::MONITOR));
                if let Some(probe) = self.find_first_action(remote, key, None, Some(node)) {
                    any = true;
                    let first = Side::op(replica.container, Word::START);
                    self.order(first, Self::side(probe), Relation::NESTED_REMOTE_PROBE);
                }
            }
        }
        any
    }

    // --- the order of probes and what else happens ---

    pub(crate) fn order_probes(&mut self) {
        for rsc in self.top.clone() {
            self.order_probes_of(rsc);
        }
        self.order_probes_like_stops();
    }

    fn order_probes_of(&mut self, rsc: RscId) {
        if self.rsc[rsc].variant != Variant::Primitive {
            for child in self.rsc[rsc].children.clone() {
                self.order_probes_of(child);
            }
            return;
        }
        for probe in self.find_actions(rsc, Key::once(Word::MONITOR), None) {
            let count = self.act[probe].after.len();
            for i in (0..count).rev() {
                let (then, flags) = self.act[probe].after[i];
                self.order_probe_before_instances(probe, then, flags);
                let mut seen = Vec::new();
                self.order_probe_before_restart(probe, then, &mut seen);
                for action in seen {
                    self.act[action].flags.clear(ActFlags::DETECT_LOOP);
                }
            }
        }
    }

    fn order_probe_before_instances(&mut self, probe: ActId, then: ActId, flags: Relation) {
        let (Some(clone), Some(probed)) = (self.act[then].rsc, self.act[probe].rsc) else {
            return;
        };
        if self.rsc[clone].variant <= Variant::Group
            || self.is(probe, ActFlags::RUNNABLE)
            || flags.has(Relation::UNRUNNABLE_BLOCKS)
            || self.top_resource(probed, false) != clone
            || self.act[then].task != Word::START
        {
            return;
        }
        let count = self.act[then].after.len();
        for i in (0..count).rev() {
            let (start, _) = self.act[then].after[i];
            let Some(instance) = self.act[start].rsc else {
                continue;
            };
            if self.rsc[instance].running_on.is_empty()
                && self.top_resource(instance, false) == clone
                && self.act[start].task == Word::START
            {
                let flags = Relation::ORDERED | Relation::UNRUNNABLE_BLOCKS;
                self.order_actions(probe, start, flags);
            }
        }
    }

    /// "Probe, then start" means "probe, then stop" if the start is part of a restart.
    fn order_probe_before_restart(&mut self, probe: ActId, after: ActId, seen: &mut Vec<ActId>) {
        let Some(probed) = self.act[probe].rsc else {
            return;
        };
        if self.act[probe].task != Word::MONITOR || self.is(after, ActFlags::DETECT_LOOP) {
            return;
        }
        self.act[after].flags.set(ActFlags::DETECT_LOOP);
        seen.push(after);
        let rsc = self.act[after].rsc;
        let variant = rsc.map(|r| self.rsc[r].variant);
        if let Some(r) = rsc
            && variant == Some(Variant::Primitive)
            && r != probed
        {
            let down = match self.act[after].task {
                Word::START => Some(Word::STOP),
                Word::PROMOTE => Some(Word::DEMOTE),
                _ => None,
            };
            if let Some(down) = down {
                for then in self.find_actions(r, Key::once(down), None) {
                    if !self.is(then, ActFlags::PSEUDO) {
                        self.order_actions(probe, then, Relation::ORDERED);
                    }
                }
            }
        }
        let mut compatible = None;
        let mut interleave = false;
        if let Some(r) = rsc.filter(|_| variant > Some(Variant::Group)) {
            interleave = self.rsc[r].meta_true("interleave");
            if interleave {
                compatible = self.compatible_instance(probed, r, Role::Unknown, false);
            }
        }
        let count = self.act[after].after.len();
        for i in (0..count).rev() {
            let (next, flags) = self.act[after].after[i];
            if !flags.has(Relation::FIRST_IMPLIES_THEN) {
                let Some(r) = rsc.filter(|_| variant >= Some(Variant::Group)) else {
                    continue;
                };
                let Some(child) = self.act[next].rsc else {
                    continue;
                };
                if self.rsc[probed].parent == Some(r)
                    || self.rsc[child].variant > Variant::Group
                    || self.rsc[child].parent != Some(r)
                    || (interleave && compatible != Some(child))
                {
                    continue;
                }
            }
            self.order_probe_before_restart(probe, next, seen);
        }
    }

    /// Where something waits for a stop, it also waits for the probe that may find a stop needed.
    fn order_probes_like_stops(&mut self) {
        for i in 0..self.orderings.len() {
            let order = self.orderings[i];
            let Some(first) = order.first.rsc else {
                continue;
            };
            if order.flags == Relation::NONE || order.then.rsc == Some(first) {
                continue;
            }
            let is_stop = |p: &Self, side: &Side| match side.action {
                Some(a) => p.act[a].task == Word::STOP,
                None => side.key == Some(Key::once(Word::STOP)),
            };
            if !is_stop(self, &order.first) {
                continue;
            }
            if order.then.rsc.is_some()
                && self.rsc[first].launcher == order.then.rsc
                && is_stop(self, &order.then)
            {
                continue;
            }
            let mut flags = Relation::ORDERED;
            let kept = Relation::IF_FIRST_UNMIGRATABLE | Relation::ON_SAME_NODE;
            flags.0 |= order.flags.0 & kept.0;
            if order.flags == Relation::REQUIRED_ON_SAME_NODE
                || order.flags == Relation::ON_SAME_NODE_OR_TARGET
            {
                flags = order.flags;
            }
            let probes = self.find_actions(first, Key::once(Word::MONITOR), None);
            if probes.is_empty() {
                continue;
            }
            let then = match (order.then.action, order.then.rsc, order.then.key) {
                (Some(action), ..) => vec![action],
                (None, Some(rsc), Some(key)) => self.find_actions(rsc, key, None),
                _ => continue,
            };
            for &probe in &probes {
                for &action in &then {
                    if self.probe_goes_before(probe, action) {
                        self.order_actions(probe, action, flags);
                    }
                }
            }
        }
    }

    fn probe_goes_before(&self, probe: ActId, then: ActId) -> bool {
        let same = self.act[probe].node == self.act[then].node;
        match self.act[then].task {
            Word::STONITH => !(same && self.act_meta(then, "stonith_action") == Some("on")),
            Word::SHUTDOWN => same || self.act[then].node.is_none(),
            _ => true,
        }
    }
}
