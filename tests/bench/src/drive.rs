//! The load of `bench messaging` on our messaging daemon: the same roles, content checks and lines of
//! output as `load.c` has for corosync.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rustix::time::{ClockId, clock_gettime};
use stack_client::words::{Do, Notice};
use stack_client::{Client, Event, Guarantee};

/// Number of the last message.
const LAST: u64 = u64::MAX;
const HEAD: usize = 16;

/// A role of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Counts and checks until the last message.
    Receive,
    /// Sends for some seconds.
    Send,
    /// One message at a time.
    Echo,
    /// Tells when the group's members change.
    Watch,
}

/// What to do.
#[derive(Debug, Args)]
pub(crate) struct Drive {
    role: Role,
    /// The daemon's socket.
    #[arg(long)]
    socket: PathBuf,
    /// Bytes of a message; for `watch`: members to wait for.
    size: usize,
    /// Seconds to send, or messages to echo.
    #[arg(default_value_t = 0.0)]
    amount: f64,
    /// Messages per second; 0: as fast as it goes.
    #[arg(default_value_t = 0.0)]
    rate: f64,
}

fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[derive(Default)]
struct Seen {
    expected: u64,
    received: u64,
    wrong: u64,
    first: u64,
    last: u64,
    trips: Option<Vec<u64>>,
    done: bool,
}

impl Seen {
    fn take(&mut self, message: &[u8]) {
        let word = |at: usize| {
            message
                .get(at..at + 8)
                .and_then(|word| word.try_into().ok())
                .map(u64::from_le_bytes)
        };
        let (Some(number), Some(sent)) = (word(0), word(8)) else {
            self.wrong += 1;
            return;
        };
        self.last = now_ns();
        if self.first == 0 {
            self.first = self.last;
        }
        if number == LAST {
            self.done = true;
            return;
        }
        self.wrong += u64::from(number != self.expected);
        self.expected = number.wrapping_add(1);
        // All bytes are the first one, and that one is right.
        let body = &message[HEAD..];
        let right =
            body.is_empty() || body[0] == number as u8 && body[1..] == body[..body.len() - 1];
        self.wrong += u64::from(!right);
        self.received += 1;
        if let Some(trips) = &mut self.trips {
            trips.push(self.last.saturating_sub(sent));
        }
    }

    fn next(&mut self, client: &mut Client, wait: Option<Duration>) -> Result<bool, String> {
        match client.next(wait).map_err(|error| error.to_string())? {
            Some(Event::Message { bytes, .. }) => {
                self.take(&bytes);
                Ok(true)
            }
            Some(Event::Notice(_)) => Ok(true),
            None => Ok(false),
        }
    }

    fn report(mut self) {
        let mut trips = self.trips.take().unwrap_or_default();
        trips.sort_unstable();
        let at = |part: usize| {
            trips
                .get(trips.len() * part / 100)
                .map_or(0.0, |ns| *ns as f64 / 1e3)
        };
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        println!(
            "received {} wrong {} seconds {:.6} cpu {:.6} median_us {:.1} p99_us {:.1}",
            self.received,
            self.wrong,
            (self.last - self.first) as f64 / 1e9,
            cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            at(50),
            at(99)
        );
    }
}

fn message(buffer: &mut [u8], number: u64) {
    buffer.fill(number as u8);
    buffer[..8].copy_from_slice(&number.to_le_bytes());
    buffer[8..HEAD].copy_from_slice(&now_ns().to_le_bytes());
}

/// Does it.
///
/// # Errors
/// In a sentence.
pub(crate) fn run(drive: &Drive) -> Result<(), String> {
    let mut client = connect(&drive.socket)?;
    client.join("load").map_err(|error| error.to_string())?;
    let text = |error: stack_client::Error| error.to_string();
    let mut seen = Seen::default();
    match drive.role {
        Role::Watch => return watch(&mut client, drive.size),
        Role::Receive => {
            println!("ready");
            while !seen.done {
                seen.next(&mut client, None)?;
            }
        }
        Role::Echo => {
            seen.trips = Some(Vec::new());
            let mut buffer = vec![0; drive.size.max(HEAD)];
            for number in 0..drive.amount as u64 {
                message(&mut buffer, number);
                client
                    .send("load", Guarantee::Agreed, &buffer)
                    .map_err(text)?;
                while seen.received <= number {
                    seen.next(&mut client, None)?;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            finish(&mut client, &mut seen, &mut buffer)?;
        }
        Role::Send => send(&mut client, &mut seen, drive)?,
    }
    seen.report();
    Ok(())
}

fn connect(socket: &Path) -> Result<Client, String> {
    Client::connect(socket).map_err(|error| error.to_string())
}

fn send(client: &mut Client, seen: &mut Seen, drive: &Drive) -> Result<(), String> {
    let text = |error: stack_client::Error| error.to_string();
    let mut buffer = vec![0; drive.size.max(HEAD)];
    let (begun, span) = (Instant::now(), Duration::from_secs_f64(drive.amount));
    if drive.rate > 0.0 {
        seen.trips = Some(Vec::new());
    }
    let mut sent = 0;
    while begun.elapsed() < span {
        let due = if drive.rate > 0.0 {
            (begun.elapsed().as_secs_f64() * drive.rate) as u64
        } else {
            sent + 64
        };
        while sent < due {
            message(&mut buffer, sent);
            client
                .send("load", Guarantee::Agreed, &buffer)
                .map_err(text)?;
            sent += 1;
        }
        let wait = Duration::from_millis(u64::from(drive.rate > 0.0));
        client.flush().map_err(text)?;
        while seen.next(client, Some(Duration::ZERO))? {}
        if !wait.is_zero() {
            seen.next(client, Some(wait))?;
        }
    }
    finish(client, seen, &mut buffer)
}

fn finish(client: &mut Client, seen: &mut Seen, buffer: &mut [u8]) -> Result<(), String> {
    message(buffer, LAST);
    client
        .send("load", Guarantee::Agreed, buffer)
        .map_err(|error| error.to_string())?;
    while !seen.done {
        seen.next(client, None)?;
    }
    Ok(())
}

fn watch(client: &mut Client, members: usize) -> Result<(), String> {
    let text = |error: stack_client::Error| error.to_string();
    client.ask(Do::Follow).map_err(text)?;
    let mut ready = false;
    loop {
        let Some(Event::Notice(Notice::Members(group))) = client.next(None).map_err(text)? else {
            continue;
        };
        if ready {
            println!("members {} at {}", group.members.len(), now_ns());
        } else if group.members.len() >= members {
            println!("ready");
            ready = true;
        }
    }
}
