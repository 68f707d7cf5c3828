//! Constraints that follow from what resources are.

use crate::action::{Relation, Side};
use crate::constraint::NewColocation;
use crate::ids::RscId;
use crate::model::{Replica, Role, RscFlags, Variant};
use crate::options::Placement;
use crate::plan::Plan;
use crate::text::INFINITY;
use crate::words::Word;

const GRAPHED: Relation = Relation::THEN_IMPLIES_FIRST_GRAPHED;
const THEN_GRAPHED: Relation = Relation::FIRST_IMPLIES_THEN_GRAPHED;
const BLOCKS: Relation = Relation::UNRUNNABLE_BLOCKS;
const IMPLIES: Relation = Relation::FIRST_IMPLIES_THEN;

/// What counts for the order of a group's members.
#[derive(Debug, Clone, Copy)]
struct GroupKind {
    ordered: bool,
    promotable: bool,
}

impl<'a> Plan<'a> {
    pub(crate) fn internal_constraints(&mut self, rsc: RscId) {
        match self.rsc[rsc].variant {
            Variant::Primitive => self.constrain_primitive(rsc),
            Variant::Group => self.constrain_group(rsc),
            Variant::Clone => self.constrain_clone(rsc),
            Variant::Bundle => self.constrain_bundle(rsc),
        }
    }

    fn together(&mut self, dependent: RscId, primary: RscId, score: i32, influence: bool) {
        self.new_colocation(NewColocation {
            attribute: None,
            score,
            dependent,
            primary,
            dependent_role: Role::Unknown,
            primary_role: Role::Unknown,
            influence,
            explicit: false,
        });
    }

    fn constrain_primitive(&mut self, rsc: RscId) {
        let r = &self.rsc[rsc];
        if !r.is(RscFlags::MANAGED) {
            return;
        }
        let unfencing = !r.is(RscFlags::FENCE_DEVICE)
            && self.options.unfencing
            && r.is(RscFlags::NEEDS_UNFENCING);
        let loads = !r.utilization.is_empty() && self.options.placement != Placement::Default;
        let top = self.top_resource(rsc, false);
        let promotable = self.rsc[top].is(RscFlags::PROMOTABLE) || r.role > Role::Unpromoted;
        let restart = Relation::ORDERED | IMPLIES | Relation::INTERMEDIATE_STOP;
        self.order_ops((rsc, Word::STOP), (rsc, Word::START), restart);
        if promotable {
            let flags = Relation::PROMOTED_THEN_IMPLIES_FIRST;
            self.order_ops((rsc, Word::DEMOTE), (rsc, Word::STOP), flags);
            self.order_ops((rsc, Word::START), (rsc, Word::PROMOTE), BLOCKS);
        }
        // A probe makes forgetting needless.
        let flags = Relation::ON_SAME_NODE | Relation::THEN_CANCELS_FIRST;
        self.order_ops((rsc, Word::DELETE), (rsc, Word::MONITOR), flags);
        if unfencing {
            for node in self.order.clone() {
                if self.slot(rsc, node).is_some() {
                    self.order_restart_around_unfencing(rsc, node);
                }
            }
        }
        if loads {
            self.order_by_load(rsc);
        }
        if self.rsc[rsc].launcher.is_some() {
            self.constrain_launched(rsc);
        }
        let r = &self.rsc[rsc];
        if r.is(RscFlags::REMOTE_CONNECTION) || r.is(RscFlags::FENCE_DEVICE) {
            self.avoid_remote_nodes(rsc);
        }
    }

    fn avoid_remote_nodes(&mut self, rsc: RscId) {
        for i in 0..self.order.len() {
            let node = self.order[i];
            if self.node[node].connection.is_some() && self.slot(rsc, node).is_some() {
                self.slot_mut(rsc, node).score = -INFINITY;
            }
        }
    }

    fn constrain_launched(&mut self, rsc: RscId) {
        let Some(launcher) = self.rsc[rsc].launcher else {
            return;
        };
        let mut connection = None;
        if self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION) {
            if !self.rsc[rsc].is(RscFlags::REMOTE_NESTING) {
                self.avoid_remote_nodes(launcher);
            }
            // If the guest is found running after all, its connection need not be recovered.
            let flags = Relation::ORDERED;
            self.order_ops((launcher, Word::MONITOR), (rsc, Word::STOP), flags);
        } else if self.rsc[launcher].is(RscFlags::REMOTE_CONNECTION) {
            connection = Some(launcher);
        } else {
            connection = self.launched_connection(launcher);
        }
        if let Some(connection) = connection {
            for i in 0..self.order.len() {
                let node = self.order[i];
                if self.node[node].connection != Some(connection) && self.slot(rsc, node).is_some()
                {
                    self.slot_mut(rsc, node).score = -INFINITY;
                }
            }
            return;
        }
        self.order_ops(
            (launcher, Word::START),
            (rsc, Word::START),
            IMPLIES | BLOCKS,
        );
        let flags = Relation::THEN_IMPLIES_FIRST;
        self.order_ops((rsc, Word::STOP), (launcher, Word::STOP), flags);
        let nested = self.rsc[rsc].is(RscFlags::REMOTE_NESTING);
        self.together(rsc, launcher, if nested { 10_000 } else { INFINITY }, true);
    }

    fn constrain_group(&mut self, rsc: RscId) {
        self.order_ops((rsc, Word::STOP), (rsc, Word::STOPPED), BLOCKS);
        self.order_ops((rsc, Word::STOPPED), (rsc, Word::START), Relation::ORDERED);
        self.order_ops((rsc, Word::START), (rsc, Word::RUNNING), BLOCKS);
        let group = GroupKind {
            ordered: self.group_keeps(rsc, "ordered"),
            promotable: self.rsc[self.top_resource(rsc, false)].is(RscFlags::PROMOTABLE),
        };
        let colocated = self.group_keeps(rsc, "collocated");
        let mut previous = None;
        let mut last_active = None;
        for member in self.rsc[rsc].children.clone() {
            self.internal_constraints(member);
            if let Some(previous) = previous.filter(|_| colocated) {
                let influence = self.rsc[member].is(RscFlags::CRITICAL);
                self.together(member, previous, INFINITY, influence);
            }
            self.constrain_member(rsc, member, previous, group);
            if !self.rsc[member].running_on.is_empty() {
                let idle = previous.is_some_and(|p: RscId| self.rsc[p].running_on.is_empty());
                if let Some(active) = last_active.filter(|_| idle && group.ordered) {
                    let flags = Relation::ORDERED;
                    self.order_ops((member, Word::STOP), (active, Word::STOP), flags);
                }
                last_active = Some(member);
            }
            previous = Some(member);
        }
    }

    /// Whether a group keeps what groups do unless told otherwise.
    pub(crate) fn group_keeps(&self, group: RscId, what: &str) -> bool {
        self.rsc[group]
            .meta(what)
            .is_none_or(|v| crate::text::is_true(Some(v)))
    }

    fn constrain_member(
        &mut self,
        group: RscId,
        member: RscId,
        previous: Option<RscId>,
        kind: GroupKind,
    ) {
        let mut down = GRAPHED;
        let mut downed = THEN_GRAPHED;
        if previous.is_none() && kind.ordered {
            down = down | Relation::ORDERED;
            downed = IMPLIES;
        }
        let up = BLOCKS | IMPLIES | THEN_GRAPHED;
        if kind.promotable {
            self.order_ops((group, Word::DEMOTE), (member, Word::DEMOTE), down);
            self.order_ops((member, Word::DEMOTE), (group, Word::DEMOTED), downed);
            self.order_ops((member, Word::PROMOTE), (group, Word::PROMOTED), up);
            self.order_ops((group, Word::PROMOTE), (member, Word::PROMOTE), GRAPHED);
        }
        self.order_ops((group, Word::STOP), (member, Word::STOP), down);
        self.order_ops((member, Word::STOP), (group, Word::STOPPED), downed);
        self.order_ops((group, Word::START), (member, Word::START), GRAPHED);
        self.order_ops((member, Word::START), (group, Word::RUNNING), up);
        if !kind.ordered {
            let flags = IMPLIES | BLOCKS | GRAPHED;
            self.order_ops((group, Word::START), (member, Word::START), flags);
            if kind.promotable {
                self.order_ops((group, Word::PROMOTE), (member, Word::PROMOTE), flags);
            }
            return;
        }
        let Some(previous) = previous else {
            self.order_ops((group, Word::START), (member, Word::START), Relation::NONE);
            if kind.promotable {
                self.order_ops(
                    (group, Word::PROMOTE),
                    (member, Word::PROMOTE),
                    Relation::NONE,
                );
            }
            return;
        };
        self.order_ops(
            (previous, Word::START),
            (member, Word::START),
            IMPLIES | BLOCKS,
        );
        let flags = Relation::ORDERED | Relation::INTERMEDIATE_STOP;
        self.order_ops((member, Word::STOP), (previous, Word::STOP), flags);
        let running = |p: &Self, r: RscId| !p.rsc[r].running_on.is_empty();
        if running(self, member) && !running(self, previous) {
            let flags = Relation::THEN_IMPLIES_FIRST | BLOCKS;
            self.order_ops((member, Word::STOP), (previous, Word::START), flags);
        }
        if kind.promotable {
            let flags = IMPLIES | BLOCKS;
            self.order_ops((previous, Word::PROMOTE), (member, Word::PROMOTE), flags);
            self.order_ops(
                (member, Word::DEMOTE),
                (previous, Word::DEMOTE),
                Relation::ORDERED,
            );
        }
    }

    fn constrain_clone(&mut self, rsc: RscId) {
        let ordered = Relation::ORDERED;
        self.order_ops((rsc, Word::STOPPED), (rsc, Word::START), ordered);
        self.order_ops((rsc, Word::START), (rsc, Word::RUNNING), BLOCKS);
        self.order_ops((rsc, Word::STOP), (rsc, Word::STOPPED), BLOCKS);
        let promotable = self.rsc[rsc].is(RscFlags::PROMOTABLE);
        if promotable {
            self.order_ops((rsc, Word::DEMOTED), (rsc, Word::STOP), ordered);
            self.order_ops((rsc, Word::RUNNING), (rsc, Word::PROMOTE), BLOCKS);
        }
        let in_order = self.rsc[rsc].clone.as_ref().is_some_and(|c| c.ordered);
        if in_order {
            self.sort_by_number(rsc);
        }
        let instances = self.rsc[rsc].children.clone();
        for (place, &instance) in instances.iter().enumerate() {
            self.internal_constraints(instance);
            self.order_ops(
                (rsc, Word::START),
                (instance, Word::START),
                BLOCKS | GRAPHED,
            );
            self.order_ops((instance, Word::START), (rsc, Word::RUNNING), THEN_GRAPHED);
            self.order_ops((rsc, Word::STOP), (instance, Word::STOP), GRAPHED);
            self.order_ops((instance, Word::STOP), (rsc, Word::STOPPED), THEN_GRAPHED);
            if in_order {
                for &later in &instances[place + 1..] {
                    self.order_ops((instance, Word::START), (later, Word::START), ordered);
                    self.order_ops((later, Word::STOP), (instance, Word::STOP), ordered);
                }
            }
        }
        if promotable {
            self.order_promotions(rsc, in_order);
        }
    }

    pub(crate) fn sort_by_number(&mut self, rsc: RscId) {
        let mut instances = self.rsc[rsc].children.clone();
        instances.sort_by_key(|i| self.instance_number(*i));
        self.rsc[rsc].children = instances;
    }

    fn order_promotable_restart(&mut self, rsc: RscId) {
        let ordered = Relation::ORDERED;
        for then in [Word::START, Word::PROMOTE] {
            self.order_ops((rsc, Word::STOPPED), (rsc, then), ordered);
        }
        for then in [Word::STOP, Word::START, Word::PROMOTE] {
            self.order_ops((rsc, Word::DEMOTED), (rsc, then), ordered);
        }
        self.order_ops((rsc, Word::RUNNING), (rsc, Word::PROMOTE), ordered);
        self.order_ops((rsc, Word::DEMOTE), (rsc, Word::DEMOTED), ordered);
    }

    fn order_promotions(&mut self, clone: RscId, in_order: bool) {
        self.order_promotable_restart(clone);
        let ordered = Relation::ORDERED;
        let mut last = None;
        for instance in self.rsc[clone].children.clone() {
            self.order_ops((instance, Word::DEMOTE), (instance, Word::PROMOTE), ordered);
            self.order_ops((clone, Word::PROMOTE), (instance, Word::PROMOTE), ordered);
            self.order_ops((instance, Word::PROMOTE), (clone, Word::PROMOTED), ordered);
            if let Some(last) = last.filter(|_| in_order) {
                self.order_ops((last, Word::PROMOTE), (instance, Word::PROMOTE), ordered);
            }
            self.order_ops((clone, Word::DEMOTE), (instance, Word::DEMOTE), GRAPHED);
            self.order_ops(
                (instance, Word::DEMOTE),
                (clone, Word::DEMOTED),
                THEN_GRAPHED,
            );
            if let Some(last) = last.filter(|_| in_order) {
                self.order_ops((instance, Word::DEMOTE), (last, Word::DEMOTE), ordered);
            }
            last = Some(instance);
        }
    }

    fn constrain_replica(&mut self, bundle: RscId, replica: Replica) {
        let container = replica.container;
        self.internal_constraints(container);
        self.order_ops(
            (bundle, Word::START),
            (container, Word::START),
            BLOCKS | GRAPHED,
        );
        if let Some(child) = replica.child {
            self.order_ops((bundle, Word::STOP), (child, Word::STOP), GRAPHED);
        }
        self.order_ops((bundle, Word::STOP), (container, Word::STOP), GRAPHED);
        self.order_ops(
            (container, Word::START),
            (bundle, Word::RUNNING),
            THEN_GRAPHED,
        );
        self.order_ops(
            (container, Word::STOP),
            (bundle, Word::STOPPED),
            THEN_GRAPHED,
        );
        if let Some(ip) = replica.ip {
            self.internal_constraints(ip);
            let flags = BLOCKS | Relation::GUEST_ALLOWED;
            self.order_ops((ip, Word::START), (container, Word::START), flags);
            let flags = Relation::THEN_IMPLIES_FIRST | Relation::GUEST_ALLOWED;
            self.order_ops((container, Word::STOP), (ip, Word::STOP), flags);
            self.together(ip, container, INFINITY, true);
        }
        if let Some(remote) = replica.remote {
            self.internal_constraints(remote);
        }
    }

    fn constrain_bundle(&mut self, rsc: RscId) {
        let Some(bundle) = self.rsc[rsc].bundle.clone() else {
            return;
        };
        for replica in &bundle.replicas {
            self.constrain_replica(rsc, *replica);
        }
        let Some(child) = bundle.child else {
            return;
        };
        self.order_ops((rsc, Word::START), (child, Word::START), GRAPHED);
        self.order_ops((child, Word::RUNNING), (rsc, Word::RUNNING), THEN_GRAPHED);
        self.order_ops((rsc, Word::STOP), (child, Word::STOP), GRAPHED);
        self.order_ops((child, Word::STOPPED), (rsc, Word::STOPPED), THEN_GRAPHED);
        self.internal_constraints(child);
        if !self.rsc[child].is(RscFlags::PROMOTABLE) {
            return;
        }
        self.order_promotable_restart(rsc);
        for (start, done) in [
            (Word::DEMOTE, Word::DEMOTED),
            (Word::PROMOTE, Word::PROMOTED),
        ] {
            self.order_ops((rsc, start), (child, start), GRAPHED);
            self.order_ops((child, done), (rsc, done), THEN_GRAPHED);
        }
    }

    fn order_restart_around_unfencing(&mut self, rsc: RscId, node: crate::ids::NodeId) {
        let unfence = self.fence_op(node, Some("on"), true, false);
        let flags = Relation::ORDERED | Relation::ON_SAME_NODE;
        self.order(Side::op(rsc, Word::STOP), Self::side(unfence), flags);
        let flags = Relation::FIRST_IMPLIES_SAME_NODE_THEN | Relation::ON_SAME_NODE;
        self.order(Self::side(unfence), Side::op(rsc, Word::START), flags);
    }
}
