//! Finding out what an agent left running, even where it hides.
//!
//! A daemon may clear or overwrite its environment and leave its parent, session and group, and then
//! nothing tells whose it is. So the agent of a gated start runs below a small process that adopts what
//! the agent orphans (a child subreaper): when the agent has ended, its remaining descendants are
//! exactly what it left. They are written down and go on as before.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::process::{Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::{Deserialize, Serialize};

/// Names the file for the report; not passed on to the agent.
pub(crate) const REPORT_VARIABLE: &str = "INTERLOCK_LEFT_REPORT";

/// Names the network namespace to enter first; not passed on to the agent.
pub(crate) const NAMESPACE_VARIABLE: &str = "INTERLOCK_NETWORK_NAMESPACE";

/// Where `ip netns` keeps namespaces.
const NAMESPACES: &str = "/run/netns";

/// A process that an agent left running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Left {
    /// Its number.
    pub pid: u32,
    /// When it was started, in clock ticks since boot: with the number it names a process.
    pub start: u64,
}

/// The collecting process: runs `file` with `arguments`, in the network namespace that its environment
/// names, reports what is left, and ends as the agent ended.
pub fn main(file: &Path, arguments: &[String]) -> ExitCode {
    match collect(file, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("ocf-exit-reason:{}: {error}", file.display());
            ExitCode::from(crate::rc::ERROR)
        }
    }
}

fn collect(file: &Path, arguments: &[String]) -> io::Result<u8> {
    if let Some(name) = std::env::var_os(NAMESPACE_VARIABLE) {
        enter(&name.to_string_lossy())?;
    }
    let report = std::env::var_os(REPORT_VARIABLE);
    if report.is_some() {
        set_child_subreaper(Some(getpid()))?;
    }
    let child = Command::new(file)
        .args(arguments)
        .env_remove(REPORT_VARIABLE)
        .env_remove(NAMESPACE_VARIABLE)
        .spawn()?;
    let status = loop {
        // Orphans that end meanwhile are reaped here too.
        if let Some((pid, status)) = waitpid(None, WaitOptions::empty())?
            && pid.as_raw_nonzero().get().cast_unsigned() == child.id()
        {
            break status;
        }
    };
    if let Some(report) = report {
        fs::write(report, serde_json::to_vec(&descendants()?)?)?;
    }
    if let Some(signal) = status.terminating_signal().and_then(Signal::from_named_raw) {
        kill_process(getpid(), signal)?;
    }
    Ok(status
        .exit_status()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

/// Everything below this process that lives.
fn descendants() -> io::Result<Vec<Left>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // One that went away meanwhile left nothing.
        let Some((state, parent, start)) = stat(pid) else {
            continue;
        };
        if state != "Z" {
            parents.push((Left { pid, start }, parent));
        }
    }
    let mut family = BTreeSet::from([std::process::id()]);
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for (process, parent) in &parents {
            if family.contains(parent) {
                family.insert(process.pid);
                found.insert(*process);
            }
        }
        if found.len() == before {
            return Ok(found.into_iter().collect());
        }
    }
}

fn stat(pid: u32) -> Option<(String, u32, u64)> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = String::from_utf8_lossy(&text[end + 1..]).into_owned();
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some((
        fields.first()?.to_string(),
        fields.get(1)?.parse().ok()?,
        fields.get(19)?.parse().ok()?,
    ))
}

/// Enters a network namespace that `ip netns` knows.
fn enter(name: &str) -> io::Result<()> {
    let told = |what: &dyn std::fmt::Display| format!("network namespace {name}: {what}");
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        let text = told(&"not a name of one");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let at = |error: io::Error| io::Error::new(error.kind(), told(&error));
    let file = fs::File::open(Path::new(NAMESPACES).join(name)).map_err(at)?;
    let kind = LinkNameSpaceType::Network;
    move_into_link_name_space(file.as_fd(), Some(kind)).map_err(|error| at(error.into()))
}

/// The command that runs an agent through the collecting process: `collector collect FILE ARGUMENTS`,
/// in place of `FILE ARGUMENTS`.
pub(crate) fn command(
    collector: &Path,
    file: &Path,
    arguments: &[String],
    report: Option<&Path>,
    namespace: Option<&str>,
) -> Command {
    let mut command = Command::new(collector);
    command
        .arg0("local-stack-collect")
        .arg("collect")
        .arg(file)
        .args(arguments);
    if let Some(report) = report {
        command.env(REPORT_VARIABLE, report);
    }
    if let Some(namespace) = namespace {
        command.env(NAMESPACE_VARIABLE, namespace);
    }
    command
}
