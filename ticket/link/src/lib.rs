//! QUIC links between members: identity, dialling, datagrams, statistics.
//!
//! A [`Link`] keeps one connection to every configured [`Peer`], proven by certificate in both
//! directions, for as long as it exists: it resolves names, dials, accepts, reconnects, and picks
//! one connection when both sides dial at once. It carries messages and knows nothing of what is
//! in them. [`Link::send`] never blocks and promises nothing; [`Events`] reports messages and who
//! can be reached.
//!
//! ```text
//!  identity, credentials, ca   who a member is; its key; the authority that vouches for it
//!  crypto, tls                 TLS 1.3 both ways; nothing turns it off
//!  address, resolve            where a member may be found (hickory behind the trait Resolve)
//!  runtime                     the only place that touches UDP sockets and quinn's runtime
//!  table                       which connection to a peer counts (pure; the decisions are here)
//!  connection, dial, link      the tasks around it
//! ```
//!
//! Cluster, role and name are parameters: the link gives them no meaning, so that it serves the
//! members of a cluster as well as the nodes of a site.

mod accept;
mod address;
pub mod ca;
mod config;
mod connection;
mod credentials;
mod crypto;
mod dial;
mod endpoint;
mod event;
mod failure;
mod frame;
mod identity;
mod link;
mod resolve;
mod runtime;
mod shared;
mod stats;
mod table;
mod tls;

pub use address::{Address, AddressError};
pub use bytes::Bytes;
pub use config::{DEFAULT_PORT, LinkConfig, Peer, Timing};
pub use credentials::{Credentials, CredentialsError, Pki};
pub use event::{Event, Events, MESSAGES_MAX};
pub use frame::MESSAGE_BYTES_MAX;
pub use identity::{Identity, IdentityError, NAME_BYTES_MAX};
pub use link::{Link, LinkError, SendError};
pub use resolve::{ADDRESSES_MAX, Resolution, Resolve, ResolveError, SystemNames};
pub use runtime::LinkSocket;
pub use stats::{Counters, LinkStats, PeerStats};
