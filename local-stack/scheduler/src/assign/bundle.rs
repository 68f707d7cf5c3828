//! Assigning a bundle: containers first, then what belongs to them.

use crate::constraint::NewColocation;
use crate::failcount::Counting;
use crate::ids::{ColId, NodeId, RscId};
use crate::model::{Replica, Role, RscFlags};
use crate::plan::Plan;
use crate::text::INFINITY;

impl<'a> Plan<'a> {
    pub(super) fn assign_bundle(&mut self, rsc: RscId, stop_if_fail: bool) -> Option<NodeId> {
        self.rsc[rsc].flags.set(RscFlags::ASSIGNING);
        let bundle = self.rsc[rsc].bundle.as_ref()?;
        let (replicas, child) = (bundle.replicas.clone(), bundle.child);
        self.note_weights(rsc, "pcmk__bundle_assign");
        let mut containers = self.instances(rsc);
        self.sort_instances(&mut containers);
        let total = i32::try_from(replicas.len()).unwrap_or(i32::MAX);
        let per_host = self.max_per_node(rsc);
        self.assign_instances(rsc, &containers, total, per_host);
        for replica in &replicas {
            self.assign_replica(*replica, stop_if_fail);
        }
        if let Some(child) = child {
            for i in 0..self.order.len() {
                let node = self.order[i];
                if self.slot(child, node).is_some() {
                    let ours = replicas.iter().any(|r| r.node == Some(node));
                    self.slot_mut(child, node).score = if ours { 0 } else { -INFINITY };
                }
            }
            self.assign(child, None, stop_if_fail);
        }
        self.rsc[rsc]
            .flags
            .clear(RscFlags::ASSIGNING | RscFlags::UNASSIGNED);
        None
    }

    fn assign_replica(&mut self, replica: Replica, stop_if_fail: bool) {
        if let Some(ip) = replica.ip {
            self.assign(ip, None, stop_if_fail);
        }
        if let Some(remote) = replica.remote {
            let host = self.rsc[replica.container].assigned;
            if let Some(connection) = host
                .filter(|h| self.is_remote_kind(*h))
                .and_then(|h| self.node[h].connection)
            {
                // A connection within a remote node must be where that node's connection is.
                self.new_colocation(NewColocation {
                    attribute: None,
                    score: INFINITY,
                    dependent: remote,
                    primary: connection,
                    dependent_role: Role::Unknown,
                    primary_role: Role::Unknown,
                    influence: true,
                    explicit: false,
                });
            }
            self.assign(remote, None, stop_if_fail);
        }
        let Some(child) = replica.child else {
            return;
        };
        for i in 0..self.order.len() {
            let node = self.order[i];
            if self.slot(child, node).is_none() {
                continue;
            }
            if Some(node) != replica.node {
                self.slot_mut(child, node).score = -INFINITY;
            } else if self.threshold_reached(child, node).is_none() {
                self.slot_mut(child, node).score = INFINITY;
            }
        }
        let Some(parent) = self.rsc[child].parent else {
            return;
        };
        self.rsc[parent].flags.set(RscFlags::ASSIGNING);
        self.assign(child, replica.node, stop_if_fail);
        self.rsc[parent].flags.clear(RscFlags::ASSIGNING);
    }

    /// The resource to ban from a node where it has failed too often.
    pub(crate) fn threshold_reached(&mut self, rsc: RscId, node: NodeId) -> Option<(RscId, i32)> {
        let threshold = self.rsc[rsc].migration_threshold;
        if threshold == 0 || self.rsc[rsc].is(RscFlags::IGNORE_FAILURE) {
            return None;
        }
        let counting = Counting {
            effective: true,
            launched: true,
        };
        let count = self.failcount(node, rsc, counting, None).0;
        if count <= 0 || threshold > count {
            return None;
        }
        let unique = self.rsc[rsc].is(RscFlags::UNIQUE);
        let failed = if unique {
            rsc
        } else {
            self.top_resource(rsc, false)
        };
        Some((failed, count))
    }

    fn bundle_host(&self, node: NodeId) -> Option<NodeId> {
        if !self.is_bundle_node(node) {
            return Some(node);
        }
        self.guest_launcher(node)
            .and_then(|l| self.location(l, false))
    }

    fn compatible_container(&self, dependent: RscId, bundle: RscId) -> Option<RscId> {
        let containers = self.instances(bundle);
        let find = |node: NodeId| {
            let mut all = containers.iter().copied();
            all.find(|c| self.instance_matches(*c, node, Role::Unknown, false))
        };
        let place = self
            .location(dependent, false)
            .and_then(|n| self.bundle_host(n));
        if let Some(node) = place {
            return find(node);
        }
        let nodes = self.sorted_nodes(dependent, None).into_iter();
        nodes
            .filter_map(|(n, _)| self.bundle_host(n))
            .find_map(find)
    }

    pub(super) fn apply_with_bundle(&mut self, dependent: RscId, bundle: RscId, id: ColId) -> i32 {
        if self.rsc[bundle].is(RscFlags::UNASSIGNED) {
            return 0;
        }
        let (score, role, whole) = {
            let col = &self.col[id];
            (col.score, col.primary_role, col.dependent)
        };
        if self.is_collective_of_instances(whole) {
            match self.compatible_container(dependent, bundle) {
                Some(container) => return self.apply_colocation(dependent, container, id, true),
                None if score >= INFINITY => {
                    self.give(dependent, None, true, true);
                }
                None => {}
            }
            return 0;
        }
        let replicas = self.rsc[bundle]
            .bundle
            .as_ref()
            .map(|b| b.replicas.clone())
            .unwrap_or_default();
        let mut sum = 0;
        let mut places = Vec::new();
        let unblocked = self.unblocked_places(bundle);
        for replica in replicas {
            if score < INFINITY {
                sum += self.apply_colocation(dependent, replica.container, id, false);
                continue;
            }
            let promoted = replica
                .child
                .is_some_and(|c| self.rsc[c].next_role >= Role::Promoted);
            let place = self.location(replica.container, false);
            if let Some(place) = place
                && (role < Role::Promoted || promoted)
            {
                places.extend(unblocked.iter().copied().filter(|(n, _)| *n == place));
            }
        }
        if score >= INFINITY {
            self.intersect_nodes(dependent, &places, false);
        }
        sum
    }
}
