//! What operators ask for, and what they are told.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{MemberId, Term, TicketName};
use crate::value::PhaseKind;

/// An operator's command. `wait` is how long the operator waits: a final [`Outcome`] comes by
/// then, whatever happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Give a ticket to a site.
    Grant {
        /// Which ticket.
        ticket: TicketName,
        /// To which site.
        to: MemberId,
        /// How long the operator waits.
        wait: Duration,
        /// By force: why nobody else can be running. Raises the recovery epoch.
        force: Option<String>,
    },
    /// Take a ticket away from whoever holds it.
    Revoke {
        /// Which ticket.
        ticket: TicketName,
        /// How long the operator waits.
        wait: Duration,
    },
    /// Hand a ticket over from its holder to another site, stopped before it is started.
    Move {
        /// Which ticket.
        ticket: TicketName,
        /// To which site.
        to: MemberId,
        /// How long the operator waits; the move is rolled back after that.
        wait: Duration,
    },
    /// Keep what depends on a ticket stopped although it is granted, or end that (activate).
    Standby {
        /// Which ticket.
        ticket: TicketName,
        /// Standby, or activate.
        on: bool,
        /// How long the operator waits.
        wait: Duration,
    },
    /// `site recover`: this member, which lost its memory, votes again although no majority can
    /// tell it what it forgot. Raises the recovery epoch.
    Recover {
        /// Why the operator is sure.
        reason: String,
    },
}

impl Command {
    /// The ticket that it is about.
    #[must_use]
    pub fn ticket(&self) -> Option<&TicketName> {
        match self {
            Self::Grant { ticket, .. }
            | Self::Revoke { ticket, .. }
            | Self::Move { ticket, .. }
            | Self::Standby { ticket, .. } => Some(ticket),
            Self::Recover { .. } => None,
        }
    }

    /// How long the operator waits.
    #[must_use]
    pub fn wait(&self) -> Duration {
        match self {
            Self::Grant { wait, .. }
            | Self::Revoke { wait, .. }
            | Self::Move { wait, .. }
            | Self::Standby { wait, .. } => *wait,
            Self::Recover { .. } => Duration::ZERO,
        }
    }
}

/// How a command goes. Spans count from now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It goes on: not final.
    Progress(Progress),
    /// The wish is met.
    Done {
        /// The holder, if any.
        owner: Option<MemberId>,
        /// The term.
        term: Term,
        /// The phase.
        phase: PhaseKind,
    },
    /// Agreed by a majority and never undone, but not finished when the wait was over (a revoke
    /// whose holder has not confirmed its stop).
    Pending {
        /// Who may still be running.
        holder: MemberId,
        /// For how long at most; `None` if nothing ends it (manual ticket, hold).
        may_run_for: Option<Duration>,
    },
    /// The wish is not met and will not be.
    Refused(Refused),
    /// It is not known whether the wish was or will be met.
    Unknown {
        /// Which step was not answered.
        step: Step,
        /// Which members did not answer.
        missing: Vec<MemberId>,
        /// Who may be running, for how long.
        holder: Option<MemberId>,
        /// For how long at most, where known.
        may_run_for: Option<Duration>,
    },
}

impl Outcome {
    /// Whether nothing more comes.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Progress(_))
    }
}

/// What a command is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The step that it is at.
    pub step: Step,
    /// Who is being waited for.
    pub waiting_for: Vec<MemberId>,
    /// How long at most, where known.
    pub at_most: Option<Duration>,
}

/// A step of a command, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Asking a majority for the ticket's state.
    Read,
    /// Asking the target whether it could run the ticket.
    Check,
    /// Waiting until the old holder's lease and acquire-after are over.
    WaitForLease,
    /// Agreeing on the change.
    Agree,
    /// Stopping what depends on the ticket.
    Stop,
    /// Releasing the ticket, everything stopped.
    Release,
    /// Granting the ticket to its new holder.
    Grant,
    /// Starting: the cluster has the grant and reads it back.
    Start,
    /// Going back to the old holder.
    RollBack,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// Which members would have been needed and did not answer.
    pub missing: Vec<MemberId>,
    /// Who holds it or may be running.
    pub holder: Option<MemberId>,
    /// How long that may last, where known.
    pub may_run_for: Option<Duration>,
}

impl Refused {
    /// A refusal without particulars.
    #[must_use]
    pub fn because(why: Why) -> Self {
        Self {
            why,
            missing: Vec::new(),
            holder: None,
            may_run_for: None,
        }
    }
}

/// Why a command was refused. Unless said otherwise, nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// No such ticket here: a wrong name or a configuration that differs.
    #[error("no such ticket in this member's configuration")]
    UnknownTicket,
    /// No such site, or an arbitrator.
    #[error("the target is not a site of this cluster")]
    NotASite,
    /// Not enough members answered.
    #[error("no majority of the members answers")]
    NoMajority,
    /// Another site holds it.
    #[error("another site holds the ticket: move it, or revoke it first")]
    Granted,
    /// The old holder may still be running.
    #[error("the last holder may still be running")]
    MayRun,
    /// It is on hold.
    #[error("the ticket is on hold: {0}")]
    OnHold(String),
    /// Nobody holds it.
    #[error("nobody holds the ticket")]
    NotGranted,
    /// It changed while the command was under way.
    #[error("the ticket changed while the command was under way")]
    Changed,
    /// It is there already.
    #[error("the target holds the ticket already")]
    SameSite,
    /// The target could not run it.
    #[error("the target cannot run it: {0}")]
    TargetUnfit(String),
    /// The target, or the holder, does not answer.
    #[error("the site that has to act does not answer")]
    Unreachable,
    /// Not everything stopped. The ticket is still where it was, and runs again.
    #[error("not everything stopped: {0}")]
    StopFailed(String),
    /// The cluster did not take the grant. The ticket went back, or nobody has it.
    #[error("the site's cluster did not take the grant: {0}")]
    StartFailed(String),
    /// This member does not vote, so it cannot propose.
    #[error("this member does not vote: it is recovering its memory")]
    Mute,
    /// Another command for this ticket is under way.
    #[error("another command for this ticket is under way")]
    Busy,
    /// Nothing to recover: this member votes.
    #[error("this member's memory is complete")]
    NotLost,
}

/// What a command would do, without doing it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Why it would be refused, as far as this member knows.
    pub refused: Option<Refused>,
    /// How long it would have to wait first.
    pub wait_first: Option<Duration>,
}
