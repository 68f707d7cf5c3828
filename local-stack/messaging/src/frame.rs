//! Frames in datagrams: several small ones share one, a long one goes on in the next.
//!
//! ```text
//! content of a datagram: (word u16 | bytes)*, then zeros
//! word: bit 15: goes on in the next datagram; bit 14: begun in the one before; 14 bits of length
//! ```
//! Frames are cut only where they do not fit into one datagram of the path's size: that is how
//! messages numbered for one size survive a path that has become narrower.

use crate::seal::{HEAD_BYTES, Outbound, TAG_BYTES};

/// Bytes before each frame.
pub(crate) const FRAME_HEAD: usize = 2;
/// Longest frame: what a view change of the largest site says, with room.
const FRAME_BYTES_MAX: usize = 64 << 10;
const GOES_ON: u16 = 1 << 15;
const BEGUN: u16 = 1 << 14;
const LENGTH: u16 = BEGUN - 1;

/// Datagrams of one path on their way out, sealed, one behind the other: all of the same size but
/// the last, so that one system call sends many.
pub(crate) struct Packer {
    size: usize,
    batch: Vec<u8>,
    /// Where the datagram that is being filled begins.
    open: Option<usize>,
    /// Datagrams under the peer's key that could not be sealed.
    pub(crate) unsealed: u64,
}

impl Packer {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            batch: Vec::new(),
            open: None,
            unsealed: 0,
        }
    }

    /// Datagrams from now on; only between batches.
    pub(crate) fn set_size(&mut self, size: usize) {
        debug_assert!(self.batch.is_empty(), "sizes change between batches");
        self.size = size;
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Adds a frame given in two parts. A frame that is too long is left out: nobody sends one.
    pub(crate) fn push(&mut self, key: &mut Outbound, head: &[u8], body: &[u8]) {
        let (mut head, mut body) = (head, body);
        if head.len() + body.len() > FRAME_BYTES_MAX {
            self.unsealed += 1;
            return;
        }
        let whole = self.size - HEAD_BYTES - TAG_BYTES - FRAME_HEAD;
        if head.len() + body.len() <= whole && self.room() < head.len() + body.len() {
            self.close(key, true);
        }
        let mut flags = 0;
        loop {
            if self.room() == 0 {
                self.close(key, true);
            }
            let room = self.room();
            let left = head.len() + body.len();
            let take = left.min(room);
            let more = if take < left { GOES_ON } else { 0 };
            self.begin();
            let word = take as u16 | flags | more;
            self.batch.extend_from_slice(&word.to_be_bytes());
            let (now, later) = head.split_at(take.min(head.len()));
            self.batch.extend_from_slice(now);
            let (now_body, later_body) = body.split_at(take - now.len());
            self.batch.extend_from_slice(now_body);
            (head, body) = (later, later_body);
            if more == 0 {
                return;
            }
            self.close(key, true);
            flags = BEGUN;
        }
    }

    /// Room for a frame's bytes in the datagram that is being filled.
    fn room(&self) -> usize {
        let used = self
            .open
            .map_or(HEAD_BYTES, |start| self.batch.len() - start);
        self.size.saturating_sub(used + TAG_BYTES + FRAME_HEAD)
    }

    fn begin(&mut self) {
        if self.open.is_none() {
            self.open = Some(self.batch.len());
            self.batch.resize(self.batch.len() + HEAD_BYTES, 0);
        }
    }

    fn close(&mut self, key: &mut Outbound, pad: bool) {
        let Some(start) = self.open.take() else {
            return;
        };
        if pad {
            self.batch.resize(start + self.size - TAG_BYTES, 0);
        }
        if key.seal(&mut self.batch, start).is_none() {
            self.batch.truncate(start);
            self.unsealed += 1;
        }
    }

    /// Is there as much as one system call takes?
    pub(crate) fn full(&self, most: usize) -> bool {
        self.batch.len() >= most
    }

    /// Everything up to here, sealed; take it with [`Packer::clear`] afterwards. `pad`: the last
    /// datagram is filled up as well.
    pub(crate) fn finish(&mut self, key: &mut Outbound, pad: bool) -> &[u8] {
        self.close(key, pad);
        &self.batch
    }

    pub(crate) fn clear(&mut self) {
        self.batch.clear();
        self.open = None;
    }
}

/// The receiving end of one path: frames that were cut.
#[derive(Default)]
pub(crate) struct Unpacker {
    /// Counter of the datagram whose last frame goes on, and what there is of it.
    begun: Option<(u64, Vec<u8>)>,
}

impl Unpacker {
    /// Hands each whole frame of a datagram to `take`.
    pub(crate) fn unpack(&mut self, counter: u64, content: &[u8], mut take: impl FnMut(&[u8])) {
        let mut rest = content;
        while let Some((head, behind)) = rest.split_first_chunk::<FRAME_HEAD>() {
            let word = u16::from_be_bytes(*head);
            if word == 0 {
                return;
            }
            let Some((bytes, behind)) = behind.split_at_checked(usize::from(word & LENGTH)) else {
                return;
            };
            rest = behind;
            let (begun, goes_on) = (word & BEGUN != 0, word & GOES_ON != 0);
            if !begun && !goes_on {
                take(bytes);
                continue;
            }
            let mut whole = Vec::new();
            if begun {
                // Its beginning was lost or is late: whoever waits for it asks for it again.
                let Some((_, first)) = self
                    .begun
                    .take()
                    .filter(|(last, _)| last.checked_add(1) == Some(counter))
                else {
                    continue;
                };
                whole = first;
            }
            if whole.len() + bytes.len() > FRAME_BYTES_MAX {
                continue;
            }
            whole.extend_from_slice(bytes);
            if goes_on {
                self.begun = Some((counter, whole));
            } else {
                take(&whole);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Inbound;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_come_back(
            size in 100_usize..1_500,
            lengths in proptest::collection::vec(1_usize..4_000, 1..30),
        ) {
            let mut key = Outbound::new(1, &[3; 32]).unwrap();
            let mut inn = Inbound::new(&[3; 32]).unwrap();
            let mut packer = Packer::new(size);
            let frames: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(n, length)| vec![n as u8 + 1; *length]).collect();
            for frame in &frames {
                let (head, body) = frame.split_at(frame.len() / 3);
                packer.push(&mut key, head, body);
            }
            let mut batch = packer.finish(&mut key, false).to_vec();
            let (mut unpacker, mut back) = (Unpacker::default(), Vec::new());
            for datagram in batch.chunks_mut(size) {
                let (counter, content) = inn.open(datagram).expect("all of one size but the last");
                unpacker.unpack(counter, content, |frame| back.push(frame.to_vec()));
            }
            prop_assert_eq!(back, frames);
        }

        #[test]
        fn any_content_is_read_without_a_panic(content: Vec<u8>, counter: u64) {
            let mut unpacker = Unpacker::default();
            unpacker.unpack(counter, &content, |_| {});
            unpacker.unpack(counter.wrapping_add(1), &content, |_| {});
        }
    }
}
