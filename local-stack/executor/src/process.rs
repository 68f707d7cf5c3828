//! One run of an agent.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::Access;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use crate::agent::{Agent, Missing, Operation, Outcome, Status};
use crate::capture::Capture;
use crate::class::{self, Means, Places, Program, Said, systemd};
use crate::collect::{self, Left};
use crate::device::{self, DeviceCall};
use crate::environment::{EXIT_REASON_PREFIX, NOT_INHERITED};
use crate::orphans::{KILL_GRACE, Note};
use crate::rc;
use crate::secrets;

/// How long an ended agent may stay before it is reported all the same: it sleeps in the kernel, and
/// nobody can say when that ends.
const REAP_MAX: Duration = Duration::from_secs(5);

/// Pause between looks at whether a process group is gone.
const GROUP_POLL: Duration = Duration::from_millis(10);

/// Starts that are tried while the agent's file is still open for writing somewhere (an upgrade in
/// progress).
const BUSY_TRIES: u32 = 20;

/// Pause between two looks of a plugin that is not content yet.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// The meta-attribute that names the network namespace in which a resource's agent is run.
const NAMESPACE_META: &str = "network_namespace";

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
    /// Where agents of the other classes are.
    pub places: Places,
    /// Who does what resources of class `stonith` ask for.
    pub devices: Option<mpsc::Sender<DeviceCall>>,
}

/// Runs an operation to its end, whatever its class.
///
/// `cancel` ends it early: its process group gets SIGTERM, then SIGKILL. The result tells everything;
/// nothing here is an error of the caller.
pub async fn run(
    operation: &Operation,
    around: &Surroundings,
    mut cancel: oneshot::Receiver<()>,
) -> Outcome {
    let means = match class::means(operation, around) {
        Ok(means) => means,
        Err(missing) => return not_installed(&missing),
    };
    let mut outcome = match means {
        Means::Program(program) => run_program(operation, &program, around, &mut cancel).await,
        Means::Watch(program) => watch(operation, &program, around, &mut cancel).await,
        Means::Unit(unit) => systemd::run(operation, &unit, &around.places, &mut cancel).await,
        Means::Device => device::run(operation, around, &mut cancel).await,
        Means::Done(outcome) => outcome,
    };
    let secrets = secrets::of(operation.parameters());
    outcome.exit_reason = secrets::redact(outcome.exit_reason, &secrets);
    outcome
}

/// Runs a plugin until it is content, its time is over, or it is ended.
async fn watch(
    operation: &Operation,
    program: &Program,
    around: &Surroundings,
    cancel: &mut oneshot::Receiver<()>,
) -> Outcome {
    let began = Instant::now();
    let mut operation = operation.clone();
    let whole = operation.timeout;
    loop {
        operation.timeout = whole.saturating_sub(began.elapsed());
        let mut outcome = run_program(&operation, program, around, cancel).await;
        outcome.exec_time = began.elapsed();
        let again = outcome.status == Status::Complete && outcome.rc != rc::OK;
        if !again || began.elapsed() + WATCH_PAUSE >= whole {
            return outcome;
        }
        tokio::select! {
            () = sleep(WATCH_PAUSE) => {}
            _ = &mut *cancel => {
                return Outcome::without_run(Status::Cancelled, rc::ERROR, "ended on request");
            }
        }
    }
}

async fn run_program(
    operation: &Operation,
    program: &Program,
    around: &Surroundings,
    cancel: &mut oneshot::Receiver<()>,
) -> Outcome {
    let file = &program.file;
    if let Err(error) = rustix::fs::access(file, Access::EXEC_OK) {
        return spawn_failed(&operation.agent, file, &error.into());
    }
    let report = Report::place(operation, around);
    let began = Instant::now();
    let (mut child, mut stdout, mut stderr) =
        match spawn(operation, program, around, report.as_ref()).await {
            Ok(spawned) => spawned,
            Err(error) => return spawn_failed(&operation.agent, file, &error),
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
            _ = &mut *cancel => break Ended::Cancelled,
            () = sleep_until(until) => break Ended::Late,
        }
    };
    let forced = match &ended {
        Ended::Exited(_) => None,
        _ => Some(end_group(&mut child, group, &mut stdout, &mut stderr).await),
    };
    stdout.drain();
    stderr.drain();
    let (printed, complaints) = (stdout.text(), stderr.text());
    let mut outcome = ended.outcome(operation);
    if outcome.status == Status::Complete {
        let said = Said {
            stdout: &printed,
            stderr: &complaints,
        };
        outcome.rc = (program.meaning)(&operation.action, outcome.rc, &said);
    }
    if let Some(words) = exit_reason(&complaints, program.ocf) {
        outcome.exit_reason = words;
    }
    if forced == Some(false) {
        outcome
            .exit_reason
            .push_str("; its processes cannot be killed");
    }
    outcome.left = report.and_then(Report::read);
    outcome.output = printed;
    outcome.exec_time = began.elapsed();
    outcome
}

enum Ended {
    Exited(io::Result<ExitStatus>),
    Late,
    Cancelled,
}

impl Ended {
    fn outcome(self, operation: &Operation) -> Outcome {
        match self {
            Self::Exited(Ok(status)) => exited(status),
            Self::Exited(Err(error)) => Outcome::without_run(
                Status::Error,
                rc::ERROR,
                format!("its end was not seen: {error}"),
            ),
            Self::Late => {
                let limit = operation.timeout.as_millis();
                let what = format!("{} did not end within {limit} ms", operation.action);
                Outcome::without_run(Status::Timeout, rc::ERROR, what)
            }
            Self::Cancelled => {
                Outcome::without_run(Status::Cancelled, rc::ERROR, "ended on request")
            }
        }
    }
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
    program: &Program,
    around: &Surroundings,
    report: Option<&Report>,
) -> io::Result<(Child, Capture, Capture)> {
    let namespace = operation.meta(NAMESPACE_META);
    let mut tries = 0;
    loop {
        let (stdout, to_stdout) = io::pipe()?;
        let (stderr, to_stderr) = io::pipe()?;
        // Every descriptor of this program is close-on-exec; the standard library resets SIGPIPE and
        // the signal mask of a child.
        let mut command = Command::from(match &around.collector {
            Some(collector) if report.is_some() || namespace.is_some() => {
                let report = report.map(|report| report.0.as_path());
                collect::command(
                    collector,
                    &program.file,
                    &program.arguments,
                    report,
                    namespace,
                )
            }
            None if namespace.is_some() => {
                let text = "nothing here enters a network namespace";
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
            _ => {
                let mut command = std::process::Command::new(&program.file);
                command.args(&program.arguments);
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
        // Only OCF agents know what these mean; the guard's marker is everybody's.
        let meant = |name: &str| program.ocf || !name.starts_with("OCF_");
        let variables = operation.environment.iter();
        command.envs(
            variables
                .filter(|(name, _)| meant(name))
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

/// The last line with the prefix; whatever else an OCF agent prints is its own business. Programs that
/// do not know the prefix say it with their last line.
fn exit_reason(stderr: &str, ocf: bool) -> Option<String> {
    let mut lines = stderr.lines().rev();
    let line = if ocf {
        lines.find_map(|line| line.strip_prefix(EXIT_REASON_PREFIX))?
    } else {
        lines.find(|line| !line.trim().is_empty())?
    };
    Some(line.trim().chars().take(REASON_CHARS_MAX).collect())
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
