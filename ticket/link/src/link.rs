//! The public handle.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quinn::Endpoint;
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;
use tracing::warn;

use crate::accept::keep_accepting;
use crate::address::{Address, AddressError};
use crate::config::{LinkConfig, Peer};
use crate::connection::STREAM_TIMEOUT;
use crate::dial::{CONFIGURED_MAX, keep_dialling};
use crate::endpoint::{Parameters, endpoint_config};
use crate::event::{Event, Events};
use crate::failure::Code;
use crate::frame::{self, MESSAGE_BYTES_MAX};
use crate::identity::Identity;
use crate::resolve::{Resolve, SystemNames};
use crate::runtime::{self, LinkSocket};
use crate::shared::{Outlet, Shared, until};
use crate::stats::LinkStats;

/// Goodbyes are given this long to leave; a peer that misses it notices by other means.
const GOODBYE: Duration = Duration::from_millis(300);
/// Certificates are looked at this often, and named from this long before they expire.
const EXPIRY_CHECK: Duration = Duration::from_secs(86_400);
const EXPIRY_MARGIN: Duration = Duration::from_secs(30 * 86_400);
/// Most peers of one link: the largest cluster has a tenth of that.
const PEERS_MAX: usize = 256;

/// A link that could not be bound, or a configuration that it cannot change to.
#[derive(Debug, Error)]
pub enum LinkError {
    /// An address to listen on is not ours, or in use. Nothing was bound.
    #[error("cannot listen on UDP {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// An address of a peer cannot be read. Nothing changed.
    #[error("member {peer}: {source}")]
    Address {
        /// Whose.
        peer: String,
        /// What is wrong.
        source: AddressError,
    },
    /// The peers contradict each other, or name ourselves. Nothing changed.
    #[error("{0}")]
    Peers(String),
    /// The credentials or the timing cannot be used. Nothing changed.
    #[error("{0}")]
    Parameters(String),
    /// Who we are can only change with a restart. Nothing changed.
    #[error(
        "this process is {running}, the new certificate is of {new}: restart it to change that"
    )]
    Renamed {
        /// Who we are.
        running: String,
        /// Who we would become.
        new: String,
    },
}

/// A message that was not sent. It is counted; the link never keeps one for later.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// There is no connection to the peer just now.
    #[error("not connected")]
    NotConnected,
    /// No peer of that name is configured.
    #[error("no such member")]
    UnknownPeer,
    /// The message is longer than [`MESSAGE_BYTES_MAX`].
    #[error("longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    /// As much as may wait is waiting already.
    #[error("too much under way to this member")]
    Busy,
}

/// The connections of one member to all others. Clones are handles of the same link; it ends with
/// [`Link::close`], or with the runtime.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
    doors: Arc<[Door]>,
}

/// A socket with the QUIC endpoint on it.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) endpoint: Endpoint,
    socket: LinkSocket,
}

impl Door {
    pub(crate) fn reaches(&self, remote: SocketAddr) -> bool {
        self.socket.reaches(remote)
    }
}

impl Link {
    /// Binds the sockets, starts dialling and accepting. Must be called inside a tokio runtime
    /// with I/O and time.
    pub async fn bind(config: LinkConfig) -> Result<(Self, Events), LinkError> {
        let sockets = runtime::bind(&config.listen)
            .map_err(|(address, source)| LinkError::Listen { address, source })?;
        Self::bind_with(config, sockets, Arc::new(SystemNames::default())).await
    }

    /// The same on given sockets and names: an in-memory network in virtual time, a fake DNS.
    pub async fn bind_with(
        config: LinkConfig,
        sockets: Vec<LinkSocket>,
        resolve: Arc<dyn Resolve>,
    ) -> Result<(Self, Events), LinkError> {
        check_peers(&config)?;
        let parameters = parameters(&config)?;
        let doors: Result<Arc<[Door]>, LinkError> = sockets
            .into_iter()
            .map(|socket| door(&config, &parameters, socket))
            .collect();
        let doors = doors?;
        let instance = config.seed.map_or_else(random_instance, Ok)?;
        let shared = Arc::new(Shared::new(&config, parameters, resolve, instance));
        for door in doors.iter() {
            tokio::spawn(keep_accepting(shared.clone(), door.endpoint.clone()));
        }
        let link = Self { shared, doors };
        link.start_peers(&config.peers);
        tokio::spawn(watch_expiry(link.shared.clone()));
        let events = Events {
            queue: link.shared.queue.clone(),
        };
        Ok((link, events))
    }

    fn start_peers(&self, peers: &[Peer]) {
        for peer in peers {
            if let Some(signals) = self.shared.upsert(peer) {
                let name = peer.name.as_str().into();
                let doors = self.doors.clone();
                tokio::spawn(keep_dialling(self.shared.clone(), doors, name, signals));
            }
        }
    }

    /// Sends a message. It may be lost, duplicated or reordered; it is never kept for later, and
    /// this never blocks. Short messages travel as datagrams, longer ones on a stream of their own.
    pub fn send(&self, peer: &str, message: &[u8]) -> Result<(), SendError> {
        let result = self.try_send(peer, message);
        self.shared.count(peer, |counters| match result {
            Ok(()) => {
                counters.sent += 1;
                counters.sent_bytes += message.len() as u64;
            }
            Err(_) => counters.send_dropped += 1,
        });
        result
    }

    fn try_send(&self, peer: &str, message: &[u8]) -> Result<(), SendError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLong);
        }
        let Some(outlet) = self.shared.outlet(peer) else {
            let known = self.shared.knows(peer);
            return Err(if known {
                SendError::NotConnected
            } else {
                SendError::UnknownPeer
            });
        };
        let framed = frame::message(message);
        let datagram_max = outlet.connection.max_datagram_size().unwrap_or(0);
        if framed.len() > datagram_max {
            return send_on_stream(outlet, framed);
        }
        if outlet.connection.datagram_send_buffer_space() < framed.len() {
            return Err(SendError::Busy);
        }
        let sent = outlet.connection.send_datagram(Bytes::from(framed));
        sent.map_err(|_| SendError::NotConnected)
    }

    /// Asks every connected peer that was not heard for `quiet` whether it still answers, at most
    /// once a second each; [`Link::stats`] shows what came of it. For somebody who looks: nothing
    /// that the protocol relies on.
    pub fn ask_quiet(&self, quiet: Duration) {
        self.shared.ask_quiet(quiet);
    }

    /// Counts bytes of a peer that the protocol above could not read.
    pub fn count_invalid(&self, peer: &str) {
        self.shared.count(peer, |counters| counters.invalid += 1);
    }

    /// Counters and states, for people and metrics.
    pub fn stats(&self) -> LinkStats {
        let locals = self
            .doors
            .iter()
            .filter_map(|door| door.endpoint.local_addr().ok());
        self.shared.stats(locals.collect())
    }

    /// Our identity, from our certificate.
    pub fn identity(&self) -> &Identity {
        &self.shared.me
    }

    /// Takes over a new certificate, authority, and list of peers while running. Connections to
    /// peers that stay are kept; those of removed peers are closed. Listening addresses and
    /// timing need a restart and are ignored here.
    pub async fn reload(&self, config: LinkConfig) -> Result<(), LinkError> {
        let new = config.credentials.identity.clone();
        if new != self.shared.me {
            return Err(LinkError::Renamed {
                running: self.shared.me.to_string(),
                new: new.to_string(),
            });
        }
        check_peers(&config)?;
        let parameters = parameters(&config)?;
        for door in self.doors.iter() {
            door.endpoint
                .set_server_config(Some(parameters.server.clone()));
        }
        self.shared
            .replace_credentials(config.credentials.clone(), parameters);
        self.shared.retain(|old| {
            config
                .peers
                .iter()
                .any(|new| new.name == old.name && new.role == old.role)
        });
        self.start_peers(&config.peers);
        Ok(())
    }

    /// Says goodbye to all peers and ends; waits a moment for the goodbyes to leave.
    pub async fn close(&self) {
        // First the endpoints, so that connections still greeting say goodbye too: their tasks
        // end with the second step.
        for door in self.doors.iter() {
            door.endpoint.close(Code::Goodbye.into(), b"shutting down");
        }
        self.shared.close_all();
        let farewell = async {
            for door in self.doors.iter() {
                door.endpoint.wait_idle().await;
            }
        };
        if tokio::time::timeout(GOODBYE, farewell).await.is_err() {
            tracing::debug!("some peers did not answer the goodbye");
        }
    }
}

fn send_on_stream(outlet: Outlet, framed: Vec<u8>) -> Result<(), SendError> {
    let permit = outlet
        .streams
        .try_acquire_owned()
        .map_err(|_| SendError::Busy)?;
    tokio::spawn(async move {
        let write = async {
            let mut stream = outlet.connection.open_uni().await.ok()?;
            stream.write_all(&framed).await.ok()?;
            stream.finish().ok()?;
            // Until the peer has it all: bounds what is under way.
            stream.stopped().await.ok()
        };
        // Lost like a datagram if it takes too long; dropping the stream resets it.
        let _ = tokio::time::timeout(STREAM_TIMEOUT, write).await;
        drop(permit);
    });
    Ok(())
}

fn parameters(config: &LinkConfig) -> Result<Parameters, LinkError> {
    Parameters::new(&config.credentials, &config.timing)
        .map_err(|e| LinkError::Parameters(e.to_string()))
}

fn door(
    config: &LinkConfig,
    parameters: &Parameters,
    socket: LinkSocket,
) -> Result<Door, LinkError> {
    let endpoint = Endpoint::new_with_abstract_socket(
        endpoint_config(&config.credentials, config.seed),
        Some(parameters.server.clone()),
        socket.socket.clone(),
        socket.runtime.clone(),
    )
    .map_err(|source| LinkError::Listen {
        address: socket.local,
        source,
    })?;
    Ok(Door { endpoint, socket })
}

fn random_instance() -> Result<u64, LinkError> {
    let mut bytes = [0; 8];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| LinkError::Parameters("the system gives no random numbers".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}

fn check_peers(config: &LinkConfig) -> Result<(), LinkError> {
    let me = &config.credentials.identity;
    if config.peers.len() > PEERS_MAX {
        return Err(LinkError::Peers(format!("more than {PEERS_MAX} members")));
    }
    for (n, peer) in config.peers.iter().enumerate() {
        Identity::new(&me.cluster, &peer.role, &peer.name)
            .map_err(|e| LinkError::Peers(e.to_string()))?;
        if peer.name == me.name {
            return Err(LinkError::Peers(format!(
                "{} is listed as its own peer",
                me.name
            )));
        }
        if config.peers[..n]
            .iter()
            .any(|other| other.name == peer.name)
        {
            return Err(LinkError::Peers(format!(
                "member {} is listed twice",
                peer.name
            )));
        }
        if peer.addresses.len() > CONFIGURED_MAX {
            let text = format!(
                "member {} has more than {CONFIGURED_MAX} addresses",
                peer.name
            );
            return Err(LinkError::Peers(text));
        }
        for address in &peer.addresses {
            Address::parse(address).map_err(|source| LinkError::Address {
                peer: peer.name.clone(),
                source,
            })?;
        }
    }
    Ok(())
}

/// Names certificates that expire soon, at start and once a day.
async fn watch_expiry(shared: Arc<Shared>) {
    let mut closing = shared.closing.subscribe();
    loop {
        let now = SystemTime::now();
        for (member, not_after) in shared.expiring(now, EXPIRY_MARGIN) {
            warn!(%member, "its certificate {}", until(not_after, now));
            shared
                .queue
                .push(Event::CertificateExpires { member, not_after });
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(EXPIRY_CHECK) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}
