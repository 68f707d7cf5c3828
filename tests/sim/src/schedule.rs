//! What happens next: a heap by (time, order of scheduling), so that ties never depend on chance.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::clock::True;

struct Scheduled<T> {
    at: True,
    seq: u64,
    what: T,
}

impl<T> PartialEq for Scheduled<T> {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl<T> Eq for Scheduled<T> {}

impl<T> PartialOrd for Scheduled<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Scheduled<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Reversed: the standard heap gives the greatest first.
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

/// The queue of everything that is still to happen.
pub struct Schedule<T> {
    heap: BinaryHeap<Scheduled<T>>,
    seq: u64,
}

impl<T> Schedule<T> {
    /// Nothing is to happen.
    #[must_use]
    pub fn new() -> Self {
        Self {
            heap: BinaryHeap::with_capacity(1_024),
            seq: 0,
        }
    }

    /// Adds something.
    pub fn push(&mut self, at: True, what: T) {
        self.seq += 1;
        self.heap.push(Scheduled {
            at,
            seq: self.seq,
            what,
        });
    }

    /// Takes what is next, if it is not after `end`.
    pub fn pop_until(&mut self, end: True) -> Option<(True, T)> {
        if self.heap.peek()?.at > end {
            return None;
        }
        self.heap.pop().map(|next| (next.at, next.what))
    }
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn order_is_time_then_order_of_scheduling() {
        let mut schedule = Schedule::new();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b'), (9, 'e')] {
            schedule.push(at, what);
        }
        let mut got = String::new();
        while let Some((_, what)) = schedule.pop_until(5) {
            got.push(what);
        }
        assert_eq!(got, "abcd");
    }
}
