//! The state machine of one request.
//!
//! ```text
//!                 the target is free         every device has answered (or is known)
//!   waiting ---------------------> asking ----------------------------------> acting
//!                                                     |                         |
//!                                     no device is able |      delay -> queued -> running
//!                                                     v                ^        |
//!                                                   failed             |        | success: next
//!                                                     ^        retry,  |        | device, or done
//!                                                     |   next level   +--------+
//!                                                     +-- no level left --------+----> done
//! ```
//!
//! A reboot by several devices is "all off", then "all on"; once all are off, the node has been
//! fenced, and what becomes of the "on" changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Action, Request};

/// One request under way, with those that wish the same.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) request: Request,
    /// Later requests that wish the same.
    pub(crate) also: Vec<u64>,
    pub(crate) state: State,
    /// Its entry in the history counts from here.
    pub(crate) begun_s: i64,
}

#[derive(Debug)]
pub(crate) enum State {
    /// Another request for the same node goes first.
    Waiting,
    /// Devices are asked whether they can fence the node.
    Asking {
        /// Devices that have not answered, with the job that asks; none: not asked yet.
        open: BTreeMap<String, Option<u64>>,
        /// Devices that can.
        able: BTreeSet<String>,
    },
    Acting(Acting),
}

/// A way through the levels.
#[derive(Debug)]
pub(crate) struct Acting {
    pub(crate) levels: Vec<Vec<String>>,
    pub(crate) level: usize,
    pub(crate) device: usize,
    pub(crate) phase: Phase,
    /// Tries of this device's action so far.
    pub(crate) tries: u32,
    /// When this device's time is over; none until it has begun.
    pub(crate) until_ms: Option<u64>,
    pub(crate) stage: Stage,
    /// Why the last device failed.
    pub(crate) complaint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// One action says it all.
    Whole,
    /// The first half of a reboot by several devices.
    Down,
    /// The second half.
    Up,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Delayed {
        until_ms: u64,
    },
    /// To be run as soon as the device has a place.
    Queued,
    Running {
        call: u64,
    },
}

/// Where a step has led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on with the device in place.
    Act,
    /// Every device of a level has done it.
    Done,
    /// No level is left.
    Failed,
}

impl Acting {
    pub(crate) fn new(action: Action, levels: Vec<Vec<String>>) -> Self {
        let phase = first_phase(action, levels.first());
        Self {
            levels,
            level: 0,
            device: 0,
            phase,
            tries: 0,
            until_ms: None,
            stage: Stage::Queued,
            complaint: "no device can fence it".to_owned(),
        }
    }

    /// The device whose turn it is.
    pub(crate) fn device(&self) -> Option<&str> {
        let level = self.levels.get(self.level)?;
        level.get(self.device).map(String::as_str)
    }

    /// What the device is to do.
    pub(crate) fn action(&self, wished: Action) -> &'static str {
        match self.phase {
            Phase::Whole => wished.name(),
            Phase::Down => Action::Off.name(),
            Phase::Up => Action::On.name(),
        }
    }

    /// The device in place has done it.
    pub(crate) fn succeeded(&mut self) -> Next {
        self.next_device();
        if self.device().is_some() {
            return Next::Act;
        }
        match self.phase {
            Phase::Down => {
                self.phase = Phase::Up;
                self.device = 0;
                Next::Act
            }
            Phase::Whole | Phase::Up => Next::Done,
        }
    }

    /// The device in place has failed for good.
    pub(crate) fn failed(&mut self, action: Action, why: String) -> Next {
        if self.phase == Phase::Up {
            // It is down, and that is what counts.
            return self.succeeded();
        }
        self.complaint = why;
        self.level += 1;
        self.device = 0;
        self.reset();
        self.phase = first_phase(action, self.levels.get(self.level));
        if self.device().is_some() {
            Next::Act
        } else {
            Next::Failed
        }
    }

    fn next_device(&mut self) {
        self.device += 1;
        self.reset();
    }

    fn reset(&mut self) {
        self.tries = 0;
        self.until_ms = None;
        self.stage = Stage::Queued;
    }

    /// The devices that have done it, once it is done.
    pub(crate) fn level_devices(&self) -> Vec<String> {
        self.levels.get(self.level).cloned().unwrap_or_default()
    }
}

fn first_phase(action: Action, level: Option<&Vec<String>>) -> Phase {
    if action == Action::Reboot && level.is_some_and(|level| level.len() > 1) {
        Phase::Down
    } else {
        Phase::Whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acting(action: Action, levels: &[&[&str]]) -> Acting {
        let own = |level: &&[&str]| level.iter().map(|d| (*d).to_owned()).collect();
        Acting::new(action, levels.iter().map(own).collect())
    }

    #[test]
    fn a_reboot_by_two_devices_is_off_off_on_on() {
        let mut acting = acting(Action::Reboot, &[&["a", "b"]]);
        let mut seen = Vec::new();
        let end = loop {
            let device = acting.device().unwrap_or_default().to_owned();
            seen.push(format!("{device} {}", acting.action(Action::Reboot)));
            match acting.succeeded() {
                Next::Act => {}
                end => break end,
            }
        };
        assert_eq!(seen, ["a off", "b off", "a on", "b on"]);
        assert_eq!(end, Next::Done);
    }

    #[test]
    fn once_all_are_off_a_failing_on_changes_nothing() {
        let mut acting = acting(Action::Reboot, &[&["a", "b"], &["c"]]);
        assert_eq!(acting.succeeded(), Next::Act);
        assert_eq!(acting.succeeded(), Next::Act);
        assert_eq!(acting.phase, Phase::Up);
        let failed = acting.failed(Action::Reboot, "x".into());
        assert_eq!((failed, acting.level), (Next::Act, 0));
        assert_eq!(acting.failed(Action::Reboot, "x".into()), Next::Done);
    }

    #[test]
    fn a_failed_device_ends_its_level() {
        let mut acting = acting(Action::Off, &[&["a", "b"], &["c"]]);
        assert_eq!(acting.succeeded(), Next::Act);
        assert_eq!(acting.failed(Action::Off, "b is broken".into()), Next::Act);
        assert_eq!(acting.device(), Some("c"));
        assert_eq!(acting.failed(Action::Off, "c too".into()), Next::Failed);
        assert_eq!(acting.complaint, "c too");
    }
}
