//! Notices that this process, this machine or its real-time clock did not run evenly.
//!
//! Safety does not rest on it: deadlines are compared with `CLOCK_BOOTTIME` before every effect.
//! What is found here is said aloud, because it tells an operator why a lease lapsed. Only what no
//! clock of the machine can count, a hypervisor's pause, breaks the leases' bound: real time that
//! stepped forward is told to the protocol, which compares with the clocks of its peers.

use std::time::Duration;

use ticket_protocol::Time;

use crate::clock::Clock;

/// A loop that comes later than this after its alarm was paused or starved. Far above what a busy
/// machine does to a process, far below any sensible lease.
const LATE: Duration = Duration::from_millis(500);

/// Suspension shorter than this is told by nobody: both clocks are read one after the other.
const SUSPENDED: Duration = Duration::from_millis(50);

/// Real time may be slewed by at most one part in a thousand (Linux `adjtimex`: 500 ppm, doubled);
/// what exceeds that by this much was a step.
const STEP: Duration = Duration::from_millis(500);
const SLEW_PER_MILLE: u64 = 1;

/// What was noticed at the beginning of a turn of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noticed {
    /// The loop came this much later than its alarm was set for.
    Late(Duration),
    /// The machine was suspended for this long.
    Suspended(Duration),
    /// The real-time clock stepped forward by this much: set by somebody, or the machine was
    /// stopped by its hypervisor and told the time afterwards.
    RealtimeForward(Duration),
    /// The real-time clock stepped backward by this much.
    RealtimeBackward(Duration),
}

/// Readings of all clocks at one moment, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Readings {
    pub(crate) boottime: u64,
    pub(crate) monotonic: u64,
    pub(crate) realtime: u64,
}

impl Readings {
    pub(crate) fn take(clock: &Clock) -> Self {
        Self {
            boottime: clock.now().0,
            monotonic: clock.monotonic_nanos(),
            realtime: clock.realtime_nanos(),
        }
    }
}

/// Compares each turn's readings with those of the turn before.
#[derive(Debug)]
pub(crate) struct PauseWatch {
    last: Readings,
}

impl PauseWatch {
    pub(crate) fn new(first: Readings) -> Self {
        Self { last: first }
    }

    /// Compares; `due` is the alarm that was set when the loop went to sleep.
    pub(crate) fn compare(&mut self, now: Readings, due: Option<Time>) -> Vec<Noticed> {
        let mut noticed = Vec::new();
        let passed = now.boottime.saturating_sub(self.last.boottime);
        let ran = now.monotonic.saturating_sub(self.last.monotonic);
        let asleep = Duration::from_nanos(passed.saturating_sub(ran));
        if asleep > SUSPENDED {
            noticed.push(Noticed::Suspended(asleep));
        }
        let late = due.map_or(0, |due| now.boottime.saturating_sub(due.0));
        if Duration::from_nanos(late) > LATE {
            noticed.push(Noticed::Late(Duration::from_nanos(late)));
        }
        let expected = self.last.realtime.saturating_add(passed);
        let tolerated = STEP + Duration::from_nanos(passed / 1000 * SLEW_PER_MILLE);
        let ahead = Duration::from_nanos(now.realtime.saturating_sub(expected));
        let behind = Duration::from_nanos(expected.saturating_sub(now.realtime));
        if ahead > tolerated {
            noticed.push(Noticed::RealtimeForward(ahead));
        } else if behind > tolerated {
            noticed.push(Noticed::RealtimeBackward(behind));
        }
        self.last = now;
        noticed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(boottime: u64, monotonic: u64, realtime: u64) -> Readings {
        Readings {
            boottime: boottime * SECOND,
            monotonic: monotonic * SECOND,
            realtime: realtime * SECOND,
        }
    }

    #[test]
    fn an_even_run_is_not_worth_a_word() {
        let mut watch = PauseWatch::new(at(10, 5, 1000));
        assert_eq!(watch.compare(at(70, 65, 1060), Some(Time(70 * SECOND))), []);
    }

    #[test]
    fn pauses_suspensions_and_steps_are_told_apart() {
        let mut watch = PauseWatch::new(at(10, 5, 1000));
        let due = Some(Time(20 * SECOND));
        assert_eq!(
            watch.compare(at(23, 18, 1013), due),
            [Noticed::Late(Duration::from_secs(3))]
        );
        assert_eq!(
            watch.compare(at(83, 48, 1073), None),
            [Noticed::Suspended(Duration::from_secs(30))]
        );
        assert_eq!(
            watch.compare(at(84, 49, 4674), None),
            [Noticed::RealtimeForward(Duration::from_secs(3600))]
        );
        assert_eq!(
            watch.compare(at(85, 50, 1075), None),
            [Noticed::RealtimeBackward(Duration::from_secs(3600))]
        );
    }
}
