//! The arbitrator as quorum device of a site: one more vote, for the half that may go on. Sans-io.
//!
//! Of two nodes that lose sight of each other neither has a majority. An arbitrator of the geo
//! cluster lends its vote to one of them: [`Device`] decides which, [`Asker`] asks for it at each
//! node. It is a register of its own per site, never a vote about tickets, and having it starts
//! nothing: whoever takes over fences the other half first, as with any quorum.
//!
//! ```text
//! node                        arbitrator
//!  | Ask(session, view) ------> |  may this view have it?   (no: Wait)
//!  |                            |  store the view, then
//!  | <------- Vote(lease) ----- |  count the lease, with the margin, from now
//!  | counts it from the Ask     |
//! ```
//!
//! # Why no two halves have it
//! *Views that hold the vote at the same time have a node in common.* Two halves of a cut have none.
//!
//! * A node holds a vote for one view. It drops it when it leaves the view, and when the lease is
//!   over by its own clock, counted from *before* the question left ([`Rule::BoundToView`],
//!   [`Rule::FromSend`]).
//! * The device remembers, for each node that it answered, the view and an obligation: the lease
//!   from when it answered, longer by the margin for clocks of different rates
//!   ([`Rule::Margin`]). While one runs, a view that shares no node with that one gets nothing
//!   ([`Rule::Obligation`]). Who asks for another view has left its old one: that is release.
//! * A question is of one session, which the device opens and which ends with the process of either
//!   side; within it questions are numbered. One that comes late says nothing any more
//!   ([`Rule::Session`]).
//! * The views that may hold a vote are stored before the first answer for each
//!   ([`Rule::StoreFirst`]). A device that restarts counts a whole obligation for each of them
//!   ([`Rule::Restart`]); one that has lost its memory counts it against everybody but a view of
//!   all nodes, which shares a node with any ([`Rule::LostMemory`]). Renewals write nothing.
//!
//! # Which half
//! The holder first, for as long as it asks. If nobody holds it, or both did, the half with the
//! lowest node ([`Prefer`]); another one gets it if the preferred one has not asked for a while.
//!
//! # Use
//! Both halves take time as a [`Duration`] on the caller's own monotonic clock, which goes on while
//! the machine sleeps. Call `handle_*`, then take what `poll_*` gives, then wait until
//! `next_timeout`. The link below authenticates the node that asks.

mod asker;
mod device;
mod words;

pub use asker::Asker;
pub use device::{Device, Effect, Prefer, SiteConfig, Stored, StoredSite};
pub use words::{Answer, Ask, Members, Session, Undecodable, Verdict, Wish};

use std::time::Duration;

/// Clocks of two machines differ in rate by less than a hundredth: the project's bound.
const RATE_MARGIN: u32 = 100;

/// A span that is over everywhere when it is over here.
fn stretched(span: Duration) -> Duration {
    span + span / RATE_MARGIN * 2 + Duration::from_millis(1)
}

/// A safety rule that tests remove to see it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A vote is for one view, and gone with it.
    BoundToView,
    /// A lease counts from before the question left.
    FromSend,
    /// An obligation is longer than the lease, for clocks of different rates.
    Margin,
    /// While an obligation runs, no view without a common node gets the vote.
    Obligation,
    /// A question from another session, or older than the last, says nothing.
    Session,
    /// A view is stored before the first answer for it.
    StoreFirst,
    /// After a restart every stored view may hold a vote.
    Restart,
    /// After lost memory any view may hold a vote.
    LostMemory,
}

/// All of them.
#[cfg(test)]
const RULES: [Rule; 8] = [
    Rule::BoundToView,
    Rule::FromSend,
    Rule::Margin,
    Rule::Obligation,
    Rule::Session,
    Rule::StoreFirst,
    Rule::Restart,
    Rule::LostMemory,
];

#[cfg(test)]
mod simulated;
