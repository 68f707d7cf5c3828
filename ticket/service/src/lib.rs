//! The one event loop around the ticket protocol, shared by `site-agent` and `arbitrator`.
//!
//! ```text
//!  start        command line, configuration, keys, state -> everything the loop needs, or one error
//!  event_loop   select over everything below; the protocol decides, the loop carries out
//!   clock       CLOCK_BOOTTIME and its alarm; the only place where a clock is read
//!   pause       did this process, machine or real-time clock run unevenly?
//!   disk        durable state: at once to a fast disk, on a thread of its own to a slow one
//!   cluster     the site's cluster manager as the loop sees it (backends: crate site-agent)
//!   control     the control socket, a task a client; desk and watch: commands and events
//!   device      the arbitrator as quorum device of sites: beside the protocol, never part of it
//!   reload      SIGHUP; manager: what systemd is told
//!  conversion   interlock.toml in the protocol's and the link's words
//!  answer, happening, view    the protocol's words in those of the control socket
//! ```
//!
//! A daemon is [`main`] with a [`Daemon`]: its role and the backend of its cluster.

mod answer;
mod arguments;
mod clock;
mod cluster;
mod contact;
mod control;
mod conversion;
mod desk;
mod device;
mod disk;
mod event_loop;
mod happening;
mod log;
mod manager;
mod pause;
mod reload;
mod start;
mod view;
mod watch;

pub use clock::{Alarm, Clock, TEST_CLOCK_PPM, TEST_CLOCK_STEP};
pub use cluster::{Cluster, NoCluster, REPORTS_WAITING_MAX, Reports};
pub use conversion::WEAKEN_VARIABLE;
pub use log::LOG_VARIABLE;
pub use start::{Daemon, MakeCluster, main, main_with};
pub use ticket_config::Role;
