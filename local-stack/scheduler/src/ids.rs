//! Indices: everything the scheduler works on lives in vectors and is named by its place.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// A name of an element of a [`Table`].
pub(crate) trait Id: Copy {
    fn new(place: usize) -> Self;
    fn at(self) -> usize;
}

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(pub(crate) u32);

        impl Id for $name {
            #[inline]
            fn new(place: usize) -> Self {
                Self(u32::try_from(place).unwrap_or(u32::MAX))
            }

            #[inline]
            fn at(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index!(
    /// A node.
    NodeId
);
index!(
    /// A resource, instance or collective.
    RscId
);
index!(
    /// An action.
    ActId
);
index!(
    /// A colocation.
    ColId
);
index!(
    /// A location constraint.
    LocId
);

/// A vector whose elements are named by their own kind of index.
#[derive(Debug, Clone)]
pub(crate) struct Table<I, T> {
    items: Vec<T>,
    index: PhantomData<I>,
}

impl<I, T> Default for Table<I, T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            index: PhantomData,
        }
    }
}

impl<I: Id, T> Table<I, T> {
    pub(crate) fn push(&mut self, item: T) -> I {
        let id = self.next_id();
        self.items.push(item);
        id
    }

    pub(crate) fn next_id(&self) -> I {
        I::new(self.items.len())
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }

    pub(crate) fn ids(&self) -> impl DoubleEndedIterator<Item = I> + use<I, T> {
        (0..self.items.len()).map(I::new)
    }
}

impl<I: Id, T> Index<I> for Table<I, T> {
    type Output = T;

    #[inline]
    fn index(&self, id: I) -> &T {
        &self.items[id.at()]
    }
}

impl<I: Id, T> IndexMut<I> for Table<I, T> {
    #[inline]
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.items[id.at()]
    }
}
