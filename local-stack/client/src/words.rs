//! What is said on the socket.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Longest message.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest name of a group.
pub const GROUP_BYTES_MAX: usize = 128;
/// Longest frame: a message with its head, or an answer.
pub const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 1_024;
/// Bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;

/// Kinds of frames to the daemon.
pub mod to_daemon {
    /// A message to a group.
    pub const SEND: u8 = 1;
    /// A request.
    pub const ASK: u8 = 2;
}

/// Kinds of frames from the daemon.
pub mod from_daemon {
    /// A message to a group.
    pub const MESSAGE: u8 = 1;
    /// The answer to a request.
    pub const ANSWER: u8 = 2;
    /// Something happened.
    pub const NOTICE: u8 = 3;
}

/// What a sender asks of a message's delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// In the one order of the site.
    Agreed,
    /// In the one order, and only once every member of the view has stored it.
    Safe,
}

/// A request with its number, which the answer repeats.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ask {
    /// Chosen by the client.
    pub id: u64,
    /// What.
    #[serde(rename = "do")]
    pub what: Do,
}

/// What can be asked of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Do {
    /// Become a member of a group.
    Join {
        /// Its name, of 1 to [`GROUP_BYTES_MAX`] bytes.
        group: String,
    },
    /// Leave a group.
    Leave {
        /// Its name.
        group: String,
    },
    /// All groups and their members.
    Groups,
    /// The node, its view, its quorum.
    Status,
    /// Every path to every peer.
    Links,
    /// Counters.
    Stats,
    /// From now on, tell of views and quorum.
    Follow,
    /// One key of the store.
    Get {
        /// Its name.
        key: String,
    },
    /// All keys of the store that begin so.
    List {
        /// The beginning; empty: all.
        prefix: String,
    },
    /// Change keys, all or none: refused unless every condition holds where the change is ordered.
    Update {
        /// What must be so.
        #[serde(default, rename = "if")]
        conditions: Vec<Condition>,
        /// What shall be so; no value: removed.
        set: Vec<(String, Option<Value>)>,
    },
    /// From now on, tell each change of keys that begin so, in order; first those that are there.
    Watch {
        /// The beginning; empty: all.
        prefix: String,
    },
    /// Change the nodes of the site, while they run.
    Node(NodeChange),
}

/// A change of the site's nodes. One at a time, and only where there is quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NodeChange {
    /// A new node. It may start afterwards.
    Add {
        /// Its name, as in its certificate.
        name: String,
        /// Its address in each network, in their order.
        addresses: Vec<IpAddr>,
    },
    /// A node goes: its connections are closed, and its certificate opens nothing any more.
    Remove {
        /// Its name.
        name: String,
    },
    /// A node is found elsewhere from now on.
    Move {
        /// Its name.
        name: String,
        /// Its address in each network, in their order.
        addresses: Vec<IpAddr>,
    },
}

/// What must be so for an update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The key.
    pub key: String,
    /// Its value; `None`: it must not exist.
    pub value: Option<Value>,
}

/// A value of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A whole number, not negative.
    Unsigned(u64),
    /// A whole number.
    Signed(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Any bytes.
    Bytes(Vec<u8>),
}

/// An answer with the request's number.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The request's.
    pub id: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Ok(Answer),
    /// Refused: nothing changed.
    Error(Refusal),
}

/// Why something was refused, and whether it may have been done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What happened, and what to do instead.
    pub message: String,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done; for [`Do::Join`] with our own number at this node.
    Done {
        /// This node.
        node: u32,
        /// This client.
        client: u64,
    },
    /// For [`Do::Groups`].
    Groups(Vec<Group>),
    /// For [`Do::Status`].
    Status(Box<Status>),
    /// For [`Do::Links`].
    Links(Vec<Link>),
    /// For [`Do::Stats`]: keys of the store under `runtime.`.
    Stats(Vec<(String, Value)>),
    /// For [`Do::Get`] and [`Do::List`].
    Keys(Vec<(String, Value)>),
    /// For [`Do::Update`] and [`Do::Node`]: the version that it made, of the store or of the list.
    Updated {
        /// Grows with every change, the same at every node.
        version: u64,
    },
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Node and client of each member.
    pub members: Vec<(u32, u64)>,
}

/// A node as another sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Is it in the view?
    pub member: bool,
    /// Votes.
    pub votes: u32,
    /// Its address in each network, in their order.
    pub addresses: Vec<IpAddr>,
}

/// May this view act?
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Yes or no.
    pub quorate: bool,
    /// Votes present.
    pub votes: u32,
    /// Votes needed.
    pub needed: u32,
    /// Votes expected.
    pub expected: u32,
    /// Why not, or by which variant; empty: a plain majority.
    pub reason: String,
}

/// A change of the membership, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Milliseconds ago.
    pub ago_ms: u64,
    /// Why, in a sentence.
    pub why: String,
}

/// One node's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The cluster's name.
    pub cluster: String,
    /// This node's name.
    pub node: String,
    /// The view's name, COUNTER.COORDINATOR.
    pub view: String,
    /// Is it in force, or is the next being agreed?
    pub in_force: bool,
    /// All configured nodes.
    pub nodes: Vec<NodeState>,
    /// Grows with each node that is added or removed; the same at every node.
    pub nodes_version: u64,
    /// May this view act?
    pub quorum: Quorum,
    /// The last changes of the membership.
    pub causes: Vec<Cause>,
    /// Datagrams that did not open, and where the last came from.
    pub refused: Refused,
    /// What this process may not do, and what that costs.
    pub limits: Vec<String>,
}

/// What was not let in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Datagrams under no key of ours.
    pub unknown_key: u64,
    /// Datagrams that were forged, damaged or repeated.
    pub not_opened: u64,
    /// Frames that made no sense, of a member of our own.
    pub unreadable: u64,
    /// Connections refused: wrong certificate, another cluster.
    pub connections: u64,
    /// The last of them: from where, and why.
    pub last: Option<String>,
}

/// What a path is good for just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// It carries our messages.
    InUse,
    /// It works.
    Standby,
    /// Connected once, but no beats come.
    Silent,
    /// Never connected.
    NotConnected,
}

/// Counters of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCounters {
    /// Datagrams sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Datagrams that the system did not take.
    pub send_failed: u64,
    /// Datagrams received.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Times that it came up or went down.
    pub changes: u64,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The peer's name.
    pub peer: String,
    /// The network's name.
    pub network: String,
    /// The peer's address there.
    pub address: String,
    /// What it is good for.
    pub state: LinkState,
    /// Round trip, microseconds, smoothed.
    pub round_trip_us: Option<u64>,
    /// Bytes of a datagram.
    pub datagram_bytes: usize,
    /// Its counters.
    pub counters: LinkCounters,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// A group's members changed.
    Members(Group),
    /// A new view is in force.
    View {
        /// Its name.
        view: String,
        /// Its members.
        members: Vec<u32>,
    },
    /// The view ends, and these members go on together.
    Transitional {
        /// They.
        members: Vec<u32>,
    },
    /// Quorum was found or lost, or its votes changed.
    Quorum(Quorum),
    /// A watched key changed.
    Changed {
        /// The key.
        key: String,
        /// Its value; `None`: removed.
        value: Option<Value>,
        /// The store's version with it.
        version: u64,
    },
    /// The daemon ends the connection.
    Closing {
        /// Why.
        why: String,
    },
}
