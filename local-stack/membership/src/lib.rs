//! Membership, total order and quorum between the nodes of a site. Sans-io.
//!
//! [`Node`] is one member's whole state. The caller hands in packets, time and what the application
//! wants to send, and takes out packets and deliveries:
//!
//! * inputs: [`Node::submit`], [`Node::handle_packet`], [`Node::handle_timeout`];
//! * outputs: [`Node::poll_packet`] until empty, [`Node::poll_delivery`] as fast as the application
//!   likes, [`Node::next_timeout`] afterwards;
//! * `now` never goes backwards; packets may be lost, duplicated and reordered, never forged: the
//!   link below authenticates their sender.
//!
//! # What it promises: extended virtual synchrony
//! (Moser, Amir, Melliar-Smith, Agarwal: *Extended Virtual Synchrony*, ICDCS 1994.) Messages are
//! delivered in *views*; two nodes that pass from one view to the next together have delivered the
//! same messages in between, everybody in one order, a node its own messages too, and a *safe*
//! message only when every member of the view has stored it. At a partition's end a *transitional*
//! view tells which members came along; what could not be promised to the whole old view is
//! delivered within it.
//!
//! # How, and why not a token
//! Each message carries a sequence number of its view *before* it leaves its sender, as in the
//! Totem single-ring protocol, so that whoever holds a message knows its place. There the number
//! comes from a rotating token; here the view's coordinator hands out ranges of numbers on request
//! (`order.rs`). An idle site is then really idle (nothing rotates), a lone message costs one round
//! trip to the coordinator instead of half a rotation, and a lost packet never stops everybody. Who
//! is there is agreed by exchanging candidate sets until they are equal, then committed by the
//! coordinator in two rounds:
//!
//! ```text
//!            suspicion, foreign view, join          all sets equal, proposal
//! Operational ------------------------> Gather ---------------------------> Recover
//!      ^                                  ^  \ sets differ: merge, again        |
//!      |                                  +---+                                 |
//!      |            a member fails, a deadline passes  <------------------------+
//!      +------------------------------------------------------------------------+
//!                    everybody holds what anybody held: install
//! ```

mod changes;
mod config;
mod detector;
mod gather;
mod groups;
mod ids;
mod log;
mod message;
mod node;
mod order;
mod quorum;
mod ranges;
mod recovery;
mod roster;
mod sender;
mod timer;
mod traffic;

pub use config::Config;
pub use detector::Cause;
pub use groups::{GroupEvent, Groups};
pub use ids::{NodeId, NodeSet, Time, View, ViewId};
pub use message::{Chunk, Envelope, Guarantee, MemberInfo, Packet, Place};
pub use node::{Delivery, Full, Node, Status, Weakness};
pub use quorum::{Quorum, QuorumConfig, QuorumState};
pub use ranges::Ranges;
pub use roster::{Change, NodeList, Roster, RosterEvent};
