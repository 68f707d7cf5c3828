//! The fencer's inputs and effects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::config::{Device, HostCheck, Level};
use crate::plan::Setup;
use crate::request::{Acting, Flow, Next, Stage, State};
use crate::types::{Action, By, Effect, Entry, Job, JobEnd, Members, Now, Outcome, Request};

mod drive;

/// Entries of the history that are kept.
const HISTORY_MAX: usize = 500;

/// Requests under way at once; more than any cluster has nodes.
const FLOWS_MAX: usize = 1024;

/// How long a device's own list of nodes counts.
const LIST_VALID_MS: u64 = 60_000;

/// After a job's time, how long its result may still come: whoever runs it ends it at its time.
const RESULT_GRACE_MS: u64 = 10_000;

/// How a fencer is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its node, which runs fence agents rather than others where it may.
    pub node: String,
}

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    List,
    Status,
    Act,
}

/// A fence agent that runs.
#[derive(Debug)]
struct Running {
    flow: u64,
    device: String,
    node: String,
    purpose: Purpose,
    until_ms: u64,
}

/// Which nodes a device has listed.
#[derive(Debug)]
struct Listed {
    names: BTreeSet<String>,
    until_ms: u64,
}

/// The fencer of a site.
#[derive(Debug)]
pub struct Fencer {
    setup: Setup,
    flows: BTreeMap<u64, Flow>,
    running: BTreeMap<u64, Running>,
    listed: BTreeMap<String, Listed>,
    history: VecDeque<Entry>,
    next_call: u64,
    now: Now,
    effects: VecDeque<Effect>,
}

impl Fencer {
    /// A fencer without devices.
    pub fn new(settings: Settings) -> Self {
        Self {
            setup: Setup {
                members: Members::from([settings.node.clone()]),
                node: settings.node,
                ..Setup::default()
            },
            flows: BTreeMap::new(),
            running: BTreeMap::new(),
            listed: BTreeMap::new(),
            history: VecDeque::new(),
            next_call: 1,
            now: Now::default(),
            effects: VecDeque::new(),
        }
    }

    /// The devices and levels that are configured now. Requests under way go on with what they know.
    pub fn handle_configuration(&mut self, now: Now, devices: Vec<Device>, levels: Vec<Level>) {
        self.now = now;
        let devices = devices.into_iter().map(|d| (d.id.clone(), d)).collect();
        self.listed
            .retain(|id, _| same(&self.setup.devices, &devices, id));
        self.setup.devices = devices;
        self.setup.levels = levels;
        self.drive();
    }

    /// A device was started (it has been seen to work on this node), or was stopped.
    pub fn handle_started(&mut self, now: Now, device: &str, node: Option<String>) {
        self.now = now;
        if let Some(device) = self.setup.devices.get_mut(device) {
            device.started_on = node;
        }
        self.drive();
    }

    /// Who can run fence agents now. What ran on a node that is gone is lost.
    pub fn handle_members(&mut self, now: Now, members: Members) {
        self.now = now;
        self.setup.members = members;
        let gone = |running: &Running| !self.setup.members.contains(&running.node);
        let lost: Vec<(u64, String)> = self
            .running
            .iter()
            .filter(|(_, running)| gone(running))
            .map(|(call, running)| (*call, running.node.clone()))
            .collect();
        for (call, node) in lost {
            self.ended(call, JobEnd::Lost(format!("node {node} left")));
        }
        self.drive();
    }

    /// A node is to be fenced. A request that equals one under way shares its end.
    pub fn handle_request(&mut self, now: Now, request: Request) {
        self.now = now;
        let same = self.flows.values_mut().find(|flow| {
            flow.request.target == request.target && flow.request.action == request.action
        });
        if let Some(flow) = same {
            flow.also.push(request.id);
            return;
        }
        if self.flows.len() >= FLOWS_MAX {
            self.effects.push_back(Effect::Ended {
                request: request.id,
                target: request.target,
                action: request.action,
                outcome: Outcome::Failed("too many requests are under way".to_owned()),
            });
            return;
        }
        let flow = Flow {
            also: Vec::new(),
            state: State::Waiting,
            begun_s: now.wall_s,
            request,
        };
        self.flows.insert(flow.request.id, flow);
        self.drive();
    }

    /// A fence agent ended.
    pub fn handle_result(&mut self, now: Now, call: u64, end: JobEnd) {
        self.now = now;
        self.ended(call, end);
        self.drive();
    }

    /// A person says that a node is down (and will not come back by itself).
    pub fn handle_confirmed(&mut self, now: Now, target: &str, who: &str) {
        self.now = now;
        self.settle(target, Action::Off, &By::Person(who.to_owned()));
        self.drive();
    }

    /// Another fencer says that it has fenced a node.
    pub fn handle_noticed(&mut self, now: Now, target: &str, action: Action, other: &str) {
        self.now = now;
        self.settle(target, action, &By::Other(other.to_owned()));
        self.drive();
    }

    /// Time has come; see [`Fencer::next_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        let late = |running: &Running| now.ms >= running.until_ms + RESULT_GRACE_MS;
        let late: Vec<u64> = self
            .running
            .iter()
            .filter(|(_, running)| late(running))
            .map(|(call, _)| *call)
            .collect();
        for call in late {
            self.ended(call, JobEnd::Lost("no result came".to_owned()));
        }
        self.drive();
    }

    /// When [`Fencer::handle_timeout`] must be called, on the clock of [`Now::ms`].
    pub fn next_timeout(&self) -> Option<u64> {
        let jobs = self.running.values().map(|r| r.until_ms + RESULT_GRACE_MS);
        let delays = self.flows.values().filter_map(|flow| match &flow.state {
            State::Acting(Acting {
                stage: Stage::Delayed { until_ms },
                ..
            }) => Some(*until_ms),
            _ => None,
        });
        jobs.chain(delays).min()
    }

    /// What to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What was done and what is under way, oldest first.
    pub fn history(&self) -> Vec<Entry> {
        let under_way = self.flows.values().map(|flow| Entry {
            target: flow.request.target.clone(),
            action: flow.request.action,
            origin: flow.request.origin.clone(),
            outcome: None,
            begun_s: flow.begun_s,
            ended_s: None,
        });
        self.history.iter().cloned().chain(under_way).collect()
    }

    /// Forgets what is done, about one node or all.
    pub fn clear_history(&mut self, target: Option<&str>) {
        self.history
            .retain(|entry| target.is_some_and(|target| target != entry.target));
    }

    /// The devices known, by name.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.setup.devices.values()
    }

    /// Ends every request that is fulfilled by what happened to its node, and remembers the event.
    fn settle(&mut self, target: &str, action: Action, by: &By) {
        let fulfils = |wished: Action| {
            wished == action || (action == Action::Off && wished == Action::Reboot)
        };
        let mine: Vec<u64> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.request.target == target && fulfils(flow.request.action))
            .map(|(id, _)| *id)
            .collect();
        if mine.is_empty() {
            self.remember(Entry {
                target: target.to_owned(),
                action,
                origin: match by {
                    By::Person(who) | By::Other(who) => who.clone(),
                    By::Devices(_) => String::new(),
                },
                outcome: Some(Outcome::Done(by.clone())),
                begun_s: self.now.wall_s,
                ended_s: Some(self.now.wall_s),
            });
        }
        for id in mine {
            self.finish(id, &Outcome::Done(by.clone()));
        }
    }

    /// A request ended: everybody who wished it is told, and what still runs for it is forgotten.
    fn finish(&mut self, id: u64, outcome: &Outcome) {
        let Some(flow) = self.flows.remove(&id) else {
            return;
        };
        let mine: Vec<u64> = self
            .running
            .iter()
            .filter(|(_, running)| running.flow == id)
            .map(|(call, _)| *call)
            .collect();
        for call in mine {
            if let Some(running) = self.running.remove(&call) {
                let node = running.node;
                self.effects.push_back(Effect::Forget { call, node });
            }
        }
        let Request {
            target,
            action,
            origin,
            ..
        } = flow.request;
        for request in std::iter::once(id).chain(flow.also) {
            self.effects.push_back(Effect::Ended {
                request,
                target: target.clone(),
                action,
                outcome: outcome.clone(),
            });
        }
        self.remember(Entry {
            target,
            action,
            origin,
            outcome: Some(outcome.clone()),
            begun_s: flow.begun_s,
            ended_s: Some(self.now.wall_s),
        });
    }

    fn remember(&mut self, entry: Entry) {
        if self.history.len() >= HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(entry);
    }
}

/// A device is what it was, so that its list still counts.
fn same(old: &BTreeMap<String, Device>, new: &BTreeMap<String, Device>, id: &str) -> bool {
    let parameters = |all: &BTreeMap<String, Device>| all.get(id).map(|d| d.parameters.clone());
    parameters(old) == parameters(new)
}
