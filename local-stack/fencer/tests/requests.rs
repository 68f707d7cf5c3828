//! Single requests, step by step.
use fencer::{
    Action, By, Device, Effect, Facts, Fencer, Job, JobEnd, Level, Now, Outcome, Request, Settings,
    Target,
};

const TIMEOUT_MS: u64 = 60_000;

struct Bench {
    fencer: Fencer,
    now: Now,
}

fn device(id: &str, parameters: &[(&str, &str)]) -> Device {
    Device {
        id: id.into(),
        agent: "fence_x".into(),
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        facts: Facts {
            actions: ["off", "on", "reboot", "list", "status", "monitor"]
                .map(str::to_owned)
                .into(),
            host_argument: Some("plug".into()),
            ..Facts::default()
        },
        ..Device::default()
    }
}

fn level(index: u8, devices: &[&str]) -> Level {
    Level {
        target: Target::Node("n2".into()),
        index,
        devices: devices.iter().map(|d| (*d).to_owned()).collect(),
    }
}

fn exited(code: u8) -> JobEnd {
    JobEnd::Exited {
        code,
        output: String::new(),
        error: "no route".into(),
    }
}

impl Bench {
    fn new(devices: Vec<Device>, levels: Vec<Level>) -> Self {
        Self::on("n1", devices, levels)
    }

    fn on(node: &str, devices: Vec<Device>, levels: Vec<Level>) -> Self {
        let mut fencer = Fencer::new(Settings { node: node.into() });
        let now = Now::default();
        fencer.handle_members(now, ["n1", "n2", "n3"].map(str::to_owned).into());
        fencer.handle_configuration(now, devices, levels);
        Self { fencer, now }
    }

    fn ask(&mut self, id: u64, target: &str, action: Action, delay_ms: u64) {
        let request = Request {
            id,
            target: target.into(),
            action,
            timeout_ms: TIMEOUT_MS,
            delay_ms,
            origin: "n1".into(),
            attributes: Vec::new(),
        };
        self.fencer.handle_request(self.now, request);
    }

    fn effects(&mut self) -> Vec<Effect> {
        let all = std::iter::from_fn(|| self.fencer.poll_effect());
        all.filter(|effect| !matches!(effect, Effect::Log(_)))
            .collect()
    }

    fn job(&mut self) -> Job {
        match self.effects().as_slice() {
            [Effect::Run(job)] => job.clone(),
            other => panic!("one job is wanted: {other:?}"),
        }
    }

    fn ends(&mut self) -> Vec<(u64, Outcome)> {
        let ended = |effect| match effect {
            Effect::Ended {
                request, outcome, ..
            } => Some((request, outcome)),
            _ => None,
        };
        self.effects().into_iter().filter_map(ended).collect()
    }

    /// Lets a job end; what comes of it is left to be looked at.
    fn end(&mut self, job: &Job, end: JobEnd) {
        self.fencer.handle_result(self.now, job.call, end);
    }

    fn pass(&mut self, ms: u64) {
        self.now.ms += ms;
        self.fencer.handle_timeout(self.now);
    }
}

fn by(devices: &[&str]) -> Outcome {
    Outcome::Done(By::Devices(
        devices.iter().map(|d| (*d).to_owned()).collect(),
    ))
}

fn hosts() -> [(&'static str, &'static str); 1] {
    [("pcmk_host_list", "n1 n2")]
}

#[test]
fn a_device_that_fails_is_tried_again_elsewhere_and_then_given_up() {
    let mut bench = Bench::new(vec![device("a", &hosts()), device("b", &hosts())], vec![]);
    bench.ask(1, "n2", Action::Reboot, 0);
    let first = bench.job();
    assert_eq!((first.device.as_str(), first.node.as_str()), ("a", "n1"));
    bench.end(&first, exited(1));
    let second = bench.job();
    assert_eq!((second.device.as_str(), second.node.as_str()), ("a", "n3"));
    bench.end(&second, exited(1));
    let third = bench.job();
    assert_eq!(third.device, "b");
    bench.end(&third, exited(0));
    assert_eq!(bench.ends(), [(1, by(&["b"]))]);
}

#[test]
fn a_device_that_hangs_costs_its_timeout_once() {
    let own = [("pcmk_host_list", "n2"), ("pcmk_reboot_timeout", "7s")];
    let mut bench = Bench::new(vec![device("a", &own)], vec![]);
    bench.ask(1, "n2", Action::Reboot, 0);
    let job = bench.job();
    assert_eq!(job.timeout_ms, 7000);
    bench.now.ms = 7000;
    bench.end(&job, JobEnd::Late);
    let ends = bench.ends();
    assert!(
        matches!(&ends[..], [(1, Outcome::Failed(why))] if why.contains("too long")),
        "{ends:?}"
    );
}

#[test]
fn a_result_that_never_comes_is_not_awaited_for_ever() {
    let mut bench = Bench::new(vec![device("a", &hosts())], vec![]);
    bench.ask(1, "n2", Action::Off, 0);
    let job = bench.job();
    let due = bench.fencer.next_timeout().unwrap();
    assert!(due > job.timeout_ms);
    bench.pass(due);
    let ends = bench.ends();
    assert!(matches!(&ends[..], [(1, Outcome::Failed(_))]), "{ends:?}");
    bench.end(&job, exited(0));
    assert!(bench.effects().is_empty(), "a late word changes nothing");
}

#[test]
fn levels_are_tried_in_order_and_each_as_a_whole() {
    let all = ["a", "b", "c"].map(|id| device(id, &hosts())).into();
    let mut bench = Bench::new(all, vec![level(2, &["c"]), level(1, &["a", "b"])]);
    bench.ask(1, "n2", Action::Reboot, 0);
    let a = bench.job();
    assert_eq!((a.device.as_str(), a.action.as_str()), ("a", "off"));
    bench.end(&a, exited(0));
    for _ in 0..2 {
        let b = bench.job();
        assert_eq!((b.device.as_str(), b.action.as_str()), ("b", "off"));
        bench.end(&b, exited(1));
    }
    let c = bench.job();
    assert_eq!((c.device.as_str(), c.action.as_str()), ("c", "reboot"));
    bench.end(&c, exited(0));
    assert_eq!(bench.ends(), [(1, by(&["c"]))]);
}

#[test]
fn devices_are_asked_whom_they_can_fence() {
    let status = [("pcmk_host_check", "status")];
    let devices = vec![device("a", &[]), device("b", &status)];
    let mut bench = Bench::new(devices, vec![]);
    bench.ask(1, "n2", Action::Off, 0);
    let effects = bench.effects();
    let [Effect::Run(list), Effect::Run(status)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(
        (list.action.as_str(), status.action.as_str()),
        ("list", "status")
    );
    let output = "other,x\nN2,vm7\n".to_owned();
    let answer = JobEnd::Exited {
        code: 0,
        output,
        error: String::new(),
    };
    bench.end(list, answer);
    assert!(bench.effects().is_empty(), "the other has not answered");
    bench.end(status, exited(1));
    let off = bench.job();
    assert_eq!((off.device.as_str(), off.action.as_str()), ("a", "off"));
    bench.end(&off, exited(0));
    assert_eq!(bench.ends(), [(1, by(&["a"]))]);
    // The list counts for a while.
    bench.ask(2, "n2", Action::Off, 0);
    let effects = bench.effects();
    let [Effect::Run(only)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(only.action, "status");
}

#[test]
fn nobody_can_fence_it() {
    let mut bench = Bench::new(vec![device("a", &[("pcmk_host_list", "n1")])], vec![]);
    bench.ask(1, "n3", Action::Off, 0);
    let ends = bench.ends();
    assert!(matches!(&ends[..], [(1, Outcome::Failed(_))]), "{ends:?}");
}

#[test]
fn the_same_wish_is_fulfilled_once_and_another_waits() {
    let mut bench = Bench::new(vec![device("a", &hosts())], vec![]);
    bench.ask(1, "n2", Action::Reboot, 0);
    let job = bench.job();
    bench.ask(2, "n2", Action::Reboot, 0);
    bench.ask(3, "n2", Action::Off, 0);
    assert!(bench.effects().is_empty());
    bench.end(&job, exited(0));
    let effects = bench.effects();
    let [
        Effect::Ended { request: 1, .. },
        Effect::Ended { request: 2, .. },
        Effect::Run(off),
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(off.action, "off");
    assert_eq!(bench.fencer.history().len(), 2);
}

#[test]
fn two_nodes_that_fence_each_other_are_apart_by_the_delay() {
    // The device of n1 waits before it is used against n1: n1 survives.
    let own = [("pcmk_host_list", "n1 n2"), ("pcmk_delay_base", "n1:2s")];
    let mut first = Bench::on("n1", vec![device("a", &own)], vec![]);
    let mut second = Bench::on("n2", vec![device("a", &own)], vec![]);
    first
        .fencer
        .handle_members(first.now, ["n1".to_owned()].into());
    second
        .fencer
        .handle_members(second.now, ["n2".to_owned()].into());
    first.ask(1, "n2", Action::Off, 0);
    second.ask(1, "n1", Action::Off, 0);
    let job = first.job();
    assert!(second.effects().is_empty());
    assert_eq!(second.fencer.next_timeout(), Some(2000));
    first.end(&job, exited(0));
    assert_eq!(first.ends(), [(1, by(&["a"]))]);
    second.pass(2000);
    assert_eq!(second.job().action, "off", "after its delay it would act");
}

#[test]
fn a_priority_delay_is_added() {
    let own = [("pcmk_host_list", "n2"), ("pcmk_delay_base", "1s")];
    let mut bench = Bench::new(vec![device("a", &own)], vec![]);
    bench.ask(1, "n2", Action::Off, 4000);
    assert_eq!(bench.fencer.next_timeout(), Some(5000));
}

#[test]
fn a_person_or_another_fencer_ends_the_wait() {
    let mut bench = Bench::new(vec![device("a", &hosts())], vec![]);
    bench.ask(1, "n2", Action::Reboot, 0);
    let job = bench.job();
    bench.fencer.handle_confirmed(bench.now, "n2", "admin");
    let effects = bench.effects();
    assert!(
        matches!(&effects[..], [Effect::Forget { call, .. }, Effect::Ended { request: 1, .. }] if *call == job.call),
        "{effects:?}"
    );
    bench.ask(2, "n2", Action::Off, 0);
    bench.job();
    let reboot = Action::Reboot;
    bench.fencer.handle_noticed(bench.now, "n2", reboot, "n3");
    assert!(bench.effects().is_empty(), "it may be on again");
    bench
        .fencer
        .handle_noticed(bench.now, "n2", Action::Off, "n3");
    assert_eq!(bench.ends(), [(2, Outcome::Done(By::Other("n3".into())))]);
}

#[test]
fn unfencing_uses_every_device_that_unfences_and_runs_where_it_must() {
    let mut a = device("a", &hosts());
    a.facts.unfences = true;
    a.facts.on_target.insert("on".into());
    let mut b = device("b", &hosts());
    b.parameters.insert("provides".into(), "unfencing".into());
    let plain = device("c", &hosts());
    let mut bench = Bench::new(vec![a, b, plain], vec![]);
    bench.ask(1, "n2", Action::On, 5000);
    let first = bench.job();
    assert_eq!((first.device.as_str(), first.node.as_str()), ("a", "n2"));
    bench.end(&first, exited(0));
    let second = bench.job();
    assert_eq!(second.device, "b");
    assert_ne!(second.node, "n2");
    bench.end(&second, exited(0));
    assert_eq!(bench.ends(), [(1, by(&["a", "b"]))]);
}

#[test]
fn a_node_that_is_alone_may_run_its_own_device() {
    let mut bench = Bench::new(vec![device("a", &hosts())], vec![]);
    bench
        .fencer
        .handle_members(bench.now, ["n1".to_owned()].into());
    bench.ask(1, "n1", Action::Off, 0);
    assert_eq!(bench.job().node, "n1");
}
