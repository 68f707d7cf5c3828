//! *A member is a process*: whoever has heard of a member's new process works no longer in a view of
//! the one before it.

use std::collections::BTreeMap;

use membership::{Node, NodeId, Time, ViewId};

use super::{Process, entry};

/// The oracle.
#[derive(Default)]
pub struct SameProcess {
    started: Vec<Time>,
    /// When a view was first seen in force.
    in_force: BTreeMap<ViewId, Time>,
    /// The same for the view that each node was last seen in.
    last: Vec<Option<(ViewId, Time)>>,
}

impl SameProcess {
    /// A process has started.
    pub fn lives(&mut self, process: Process, now: Time) {
        *entry(&mut self.started, process) = now;
    }

    /// A node has taken a packet of that process of `from`.
    pub fn see(
        &mut self,
        now: Time,
        (at, node): (usize, &Node),
        from: NodeId,
        process: Process,
    ) -> Result<(), String> {
        if !node.is_operational() {
            return Ok(());
        }
        let view = node.view();
        let last = entry(&mut self.last, at as Process);
        let since = match last {
            Some((id, since)) if *id == view.id => *since,
            _ => {
                let since = *self.in_force.entry(view.id).or_insert(now);
                *last = Some((view.id, since));
                since
            }
        };
        let younger = self.started[process as usize] > since;
        if younger && view.members.contains(from) {
            return Err(format!(
                "a node has heard process {process} of node {from} and works on in {}, which is older",
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
