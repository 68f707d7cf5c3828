//! Exit codes: Pacemaker's table (`crm_error --list -X`), the part that we use.

use serde::{Deserialize, Serialize};

/// Why a command ended as it did: the exit code of the command line and the code of a [`Failure`].
///
/// [`Failure`]: crate::Failure
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum Code {
    /// 0: the wish was met.
    Done,
    /// 1: refused or failed for a reason without a code of its own. State did not change.
    Error,
    /// 64: the command line itself is wrong.
    Usage,
    /// 65: input data (a state file, a certificate) cannot be read as what it should be.
    Data,
    /// 66: an input file does not exist or cannot be opened.
    NoInput,
    /// 69: a service that is needed does not answer as it should.
    Unavailable,
    /// 70: a defect of ours.
    Bug,
    /// 73: an output file cannot be created.
    CannotCreate,
    /// 74: reading or writing failed (disk full, socket broken).
    Io,
    /// 75: refused for now; the same command may succeed later.
    Temporary,
    /// 76: the two sides speak different versions.
    Protocol,
    /// 77: permission denied.
    Permission,
    /// 78: the configuration is wrong.
    Config,
    /// 102: no daemon answers on the control socket.
    NotConnected,
    /// 103: what the command is based on is older than what exists (the ticket changed meanwhile).
    Old,
    /// 105: no such ticket, member or object.
    NoSuch,
    /// 106: a majority is needed and not there.
    Quorum,
    /// 107: refused because it would not be safe.
    Unsafe,
    /// 108: it exists already (the ticket is granted).
    Exists,
    /// 109: several match, or several hold it.
    Multiple,
    /// 112: the outcome is not known: it may or may not have taken effect.
    Unknown,
    /// 113: the request makes no sense for this object (a lease on a manual ticket).
    NotApplicable,
    /// 124: the deadline passed; the state at that moment is known and reported.
    Timeout,
    /// A code that this version does not know.
    Other(u8),
}

/// Number, short name and meaning of every code that we use, in order of the number.
const TABLE: [(Code, u8, &str, &str); 23] = [
    (Code::Done, 0, "done", "the wish was met"),
    (
        Code::Error,
        1,
        "error",
        "refused or failed; nothing changed",
    ),
    (Code::Usage, 64, "usage", "the command line is wrong"),
    (
        Code::Data,
        65,
        "data",
        "input data cannot be read as what it should be",
    ),
    (
        Code::NoInput,
        66,
        "no-input",
        "an input file cannot be opened",
    ),
    (
        Code::Unavailable,
        69,
        "unavailable",
        "a service that is needed does not answer as it should",
    ),
    (Code::Bug, 70, "bug", "a defect of Interlock"),
    (
        Code::CannotCreate,
        73,
        "cannot-create",
        "an output file cannot be created",
    ),
    (Code::Io, 74, "io", "reading or writing failed"),
    (
        Code::Temporary,
        75,
        "temporary",
        "refused for now; may succeed later",
    ),
    (
        Code::Protocol,
        76,
        "protocol",
        "the two sides speak different versions",
    ),
    (Code::Permission, 77, "permission", "permission denied"),
    (Code::Config, 78, "config", "the configuration is wrong"),
    (
        Code::NotConnected,
        102,
        "not-connected",
        "no daemon answers on the control socket",
    ),
    (
        Code::Old,
        103,
        "old",
        "the object changed since the command looked",
    ),
    (
        Code::NoSuch,
        105,
        "no-such-object",
        "no such ticket, member or object",
    ),
    (
        Code::Quorum,
        106,
        "quorum",
        "a majority is needed and not there",
    ),
    (
        Code::Unsafe,
        107,
        "unsafe",
        "refused because it would not be safe",
    ),
    (Code::Exists, 108, "exists", "it exists already"),
    (Code::Multiple, 109, "multiple", "several match"),
    (Code::Unknown, 112, "unknown", "the outcome is not known"),
    (
        Code::NotApplicable,
        113,
        "not-applicable",
        "makes no sense for this object",
    ),
    (Code::Timeout, 124, "timeout", "the deadline passed"),
];

impl Code {
    /// The exit code.
    pub fn number(self) -> u8 {
        match self {
            Self::Other(number) => number,
            known => TABLE
                .iter()
                .find(|row| row.0 == known)
                .map_or(1, |row| row.1),
        }
    }

    /// The short name, stable, for scripts that read JSON.
    pub fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("other", |row| row.2)
    }

    /// The meaning in a few words.
    pub fn meaning(self) -> &'static str {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("a code of a newer version", |row| row.3)
    }

    /// Every code that we use, for documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }
}

impl From<u8> for Code {
    fn from(number: u8) -> Self {
        TABLE
            .iter()
            .find(|row| row.1 == number)
            .map_or(Self::Other(number), |row| row.0)
    }
}

impl From<Code> for u8 {
    fn from(code: Code) -> Self {
        code.number()
    }
}
