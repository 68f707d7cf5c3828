//! Reading a resource's state out of a result, and what is written of it.

use cib::{Cib, OperationRecord, digest};
use replica::{Command, Failure};

use crate::types::{Ending, OperationResult, State};

/// How a resource stands after an operation.
pub(crate) fn state_after(before: State, command: &Command, result: &OperationResult) -> State {
    let complete = result.ending == Ending::Complete;
    let probe = command.operation == "monitor" && command.interval_ms == 0;
    match (command.operation.as_str(), result.rc) {
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
pub(crate) fn succeeded(command: &Command, result: &OperationResult) -> bool {
    result.ending == Ending::Complete && i32::from(result.rc) == command.target_rc
}

/// A failure that is counted. Probes find what they find.
pub(crate) fn counts_as_failure(command: &Command, result: &OperationResult) -> bool {
    let probe = command.operation == "monitor" && command.interval_ms == 0;
    !probe && result.ending != Ending::Cancelled && !succeeded(command, result)
}

/// How it is counted: a failed stop, and a failed start where that is fatal, count as many as there can
/// be.
pub(crate) fn failure(command: &Command) -> Failure {
    let start = command.start_failure_is_fatal && command.operation == "start";
    if start || command.operation == "stop" {
        Failure::Fatal
    } else {
        Failure::Counted
    }
}

/// The record of an operation for the CIB.
pub(crate) fn operation(
    command: &Command,
    call: u64,
    wall_s: i64,
    result: &OperationResult,
) -> OperationRecord {
    let mut parameters: Vec<(&str, &str)> = command.parameters().collect();
    if command.interval_ms > 0 {
        let timeout = command.attribute("CRM_meta_timeout");
        parameters.extend(timeout.map(|value| ("CRM_meta_timeout", value)));
    }
    OperationRecord {
        resource: command.resource.clone(),
        class: command.class.clone(),
        provider: command.provider.clone(),
        kind: command.kind.clone(),
        operation: command.operation.clone(),
        interval_ms: command.interval_ms,
        transition_key: command.transition_key.clone(),
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

/// Everything that counts failures on a node, by its id: attribute and value.
pub(crate) fn all_failures(cib: &Cib, node: &str) -> Vec<(String, String)> {
    let mut found = replica::transients(cib, node);
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
