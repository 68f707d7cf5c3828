//! What failed, and how often: read from a CIB's status.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cib::{Cib, Section};
use scheduler::Status;

use crate::answer::Frame;

/// The failures of a resource on a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Failures {
    /// `INFINITY` for as many as there can be.
    pub(crate) count: String,
    /// Seconds since the epoch.
    pub(crate) last: Option<i64>,
    /// From which number on the node is avoided.
    pub(crate) threshold: String,
}

/// One failed operation in a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    key: String,
    node: String,
    rc: String,
    call: String,
    status: i32,
    reason: String,
}

/// What exit codes are called.
pub(crate) fn exit_name(rc: &str) -> &'static str {
    match rc {
        "0" => "ok",
        "1" => "error",
        "2" => "invalid parameter",
        "3" => "unimplemented feature",
        "4" => "insufficient privileges",
        "5" => "not installed",
        "6" => "not configured",
        "7" => "not running",
        "8" => "promoted",
        "9" => "promoted (failed)",
        "190" => "degraded",
        "191" => "promoted (degraded)",
        "193" => "unknown",
        _ => "unknown exit status",
    }
}

fn status_name(status: i32) -> &'static str {
    match status {
        -1 => "pending",
        0 => "complete",
        1 => "Cancelled",
        2 => "Timed Out",
        3 => "NOT SUPPORTED",
        4 => "Error",
        5 => "Hard error",
        6 => "Fatal error",
        7 => "Not installed",
        8 => "Internal communication failure",
        9 => "Node offline",
        10 => "Invalid configuration",
        11 => "No fence device",
        _ => "UNKNOWN!",
    }
}

/// What became of an operation of a history.
pub(crate) fn status_of(entry: cib::Element<'_>) -> &'static str {
    status_name(
        entry
            .attr("op-status")
            .and_then(|s| s.parse().ok())
            .unwrap_or(0),
    )
}

/// Failure counts, by node and resource.
pub(crate) fn counts(cib: &Cib, status: &Status) -> BTreeMap<String, BTreeMap<String, Failures>> {
    let mut all: BTreeMap<String, BTreeMap<String, Failures>> = BTreeMap::new();
    for node in status.nodes.iter().filter(|n| n.online) {
        let mine = all.entry(node.name.clone()).or_default();
        for (name, value) in &node.attributes {
            let (kind, rest) = match (
                name.strip_prefix("fail-count-"),
                name.strip_prefix("last-failure-"),
            ) {
                (Some(rest), _) => (true, rest),
                (_, Some(rest)) => (false, rest),
                _ => continue,
            };
            let resource = rest.split('#').next().unwrap_or(rest);
            let entry = mine.entry(resource.to_owned()).or_default();
            if kind {
                entry.count = sum(&entry.count, value);
            } else {
                entry.last = entry.last.max(value.parse().ok());
            }
        }
        mine.retain(|_, f| !f.count.is_empty() && f.count != "0");
        for (resource, failures) in mine.iter_mut() {
            failures.threshold = threshold(cib, resource);
        }
    }
    all.retain(|_, list| !list.is_empty());
    all
}

fn sum(old: &str, new: &str) -> String {
    if old == "INFINITY" || new.eq_ignore_ascii_case("INFINITY") {
        return "INFINITY".to_owned();
    }
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    let total = number(old).saturating_add(number(new));
    if total >= 1_000_000 {
        "INFINITY".to_owned()
    } else {
        total.to_string()
    }
}

fn threshold(cib: &Cib, resource: &str) -> String {
    let name = "migration-threshold";
    let value = crate::resource::meta(cib, resource, name);
    match value.as_deref() {
        None | Some("INFINITY") => "1000000".to_owned(),
        Some(other) => other.to_owned(),
    }
}

/// Failed operations, in the order of the nodes and their histories.
pub(crate) fn failed(cib: &Cib) -> Vec<Failed> {
    let mut list = Vec::new();
    let states = cib.section(Section::Status).into_iter();
    for state in states.flat_map(|s| s.children_named("node_state")) {
        let history = state.descendants().filter(|e| e.name() == "lrm_rsc_op");
        for entry in history {
            let attr = |name: &str| entry.attr(name).unwrap_or("").to_owned();
            let key = attr("transition-key");
            let target = key.split(':').nth(2).unwrap_or("0").to_owned();
            let status: i32 = attr("op-status").parse().unwrap_or(0);
            let rc = attr("rc-code");
            let probe = attr("operation") == "monitor" && attr("interval") == "0";
            let expected = status == 0 && (rc == target || (probe && (rc == "0" || rc == "8")));
            if expected || status == -1 || status == 1 {
                continue;
            }
            list.push(Failed {
                key: match entry.attr("operation_key") {
                    Some(key) => key.to_owned(),
                    None => attr("id"),
                },
                node: state.attr("uname").unwrap_or("").to_owned(),
                rc,
                call: attr("call-id"),
                status,
                reason: attr("exit-reason"),
            });
        }
    }
    list
}

/// Failure counts and failures as text.
pub(crate) fn text(cib: &Cib, status: &Status) -> String {
    let mut out = String::from("\n  * Migration Summary:\n");
    for (node, list) in counts(cib, status) {
        let _ = writeln!(out, "    * Node: {node}:");
        for (resource, failures) in list {
            let Failures {
                count,
                last,
                threshold,
            } = failures;
            let _ = write!(
                out,
                "      * {resource}: migration-threshold={threshold} fail-count={count}"
            );
            if let Some(at) = last {
                let _ = write!(out, " last-failure='{}'", crate::date::local_text(at));
            }
            out.push('\n');
        }
    }
    let failed = failed(cib);
    if !failed.is_empty() {
        out.push_str("\n  * Failed Resource Actions:\n");
    }
    for f in failed {
        let reason = match f.reason.as_str() {
            "" => String::new(),
            reason => format!(", exitreason='{reason}'"),
        };
        let _ = writeln!(
            out,
            "    * {} on {} '{}' ({}): call={}, status='{}'{reason}",
            f.key,
            f.node,
            exit_name(&f.rc),
            f.rc,
            f.call,
            status_name(f.status),
        );
    }
    out
}

/// Failure counts and failures as XML.
pub(crate) fn xml(cib: &Cib, status: &Status, frame: &mut Frame, parent: cib::ElementId) {
    let history = frame.add(parent, "node_history", &[]);
    for (node, list) in counts(cib, status) {
        let element = frame.add(history, "node", &[("name", &node)]);
        for (resource, failures) in list {
            let mut about = vec![
                ("id", resource.as_str()),
                ("orphan", "false"),
                ("migration-threshold", failures.threshold.as_str()),
                ("fail-count", failures.count.as_str()),
            ];
            let last = failures.last.map(crate::date::local_text);
            about.extend(last.as_deref().map(|last| ("last-failure", last)));
            frame.add(element, "resource_history", &about);
        }
    }
    let failed = failed(cib);
    if failed.is_empty() {
        return;
    }
    let list = frame.add(parent, "failures", &[]);
    for f in failed {
        let about = [
            ("op_key", f.key.as_str()),
            ("node", &f.node),
            ("exitstatus", exit_name(&f.rc)),
            ("exitreason", &f.reason),
            ("exitcode", &f.rc),
            ("call", &f.call),
            ("status", status_name(f.status)),
        ];
        frame.add(list, "failure", &about);
    }
}
