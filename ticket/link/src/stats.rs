//! What a link counts.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// One peer's figures. Counters run since the link was bound and survive reconnections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// The peer's name.
    pub name: String,
    /// The peer's role.
    pub role: String,
    /// Where it is connected; `None` while it is not.
    pub address: Option<SocketAddr>,
    /// How long the connection has been up.
    pub up_for: Option<Duration>,
    /// Smoothed round trip, measured by QUIC.
    pub rtt: Option<Duration>,
    /// How long ago its last message came, or its last answer to [`Link::ask_quiet`].
    ///
    /// [`Link::ask_quiet`]: crate::Link::ask_quiet
    pub last_heard: Option<Duration>,
    /// How long a question of [`Link::ask_quiet`] has been waiting for an answer.
    ///
    /// [`Link::ask_quiet`]: crate::Link::ask_quiet
    pub unanswered_for: Option<Duration>,
    /// When the certificate that it showed expires.
    pub certificate_expires: Option<SystemTime>,
    /// The counters.
    pub counters: Counters,
    /// The latest failure to reach it, in words; kept after it was reached again.
    pub last_error: Option<String>,
}

/// Counters of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages given to QUIC for it.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages received from it.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Messages not sent: not connected, queue full or too long.
    pub send_dropped: u64,
    /// Messages received and dropped, because the reader was too slow.
    pub receive_dropped: u64,
    /// Connection attempts that failed.
    pub errors: u64,
    /// Refusals for its identity, by us or by it.
    pub auth_failures: u64,
    /// Bytes from it that make no sense (its certificate was good).
    pub invalid: u64,
    /// Times a connection to it came up.
    pub connects: u64,
    /// Times the link to it came up again after the first.
    pub reconnects: u64,
}

/// The whole link's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Every configured peer, by name.
    pub peers: Vec<PeerStats>,
    /// Where we listen.
    pub listen: Vec<SocketAddr>,
    /// Handshakes of strangers that were refused (no or wrong certificate, unknown member).
    pub refused: u64,
    /// Connection attempts turned away unread, because too many were under way.
    pub overload: u64,
    /// The latest refusal of a stranger.
    pub last_refusal: Option<(SocketAddr, String)>,
    /// When our own certificate expires.
    pub certificate_expires: Option<SystemTime>,
}
