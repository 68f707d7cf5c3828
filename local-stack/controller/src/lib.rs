//! Executes transitions and keeps history. Sans-io.
//!
//! [`Controller`] is told everything as an argument (`handle_*`: leases, results of operations, the
//! guard, changes of the configuration, time), asks the scheduler what to do, and gives back what has
//! to be done ([`Controller::poll_effect`]). The order of calls: any number of `handle_*`, then
//! `poll_effect` until it gives none, then wait for the next input or [`Controller::next_timeout`].
//!
//! A transition is never waited for as a whole: when something changes, the scheduler is asked again
//! at once. An action of the new transition that equals one in flight joins it; one for a resource that
//! is busy waits for that resource alone.
//!
//! * [`Controller`]: inputs, effects, queries;
//! * [`types`]: what goes in and out;
//! * [`dependents`]: what the configuration says about tickets;
//! * `call`: an operation under way;
//! * `execute`: carrying a transition out;
//! * `fence`: fencing;
//! * `gate`: leases, terms, the guard's arming;
//! * `graph`: one transition under way;
//! * `record`: the status section.

pub mod dependents;
pub mod types;

mod call;
mod controller;
mod execute;
mod fence;
mod gate;
mod graph;
mod record;
mod tickets;
mod view;

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

pub use controller::{Controller, Settings, Start};
pub use types::*;
pub use view::{Check, DependentView, ResourceView, Shown, TicketView};
