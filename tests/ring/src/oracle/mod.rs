//! The properties of extended virtual synchrony, one per file. Each sees every delivery and keeps
//! what it needs; a breach is a sentence.
//!
//! They are asked a thousand million times, so they look things up by place: processes are counted
//! from 0 as they start ([`Process`]), and what belongs to a view is found again only when a process
//! changes its view.

mod content;
mod convergence;
mod one_list;
mod one_quorate;
mod promises;
mod same_order;
mod same_process;
mod self_delivery;
mod stored_everywhere;
mod views;
mod virtual_synchrony;

use membership::{Guarantee, NodeSet, View, ViewId};

pub use content::{Letter, read, write};
pub use convergence::settled;
pub use one_list::OneList;
pub use one_quorate::OneQuorate;
pub use promises::Promises;
pub use same_order::SameOrder;
pub use same_process::SameProcess;
pub use self_delivery::SelfDelivery;
pub use stored_everywhere::StoredEverywhere;
pub(crate) use views::Views;
pub use virtual_synchrony::VirtualSynchrony;

/// A process, as the world counts them.
pub type Process = u32;

/// A message's name: the sender's process and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The sender.
    pub process: Process,
    /// Its how-manyeth message, from 1.
    pub count: u32,
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

/// The entry of a process, made if it has none.
fn entry<T: Default>(entries: &mut Vec<T>, process: Process) -> &mut T {
    let at = process as usize;
    if at >= entries.len() {
        entries.resize_with(at + 1, T::default);
    }
    &mut entries[at]
}
