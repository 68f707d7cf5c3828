//! Decides how nodes are fenced. Sans-io.
//!
//! [`Fencer`] is told everything as an argument: the devices and the topology that the configuration
//! names, who is a member, requests, results of fence agents, time and randomness. It gives back which
//! fence agent is to be run where ([`Fencer::poll_effect`]), and at last how each request ended. The
//! order of calls: any number of `handle_*`, then `poll_effect` until it gives none, then wait for the
//! next input or [`Fencer::next_timeout`].
//!
//! A request is confirmed only after every device of one level has reported success to this fencer, a
//! person has said that the node is down, or another fencer has said that it did it. What cannot be
//! known here is whether a fence agent lies.
//!
//! * [`config`]: devices and topology, out of the CIB;
//! * [`Fencer`]: inputs, effects, history;
//! * `request`: the state machine of one request;
//! * `plan`: which devices, in which order, on which node.

pub mod config;

mod fencer;
mod plan;
mod request;
mod types;

pub use config::{Device, Facts, Level, Target, devices, topology};
pub use fencer::{Fencer, Settings};
pub use types::*;
