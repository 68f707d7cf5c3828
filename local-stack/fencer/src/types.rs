//! What goes in and what comes out.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What is to be done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Power it off, or cut it off.
    Off,
    /// Power it on, or let it in again (unfencing).
    On,
    /// Off, and on again if that can be.
    Reboot,
}

impl Action {
    /// The word that fence agents know.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Reboot => "reboot",
        }
    }

    /// The action with this name (`poweroff` is an old word for off).
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "off" | "poweroff" => Some(Self::Off),
            "on" => Some(Self::On),
            "reboot" => Some(Self::Reboot),
            _ => None,
        }
    }
}

/// A wish to have a node fenced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Names the request in its answer; the caller gives it, and never the same twice.
    pub id: u64,
    /// The node.
    pub target: String,
    /// What is to be done.
    pub action: Action,
    /// How long a device may take that has no timeout of its own (`stonith-timeout`), milliseconds.
    pub timeout_ms: u64,
    /// Delay before the first device acts, beside the devices' own (`priority-fencing-delay`),
    /// milliseconds.
    pub delay_ms: u64,
    /// Who asks, for the history.
    pub origin: String,
    /// Values of the target's node attributes, for topologies by attribute.
    pub attributes: Vec<(String, String)>,
}

/// A fence agent to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Names the job in its result.
    pub call: u64,
    /// The node on which it is to be run.
    pub node: String,
    /// The device.
    pub device: String,
    /// Its fence agent.
    pub agent: String,
    /// The agent's action: `off`, `on`, `reboot`, `list`, `status` ... or what stands in its place.
    pub action: String,
    /// Lines for the agent's standard input, `action` included.
    pub parameters: Vec<(String, String)>,
    /// How long the agent may take, milliseconds.
    pub timeout_ms: u64,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobEnd {
    /// The agent exited.
    Exited {
        /// Its exit code.
        code: u8,
        /// What it wrote to standard output.
        output: String,
        /// The last of what it wrote to standard error.
        error: String,
    },
    /// Its time was over.
    Late,
    /// It could not be run, or nobody knows how it ended; why.
    Lost(String),
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is certain that it was done; by what.
    Done(By),
    /// It was not done, as far as anybody knows; why.
    Failed(String),
}

/// What makes it certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Devices reported success.
    Devices(Vec<String>),
    /// A person said so.
    Person(String),
    /// Another fencer said so.
    Other(String),
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Run a fence agent; answer with [`crate::Fencer::handle_result`].
    Run(Job),
    /// A job's result is not needed any more; its agent may be ended.
    Forget {
        /// The job.
        call: u64,
        /// Where it runs.
        node: String,
    },
    /// A request ended.
    Ended {
        /// The request.
        request: u64,
        /// The node.
        target: String,
        /// What was to be done.
        action: Action,
        /// How it ended.
        outcome: Outcome,
    },
    /// Something is worth a line in the log.
    Log(String),
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The node.
    pub target: String,
    /// What was to be done.
    pub action: Action,
    /// Who asked.
    pub origin: String,
    /// How it ended; none while it is under way.
    pub outcome: Option<Outcome>,
    /// When it was asked for, seconds since the epoch.
    pub begun_s: i64,
    /// When it ended.
    pub ended_s: Option<i64>,
}

/// The moment of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// A clock that never jumps, milliseconds.
    pub ms: u64,
    /// Seconds since the epoch, for the history only.
    pub wall_s: i64,
    /// Fresh randomness, for random delays.
    pub random: u64,
}

/// Who can run fence agents.
pub type Members = BTreeSet<String>;
