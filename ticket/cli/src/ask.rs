//! Asking back, and names for wishes.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ticket_admin::{Code, Failure, RequestId};

use crate::output::Output;

/// How long a question waits for its answer: a person who is there answers, and a script that got
/// here by accident must not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A new name for a wish.
pub(crate) fn new_request() -> Result<RequestId, Failure> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    match read {
        Ok(()) => Ok(RequestId(u128::from_be_bytes(bytes))),
        Err(error) => Err(Failure::new(Code::Io, format!("/dev/urandom: {error}"))),
    }
}

/// Asks whether to go on. Without a terminal a script is taken at its word, except for what
/// overrides a safeguard: that needs `--yes`.
pub(crate) fn confirm(
    out: &Output,
    yes: bool,
    dangerous: bool,
    question: &str,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() || !out.live {
        if dangerous {
            let what = "a forced grant needs --yes where nobody can be asked";
            return Err(Failure::new(Code::Usage, what).hint("add --yes if you mean it"));
        }
        return Ok(());
    }
    out.question(&format!("{question} [y/N] "));
    let fd = &mut [PollFd::new(&stdin, PollFlags::IN)];
    let patience = Timespec {
        tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    let answered = poll(fd, Some(&patience)).is_ok_and(|ready| ready > 0);
    let mut answer = String::new();
    // A terminal gives whole lines, so one read does not block.
    if answered && stdin.lock().read_line(&mut answer).is_err() {
        answer.clear();
    }
    if !answered {
        out.remark("");
    }
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(
            Code::Error,
            "you did not say yes; nothing was changed",
        )),
    }
}
