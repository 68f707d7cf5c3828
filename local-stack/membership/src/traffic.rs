//! The operational phase: numbers asked for and handed out, messages sent, stored, acknowledged, and
//! fetched when one is missing.

use std::sync::Arc;

use crate::Weakness;
use crate::ids::{NodeId, Time, ViewId};
use crate::message::{Chunk, Guarantee, Packet};
use crate::node::{Node, Phase};
use crate::order::Grant;
use crate::ranges::Ranges;
use crate::timer::Timer;

/// Chunks cut ahead of their numbers: enough to keep the line busy for a round trip.
const CUT_AHEAD: u64 = 256;
/// Missing numbers asked for at once.
const NACK_MAX: usize = 64;
/// Messages received before their receipt is told without waiting for the timer.
const ACK_EVERY: u64 = 32;
/// Deliveries kept for a slow application before we stop acknowledging (chunks).
const BACKLOG_MAX: u64 = 256;

impl Node {
    /// The coordinator's side of a request for numbers.
    pub(crate) fn handle_request(
        &mut self,
        now: Time,
        from: NodeId,
        view: ViewId,
        counts: (u64, u64, u64),
    ) {
        let (wanted, granted, have) = counts;
        if !self.in_view(now, view) || !matches!(self.phase, Phase::Operational) {
            return;
        }
        let Some(sequencer) = &mut self.ring.sequencer else {
            return;
        };
        sequencer.note_have(from, have);
        let again = sequencer.ask(from, wanted, granted);
        for grant in again {
            self.send_grant(grant);
        }
        self.hand_out(now);
    }

    /// Hands out numbers, as far as the window goes.
    ///
    /// Using our own numbers makes more of them wanted, and stable: what follows from that waits for
    /// its turn, because numbers must be used in the order in which they were given.
    pub(crate) fn hand_out(&mut self, now: Time) {
        self.hand_out_again = true;
        if self.handing_out {
            return;
        }
        self.handing_out = true;
        while std::mem::take(&mut self.hand_out_again) {
            self.hand_out_once(now);
        }
        self.handing_out = false;
    }

    fn hand_out_once(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Operational) {
            return;
        }
        let me = self.config.me;
        let (wanted, granted) = (self.sender.wanted(), self.sender.granted());
        let Some(sequencer) = &mut self.ring.sequencer else {
            return;
        };
        sequencer.ask(me, wanted, granted);
        let grants = sequencer.assign(self.config.window);
        let stable = sequencer.stable();
        self.ring.high = self.ring.high.max(sequencer.last());
        self.ring.note_stable(stable);
        for grant in grants {
            if grant.0 == me {
                self.use_grant(now, grant.1, grant.2, grant.3);
            } else {
                self.send_grant(grant);
            }
        }
    }

    pub(crate) fn send_grant(&mut self, (node, index, first, count): Grant) {
        let (view, stable) = (self.ring.view.id, self.ring.stable);
        self.send(
            node,
            Packet::Grant {
                view,
                index,
                first,
                count,
                stable,
            },
        );
    }

    /// Numbers have come: the next chunks leave with them.
    pub(crate) fn use_grant(&mut self, now: Time, index: u64, first: u64, count: u64) {
        if !matches!(self.phase, Phase::Operational) {
            return;
        }
        // A repetition of what we have used, or one that overtook another: the latter comes again.
        let skip = self.sender.granted().saturating_sub(index);
        if index > self.sender.granted() || skip >= count {
            return;
        }
        for seq in first + skip..first + count {
            let Some(chunk) = self.sender.take_granted() else {
                break;
            };
            self.broadcast(seq, &chunk);
            self.ring.high = self.ring.high.max(seq);
            self.ring.log.insert(seq, chunk, u64::MAX / 2);
        }
        self.after_receipt(now, false);
        self.push_out(now);
    }

    pub(crate) fn broadcast(&mut self, seq: u64, chunk: &Arc<Chunk>) {
        let (view, me) = (self.ring.view.id, self.config.me);
        for node in self.ring.view.members.iter().filter(|node| *node != me) {
            let chunk = Arc::clone(chunk);
            self.packets
                .push_back((node, Packet::Data { view, seq, chunk }));
        }
    }

    /// Cuts what is queued and asks for numbers for it.
    pub(crate) fn push_out(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Operational) {
            return;
        }
        let before = self.sender.wanted();
        self.sender.cut(CUT_AHEAD);
        if self.sender.wanted() == before {
            return;
        }
        let wanted = self.sender.wanted();
        let (owed, news) = (
            self.ring.requested.saturating_sub(self.sender.granted()),
            wanted - self.ring.requested.min(wanted),
        );
        if self.ring.sequencer.is_some() {
            self.hand_out(now);
        } else if owed < ACK_EVERY || news >= ACK_EVERY {
            self.request(now);
        }
    }

    pub(crate) fn request(&mut self, now: Time) {
        let (wanted, granted) = (self.sender.wanted(), self.sender.granted());
        if wanted == granted || self.ring.sequencer.is_some() {
            return;
        }
        self.ring.requested = wanted;
        let (view, have) = (self.ring.view.id, self.acknowledgeable());
        self.send(
            view.coordinator,
            Packet::Request {
                view,
                wanted,
                granted,
                have,
            },
        );
        self.timers
            .set(Timer::Request, now.after(self.config.ask_again()));
    }

    pub(crate) fn handle_data(&mut self, now: Time, view: ViewId, seq: u64, chunk: Arc<Chunk>) {
        if !self.in_view(now, view) {
            return;
        }
        self.ring.high = self.ring.high.max(seq);
        let urgent = chunk.guarantee == Guarantee::Safe;
        if self.ring.log.insert(seq, chunk, self.config.window * 2) {
            self.after_receipt(now, urgent);
        }
    }

    /// Something was stored: tell it in time, and see whether something is missing.
    pub(crate) fn after_receipt(&mut self, now: Time, urgent: bool) {
        let have = self.acknowledgeable();
        let me = self.config.me;
        if self.ring.sequencer.is_some() {
            self.note_have(now, me, have);
        } else if have > self.ring.acked {
            if urgent || have - self.ring.acked >= ACK_EVERY {
                self.acknowledge(have);
            } else {
                self.timers
                    .arm(Timer::Ack, now.after(self.config.nack_after()));
            }
        }
        self.watch_for_gap(now);
    }

    /// What we may tell to hold: without gap, and not further ahead of the application than the
    /// backlog allows (that is the back-pressure). A safe message within the backlog is held by
    /// everybody in time all the same, so that it can be delivered.
    ///
    /// And not more than two windows ahead of what we know to be held by everybody: a member that
    /// hears the others and not the coordinator could drop nothing, and its memory would grow. Its
    /// silence here stops the numbers; the coordinator's next heartbeat sets them free.
    pub(crate) fn acknowledgeable(&self) -> u64 {
        if !self.keeps(Weakness::Contiguous) {
            return self.ring.log.last();
        }
        let known = self.ring.stable + self.config.window * 2;
        self.ring
            .log
            .have()
            .min(self.ring.delivered + BACKLOG_MAX)
            .min(known)
    }

    pub(crate) fn acknowledge(&mut self, have: u64) {
        let view = self.ring.view.id;
        self.ring.acked = have;
        self.timers.stop(Timer::Ack);
        self.send(view.coordinator, Packet::Ack { view, have });
    }

    /// A member holds everything up to `have` (at the coordinator).
    pub(crate) fn note_have(&mut self, now: Time, from: NodeId, have: u64) {
        let Some(sequencer) = &mut self.ring.sequencer else {
            return;
        };
        sequencer.note_have(from, have);
        let (stable, high) = (sequencer.stable(), sequencer.last());
        let old = self.ring.stable;
        if !self.ring.note_stable(stable) {
            return;
        }
        // Somebody waits for it: a safe message, or a number.
        let safe = (old + 1..=stable).any(|seq| {
            self.ring
                .log
                .get(seq)
                .is_some_and(|chunk| chunk.guarantee == Guarantee::Safe)
        });
        // Counted from what was told last: it may have grown by a number or two at a time.
        if safe || stable - self.ring.announced >= ACK_EVERY {
            self.ring.announced = stable;
            let (view, me) = (self.ring.view.id, self.config.me);
            let others: Vec<NodeId> = self
                .ring
                .view
                .members
                .iter()
                .filter(|node| *node != me)
                .collect();
            for node in others {
                self.send(node, Packet::Stable { view, stable, high });
            }
        }
        self.ring.trim();
        self.hand_out(now);
    }

    pub(crate) fn learn_stable(&mut self, now: Time, stable: u64, high: u64) {
        self.ring.note_stable(stable.min(self.ring.log.have()));
        self.ring.high = self.ring.high.max(high);
        self.ring.trim();
        self.watch_for_gap(now);
    }

    /// Numbers that we have heard of and do not hold are asked for, unless they come by themselves.
    fn watch_for_gap(&mut self, now: Time) {
        if self.ring.high > self.ring.log.have() && self.timers.due_at(Timer::Nack).is_none() {
            self.ring.nack_have = self.ring.log.have();
            self.timers
                .set(Timer::Nack, now.after(self.config.nack_after()));
        }
    }

    /// A member misses messages; whoever holds them sends them.
    pub(crate) fn handle_nack(&mut self, from: NodeId, view: ViewId, missing: &Ranges) {
        if self.ring.view.id != view || missing.pieces() > NACK_MAX {
            return;
        }
        let found: Vec<_> = missing
            .iter()
            .take(NACK_MAX)
            .filter_map(|seq| Some((seq, Arc::clone(self.ring.log.get(seq)?))))
            .collect();
        self.status.resent += found.len() as u64;
        for (seq, chunk) in found {
            self.send(from, Packet::Data { view, seq, chunk });
        }
    }

    pub(crate) fn ask_for_missing(&mut self, now: Time) {
        if self.frozen || self.ring.high <= self.ring.log.have() {
            return;
        }
        // What holds no gap up comes: a busy sender has not sent yet what it has numbers for.
        if self.ring.log.have() > self.ring.nack_have {
            self.watch_for_gap(now);
            return;
        }
        let (view, me) = (self.ring.view.id, self.config.me);
        let missing = self.ring.log.missing(self.ring.high, NACK_MAX);
        if let Some(helper) = self.ring.next_helper(me) {
            self.send(helper, Packet::Nack { view, missing });
        }
        self.timers
            .set(Timer::Nack, now.after(self.config.ask_again()));
    }
}
