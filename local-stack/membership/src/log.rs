//! The messages of one view, by sequence number.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::Chunk;
use crate::ranges::Ranges;

/// What a node holds of a view: everything up to [`Log::have`], and some beyond.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Numbers up to here have been dropped: everybody holds them, and we have delivered them.
    dropped: u64,
    /// The numbers after `dropped`.
    slots: VecDeque<Option<Arc<Chunk>>>,
    /// Everything up to here is, or was, held.
    have: u64,
}

impl Log {
    pub(crate) fn have(&self) -> u64 {
        self.have
    }

    /// The greatest number held.
    pub(crate) fn last(&self) -> u64 {
        self.dropped + self.slots.len() as u64
    }

    /// Keeps a message; false if it was there, or lies further ahead than `reach`.
    pub(crate) fn insert(&mut self, seq: u64, chunk: Arc<Chunk>, reach: u64) -> bool {
        if seq <= self.have || seq > self.have + reach {
            return false;
        }
        let at = self.index(seq);
        if at >= self.slots.len() {
            self.slots.resize(at + 1, None);
        }
        let slot = &mut self.slots[at];
        if slot.is_some() {
            return false;
        }
        *slot = Some(chunk);
        while self
            .slots
            .get(self.index(self.have + 1))
            .is_some_and(Option::is_some)
        {
            self.have += 1;
        }
        true
    }

    /// How many numbers take room.
    pub(crate) fn kept(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Arc<Chunk>> {
        if seq <= self.dropped {
            return None;
        }
        self.slots.get(self.index(seq))?.as_ref()
    }

    pub(crate) fn holds(&self, seq: u64) -> bool {
        seq <= self.have || self.get(seq).is_some()
    }

    /// Forgets everything up to `seq`.
    pub(crate) fn trim(&mut self, seq: u64) {
        while self.dropped < seq.min(self.have) {
            self.slots.pop_front();
            self.dropped += 1;
        }
    }

    pub(crate) fn held(&self) -> Ranges {
        let mut held = Ranges::span(1, self.have);
        for seq in self.have + 1..=self.last() {
            if self.get(seq).is_some() {
                held.push(seq);
            }
        }
        held
    }

    /// What is missing up to `high`, at most `most` numbers of it.
    pub(crate) fn missing(&self, high: u64, most: usize) -> Ranges {
        let mut missing = Ranges::default();
        (self.have + 1..=high)
            .filter(|seq| !self.holds(*seq))
            .take(most)
            .for_each(|seq| missing.push(seq));
        missing
    }

    fn index(&self, seq: u64) -> usize {
        usize::try_from(seq - self.dropped - 1).unwrap_or(usize::MAX)
    }
}
