//! What nodes say to each other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, NodeSet, Time, ViewId};
use crate::ranges::Ranges;

/// What the application asks of a message's delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Guarantee {
    /// In the one order.
    Agreed,
    /// In the one order, and only once every member of the view has stored it.
    Safe,
}

/// Which part of a message a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    /// All of it.
    Whole,
    /// Its beginning.
    First,
    /// Neither beginning nor end.
    Middle,
    /// Its end.
    Last,
}

/// A message, or a part of one that did not fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Piece {
    /// Which part.
    pub place: Place,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What one sequence number carries: some small messages, or a part of a large one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chunk {
    /// Whose it is.
    pub sender: NodeId,
    /// The guarantee of every message in it.
    pub guarantee: Guarantee,
    /// The messages, in the order in which they were submitted.
    pub pieces: Vec<Piece>,
}

/// What a member brings from its old view into a proposed one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// The last view that it installed.
    pub old_view: ViewId,
    /// The sequence numbers of that view that it holds.
    pub held: Ranges,
    /// Every member of the old view is known to hold everything up to here.
    pub stable: u64,
    /// Senders whose messages it has promised to deliver even behind a gap, because it had agreed to
    /// do so in an earlier, failed recovery from the same view.
    pub obligation: NodeSet,
}

/// A packet and the incarnation of the process that sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// New at every start of the sender.
    pub incarnation: u64,
    /// What it says.
    pub packet: Packet,
}

/// One packet's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packet {
    /// "I am here": to every configured node.
    Heartbeat {
        /// The view that the sender has installed.
        view: ViewId,
        /// Is it working in that view, rather than agreeing on the next?
        operational: bool,
        /// Whom it has heard lately.
        heard: NodeSet,
        /// Which members it suspects.
        suspects: NodeSet,
        /// Its clock, to be echoed.
        sent: Time,
        /// The receiver's clock as last heard, and for how long (ns) it was kept.
        echo: Option<(Time, u64)>,
        /// It holds everything up to here.
        have: u64,
        /// Everybody holds everything up to here, as far as it knows.
        stable: u64,
        /// The greatest sequence number that it has heard of.
        high: u64,
    },
    /// "These should form the next view": to all of them.
    Join {
        /// The greatest view counter that the sender has heard of.
        counter: u64,
        /// The newest proposal that the sender had taken: tells a join that comes late, from before
        /// a view was agreed, from one that gives that view up.
        promised: Option<ViewId>,
        /// Candidates.
        candidates: NodeSet,
        /// Those of them that it holds to have failed.
        failed: NodeSet,
    },
    /// The coordinator's proposal, once all sets were equal.
    Propose {
        /// The view to be.
        view: ViewId,
        /// Its members.
        members: NodeSet,
    },
    /// The answer to a proposal.
    Info {
        /// The view to be.
        view: ViewId,
        /// What the sender brings.
        info: MemberInfo,
    },
    /// Everybody's answers.
    Plan {
        /// The view to be.
        view: ViewId,
        /// What each member brings.
        infos: Arc<Vec<(NodeId, MemberInfo)>>,
    },
    /// "I miss these of our old view."
    Miss {
        /// The view to be.
        view: ViewId,
        /// What is missing.
        missing: Ranges,
    },
    /// A message of the old view, for a member that misses it.
    Recover {
        /// The view to be.
        view: ViewId,
        /// The message's number in the old view.
        seq: u64,
        /// The message.
        chunk: Arc<Chunk>,
    },
    /// "I hold what anybody of my old view held."
    Recovered {
        /// The view to be.
        view: ViewId,
    },
    /// The view is in force.
    Install {
        /// The view.
        view: ViewId,
    },
    /// "I need sequence numbers": to the coordinator.
    Request {
        /// The view.
        view: ViewId,
        /// How many in all since the view began.
        wanted: u64,
        /// How many of them have arrived.
        granted: u64,
        /// As in a heartbeat.
        have: u64,
    },
    /// Sequence numbers for the receiver.
    Grant {
        /// The view.
        view: ViewId,
        /// How many the receiver had got before these.
        index: u64,
        /// The first.
        first: u64,
        /// How many.
        count: u64,
        /// As in a heartbeat.
        stable: u64,
    },
    /// A message.
    Data {
        /// The view.
        view: ViewId,
        /// Its number.
        seq: u64,
        /// The message.
        chunk: Arc<Chunk>,
    },
    /// "I miss these."
    Nack {
        /// The view.
        view: ViewId,
        /// What is missing.
        missing: Ranges,
    },
    /// "I hold everything up to here": to the coordinator.
    Ack {
        /// The view.
        view: ViewId,
        /// Up to where.
        have: u64,
    },
    /// "Everybody holds everything up to here": from the coordinator.
    Stable {
        /// The view.
        view: ViewId,
        /// Up to where.
        stable: u64,
        /// The greatest number handed out.
        high: u64,
    },
}
