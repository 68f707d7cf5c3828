//! Errors as they travel, and the exit codes a tool turns them into.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a request was not done. The numbers are Pacemaker's exit codes; a tool exits with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", from = "u8")]
#[non_exhaustive]
pub enum ErrorCode {
    /// Something failed that no other code names.
    Error,
    /// The request itself is malformed.
    Usage,
    /// The data that came with the request is wrong (a CIB that is not XML, for example).
    Data,
    /// A part that is needed to answer is not there (no guard, shutting down).
    Unavailable,
    /// A fault of ours.
    Software,
    /// The CIB that was offered is older than the one in force.
    Old,
    /// The named ticket, resource or node is unknown.
    NoSuchObject,
    /// Refused because it would not be safe.
    Unsafe,
    /// The outcome is not known.
    Indeterminate,
    /// The time allowed ran out.
    Timeout,
}

impl ErrorCode {
    /// The process exit code that stands for this error.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Error => 1,
            Self::Usage => 64,
            Self::Data => 65,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::Old => 103,
            Self::NoSuchObject => 105,
            Self::Unsafe => 107,
            Self::Indeterminate => 112,
            Self::Timeout => 124,
        }
    }

    /// A stable word for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Usage => "usage",
            Self::Data => "data",
            Self::Unavailable => "unavailable",
            Self::Software => "software",
            Self::Old => "old",
            Self::NoSuchObject => "no-such-object",
            Self::Unsafe => "unsafe",
            Self::Indeterminate => "indeterminate",
            Self::Timeout => "timeout",
        }
    }
}

impl From<ErrorCode> for u8 {
    fn from(code: ErrorCode) -> Self {
        code.exit_code()
    }
}

impl From<u8> for ErrorCode {
    /// Numbers that are not ours are read as [`ErrorCode::Error`].
    fn from(code: u8) -> Self {
        match code {
            64 => Self::Usage,
            65 => Self::Data,
            69 => Self::Unavailable,
            70 => Self::Software,
            103 => Self::Old,
            105 => Self::NoSuchObject,
            107 => Self::Unsafe,
            112 => Self::Indeterminate,
            124 => Self::Timeout,
            _ => Self::Error,
        }
    }
}

/// The `error` part of an answer: nothing was changed unless the message says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct ErrorBody {
    /// Exit code for the tool.
    pub code: ErrorCode,
    /// The code's word.
    pub name: String,
    /// What happened, and where.
    pub message: String,
    /// What to do instead; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl ErrorBody {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            name: code.name().to_owned(),
            message: message.into(),
            hint: String::new(),
        }
    }

    /// The same error with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}
