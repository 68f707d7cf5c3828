//! Carrying requests forward.

use super::{
    Acting, BTreeMap, BTreeSet, By, Effect, Fencer, HostCheck, Job, JobEnd, LIST_VALID_MS, Listed,
    Next, Outcome, Purpose, Running, Stage, State,
};

/// Longest complaint of a fence agent that is kept, in characters.
const COMPLAINT_CHARS_MAX: usize = 200;

/// Names that a device may list.
const NAMES_MAX: usize = 10_000;

impl Fencer {
    /// Brings every request as far as it can go now.
    pub(super) fn drive(&mut self) {
        let ids: Vec<u64> = self.flows.keys().copied().collect();
        for id in ids {
            self.begin_if_free(id);
            self.ask(id);
            self.act(id);
        }
    }

    /// The oldest request for a node goes first.
    fn begin_if_free(&mut self, id: u64) {
        let Some(flow) = self.flows.get(&id) else {
            return;
        };
        if !matches!(flow.state, State::Waiting) {
            return;
        }
        let target = &flow.request.target;
        let mut older = self.flows.range(..id);
        if older.any(|(_, other)| other.request.target == *target) {
            return;
        }
        let mut open = BTreeMap::new();
        let mut able = BTreeSet::new();
        for device in self.setup.candidates(&flow.request) {
            let listed = self.listed.get(&device.id);
            let listed = listed.filter(|listed| self.now.ms < listed.until_ms);
            let can = match (device.host_check(), listed) {
                (HostCheck::None, _) => Some(true),
                (HostCheck::Static, _) => Some(device.hosts().contains_key(target)),
                (HostCheck::Dynamic, Some(listed)) => Some(names(listed, device, target)),
                (HostCheck::Dynamic, None) | (HostCheck::Status, _) => None,
            };
            match can {
                Some(true) => {
                    able.insert(device.id.clone());
                }
                Some(false) => {}
                None => {
                    open.insert(device.id.clone(), None);
                }
            }
        }
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.state = State::Asking { open, able };
        }
    }

    /// Asks the devices that were not asked yet; goes on when all have answered.
    fn ask(&mut self, id: u64) {
        let Some((target, default_ms)) = self.flows.get(&id).map(|flow| {
            let request = &flow.request;
            (request.target.clone(), request.timeout_ms)
        }) else {
            return;
        };
        let unasked = match self.flows.get(&id).map(|flow| &flow.state) {
            Some(State::Asking { open, .. }) => {
                let unasked = open.iter().filter(|(_, call)| call.is_none());
                unasked.map(|(device, _)| device.clone()).collect()
            }
            _ => Vec::new(),
        };
        for device in unasked {
            if !self.has_place(&device) {
                continue;
            }
            let check = self.setup.devices.get(&device).map(|d| d.host_check());
            let (purpose, action) = match check {
                Some(HostCheck::Dynamic) => (Purpose::List, "list"),
                _ => (Purpose::Status, "status"),
            };
            let timeout_ms = self
                .setup
                .devices
                .get(&device)
                .map_or(default_ms, |d| d.timeout_ms(action, default_ms));
            let call = self.run(id, &device, action, purpose, &target, timeout_ms, 0);
            if let Some(State::Asking { open, .. }) = self.flows.get_mut(&id).map(|f| &mut f.state)
            {
                match call {
                    Some(call) => {
                        open.insert(device, Some(call));
                    }
                    // Nobody can ask it, so nobody can use it.
                    None => {
                        open.remove(&device);
                    }
                }
            }
        }
        self.begin_acting(id);
    }

    fn begin_acting(&mut self, id: u64) {
        let Some(flow) = self.flows.get_mut(&id) else {
            return;
        };
        let State::Asking { open, able } = &flow.state else {
            return;
        };
        if !open.is_empty() {
            return;
        }
        let levels = self.setup.levels_for(&flow.request, able);
        let mut acting = Acting::new(flow.request.action, levels);
        let Some(first) = acting.device().map(str::to_owned) else {
            let outcome = Outcome::Failed(acting.complaint);
            return self.finish(id, &outcome);
        };
        // Only the first device waits: two nodes that fence each other are apart by then.
        let own = self.setup.devices.get(&first).map_or(0, |device| {
            device.delay_ms(&flow.request.target, self.now.random)
        });
        let delay_ms = match flow.request.action {
            super::Action::On => 0,
            _ => flow.request.delay_ms.saturating_add(own),
        };
        if delay_ms > 0 {
            let until_ms = self.now.ms.saturating_add(delay_ms);
            acting.stage = Stage::Delayed { until_ms };
        }
        flow.state = State::Acting(acting);
    }

    /// Runs the device whose turn it is, if it has a place.
    fn act(&mut self, id: u64) {
        loop {
            let Some(flow) = self.flows.get_mut(&id) else {
                return;
            };
            let State::Acting(acting) = &mut flow.state else {
                return;
            };
            match acting.stage {
                Stage::Delayed { until_ms } if until_ms <= self.now.ms => {
                    acting.stage = Stage::Queued;
                }
                Stage::Delayed { .. } | Stage::Running { .. } => return,
                Stage::Queued => {}
            }
            let (Some(device), action) = (
                acting.device().map(str::to_owned),
                acting.action(flow.request.action),
            ) else {
                let outcome = Outcome::Failed(acting.complaint.clone());
                return self.finish(id, &outcome);
            };
            let target = flow.request.target.clone();
            let (tries, until, default_ms) =
                (acting.tries, acting.until_ms, flow.request.timeout_ms);
            if !self.has_place(&device) {
                return;
            }
            let whole = self
                .setup
                .devices
                .get(&device)
                .map_or(default_ms, |known| known.timeout_ms(action, default_ms));
            let until = until.unwrap_or_else(|| self.now.ms.saturating_add(whole));
            let left = until.saturating_sub(self.now.ms);
            let call = (left > 0)
                .then(|| self.run(id, &device, action, Purpose::Act, &target, left, tries))
                .flatten();
            let Some(State::Acting(acting)) = self.flows.get_mut(&id).map(|f| &mut f.state) else {
                return;
            };
            match call {
                Some(call) => {
                    acting.tries += 1;
                    acting.until_ms = Some(until);
                    acting.stage = Stage::Running { call };
                    return;
                }
                None => {
                    let why = format!("{device}: no node can run it");
                    self.step_failed(id, why);
                }
            }
        }
    }

    fn has_place(&self, device: &str) -> bool {
        let limit = self
            .setup
            .devices
            .get(device)
            .and_then(|d| d.action_limit());
        let busy = self.running.values().filter(|r| r.device == device);
        limit.is_none_or(|limit| busy.count() < limit)
    }

    /// Has an agent run; none when no node can, or the device is gone from the configuration.
    fn run(
        &mut self,
        flow: u64,
        device: &str,
        action: &str,
        purpose: Purpose,
        target: &str,
        timeout_ms: u64,
        tried: u32,
    ) -> Option<u64> {
        let known = self.setup.devices.get(device)?;
        let node = self.setup.executor(known, action, target, tried)?;
        let word = known.word(action);
        let about = (purpose != Purpose::List).then_some(target);
        let call = self.next_call;
        self.next_call += 1;
        self.effects.push_back(Effect::Run(Job {
            call,
            node: node.clone(),
            device: device.to_owned(),
            agent: known.agent.clone(),
            parameters: known.lines(&word, about),
            action: word,
            timeout_ms,
        }));
        self.running.insert(
            call,
            Running {
                flow,
                device: device.to_owned(),
                node,
                purpose,
                until_ms: self.now.ms.saturating_add(timeout_ms),
            },
        );
        Some(call)
    }

    /// Takes in a result. One that nobody waits for any more changes nothing.
    pub(super) fn ended(&mut self, call: u64, end: JobEnd) {
        let Some(running) = self.running.remove(&call) else {
            return;
        };
        match running.purpose {
            Purpose::Act => self.acted(&running, call, &end),
            purpose => self.answered(&running, purpose, &end),
        }
    }

    /// A device has said which nodes it can fence, or how one stands.
    fn answered(&mut self, running: &Running, purpose: Purpose, end: &JobEnd) {
        let Some(flow) = self.flows.get_mut(&running.flow) else {
            return;
        };
        let target = flow.request.target.clone();
        let State::Asking { open, able } = &mut flow.state else {
            return;
        };
        open.remove(&running.device);
        let can = match (purpose, end) {
            (
                Purpose::List,
                JobEnd::Exited {
                    code: 0, output, ..
                },
            ) => {
                let listed = Listed {
                    names: listed_names(output),
                    until_ms: self.now.ms.saturating_add(LIST_VALID_MS),
                };
                let device = self.setup.devices.get(&running.device);
                let can = device.is_some_and(|device| names(&listed, device, &target));
                self.listed.insert(running.device.clone(), listed);
                can
            }
            // 0: it is on; 2: it is off. Anything else is no answer about this node.
            (Purpose::Status, JobEnd::Exited { code, .. }) => matches!(code, 0 | 2),
            _ => false,
        };
        if can {
            able.insert(running.device.clone());
        } else {
            let text = format!(
                "{} cannot fence {target}: {}",
                running.device,
                complaint(end)
            );
            self.effects.push_back(Effect::Log(text));
        }
    }

    fn acted(&mut self, running: &Running, call: u64, end: &JobEnd) {
        let Some(flow) = self.flows.get_mut(&running.flow) else {
            return;
        };
        let State::Acting(acting) = &mut flow.state else {
            return;
        };
        if acting.stage != (Stage::Running { call }) {
            return;
        }
        let done = matches!(end, JobEnd::Exited { code: 0, .. });
        if done {
            if acting.succeeded() == Next::Done {
                let devices = acting.level_devices();
                self.finish(running.flow, &Outcome::Done(By::Devices(devices)));
            }
            return;
        }
        let why = format!("{}: {}", running.device, complaint(end));
        let target = &flow.request.target;
        let text = format!("fencing of {target} on {}: {why}", running.node);
        self.effects.push_back(Effect::Log(text));
        let action = acting.action(flow.request.action);
        let tries = self
            .setup
            .devices
            .get(&running.device)
            .map_or(0, |device| device.tries(action));
        let left = acting.until_ms.is_some_and(|until| self.now.ms < until);
        if acting.tries < tries && left {
            acting.stage = Stage::Queued;
            return;
        }
        self.step_failed(running.flow, why);
    }

    /// The device in place has failed for good.
    fn step_failed(&mut self, id: u64, why: String) {
        let Some(flow) = self.flows.get_mut(&id) else {
            return;
        };
        let State::Acting(acting) = &mut flow.state else {
            return;
        };
        let outcome = match acting.failed(flow.request.action, why) {
            Next::Act => return,
            Next::Done => Outcome::Done(By::Devices(acting.level_devices())),
            Next::Failed => Outcome::Failed(acting.complaint.clone()),
        };
        self.finish(id, &outcome);
    }
}

/// A device lists a node by its own name for it.
fn names(listed: &Listed, device: &super::Device, target: &str) -> bool {
    let own = device.name_of(target);
    listed
        .names
        .iter()
        .any(|name| name.eq_ignore_ascii_case(&own) || name.eq_ignore_ascii_case(target))
}

/// The names in a list: `name` or `name,alias` a line, as agents print it.
fn listed_names(output: &str) -> BTreeSet<String> {
    output
        .lines()
        .flat_map(|line| line.split([',', ' ', '\t']))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .take(NAMES_MAX)
        .collect()
}

fn complaint(end: &JobEnd) -> String {
    match end {
        JobEnd::Exited { code, error, .. } => {
            let words: String = error.trim().chars().take(COMPLAINT_CHARS_MAX).collect();
            if words.is_empty() {
                format!("exit code {code}")
            } else {
                format!("exit code {code}: {words}")
            }
        }
        JobEnd::Late => "it took too long".to_owned(),
        JobEnd::Lost(why) => why.clone(),
    }
}
