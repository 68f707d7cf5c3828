//! The guard's binary with real processes, unprivileged.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use stack_api::clock::machine_now_ns;
use stack_api::guard::{Answer, Arm, Deadline, Do, Hold, Holding, Protection, State};
use stack_api::{Client, ClientError, ErrorCode};

/// Long enough for any machine; the tests wait for conditions, not for time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Deadlines in this file: far enough that a slow machine arms in time, near enough to wait for.
const SHORT_NS: u64 = 1_500_000_000;
const FAR_NS: u64 = 3_600_000_000_000;

struct Guard {
    child: Child,
    socket: PathBuf,
}

impl Guard {
    fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    fn start_with(dir: &Path, options: &[&str]) -> Self {
        let socket = dir.join("guard.sock");
        let child = Command::new(env!("CARGO_BIN_EXE_guard"))
            .arg("--socket")
            .arg(&socket)
            .arg("--state")
            .arg(dir.join("state"))
            .args(options)
            .spawn()
            .unwrap();
        let guard = Self { child, socket };
        until("the guard answers", || {
            Client::connect(&guard.socket, PATIENCE).ok()
        });
        guard
    }

    fn ask(&self, request: Do) -> Result<Answer, ClientError> {
        Client::connect(&self.socket, PATIENCE)?.guard(request)
    }

    fn arm(&self, term: u64, after_ns: u64, marker: &str) -> Result<Answer, ClientError> {
        self.ask(Do::Arm(arming(term, after_ns, marker)))
    }

    fn state(&self) -> State {
        match self.ask(Do::Query).unwrap() {
            Answer::State(state) => state,
            other => panic!("{other:?}"),
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

fn arming(term: u64, after_ns: u64, marker: &str) -> Arm {
    Arm {
        ticket: "db".into(),
        term,
        deadline_ns: machine_now_ns() + after_ns,
        stop_budget_ns: 1_000_000,
        marker: marker.to_owned(),
        reset: false,
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn marker(name: &str) -> String {
    format!("{name}-{}-{}", std::process::id(), machine_now_ns())
}

/// A service: ignores SIGTERM and has a child in a session of its own.
fn service(marker: &str) -> Child {
    Command::new("/bin/sh")
        .args([
            "-c",
            "trap '' TERM; setsid sleep 1000 & while :; do sleep 1; done",
        ])
        .env("INTERLOCK_GUARD", marker)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn carriers(marker: &str) -> usize {
    guard::processes::Tracker::default().scan([marker]).unwrap()[marker].len()
}

fn holding(term: u64) -> Holding {
    Holding {
        ticket: "db".into(),
        term,
    }
}

#[test]
fn what_runs_past_its_lease_is_ended_and_the_term_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let guard = Guard::start(dir.path());
    let marker = marker("lease");
    let armed = guard.arm(5, SHORT_NS, &marker).unwrap();
    let Answer::Armed { deadline_ns } = armed else {
        panic!("{armed:?}");
    };
    let mut service = service(&marker);
    service.wait().unwrap();
    assert!(machine_now_ns() >= deadline_ns, "ended before its deadline");
    until("the child in its own session is ended", || {
        (carriers(&marker) == 0).then_some(())
    });
    until("disarmed", || (!guard.state().held[0].armed).then_some(()));
    assert!(guard.state().held[0].over);
    let late = guard.ask(Do::Deadline(Deadline {
        ticket: "db".into(),
        term: 5,
        deadline_ns: machine_now_ns() + FAR_NS,
    }));
    assert!(matches!(late, Err(ClientError::Refused(body)) if body.code == ErrorCode::Unsafe));
}

#[test]
fn a_renewed_lease_keeps_running_and_a_stale_term_extends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let guard = Guard::start(dir.path());
    let marker = marker("renewed");
    guard.arm(5, SHORT_NS, &marker).unwrap();
    let mut service = service(&marker);
    let renew = |term| {
        let deadline_ns = machine_now_ns() + FAR_NS;
        guard.ask(Do::Deadline(Deadline {
            ticket: "db".into(),
            term,
            deadline_ns,
        }))
    };
    renew(5).unwrap();
    assert!(renew(4).is_err(), "a stale term");
    std::thread::sleep(Duration::from_nanos(SHORT_NS));
    assert!(
        service.try_wait().unwrap().is_none(),
        "ended although renewed"
    );
    let answer = guard.ask(Do::Disarm(holding(5))).unwrap();
    assert!(
        matches!(answer, Answer::Disarmed { killed: 2.. }),
        "{answer:?}"
    );
    service.wait().unwrap();
}

#[test]
fn a_hold_agreed_elsewhere_keeps_the_deadline_from_acting() {
    let dir = tempfile::tempdir().unwrap();
    let guard = Guard::start(dir.path());
    let marker = marker("hold");
    guard.arm(5, SHORT_NS, &marker).unwrap();
    guard
        .ask(Do::Hold(Hold {
            ticket: "db".into(),
            term: 5,
            on: true,
        }))
        .unwrap();
    let mut service = service(&marker);
    std::thread::sleep(Duration::from_nanos(SHORT_NS + 500_000_000));
    assert!(service.try_wait().unwrap().is_none());
    guard
        .ask(Do::Hold(Hold {
            ticket: "db".into(),
            term: 5,
            on: false,
        }))
        .unwrap();
    service.wait().unwrap();
}

#[test]
fn told_to_end_while_armed_it_kills_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut guard = Guard::start(dir.path());
    let marker = marker("term");
    guard.arm(5, FAR_NS, &marker).unwrap();
    let mut service = service(&marker);
    until("both run", || (carriers(&marker) >= 2).then_some(()));
    guard.signal(Signal::TERM);
    assert!(guard.child.wait().unwrap().success());
    service.wait().unwrap();
    assert_eq!(carriers(&marker), 0);
}

#[test]
fn killed_and_started_again_it_ends_what_nobody_vouches_for() {
    let dir = tempfile::tempdir().unwrap();
    let marker = marker("restart");
    let mut service = {
        let guard = Guard::start(dir.path());
        guard.arm(5, SHORT_NS, &marker).unwrap();
        let service = service(&marker);
        guard.signal(Signal::KILL);
        service
    };
    let guard = Guard::start(dir.path());
    service.wait().unwrap();
    until("disarmed", || (!guard.state().held[0].armed).then_some(()));
}

/// This machine's own devices would reset it: files stand in for them.
#[test]
fn what_has_no_process_is_ended_with_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["sysrq-trigger", "watchdog"] {
        std::fs::write(path(name), "").unwrap();
    }
    let written = |name: &str| std::fs::read(path(name)).unwrap();
    let files = ["sysrq-trigger", "watchdog"].map(|name| path(name).display().to_string());
    let [sysrq, watchdog] = files.each_ref().map(String::as_str);
    let options = ["--reset", "sysrq", "--sysrq", sysrq, "--watchdog", watchdog];
    let guard = Guard::start_with(dir.path(), &options);
    let state = guard.state();
    assert!(state.can_reset);
    assert_eq!(state.protection, Protection::Watchdog);
    until("the watchdog is fed again and again", || {
        (written("watchdog").len() >= 2).then_some(())
    });
    let mut arm = arming(5, FAR_NS, &marker("address"));
    arm.reset = true;
    guard.ask(Do::Arm(arm)).unwrap();
    assert_eq!(written("sysrq-trigger"), b"", "armed is not over");
    guard.ask(Do::Fire(holding(5))).unwrap();
    until("the kernel is told to reset", || {
        (written("sysrq-trigger") == b"b").then_some(())
    });
    // The reset did not come: the watchdog is left to bite.
    let fed = written("watchdog").len();
    until("the guard has slept through a feed", || {
        (guard.state().now_ns > state.now_ns + 8_000_000_000).then_some(())
    });
    assert_eq!(written("watchdog").len(), fed);
}

#[test]
fn in_peace_the_watchdog_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let device = dir.path().join("watchdog");
    std::fs::write(&device, "").unwrap();
    let mut guard = Guard::start_with(dir.path(), &["--watchdog", &device.display().to_string()]);
    guard.signal(Signal::TERM);
    assert!(guard.child.wait().unwrap().success());
    let written = std::fs::read(&device).unwrap();
    assert_eq!(written.last(), Some(&b'V'), "the magic close");
}

#[test]
fn what_would_not_be_found_again_is_not_armed() {
    let dir = tempfile::tempdir().unwrap();
    let guard = Guard::start(dir.path());
    // As on a full disk: what is armed cannot be written down.
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    let refused = guard.arm(5, FAR_NS, &marker("disk"));
    let Err(ClientError::Refused(body)) = &refused else {
        panic!("{refused:?}");
    };
    assert!(body.message.contains("not armed"), "{body:?}");
    assert!(guard.state().held.iter().all(|held| !held.armed));
}

#[test]
fn garbage_is_answered_and_a_second_guard_refused() {
    use std::io::{BufRead, BufReader, Write};
    let dir = tempfile::tempdir().unwrap();
    let guard = Guard::start(dir.path());
    let mut stream = std::os::unix::net::UnixStream::connect(&guard.socket).unwrap();
    stream
        .write_all(b"what?\n{\"id\":2,\"do\":\"query\"}\n")
        .unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"code\":64"));
    assert!(
        lines
            .next()
            .unwrap()
            .unwrap()
            .contains("\"protection\":\"process\"")
    );
    let second = Command::new(env!("CARGO_BIN_EXE_guard"))
        .arg("--socket")
        .arg(&guard.socket)
        .output()
        .unwrap();
    assert!(!second.status.success());
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains("another guard answers there"), "{told}");
}
