//! What a link is told: who we are, where we listen, whom we talk to, and how patiently.

use std::net::SocketAddr;
use std::time::Duration;

use crate::credentials::Credentials;

/// UDP port of members that name none (booth's, which firewalls know).
pub const DEFAULT_PORT: u16 = 9929;

/// Everything a [`Link`](crate::Link) needs.
#[derive(Clone)]
pub struct LinkConfig {
    /// Our certificate, its key and the authority we trust. Says who we are.
    pub credentials: Credentials,
    /// Addresses to listen on; also the source of the connections that we open. Empty: any free
    /// port on all addresses, which only suits a member that nobody dials.
    pub listen: Vec<SocketAddr>,
    /// The other members. Nobody else is talked to, whatever certificate they show.
    pub peers: Vec<Peer>,
    /// Waits and limits.
    pub timing: Timing,
    /// Seed of back-off jitter, instance number and QUIC's own randomness, for repeatable tests.
    /// `None` (the only choice outside tests) draws it from the operating system.
    pub seed: Option<u64>,
}

impl LinkConfig {
    /// A configuration with the usual timing.
    pub fn new(credentials: Credentials, listen: Vec<SocketAddr>, peers: Vec<Peer>) -> Self {
        Self {
            credentials,
            listen,
            peers,
            timing: Timing::default(),
            seed: None,
        }
    }
}

/// Another member, and where it may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name; its certificate must carry it.
    pub name: String,
    /// Its role; its certificate must carry it.
    pub role: String,
    /// Where to dial it, all tried: `host`, `host:port`, `192.0.2.1:9929`, `[2001:db8::1]:9929`
    /// or `srv:_interlock._udp.example.org`. Empty: the peer dials us.
    pub addresses: Vec<String>,
}

/// How long the link waits for what. Every field has a tested default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A silent connection is given up after this long. The protocol above has its own, faster
    /// idea of silence; this only frees what is dead. Typical: two keep-alives and a half.
    pub idle_timeout: Duration,
    /// A connection without traffic is probed this often. Each probe wakes both ends, so it is as
    /// sparse as [`idle_timeout`](Self::idle_timeout) allows.
    pub keep_alive: Duration,
    /// A connection attempt is given up after this long: several round trips of a bad path.
    pub handshake_timeout: Duration,
    /// First pause between attempts to reach a peer; doubles up to `back_off_max`, plus or minus
    /// a quarter at random.
    pub back_off_min: Duration,
    /// Longest pause between attempts: how late a healed network can be noticed.
    pub back_off_max: Duration,
    /// Assumed round trip before one was measured: resends of the handshake start after three.
    pub initial_rtt: Duration,
    /// Name resolution is given up after this long. Not longer than a connection attempt, or a
    /// dead name server would delay the attempts at a peer's other addresses.
    pub resolve_timeout: Duration,
    /// When two instances claim one name, how long the one known first has to prove that it lives.
    pub contest_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(20),
            keep_alive: Duration::from_secs(8),
            handshake_timeout: Duration::from_secs(3),
            back_off_min: Duration::from_millis(50),
            back_off_max: Duration::from_secs(1),
            initial_rtt: Duration::from_millis(100),
            resolve_timeout: Duration::from_secs(3),
            contest_timeout: Duration::from_millis(400),
        }
    }
}
