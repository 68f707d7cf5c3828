//! Who may act: votes, majority, and its variants.
//!
//! The words and the options are corosync's (votequorum(5)); the rules are these:
//!
//! * *majority*: more than half of the expected votes.
//! * `two_node`: with two nodes, one is enough; needs fencing, and implies `wait_for_all`.
//! * `wait_for_all`: quorate for the first time only once every node was seen together.
//! * `auto_tie_breaker`: of two halves the one with the lowest node acts.
//! * `last_man_standing`: expected votes follow the view down, a step at a time, while quorate for
//!   a whole window.
//! * a *device*: votes of a third party, present or not.

use std::time::Duration;

use crate::ids::{NodeId, NodeSet, Time};

/// How a site decides who may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumConfig {
    /// Votes of each node; a node that is not named has none.
    pub votes: Vec<(NodeId, u32)>,
    /// Instead of the sum of all votes.
    pub expected_votes: Option<u32>,
    /// One of two nodes is enough.
    pub two_node: bool,
    /// Not before all were there once.
    pub wait_for_all: bool,
    /// Of two halves, the one with the lowest node.
    pub auto_tie_breaker: bool,
    /// Expected votes follow the view down after this long; `None`: they stay.
    pub last_man_standing: Option<Duration>,
    /// Votes of the quorum device; 0: none.
    pub device_votes: u32,
}

impl QuorumConfig {
    /// One vote each, plain majority.
    pub fn majority(nodes: &NodeSet) -> Self {
        Self {
            votes: nodes.iter().map(|node| (node, 1)).collect(),
            expected_votes: None,
            two_node: false,
            wait_for_all: false,
            auto_tie_breaker: false,
            last_man_standing: None,
            device_votes: 0,
        }
    }

    /// What does not go together, in the operator's words.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.two_node && self.votes.len() != 2 {
            faults.push(format!(
                "two_node is for two nodes, there are {}",
                self.votes.len()
            ));
        }
        if self.two_node && self.auto_tie_breaker {
            faults.push("two_node and auto_tie_breaker exclude each other: choose one".to_owned());
        }
        if self.two_node && self.device_votes > 0 {
            faults.push("two_node and a quorum device exclude each other: choose one".to_owned());
        }
        if self.last_man_standing.is_some() && self.device_votes > 0 {
            faults.push("last_man_standing does not go with a quorum device".to_owned());
        }
        faults
    }
}

/// May this view act?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumState {
    /// Yes or no.
    pub quorate: bool,
    /// Votes present.
    pub votes: u32,
    /// Votes needed.
    pub needed: u32,
    /// Votes expected.
    pub expected: u32,
    /// Why not, or by which variant; empty for a plain majority.
    pub reason: &'static str,
}

/// The quorum of one node's site, view by view.
#[derive(Clone, Debug)]
pub struct Quorum {
    config: QuorumConfig,
    /// Lowered by `last_man_standing`.
    expected: u32,
    all_seen: bool,
    members: NodeSet,
    device: bool,
    /// Quorate with these members since.
    since: Option<Time>,
    /// The members of the last quorate view: a half of *them* may break a tie, no other.
    last_quorate: NodeSet,
}

impl Quorum {
    /// Nobody is there yet.
    pub fn new(config: QuorumConfig) -> Self {
        let all: u32 = config.votes.iter().map(|(_, votes)| votes).sum();
        let expected = config.expected_votes.unwrap_or(all + config.device_votes);
        let last_quorate = config.votes.iter().map(|(node, _)| *node).collect();
        Self {
            config,
            expected,
            all_seen: false,
            members: NodeSet::default(),
            device: false,
            since: None,
            last_quorate,
        }
    }

    /// A new view, or news of the device.
    pub fn update(&mut self, now: Time, members: &NodeSet, device: bool) -> QuorumState {
        let changed = self.members != *members;
        self.members = members.clone();
        self.device = device;
        if self
            .config
            .votes
            .iter()
            .all(|(node, _)| members.contains(*node))
        {
            self.all_seen = true;
            self.expected = self.expected.max(self.configured());
        }
        let state = self.state();
        if state.quorate {
            if changed || self.since.is_none() {
                self.since = Some(now);
            }
            self.last_quorate = members.clone();
        } else {
            self.since = None;
        }
        state
    }

    /// Other nodes or votes from now on; the members are those last told. What `last_man_standing`
    /// had lowered stays lowered.
    pub fn reconfigure(&mut self, now: Time, config: QuorumConfig) -> QuorumState {
        let lowered = self.expected < self.configured();
        self.config = config;
        let configured = self.configured();
        self.expected = if lowered {
            self.expected.min(configured)
        } else {
            configured
        };
        let (members, device) = (self.members.clone(), self.device);
        self.update(now, &members, device)
    }

    /// Lets `last_man_standing` do its work; call it when [`Quorum::next_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Time) -> QuorumState {
        let (Some(since), Some(window)) = (self.since, self.config.last_man_standing) else {
            return self.state();
        };
        let present = self.present();
        // Never below two: the last of them would need no one's leave to act.
        if now.since(since) >= window && present < self.expected && present >= 2 {
            self.expected = present;
        }
        self.state()
    }

    /// When [`Quorum::handle_timeout`] wants to be called.
    pub fn next_timeout(&self) -> Option<Time> {
        let window = self.config.last_man_standing?;
        (self.present() < self.expected).then_some(self.since?.after(window))
    }

    /// The answer for the members last told.
    pub fn state(&self) -> QuorumState {
        let (votes, expected) = (self.present(), self.expected);
        let majority = expected / 2 + 1;
        let needed = if self.config.two_node { 1 } else { majority };
        let waiting = (self.config.wait_for_all || self.config.two_node) && !self.all_seen;
        let tie = self.config.auto_tie_breaker
            && votes > 0
            && votes * 2 == expected
            && self.members.is_within(&self.last_quorate)
            && self
                .last_quorate
                .first()
                .is_some_and(|lowest| self.members.contains(lowest));
        let (quorate, reason) = match (waiting, votes >= needed, tie) {
            (true, _, _) => (false, "waiting until all nodes were there once"),
            (false, true, _) if self.config.two_node && votes < majority => (true, "two_node"),
            (false, true, _) => (true, ""),
            (false, false, true) => (true, "the half with the lowest node"),
            (false, false, false) => (false, "too few votes"),
        };
        QuorumState {
            quorate,
            votes,
            needed,
            expected,
            reason,
        }
    }

    fn present(&self) -> u32 {
        let device = if self.device {
            self.config.device_votes
        } else {
            0
        };
        self.config
            .votes
            .iter()
            .filter(|(node, _)| self.members.contains(*node))
            .map(|(_, votes)| votes)
            .sum::<u32>()
            + device
    }

    fn configured(&self) -> u32 {
        let all: u32 = self.config.votes.iter().map(|(_, votes)| votes).sum();
        self.config
            .expected_votes
            .unwrap_or(all + self.config.device_votes)
    }
}

#[cfg(test)]
mod tests;
