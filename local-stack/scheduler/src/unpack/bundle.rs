//! Bundles and their replicas.

use std::borrow::Cow;

use cib::Element;

use crate::expand::{INNER, REPLICA};
use crate::ids::{Id as _, NodeId, RscId};
use crate::model::{BundleData, NodeKind, ProbeMode, Replica, RscFlags, Slot};
use crate::plan::Plan;
use crate::text;

/// The score with which a replica's node draws the instance it is made for.
const REPLICA_SCORE: i32 = 500;

impl<'a> Plan<'a> {
    pub(crate) fn unpack_bundle(&mut self, rsc: RscId) -> bool {
        let element = self.rsc[rsc].xml;
        let Some((_, per_host, _, _)) = crate::expand_bundle::counts(element) else {
            return false;
        };
        let number = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
        if per_host == 1 {
            self.rsc[rsc].flags.clear(RscFlags::UNIQUE);
        }
        let mut replicas = element.children_named(REPLICA).peekable();
        if replicas.peek().is_none() {
            return false;
        }
        let child = match element.child(INNER) {
            Some(clone) => match self.unpack_resource(clone, Some(rsc), None) {
                Some(child) => Some(child),
                None => return false,
            },
            None => None,
        };
        let instances = child
            .map(|c| self.rsc[c].children.clone())
            .unwrap_or_default();
        for instance in &instances {
            self.rsc[*instance].flags.set(RscFlags::EXCLUSIVE_PROBES);
            if let Some(child) = child {
                self.take_over(rsc, child, *instance);
            }
        }
        let mut data = BundleData {
            replicas: Vec::new(),
            per_host: number(per_host),
            child,
        };
        for (offset, element) in replicas.enumerate() {
            let instance = instances.get(offset).copied();
            let Some(replica) = self.unpack_replica(rsc, element, instance) else {
                return false;
            };
            data.replicas.push(replica);
        }
        self.rsc[rsc].bundle = Some(Box::new(data));
        self.rsc[rsc].children.extend(child);
        true
    }

    /// What an instance's configuration says about the bundle.
    fn take_over(&mut self, bundle: RscId, child: RscId, instance: RscId) {
        if self.rsc[instance].is(RscFlags::NOTIFY) {
            self.rsc[child].flags.set(RscFlags::NOTIFY);
        }
        let name = "container-attribute-target";
        if let Some(value) = self.rsc[instance].meta.get(name).cloned() {
            for r in [bundle, child] {
                self.rsc[r].meta.insert(Cow::Borrowed(name), value.clone());
            }
        }
    }

    fn unpack_replica(
        &mut self,
        bundle: RscId,
        element: Element<'a>,
        child: Option<RscId>,
    ) -> Option<Replica> {
        let mut replica = Replica {
            container: bundle,
            ip: None,
            remote: None,
            child,
            node: None,
        };
        for part in element.children_named("primitive") {
            match part.attr("type") {
                Some("IPaddr2") => {
                    let ip = self.unpack_resource(part, Some(bundle), None)?;
                    self.rsc[bundle].children.push(ip);
                    replica.ip = Some(ip);
                }
                Some("remote") => {
                    let node = self.replica_node(part.id(), child?);
                    let remote = self.unpack_resource(part, Some(bundle), None)?;
                    self.tie_replica(node, remote, replica.container);
                    self.rsc[bundle].children.push(remote);
                    replica.node = Some(node);
                    replica.remote = Some(remote);
                }
                _ => {
                    let container = self.unpack_resource(part, Some(bundle), None)?;
                    self.rsc[container].flags.set(RscFlags::REPLICA_CONTAINER);
                    self.rsc[bundle].children.push(container);
                    replica.container = container;
                }
            }
        }
        if let Some(child) = child {
            if let Some(address) = element.attr("address") {
                let meta = &mut self.rsc[child].meta;
                meta.insert(Cow::Borrowed("external-ip"), Cow::Borrowed(address));
            }
            let used = std::mem::take(&mut self.rsc[child].utilization);
            self.rsc[replica.container].utilization = used;
        }
        Some(replica)
    }

    /// The node inside a replica; nothing but the replica's instance may run there.
    fn replica_node(&mut self, name: &'a str, child: RscId) -> NodeId {
        let node = match self.find_node(name) {
            Some(node) => node,
            None => self.create_node(name, name, NodeKind::Remote, -text::INFINITY),
        };
        let n = &mut self.node[node];
        n.weight = -text::INFINITY;
        n.probe_mode = ProbeMode::Never;
        for top in self.top.clone() {
            for r in self.with_descendants(top) {
                if let Some(slot) = self.rsc[r].allowed.get_mut(node.at()).filter(|s| s.present) {
                    slot.score = -text::INFINITY;
                    slot.probe_mode = ProbeMode::Never;
                }
            }
        }
        let only = |score| Slot {
            present: true,
            score,
            count: 0,
            probe_mode: ProbeMode::Exclusive,
        };
        let count = self.node.len();
        let allowed = &mut self.rsc[child].allowed;
        allowed.clear();
        allowed.resize(count, Slot::default());
        allowed[node.at()] = only(REPLICA_SCORE);
        if let Some(parent) = self.rsc[child].parent {
            self.slot_mut(parent, node);
            self.rsc[parent].allowed[node.at()] = only(-text::INFINITY);
        }
        node
    }

    fn tie_replica(&mut self, node: NodeId, remote: RscId, container: RscId) {
        for i in 0..self.order.len() {
            let other = self.order[i];
            if self.is_remote_kind(other)
                && let Some(slot) = self.rsc[remote].allowed.get_mut(other.at())
                && slot.present
            {
                slot.score = -text::INFINITY;
            }
        }
        self.node[node].connection = Some(remote);
        let r = &mut self.rsc[remote];
        r.launcher = Some(container);
        r.flags.set(RscFlags::REMOTE_NESTING);
        self.node[node]
            .attrs
            .insert(Cow::Borrowed("#kind"), Cow::Borrowed("container"));
    }
}
