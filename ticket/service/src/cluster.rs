//! What the event loop wants of a site's cluster.

use std::future::Future;
use std::pin::Pin;

use ticket_admin::{Dependent, NodeView};
use ticket_protocol::{ClusterCommand, ClusterReport, TicketName};
use tokio::sync::mpsc;

/// Reports that wait for the event loop, which takes all of them each turn; a backend that finds
/// the queue full waits in its own task.
pub const REPORTS_WAITING_MAX: usize = 256;

/// Where a backend's reports go.
pub type Reports = mpsc::Sender<ClusterReport>;

/// A site's cluster manager, as the event loop drives it.
///
/// Work is done in the backend's own tasks, each step with a deadline; the outcome comes back as a
/// [`ClusterReport`]. A backend that hangs therefore never holds up the loop, and a stop that
/// failed or hangs is reported as still running.
pub trait Cluster {
    /// Takes a command and returns at once. Commands of one ticket take effect in order, or not at
    /// all where a later one makes an earlier one pointless.
    fn command(&mut self, command: ClusterCommand);

    /// The site's nodes with the protection of each, for `status`. From memory.
    fn nodes(&self) -> Vec<NodeView>;

    /// What depends on a ticket, for `show`. From memory.
    fn dependents(&self, ticket: &TicketName) -> Vec<Dependent>;

    /// The longest time that stopping a ticket's dependents may take, where the cluster knows it.
    /// In milliseconds, from memory.
    fn stop_budget_ms(&self, ticket: &TicketName) -> Option<u64>;

    /// The daemon ends cleanly. A cluster whose deadlines nothing else enforces stops here what it
    /// runs under a lease; all others leave it to the guard. Bounded by the backend's own timeouts.
    fn shut_down(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// No cluster: an arbitrator's.
#[derive(Debug, Default)]
pub struct NoCluster;

impl Cluster for NoCluster {
    fn command(&mut self, command: ClusterCommand) {
        // An arbitrator proposes nothing for itself; only a defect of the protocol leads here.
        tracing::error!(?command, "a command for a cluster that does not exist");
    }

    fn nodes(&self) -> Vec<NodeView> {
        Vec::new()
    }

    fn dependents(&self, _ticket: &TicketName) -> Vec<Dependent> {
        Vec::new()
    }

    fn stop_budget_ms(&self, _ticket: &TicketName) -> Option<u64> {
        None
    }
}
