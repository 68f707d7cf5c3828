//! The executor with small shell agents.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use executor::process::Surroundings;
use executor::{Agent, CallId, Executor, Operation, Outcome, Report, Settings, Status};
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

/// Long enough for any machine; the tests wait for conditions, not for time.
const PATIENCE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(20);

struct Bench {
    dir: tempfile::TempDir,
    executor: Executor,
    reports: Receiver<Report>,
}

impl Bench {
    /// `body` runs with `$1` the action and `$D` the directory, whose file `log` it may append to.
    fn new(parallel: usize, body: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let agents = dir.path().join("agents/test");
        fs::create_dir_all(&agents).unwrap();
        let path = agents.join("agent");
        let text = format!("#!/bin/sh\nD={}\n{body}\n", dir.path().display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let (executor, reports) = Executor::new(Settings {
            around: Surroundings {
                directories: vec![dir.path().join("agents")],
                ..Surroundings::default()
            },
            parallel,
        });
        Self {
            dir,
            executor,
            reports,
        }
    }

    fn run(&mut self, call: u64, resource: &str, action: &str, interval: Duration) {
        let operation = Operation {
            resource: resource.into(),
            agent: Agent {
                class: "ocf".into(),
                provider: Some("test".into()),
                kind: "agent".into(),
            },
            action: action.into(),
            timeout: PATIENCE,
            environment: Vec::new(),
            collect: false,
        };
        self.executor
            .run(CallId(call), operation, interval)
            .unwrap();
    }

    async fn next(&mut self) -> Report {
        timeout(PATIENCE, self.reports.recv())
            .await
            .unwrap()
            .unwrap()
    }

    async fn outcome(&mut self, of: u64) -> Outcome {
        match self.next().await {
            Report::Ended { call, outcome, .. } if call == CallId(of) => outcome,
            other => panic!("waited for {of}: {other:?}"),
        }
    }

    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn until(&self, what: &str, probe: impl Fn(&Self) -> bool) {
        for _ in 0..6000 {
            if probe(self) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {:?}", self.log());
    }
}

#[tokio::test]
async fn one_resource_one_operation_at_a_time() {
    let mut bench = Bench::new(8, "echo +$1 >>$D/log; sleep 0.05; echo -$1 >>$D/log");
    for (call, action) in ["start", "monitor", "stop"].iter().enumerate() {
        bench.run(call as u64, "r", action, Duration::ZERO);
    }
    for call in 0..3 {
        assert_eq!(bench.outcome(call).await.rc, 0);
    }
    assert_eq!(
        bench.log(),
        ["+start", "-start", "+monitor", "-monitor", "+stop", "-stop"]
    );
}

#[tokio::test]
async fn a_monitor_tells_changes_only_and_never_overlaps() {
    let mut bench = Bench::new(
        8,
        "mkdir $D/busy || echo overlap >>$D/log; echo m >>$D/log; sleep 0.03; rmdir $D/busy
         test -e $D/broken && exit 7; exit 0",
    );
    bench.run(1, "r", "monitor", INTERVAL);
    assert_eq!(bench.outcome(1).await.rc, 0);
    bench.until("it recurs", |b| b.log().len() >= 5).await;
    assert!(bench.reports.try_recv().is_err(), "no news");
    fs::write(bench.dir.path().join("broken"), "").unwrap();
    assert_eq!(bench.outcome(1).await.rc, 7);
    fs::remove_file(bench.dir.path().join("broken")).unwrap();
    assert_eq!(bench.outcome(1).await.rc, 0);
    assert!(!bench.log().contains(&"overlap".to_owned()));
}

#[tokio::test]
async fn a_cancelled_monitor_does_not_come_back() {
    let mut bench = Bench::new(8, "echo m >>$D/log");
    bench.run(1, "r", "monitor", INTERVAL);
    bench.outcome(1).await;
    bench
        .executor
        .cancel(CallId(2), "r", "monitor", INTERVAL)
        .unwrap();
    assert_eq!(bench.next().await, Report::Cancelled { call: CallId(2) });
    let count = bench.log().len();
    sleep(10 * INTERVAL).await;
    assert_eq!(bench.log().len(), count);
}

#[tokio::test]
async fn a_stop_ends_a_hung_monitor_first() {
    let mut bench = Bench::new(
        8,
        "echo $1 >>$D/log; test $1 = monitor && sleep 1000; exit 0",
    );
    bench.run(1, "r", "monitor", INTERVAL);
    bench.until("it hangs", |b| b.log() == ["monitor"]).await;
    bench.run(2, "r", "stop", Duration::ZERO);
    assert_eq!(bench.outcome(2).await.rc, 0);
    assert_eq!(bench.log(), ["monitor", "stop"]);
}

#[tokio::test]
async fn places_are_limited_but_not_for_stops() {
    let mut bench = Bench::new(1, "test $1 = stop && exit 0; echo $1 >>$D/log; sleep 1000");
    bench.run(1, "a", "start", Duration::ZERO);
    bench.until("a starts", |b| b.log().len() == 1).await;
    bench.run(2, "b", "start", Duration::ZERO);
    bench.run(3, "c", "stop", Duration::ZERO);
    assert_eq!(bench.outcome(3).await.rc, 0);
    assert_eq!(bench.log().len(), 1, "b waits for a place");
    bench.executor.abort(CallId(1), "a").unwrap();
    assert_eq!(bench.outcome(1).await.status, Status::Cancelled);
    bench.until("b starts", |b| b.log().len() == 2).await;
    bench.executor.abort(CallId(2), "b").unwrap();
    assert_eq!(bench.outcome(2).await.status, Status::Cancelled);
}

#[tokio::test]
async fn what_waits_can_be_aborted_unbegun() {
    let mut bench = Bench::new(8, "echo $1 >>$D/log; sleep 1000");
    bench.run(1, "r", "start", Duration::ZERO);
    bench.run(2, "r", "promote", Duration::ZERO);
    bench.until("it starts", |b| b.log() == ["start"]).await;
    bench.executor.abort(CallId(2), "r").unwrap();
    assert_eq!(bench.outcome(2).await.exit_reason, "was not begun");
    bench.executor.abort(CallId(1), "r").unwrap();
    bench.outcome(1).await;
    assert_eq!(bench.log(), ["start"]);
}
