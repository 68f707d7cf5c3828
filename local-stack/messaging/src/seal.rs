//! Sealed datagrams: what a peer may have sent, and that it came once.
//!
//! ```text
//! key id u32 | counter u64 | AES-256-GCM(content) | tag 16      (integers big-endian)
//! ```
//! A key is for one sender, one receiver, one network. The receiver makes it and hands it over on the
//! QUIC link, whose both ends have proven who they are by certificate; so a datagram that opens is
//! that member's, and nobody else's bytes get any further than here. The counter is the nonce: it
//! only grows, and a window of the last ones refuses repetitions.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Bytes before the sealed content.
pub(crate) const HEAD_BYTES: usize = 12;
/// Bytes after it.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// How far a datagram may be overtaken: some bursts of one system call each.
const WINDOW: u64 = 4_096;
const WINDOW_WORDS: usize = (WINDOW / 64) as usize;
/// AES-GCM keeps its promise for this many packets of our size under one key (RFC 9001, B.1.1, for
/// packets up to 2 kB); no more are sealed. A new key comes every ten minutes (`keys.rs`): to get here
/// before that takes 400,000 datagrams a second.
const SEALED_MAX: u64 = 1 << 28;

/// The sending half of a key.
pub(crate) struct Outbound {
    id: u32,
    key: LessSafeKey,
    next: u64,
}

/// The receiving half.
pub(crate) struct Inbound {
    key: LessSafeKey,
    replay: Replay,
}

fn key(bytes: &[u8; KEY_BYTES]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes)
        .ok()
        .map(LessSafeKey::new)
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl Outbound {
    /// `None` if the bytes are no key, which for this cipher does not happen.
    pub(crate) fn new(id: u32, bytes: &[u8; KEY_BYTES]) -> Option<Self> {
        let key = key(bytes)?;
        Some(Self { id, key, next: 0 })
    }

    /// Seals `datagram`: [`HEAD_BYTES`] of room and the content, to which the tag is added. `None`
    /// when the key is used up: nothing may be sent under it any more.
    pub(crate) fn seal(&mut self, datagram: &mut Vec<u8>, start: usize) -> Option<()> {
        if self.next >= SEALED_MAX {
            return None;
        }
        let counter = self.next;
        self.next += 1;
        let (head, content) = datagram
            .get_mut(start..)?
            .split_at_mut_checked(HEAD_BYTES)?;
        head[..4].copy_from_slice(&self.id.to_be_bytes());
        head[4..].copy_from_slice(&counter.to_be_bytes());
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(counter), Aad::from(&*head), content)
            .ok()?;
        datagram.extend_from_slice(tag.as_ref());
        Some(())
    }
}

/// The key id that a datagram names.
pub(crate) fn key_id(datagram: &[u8]) -> Option<u32> {
    let head = datagram.first_chunk::<4>()?;
    (datagram.len() >= HEAD_BYTES + TAG_BYTES).then(|| u32::from_be_bytes(*head))
}

impl Inbound {
    /// As [`Outbound::new`].
    pub(crate) fn new(bytes: &[u8; KEY_BYTES]) -> Option<Self> {
        Some(Self {
            key: key(bytes)?,
            replay: Replay::default(),
        })
    }

    /// Opens a datagram in place: its counter and content. `None`: forged, damaged, or seen before.
    pub(crate) fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Option<(u64, &'a [u8])> {
        let (head, sealed) = datagram.split_at_mut_checked(HEAD_BYTES)?;
        let counter = u64::from_be_bytes(head[4..].try_into().ok()?);
        if self.replay.seen(counter) {
            return None;
        }
        let content = self
            .key
            .open_in_place(nonce(counter), Aad::from(&*head), sealed)
            .ok()?;
        self.replay.note(counter);
        Some((counter, content))
    }
}

/// Which of the last counters have come.
struct Replay {
    /// One more than the greatest.
    next: u64,
    bits: Vec<u64>,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            next: 0,
            bits: vec![0; WINDOW_WORDS],
        }
    }
}

impl Replay {
    fn seen(&self, counter: u64) -> bool {
        if counter >= self.next {
            return false;
        }
        let (word, bit) = place(counter);
        self.next - counter > WINDOW || self.bits[word] & bit != 0
    }

    fn note(&mut self, counter: u64) {
        // What lies between is not there yet.
        let from = self.next.max((counter + 1).saturating_sub(WINDOW));
        for skipped in from..counter {
            let (word, bit) = place(skipped);
            self.bits[word] &= !bit;
        }
        let (word, bit) = place(counter);
        self.bits[word] |= bit;
        self.next = self.next.max(counter + 1);
    }
}

fn place(counter: u64) -> (usize, u64) {
    let at = (counter % WINDOW) as usize;
    (at / 64, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn sealed(out: &mut Outbound, content: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0; HEAD_BYTES];
        datagram.extend_from_slice(content);
        out.seal(&mut datagram, 0).expect("not used up");
        datagram
    }

    #[test]
    fn opens_once_and_only_untouched() {
        let mut out = Outbound::new(7, &[1; 32]).unwrap();
        let mut inn = Inbound::new(&[1; 32]).unwrap();
        let good = sealed(&mut out, b"hello");
        assert_eq!(key_id(&good), Some(7));
        for at in 0..good.len() {
            let mut bent = good.clone();
            bent[at] ^= 1;
            assert!(inn.open(&mut bent).is_none(), "byte {at} was changed");
        }
        assert!(inn.open(&mut good[..20].to_vec()).is_none(), "cut short");
        assert_eq!(inn.open(&mut good.clone()), Some((0, b"hello".as_slice())));
        assert!(inn.open(&mut good.clone()).is_none(), "a second time");
        let mut other = Inbound::new(&[2; 32]).unwrap();
        assert!(other.open(&mut good.clone()).is_none(), "another key");
    }

    proptest! {
        #[test]
        fn each_counter_once(counters in proptest::collection::vec(0_u64..9_000, 0..200)) {
            let (mut replay, mut taken, mut greatest) = (Replay::default(), BTreeSet::new(), 0);
            for counter in counters {
                let old = greatest >= WINDOW && counter <= greatest - WINDOW;
                let seen = replay.seen(counter);
                prop_assert_eq!(seen, old || taken.contains(&counter));
                if !seen {
                    replay.note(counter);
                    taken.insert(counter);
                    greatest = greatest.max(counter);
                }
            }
        }
    }
}
