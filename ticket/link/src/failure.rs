//! Why a connection could not be made or has ended.

use std::net::SocketAddr;

use quinn::{ConnectionError, TransportErrorCode, VarInt};

/// Close codes of the link. Numbers are part of the protocol; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The process ends in an orderly way.
    Goodbye = 0,
    /// The certificate is genuine but not of a member that is expected here.
    Refused = 1,
    /// Another process uses the same name and key.
    Duplicate = 2,
    /// The same process has opened a newer connection.
    Superseded = 3,
    /// Both sides dialled; the other connection is kept.
    Spare = 4,
    /// The peer was removed from the configuration.
    Removed = 5,
    /// The greeting made no sense.
    BadGreeting = 6,
}

impl From<Code> for VarInt {
    fn from(code: Code) -> Self {
        Self::from_u32(code as u32)
    }
}

/// What kind of failure: each has its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Identity refused, by us or by the other side.
    Auth,
    /// The other side knows another living process of our name.
    Duplicate,
    /// Everything else: unreachable, timed out, name not resolved.
    Other,
}

/// A failed attempt or an ended connection, for counters and people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Other,
            address: None,
            text: text.into(),
        }
    }

    pub(crate) fn auth(address: SocketAddr, text: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Auth,
            address: Some(address),
            text: text.into(),
        }
    }

    /// What quinn says, in our words.
    pub(crate) fn connection(address: SocketAddr, error: &ConnectionError) -> Self {
        let (kind, text) = match error {
            ConnectionError::TransportError(e) if is_crypto(e.code) => (
                FailureKind::Auth,
                format!(
                    "its certificate is refused: {}",
                    printable(e.reason.as_bytes())
                ),
            ),
            ConnectionError::ConnectionClosed(e) if is_crypto(e.error_code) => (
                FailureKind::Auth,
                format!("it refuses our certificate: {}", printable(&e.reason)),
            ),
            ConnectionError::ApplicationClosed(e) => {
                let kind = match e.error_code {
                    c if c == Code::Refused.into() => FailureKind::Auth,
                    c if c == Code::Duplicate.into() => FailureKind::Duplicate,
                    _ => FailureKind::Other,
                };
                (kind, printable(&e.reason))
            }
            ConnectionError::TimedOut => (FailureKind::Other, "nothing heard in time".to_owned()),
            ConnectionError::Reset => (
                FailureKind::Other,
                "the peer's process was restarted".to_owned(),
            ),
            ConnectionError::LocallyClosed => (FailureKind::Other, "closed by us".to_owned()),
            other => (FailureKind::Other, other.to_string()),
        };
        Self {
            kind,
            address: Some(address),
            text,
        }
    }
}

/// A peer's words, short and without control characters: they go to logs and terminals.
fn printable(bytes: &[u8]) -> String {
    const CHARS_MAX: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn is_crypto(code: TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}
