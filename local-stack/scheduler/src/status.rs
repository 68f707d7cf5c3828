//! The state of a cluster as its CIB tells it, for people and tools.

use crate::ids::{Id as _, NodeId, RscId};
use crate::model::{Role, RscFlags, Variant};
use crate::plan::Plan;

/// What nodes and resources are now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Every node, by name.
    pub nodes: Vec<NodeStatus>,
    /// Every resource that is not part of another, by priority and as configured.
    pub resources: Vec<ResourceStatus>,
}

/// What kind of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeRole {
    /// Runs the stack.
    Member,
    /// Is reached over a connection.
    Remote,
    /// Is itself a resource, such as a virtual machine or a container.
    Guest,
}

/// The state of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent")]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its identifier in the CIB.
    pub id: String,
    /// Whether it coordinates the cluster.
    pub is_dc: bool,
    /// Whether it is meant to be up.
    pub expected_up: bool,
    /// How many resources are active there.
    pub running: usize,
    /// Its attributes, by name.
    pub attributes: Vec<(String, String)>,
    /// What it runs in, of a guest.
    pub launcher: Option<String>,
    /// What kind it is.
    pub role: NodeRole,
    /// Whether it is up.
    pub online: bool,
    /// Whether its state must be made certain by fencing.
    pub unclean: bool,
    /// Whether it is about to join.
    pub pending: bool,
    /// Whether it shall run nothing.
    pub standby: bool,
    /// Whether it shall run nothing because something failed.
    pub standby_on_fail: bool,
    /// Whether nothing is to be touched there.
    pub maintenance: bool,
    /// Whether it is going to leave.
    pub shutdown: bool,
    /// Whether anything is active there.
    pub busy: bool,
    /// `yellow` or `red` if its health is impaired.
    pub health: Option<&'static str>,
}

/// What kind of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceKind {
    /// One resource with an agent (class, provider, type).
    Primitive(String, Option<String>, String),
    /// Resources that are together.
    Group,
    /// Instances of something.
    Clone {
        /// What is cloned.
        of: String,
        /// Whether instances can be promoted.
        promotable: bool,
        /// How many instances there shall be.
        max: i32,
        /// Nodes where an instance could be.
        allowed: Vec<usize>,
    },
    /// Containers with a resource in each.
    Bundle {
        /// What the containers are made from.
        image: String,
    },
}

/// The state of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent")]
pub struct ResourceStatus {
    /// The name to show.
    pub id: String,
    /// The name with the number of the instance.
    pub instance: String,
    /// What it is.
    pub kind: ResourceKind,
    /// `Stopped`, `Started`, `Unpromoted`, `Promoted`.
    pub role: &'static str,
    /// Where it is active: places in [`Status::nodes`].
    pub nodes: Vec<usize>,
    /// Where it is best said to be.
    pub node: Option<usize>,
    /// Whether instances are distinct.
    pub unique: bool,
    /// Whether it is left alone.
    pub managed: bool,
    /// Whether it is in maintenance.
    pub maintenance: bool,
    /// Whether nothing may be done because a failure blocks it.
    pub blocked: bool,
    /// Whether it failed.
    pub failed: bool,
    /// Whether its failures do not count.
    pub failure_ignored: bool,
    /// Whether it is no longer configured.
    pub removed: bool,
    /// Whether any (all) of it is active.
    pub active: (bool, bool),
    /// What `target-role` says.
    pub target_role: Option<String>,
    /// What is under way.
    pub pending: Option<String>,
    /// Nodes where a probe found that it cannot be run, with the exit code.
    pub failed_probes: Vec<(usize, i64)>,
    /// An address that it is reached at (of an instance in a container).
    pub address: Option<String>,
    /// What it consists of.
    pub members: Vec<Self>,
    /// Of a replica in a container: its address, what is in it, the container, the connection to it.
    pub parts: Vec<Self>,
}

impl<'a> Plan<'a> {
    pub(crate) fn status(&self) -> Status {
        let top = self.top.iter().filter(|r| {
            let resource = &self.rsc[**r];
            // A guest's own connection says no more than the guest.
            let implied = resource.is(RscFlags::REMOTE_CONNECTION) && resource.launcher.is_some();
            !implied && (!resource.is(RscFlags::REMOVED) || self.is_active(**r, false))
        });
        Status {
            nodes: self.order.iter().map(|n| self.node_status(*n)).collect(),
            resources: top.map(|r| self.resource_status(*r)).collect(),
        }
    }

    fn node_status(&self, node: NodeId) -> NodeStatus {
        let n = &self.node[node];
        let role = if self.is_guest(node) {
            NodeRole::Guest
        } else if self.is_remote_kind(node) {
            NodeRole::Remote
        } else {
            NodeRole::Member
        };
        let health: Vec<&str> = n
            .attrs
            .iter()
            .filter(|(name, _)| name.starts_with("#health"))
            .map(|(_, value)| value.as_ref())
            .collect();
        let impaired = |color: &str| health.iter().any(|h| h.eq_ignore_ascii_case(color));
        NodeStatus {
            name: n.name.to_owned(),
            id: n.id.to_owned(),
            is_dc: n.is_dc,
            expected_up: n.expected_up,
            running: n.running.len(),
            attributes: n
                .attrs
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            launcher: (self.guest_launcher(node)).map(|r| self.rsc[r].id.to_string()),
            role,
            online: n.online,
            unclean: n.unclean,
            pending: n.pending,
            standby: n.standby,
            standby_on_fail: n.standby_on_fail,
            maintenance: n.maintenance,
            shutdown: n.shutdown,
            busy: !n.running.is_empty(),
            health: match self.health(node) {
                0.. => None,
                _ if impaired("red") => Some("red"),
                _ => Some("yellow"),
            },
        }
    }

    fn places(&self, nodes: &[NodeId]) -> Vec<usize> {
        let place = |n: &NodeId| self.order.iter().position(|o| o == n);
        nodes.iter().filter_map(place).collect()
    }

    fn resource_kind(&self, rsc: RscId) -> ResourceKind {
        let r = &self.rsc[rsc];
        match (r.variant, &r.clone) {
            (Variant::Clone, Some(clone)) => {
                let of = r.children.first().map_or("", |c| self.rsc[*c].xml_id);
                let known = |n: &NodeId| r.children.iter().any(|c| self.known_below(*c, *n));
                let anywhere = r.allowed.iter().any(|slot| slot.present);
                let allowed = self.order.iter().enumerate().filter(|(_, n)| {
                    let slot = r.allowed.get(n.at()).is_some_and(|slot| slot.present);
                    if anywhere { slot } else { known(n) }
                });
                ResourceKind::Clone {
                    of: of.to_owned(),
                    promotable: r.is(RscFlags::PROMOTABLE),
                    max: clone.max,
                    allowed: allowed.map(|(place, _)| place).collect(),
                }
            }
            (Variant::Bundle, _) => {
                let container = r.xml.children().find(|c| c.attr("image").is_some());
                let image = container.and_then(|c| c.attr("image")).unwrap_or("");
                ResourceKind::Bundle {
                    image: image.to_owned(),
                }
            }
            (Variant::Group, _) => ResourceKind::Group,
            _ => {
                let provider = r.provider.map(str::to_owned);
                ResourceKind::Primitive(r.class.to_owned(), provider, r.kind.to_owned())
            }
        }
    }

    fn known_below(&self, rsc: RscId, node: NodeId) -> bool {
        let r = &self.rsc[rsc];
        r.known_on.contains(&node) || r.children.iter().any(|c| self.known_below(*c, node))
    }

    fn failed_probes(&self, rsc: RscId) -> Vec<(usize, i64)> {
        let mut list = Vec::new();
        for (node, of, element) in &self.failed {
            let about = *of == rsc || self.rsc[rsc].children.contains(of);
            let place = self.order.iter().position(|o| o == node);
            let entry = crate::unpack::Entry::read(*of, *node, *element);
            if let (true, Some(place), Some(entry)) = (about, place, entry)
                && entry.is_masked_probe()
            {
                list.push((place, crate::failcount::exit_code(*element).unwrap_or(0)));
            }
        }
        list
    }

    fn resource_status(&self, rsc: RscId) -> ResourceStatus {
        let r = &self.rsc[rsc];
        let bundle = r.bundle.as_ref();
        let members = match bundle {
            Some(bundle) => bundle
                .replicas
                .iter()
                .map(|p| self.replica_status(rsc, *p))
                .collect(),
            None => r
                .children
                .iter()
                .map(|c| self.resource_status(*c))
                .collect(),
        };
        let role = match self.role(rsc, true) {
            Role::Started if self.rsc[self.top_resource(rsc, false)].is(RscFlags::PROMOTABLE) => {
                Role::Unpromoted
            }
            role => role,
        };
        let in_clone = self.is_clone(self.top_resource(rsc, false));
        let plain = r.variant == Variant::Primitive;
        let id = if in_clone && !r.is(RscFlags::UNIQUE) && plain {
            r.xml_id
        } else {
            &r.id
        };
        ResourceStatus {
            id: id.to_owned(),
            instance: r.id.to_string(),
            kind: self.resource_kind(rsc),
            role: role.name(),
            nodes: self.places(&self.locations(rsc, true)),
            node: self
                .current_node(rsc)
                .or(r.pending_node)
                .and_then(|n| self.places(&[n]).first().copied()),
            unique: r.is(RscFlags::UNIQUE),
            managed: r.is(RscFlags::MANAGED),
            maintenance: r.is(RscFlags::MAINTENANCE),
            blocked: r.is(RscFlags::BLOCKED),
            failed: r.is(RscFlags::FAILED),
            failure_ignored: r.is(RscFlags::IGNORE_FAILURE),
            removed: r.is(RscFlags::REMOVED),
            active: (self.is_active(rsc, false), self.is_active(rsc, true)),
            target_role: r.meta("target-role").map(str::to_owned),
            pending: r.pending_task.map(str::to_owned),
            failed_probes: self.failed_probes(rsc),
            address: None,
            members,
            parts: Vec::new(),
        }
    }

    /// A replica under the name of its node, at the place of its container.
    fn replica_status(&self, bundle: RscId, replica: crate::model::Replica) -> ResourceStatus {
        let mut status = self.resource_status(replica.child.unwrap_or(replica.container));
        let shown = replica.remote.unwrap_or(replica.container);
        shown_id(&mut status, &self.rsc[shown].id);
        let parts = [
            replica.ip,
            replica.child,
            Some(replica.container),
            replica.remote,
        ];
        status.parts = parts
            .into_iter()
            .flatten()
            .map(|part| self.resource_status(part))
            .collect();
        let host = self.current_node(replica.container);
        status.node = host.and_then(|n| self.places(&[n]).first().copied());
        status.address = replica
            .child
            .and_then(|c| self.rsc[c].meta("external-ip"))
            .map(str::to_owned)
            .or_else(|| self.replica_address(bundle, replica));
        status
    }

    fn replica_address(&self, _: RscId, replica: crate::model::Replica) -> Option<String> {
        let ip = replica.ip?;
        let pairs = self.rsc[ip].xml.descendants();
        let mut address = pairs.filter(|p| p.name() == "nvpair" && p.attr("name") == Some("ip"));
        address.next()?.attr("value").map(str::to_owned)
    }
}

fn shown_id(status: &mut ResourceStatus, id: &str) {
    id.clone_into(&mut status.id);
}
