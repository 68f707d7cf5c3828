//! What is told: plain data, for text and JSON alike.

use super::Code;
use crate::transition::Transition;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Everything that is not as one would expect.
    Cluster,
    /// A resource, node or ticket, whichever has this name; looked for in this order.
    Any(String),
    /// A resource: a primitive, group, clone, bundle or instance.
    Resource(String),
    /// A node.
    Node(String),
    /// A ticket.
    Ticket(String),
}

/// An explanation, and the transition that it explains: the same as [`crate::simulate`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Why things are as they are.
    pub explanation: Explanation,
    /// What follows from it.
    pub transition: Transition,
}

/// What kind of a thing is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The cluster as a whole.
    Cluster,
    /// A resource.
    Resource,
    /// A node.
    Node,
    /// A ticket.
    Ticket,
}

/// How it stands with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is as it shall be.
    Fine,
    /// It is not active yet; what is missing is about to be done.
    Starting,
    /// It goes from one node to another.
    Moving,
    /// It is active and will be stopped.
    Stopping,
    /// It is not active and stays so.
    Stopped,
    /// It is active, and cannot be brought to where (or what) it should be.
    Stuck,
}

impl Verdict {
    /// The word for it in output; it never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Starting => "starting",
            Self::Moving => "moving",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Stuck => "stuck",
        }
    }
}

/// Why something is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What kind of a thing it is.
    pub kind: Kind,
    /// Its name.
    pub id: String,
    /// How it stands with it.
    pub verdict: Verdict,
    /// Whether somebody wants it so.
    pub intended: bool,
    /// All of it in one sentence, the reason included.
    pub headline: String,
    /// The reasons, the most important first.
    pub causes: Vec<Cause>,
    /// Each node's part in it.
    pub nodes: Vec<NodeLine>,
    /// What has been looked at and is no reason.
    pub fine: Vec<String>,
    /// Members, instances; for the cluster: what is not as one would expect.
    pub parts: Vec<Self>,
}

impl Explanation {
    /// Whether it should be otherwise and cannot.
    pub fn is_trouble(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::Stopped | Verdict::Stopping | Verdict::Stuck
        ) && !self.intended
    }
}

/// A reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What kind of a reason.
    pub code: Code,
    /// Words that go on after "because".
    pub text: String,
    /// Where it stands in the CIB.
    pub at: Vec<Place>,
    /// How to change it.
    pub fix: Vec<String>,
    /// The truth table of the rule that is the reason.
    pub table: Vec<Row>,
    /// The reasons behind the reason.
    pub because: Vec<Self>,
}

impl Cause {
    pub(super) fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            at: Vec::new(),
            fix: Vec::new(),
            table: Vec::new(),
            because: Vec::new(),
        }
    }

    pub(super) fn at(mut self, place: impl IntoIterator<Item = Place>) -> Self {
        self.at.extend(place);
        self
    }

    pub(super) fn fix(mut self, text: impl Into<String>) -> Self {
        self.fix.push(text.into());
        self
    }

    pub(super) fn because(mut self, causes: Vec<Self>) -> Self {
        self.because = causes;
        self
    }

    /// Whether somebody wants it so: the reason itself, or everything behind it.
    pub fn intended(&self) -> bool {
        self.code.intended()
            || (!self.because.is_empty() && self.because.iter().all(Self::intended))
    }
}

/// An element of the CIB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its tag.
    pub element: String,
    /// Its id.
    pub id: String,
    /// Line and column, if it was read from a text.
    pub position: Option<(u32, u32)>,
}

/// One line of the truth table of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// How deeply it is nested; the rule itself is 0.
    pub depth: usize,
    /// The id of the rule or condition.
    pub id: String,
    /// The condition, with the value that it met.
    pub condition: String,
    /// Whether it holds.
    pub holds: bool,
}

/// What a node is to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeVerdict {
    /// It runs there, or shall.
    Chosen,
    /// It could run there; another node is better.
    Possible,
    /// It cannot run there.
    Refused,
}

impl NodeVerdict {
    /// The word for it in output; it never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Possible => "possible",
            Self::Refused => "refused",
        }
    }
}

/// A node's part in a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLine {
    /// Its name.
    pub node: String,
    /// What it is to the resource.
    pub verdict: NodeVerdict,
    /// The resource's score there, if it has one.
    pub score: Option<i32>,
    /// Why.
    pub causes: Vec<Cause>,
}
