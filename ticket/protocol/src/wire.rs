//! Messages and states as bytes: version, kind, length, checksum, then postcard.
//!
//! Every byte from outside goes through [`decode_message`] or [`decode_state`], which accept
//! exactly what [`encode_message`] and [`encode_state`] made and nothing else.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::durable::DurableState;
use crate::message::Message;

/// The version of the format: the first byte. A change of any type that travels or is stored
/// raises it.
pub const VERSION: u8 = 2;
/// Version, kind, length (4), checksum (4).
const HEAD: usize = 10;
const KIND_MESSAGE: u8 = 1;
const KIND_STATE: u8 = 2;
/// Far above every datagram: nobody makes us allocate more.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Room for 10,000 tickets at a few hundred bytes each.
const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why bytes are not what they should be. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Cut off, or too long.
    #[error("the length is wrong")]
    Length,
    /// Written by another version.
    #[error("format version {0}, this is version {VERSION}")]
    Version(u8),
    /// Something else than what was asked for.
    #[error("not of this kind")]
    Kind,
    /// Bytes were changed.
    #[error("the checksum is wrong")]
    Checksum,
    /// The checksum is right, but it makes no sense.
    #[error("not understood")]
    Content,
}

/// A message as bytes.
#[must_use]
pub fn encode_message(message: &Message) -> Vec<u8> {
    encode(KIND_MESSAGE, message)
}

/// A message from bytes.
///
/// # Errors
/// The sender is at fault, or the network; nothing was changed.
pub fn decode_message(bytes: &[u8]) -> Result<Message, DecodeError> {
    decode(KIND_MESSAGE, bytes, MESSAGE_BYTES_MAX)
}

/// A state as bytes.
#[must_use]
pub fn encode_state(state: &DurableState) -> Vec<u8> {
    encode(KIND_STATE, state)
}

/// A state from bytes.
///
/// # Errors
/// The disk is at fault, or an older version wrote it; nothing was changed.
pub fn decode_state(bytes: &[u8]) -> Result<DurableState, DecodeError> {
    decode(KIND_STATE, bytes, STATE_BYTES_MAX)
}

fn encode<T: Serialize>(kind: u8, content: &T) -> Vec<u8> {
    let head = vec![VERSION, kind, 0, 0, 0, 0, 0, 0, 0, 0];
    #[expect(
        clippy::expect_used,
        reason = "postcard fails only for types that we do not use"
    )]
    let mut bytes = postcard::to_extend(content, head).expect("plain data serialises");
    let length = u32::try_from(bytes.len() - HEAD).unwrap_or(u32::MAX);
    bytes[2..6].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes);
    bytes[6..10].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode<T: DeserializeOwned>(kind: u8, bytes: &[u8], max: usize) -> Result<T, DecodeError> {
    let (Some(head), Some(content)) = (bytes.get(..HEAD), bytes.get(HEAD..)) else {
        return Err(DecodeError::Length);
    };
    if head[0] != VERSION {
        return Err(DecodeError::Version(head[0]));
    }
    if head[1] != kind {
        return Err(DecodeError::Kind);
    }
    let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
    if length != content.len() || length > max {
        return Err(DecodeError::Length);
    }
    if u32::from_le_bytes([head[6], head[7], head[8], head[9]]) != checksum(bytes) {
        return Err(DecodeError::Checksum);
    }
    match postcard::take_from_bytes(content) {
        Ok((value, [])) => Ok(value),
        _ => Err(DecodeError::Content),
    }
}

/// Over everything but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..6]);
    hasher.update(&bytes[HEAD..]);
    hasher.finalize()
}
