//! Plays a transition through: everything succeeds unless told to fail, and the CIB says so afterwards.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use cib::{Cib, Element, OperationRecord, Section};
use scheduler::{Action, ActionKind, Synapse, Transition};

use super::inject::{self, OperationSpec};
use crate::answer::Frame;

const NOBODY: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

/// What was done.
#[derive(Debug)]
pub(super) enum Event {
    Pseudo(String),
    Fencing {
        target: String,
        how: String,
    },
    Cluster {
        task: String,
        resource: String,
        node: String,
    },
    Resource {
        resource: String,
        operation: String,
        interval_ms: u32,
        node: String,
    },
    /// Something to say that is no action.
    Note(String),
}

/// Changes the CIB as if the transition had been carried out, with some actions failing; tells what
/// was done, in order. A failure ends it: what depends on fresh decisions is not carried out.
pub(super) fn play(
    cib: &mut Cib,
    transition: &Transition,
    now: i64,
    failing: &[OperationSpec],
) -> Vec<Event> {
    let mut events = Vec::new();
    // Whatever the clock says, it is done after all that is recorded.
    let recorded = cib
        .root()
        .descendants()
        .filter_map(|e| e.attr("last-rc-change")?.parse().ok());
    let now = recorded.max().unwrap_or(now).max(now);
    let ids: HashSet<u32> = transition.synapses.iter().map(|s| s.action.id).collect();
    let mut done: HashSet<u32> = HashSet::new();
    let mut waiting: Vec<&Synapse> = transition.synapses.iter().collect();
    while !waiting.is_empty() {
        let before = done.len();
        let mut failed = false;
        let mut later = Vec::new();
        for synapse in waiting {
            let ready = |i: &u32| done.contains(i) || !ids.contains(i);
            if failed || !synapse.inputs.iter().all(ready) {
                later.push(synapse);
                continue;
            }
            let action = &synapse.action;
            done.insert(action.id);
            events.push(event(action));
            match action.kind {
                ActionKind::Resource => {
                    let rc = failing.iter().find(|f| f.is_about(action)).map(|f| f.rc);
                    if let Some(rc) = rc {
                        failed = true;
                        let note = format!("Pretending action {} failed with rc={rc}", action.id);
                        events.push(Event::Note(note));
                        let notes = fail(cib, action, rc, now);
                        events.extend(notes.into_iter().map(Event::Note));
                    }
                    record(cib, action, rc, now);
                }
                ActionKind::Cluster if action.operation == "stonith" => fence(cib, action),
                _ => {}
            }
        }
        if failed {
            break;
        }
        if done.len() == before {
            let note = "Transition failed: it waits for itself".to_owned();
            events.push(Event::Note(note));
            break;
        }
        waiting = later;
    }
    events
}

fn fail(cib: &mut Cib, action: &Action, rc: i32, now: i64) -> Vec<String> {
    let (Some(node), Some(resource)) = (&action.node, &action.resource) else {
        return Vec::new();
    };
    let operation = (action.operation.as_str(), action.interval_ms);
    let id = node_state_id(cib, &node.uname).unwrap_or_else(|| node.id.clone());
    inject::count_failure(cib, (&id, &node.uname), &resource.id, operation, rc, now)
        .into_iter()
        .map(|injected| injected.line(&id))
        .collect()
}

fn event(action: &Action) -> Event {
    let node = action
        .node
        .as_ref()
        .map_or("", |n| n.uname.as_str())
        .to_owned();
    match action.kind {
        ActionKind::Pseudo => {
            let key = action.internal_key.as_ref().unwrap_or(&action.key);
            Event::Pseudo(key.clone())
        }
        ActionKind::Cluster if action.operation == "stonith" => {
            let how = action.attribute("CRM_meta_stonith_action").unwrap_or("");
            Event::Fencing {
                target: node,
                how: how.to_owned(),
            }
        }
        ActionKind::Cluster => Event::Cluster {
            task: action.operation.clone(),
            resource: action
                .resource
                .as_ref()
                .map_or(String::new(), |r| r.id.clone()),
            node,
        },
        ActionKind::Resource => {
            let resource = action.resource.as_ref();
            let id = resource.map_or("", |r| r.long_id.as_ref().unwrap_or(&r.id));
            Event::Resource {
                resource: id.to_owned(),
                operation: action.operation.clone(),
                interval_ms: action.interval_ms,
                node,
            }
        }
    }
}

/// What was done, as text.
pub(super) fn text(events: &[Event]) -> String {
    let mut out = String::new();
    for event in events {
        let _ = match event {
            Event::Pseudo(key) => writeln!(out, "  * Pseudo action:   {key}"),
            Event::Fencing { target, how } => writeln!(out, "  * Fencing {target} ({how})"),
            Event::Cluster {
                task,
                resource,
                node,
            } if resource.is_empty() => writeln!(out, "  * Cluster action:  {task} on {node}"),
            Event::Cluster {
                task,
                resource,
                node,
            } => writeln!(out, "  * Cluster action:  {task} for {resource} on {node}"),
            Event::Resource {
                resource,
                operation,
                interval_ms: 0,
                node,
            } => writeln!(
                out,
                "  * Resource action: {resource:<15} {operation} on {node}"
            ),
            Event::Resource {
                resource,
                operation,
                interval_ms,
                node,
            } => writeln!(
                out,
                "  * Resource action: {resource:<15} {operation}={interval_ms} on {node}"
            ),
            Event::Note(note) => writeln!(out, "{note}"),
        };
    }
    out
}

/// What was done, as XML.
pub(super) fn xml(events: &[Event], frame: &mut Frame) {
    let root = frame.root;
    let list = frame.add(root, "transition", &[]);
    for event in events {
        match event {
            Event::Pseudo(key) => {
                frame.add(list, "pseudo_action", &[("task", key)]);
            }
            Event::Fencing { target, how } => {
                frame.add(list, "fencing_action", &[("target", target), ("op", how)]);
            }
            Event::Cluster {
                task,
                resource,
                node,
            } => {
                let mut about: Vec<(&str, &str)> = vec![("task", task), ("node", node)];
                if !resource.is_empty() {
                    about.push(("id", resource));
                }
                frame.add(list, "cluster_action", &about);
            }
            Event::Resource {
                resource,
                operation,
                interval_ms,
                node,
            } => {
                let interval = interval_ms.to_string();
                let mut about: Vec<(&str, &str)> =
                    vec![("resource", resource), ("op", operation), ("node", node)];
                if *interval_ms > 0 {
                    about.push(("interval", &interval));
                }
                frame.add(list, "rsc_action", &about);
            }
            Event::Note(_) => {}
        }
    }
}

fn history<'a>(cib: &'a Cib, node: &str, resource: &str) -> Option<Element<'a>> {
    let status = cib.section(Section::Status)?;
    let state = status.children().find(|s| s.attr("uname") == Some(node))?;
    let list = state.child("lrm")?.child("lrm_resources")?;
    list.children().find(|r| r.id() == resource)
}

/// The name under which a node remembers a resource.
fn remembered(cib: &Cib, node: &str, action: &Action) -> String {
    let Some(resource) = &action.resource else {
        return String::new();
    };
    let names = [Some(&resource.id), resource.long_id.as_ref()];
    let known = names
        .into_iter()
        .flatten()
        .find(|n| history(cib, node, n).is_some());
    known.unwrap_or(&resource.id).clone()
}

/// Notes a result: the expected one, or `rc`.
fn record(cib: &mut Cib, action: &Action, rc: Option<i32>, now: i64) {
    let (Some(node), Some(resource)) = (&action.node, &action.resource) else {
        return;
    };
    if matches!(action.operation.as_str(), "delete" | "meta-data" | "notify") {
        return;
    }
    let name = remembered(cib, &node.uname, action);
    let last = history(cib, &node.uname, &name).map_or(0, last_call);
    let operation = match action.operation.as_str() {
        "reload" | "reload-agent" => "start",
        other => other,
    };
    let mut parameters: BTreeMap<&str, &str> = action.parameters().collect();
    if action.interval_ms > 0
        && let Some(timeout) = action.attribute("CRM_meta_timeout")
    {
        parameters.insert("CRM_meta_timeout", timeout);
    }
    parameters.remove("pcmk_external_ip");
    let migration = (action.attribute("CRM_meta_migrate_source"))
        .zip(action.attribute("CRM_meta_migrate_target"))
        .map(|(source, target)| (source.to_owned(), target.to_owned()));
    let record = OperationRecord {
        resource: name,
        class: resource.class.clone(),
        provider: resource.provider.clone(),
        kind: resource.kind.clone(),
        operation: operation.to_owned(),
        interval_ms: action.interval_ms,
        transition_key: format!("{}:0:{}:{NOBODY}", action.id, action.target_rc),
        call_id: last + 1,
        rc: rc.unwrap_or(action.target_rc),
        last_rc_change: now,
        digest: cib::digest::of_sorted(parameters),
        migration,
        ..OperationRecord::default()
    };
    forget_pending(cib, &node.uname, &record.resource);
    let id = node_state_id(cib, &node.uname).unwrap_or_else(|| node.id.clone());
    cib.record_operation(&id, &node.uname, &record);
}

/// The highest call number of a resource's history.
pub(super) fn last_call(entry: Element<'_>) -> i32 {
    let calls = entry
        .children()
        .filter_map(|op| op.attr("call-id")?.parse::<i32>().ok());
    calls.max().unwrap_or(0)
}

/// What was under way is not any more.
fn forget_pending(cib: &mut Cib, node: &str, resource: &str) {
    let Some(entry) = history(cib, node, resource) else {
        return;
    };
    let pending = entry
        .children()
        .filter(|op| op.attr("op-status") == Some("-1"));
    for key in pending.map(Element::key).collect::<Vec<_>>() {
        cib.document_mut().remove(key);
    }
}

/// The identifier that a node's state has.
pub(super) fn node_state_id(cib: &Cib, uname: &str) -> Option<String> {
    let status = cib.section(Section::Status)?;
    let state = status.children().find(|s| s.attr("uname") == Some(uname))?;
    Some(state.id().to_owned())
}

fn fence(cib: &mut Cib, action: &Action) {
    let Some(node) = &action.node else {
        return;
    };
    if action.attribute("CRM_meta_stonith_action") == Some("on") {
        return;
    }
    inject::set_node(cib, &node.uname, inject::NodeChange::Down);
}
