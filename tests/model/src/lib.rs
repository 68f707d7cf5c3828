//! A model checker for the ticket protocol: two sites and an arbitrator, in every order of events
//! that a small world allows.
//!
//! The acceptors are the protocol's own code; proposers and holders are modelled here by the rules
//! of the design, in a few lines each. The network keeps all that was ever sent: whatever is in it
//! may arrive at any later time, in any order, any number of times, or never. Clocks go at the slow
//! or the fast end of the bound, each member at its own.
//!
//! What is bounded: the number of grants, renewals, releases and crashes ([`Bounds`]), and the time.
mod search;
mod site;
mod world;

pub use search::{Found, search};
pub use world::{Bounds, Crash, World};

#[cfg(test)]
mod tests;
