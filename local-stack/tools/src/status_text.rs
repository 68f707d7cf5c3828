//! The state of a cluster as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use scheduler::{NodeRole, NodeStatus, ResourceKind, ResourceStatus, Status};

/// Writes the nodes and resources of a cluster.
pub fn status_text(status: &Status) -> String {
    let mut text = String::from("  * Node List:\n");
    write_nodes(status, &mut text);
    text.push_str("\n  * Full List of Resources:\n");
    for resource in &status.resources {
        write_resource(status, resource, 2, &mut text);
    }
    text
}

/// All resources as a list that is so many levels deep.
pub(crate) fn resources(status: &Status, depth: usize) -> String {
    let mut text = String::new();
    for resource in &status.resources {
        write_resource(status, &anywhere(resource), depth, &mut text);
    }
    text
}

/// A resource without its place; of a clone, whose instances are told by their places, with it.
fn anywhere(resource: &ResourceStatus) -> ResourceStatus {
    let mut copy = resource.clone();
    match resource.kind {
        ResourceKind::Primitive(..) => {
            copy.node = None;
            copy.nodes.clear();
        }
        ResourceKind::Group => copy.members = resource.members.iter().map(anywhere).collect(),
        ResourceKind::Clone { .. } | ResourceKind::Bundle { .. } => {}
    }
    copy
}

/// One resource, not as part of a list.
pub(crate) fn resource(status: &Status, resource: &ResourceStatus) -> String {
    let mut text = String::new();
    write_resource(status, resource, 0, &mut text);
    let lines = text.lines().map(|l| l.strip_prefix("* ").unwrap_or(l));
    lines.fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "{line}");
        out
    })
}

/// A resource with its state, but not where it is.
pub(crate) fn resource_without_node(status: &Status, resource: &ResourceStatus) -> String {
    primitive_line(status, &anywhere(resource))
}

/// How many primitives are disabled, and how many blocked.
pub(crate) fn counts(status: &Status) -> (usize, usize, usize) {
    fn count(resource: &ResourceStatus, total: &mut (usize, usize, usize)) {
        if resource.members.is_empty() {
            total.0 += 1;
            total.1 += usize::from(is_disabled(resource));
            total.2 += usize::from(resource.blocked);
        }
        for member in &resource.members {
            count(member, total);
        }
    }
    let mut total = (0, 0, 0);
    for resource in &status.resources {
        count(resource, &mut total);
    }
    total
}

fn item(depth: usize, line: &str, text: &mut String) {
    let indent = "  ".repeat(depth);
    let _ = writeln!(text, "{indent}* {line}");
}

fn node_state(node: &NodeStatus) -> &'static str {
    match node {
        n if n.unclean && n.online => "UNCLEAN (online)",
        n if n.unclean && n.pending => "UNCLEAN (pending)",
        n if n.unclean => "UNCLEAN (offline)",
        n if n.pending => "pending",
        n if n.standby_on_fail && n.online => "standby (on-fail)",
        n if n.standby && n.online && n.busy => "standby (with active resources)",
        n if n.standby && n.online => "standby",
        n if n.standby => "OFFLINE (standby)",
        n if n.maintenance && n.online => "maintenance",
        n if n.maintenance => "OFFLINE (maintenance)",
        n if n.online => "online",
        _ => "OFFLINE",
    }
}

fn write_nodes(status: &Status, text: &mut String) {
    let mut lists: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let titles = [
        "Online",
        "OFFLINE",
        "RemoteOnline",
        "RemoteOFFLINE",
        "GuestOnline",
        "GuestOFFLINE",
    ];
    for node in &status.nodes {
        let alone = node.unclean
            || node.pending
            || (node.standby_on_fail && node.online)
            || node.standby
            || node.maintenance
            || node.health.is_some();
        if alone {
            let kind = match node.role {
                NodeRole::Member => "Node",
                NodeRole::Remote => "RemoteNode",
                NodeRole::Guest => "GuestNode",
            };
            let health = match node.health {
                Some("red") => " (health is RED)",
                Some(_) => " (health is YELLOW)",
                None => "",
            };
            let line = format!("{kind} {}: {}{health}", node.name, node_state(node));
            item(2, &line, text);
            continue;
        }
        if node.role == NodeRole::Guest && !node.online {
            continue;
        }
        let place = match node.role {
            NodeRole::Member => 0,
            NodeRole::Remote => 2,
            NodeRole::Guest => 4,
        };
        lists
            .entry(place + usize::from(!node.online))
            .or_default()
            .push(&node.name);
    }
    for (place, names) in lists {
        item(
            2,
            &format!("{}: [ {} ]", titles[place], names.join(" ")),
            text,
        );
    }
}

fn is_disabled(resource: &ResourceStatus) -> bool {
    resource
        .target_role
        .as_deref()
        .is_some_and(|r| r.eq_ignore_ascii_case("stopped"))
}

fn exit_code_text(code: i64) -> &'static str {
    match code {
        2 => "Invalid parameter",
        3 => "Unimplemented",
        4 => "Insufficient privileges",
        5 => "Not installed",
        6 => "Not configured",
        _ => "Unspecified error",
    }
}

/// An operation that is under way, in words.
pub(crate) fn pending_text(pending: Option<&str>) -> Option<&'static str> {
    match pending? {
        "monitor" => Some("Monitoring"),
        other => pending_role(Some(other)),
    }
}

/// The attributes of all nodes that are up and have any.
pub(crate) fn attributes(status: &Status) -> String {
    let mut text = String::new();
    for node in status.nodes.iter().filter(|n| n.online) {
        let list: Vec<_> = crate::status_xml::shown_attributes(node).collect();
        if list.is_empty() {
            continue;
        }
        if text.is_empty() {
            text.push_str("\n  * Node Attributes:\n");
        }
        item(2, &format!("Node: {}:", node.name), &mut text);
        for (name, value) in list {
            item(3, &format!("{name:<32}\t: {value:<10}"), &mut text);
        }
    }
    text
}

fn pending_role(pending: Option<&str>) -> Option<&'static str> {
    Some(match pending? {
        "start" => "Starting",
        "stop" => "Stopping",
        "migrate_to" | "migrate_from" => "Migrating",
        "promote" => "Promoting",
        "demote" => "Demoting",
        _ => return None,
    })
}

fn primitive_line(status: &Status, resource: &ResourceStatus) -> String {
    let ResourceKind::Primitive(class, provider, kind) = &resource.kind else {
        return resource.id.clone();
    };
    let mut line = resource.id.clone();
    if let Some(address) = &resource.address {
        let _ = write!(line, " ({address})");
    }
    let provider = provider.as_ref().map_or(String::new(), |p| format!("{p}:"));
    let _ = write!(line, "\t({class}:{provider}{kind}):\t");
    if resource.removed {
        line.push_str(" ORPHANED");
    }
    if resource.failed {
        line.push_str(" FAILED");
        if resource.role == "Promoted" {
            line.push_str(" Promoted");
        }
    } else {
        let _ = write!(
            line,
            " {}",
            pending_role(resource.pending.as_deref()).unwrap_or(resource.role)
        );
    }
    let node = resource
        .node
        .filter(|_| resource.nodes.len() <= 1)
        .map(|n| &status.nodes[n]);
    if let Some(node) = node {
        let _ = write!(line, " {}", node.name);
    }
    if resource.role == "Stopped"
        && let Some((_, code)) = resource
            .failed_probes
            .iter()
            .find(|(n, _)| resource.node.is_none_or(|at| at == *n))
    {
        let _ = write!(line, " ({}) ", exit_code_text(*code));
    }
    let flags = primitive_flags(resource, node);
    if !flags.is_empty() {
        let _ = write!(line, " ({})", flags.join(", "));
    }
    if resource.nodes.len() > 1 {
        let names: Vec<&str> = resource
            .nodes
            .iter()
            .map(|n| status.nodes[*n].name.as_str())
            .collect();
        let _ = write!(line, " [ {} ]", names.join(" "));
    }
    line
}

fn primitive_flags(resource: &ResourceStatus, node: Option<&NodeStatus>) -> Vec<&'static str> {
    let mut flags = Vec::new();
    if node.is_some_and(|n| !n.online && n.unclean) {
        flags.push("UNCLEAN");
    }
    if resource.pending.as_deref() == Some("monitor") {
        flags.push("Monitoring");
    }
    match resource
        .target_role
        .as_deref()
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        Some("stopped") => flags.push("disabled"),
        Some("unpromoted" | "slave") if matches!(resource.role, "Unpromoted" | "Promoted") => {
            flags.push("target-role:Unpromoted");
        }
        _ => {}
    }
    if resource.blocked {
        flags.push("blocked");
    } else if resource.maintenance {
        flags.push("maintenance");
    } else if !resource.managed {
        flags.push("unmanaged");
    }
    if resource.failure_ignored {
        flags.push("failure ignored");
    }
    flags
}

/// What there is to say about a collective, in brackets.
fn suffixes(resource: &ResourceStatus, first: &[&'static str]) -> String {
    let mut words = first.to_vec();
    if resource.unique && !matches!(resource.kind, ResourceKind::Group) {
        words.push("unique");
    }
    if is_disabled(resource) && !matches!(resource.kind, ResourceKind::Bundle { .. }) {
        words.push("disabled");
    }
    if resource.maintenance {
        words.push("maintenance");
    } else if !resource.managed {
        words.push("unmanaged");
    }
    if words.is_empty() {
        String::new()
    } else {
        format!(" ({})", words.join(", "))
    }
}

fn write_resource(status: &Status, resource: &ResourceStatus, depth: usize, text: &mut String) {
    match &resource.kind {
        ResourceKind::Primitive(..) => item(depth, &primitive_line(status, resource), text),
        ResourceKind::Group => {
            let line = format!(
                "Resource Group: {}{}:",
                resource.id,
                suffixes(resource, &[])
            );
            item(depth, &line, text);
            for member in &resource.members {
                write_resource(status, member, depth + 1, text);
            }
        }
        ResourceKind::Clone {
            of,
            promotable,
            max,
            allowed,
        } => {
            let first: &[&'static str] = if *promotable { &["promotable"] } else { &[] };
            let line = format!(
                "Clone Set: {} [{of}]{}:",
                resource.id,
                suffixes(resource, first)
            );
            item(depth, &line, text);
            let max = usize::try_from(*max).unwrap_or(0);
            write_instances(
                status,
                resource,
                (*promotable, max, allowed),
                depth + 1,
                text,
            );
        }
        ResourceKind::Bundle { image } => {
            let set = if resource.members.len() > 1 {
                " set"
            } else {
                ""
            };
            let line = format!(
                "Container bundle{set}: {} [{image}]{}:",
                resource.id,
                suffixes(resource, &[])
            );
            item(depth, &line, text);
            for member in &resource.members {
                item(depth + 1, &primitive_line(status, member), text);
            }
        }
    }
}

fn any(resource: &ResourceStatus, what: &dyn Fn(&ResourceStatus) -> bool) -> bool {
    what(resource) || resource.members.iter().any(|m| any(m, what))
}

fn is_pending(resource: &ResourceStatus) -> bool {
    resource.pending.as_deref().is_some_and(|p| p != "probe")
}

/// How an instance of a clone is shown.
enum Way {
    Alone,
    Listed(usize),
    Hidden,
}

fn way_to_show(status: &Status, unique: bool, instance: &ResourceStatus) -> Way {
    let (some, all) = instance.active;
    let odd = |r: &ResourceStatus| r.removed || r.failed || !r.managed;
    let lost = |n: &NodeStatus| !n.online && n.unclean;
    let alone = if unique {
        some || !instance.removed
    } else {
        is_pending(instance)
    };
    match instance.nodes.as_slice() {
        _ if alone => Way::Alone,
        _ if unique || !some => Way::Hidden,
        [place] if all && !any(instance, &odd) && !lost(&status.nodes[*place]) => {
            Way::Listed(*place)
        }
        _ => Way::Alone,
    }
}

/// Instances that are as they should be are listed by node, the others one by one.
fn write_instances(
    status: &Status,
    clone: &ResourceStatus,
    (promotable, max, allowed): (bool, usize, &[usize]),
    depth: usize,
    text: &mut String,
) {
    let mut promoted = Vec::new();
    let mut started = Vec::new();
    for instance in &clone.members {
        match way_to_show(status, clone.unique, instance) {
            Way::Alone => write_resource(status, instance, depth, text),
            Way::Listed(place) if instance.role == "Promoted" => promoted.push(place),
            Way::Listed(place) => started.push(place),
            Way::Hidden => {}
        }
    }
    let active = promoted.len() + started.len();
    let names = |mut places: Vec<usize>| {
        places.sort_unstable();
        let names: Vec<&str> = places
            .iter()
            .map(|p| status.nodes[*p].name.as_str())
            .collect();
        names.join(" ")
    };
    if !promoted.is_empty() {
        item(depth, &format!("Promoted: [ {} ]", names(promoted)), text);
    }
    if !started.is_empty() {
        let role = clone.target_role.as_deref().map(str::to_ascii_lowercase);
        let title = match role.as_deref() {
            Some("unpromoted" | "slave") if promotable => "Unpromoted (target-role)",
            _ if promotable => "Unpromoted",
            _ => "Started",
        };
        item(depth, &format!("{title}: [ {} ]", names(started)), text);
    }
    if clone.unique || max <= active {
        return;
    }
    let disabled = if is_disabled(clone) {
        "Stopped (disabled)"
    } else {
        "Stopped"
    };
    let mut stopped: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for place in allowed.iter().filter(|p| !clone.nodes.contains(p)) {
        let mut probes = clone.members.iter().flat_map(|m| &m.failed_probes);
        let state = match probes.find(|(n, _)| n == place) {
            Some((_, code)) => format!("Stopped ({})", exit_code_text(*code)),
            None => disabled.to_owned(),
        };
        stopped.entry(state).or_default().push(*place);
    }
    for (state, places) in stopped {
        item(depth, &format!("{state}: [ {} ]", names(places)), text);
    }
}
