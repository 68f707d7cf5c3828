//! The local stack's control socket and the guard's: words shared by agent, node, guard and tools.
//!
//! Both sockets are unix stream sockets that carry one JSON object per line. A request is
//! `{"id":1,"do":{...}}`, its answer `{"id":1,"ok":{...}}` or
//! `{"id":1,"error":{"code":105,"name":"no-such-object","message":"...","hint":"..."}}`; answers come in
//! the order of the requests. After [`stack::Do::Subscribe`] the daemon also sends `{"event":{...}}`
//! lines between answers.
//!
//! * [`stack`]: requests, answers and events of the local stack's control socket;
//! * [`guard`]: the same for the guard's socket;
//! * [`envelope`]: what both have in common;
//! * [`mod@line`]: framing without I/O, for any runtime;
//! * [`client`]: a small blocking client with deadlines;
//! * [`peers`]: the daemon's side;
//! * [`clock`]: `CLOCK_BOOTTIME` as every process of a node reads it, and the boot id.
//!
//! All instants named `*_ns` are nanoseconds on `CLOCK_BOOTTIME` of this node. Terms are the packed
//! 64-bit numbers of the ticket protocol and compare as numbers.

pub mod client;
pub mod clock;
pub mod envelope;
pub mod error;
pub mod guard;
pub mod line;
pub mod peers;
pub mod stack;

pub use client::{Client, ClientError};
pub use error::{ErrorBody, ErrorCode};
pub use line::{LineBuffer, LineError};
