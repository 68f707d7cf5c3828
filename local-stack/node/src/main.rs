//! The local stack: one daemon per node, and its operator's verbs.
//!
//! `local-stack daemon` wires configuration (`cib`), scheduler, controller and executor to the outside:
//! agents, the guard, the control socket, the disk. Everything that decides is in those crates; here
//! are only sockets, files, timers and the loop.

mod cli;
mod control;
mod convert;
mod daemon;
mod disk;
mod explain;
mod guard_link;
mod messaging;
mod render;
mod ring;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
