//! Plays a transition through: everything succeeds, and the CIB says so afterwards.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use cib::{Cib, Element, OperationRecord, Section};
use scheduler::{Action, ActionKind, Synapse, Transition};

const NOBODY: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

/// Changes the CIB as if the transition had been carried out; tells what was done, in order.
pub(crate) fn play(cib: &mut Cib, transition: &Transition, now: i64) -> String {
    let mut text = String::new();
    // Whatever the clock says, it is done after all that is recorded.
    let recorded = cib
        .root()
        .descendants()
        .filter_map(|e| e.attr("last-rc-change")?.parse().ok());
    let now = recorded.max().unwrap_or(now).max(now);
    let ids: HashSet<u32> = transition.synapses.iter().map(|s| s.action.id).collect();
    let mut done: HashSet<u32> = HashSet::new();
    let mut waiting: Vec<&Synapse> = transition.synapses.iter().collect();
    waiting.sort_by_key(|s| std::cmp::Reverse(s.priority));
    while !waiting.is_empty() {
        let ready = |s: &&Synapse| {
            s.inputs
                .iter()
                .all(|i| done.contains(i) || !ids.contains(i))
        };
        let (now_ready, later): (Vec<&Synapse>, Vec<&Synapse>) =
            waiting.into_iter().partition(ready);
        if now_ready.is_empty() {
            text.push_str("Transition failed: it waits for itself\n");
            break;
        }
        for synapse in now_ready {
            let action = &synapse.action;
            done.insert(action.id);
            describe(action, &mut text);
            match action.kind {
                ActionKind::Resource => record(cib, action, now),
                ActionKind::Cluster if action.operation == "stonith" => fence(cib, action),
                _ => {}
            }
        }
        waiting = later;
    }
    text
}

fn describe(action: &Action, text: &mut String) {
    let node = action.node.as_ref().map_or("", |n| n.uname.as_str());
    let _ = match action.kind {
        ActionKind::Pseudo => writeln!(text, "  * Pseudo action:   {}", action.key),
        ActionKind::Cluster if action.operation == "stonith" => {
            let how = action.attribute("CRM_meta_stonith_action").unwrap_or("");
            writeln!(text, "  * Fencing {node} ({how})")
        }
        ActionKind::Cluster => {
            let rsc = action.resource.as_ref().map_or("", |r| r.id.as_str());
            writeln!(
                text,
                "  * Cluster action:  {} for {rsc} on {node}",
                action.operation
            )
        }
        ActionKind::Resource => {
            let resource = action.resource.as_ref();
            let id = resource.map_or("", |r| r.long_id.as_ref().unwrap_or(&r.id));
            let interval = if action.interval_ms > 0 {
                format!("={}", action.interval_ms)
            } else {
                String::new()
            };
            let operation = &action.operation;
            writeln!(
                text,
                "  * Resource action: {id:<15} {operation}{interval} on {node}"
            )
        }
    };
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

fn record(cib: &mut Cib, action: &Action, now: i64) {
    let (Some(node), Some(resource)) = (&action.node, &action.resource) else {
        return;
    };
    if matches!(action.operation.as_str(), "delete" | "meta-data" | "notify") {
        return;
    }
    let name = remembered(cib, &node.uname, action);
    let last = history(cib, &node.uname, &name).map_or(0, |entry| {
        let calls = entry
            .children()
            .filter_map(|op| op.attr("call-id")?.parse::<i32>().ok());
        calls.max().unwrap_or(0)
    });
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
        rc: action.target_rc,
        last_rc_change: now,
        digest: cib::digest::of_sorted(parameters),
        migration,
        ..OperationRecord::default()
    };
    forget_pending(cib, &node.uname, &record.resource);
    let id = node_state_id(cib, &node.uname).unwrap_or_else(|| node.id.clone());
    cib.record_operation(&id, &node.uname, &record);
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

fn node_state_id(cib: &Cib, uname: &str) -> Option<String> {
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
    let id = node_state_id(cib, &node.uname).unwrap_or_else(|| node.id.clone());
    let state = cib.node_state(&id, &node.uname);
    let lost = [
        ("in_ccm", "false"),
        ("crmd", "offline"),
        ("join", "down"),
        ("expected", "down"),
    ];
    for (name, value) in lost {
        cib.document_mut().set_attr(state, name, value);
    }
    cib.clear_node_status(&id);
}
