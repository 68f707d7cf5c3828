//! All nodes in one process under virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use membership::{Config, Envelope, Node, NodeId, NodeList, NodeSet, Packet, Time, Weakness};

use crate::host::{Clock, Host};
use crate::nemesis::Cuts;
use crate::oracle::{Process, settled};
use crate::random::Random;
use crate::report::{Count, Report};
use crate::swarm::Swarm;
use crate::verdict::Oracles;

/// After healing, a view of all nodes with nothing left to send must stand within this.
const CONVERGENCE_WITHIN: Duration = Duration::from_secs(60);
/// Events between two clearings of what the oracles need no more.
const FORGET_EVERY: u64 = 50_000;
/// Numbers that a node may keep beside three times its window: what its application has not taken
/// yet, and what it had already sent for when it stopped acknowledging.
const KEPT_BESIDE: u64 = 300;

pub(crate) enum Event {
    Packet {
        from: usize,
        to: usize,
        process: Process,
        envelope: Envelope,
    },
    Timer {
        node: usize,
        at: Time,
    },
    Submit {
        node: usize,
    },
    Take {
        node: usize,
    },
    Fault,
    Wake {
        node: usize,
    },
    /// All cuts heal.
    Mend,
    HealPair {
        one: usize,
        other: usize,
    },
}

/// The world of one seed.
pub struct World {
    pub(crate) swarm: Swarm,
    pub(crate) random: Random,
    pub(crate) now: Time,
    events: BinaryHeap<Reverse<(Time, u64, usize)>>,
    slab: Vec<Option<Event>>,
    free: Vec<usize>,
    order: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) cuts: Cuts,
    pub(crate) faulty: bool,
    weakness: Option<Weakness>,
    processes: Process,
    /// When the last packet for each pair of nodes arrives, to see what overtakes it.
    arrives: Vec<Time>,
    pub(crate) oracles: Oracles,
    /// A breach seen while packets were being sent.
    breach: Option<String>,
    /// What happened.
    pub report: Report,
}

impl World {
    /// The world of `seed`, with one rule removed if asked.
    pub fn new(seed: u64, weakness: Option<Weakness>) -> Self {
        let swarm = Swarm::from_seed(seed);
        let count = swarm.nodes as usize;
        let mut world = Self {
            random: Random::new(seed),
            now: Time(1),
            events: BinaryHeap::new(),
            slab: Vec::new(),
            free: Vec::new(),
            order: 0,
            nodes: Vec::new(),
            hosts: Vec::new(),
            cuts: Cuts::none(count),
            faulty: true,
            weakness,
            processes: 0,
            arrives: vec![Time(0); count * count],
            oracles: Oracles::of(count),
            breach: None,
            report: Report::default(),
            swarm,
        };
        let list = NodeList {
            version: 0,
            votes: (0..world.swarm.nodes)
                .map(|node| (NodeId(node), 1))
                .collect(),
        };
        for index in 0..count {
            let name = NodeId(index as u32);
            let clock = world.clock();
            let slow = world.random.chance(world.swarm.slow);
            world.hosts.push(Host::new(name, list.clone(), clock, slow));
            let node = world.fresh(index, &list);
            world.nodes.push(node);
            let now = world.now;
            world.at(now, Event::Submit { node: index });
            world.settle(index);
            if slow {
                world.report.count(Count::SlowNode);
                world.at(now, Event::Take { node: index });
            }
        }
        let first = world.now.after(Duration::from_secs(1));
        world.at(first, Event::Fault);
        world
    }

    fn clock(&mut self) -> Clock {
        let skew = self.swarm.skew;
        if skew > 0 {
            self.report.count(Count::SkewedClock);
        }
        let rate = self.random.below(2 * skew + 1) as i64 - skew as i64;
        Clock::new(rate, (1 << 40) + self.random.below(1 << 40))
    }

    /// A new process at a node, with what is on its disk.
    pub(crate) fn fresh(&mut self, index: usize, list: &NodeList) -> Node {
        let name = NodeId(index as u32);
        let process = self.processes;
        self.processes += 1;
        self.hosts[index].begin(self.now, process, list.clone());
        self.oracles.lives(process, name, self.now);
        let mut config = Config::lan(name, list.nodes());
        config.window = self.swarm.window;
        let now = self.hosts[index].clock.read(self.now);
        let mut node = Node::new(config, self.random.bits(), now);
        if let Some(weakness) = self.weakness {
            node.weaken(weakness);
        }
        node
    }

    /// Runs faults, then healing, to convergence.
    ///
    /// # Errors
    /// The first breach of a property, in a sentence.
    pub fn run(&mut self) -> Result<(), String> {
        let faulty_until = self.now.after(self.swarm.faulty_for);
        while self.now < faulty_until {
            self.step()?;
        }
        self.heal();
        let patience = self.now.after(CONVERGENCE_WITHIN);
        let mut next_look = self.now;
        loop {
            self.step()?;
            if self.now < next_look {
                continue;
            }
            next_look = self.now.after(Duration::from_millis(200));
            match self.settled() {
                Ok(()) => return Ok(()),
                Err(why) if self.now > patience => return Err(format!("no convergence: {why}")),
                Err(_) => {}
            }
        }
    }

    /// The nodes by the newest list that is in force anywhere.
    fn expected(&self) -> NodeSet {
        let lists = self.hosts.iter().map(|host| host.roster.list());
        lists
            .max_by_key(|list| list.version)
            .map(NodeList::nodes)
            .unwrap_or_default()
    }

    fn settled(&mut self) -> Result<(), String> {
        let expected = self.expected();
        let concerned = |index: &usize| expected.contains(NodeId(*index as u32));
        for index in (0..self.hosts.len()).filter(concerned) {
            let host = &self.hosts[index];
            if host.down {
                return Err(format!("the process of {index} is still down"));
            }
            if host.roster.list().nodes() != expected {
                return Err(format!("node {index} works by an old list of nodes"));
            }
            let own = self.oracles.own(host.process);
            if own != host.sent {
                return Err(format!(
                    "node {index} delivered {own} of its {} own",
                    host.sent
                ));
            }
        }
        settled(&self.nodes, &expected)
    }

    fn heal(&mut self) {
        self.faulty = false;
        self.cuts.heal();
        self.swarm.loss = 0;
        self.swarm.duplication = 0;
    }

    pub(crate) fn at(&mut self, time: Time, event: Event) {
        self.order += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            self.slab.len() - 1
        });
        self.slab[slot] = Some(event);
        self.events
            .push(Reverse((time.max(self.now), self.order, slot)));
    }

    fn step(&mut self) -> Result<(), String> {
        let Some(Reverse((time, _, slot))) = self.events.pop() else {
            return Err("nothing is left to happen".to_owned());
        };
        if let Some(breach) = self.breach.take() {
            return Err(breach);
        }
        self.now = time;
        self.report.events += 1;
        let Some(event) = self.slab[slot].take() else {
            return Ok(());
        };
        self.free.push(slot);
        if self.report.events.is_multiple_of(FORGET_EVERY) {
            self.forget();
        }
        match event {
            Event::Packet {
                from,
                to,
                process,
                envelope,
            } => return self.packet(from, to, process, envelope),
            Event::Timer { node, at } => return self.timer(node, at),
            Event::Submit { node } => return self.submit(node),
            Event::Take { node } => {
                let again = self.now.after(Duration::from_millis(20));
                self.at(again, Event::Take { node });
                if !self.hosts[node].down {
                    return self.take_some(node, 8);
                }
            }
            Event::Fault => self.fault(),
            Event::Wake { node } => self.restart(node),
            Event::Mend => self.cuts.heal(),
            Event::HealPair { one, other } => self.cuts.set_both(one, other, false),
        }
        Ok(())
    }

    fn packet(
        &mut self,
        from: usize,
        to: usize,
        process: Process,
        envelope: Envelope,
    ) -> Result<(), String> {
        if self.hosts[to].down {
            return Ok(());
        }
        let awake = self.hosts[to].paused_until;
        if awake > self.now {
            let event = Event::Packet {
                from,
                to,
                process,
                envelope,
            };
            self.at(awake, event);
            return Ok(());
        }
        self.report
            .mix(self.now.0 ^ (to as u64) << 56 ^ (from as u64) << 48);
        let (now, from) = (self.hosts[to].clock.read(self.now), NodeId(from as u32));
        self.nodes[to].handle_packet(now, from, envelope);
        let node = (to, &self.nodes[to]);
        self.oracles.heard(self.now, node, from, process)?;
        self.bounded(to)?;
        self.settle(to);
        self.take(to)
    }

    fn timer(&mut self, node: usize, at: Time) -> Result<(), String> {
        if self.hosts[node].timer != Some(at) || self.hosts[node].down {
            return Ok(());
        }
        let awake = self.hosts[node].paused_until;
        if awake > self.now {
            self.at(awake, Event::Timer { node, at });
            return Ok(());
        }
        self.hosts[node].timer = None;
        let now = self.hosts[node].clock.read(self.now);
        self.nodes[node].handle_timeout(now);
        self.settle(node);
        self.take(node)
    }

    /// Sends what the node wants sent and sets its timer.
    pub(crate) fn settle(&mut self, index: usize) {
        let process = self.hosts[index].process;
        while let Some((to, envelope)) = self.nodes[index].poll_packet() {
            let to = to.0 as usize;
            self.report.packets += 1;
            if let Err(breach) = self
                .oracles
                .sends(process, &self.nodes[index], &envelope.packet)
            {
                self.breach.get_or_insert(breach);
            }
            if self.faulty
                && let Some(step) = step_of(&envelope.packet)
            {
                if self.crashes_in_step(index, step) {
                    return;
                }
                self.cut_in_step(step);
                self.comes_again(index, to, step, &envelope);
            }
            if !self.cuts.passes(index, to) || self.random.chance(self.swarm.loss) {
                self.report.count(Count::Lost);
                continue;
            }
            if self.random.chance(self.swarm.duplication) {
                self.report.count(Count::Doubled);
                self.deliver_later(index, to, envelope.clone());
            }
            self.deliver_later(index, to, envelope);
        }
        if let Some(at) = self.nodes[index].next_timeout()
            && self.hosts[index].timer != Some(at)
        {
            self.hosts[index].timer = Some(at);
            let when = self.hosts[index].clock.when(at);
            self.at(when, Event::Timer { node: index, at });
        }
    }

    fn deliver_later(&mut self, from: usize, to: usize, envelope: Envelope) {
        let (at, process) = (self.arrival(), self.hosts[from].process);
        let last = &mut self.arrives[from * self.hosts.len() + to];
        if at < *last {
            self.report.count(Count::Reordered);
        } else {
            *last = at;
        }
        let event = Event::Packet {
            from,
            to,
            process,
            envelope,
        };
        self.at(at, event);
    }

    /// No member keeps more than its windows and the backlog of its application, however slow.
    fn bounded(&self, index: usize) -> Result<(), String> {
        let (held, most) = (
            self.nodes[index].kept(),
            self.swarm.window * 3 + KEPT_BESIDE,
        );
        if held as u64 > most {
            return Err(format!(
                "node {index} keeps {held} numbers, {most} were to be the most"
            ));
        }
        Ok(())
    }

    /// The oracles forget views that nobody is in any more, nor can come from.
    fn forget(&mut self) {
        let living = self.hosts.iter().filter(|host| !host.down);
        let oldest = living.map(|host| host.view).min().unwrap_or(0);
        self.oracles.forget_before(oldest.saturating_sub(2));
    }

    /// The last causes of view changes at each node, for people.
    pub fn causes(&self) -> String {
        let one = |(index, node): (usize, &Node)| {
            let causes: Vec<String> = node
                .status()
                .causes
                .iter()
                .map(|(at, cause)| {
                    let at = self.hosts[index].clock.when(*at);
                    format!("{} ms: {cause}", at.0 / 1_000_000)
                })
                .collect();
            format!("node {index}: {}", causes.join("; "))
        };
        self.nodes
            .iter()
            .enumerate()
            .map(one)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A step of a view change: what is counted when a node dies in it, and whether it moves the change
/// on, so that it comes once and not again and again.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) crash: Count,
    pub(crate) moves_on: bool,
}

fn step_of(packet: &Packet) -> Option<Step> {
    let (crash, moves_on) = match packet {
        Packet::Join { .. } => (Count::CrashInJoin, false),
        Packet::Propose { .. } => (Count::CrashInPropose, true),
        Packet::Info { .. } => (Count::CrashInInfo, false),
        Packet::Plan { .. } => (Count::CrashInPlan, true),
        Packet::Miss { .. } => (Count::CrashInMiss, false),
        Packet::Recover { .. } => (Count::CrashInRecover, false),
        Packet::Recovered { .. } => (Count::CrashInRecovered, true),
        Packet::Install { .. } => (Count::CrashInInstall, true),
        _ => return None,
    };
    Some(Step { crash, moves_on })
}
