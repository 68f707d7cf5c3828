//! What must always hold: one invariant per file, checked over a plain history of events.
//!
//! The checker knows nothing of messages, ballots or processes. It reads what an outside witness
//! can see on **one** clock: who claims a ticket until when, what runs where, what operators asked
//! and were told, what reached a disk before which answer left. The simulator feeds it event by
//! event; the demo's and the lab's witness feed it the history of real runs through [`History`].
//!
//! | file | invariant |
//! |---|---|
//! | [`one_holder`] | at no instant two sites both hold one ticket |
//! | [`one_site`] | at no instant a ticketed resource runs at two sites |
//! | [`lease_binds`] | nothing runs past its lease and the stop budget, whoever is dead |
//! | [`term_grows`] | every grant has a greater term than all before it |
//! | [`acknowledged`] | what an operator was told is done stays done |
//! | [`durable_first`] | no answer before what it promises is on disk |
//! | [`one_owner`] | moves end with one owner and leave no standby behind |
//! | [`liveness`] | after healing every automatic ticket has a holder within a bound |
//! | [`fenced_store`] | a store that compares terms accepts no stale writer |
//!
//! Every checker is incremental and allocates nothing while the history is good: the simulator
//! passes some hundred thousand events per second through them.

pub mod acknowledged;
mod checker;
pub mod durable_first;
pub mod fenced_store;
mod history;
pub mod lease_binds;
pub mod liveness;
pub mod one_holder;
pub mod one_owner;
pub mod one_site;
mod table;
pub mod term_grows;
mod violation;

pub use checker::{Checker, check};
pub use history::{
    Answer, Ask, Entry, Event, History, HistoryError, Nanos, Setup, Site, TicketId, TicketSetup,
    epoch_of,
};
pub use violation::{Violation, Violations};

#[cfg(test)]
mod tests;
