//! *Convergence*: once everything has healed, all nodes are in one view and nothing waits.

use membership::{Node, NodeId};

/// What is still amiss, if anything.
pub fn settled(nodes: &[Node]) -> Result<(), String> {
    for (index, node) in nodes.iter().enumerate() {
        let name = NodeId(index as u32);
        if !node.is_operational() {
            return Err(format!("node {name} is still agreeing on a view"));
        }
        if node.view().members.len() != nodes.len() {
            return Err(format!(
                "node {name} is in a view of {:?}",
                node.view().members
            ));
        }
        if node.view() != nodes[0].view() {
            return Err(format!("nodes 0 and {name} are in different views"));
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
