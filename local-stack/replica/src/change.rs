//! Changes, and how each of them changes the CIB. The same change on the same copy gives the same copy
//! on every node: nothing here looks at anything else.

use cib::{Cib, OperationRecord, Section, Version};
use serde::{Deserialize, Serialize};

use crate::record;
use crate::words::OrderId;

/// A node by both its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct NodeRef {
    /// The name people use.
    pub uname: String,
    /// The identifier in the CIB.
    pub id: String,
}

/// How a failure is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// One more.
    Counted,
    /// As many as there can be.
    Fatal,
}

/// An operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The order.
    pub order: OrderId,
    /// Where.
    pub node: NodeRef,
    /// What is written.
    pub record: OperationRecord,
    /// The result is what the transition expected.
    pub success: bool,
    /// It is counted as a failure.
    pub failure: Option<Failure>,
    /// Seconds since the epoch at that node.
    pub wall_s: i64,
}

/// A change of the CIB, or news that belong into the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// An operation ended.
    Ended(Box<Ended>),
    /// A recurring operation is gone.
    Cancelled {
        /// The order to cancel it.
        order: OrderId,
        /// Where.
        node: NodeRef,
        /// Whose.
        resource: String,
        /// The record's id.
        record: String,
    },
    /// An order was not carried out, and nothing was done.
    NotDone {
        /// The order.
        order: OrderId,
        /// Why.
        why: String,
    },
    /// A transient attribute of a node; none: removed.
    Attribute {
        /// The node.
        node: NodeRef,
        /// Its name.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// What is known of a resource on a node is forgotten, its failures too if so.
    Forget {
        /// The node.
        node: NodeRef,
        /// The resource.
        resource: String,
        /// The failures too.
        failures: bool,
    },
    /// Failures of a resource on a node are forgotten.
    ClearFailures {
        /// The node.
        node: NodeRef,
        /// The resource.
        resource: String,
    },
    /// Every node is to forget and probe again.
    Cleanup {
        /// One resource; none for all.
        resource: Option<String>,
    },
    /// A node is certain to be down: it was fenced.
    Fenced {
        /// The node.
        node: NodeRef,
        /// The order that this answers, if there was one.
        order: Option<OrderId>,
    },
    /// A node may go: everything on it is stopped, and nobody is to fence it.
    Leave {
        /// The node.
        node: NodeRef,
    },
    /// What readers see of tickets: name, granted, standby.
    Tickets(Vec<(String, bool, bool)>),
    /// Nodes that the configuration does not name yet.
    Nodes(Vec<NodeRef>),
    /// The configuration is replaced by that of this CIB, whose version must not be older.
    Replace {
        /// A `<cib>`.
        cib: String,
        /// Why it is to be done without quorum.
        forced: Option<String>,
    },
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It is in the CIB.
    Done,
    /// Nothing changed, and why.
    Refused(String),
}

impl Change {
    /// It changes the configuration: it needs quorum, and is durable before it is acknowledged.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Nodes(_) | Self::Replace { .. })
    }

    /// The reason for which it may be made without quorum.
    pub(crate) fn forced(&self) -> Option<&str> {
        match self {
            Self::Replace { forced, .. } => forced.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn apply(&self, cib: &mut Cib) -> Applied {
        match self {
            Self::Ended(ended) => ended.apply(cib),
            Self::Cancelled {
                node,
                resource,
                record,
                ..
            } => cib.forget_operation(&node.id, resource, record),
            Self::NotDone { .. } | Self::Cleanup { .. } => {}
            Self::Attribute { node, name, value } => {
                cib.set_transient_attribute(&node.id, &node.uname, name, value.as_deref());
            }
            Self::Forget {
                node,
                resource,
                failures,
            } => {
                cib.forget_resource(&node.id, resource);
                if *failures {
                    record::clear_failures(cib, node, resource);
                }
            }
            Self::ClearFailures { node, resource } => {
                record::clear_failures(cib, node, resource);
            }
            Self::Fenced { node, .. } => {
                cib.clear_node_status(&node.id);
                cib.set_node_down(&node.id, &node.uname);
            }
            Self::Leave { node } => leave(cib, node),
            Self::Tickets(tickets) => {
                for (ticket, granted, standby) in tickets {
                    cib.set_ticket_state(ticket, *granted, *standby);
                }
            }
            Self::Nodes(nodes) => add_nodes(cib, nodes),
            Self::Replace { cib: text, .. } => return replace(cib, text),
        }
        Applied::Done
    }
}

impl Ended {
    fn apply(&self, cib: &mut Cib) {
        let Self { node, record, .. } = self;
        if is_newer_known(cib, &node.id, record) {
            return;
        }
        cib.record_operation(&node.id, &node.uname, record);
        let Some(failure) = self.failure else {
            return;
        };
        let (resource, operation) = (&record.resource, &record.operation);
        let name = record::fail_count_name(resource, operation, record.interval_ms);
        let value = record::counted(cib, &node.id, &name, failure == Failure::Fatal);
        cib.set_transient_attribute(&node.id, &node.uname, &name, Some(&value));
        let name = record::last_failure_name(resource, operation, record.interval_ms);
        let at = self.wall_s.to_string();
        cib.set_transient_attribute(&node.id, &node.uname, &name, Some(&at));
    }
}

/// A later operation of the same kind is on record already: a late result does not overwrite it.
fn is_newer_known(cib: &Cib, node: &str, record: &OperationRecord) -> bool {
    let id = record.id();
    let known = || {
        let status = cib.section(Section::Status)?;
        let state = status.children().find(|state| state.id() == node)?;
        let resources = state.child("lrm")?.child("lrm_resources")?;
        let resource = resources.children().find(|r| r.id() == record.resource)?;
        let operation = resource.children().find(|op| op.id() == id)?;
        operation.attr("call-id")?.parse::<i32>().ok()
    };
    known().is_some_and(|call| call > record.call_id)
}

fn leave(cib: &mut Cib, node: &NodeRef) {
    let state = cib.node_state(&node.id, &node.uname);
    for (name, value) in [("join", "down"), ("expected", "down"), ("crmd", "offline")] {
        cib.document_mut().set_attr(state, name, value);
    }
    cib.bump_updates();
}

fn add_nodes(cib: &mut Cib, nodes: &[NodeRef]) {
    let section = cib.section_or_append(Section::Nodes);
    let mut added = false;
    for node in nodes {
        let known = cib
            .document()
            .element(section)
            .children()
            .any(|known| known.attr("uname") == Some(node.uname.as_str()));
        if !known {
            let document = cib.document_mut();
            let element = document.child_with_id(section, "node", &node.id);
            document.set_attr(element, "uname", &node.uname);
            added = true;
        }
    }
    if added {
        cib.bump_epoch();
    }
}

fn replace(cib: &mut Cib, text: &str) -> Applied {
    let mut new = match Cib::parse(text, None) {
        Ok(new) => new,
        Err(error) => return Applied::Refused(error.to_string()),
    };
    let (present, offered) = (cib.version(), new.version());
    let known = (present.admin_epoch, present.epoch);
    if (offered.admin_epoch, offered.epoch) < known {
        return Applied::Refused(format!(
            "version {offered} is older than {present}, which is in force"
        ));
    }
    if (offered.admin_epoch, offered.epoch) == known {
        new.set_version(Version {
            epoch: present.epoch + 1,
            num_updates: 0,
            ..present
        });
    }
    take_status(&mut new, cib);
    for name in ["have-quorum", "dc-uuid"] {
        if let Some(value) = cib.root().attr(name) {
            let root = new.root().key();
            new.document_mut().set_attr(root, name, value);
        }
    }
    *cib = new;
    Applied::Done
}

/// Gives a CIB the status section of another.
fn take_status(cib: &mut Cib, other: &Cib) {
    if let Some(status) = cib.section(Section::Status).map(|status| status.key()) {
        cib.document_mut().remove(status);
    }
    if let Some(status) = other.section(Section::Status) {
        let root = cib.root().key();
        let source = other.document();
        cib.document_mut().append_copy(root, source, status.key());
    }
}
