//! What an exit code means, considering what was expected.

use super::failure::{Entry, code};
use crate::model::{Role, RscFlags};
use crate::opmeta::OnFail;
use crate::plan::Plan;

/// How an operation went, beyond its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Done,
    Timeout,
    NotSupported,
    Error,
    /// Fatal on this node.
    ErrorHard,
    /// Fatal everywhere.
    ErrorFatal,
    NotInstalled,
    NotConnected,
    Invalid,
    NoFenceDevice,
    NoSecrets,
}

impl Status {
    /// Reads a recorded status; that of a cancelled operation counts for nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match crate::text::leading_int(text)? {
            -1 => Self::Pending,
            0 => Self::Done,
            2 => Self::Timeout,
            3 => Self::NotSupported,
            4 => Self::Error,
            5 => Self::ErrorHard,
            6 => Self::ErrorFatal,
            7 => Self::NotInstalled,
            8 => Self::NotConnected,
            9 => Self::Invalid,
            10 => Self::NoFenceDevice,
            11 => Self::NoSecrets,
            _ => return None,
        })
    }
}

impl<'a> Plan<'a> {
    /// Judges an exit code by what was expected.
    pub(crate) fn remap(
        &mut self,
        entry: &mut Entry<'a>,
        on_fail: &mut OnFail,
        expired: bool,
        bundled: bool,
    ) {
        let effective = match entry.exit {
            code::DEGRADED => code::OK,
            code::DEGRADED_PROMOTED => code::PROMOTED,
            other => other,
        };
        if effective != entry.exit {
            entry.exit = effective;
            let n = &self.node[entry.node];
            if !expired && (!n.shutdown || n.online) {
                self.note_failed(entry);
            }
        }
        if !bundled && entry.is_masked_probe() {
            entry.status = Status::Done;
            entry.exit = code::NOT_RUNNING;
        }
        match entry.status {
            Status::Done | Status::Error => {}
            Status::NoFenceDevice | Status::NoSecrets => {
                entry.status = Status::ErrorHard;
                return;
            }
            _ => return,
        }
        entry.status = if entry.expected >= 0 && entry.exit == entry.expected {
            Status::Done
        } else {
            Status::Error
        };
        self.remap_exit(entry, on_fail, expired);
    }

    fn remap_exit(&mut self, entry: &mut Entry<'a>, on_fail: &mut OnFail, expired: bool) {
        let probe = entry.is_probe();
        let unexpected = entry.exit != entry.expected;
        match entry.exit {
            code::OK => {
                if probe && entry.expected == code::NOT_RUNNING {
                    entry.status = Status::Done;
                }
            }
            code::NOT_RUNNING => {
                if probe || !unexpected || !self.rsc[entry.rsc].is(RscFlags::MANAGED) {
                    entry.status = Status::Done;
                    self.rsc[entry.rsc].role = Role::Stopped;
                    *on_fail = OnFail::Ignore;
                    self.rsc[entry.rsc].next_role = Role::Unknown;
                }
            }
            code::PROMOTED => {
                if probe && unexpected {
                    entry.status = Status::Done;
                }
                if !expired || !unexpected {
                    self.rsc[entry.rsc].role = Role::Promoted;
                }
            }
            code::FAILED_PROMOTED => {
                if !expired {
                    self.rsc[entry.rsc].role = Role::Promoted;
                }
                entry.status = Status::Error;
            }
            code::NOT_CONFIGURED => entry.status = Status::ErrorFatal,
            code::UNIMPLEMENTED if entry.interval_ms > 0 => entry.status = Status::NotSupported,
            code::UNIMPLEMENTED
            | code::NOT_INSTALLED
            | code::INVALID_PARAM
            | code::NO_PERMISSION => {
                if !expired {
                    self.block_if_unrecoverable(entry);
                }
                entry.status = Status::ErrorHard;
            }
            _ => {
                if entry.status == Status::Done {
                    entry.status = Status::Error;
                }
            }
        }
    }

    /// After a failed stop nothing but fencing helps.
    fn block_if_unrecoverable(&mut self, entry: &Entry<'a>) {
        if entry.task == "stop" && !self.can_fence(Some(entry.node)) {
            let flags = &mut self.rsc[entry.rsc].flags;
            flags.clear(RscFlags::MANAGED);
            flags.set(RscFlags::BLOCKED);
        }
    }
}
