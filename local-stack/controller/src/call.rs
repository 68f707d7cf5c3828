//! Operations under way: as the node that runs one knows it, and as the coordinator does.

use replica::{Command, NodeRef, OrderId};
use scheduler::Action;

/// An operation that runs on this node.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) command: Command,
    /// Its result is awaited. A recurring one stays known after its first result.
    pub(crate) flying: bool,
    /// Its result has not been taken into the CIB yet.
    pub(crate) owed: bool,
    /// It was told to end.
    pub(crate) aborted: bool,
}

impl Call {
    pub(crate) fn resource(&self) -> &str {
        &self.command.resource
    }
}

/// An operation that the coordinator waits for.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) node: NodeRef,
    pub(crate) command: Command,
}

impl Flight {
    pub(crate) fn is_of(&self, uname: &str, resource: &str) -> bool {
        self.node.uname == uname && self.command.resource == resource
    }
}

/// Operations that change what the resource is: any monitor ends before them.
pub(crate) fn changes_state(operation: &str) -> bool {
    matches!(
        operation,
        "start" | "stop" | "promote" | "demote" | "migrate_to" | "migrate_from"
    )
}

/// The resource's name in history; empty for actions without one.
pub(crate) fn name(action: &Action) -> &str {
    action
        .resource
        .as_ref()
        .map_or("", |resource| resource.id.as_str())
}

/// What a node is told of an action.
pub(crate) fn command(
    order: OrderId,
    action: &Action,
    transition: u64,
    uuid: &str,
    start_failure_is_fatal: bool,
) -> Command {
    let resource = action.resource.as_deref().cloned().unwrap_or_default();
    let mut attributes = action.attributes.to_vec();
    // Looked up by name later.
    attributes.sort();
    Command {
        order,
        resource: resource.id,
        class: resource.class,
        provider: resource.provider,
        kind: resource.kind,
        operation: action.operation.clone(),
        key: action.key.clone(),
        interval_ms: action.interval_ms,
        timeout_ms: action.timeout_ms,
        target_rc: action.target_rc,
        attributes,
        transition_key: format!("{}:{transition}:{}:{uuid}", action.id, action.target_rc),
        start_failure_is_fatal,
    }
}
