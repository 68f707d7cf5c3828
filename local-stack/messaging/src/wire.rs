//! The core's packets as bytes of a frame.
//!
//! ```text
//! 0 beat     sent u64 | echo u64 | kept u64 | flags u8          of a path, see `path.rs`
//! 1 data     incarnation u64 | view (u64 u32 u64) | seq u64 | sender u32 | guarantee u8 | body
//! 2 recover  the same
//! 3 other    postcard of the envelope
//! 4 filler   zeros, that a wide path is seen to be wide
//! ```
//! Integers are little-endian. Data is by far the most, so it is laid out by hand: its body goes from
//! the chunk to the datagram, and back, in one copy each.

use std::sync::Arc;

use membership::{Chunk, Envelope, Guarantee, NodeId, Packet, ViewId};

/// Bytes of a data frame beside the chunk's body.
pub(crate) const DATA_HEAD: usize = 1 + 8 + 20 + 8 + 4 + 1;
/// Bytes of a beat.
pub(crate) const BEAT_BYTES: usize = 26;

const BEAT: u8 = 0;
const DATA: u8 = 1;
const RECOVER: u8 = 2;
const OTHER: u8 = 3;
const FILLER: u8 = 4;

/// What a path's two ends tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    /// The sender's clock, ns.
    pub(crate) sent: u64,
    /// The receiver's clock as it came with its last beat here; 0: none yet.
    pub(crate) echo: u64,
    /// For how long that was kept, ns.
    pub(crate) kept: u64,
    /// The sender hears the receiver on this path.
    pub(crate) hears: bool,
    /// A datagram of full size came lately.
    pub(crate) wide: bool,
}

/// One frame, read.
pub(crate) enum Frame {
    Beat(Beat),
    Packet(Envelope),
    Filler,
}

impl Beat {
    pub(crate) fn encode(self) -> [u8; BEAT_BYTES] {
        let mut bytes = [0; BEAT_BYTES];
        bytes[0] = BEAT;
        bytes[1..9].copy_from_slice(&self.sent.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.echo.to_le_bytes());
        bytes[17..25].copy_from_slice(&self.kept.to_le_bytes());
        bytes[25] = u8::from(self.hears) | u8::from(self.wide) << 1;
        bytes
    }
}

/// A filler of `length` bytes.
pub(crate) fn filler(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length.max(1)];
    bytes[0] = FILLER;
    bytes
}

/// Hands the frame of a packet, in two parts, to `take`.
pub(crate) fn encode(envelope: &Envelope, take: impl FnOnce(&[u8], &[u8])) {
    let (kind, view, seq, chunk) = match &envelope.packet {
        Packet::Data { view, seq, chunk } => (DATA, view, seq, chunk),
        Packet::Recover { view, seq, chunk } => (RECOVER, view, seq, chunk),
        _ => {
            // Encoding into memory fails only for types that postcard cannot express: not these.
            if let Ok(bytes) = postcard::to_allocvec(envelope) {
                take(&[OTHER], &bytes);
            }
            return;
        }
    };
    let mut head = [0; DATA_HEAD];
    head[0] = kind;
    head[1..9].copy_from_slice(&envelope.incarnation.to_le_bytes());
    head[9..17].copy_from_slice(&view.counter.to_le_bytes());
    head[17..21].copy_from_slice(&view.coordinator.0.to_le_bytes());
    head[21..29].copy_from_slice(&view.incarnation.to_le_bytes());
    head[29..37].copy_from_slice(&seq.to_le_bytes());
    head[37..41].copy_from_slice(&chunk.sender.0.to_le_bytes());
    head[41] = u8::from(chunk.guarantee == Guarantee::Safe);
    take(&head, &chunk.body);
}

/// Reads a frame. `None`: it makes no sense.
pub(crate) fn decode(frame: &[u8]) -> Option<Frame> {
    match *frame.first()? {
        BEAT => {
            let bytes = <&[u8; BEAT_BYTES]>::try_from(frame).ok()?;
            Some(Frame::Beat(Beat {
                sent: u64_at(bytes, 1)?,
                echo: u64_at(bytes, 9)?,
                kept: u64_at(bytes, 17)?,
                hears: bytes[25] & 1 != 0,
                wide: bytes[25] & 2 != 0,
            }))
        }
        kind @ (DATA | RECOVER) => {
            let (head, body) = frame.split_at_checked(DATA_HEAD)?;
            let view = ViewId {
                counter: u64_at(head, 9)?,
                coordinator: NodeId(u32_at(head, 17)?),
                incarnation: u64_at(head, 21)?,
            };
            let seq = u64_at(head, 29)?;
            let chunk = Arc::new(Chunk {
                sender: NodeId(u32_at(head, 37)?),
                guarantee: if head[41] == 0 {
                    Guarantee::Agreed
                } else {
                    Guarantee::Safe
                },
                body: body.to_vec(),
            });
            let packet = if kind == DATA {
                Packet::Data { view, seq, chunk }
            } else {
                Packet::Recover { view, seq, chunk }
            };
            let incarnation = u64_at(head, 1)?;
            Some(Frame::Packet(Envelope {
                incarnation,
                packet,
            }))
        }
        OTHER => postcard::from_bytes(&frame[1..]).ok().map(Frame::Packet),
        FILLER => Some(Frame::Filler),
        _ => None,
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn back(envelope: &Envelope) -> Option<Envelope> {
        let mut frame = Vec::new();
        encode(envelope, |head, body| frame = [head, body].concat());
        match decode(&frame)? {
            Frame::Packet(envelope) => Some(envelope),
            _ => None,
        }
    }

    #[test]
    fn packets_come_back() {
        let view = ViewId {
            counter: 5,
            coordinator: NodeId(2),
            incarnation: u64::MAX,
        };
        let chunk = Arc::new(Chunk {
            sender: NodeId(3),
            guarantee: Guarantee::Safe,
            body: vec![1, 2, 3],
        });
        for packet in [
            Packet::Data {
                view,
                seq: 9,
                chunk: Arc::clone(&chunk),
            },
            Packet::Recover {
                view,
                seq: 1 << 40,
                chunk,
            },
            Packet::Ack { view, have: 7 },
            Packet::Install { view },
        ] {
            let envelope = Envelope {
                incarnation: 77,
                packet,
            };
            assert_eq!(back(&envelope), Some(envelope));
        }
    }

    #[test]
    fn beats_come_back() {
        for flags in 0..4 {
            let beat = Beat {
                sent: 1,
                echo: 2,
                kept: 3,
                hears: flags & 1 != 0,
                wide: flags & 2 != 0,
            };
            assert!(matches!(decode(&beat.encode()), Some(Frame::Beat(read)) if read == beat));
        }
    }

    proptest! {
        #[test]
        fn any_frame_is_read_without_a_panic(frame: Vec<u8>) {
            let _ = decode(&frame);
        }
    }
}
