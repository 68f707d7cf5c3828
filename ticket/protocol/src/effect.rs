//! What the protocol wants done, and what it is told by the site's cluster.

use serde::{Deserialize, Serialize};

use crate::command::Outcome;
use crate::durable::DurableState;
use crate::ids::{MemberId, RequestId, StopId, Term, TicketName, WriteId};
use crate::message::Message;
use crate::time::Time;

/// What the shell has to do, in the order of [`crate::Participant::poll_effect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a datagram. It may be lost.
    Send {
        /// To whom.
        to: MemberId,
        /// What.
        message: Message,
    },
    /// Write the whole state so that it survives a power cut, then call
    /// [`crate::Participant::handle_written`]. At most one write is under way.
    Write {
        /// Names the write.
        id: WriteId,
        /// What to write.
        state: DurableState,
    },
    /// Tell the site's cluster.
    Cluster(ClusterCommand),
    /// Tell the operator.
    Reply {
        /// Whose command.
        id: RequestId,
        /// How it goes; the last one is final.
        outcome: Outcome,
    },
    /// Tell whoever watches.
    Event(Event),
}

/// Why dependents are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopCause {
    /// The ticket was revoked.
    Revoke,
    /// The ticket moves to another site.
    Move,
    /// The site's cluster failed the ticket, or did not take the grant.
    StepDown,
    /// Something of a term that is over may still be running here.
    Leftover,
}

/// What the site's cluster has to do. All are idempotent; for one ticket the last one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterCommand {
    /// The ticket is granted here: start. Answered by [`ClusterReport::Granted`].
    Grant {
        /// Which ticket.
        ticket: TicketName,
        /// The term: what runs under any other is stopped first.
        term: Term,
        /// The lease's end; `None` for a manual ticket.
        deadline: Option<Time>,
        /// Whether what depends on it stays stopped all the same.
        standby: bool,
    },
    /// The lease was renewed. Also sent during a stop.
    Extend {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// The lease's new end.
        deadline: Time,
    },
    /// Stop (or demote) all that depends on it. Answered by [`ClusterReport::Stopped`].
    Stop {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// Names this order.
        stop: StopId,
        /// Why.
        cause: StopCause,
        /// When the stop has to be over; `None` if only the lease ends it.
        deadline: Option<Time>,
    },
    /// The term is over: whatever of it runs must end.
    Withdraw {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
    },
    /// Take back an order to stop: start again what it stopped.
    Activate {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// The order that is taken back; no confirmation of it counts any more.
        stop: StopId,
    },
    /// Keep what depends on it stopped although it is granted, or end that.
    Standby {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// Standby, or activate.
        on: bool,
    },
    /// The majority agreed that the ticket is on hold: from now on the deadline is not enforced,
    /// until the cluster reports that the hold is over. Without this command it stays in force.
    HoldAgreed {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
    },
    /// Could the site run what depends on it? Answered by [`ClusterReport::Checked`].
    Check {
        /// Which ticket.
        ticket: TicketName,
        /// Names the question.
        check: u64,
    },
    /// What is still held here? Asked after a start, answered by [`ClusterReport::Recalled`].
    Recall {
        /// Which ticket.
        ticket: TicketName,
    },
}

/// What the site's cluster says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterReport {
    /// The grant was written and read back, or it was not.
    Granted {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// `Err` says why not.
        result: Result<(), String>,
    },
    /// Everything is stopped, or it is not known to be.
    Stopped {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// Which order.
        stop: StopId,
        /// `Err` means that something is, or may be, still running.
        result: Result<(), String>,
    },
    /// Whether the site could run it.
    Checked {
        /// Which ticket.
        ticket: TicketName,
        /// Names the question.
        check: u64,
        /// `Err` says why not.
        result: Result<(), String>,
    },
    /// A dependent is about to become unmanaged (blocked, in maintenance, frozen), or no
    /// dependent is any more. `on: false` says that the cluster enforces the last deadline it
    /// was given again.
    Hold {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// Or no longer.
        on: bool,
        /// Why.
        reason: String,
    },
    /// What is still held here.
    Recalled {
        /// Which ticket.
        ticket: TicketName,
        /// The term that the guard holds a deadline for, and the deadline ([`Time::NEVER`] for a
        /// manual ticket).
        held: Option<(Term, Time)>,
        /// Whether its release was begun, so that it is not resumed.
        release_begun: bool,
        /// Whether nothing that depends on the ticket runs here.
        quiet: bool,
    },
    /// The cluster gives the ticket up: it cannot run what depends on it.
    Failed {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// Why.
        reason: String,
    },
}

/// What happened, for watchers and logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// This site got a ticket (a majority accepted; the cluster is told now).
    Granted {
        /// Which.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// Who had it before, if it was taken over by itself.
        taken_over_from: Option<MemberId>,
        /// Whether by force.
        forced: bool,
    },
    /// This site's cluster read the grant back.
    Started {
        /// Which.
        ticket: TicketName,
        /// The term.
        term: Term,
    },
    /// This restarted site goes on with a term.
    Resumed {
        /// Which.
        ticket: TicketName,
        /// The term.
        term: Term,
    },
    /// This site's lease ran out.
    Lapsed {
        /// Which.
        ticket: TicketName,
        /// The term.
        term: Term,
    },
    /// This site released a ticket, everything stopped.
    Released {
        /// Which.
        ticket: TicketName,
        /// The term.
        term: Term,
    },
    /// This member saw a ticket's register change.
    Changed {
        /// Which.
        ticket: TicketName,
        /// Its owner.
        owner: MemberId,
        /// The term.
        term: Term,
        /// The phase.
        phase: crate::value::PhaseKind,
    },
    /// A planned move of a ticket from here was rolled back.
    RolledBack {
        /// Which.
        ticket: TicketName,
        /// Why.
        reason: String,
    },
    /// Agreed, or over.
    Hold {
        /// Which.
        ticket: TicketName,
        /// Or over.
        on: bool,
        /// Why.
        reason: String,
    },
    /// This member votes again after it lost its memory.
    Voting,
    /// Something a person should look at.
    Alarm(Alarm),
}

/// Something a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    /// This member does not vote until it has recovered.
    LostMemory {
        /// What was lost, and how that was noticed.
        reason: String,
    },
    /// A peer's clock runs at another rate than allowed. The leases' promise does not hold.
    ClockRate {
        /// Which peer.
        member: MemberId,
        /// How much faster than ours, in parts per million.
        ppm: i64,
    },
    /// A peer's state is older than what we have seen of it.
    RolledBack {
        /// Which peer.
        member: MemberId,
    },
    /// Two copies of one member are running.
    TwoCopies {
        /// Which.
        member: MemberId,
    },
    /// A peer has another configuration; it is not listened to.
    OtherConfiguration {
        /// Which peer.
        member: MemberId,
        /// Its configuration epoch.
        epoch: u64,
    },
    /// The state could not be written.
    WriteFailed {
        /// What the store said.
        reason: String,
    },
    /// Something may be running although its term is over or its stop was ordered.
    StopFailed {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// What the cluster said.
        reason: String,
    },
    /// The cluster did not take the grant.
    GrantFailed {
        /// Which ticket.
        ticket: TicketName,
        /// The term.
        term: Term,
        /// What the cluster said.
        reason: String,
    },
    /// This member restarts more often than its obligations last, so that they never end.
    RestartsTooOften,
    /// What must not happen did: a bug, or a member that does not keep the protocol.
    Impossible {
        /// What.
        what: String,
    },
}

/// The state could not be written, and nothing is known about what is on disk now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state could not be written: {reason}")]
pub struct WriteFailed {
    /// What the store said.
    pub reason: String,
}
