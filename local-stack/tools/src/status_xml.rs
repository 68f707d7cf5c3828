//! The state of a cluster as XML.

use cib::{Cib, ElementId};
use scheduler::{NodeRole, NodeStatus, ResourceKind, ResourceStatus, Status};

use crate::answer::Frame;

fn yes(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Appends nodes and resources to an element.
pub(crate) fn write(cib: &Cib, status: &Status, frame: &mut Frame, parent: ElementId) {
    let nodes = frame.add(parent, "nodes", &[]);
    for node in &status.nodes {
        write_node(node, frame, nodes);
    }
    write_resources(cib, status, frame, parent);
}

/// Appends all resources to an element.
pub(crate) fn write_resources(cib: &Cib, status: &Status, frame: &mut Frame, parent: ElementId) {
    let resources = frame.add(parent, "resources", &[]);
    for resource in &status.resources {
        write_resource(cib, status, resource, frame, resources);
    }
}

/// Appends the attributes of all nodes that are up.
pub(crate) fn write_attributes(status: &Status, frame: &mut Frame, parent: ElementId) {
    let list = frame.add(parent, "node_attributes", &[]);
    for node in status.nodes.iter().filter(|n| n.online) {
        let element = frame.add(list, "node", &[("name", &node.name)]);
        for (name, value) in shown_attributes(node) {
            frame.add(element, "attribute", &[("name", name), ("value", value)]);
        }
    }
}

/// The attributes of a node that say something to people.
pub(crate) fn shown_attributes(node: &NodeStatus) -> impl Iterator<Item = (&str, &str)> {
    const PLUMBING: [&str; 6] = [
        "fail-count-",
        "last-failure-",
        "#",
        "standby",
        "terminate",
        "shutdown",
    ];
    let all = node.attributes.iter();
    all.filter(|(name, _)| !PLUMBING.iter().any(|p| name.starts_with(p)))
        .map(|(name, value)| (name.as_str(), value.as_str()))
}

fn write_node(node: &NodeStatus, frame: &mut Frame, parent: ElementId) {
    let feature_set = node.attributes.iter().find(|(n, _)| n == "#feature-set");
    let running = node.running.to_string();
    let mut facts = vec![
        ("name", node.name.as_str()),
        ("id", node.id.as_str()),
        ("online", yes(node.online)),
        ("standby", yes(node.standby)),
        ("standby_onfail", yes(node.standby_on_fail)),
        ("maintenance", yes(node.maintenance)),
        ("pending", yes(node.pending)),
        ("unclean", yes(node.unclean)),
        ("health", node.health.unwrap_or("green")),
    ];
    if node.role == NodeRole::Member {
        let of_history = if node.online { "<3.15.1" } else { "" };
        let set = feature_set.map_or(of_history, |(_, v)| v.as_str());
        if !set.is_empty() {
            facts.push(("feature_set", set));
        }
    }
    facts.extend([
        ("shutdown", yes(node.shutdown)),
        ("expected_up", yes(node.expected_up)),
        ("is_dc", yes(node.is_dc)),
        ("resources_running", &running),
    ]);
    facts.push(match node.role {
        NodeRole::Member => ("type", "member"),
        NodeRole::Remote | NodeRole::Guest => ("type", "remote"),
    });
    if let Some(launcher) = &node.launcher {
        facts.push(("id_as_resource", launcher));
    }
    frame.add(parent, "node", &facts);
}

fn is_disabled(resource: &ResourceStatus) -> bool {
    let role = resource.target_role.as_deref();
    role.is_some_and(|r| r.eq_ignore_ascii_case("stopped"))
}

/// Appends a resource to an element.
pub(crate) fn write_resource(
    cib: &Cib,
    status: &Status,
    resource: &ResourceStatus,
    frame: &mut Frame,
    parent: ElementId,
) {
    let element = match &resource.kind {
        ResourceKind::Primitive(..) => {
            write_primitive(status, resource, frame, parent);
            return;
        }
        ResourceKind::Group => {
            let facts = [
                ("id", resource.id.as_str()),
                ("number_resources", &resource.members.len().to_string()),
                ("managed", yes(resource.managed)),
                ("disabled", yes(is_disabled(resource))),
            ];
            frame.add(parent, "group", &facts)
        }
        ResourceKind::Clone { promotable, .. } => {
            let facts = [
                ("id", resource.id.as_str()),
                ("multi_state", yes(*promotable)),
                ("unique", yes(resource.unique)),
                ("managed", yes(resource.managed)),
                ("disabled", yes(is_disabled(resource))),
                ("failed", yes(resource.failed)),
                ("failure_ignored", yes(resource.failure_ignored)),
            ];
            let element = frame.add(parent, "clone", &facts);
            if let Some(role) = &resource.target_role {
                frame.document.set_attr(element, "target_role", role);
            }
            element
        }
        ResourceKind::Bundle { image } => {
            let configured = cib.document().find_by_id(&resource.id);
            let kind = configured.and_then(|b| b.children().find(|c| c.attr("image").is_some()));
            let facts = [
                ("id", resource.id.as_str()),
                ("type", kind.map_or("podman", cib::Element::name)),
                ("image", image),
                ("unique", yes(resource.unique)),
                ("managed", yes(resource.managed)),
                ("failed", yes(resource.failed)),
            ];
            frame.add(parent, "bundle", &facts)
        }
    };
    for (number, member) in resource.members.iter().enumerate() {
        if member.parts.is_empty() {
            let hidden = member.removed && !member.active.0;
            if !hidden {
                write_resource(cib, status, member, frame, element);
            }
            continue;
        }
        let replica = frame.add(element, "replica", &[("id", &number.to_string())]);
        for part in &member.parts {
            write_primitive(status, part, frame, replica);
        }
    }
}

fn write_primitive(
    status: &Status,
    resource: &ResourceStatus,
    frame: &mut Frame,
    parent: ElementId,
) {
    let ResourceKind::Primitive(class, provider, kind) = &resource.kind else {
        return;
    };
    let provider = provider.as_ref().map_or(String::new(), |p| format!("{p}:"));
    let agent = format!("{class}:{provider}{kind}");
    let places = resource.nodes.len().to_string();
    let mut facts = vec![
        ("id", resource.id.as_str()),
        ("resource_agent", &agent),
        ("role", resource.role),
    ];
    if let Some(role) = &resource.target_role {
        facts.push(("target_role", role));
    }
    facts.extend([
        ("active", yes(resource.active.0)),
        ("orphaned", yes(resource.removed)),
        ("blocked", yes(resource.blocked)),
        ("managed", yes(resource.managed)),
        ("failed", yes(resource.failed)),
        ("failure_ignored", yes(resource.failure_ignored)),
        ("nodes_running_on", &places),
    ]);
    if let Some(task) = crate::status_text::pending_text(resource.pending.as_deref()) {
        facts.push(("pending", task));
    }
    let element = frame.add(parent, "resource", &facts);
    for place in &resource.nodes {
        let node = &status.nodes[*place];
        let about = [
            ("name", node.name.as_str()),
            ("id", &node.id),
            ("cached", yes(node.online)),
        ];
        frame.add(element, "node", &about);
    }
}
