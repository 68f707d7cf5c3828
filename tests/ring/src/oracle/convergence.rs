//! *Convergence*: once everything has healed, all nodes are in one view and nothing waits.

use membership::{Node, NodeId, NodeSet};

/// What is still amiss, if anything, with the nodes of `expected`; the others have been removed.
pub fn settled(nodes: &[Node], expected: &NodeSet) -> Result<(), String> {
    let mut first = None;
    for (index, node) in nodes.iter().enumerate() {
        let name = NodeId(index as u32);
        if !expected.contains(name) {
            continue;
        }
        if !node.is_operational() {
            return Err(format!("node {name} is still agreeing on a view"));
        }
        let view = node.view();
        if view.members != *expected {
            return Err(format!("node {name} is in a view of {:?}", view.members));
        }
        if *first.get_or_insert(view) != view {
            return Err(format!("node {name} is in a view of its own"));
        }
        if node.queued_bytes() > 0 {
            return Err(format!(
                "node {name} has {} bytes to send",
                node.queued_bytes()
            ));
        }
    }
    Ok(())
}
