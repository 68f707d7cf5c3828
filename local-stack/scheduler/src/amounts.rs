//! What nodes have to give and resources need, by name.

use crate::words::{Word, Words};

/// Amounts by their names, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Amounts(Vec<(Word, i64)>);

impl Amounts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Word, i64)> {
        self.0.iter().copied()
    }

    pub(crate) fn get(&self, name: Word) -> Option<i64> {
        self.iter().find(|(n, _)| *n == name).map(|(_, a)| a)
    }

    /// The amount of a name, if it is there.
    pub(crate) fn get_mut(&mut self, name: Word) -> Option<&mut i64> {
        let mut all = self.0.iter_mut();
        all.find(|(n, _)| *n == name).map(|(_, a)| a)
    }

    /// The amount of a name, which becomes 0 if it is not there.
    pub(crate) fn entry(&mut self, name: Word) -> &mut i64 {
        let place = match self.0.iter().position(|(n, _)| *n == name) {
            Some(place) => place,
            None => {
                self.0.push((name, 0));
                self.0.len() - 1
            }
        };
        &mut self.0[place].1
    }

    /// In how many names the others have more than these, less in how many they have less.
    pub(crate) fn balance(&self, others: &Self) -> i32 {
        let sign = |a: i64, b: i64| b.cmp(&a) as i32;
        let (x, y) = (&self.0, &others.0);
        // Nodes mostly have the same, written in the same order.
        if x.len() == y.len() && x.iter().zip(y).all(|(a, b)| a.0 == b.0) {
            return x.iter().zip(y).map(|(a, b)| sign(a.1, b.1)).sum();
        }
        let here = self
            .iter()
            .map(|(name, amount)| sign(amount, others.get(name).unwrap_or(0)));
        let there = others.iter().filter(|(name, _)| self.get(*name).is_none());
        here.sum::<i32>() + there.map(|(_, amount)| sign(0, amount)).sum::<i32>()
    }

    /// The amounts, sorted by the text of their names.
    pub(crate) fn named<'w>(&self, words: &'w Words) -> Vec<(&'w str, i64)> {
        let mut named: Vec<(&str, i64)> = self.iter().map(|(n, a)| (words.text(n), a)).collect();
        named.sort_unstable();
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balance_counts_names_whatever_their_order() {
        let amounts = |list: &[(Word, i64)]| Amounts(list.to_vec());
        let (a, b) = (Word::START, Word::STOP);
        let mixed = amounts(&[(a, 3), (b, 1)]);
        assert_eq!(mixed.balance(&amounts(&[(a, 1), (b, 3)])), 0);
        assert_eq!(mixed.balance(&amounts(&[(b, 2), (a, 5)])), 2);
        assert_eq!(mixed.balance(&amounts(&[(a, 3)])), -1);
        assert_eq!(amounts(&[]).balance(&mixed), 2);
    }
}
