//! The direction of dependencies: sans-io crates know only sans-io crates, the ticket part never
//! knows the local stack, nothing knows the tests.

use std::path::Path;
use std::process::Command;

/// `from` depends on `to`, not counting dev-dependencies.
pub type Edge = (String, String);

/// Crates without I/O; they may use each other and the listed libraries, nothing else.
const SANS_IO: [&str; 9] = [
    "ticket-protocol",
    "quorum-device",
    "weakened-protocol",
    "cib",
    "scheduler",
    "controller",
    "fencer",
    "membership",
    "replica",
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
const TICKET_PART: [&str; 9] = [
    "arbitrator",
    "link",
    "quorum-device",
    "ticket",
    "ticket-admin",
    "ticket-config",
    "ticket-protocol",
    "ticket-service",
    "ticket-store",
];

/// What both parts use: the link, and the quorum device, whose two halves are one crate.
const SHARED: [&str; 2] = ["link", "quorum-device"];

/// The crates of the local stack: they never use the ticket part, but for what is shared.
const LOCAL_STACK: [&str; 13] = [
    "tools",
    "cib",
    "controller",
    "executor",
    "fencer",
    "guard",
    "local-stack",
    "membership",
    "messaging",
    "replica",
    "scheduler",
    "stack-api",
    "stack-client",
];

/// Crates under `tests/`, which nothing else may use.
const TESTS: [&str; 11] = [
    "bench",
    "cluster-sim",
    "conformance",
    "demo",
    "fuzz",
    "model",
    "oracle",
    "ring-sim",
    "sim",
    "tidy",
    "weakened-protocol",
];

/// The workspace's edges, as cargo itself tells them.
///
/// # Errors
/// A text that says which step failed; nothing was changed.
pub fn workspace_edges(root: &Path) -> Result<Vec<Edge>, String> {
    let value = metadata(root)?;
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

/// Who asks for the switches of the ticket protocol's safety rules whenever it is built: cargo
/// would give them to every daemon that is built in the same run.
pub fn asks_for_switches(workspace: &serde_json::Value) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let weaken = |value: &serde_json::Value| {
        let mut asked = value.as_array().into_iter().flatten();
        asked.any(|feature| text(feature).contains("weaken"))
    };
    let mut found = Vec::new();
    for package in workspace["packages"].as_array().into_iter().flatten() {
        let name = text(&package["name"]);
        if !TESTS.contains(&name.as_str()) && weaken(&package["features"]["default"]) {
            found.push(format!("{name}: by default"));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = text(&dependency["name"]);
            if TICKET_PART.contains(&to.as_str()) && weaken(&dependency["features"]) {
                found.push(format!("{name}: of {to}"));
            }
        }
    }
    found
}

/// What cargo tells of the workspace.
///
/// # Errors
/// A text that says which step failed; nothing was changed.
pub fn metadata(root: &Path) -> Result<serde_json::Value, String> {
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
    serde_json::from_slice(&output.stdout).map_err(|error| format!("its answer: {error}"))
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
    if from_has(&LOCAL_STACK) && to_has(&TICKET_PART) && !to_has(&SHARED) {
        return Some("the local stack knows nothing of tickets' votes, only what is shared");
    }
    if !from_has(&TESTS) && to_has(&TESTS) {
        return Some("nothing may depend on the tests");
    }
    None
}
