//! The site's configured nodes and their votes: one value, changed at one place of the order of
//! messages, the same at every node.
//!
//! ```text
//!          new view                    every member has said its list
//! (told) ------------> Telling -------------------------------------> (told)
//!                      lists: the newest is taken                     changes: judged, applied
//! ```
//! * At the beginning of a view each member says its list; the one with the greatest version is
//!   everybody's. Until all have said theirs a change is refused, because members might judge it by
//!   different lists.
//! * A change names the version that it replaces, so that of two at a time the first in the order
//!   wins everywhere, and is refused in a view without quorum.
//! * It alters the sum of all votes by one at most: majorities before and after then have a node in
//!   common, so no two halves are quorate, each by a list of its own (the same rule as in Ongaro's
//!   thesis on Raft, 2014, section 4.1).
//!
//! Its messages are to be submitted as [`crate::Guarantee::Safe`]: a list that somebody works by is
//! one that every member of the view has stored. The caller stores a new list durably before it acts
//! by it ([`RosterEvent::Changed`]), and begins with the stored one after a restart.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, NodeSet};

/// Most nodes of a site.
const NODES_MAX: usize = 64;

/// The configured nodes at one version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeList {
    /// Grows by one with each change.
    pub version: u64,
    /// Each node with its votes, ascending.
    pub votes: Vec<(NodeId, u32)>,
}

impl NodeList {
    /// The nodes.
    pub fn nodes(&self) -> NodeSet {
        self.votes.iter().map(|(node, _)| *node).collect()
    }

    fn position(&self, node: NodeId) -> Option<usize> {
        self.votes.iter().position(|(one, _)| *one == node)
    }

    /// The list after a change, or why there is none.
    fn after(&self, change: Change) -> Result<Self, &'static str> {
        let mut next = self.clone();
        next.version += 1;
        let at = match change {
            Change::Add(node, _) | Change::Remove(node) | Change::Votes(node, _) => {
                self.position(node)
            }
        };
        match (change, at) {
            (Change::Add(..), Some(_)) => return Err("the node is there already"),
            (Change::Add(node, votes), None) => next.votes.push((node, votes)),
            (Change::Remove(_), Some(at)) => {
                next.votes.remove(at);
            }
            (Change::Votes(_, votes), Some(at)) => next.votes[at].1 = votes,
            (Change::Remove(_) | Change::Votes(..), None) => return Err("there is no such node"),
        }
        next.votes.sort_unstable();
        let sum =
            |list: &Self| -> u64 { list.votes.iter().map(|(_, votes)| u64::from(*votes)).sum() };
        if next.votes.len() > NODES_MAX {
            return Err("there are too many nodes");
        }
        if sum(&next) == 0 {
            return Err("nobody would have a vote");
        }
        if sum(&next).abs_diff(sum(self)) > 1 {
            return Err("a change may move one vote at a time; give or take votes in steps first");
        }
        Ok(next)
    }
}

/// One change of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// A new node with its votes, at most one.
    Add(NodeId, u32),
    /// A node goes; it may have at most one vote.
    Remove(NodeId),
    /// A node has other votes, by one more or less.
    Votes(NodeId, u32),
}

#[derive(Debug, Serialize, Deserialize)]
enum Word {
    List(NodeList),
    Change { replaces: u64, change: Change },
}

/// What the caller has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterEvent {
    /// Store it, then work by it: [`crate::Node::reconfigure`], [`crate::Quorum::reconfigure`].
    Changed(NodeList),
    /// A change was refused, for everybody alike.
    Refused {
        /// Who had asked for it.
        asked: NodeId,
        /// What it was.
        change: Change,
        /// In the operator's words.
        why: &'static str,
    },
}

/// The list as one node sees it.
#[derive(Debug)]
pub struct Roster {
    me: NodeId,
    list: NodeList,
    /// The members of the view that have not said their list yet.
    silent: NodeSet,
    outgoing: VecDeque<Vec<u8>>,
    events: VecDeque<RosterEvent>,
}

impl Roster {
    /// Begins with the stored list, or that of the configuration file as version 0.
    pub fn new(me: NodeId, list: NodeList) -> Self {
        Self {
            silent: NodeSet::from_iter([me]),
            me,
            list,
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The list in force.
    pub fn list(&self) -> &NodeList {
        &self.list
    }

    /// Asks for a change; the answer is an event.
    ///
    /// # Errors
    /// It makes no sense for the list in force; nothing was asked.
    pub fn propose(&mut self, change: Change) -> Result<(), &'static str> {
        self.list.after(change)?;
        let replaces = self.list.version;
        self.say(&Word::Change { replaces, change });
        Ok(())
    }

    /// A new view: each member says its list.
    pub fn handle_view(&mut self, members: &NodeSet) {
        self.silent = members.clone();
        let list = self.list.clone();
        self.say(&Word::List(list));
    }

    /// A message of the view in the order of all; false if it is not one of ours. `quorate`: by the
    /// view in which it was sent, also if it is delivered in the transitional one.
    pub fn handle_message(&mut self, sender: NodeId, bytes: &[u8], quorate: bool) -> bool {
        let Ok(word) = postcard::from_bytes::<Word>(bytes) else {
            return false;
        };
        match word {
            Word::List(list) => {
                self.silent = self.silent.without(&NodeSet::from_iter([sender]));
                if list.version > self.list.version {
                    self.take(list);
                }
            }
            Word::Change { replaces, change } => match self.judge(replaces, change, quorate) {
                Ok(list) => self.take(list),
                Err(why) => self.events.push_back(RosterEvent::Refused {
                    asked: sender,
                    change,
                    why,
                }),
            },
        }
        true
    }

    fn judge(
        &self,
        replaces: u64,
        change: Change,
        quorate: bool,
    ) -> Result<NodeList, &'static str> {
        if !quorate {
            return Err("there is no quorum");
        }
        if !self.silent.is_empty() {
            return Err("the view is new, and not every member has said its list: ask again");
        }
        if replaces != self.list.version {
            return Err("another change came first: look at the list and ask again");
        }
        self.list.after(change)
    }

    fn take(&mut self, list: NodeList) {
        self.list = list.clone();
        self.events.push_back(RosterEvent::Changed(list));
    }

    /// The next message for [`crate::Node::submit`], as [`crate::Guarantee::Safe`].
    pub fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<RosterEvent> {
        self.events.pop_front()
    }

    /// Whose view of it this is.
    pub fn node(&self) -> NodeId {
        self.me
    }

    fn say(&mut self, word: &Word) {
        // Encoding into memory fails only for types that postcard cannot express: these are none.
        if let Ok(bytes) = postcard::to_allocvec(word) {
            self.outgoing.push_back(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(version: u64, nodes: u32) -> NodeList {
        NodeList {
            version,
            votes: (1..=nodes).map(|node| (NodeId(node), 1)).collect(),
        }
    }

    /// Hands every outgoing message to everybody, in one order.
    fn exchange(all: &mut [Roster], quorate: bool) {
        while let Some((sender, bytes)) = all
            .iter_mut()
            .find_map(|one| Some((one.node(), one.poll_message()?)))
        {
            for one in all.iter_mut() {
                assert!(one.handle_message(sender, &bytes, quorate));
            }
        }
    }

    fn view(all: &mut [Roster]) {
        let members = all.iter().map(Roster::node).collect();
        all.iter_mut().for_each(|one| one.handle_view(&members));
    }

    fn refusals(one: &mut Roster) -> usize {
        std::iter::from_fn(|| one.poll_event())
            .filter(|event| matches!(event, RosterEvent::Refused { .. }))
            .count()
    }

    #[test]
    fn of_two_changes_at_a_time_one_wins_everywhere() {
        let mut all = [1, 2, 3].map(|node| Roster::new(NodeId(node), list(0, 3)));
        view(&mut all);
        exchange(&mut all, true);
        assert_eq!(all[0].propose(Change::Add(NodeId(4), 1)), Ok(()));
        assert_eq!(all[2].propose(Change::Remove(NodeId(2))), Ok(()));
        exchange(&mut all, true);
        for one in &mut all {
            assert_eq!(*one.list(), list(1, 4), "the first in the order");
            assert_eq!(refusals(one), 1);
        }
    }

    #[test]
    fn a_member_that_was_away_takes_the_newer_list_before_anything_is_changed() {
        let mut all = [(1, 2), (2, 1), (3, 2)]
            .map(|(node, version)| Roster::new(NodeId(node), list(version, 3)));
        view(&mut all);
        assert_eq!(all[1].propose(Change::Remove(NodeId(1))), Ok(()));
        // Node 2's list and its change come first, then the others' lists.
        let mut words: Vec<(NodeId, Vec<u8>)> = Vec::new();
        for at in [1, 0, 2] {
            let sender = all[at].node();
            words.extend(std::iter::from_fn(|| all[at].poll_message()).map(|word| (sender, word)));
        }
        for one in &mut all {
            for (sender, word) in &words {
                assert!(one.handle_message(*sender, word, true));
            }
            assert_eq!(*one.list(), list(2, 3));
            assert_eq!(refusals(one), 1, "a change asked by an old list");
        }
    }

    #[test]
    fn without_quorum_and_by_more_than_a_vote_nothing_changes() {
        let mut all = [Roster::new(NodeId(1), list(0, 3))];
        view(&mut all);
        exchange(&mut all, false);
        assert_eq!(all[0].propose(Change::Remove(NodeId(3))), Ok(()));
        exchange(&mut all, false);
        assert_eq!(*all[0].list(), list(0, 3));
        assert_eq!(refusals(&mut all[0]), 1);
        assert!(all[0].propose(Change::Add(NodeId(4), 2)).is_err());
        assert!(all[0].propose(Change::Votes(NodeId(1), 3)).is_err());
        assert!(all[0].propose(Change::Remove(NodeId(9))).is_err());
        assert!(all[0].propose(Change::Add(NodeId(2), 1)).is_err());
    }
}
