//! One member of the simulated cluster: its machine's clock and disk, its process.

use ticket_protocol::{ClusterReport, DurableState, Message, Participant, Restored, Time, WriteId};

use crate::clock::{Clock, True};
use crate::disk::{Disk, Found};

/// What a paused process finds when it goes on: a socket's buffer is bounded, and what does not
/// fit is lost as in the kernel.
const WAITING_MAX: usize = 512;

/// What waits for a paused process.
pub(crate) enum Input {
    Message(u16, Box<Message>),
    Report(Box<ClusterReport>),
    Written(WriteId, bool),
    Link(u16, bool),
}

/// What happens to a process at one of its next writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashAt {
    Before,
    Torn,
    After,
}

/// A machine and its process.
pub(crate) struct Member {
    pub(crate) clock: Clock,
    /// The rate, kept over reboots.
    pub(crate) ppm: i64,
    pub(crate) disk: Disk<DurableState>,
    pub(crate) process: Option<Participant>,
    /// Counts the processes: what was meant for an earlier one does not reach this one.
    pub(crate) life: u32,
    /// The write under way.
    pub(crate) pending: Option<(WriteId, DurableState)>,
    /// A write that was reported and is not on the medium: lost when the machine crashes.
    pub(crate) lied: Option<DurableState>,
    pub(crate) crash_at: Option<CrashAt>,
    pub(crate) fail_next_write: bool,
    pub(crate) paused: bool,
    /// The pause comes after so many more effects: in the middle of carrying out a decision.
    pub(crate) pause_after: Option<u32>,
    pub(crate) waiting: Vec<Input>,
    /// The true time of the timer that counts; all others are stale.
    pub(crate) timer_at: True,
    /// Peers it believes connected.
    pub(crate) links: u16,
}

impl Member {
    pub(crate) fn new(at: True, local: u64, ppm: i64) -> Self {
        Self {
            clock: Clock::new(at, local, ppm),
            ppm,
            disk: Disk::new(),
            process: None,
            life: 0,
            pending: None,
            lied: None,
            crash_at: None,
            fail_next_write: false,
            paused: false,
            pause_after: None,
            waiting: Vec::new(),
            timer_at: True::MAX,
            links: 0,
        }
    }

    pub(crate) fn local(&self, now: True) -> Time {
        Time(self.clock.local(now))
    }

    /// What the process is told about its memory when it starts. Only the very first start of a
    /// member is provisioned by an operator; an empty disk later is a loss.
    pub(crate) fn restored(&self) -> Restored {
        match self.disk.load() {
            Found::State(state) => Restored::State(state),
            Found::Nothing if self.life == 0 => Restored::Fresh,
            Found::Nothing => Restored::Lost {
                reason: "the state is missing".to_owned(),
            },
            Found::Corrupt => Restored::Lost {
                reason: "the state is corrupt".to_owned(),
            },
        }
    }

    /// Keeps an input for later; `false` = there was no room.
    pub(crate) fn keep(&mut self, input: Input) -> bool {
        let full = self.waiting.len() >= WAITING_MAX && matches!(input, Input::Message(..));
        if !full {
            self.waiting.push(input);
        }
        !full
    }

    /// Ends the process. The disk keeps what it has; a write under way is the caller's to decide.
    pub(crate) fn end(&mut self) {
        self.process = None;
        self.paused = false;
        self.pause_after = None;
        self.crash_at = None;
        self.fail_next_write = false;
        self.waiting.clear();
        self.timer_at = True::MAX;
        self.links = 0;
    }
}
