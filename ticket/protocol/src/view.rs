//! What a member knows, for people and tools.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Mode, Role};
use crate::ids::{MemberId, Term, TicketName};
use crate::time::Time;
use crate::value::{PhaseKind, Transfer};

/// Everything that one member knows. Spans count from when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct View {
    /// The cluster's name.
    pub cluster: String,
    /// The configuration epoch.
    pub epoch: u64,
    /// The member that knows this.
    pub me: MemberId,
    /// Whether it votes, and if not, why not.
    pub voting: Voting,
    /// How many votes decide.
    pub majority: usize,
    /// All members, in the order of the configuration.
    pub members: Vec<MemberView>,
    /// All tickets, in the order of the configuration.
    pub tickets: Vec<TicketView>,
}

/// Whether a member votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Voting {
    /// It does.
    Yes,
    /// It lost its memory and waits until every lease it may have forgotten is over.
    Waiting {
        /// How long still.
        left: Duration,
    },
    /// It lost its memory and reads it back from the others.
    Reading {
        /// Who has not answered.
        missing: Vec<MemberId>,
    },
}

/// What a member knows of another (or of itself).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MemberView {
    /// Which.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Whether the link is up (true for the member itself).
    pub connected: bool,
    /// Whether it says that it votes; `None` if it was not heard.
    pub voting: Option<bool>,
    /// The round-trip time, once measured.
    pub round_trip: Option<Duration>,
    /// How much faster its clock runs than ours, in parts per million, once measured.
    pub clock_ppm: Option<i64>,
    /// How long ago it was last heard.
    pub heard: Option<Duration>,
    /// Its incarnation: raised whenever it lost its memory.
    pub incarnation: Option<u32>,
}

/// What a member knows of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TicketView {
    /// Its name.
    pub name: TicketName,
    /// Who moves it when its holder is lost.
    pub mode: Mode,
    /// What is being done with it.
    pub phase: PhaseKind,
    /// Who holds it, or held it last.
    pub owner: Option<MemberId>,
    /// The number of the last grant.
    pub term: Term,
    /// Whether this member holds it, with a lease that has not run out.
    pub mine: bool,
    /// This member's lease: what is left of it.
    pub lease_left: Option<Duration>,
    /// This member's lease: its end on this member's clock.
    pub deadline: Option<Time>,
    /// As an acceptor: how long the holder may still be running.
    pub may_run_for: Option<Duration>,
    /// Whether what depends on it is kept stopped.
    pub standby: bool,
    /// Why it is on hold, if it is.
    pub hold: Option<String>,
    /// Why it was granted by force, if it was.
    pub forced: Option<String>,
    /// A move under way.
    pub transfer: Option<Transfer>,
    /// This member's cluster: whether it has read the grant back.
    pub started: bool,
    /// This member's cluster: what is being stopped, or why the last stop or start failed.
    pub trouble: Option<String>,
    /// When this member will try to take it over, if it will.
    pub takeover_in: Option<Duration>,
    /// What the operator's commands under way are doing.
    pub step: Option<crate::command::Step>,
}
