//! Backends: how a site's cluster is driven.
//!
//! ```text
//!  worker      a mailbox and a task a ticket; trait Driver, what a kind of cluster does
//!   stack      driver: our local stack
//!   command    driver: an external command
//!  guard       deadlines to the guard, and what it holds
//!  asker, connection    the sockets of guard and stack; run: processes with a deadline
//! ```

mod asker;
mod command;
mod connection;
mod guard;
mod run;
mod stack;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ticket_config::{ClusterManager, Config, Mode};
use ticket_protocol::TicketName;
use ticket_service::{Clock, Cluster, Reports};

use self::command::CommandDriver;
use self::guard::GuardClient;
use self::stack::StackDriver;
use self::worker::Backend;

/// The backend that the configuration asks for.
///
/// # Errors
/// The site has no cluster manager that can be driven.
pub(crate) fn backend(
    config: &Config,
    clock: Clock,
    reports: Reports,
) -> Result<Box<dyn Cluster>, String> {
    let site = config.member.clone().unwrap_or_default();
    let manual: BTreeSet<TicketName> = config
        .tickets
        .iter()
        .filter(|ticket| ticket.mode == Mode::Manual)
        .map(|ticket| TicketName(ticket.name.clone()))
        .collect();
    let auto = config
        .tickets
        .iter()
        .filter(|ticket| ticket.mode == Mode::Auto);
    match &config.cluster_manager {
        ClusterManager::None => Ok(Box::new(worker::Nothing::new(reports))),
        ClusterManager::LocalStack {
            socket,
            guard,
            timeout,
        } => {
            let settings = stack::Settings {
                socket: socket.clone(),
                timeout: *timeout,
                manual,
                leases: auto
                    .map(|ticket| (TicketName(ticket.name.clone()), ticket.lease))
                    .collect(),
                site,
            };
            let guard = guard.as_deref().map(connect_guard);
            let driver = StackDriver::start(settings, clock, guard, reports.clone());
            Ok(Box::new(Backend::new(Arc::new(driver), reports)))
        }
        ClusterManager::Command {
            command,
            guard,
            timeout,
        } => {
            let (program, leading) = command
                .split_first()
                .ok_or("[cluster-manager] command is empty")?;
            let budgets = config.tickets.iter();
            let settings = command::Settings {
                program: PathBuf::from(program),
                leading: leading.to_vec(),
                timeout: *timeout,
                stop_budgets: budgets
                    .map(|it| (TicketName(it.name.clone()), it.stop_budget))
                    .collect::<BTreeMap<_, _>>(),
                manual,
                site,
            };
            let guard = guard.as_deref().map(connect_guard);
            let driver = CommandDriver::new(settings, clock, guard, reports.clone());
            Ok(Box::new(Backend::new(Arc::new(driver), reports)))
        }
    }
}

fn connect_guard(path: &Path) -> GuardClient {
    GuardClient::start(path.to_path_buf())
}
