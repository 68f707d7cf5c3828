//! One run of an agent.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::Access;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use crate::agent::{Agent, Missing, Operation, Outcome, Status};
use crate::capture::Capture;
use crate::collect::{self, Left};
use crate::environment::{EXIT_REASON_PREFIX, NOT_INHERITED};
use crate::orphans::{KILL_GRACE, Note};
use crate::rc;

/// How long an ended agent may stay before it is reported all the same: it sleeps in the kernel, and
/// nobody can say when that ends.
const REAP_MAX: Duration = Duration::from_secs(5);

/// Pause between looks at whether a process group is gone.
const GROUP_POLL: Duration = Duration::from_millis(10);

/// Starts that are tried while the agent's file is still open for writing somewhere (an upgrade in
/// progress).
const BUSY_TRIES: u32 = 20;

/// Longest reason that is kept, in characters: it goes into the CIB.
const REASON_CHARS_MAX: usize = 512;

/// What is the same for all agents.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Directories with `PROVIDER/TYPE` below; the first match is run.
    pub directories: Vec<PathBuf>,
    /// Where running agents are noted for the daemon after this one; see [`crate::orphans`].
    pub notes: Option<PathBuf>,
    /// The program that runs [`crate::collect::main`] when its first argument is `collect`.
    pub collector: Option<PathBuf>,
}

/// Runs an agent to its end.
///
/// `cancel` ends it early: its process group gets SIGTERM, then SIGKILL. The result tells everything;
/// nothing here is an error of the caller.
pub async fn run(
    operation: &Operation,
    around: &Surroundings,
    mut cancel: oneshot::Receiver<()>,
) -> Outcome {
    let file = match operation.agent.find(&around.directories) {
        Ok(file) => file,
        Err(missing) => return not_installed(&missing),
    };
    if let Err(error) = rustix::fs::access(&file, Access::EXEC_OK) {
        return spawn_failed(&operation.agent, &file, &error.into());
    }
    let report = Report::place(operation, around);
    let began = Instant::now();
    let (mut child, mut stdout, mut stderr) = match spawn(operation, &file, around, &report).await {
        Ok(spawned) => spawned,
        Err(error) => return spawn_failed(&operation.agent, &file, &error),
    };
    let group = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let _note = around
        .notes
        .as_deref()
        .and_then(|dir| Note::write(dir, operation, group));
    let until = began + operation.timeout;
    let ended = loop {
        tokio::select! {
            // An agent that has exited is never called late.
            biased;
            status = child.wait() => break Ended::Exited(status),
            () = stdout.read_some() => {}
            () = stderr.read_some() => {}
            _ = &mut cancel => break Ended::Cancelled,
            () = sleep_until(until) => break Ended::Late,
        }
    };
    let forced = match &ended {
        Ended::Exited(_) => None,
        _ => Some(end_group(&mut child, group, &mut stdout, &mut stderr).await),
    };
    stdout.drain();
    stderr.drain();
    let words = exit_reason(&stderr.text());
    let mut outcome = match ended {
        Ended::Exited(Ok(status)) => exited(status),
        Ended::Exited(Err(error)) => Outcome::without_run(
            Status::Error,
            rc::ERROR,
            format!("its end was not seen: {error}"),
        ),
        Ended::Late => {
            let limit = operation.timeout.as_millis();
            let what = format!("{} did not end within {limit} ms", operation.action);
            Outcome::without_run(Status::Timeout, rc::ERROR, what)
        }
        Ended::Cancelled => Outcome::without_run(Status::Cancelled, rc::ERROR, "ended on request"),
    };
    if let Some(words) = words {
        outcome.exit_reason = words;
    }
    if forced == Some(false) {
        outcome
            .exit_reason
            .push_str("; its processes cannot be killed");
    }
    outcome.left = report.and_then(Report::read);
    outcome.output = stdout.text();
    outcome.exec_time = began.elapsed();
    outcome
}

enum Ended {
    Exited(io::Result<ExitStatus>),
    Late,
    Cancelled,
}

/// Where a collecting process writes what was left.
#[derive(Debug)]
struct Report(PathBuf);

impl Report {
    fn place(operation: &Operation, around: &Surroundings) -> Option<Self> {
        let wanted = operation.collect && around.collector.is_some();
        let dir = around.notes.as_ref().filter(|_| wanted)?;
        // One operation of a resource runs at a time, and its name is not one of a path.
        let name: String = operation
            .resource
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Some(Self(dir.join(format!("{name}.left"))))
    }

    fn read(self) -> Option<Vec<Left>> {
        let bytes = std::fs::read(&self.0).ok()?;
        // It is written anew each time.
        let _ = std::fs::remove_file(&self.0);
        serde_json::from_slice(&bytes).ok()
    }
}

async fn spawn(
    operation: &Operation,
    file: &Path,
    around: &Surroundings,
    report: &Option<Report>,
) -> io::Result<(Child, Capture, Capture)> {
    let mut tries = 0;
    loop {
        let (stdout, to_stdout) = io::pipe()?;
        let (stderr, to_stderr) = io::pipe()?;
        // Every descriptor of this program is close-on-exec; the standard library resets SIGPIPE and
        // the signal mask of a child.
        let mut command = Command::from(match (&around.collector, report) {
            (Some(collector), Some(report)) => {
                collect::command(collector, file, &operation.action, &report.0)
            }
            _ => {
                let mut command = std::process::Command::new(file);
                command.arg(&operation.action);
                command
            }
        });
        command
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(to_stdout)
            .stderr(to_stderr);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        command.envs(
            operation
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        );
        match command.spawn() {
            Ok(child) => return Ok((child, Capture::new(stdout)?, Capture::new(stderr)?)),
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES =>
            {
                tries += 1;
                sleep(GROUP_POLL).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Ends the whole group; `false` when some of it is still there.
async fn end_group(
    child: &mut Child,
    group: Option<Pid>,
    stdout: &mut Capture,
    stderr: &mut Capture,
) -> bool {
    let Some(group) = group else {
        return true;
    };
    for (signal, patience) in [(Signal::TERM, KILL_GRACE), (Signal::KILL, REAP_MAX)] {
        // A group that is gone meanwhile is what is wanted.
        let _ = kill_process_group(group, signal);
        let until = Instant::now() + patience;
        while Instant::now() < until {
            // Reaping the leader first: it counts as a member until then.
            let reaped = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
            if reaped && is_gone(group) {
                return true;
            }
            tokio::select! {
                () = stdout.read_some() => {}
                () = stderr.read_some() => {}
                () = sleep(GROUP_POLL) => {}
            }
        }
    }
    false
}

/// Nothing of the group runs. What is dead and only waits to be reaped (by an init that takes its time)
/// does not run.
fn is_gone(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() {
        return true;
    }
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return false;
    };
    let runs = |pid: u32| {
        // State, parent, group: the fields after the name, which is in parentheses.
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = String::from_utf8_lossy(&text[end + 1..]).into_owned();
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.to_owned();
        let own = fields.nth(1)?.parse() == Ok(group.as_raw_nonzero().get());
        Some(own && !matches!(state.as_str(), "Z" | "X" | "x"))
    };
    !entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .any(|pid| runs(pid).unwrap_or(false))
}

fn exited(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => {
            let rc = u8::try_from(code).unwrap_or(rc::ERROR);
            Outcome::without_run(Status::Complete, rc, "")
        }
        (None, signal) => {
            let what = format!("ended by signal {}", signal.unwrap_or_default());
            Outcome::without_run(Status::Error, rc::ERROR, what)
        }
    }
}

fn not_installed(missing: &Missing) -> Outcome {
    Outcome::without_run(Status::NotInstalled, rc::NOT_INSTALLED, missing.to_string())
}

fn spawn_failed(agent: &Agent, file: &Path, error: &io::Error) -> Outcome {
    let file = file.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => Outcome::without_run(
            Status::Error,
            rc::INSUFFICIENT_PRIVILEGES,
            format!("{agent}: {file} is not executable for this user"),
        ),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Outcome::without_run(
            Status::NotInstalled,
            rc::NOT_INSTALLED,
            format!("{agent}: {file} or its interpreter does not exist"),
        ),
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            Outcome::without_run(
                Status::NotInstalled,
                rc::NOT_INSTALLED,
                format!("{agent}: {file} is not a program"),
            )
        }
        _ => Outcome::without_run(
            Status::Error,
            rc::ERROR,
            format!("{agent}: {file}: {error}"),
        ),
    }
}

/// The last line with the prefix; whatever else an agent prints is its own business.
fn exit_reason(stderr: &str) -> Option<String> {
    let line = stderr
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(EXIT_REASON_PREFIX))?;
    Some(line.trim().chars().take(REASON_CHARS_MAX).collect())
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
