use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// Long enough for any machine; no test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Agents {
    dir: tempfile::TempDir,
}

impl Agents {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("test")).unwrap();
        Self { dir }
    }

    fn write(&self, kind: &str, mode: u32, text: &str) -> PathBuf {
        let path = self.dir.path().join("test").join(kind);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn script(&self, body: &str) {
        self.write("agent", 0o755, &format!("#!/bin/sh\n{body}\n"));
    }

    fn operation(&self, kind: &str) -> Operation {
        Operation {
            resource: "r".into(),
            agent: Agent {
                class: "ocf".into(),
                provider: Some("test".into()),
                kind: kind.into(),
            },
            action: "monitor".into(),
            timeout: PATIENCE,
            environment: vec![("OCF_RESKEY_x".into(), "value of x".into())],
            collect: false,
        }
    }

    fn around(&self) -> Surroundings {
        Surroundings {
            directories: vec![self.dir.path().to_owned()],
            ..Surroundings::default()
        }
    }

    async fn run(&self, operation: &Operation) -> Outcome {
        let (_keep, cancel) = oneshot::channel();
        run(operation, &self.around(), cancel).await
    }
}

#[tokio::test]
async fn exit_code_reason_and_environment() {
    let agents = Agents::new();
    agents.script(
        "echo \"$OCF_RESKEY_x in $PWD, $1\"; echo junk >&2
         echo ocf-exit-reason:first >&2; echo ocf-exit-reason: it is broken >&2; exit 7",
    );
    let outcome = agents.run(&agents.operation("agent")).await;
    assert_eq!((outcome.status, outcome.rc), (Status::Complete, 7));
    assert_eq!(outcome.exit_reason, "it is broken");
    assert_eq!(outcome.output, "value of x in /, monitor\n");
}

#[tokio::test]
async fn only_three_descriptors_an_own_group_and_default_sigpipe() {
    let inherited = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    crate::descriptors::seal().unwrap();
    let agents = Agents::new();
    agents.script(
        "echo group $(ps -o pgid= -p $$) self $$
         ls -l /proc/self/fd
         grep SigIgn /proc/$$/status",
    );
    let outcome = agents.run(&agents.operation("agent")).await;
    let words: Vec<&str> = outcome.output.split_whitespace().collect();
    if words[1] != "self" {
        assert_eq!(words[1], words[3], "{}", outcome.output);
    }
    let nulls = outcome
        .output
        .lines()
        .filter(|line| line.ends_with("-> /dev/null"));
    assert_eq!(nulls.count(), 1, "standard input only: {}", outcome.output);
    let ignored = outcome
        .output
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    assert_eq!(ignored & (1 << 12), 0, "SIGPIPE is 13");
}

#[tokio::test]
async fn missing_not_executable_and_not_a_program() {
    let agents = Agents::new();
    let gone = agents.run(&agents.operation("gone")).await;
    assert_eq!(
        (gone.status, gone.rc),
        (Status::NotInstalled, rc::NOT_INSTALLED)
    );
    assert!(
        gone.exit_reason.contains("ocf:test:gone is not installed"),
        "{}",
        gone.exit_reason
    );

    agents.write("plain", 0o644, "#!/bin/sh\n");
    let plain = agents.run(&agents.operation("plain")).await;
    assert_eq!(
        (plain.status, plain.rc),
        (Status::Error, rc::INSUFFICIENT_PRIVILEGES)
    );
    assert!(
        plain.exit_reason.contains("not executable"),
        "{}",
        plain.exit_reason
    );

    agents.write("lost", 0o755, "#!/no/such/interpreter\n");
    let lost = agents.run(&agents.operation("lost")).await;
    assert_eq!(
        (lost.status, lost.rc),
        (Status::NotInstalled, rc::NOT_INSTALLED)
    );
}

#[tokio::test]
async fn garbage_is_kept_within_bounds_and_harmless() {
    let agents = Agents::new();
    agents.script("head -c 5000000 /dev/urandom; head -c 3000000 /dev/urandom >&2; kill -9 $$");
    let outcome = agents.run(&agents.operation("agent")).await;
    assert_eq!((outcome.status, outcome.rc), (Status::Error, rc::ERROR));
    assert!(outcome.output.len() < 4 << 20);
    assert!(
        outcome.exit_reason.contains("signal 9"),
        "{}",
        outcome.exit_reason
    );
}

#[tokio::test]
async fn a_daemon_that_keeps_the_pipes_open_is_not_waited_for() {
    let agents = Agents::new();
    agents.script("sleep 1000 & echo $!");
    let outcome = agents.run(&agents.operation("agent")).await;
    assert_eq!((outcome.status, outcome.rc), (Status::Complete, 0));
    let daemon = Pid::from_raw(outcome.output.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(daemon, Signal::KILL).expect("left running");
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group() {
    let agents = Agents::new();
    let pids = agents.dir.path().join("pids");
    agents.script(&format!(
        "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $! > {}; wait; wait",
        pids.display()
    ));
    let mut operation = agents.operation("agent");
    operation.timeout = Duration::from_millis(700);
    let outcome = agents.run(&operation).await;
    assert_eq!((outcome.status, outcome.rc), (Status::Timeout, rc::ERROR));
    assert!(
        outcome.exit_reason.contains("within 700 ms"),
        "{}",
        outcome.exit_reason
    );
    let child = fs::read_to_string(pids).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    assert!(
        stat.is_err() || stat.unwrap().contains(") Z "),
        "the child is still there"
    );
}

#[tokio::test]
async fn a_request_ends_it() {
    let agents = Agents::new();
    agents.script("sleep 1000");
    let (cancel, cancelled) = oneshot::channel();
    cancel.send(()).unwrap();
    let outcome = run(&agents.operation("agent"), &agents.around(), cancelled).await;
    assert_eq!(outcome.status, Status::Cancelled);
}

#[tokio::test]
async fn an_orphan_is_waited_for_and_ended_at_its_time() {
    let agents = Agents::new();
    let notes = agents.dir.path().join("notes");
    fs::create_dir(&notes).unwrap();
    agents.script("sleep 1000");
    let mut operation = agents.operation("agent");
    operation.timeout = Duration::from_secs(2);
    let around = Surroundings {
        notes: Some(notes.clone()),
        ..agents.around()
    };
    // The daemon dies: nobody polls the run any more, its note stays.
    let (_keep, cancel) = oneshot::channel();
    let mut orphaned = Box::pin(run(&operation, &around, cancel));
    let noted = || fs::read_dir(&notes).unwrap().count() == 1;
    while !noted() {
        tokio::select! {
            outcome = &mut orphaned => panic!("{outcome:?}"),
            () = sleep(Duration::from_millis(5)) => {}
        }
    }
    let waited = crate::orphans::settle(&notes).await.unwrap();
    assert_eq!(waited, ["r monitor"]);
    assert_eq!(fs::read_dir(&notes).unwrap().count(), 0);
}
