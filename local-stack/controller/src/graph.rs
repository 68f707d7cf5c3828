//! A transition under way: which of its actions have fired, are in flight, are done.

use std::collections::BTreeSet;

use replica::OrderId;
use scheduler::{Action, ActionKind, Synapse, Transition};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    /// In flight as this order.
    Flying(OrderId),
    Done,
    Failed,
    /// Its resource is busy with something else; a new transition follows when that ends.
    Held,
}

/// One transition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    /// Counts transitions; part of every transition key.
    pub(crate) number: u64,
    synapses: Vec<(Synapse, Progress)>,
    ids: BTreeSet<u32>,
}

impl Graph {
    /// A transition that nothing of has happened yet.
    pub(crate) fn new(number: u64, transition: Transition) -> Self {
        let ids = transition
            .synapses
            .iter()
            .map(|synapse| synapse.action.id)
            .collect();
        let fresh = |synapse| (synapse, Progress::Waiting);
        let mut synapses: Vec<_> = transition.synapses.into_iter().map(fresh).collect();
        // A stable sort: among equals the scheduler's order stays.
        synapses.sort_by_key(|(synapse, _)| std::cmp::Reverse(synapse.priority));
        Self {
            number,
            synapses,
            ids,
        }
    }

    /// No transition; the next one counts on.
    pub(crate) fn empty(number: u64) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// The next action that may be carried out, if any.
    pub(crate) fn next_ready(&self) -> Option<Action> {
        let ready = |synapse: &Synapse| {
            synapse
                .inputs
                .iter()
                .all(|input| !self.ids.contains(input) || self.is_done(*input))
        };
        self.synapses
            .iter()
            .find(|(synapse, progress)| *progress == Progress::Waiting && ready(synapse))
            .map(|(synapse, _)| synapse.action.clone())
    }

    fn is_done(&self, id: u32) -> bool {
        self.synapses
            .iter()
            .any(|(s, progress)| s.action.id == id && *progress == Progress::Done)
    }

    fn set(&mut self, id: u32, progress: Progress) {
        for (synapse, current) in &mut self.synapses {
            if synapse.action.id == id {
                *current = progress;
            }
        }
    }

    pub(crate) fn fly(&mut self, id: u32, order: OrderId) {
        self.set(id, Progress::Flying(order));
    }

    pub(crate) fn confirm(&mut self, id: u32) {
        self.set(id, Progress::Done);
    }

    pub(crate) fn fail(&mut self, id: u32) {
        self.set(id, Progress::Failed);
    }

    pub(crate) fn hold(&mut self, id: u32) {
        self.set(id, Progress::Held);
    }

    /// The action that this order carries out.
    pub(crate) fn action_of(&self, order: OrderId) -> Option<&Action> {
        let flying = Progress::Flying(order);
        self.synapses
            .iter()
            .find(|(_, p)| *p == flying)
            .map(|(synapse, _)| &synapse.action)
    }

    /// There is an action with this key on this node.
    pub(crate) fn has(&self, key: &str, uname: &str) -> bool {
        self.synapses.iter().any(|(synapse, _)| {
            let node = synapse.action.node.as_ref();
            synapse.action.key == key && node.is_some_and(|node| node.uname == uname)
        })
    }

    /// Something is in flight or can still fire.
    pub(crate) fn is_busy(&self) -> bool {
        let flying = |p: &Progress| matches!(p, Progress::Flying(_));
        self.synapses.iter().any(|(_, progress)| flying(progress)) || self.next_ready().is_some()
    }

    /// What the transition does to resources.
    pub(crate) fn resource_actions(&self) -> impl Iterator<Item = &Action> {
        self.synapses
            .iter()
            .map(|(synapse, _)| &synapse.action)
            .filter(|action| action.kind == ActionKind::Resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synapse(id: u32, priority: i32, inputs: &[u32]) -> Synapse {
        Synapse {
            priority,
            action: crate::test_support::action(id, "r", "start"),
            inputs: inputs.to_vec(),
        }
    }

    fn graph(synapses: Vec<Synapse>) -> Graph {
        Graph::new(
            1,
            Transition {
                synapses,
                ..Transition::default()
            },
        )
    }

    #[test]
    fn an_action_waits_for_its_inputs_and_priority_goes_first() {
        let mut graph = graph(vec![
            synapse(1, 0, &[]),
            synapse(2, 0, &[1, 3]),
            synapse(3, 5, &[99]),
        ]);
        assert_eq!(graph.next_ready().unwrap().id, 3, "99 is not of this graph");
        let order = OrderId {
            incarnation: 1,
            number: 70,
        };
        graph.fly(3, order);
        assert_eq!(graph.action_of(order).unwrap().id, 3);
        assert_eq!(graph.next_ready().unwrap().id, 1);
        graph.confirm(1);
        assert_eq!(graph.next_ready(), None);
        graph.confirm(3);
        assert_eq!(graph.next_ready().unwrap().id, 2);
    }

    #[test]
    fn a_failure_stops_what_depends_on_it() {
        let mut graph = graph(vec![synapse(1, 0, &[]), synapse(2, 0, &[1])]);
        graph.fail(1);
        assert_eq!(graph.next_ready(), None);
        assert!(!graph.is_busy());
    }
}
