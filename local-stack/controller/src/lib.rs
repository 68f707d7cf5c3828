//! Executes transitions and keeps history. Sans-io.
//!
//! [`Controller`] is told everything as an argument (`handle_*`: leases, results of operations, the
//! guard, changes of the configuration, time), asks the scheduler what to do, and gives back what has
//! to be done ([`Controller::poll_effect`]). The order of calls: any number of `handle_*`, then
//! `poll_effect` until it gives none, then wait for the next input or [`Controller::next_timeout`].
//!
//! # One node or several
//! [`Controller::new`] is a site of one node. [`Controller::in_ring`] is one node of several, joined by
//! messaging: it is told views and messages ([`Controller::handle_view`],
//! [`Controller::handle_message`]) and says what [`Effect::Send`] holds. All hold the same CIB (crate
//! `replica`); one of them, which the agreement of each round names without an election, coordinates:
//!
//! ```text
//! coordinator:  CIB -> scheduler -> graph -> orders ---+          every node:  order -> gate -> agent
//!                ^                                     |                                          |
//!                +--- result, in the site's order <----|------------------------------------------+
//! ```
//! A result is a change of the CIB like any other, so that every node knows it at the same place of the
//! order, and a new coordinator finds everything but what is under way; that each node tells it with its
//! first word of the round ([`replica::Hello::flying`]).
//!
//! # Transitions
//! A transition is never waited for as a whole: when something changes, the scheduler is asked again
//! at once. An action of the new transition that equals one in flight joins it; one for a resource that
//! is busy waits for that resource alone.
//!
//! * [`Controller`]: inputs, effects, queries;
//! * [`types`]: what goes in and out;
//! * `attributes`: transient node attributes;
//! * [`dependents`]: what the configuration says about tickets;
//! * `call`: an operation under way, on its node and at the coordinator;
//! * `coordinate`: the coordinator's part, carrying a transition out;
//! * `execute`: each node's part, running what is ordered;
//! * `fence`: fencing;
//! * `gate`: leases, terms, the guard's arming;
//! * `graph`: one transition under way;
//! * `record`: from results to the status section;
//! * `ring`: several nodes.

pub mod dependents;
pub mod types;

mod attributes;
mod call;
mod controller;
mod coordinate;
mod execute;
mod fence;
mod gate;
mod graph;
mod record;
mod ring;
mod tickets;
mod view;

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

pub use controller::{Controller, Ring, Settings, Start};
pub use replica::{Answer, Round, View};
pub use types::*;
pub use view::{Check, DependentView, ResourceView, Shown, TicketView};
