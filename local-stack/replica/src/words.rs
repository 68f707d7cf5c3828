//! What the replicas say to each other, all of it in the site's one order.

use serde::{Deserialize, Serialize};

use crate::change::Change;

/// One agreement on who holds what: a view, or a view and who began to listen in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Round {
    /// The view's name.
    pub view: String,
    /// Who asked for it in the middle of the view, and which of its questions it is.
    pub attached: Option<(u32, u64)>,
}

/// Names an order to run something: the coordinator's incarnation, and its count.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct OrderId {
    /// The incarnation of the coordinator that gave it.
    pub incarnation: u64,
    /// Its number there.
    pub number: u64,
}

/// An operation that a node is to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Command {
    /// Its name.
    pub order: OrderId,
    /// The resource, as in history.
    pub resource: String,
    /// Agent class.
    pub class: String,
    /// Agent provider.
    pub provider: Option<String>,
    /// Agent type.
    pub kind: String,
    /// `start`, `monitor`, `cancel` ...
    pub operation: String,
    /// `RESOURCE_OPERATION_INTERVAL`.
    pub key: String,
    /// 0 for once.
    pub interval_ms: u32,
    /// How long the agent may take.
    pub timeout_ms: u32,
    /// The exit code that counts as success.
    pub target_rc: i32,
    /// Parameters and `CRM_meta_*`, sorted by name.
    pub attributes: Vec<(String, String)>,
    /// `action:transition:target-rc:uuid`, for the record.
    pub transition_key: String,
    /// A failed start counts as many failures as there can be.
    pub start_failure_is_fatal: bool,
}

impl Command {
    /// An attribute by name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self
            .attributes
            .binary_search_by(|(known, _)| known.as_str().cmp(name));
        found.ok().map(|at| self.attributes[at].1.as_str())
    }

    /// The instance parameters: what digests cover.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes
            .iter()
            .filter(|(name, _)| !name.starts_with("CRM_meta_"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether it is the same operation, whoever ordered it and when.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key == other.key
            && self.operation == other.operation
            && self.target_rc == other.target_rc
            && self.attributes == other.attributes
    }
}

/// What a node's copy is worth.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// The last quorate round in which the copy was current.
    pub era: u64,
    /// `admin_epoch`, `epoch`, `num_updates`.
    pub version: (u64, u64, u64),
    /// The round that the copy lived in and how many changes it took since; none after a start.
    pub line: Option<(Round, u64)>,
    /// Digest of the whole copy.
    pub digest: String,
    /// Who coordinated.
    pub coordinator: Option<u32>,
}

/// The first word of a node in a round.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hello {
    /// The round.
    pub round: Round,
    /// The sender's incarnation.
    pub incarnation: u64,
    /// What its copy is worth.
    pub standing: Standing,
    /// The view is quorate, as the sender sees it.
    pub quorate: bool,
    /// Operations whose result it owes.
    pub flying: Vec<Command>,
}

/// A copy on its way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Whole {
    /// The round.
    pub round: Round,
    /// The CIB, status included.
    pub cib: String,
    /// Node, lane, incarnation, number: the last change of each sender that is in it.
    pub seen: Vec<(u32, bool, u64, u64)>,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// A new round begins here: the sender listens from now on, or has a reason to ask everybody again.
    Attach {
        /// The view.
        view: String,
        /// Unlike that of every other.
        nonce: u64,
    },
    /// What the sender holds.
    Hello(Box<Hello>),
    /// These nodes do not answer: the round goes on without them.
    Skip {
        /// The round.
        round: Round,
        /// Nodes of the view.
        missing: Vec<u32>,
    },
    /// The chosen copy.
    Whole(Box<Whole>),
    /// The sender's own part of the status, which nobody knows better.
    Mine {
        /// The round.
        round: Round,
        /// Its `node_state`; empty if it has none.
        state: String,
    },
    /// A change.
    Change {
        /// The round.
        round: Round,
        /// Counts the sender's changes, those of the configuration apart.
        number: u64,
        /// What.
        change: Box<Change>,
    },
    /// The sender has its copy on disk, up to the configuration's change of this number in the round.
    Stored {
        /// The round.
        round: Round,
        /// 0 is the copy that the round began with.
        number: u64,
    },
    /// A node is to run something.
    Command {
        /// The round.
        round: Round,
        /// The node.
        to: u32,
        /// What.
        command: Box<Command>,
    },
    /// A node is to end something that it runs.
    Abort {
        /// The round.
        round: Round,
        /// The node.
        to: u32,
        /// Which order.
        order: OrderId,
    },
    /// Everybody is to say the digest of its copy at this very place.
    Check {
        /// The round.
        round: Round,
    },
    /// It.
    Digest {
        /// The round.
        round: Round,
        /// Digest of the copy.
        digest: String,
    },
}

impl Word {
    /// For the network. `None` for what cannot be encoded, which no word is.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// From the network.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// What became of a change of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is in force, and a quorum has it on disk.
    Done,
    /// It was not made: nothing changed.
    Refused(String),
    /// It was in force here, and a quorate round went on without it; or nobody can say.
    Unknown(String),
}
