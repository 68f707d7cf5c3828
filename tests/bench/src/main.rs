//! Side-by-side measurements: Interlock and the anchor, in one run, on one machine, with the same
//! work to do. Prints medians and ratios; with `--check` a missed goal is a failure.
//!
//! `bench booth` needs root (network namespaces) and installs Debian's booth if it is missing.

mod booth;
mod figures;
mod hosts;
mod interlock;
mod process;
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
        /// More grants, and failovers too (ten on each side, some minutes).
        #[arg(long)]
        full: bool,
        /// Exit 1 when a goal is missed.
        #[arg(long)]
        check: bool,
    },
    /// What could carry the ring's packets: QUIC datagrams, a QUIC stream, sealed datagrams.
    Transport,
}

fn main() -> ExitCode {
    let (binaries, arbitrator, full, check) = match Arguments::parse().what {
        What::Transport => return transport(),
        What::Booth {
            binaries,
            arbitrator,
            full,
            check,
        } => (binaries, arbitrator, full, check),
    };
    let plan = side_by_side::Plan {
        binaries,
        arbitrator,
        full,
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

fn transport() -> ExitCode {
    match transport::run() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
