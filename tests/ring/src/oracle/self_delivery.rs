//! *Self-delivery* and order of sending: a process delivers its own messages, all of them, in the
//! order in which it sent them; the messages of any process arrive in that order.

use std::collections::HashMap;

use super::Seen;

/// The oracle.
#[derive(Default)]
pub struct SelfDelivery {
    /// By receiver and sender: the last count delivered.
    last: HashMap<(u64, u64), u64>,
}

impl SelfDelivery {
    /// A process has delivered something.
    pub fn see(&mut self, process: u64, seen: &Seen) -> Result<(), String> {
        let Seen::Message { id, .. } = seen else {
            return Ok(());
        };
        let own = process == id.process;
        let last = self.last.entry((process, id.process)).or_insert(0);
        let expected = *last + 1;
        if id.count < expected || (own && id.count != expected) {
            return Err(format!("{process:x} delivers {id:?} after count {last}"));
        }
        *last = id.count;
        Ok(())
    }

    /// How many of its own messages a process has delivered.
    pub fn own(&self, process: u64) -> u64 {
        self.last.get(&(process, process)).copied().unwrap_or(0)
    }
}
