//! The voter of a site, and the hand that moves its cluster.
//!
//! The event loop and the protocol are those of `ticket-service`; here are the backends that drive
//! a cluster manager.

mod cluster;

use std::process::ExitCode;

fn main() -> ExitCode {
    ticket_service::main(&ticket_service::Daemon {
        program: "site-agent",
        role: ticket_service::Role::Site,
        cluster: cluster::backend,
    })
}
