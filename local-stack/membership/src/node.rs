//! One node: dispatch, the operational phase, deliveries.

use std::collections::{BTreeMap, VecDeque};

use crate::config::Config;
use crate::detector::{Cause, Detector, Sign};
use crate::gather::Gather;
use crate::ids::{NodeId, NodeSet, Time, View, ViewId};
use crate::message::{Chunk, Envelope, Guarantee, Packet, Place};
use crate::order::Ring;
use crate::recovery::Recovery;
use crate::sender::Sender;
use crate::timer::{Timer, Timers};

/// Nodes outside the view are greeted at every so many heartbeats: finding them is not urgent.
const GREET_EVERY: u64 = 4;
/// View changes remembered for the status.
const HISTORY_MAX: usize = 32;

/// A safety rule that tests remove to see it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weakness {
    /// A safe message waits until everybody holds it.
    SafeWaits,
    /// What we hold is fixed once told to the coordinator.
    Freeze,
    /// Missing messages of the old view are fetched before the new view begins.
    Fetch,
    /// Behind a gap only companions' messages are delivered.
    Gap,
    /// Agreements of a failed recovery bind the next.
    Obligation,
    /// Only a proposal newer than all before is taken.
    Promise,
    /// A view's name contains its coordinator's incarnation.
    ViewIncarnation,
    /// A message that a view change cuts in two is sent again whole.
    Whole,
    /// Only what has no gap is acknowledged.
    Contiguous,
    /// A restarted process is not the member that it was.
    Restarted,
}

/// What the application gets, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message.
    Message {
        /// The view in which its number was given.
        view: ViewId,
        /// The number of the chunk that ends it.
        seq: u64,
        /// Whose it is.
        sender: NodeId,
        /// What it asked for.
        guarantee: Guarantee,
        /// The message.
        bytes: Vec<u8>,
    },
    /// The view ends; these members come along. What follows until the next view was sent in the old
    /// one, but is promised to these members only.
    Transitional {
        /// The view that ends.
        from: ViewId,
        /// Those who come along.
        members: NodeSet,
    },
    /// A new view is in force.
    View(View),
}

/// The queue is full: nothing was taken, try again after deliveries. The site is slower than its
/// application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sending queue is full; nothing was taken")]
pub struct Full;

/// What a node is doing.
pub(crate) enum Phase {
    Operational,
    Gather(Gather),
    Recover(Recovery),
    /// Over, in good order; the farewell is said so many times more.
    Left {
        again: u32,
    },
}

/// Counters and history, for people.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Views installed.
    pub views: u64,
    /// Gatherings begun, the last of them with time and cause.
    pub causes: VecDeque<(Time, Cause)>,
    /// Packets of other views, or that made no sense in this phase.
    pub stray_packets: u64,
    /// Messages sent again because somebody missed them.
    pub resent: u64,
    /// Messages of senders that are gone, given up behind a gap.
    pub lost_behind_gap: u64,
    /// Times that our own timer ran so late that we accused nobody.
    pub starved: u64,
}

impl Status {
    pub(crate) fn note(&mut self, now: Time, cause: Cause) {
        if self.causes.len() == HISTORY_MAX {
            self.causes.pop_front();
        }
        self.causes.push_back((now, cause));
    }
}

/// One node of the site.
pub struct Node {
    pub(crate) config: Config,
    pub(crate) incarnation: u64,
    pub(crate) phase: Phase,
    /// The last view that was in force here.
    pub(crate) ring: Ring,
    pub(crate) sender: Sender,
    pub(crate) detector: Detector,
    pub(crate) timers: Timers,
    pub(crate) packets: VecDeque<(NodeId, Packet)>,
    pub(crate) deliveries: VecDeque<Delivery>,
    /// Messages of which only the beginning has come, by sender.
    pub(crate) partial: BTreeMap<NodeId, Vec<u8>>,
    pub(crate) obligation: NodeSet,
    /// The greatest view counter heard of.
    pub(crate) counter: u64,
    /// The newest proposal taken.
    pub(crate) promised: Option<ViewId>,
    /// Nothing more of the old view is taken or delivered: a proposal was answered.
    pub(crate) frozen: bool,
    /// Numbers are being handed out; and there is reason to look again after that.
    pub(crate) handing_out: bool,
    pub(crate) hand_out_again: bool,
    pub(crate) status: Status,
    beats: u64,
    weakness: Option<Weakness>,
}

impl Node {
    /// A node that has just started. `incarnation` must differ from that of every earlier process of
    /// this node (64 random bits will do).
    pub fn new(config: Config, incarnation: u64, now: Time) -> Self {
        let me = config.me;
        let id = ViewId {
            counter: 0,
            coordinator: me,
            incarnation,
        };
        let alone = View {
            id,
            members: NodeSet::from_iter([me]),
        };
        let mut node = Self {
            incarnation,
            phase: Phase::Operational,
            ring: Ring::new(alone, me),
            sender: Sender::new(&config),
            detector: Detector::new(&config, now),
            timers: Timers::default(),
            packets: VecDeque::new(),
            deliveries: VecDeque::new(),
            partial: BTreeMap::new(),
            obligation: NodeSet::default(),
            counter: 0,
            promised: None,
            frozen: false,
            handing_out: false,
            hand_out_again: false,
            status: Status::default(),
            beats: 0,
            weakness: None,
            config,
        };
        let others = node.config.nodes.clone();
        node.gather(now, Cause::Started, &NodeSet::default(), &others);
        node.beat(now);
        node
    }

    /// Removes one safety rule: for tests that show the rule is needed.
    #[cfg(feature = "weaken")]
    pub fn weaken(&mut self, weakness: Weakness) {
        self.weakness = Some(weakness);
    }

    pub(crate) fn keeps(&self, rule: Weakness) -> bool {
        self.weakness != Some(rule)
    }

    /// Queues a message for everybody in the view, ourselves included.
    ///
    /// # Errors
    /// [`Full`]: nothing was taken.
    pub fn submit(&mut self, now: Time, bytes: Vec<u8>, guarantee: Guarantee) -> Result<(), Full> {
        self.queue(bytes, guarantee).map_err(|_| Full)?;
        self.flush(now);
        Ok(())
    }

    /// Queues a message without sending anything yet: several that are at hand then share a packet.
    /// Call [`Node::flush`] after the last of them.
    ///
    /// # Errors
    /// The message: there is no room, nothing was taken.
    pub fn queue(&mut self, bytes: Vec<u8>, guarantee: Guarantee) -> Result<(), Vec<u8>> {
        self.sender.submit(bytes, guarantee)
    }

    /// Sends what [`Node::queue`] has taken, as far as there are numbers for it.
    pub fn flush(&mut self, now: Time) {
        self.push_out(now);
    }

    /// A packet from a peer, authenticated by the link.
    pub fn handle_packet(&mut self, now: Time, from: NodeId, envelope: Envelope) {
        let strange = from == self.config.me || !self.config.nodes.contains(from);
        if strange || self.has_left() {
            self.status.stray_packets += 1;
            return;
        }
        let restarted =
            self.detector.hear(now, from, envelope.incarnation) && self.keeps(Weakness::Restarted);
        if restarted {
            self.detector.part(from);
            self.leave_behind(now, from);
        }
        self.dispatch(now, from, envelope.packet);
    }

    /// A member's process is a new one: it has left our view.
    fn leave_behind(&mut self, now: Time, node: NodeId) {
        let concerned = match &self.phase {
            Phase::Operational => self.ring.view.members.contains(node),
            Phase::Gather(_) | Phase::Left { .. } => false,
            Phase::Recover(recovery) => recovery.view.members.contains(node),
        };
        if concerned {
            let failed = NodeSet::from_iter([node]);
            self.gather(now, Cause::Restarted(node), &failed, &NodeSet::default());
        }
    }

    fn dispatch(&mut self, now: Time, from: NodeId, packet: Packet) {
        match packet {
            Packet::Heartbeat { .. } => self.handle_heartbeat(now, from, &packet),
            Packet::Join {
                counter,
                promised,
                candidates,
                failed,
            } => {
                self.counter = self.counter.max(counter);
                self.handle_join(now, from, promised, &candidates, &failed);
            }
            Packet::Propose { view, members } => self.handle_propose(now, from, view, members),
            Packet::Info { view, info } => self.handle_info(now, from, view, info),
            Packet::Plan { view, infos } => self.handle_plan(now, view, &infos),
            Packet::Miss { view, missing } => self.handle_miss(from, view, &missing),
            Packet::Recover { view, seq, chunk } => self.handle_recover(now, view, seq, chunk),
            Packet::Recovered { view } => self.handle_recovered(now, from, view),
            Packet::Install { view } => self.handle_install(now, view),
            Packet::Request {
                view,
                wanted,
                granted,
                have,
            } => {
                self.handle_request(now, from, view, (wanted, granted, have));
            }
            Packet::Grant {
                view,
                index,
                first,
                count,
                stable,
            } => {
                if self.in_view(now, view) {
                    self.learn_stable(now, stable, first + count - 1);
                    self.use_grant(now, index, first, count);
                }
            }
            Packet::Data { view, seq, chunk } => self.handle_data(now, view, seq, chunk),
            Packet::Nack { view, missing } => self.handle_nack(from, view, &missing),
            Packet::Ack { view, have } => {
                if self.in_view(now, view) {
                    self.note_have(now, from, have);
                }
            }
            Packet::Stable { view, stable, high } => {
                if self.in_view(now, view) {
                    self.learn_stable(now, stable, high);
                }
            }
            Packet::Leave => self.handle_leave(now, from),
        }
    }

    /// Is this the view in force? A message of the view that we are about to install says that the
    /// coordinator has installed it.
    pub(crate) fn in_view(&mut self, now: Time, view: ViewId) -> bool {
        self.handle_install(now, view);
        let ours = self.ring.view.id == view && !self.frozen;
        if !ours {
            self.status.stray_packets += 1;
        }
        ours
    }

    fn handle_heartbeat(&mut self, now: Time, from: NodeId, packet: &Packet) {
        let Packet::Heartbeat {
            view,
            operational,
            heard,
            suspects,
            have,
            stable,
            high,
            ..
        } = packet
        else {
            return;
        };
        self.counter = self.counter.max(view.counter);
        let hears_us = heard.contains(self.config.me);
        let sign = Sign {
            view: *view,
            operational: *operational,
            hears_us,
            suspects,
        };
        self.detector.beat(now, from, self.ring.view.id, &sign);
        if !matches!(self.phase, Phase::Operational) {
            return;
        }
        self.follow(now, from, suspects);
        let member = self.ring.view.members.contains(from);
        if *view == self.ring.view.id {
            self.note_have(now, from, *have);
            self.learn_stable(now, *stable, *high);
        } else if member && *operational && view.counter > self.ring.view.id.counter {
            self.gather(
                now,
                Cause::Strayed(from),
                &NodeSet::default(),
                &NodeSet::default(),
            );
        }
    }

    /// Beats with the coordinator instead of at a time of our own: the heartbeats of a view then come
    /// together, and wake a node once instead of once for each member. With whoever suspects
    /// somebody we beat too: a second opinion is wanted now. Never when our own beat is overdue: how
    /// late it is tells whether we were starved.
    fn follow(&mut self, now: Time, from: NodeId, suspects: &NodeSet) {
        let Some(due) = self
            .timers
            .due_at(Timer::Heartbeat)
            .filter(|due| *due > now)
        else {
            return;
        };
        let leads = from == self.ring.view.id.coordinator;
        let soon = due.since(now) < self.config.heartbeat_every / 2;
        let asked = suspects.without(self.detector.suspected()) != NodeSet::default();
        if leads && soon || asked && self.detector.overdue(now, suspects) {
            self.timers.set(Timer::Heartbeat, now);
        }
    }

    /// A view is in force.
    pub(crate) fn begin_view(&mut self, now: Time, view: View) {
        // Whoever is not in it has failed, or an attempt to merge it has: not again at once.
        for node in self.config.nodes.without(&view.members).iter() {
            self.detector.part(node);
        }
        self.deliveries.push_back(Delivery::View(view.clone()));
        self.ring = Ring::new(view, self.config.me);
        self.phase = Phase::Operational;
        self.frozen = false;
        self.obligation = NodeSet::default();
        self.status.views += 1;
        self.detector.installed(now);
        self.sender.restart(self.keeps(Weakness::Whole));
        for timer in [
            Timer::Phase,
            Timer::Repeat,
            Timer::Ack,
            Timer::Nack,
            Timer::Request,
        ] {
            self.timers.stop(timer);
        }
        self.push_out(now);
    }

    /// Time has come for whatever [`Node::next_timeout`] named.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.has_left() {
            if self.timers.expired(Timer::Heartbeat, now) {
                self.say_farewell(now);
            }
            return;
        }
        let beat_due = self.timers.due_at(Timer::Heartbeat);
        if self.timers.expired(Timer::Heartbeat, now) {
            let late = now.since(beat_due.unwrap_or(now));
            if late > self.config.heartbeat_every {
                self.status.starved += 1;
                self.detector.forgive(now, late);
            }
            self.look_around(now);
            self.beat(now);
        }
        if self.timers.expired(Timer::Ack, now) {
            let have = self.acknowledgeable();
            if have > self.ring.acked && matches!(self.phase, Phase::Operational) {
                self.acknowledge(have);
            }
        }
        if self.timers.expired(Timer::Nack, now) {
            self.ask_for_missing(now);
        }
        if self.timers.expired(Timer::Request, now) && matches!(self.phase, Phase::Operational) {
            self.request(now);
        }
        if self.timers.expired(Timer::Repeat, now) {
            match self.phase {
                Phase::Gather(_) => {
                    self.send_joins(now);
                    self.look_for_consensus(now);
                }
                Phase::Recover(_) => self.repeat_recovery(now),
                Phase::Operational | Phase::Left { .. } => {}
            }
        }
        if self.timers.expired(Timer::Phase, now) {
            match self.phase {
                Phase::Gather(_) => self.gather_expired(now),
                Phase::Recover(_) => self.recovery_expired(now),
                Phase::Operational | Phase::Left { .. } => {}
            }
        }
    }

    /// Who has failed, who is new?
    fn look_around(&mut self, now: Time) {
        let view = match &self.phase {
            Phase::Operational => self.ring.view.clone(),
            Phase::Recover(recovery) => recovery.view.clone(),
            Phase::Gather(_) | Phase::Left { .. } => return,
        };
        let recovering = matches!(self.phase, Phase::Recover(_));
        let failures: Vec<_> = self
            .detector
            .failures(now, &view)
            .into_iter()
            .filter(|(_, cause)| !recovering || !matches!(cause, Cause::Strayed(_)))
            .collect();
        if let Some((_, cause)) = failures.first().cloned() {
            let failed = failures.iter().map(|(node, _)| *node).collect();
            self.gather(now, cause, &failed, &NodeSet::default());
            return;
        }
        let met = self.detector.met(now, &self.ring.view);
        if let (false, Some(first)) = (recovering, met.first()) {
            self.gather(now, Cause::Met(first), &NodeSet::default(), &met);
        }
    }

    fn beat(&mut self, now: Time) {
        let me = self.config.me;
        let packet = Packet::Heartbeat {
            view: self.ring.view.id,
            operational: matches!(self.phase, Phase::Operational),
            heard: self.detector.heard(now),
            suspects: self.detector.suspected().clone(),
            sent: now,
            echo: None,
            have: self.acknowledgeable(),
            stable: self.ring.stable,
            high: self.ring.high,
        };
        let everybody = self.beats.is_multiple_of(GREET_EVERY);
        self.beats += 1;
        let to: Vec<NodeId> = self
            .config
            .nodes
            .iter()
            .filter(|node| *node != me && (everybody || self.ring.view.members.contains(*node)))
            .collect();
        for node in to {
            self.send(node, packet.clone());
        }
        let leads = self.ring.view.id.coordinator == me;
        self.timers
            .set(Timer::Heartbeat, now.after(self.config.next_beat(leads)));
    }

    /// The next packet to send.
    pub fn poll_packet(&mut self) -> Option<(NodeId, Envelope)> {
        let (to, packet) = self.packets.pop_front()?;
        Some((
            to,
            Envelope {
                incarnation: self.incarnation,
                packet,
            },
        ))
    }

    /// The next delivery. Taking them slowly slows the senders of the whole site down; nothing is
    /// ever dropped.
    pub fn poll_delivery(&mut self, now: Time) -> Option<Delivery> {
        while self.deliveries.is_empty() && !self.frozen {
            let wait = self.keeps(Weakness::SafeWaits);
            let (seq, chunk) = self.ring.next_deliverable(wait)?;
            let view = self.ring.view.id;
            self.deliver_chunk(view, seq, &chunk);
            if matches!(self.phase, Phase::Operational) {
                self.after_receipt(now, false);
            }
        }
        self.deliveries.pop_front()
    }

    /// Puts a chunk's messages into the deliveries.
    pub(crate) fn deliver_chunk(&mut self, view: ViewId, seq: u64, chunk: &Chunk) {
        self.ring.delivered = seq;
        for (place, bytes) in chunk.pieces() {
            let bytes = match place {
                Place::Whole => bytes.to_vec(),
                Place::First => {
                    self.partial.insert(chunk.sender, bytes.to_vec());
                    continue;
                }
                Place::Middle | Place::Last => {
                    let Some(begun) = self.partial.get_mut(&chunk.sender) else {
                        continue;
                    };
                    begun.extend_from_slice(bytes);
                    if place == Place::Middle {
                        continue;
                    }
                    self.partial.remove(&chunk.sender).unwrap_or_default()
                }
            };
            let (sender, guarantee) = (chunk.sender, chunk.guarantee);
            self.deliveries.push_back(Delivery::Message {
                view,
                seq,
                sender,
                guarantee,
                bytes,
            });
        }
    }

    /// When [`Node::handle_timeout`] wants to be called.
    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The view in force, or the last one if the next is being agreed ([`Node::is_operational`]).
    pub fn view(&self) -> &View {
        &self.ring.view
    }

    /// Is the view in force?
    pub fn is_operational(&self) -> bool {
        matches!(self.phase, Phase::Operational)
    }

    /// Does this node hold that message of that view? For checkers.
    pub fn holds(&self, view: ViewId, seq: u64) -> bool {
        self.ring.view.id == view && self.ring.log.holds(seq)
    }

    /// The last number of the view that was handed to the application. For checkers.
    pub fn delivered(&self) -> u64 {
        self.ring.delivered
    }

    /// Sequence numbers whose messages are kept. For checkers.
    pub fn kept(&self) -> usize {
        self.ring.log.kept()
    }

    /// Counters and the causes of the last gatherings.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Bytes that wait for their turn.
    pub fn queued_bytes(&self) -> usize {
        self.sender.queued_bytes()
    }

    pub(crate) fn send(&mut self, to: NodeId, packet: Packet) {
        self.packets.push_back((to, packet));
    }
}
