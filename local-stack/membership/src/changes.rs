//! Changes that are meant: a node leaves in good order, nodes are added and removed.
//!
//! To the protocol a node that leaves is one that fails, only that nobody has to wait for it to be
//! silent long enough: it says so itself, a few times, because packets get lost. A node that is
//! removed is treated the same by those that stay, whether it hears of it or not.

use crate::detector::Cause;
use crate::ids::{NodeId, NodeSet, Time};
use crate::message::Packet;
use crate::node::{Node, Phase};
use crate::timer::{Timer, Timers};

/// Times that a farewell is said: if each gets lost, it ends as a failure does.
const FAREWELLS: u32 = 4;

impl Node {
    /// Leaves the site: the others go on without waiting for this node to be missed.
    ///
    /// What was submitted and has not been delivered here is as if the process had died: an
    /// application that wants its last messages heard waits for them first. Afterwards the node
    /// takes and delivers nothing more; it has to be driven for some tens of milliseconds still
    /// (until [`Node::next_timeout`] says `None`), because the farewell is repeated.
    pub fn leave(&mut self, now: Time) {
        if self.has_left() {
            return;
        }
        self.phase = Phase::Left { again: FAREWELLS };
        self.frozen = true;
        self.timers = Timers::default();
        self.say_farewell(now);
    }

    /// Has this node left, or was it removed?
    pub fn has_left(&self) -> bool {
        matches!(self.phase, Phase::Left { .. })
    }

    pub(crate) fn say_farewell(&mut self, now: Time) {
        let Phase::Left { again } = &mut self.phase else {
            return;
        };
        *again = again.saturating_sub(1);
        if *again > 0 {
            let at = now.after(self.config.repeat_every());
            self.timers.set(Timer::Heartbeat, at);
        }
        let me = self.config.me;
        let mut to = self.config.nodes.clone();
        to.merge(&self.ring.view.members);
        // What is known to be stored everywhere first: whoever was removed knows of it before those
        // that stay, and they might otherwise part from it before they work by its removal.
        let last = Packet::Stable {
            view: self.ring.view.id,
            stable: self.ring.stable,
            high: self.ring.high,
        };
        for node in to.iter().filter(|node| *node != me) {
            self.send(node, last.clone());
            self.send(node, Packet::Leave);
        }
    }

    /// A peer has ended.
    pub(crate) fn handle_leave(&mut self, now: Time, from: NodeId) {
        self.detector.end(from);
        self.go_on_without(now, Cause::Left(from), &NodeSet::from_iter([from]));
    }

    /// Parts from nodes that are gone for good, wherever we are.
    fn go_on_without(&mut self, now: Time, cause: Cause, gone: &NodeSet) {
        let members = match &self.phase {
            Phase::Operational => &self.ring.view.members,
            Phase::Recover(recovery) => &recovery.view.members,
            Phase::Gather(_) => return self.give_up(now, gone),
            Phase::Left { .. } => return,
        };
        if gone.iter().any(|node| members.contains(node)) {
            self.gather(now, cause, gone, &NodeSet::default());
            self.look_for_consensus(now);
        }
    }

    /// Other nodes are configured from now on: new ones are greeted and merged, removed ones are
    /// parted from at once and not heard any more. A node that is not among them itself leaves.
    ///
    /// Call it at every node at the same place of the order of messages ([`crate::Roster`] finds
    /// that place); one that comes to it later is parted from a removed node by the others, and
    /// merged with an added one as soon as it knows it.
    pub fn reconfigure(&mut self, now: Time, nodes: NodeSet) {
        let before = std::mem::replace(&mut self.config.nodes, nodes);
        let removed = before.without(&self.config.nodes);
        if !self.config.nodes.contains(self.config.me) {
            self.config.nodes = before;
            self.leave(now);
            return;
        }
        let me = self.config.me;
        let others = self.config.nodes.clone();
        self.detector
            .reconfigure(now, others.iter().filter(|node| *node != me));
        if let Some(first) = removed.first() {
            self.go_on_without(now, Cause::Removed(first), &removed);
        }
    }

    /// The configured nodes, this one included.
    pub fn configured(&self) -> &NodeSet {
        &self.config.nodes
    }
}

#[cfg(test)]
mod tests;
