//! Runs resource agents under their contract: environment, timeouts, exit codes.
//!
//! * [`agent`]: what is run and how it ended;
//! * [`class`]: the classes of agents: OCF, systemd, init scripts, plugins, upstart;
//! * [`collect`]: what an agent left running, even where it hides;
//! * [`descriptors`]: none of ours reaches an agent;
//! * [`device`]: resources of class `stonith`, which the fencer carries out;
//! * [`environment`]: what an OCF agent finds in its environment;
//! * [`process`]: one run of an agent: own process group, working directory `/`, no descriptors but
//!   0 to 2, bounded capture, a timeout that ends the whole group; it waits for the agent's exit, never
//!   for the end of its pipes, which a daemon that the agent started may hold open for ever;
//! * [`lane`]: the operations of one resource, one at a time, recurring ones included;
//! * [`metadata`]: what an agent says of itself;
//! * [`orphans`]: agents that a killed daemon left behind;
//! * [`rc`]: the exit codes;
//! * [`secrets`]: what must not be written down.
//!
//! Agents get no death signal: a restart of the daemon leaves every resource running.

pub mod agent;
pub mod class;
pub mod collect;
pub mod descriptors;
pub mod device;
pub mod environment;
pub mod lane;
pub mod metadata;
pub mod orphans;
pub mod process;
pub mod rc;
pub mod secrets;

mod call;
mod capture;
mod executor;

pub use agent::{Agent, Operation, Outcome, Status};
pub use call::{CallId, Report};
pub use executor::{Busy, Executor, Settings};
