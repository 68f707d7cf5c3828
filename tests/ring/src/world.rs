//! All nodes in one process under virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use membership::{
    Config, Delivery, Envelope, Guarantee, Node, NodeId, NodeSet, Packet, Time, ViewId, Weakness,
};

use crate::nemesis::{self, Cuts, KINDS, Kind};
use crate::oracle::{
    MessageId, Promises, SameOrder, SameProcess, Seen, SelfDelivery, StoredEverywhere,
    VirtualSynchrony, settled,
};
use crate::random::Random;
use crate::report::Report;
use crate::swarm::Swarm;

/// After healing, a view of all nodes with nothing left to send must stand within this.
const CONVERGENCE_WITHIN: Duration = Duration::from_secs(60);
/// Events between two clearings of what the oracles need no more.
const FORGET_EVERY: u64 = 200_000;
/// Numbers that a node may keep beside twice its window: what its application has not taken yet, and
/// what came ahead of a gap.
const KEPT_BESIDE: u64 = 600;

enum Event {
    Packet {
        from: usize,
        to: usize,
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

struct Host {
    process: u64,
    sent: u64,
    timer: Option<Time>,
    paused_until: Time,
    /// The process is gone until then, and then a new one starts.
    down: bool,
    slow: bool,
    /// The view that its application is in.
    view: u64,
}

/// The world of one seed.
pub struct World {
    swarm: Swarm,
    random: Random,
    now: Time,
    events: BinaryHeap<Reverse<(Time, u64, usize)>>,
    slab: Vec<Option<Event>>,
    free: Vec<usize>,
    order: u64,
    nodes: Vec<Node>,
    hosts: Vec<Host>,
    cuts: Cuts,
    faulty: bool,
    weakness: Option<Weakness>,
    same_order: SameOrder,
    self_delivery: SelfDelivery,
    virtual_synchrony: VirtualSynchrony,
    stored_everywhere: StoredEverywhere,
    same_process: SameProcess,
    promises: Promises,
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
            same_order: SameOrder::default(),
            self_delivery: SelfDelivery::default(),
            virtual_synchrony: VirtualSynchrony::default(),
            stored_everywhere: StoredEverywhere::default(),
            same_process: SameProcess::default(),
            promises: Promises::default(),
            breach: None,
            report: Report::default(),
            swarm,
        };
        for index in 0..count {
            let process = world.random.bits();
            let slow = world.random.chance(world.swarm.slow);
            let node = world.fresh(index, process);
            world.nodes.push(node);
            let (now, timer) = (world.now, None);
            world.hosts.push(Host {
                process,
                sent: 0,
                timer,
                paused_until: now,
                down: false,
                slow,
                view: 0,
            });
            world.at(now, Event::Submit { node: index });
            world.settle(index);
        }
        world.report.slow_nodes += world.hosts.iter().filter(|host| host.slow).count() as u64;
        let first = world.now.after(Duration::from_secs(1));
        world.at(first, Event::Fault);
        world
    }

    fn fresh(&mut self, index: usize, process: u64) -> Node {
        let nodes: NodeSet = (0..self.swarm.nodes).map(NodeId).collect();
        self.stored_everywhere.lives(process, NodeId(index as u32));
        self.same_process.lives(process, self.now);
        let mut config = Config::lan(NodeId(index as u32), nodes);
        config.window = self.swarm.window;
        let mut node = Node::new(config, process, self.now);
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

    fn settled(&self) -> Result<(), String> {
        if self.hosts.iter().any(|host| host.down) {
            return Err("a process is still down".to_owned());
        }
        settled(&self.nodes)?;
        for host in &self.hosts {
            let own = self.self_delivery.own(host.process);
            if own != host.sent {
                return Err(format!(
                    "{:x} delivered {own} of its {} own",
                    host.process, host.sent
                ));
            }
        }
        Ok(())
    }

    fn heal(&mut self) {
        self.faulty = false;
        self.cuts.heal();
        self.swarm.loss = 0;
        self.swarm.duplication = 0;
    }

    fn at(&mut self, time: Time, event: Event) {
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
            Event::Packet { from, to, envelope } => {
                if self.awake_or_later(to, |world, at| {
                    world.at(
                        at,
                        Event::Packet {
                            from,
                            to,
                            envelope: envelope.clone(),
                        },
                    );
                }) {
                    let (now, from) = (self.now, NodeId(from as u32));
                    self.report
                        .mix(time.0 ^ (to as u64) << 56 ^ u64::from(from.0) << 48);
                    let process = envelope.incarnation;
                    self.nodes[to].handle_packet(now, from, envelope);
                    self.same_process.see(now, &self.nodes[to], from, process)?;
                    self.bounded(to)?;
                    self.settle(to);
                    return self.take(to);
                }
            }
            Event::Timer { node, at } => {
                let current = self.hosts[node].timer == Some(at);
                if current
                    && self.awake_or_later(node, |world, at| {
                        world.hosts[node].timer = Some(at);
                        world.at(at, Event::Timer { node, at });
                    })
                {
                    self.hosts[node].timer = None;
                    self.nodes[node].handle_timeout(self.now);
                    self.settle(node);
                    return self.take(node);
                }
            }
            Event::Submit { node } => return self.submit(node),
            Event::Take { node } => {
                if !self.hosts[node].down {
                    let again = self.now.after(Duration::from_millis(20));
                    self.at(again, Event::Take { node });
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

    /// Is the node awake? If it is paused, `later` is called with the time it wakes.
    fn awake_or_later(&mut self, node: usize, later: impl FnOnce(&mut Self, Time)) -> bool {
        if self.hosts[node].down {
            return false;
        }
        let until = self.hosts[node].paused_until;
        if until > self.now {
            later(self, until);
            return false;
        }
        true
    }

    /// Sends what the node wants sent and sets its timer.
    fn settle(&mut self, index: usize) {
        while let Some((to, envelope)) = self.nodes[index].poll_packet() {
            let to = to.0 as usize;
            self.report.packets += 1;
            let (process, packet) = (envelope.incarnation, &envelope.packet);
            if let Err(breach) = self.promises.sends(process, &self.nodes[index], packet) {
                self.breach.get_or_insert(breach);
            }
            if self.crashes_in_step(index, &envelope.packet) {
                return;
            }
            self.cut_in_step(&envelope.packet);
            self.comes_again(index, to, &envelope);
            if !self.cuts.passes(index, to) || self.random.chance(self.swarm.loss) {
                self.report.lost += 1;
                continue;
            }
            if self.random.chance(self.swarm.duplication) {
                self.report.duplicated += 1;
                let at = self.arrival();
                self.at(
                    at,
                    Event::Packet {
                        from: index,
                        to,
                        envelope: envelope.clone(),
                    },
                );
            }
            let at = self.arrival();
            self.at(
                at,
                Event::Packet {
                    from: index,
                    to,
                    envelope,
                },
            );
        }
        if let Some(at) = self.nodes[index].next_timeout()
            && self.hosts[index].timer != Some(at)
        {
            self.hosts[index].timer = Some(at);
            self.at(at, Event::Timer { node: index, at });
        }
    }

    /// No member keeps more than its window and the backlog of its application, however slow.
    fn bounded(&self, index: usize) -> Result<(), String> {
        let (held, most) = (
            self.nodes[index].kept(),
            self.swarm.window * 2 + KEPT_BESIDE,
        );
        if held as u64 > most {
            return Err(format!(
                "node {index} keeps {held} numbers, {most} were to be the most"
            ));
        }
        Ok(())
    }

    /// Does the network fall apart while the node sends this?
    fn cut_in_step(&mut self, packet: &Packet) {
        if !is_step(packet) || !self.faulty || !self.random.chance(self.swarm.step_cut) {
            return;
        }
        self.report.step_cuts += 1;
        let mask = self.random.bits();
        self.cuts.split(mask);
        let span = nemesis::outage(&mut self.random);
        let at = self.now.after(span);
        self.at(at, Event::Mend);
    }

    /// A step of a view change comes again when it is long over.
    fn comes_again(&mut self, from: usize, to: usize, envelope: &Envelope) {
        if !is_step(&envelope.packet) || !self.faulty || !self.random.chance(self.swarm.step_again)
        {
            return;
        }
        self.report.step_repeats += 1;
        let most = if self.random.chance(500) {
            nemesis::LATE_MAX
        } else {
            nemesis::STRAGGLE_MAX / 4
        };
        let delay = self.random.between(Duration::ZERO, most);
        let (at, envelope) = (self.now.after(delay), envelope.clone());
        self.at(at, Event::Packet { from, to, envelope });
    }

    /// Does the node die while it sends this? What it had still to send is gone with it.
    fn crashes_in_step(&mut self, index: usize, packet: &Packet) -> bool {
        if !is_step(packet) || !self.faulty || !self.random.chance(self.swarm.step_crash) {
            return false;
        }
        self.report.step_crashes += 1;
        self.crash(index);
        true
    }

    fn crash(&mut self, index: usize) {
        if !self.hosts[index].down {
            self.hosts[index].down = true;
            let span = nemesis::outage(&mut self.random);
            let at = self.now.after(span);
            self.at(at, Event::Wake { node: index });
        }
    }

    fn arrival(&mut self) -> Time {
        if self.faulty && self.random.below(100_000) < self.swarm.late {
            self.report.late += 1;
            let delay = self.random.between(Duration::ZERO, nemesis::LATE_MAX);
            return self.now.after(delay);
        }
        if self.faulty && self.random.below(100_000) < self.swarm.straggle {
            self.report.late += 1;
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

    fn submit(&mut self, index: usize) -> Result<(), String> {
        if !self.faulty {
            return Ok(());
        }
        let next = self
            .random
            .between(Duration::ZERO, self.swarm.send_every * 2);
        let at = self.now.after(next);
        self.at(at, Event::Submit { node: index });
        if self.hosts[index].down || self.hosts[index].paused_until > self.now {
            return Ok(());
        }
        let burst = if self.random.chance(20) { 20 } else { 1 };
        for _ in 0..burst {
            let size = self.random.below(self.swarm.message_bytes) as usize;
            let safe = self.random.chance(self.swarm.safe);
            let guarantee = if safe {
                Guarantee::Safe
            } else {
                Guarantee::Agreed
            };
            let host = &self.hosts[index];
            let mut bytes = host.process.to_le_bytes().to_vec();
            bytes.extend((host.sent + 1).to_le_bytes());
            bytes.resize(16 + size, index as u8);
            if self.nodes[index].submit(self.now, bytes, guarantee).is_ok() {
                self.hosts[index].sent += 1;
            } else {
                self.report.full_queues += 1;
            }
        }
        self.settle(index);
        self.take(index)
    }

    /// The application takes what there is, unless it is a slow one.
    fn take(&mut self, index: usize) -> Result<(), String> {
        if self.hosts[index].slow && self.faulty {
            return Ok(());
        }
        self.take_some(index, usize::MAX)
    }

    fn take_some(&mut self, index: usize, most: usize) -> Result<(), String> {
        for _ in 0..most {
            if self.hosts[index].down {
                return Ok(());
            }
            let Some(delivery) = self.nodes[index].poll_delivery(self.now) else {
                break;
            };
            self.judge(index, delivery)?;
        }
        self.settle(index);
        Ok(())
    }

    fn judge(&mut self, index: usize, delivery: Delivery) -> Result<(), String> {
        let seen = match delivery {
            Delivery::Message {
                view,
                seq,
                guarantee,
                bytes,
                ..
            } => {
                self.report.deliveries += 1;
                let id = MessageId {
                    process: word(&bytes, 0),
                    count: word(&bytes, 8),
                };
                self.report.mix(id.count ^ seq << 20);
                Seen::Message {
                    view,
                    seq,
                    id,
                    guarantee,
                }
            }
            Delivery::Transitional { from, members } => Seen::Transitional(from, members),
            Delivery::View(view) => {
                self.report.views += 1;
                self.hosts[index].view = view.id.counter;
                Seen::View(view)
            }
        };
        let process = self.hosts[index].process;
        self.same_order.see(process, &seen)?;
        self.self_delivery.see(process, &seen)?;
        self.promises.see(process, &self.nodes[index], &seen)?;
        self.virtual_synchrony.see(process, &seen)?;
        let (nodes, hosts) = (&self.nodes, &self.hosts);
        self.stored_everywhere
            .see(process, &seen, |view, seq| {
                everybody_holds(nodes, hosts, view, seq)
            })
            .map_err(|why| format!("{why} (at {:?})", self.now))
    }

    fn fault(&mut self) {
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
            Kind::Pause => {
                let span = nemesis::outage(&mut self.random);
                self.hosts[one].paused_until = self.now.after(span);
            }
            Kind::Crash => self.crash(one),
            Kind::Heal => self.cuts.heal(),
        }
    }

    fn restart(&mut self, index: usize) {
        let process = self.random.bits();
        self.nodes[index] = self.fresh(index, process);
        let host = &mut self.hosts[index];
        (host.process, host.sent, host.timer, host.down) = (process, 0, None, false);
        (host.paused_until, host.view) = (self.now, 0);
        self.settle(index);
        if self.hosts[index].slow {
            let at = self.now.after(Duration::from_millis(20));
            self.at(at, Event::Take { node: index });
        }
    }

    /// The oracles forget views that nobody is in any more, nor can come from.
    fn forget(&mut self) {
        let living = self.hosts.iter().filter(|host| !host.down);
        let oldest = living.map(|host| host.view).min().unwrap_or(0);
        let oldest = oldest.saturating_sub(2);
        self.same_order.forget_before(oldest);
        self.virtual_synchrony.forget_before(oldest);
        self.stored_everywhere.forget_before(oldest);
        self.same_process.forget_before(oldest);
    }

    /// The last causes of view changes at each node, for people.
    pub fn causes(&self) -> String {
        let one = |(index, node): (usize, &Node)| {
            let causes: Vec<String> = node
                .status()
                .causes
                .iter()
                .map(|(at, cause)| format!("{} ms: {cause}", at.0 / 1_000_000))
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

    /// Starts the slow applications.
    pub fn start_slow(&mut self) {
        for index in 0..self.hosts.len() {
            if self.hosts[index].slow {
                let at = self.now.after(Duration::from_millis(20));
                self.at(at, Event::Take { node: index });
            }
        }
    }
}

/// A packet that moves a view change on.
fn is_step(packet: &Packet) -> bool {
    matches!(
        packet,
        Packet::Propose { .. }
            | Packet::Plan { .. }
            | Packet::Recovered { .. }
            | Packet::Install { .. }
    )
}

fn everybody_holds(nodes: &[Node], hosts: &[Host], view: ViewId, seq: u64) -> Result<(), String> {
    for (index, (node, host)) in nodes.iter().zip(hosts).enumerate() {
        if !host.down && node.view().id == view && !node.holds(view, seq) {
            return Err(format!(
                "node {index} does not hold {seq} of {view}, delivered as safe"
            ));
        }
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}
