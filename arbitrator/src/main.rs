//! The voter of a third site: the event loop of `ticket-service` without a cluster.

use std::process::ExitCode;

use ticket_service::{Daemon, NoCluster, Role};

fn main() -> ExitCode {
    ticket_service::main(&Daemon {
        program: "arbitrator",
        role: Role::Arbitrator,
        cluster: |_config, _clock, _reports| Ok(Box::new(NoCluster)),
    })
}
