//! Agents that a killed daemon left behind.
//!
//! While an agent runs, a small file names it. A daemon that starts finds the files of the one before
//! it and waits for those agents to end (or ends them at their time) before it probes: a probe beside
//! a start that is still running would see half of it. The files live as long as the boot at most;
//! they need no sync.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::agent::Operation;

/// From the polite signal to the other one. An agent that traps SIGTERM needs time to undo what it
/// began; this adds to what a stop may take.
pub const KILL_GRACE: Duration = Duration::from_secs(2);

/// Pause between looks at an agent that is not our child.
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    pid: i32,
    /// Field 22 of its `stat`: with the number it names a process for the length of a boot.
    start: u64,
    boot_id: String,
    resource: String,
    action: String,
    timeout_ms: u64,
}

/// The file of a running agent; it goes away when this is dropped.
#[derive(Debug)]
pub(crate) struct Note {
    path: PathBuf,
}

impl Note {
    /// Notes an agent. A note that cannot be written is only a worse restart.
    pub(crate) fn write(dir: &Path, operation: &Operation, pid: Option<Pid>) -> Option<Self> {
        let pid = pid?.as_raw_nonzero().get();
        let record = Record {
            pid,
            start: start_time(pid)?,
            boot_id: boot_id()?,
            resource: operation.resource.clone(),
            action: operation.action.clone(),
            timeout_ms: u64::try_from(operation.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let path = dir.join(format!("{pid}.json"));
        let written = serde_json::to_vec(&record).map_err(io::Error::from);
        match written.and_then(|bytes| fs::write(&path, bytes)) {
            Ok(()) => Some(Self { path }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no note of a running agent");
                None
            }
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // One that stays names a process that is gone; the next daemon sees that.
        let _ = fs::remove_file(&self.path);
    }
}

/// Waits until the agents of an earlier daemon have ended; each at most its own timeout (from the
/// time its note was written), then it is ended. Returns what was waited for, as `RESOURCE ACTION`.
///
/// # Errors
/// `dir` cannot be made or read.
pub async fn settle(dir: &Path) -> io::Result<Vec<String>> {
    fs::create_dir_all(dir)?;
    let mut waited = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let record = fs::read(&path)
            .ok()
            .and_then(|b| serde_json::from_slice::<Record>(&b).ok());
        if let Some(record) = record.filter(lives) {
            let age = fs::metadata(&path)
                .and_then(|meta| meta.modified())
                .ok()
                .and_then(|at| SystemTime::now().duration_since(at).ok())
                .unwrap_or_default();
            let left = Duration::from_millis(record.timeout_ms).saturating_sub(age);
            waited.push(format!("{} {}", record.resource, record.action));
            wait_or_end(&record, left).await;
        }
        fs::remove_file(&path)?;
    }
    Ok(waited)
}

async fn wait_or_end(record: &Record, left: Duration) {
    let group = Pid::from_raw(record.pid);
    for (signal, patience) in [
        (None, left),
        (Some(Signal::TERM), KILL_GRACE),
        (Some(Signal::KILL), KILL_GRACE),
    ] {
        if let (Some(signal), Some(group)) = (signal, group) {
            let _ = kill_process_group(group, signal);
        }
        let until = Instant::now() + patience;
        while lives(record) {
            if Instant::now() >= until {
                break;
            }
            sleep(POLL).await;
        }
    }
}

fn lives(record: &Record) -> bool {
    boot_id().is_some_and(|id| id == record.boot_id) && start_time(record.pid) == Some(record.start)
}

fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// When a process was started; none when it is gone or only waits to be reaped.
fn start_time(pid: i32) -> Option<u64> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = String::from_utf8_lossy(&text[end + 1..]).into_owned();
    let mut fields = rest.split_ascii_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
