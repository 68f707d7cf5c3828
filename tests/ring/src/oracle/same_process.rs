//! *A member is a process*: whoever has heard of a member's new process works no longer in a view of
//! the one before it.

use std::collections::HashMap;

use membership::{Node, NodeId, Time, ViewId};

/// The oracle.
#[derive(Default)]
pub struct SameProcess {
    started: HashMap<u64, Time>,
    /// When a view was first seen in force.
    in_force: HashMap<ViewId, Time>,
}

impl SameProcess {
    /// A process has started.
    pub fn lives(&mut self, process: u64, now: Time) {
        self.started.insert(process, now);
    }

    /// A node has taken a packet of that process of `from`.
    pub fn see(
        &mut self,
        now: Time,
        node: &Node,
        from: NodeId,
        process: u64,
    ) -> Result<(), String> {
        if !node.is_operational() {
            return Ok(());
        }
        let view = node.view();
        let since = *self.in_force.entry(view.id).or_insert(now);
        let younger = self.started.get(&process).is_some_and(|at| *at > since);
        if younger && view.members.contains(from) {
            return Err(format!(
                "a node has heard process {process:x} of node {from} and works on in {}, which is older",
                view.id
            ));
        }
        Ok(())
    }

    /// Forgets what no later packet can refer to.
    pub fn forget_before(&mut self, counter: u64) {
        self.in_force.retain(|view, _| view.counter >= counter);
    }
}
