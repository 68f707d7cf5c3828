//! The nemesis: what goes wrong, when, and for how long.

use ticket_protocol::ClusterReport;

use crate::faults::Fault;
use crate::member::CrashAt;
use crate::network::Weather;
use crate::plan::{ClusterPlan, FAST_PPM, MS, Nemesis, S};
use crate::traps::Trap;
use crate::world::{Stack, What, World};

/// Nothing is started on a paused site: it is tried again after this long.
const START_FROZEN_NS: u64 = 200 * MS;

/// Things done to the world at an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// The nemesis strikes.
    Strike,
    /// The operator gives a command.
    Operate,
    /// The caretaker looks.
    TakeCare,
    /// A link is mended.
    Mend { a: u16, b: u16 },
    /// A process is started.
    Start { member: u16 },
    /// A process is killed.
    Kill { member: u16 },
    /// A process is killed and started again, perhaps without its memory.
    Crash { member: u16, wipe: bool },
    /// A paused process goes on.
    Resume { member: u16 },
    /// A stack is back.
    StackBack { site: u16 },
    /// A paused site goes on.
    Thaw { site: u16 },
    /// A node boots.
    PowerOn { site: u16 },
    /// A member loses its memory beside one that lagged behind.
    Wipe { victim: u16, lagging: u16 },
    /// A dependent is managed again.
    EndHold { site: u16, ticket: u16 },
}

impl World {
    pub(crate) fn act(&mut self, act: Act) {
        self.trace(|| format!("-- {act:?}"));
        match act {
            Act::Strike => self.strike_again(),
            Act::Operate => self.operate(),
            Act::TakeCare => self.take_care(),
            Act::Mend { a, b } => self.mend(a, b),
            Act::Start { member } => match self.sites.get(usize::from(member)) {
                Some(site) if !site.powered => {}
                Some(site) if site.frozen => self.later(START_FROZEN_NS, act),
                _ => self.start(member),
            },
            Act::Kill { .. } | Act::Crash { .. } | Act::Wipe { .. }
                if self.hidden_doubt().is_some() => {}
            Act::Kill { member } => self.kill(member, None),
            Act::Crash { member, wipe } => {
                let wipe = wipe && self.may_lose_memory(member);
                let down = self.nemesis_dice.between(10, 500) * MS;
                self.crash(member, down);
                if wipe {
                    self.damage(member, true);
                }
            }
            Act::Resume { member } => {
                if self
                    .sites
                    .get(usize::from(member))
                    .is_none_or(|site| !site.frozen)
                {
                    self.resume(member);
                }
            }
            Act::StackBack { site } => self.stack_back(site),
            Act::Thaw { site } => {
                self.thaw(site);
                self.resume(site);
            }
            Act::PowerOn { site } => self.power_on(site),
            Act::Wipe { victim, lagging } => self.wipe(victim, lagging),
            Act::EndHold { site, ticket } => self.end_hold(site, ticket),
        }
    }

    pub(crate) fn later(&mut self, after_ns: u64, act: Act) {
        self.schedule.push(self.now + after_ns, What::Act(act));
    }

    fn strike_again(&mut self) {
        if !self.storm || self.plan.nemeses.is_empty() {
            return;
        }
        let next = self.nemesis_dice.around(self.plan.nemesis_every_ns);
        self.later(next, Act::Strike);
        let index = self.nemesis_dice.index(self.plan.nemeses.len());
        let nemesis = self.plan.nemeses[index];
        self.strike(nemesis);
    }

    /// One strike.
    pub(crate) fn strike(&mut self, nemesis: Nemesis) {
        if self.hidden_doubt().is_some() {
            return;
        }
        let members = self.members.len() as u64;
        let victim = self.nemesis_dice.below(members) as u16;
        let other =
            ((u64::from(victim) + self.nemesis_dice.between(1, members - 1)) % members) as u16;
        let site = self.nemesis_dice.below(self.sites.len() as u64) as u16;
        let lasts = self.nemesis_dice.around(self.plan.nemesis_lasts_ns);
        self.trace(|| format!("-- {nemesis:?} m{victim} m{other} site m{site} for {lasts} ns"));
        match nemesis {
            Nemesis::TwoWayCut => {
                self.faults.count(Fault::TwoWayCut);
                self.cut(victim, other, lasts);
            }
            Nemesis::OneWayCut => {
                self.faults.count(Fault::OneWayCut);
                self.cut_one_way(victim, other, lasts);
            }
            Nemesis::Isolate => {
                self.faults.count(Fault::Isolation);
                self.isolate(victim, lasts);
            }
            Nemesis::CutHolder => {
                if let Some(holder) = self.some_holder() {
                    let answered = self.nemesis_dice.coin();
                    self.trap = Some(Trap::Renewal { holder, answered });
                }
            }
            Nemesis::ArbitratorInCut => self.arbitrator_in_cut(lasts),
            Nemesis::Crash => self.crash(victim, lasts / 2),
            Nemesis::RestartStorm => self.restart_storm(victim),
            Nemesis::Pause => self.pause(victim, lasts),
            Nemesis::Stack => self.hit_stack(site, lasts),
            Nemesis::AgentAndStack => {
                self.faults.count(Fault::AgentAndStackPause);
                self.pause_stack(site, lasts);
                self.pause(site, lasts);
            }
            Nemesis::NodeCrash => {
                if self.sites[usize::from(site)].powered {
                    self.faults.count(Fault::NodeCrash);
                    self.power_off(site);
                    self.later(lasts, Act::PowerOn { site });
                }
            }
            Nemesis::Freeze => self.freeze(site, lasts),
            Nemesis::Disk => self.hit_disk(victim, lasts / 4),
            Nemesis::CrashWrite => self.crash_at_write(victim),
            Nemesis::Fsync => {
                if self.may_lose_memory(victim) {
                    self.members[usize::from(victim)].fail_next_write = true;
                }
            }
            Nemesis::RealTime => self.lose_time(victim),
            Nemesis::Rate => {
                let ppm = self.nemesis_dice.below(FAST_PPM as u64 + 1) as i64;
                let ends = [0, FAST_PPM, ppm];
                let ppm = ends[self.nemesis_dice.index(3)];
                self.change_rate(victim, ppm);
            }
            Nemesis::GiveUp => self.give_up(site),
            Nemesis::Hold => self.ask_for_hold(site, lasts),
            Nemesis::Replay => self.replay(),
            Nemesis::LagAndWipe => self.lag_and_wipe(victim, other, lasts),
            Nemesis::WipeAfterAck => self.trap = Some(Trap::Ack),
        }
    }

    /// Cuts two members from each other; they notice after a while.
    pub(crate) fn cut(&mut self, a: u16, b: u16, lasts: u64) {
        self.network.cut(usize::from(a), usize::from(b));
        self.links_change(a, b, 2_000);
        self.later(lasts, Act::Mend { a, b });
    }

    /// Cuts one direction.
    pub(crate) fn cut_one_way(&mut self, from: u16, to: u16, lasts: u64) {
        self.network.cut_one_way(usize::from(from), usize::from(to));
        self.links_change(from, to, 2_000);
        self.later(lasts, Act::Mend { a: from, b: to });
    }

    /// Cuts a member from all others.
    pub(crate) fn isolate(&mut self, member: u16, lasts: u64) {
        for other in 0..self.members.len() as u16 {
            if other != member {
                self.cut(member, other, lasts);
            }
        }
    }

    pub(crate) fn mend(&mut self, a: u16, b: u16) {
        self.network.mend(usize::from(a), usize::from(b));
        self.links_change(a, b, 300);
    }

    fn links_change(&mut self, a: u16, b: u16, within_ms: u64) {
        for (of, to) in [(a, b), (b, a)] {
            let after = self.nemesis_dice.between(1, within_ms) * MS;
            self.schedule.push(
                self.now + after,
                What::Link {
                    of,
                    to,
                    fresh: false,
                },
            );
        }
    }

    /// The sites are cut off each other for longer than any obligation, and an arbitrator
    /// restarts near the end of it, perhaps without its memory.
    fn arbitrator_in_cut(&mut self, lasts: u64) {
        if self.plan.arbitrators == 0 {
            return;
        }
        self.faults.count(Fault::ArbitratorRestartInCut);
        let longest = self.plan.longest_ns();
        let lasts = longest * 11 / 10 + lasts;
        for a in 0..self.sites.len() as u16 {
            for b in 0..a {
                self.cut(a, b, lasts);
            }
        }
        let count = self.plan.arbitrators as u64;
        let arbitrator = self.sites.len() as u16 + self.nemesis_dice.below(count) as u16;
        let kill = self.nemesis_dice.between(longest / 2, lasts);
        let act = if self.nemesis_dice.coin() {
            Act::Crash {
                member: arbitrator,
                wipe: false,
            }
        } else {
            Act::Crash {
                member: arbitrator,
                wipe: true,
            }
        };
        self.later(kill, act);
    }

    fn count_for(&mut self, member: u16, site: Fault, arbitrator: Fault) {
        let is_site = usize::from(member) < self.sites.len();
        self.faults.count(if is_site { site } else { arbitrator });
    }

    /// Kills a process and starts it again.
    pub(crate) fn crash(&mut self, member: u16, down: u64) {
        if self.members[usize::from(member)].process.is_some() {
            self.count_for(member, Fault::AgentCrash, Fault::ArbitratorCrash);
            self.kill(member, None);
        }
        self.later(down, Act::Start { member });
    }

    fn restart_storm(&mut self, member: u16) {
        self.faults.count(Fault::AgentRestartStorm);
        let mut after = 0;
        for _ in 0..self.nemesis_dice.between(2, 6) {
            self.later(after, Act::Kill { member });
            after += self.nemesis_dice.between(10, 400) * MS;
            self.later(after, Act::Start { member });
            after += self.nemesis_dice.between(10, 900) * MS;
        }
    }

    /// Pauses a process, now or in the middle of what it decides next.
    pub(crate) fn pause(&mut self, member: u16, lasts: u64) {
        self.count_for(member, Fault::AgentPause, Fault::ArbitratorPause);
        if self.nemesis_dice.coin() {
            self.members[usize::from(member)].paused = true;
        } else {
            let effects = self.nemesis_dice.below(4) as u32;
            self.members[usize::from(member)].pause_after = Some(effects);
        }
        self.later(lasts, Act::Resume { member });
    }

    fn hit_stack(&mut self, site: u16, lasts: u64) {
        if self.nemesis_dice.coin() {
            self.faults.count(Fault::StackCrash);
            self.kill_stack(site);
            self.later(lasts, Act::StackBack { site });
        } else {
            self.pause_stack(site, lasts);
        }
    }

    /// Pauses a site's stack: orders and steps wait, the guard does not.
    pub(crate) fn pause_stack(&mut self, site: u16, lasts: u64) {
        let node = &mut self.sites[usize::from(site)];
        if node.stack == Stack::Up {
            self.faults.count(Fault::StackPause);
            node.stack = Stack::Paused;
        }
        self.later(lasts, Act::StackBack { site });
    }

    /// Pauses a whole site: agent, stack, guard, service.
    pub(crate) fn freeze(&mut self, site: u16, lasts: u64) {
        let node = &mut self.sites[usize::from(site)];
        if node.frozen || !node.powered {
            return;
        }
        self.faults.count(Fault::SiteFreeze);
        node.frozen = true;
        self.members[usize::from(site)].paused = true;
        self.see(oracle::Event::Frozen { site });
        self.later(lasts, Act::Thaw { site });
    }

    fn hit_disk(&mut self, member: u16, down: u64) {
        let node = &mut self.members[usize::from(member)];
        if self.nemesis_dice.chance(400_000) {
            // The copy that a later strike restores.
            node.disk.back_up();
            return;
        }
        if !self.may_lose_memory(member) {
            return;
        }
        self.crash(member, down);
        self.damage(member, false);
    }

    /// Takes a dead member's memory, in one way or another.
    /// `certain` = the member can see it itself.
    pub(crate) fn damage(&mut self, member: u16, certain: bool) {
        let hidden = self.nemesis_dice.coin() && !certain;
        let first = self.nemesis_dice.coin();
        self.in_doubt(member, hidden);
        let disk = &mut self.members[usize::from(member)].disk;
        let fault = match (hidden, first) {
            (false, true) => {
                disk.delete();
                Fault::DeletedState
            }
            (false, false) => {
                disk.corrupt();
                Fault::CorruptState
            }
            (true, false) if disk.restore() => Fault::RolledBack,
            (true, _) => {
                disk.rot();
                Fault::RottenSlot
            }
        };
        self.faults.count(fault);
    }

    fn crash_at_write(&mut self, member: u16) {
        let ends = [CrashAt::Before, CrashAt::Torn, CrashAt::After];
        let end = ends[self.nemesis_dice.index(3)];
        let node = &mut self.members[usize::from(member)];
        if node.process.is_some() {
            node.crash_at = Some(end);
        }
    }

    /// For scenarios: the shell finds that real time jumped, whoever votes.
    pub(crate) fn strike_time(&mut self, member: u16) {
        let node = &mut self.members[usize::from(member)];
        let now = node.local(self.now);
        if let Some(process) = node.process.as_mut().filter(|_| !node.paused) {
            self.faults.count(Fault::RealTimeStep);
            process.handle_lost_time(now, "real time jumped");
            self.drain(member);
        }
    }

    /// The shell finds that time stood still or jumped: leases and memory are given up.
    fn lose_time(&mut self, member: u16) {
        if !self.may_lose_memory(member) {
            return;
        }
        self.strike_time(member);
    }

    /// A site that holds something now, by its own clock.
    pub(crate) fn some_holder(&mut self) -> Option<u16> {
        let ticket = self.nemesis_dice.index(self.names.len());
        (0..self.sites.len() as u16).find(|&site| self.holds(site, ticket as u16))
    }

    /// Whether a site claims a ticket now.
    pub(crate) fn holds(&self, site: u16, ticket: u16) -> bool {
        let now = self.members[usize::from(site)].local(self.now);
        self.sites[usize::from(site)].claims[usize::from(ticket)].is_some_and(|claim| {
            !claim.released && claim.deadline.is_none_or(|deadline| deadline > now)
        })
    }

    fn give_up(&mut self, site: u16) {
        for ticket in 0..self.names.len() as u16 {
            let claim = self.sites[usize::from(site)].claims[usize::from(ticket)];
            if let Some(claim) = claim.filter(|_| self.holds(site, ticket)) {
                self.faults.count(Fault::ClusterGaveUp);
                let (ticket, term) = (self.names[usize::from(ticket)].clone(), claim.term);
                let reason = "too many failures".to_owned();
                self.report(
                    site,
                    ClusterReport::Failed {
                        ticket,
                        term,
                        reason,
                    },
                );
                return;
            }
        }
    }

    fn ask_for_hold(&mut self, site: u16, lasts: u64) {
        for ticket in 0..self.names.len() as u16 {
            let node = &self.sites[usize::from(site)];
            let running = node.gates[usize::from(ticket)].running();
            let manual = self.plan.tickets[usize::from(ticket)].manual;
            let free = node.holds[usize::from(ticket)].is_none() && !manual;
            if let Some(term) = running.filter(|_| free && self.holds(site, ticket)) {
                self.faults.count(Fault::HoldAsked);
                self.sites[usize::from(site)].holds[usize::from(ticket)] = Some((term, false));
                let name = self.names[usize::from(ticket)].clone();
                let reason = "maintenance".to_owned();
                let report = ClusterReport::Hold {
                    ticket: name,
                    term,
                    on: true,
                    reason,
                };
                self.report(site, report);
                self.later(lasts, Act::EndHold { site, ticket });
                return;
            }
        }
    }

    /// Ends every fault: all processes run, everything is connected and works.
    pub(crate) fn heal(&mut self) {
        self.storm = false;
        self.trap = None;
        self.plan.weather = Weather {
            delay_min_ns: MS,
            delay_spread_ns: MS,
            ..Weather::FINE
        };
        self.plan.cluster = ClusterPlan {
            command_ns: MS,
            ..ClusterPlan::FINE
        };
        self.plan.disk = crate::plan::DiskPlan {
            write_ns: MS,
            slow_ppm: 0,
            lose_ppm: 0,
        };
        self.network.set_weather(self.plan.weather);
        self.network.mend_all();
        for site in 0..self.sites.len() as u16 {
            self.power_on(site);
            self.thaw(site);
            self.stack_back(site);
            for ticket in 0..self.names.len() as u16 {
                self.end_hold(site, ticket);
                self.gate(site, ticket, |gate, around| gate.clean_up(around));
            }
        }
        for member in 0..self.members.len() as u16 {
            let node = &mut self.members[usize::from(member)];
            node.crash_at = None;
            node.fail_next_write = false;
            self.start(member);
            self.resume(member);
        }
        for a in 0..self.members.len() as u16 {
            for b in 0..a {
                self.links_change(a, b, 300);
            }
        }
        self.trace(|| "-- healed".to_owned());
        self.see(oracle::Event::Healed);
    }

    /// A cluster that is set going: nemesis, operator and caretaker begin.
    pub(crate) fn begin(&mut self) {
        self.later(MS, Act::TakeCare);
        if !self.plan.nemeses.is_empty() {
            self.later(5 * S, Act::Strike);
        }
        if self.plan.operator_every_ns > 0 {
            self.later(5 * S, Act::Operate);
        }
    }
}
