//! From agreed members to a view in force: two rounds by the coordinator, and between them each node
//! fetches what anybody of its old view holds.
//!
//! ```text
//! coordinator      Propose          Plan                          Install
//! member                   Info          Miss/Recover  Recovered          (view event)
//! ```
//! Lost packets are repeated by whoever waits; a member that fails, or a recovery that stands still,
//! leads back to gathering with the old view kept as it is. What was agreed on the way is not lost:
//! once a node has said `Recovered`, the senders of its companions stay its *obligation*, because a
//! companion may have installed the view and delivered their messages as safe.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Weakness;
use crate::detector::Cause;
use crate::ids::{NodeId, NodeSet, Time, View, ViewId};
use crate::message::{Guarantee, MemberInfo, Packet};
use crate::node::{Delivery, Node, Phase};
use crate::ranges::Ranges;
use crate::timer::Timer;

/// Messages sent in answer to one request for missing ones: keeps a recovery from flooding the link.
const RECOVER_BURST: usize = 64;

/// A recovery under way.
pub(crate) struct Recovery {
    pub(crate) view: View,
    /// The coordinator's collection.
    infos: BTreeMap<NodeId, MemberInfo>,
    plan: Option<Plan>,
    /// What we answered the proposal with: fixed once said.
    ours: MemberInfo,
    /// Who has said that it holds everything (at the coordinator).
    recovered: NodeSet,
    turn: usize,
}

/// What the infos mean for one node.
struct Plan {
    infos: Arc<Vec<(NodeId, MemberInfo)>>,
    /// Members that come with us from the same old view.
    companions: NodeSet,
    /// What any of them holds.
    union: Ranges,
    stable: u64,
    obligation: NodeSet,
}

impl Plan {
    fn new(infos: &Arc<Vec<(NodeId, MemberInfo)>>, old: ViewId) -> Self {
        let ours = || infos.iter().filter(|(_, info)| info.old_view == old);
        Self {
            infos: Arc::clone(infos),
            companions: ours().map(|(node, _)| *node).collect(),
            union: ours().fold(Ranges::default(), |all, (_, info)| all.union(&info.held)),
            stable: ours().map(|(_, info)| info.stable).max().unwrap_or(0),
            obligation: ours()
                .flat_map(|(_, info)| info.obligation.iter())
                .collect(),
        }
    }

    /// Companions that hold `seq`.
    fn holders(&self, seq: u64) -> Vec<NodeId> {
        self.infos
            .iter()
            .filter(|(node, info)| self.companions.contains(*node) && info.held.contains(seq))
            .map(|(node, _)| *node)
            .collect()
    }
}

impl Node {
    /// All candidates agree and we are the lowest: propose.
    pub(crate) fn propose(&mut self, now: Time, members: NodeSet) {
        let incarnation = if self.keeps(Weakness::ViewIncarnation) {
            self.incarnation
        } else {
            0
        };
        self.counter += 1;
        let id = ViewId {
            counter: self.counter,
            coordinator: self.config.me,
            incarnation,
        };
        self.enter_recovery(now, View { id, members });
        self.repeat_recovery(now);
        self.collect_infos(now);
    }

    fn enter_recovery(&mut self, now: Time, view: View) {
        self.promised = Some(view.id);
        self.counter = self.counter.max(view.id.counter);
        self.frozen = self.keeps(Weakness::Freeze);
        let ours = MemberInfo {
            incarnation: self.incarnation,
            old_view: self.ring.view.id,
            held: self.ring.log.held(),
            stable: self.ring.stable,
            obligation: self.obligation.clone(),
        };
        let infos = BTreeMap::from([(self.config.me, ours.clone())]);
        let recovered = NodeSet::default();
        self.phase = Phase::Recover(Recovery {
            view,
            infos,
            plan: None,
            ours,
            recovered,
            turn: 0,
        });
        self.timers
            .set(Timer::Phase, now.after(self.config.recover_within()));
        self.timers
            .set(Timer::Repeat, now.after(self.config.repeat_every()));
    }

    /// A proposal: taken if it has our members and is newer than any that we have taken.
    pub(crate) fn handle_propose(
        &mut self,
        now: Time,
        from: NodeId,
        view: ViewId,
        members: NodeSet,
    ) {
        self.counter = self.counter.max(view.counter);
        if view.coordinator != from || !members.contains(self.config.me) {
            return;
        }
        match &self.phase {
            Phase::Gather(gather) => {
                // A proposer that has not heard of our view may count as we did: it counts again.
                let counts_on = view.counter > self.ring.view.id.counter;
                let newer = counts_on && self.promised.is_none_or(|promised| view > promised);
                if gather.members() == members && (newer || !self.keeps(Weakness::Promise)) {
                    self.enter_recovery(now, View { id: view, members });
                    self.repeat_recovery(now);
                }
            }
            Phase::Recover(recovery) if recovery.view.id == view => self.repeat_recovery(now),
            Phase::Recover(_) | Phase::Operational | Phase::Left { .. } => {}
        }
    }

    /// Says again whatever the others may not have heard.
    pub(crate) fn repeat_recovery(&mut self, now: Time) {
        let me = self.config.me;
        let Phase::Recover(recovery) = &self.phase else {
            return;
        };
        let (id, members) = (recovery.view.id, recovery.view.members.clone());
        let mut packets = Vec::new();
        if id.coordinator == me {
            for node in members.iter().filter(|node| *node != me) {
                packets.push((
                    node,
                    match &recovery.plan {
                        None if recovery.infos.contains_key(&node) => continue,
                        None => Packet::Propose {
                            view: id,
                            members: members.clone(),
                        },
                        Some(_) if recovery.recovered.contains(node) => continue,
                        Some(plan) => Packet::Plan {
                            view: id,
                            infos: Arc::clone(&plan.infos),
                        },
                    },
                ));
            }
        } else if recovery.plan.is_none() {
            packets.push((
                id.coordinator,
                Packet::Info {
                    view: id,
                    info: recovery.ours.clone(),
                },
            ));
        }
        for (node, packet) in packets {
            self.send(node, packet);
        }
        self.fetch_missing(now);
        self.timers
            .set(Timer::Repeat, now.after(self.config.repeat_every()));
    }

    /// A member's answer to our proposal.
    pub(crate) fn handle_info(&mut self, now: Time, from: NodeId, view: ViewId, info: MemberInfo) {
        let Phase::Recover(recovery) = &mut self.phase else {
            return;
        };
        let ours = recovery.view.id == view && recovery.view.members.contains(from);
        if !ours || recovery.plan.is_some() {
            return;
        }
        recovery.infos.insert(from, info);
        self.collect_infos(now);
    }

    fn collect_infos(&mut self, now: Time) {
        let old = self.ring.view.id;
        let Phase::Recover(recovery) = &mut self.phase else {
            return;
        };
        if recovery.infos.len() < recovery.view.members.len() {
            return;
        }
        let infos: Vec<_> = recovery
            .infos
            .iter()
            .map(|(node, info)| (*node, info.clone()))
            .collect();
        let infos = Arc::new(infos);
        recovery.plan = Some(Plan::new(&infos, old));
        if self.knows_better(now, &infos) {
            return;
        }
        self.repeat_recovery(now);
    }

    /// Everybody's answers, from the coordinator.
    pub(crate) fn handle_plan(
        &mut self,
        now: Time,
        view: ViewId,
        infos: &Arc<Vec<(NodeId, MemberInfo)>>,
    ) {
        let old = self.ring.view.id;
        let Phase::Recover(recovery) = &mut self.phase else {
            return;
        };
        if recovery.view.id != view {
            return;
        }
        if recovery.plan.is_none() {
            recovery.plan = Some(Plan::new(infos, old));
            self.timers
                .set(Timer::Phase, now.after(self.config.recover_within()));
            if self.knows_better(now, infos) {
                return;
            }
        }
        self.fetch_missing(now);
    }

    /// Is the plan of a process that is not the one that we hear? A restart that we heard of while we
    /// gathered, or before we had heard the member at all, concerns this view as well.
    fn knows_better(&mut self, now: Time, infos: &[(NodeId, MemberInfo)]) -> bool {
        let others = infos.iter().filter(|(node, _)| *node != self.config.me);
        let other_process: Vec<NodeId> = others
            .filter(|(node, info)| !self.detector.is_process(*node, info.incarnation))
            .map(|(node, _)| *node)
            .collect();
        let Some(first) = other_process.first().copied() else {
            return false;
        };
        if !self.keeps(Weakness::Restarted) {
            return false;
        }
        let failed = other_process.into_iter().collect();
        self.gather(now, Cause::Restarted(first), &failed, &NodeSet::default());
        true
    }

    /// Asks a companion for what we miss; says `Recovered` once nothing is missing.
    fn fetch_missing(&mut self, now: Time) {
        let me = self.config.me;
        let fetch = self.keeps(Weakness::Fetch);
        let Phase::Recover(recovery) = &mut self.phase else {
            return;
        };
        let Some(plan) = &recovery.plan else { return };
        let log = &self.ring.log;
        let missing: Vec<u64> = plan.union.iter().filter(|seq| !log.holds(*seq)).collect();
        let id = recovery.view.id;
        let Some(first) = missing.first().filter(|_| fetch) else {
            if self.keeps(Weakness::Obligation) {
                let Phase::Recover(recovery) = &self.phase else {
                    return;
                };
                let Some(plan) = &recovery.plan else { return };
                self.obligation.merge(&plan.companions);
                self.obligation.merge(&plan.obligation);
            }
            if id.coordinator == me {
                self.handle_recovered(now, me, id);
            } else {
                self.send(id.coordinator, Packet::Recovered { view: id });
            }
            return;
        };
        let holders = plan.holders(*first);
        let helper = holders.get(recovery.turn % holders.len().max(1)).copied();
        recovery.turn = recovery.turn.wrapping_add(1);
        let mut wanted = Ranges::default();
        missing
            .iter()
            .take(RECOVER_BURST)
            .for_each(|seq| wanted.push(*seq));
        if let Some(helper) = helper {
            self.send(
                helper,
                Packet::Miss {
                    view: id,
                    missing: wanted,
                },
            );
        }
    }

    /// A companion misses messages that we hold.
    pub(crate) fn handle_miss(&mut self, from: NodeId, view: ViewId, missing: &Ranges) {
        let Phase::Recover(recovery) = &self.phase else {
            return;
        };
        if recovery.view.id != view {
            return;
        }
        let found: Vec<_> = missing
            .iter()
            .take(RECOVER_BURST)
            .filter_map(|seq| Some((seq, Arc::clone(self.ring.log.get(seq)?))))
            .collect();
        for (seq, chunk) in found {
            self.send(from, Packet::Recover { view, seq, chunk });
        }
    }

    /// A message that we missed.
    pub(crate) fn handle_recover(
        &mut self,
        now: Time,
        view: ViewId,
        seq: u64,
        chunk: Arc<crate::message::Chunk>,
    ) {
        let Phase::Recover(recovery) = &self.phase else {
            return;
        };
        let Some(plan) = recovery.plan.as_ref().filter(|_| recovery.view.id == view) else {
            return;
        };
        if !plan.union.contains(seq) {
            return;
        }
        if self.ring.log.insert(seq, chunk, u64::MAX / 2) {
            self.timers
                .set(Timer::Phase, now.after(self.config.recover_within()));
            let Phase::Recover(recovery) = &self.phase else {
                return;
            };
            let Some(plan) = &recovery.plan else { return };
            let log = &self.ring.log;
            if plan.union.iter().all(|seq| log.holds(seq)) {
                self.fetch_missing(now);
            }
        }
    }

    /// A member holds everything (at the coordinator); when all do, the view is in force.
    pub(crate) fn handle_recovered(&mut self, now: Time, from: NodeId, view: ViewId) {
        if matches!(self.phase, Phase::Operational) && self.ring.view.id == view {
            self.send(from, Packet::Install { view });
            return;
        }
        let me = self.config.me;
        let Phase::Recover(recovery) = &mut self.phase else {
            return;
        };
        if recovery.view.id != view || !recovery.view.members.contains(from) {
            return;
        }
        recovery.recovered.insert(from);
        if recovery.recovered != recovery.view.members {
            return;
        }
        let others: Vec<NodeId> = recovery
            .view
            .members
            .iter()
            .filter(|node| *node != me)
            .collect();
        for node in others {
            self.send(node, Packet::Install { view });
        }
        self.install(now);
    }

    /// The coordinator has put the view in force.
    pub(crate) fn handle_install(&mut self, now: Time, view: ViewId) {
        let Phase::Recover(recovery) = &self.phase else {
            return;
        };
        if recovery.view.id == view && recovery.plan.is_some() {
            self.install(now);
        }
    }

    /// Ends the old view (its last deliveries, before and after the transitional view) and begins
    /// the new one.
    fn install(&mut self, now: Time) {
        let Phase::Recover(recovery) = std::mem::replace(&mut self.phase, Phase::Operational)
        else {
            return;
        };
        let Some(plan) = recovery.plan else { return };
        self.finish_old_view(&plan);
        self.begin_view(now, recovery.view);
    }

    /// The same at every companion: it follows from the plan alone.
    fn finish_old_view(&mut self, plan: &Plan) {
        let old = self.ring.view.id;
        let mut seq = self.ring.delivered + 1;
        // In the old view: up to the first gap, or the first safe message that somebody of the old
        // view may not have.
        while plan.union.contains(seq) {
            let Some(chunk) = self.ring.log.get(seq).map(Arc::clone) else {
                break;
            };
            if chunk.guarantee == Guarantee::Safe
                && seq > plan.stable
                && self.keeps(Weakness::SafeWaits)
            {
                break;
            }
            self.deliver_chunk(old, seq, &chunk);
            seq += 1;
        }
        let companions = plan.companions.clone();
        self.deliveries.push_back(Delivery::Transitional {
            from: old,
            members: companions,
        });
        // In the transitional view: the rest; behind a gap only what companions sent (they cannot
        // have known what is missing), and what we are bound to by an earlier recovery.
        let mut gap = false;
        for seq in seq..=plan.union.last() {
            let Some(chunk) = self.ring.log.get(seq).filter(|_| plan.union.contains(seq)) else {
                gap = true;
                continue;
            };
            let chunk = Arc::clone(chunk);
            let bound = plan.companions.contains(chunk.sender)
                || plan.obligation.contains(chunk.sender)
                || !self.keeps(Weakness::Gap);
            if !gap || bound {
                self.deliver_chunk(old, seq, &chunk);
            } else {
                self.status.lost_behind_gap += 1;
            }
        }
        self.partial.clear();
    }

    /// A recovery stood still.
    pub(crate) fn recovery_expired(&mut self, now: Time) {
        self.gather(now, Cause::Stuck, &NodeSet::default(), &NodeSet::default());
    }
}
