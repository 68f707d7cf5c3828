//! The dead-man of a node: ends what runs past its lease.
//!
//! The guard is a separate process so small that little can happen to it: its memory is locked and it
//! runs ahead of others where that is permitted, and while something is armed it reads nothing but
//! `/proc` and its socket. The local stack arms it before anything gated starts; the site agent tells
//! it each deadline. At a deadline plus the stop budget it kills everything that was started under
//! the term, over and over until nothing is left, and resets the node where killing proves nothing and
//! a reset is permitted.
//!
//! * [`table`]: deadlines and terms, without I/O;
//! * [`processes`]: finding and killing by marker;
//! * [`reset`]: watchdog and node reset;
//! * [`enforce`]: what is done when a deadline is over;
//! * [`server`]: the socket and the loop;
//! * [`timer`]: a timer on `CLOCK_BOOTTIME`, also for the local stack.

pub mod enforce;
pub mod processes;
pub mod reset;
pub mod server;
pub mod table;
pub mod timer;

mod log;
mod memory;
