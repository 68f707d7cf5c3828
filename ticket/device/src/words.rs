//! What a node and the device say to each other, and its bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// First byte of every message; another one is of another version, or of another protocol.
const VERSION: u8 = 0xD1;
/// Longest message that is looked at.
const BYTES_MAX: usize = 2_048;

/// Nodes of a site, by number.
pub type Members = BTreeSet<u32>;

/// A conversation: the device's process and a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    /// New at every start of the device.
    pub device: u64,
    /// New at every greeting.
    pub count: u64,
}

/// What a node wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// A session: it has just started, or the device has.
    Greet,
    /// The vote for the view that it is in.
    Vote {
        /// Its members.
        members: Members,
    },
    /// Nothing any more: it ends.
    Release,
}

/// A node's question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Who asks; the link's certificate must be of the same node.
    pub node: u32,
    /// New at every start of the node.
    pub process: u64,
    /// `None` in a greeting.
    pub session: Option<Session>,
    /// Grows with each question of a process.
    pub number: u64,
    /// What for.
    pub wish: Wish,
}

/// The device's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whom it answers: node and process.
    pub process: u64,
    /// Which question.
    pub number: u64,
    /// What it says.
    pub verdict: Verdict,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Talk in this session.
    Session(Session),
    /// The view has the vote for so long from when the question was sent.
    Vote {
        /// How long.
        lease: Duration,
    },
    /// Not now.
    Wait {
        /// When asking again makes sense, at the earliest.
        again: Duration,
        /// Another view has the vote, or may have it; else the device waits for a better one.
        held: bool,
    },
    /// Never: the node, or a member of its view, is not one of this site at the device.
    Unknown,
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a quorum device's message of this version")]
pub struct Undecodable;

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Encoding into memory fails only for types that postcard cannot express: these are none.
    let body = postcard::to_allocvec(value).unwrap_or_default();
    [&[VERSION], body.as_slice()].concat()
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Undecodable> {
    match bytes.split_first() {
        Some((&VERSION, body)) if bytes.len() <= BYTES_MAX => {
            postcard::from_bytes(body).map_err(|_| Undecodable)
        }
        _ => Err(Undecodable),
    }
}

impl Ask {
    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what came.
    ///
    /// # Errors
    /// [`Undecodable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        decode(bytes)
    }
}

impl Answer {
    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what came.
    ///
    /// # Errors
    /// [`Undecodable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_and_others_are_refused() {
        let ask = Ask {
            node: 2,
            process: 7,
            session: Some(Session {
                device: 1,
                count: 3,
            }),
            number: 9,
            wish: Wish::Vote {
                members: Members::from([1, 2]),
            },
        };
        let bytes = ask.encode();
        assert_eq!(Ask::decode(&bytes), Ok(ask));
        assert_eq!(Ask::decode(&bytes[..bytes.len() - 1]), Err(Undecodable));
        assert_eq!(Ask::decode(&[]), Err(Undecodable));
        let mut other = bytes.clone();
        other[0] ^= 1;
        assert_eq!(Ask::decode(&other), Err(Undecodable));
        assert_eq!(Ask::decode(&vec![VERSION; 4_000]), Err(Undecodable));
    }
}
