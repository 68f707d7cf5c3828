//! Real processes on loopback: grants, kills, revokes, restarts, and every kind of bad input.

mod bad_input;
mod cluster;
mod life;
mod manager;

use cluster::ARBITRATOR_VARIABLE;
use ticket_service::{Daemon, NoCluster, Role};

/// Not a test of its own: the process that plays the arbitrator is this program with this name.
#[test]
fn plays_the_arbitrator() {
    let Some(config) = std::env::var_os(ARBITRATOR_VARIABLE) else {
        return;
    };
    let daemon = Daemon {
        program: "arbitrator",
        role: Role::Arbitrator,
        cluster: |_config, _clock, _reports| Ok(Box::new(NoCluster)),
    };
    let words = ["--config".to_owned(), config.to_string_lossy().into_owned()];
    let code = ticket_service::main_with(&daemon, words);
    let good = format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS);
    std::process::exit(if good { 0 } else { 1 });
}
