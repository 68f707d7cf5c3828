//! *One quorate partition*: nodes that may act at the same time are in views that have a member in
//! common, whatever lists of nodes they count votes by.

use membership::NodeSet;

/// The oracle: for each node the members of its view, if that is quorate.
#[derive(Default)]
pub struct OneQuorate(Vec<Option<NodeSet>>);

impl OneQuorate {
    /// Nothing is known yet of so many nodes.
    pub fn of(nodes: usize) -> Self {
        Self(vec![None; nodes])
    }

    /// A node may act with these, or may not.
    pub fn see(&mut self, node: usize, quorate: Option<NodeSet>) -> Result<(), String> {
        if let Some(members) = &quorate {
            let apart = |other: &&NodeSet| !other.iter().any(|node| members.contains(node));
            if let Some(other) = self.0.iter().flatten().find(apart) {
                return Err(format!("{members:?} and {other:?} are both quorate"));
            }
        }
        self.0[node] = quorate;
        Ok(())
    }
}
