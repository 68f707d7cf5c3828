//! The history that the invariants read, and its form on disk: one JSON object per line.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

/// Nanoseconds on the witness's one clock (in the simulator: true time).
pub type Nanos = u64;

/// Index into [`Setup::tickets`].
pub type TicketId = u16;

/// Index into [`Setup::sites`].
pub type Site = u16;

/// Terms are packed (recovery epoch 12 bits, counter 40, site 12); only the epoch is read here.
const EPOCH_SHIFT_BITS: u32 = 52;

/// The recovery epoch of a packed term. Forced grants raise it, so two sites whose terms differ in
/// it were put side by side by an operator and not by the protocol.
#[must_use]
pub const fn epoch_of(term: u64) -> u64 {
    term >> EPOCH_SHIFT_BITS
}

/// One ticket as the invariants need to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketSetup {
    /// The ticket's name, for messages.
    pub name: String,
    /// A manual ticket has no lease: promise 3 and liveness do not apply to it.
    pub manual: bool,
    /// How long after the lease's end something may still run, in nanoseconds of the witness:
    /// the stop budget plus what the witness and the clocks' drift may add.
    pub stop_budget_ns: Nanos,
    /// How long after healing the ticket may be without a holder.
    pub liveness_bound_ns: Nanos,
}

/// What a history is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The sites by index.
    pub sites: Vec<String>,
    /// The tickets by index.
    pub tickets: Vec<TicketSetup>,
    /// How soon after a whole site was resumed its stale resources must be gone.
    pub kill_after_thaw_ns: Nanos,
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Grant to a site.
    Grant {
        /// The site that shall hold it.
        to: Site,
    },
    /// Revoke from whoever holds it.
    Revoke,
    /// Planned move.
    Move {
        /// The target.
        to: Site,
    },
    /// Put the ticket into standby at its holder, or activate it again.
    Standby {
        /// `true` = standby, `false` = activate.
        on: bool,
    },
}

/// What the operator was told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The wish was met.
    Done,
    /// A majority agreed and it will never be undone, but it is not finished (a revoke whose
    /// holder may still be running).
    Agreed,
    /// Nothing was changed.
    Refused,
    /// It may or may not happen.
    Unknown,
}

/// One thing that a witness saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// A site claims the ticket (again) until a point of the witness's time; `None` = manual.
    Held {
        /// Which ticket.
        ticket: TicketId,
        /// Who claims it.
        site: Site,
        /// Under which term.
        term: u64,
        /// The end of the lease, exclusive, on the witness's clock.
        until: Option<Nanos>,
    },
    /// A site ceased to claim a term before its lease was over.
    Released {
        /// Which ticket.
        ticket: TicketId,
        /// Who claimed it.
        site: Site,
        /// Under which term.
        term: u64,
    },
    /// A resource may be running from now on (its start was begun).
    Started {
        /// The ticket that gates it.
        ticket: TicketId,
        /// Where.
        site: Site,
        /// Which of the ticket's resources.
        resource: u16,
        /// Under which term it was started.
        term: u64,
    },
    /// A resource certainly no longer runs.
    Ended {
        /// The ticket that gates it.
        ticket: TicketId,
        /// Where.
        site: Site,
        /// Which of the ticket's resources.
        resource: u16,
    },
    /// Every process of a site was paused, its service included.
    Frozen {
        /// Which site.
        site: Site,
    },
    /// The site goes on.
    Thawed {
        /// Which site.
        site: Site,
    },
    /// The majority agreed on a hold (or on its end): the deadline is out of force meanwhile.
    Hold {
        /// Which ticket.
        ticket: TicketId,
        /// The holder's site.
        site: Site,
        /// `true` while it lasts.
        on: bool,
    },
    /// A standby mark was set or cleared in a site's cluster.
    StandbyMark {
        /// Which ticket.
        ticket: TicketId,
        /// Where.
        site: Site,
        /// Set or cleared.
        on: bool,
    },
    /// An operator's command was given to a member.
    Asked {
        /// Pairs it with its answer.
        request: u64,
        /// Which ticket.
        ticket: TicketId,
        /// What was asked.
        ask: Ask,
    },
    /// The operator was told the outcome.
    Answered {
        /// The request that it answers.
        request: u64,
        /// The outcome.
        answer: Answer,
        /// The term that the answer is about, where it names one; else 0.
        #[serde(default)]
        term: u64,
    },
    /// A member's acceptor state for a ticket is on disk.
    Stored {
        /// Index of the member (sites and arbitrators).
        member: u16,
        /// Which ticket.
        ticket: TicketId,
        /// The greatest ballot promised.
        promised: u64,
        /// The ballot of the value stored.
        accepted: u64,
        /// The value's number within its ballot.
        seq: u32,
    },
    /// A member promised a ballot in a message.
    Promised {
        /// Index of the member.
        member: u16,
        /// Which ticket.
        ticket: TicketId,
        /// The ballot promised.
        ballot: u64,
    },
    /// A member said in a message that it accepted a value.
    Accepted {
        /// Index of the member.
        member: u16,
        /// Which ticket.
        ticket: TicketId,
        /// The ballot.
        ballot: u64,
        /// The value's number within its ballot.
        seq: u32,
    },
    /// A fault took away what a member had stored; it starts again from nothing or something old.
    Forgot {
        /// Index of the member.
        member: u16,
    },
    /// A writer offered its term to a store that compares terms.
    Wrote {
        /// Which ticket.
        ticket: TicketId,
        /// Whence.
        site: Site,
        /// The writer's term.
        term: u64,
        /// Whether the store took it.
        accepted: bool,
    },
    /// Every fault is over: from here on the bound of liveness counts.
    Healed,
    /// The ticket need not have a holder (revoked, on hold, in standby, nobody able to run it).
    Excused {
        /// Which ticket.
        ticket: TicketId,
    },
}

/// One event and its instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, on the witness's clock. Entries are in order.
    pub at: Nanos,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// A whole history: what it is about, and what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// What it is about.
    pub setup: Setup,
    /// What happened, in the order of time.
    pub entries: Vec<Entry>,
}

/// Why a history could not be read. Nothing was checked.
#[derive(Debug)]
pub enum HistoryError {
    /// The file could not be read.
    Io(std::io::Error),
    /// A line (counted from 1) is not what it should be.
    Line(usize, serde_json::Error),
    /// There is no first line with the [`Setup`].
    Empty,
    /// A line (counted from 1) is older than the one before: the witness's clock went back.
    Order(usize),
}

impl std::fmt::Display for HistoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the history cannot be read: {error}"),
            Self::Line(line, error) => write!(
                f,
                "line {line} of the history: {error}; write one JSON object per line, \
                 the setup first"
            ),
            Self::Empty => write!(f, "the history is empty; its first line must be the setup"),
            Self::Order(line) => write!(
                f,
                "line {line} of the history is older than the line before; sort it by `at`"
            ),
        }
    }
}

impl std::error::Error for HistoryError {}

impl History {
    /// Reads a history: the first line a [`Setup`], every other line an [`Entry`].
    ///
    /// # Errors
    /// The file cannot be read, a line is no such object, or the entries are not in order.
    pub fn read(from: impl BufRead) -> Result<Self, HistoryError> {
        let mut lines = from.lines().enumerate();
        let (_, first) = lines.next().ok_or(HistoryError::Empty)?;
        let first = first.map_err(HistoryError::Io)?;
        let setup = serde_json::from_str(&first).map_err(|e| HistoryError::Line(1, e))?;
        let mut history = Self {
            setup,
            entries: Vec::new(),
        };
        for (index, line) in lines {
            let line = line.map_err(HistoryError::Io)?;
            if line.trim().is_empty() {
                continue;
            }
            let entry: Entry =
                serde_json::from_str(&line).map_err(|e| HistoryError::Line(index + 1, e))?;
            if history
                .entries
                .last()
                .is_some_and(|last| last.at > entry.at)
            {
                return Err(HistoryError::Order(index + 1));
            }
            history.entries.push(entry);
        }
        Ok(history)
    }

    /// Writes the history as [`History::read`] reads it.
    ///
    /// # Errors
    /// Whatever the writer says.
    pub fn write(&self, mut to: impl std::io::Write) -> std::io::Result<()> {
        serde_json::to_writer(&mut to, &self.setup)?;
        writeln!(to)?;
        for entry in &self.entries {
            serde_json::to_writer(&mut to, entry)?;
            writeln!(to)?;
        }
        Ok(())
    }
}
