//! A whole cluster in one process under virtual time: the real controllers, replicas and scheduler;
//! a model of messaging, agents, disks and fencing devices.
//!
//! Messaging is modelled by what extended virtual synchrony promises (`wire.rs`), and by no more than
//! that: who leaves a view together has delivered the same, the rest is chance. The membership core
//! itself has its own simulator (`ring-sim`).
//!
//! One seed is one run: everything is drawn from it, and two runs of a seed have the same hash. Faults
//! come for some minutes; then everything is healed, and the cluster has to come to rest.

mod agent;
mod host;
pub mod oracle;
mod random;
mod wire;
mod world;

pub use world::{Report, World, run_seed};
