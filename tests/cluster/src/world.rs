//! Events, faults, and the operator.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;

use cib::{Cib, Section};
use controller::{Answer, Effect, Ending, Fenced, Now, View};

use crate::agent;
use crate::host::{Host, Running};
use crate::oracle::{acknowledged::Acknowledged, once, rest, unfenced};
use crate::random::Random;
use crate::wire::Wire;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;
/// Faults come until then.
const FAULTY_NS: u64 = 300 * S;
/// At rest by then: fencing that failed is tried again after a minute, and a start may hang for half of
/// one, one after the other.
const REST_NS: u64 = FAULTY_NS + 400 * S;
/// A run that does not end is a fault of its own.
const EVENTS_MAX: u64 = 3_000_000;

/// What is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Events.
    pub events: u64,
    /// Faults by kind: power off, daemon killed, cut, agents that failed, hung or lied, fencings that
    /// failed or hung.
    pub faults: [u64; 5],
    /// Views.
    pub views: u64,
    /// Operations begun, monitors that recur counted once.
    pub operations: u64,
    /// Fencings that were done.
    pub fencings: u64,
    /// Changes of the configuration that were acknowledged, and those asked for.
    pub changes: [u64; 2],
    /// Of all that happened, in order.
    pub hash: u64,
}

impl Report {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.views += other.views;
        self.operations += other.operations;
        self.fencings += other.fencings;
        for (sum, one) in self.faults.iter_mut().zip(other.faults) {
            *sum += one;
        }
        for (sum, one) in self.changes.iter_mut().zip(other.changes) {
            *sum += one;
        }
        self.mix(other.hash);
    }

    fn mix(&mut self, bits: u64) {
        self.hash = (self.hash ^ bits)
            .wrapping_mul(0x0000_0100_0000_01B3)
            .rotate_left(23);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [power, killed, cuts, agents, fences] = self.faults;
        write!(
            out,
            "{} events, {} views, {} operations, {} fencings done, {} of {} changes acknowledged; \
             faults: {power} power off, {killed} daemons killed, {cuts} cuts, {agents} by agents, \
             {fences} by fencing devices",
            self.events,
            self.views,
            self.operations,
            self.fencings,
            self.changes[0],
            self.changes[1],
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Deliver(u32),
    Timer(u32, u64),
    /// An operation of (node, life, call) ends.
    Ended(u32, u64, u64),
    /// A recurring monitor looks: node, life, resource, interval, call.
    Monitor(u32, u64, String, u32, u64),
    Stored(u32, u64, usize),
    /// The parts of the network become views.
    Form(u64),
    Fault,
    Start(u32),
    /// A device is done: asked by (node, life), order, target, whether it works.
    Fence(u32, u64, usize, bool),
    Change,
    Heal,
}

/// One run.
pub struct World {
    random: Random,
    now_ns: u64,
    hosts: BTreeMap<u32, Host>,
    wire: Wire,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    /// Counts the network's changes: a view of an older one is not formed any more.
    formation: u64,
    healed: bool,
    /// Agents' misfortune, per mille.
    bad: u64,
    fault_every_ns: u64,
    stores: Vec<(controller::Round, u64, u64, Box<Cib>)>,
    orders: Vec<controller::FenceOrder>,
    resources: Vec<String>,
    /// The change under way: node, life, number, mark.
    asked: Option<(u32, u64, u64, String)>,
    acknowledged: Acknowledged,
    breach: Option<String>,
    /// What happened, for people.
    pub trace: Option<Vec<String>>,
    /// What is counted.
    pub report: Report,
}

/// Runs one seed; what was broken, if anything.
pub fn run_seed(seed: u64) -> (Report, Option<String>) {
    let mut world = World::new(seed);
    let breach = world.run().err();
    (world.report, breach)
}

fn configuration(nodes: u32, resources: &[String]) -> String {
    let primitive = |id: &String| {
        format!(
            r#"<primitive id="{id}" class="ocf" provider="t" type="a"><operations>
            <op id="{id}-m" name="monitor" interval="5s" timeout="20s"/>
            <op id="{id}-s" name="start" interval="0" timeout="30s"/></operations></primitive>"#
        )
    };
    let node = |n: u32| format!(r#"<node id="{n}" uname="n{n}"/>"#);
    let nodes: String = (1..=nodes).map(node).collect();
    let resources: String = resources.iter().map(primitive).collect();
    format!(
        r#"<cib admin_epoch="0" epoch="1" num_updates="0" validate-with="pacemaker-3.9"><configuration>
        <crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="true"/>
        </cluster_property_set></crm_config><nodes>{nodes}</nodes><resources>
        <primitive id="fence" class="stonith" type="fence_x"/>{resources}</resources><constraints/>
        <tags/></configuration><status/></cib>"#
    )
}

impl World {
    /// The run of a seed.
    ///
    /// # Panics
    /// Never: its own configuration is a CIB.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let nodes = [2, 3, 3, 4, 5, 7][random.below(6) as usize];
        let nodes = if nodes == 2 { 3 } else { nodes };
        let count = random.between(2, 8);
        let resources: Vec<String> = (0..count).map(|number| format!("r{number}")).collect();
        let text = configuration(nodes, &resources);
        let cib = Cib::parse(&text, None).unwrap_or_else(|_| Cib::empty());
        let hosts = (1..=nodes)
            .map(|n| (n, Host::new(n, cib.clone())))
            .collect();
        let mut world = Self {
            bad: [0, 5, 30, 100][random.below(4) as usize],
            fault_every_ns: random.between(2, 40) * S,
            random,
            now_ns: S,
            hosts,
            wire: Wire::default(),
            queue: BinaryHeap::new(),
            sequence: 0,
            formation: 0,
            healed: false,
            stores: Vec::new(),
            orders: Vec::new(),
            resources,
            asked: None,
            acknowledged: Acknowledged::default(),
            breach: None,
            trace: None,
            report: Report::default(),
        };
        for node in 1..=nodes {
            let after = world.random.below(2_000) * MS;
            world.after(after, Event::Start(node));
        }
        world.after(20 * S, Event::Fault);
        world.after(5 * S, Event::Change);
        world.after(FAULTY_NS, Event::Heal);
        world
    }

    fn after(&mut self, ns: u64, event: Event) {
        self.sequence += 1;
        let at = self.now_ns.saturating_add(ns);
        self.queue.push(Reverse((at, self.sequence, event)));
    }

    fn now(&self) -> Now {
        Now {
            boot_ns: self.now_ns,
            wall_s: 1_700_000_000 + i64::try_from(self.now_ns / S).unwrap_or(0),
        }
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        let at = self.now_ns / MS;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:>8} {}", text()));
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub fn run(&mut self) -> Result<(), String> {
        let mut why = String::from("it never began");
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            self.now_ns = at;
            self.report.events += 1;
            if self.report.events > EVENTS_MAX {
                return Err(format!("still busy after {EVENTS_MAX} events"));
            }
            let number = event_number(&event);
            self.report.mix(at ^ number << 48);
            self.handle(event);
            if let Some(breach) = self.breach.take() {
                return Err(format!("at {} ms: {breach}", self.now_ns / MS));
            }
            if self.healed && self.report.events.is_multiple_of(64) {
                match self.at_rest() {
                    Ok(()) => return Ok(()),
                    Err(reason) => why = reason,
                }
            }
            if at > REST_NS {
                return Err(format!("not at rest: {why}"));
            }
        }
        Err("nothing happens any more".to_owned())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver(node) => self.deliver(node),
            Event::Timer(node, at_ns) => {
                let now = self.now();
                let host = self
                    .hosts
                    .get_mut(&node)
                    .filter(|h| h.timer_ns == Some(at_ns));
                if let Some(host) = host {
                    host.timer_ns = None;
                    if let Some(controller) = &mut host.controller {
                        controller.handle_timeout(now);
                    }
                    self.settle(node);
                }
            }
            Event::Ended(node, life, call) => self.ended(node, life, call),
            Event::Monitor(node, life, resource, interval, call) => {
                self.monitor(node, life, resource, interval, call);
            }
            Event::Stored(node, life, at) => self.stored(node, life, at),
            Event::Form(formation) if formation == self.formation => self.form(),
            Event::Form(_) => {}
            Event::Fault => self.fault(),
            Event::Start(node) => self.start(node),
            Event::Fence(node, life, order, works) => self.fenced(node, life, order, works),
            Event::Change => self.change(),
            Event::Heal => self.heal(),
        }
    }

    fn deliver(&mut self, node: u32) {
        let now = self.now();
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        let Some(controller) = &mut host.controller else {
            return;
        };
        let Some((from, bytes)) = self.wire.deliver(node) else {
            return;
        };
        controller.handle_message(now, from, &bytes);
        self.settle(node);
        if self.wire.has_message(node) {
            let delay = self.random.below(3) * MS / 2;
            self.after(delay, Event::Deliver(node));
        }
    }

    /// Does what a controller wants, and sets its timer.
    fn settle(&mut self, node: u32) {
        loop {
            let controller = self
                .hosts
                .get_mut(&node)
                .and_then(|h| h.controller.as_mut());
            let Some(effect) = controller.and_then(controller::Controller::poll_effect) else {
                break;
            };
            self.effect(node, effect);
        }
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        let next = host
            .controller
            .as_ref()
            .map(controller::Controller::next_timeout);
        if let Some(at_ns) = next
            && host.timer_ns != Some(at_ns)
        {
            host.timer_ns = Some(at_ns);
            let wait = at_ns.saturating_sub(self.now_ns).max(1);
            self.after(wait, Event::Timer(node, at_ns));
        }
    }

    fn effect(&mut self, node: u32, effect: Effect) {
        let Some(life) = self.hosts.get(&node).map(|host| host.life) else {
            return;
        };
        match effect {
            Effect::Send(word) => {
                self.wire.say(node, word);
                let members = self.wire.members(node).map(|view| view.members.clone());
                for member in members.unwrap_or_default() {
                    let delay = self.random.between(100, 3_000) * 1_000;
                    self.after(delay, Event::Deliver(member));
                }
            }
            Effect::Store {
                round,
                number,
                era,
                cib,
            } => {
                self.stores.push((round, number, era, cib));
                let delay = self.random.between(1, 30) * MS;
                let at = self.stores.len() - 1;
                self.after(delay, Event::Stored(node, life, at));
            }
            Effect::Run(order) => self.begin(node, life, order),
            Effect::Cancel {
                call,
                resource,
                interval_ms,
                ..
            } => {
                let now = self.now();
                if let Some(host) = self.hosts.get_mut(&node) {
                    host.agents.monitors.remove(&(resource, interval_ms));
                    if let Some(controller) = &mut host.controller {
                        controller.handle_cancelled(now, call);
                    }
                }
            }
            Effect::Fence(order) => {
                self.note(|| format!("n{node} has {} fenced", order.target));
                let fails = !self.healed && self.random.chance(200);
                let hangs = fails && self.random.chance(500);
                self.report.faults[4] += u64::from(fails);
                let delay = if hangs {
                    order.timeout_ms
                } else {
                    self.random.between(100, 3_000)
                };
                self.orders.push(order);
                let at = self.orders.len() - 1;
                self.after(delay * MS, Event::Fence(node, life, at, !fails));
            }
            Effect::Answer { number, answer } => self.answered(node, life, number, &answer),
            Effect::Log(text) => self.note(|| format!("n{node}: {text}")),
            Effect::Lost(_) => self.note(|| format!("n{node}: its configuration lost")),
            _ => {}
        }
    }

    fn begin(&mut self, node: u32, life: u64, order: controller::Order) {
        self.report.operations += 1;
        self.note(|| {
            let (action, interval) = (&order.action, order.interval_ms);
            format!("n{node} runs {action} {} ({interval})", order.resource)
        });
        // A fencing device is only watched where it is active: it may be so twice.
        if order.action == "start" && order.class != "stonith" {
            let others = self.hosts.values().flat_map(|host| {
                let busy = host.agents.active.iter().chain(&host.agents.starting);
                busy.map(|resource| (host.number, resource.as_str()))
            });
            if let Err(breach) = unfenced::judge(node, &order.resource, others) {
                self.breach.get_or_insert(breach);
            }
        }
        let bad = if self.healed { 0 } else { self.bad };
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        if matches!(order.action.as_str(), "start" | "stop") {
            host.agents
                .monitors
                .retain(|(resource, _), _| *resource != order.resource);
        }
        let (ms, course) = if order.class == "stonith" {
            (5, agent::Course::Well)
        } else {
            host.agents.begin(&mut self.random, &order, bad)
        };
        self.report.faults[3] += u64::from(course != agent::Course::Well);
        let call = order.call;
        host.running.insert((life, call), Running { order, course });
        self.after(ms * MS, Event::Ended(node, life, call));
    }

    fn ended(&mut self, node: u32, life: u64, call: u64) {
        let now = self.now();
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        let Some(Running { order, course }) = host.running.remove(&(life, call)) else {
            return;
        };
        let result = host.agents.end(&order, course);
        let recurring = order.interval_ms > 0;
        let alive = host.life == life && host.controller.is_some();
        if recurring && alive {
            let key = (order.resource.clone(), order.interval_ms);
            host.agents.monitors.insert(key, (call, result.rc));
        }
        if let Some(controller) = host.controller.as_mut().filter(|_| alive) {
            controller.handle_result(now, call, result);
        }
        if recurring && alive {
            let every = u64::from(order.interval_ms) * MS;
            let look = Event::Monitor(node, life, order.resource, order.interval_ms, call);
            self.after(every, look);
        }
        self.judge_once();
        self.settle(node);
    }

    fn judge_once(&mut self) {
        let active = self.hosts.values().flat_map(|host| {
            let active = host.agents.active.iter();
            active.map(|resource| (host.number, resource.as_str()))
        });
        let active = active.filter(|(_, resource)| *resource != "fence");
        if let Err(breach) = once::judge(active) {
            self.breach.get_or_insert(breach);
        }
    }

    fn monitor(&mut self, node: u32, life: u64, resource: String, interval: u32, call: u64) {
        let now = self.now();
        let Some(host) = self.hosts.get_mut(&node).filter(|host| host.life == life) else {
            return;
        };
        let rc = host.agents.look(&resource);
        let key = (resource.clone(), interval);
        let Some((known, last)) = host.agents.monitors.get_mut(&key) else {
            return;
        };
        if *known != call {
            return;
        }
        if std::mem::replace(last, rc) != rc
            && let Some(controller) = &mut host.controller
        {
            controller.handle_result(now, call, agent::result(Ending::Complete, rc));
        }
        let every = u64::from(interval) * MS;
        self.after(every, Event::Monitor(node, life, resource, interval, call));
        self.settle(node);
    }

    fn stored(&mut self, node: u32, life: u64, at: usize) {
        let now = self.now();
        let (round, number, era, cib) = &self.stores[at];
        let Some(host) = self.hosts.get_mut(&node).filter(|host| host.life == life) else {
            return;
        };
        let Some(controller) = &mut host.controller else {
            return;
        };
        // Written in the order asked: a later one makes an earlier one superfluous.
        let known = host.disk.1.version();
        let new = cib.version();
        let older =
            (host.disk.0, known.admin_epoch, known.epoch) > (*era, new.admin_epoch, new.epoch);
        if !older {
            host.disk = (*era, (**cib).clone());
        }
        controller.handle_stored(now, round, *number);
        self.settle(node);
    }

    /// Ends the views of everybody whose part of the network has changed, and forms new ones soon.
    fn changed(&mut self) {
        self.formation += 1;
        let mut parts: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for host in self.hosts.values().filter(|host| host.controller.is_some()) {
            parts.entry(host.part).or_default().push(host.number);
        }
        let now = self.now();
        for members in parts.into_values() {
            let together = members.iter().all(|node| {
                self.wire
                    .members(*node)
                    .is_some_and(|view| view.members == members)
            });
            if together {
                continue;
            }
            for (node, messages) in self.wire.leave(&mut self.random, &members) {
                for (from, bytes) in messages {
                    let host = self.hosts.get_mut(&node);
                    if let Some(controller) = host.and_then(|host| host.controller.as_mut()) {
                        controller.handle_message(now, from, &bytes);
                    }
                    self.settle(node);
                }
            }
        }
        let delay = self.random.between(50, 500) * MS;
        let formation = self.formation;
        self.after(delay, Event::Form(formation));
    }

    fn form(&mut self) {
        let mut parts: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for host in self.hosts.values().filter(|host| host.controller.is_some()) {
            if self.wire.members(host.number).is_none() {
                parts.entry(host.part).or_default().push(host.number);
            }
        }
        let all: Vec<(u32, String, u32)> = self
            .hosts
            .values()
            .map(|host| (host.number, host.name.clone(), 1))
            .collect();
        let now = self.now();
        for members in parts.into_values() {
            self.report.views += 1;
            let view = View {
                name: self.wire.form(&members),
                quorate: members.len() * 2 > all.len(),
                expected_votes: u32::try_from(all.len()).unwrap_or(u32::MAX),
                nodes: all.clone(),
                members: members.clone(),
            };
            self.note(|| format!("view {} with {members:?}", view.name));
            for node in members {
                let host = self.hosts.get_mut(&node);
                if let Some(controller) = host.and_then(|host| host.controller.as_mut()) {
                    controller.handle_view(now, view.clone());
                }
                self.settle(node);
                self.after(MS, Event::Deliver(node));
            }
        }
    }

    fn fault(&mut self) {
        if self.healed {
            return;
        }
        let wait = self.random.below(2 * self.fault_every_ns);
        self.after(wait, Event::Fault);
        let nodes = self.hosts.len() as u64;
        let node = u32::try_from(1 + self.random.below(nodes)).unwrap_or(1);
        match self.random.below(5) {
            0 => {
                self.report.faults[0] += 1;
                self.note(|| format!("n{node}: power off"));
                self.power_off(node);
            }
            1 => {
                self.report.faults[1] += 1;
                self.note(|| format!("n{node}: daemon killed"));
                if let Some(host) = self.hosts.get_mut(&node).filter(|h| h.controller.is_some()) {
                    host.controller = None;
                    host.timer_ns = None;
                    host.agents.monitors.clear();
                    self.wire.crash(node);
                    let down = self.random.between(100, 5_000) * MS;
                    self.after(down, Event::Start(node));
                }
                self.changed();
            }
            2 | 3 => {
                self.report.faults[2] += 1;
                let cut = self.random.bits();
                for host in self.hosts.values_mut() {
                    host.part = cut >> host.number & 1;
                }
                self.note(|| format!("cut {:b}", cut & 0xFF));
                self.changed();
            }
            _ => {
                for host in self.hosts.values_mut() {
                    host.part = 0;
                }
                self.note(|| "whole network".to_owned());
                self.changed();
            }
        }
    }

    fn power_off(&mut self, node: u32) {
        if let Some(host) = self.hosts.get_mut(&node) {
            host.life += 1;
            host.power_off();
        }
        self.wire.crash(node);
        let down = self.random.between(500, 20_000) * MS;
        self.after(down, Event::Start(node));
        self.changed();
    }

    /// Starts a daemon that is down, once what an earlier one began has ended.
    fn start(&mut self, node: u32) {
        let now = self.now();
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        if host.controller.is_some() {
            return;
        }
        if !host.running.is_empty() {
            return self.after(100 * MS, Event::Start(node));
        }
        host.start(now);
        self.settle(node);
        self.changed();
    }

    fn fenced(&mut self, node: u32, life: u64, at: usize, works: bool) {
        let order = self.orders[at].clone();
        if works {
            self.report.fencings += 1;
            let target = self.hosts.values().find(|host| host.name == order.target);
            if let Some(target) = target.map(|host| host.number) {
                self.note(|| format!("n{target} is fenced"));
                self.power_off(target);
            }
        }
        let now = self.now();
        let fenced = Fenced {
            call: Some(order.call),
            target: order.target,
            action: order.action,
            result: if works {
                Ok(())
            } else {
                Err("the device failed".to_owned())
            },
        };
        let host = self.hosts.get_mut(&node).filter(|host| host.life == life);
        if let Some(controller) = host.and_then(|host| host.controller.as_mut()) {
            controller.handle_fenced(now, &fenced);
        }
        self.settle(node);
    }

    /// The operator adds a mark to the configuration, one at a time.
    fn change(&mut self) {
        if self.healed {
            return;
        }
        let wait = self.random.between(500, 8_000) * MS;
        self.after(wait, Event::Change);
        let now = self.now();
        let nodes = self.hosts.len() as u64;
        let node = u32::try_from(1 + self.random.below(nodes)).unwrap_or(1);
        let mark = format!("m{}", self.report.changes[1]);
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        let Some(controller) = &mut host.controller else {
            return;
        };
        let mut cib = controller.cib().clone();
        let tags = cib.section_or_append(Section::Tags);
        cib.document_mut().child_with_id(tags, "tag", &mark);
        self.report.changes[1] += 1;
        let number = controller.replace_everywhere(now, cib.to_text(), None);
        self.asked = Some((node, host.life, number, mark));
        self.settle(node);
    }

    fn answered(&mut self, node: u32, life: u64, number: u64, answer: &Answer) {
        let ours = |(n, l, asked, _): &mut (u32, u64, u64, String)| {
            (*n, *l, *asked) == (node, life, number)
        };
        if let Some((.., mark)) = self.asked.take_if(ours)
            && *answer == Answer::Done
        {
            self.note(|| format!("change {mark} is acknowledged"));
            self.report.changes[0] += 1;
            self.acknowledged.note(mark);
        }
    }

    fn heal(&mut self) {
        self.healed = true;
        self.note(|| "healed".to_owned());
        let down = self.hosts.values().filter(|host| host.controller.is_none());
        let down: Vec<u32> = down.map(|host| host.number).collect();
        for node in down {
            self.after(0, Event::Start(node));
        }
        for host in self.hosts.values_mut() {
            host.part = 0;
        }
        self.changed();
        // The operator cleans up once everybody is there.
        let now = self.now();
        if let Some(controller) = self.hosts.values_mut().find_map(|h| h.controller.as_mut()) {
            // Asked of the first daemon that runs; there is no such resource only if there are none.
            let _ = controller.handle_cleanup(now, None);
        }
        let first = self.hosts.values().find(|h| h.controller.is_some());
        if let Some(node) = first.map(|host| host.number) {
            self.settle(node);
        }
    }

    /// One copy everywhere, nothing to do, everything runs, nothing acknowledged is lost.
    fn at_rest(&self) -> Result<(), String> {
        let mut copies = Vec::new();
        for host in self.hosts.values() {
            let controller = host.controller.as_ref();
            let controller = controller.ok_or_else(|| format!("{} is down", host.name))?;
            if !controller.replica().is_synced() {
                return Err(format!("{} has no agreed copy", host.name));
            }
            if !host.running.is_empty() {
                return Err(format!("{} is busy", host.name));
            }
            copies.push(controller.cib());
        }
        let text = copies[0].to_text();
        if copies.iter().any(|copy| copy.to_text() != text) {
            return Err("the copies differ".to_owned());
        }
        self.acknowledged.judge(copies[0])?;
        rest::judge_copy(copies[0], self.now().wall_s)?;
        let active: Vec<(u32, &str)> = self
            .hosts
            .values()
            .flat_map(|host| {
                let active = host.agents.active.iter();
                active.map(|resource| (host.number, resource.as_str()))
            })
            .collect();
        rest::judge_active(&self.resources, &active)
    }
}

fn event_number(event: &Event) -> u64 {
    match event {
        Event::Deliver(node) => 1 << 8 | u64::from(*node),
        Event::Timer(node, _) => 2 << 8 | u64::from(*node),
        Event::Ended(node, ..) => 3 << 8 | u64::from(*node),
        Event::Monitor(node, ..) => 4 << 8 | u64::from(*node),
        Event::Stored(node, ..) => 5 << 8 | u64::from(*node),
        Event::Form(_) => 6 << 8,
        Event::Fault => 7 << 8,
        Event::Start(node) => 8 << 8 | u64::from(*node),
        Event::Fence(node, ..) => 9 << 8 | u64::from(*node),
        Event::Change => 10 << 8,
        Event::Heal => 11 << 8,
    }
}
