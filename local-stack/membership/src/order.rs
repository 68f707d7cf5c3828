//! One view's order: numbers for senders, messages by number, what everybody holds.
//!
//! ```text
//! sender                 coordinator                 others
//!   | Request(wanted) ------> |                        |
//!   | <------ Grant(first, n) |                        |
//!   | Data(seq) ------------> | ---------------------> |   (from the sender to each)
//!   |                         | <----------- Ack(have) |
//!   | <-------- Stable(min) - | - Stable(min) -------> |
//! ```
//! The coordinator hands out no number more than `window` ahead of what everybody holds: that bounds
//! every member's memory, and makes a slow member slow its site down instead of losing messages.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::{NodeId, View};
use crate::log::Log;
use crate::message::{Chunk, Guarantee};

/// Most numbers in one grant: keeps one busy sender from taking the whole window at once.
const GRANT_MAX: u64 = 64;

/// Room in the window below which nothing is granted while more than that is wanted.
const GRANT_LEAST: u64 = 32;

/// One grant: to whom, how many it had before, the first number, how many.
pub(crate) type Grant = (NodeId, u64, u64, u64);

/// A member as the coordinator sees it.
struct Asker {
    node: NodeId,
    wanted: u64,
    granted: u64,
    have: u64,
    /// Grants that may not have arrived: index, first, count.
    unconfirmed: VecDeque<(u64, u64, u64)>,
}

/// The coordinator's half.
pub(crate) struct Sequencer {
    askers: Vec<Asker>,
    last: u64,
    turn: usize,
}

impl Sequencer {
    fn new(view: &View) -> Self {
        let asker = |node| Asker {
            node,
            wanted: 0,
            granted: 0,
            have: 0,
            unconfirmed: VecDeque::new(),
        };
        Self {
            askers: view.members.iter().map(asker).collect(),
            last: 0,
            turn: 0,
        }
    }

    /// A member holds everything up to `have`.
    pub(crate) fn note_have(&mut self, node: NodeId, have: u64) {
        if let Some(asker) = self.asker(node) {
            asker.have = asker.have.max(have);
        }
    }

    /// Everybody holds everything up to here.
    pub(crate) fn stable(&self) -> u64 {
        self.askers
            .iter()
            .map(|asker| asker.have)
            .min()
            .unwrap_or(0)
    }

    /// The greatest number handed out.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// A member wants numbers; the answer repeats grants that it does not seem to have got.
    pub(crate) fn ask(&mut self, node: NodeId, wanted: u64, granted: u64) -> Vec<Grant> {
        let Some(asker) = self.asker(node) else {
            return Vec::new();
        };
        asker.wanted = asker.wanted.max(wanted);
        while asker
            .unconfirmed
            .front()
            .is_some_and(|(index, _, count)| index + count <= granted)
        {
            asker.unconfirmed.pop_front();
        }
        asker
            .unconfirmed
            .iter()
            .map(|(index, first, count)| (node, *index, *first, *count))
            .collect()
    }

    /// New grants, as far as the window goes, in turn.
    ///
    /// A window that opens by a number or two is left alone until more of it is open: one packet for
    /// each number would cost more than what it carries.
    pub(crate) fn assign(&mut self, window: u64) -> Vec<Grant> {
        let mut grants = Vec::new();
        let limit = self.stable() + window;
        let wanted: u64 = self
            .askers
            .iter()
            .map(|asker| asker.wanted - asker.granted)
            .sum();
        if limit.saturating_sub(self.last) < wanted.min(GRANT_LEAST).min(window / 4) {
            return grants;
        }
        let count = self.askers.len();
        let mut idle = 0;
        while idle < count && self.last < limit {
            let at = self.turn % count;
            self.turn = (at + 1) % count;
            let room = limit - self.last;
            let first = self.last + 1;
            let asker = &mut self.askers[at];
            let numbers = (asker.wanted - asker.granted).min(room).min(GRANT_MAX);
            if numbers == 0 {
                idle += 1;
                continue;
            }
            idle = 0;
            grants.push((asker.node, asker.granted, first, numbers));
            asker.unconfirmed.push_back((asker.granted, first, numbers));
            asker.granted += numbers;
            self.last += numbers;
        }
        grants
    }

    fn asker(&mut self, node: NodeId) -> Option<&mut Asker> {
        self.askers.iter_mut().find(|asker| asker.node == node)
    }
}

/// What a member knows of the view that it has installed.
pub(crate) struct Ring {
    pub(crate) view: View,
    pub(crate) log: Log,
    /// `Some` at the coordinator.
    pub(crate) sequencer: Option<Sequencer>,
    /// Every member holds everything up to here.
    pub(crate) stable: u64,
    /// The greatest number heard of.
    pub(crate) high: u64,
    /// Delivered to the application up to here.
    pub(crate) delivered: u64,
    /// Told the members to be held by everybody (at the coordinator).
    pub(crate) announced: u64,
    /// What we last told the coordinator to hold.
    pub(crate) acked: u64,
    /// Whom to ask next for what is missing.
    pub(crate) nack_turn: usize,
    /// What we held when we began to wait for what is missing.
    pub(crate) nack_have: u64,
    /// How many numbers we have asked for.
    pub(crate) requested: u64,
}

impl Ring {
    pub(crate) fn new(view: View, me: NodeId) -> Self {
        let sequencer = (view.id.coordinator == me).then(|| Sequencer::new(&view));
        Self {
            view,
            log: Log::default(),
            sequencer,
            stable: 0,
            high: 0,
            delivered: 0,
            announced: 0,
            acked: 0,
            nack_turn: 0,
            nack_have: 0,
            requested: 0,
        }
    }

    /// Everybody holds everything up to here: true if that is news.
    pub(crate) fn note_stable(&mut self, stable: u64) -> bool {
        let news = stable > self.stable;
        self.stable = self.stable.max(stable);
        self.high = self.high.max(stable);
        news
    }

    /// The next message that may be delivered in this view.
    pub(crate) fn next_deliverable(&self, wait_for_stable: bool) -> Option<(u64, Arc<Chunk>)> {
        let seq = self.delivered + 1;
        if seq > self.log.have() {
            return None;
        }
        let chunk = self.log.get(seq)?;
        let ripe = chunk.guarantee == Guarantee::Agreed || seq <= self.stable || !wait_for_stable;
        ripe.then(|| (seq, Arc::clone(chunk)))
    }

    /// Drops what everybody holds and we have delivered.
    pub(crate) fn trim(&mut self) {
        self.log.trim(self.stable.min(self.delivered));
    }

    /// Whom to ask for what is missing: first the coordinator, then each member in turn (the sender
    /// is among them, and always has it).
    pub(crate) fn next_helper(&mut self, me: NodeId) -> Option<NodeId> {
        let others: Vec<NodeId> = self
            .view
            .members
            .iter()
            .filter(|node| *node != me)
            .collect();
        let helper = others.get(self.nack_turn % others.len().max(1)).copied();
        self.nack_turn = self.nack_turn.wrapping_add(1);
        helper
    }
}
