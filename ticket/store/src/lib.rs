//! Durable state of a member: a two-slot file.
//!
//! A member's promises are worth as much as its memory, so this crate does two things: what
//! [`Store::write`] has returned for survives any crash, and a memory that is damaged, missing or
//! older than it should be is called that ([`Loaded::Lost`]) and never passed off as whole.
//!
//! ```text
//!  state file   header | slot 0 | slot 1        writes alternate between the slots
//!  slot         sectors of 512 bytes, each with its own checksum and write counter
//!  lock         held (flock) while the store is open: one process per state directory
//!  high water   optional, elsewhere (on /run): the counter last acknowledged
//! ```
//!
//! Every sector proves itself, which tells a torn write from a damaged one: a write that a crash
//! cut short leaves whole sectors of two writes; it was never acknowledged, so the other slot is
//! the truth and nothing was lost. A sector whose checksum fails is damage: what it held may have
//! been acknowledged, so the memory is lost, however good the other slot looks.
//!
//! [`slots`] is pure (bytes in, bytes out), so that a simulated disk can use it; [`Store`] adds
//! the file.

pub mod slots;
mod store;

pub use slots::{Damage, Ids};
pub use store::{Loaded, Loss, OpenError, Options, STATE_BYTES_MAX, Store, WriteError};
