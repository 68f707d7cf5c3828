//! Agreement on who forms the next view: candidate sets are exchanged until all are equal.
//!
//! As in the Totem single-ring protocol's gather state: sets only grow, whoever does not answer or
//! holds us for failed is held for failed, and each node's sets are its *join*. When every candidate
//! that has not failed says the same, the lowest of them proposes the view (`recovery.rs`).

use std::collections::BTreeMap;

use crate::detector::Cause;
use crate::ids::{NodeId, NodeSet, Time, ViewId};
use crate::message::Packet;
use crate::node::{Node, Phase};
use crate::timer::Timer;

/// A gathering under way.
pub(crate) struct Gather {
    pub(crate) candidates: NodeSet,
    pub(crate) failed: NodeSet,
    /// The last join of each candidate.
    joins: BTreeMap<NodeId, (NodeSet, NodeSet)>,
    /// The first gathering waits for the other configured nodes.
    not_before: Time,
}

impl Gather {
    /// The members that we would have.
    pub(crate) fn members(&self) -> NodeSet {
        self.candidates.without(&self.failed)
    }

    /// Members that have not said the same as we.
    fn differing(&self, me: NodeId) -> NodeSet {
        let same = |node: NodeId| {
            self.joins.get(&node).is_some_and(|(candidates, failed)| {
                *candidates == self.candidates && *failed == self.failed
            })
        };
        self.members()
            .iter()
            .filter(|node| *node != me && !same(*node))
            .collect()
    }
}

impl Node {
    /// Begins a gathering; `failed` are members that we hold for dead, `also` new candidates.
    pub(crate) fn gather(&mut self, now: Time, cause: Cause, failed: &NodeSet, also: &NodeSet) {
        let mut candidates = self.ring.view.members.clone();
        candidates.merge(also);
        candidates.insert(self.config.me);
        if let Phase::Recover(recovery) = &self.phase {
            candidates.merge(&recovery.view.members);
        }
        let started = matches!(cause, Cause::Started);
        let wait = if started {
            self.config.startup_wait
        } else {
            std::time::Duration::ZERO
        };
        let failed: NodeSet = candidates
            .iter()
            .filter(|node| failed.contains(*node))
            .collect();
        self.phase = Phase::Gather(Gather {
            candidates,
            failed,
            joins: BTreeMap::new(),
            not_before: now.after(wait),
        });
        self.frozen = false;
        self.status.note(now, cause);
        self.timers.set(
            Timer::Phase,
            now.after(wait + self.config.consensus_within()),
        );
        self.send_joins(now);
    }

    /// Says our sets to all candidates, failed ones included: they must learn that we part.
    pub(crate) fn send_joins(&mut self, now: Time) {
        let Phase::Gather(gather) = &self.phase else {
            return;
        };
        let join = Packet::Join {
            counter: self.counter,
            promised: self.promised,
            candidates: gather.candidates.clone(),
            failed: gather.failed.clone(),
        };
        let to: Vec<NodeId> = gather.candidates.iter().collect();
        for node in to {
            self.send(node, join.clone());
        }
        self.timers
            .set(Timer::Repeat, now.after(self.config.repeat_every()));
    }

    /// A candidate has ended: nobody waits for it.
    pub(crate) fn give_up(&mut self, now: Time, gone: &NodeSet) {
        let Phase::Gather(gather) = &mut self.phase else {
            return;
        };
        let mut changed = false;
        for node in gone.iter().filter(|node| gather.candidates.contains(*node)) {
            gather.joins.remove(&node);
            changed |= gather.failed.insert(node);
        }
        if changed {
            self.timers
                .set(Timer::Phase, now.after(self.config.consensus_within()));
            self.send_joins(now);
            self.look_for_consensus(now);
        }
    }

    /// Another node's sets.
    pub(crate) fn handle_join(
        &mut self,
        now: Time,
        from: NodeId,
        promised: Option<ViewId>,
        candidates: &NodeSet,
        failed: &NodeSet,
    ) {
        match &self.phase {
            Phase::Operational => {
                let member = self.ring.view.members.contains(from);
                // A member's join from before this view was installed: it arrives late.
                if member && promised < Some(self.ring.view.id) {
                    return;
                }
                // A node outside the view: only once we hear each other, or it would pull us out of
                // a working view again and again without ever joining.
                let welcome = self.detector.mutual(now, from) && !failed.contains(self.config.me);
                if !member && !welcome {
                    return;
                }
                let one = NodeSet::from_iter([from]);
                self.gather(now, Cause::Invited(from), &NodeSet::default(), &one);
            }
            Phase::Recover(recovery) => {
                let late = promised < Some(recovery.view.id);
                if late || !recovery.view.members.contains(from) {
                    return;
                }
                let one = NodeSet::from_iter([from]);
                self.gather(now, Cause::Invited(from), &NodeSet::default(), &one);
            }
            Phase::Gather(_) => {}
            Phase::Left { .. } => return,
        }
        if self.merge_join(from, candidates, failed) {
            self.timers
                .set(Timer::Phase, now.after(self.config.consensus_within()));
            self.send_joins(now);
        }
        self.look_for_consensus(now);
    }

    /// Takes a join into our sets; true if they changed.
    fn merge_join(&mut self, from: NodeId, candidates: &NodeSet, failed: &NodeSet) -> bool {
        let me = self.config.me;
        let Phase::Gather(gather) = &mut self.phase else {
            return false;
        };
        if gather.failed.contains(from) {
            return false;
        }
        let mut changed = gather.candidates.insert(from);
        if failed.contains(me) {
            // It has given us up: we part, and let the others decide for themselves.
            gather.joins.remove(&from);
            changed |= gather.failed.insert(from);
            return changed;
        }
        changed |= gather.candidates.merge(candidates);
        changed |= gather.failed.merge(failed);
        // Whom we do not know, or no more, we cannot hear: nobody waits for that.
        let strange = candidates.without(&self.config.nodes);
        changed |= gather.failed.merge(&strange);
        gather
            .joins
            .insert(from, (candidates.clone(), failed.clone()));
        changed
    }

    /// All sets equal? Then the lowest member proposes.
    pub(crate) fn look_for_consensus(&mut self, now: Time) {
        let me = self.config.me;
        let Phase::Gather(gather) = &self.phase else {
            return;
        };
        let members = gather.members();
        let complete = gather.candidates.len() == self.config.nodes.len();
        if now < gather.not_before && !complete {
            return;
        }
        let equal = gather.differing(me).is_empty();
        if equal && members.first() == Some(me) {
            self.propose(now, members);
        }
    }

    /// The gathering's patience is over: the silent have failed, or it starts afresh.
    pub(crate) fn gather_expired(&mut self, now: Time) {
        let me = self.config.me;
        let Phase::Gather(gather) = &mut self.phase else {
            return;
        };
        if now < gather.not_before {
            self.timers.set(Timer::Phase, gather.not_before);
            return;
        }
        let differing = gather.differing(me);
        if differing.is_empty() {
            // Everybody agrees and nobody proposes: the lowest member has failed since.
            if let Some(lowest) = gather.members().first().filter(|lowest| *lowest != me) {
                gather.failed.insert(lowest);
            }
        } else {
            gather.failed.merge(&differing);
        }
        self.timers
            .set(Timer::Phase, now.after(self.config.consensus_within()));
        self.send_joins(now);
        self.look_for_consensus(now);
    }
}
