//! The node's timers: a fixed table, one slot each (as quinn does it).

use crate::ids::Time;

/// What may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Say that we are here, and look who is not.
    Heartbeat,
    /// Tell the coordinator what we hold.
    Ack,
    /// Ask for missing messages.
    Nack,
    /// Ask for sequence numbers again.
    Request,
    /// Repeat what must arrive while the membership is being agreed.
    Repeat,
    /// A gathering's or a recovery's patience is over.
    Phase,
}

const COUNT: usize = 6;

/// When each timer is due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers([Option<Time>; COUNT]);

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = Some(at);
    }

    /// Sets it unless it is set already.
    pub(crate) fn arm(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize].get_or_insert(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(crate) fn due_at(&self, timer: Timer) -> Option<Time> {
        self.0[timer as usize]
    }

    /// Is it due? Then it is stopped as well.
    pub(crate) fn expired(&mut self, timer: Timer, now: Time) -> bool {
        let slot = &mut self.0[timer as usize];
        if slot.is_some_and(|at| at <= now) {
            *slot = None;
            return true;
        }
        false
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.0.iter().flatten().min().copied()
    }
}
