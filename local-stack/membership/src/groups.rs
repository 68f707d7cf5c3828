//! Process groups on one view: who listens where, in the same order everywhere.
//!
//! Joins and leaves are messages of the view like any other; at every new view each node tells all
//! its clients again, and a group's members are those that have been told in this view. What the
//! members say to each other is not looked at here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, NodeSet};

/// Most bytes of a group's name.
const NAME_BYTES_MAX: usize = 128;

/// One process of one node.
type Member = (NodeId, u64);

/// What travels inside the view's messages.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    /// All groups of the sender's clients, after a view change.
    All(Vec<(String, u64)>),
    Join(String, u64),
    Leave(String, u64),
}

/// A group's members changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEvent {
    /// The group.
    pub group: String,
    /// Node and client of each.
    pub members: Vec<(NodeId, u64)>,
}

/// The groups as one node sees them.
#[derive(Debug)]
pub struct Groups {
    me: NodeId,
    members: BTreeMap<String, BTreeSet<Member>>,
    local: BTreeSet<(String, u64)>,
    outgoing: VecDeque<Vec<u8>>,
    events: VecDeque<GroupEvent>,
}

impl Groups {
    /// No groups yet.
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            members: BTreeMap::new(),
            local: BTreeSet::new(),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A local client joins; false if the name is empty or too long, or it is there already.
    pub fn join(&mut self, group: &str, client: u64) -> bool {
        let fits = !group.is_empty() && group.len() <= NAME_BYTES_MAX;
        if !fits || !self.local.insert((group.to_owned(), client)) {
            return false;
        }
        self.say(&Word::Join(group.to_owned(), client));
        true
    }

    /// A local client leaves; false if it was not there.
    pub fn leave(&mut self, group: &str, client: u64) -> bool {
        let was = self.local.remove(&(group.to_owned(), client));
        if was {
            self.say(&Word::Leave(group.to_owned(), client));
        }
        was
    }

    /// A local client is gone: it leaves everywhere.
    pub fn forget(&mut self, client: u64) {
        let gone: Vec<String> = self
            .local
            .iter()
            .filter(|(_, one)| *one == client)
            .map(|(group, _)| group.clone())
            .collect();
        for group in gone {
            self.leave(&group, client);
        }
    }

    /// Every group with its members.
    pub fn all(&self) -> impl Iterator<Item = (&str, Vec<(NodeId, u64)>)> {
        self.members
            .iter()
            .map(|(name, members)| (name.as_str(), members.iter().copied().collect()))
    }

    /// A new view: members on nodes that are gone leave, and we tell our own again.
    pub fn handle_view(&mut self, members: &NodeSet) {
        let names: Vec<String> = self.members.keys().cloned().collect();
        for name in names {
            let Some(group) = self.members.get_mut(&name) else {
                continue;
            };
            let before = group.len();
            group.retain(|(node, _)| members.contains(*node));
            if group.len() != before {
                self.changed(&name);
            }
        }
        self.say(&Word::All(self.local.iter().cloned().collect()));
    }

    /// A message of the view; false if it is not one of ours.
    pub fn handle_message(&mut self, sender: NodeId, bytes: &[u8]) -> bool {
        let Ok(word) = postcard::from_bytes::<Word>(bytes) else {
            return false;
        };
        match word {
            Word::All(told) => self.handle_all(sender, told),
            Word::Join(group, client) => {
                if self
                    .members
                    .entry(group.clone())
                    .or_default()
                    .insert((sender, client))
                {
                    self.changed(&group);
                }
            }
            Word::Leave(group, client) => {
                let member = (sender, client);
                if self
                    .members
                    .get_mut(&group)
                    .is_some_and(|members| members.remove(&member))
                {
                    self.changed(&group);
                }
            }
        }
        true
    }

    fn handle_all(&mut self, sender: NodeId, told: Vec<(String, u64)>) {
        let told: BTreeSet<(String, u64)> = told.into_iter().collect();
        let names: BTreeSet<String> = self
            .members
            .keys()
            .chain(told.iter().map(|(group, _)| group))
            .cloned()
            .collect();
        for name in names {
            let group = self.members.entry(name.clone()).or_default();
            let before = group.clone();
            group.retain(|(node, client)| {
                *node != sender || told.contains(&(name.clone(), *client))
            });
            let ours = told.iter().filter(|(group, _)| *group == name);
            group.extend(ours.map(|(_, client)| (sender, *client)));
            if *group != before {
                self.changed(&name);
            }
        }
    }

    /// The next message for [`crate::Node::submit`].
    pub fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// The next event for the local clients.
    pub fn poll_event(&mut self) -> Option<GroupEvent> {
        self.events.pop_front()
    }

    /// The members of a group.
    pub fn members(&self, group: &str) -> Vec<(NodeId, u64)> {
        self.members
            .get(group)
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }

    /// Whose groups these are.
    pub fn node(&self) -> NodeId {
        self.me
    }

    fn changed(&mut self, name: &str) {
        let members = self.members(name);
        if members.is_empty() {
            self.members.remove(name);
        }
        self.events.push_back(GroupEvent {
            group: name.to_owned(),
            members,
        });
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

    /// Hands every outgoing message to everybody, in one order.
    fn exchange(groups: &mut [Groups]) {
        loop {
            let next = groups
                .iter_mut()
                .find_map(|one| Some((one.node(), one.poll_message()?)));
            let Some((sender, bytes)) = next else { return };
            for one in groups.iter_mut() {
                assert!(one.handle_message(sender, &bytes));
            }
        }
    }

    #[test]
    fn members_are_the_same_everywhere_through_a_view_change() {
        let mut groups = [
            Groups::new(NodeId(1)),
            Groups::new(NodeId(2)),
            Groups::new(NodeId(3)),
        ];
        assert!(groups[0].join("db", 10));
        assert!(groups[1].join("db", 20));
        assert!(!groups[1].join("db", 20), "twice is once");
        assert!(!groups[1].join("", 20));
        exchange(&mut groups);
        let both = vec![(NodeId(1), 10), (NodeId(2), 20)];
        assert!(groups.iter().all(|one| one.members("db") == both));

        let left: NodeSet = [NodeId(1), NodeId(3)].into_iter().collect();
        let (first, rest) = groups.split_at_mut(1);
        first[0].handle_view(&left);
        rest[1].handle_view(&left);
        assert_eq!(first[0].members("db"), vec![(NodeId(1), 10)]);

        // Node 2 comes back: all tell their own again.
        let all: NodeSet = (1..=3).map(NodeId).collect();
        groups.iter_mut().for_each(|one| one.handle_view(&all));
        exchange(&mut groups);
        assert!(groups.iter().all(|one| one.members("db") == both));
        groups[0].forget(10);
        exchange(&mut groups);
        let rest = vec![(NodeId(2), 20)];
        assert!(groups.iter().all(|one| one.members("db") == rest));
        let last = |one: &mut Groups| std::iter::from_fn(|| one.poll_event()).last();
        assert!(
            groups
                .iter_mut()
                .all(|one| last(one).is_some_and(|event| event.members == rest))
        );
    }
}
