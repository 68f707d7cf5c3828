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

/// Longest piece: what fourteen bits say.
pub(crate) const PIECE_BYTES_MAX: usize = (1 << 14) - 1;
/// What a piece costs beside its bytes: two bits of place and fourteen of length.
pub(crate) const PIECE_OVERHEAD: usize = 2;

/// What one sequence number carries: some small messages, or a part of a large one.
///
/// The messages lie one behind the other in one run of bytes, as they travel: nothing is taken apart
/// on the way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chunk {
    /// Whose it is.
    pub sender: NodeId,
    /// The guarantee of every message in it.
    pub guarantee: Guarantee,
    /// The messages, in the order in which they were submitted; read them with [`Chunk::pieces`].
    pub body: Vec<u8>,
}

impl Chunk {
    /// Each message, or part of one, with its place.
    ///
    /// Ends early where the bytes make no sense: a member of our own is broken then, and what it
    /// said after that is not guessed at.
    pub fn pieces(&self) -> impl Iterator<Item = (Place, &[u8])> {
        let mut rest = self.body.as_slice();
        std::iter::from_fn(move || {
            let (head, behind) = rest.split_first_chunk::<PIECE_OVERHEAD>()?;
            let word = u16::from_le_bytes(*head);
            let place =
                [Place::Whole, Place::First, Place::Middle, Place::Last][usize::from(word >> 14)];
            let (bytes, behind) = behind.split_at_checked(usize::from(word) & PIECE_BYTES_MAX)?;
            rest = behind;
            Some((place, bytes))
        })
    }

    /// Adds a message, or a part of one, of at most [`PIECE_BYTES_MAX`] bytes.
    pub(crate) fn add(&mut self, place: Place, bytes: &[u8]) {
        debug_assert!(
            bytes.len() <= PIECE_BYTES_MAX,
            "a piece fits into its length"
        );
        let word = (place as u16) << 14 | bytes.len() as u16;
        self.body.extend_from_slice(&word.to_le_bytes());
        self.body.extend_from_slice(bytes);
    }
}

/// What a member brings from its old view into a proposed one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// The process that says it: a view is one of processes, not of machines.
    pub incarnation: u64,
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
    /// "I end": the sender leaves in good order and says no more after this.
    Leave,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk(body: Vec<u8>) -> Chunk {
        Chunk {
            sender: NodeId(1),
            guarantee: Guarantee::Agreed,
            body,
        }
    }

    proptest! {
        #[test]
        fn pieces_come_back(parts in proptest::collection::vec((0_usize..4, proptest::collection::vec(any::<u8>(), 0..40)), 0..9)) {
            let places = [Place::Whole, Place::First, Place::Middle, Place::Last];
            let mut packed = chunk(Vec::new());
            parts.iter().for_each(|(place, bytes)| packed.add(places[*place], bytes));
            let back: Vec<_> = packed.pieces().map(|(place, bytes)| (place as usize, bytes.to_vec())).collect();
            prop_assert_eq!(back, parts);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(body: Vec<u8>) {
            let total: usize = chunk(body.clone()).pieces().map(|(_, bytes)| bytes.len()).sum();
            prop_assert!(total <= body.len());
        }
    }
}
