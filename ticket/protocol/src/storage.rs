//! The memory on disk: what changed, what is stored, what has to wait for it.
//!
//! Every change of a record raises a count. What depends on a change is held back until a write
//! that contains it has returned. One write is under way at a time; all changes made meanwhile go
//! into the next.

use core::cmp::Ordering;
use std::time::Duration;

use crate::durable::DurableState;
use crate::effect::{Alarm, Effect, Event, WriteFailed};
use crate::ids::{MemberId, WriteId};
use crate::message::{Life, Part, Seen};
use crate::participant::Participant;
use crate::time::Time;

/// A store that failed is asked again after this long: often enough to rejoin soon after the
/// disk was made to work, seldom enough not to fill the log.
const WRITE_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) life: Life,
    pub(crate) voting: bool,
    pub(crate) run: u32,
    /// Distinguishes this run from every other that had the same number.
    nonce: u32,
    /// The write counter of what is on disk.
    pub(crate) written: u64,
    /// What it was when this run started.
    pub(crate) restored: u64,
    pub(crate) recovery_epoch: u16,
    pub(crate) unsettled: u32,
    /// The change that made this life and this run: nothing is said before it is on disk, or a
    /// crash would have the next run say it again under the same number.
    pub(crate) alive: u64,
    /// The last change.
    pub(crate) changes: u64,
    /// The last change that is on disk.
    pub(crate) stored: u64,
    /// Under way: the change that it contains, its counter, and the change since which it is
    /// worth waiting for (a write begun before the memory was lost proves nothing).
    pub(crate) writing: Option<(WriteId, u64, u64)>,
    pub(crate) next_write: u64,
    pub(crate) retry_at: Time,
}

impl Memory {
    pub(crate) fn new(life: Life, nonce: u32) -> Self {
        Self {
            life,
            voting: false,
            run: 0,
            nonce,
            written: 0,
            restored: 0,
            recovery_epoch: 0,
            unsettled: 0,
            alive: 0,
            changes: 0,
            stored: 0,
            writing: None,
            next_write: 1,
            retry_at: Time::ZERO,
        }
    }

    /// How far this life has come.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            run: self.run,
            nonce: self.nonce,
            written: self.written,
        }
    }

    /// Whether somebody has seen this life further than it has come: the disk was rolled back.
    pub(crate) fn is_behind(&self, seen: Seen) -> bool {
        match seen.run.cmp(&self.run) {
            Ordering::Greater => true,
            Ordering::Equal => seen.nonce != self.nonce || seen.written > self.written,
            Ordering::Less => seen.written > self.restored,
        }
    }

    /// Marks a change and returns its number.
    pub(crate) fn change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }
}

impl Participant {
    /// Marks ticket `t`'s record as changed.
    pub(crate) fn record_changed(&mut self, t: usize) {
        self.tickets[t].changed_at = self.memory.change();
    }

    /// Sends `part` once change number `gate` is on disk.
    pub(crate) fn send_stored(&mut self, gate: u64, to: MemberId, part: Part) {
        if gate <= self.memory.stored {
            self.send(to, part);
        } else {
            self.gated.push_back((gate, to, part));
        }
    }

    /// The gate of an acceptor's answer about ticket `t`.
    pub(crate) fn answer_gate(&self, t: usize) -> u64 {
        if self.config.rules.store_before_answer() {
            self.tickets[t].changed_at
        } else {
            0
        }
    }

    /// The write that is due, if any.
    pub(crate) fn due_write(&mut self) -> Option<Effect> {
        let memory = &self.memory;
        if memory.writing.is_some() || memory.changes == memory.stored || self.now < memory.retry_at
        {
            return None;
        }
        let state = self.snapshot();
        let memory = &mut self.memory;
        let id = WriteId(memory.next_write);
        memory.next_write += 1;
        memory.writing = Some((id, memory.changes, state.written));
        Some(Effect::Write { id, state })
    }

    fn snapshot(&self) -> DurableState {
        let memory = &self.memory;
        let mut tickets = Vec::with_capacity(self.tickets.len() + self.orphans.len());
        tickets.extend(
            self.tickets
                .iter()
                .map(|ticket| ticket.acceptor.record.clone()),
        );
        if !self.orphans.is_empty() {
            tickets.extend(self.orphans.iter().cloned());
            tickets.sort_by_key(|record| record.ticket);
        }
        DurableState {
            member: self.me,
            store: memory.life.store,
            incarnation: memory.life.incarnation,
            voting: memory.voting,
            run: memory.run,
            written: memory.written + 1,
            recovery_epoch: memory.recovery_epoch,
            unsettled: memory.unsettled,
            tickets,
        }
    }

    pub(crate) fn on_written(&mut self, id: WriteId, result: Result<(), WriteFailed>) {
        let Some((expected, changes, written)) = self.memory.writing else {
            return;
        };
        if expected != id {
            return;
        }
        self.memory.writing = None;
        if let Err(failed) = result {
            self.memory.retry_at = self.now.after(WRITE_RETRY);
            let reason = failed.reason;
            self.event(Event::Alarm(Alarm::WriteFailed {
                reason: reason.clone(),
            }));
            self.lose_memory(format!("the state could not be written: {reason}"));
            return;
        }
        if changes <= self.memory.stored {
            return;
        }
        self.memory.stored = changes;
        self.memory.written = written;
        self.release_gated();
        self.on_stored();
    }

    fn release_gated(&mut self) {
        // Not in order of their gates: an answer about one ticket may wait for an older change
        // than the one before it in the queue.
        let stored = self.memory.stored;
        for _ in 0..self.gated.len() {
            let Some((gate, to, part)) = self.gated.pop_front() else {
                break;
            };
            if gate <= stored {
                self.send(to, part);
            } else {
                self.gated.push_back((gate, to, part));
            }
        }
    }
}
