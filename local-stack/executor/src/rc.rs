//! Exit codes of the resource agent interface.

/// Success; for a monitor: running (unpromoted).
pub const OK: u8 = 0;
/// An error that may go away.
pub const ERROR: u8 = 1;
/// The agent does not know the action.
pub const NOT_IMPLEMENTED: u8 = 3;
/// Not enough rights on this node.
pub const INSUFFICIENT_PRIVILEGES: u8 = 4;
/// Agent or software missing on this node.
pub const NOT_INSTALLED: u8 = 5;
/// Configured wrongly, on every node.
pub const NOT_CONFIGURED: u8 = 6;
/// Stopped cleanly.
pub const NOT_RUNNING: u8 = 7;
/// Running, promoted.
pub const RUNNING_PROMOTED: u8 = 8;
/// Failed while promoted.
pub const FAILED_PROMOTED: u8 = 9;

/// The code's usual words.
pub fn name(rc: u8) -> &'static str {
    match rc {
        OK => "ok",
        ERROR => "error",
        2 => "invalid parameter",
        NOT_IMPLEMENTED => "not implemented",
        INSUFFICIENT_PRIVILEGES => "insufficient privileges",
        NOT_INSTALLED => "not installed",
        NOT_CONFIGURED => "not configured",
        NOT_RUNNING => "not running",
        RUNNING_PROMOTED => "promoted",
        FAILED_PROMOTED => "promoted (failed)",
        190 => "degraded",
        191 => "promoted (degraded)",
        _ => "unknown",
    }
}
