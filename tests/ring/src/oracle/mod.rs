//! The properties of extended virtual synchrony, one per file. Each sees every delivery and keeps
//! what it needs; a breach is a sentence.

mod convergence;
mod promises;
mod same_order;
mod same_process;
mod self_delivery;
mod stored_everywhere;
mod virtual_synchrony;

use membership::{Guarantee, NodeSet, View, ViewId};

pub use convergence::settled;
pub use promises::Promises;
pub use same_order::SameOrder;
pub use same_process::SameProcess;
pub use self_delivery::SelfDelivery;
pub use stored_everywhere::StoredEverywhere;
pub use virtual_synchrony::VirtualSynchrony;

/// A message's name: the sender's process and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The sender's incarnation.
    pub process: u64,
    /// Its how-manyeth message.
    pub count: u64,
}

/// One delivery, as a process saw it.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A message.
    Message {
        /// The view in which it was sent.
        view: ViewId,
        /// Its number there.
        seq: u64,
        /// Its name.
        id: MessageId,
        /// Its guarantee.
        guarantee: Guarantee,
    },
    /// The view ended; with these it goes on.
    Transitional(ViewId, NodeSet),
    /// A new view.
    View(View),
}
