//! The status section: node states, operation history, transient attributes, tickets.

use serde::{Deserialize, Serialize};

use crate::cib::{Cib, Section};
use crate::xml::ElementId;

/// The feature set whose conventions the records follow.
const FEATURE_SET: &str = "3.20.5";

/// One result of an operation, as an `lrm_rsc_op` records it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OperationRecord {
    /// Resource (with its instance number only if globally unique).
    pub resource: String,
    /// Agent class.
    pub class: String,
    /// Agent provider, for class `ocf`.
    pub provider: Option<String>,
    /// Agent type.
    pub kind: String,
    /// `start`, `monitor` ...
    pub operation: String,
    /// Milliseconds; 0 for an operation that does not recur.
    pub interval_ms: u32,
    /// `action:transition:target-rc:uuid`.
    pub transition_key: String,
    /// Order of execution on the node; -1 for pending.
    pub call_id: i32,
    /// The agent's exit code.
    pub rc: i32,
    /// Status of the execution itself: -1 pending, 0 done, 1 cancelled, 2 timeout, 4 error ...
    pub op_status: i32,
    /// Seconds since the epoch of the last change of the exit code.
    pub last_rc_change: i64,
    /// Milliseconds spent in the agent.
    pub exec_time_ms: u64,
    /// Milliseconds spent waiting.
    pub queue_time_ms: u64,
    /// Digest of all parameters; see [`crate::digest`].
    pub digest: String,
    /// Names of parameters whose change needs a restart, and their digest.
    pub restart: Option<(String, String)>,
    /// What the agent gave as reason for a failure.
    pub exit_reason: String,
    /// Source and target of a migration.
    pub migration: Option<(String, String)>,
}

impl OperationRecord {
    /// Whether the result differs from what the transition expected.
    pub fn failed(&self) -> bool {
        let target = self
            .transition_key
            .split(':')
            .nth(2)
            .and_then(|t| t.parse::<i32>().ok());
        self.op_status > 0 && self.op_status != 1
            || (self.op_status == 0 && target != Some(self.rc))
    }

    fn key(&self) -> String {
        format!("{}_{}_{}", self.resource, self.operation, self.interval_ms)
    }

    /// The `id` under which the record is stored: one-shot operations share one, so that only the
    /// last of them is kept; recurring ones and migrations have their own.
    pub fn id(&self) -> String {
        if self.interval_ms != 0 {
            return self.key();
        }
        match self.operation.as_str() {
            "migrate_to" | "migrate_from" => self.key(),
            _ => format!("{}_last_0", self.resource),
        }
    }
}

impl Cib {
    /// The state of a node, made if it does not exist.
    pub fn node_state(&mut self, node_id: &str, uname: &str) -> ElementId {
        let status = self.section_or_append(Section::Status);
        let state = self.document.child_with_id(status, "node_state", node_id);
        self.document.set_attr(state, "uname", uname);
        state
    }

    /// Marks a node as a full member that runs the stack.
    pub fn set_node_online(&mut self, node_id: &str, uname: &str) {
        let state = self.node_state(node_id, uname);
        for (name, value) in [
            ("in_ccm", "true"),
            ("crmd", "online"),
            ("join", "member"),
            ("expected", "member"),
        ] {
            self.document.set_attr(state, name, value);
        }
        self.bump_updates();
    }

    /// Marks a node as gone from the membership. What was expected of it stays: it tells whether the node
    /// left in order. Its transient attributes end with its membership.
    pub fn set_node_lost(&mut self, node_id: &str, uname: &str) {
        let state = self.node_state(node_id, uname);
        for (name, value) in [("in_ccm", "false"), ("crmd", "offline"), ("join", "down")] {
            self.document.set_attr(state, name, value);
        }
        let attributes = self.document.element(state).child("transient_attributes");
        if let Some(attributes) = attributes.map(|element| element.key()) {
            self.document.remove(attributes);
        }
        self.bump_updates();
    }

    /// Marks a node as one that is known to be down: it was fenced, or left in order.
    pub fn set_node_down(&mut self, node_id: &str, uname: &str) {
        let state = self.node_state(node_id, uname);
        for (name, value) in [
            ("in_ccm", "false"),
            ("crmd", "offline"),
            ("join", "down"),
            ("expected", "down"),
        ] {
            self.document.set_attr(state, name, value);
        }
        self.bump_updates();
    }

    /// Records a result under a node's state, replacing the earlier record of the same id. A failure
    /// is also kept as `RESOURCE_last_failure_0`, so that a later success does not hide it.
    pub fn record_operation(&mut self, node_id: &str, uname: &str, record: &OperationRecord) {
        let state = self.node_state(node_id, uname);
        let existing = self.document.element(state).child("lrm").map(|l| l.key());
        let lrm = existing.unwrap_or_else(|| self.document.child_with_id(state, "lrm", node_id));
        let resources = self.document.child_or_append(lrm, "lrm_resources");
        let resource = self
            .document
            .child_with_id(resources, "lrm_resource", &record.resource);
        self.document.set_attr(resource, "class", &record.class);
        if let Some(provider) = &record.provider {
            self.document.set_attr(resource, "provider", provider);
        }
        self.document.set_attr(resource, "type", &record.kind);
        self.write_record(resource, &record.id(), uname, record);
        if record.failed() {
            let id = format!("{}_last_failure_0", record.resource);
            self.write_record(resource, &id, uname, record);
        }
        self.bump_updates();
    }

    fn write_record(&mut self, parent: ElementId, id: &str, uname: &str, r: &OperationRecord) {
        let op = self.document.child_with_id(parent, "lrm_rsc_op", id);
        let magic = format!("{}:{};{}", r.op_status, r.rc, r.transition_key);
        let fields = [
            ("operation_key", r.key()),
            ("operation", r.operation.clone()),
            ("crm-debug-origin", "local-stack".to_owned()),
            ("crm_feature_set", FEATURE_SET.to_owned()),
            ("transition-key", r.transition_key.clone()),
            ("transition-magic", magic),
            ("exit-reason", r.exit_reason.clone()),
            ("on_node", uname.to_owned()),
            ("call-id", r.call_id.to_string()),
            ("rc-code", r.rc.to_string()),
            ("op-status", r.op_status.to_string()),
            ("interval", r.interval_ms.to_string()),
            ("last-rc-change", r.last_rc_change.to_string()),
            ("exec-time", r.exec_time_ms.to_string()),
            ("queue-time", r.queue_time_ms.to_string()),
            ("op-digest", r.digest.clone()),
        ];
        for (name, value) in fields {
            self.document.set_attr(op, name, &value);
        }
        if let Some((names, digest)) = &r.restart {
            self.document.set_attr(op, "op-force-restart", names);
            self.document.set_attr(op, "op-restart-digest", digest);
        }
        if let Some((source, target)) = &r.migration {
            self.document.set_attr(op, "migrate_source", source);
            self.document.set_attr(op, "migrate_target", target);
        }
    }

    /// Forgets one recurring operation's record (it was cancelled).
    pub fn forget_operation(&mut self, node_id: &str, resource: &str, id: &str) {
        if let Some(element) = self.find_resource_history(node_id, resource) {
            let op = self
                .document
                .element(element)
                .children()
                .find(|c| c.id() == id);
            if let Some(op) = op.map(|o| o.key()) {
                self.document.remove(op);
                self.bump_updates();
            }
        }
    }

    /// Forgets all that is known of a resource on a node (it is probed again).
    pub fn forget_resource(&mut self, node_id: &str, resource: &str) {
        if let Some(element) = self.find_resource_history(node_id, resource) {
            self.document.remove(element);
            self.bump_updates();
        }
    }

    fn find_resource_history(&self, node_id: &str, resource: &str) -> Option<ElementId> {
        let state = self
            .section(Section::Status)?
            .children()
            .find(|s| s.id() == node_id)?;
        let resources = state.child("lrm")?.child("lrm_resources")?;
        resources
            .children()
            .find(|r| r.id() == resource)
            .map(|r| r.key())
    }

    /// Forgets everything about a node's resources and transient attributes (it left, or restarted).
    pub fn clear_node_status(&mut self, node_id: &str) {
        let state = self
            .section(Section::Status)
            .and_then(|s| s.children().find(|s| s.id() == node_id))
            .map(|s| s.key());
        if let Some(state) = state {
            self.document.clear(state);
            self.bump_updates();
        }
    }

    /// Sets a transient attribute of a node (`None` deletes it).
    pub fn set_transient_attribute(
        &mut self,
        node_id: &str,
        uname: &str,
        name: &str,
        value: Option<&str>,
    ) {
        let state = self.node_state(node_id, uname);
        let outer = self
            .document
            .child_with_id(state, "transient_attributes", node_id);
        let set_id = format!("status-{node_id}");
        let set = self
            .document
            .child_with_id(outer, "instance_attributes", &set_id);
        let found = self
            .document
            .element(set)
            .children()
            .find(|n| n.attr("name") == Some(name));
        match (found.map(|n| n.key()), value) {
            (Some(pair), Some(value)) => self.document.set_attr(pair, "value", value),
            (Some(pair), None) => self.document.remove(pair),
            (None, Some(value)) => {
                let pair = self.document.append(set, "nvpair");
                self.document
                    .set_attr(pair, "id", &format!("{set_id}-{name}"));
                self.document.set_attr(pair, "name", name);
                self.document.set_attr(pair, "value", value);
            }
            (None, None) => return,
        }
        self.bump_updates();
    }

    /// Writes what readers see as a ticket's state. The scheduler of a site that has leases does not
    /// read it.
    pub fn set_ticket_state(&mut self, ticket: &str, granted: bool, standby: bool) {
        let status = self.section_or_append(Section::Status);
        let tickets = self.document.child_or_append(status, "tickets");
        let state = self.document.child_with_id(tickets, "ticket_state", ticket);
        self.document
            .set_attr(state, "granted", if granted { "true" } else { "false" });
        self.document
            .set_attr(state, "standby", if standby { "true" } else { "false" });
        self.bump_updates();
    }
}
