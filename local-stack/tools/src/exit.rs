//! Exit codes, and what they are called.

/// All is well.
pub(crate) const OK: u8 = 0;
/// Something went wrong.
pub(crate) const ERROR: u8 = 1;
/// May not.
pub(crate) const PRIVILEGES: u8 = 4;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 64;
/// The data is wrong.
pub(crate) const DATA: u8 = 65;
/// A file cannot be read.
pub(crate) const NO_INPUT: u8 = 66;
/// A file cannot be written.
pub(crate) const CANNOT_CREATE: u8 = 73;
/// What was said is not understood.
pub(crate) const PROTOCOL: u8 = 76;
/// The configuration is invalid.
pub(crate) const CONFIG: u8 = 78;
/// No cluster to talk to.
pub(crate) const DISCONNECTED: u8 = 102;
/// What was offered is older than what there is.
pub(crate) const OLD: u8 = 103;
/// A patch does not fit.
pub(crate) const DIFF_FAILED: u8 = 104;
/// There is no such thing.
pub(crate) const NO_SUCH: u8 = 105;
/// Not without `--force`.
pub(crate) const UNSAFE: u8 = 107;
/// There is one already.
pub(crate) const EXISTS: u8 = 108;
/// Two things are the same that should differ, or the other way round.
pub(crate) const MULTIPLE: u8 = 109;
/// A rule is no longer in effect.
pub(crate) const EXPIRED: u8 = 110;
/// A rule is not yet in effect.
pub(crate) const NOT_YET_IN_EFFECT: u8 = 111;
/// A rule's state cannot be told.
pub(crate) const INDETERMINATE: u8 = 112;
/// Something is not satisfied.
pub(crate) const UNSATISFIED: u8 = 113;
/// It took too long.
pub(crate) const TIMEOUT: u8 = 124;

/// What a code is called in an answer.
pub(crate) fn name(code: u8) -> &'static str {
    match code {
        OK => "OK",
        ERROR => "Error occurred",
        2 => "Invalid parameter",
        3 => "Unimplemented",
        PRIVILEGES => "Insufficient privileges",
        5 => "Not installed",
        6 => "Not configured",
        7 => "Not running",
        USAGE => "Incorrect usage",
        DATA => "Invalid data given",
        NO_INPUT => "Input file not available",
        CANNOT_CREATE => "Cannot create output file",
        PROTOCOL => "Protocol violated",
        CONFIG => "Invalid configuration",
        DISCONNECTED => "Not connected",
        OLD => "Update was older than existing configuration",
        DIFF_FAILED => "Application of update diff failed",
        NO_SUCH => "No such object",
        106 => "Quorum required",
        UNSAFE => "Operation not safe",
        EXISTS => "Requested item already exists",
        MULTIPLE => "Multiple items match request",
        EXPIRED => "Requested item has expired",
        NOT_YET_IN_EFFECT => "Requested item is not yet in effect",
        INDETERMINATE => "Could not determine status",
        UNSATISFIED => "Requested item does not satisfy constraints",
        TIMEOUT => "Timeout occurred",
        _ => "Unknown exit status",
    }
}

/// Why a tool could not do what it was asked. Nothing was changed unless the message says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What happened, and what to write instead.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A file that cannot be read.
    pub(crate) fn read(path: &str, error: &std::io::Error) -> Self {
        Self::new(NO_INPUT, format!("cannot read {path}: {error}"))
    }

    /// A file that cannot be written.
    pub(crate) fn write(path: &str, error: &std::io::Error) -> Self {
        Self::new(CANNOT_CREATE, format!("cannot write {path}: {error}"))
    }
}
