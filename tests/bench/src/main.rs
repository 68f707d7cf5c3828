//! Side-by-side measurements: Interlock and the anchor, in one run, on one machine, with the same
//! work to do. Prints medians and ratios; with `--check` a missed goal is a failure.
//!
//! `bench booth`, `bench messaging`, `bench messaging-nodes` and `bench detector` need root (network
//! namespaces) and install Debian's booth and corosync if they are missing; `bench scheduler` needs
//! Debian's `pacemaker-cli-utils`, and `bash` and GNU `time` as stop-watches.

mod booth;
mod detector;
mod drive;
mod figures;
mod hosts;
mod interlock;
mod messaging;
mod nodes;
mod process;
mod rings;
mod scheduler;
mod side_by_side;
mod transport;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Side-by-side measurements with booth")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Grant, failover, and the arbitrator's footprint, beside Debian's booth.
    Booth {
        /// Where the built binaries are; default: beside this one.
        #[arg(long)]
        binaries: Option<PathBuf>,
        /// A statically linked arbitrator to weigh and to run; default: the one in `binaries`.
        #[arg(long)]
        arbitrator: Option<PathBuf>,
        /// A statically linked `ticket` to grant with; default: the one in `binaries`.
        #[arg(long)]
        ticket: Option<PathBuf>,
        /// More grants, and failovers too (ten on each side, some minutes).
        #[arg(long)]
        full: bool,
        /// Exit 1 when a goal is missed.
        #[arg(long)]
        check: bool,
    },
    /// What could carry the ring's packets: QUIC datagrams, a QUIC stream, sealed datagrams.
    Transport,
    /// Messages, bytes, latency, failover and footprint, beside Debian's corosync.
    Messaging {
        /// Where the built `local-stack` is; default: beside this one.
        #[arg(long)]
        binaries: Option<PathBuf>,
        /// Seconds of each load.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Seconds of doing nothing.
        #[arg(long, default_value_t = 10)]
        idle: u64,
        /// Rounds of both sides; the best of each figure counts, on both.
        #[arg(long, default_value_t = 1)]
        rounds: usize,
        /// Exit 1 when a goal is missed.
        #[arg(long)]
        check: bool,
    },
    /// Many nodes of ours, restarted one after the other while all of them send: exits 1 if anything is
    /// lost or out of order. Needs root.
    MessagingNodes(nodes::Plan),
    /// Does the failure detector make mistakes? A bad network, busy processors, nobody fails; corosync
    /// with the same detection time beside it. Exits 1 at a false view change of ours, and if the
    /// machine itself stood still. Needs root.
    Detector(detector::Plan),
    /// Only our failovers after `kill -9` of the holder's agent, one after the other; exits 1 when
    /// one does not come. Needs root as well.
    Failover {
        /// How many; each takes half a minute.
        #[arg(long, default_value_t = 30)]
        rounds: u64,
        /// Where the built binaries are; default: beside this one.
        #[arg(long)]
        binaries: Option<PathBuf>,
    },
    /// Our `crm_simulate` beside Debian's: time, memory, and whether the graphs are equal. Graphs that
    /// differ are a failure.
    Scheduler(scheduler::Plan),
    /// One process of the load of `messaging` (that command starts it).
    #[command(hide = true)]
    Drive(drive::Drive),
}

fn main() -> ExitCode {
    let (plan, check) = match Arguments::parse().what {
        What::Transport => return said(transport::run().map(|text| (text, 0)), false),
        What::Scheduler(plan) => return said(scheduler::answer(&plan), true),
        What::Drive(words) => return said(drive::run(&words).map(|()| (String::new(), 0)), false),
        What::MessagingNodes(plan) => return said(nodes::run(&plan), true),
        What::Detector(plan) => return said(detector::run(&plan), true),
        What::Failover { rounds, binaries } => {
            let plan = side_by_side::Plan {
                binaries,
                arbitrator: None,
                ticket: None,
                full: true,
            };
            let done = side_by_side::our_failovers(&plan, rounds);
            return said(done.map(|()| (String::new(), 0)), false);
        }
        What::Messaging {
            binaries,
            seconds,
            idle,
            rounds,
            check,
        } => {
            let plan = messaging::Plan {
                binaries,
                seconds: seconds.max(1),
                idle: idle.max(1),
                rounds,
            };
            return said(messaging::run(&plan), check);
        }
        What::Booth {
            binaries,
            arbitrator,
            ticket,
            full,
            check,
        } => {
            let plan = side_by_side::Plan {
                binaries,
                arbitrator,
                ticket,
                full,
            };
            (plan, check)
        }
    };
    match side_by_side::run(&plan) {
        Ok(report) => {
            print!("{report}");
            if check && report.missed() > 0 {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what was measured, or what failed.
fn said(result: Result<(String, usize), String>, check: bool) -> ExitCode {
    match result {
        Ok((text, missed)) => {
            print!("{text}");
            ExitCode::from(u8::from(check && missed > 0))
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
