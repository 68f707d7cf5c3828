//! What breaks, as the world does it.

use std::time::Duration;

use membership::{Envelope, NodeId, NodeList, Time};

use crate::nemesis::{self, KINDS, Kind};
use crate::report::Count;
use crate::world::{Event, Step, World};

/// How much rarer a crash is in a join, which is said to everybody again and again.
const REPEATED: u64 = 8;

impl World {
    /// Does the network fall apart while the node sends this?
    pub(crate) fn cut_in_step(&mut self, step: Step) {
        if !step.moves_on || !self.random.chance(self.swarm.step_cut) {
            return;
        }
        self.report.count(Count::StepCut);
        let mask = self.random.bits();
        self.cuts.split(mask);
        let span = nemesis::outage(&mut self.random);
        let at = self.now.after(span);
        self.at(at, Event::Mend);
    }

    /// A step of a view change comes again when it is long over.
    pub(crate) fn comes_again(&mut self, from: usize, to: usize, step: Step, envelope: &Envelope) {
        if !step.moves_on || !self.random.chance(self.swarm.step_again) {
            return;
        }
        self.report.count(Count::StepRepeat);
        let most = if self.random.chance(500) {
            nemesis::LATE_MAX
        } else {
            nemesis::STRAGGLE_MAX / 4
        };
        let delay = self.random.between(Duration::ZERO, most);
        let (at, envelope) = (self.now.after(delay), envelope.clone());
        let process = self.hosts[from].process;
        self.at(
            at,
            Event::Packet {
                from,
                to,
                process,
                envelope,
            },
        );
    }

    /// Does the node die while it sends this? What it had still to send is gone with it.
    pub(crate) fn crashes_in_step(&mut self, index: usize, step: Step) -> bool {
        let dies = self.random.chance(self.swarm.step_crash)
            && (step.crash != Count::CrashInJoin || self.random.below(REPEATED) == 0);
        if dies {
            self.report.count(step.crash);
            self.crash(index);
        }
        dies
    }

    pub(crate) fn crash(&mut self, index: usize) {
        if !self.hosts[index].down {
            self.hosts[index].down = true;
            self.acts_no_more(index);
            let span = nemesis::outage(&mut self.random);
            let at = self.now.after(span);
            self.at(at, Event::Wake { node: index });
        }
    }

    /// When a packet that leaves now arrives.
    pub(crate) fn arrival(&mut self) -> Time {
        if self.faulty && self.random.below(100_000) < self.swarm.late {
            self.report.count(Count::Late);
            let delay = self.random.between(Duration::ZERO, nemesis::LATE_MAX);
            return self.now.after(delay);
        }
        if self.faulty && self.random.below(100_000) < self.swarm.straggle {
            self.report.count(Count::Late);
            let delay = self.random.between(Duration::ZERO, nemesis::STRAGGLE_MAX);
            return self.now.after(delay);
        }
        let (least, most) = self.swarm.delay;
        // Mostly quick, now and then as late as it gets: that reorders without slowing everything.
        let most = if self.random.chance(100) {
            most
        } else {
            least * 3
        };
        let delay = self.random.between(least, most);
        self.now.after(delay)
    }

    pub(crate) fn fault(&mut self) {
        if !self.faulty {
            return;
        }
        let wait = self
            .random
            .between(Duration::ZERO, self.swarm.fault_every * 2);
        let at = self.now.after(wait);
        self.at(at, Event::Fault);
        let kind = nemesis::choose(&mut self.random, &self.swarm);
        self.report.faults[KINDS.iter().position(|one| *one == kind).unwrap_or(0)] += 1;
        let count = self.nodes.len();
        let one = self.random.below(count as u64) as usize;
        let other = self.random.below(count as u64) as usize;
        match kind {
            Kind::Split => {
                let mask = self.random.bits();
                self.cuts.split(mask);
            }
            Kind::OneWay => {
                let deaf = self.random.chance(500);
                for peer in (0..count).filter(|peer| *peer != one) {
                    let (from, to) = if deaf { (peer, one) } else { (one, peer) };
                    self.cuts.set(from, to, true);
                }
            }
            Kind::Pair => self.cuts.set_both(one, other, true),
            Kind::Flap => {
                self.cuts.set_both(one, other, true);
                let span = nemesis::outage(&mut self.random);
                let at = self.now.after(span);
                self.at(at, Event::HealPair { one, other });
            }
            Kind::Pause | Kind::Freeze => self.pause(one, kind == Kind::Freeze),
            Kind::Leave => self.leave(one),
            Kind::Reconfigure => self.ask_for_change(one, NodeId(other as u32)),
            Kind::Crash => self.crash(one),
            Kind::Heal => self.cuts.heal(),
        }
    }

    fn pause(&mut self, index: usize, clock_too: bool) {
        let span = nemesis::outage(&mut self.random);
        let host = &mut self.hosts[index];
        // A pause does not shorten the one before it, and a clock stands still once at a time.
        let before = host.paused_until.max(self.now);
        host.paused_until = before.max(self.now.after(span));
        if clock_too {
            host.clock.stop(host.paused_until.0 - before.0);
            // What its timer means in true time is another thing now.
            host.timer = None;
            let wakes = host.paused_until;
            if let Some(at) = self.nodes[index].next_timeout() {
                self.hosts[index].timer = Some(at);
                self.at(wakes, Event::Timer { node: index, at });
            }
        }
    }

    /// Leaves in good order; comes back as after a crash.
    fn leave(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if host.down || host.paused_until > self.now {
            return;
        }
        let now = host.clock.read(self.now);
        self.nodes[index].leave(now);
        self.settle(index);
        self.crash(index);
    }

    pub(crate) fn restart(&mut self, index: usize) {
        if self.hosts[index].outside {
            return;
        }
        let list = self.hosts[index].roster.list().clone();
        self.start(index, &list);
    }

    /// A process starts with a list of nodes and nothing else.
    pub(crate) fn start(&mut self, index: usize, list: &NodeList) {
        self.report.count(Count::LostMemory);
        self.nodes[index] = self.fresh(index, list);
        self.settle(index);
    }
}
