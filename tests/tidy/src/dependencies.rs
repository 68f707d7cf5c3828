//! The direction of dependencies: sans-io crates know only sans-io crates, the ticket part never
//! knows the local stack, nothing knows the tests.

use std::path::Path;
use std::process::Command;

/// `from` depends on `to`, not counting dev-dependencies.
pub type Edge = (String, String);

/// Crates without I/O; they may use each other and the listed libraries, nothing else.
const SANS_IO: [&str; 5] = [
    "ticket-protocol",
    "cib",
    "scheduler",
    "controller",
    "membership",
];

/// Libraries that do no I/O and read no clock.
const PURE_LIBRARIES: [&str; 9] = [
    "crc32fast",
    "jiff",
    "md-5",
    "postcard",
    "quick-xml",
    "rand_core",
    "regex-lite",
    "serde",
    "thiserror",
];

/// The crates of the ticket part and its voter: they never use the local stack.
const TICKET_PART: [&str; 8] = [
    "arbitrator",
    "link",
    "ticket",
    "ticket-admin",
    "ticket-config",
    "ticket-protocol",
    "ticket-service",
    "ticket-store",
];

/// The crates of the local stack: they never use the ticket part, but for the shared link.
const LOCAL_STACK: [&str; 11] = [
    "tools",
    "cib",
    "controller",
    "executor",
    "guard",
    "local-stack",
    "membership",
    "messaging",
    "scheduler",
    "stack-api",
    "stack-client",
];

/// Crates under `tests/`, which nothing else may use.
const TESTS: [&str; 7] = [
    "bench",
    "conformance",
    "demo",
    "oracle",
    "ring-sim",
    "sim",
    "tidy",
];

/// The workspace's edges, as cargo itself tells them.
///
/// # Errors
/// A text that says which step failed; nothing was changed.
pub fn workspace_edges(root: &Path) -> Result<Vec<Edge>, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let value: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("its answer: {error}"))?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut edges = Vec::new();
    for package in value["packages"].as_array().into_iter().flatten() {
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if dependency["kind"].is_null() {
                edges.push((text(&package["name"]), text(&dependency["name"])));
            }
        }
    }
    Ok(edges)
}

/// The edges that point the wrong way, each with the reason.
pub fn forbidden_edges(edges: &[Edge]) -> Vec<String> {
    edges
        .iter()
        .filter_map(|(from, to)| Some(format!("{from} -> {to}: {}", fault(from, to)?)))
        .collect()
}

fn fault(from: &str, to: &str) -> Option<&'static str> {
    let (from_has, to_has) = (
        |set: &[&str]| set.contains(&from),
        |set: &[&str]| set.contains(&to),
    );
    if from_has(&SANS_IO) && !to_has(&SANS_IO) && !to_has(&PURE_LIBRARIES) {
        return Some("a sans-io crate may use only sans-io crates and pure libraries");
    }
    if from_has(&TICKET_PART) && to_has(&LOCAL_STACK) {
        return Some("the ticket part never knows the local stack");
    }
    if from_has(&LOCAL_STACK) && to_has(&TICKET_PART) && to != "link" {
        return Some("the local stack knows nothing of tickets' votes, only the shared link");
    }
    if !from_has(&TESTS) && to_has(&TESTS) {
        return Some("nothing may depend on the tests");
    }
    None
}
