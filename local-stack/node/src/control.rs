//! The control socket: who is served, and what is answered until the end.

use stack_api::peers::{self, Peers};
use stack_api::stack::{Answer, Do, Event};

/// Most connections at once: agents and tools of one node.
pub(crate) const PEERS_MAX: usize = 256;

/// What a peer did.
pub(crate) type Input = peers::Input<Do>;

/// Everybody who is connected.
pub(crate) type Control = Peers<Do, Answer, Event>;

/// Whether a request may be answered while the daemon ends.
pub(crate) fn is_query(request: &Do) -> bool {
    matches!(
        request,
        Do::Status
            | Do::TicketStatus(_)
            | Do::Subscribe
            | Do::CibQuery { .. }
            | Do::Shutdown
            | Do::Lease(_)
    )
}
