//! The guard's socket.
//!
//! For each (ticket, term) the guard knows a deadline that only grows. Between [`Do::Arm`] and
//! [`Do::Disarm`] it ends, at the deadline plus the stop budget, every process that carries the
//! marker. A term whose deadline has passed is over for good, and so is every term below the
//! greatest one seen of that ticket.

use serde::{Deserialize, Serialize};

use crate::envelope;

/// The variable that every process started for a gated resource inherits: the markers it is under,
/// separated by commas.
pub const MARKER_VARIABLE: &str = "INTERLOCK_GUARD";

/// One request.
pub type Request = envelope::Request<Do>;
/// Answer to a request.
pub type Response = envelope::Response<Answer>;
/// `ok` or `error`.
pub type Outcome = envelope::Outcome<Answer>;
/// Sent to subscribers.
pub type Notice = envelope::Notice<Event>;
/// What a line from the daemon is.
pub type Incoming = envelope::Incoming<Answer, Event>;

/// What the guard can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Do {
    /// Before anything gated starts under this term (local stack, or a cluster command's runner).
    Arm(Arm),
    /// The lease was taken or extended (site agent).
    Deadline(Deadline),
    /// Everything that ran under the term is confirmed stopped. What still carries the marker is
    /// ended now; the answer tells how many processes that were.
    Disarm(Holding),
    /// A hold agreed by the majority is on or off: while it is on the deadline does not act.
    Hold(Hold),
    /// Processes that belong to an armed term although their environment may not tell.
    Track(Track),
    /// Act as if deadline and stop budget were over (loss policy fence).
    Fire(Holding),
    /// What is held, and which protection there is.
    Query,
    /// From here on this connection also carries [`Event`]s.
    Subscribe,
}

/// Arms the guard for one ticket and term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// The ticket.
    pub ticket: String,
    /// The term under which its dependents are going to start.
    pub term: u64,
    /// The lease's deadline on this node's `CLOCK_BOOTTIME`. One given before for the same term that
    /// is later stays.
    pub deadline_ns: u64,
    /// How long after the deadline the agents may take to stop.
    pub stop_budget_ns: u64,
    /// The word in [`MARKER_VARIABLE`] of everything that is started under this term.
    pub marker: String,
    /// Something that runs under the term has no process of its own (an address, a mount), so that
    /// killing proves nothing: the node is to be reset where that is permitted.
    #[serde(default)]
    pub reset: bool,
}

/// A lease's new deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// The ticket.
    pub ticket: String,
    /// The term that the lease belongs to.
    pub term: u64,
    /// On this node's `CLOCK_BOOTTIME`; an earlier one than known changes nothing.
    pub deadline_ns: u64,
}

/// Names a ticket's term.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holding {
    /// The ticket.
    pub ticket: String,
    /// Its term.
    pub term: u64,
}

/// Processes that an agent left running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The ticket.
    pub ticket: String,
    /// Its term.
    pub term: u64,
    /// At most [`TRACKED_MAX`] of them.
    pub processes: Vec<Process>,
}

/// Most processes in one [`Track`]: what an agent leaves are daemons, not their workers.
pub const TRACKED_MAX: usize = 1024;

/// A process, safe against reuse of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it was started, in clock ticks since boot (field 22 of its `stat`).
    pub start: u64,
}

/// Puts a term on hold or ends the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The ticket.
    pub ticket: String,
    /// Its term.
    pub term: u64,
    /// On or off.
    pub on: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Armed; the deadline that counts.
    Armed {
        /// On `CLOCK_BOOTTIME`.
        deadline_ns: u64,
    },
    /// The deadline that counts now.
    Deadline {
        /// On `CLOCK_BOOTTIME`.
        deadline_ns: u64,
    },
    /// Disarmed.
    Disarmed {
        /// Processes that still carried the marker and were ended.
        killed: u32,
    },
    /// Hold noted.
    Held,
    /// They are ended with the others.
    Tracked,
    /// The guard acts now; an [`Event::Fired`] tells the end.
    Firing,
    /// What is held.
    State(State),
    /// Events follow.
    Subscribed,
}

/// Everything the guard knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The boot that all instants belong to.
    pub boot_id: String,
    /// The guard's clock now, on `CLOCK_BOOTTIME`.
    pub now_ns: u64,
    /// How far this node is protected.
    pub protection: Protection,
    /// Why it is not protected further; empty when it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// The node can be reset, so that also what has no process is ended.
    #[serde(default)]
    pub can_reset: bool,
    /// Terms with a deadline, armed or not, oldest first.
    pub held: Vec<Held>,
}

/// One ticket's term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The ticket.
    pub ticket: String,
    /// Its term.
    pub term: u64,
    /// On `CLOCK_BOOTTIME`.
    pub deadline_ns: u64,
    /// Set while armed.
    pub armed: bool,
    /// The word in the environment of what runs under the term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// How long after the deadline the guard acts.
    pub stop_budget_ns: u64,
    /// On hold.
    pub hold: bool,
    /// The deadline has passed: this term never runs again.
    pub over: bool,
}

/// How far the guard can enforce a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// A hardware watchdog ends even a hung kernel.
    Watchdog,
    /// Processes are killed; a hung kernel is not covered.
    Process,
    /// There is no guard.
    None,
}

impl Protection {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Watchdog => "watchdog",
            Self::Process => "process",
            Self::None => "none",
        }
    }
}

/// What happened in the guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Deadline and stop budget were over (or [`Do::Fire`] came): nothing carries the marker any more.
    Fired {
        /// The ticket.
        ticket: String,
        /// Its term.
        term: u64,
        /// Processes killed.
        killed: u32,
        /// Something without a process ran under the term and the node was not reset: it may still
        /// be there.
        #[serde(default)]
        unproven: bool,
    },
    /// Processes are left that the guard may not or cannot kill; it goes on trying.
    Stuck {
        /// The ticket.
        ticket: String,
        /// Its term.
        term: u64,
        /// Their ids.
        pids: Vec<u32>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line;

    #[test]
    fn the_lines_are_as_documented() {
        let request = Request {
            id: 7,
            r#do: Do::Deadline(Deadline {
                ticket: "db".into(),
                term: 3,
                deadline_ns: 9,
            }),
        };
        assert_eq!(
            String::from_utf8(line::encode(&request)).unwrap(),
            "{\"id\":7,\"do\":{\"deadline\":{\"ticket\":\"db\",\"term\":3,\"deadline_ns\":9}}}\n"
        );
        let query: Request = line::decode(br#"{"id":1,"do":"query"}"#).unwrap();
        assert_eq!(query.r#do, Do::Query);
        let answer = Response {
            id: 1,
            result: Outcome::Ok(Answer::Armed { deadline_ns: 5 }),
        };
        let text = line::encode(&answer);
        assert_eq!(text, b"{\"id\":1,\"ok\":{\"armed\":{\"deadline_ns\":5}}}\n");
        let incoming: Incoming = line::decode(&text).unwrap();
        assert_eq!(incoming, Incoming::Response(answer));
    }
}
