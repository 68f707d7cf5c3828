//! What the tasks of one link share: the table of connections, counters, credentials.
//!
//! Everything is behind one lock that is never held across an await; connections are few and
//! each step is short.

mod steps;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use quinn::Connection;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::{LinkConfig, Peer, Timing};
use crate::credentials::{Credentials, rough};
use crate::endpoint::{HANDSHAKES_MAX, Parameters, STREAMS_MAX};
use crate::event::{Event, Queue};
use crate::failure::{Code, Failure, FailureKind};
use crate::identity::Identity;
use crate::resolve::Resolve;
use crate::stats::{Counters, LinkStats, PeerStats};
use crate::table::Slot;

/// Refusals and duplicates are reported to the reader this often at most, and always counted: a
/// stranger must not be able to crowd out other reports.
const ALARM_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Shared {
    pub(crate) me: Identity,
    pub(crate) instance: u64,
    pub(crate) timing: Timing,
    pub(crate) resolve: Arc<dyn Resolve>,
    pub(crate) queue: Arc<Queue>,
    /// Handshakes of others under way.
    pub(crate) handshakes: Arc<Semaphore>,
    /// Becomes true when the link closes.
    pub(crate) closing: watch::Sender<bool>,
    state: Mutex<State>,
}

struct State {
    credentials: Credentials,
    parameters: Parameters,
    peers: BTreeMap<Arc<str>, Entry>,
    next_id: u64,
    random: u64,
    refused: u64,
    overload: u64,
    last_refusal: Option<(SocketAddr, String)>,
    last_refusal_at: Option<Instant>,
    last_duplicate_at: Option<Instant>,
}

/// A connection as the table keeps it.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) connection: Connection,
    /// Told when it may be read.
    pub(crate) start: Arc<Notify>,
}

/// One configured peer.
struct Entry {
    config: Peer,
    slot: Slot<Wire>,
    counters: Counters,
    last_heard: Option<Instant>,
    /// Since when a question whether it lives has been waiting for an answer.
    asked_at: Option<Instant>,
    /// When it was last asked.
    asked_last: Option<Instant>,
    last_error: Option<String>,
    up_since: Option<Instant>,
    certificate_expires: Option<SystemTime>,
    /// Told when the peer has no connection any more, or its addresses changed.
    vacant: Arc<Notify>,
    /// Long messages under way to it.
    streams: Arc<Semaphore>,
    /// Set when the peer is removed, so that its dialler ends.
    removed: watch::Sender<bool>,
}

/// What [`Shared::outlet`] hands out for sending.
pub(crate) struct Outlet {
    pub(crate) connection: Connection,
    pub(crate) streams: Arc<Semaphore>,
}

/// What a dialler waits for.
pub(crate) struct DialSignals {
    pub(crate) vacant: Arc<Notify>,
    pub(crate) removed: watch::Receiver<bool>,
}

impl Shared {
    pub(crate) fn new(
        config: &LinkConfig,
        parameters: Parameters,
        resolve: Arc<dyn Resolve>,
        instance: u64,
    ) -> Self {
        Self {
            me: config.credentials.identity.clone(),
            instance,
            timing: config.timing.clone(),
            resolve,
            queue: Arc::default(),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            closing: watch::Sender::new(false),
            state: Mutex::new(State {
                credentials: config.credentials.clone(),
                parameters,
                peers: BTreeMap::new(),
                next_id: 1,
                random: instance | 1,
                refused: 0,
                overload: 0,
                last_refusal: None,
                last_refusal_at: None,
                last_duplicate_at: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panicking task leaves at worst one connection's bookkeeping behind; the others go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds or changes a peer. `Some` if it is new and needs a dialler.
    pub(crate) fn upsert(&self, config: &Peer) -> Option<DialSignals> {
        let mut state = self.lock();
        if let Some(entry) = state.peers.get_mut(config.name.as_str()) {
            let moved = entry.config.addresses != config.addresses;
            entry.config = config.clone();
            if moved {
                entry.vacant.notify_one();
            }
            return None;
        }
        let vacant = Arc::new(Notify::new());
        let (removed, watching) = watch::channel(false);
        let entry = Entry {
            config: config.clone(),
            slot: Slot::new(self.me.name < config.name),
            counters: Counters::default(),
            last_heard: None,
            asked_at: None,
            asked_last: None,
            last_error: None,
            up_since: None,
            certificate_expires: None,
            vacant: vacant.clone(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX as usize)),
            removed,
        };
        state.peers.insert(config.name.as_str().into(), entry);
        Some(DialSignals {
            vacant,
            removed: watching,
        })
    }

    /// Removes peers for which `keep` is false and closes their connections.
    pub(crate) fn retain(&self, keep: impl Fn(&Peer) -> bool) {
        let mut state = self.lock();
        let gone: Vec<Arc<str>> = state
            .peers
            .iter()
            .filter(|(_, e)| !keep(&e.config))
            .map(|(n, _)| n.clone())
            .collect();
        for name in gone {
            let Some(mut entry) = state.peers.remove(&name) else {
                continue;
            };
            entry.removed.send_replace(true);
            for live in entry.slot.clear() {
                live.wire
                    .connection
                    .close(Code::Removed.into(), b"removed from the configuration");
            }
            if entry.up_since.is_some() {
                let why = "removed from the configuration".to_owned();
                self.queue.push(Event::Down { peer: name, why });
            }
        }
    }

    pub(crate) fn replace_credentials(&self, credentials: Credentials, parameters: Parameters) {
        let mut state = self.lock();
        state.credentials = credentials;
        state.parameters = parameters;
    }

    pub(crate) fn client_config(&self) -> quinn::ClientConfig {
        self.lock().parameters.client.clone()
    }

    pub(crate) fn server_config(&self) -> quinn::ServerConfig {
        self.lock().parameters.server.clone()
    }

    /// The configured peer of that name, if there is one.
    pub(crate) fn peer(&self, name: &str) -> Option<Peer> {
        self.lock()
            .peers
            .get(name)
            .map(|entry| entry.config.clone())
    }

    pub(crate) fn vacant(&self, name: &str) -> bool {
        self.lock()
            .peers
            .get(name)
            .is_some_and(|entry| entry.slot.vacant())
    }

    /// A number between 0 and `below` - 1: jitter, not secrets (xorshift).
    pub(crate) fn random(&self, below: u64) -> u64 {
        let mut state = self.lock();
        let mut x = state.random;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.random = x;
        x % below.max(1)
    }

    /// Where to send to a peer.
    pub(crate) fn outlet(&self, name: &str) -> Option<Outlet> {
        let state = self.lock();
        let entry = state.peers.get(name)?;
        let connection = entry.slot.active()?.wire.connection.clone();
        Some(Outlet {
            connection,
            streams: entry.streams.clone(),
        })
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.lock().peers.contains_key(name)
    }

    /// Changes a peer's counters.
    pub(crate) fn count(&self, name: &str, change: impl FnOnce(&mut Counters)) {
        if let Some(entry) = self.lock().peers.get_mut(name) {
            change(&mut entry.counters);
        }
    }

    /// Hands a received message to the reader.
    pub(crate) fn deliver(&self, name: &Arc<str>, bytes: bytes::Bytes) {
        let mut state = self.lock();
        let Some(entry) = state.peers.get_mut(name) else {
            return;
        };
        entry.counters.received += 1;
        entry.counters.received_bytes += bytes.len() as u64;
        entry.heard();
        if self.queue.push(Event::Message {
            from: name.clone(),
            bytes,
        }) {
            entry.counters.receive_dropped += 1;
        }
    }

    /// An attempt to reach a peer failed.
    pub(crate) fn failed(&self, name: &str, failure: &Failure) {
        let mut state = self.lock();
        let Some(entry) = state.peers.get_mut(name) else {
            return;
        };
        match failure.kind {
            FailureKind::Auth | FailureKind::Duplicate => entry.counters.auth_failures += 1,
            FailureKind::Other => entry.counters.errors += 1,
        }
        // The same failure every second is one line in the log.
        if entry.last_error.as_ref() != Some(&failure.text) {
            info!(peer = name, "cannot reach it: {}", failure.text);
        }
        entry.last_error = Some(failure.text.clone());
        let report = match failure.kind {
            FailureKind::Auth => failure.address.map(|address| Event::Refused {
                address,
                why: failure.text.clone(),
            }),
            FailureKind::Duplicate => {
                let member = self.me.name.as_str().into();
                Some(Event::Duplicate {
                    member,
                    why: format!("{name} says: {}", failure.text),
                })
            }
            FailureKind::Other => None,
        };
        if let Some(report) = report {
            self.alarm(&mut state, report);
        }
    }

    /// A stranger was not let in; `claimed` if it proved to be a member, though not one we want.
    pub(crate) fn refused(&self, address: SocketAddr, claimed: Option<&str>, why: &str) {
        let mut state = self.lock();
        state.refused += 1;
        if let Some(entry) = claimed.and_then(|name| state.peers.get_mut(name)) {
            entry.counters.auth_failures += 1;
        }
        state.last_refusal = Some((address, why.to_owned()));
        self.alarm(
            &mut state,
            Event::Refused {
                address,
                why: why.to_owned(),
            },
        );
    }

    pub(crate) fn overloaded(&self) {
        self.lock().overload += 1;
    }

    fn alarm(&self, state: &mut State, event: Event) {
        let now = Instant::now();
        // Each kind has its own limit: strangers must not be able to silence the other.
        let last = match event {
            Event::Duplicate { .. } => &mut state.last_duplicate_at,
            _ => &mut state.last_refusal_at,
        };
        if last.is_some_and(|last| now - last < ALARM_INTERVAL) {
            return;
        }
        *last = Some(now);
        self.queue.push(event);
    }

    /// Two processes with our own name: reported like one that a peer sees.
    pub(crate) fn own_duplicate(&self, why: String) {
        warn!("{why}");
        let mut state = self.lock();
        let member = self.me.name.as_str().into();
        self.alarm(&mut state, Event::Duplicate { member, why });
    }

    pub(crate) fn stats(&self, listen: Vec<SocketAddr>) -> LinkStats {
        let state = self.lock();
        let now = Instant::now();
        LinkStats {
            peers: state
                .peers
                .iter()
                .map(|(name, entry)| entry.stats(name, now))
                .collect(),
            listen,
            refused: state.refused,
            overload: state.overload,
            last_refusal: state.last_refusal.clone(),
            certificate_expires: Some(state.credentials.not_after),
        }
    }

    /// Certificates that are over within `margin` of `now`, ours included.
    pub(crate) fn expiring(
        &self,
        now: SystemTime,
        margin: Duration,
    ) -> Vec<(Arc<str>, SystemTime)> {
        let state = self.lock();
        let ours = (
            Arc::from(self.me.name.as_str()),
            state.credentials.not_after,
        );
        let theirs = state
            .peers
            .iter()
            .filter_map(|(n, e)| Some((n.clone(), e.certificate_expires?)));
        let soon = |at: &SystemTime| at.duration_since(now).map_or(true, |left| left < margin);
        std::iter::once(ours)
            .chain(theirs)
            .filter(|(_, at)| soon(at))
            .collect()
    }

    /// Says goodbye to everybody.
    pub(crate) fn close_all(&self) {
        self.closing.send_replace(true);
        let mut state = self.lock();
        for entry in state.peers.values_mut() {
            entry.removed.send_replace(true);
            for live in entry.slot.clear() {
                live.wire
                    .connection
                    .close(Code::Goodbye.into(), b"shutting down");
            }
        }
    }
}

impl Entry {
    /// Something came of it.
    fn heard(&mut self) {
        self.last_heard = Some(Instant::now());
        self.asked_at = None;
    }

    fn stats(&self, name: &Arc<str>, now: Instant) -> PeerStats {
        let active = self.slot.active();
        PeerStats {
            name: name.to_string(),
            role: self.config.role.clone(),
            address: active.map(|live| canonical(live.wire.connection.remote_address())),
            up_for: self.up_since.map(|since| now - since),
            rtt: active.map(|live| live.wire.connection.rtt()),
            last_heard: self.last_heard.map(|at| now - at),
            unanswered_for: active.and(self.asked_at).map(|at| now - at),
            certificate_expires: self.certificate_expires,
            counters: self.counters,
            last_error: self.last_error.clone(),
        }
    }
}

/// IPv4 as such, also where an IPv6 socket carries it.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A span until (or since) an instant, for people.
pub(crate) fn until(at: SystemTime, now: SystemTime) -> String {
    match at.duration_since(now) {
        Ok(left) => format!("expires in {}", rough(left)),
        Err(e) => format!("expired {} ago", rough(e.duration())),
    }
}
