//! Names and time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds on this node's own monotonic clock; only differences mean anything.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(pub u64);

impl Time {
    /// This time and a span after it; saturates.
    pub fn after(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// The span from `earlier` to this time; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A node of the site, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Some nodes, in ascending order, each once. A copy is cheap: heartbeats carry several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeSet(Arc<Vec<NodeId>>);

impl NodeSet {
    /// Is `node` among them?
    pub fn contains(&self, node: NodeId) -> bool {
        self.0.binary_search(&node).is_ok()
    }

    /// Adds `node`; true if it was not there.
    pub fn insert(&mut self, node: NodeId) -> bool {
        match self.0.binary_search(&node) {
            Ok(_) => false,
            Err(at) => {
                Arc::make_mut(&mut self.0).insert(at, node);
                true
            }
        }
    }

    /// Adds all of `other`; true if any was new.
    pub fn merge(&mut self, other: &Self) -> bool {
        let before = self.len();
        for node in other.iter() {
            self.insert(node);
        }
        self.len() > before
    }

    /// These without those of `other`.
    pub fn without(&self, other: &Self) -> Self {
        self.iter().filter(|node| !other.contains(*node)).collect()
    }

    /// Are all of these in `other`?
    pub fn is_within(&self, other: &Self) -> bool {
        self.iter().all(|node| other.contains(node))
    }

    /// The lowest of them.
    pub fn first(&self) -> Option<NodeId> {
        self.0.first().copied()
    }

    /// Each of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.iter().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        let mut nodes: Vec<NodeId> = nodes.into_iter().collect();
        nodes.sort_unstable();
        nodes.dedup();
        Self(Arc::new(nodes))
    }
}

/// One view's name, never used twice: the coordinator's incarnation keeps views apart even when it
/// has lost its memory and counts again from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ViewId {
    /// Greater than that of every view that any member had heard of.
    pub counter: u64,
    /// Who proposed the view; it hands out the sequence numbers.
    pub coordinator: NodeId,
    /// The coordinator's incarnation.
    pub incarnation: u64,
}

impl fmt::Display for ViewId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.counter, self.coordinator)
    }
}

/// Who is there together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub id: ViewId,
    /// Its members.
    pub members: NodeSet,
}
