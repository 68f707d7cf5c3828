//! One CIB on all nodes of a site: ordered changes, joins, what is durable where. Sans-io.
//!
//! Every node holds a [`Replica`]. What changes the CIB is a message of the site's one order
//! ([`Word::Change`]) that every node applies when it is delivered, so that nodes which have delivered
//! the same messages hold the same CIB (state machine replication: Schneider 1990). The order, the
//! views and the quorum come from the crate `membership`; this crate relies on extended virtual
//! synchrony: who passes from one view to the next together has delivered the same in between.
//!
//! * inputs: [`Replica::handle_view`], [`Replica::handle_word`], [`Replica::handle_stored`],
//!   [`Replica::handle_timeout`], and [`Replica::propose`] for a change of our own;
//! * outputs: [`Replica::poll`] until empty, then [`Replica::next_timeout`].
//!
//! # Rounds
//! After each view change, and when a daemon begins to listen in the middle of a view, the nodes agree
//! in one *round* on what they hold (`sync.rs`):
//!
//! ```text
//!          view, or somebody attaches            everybody has said hello
//! Active -----------------------------> Gathering -----------------------> Moving
//!   ^                                        |  all hold the same copy        |
//!   +----------------------------------------+                                |
//!   +-------------------------------------------------------------------------+
//!                    the chosen copy, and each other node's own part, are here
//! ```
//! Nothing is applied between the rounds: a change belongs to the round that it was sent in, and its
//! sender sends it again in the next one if it was not delivered. Numbers per sender keep it from being
//! applied twice.
//!
//! # Which copy wins
//! The one of the last *quorate* round, whatever its version says. Each quorate round takes an **era**,
//! one more than any that its members know. Changes of the configuration begin only once the era is on
//! the disks of a quorum, so that two sides can never hold different changes of one era: a later quorate
//! round shares a member with every earlier one, learns its era from it, and takes a greater one.
//! Within one era the later version wins, since all of it came in one order. The loser's configuration
//! is kept and shown ([`Output::Lost`]).
//!
//! # Acknowledged
//! A change of the configuration is acknowledged ([`Output::Answer`]) once a majority of the expected
//! votes has it on disk, or every member of the round has. The status section is not durable: what runs
//! is found out anew by who starts.

mod change;
mod choice;
mod record;
mod replica;
mod sync;
mod words;

pub use change::{Applied, Change, Ended, Failure, NodeRef};
pub use record::{INFINITY, failures_of, transients};
pub use replica::{Output, Replica, SKIP_AFTER_NS, Start, View};
pub use words::{Answer, Command, Hello, OrderId, Round, Standing, Word};

#[cfg(test)]
mod tests;
