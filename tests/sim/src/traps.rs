//! Traps: nemeses that wait for the worst moment instead of a random one.

use ticket_protocol::{Message, Part};

use crate::faults::Fault;
use crate::member::CrashAt;
use crate::nemesis::Act;
use crate::plan::{MS, S};
use crate::world::{What, World};

/// How many old datagrams of each kind are kept for a replay: enough to reach back over some
/// grants.
const RECORD_MAX: usize = 32;

/// What a trap waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// A renewal of this holder is answered (or, `false`, reaches an acceptor): it is cut off.
    Renewal {
        /// The holder.
        holder: u16,
        /// Whether the answer counts or the question.
        answered: bool,
    },
    /// An acceptor's answer reaches a proposer whose own write is under way: the proposer
    /// crashes before the write, the acceptor loses its memory.
    Ack,
}

/// A datagram that may come again.
pub(crate) struct Recorded {
    from: u16,
    to: u16,
    from_life: u32,
    to_life: u32,
    message: Message,
}

impl World {
    /// Whether a datagram that is about to be delivered springs the trap.
    pub(crate) fn springs(&self, from: u16, to: u16, message: &Message) -> bool {
        let any = |test: fn(&Part) -> bool| message.parts.iter().any(test);
        match self.trap {
            None => false,
            Some(Trap::Renewal {
                holder,
                answered: true,
            }) => holder == to && any(|part| matches!(part, Part::Renewed { .. })),
            Some(Trap::Renewal {
                holder,
                answered: false,
            }) => holder == from && any(|part| matches!(part, Part::Renew { .. })),
            Some(Trap::Ack) => {
                let proposer = &self.members[usize::from(to)];
                proposer.pending.is_some() && any(|part| matches!(part, Part::Accepted { .. }))
            }
        }
    }

    /// The moment has come: the datagram between these two was just handled.
    pub(crate) fn spring(&mut self, from: u16, to: u16) {
        match self.trap.take() {
            Some(Trap::Renewal { holder, .. }) => {
                self.faults.count(Fault::CutAfterAcks);
                let lasts = self.nemesis_dice.around(self.plan.nemesis_lasts_ns * 2);
                self.isolate(holder, lasts);
            }
            Some(Trap::Ack) if self.may_lose_memory(from) => {
                self.faults.count(Fault::WipeAfterAck);
                self.kill(to, Some(CrashAt::Before));
                let down = self.nemesis_dice.between(10, 2_000) * MS;
                self.later(down, Act::Start { member: to });
                self.kill(from, Some(CrashAt::After));
                self.damage(from, true);
                self.later(10 * MS, Act::Start { member: from });
            }
            Some(Trap::Ack) | None => {}
        }
    }

    /// Keeps datagrams that concern registers, for a later replay. Those that end something are
    /// rare among those that ask and answer, and are kept apart, or none would be left of them.
    pub(crate) fn record(&mut self, from: u16, to: u16, message: &Message) {
        let any = |test: fn(&Part) -> bool| message.parts.iter().any(test);
        let ends = any(|part| matches!(part, Part::Release { .. } | Part::Stale { .. }));
        let worth = any(|part| {
            matches!(
                part,
                Part::Accept { .. }
                    | Part::Accepted { .. }
                    | Part::Promise { .. }
                    | Part::Prepare { .. }
                    | Part::Ask { .. }
                    | Part::Notice { .. }
            )
        });
        if !worth && !ends {
            return;
        }
        let lives = (
            self.members[usize::from(from)].life,
            self.members[usize::from(to)].life,
        );
        let message = message.clone();
        let (from_life, to_life) = lives;
        let recorded = &mut self.recorded[usize::from(ends)];
        if recorded.len() == RECORD_MAX {
            recorded.pop_front();
        }
        recorded.push_back(Recorded {
            from,
            to,
            from_life,
            to_life,
            message,
        });
    }

    /// Old datagrams come again, all within some milliseconds. Those of ended connections do not:
    /// the link drops them.
    pub(crate) fn replay(&mut self) {
        self.faults.count(Fault::Replay);
        let recorded = std::mem::take(&mut self.recorded);
        for one in recorded.iter().flatten() {
            let of = |member: u16| &self.members[usize::from(member)];
            let alive = of(one.from).life == one.from_life && of(one.to).life == one.to_life;
            let cut = self
                .network
                .is_cut(usize::from(one.from), usize::from(one.to));
            if !alive || cut || self.nemesis_dice.coin() {
                continue;
            }
            let after = self.nemesis_dice.between(1, 20) * MS;
            let (from, to, life) = (one.from, one.to, one.to_life);
            let message = Box::new(one.message.clone());
            self.schedule.push(
                self.now + after,
                What::Deliver {
                    from,
                    to,
                    life,
                    message,
                },
            );
        }
        self.recorded = recorded;
    }

    /// One member is cut off and lags behind; when it is back another loses its memory, and the
    /// third is cut off: whoever is left must not decide alone.
    pub(crate) fn lag_and_wipe(&mut self, lagging: u16, victim: u16, lasts: u64) {
        self.faults.count(Fault::LagAndWipe);
        self.isolate(lagging, lasts);
        self.later(lasts, Act::Wipe { victim, lagging });
    }

    /// See [`World::lag_and_wipe`].
    pub(crate) fn wipe(&mut self, victim: u16, lagging: u16) {
        if !self.may_lose_memory(victim) {
            return;
        }
        self.crash(victim, 10 * MS);
        self.damage(victim, true);
        let third = (0..self.members.len() as u16).find(|&one| one != victim && one != lagging);
        if let Some(third) = third {
            let lasts = self.plan.longest_ns() * 3 / 2 + S;
            self.isolate(third, lasts);
        }
    }
}
