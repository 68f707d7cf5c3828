//! The local stack's control socket.

use serde::{Deserialize, Serialize};

use crate::envelope;
use crate::guard::Protection;

/// One request.
pub type Request = envelope::Request<Do>;
/// Answer to a request.
pub type Response = envelope::Response<Answer>;
/// `ok` or `error`.
pub type Outcome = envelope::Outcome<Answer>;
/// Sent to subscribers.
pub type Notice = envelope::Notice<Event>;
/// What a line from the daemon is.
pub type Incoming = envelope::Incoming<Answer, Event>;

/// What the local stack can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Do {
    /// A ticket's lease as this site holds it now (site agent). Say it again as often as you like.
    Lease(Lease),
    /// What depends on a ticket, and how it stands.
    TicketStatus(TicketName),
    /// Could everything that depends on the ticket run here?
    CheckTicket(TicketName),
    /// Node, resources, tickets.
    Status,
    /// From here on this connection also carries [`Event`]s.
    Subscribe,
    /// The CIB, or the one element with this name (`configuration`, `status`, `resources` ...).
    CibQuery {
        /// Element name; none for all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
    },
    /// Replace the configuration by that of this CIB. Refused when it is older than the one in force.
    CibReplace {
        /// A `<cib>` document.
        xml: String,
        /// Why it is to be done although this part of the site has no quorum (several nodes).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        force: Option<String>,
    },
    /// Forget failures and probe again.
    ResourceCleanup {
        /// One resource; none for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
    },
    /// Set or delete a transient node attribute: it lasts until the node's local stack ends. Permanent
    /// ones are part of the configuration.
    Attribute(Attribute),
    /// Stop all resources, then end.
    Shutdown,
}

/// A transient node attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// The node's name; none for the node that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The attribute's name.
    pub name: String,
    /// Its value; `++` or `+=N` after the attribute's name as value counts up; none deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Names a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketName {
    /// The ticket.
    pub ticket: String,
}

/// A ticket's lease at this site. The latest by (term, generation) counts; an older one is answered
/// with the state in force and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The ticket.
    pub ticket: String,
    /// The term; 0 for a ticket that this site never held.
    pub term: u64,
    /// Grows with each change within a term (a renewal may keep it). The local stack keeps it in
    /// memory only: start at any number that grows while the sender lives, and go on from
    /// [`TicketStatus::generation`] after the sender was restarted.
    pub generation: u64,
    /// This site holds the ticket.
    pub granted: bool,
    /// Dependents are to be stopped in an orderly way although the ticket stays here.
    #[serde(default)]
    pub standby: bool,
    /// Dependents are to be stopped (or demoted) before a release; whatever `granted` says, nothing
    /// starts. The end is seen in [`TicketStatus::quiet`].
    #[serde(default)]
    pub stop: bool,
    /// A hold is agreed by the majority: the deadline does not act on what is unmanaged or frozen.
    #[serde(default)]
    pub hold: bool,
    /// When the lease ends unless renewed, on this node's `CLOCK_BOOTTIME`; none for a manual ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ns: Option<u64>,
}

/// How a ticket stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketStatus {
    /// The ticket.
    pub ticket: String,
    /// The term of the lease in force; 0 when there is none.
    pub term: u64,
    /// Its generation.
    pub generation: u64,
    /// The scheduler is told "granted": lease valid, guard armed, nothing left of an older term.
    pub granted: bool,
    /// As in the lease.
    pub standby: bool,
    /// Everything that depends on the ticket and should run does (with `granted`), as far as known.
    pub started: bool,
    /// Nothing that depends on the ticket runs, is starting, or is in an unknown state.
    pub quiet: bool,
    /// Why the ticket must be on hold, if it must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// What prevents dependents from starting or stopping; one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Longest time that stopping all dependents may take, from the configuration.
    pub stop_budget_ms: u64,
    /// How far the deadline is enforced on this node.
    pub protection: Protection,
    /// The deadline in force, on `CLOCK_BOOTTIME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ns: Option<u64>,
    /// What depends on the ticket.
    pub dependents: Vec<Dependent>,
}

/// A resource that depends on a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependent {
    /// Its id in the CIB.
    pub resource: String,
    /// The constraint's role, when it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How it stands.
    pub state: ResourceState,
    /// `stop`, `demote`, `freeze` or `fence`.
    pub loss_policy: String,
}

/// How a resource stands on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceState {
    /// Not probed yet, or the last operation left it in doubt.
    Unknown,
    /// Not running.
    Stopped,
    /// A start or promotion is under way.
    Starting,
    /// Running (unpromoted, where there are roles).
    Started,
    /// Running, promoted.
    Promoted,
    /// A stop or demotion is under way.
    Stopping,
    /// Running but failed.
    Failed,
    /// Its stop failed: nobody may start it elsewhere.
    Blocked,
}

impl ResourceState {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Promoted => "promoted",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
        }
    }
}

/// Whether a ticket's dependents could run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Every dependent would be started (and promoted, where the constraint asks for it).
    pub able: bool,
    /// What speaks against it; one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Everything `local-stack status` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This node.
    pub node: String,
    /// Its site, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// `running`, or `stopping` after [`Do::Shutdown`].
    pub phase: String,
    /// All nodes, of a site of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_nodes: Option<SiteNodes>,
    /// Version of the CIB: `admin_epoch.epoch.num_updates`.
    pub cib_version: String,
    /// A transition is under way.
    pub busy: bool,
    /// How far leases are enforced on this node.
    pub protection: Protection,
    /// Why not further.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// Resources, in the order of the CIB.
    pub resources: Vec<Resource>,
    /// Tickets that the configuration or the agent names.
    pub tickets: Vec<TicketStatus>,
    /// What was found wrong in the configuration; the rest of it is in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configuration_errors: Vec<String>,
}

/// The nodes of a site, as this one sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteNodes {
    /// The view's name.
    pub view: String,
    /// The nodes of the view hold one copy of the CIB; if not, they are agreeing on one.
    pub agreed: bool,
    /// They may act.
    pub quorate: bool,
    /// Who coordinates (Pacemaker's DC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<String>,
    /// Every node.
    pub nodes: Vec<SiteNode>,
}

/// A node of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteNode {
    /// Its name.
    pub name: String,
    /// `online`, `offline`, `unclean`, `pending`, `leaving`, `standby`, `maintenance`.
    pub state: String,
    /// It coordinates.
    pub coordinates: bool,
    /// Resources that are active there.
    pub running: usize,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its id.
    pub id: String,
    /// Its agent, as `ocf:heartbeat:IPaddr2`.
    pub agent: String,
    /// How it stands.
    pub state: ResourceState,
    /// It is managed.
    pub managed: bool,
    /// Failures counted on this node; `INFINITY` is 1 000 000.
    pub fail_count: u32,
    /// The last failure, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// The terms under which it was started, by ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<(String, u64)>,
    /// Where it is active, of a site of several nodes; the state is then that of the site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Do::Lease`] and [`Do::TicketStatus`].
    Ticket(TicketStatus),
    /// To [`Do::CheckTicket`].
    Check(Check),
    /// To [`Do::Status`].
    Status(Status),
    /// To [`Do::Subscribe`].
    Subscribed,
    /// To [`Do::CibQuery`].
    Cib {
        /// The document or element.
        xml: String,
    },
    /// To [`Do::CibReplace`]: on disk and in force.
    Replaced {
        /// The version now in force.
        version: String,
        /// What the operator must know about it: deadlines that stay in force although a dependent
        /// would not be stopped, faults that the scheduler found.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// To [`Do::ResourceCleanup`]: the resources that are going to be probed.
    Cleaned {
        /// Their ids.
        resources: Vec<String>,
    },
    /// To [`Do::Attribute`]: in force on a node alone; where several are one cluster, on its way to all.
    Attribute,
    /// To [`Do::Shutdown`]: begun; the socket closes at the end.
    ShuttingDown,
}

/// What happened in the local stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A ticket stands differently: quiet, hold, started, problems or the state of a dependent.
    Ticket(TicketStatus),
    /// An operation ended.
    Operation(Operation),
    /// The guard came, went, or changed its protection.
    Protection {
        /// How far leases are enforced now.
        protection: Protection,
    },
    /// Events were lost because this subscriber reads too slowly: ask for the status again.
    Lagged,
}

/// An operation that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The resource.
    pub resource: String,
    /// `start`, `stop`, `monitor` ...
    pub operation: String,
    /// 0 for operations that do not recur.
    pub interval_ms: u64,
    /// The agent's exit code.
    pub rc: u8,
    /// How it ended: `complete`, `timeout`, `not-installed`, `error`, `cancelled`.
    pub status: String,
    /// The agent's own words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// How long the agent ran.
    pub exec_ms: u64,
    /// When it ended, on `CLOCK_BOOTTIME`.
    pub ended_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorBody;
    use crate::line;

    #[test]
    fn the_lines_are_as_documented() {
        let lease: Request = line::decode(
            br#"{"id":1,"do":{"lease":{"ticket":"db","term":5,"generation":1,"granted":true,"deadline_ns":9}}}"#,
        )
        .unwrap();
        let Do::Lease(lease) = lease.r#do else {
            panic!("not a lease");
        };
        assert_eq!(
            (lease.term, lease.standby, lease.deadline_ns),
            (5, false, Some(9))
        );
        let error = Response {
            id: 2,
            result: Outcome::Error(ErrorBody::new(crate::ErrorCode::NoSuchObject, "ticket db")),
        };
        assert_eq!(
            String::from_utf8(line::encode(&error)).unwrap(),
            "{\"id\":2,\"error\":{\"code\":105,\"name\":\"no-such-object\",\"message\":\"ticket db\"}}\n"
        );
        let incoming: Incoming = line::decode(br#"{"event":"lagged"}"#).unwrap();
        assert_eq!(
            incoming,
            Incoming::Notice(Notice {
                event: Event::Lagged
            })
        );
    }
}
