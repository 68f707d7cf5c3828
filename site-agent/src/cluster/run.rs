//! Runs one external command with a deadline.

use std::ffi::OsStr;
use std::future::Future;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};

/// How much of a command's output is kept, in bytes: a line of status, or a reason.
const OUTPUT_MAX: u64 = 4096;

/// How long output is awaited after the command ended: a service that it started may hold the pipe
/// open for ever.
const OUTPUT_GRACE: Duration = Duration::from_millis(20);

/// How long a killed command may take to vanish. One that is stuck in the kernel never does; the
/// runtime reaps it whenever it ends.
const REAP_PATIENCE: Duration = Duration::from_millis(200);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its standard output, cut at [`OUTPUT_MAX`] bytes.
    pub(crate) output: String,
}

/// Runs `program` with `arguments` and `variables`. It leads a process group of its own, which is
/// killed as a whole at the end of `within`.
///
/// # Errors
/// A sentence that says how it failed: not started, exit status with its last words, or killed at
/// the deadline or because `superseded` was. What it has done until then is not known.
pub(crate) async fn run(
    program: &Path,
    arguments: &[impl AsRef<OsStr> + Sync],
    variables: &[(&str, String)],
    within: Duration,
    superseded: impl Future<Output = ()>,
) -> Result<Ended, String> {
    let until = Instant::now() + within;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let mut reading = tokio::spawn(read_both(child.stdout.take(), child.stderr.take()));
    let ended = tokio::select! {
        biased;
        status = timeout_at(until, child.wait()) => match status {
            Ok(status) => Ok(status.map_err(|error| format!("its end was not seen: {error}"))?),
            Err(_late) => Err(format!("no end within {} ms: killed", within.as_millis())),
        },
        () = superseded => Err("made pointless by a later command: killed".to_owned()),
    };
    let status = match ended {
        Ok(status) => status,
        Err(why) => {
            end(group, &mut child).await;
            reading.abort();
            return Err(why);
        }
    };
    // Not read in time: something that it started holds the pipes. The reader goes on emptying
    // them, so that it never blocks on a full one.
    let read = timeout(OUTPUT_GRACE, &mut reading).await;
    let (output, errors) = read.ok().and_then(Result::ok).unwrap_or_default();
    judge(status, output, &errors)
}

fn judge(status: ExitStatus, output: String, errors: &str) -> Result<Ended, String> {
    if status.success() {
        return Ok(Ended { output });
    }
    let last_words = errors.trim().lines().last().unwrap_or_default();
    match last_words {
        "" => Err(status.to_string()),
        words => Err(format!("{status}: {words}")),
    }
}

/// Kills the whole group and waits a moment for the leader.
async fn end(group: Option<Pid>, child: &mut Child) {
    if let Some(group) = group {
        // It may have ended at this very moment.
        let _gone = kill_process_group(group, Signal::KILL);
    }
    let _late = timeout(REAP_PATIENCE, child.wait()).await;
}

async fn read_both(
    output: Option<impl AsyncRead + Unpin>,
    errors: Option<impl AsyncRead + Unpin>,
) -> (String, String) {
    tokio::join!(read_some(output), read_some(errors))
}

/// Keeps the first [`OUTPUT_MAX`] bytes and swallows the rest, so that the command never blocks on
/// a full pipe.
async fn read_some(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else {
        return String::new();
    };
    let mut kept = Vec::new();
    // A broken pipe ends the text where it broke.
    let _cut = (&mut pipe).take(OUTPUT_MAX).read_to_end(&mut kept).await;
    let _cut = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests;
