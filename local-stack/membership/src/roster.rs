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
//! * A change counts once a quorum has it: delivered in its view, which every member then has stored,
//!   or in a transitional view that has the majority. A minority that finds it in its transitional
//!   view cannot know what the others do: it keeps it as *undecided*, with the view, and says it with
//!   its list. The next view with a majority that has heard everybody decides: the undecided list of
//!   the latest view, because the majority has a member that knows what an earlier one has decided.
//!
//! An undecided change is kept in memory only: if a majority ends between receiving a change and
//! storing it, and the rest is away, another change may take its version.
//! Of two nodes, one that goes away removed before the other knows its removal to be decided leaves
//! that one without quorum, and it needs its operator (`ring-sim`, seeds 307, 315, 325, 375, 376).
//!
//! Its messages are to be submitted as [`crate::Guarantee::Safe`]: a list that somebody works by is
//! one that every member of the view has stored. The caller stores a new list durably before it acts
//! by it ([`RosterEvent::Changed`]), and begins with the stored one after a restart.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, NodeSet, View, ViewId};

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

/// A list of which its holders do not know whether a quorum has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Undecided {
    /// In which it was accepted last.
    view: ViewId,
    list: NodeList,
}

impl Undecided {
    /// The greatest is the one that may have been decided.
    fn rank(&self) -> (u64, ViewId, &[(NodeId, u32)]) {
        (self.list.version, self.view, &self.list.votes)
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Word {
    List {
        list: NodeList,
        undecided: Option<Undecided>,
    },
    Change {
        replaces: u64,
        change: Change,
    },
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
    view: Option<View>,
    /// The transitional view, while its messages are delivered.
    companions: Option<NodeSet>,
    undecided: Option<Undecided>,
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
            view: None,
            companions: None,
            undecided: None,
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
    pub fn handle_view(&mut self, view: &View) {
        self.silent = view.members.clone();
        self.view = Some(view.clone());
        self.companions = None;
        let (list, undecided) = (self.list.clone(), self.undecided.clone());
        self.say(&Word::List { list, undecided });
    }

    /// The view has ended: what is delivered before the next one, these have.
    pub fn handle_transitional(&mut self, companions: &NodeSet) {
        self.companions = Some(companions.clone());
    }

    /// A message of the view in the order of all; false if it is not one of ours. `quorate`: by the
    /// view in which it was sent, also if it is delivered in the transitional one.
    pub fn handle_message(&mut self, sender: NodeId, bytes: &[u8], quorate: bool) -> bool {
        let Ok(word) = postcard::from_bytes::<Word>(bytes) else {
            return false;
        };
        match word {
            Word::List { list, undecided } => {
                self.silent = self.silent.without(&NodeSet::from_iter([sender]));
                if list.version > self.list.version {
                    self.take(list);
                }
                self.note(undecided);
                if self.silent.is_empty() {
                    self.decide();
                }
            }
            Word::Change { replaces, change } => match self.judge(replaces, change, quorate) {
                Ok(list) => self.accept(list),
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
        if self.undecided.is_some() {
            return Err("an earlier change is not decided yet: ask again");
        }
        if replaces != self.list.version {
            return Err("another change came first: look at the list and ask again");
        }
        self.list.after(change)
    }

    /// Keeps the undecided list that is of a later view.
    fn note(&mut self, other: Option<Undecided>) {
        self.undecided = [self.undecided.take(), other]
            .into_iter()
            .flatten()
            .filter(|one| one.list.version > self.list.version)
            .max_by(|one, other| one.rank().cmp(&other.rank()));
    }

    /// Everybody has said what it knows: with a majority, the undecided list is the next one. The
    /// votes are counted here, by the list that all members have now, because what a caller holds for
    /// quorate may come from the list before.
    fn decide(&mut self) {
        let by_majority = self
            .view
            .as_ref()
            .is_some_and(|view| self.is_majority(&view.members));
        let next = self.list.version + 1;
        let found = self
            .undecided
            .take_if(|one| by_majority && one.list.version == next);
        if let Some(one) = found {
            self.accept(one.list);
        }
    }

    /// A list that all who deliver this accept: in force if they are sure to be a quorum.
    fn accept(&mut self, list: NodeList) {
        let sure = match &self.companions {
            None => true,
            Some(companions) => self.is_majority(companions),
        };
        match &self.view {
            Some(view) if !sure => {
                let view = view.id;
                self.undecided = Some(Undecided { view, list });
            }
            _ => self.take(list),
        }
    }

    fn is_majority(&self, nodes: &NodeSet) -> bool {
        let (mut theirs, mut all) = (0, 0);
        for (node, votes) in &self.list.votes {
            all += u64::from(*votes);
            theirs += u64::from(*votes) * u64::from(nodes.contains(*node));
        }
        theirs * 2 > all
    }

    fn take(&mut self, list: NodeList) {
        self.list = list.clone();
        self.note(None);
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
        view_at(1, &mut all.iter_mut().collect::<Vec<_>>());
    }

    fn view_at(counter: u64, all: &mut [&mut Roster]) {
        let id = ViewId {
            counter,
            coordinator: NodeId(1),
            incarnation: 0,
        };
        let members = all.iter().map(|one| one.node()).collect();
        let view = View { id, members };
        all.iter_mut().for_each(|one| one.handle_view(&view));
    }

    /// The next words of these, heard by these alone.
    fn hear(all: &mut [&mut Roster], sender: NodeId, words: &[Vec<u8>]) {
        for one in all.iter_mut() {
            for word in words {
                assert!(one.handle_message(sender, word, true));
            }
        }
    }

    fn words(one: &mut Roster) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| one.poll_message()).collect()
    }

    fn settle(all: &mut [&mut Roster]) {
        let said: Vec<_> = all.iter_mut().map(|one| (one.node(), words(one))).collect();
        for (sender, words) in said {
            hear(all, sender, &words);
        }
    }

    /// Node 1 asks for a change that only it receives before the view falls apart; the other two
    /// agree on another one. Found by `ring-sim`, seeds 303, 313 and 325.
    #[test]
    fn a_minority_does_not_work_by_a_change_that_nobody_else_has() {
        let mut all = [1, 2, 3].map(|node| Roster::new(NodeId(node), list(0, 3)));
        view(&mut all);
        exchange(&mut all, true);
        let [one, two, three] = &mut all;
        assert_eq!(one.propose(Change::Remove(NodeId(3))), Ok(()));
        let asked = words(one);
        one.handle_transitional(&NodeSet::from_iter([NodeId(1)]));
        hear(&mut [one], NodeId(1), &asked);
        assert_eq!(*one.list(), list(0, 3), "who knows what the others do?");
        let mut rest = [two, three];
        view_at(2, &mut rest);
        settle(&mut rest);
        assert_eq!(rest[0].propose(Change::Add(NodeId(4), 1)), Ok(()));
        settle(&mut rest);
        let [two, three] = rest;
        let mut every = [one, two, three];
        view_at(3, &mut every);
        settle(&mut every);
        for one in every {
            assert_eq!(*one.list(), list(1, 4));
        }
    }

    /// One node has delivered the change in its view and is away; the others each found it in a
    /// transitional view of their own. What they agree on next is that change and no other.
    #[test]
    fn a_change_that_may_be_in_force_elsewhere_is_decided_by_the_next_majority() {
        let mut all = [1, 2, 3].map(|node| Roster::new(NodeId(node), list(0, 3)));
        view(&mut all);
        exchange(&mut all, true);
        let [one, two, three] = &mut all;
        assert_eq!(one.propose(Change::Add(NodeId(4), 1)), Ok(()));
        let asked = words(one);
        hear(&mut [one], NodeId(1), &asked);
        assert_eq!(*one.list(), list(1, 4));
        for lonely in [&mut *two, &mut *three] {
            lonely.handle_transitional(&NodeSet::from_iter([lonely.node()]));
            hear(&mut [lonely], NodeId(1), &asked);
            assert_eq!(*lonely.list(), list(0, 3));
        }
        let mut rest = [two, three];
        view_at(2, &mut rest);
        settle(&mut rest);
        for one in rest {
            assert_eq!(*one.list(), list(1, 4));
        }
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
