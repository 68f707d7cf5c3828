//! The actions that bring each resource from what it is to what it shall be.

use crate::action::{ActFlags, Key, Relation};
use crate::ids::{ActId, NodeId, RscId};
use crate::model::{MultiplyActive, Role, RscFlags, Variant};
use crate::plan::Plan;
use crate::text::INFINITY;
use crate::words::Word;

/// What several instances are doing.
#[derive(Debug, Clone, Copy, Default)]
struct Doing {
    starting: bool,
    stopping: bool,
    restarting: bool,
    active: bool,
}

/// The next role on the way to another.
fn next_step(role: Role, target: Role) -> Role {
    use Role::{Promoted, Started, Stopped, Unknown, Unpromoted};
    match (role, target) {
        (Unknown, Unknown) => Unknown,
        (Unknown, _) => Stopped,
        (Stopped, Unknown | Stopped) => Stopped,
        (Stopped, Started) => Started,
        (Stopped, _) => Unpromoted,
        (Started, Unknown | Stopped) => Stopped,
        (Started, other) => other,
        (Unpromoted, Unpromoted | Promoted) => target,
        (Unpromoted, _) => Stopped,
        (Promoted, Unknown) => Stopped,
        (Promoted, Promoted) => Promoted,
        (Promoted, _) => Unpromoted,
    }
}

impl<'a> Plan<'a> {
    pub(crate) fn create_actions(&mut self, rsc: RscId) {
        match self.rsc[rsc].variant {
            Variant::Primitive => self.create_primitive_actions(rsc),
            Variant::Group => self.create_group_actions(rsc),
            Variant::Clone => self.create_clone_actions(rsc),
            Variant::Bundle => self.create_bundle_actions(rsc),
        }
    }

    // --- primitives ---

    fn step(
        &mut self,
        rsc: RscId,
        node: Option<NodeId>,
        (from, to): (Role, Role),
        optional: bool,
    ) -> bool {
        use Role::{Promoted, Started, Stopped, Unknown, Unpromoted};
        match (from, to) {
            (Unknown | Started | Unpromoted, Stopped) | (Unpromoted, Started) => {
                self.stop(rsc, optional);
            }
            (Stopped, Started | Unpromoted) => self.start(rsc, node, optional),
            (Started | Unpromoted, Promoted) => self.promote(rsc, node, optional),
            (Promoted, Stopped | Started | Unpromoted) => self.demote(rsc, optional),
            _ => return false,
        }
        true
    }

    /// Of a resource that is active on too many nodes, the one where it stays.
    fn is_expected_node(&self, rsc: RscId, node: Option<NodeId>) -> bool {
        let r = &self.rsc[rsc];
        r.is(RscFlags::STOP_UNEXPECTED | RscFlags::RESTARTING)
            && r.next_role > Role::Stopped
            && r.assigned == node
    }

    fn stop(&mut self, rsc: RscId, optional: bool) {
        for node in self.rsc[rsc].running_on.clone() {
            if self.is_expected_node(rsc, Some(node)) {
                continue;
            }
            let mut optional = optional;
            if self.rsc[rsc].partial_target.is_some() {
                let goes_on = self.rsc[rsc].partial_target == Some(node)
                    && self.rsc[rsc].assigned == Some(node);
                if goes_on {
                    continue;
                }
                optional = false;
            }
            let stop = self.op(rsc, Word::STOP, Some(node), optional);
            if !self.rsc[rsc].is(RscFlags::MANAGED) {
                self.act[stop].flags.clear(ActFlags::RUNNABLE);
            }
            if self.rsc[rsc].is(RscFlags::NEEDS_UNFENCING) {
                let unfence = self.fence_op(node, Some("on"), true, false);
                self.order_actions(stop, unfence, Relation::THEN_IMPLIES_FIRST);
            }
        }
    }

    fn start(&mut self, rsc: RscId, node: Option<NodeId>, optional: bool) {
        let Some(node) = node else {
            return;
        };
        let start = self.op(rsc, Word::START, Some(node), true);
        self.order_after_unfencing(rsc, node, start, Relation::FIRST_IMPLIES_THEN);
        if self.is(start, ActFlags::RUNNABLE) && !optional {
            self.act[start].flags.clear(ActFlags::OPTIONAL);
        }
        if self.is_expected_node(rsc, Some(node)) {
            self.act[start].flags.set(ActFlags::PSEUDO);
        }
    }

    fn promote(&mut self, rsc: RscId, node: Option<NodeId>, optional: bool) {
        let Some(node) = node else {
            return;
        };
        let starts = self.find_actions_exact(rsc, Key::once(Word::START), node);
        if starts.iter().all(|s| self.is(*s, ActFlags::RUNNABLE)) {
            let promote = self.op(rsc, Word::PROMOTE, Some(node), optional);
            if self.is_expected_node(rsc, Some(node)) {
                self.act[promote].flags.set(ActFlags::PSEUDO);
            }
        } else {
            for promote in self.find_actions_exact(rsc, Key::once(Word::PROMOTE), node) {
                self.act[promote].flags.clear(ActFlags::RUNNABLE);
            }
        }
    }

    fn demote(&mut self, rsc: RscId, optional: bool) {
        for node in self.rsc[rsc].running_on.clone() {
            if !self.is_expected_node(rsc, Some(node)) {
                self.op(rsc, Word::DEMOTE, Some(node), optional);
            }
        }
    }

    fn restart(
        &mut self,
        rsc: RscId,
        current: Option<NodeId>,
        need_stop: bool,
        need_promote: bool,
    ) {
        let original = self.rsc[rsc].role;
        let mut role = original;
        self.rsc[rsc].flags.set(RscFlags::RESTARTING);
        while role != Role::Stopped {
            let next = next_step(role, Role::Stopped);
            if !self.step(rsc, current, (role, next), !need_stop) {
                break;
            }
            role = next;
        }
        while original <= self.rsc[rsc].next_role
            && role != original
            && !self.rsc[rsc].is(RscFlags::BLOCKED)
        {
            let next = next_step(role, original);
            let required = need_stop || (next == Role::Promoted && need_promote);
            let node = self.rsc[rsc].assigned;
            if !self.step(rsc, node, (role, next), !required) {
                break;
            }
            role = next;
        }
        self.rsc[rsc].flags.clear(RscFlags::RESTARTING);
    }

    fn create_primitive_actions(&mut self, rsc: RscId) {
        if self.rsc[rsc].next_role == Role::Unknown {
            let assigned = self.rsc[rsc].assigned.is_some();
            self.rsc[rsc].next_role = if assigned {
                Role::Started
            } else {
                Role::Stopped
            };
        }
        let (current, all_active, clean_active) = self.active_node(rsc);
        for source in self.rsc[rsc].dangling.clone() {
            let stop = self.op(rsc, Word::STOP, Some(source), false);
            self.act[stop].flags.set(ActFlags::ABORTS_MIGRATION);
        }
        let assigned = self.rsc[rsc].assigned;
        let moving = current.is_some()
            && assigned.is_some()
            && current != assigned
            && self.rsc[rsc].next_role >= Role::Started;
        let mut migrate = moving && self.can_migrate(rsc, current);
        let mut need_stop = moving;
        let mut multiply_active = false;
        let r = &self.rsc[rsc];
        let partial = (r.partial_source, r.partial_target);
        if let (Some(source), Some(target)) = partial
            && migrate
            && all_active == 2
            && current == Some(source)
            && assigned == Some(target)
        {
            // The migration goes on.
        } else if partial != (None, None) {
            need_stop = true;
            migrate = false;
            self.rsc[rsc].partial_source = None;
            self.rsc[rsc].partial_target = None;
        } else if r.is(RscFlags::NEEDS_FENCING) {
            multiply_active = all_active > 1;
        } else {
            multiply_active = clean_active > 1;
        }
        if multiply_active {
            match self.rsc[rsc].multiply_active {
                MultiplyActive::Restart => need_stop = true,
                MultiplyActive::Unexpected => {
                    need_stop = true;
                    self.rsc[rsc].flags.set(RscFlags::STOP_UNEXPECTED);
                }
                _ => {}
            }
        } else {
            self.rsc[rsc].flags.clear(RscFlags::STOP_UNEXPECTED);
        }
        if self.rsc[rsc].is(RscFlags::START_PENDING) {
            let start = self.op(rsc, Word::START, assigned, true);
            self.act[start].flags.set(ActFlags::ALWAYS);
        }
        let need_promote = !moving && self.needs_recovery(rsc, current, &mut need_stop);
        self.restart(rsc, current, need_stop, need_promote);
        let mut role = self.rsc[rsc].role;
        while role != self.rsc[rsc].next_role {
            let next = next_step(role, self.rsc[rsc].next_role);
            let node = self.rsc[rsc].assigned;
            if !self.step(rsc, node, (role, next), false) {
                break;
            }
            role = next;
        }
        self.create_recurring(rsc);
        if migrate && let Some(current) = current {
            self.create_migration(rsc, current);
        }
    }

    /// Whether a resource that stays needs a restart, or (the answer) a new promotion.
    fn needs_recovery(
        &mut self,
        rsc: RscId,
        current: Option<NodeId>,
        need_stop: &mut bool,
    ) -> bool {
        let r = &self.rsc[rsc];
        if r.is(RscFlags::FAILED) {
            if r.is(RscFlags::STOP_IF_FAILED) {
                *need_stop = true;
                return false;
            }
            return r.next_role == Role::Promoted;
        }
        if r.is(RscFlags::BLOCKED) {
            *need_stop = true;
        } else if r.role > Role::Started && current.is_some() && r.assigned.is_some() {
            let node = r.assigned;
            let start = self.op(rsc, Word::START, node, true);
            if !self.is(start, ActFlags::OPTIONAL) {
                *need_stop = true;
            }
        }
        false
    }

    // --- collectives ---

    fn create_group_actions(&mut self, rsc: RscId) {
        for member in self.rsc[rsc].children.clone() {
            self.create_actions(member);
        }
        let mut points = vec![Word::START, Word::RUNNING, Word::STOP, Word::STOPPED];
        if self.rsc[rsc].meta_true("promotable") {
            points.extend([Word::DEMOTE, Word::DEMOTED, Word::PROMOTE, Word::PROMOTED]);
        }
        for task in points {
            self.pseudo_op(rsc, task, true, true);
        }
    }

    fn look_at(&self, instance: RscId, doing: &mut Doing) {
        let r = &self.rsc[instance];
        if r.variant != Variant::Primitive {
            for child in &r.children {
                self.look_at(*child, doing);
            }
            return;
        }
        let mut this = Doing {
            active: !r.running_on.is_empty(),
            ..Doing::default()
        };
        for action in r.actions.iter() {
            let action = &self.act[*action];
            if action.flags.has(ActFlags::OPTIONAL) {
                continue;
            }
            match action.task {
                Word::START => this.starting |= action.flags.has(ActFlags::RUNNABLE),
                Word::STOP => {
                    this.stopping |= action.flags.any(ActFlags::PSEUDO | ActFlags::RUNNABLE);
                }
                _ => {}
            }
        }
        doing.restarting |= this.starting && this.stopping;
        doing.starting |= this.starting;
        doing.stopping |= this.stopping;
        doing.active |= this.active;
    }

    fn create_instance_actions(&mut self, rsc: RscId, instances: &[RscId]) {
        let mut doing = Doing::default();
        for &instance in instances {
            self.create_actions(instance);
            self.look_at(instance, &mut doing);
        }
        let start = self.pseudo_op(rsc, Word::START, !doing.starting, true);
        let started = self.pseudo_op(rsc, Word::RUNNING, !doing.starting, false);
        self.act[started].priority = INFINITY;
        if doing.active || doing.starting {
            self.act[started].flags.set(ActFlags::RUNNABLE);
        }
        let stop = self.pseudo_op(rsc, Word::STOP, !doing.stopping, true);
        let stopped = self.pseudo_op(rsc, Word::STOPPED, !doing.stopping, true);
        self.act[stopped].priority = INFINITY;
        if !doing.restarting {
            self.act[stop].flags.set(ActFlags::MIGRATABLE);
        }
        if self.is_clone(rsc) {
            self.notify_of_start_and_stop(rsc, [start, started, stop, stopped]);
        }
    }

    fn role_changes(&self, rsc: RscId, promoting: &mut bool, demoting: &mut bool) {
        let r = &self.rsc[rsc];
        if !r.children.is_empty() {
            for child in &r.children {
                self.role_changes(*child, promoting, demoting);
            }
            return;
        }
        for action in r.actions.iter() {
            let action = &self.act[*action];
            if !action.flags.has(ActFlags::OPTIONAL) {
                *demoting |= action.task == Word::DEMOTE;
                *promoting |= action.task == Word::PROMOTE;
            }
        }
    }

    fn create_clone_actions(&mut self, rsc: RscId) {
        let instances = self.rsc[rsc].children.clone();
        self.create_instance_actions(rsc, &instances);
        if !self.rsc[rsc].is(RscFlags::PROMOTABLE) {
            return;
        }
        let (mut promoting, mut demoting) = (false, false);
        for &instance in &instances {
            self.create_actions(instance);
            self.role_changes(instance, &mut promoting, &mut demoting);
        }
        let promote = self.pseudo_op(rsc, Word::PROMOTE, !promoting, true);
        let promoted = self.pseudo_op(rsc, Word::PROMOTED, !promoting, true);
        self.act[promoted].priority = INFINITY;
        self.notify_of(rsc, Word::PROMOTE, promote, promoted);
        let demote = self.pseudo_op(rsc, Word::DEMOTE, !demoting, true);
        let demoted = self.pseudo_op(rsc, Word::DEMOTED, !demoting, true);
        self.act[demoted].priority = INFINITY;
        self.notify_of(rsc, Word::DEMOTE, demote, demoted);
        self.order_promotion_notices(rsc);
        let priority = self.rsc[rsc].priority;
        for instance in instances {
            self.rsc[instance].promotion_priority = priority;
        }
    }

    fn create_bundle_actions(&mut self, rsc: RscId) {
        let Some(bundle) = self.rsc[rsc].bundle.clone() else {
            return;
        };
        for replica in &bundle.replicas {
            let parts = [replica.ip, Some(replica.container), replica.remote];
            for part in parts.into_iter().flatten() {
                self.create_actions(part);
            }
        }
        let containers = self.instances(rsc);
        self.create_instance_actions(rsc, &containers);
        let Some(child) = bundle.child else {
            return;
        };
        self.create_actions(child);
        if self.rsc[child].is(RscFlags::PROMOTABLE) {
            for (task, done) in [
                (Word::PROMOTE, Word::PROMOTED),
                (Word::DEMOTE, Word::DEMOTED),
            ] {
                self.pseudo_op(rsc, task, true, true);
                let done = self.pseudo_op(rsc, done, true, true);
                self.act[done].priority = INFINITY;
            }
        }
    }

    // --- cleaning up ---

    /// Makes a node forget a resource, between a stop and a start.
    pub(crate) fn schedule_cleanup(&mut self, rsc: RscId, node: NodeId, optional: bool) {
        let n = &self.node[node];
        if self.rsc[rsc].is(RscFlags::FAILED) || n.unclean || !n.online {
            return;
        }
        let flags = if optional {
            Relation::FIRST_IMPLIES_THEN
        } else {
            Relation::ORDERED
        };
        self.op(rsc, Word::DELETE, Some(node), optional);
        self.order_ops((rsc, Word::STOP), (rsc, Word::DELETE), flags);
        self.order_ops((rsc, Word::DELETE), (rsc, Word::START), flags);
    }

    /// A removed resource leaves no failures behind.
    pub(crate) fn clear_removed_failures(&mut self, rsc: RscId) {
        if !self.rsc[rsc].is(RscFlags::REMOVED) {
            return;
        }
        let counting = crate::failcount::Counting {
            effective: true,
            launched: false,
        };
        for node in self.order.clone() {
            if self.node[node].online && self.failcount(node, rsc, counting, None).0 != 0 {
                let clear = self.clear_failcount(rsc, node);
                let then = crate::action::Side::op(rsc, Word::STOP);
                self.order(Self::side(clear), then, Relation::ORDERED);
            }
        }
    }

    /// Orders an action after the unfencing that it needs.
    pub(crate) fn order_after_unfencing(
        &mut self,
        rsc: RscId,
        node: NodeId,
        action: ActId,
        flags: Relation,
    ) {
        let r = &self.rsc[rsc];
        let device = r.is(RscFlags::FENCE_DEVICE) && self.options.unfencing;
        if !device && !r.is(RscFlags::NEEDS_UNFENCING) {
            return;
        }
        let unfence = self.fence_op(node, Some("on"), true, false);
        self.order_actions(unfence, action, flags);
        let unfenced = self.attr(node, "#node-unfenced").is_some_and(|u| u != "0");
        if !unfenced {
            self.unfence(None, Some(node), None);
        }
    }
}
