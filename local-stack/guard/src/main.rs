//! The guard daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use guard::reset::{ResetKind, SYSRQ_TRIGGER};
use guard::server::{self, Options};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};
use stack_api::clock::BootClock;

/// Exit code for a wrong command line or environment.
const EXIT_USAGE: u8 = 64;

/// Ends what runs past its lease.
#[derive(Debug, Parser)]
#[command(name = "guard", version = version())]
struct Arguments {
    /// Unix socket to listen on.
    #[arg(long, default_value = "/run/interlock/guard.sock")]
    socket: PathBuf,
    /// Directory that remembers what is armed; belongs on a file system in memory.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Watchdog device to feed; not fed any more when something cannot be ended.
    #[arg(long)]
    watchdog: Option<PathBuf>,
    /// How the node may be reset where killing processes does not help or proves nothing.
    #[arg(long, value_enum, default_value = "none")]
    reset: ResetKind,
    /// For --reset sysrq: where the kernel's trigger is to be seen.
    #[arg(long, value_name = "PATH", default_value = SYSRQ_TRIGGER)]
    sysrq: PathBuf,
}

const fn version() -> &'static str {
    if cfg!(feature = "test-clock") {
        concat!(env!("CARGO_PKG_VERSION"), " (test features: test-clock)")
    } else {
        env!("CARGO_PKG_VERSION")
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed standard error leaves nothing to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("guard: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let clock = BootClock::from_env()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| format!("runtime: {error}"))?;
    let options = Options {
        socket: arguments.socket,
        state: arguments.state,
        clock,
        reset: arguments.reset,
        sysrq: arguments.sysrq,
        watchdog: arguments.watchdog,
        limits: harden(),
    };
    runtime.block_on(server::run(options))
}

/// Locks memory and asks for priority; returns what was not permitted.
fn harden() -> Vec<String> {
    let mut limits = Vec::new();
    // With a limit, locking what comes later too would make the next allocation above it fail, in a
    // program that must not fail: then only what is there already is locked.
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let flags = if unlimited {
        MlockAllFlags::CURRENT | MlockAllFlags::FUTURE
    } else {
        MlockAllFlags::CURRENT
    };
    match mlockall(flags) {
        Err(error) => limits.push(format!("memory is not locked: {error}")),
        Ok(()) if !unlimited => limits.push("memory is locked in part (RLIMIT_MEMLOCK)".to_owned()),
        Ok(()) => {}
    }
    // The unit asks systemd for a real-time class; a guard started by hand asks for what it may.
    if !is_real_time() && rustix::process::setpriority_process(None, -20).is_err() {
        limits.push("no priority over other processes".to_owned());
    }
    limits
}

/// The scheduling policy is the 41st field of `/proc/self/stat`; 1 and 2 are the real-time ones.
fn is_real_time() -> bool {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    matches!(after_name.split_ascii_whitespace().nth(38), Some("1" | "2"))
}
