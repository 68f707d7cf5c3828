//! Node attributes and cluster options: `crm_attribute` and its companions.
//!
//! Transient attributes are set by the local stack (or in the status of a file); everything else is
//! configuration, and changed as such.

mod options;
mod store;
mod updater;

pub(crate) use options::{crm_attribute, crm_failcount, crm_master, crm_standby};
pub(crate) use updater::attrd_updater;

use crate::exit::{self, Failure};
use crate::{live, source};

/// Which attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Where it is kept.
    pub(crate) scope: Scope,
    /// Its name.
    pub(crate) name: String,
    /// Its block, if one is named.
    pub(crate) set: Option<String>,
}

/// Where an attribute is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// With the node's state; gone when the node leaves.
    Transient(String),
    /// With the node.
    Node(String),
    /// With the node's capacities.
    Utilization(String),
    /// With one of the cluster's own sections: `crm_config`, `rsc_defaults`, `op_defaults`.
    Section(&'static str),
}

impl Scope {
    /// What it is called in an answer.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Transient(_) => "status",
            Self::Node(_) | Self::Utilization(_) => "nodes",
            Self::Section(name) => name,
        }
    }

    /// The node it is about.
    pub(crate) fn node(&self) -> Option<&str> {
        match self {
            Self::Transient(node) | Self::Node(node) | Self::Utilization(node) => Some(node),
            Self::Section(_) => None,
        }
    }
}

/// This node's name: as the executor tells agents, or as the local stack knows itself.
///
/// # Errors
/// There is neither.
pub(crate) fn own_node(place: &str) -> Result<String, Failure> {
    if let Some(name) = source::variable("OCF_RESKEY_CRM_meta_on_node") {
        return Ok(name);
    }
    if live::is(place) {
        return live::status(place).map(|status| status.node);
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map(|name| name.trim().to_owned())
        .map_err(|e| Failure::new(exit::NO_SUCH, format!("this node's name is not known: {e}")))
}
