//! Writing what happened into the CIB's status, and reading a resource's state out of a result.

use cib::{Cib, OperationRecord, digest};
use scheduler::Action;

use crate::types::{Ending, OperationResult, State};

/// A failcount that bans a resource from the node, as text and as number.
pub(crate) const INFINITY: (&str, u32) = ("INFINITY", 1_000_000);

/// How a resource stands after an operation.
pub(crate) fn state_after(before: State, action: &Action, result: &OperationResult) -> State {
    let complete = result.ending == Ending::Complete;
    let probe = action.operation == "monitor" && action.interval_ms == 0;
    match (action.operation.as_str(), result.rc) {
        ("monitor", 0 | 190) if complete => State::Started,
        ("monitor", 8 | 191) if complete => State::Promoted,
        ("monitor", 7) if complete => State::Stopped,
        // What is not installed, not permitted or not configured cannot be running.
        ("monitor", 2..=6) if probe && result.ending != Ending::Timeout => State::Stopped,
        ("monitor", _) if result.ending == Ending::Cancelled => before,
        ("start" | "demote", 0) if complete => State::Started,
        ("promote", 0) if complete => State::Promoted,
        ("stop", 0) if complete => State::Stopped,
        ("stop", _) => State::Blocked,
        ("monitor" | "start" | "promote" | "demote", _) => State::Failed,
        _ => before,
    }
}

/// The result is what the transition expected.
pub(crate) fn succeeded(action: &Action, result: &OperationResult) -> bool {
    result.ending == Ending::Complete && i32::from(result.rc) == action.target_rc
}

/// A failure that is counted. Probes find what they find.
pub(crate) fn counts_as_failure(action: &Action, result: &OperationResult) -> bool {
    let probe = action.operation == "monitor" && action.interval_ms == 0;
    !probe && result.ending != Ending::Cancelled && !succeeded(action, result)
}

/// The record of an operation for the CIB.
pub(crate) fn operation(
    action: &Action,
    transition: u64,
    uuid: &str,
    call: u64,
    wall_s: i64,
    result: &OperationResult,
) -> OperationRecord {
    let resource = action.resource.as_deref().cloned().unwrap_or_default();
    let mut parameters: Vec<(&str, &str)> = action.parameters().collect();
    if action.interval_ms > 0 {
        let timeout = action.attribute("CRM_meta_timeout");
        parameters.extend(timeout.map(|value| ("CRM_meta_timeout", value)));
    }
    OperationRecord {
        resource: resource.id,
        class: resource.class,
        provider: resource.provider,
        kind: resource.kind,
        operation: action.operation.clone(),
        interval_ms: action.interval_ms,
        transition_key: format!("{}:{transition}:{}:{uuid}", action.id, action.target_rc),
        call_id: i32::try_from(call).unwrap_or(i32::MAX),
        rc: i32::from(result.rc),
        op_status: result.ending.op_status(),
        last_rc_change: wall_s,
        exec_time_ms: result.exec_ms,
        queue_time_ms: result.queue_ms,
        digest: digest::of(&parameters),
        restart: None,
        exit_reason: result.reason.clone(),
        migration: None,
    }
}

/// The failcount attribute of an operation.
pub(crate) fn fail_count_name(resource: &str, operation: &str, interval_ms: u32) -> String {
    format!("fail-count-{resource}#{operation}_{interval_ms}")
}

fn last_failure_name(resource: &str, operation: &str, interval_ms: u32) -> String {
    format!("last-failure-{resource}#{operation}_{interval_ms}")
}

/// The node in whose state things are written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) uname: String,
    pub(crate) id: String,
}

/// Counts one failure; a failed stop, and a failed start where that is fatal, count as many as there
/// can be.
pub(crate) fn count_failure(cib: &mut Cib, node: &Node, action: &Action, fatal: bool, wall_s: i64) {
    let resource = action
        .resource
        .as_ref()
        .map_or("", |resource| resource.id.as_str());
    let name = fail_count_name(resource, &action.operation, action.interval_ms);
    let fatal = fatal && action.operation == "start" || action.operation == "stop";
    let value = if fatal {
        INFINITY.0.to_owned()
    } else {
        let before = transient(cib, node, &name).map_or(0, |text| count(&text));
        if before >= INFINITY.1 {
            INFINITY.0.to_owned()
        } else {
            (before + 1).to_string()
        }
    };
    cib.set_transient_attribute(&node.id, &node.uname, &name, Some(&value));
    let name = last_failure_name(resource, &action.operation, action.interval_ms);
    cib.set_transient_attribute(&node.id, &node.uname, &name, Some(&wall_s.to_string()));
}

/// All failures of a resource on this node, added up.
pub(crate) fn failures(cib: &Cib, node: &Node, resource: &str) -> u32 {
    let prefix = format!("fail-count-{resource}#");
    transients(cib, node)
        .into_iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .fold(0, |sum, (_, value)| {
            u32::min(INFINITY.1, sum + count(&value))
        })
}

/// Everything that counts failures on this node: attribute and value.
pub(crate) fn all_failures(cib: &Cib, node: &Node) -> Vec<(String, String)> {
    let mut found = transients(cib, node);
    found.retain(|(name, _)| name.starts_with("fail-count-") || name.starts_with("last-failure-"));
    found
}

/// What a failcount of an earlier daemon tells: the resource, and a sentence about it.
pub(crate) fn earlier_failure(name: &str, value: &str) -> Option<(String, String)> {
    let (resource, operation) = name.strip_prefix("fail-count-")?.rsplit_once('#')?;
    let (operation, _) = operation.rsplit_once('_')?;
    let text = format!(
        "{operation} of {resource} failed before the local stack was restarted (failcount {value})"
    );
    Some((resource.to_owned(), text))
}

/// Forgets all failures of a resource on this node; `true` when there were some.
pub(crate) fn clear_failures(cib: &mut Cib, node: &Node, resource: &str) -> bool {
    let mut cleared = false;
    let prefixes = [
        format!("fail-count-{resource}#"),
        format!("last-failure-{resource}#"),
    ];
    for (name, _) in transients(cib, node) {
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            cib.set_transient_attribute(&node.id, &node.uname, &name, None);
            cleared = true;
        }
    }
    cleared
}

fn count(text: &str) -> u32 {
    let number = text
        .parse()
        .unwrap_or(if text == INFINITY.0 { INFINITY.1 } else { 0 });
    u32::min(number, INFINITY.1)
}

fn transient(cib: &Cib, node: &Node, name: &str) -> Option<String> {
    transients(cib, node)
        .into_iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
}

fn transients(cib: &Cib, node: &Node) -> Vec<(String, String)> {
    let state = cib
        .section(cib::Section::Status)
        .and_then(|status| status.children().find(|state| state.id() == node.id));
    let Some(attributes) = state.and_then(|state| state.child("transient_attributes")) else {
        return Vec::new();
    };
    attributes
        .descendants()
        .filter(|element| element.name() == "nvpair")
        .filter_map(|pair| {
            Some((
                pair.attr("name")?.to_owned(),
                pair.attr("value")?.to_owned(),
            ))
        })
        .collect()
}
