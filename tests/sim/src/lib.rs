//! All members of a cluster in one process under virtual time, with every fault.
//!
//! The real protocol crate runs here, unchanged: [`World`] gives it clocks that drift, datagrams
//! that are lost, doubled and late, disks that tear, lie and forget, clusters that hang and fail,
//! and operators that get in each other's way; [`oracle`] judges what a witness would have seen.
//! Everything is derived from one seed ([`Plan::from_seed`]), so one number reproduces a run.
//!
//! What is *not* here: TLS and QUIC (the link drops what it cannot authenticate before the
//! protocol sees it), the real local stack and guard (one resource per ticket stands for them),
//! and clocks that stand still with their machine (the shell must find that; here it only says
//! so, see [`Fault::RealTimeStep`]).

pub mod clock;
mod cluster;
pub mod dice;
pub mod disk;
mod doubt;
mod effects;
pub mod faults;
mod member;
mod nemesis;
pub mod network;
mod operator;
pub mod plan;
pub mod report;
pub mod rules;
pub mod run;
pub mod scenario;
pub mod schedule;
mod setup;
pub mod site;
pub mod sweep;
mod traps;
mod world;

pub use faults::{Fault, Faults};
pub use plan::Plan;
pub use report::Stats;
pub use rules::{Caught, catch};
pub use run::{Result, run};
pub use scenario::{SCENARIOS, Scenario};
pub use sweep::{Bound, Sweep, determinism, sweep};
pub use world::World;

#[cfg(test)]
mod tests;
