//! The answer: a graph of actions to execute.

use std::sync::Arc;

use crate::attributes::Attributes;

/// A transition: actions, and which of them must be confirmed before which.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transition {
    /// Every action, in the order of their output; one per synapse.
    pub synapses: Vec<Synapse>,
    /// Allowance for the way to a node and back, added to each action's timeout; as configured.
    pub cluster_delay: String,
    /// Default time for fencing, as configured.
    pub fencing_timeout: String,
    /// Whether a failed start counts as many failures as there can be.
    pub start_failure_is_fatal: bool,
    /// Most actions under way at once; 0 leaves it to the controller.
    pub batch_limit: u32,
    /// Most live migrations per node at once; -1 is unlimited.
    pub migration_limit: i32,
    /// Seconds since the epoch when the answer may change by itself.
    pub recheck_by: Option<i64>,
    /// What is wrong with the configuration, one line each.
    pub diagnostics: Vec<String>,
}

/// One action and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synapse {
    /// Of several that can fire, the greater goes first.
    pub priority: i32,
    /// The action.
    pub action: Action,
    /// Identifiers ([`Action::id`]) of the actions that must be confirmed first.
    pub inputs: Vec<u32>,
}

/// How an action is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// An operation of a resource agent on a node.
    Resource,
    /// Nothing to carry out: confirmed as soon as it fires.
    Pseudo,
    /// Something the controller itself does: `stonith`, `do_shutdown`, `clear_failcount`, `lrm_delete`.
    Cluster,
}

/// A node by both its names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeName {
    /// The name people use.
    pub uname: String,
    /// The identifier in the CIB.
    pub id: String,
}

/// The resource that an action is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceName {
    /// The identifier in history and operation keys (instance number only if globally unique).
    pub id: String,
    /// The identifier with the instance number, when it differs from `id`.
    pub long_id: Option<String>,
    /// Agent class.
    pub class: String,
    /// Agent provider.
    pub provider: Option<String>,
    /// Agent type.
    pub kind: String,
}

/// An action of a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Unique in the transition; the first part of the transition key.
    pub id: u32,
    /// How it is carried out.
    pub kind: ActionKind,
    /// `start`, `monitor`, `stonith`, `do_shutdown` ...
    pub operation: String,
    /// `RESOURCE_OPERATION_INTERVAL`, or the like for other kinds.
    pub key: String,
    /// The key with the instance number, when it differs.
    pub internal_key: Option<String>,
    /// Where it is carried out.
    pub node: Option<Arc<NodeName>>,
    /// The cluster node that talks to `node`, when that is a remote or guest node.
    pub router: Option<String>,
    /// The resource, for actions of a resource.
    pub resource: Option<Arc<ResourceName>>,
    /// Instance parameters and `CRM_meta_*` values: what the agent's environment and the operation's
    /// record are made of.
    pub attributes: Attributes,
    /// Milliseconds between repetitions; 0 for once.
    pub interval_ms: u32,
    /// Milliseconds that the operation may take.
    pub timeout_ms: u32,
    /// The exit code that counts as success.
    pub target_rc: i32,
    /// Node identifiers that this action takes down (fencing, shutdown, stop of a connection).
    pub downed: Vec<String>,
    /// Whether a failure of the action is of no consequence (a stop on a node being fenced).
    pub can_fail: bool,
}

impl Action {
    /// An attribute by name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)
    }

    /// The instance parameters: what the agent sees as `OCF_RESKEY_*` and what digests cover.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.attributes.iter();
        all.filter(|(name, _)| !name.starts_with("CRM_meta_"))
    }
}
