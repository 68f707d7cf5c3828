//! What a member knows, for people and for scripts. Types only.

use serde::{Deserialize, Serialize};

/// Everything a member knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    /// Name of the cluster.
    pub cluster: String,
    /// The member that answers.
    pub member: String,
    /// Its role.
    pub role: Role,
    /// Version of its program.
    pub version: String,
    /// How long it has been running, in milliseconds.
    pub up_ms: u64,
    /// Epoch of the configuration it works with.
    pub epoch: u64,
    /// Votes.
    pub votes: Votes,
    /// Every member of the configuration, itself included.
    pub members: Vec<MemberView>,
    /// Every ticket of the configuration, in order of the name.
    pub tickets: Vec<TicketView>,
    /// Nodes of this member's site (empty on an arbitrator), and of other sites where known.
    pub nodes: Vec<NodeView>,
    /// What somebody must look at now, one sentence each.
    pub alarms: Vec<String>,
}

/// What a member is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Holds tickets and votes.
    #[default]
    Site,
    /// Votes.
    Arbitrator,
}

/// Votes of the whole formation as this member sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Votes {
    /// Members with a vote.
    pub configured: u32,
    /// How many make a majority.
    pub needed: u32,
    /// How many can be reached and vote now, this member included.
    pub reachable: u32,
}

/// State of the link to a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// The member that answers.
    Me,
    /// Connected and authenticated.
    Up,
    /// Was connected and is not any more.
    Down,
    /// Never connected since the daemon started.
    #[default]
    Never,
    /// Connects, and is refused (see `why`).
    Refused,
}

/// One member as another sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Whether it can be reached.
    pub state: MemberState,
    /// The address in use, or the first one configured.
    pub address: Option<String>,
    /// Round-trip time, in microseconds.
    pub rtt_us: Option<u64>,
    /// When anything authenticated last came from it, in milliseconds.
    pub heard_ago_ms: Option<u64>,
    /// Whether it votes now (it may have lost its memory and wait).
    pub voting: Option<bool>,
    /// Why it is not connected or does not vote.
    pub why: Option<String>,
    /// How far its real-time clock is ahead of ours, in milliseconds.
    pub skew_ms: Option<i64>,
    /// Its certificate.
    pub certificate: Option<Certificate>,
    /// Counters of the link.
    pub traffic: Traffic,
}

/// A certificate in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Certificate {
    /// End of validity, seconds since 1970.
    pub not_after_unix: i64,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
}

/// Counters of one link since the daemon started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Messages dropped before they were sent (no connection, queue full).
    pub dropped: u64,
    /// Connections made.
    pub connects: u64,
    /// Handshakes that failed authentication.
    pub auth_failures: u64,
}

/// Who fails over a ticket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The members, by lease.
    #[default]
    Auto,
    /// The operator; no lease.
    Manual,
}

/// What a ticket is in, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// Never granted, or nothing known of a grant.
    #[default]
    None,
    /// A grant is being carried out.
    Granting,
    /// Held, and the lease runs.
    Granted,
    /// A move is under way.
    Moving,
    /// Revoked; the holder has not confirmed and may still run.
    Revoking,
    /// Revoked and over. Only a grant brings it back.
    Revoked,
    /// The holder is silent or gave up; to be taken over when its obligation is over.
    Lost,
    /// This member cannot tell (no answer from a majority).
    Unknown,
}

/// One ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TicketView {
    /// Its name.
    pub name: String,
    /// Who fails it over.
    pub mode: Mode,
    /// What it is in.
    pub state: TicketState,
    /// The owner in the register: holds it, or held it last (see `state`).
    pub holder: Option<String>,
    /// The term as the operator reads it.
    pub term: Option<String>,
    /// The term as one number, in decimal: for storage that refuses a stale writer. Text, because
    /// it does not fit a JavaScript number.
    pub term_packed: Option<String>,
    /// The lease, for automatic tickets that are held.
    pub lease: Option<Lease>,
    /// Configured lease, in milliseconds; `None` for manual tickets.
    pub lease_ms: Option<u64>,
    /// Configured acquire-after, in milliseconds.
    pub acquire_after_ms: Option<u64>,
    /// When another site may take it over.
    pub takeover: Option<Takeover>,
    /// The holder may still run until then (revoked, or lost), in milliseconds from now.
    pub may_run_ms: Option<u64>,
    /// Stopped by an operator while still held.
    pub standby: bool,
    /// Neither taken over nor released while this lasts.
    pub hold: Option<Hold>,
    /// The move under way.
    pub moving: Option<MoveView>,
    /// What each member's vote says.
    pub votes: Vec<VoteView>,
    /// What keeps it from being held, one sentence each; empty when nothing does.
    pub blocked: Vec<String>,
    /// The last forced grant in force.
    pub forced: Option<Forced>,
    /// What depends on it at the member that answers.
    pub dependents: Vec<Dependent>,
    /// Sites in order of preference.
    pub prefer: Vec<String>,
    /// Time the cluster needs at most to stop what depends on it, in milliseconds.
    pub stop_budget_ms: Option<u64>,
}

/// A lease that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// Left, in milliseconds: by the holder's own deadline if the holder answers, otherwise the
    /// longest that this member has to assume.
    pub left_ms: u64,
    /// Whether `left_ms` is the holder's own.
    pub exact: bool,
    /// Last renewal, in milliseconds ago.
    pub renewed_ago_ms: Option<u64>,
    /// Next renewal, in milliseconds from now.
    pub renews_in_ms: Option<u64>,
}

/// When another site may take a ticket over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Takeover {
    /// The earliest moment, in milliseconds from now.
    pub in_ms: u64,
    /// Who is expected to, where one is known.
    pub by: Option<String>,
}

/// Why a ticket is neither taken over nor released.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hold {
    /// The reason: "db-fs is unmanaged on b1".
    pub reason: String,
    /// Whether a majority has agreed to it; if not, the deadline stays in force.
    pub agreed: bool,
}

/// A move under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MoveView {
    /// From this site.
    pub from: String,
    /// To this site.
    pub to: String,
    /// What it is doing, as in [`Progress::phase`](crate::Progress::phase).
    pub phase: String,
    /// Rolled back or ended by then, in milliseconds from now.
    pub left_ms: Option<u64>,
}

/// One member's vote about one ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VoteView {
    /// The member.
    pub member: String,
    /// Whether it can be reached and votes.
    pub voting: bool,
    /// Whether it stands behind the holder and term shown.
    pub agrees: bool,
    /// How long it keeps others out, in milliseconds from now, where known.
    pub obligation_left_ms: Option<u64>,
    /// Anything else: "lost its memory, votes again in 40 s".
    pub note: Option<String>,
}

/// A grant that an operator forced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forced {
    /// What the operator wrote.
    pub reason: String,
    /// When, seconds since 1970 by the clock of the member that was asked.
    pub at_unix: Option<i64>,
}

/// A resource that depends on a ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dependent {
    /// Its name.
    pub resource: String,
    /// Its state in the words of the cluster: started, stopped, promoted, failed …
    pub state: String,
    /// The node it runs on.
    pub node: Option<String>,
}

/// A node of a site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its site.
    pub site: String,
    /// What enforces a lease's end if agent and stack are dead: `watchdog`, `process` or `none`.
    pub protection: String,
    /// Whether the guard answers.
    pub guard: bool,
    /// State of the cluster manager: `ok`, or what is wrong.
    pub cluster: String,
}
