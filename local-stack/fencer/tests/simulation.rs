//! The fencer in a small world: devices that fail, hang, list wrongly or never answer, nodes that come
//! and go, requests at any time. What it says is judged by what the devices reported.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::collections::{BTreeMap, BTreeSet};

use fencer::{
    Action, By, Device, Effect, Facts, Fencer, Job, JobEnd, Level, Now, Outcome, Request, Settings,
    Target,
};

const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];
const DEVICES: [&str; 4] = ["d1", "d2", "d3", "d4"];
const TIMEOUT_MS: u64 = 20_000;

/// Requests come in the first part of a run; in the rest of it everything has to end.
const BUSY_MS: u64 = 600_000;
const RUN_MS: u64 = 3_600_000;

/// A small generator: the same seed is the same run (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let place = usize::try_from(self.below(list.len() as u64)).unwrap();
        list[place]
    }
}

/// What a device reported.
struct Report {
    device: String,
    word: String,
    target: Option<String>,
    at_ms: u64,
}

struct World {
    random: Random,
    fencer: Fencer,
    now: Now,
    members: BTreeSet<String>,
    running: BTreeMap<u64, (Job, u64, Option<JobEnd>)>,
    reports: Vec<Report>,
    /// When each request was made, for whom, for what.
    asked: BTreeMap<u64, (u64, String, Action)>,
    /// Who was said to be down by a person or another fencer, and when.
    told: Vec<(u64, String, Action)>,
    ended: BTreeMap<u64, (Outcome, u64)>,
    trace: Vec<String>,
}

fn device(random: &mut Random, id: &str) -> Device {
    let mut device = Device {
        id: id.into(),
        agent: "fence_x".into(),
        facts: Facts {
            actions: ["off", "on", "list", "status", "monitor"]
                .map(str::to_owned)
                .into(),
            host_argument: Some("plug".into()),
            ..Facts::default()
        },
        ..Device::default()
    };
    if random.below(2) == 0 {
        device.facts.actions.insert("reboot".into());
    }
    let mut set = |name: &str, value: &str| {
        device.parameters.insert(name.into(), value.into());
    };
    match random.below(4) {
        0 => set("pcmk_host_list", "n1 n2 n3"),
        1 => set("pcmk_host_map", "n1:1;n2:2;n4:4"),
        2 => set("pcmk_host_check", "status"),
        _ => {}
    }
    if random.below(3) == 0 {
        set("pcmk_delay_max", "5s");
    }
    if random.below(3) == 0 {
        set("pcmk_off_retries", "4");
    }
    if random.below(4) == 0 {
        device.banned.insert(random.one(&NODES).into());
    }
    device
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut fencer = Fencer::new(Settings { node: "n1".into() });
        let devices = DEVICES.map(|id| device(&mut random, id)).into();
        let mut levels = Vec::new();
        if random.below(2) == 0 {
            for (index, devices) in [(1, &["d1", "d2"][..]), (2, &["d3"])] {
                levels.push(Level {
                    target: Target::Node("n2".into()),
                    index,
                    devices: devices.iter().map(|d| (*d).to_owned()).collect(),
                });
            }
        }
        let members: BTreeSet<String> = NODES.map(str::to_owned).into();
        fencer.handle_members(Now::default(), members.clone());
        fencer.handle_configuration(Now::default(), devices, levels);
        Self {
            random,
            fencer,
            now: Now::default(),
            members,
            running: BTreeMap::new(),
            reports: Vec::new(),
            asked: BTreeMap::new(),
            told: Vec::new(),
            ended: BTreeMap::new(),
            trace: Vec::new(),
        }
    }

    fn run(mut self) -> Self {
        while self.now.ms < RUN_MS {
            self.perform();
            self.step();
        }
        self
    }

    fn step(&mut self) {
        let results = self.running.values().map(|(_, at, _)| *at);
        let next = results.chain(self.fencer.next_timeout()).min();
        let busy = self.now.ms < BUSY_MS;
        let wish = busy.then(|| self.now.ms + 1 + self.random.below(8000));
        let at = next.into_iter().chain(wish).min().unwrap_or(RUN_MS);
        self.now.ms = at.max(self.now.ms + u64::from(next.is_none()));
        self.now.random = self.random.next();
        let due =
            |(call, (_, at, _)): (&u64, &(Job, u64, _))| (*at <= self.now.ms).then_some(*call);
        if let Some(call) = self.running.iter().find_map(due) {
            return self.result(call);
        }
        if wish == Some(at) {
            self.wish();
        }
        self.fencer.handle_timeout(self.now);
    }

    fn result(&mut self, call: u64) {
        let (job, _, end) = self.running.remove(&call).unwrap();
        let Some(end) = end else {
            // Its node never says anything.
            return;
        };
        if matches!(end, JobEnd::Exited { code: 0, .. }) {
            let line = |name: &str| {
                let found = job.parameters.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            };
            self.reports.push(Report {
                device: job.device,
                word: job.action,
                target: line("nodename"),
                at_ms: self.now.ms,
            });
        }
        self.fencer.handle_result(self.now, call, end);
    }

    fn wish(&mut self) {
        let target = self.random.one(&NODES).to_owned();
        match self.random.below(12) {
            0 => {
                self.told.push((self.now.ms, target.clone(), Action::Off));
                self.fencer.handle_confirmed(self.now, &target, "admin");
            }
            1 => {
                self.told
                    .push((self.now.ms, target.clone(), Action::Reboot));
                let action = Action::Reboot;
                self.fencer.handle_noticed(self.now, &target, action, "n3");
            }
            2..=4 => {
                if !self.members.remove(&target) || self.members.is_empty() {
                    self.members.insert(target);
                }
                // What ran on a node that left may go on, but nobody hears of it.
                let heard = &self.members;
                self.running
                    .retain(|_, (job, ..)| heard.contains(&job.node));
                self.fencer.handle_members(self.now, self.members.clone());
            }
            _ => {
                let id = self.asked.len() as u64 + 1;
                let action = match self.random.below(8) {
                    0 => Action::On,
                    1..=3 => Action::Off,
                    _ => Action::Reboot,
                };
                self.asked.insert(id, (self.now.ms, target.clone(), action));
                let delay_ms = self.random.below(2) * self.random.below(3000);
                self.fencer.handle_request(
                    self.now,
                    Request {
                        id,
                        target,
                        action,
                        timeout_ms: TIMEOUT_MS,
                        delay_ms,
                        origin: "test".into(),
                        attributes: Vec::new(),
                    },
                );
            }
        }
    }

    fn perform(&mut self) {
        while let Some(effect) = self.fencer.poll_effect() {
            self.trace.push(format!("{} {effect:?}", self.now.ms));
            match effect {
                Effect::Run(job) => self.begin(job),
                Effect::Forget { call, .. } => {
                    self.running.remove(&call);
                }
                Effect::Ended {
                    request, outcome, ..
                } => self.judge(request, outcome),
                Effect::Log(_) => {}
            }
        }
    }

    fn begin(&mut self, job: Job) {
        assert!(self.members.contains(&job.node), "{job:?}: no member");
        let about = job.parameters.iter().find(|(name, _)| name == "nodename");
        if let Some((_, target)) = about {
            let alone = self.members.len() == 1;
            assert!(alone || job.node != *target, "{job:?}: by the target");
        }
        let same = self
            .running
            .values()
            .filter(|(r, ..)| r.device == job.device);
        assert_eq!(same.count(), 0, "{job:?}: beside another of the device");
        let soon = self.now.ms + self.random.below(3000);
        let exited = |code, output: &str| JobEnd::Exited {
            code,
            output: output.into(),
            error: String::new(),
        };
        let lists = ["n1,a\nn2,b\nn3\nn4\n", "n1 n4", "\u{fffd}{[", ""];
        let (at, end) = match self.random.below(10) {
            0 => (self.now.ms + job.timeout_ms, Some(JobEnd::Late)),
            1 => (soon, Some(JobEnd::Lost("gone".into()))),
            2 => (soon, None),
            3 => (soon, Some(exited(1, "boom"))),
            4 => (soon, Some(exited(2, ""))),
            _ => (soon, Some(exited(0, self.random.one(&lists)))),
        };
        self.running.insert(job.call, (job, at, end));
    }

    /// Nothing is confirmed that no device reported.
    fn judge(&mut self, request: u64, outcome: Outcome) {
        let (since, target, action) = self.asked[&request].clone();
        let fulfils = |word: &str| match action {
            Action::On => word == "on",
            Action::Off | Action::Reboot => matches!(word, "off" | "reboot"),
        };
        match &outcome {
            Outcome::Done(By::Devices(devices)) => {
                assert!(!devices.is_empty());
                for device in devices {
                    // One that joined a request under way may be served by an earlier report; the
                    // merged request's own start is what counts then.
                    let since = self.first_of(&target, action, since);
                    let reported = self.reports.iter().any(|report| {
                        report.device == *device
                            && report.target.as_deref() == Some(&target)
                            && fulfils(&report.word)
                            && report.at_ms >= since
                    });
                    assert!(reported, "request {request}: {device} reported nothing");
                }
            }
            Outcome::Done(_) => {
                let told = self.told.iter().any(|(at, about, what)| {
                    *at >= since
                        && *about == target
                        && (*what == action || action == Action::Reboot)
                });
                assert!(told, "request {request}: nobody said so");
            }
            Outcome::Failed(why) => assert!(!why.is_empty()),
        }
        let before = self.ended.insert(request, (outcome, self.now.ms));
        assert!(before.is_none(), "request {request} ended twice");
    }

    /// When the request was made that this one joined: the oldest like it that is open, or ended with it.
    fn first_of(&self, target: &str, action: Action, since: u64) -> u64 {
        let open = self.asked.iter().filter(|(id, (_, about, what))| {
            let ended = self.ended.get(id);
            let with_it = ended.is_none_or(|(_, at)| *at == self.now.ms);
            with_it && about == target && *what == action
        });
        open.map(|(_, (at, ..))| *at)
            .min()
            .unwrap_or(since)
            .min(since)
    }
}

#[test]
fn nothing_is_confirmed_that_no_device_reported_and_everything_ends() {
    let mut ends = BTreeMap::new();
    for seed in 0..300 {
        let world = World::new(seed).run();
        for (id, asked) in &world.asked {
            let outcome = world.ended.get(id);
            let outcome = outcome.unwrap_or_else(|| panic!("seed {seed}: {id} {asked:?} hangs"));
            let kind = match &outcome.0 {
                Outcome::Done(By::Devices(_)) => "devices",
                Outcome::Done(By::Person(_)) => "person",
                Outcome::Done(By::Other(_)) => "other",
                Outcome::Failed(_) => "failed",
            };
            *ends.entry(kind).or_insert(0_u32) += 1;
        }
        assert!(world.fencer.next_timeout().is_none(), "seed {seed}");
    }
    for kind in ["devices", "person", "other", "failed"] {
        assert!(ends.get(kind).is_some_and(|count| *count > 50), "{ends:?}");
    }
}

#[test]
fn one_seed_is_one_run() {
    assert_eq!(World::new(7).run().trace, World::new(7).run().trace);
}
