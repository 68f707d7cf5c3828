//! The device and its nodes under virtual time: cuts, pauses, crashes, lost memory, late messages,
//! clocks at the bound. At no instant do two views without a common node both have a majority.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use crate::{
    Answer, Ask, Asker, Device, Effect, Members, Prefer, RULES, Rule, SiteConfig, Stored, Verdict,
};

const MS: Duration = Duration::from_millis(1);
const SITE: &str = "berlin";

struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit.max(1)
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    fn ms(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most * 1_000))
    }
}

enum Event {
    ToDevice(Ask),
    ToNode(u32, Answer),
    Wake(u32, Duration),
    Stored(u64, u64, Stored),
    DeviceStarts(Option<Stored>),
    NodeStarts(u32),
    /// A node installs the view of its side.
    View(u32),
    Fault,
}

struct Host {
    asker: Asker,
    view: Members,
    /// Parts of a thousand that its clock is fast.
    rate: i64,
    paused_until: Duration,
    alive: bool,
    wake: Option<Duration>,
}

#[derive(Default)]
struct Counts {
    votes: u64,
    halves: u64,
    cuts: u64,
    pauses: u64,
    crashes: u64,
    device_restarts: u64,
    device_forgets: u64,
    late: u64,
    lost: u64,
}

struct World {
    random: Random,
    lease: Duration,
    rule: Option<Rule>,
    now: Duration,
    order: u64,
    events: BinaryHeap<Reverse<(Duration, u64)>>,
    what: BTreeMap<u64, Event>,
    device: Option<Device>,
    device_rate: i64,
    /// What has reached the disk.
    disk: Option<Stored>,
    device_process: u64,
    hosts: BTreeMap<u32, Host>,
    /// Which side of the cut each node is on.
    side: BTreeMap<u32, bool>,
    /// Nodes that do not reach the device.
    cut_off: BTreeSet<u32>,
    loss: u64,
    lateness: u64,
    chaos: bool,
    counts: Counts,
}

/// A clock that is so many parts of a thousand fast, and far from the true time.
fn clock(now: Duration, rate: i64) -> Duration {
    let nanos = i128::try_from(now.as_nanos()).expect("short runs");
    let nanos = nanos + nanos * i128::from(rate) / 1_000;
    Duration::from_secs(1_000) + Duration::from_nanos(u64::try_from(nanos).expect("forward"))
}

impl World {
    fn new(seed: u64, nodes: u32, rule: Option<Rule>, chaos: bool) -> Self {
        let mut random = Random(seed);
        let rates = [-5, 0, 5];
        let device_rate = rates[random.below(3) as usize];
        let lease = MS
            * if chaos {
                [300, 1_000, 4_000][random.below(3) as usize]
            } else {
                1_000
            };
        let mut world = Self {
            lease,
            rule,
            now: Duration::ZERO,
            order: 0,
            events: BinaryHeap::new(),
            what: BTreeMap::new(),
            device: None,
            device_rate,
            disk: None,
            device_process: 0,
            hosts: BTreeMap::new(),
            side: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            loss: if chaos { random.below(200) } else { 0 },
            lateness: if chaos { random.below(60) } else { 0 },
            chaos,
            counts: Counts::default(),
            random,
        };
        for node in 1..=nodes {
            world.side.insert(node, false);
            let rate = rates[world.random.below(3) as usize];
            let host = Host {
                asker: Asker::new(node, 0),
                view: Members::from([node]),
                rate,
                paused_until: Duration::ZERO,
                alive: false,
                wake: None,
            };
            world.hosts.insert(node, host);
            world.at(Duration::ZERO, Event::NodeStarts(node));
        }
        world.at(Duration::ZERO, Event::DeviceStarts(None));
        if chaos {
            world.at(MS * 3_000, Event::Fault);
        }
        world
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.now + after, self.order)));
        self.what.insert(self.order, event);
    }

    fn config(&self) -> BTreeMap<String, SiteConfig> {
        let config = SiteConfig {
            nodes: self.hosts.keys().copied().collect(),
            lease: self.lease,
            prefer: Prefer::Lowest,
            decide_within: MS * 400,
        };
        BTreeMap::from([(SITE.to_owned(), config)])
    }

    /// A message's way: lost, doubled, late, or just there.
    fn travel(&mut self, node: u32, make: impl Fn() -> Event) {
        if self.cut_off.contains(&node) || self.random.chance(self.loss) {
            self.counts.lost += 1;
            return;
        }
        let copies = if self.random.chance(50) && self.chaos {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let delay = if self.random.chance(self.lateness) {
                self.counts.late += 1;
                self.random.ms(4_000)
            } else {
                MS / 2 + self.random.ms(3)
            };
            self.at(delay, make());
        }
    }

    fn settle_node(&mut self, node: u32) {
        let now = self.now;
        let host = self.hosts.get_mut(&node).expect("configured");
        if let Some(ask) = host.asker.poll_ask() {
            self.travel(node, || Event::ToDevice(ask.clone()));
        }
        let host = self.hosts.get_mut(&node).expect("configured");
        let local = clock(now, host.rate);
        if let Some(at) = host.asker.next_timeout()
            && host.wake != Some(at)
        {
            host.wake = Some(at);
            let wait = at.saturating_sub(local) + MS;
            self.at(wait, Event::Wake(node, at));
        }
    }

    fn settle_device(&mut self) {
        while let Some(effect) = self.device.as_mut().and_then(Device::poll_effect) {
            match effect {
                Effect::Store(write, stored) => {
                    let slow = if self.chaos { 300 } else { 30 };
                    let (took, process) = (self.random.ms(slow), self.device_process);
                    self.at(took, Event::Stored(process, write, stored));
                }
                Effect::Send { node, answer, .. } => {
                    self.counts.votes += u64::from(matches!(answer.verdict, Verdict::Vote { .. }));
                    self.travel(node, || Event::ToNode(node, answer.clone()));
                }
            }
        }
    }

    fn device_now(&self) -> Duration {
        clock(self.now, self.device_rate)
    }

    /// Every living node installs the view of its side, some sooner than others.
    fn change_views(&mut self) {
        let living: Vec<u32> = self
            .hosts
            .iter()
            .filter(|(_, host)| host.alive)
            .map(|(node, _)| *node)
            .collect();
        for node in living {
            let delay = self.random.ms(500);
            self.at(delay, Event::View(node));
        }
    }

    fn install(&mut self, node: u32) {
        let side = self.side[&node];
        let members: Members = self
            .hosts
            .iter()
            .filter(|(other, host)| host.alive && self.side[other] == side)
            .map(|(other, _)| *other)
            .collect();
        let now = self.now;
        let host = self.hosts.get_mut(&node).expect("configured");
        if host.alive && host.paused_until > now {
            let wait = host.paused_until - now;
            self.at(wait, Event::View(node));
            return;
        }
        if !host.alive || host.view == members {
            return;
        }
        host.view = members.clone();
        host.asker.handle_view(clock(now, host.rate), members);
        self.settle_node(node);
    }

    fn step(&mut self) -> Result<(), String> {
        let Some(Reverse((at, order))) = self.events.pop() else {
            return Err("nothing happens any more".to_owned());
        };
        self.now = at;
        let event = self.what.remove(&order).expect("each once");
        let now = self.now;
        match event {
            Event::ToDevice(ask) => {
                let device_now = self.device_now();
                if let Some(device) = &mut self.device {
                    device.handle_ask(device_now, SITE, ask);
                    self.settle_device();
                }
            }
            Event::ToNode(node, answer) => {
                let host = self.hosts.get_mut(&node).expect("configured");
                if host.alive && host.paused_until > now {
                    let wait = host.paused_until - now;
                    self.at(wait, Event::ToNode(node, answer));
                } else if host.alive {
                    host.asker.handle_answer(clock(now, host.rate), answer);
                    self.settle_node(node);
                }
            }
            Event::Wake(node, at) => {
                let host = self.hosts.get_mut(&node).expect("configured");
                let current = host.alive && host.wake == Some(at);
                if current && host.paused_until > now {
                    let wait = host.paused_until - now;
                    self.at(wait, Event::Wake(node, at));
                } else if current {
                    host.wake = None;
                    host.asker.handle_timeout(clock(now, host.rate));
                    self.settle_node(node);
                }
            }
            Event::Stored(process, write, stored) => {
                if process == self.device_process && self.device.is_some() {
                    self.disk = Some(stored);
                    let device_now = self.device_now();
                    if let Some(device) = &mut self.device {
                        device.handle_stored(device_now, write);
                    }
                    self.settle_device();
                }
            }
            Event::DeviceStarts(stored) => self.start_device(stored),
            Event::NodeStarts(node) => self.start_node(node),
            Event::View(node) => self.install(node),
            Event::Fault => self.fault(),
        }
        self.judge()
    }

    fn start_device(&mut self, stored: Option<Stored>) {
        self.device_process = self.random.bits();
        let (now, config) = (self.device_now(), self.config());
        self.device = Some(match self.rule {
            Some(rule) => Device::without(rule, now, self.device_process, config, stored),
            None => Device::new(now, self.device_process, config, stored),
        });
        self.settle_device();
    }

    fn start_node(&mut self, node: u32) {
        let (process, now) = (self.random.bits(), self.now);
        let rule = self.rule;
        let host = self.hosts.get_mut(&node).expect("configured");
        host.asker = Asker::new(node, process);
        if let Some(rule) = rule {
            host.asker.weaken(rule);
        }
        (host.alive, host.paused_until, host.wake) = (true, now, None);
        host.view = Members::from([node]);
        self.change_views();
    }

    fn fault(&mut self) {
        let again = self.random.ms(2_500);
        self.at(again, Event::Fault);
        let nodes: Vec<u32> = self.hosts.keys().copied().collect();
        let node = nodes[self.random.below(nodes.len() as u64) as usize];
        match self.random.below(10) {
            0..=3 => {
                self.counts.cuts += 1;
                for node in nodes {
                    let side = self.random.chance(500);
                    self.side.insert(node, side);
                }
                self.change_views();
            }
            4 => {
                self.side.values_mut().for_each(|side| *side = false);
                self.cut_off.clear();
                self.change_views();
            }
            5 => {
                self.counts.pauses += 1;
                let until = self.now + self.random.ms(3_000);
                self.hosts.get_mut(&node).expect("configured").paused_until = until;
            }
            6 => {
                self.counts.crashes += 1;
                self.hosts.get_mut(&node).expect("configured").alive = false;
                self.change_views();
                let away = self.random.ms(3_000);
                self.at(away, Event::NodeStarts(node));
            }
            7 => {
                self.cut_off.insert(node);
            }
            _ => self.device_fault(),
        }
    }

    fn device_fault(&mut self) {
        if self.device.take().is_none() {
            return;
        }
        let keeps = self.random.chance(600);
        let away = self.random.ms(300);
        if keeps {
            self.counts.device_restarts += 1;
            let disk = self.disk.clone();
            self.at(away, Event::DeviceStarts(disk));
        } else {
            self.counts.device_forgets += 1;
            self.disk = None;
            self.at(away, Event::DeviceStarts(None));
        }
    }

    /// Does the node's view have a majority, with the device's vote if it has that?
    fn acts(&self, node: u32) -> bool {
        let host = &self.hosts[&node];
        if !host.alive || host.paused_until > self.now {
            return false;
        }
        let device = usize::from(host.asker.has_vote(clock(self.now, host.rate)));
        (host.view.len() + device) * 2 > self.hosts.len() + 1
    }

    fn judge(&mut self) -> Result<(), String> {
        let acting: Vec<u32> = self
            .hosts
            .keys()
            .copied()
            .filter(|node| self.acts(*node))
            .collect();
        for one in &acting {
            let ours = &self.hosts[one].view;
            self.counts.halves += u64::from(ours.len() * 2 <= self.hosts.len());
            for other in &acting {
                let theirs = &self.hosts[other].view;
                if ours.is_disjoint(theirs) {
                    return Err(format!(
                        "at {:?} both {ours:?} and {theirs:?} may act",
                        self.now
                    ));
                }
            }
        }
        Ok(())
    }

    fn run_for(&mut self, span: Duration) -> Result<(), String> {
        let end = self.now + span;
        while self.events.peek().is_some_and(|next| next.0.0 <= end) {
            self.step()?;
        }
        self.now = end;
        self.judge()
    }

    fn acting(&self) -> Vec<u32> {
        let nodes = self.hosts.keys().copied();
        nodes.filter(|node| self.acts(*node)).collect()
    }

    fn cut(&mut self) {
        self.side.insert(2, true);
        self.change_views();
    }
}

/// The holder of a long lease loses the device again and again, its clock as slow as it may be, the
/// device's as fast: the other half gets the vote at the first instant that it may.
fn duel(seed: u64, rule: Option<Rule>) -> (Counts, Result<(), String>) {
    let mut world = World::new(seed, 2, rule, false);
    world.lease = MS * 4_000;
    world.device_rate = 5;
    world.hosts.values_mut().for_each(|host| host.rate = -5);
    let mut rounds = || {
        for _ in 0..8 {
            world.run_for(MS * 4_500)?;
            world.cut();
            let alone = world.random.ms(4_000);
            world.run_for(MS * 1_000 + alone)?;
            let holder = world.acting();
            world.cut_off.extend(holder);
            world.run_for(MS * 6_000)?;
            world.cut_off.clear();
            world.side.insert(2, false);
            world.change_views();
        }
        Ok(())
    };
    let outcome = rounds();
    (world.counts, outcome)
}

fn random_run(seed: u64, rule: Option<Rule>) -> (Counts, Result<(), String>) {
    if seed % 5 == 4 {
        return duel(seed, rule);
    }
    let nodes = [2, 2, 2, 4][(seed % 4) as usize];
    let mut world = World::new(seed, nodes, rule, true);
    let outcome = world.run_for(Duration::from_secs(120));
    (world.counts, outcome)
}

#[test]
fn random_runs_never_have_two_halves_that_act() {
    let mut total = Counts::default();
    for seed in 0..150 {
        let (counts, outcome) = random_run(seed, None);
        assert_eq!(outcome, Ok(()), "seed {seed}");
        total.votes += counts.votes;
        total.halves += counts.halves;
        total.cuts += counts.cuts;
        total.pauses += counts.pauses;
        total.crashes += counts.crashes;
        total.device_restarts += counts.device_restarts;
        total.device_forgets += counts.device_forgets;
        total.late += counts.late;
        total.lost += counts.lost;
    }
    assert!(total.halves > 1_000, "halves act by the device's vote");
    for count in [
        total.votes,
        total.cuts,
        total.pauses,
        total.crashes,
        total.device_restarts,
        total.device_forgets,
        total.late,
        total.lost,
    ] {
        assert!(count > 100, "every kind of fault comes");
    }
}

#[test]
fn every_rule_is_needed() {
    for rule in RULES {
        let found = (0..400).find(|seed| random_run(*seed, Some(rule)).1.is_err());
        assert!(found.is_some(), "nobody missed {rule:?}");
    }
}

#[test]
fn a_pair_that_is_cut_goes_on_in_one_half() {
    for seed in 0..20 {
        let mut world = World::new(seed, 2, None, false);
        world.run_for(MS * 4_000).expect("no breach");
        assert_eq!(world.acting(), [1, 2]);
        world.cut();
        world.run_for(MS * 2_500).expect("no breach");
        assert_eq!(world.acting(), [1], "the half with the lowest node");
        world.run_for(MS * 20_000).expect("no breach");
        assert_eq!(world.acting(), [1], "and it stays there");
        world.side.insert(2, false);
        world.change_views();
        world.run_for(MS * 2_000).expect("no breach");
        assert_eq!(world.acting(), [1, 2]);
    }
}

#[test]
fn with_the_device_lost_a_pair_goes_on_and_a_single_node_does_not() {
    let mut world = World::new(1, 2, None, false);
    world.run_for(MS * 4_000).expect("no breach");
    world.device = None;
    world.run_for(MS * 10_000).expect("no breach");
    assert_eq!(world.acting(), [1, 2]);
    world.hosts.get_mut(&1).expect("configured").alive = false;
    world.change_views();
    world.run_for(MS * 10_000).expect("no breach");
    assert!(world.acting().is_empty(), "device and node lost");
    let disk = world.disk.clone();
    world.at(Duration::ZERO, Event::DeviceStarts(disk));
    world.run_for(MS * 5_000).expect("no breach");
    assert_eq!(world.acting(), [2], "the device is back");
}

#[test]
fn a_lost_node_leaves_the_vote_to_the_other() {
    for lost in [1, 2] {
        let mut world = World::new(7, 2, None, false);
        world.run_for(MS * 4_000).expect("no breach");
        world.hosts.get_mut(&lost).expect("configured").alive = false;
        world.change_views();
        world.run_for(MS * 2_500).expect("no breach");
        assert_eq!(world.acting(), [3 - lost]);
    }
}

#[test]
fn the_device_restarts_in_the_middle_of_a_cut() {
    for (seed, keeps) in (0..20).flat_map(|seed| [(seed, true), (seed, false)]) {
        let mut world = World::new(seed, 2, None, false);
        world.run_for(MS * 4_000).expect("no breach");
        world.cut();
        world.run_for(MS * 3_000).expect("no breach");
        assert_eq!(world.acting(), [1]);
        let disk = world.disk.clone().filter(|_| keeps);
        world.device = None;
        world.at(MS * 50, Event::DeviceStarts(disk));
        world.run_for(MS * 900).expect("no breach");
        if keeps {
            assert_eq!(
                world.acting(),
                [1],
                "its vote is renewed as if nothing were"
            );
        }
        world.run_for(MS * 9_000).expect("no breach");
        assert_eq!(world.acting(), [1], "without memory: after the obligation");
    }
}

#[test]
fn a_node_that_ends_leaves_the_vote_at_once() {
    let mut world = World::new(3, 2, None, false);
    world.run_for(MS * 4_000).expect("no breach");
    world.cut();
    world.run_for(MS * 3_000).expect("no breach");
    assert_eq!(world.acting(), [1]);
    let local = clock(world.now, world.hosts[&1].rate);
    let host = world.hosts.get_mut(&1).expect("configured");
    host.asker.release(local);
    assert!(!host.asker.has_vote(local));
    world.settle_node(1);
    world.hosts.get_mut(&1).expect("configured").alive = false;
    // A question is due within a lease's quarter; the other half waits for a better one once.
    world.run_for(MS * 1_300).expect("no breach");
    assert_eq!(world.acting(), [2]);
}
