//! The actions of one resource, found by what they are without touching the actions themselves.

use std::ops::Deref;

use crate::action::Key;
use crate::ids::{ActId, NodeId};
use crate::words::Word;

/// Stands for an action without a node.
const NOWHERE: u32 = u32::MAX;

/// What an action is looked up by; a copy, so that a search stays within one piece of memory.
#[derive(Debug, Clone, Copy)]
struct Brief {
    key: Key,
    task: Word,
    /// The node's number, or [`NOWHERE`].
    node: u32,
}

fn number(node: Option<NodeId>) -> u32 {
    node.map_or(NOWHERE, |n| n.0)
}

/// The actions of one resource, oldest first.
#[derive(Debug, Default)]
pub(crate) struct ActionList {
    ids: Vec<ActId>,
    briefs: Vec<Brief>,
}

impl Deref for ActionList {
    type Target = [ActId];

    fn deref(&self) -> &[ActId] {
        &self.ids
    }
}

impl ActionList {
    pub(crate) fn push(&mut self, id: ActId, key: Key, task: Word, node: Option<NodeId>) {
        self.ids.push(id);
        let node = number(node);
        self.briefs.push(Brief { key, task, node });
    }

    /// The place of the newest action that fits.
    pub(crate) fn newest(
        &self,
        key: Option<Key>,
        task: Option<Word>,
        node: Option<NodeId>,
    ) -> Option<usize> {
        let there = |b: &Brief| node.is_none_or(|n| b.node == n.0);
        let mut briefs = self.briefs.iter();
        match (key, task) {
            (None, Some(task)) => briefs.rposition(|b| b.task == task && there(b)),
            (Some(key), None) => briefs.rposition(|b| b.key == key && there(b)),
            _ => briefs.rposition(|b| {
                key.is_none_or(|k| k == b.key) && task.is_none_or(|t| t == b.task) && there(b)
            }),
        }
    }

    /// The place of the next action, from `start` on, with a key and either this node or none.
    pub(crate) fn next(&self, start: usize, key: Key, node: Option<NodeId>) -> Option<usize> {
        let node = number(node);
        let fits =
            |b: &Brief| b.key == key && (node == NOWHERE || b.node == NOWHERE || b.node == node);
        let rest = self.briefs.get(start..)?;
        rest.iter().position(fits).map(|at| start + at)
    }

    /// Every action with a key on exactly this node, oldest first.
    pub(crate) fn exact(&self, key: Key, node: NodeId) -> impl Iterator<Item = ActId> {
        let both = self.ids.iter().zip(&self.briefs);
        both.filter(move |(_, b)| b.key == key && b.node == node.0)
            .map(|(id, _)| *id)
    }

    /// Notes that an action has been given a node.
    pub(crate) fn set_node(&mut self, place: usize, node: Option<NodeId>) {
        if let Some(brief) = self.briefs.get_mut(place) {
            brief.node = number(node);
        }
    }

    /// Notes that an action is now of another kind.
    pub(crate) fn set_task(&mut self, id: ActId, task: Word) {
        if let Some(place) = self.ids.iter().rposition(|i| *i == id) {
            self.briefs[place].task = task;
        }
    }
}
