//! *Self-delivery* and order of sending: a process delivers its own messages, all of them, in the
//! order in which it sent them; the messages of any process arrive in that order.

use super::{Process, Seen, entry};

/// The oracle.
#[derive(Default)]
pub struct SelfDelivery {
    /// By receiver and sender: the last count delivered.
    last: Vec<Vec<u32>>,
}

impl SelfDelivery {
    /// A process has delivered something.
    pub fn see(&mut self, process: Process, seen: &Seen) -> Result<(), String> {
        let Seen::Message { id, .. } = seen else {
            return Ok(());
        };
        let own = process == id.process;
        let last = entry(entry(&mut self.last, process), id.process);
        let expected = *last + 1;
        if id.count < expected || (own && id.count != expected) {
            return Err(format!("{process} delivers {id:?} after count {last}"));
        }
        *last = id.count;
        Ok(())
    }

    /// How many of its own messages a process has delivered.
    pub fn own(&self, process: Process) -> u32 {
        let own = |counts: &Vec<u32>| counts.get(process as usize).copied();
        self.last.get(process as usize).and_then(own).unwrap_or(0)
    }
}
