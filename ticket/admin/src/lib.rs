//! The control socket of `site-agent` and `arbitrator`: requests, answers, and a client that never
//! waits for ever.
//!
//! # Protocol
//!
//! Newline-delimited JSON over a unix stream socket. A client sends one [`Request`] a line and
//! reads [`Response`] lines carrying the same `id`:
//!
//! ```text
//! -> {"version":1,"id":1,"do":{"act":{"request":"3f2a…","ticket":"db","verb":{"revoke":{}},"wait_ms":60000}}}
//! <- {"id":1,"progress":{"phase":"waiting for berlin to confirm its stop","until_ms":20500}}
//! <- {"id":1,"ok":{"outcome":{"ticket":"db","summary":"db is revoked","term":"…"}}}
//! ```
//!
//! `progress` may come any number of times, then exactly one of `ok` and `error`. A
//! [`Call::Watch`] is answered by `event` lines until either side closes.
//!
//! # Time
//!
//! Spans are milliseconds relative to the moment of the answer (`left_ms`, `in_ms`, `ago_ms`):
//! members' clocks are not synchronised, so no absolute time of one member means anything to
//! another. The command line turns them into times of day by its own clock.
//!
//! # Compatibility
//!
//! Every answer type tolerates missing and unknown fields, so that a newer daemon can answer an
//! older command line and the other way round. [`API_VERSION`] changes only when that is not enough;
//! a daemon answers a version that it does not know with [`Code::Protocol`].

mod call;
mod client;
mod code;
mod view;

pub use call::{
    Action, Answer, Body, Call, Check, Event, Failure, Level, Outcome, ParseRequestIdError, Plan,
    Progress, Request, RequestId, Response, Step, Verb,
};
pub use client::{Client, ClientError};
pub use code::Code;
pub use view::{
    Certificate, Dependent, Forced, Hold, Lease, MemberState, MemberView, Mode, MoveView, NodeView,
    Role, Takeover, TicketState, TicketView, Traffic, View, VoteView, Votes,
};

/// Version of this protocol: raised when an older side could misunderstand a newer one.
pub const API_VERSION: u32 = 1;

/// Longest line either side accepts, in bytes. A view of 1,000 tickets with 7 votes each is about
/// 1 MB; four times that leaves room, and a peer that sends more is broken or hostile.
pub const LINE_MAX: usize = 4 << 20;

/// Longest text an operator may give as the reason of a forced grant, in bytes: it is stored in the
/// ticket's register, which travels in one datagram.
pub const REASON_MAX: usize = 256;
