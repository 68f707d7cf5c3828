//! What happens to a running cluster: nodes go, operations fail, people change the configuration.

use cib::{Element, ElementId, Section};

use super::constraints;
use super::sketch::{NOW, Resource, Sketch};

/// Lets one thing happen.
pub(super) fn trouble(s: &mut Sketch) {
    match s.dice.below(100) {
        0..=24 => super::failure::failed_operation(s),
        25..=36 => node_trouble(s),
        37..=44 => node_attribute(s),
        45..=54 => resource_meta(s),
        55..=60 => parameter(s),
        61..=66 => remove_something(s),
        67..=76 => new_constraint(s),
        77..=80 => ticket(s),
        81..=84 => super::failure::lost_history(s),
        85..=87 => super::failure::second_instance(s),
        88..=90 => super::failure::pending_operation(s),
        91..=93 => super::failure::half_migration(s),
        94..=95 => super::failure::reload(s),
        _ => option(s),
    }
}

/// The states of cluster nodes.
pub(super) fn states(s: &Sketch, remote: bool) -> Vec<(ElementId, String)> {
    let status = s.cib.section(Section::Status);
    let states = status.into_iter().flat_map(Element::children);
    states
        .filter(|e| e.name() == "node_state")
        .filter(|e| remote || e.attr("remote_node") != Some("true"))
        .map(|e| (e.key(), e.attr("uname").unwrap_or("").to_owned()))
        .collect()
}

/// A transient attribute of a node.
pub(super) fn transient(s: &mut Sketch, state: ElementId, name: &str, value: &str) {
    let id = s.cib.document().element(state).id().to_owned();
    let outer = s
        .cib
        .document_mut()
        .child_or_append(state, "transient_attributes");
    s.set(outer, "id", &id);
    s.value(outer, "instance_attributes", name, value);
}

fn node_trouble(s: &mut Sketch) {
    let list = states(s, false);
    let Some((state, _)) = s.dice.pick(&list).cloned() else {
        return;
    };
    let fields: &[(&str, &str)] = match s.dice.below(10) {
        0..=3 => &[("in_ccm", "false"), ("crmd", "offline"), ("join", "down")],
        4 => &[
            ("in_ccm", "false"),
            ("crmd", "offline"),
            ("join", "down"),
            ("expected", "down"),
        ],
        5 => &[("join", "pending")],
        6 => &[("crmd", "offline"), ("join", "down")],
        7 => {
            transient(s, state, "terminate", "true");
            return;
        }
        _ => {
            transient(s, state, "shutdown", &(NOW - 60).to_string());
            &[("expected", "down")]
        }
    };
    for (name, value) in fields {
        s.set(state, name, value);
    }
}

fn node_attribute(s: &mut Sketch) {
    let list = states(s, true);
    let Some((state, uname)) = s.dice.pick(&list).cloned() else {
        return;
    };
    let promotable: Vec<Resource> = (s.resources.iter())
        .filter(|r| r.promotable)
        .cloned()
        .collect();
    match s.dice.below(7) {
        0 | 1 => permanent(s, &uname, "standby", "on"),
        2 => permanent(s, &uname, "maintenance", "true"),
        3 => transient(s, state, "#health-cpu", "red"),
        4 => permanent(s, &uname, "region", "b"),
        5 => permanent(s, &uname, "rack", "7"),
        _ => {
            if let Some(rsc) = s.dice.pick(&promotable).cloned() {
                let inner = s.cib.document().find_by_id(&rsc.id);
                let inner = inner.and_then(|e| e.child("primitive"));
                let name = inner.map_or_else(|| rsc.id.clone(), |e| e.id().to_owned());
                let score = s.dice.word(&["1", "10", "100", "-INFINITY"]);
                transient(s, state, &format!("master-{name}"), score);
            }
        }
    }
}

fn permanent(s: &mut Sketch, uname: &str, name: &str, value: &str) {
    let nodes = s.section(Section::Nodes);
    let list = s.cib.document().element(nodes).children();
    let found = list.into_iter().find(|n| n.attr("uname") == Some(uname));
    if let Some(node) = found.map(Element::key) {
        s.value(node, "instance_attributes", name, value);
    }
}

/// The element of a resource, by its identifier.
pub(super) fn element(s: &Sketch, id: &str) -> Option<ElementId> {
    let resources = s.cib.section(Section::Resources)?;
    resources
        .descendants()
        .find(|e| e.id() == id)
        .map(Element::key)
}

fn any_resource(s: &mut Sketch) -> Option<(Resource, ElementId)> {
    let list = s.resources.clone();
    let rsc = s.dice.pick(&list).cloned()?;
    let element = element(s, &rsc.id)?;
    Some((rsc, element))
}

fn resource_meta(s: &mut Sketch) {
    let Some((rsc, element)) = any_resource(s) else {
        return;
    };
    let kind = "meta_attributes";
    match s.dice.below(10) {
        0 | 1 => s.value(element, kind, "target-role", "Stopped"),
        2 if rsc.promotable => s.value(element, kind, "target-role", "Unpromoted"),
        3 => s.value(element, kind, "is-managed", "false"),
        4 => s.value(element, kind, "maintenance", "true"),
        5 => s.value(element, kind, "priority", "20"),
        6 => s.value(element, kind, "resource-stickiness", "0"),
        7 if rsc.top && matches!(rsc.kind, super::sketch::Kind::Clone) => {
            let value = s.dice.word(&["1", "2", "0"]);
            s.value(element, kind, "clone-max", value);
        }
        8 => s.value(element, kind, "migration-threshold", "1"),
        _ => s.value(element, kind, "resource-stickiness", "200"),
    }
}

fn parameter(s: &mut Sketch) {
    let Some((_, element)) = any_resource(s) else {
        return;
    };
    if s.cib.document().element(element).name() == "primitive" {
        if s.dice.chance(70) {
            s.value(element, "instance_attributes", "fake", "changed");
        } else {
            let operations = s.cib.document().element(element).child("operations");
            let op = operations
                .and_then(|o| o.children().next())
                .map(Element::key);
            if let Some(op) = op {
                let (name, value) = if s.dice.chance(60) {
                    ("timeout", "77s")
                } else {
                    ("interval", "17s")
                };
                s.set(op, name, value);
            }
        }
    }
}

fn remove_something(s: &mut Sketch) {
    let configuration = s.cib.section(Section::Configuration);
    let names: &[&str] = match s.dice.below(5) {
        0 | 1 => &["rsc_location", "rsc_order", "rsc_colocation", "rsc_ticket"],
        2 => &["op"],
        3 => &["nvpair"],
        _ => &["primitive", "group", "clone", "bundle"],
    };
    let found: Vec<(ElementId, String)> = configuration
        .into_iter()
        .flat_map(Element::descendants)
        .filter(|e| names.contains(&e.name()) && e.attr("name") != Some("promotable"))
        .map(|e| (e.key(), e.id().to_owned()))
        .collect();
    let Some((element, _)) = s.dice.pick(&found).cloned() else {
        return;
    };
    let gone: Vec<String> = (s.cib.document().element(element).descendants())
        .map(|e| e.id().to_owned())
        .collect();
    s.cib.document_mut().remove(element);
    forget(s, gone);
}

/// Drops what refers to something that is gone, and what is empty then.
fn forget(s: &mut Sketch, mut gone: Vec<String>) {
    const REFERENCES: [&str; 9] = [
        "rsc", "with-rsc", "first", "then", "id-ref", "id", "devices", "template", "group",
    ];
    s.resources.retain(|r| !gone.contains(&r.id));
    while let Some(id) = gone.pop() {
        let configuration = s.cib.section(Section::Configuration);
        let users: Vec<ElementId> = configuration
            .into_iter()
            .flat_map(Element::descendants)
            .filter(|e| REFERENCES.iter().any(|a| e.attr(a) == Some(&id)))
            .map(Element::key)
            .collect();
        for user in users {
            let Some(parent) = s.cib.document().element(user).parent() else {
                continue;
            };
            let (parent, own) = (parent.key(), s.cib.document().element(user).id().to_owned());
            s.cib.document_mut().remove(user);
            if own != id && !own.is_empty() {
                gone.push(own);
            }
            drop_empty(s, parent);
        }
    }
}

fn drop_empty(s: &mut Sketch, element: ElementId) {
    let e = s.cib.document().element(element);
    let empty = e.children().next().is_none();
    let needs_content = matches!(
        e.name(),
        "resource_set"
            | "tag"
            | "rsc_order"
            | "rsc_colocation"
            | "rsc_ticket"
            | "rsc_location"
            | "group"
            | "clone"
    );
    if empty && needs_content {
        let parent = e.parent().map(Element::key);
        s.cib.document_mut().remove(element);
        if let Some(parent) = parent {
            drop_empty(s, parent);
        }
    }
}

fn new_constraint(s: &mut Sketch) {
    match s.dice.below(8) {
        0 => constraints::order(s),
        1 => constraints::colocation(s),
        2 => constraints::ruled_location(s),
        3 => constraints::location(s),
        _ => {
            let Some(rsc) = s.some_resource() else {
                return;
            };
            let node = s.some_node();
            let score = s.dice.word(&["-INFINITY", "INFINITY", "200"]);
            constraints::plain_location(s, &rsc, &node, score);
        }
    }
}

fn ticket(s: &mut Sketch) {
    if s.tickets.is_empty() {
        constraints::ticket(s);
    }
    let Some(ticket) = s.tickets.first().cloned() else {
        return;
    };
    let granted = s.dice.chance(40);
    let standby = s.dice.chance(40);
    s.cib.set_ticket_state(&ticket, granted, standby);
}

fn option(s: &mut Sketch) {
    let (name, value) = match s.dice.below(8) {
        0 => ("maintenance-mode", "true"),
        1 => ("stop-all-resources", "true"),
        2 => (
            "no-quorum-policy",
            s.dice
                .word(&["stop", "freeze", "ignore", "demote", "suicide"]),
        ),
        3 => ("symmetric-cluster", "false"),
        _ => {
            let root = s.cib.root().key();
            s.set(root, "have-quorum", "0");
            return;
        }
    };
    s.option(name, value);
}
