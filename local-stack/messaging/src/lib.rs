//! The messaging daemon of a node: membership and total order on real networks.
//!
//! ```text
//!  clients ---- unix socket ----+                          client, crate stack-client
//!                               v
//!   store, groups  <------>  engine: one loop  <------> membership (sans-io: views, order, quorum)
//!                               |    ^
//!             transport: paths, frames, sealed datagrams, sockets (several networks)
//!                                    ^ keys
//!             keys: one QUIC link per network (crate link): who is there, by certificate
//! ```
//!
//! # Why not QUIC all the way
//! It was measured (`bench transport`): at 1,400 byte packets between two namespaces, quinn's datagrams
//! cost six times the processor time per byte of our own sealed ones, and end far below what the ring
//! needs on the same machine; streams are no better. So QUIC, with certificates at both ends, decides
//! who is there and hands over keys (`keys.rs`); what the ring says travels in datagrams under those
//! keys (`seal.rs`), many in one system call, with the ring's window as the only flow control.
//!
//! # Several networks
//! Up to eight, `path.rs` says which carries what. A network that fails changes no view as long as
//! another one works.
//!
//! # What a client may rely on
//! See the crate `stack-client`.

mod answers;
mod changes;
mod clients;
mod config;
mod daemon;
mod device;
mod disk;
mod engine;
mod frame;
pub mod import;
mod keys;
mod nodes;
mod path;
mod seal;
mod socket;
mod store;
mod transport;
mod wire;

pub use config::{
    Config, ConfigError, DEFAULT_PORT, DeviceTable, NETWORKS_MAX, NODES_MAX, Network, NodeConfig,
    Preset, QuorumTable, ROLE,
};
pub use daemon::{Daemon, StartError, run};
pub use path::Mode;
