//! What goes in and what comes out.

use cib::Cib;
use replica::{Answer, Round};

/// This node's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// `CLOCK_BOOTTIME` in nanoseconds: leases are judged by it.
    pub boot_ns: u64,
    /// Seconds since the epoch: rules and expiries are judged by it. May jump.
    pub wall_s: i64,
}

/// A ticket's lease as the site agent tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lease {
    /// The ticket.
    pub ticket: String,
    /// The term; 0 for one never held.
    pub term: u64,
    /// Orders the changes within a term.
    pub generation: u64,
    /// This site holds the ticket.
    pub granted: bool,
    /// Dependents are stopped in an orderly way.
    pub standby: bool,
    /// Dependents are stopped before a release.
    pub stop: bool,
    /// A hold is agreed by the majority.
    pub hold: bool,
    /// `CLOCK_BOOTTIME`; none for a manual ticket.
    pub deadline_ns: Option<u64>,
}

/// A ticket and its term.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holding {
    /// The ticket.
    pub ticket: String,
    /// Its term.
    pub term: u64,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The agent exited by itself.
    Complete,
    /// Its time was over.
    Timeout,
    /// There is no such agent.
    NotInstalled,
    /// It could not be run or was ended by a signal.
    Error,
    /// It was ended by [`Effect::Abort`].
    Cancelled,
}

impl Ending {
    /// The number in the CIB.
    pub(crate) fn op_status(self) -> i32 {
        match self {
            Self::Complete => 0,
            // An aborted operation may have done half its work: that is an error, not "cancelled",
            // which would mean that it never ran.
            Self::Error | Self::Cancelled => 4,
            Self::Timeout => 2,
            Self::NotInstalled => 7,
        }
    }
}

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationResult {
    /// How it ended.
    pub ending: Ending,
    /// The agent's exit code.
    pub rc: u8,
    /// The agent's own words.
    pub reason: String,
    /// Milliseconds in the agent.
    pub exec_ms: u64,
    /// Milliseconds spent waiting.
    pub queue_ms: u64,
}

/// An operation to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Names the order in its result.
    pub call: u64,
    /// The resource.
    pub resource: String,
    /// Agent class.
    pub class: String,
    /// Agent provider.
    pub provider: Option<String>,
    /// Agent type.
    pub kind: String,
    /// The agent's argument.
    pub action: String,
    /// 0 for once.
    pub interval_ms: u32,
    /// How long the agent may take.
    pub timeout_ms: u32,
    /// Parameters and `CRM_meta_*`, sorted by name.
    pub attributes: Vec<(String, String)>,
    /// The tickets that the resource depends on, with the term it runs under.
    pub gates: Vec<Holding>,
}

/// A fencing to carry out. The fencer chooses devices, levels and who runs them; asked twice for the
/// same target and action it does it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceOrder {
    /// Names the order in its result.
    pub call: u64,
    /// The node's name.
    pub target: String,
    /// The node's id in the CIB.
    pub target_id: String,
    /// `off`, `reboot`, or `on` (unfencing).
    pub action: String,
    /// How long it may take in all, from `stonith-timeout`.
    pub timeout_ms: u64,
    /// To be added to the devices' own delays (`priority-fencing-delay`).
    pub delay_ms: u64,
}

/// How a fencing ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fenced {
    /// The order; none for one that somebody else asked for (an operator, an agent, another cluster).
    pub call: Option<u64>,
    /// The node's name.
    pub target: String,
    /// `off`, `reboot`, or `on`.
    pub action: String,
    /// Done, confirmed by a device or by a person; or why not.
    pub result: Result<(), String>,
}

/// What the caller has to do, in this order.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Keep [`crate::Controller::kept`] where the next daemon of this boot finds it, before the effects
    /// that follow.
    Keep,
    /// Run an operation; answer with [`crate::Controller::handle_result`].
    Run(Order),
    /// End a recurring operation; answer with [`crate::Controller::handle_cancelled`].
    Cancel {
        /// Names the order in its answer.
        call: u64,
        /// The resource.
        resource: String,
        /// The recurring action.
        action: String,
        /// Its interval.
        interval_ms: u32,
    },
    /// End an operation that runs; its result is answered as for [`Effect::Run`].
    Abort {
        /// The order to run it.
        call: u64,
        /// Its resource.
        resource: String,
    },
    /// Arm the guard; answer with [`crate::Controller::handle_armed`].
    Arm {
        /// Ticket and term.
        holding: Holding,
        /// `CLOCK_BOOTTIME`.
        deadline_ns: u64,
        /// How long after the deadline the agents may take.
        stop_budget_ns: u64,
        /// Killing proves nothing for something that depends on the ticket.
        reset: bool,
    },
    /// Everything under the term is confirmed stopped; answer with
    /// [`crate::Controller::handle_disarmed`].
    Disarm(Holding),
    /// End everything under the term at once (loss policy fence).
    Fire(Holding),
    /// Have a node fenced; answer with [`crate::Controller::handle_fenced`].
    Fence(FenceOrder),
    /// An operation ended (for subscribers and the log).
    Operation {
        /// The resource.
        resource: String,
        /// What was done.
        action: String,
        /// 0 for once.
        interval_ms: u32,
        /// How it ended.
        result: OperationResult,
    },
    /// Say it to the controllers of all nodes, this one included, in the site's one order.
    Send(Vec<u8>),
    /// Put the CIB on disk, with the era, in one; answer with [`crate::Controller::handle_stored`]. A
    /// later one makes an earlier one superfluous.
    Store {
        /// Repeated in the answer.
        round: Round,
        /// Repeated in the answer.
        number: u64,
        /// The last quorate round that the copy was current in.
        era: u64,
        /// The copy; its status need not be written.
        cib: Box<Cib>,
    },
    /// The site goes on with another configuration than this one of ours: keep it for the operator.
    Lost(Box<Cib>),
    /// What became of a change of the configuration that was asked for here.
    Answer {
        /// The number that it was given.
        number: u64,
        /// What became of it.
        answer: Answer,
    },
    /// Something is worth a line in the log.
    Log(String),
    /// After a shutdown: everything is stopped, or cannot be (then the resources are named).
    Stopped {
        /// Resources that still run.
        left: Vec<String>,
    },
}

/// What survives a restart of the daemon within a boot: nothing of it is a grant.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    /// Under which terms each gated resource was started.
    pub started: Vec<(String, Vec<(String, u64)>)>,
    /// Manual tickets (they have no deadline that the guard could tell) held when this was written.
    pub manual: Vec<(String, u64)>,
    /// Failures counted on this node: attribute and value.
    #[serde(default)]
    pub failures: Vec<(String, String)>,
    /// Gated resources that left no process when they were started.
    #[serde(default)]
    pub without_process: Vec<String>,
}

/// What the guard still holds when the daemon starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardHeld {
    /// Ticket and term.
    pub holding: Holding,
    /// `CLOCK_BOOTTIME`, in the future.
    pub deadline_ns: u64,
}

/// How a resource stands on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Not probed yet.
    #[default]
    Unknown,
    /// Not running.
    Stopped,
    /// Running (unpromoted).
    Started,
    /// Running, promoted.
    Promoted,
    /// It may run, and something is wrong with it.
    Failed,
    /// Its stop failed.
    Blocked,
}
