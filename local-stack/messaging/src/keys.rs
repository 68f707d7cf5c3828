//! Keys for sealed datagrams, handed over on the QUIC links: one link per network.
//!
//! ```text
//! receiver                                   sender
//!   | Offer(key id, key) ---- QUIC, mTLS ---->|      "what you send me here, seal with this"
//!   | <---------------------------- Taken(id) |      repeated until then
//!   | <================ datagrams sealed with it
//! ```
//! A thread of its own, with the links' runtime: it sleeps while nothing changes, and the loop that
//! carries messages never waits for a handshake. A connection that ends for silence takes no key with
//! it: whoever made the key may still be there, and beats tell whether it is. A peer that says
//! goodbye, or is refused, loses its keys at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use link::{Credentials, Event, Events, Identity, Link, LinkConfig, Peer, Pki};
use membership::NodeId;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fd::OwnedFd;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::{Config, ROLE};
use crate::seal::KEY_BYTES;

/// An offer is repeated after this long, then after twice as long ...
const REPEAT_FIRST: Duration = Duration::from_millis(40);
/// ... up to this.
const REPEAT_MAX: Duration = Duration::from_secs(2);
/// Every key is replaced after this long: well before it has sealed as much as it may.
const RENEW_EVERY: Duration = Duration::from_secs(600);
/// Events of all links waiting for their turn; more make the links' readers wait.
const EVENTS_MAX: usize = 256;

const OFFER: u8 = 1;
const TAKEN: u8 = 2;

/// What the loop is told.
pub(crate) enum KeyEvent {
    /// What comes under this id is that peer's.
    Inbound {
        network: usize,
        peer: NodeId,
        id: u32,
        key: [u8; KEY_BYTES],
    },
    /// Seal with this what goes to that peer.
    Outbound {
        network: usize,
        peer: NodeId,
        id: u32,
        key: [u8; KEY_BYTES],
    },
    /// The peer has gone, or is not welcome any more: nothing of it is opened.
    Forget { network: usize, peer: NodeId },
    /// Somebody was not let in.
    Refused { text: String },
    /// For the log.
    Note { text: String },
    /// Certificate and peers were read again; or not, and why.
    Reloaded { trouble: Option<String> },
    /// The quorum device is connected, or answers.
    Device(Option<quorum_device::Answer>),
    /// The process was told to end.
    Stop,
}

/// Tells the loop, and wakes it.
#[derive(Clone)]
pub(crate) struct Teller {
    pub(crate) queue: Sender<KeyEvent>,
    pub(crate) wake: Arc<OwnedFd>,
}

impl Teller {
    pub(crate) fn tell(&self, event: KeyEvent) {
        // A loop that is gone needs no news, and one that has not looked yet is awake already.
        let _ = self.queue.send(event);
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

/// An offer that was not taken yet.
struct Pending {
    id: u32,
    key: [u8; KEY_BYTES],
    again: Instant,
    pause: Duration,
}

/// One network's link and what is offered on it.
struct Door {
    link: Link,
    peers: BTreeMap<Arc<str>, NodeId>,
    pending: BTreeMap<Arc<str>, Pending>,
    up: BTreeMap<Arc<str>, Instant>,
}

/// Binds the links. Must run inside a tokio runtime.
pub(crate) struct Keys {
    doors: Vec<Door>,
    events: mpsc::Receiver<(usize, Event)>,
    teller: Teller,
    random: SystemRandom,
    next_id: u32,
    settings: watch::Receiver<Settings>,
}

/// What the links are told while they run. Another `round`: the certificate's files are read again.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) round: u64,
}

impl Keys {
    /// Reads the certificates and binds one link per network.
    ///
    /// # Errors
    /// What is wrong, with the file or the address; nothing is bound then.
    pub(crate) async fn bind(
        mut settings: watch::Receiver<Settings>,
        teller: Teller,
    ) -> Result<Self, String> {
        let config = settings.borrow_and_update().config.clone();
        let credentials = credentials(&config)?;
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let mut doors = Vec::new();
        for network in 0..config.network.len() {
            let settings = link_config(&config, network, &credentials)?;
            let bound = Link::bind(settings).await;
            let (link, events) = bound.map_err(|error| error.to_string())?;
            tokio::spawn(forward(network, events, sender.clone()));
            doors.push(Door {
                link,
                peers: peers(&config),
                pending: BTreeMap::new(),
                up: BTreeMap::new(),
            });
        }
        let random = SystemRandom::new();
        let mut first = [0; 4];
        random
            .fill(&mut first)
            .map_err(|_| "the system gives no random numbers")?;
        Ok(Self {
            doors,
            events,
            teller,
            random,
            next_id: u32::from_be_bytes(first),
            settings,
        })
    }

    /// Takes over other peers and a new certificate. What is wrong with them is logged and stands in the
    /// status: connections that are there go on.
    async fn take_over(&mut self) {
        let config = self.settings.borrow_and_update().config.clone();
        let trouble = self.try_take_over(&config).await.err();
        self.teller.tell(KeyEvent::Reloaded { trouble });
    }

    async fn try_take_over(&mut self, config: &Config) -> Result<(), String> {
        let credentials = credentials(config)?;
        for network in 0..self.doors.len() {
            let settings = link_config(config, network, &credentials)?;
            let door = &mut self.doors[network];
            let peers = peers(config);
            let gone = |name: &Arc<str>| !peers.contains_key(name);
            door.pending.retain(|name, _| !gone(name));
            door.up.retain(|name, _| !gone(name));
            for (_, peer) in door.peers.iter().filter(|(name, _)| gone(name)) {
                let peer = *peer;
                self.teller.tell(KeyEvent::Forget { network, peer });
            }
            door.peers = peers;
            let reloaded = door.link.reload(settings).await;
            reloaded.map_err(|error| error.to_string())?;
        }
        self.note(format!(
            "{} other nodes; our certificate is good for {} days",
            config.nodes.len().saturating_sub(1),
            days_until(credentials.not_after()),
        ));
        Ok(())
    }

    /// Hands out keys until `stop` ends; then says goodbye.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        use tokio::signal::unix::{SignalKind, signal};
        let mut stop = std::pin::pin!(stop);
        // Without a handler the signal ends the process, as it always did.
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut hung_up = async || match &mut hangup {
            Some(hangup) => hangup.recv().await,
            None => std::future::pending().await,
        };
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some((network, event)) = self.events.recv() => self.event(network, event),
                () = tokio::time::sleep_until(due) => self.repeat(),
                Ok(()) = self.settings.changed() => self.take_over().await,
                _ = hung_up() => self.take_over().await,
            }
        }
        self.teller.tell(KeyEvent::Stop);
        for door in &self.doors {
            door.link.close().await;
        }
    }

    fn due(&self) -> Instant {
        let offers = self
            .doors
            .iter()
            .flat_map(|door| door.pending.values().map(|one| one.again));
        let renewals = self.doors.iter().flat_map(|door| door.up.values().copied());
        offers
            .chain(renewals)
            .min()
            .unwrap_or_else(|| Instant::now() + RENEW_EVERY)
    }

    fn event(&mut self, network: usize, event: Event) {
        match event {
            Event::Message { from, bytes } => self.message(network, &from, &bytes),
            Event::Up { peer, address, .. } => {
                self.note(format!("{peer} is connected at {address}"));
                self.offer(network, &peer);
            }
            Event::Down { peer, why } => {
                let door = &mut self.doors[network];
                door.pending.remove(&peer);
                door.up.remove(&peer);
                let silent = why.contains("nothing heard in time");
                if let (false, Some(node)) = (silent, door.peers.get(&peer)) {
                    let peer = *node;
                    self.teller.tell(KeyEvent::Forget { network, peer });
                }
                self.note(format!("{peer} is disconnected: {why}"));
            }
            Event::Refused { address, why } => self.teller.tell(KeyEvent::Refused {
                text: format!("{address}: {why}"),
            }),
            Event::Duplicate { member, why } => self.teller.tell(KeyEvent::Refused {
                text: format!("{member}: {why}"),
            }),
            Event::CertificateExpires { member, .. } => {
                self.note(format!(
                    "the certificate of {member} expires soon: issue a new one"
                ));
            }
        }
    }

    fn note(&self, text: String) {
        self.teller.tell(KeyEvent::Note { text });
    }

    fn message(&mut self, network: usize, from: &Arc<str>, bytes: &[u8]) {
        let door = &mut self.doors[network];
        let Some(peer) = door.peers.get(from).copied() else {
            return;
        };
        let read = || {
            let (kind, rest) = bytes.split_first()?;
            let (id, rest) = rest.split_first_chunk::<4>()?;
            Some((*kind, u32::from_be_bytes(*id), rest))
        };
        match read() {
            Some((OFFER, id, key)) => {
                let Ok(key) = <[u8; KEY_BYTES]>::try_from(key) else {
                    door.link.count_invalid(from);
                    return;
                };
                // Lost: the offer comes again.
                let _ = door.link.send(from, &words(TAKEN, id, &[]));
                self.teller.tell(KeyEvent::Outbound {
                    network,
                    peer,
                    id,
                    key,
                });
            }
            Some((TAKEN, id, [])) => {
                if door.pending.get(from).is_some_and(|offer| offer.id == id) {
                    door.pending.remove(from);
                }
            }
            _ => door.link.count_invalid(from),
        }
    }

    /// A new key for what that peer sends us there.
    fn offer(&mut self, network: usize, name: &Arc<str>) {
        let door = &mut self.doors[network];
        let Some(peer) = door.peers.get(name).copied() else {
            return;
        };
        let mut key = [0; KEY_BYTES];
        if self.random.fill(&mut key).is_err() {
            self.note("the system gives no random numbers: no key is made".to_owned());
            return;
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        // Known here before the peer can use it.
        self.teller.tell(KeyEvent::Inbound {
            network,
            peer,
            id,
            key,
        });
        let now = Instant::now();
        door.up.insert(name.clone(), now + RENEW_EVERY);
        let _ = door.link.send(name, &words(OFFER, id, &key));
        let offer = Pending {
            id,
            key,
            again: now + REPEAT_FIRST,
            pause: REPEAT_FIRST,
        };
        door.pending.insert(name.clone(), offer);
    }

    fn repeat(&mut self) {
        let now = Instant::now();
        let mut renewals = Vec::new();
        for (network, door) in self.doors.iter_mut().enumerate() {
            for (name, offer) in door
                .pending
                .iter_mut()
                .filter(|(_, offer)| offer.again <= now)
            {
                let _ = door.link.send(name, &words(OFFER, offer.id, &offer.key));
                offer.pause = (offer.pause * 2).min(REPEAT_MAX);
                offer.again = now + offer.pause;
            }
            let over = door.up.iter().filter(|(_, at)| **at <= now);
            renewals.extend(over.map(|(name, _)| (network, name.clone())));
        }
        for (network, name) in renewals {
            self.offer(network, &name);
        }
    }
}

fn credentials(config: &Config) -> Result<Credentials, String> {
    let me = config.me().ok_or("this node is not configured")?;
    let identity =
        Identity::new(&config.cluster, ROLE, &me.name).map_err(|error| error.to_string())?;
    let pki = Pki::in_directory(&config.pki, &me.name);
    Credentials::load(&pki, &identity).map_err(|error| error.to_string())
}

/// Everybody but this node.
fn peers(config: &Config) -> BTreeMap<Arc<str>, NodeId> {
    let others = config.nodes.iter().filter(|node| node.name != config.node);
    others
        .map(|node| (node.name.as_str().into(), NodeId(node.id)))
        .collect()
}

fn link_config(
    config: &Config,
    network: usize,
    credentials: &Credentials,
) -> Result<LinkConfig, String> {
    let me = config.me().ok_or("this node is not configured")?;
    let others = config.nodes.iter().filter(|node| node.name != config.node);
    let peers = others.map(|node| Peer {
        name: node.name.clone(),
        role: ROLE.to_owned(),
        addresses: vec![config.link_address(node, network).to_string()],
    });
    let listen: Vec<SocketAddr> = vec![config.link_address(me, network)];
    Ok(LinkConfig::new(
        credentials.clone(),
        listen,
        peers.collect(),
    ))
}

fn days_until(at: std::time::SystemTime) -> u64 {
    let left = at.duration_since(std::time::SystemTime::now());
    left.map_or(0, |left| left.as_secs() / 86_400)
}

async fn forward(network: usize, mut events: Events, to: mpsc::Sender<(usize, Event)>) {
    loop {
        let event = events.recv().await;
        if to.send((network, event)).await.is_err() {
            return;
        }
    }
}

fn words(kind: u8, id: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}
