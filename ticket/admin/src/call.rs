//! Requests and their answers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::view::View;

/// One line from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`API_VERSION`](crate::API_VERSION) of the client.
    pub version: u32,
    /// Chosen by the client; every line of the answer carries it.
    pub id: u64,
    /// What to do.
    #[serde(rename = "do")]
    pub call: Call,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Everything the member knows: `list`, `show`, `peers`, `status`. Answered from memory, at
    /// once, with or without a majority. Answer: [`Answer::View`].
    View {},
    /// Change a ticket. Answer: progress lines, then [`Answer::Outcome`] or a [`Failure`].
    Act(Action),
    /// What [`Call::Act`] would meet: pre-checks and predicted time; changes nothing.
    /// Answer: [`Answer::Plan`], also when the plan says no.
    Plan(Action),
    /// Events as they happen, until either side closes. `after` names the last sequence number seen;
    /// the daemon first sends what it still remembers after that one.
    Watch {
        /// Last sequence number seen, to go on without a gap.
        #[serde(default)]
        after: Option<u64>,
    },
}

/// A change of one ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// The same id sent again is the same wish: a daemon that has carried it out answers with the
    /// outcome and does nothing twice.
    pub request: RequestId,
    /// Name of the ticket.
    pub ticket: String,
    /// The change.
    pub verb: Verb,
    /// How long the client waits for the outcome, in milliseconds from the receipt of this line.
    /// A daemon that has no outcome by then answers [`Code::Timeout`] when the state is known and
    /// [`Code::Unknown`] when it is not.
    pub wait_ms: u64,
}

/// The change of one ticket that is wished for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Give a ticket that nobody holds to a site.
    Grant {
        /// The site; `None` is the member that answers (an arbitrator refuses).
        #[serde(default)]
        to: Option<String>,
        /// The reason of a forced grant; `None` is a plain one.
        #[serde(default)]
        force: Option<String>,
    },
    /// Take the ticket from its holder. Done when the holder has confirmed its stop or can no longer
    /// run; never taken over automatically afterwards.
    Revoke {},
    /// Stop at the holder, confirm, start at `to`.
    Move {
        /// The target site.
        to: String,
    },
    /// Stop what depends on the ticket at its holder and keep the ticket.
    Standby {},
    /// Undo standby.
    Activate {},
}

impl Verb {
    /// The command line's word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Grant { .. } => "grant",
            Self::Revoke {} => "revoke",
            Self::Move { .. } => "move",
            Self::Standby {} => "standby",
            Self::Activate {} => "activate",
        }
    }
}

/// Names one wish of one operator, so that a repetition is recognised. Written as 32 hexadecimal
/// digits, in JSON too (numbers of that size do not survive other languages' JSON readers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(pub u128);

/// The text is not a request id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a request id: write the 32 hexadecimal digits that the first attempt printed"
)]
pub struct ParseRequestIdError(String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for RequestId {
    type Err = ParseRequestIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| hex);
        // The text is an operator's: bounded before it is echoed.
        number
            .map(Self)
            .ok_or_else(|| ParseRequestIdError(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for RequestId {
    type Error = ParseRequestIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.to_string()
    }
}

/// One line to a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The id of the request; 0 when the request could not be read.
    pub id: u64,
    /// What it says.
    #[serde(flatten)]
    pub body: Body,
}

/// What a line to a client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The final answer: the wish was met (or the question answered).
    Ok(Answer),
    /// The final answer: refused, failed, late, or unknown.
    Error(Failure),
    /// Where a change is; more follows.
    Progress(Progress),
    /// Something happened; more follows.
    Event(Event),
}

/// A good answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Call::View`].
    View(Box<View>),
    /// To [`Call::Act`].
    Outcome(Outcome),
    /// To [`Call::Plan`].
    Plan(Plan),
}

/// A change that was carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// The ticket.
    pub ticket: String,
    /// One sentence: "db is granted to paris (term 12)".
    pub summary: String,
    /// Who holds it now.
    pub holder: Option<String>,
    /// The term as the operator reads it.
    pub term: Option<String>,
    /// Who held it before.
    pub previous_holder: Option<String>,
    /// Nothing had to be done: it was so already.
    pub already: bool,
    /// How long nothing ran anywhere, where the daemon could measure it (a move): from the confirmed
    /// stop to the confirmed start, in milliseconds, as the member that was asked heard of them. What
    /// the stop itself took is not in it.
    pub gap_ms: Option<u64>,
    /// What an operator should know besides.
    pub warnings: Vec<String>,
}

/// A change that was not carried out, or of which nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which kind: also the exit code. [`Code::Unknown`] means that it may have taken effect;
    /// [`Code::Timeout`] that it is decided but not over; all others that it has no effect.
    pub code: Code,
    /// What happened, in one sentence.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub hint: Option<String>,
    /// Members whose absence is the cause.
    #[serde(default)]
    pub missing: Vec<String>,
    /// The holder may still run until then (a revoke with the holder out of reach).
    #[serde(default)]
    pub may_run_ms: Option<u64>,
    /// How long until the same command can succeed by waiting alone, where that is known.
    #[serde(default)]
    pub retry_in_ms: Option<u64>,
}

impl Failure {
    /// A failure with a message and nothing else.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            message,
            hint: None,
            missing: Vec::new(),
            may_run_ms: None,
            retry_in_ms: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Where a change is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// What it waits for or does, as the end of the sentence "waiting: …": "votes of paris, arb",
    /// "berlin to confirm its stop".
    pub phase: String,
    /// When that is over at the latest, where it has an end of its own, in milliseconds from now.
    pub until_ms: Option<u64>,
    /// Step number, from 1, where the change has steps (a move).
    pub step: Option<u32>,
    /// Number of steps.
    pub steps: Option<u32>,
}

/// What a change would meet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The ticket.
    pub ticket: String,
    /// Whether every check is passed.
    pub feasible: bool,
    /// How the change would fail: the exit code of the real command. `None` when feasible.
    pub code: Option<Code>,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// What would be done, in order.
    pub steps: Vec<Step>,
    /// Predicted time until done, in milliseconds.
    pub takes_ms: Option<u64>,
    /// Predicted time without service, in milliseconds.
    pub gap_ms: Option<u64>,
}

/// One thing that was looked at before a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// What: "majority", "paris can run it".
    pub what: String,
    /// Passed.
    pub ok: bool,
    /// The evidence, or what is missing.
    pub detail: String,
}

/// One step of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// What: "stop at berlin".
    pub what: String,
    /// Predicted time, in milliseconds.
    pub takes_ms: Option<u64>,
    /// It cannot take longer than this, in milliseconds.
    pub at_most_ms: Option<u64>,
}

/// How loud an event is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    #[default]
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must look now.
    Alarm,
}

/// Something that happened at the member that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Grows by one from event to event of one run of the daemon; a gap means that events were lost.
    pub seq: u64,
    /// Milliseconds of real time since 1970 by the member's clock: for reading, not for deciding.
    pub at_unix_ms: u64,
    /// How loud.
    pub level: Level,
    /// What kind, stable, in kebab-case: `granted`, `lapsed`, `takeover`, `revoked`, `moved`,
    /// `member-up`, `alarm` …
    pub kind: String,
    /// The ticket it is about.
    pub ticket: Option<String>,
    /// The member it is about.
    pub member: Option<String>,
    /// The term it is about, as the operator reads it.
    pub term: Option<String>,
    /// One sentence.
    pub text: String,
}
