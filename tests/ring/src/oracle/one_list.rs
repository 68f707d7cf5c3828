//! *One list of nodes*: a version of it is the same wherever it is in force, and no node goes back.

use std::collections::BTreeMap;

use membership::{NodeId, NodeList};

/// The oracle.
#[derive(Default)]
pub struct OneList {
    lists: BTreeMap<u64, NodeList>,
    newest: BTreeMap<NodeId, u64>,
}

impl OneList {
    /// A list comes in force at a node.
    pub fn see(&mut self, node: NodeId, list: &NodeList) -> Result<(), String> {
        let known = self
            .lists
            .entry(list.version)
            .or_insert_with(|| list.clone());
        if known != list {
            return Err(format!(
                "node {node} works by {list:?}, others by {known:?}"
            ));
        }
        let newest = self.newest.entry(node).or_insert(0);
        if list.version < *newest {
            return Err(format!(
                "node {node} goes back from list {newest} to {}",
                list.version
            ));
        }
        *newest = list.version;
        Ok(())
    }
}
