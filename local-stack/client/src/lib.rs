//! Client of a node's messaging daemon: process groups, membership, quorum, the shared store.
//!
//! ```no_run
//! use stack_client::{Client, Event, Guarantee};
//! # fn main() -> Result<(), stack_client::Error> {
//! let mut client = Client::connect("/run/interlock/messaging.sock".as_ref())?;
//! client.join("db")?;
//! client.send("db", Guarantee::Agreed, b"hello")?;
//! while let Some(event) = client.next(None)? {
//!     if let Event::Message { group, from, bytes } = event {
//!         println!("{group}: {} bytes of {}.{}", bytes.len(), from.node, from.client);
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # The socket
//! A unix stream socket. Both directions carry frames, integers little-endian:
//!
//! ```text
//! frame: length u32 (of what follows) | kind u8 | body
//! to the daemon    1 send     guarantee u8 (0 agreed, 1 safe) | name length u8 | group | message
//!                  2 ask      JSON {"id": n, "do": ...}, see `words::Do`
//! from the daemon  1 message  node u32 | client u64 | name length u8 | group | message
//!                  2 answer   JSON {"id": n, "ok": ...} or {"id": n, "error": {...}}
//!                  3 notice   JSON, see `words::Notice`
//! ```
//! Messages and notices come in the one order of the site: a member of a group sees its messages, and
//! who joined and left, exactly as every other member does.
//!
//! # A slow client
//! Nothing is ever dropped. A client that does not read lets its buffer at the daemon fill; then the
//! daemon delivers nothing more, its node acknowledges nothing more, and the whole site sends more
//! slowly until the client reads again. A client that reads nothing for thirty seconds in that state
//! is disconnected, named in the daemon's log, and told why. In the same way a sender waits in
//! [`Client::send`] while the site is busy.

mod client;
pub mod words;

pub use client::{Client, Error, Event, Member};
pub use words::{Guarantee, Value};
