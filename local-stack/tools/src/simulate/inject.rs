//! What if: changes to a CIB before the scheduler looks at it.

use cib::{Cib, OperationRecord, Section};
use scheduler::Action;

use super::play;

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeChange {
    /// It joins.
    Up,
    /// It has left in an orderly manner.
    Down,
    /// It is gone without a word.
    Fail,
}

/// An operation with a result, as `RESOURCE_OPERATION_INTERVAL@NODE=RC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OperationSpec {
    pub(super) resource: String,
    pub(super) operation: String,
    pub(super) interval_ms: u32,
    pub(super) node: String,
    pub(super) rc: i32,
}

impl OperationSpec {
    /// Reads a specification.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let form = "write RESOURCE_OPERATION_INTERVAL@NODE=RC, such as db_monitor_10000@node1=7";
        let wrong = || format!("Invalid operation spec: {text} ({form})");
        let (key, rest) = text.split_once('@').ok_or_else(wrong)?;
        let (node, rc) = rest.rsplit_once('=').ok_or_else(wrong)?;
        let (name, interval) = key.rsplit_once('_').ok_or_else(wrong)?;
        let migration = ["migrate_to", "migrate_from"];
        let split = migration
            .iter()
            .find_map(|op| Some((name.strip_suffix(op)?.strip_suffix('_')?, *op)));
        let (resource, operation) = split.or_else(|| name.rsplit_once('_')).ok_or_else(wrong)?;
        if resource.is_empty() || operation.is_empty() || node.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            resource: resource.to_owned(),
            operation: operation.to_owned(),
            interval_ms: interval.parse().map_err(|_| wrong())?,
            node: node.to_owned(),
            rc: rc.parse().map_err(|_| wrong())?,
        })
    }

    /// Whether an action of a transition is meant.
    pub(super) fn is_about(&self, action: &Action) -> bool {
        let (Some(resource), Some(node)) = (&action.resource, &action.node) else {
            return false;
        };
        let named = resource.id == self.resource
            || resource.long_id.as_deref() == Some(self.resource.as_str());
        named
            && action.operation == self.operation
            && action.interval_ms == self.interval_ms
            && node.uname.eq_ignore_ascii_case(&self.node)
    }
}

/// An attribute that was put into a node's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Injected {
    pub(super) name: String,
    pub(super) value: String,
}

impl Injected {
    /// The line that tells of it; `node` is the identifier of the node's state.
    pub(super) fn line(&self, node: &str) -> String {
        let Self { name, value } = self;
        format!("  * Injecting attribute {name}={value} into /node_state '{node}'")
    }
}

/// Brings a node up, takes it down, or makes it fail. A node that is not known is made known.
pub(super) fn set_node(cib: &mut Cib, uname: &str, change: NodeChange) {
    let id = play::node_state_id(cib, uname).unwrap_or_else(|| node_id(cib, uname));
    let state = cib.node_state(&id, uname);
    let (member, running, join) = match change {
        NodeChange::Up => ("true", "online", "member"),
        NodeChange::Down => ("false", "offline", "down"),
        NodeChange::Fail => ("false", "online", "member"),
    };
    let facts = [
        ("in_ccm", member),
        ("crmd", running),
        ("join", join),
        ("expected", join),
    ];
    for (name, value) in facts {
        cib.document_mut().set_attr(state, name, value);
    }
    if change == NodeChange::Down {
        cib.clear_node_status(&id);
    }
}

/// The identifier of a node; it is put among the nodes if it is new.
fn node_id(cib: &mut Cib, uname: &str) -> String {
    let nodes = cib.section_or_append(Section::Nodes);
    let known = cib.document().element(nodes).children();
    let known = known.filter(|n| n.attr("uname") == Some(uname));
    if let Some(node) = known.last() {
        return node.id().to_owned();
    }
    // A remote node is known by its connection.
    let resources = cib.section(Section::Resources);
    let remote = resources.is_some_and(|r| r.descendants().any(|e| e.id() == uname));
    if !remote {
        let node = cib.document_mut().append(nodes, "node");
        cib.document_mut().set_attr(node, "id", uname);
        cib.document_mut().set_attr(node, "uname", uname);
    }
    uname.to_owned()
}

/// Sets an attribute of a ticket.
pub(super) fn set_ticket(cib: &mut Cib, ticket: &str, name: &str, value: &str) {
    let status = cib.section_or_append(Section::Status);
    let document = cib.document_mut();
    let tickets = document.child_or_append(status, "tickets");
    let state = document.child_with_id(tickets, "ticket_state", ticket);
    document.set_attr(state, name, value);
}

/// Sets a cluster option in the set that counts most.
pub(super) fn set_option(cib: &mut Cib, name: &str, value: &str) {
    let config = cib.section_or_append(Section::Options);
    let set_id = "cib-bootstrap-options";
    let document = cib.document_mut();
    let set = document.child_with_id(config, "cluster_property_set", set_id);
    let known = document.element(set).children();
    let known = known.filter(|p| p.attr("name") == Some(name));
    let pair = match known.last() {
        Some(pair) => pair.key(),
        None => {
            let pair = document.append(set, "nvpair");
            document.set_attr(pair, "id", &format!("{set_id}-{name}"));
            document.set_attr(pair, "name", name);
            pair
        }
    };
    document.set_attr(pair, "value", value);
}

/// Counts a failure: in the node's transient attributes. Returns what was put there; nothing if the
/// result is no failure.
pub(super) fn count_failure(
    cib: &mut Cib,
    (node_id, uname): (&str, &str),
    resource: &str,
    (operation, interval_ms): (&str, u32),
    rc: i32,
    now: i64,
) -> Vec<Injected> {
    if rc == 0 || (rc == 7 && interval_ms == 0) {
        return Vec::new();
    }
    let state = cib.node_state(node_id, uname);
    let document = cib.document_mut();
    let attributes = document.child_with_id(state, "transient_attributes", node_id);
    let set = document.child_with_id(
        attributes,
        "instance_attributes",
        &format!("status-{node_id}"),
    );
    let mut injected = Vec::new();
    let since = now.to_string();
    for (kind, value) in [("fail-count", "value++"), ("last-failure", since.as_str())] {
        let name = format!("{kind}-{resource}#{operation}_{interval_ms}");
        let known = document.element(set).children();
        let known = known.filter(|p| p.attr("name") == Some(&name)).last();
        let old: i64 = known
            .and_then(|p| p.attr("value")?.parse().ok())
            .unwrap_or(0);
        let pair = match known.map(cib::Element::key) {
            Some(pair) => pair,
            None => {
                let pair = document.append(set, "nvpair");
                document.set_attr(pair, "id", &format!("status-{node_id}-{name}"));
                document.set_attr(pair, "name", &name);
                pair
            }
        };
        let shown = value.to_owned();
        let stored = match kind {
            "fail-count" => (old + 1).to_string(),
            _ => shown.clone(),
        };
        document.set_attr(pair, "value", &stored);
        injected.push(Injected { name, value: shown });
    }
    injected
}

/// Puts a result into the history. Returns what was counted with it.
///
/// # Errors
/// The node or the resource is not known; nothing was changed.
pub(super) fn operation(
    cib: &mut Cib,
    spec: &OperationSpec,
    now: i64,
) -> Result<(String, Vec<Injected>), String> {
    let resources = cib.section(Section::Resources);
    let plain = spec.resource.split(':').next().unwrap_or("");
    let found = resources.and_then(|r| {
        r.descendants()
            .find(|e| e.name() == "primitive" && (e.id() == spec.resource || e.id() == plain))
    });
    let Some(primitive) = found else {
        return Err(format!("Invalid resource name: {}", spec.resource));
    };
    let agent = |name: &str| primitive.attr(name).unwrap_or("").to_owned();
    let (class, provider, kind) = (agent("class"), agent("provider"), agent("type"));
    let Some(node_id) = play::node_state_id(cib, &spec.node) else {
        return Err(format!("Invalid node name: {}", spec.node));
    };
    let failed = (spec.operation.as_str(), spec.interval_ms);
    let node = (node_id.as_str(), spec.node.as_str());
    let injected = count_failure(cib, node, &spec.resource, failed, spec.rc, now);
    let target = if spec.operation == "monitor" && spec.interval_ms == 0 {
        7
    } else {
        0
    };
    let status = cib.section(Section::Status);
    let entry = status.and_then(|s| {
        s.descendants().find(|e| {
            e.name() == "lrm_resource"
                && e.id() == spec.resource
                && e.parent()
                    .and_then(cib::Element::parent)
                    .and_then(cib::Element::parent)
                    .is_some_and(|state| state.id() == node_id)
        })
    });
    let record = OperationRecord {
        resource: spec.resource.clone(),
        class,
        provider: (!provider.is_empty()).then_some(provider),
        kind,
        operation: spec.operation.clone(),
        interval_ms: spec.interval_ms,
        transition_key: format!("-1:0:{target}:xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
        call_id: entry.map_or(0, play::last_call) + 1,
        rc: spec.rc,
        last_rc_change: now,
        digest: "0".repeat(32),
        ..OperationRecord::default()
    };
    cib.record_operation(&node_id, &spec.node, &record);
    Ok((node_id, injected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_named_as_in_a_history() {
        let spec = OperationSpec::parse("a_b:0_monitor_10000@n.example=7").expect("a spec");
        assert_eq!(
            (spec.resource.as_str(), spec.interval_ms, spec.rc),
            ("a_b:0", 10000, 7)
        );
        let spec = OperationSpec::parse("vm_migrate_to_0@n=1").expect("a spec");
        assert_eq!(
            (spec.resource.as_str(), spec.operation.as_str()),
            ("vm", "migrate_to")
        );
        for wrong in [
            "",
            "a",
            "a_b_0",
            "a_b_0@n",
            "a_b_x@n=1",
            "_b_0@n=1",
            "a_b_0@n=x",
        ] {
            let message = OperationSpec::parse(wrong).expect_err(wrong);
            assert!(message.contains("RESOURCE_OPERATION_INTERVAL"), "{message}");
        }
    }
}
