//! Sets of sequence numbers as ranges.

use serde::{Deserialize, Serialize};

/// Sequence numbers as ascending, disjoint, inclusive ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// `first..=last`, or nothing if that is empty.
    pub fn span(first: u64, last: u64) -> Self {
        Self(if first <= last {
            vec![(first, last)]
        } else {
            Vec::new()
        })
    }

    /// Adds the number after all others.
    pub fn push(&mut self, seq: u64) {
        match self.0.last_mut() {
            Some((_, last)) if *last + 1 == seq => *last = seq,
            Some((_, last)) => {
                debug_assert!(*last < seq, "ranges grow upwards");
                self.0.push((seq, seq));
            }
            None => self.0.push((seq, seq)),
        }
    }

    /// Is `seq` among them?
    pub fn contains(&self, seq: u64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < seq);
        self.0.get(at).is_some_and(|(first, _)| *first <= seq)
    }

    /// These and those of `other`.
    pub fn union(&self, other: &Self) -> Self {
        let mut all: Vec<(u64, u64)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match merged.last_mut() {
                Some(open) if first <= open.1 + 1 => open.1 = open.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Each number, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The greatest number, or 0.
    pub fn last(&self) -> u64 {
        self.0.last().map_or(0, |(_, last)| *last)
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ranges they take.
    pub fn pieces(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ranges(numbers: &BTreeSet<u64>) -> Ranges {
        let mut ranges = Ranges::default();
        numbers.iter().for_each(|seq| ranges.push(*seq));
        ranges
    }

    proptest! {
        #[test]
        fn behave_as_sets(a: BTreeSet<u8>, b: BTreeSet<u8>) {
            let wide = |set: BTreeSet<u8>| set.into_iter().map(u64::from).collect::<BTreeSet<_>>();
            let (a, b) = (wide(a), wide(b));
            let union = ranges(&a).union(&ranges(&b));
            prop_assert_eq!(union.iter().collect::<BTreeSet<_>>(), &a | &b);
            for seq in 0..256 {
                prop_assert_eq!(ranges(&a).contains(seq), a.contains(&seq));
            }
        }
    }
}
