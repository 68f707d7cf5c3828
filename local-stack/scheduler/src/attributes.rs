//! The attributes of an action: what many actions have in common is kept once.

use std::cmp::Ordering;
use std::sync::Arc;

/// A name and its value.
pub(crate) type Pair = (Arc<str>, Arc<str>);

/// Names and values, each name once, sorted by name.
///
/// A resource is probed on every node with the same parameters: those are shared, and an action adds
/// its own.
#[derive(Clone, Default)]
pub struct Attributes {
    shared: Arc<[Pair]>,
    /// Count more than what is shared.
    own: Box<[Pair]>,
}

impl Attributes {
    /// Both lists are sorted by name; where they have a name in common, `own` counts.
    pub(crate) fn new(shared: Arc<[Pair]>, own: Vec<Pair>) -> Self {
        let own = own.into_boxed_slice();
        Self { shared, own }
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let find = |list: &'_ [Pair]| list.binary_search_by(|(n, _)| (**n).cmp(name)).ok();
        match find(&self.own) {
            Some(place) => Some(&self.own[place].1),
            None => find(&self.shared).map(|place| &*self.shared[place].1),
        }
    }

    /// All names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut shared = self.shared.iter().peekable();
        let mut own = self.own.iter().peekable();
        std::iter::from_fn(move || {
            let order = match (shared.peek(), own.peek()) {
                (Some(a), Some(b)) => a.0.cmp(&b.0),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let (name, value) = match order {
                Ordering::Less => shared.next()?,
                Ordering::Equal => {
                    shared.next();
                    own.next()?
                }
                Ordering::Greater => own.next()?,
            };
            Some((&**name, &**value))
        })
    }

    /// Copies that belong to nobody else.
    pub fn to_vec(&self) -> Vec<(String, String)> {
        self.iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

impl<N: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(N, V)> for Attributes {
    /// Of one name the last value counts.
    fn from_iter<T: IntoIterator<Item = (N, V)>>(list: T) -> Self {
        let list = list.into_iter().map(|(n, v)| (n.into(), v.into()));
        let sorted: std::collections::BTreeMap<Arc<str>, Arc<str>> = list.collect();
        Self::new(sorted.into_iter().collect(), Vec::new())
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Attributes {}

impl std::fmt::Debug for Attributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<Pair> {
        let pairs = list.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        pairs.collect()
    }

    #[test]
    fn what_is_shared_and_what_is_not_reads_like_one_list() {
        let shared = pairs(&[("a", "1"), ("c", "1"), ("e", "1")]);
        let own = pairs(&[("b", "2"), ("c", "2"), ("f", "2")]);
        let both = Attributes::new(shared.into(), own);
        let seen: Vec<(&str, &str)> = both.iter().collect();
        let wanted = [("a", "1"), ("b", "2"), ("c", "2"), ("e", "1"), ("f", "2")];
        assert_eq!(seen, wanted);
        assert_eq!(both.get("c"), Some("2"));
        assert_eq!(both.get("e"), Some("1"));
        assert_eq!(both.get("d"), None);
        assert_eq!(both, wanted.into_iter().collect::<Attributes>());
        assert_ne!(both, Attributes::default());
    }
}
