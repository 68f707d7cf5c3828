//! From the core's packets to datagrams and back: keys, paths, sockets.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use membership::{Envelope, NodeId, Packet, Time};
use stack_client::words;
use tracing::{info, warn};

use crate::config::Config;
use crate::frame::FRAME_HEAD;
use crate::keys::KeyEvent;
use crate::path::{NARROW_BYTES, Paths};
use crate::seal::{self, HEAD_BYTES, Inbound, KEY_BYTES, Outbound, TAG_BYTES};
use crate::socket::DataSocket;
use crate::wire::{self, BEAT_BYTES, Frame};

/// Receptions (some batches each) from one socket before the others, the clients and the timers have their turn.
const BATCHES_PER_TURN: usize = 2;
/// A datagram of full size is sent at every so many beats, to see that it arrives.
const FILLER_EVERY: u64 = 10;
/// The same kind of refusal is logged at most that often.
const LOG_EVERY: Duration = Duration::from_secs(1);
/// Keys of one peer and network that still open: the last, and the one before it, for what was
/// under way.
const KEYS_KEPT: usize = 2;

struct Known {
    peer: NodeId,
    network: usize,
    inbound: Inbound,
}

/// All sockets, peers and keys.
pub(crate) struct Transport {
    sockets: Vec<DataSocket>,
    addresses: BTreeMap<NodeId, Vec<SocketAddr>>,
    /// Where a peer will be found in a network: it is still reached where it was, to learn of that
    /// itself, until something of it comes from the new address.
    moving: BTreeMap<(NodeId, usize), SocketAddr>,
    names: BTreeMap<NodeId, String>,
    networks: Vec<String>,
    peers: BTreeMap<NodeId, Paths>,
    known: BTreeMap<u32, Known>,
    /// The ids of each peer and network, oldest first.
    ids: BTreeMap<(NodeId, usize), Vec<u32>>,
    /// Which paths have something to send.
    filled: Vec<(NodeId, usize)>,
    beats: BTreeMap<NodeId, u64>,
    pub(crate) refused: words::Refused,
    /// Why the last reading of the certificate changed nothing.
    pub(crate) trouble: Option<String>,
    logged: Option<Time>,
}

impl Transport {
    /// Binds the sockets.
    ///
    /// # Errors
    /// Which address, and what the system said.
    pub(crate) fn bind(
        config: &Config,
        beat_every: Duration,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let me = config.me();
        let mut sockets = Vec::new();
        for network in 0..config.network.len() {
            let Some(me) = me else { break };
            let address = config.data_address(me, network);
            sockets.push(DataSocket::bind(address).map_err(|error| (address, error))?);
        }
        let mut transport = Self {
            sockets,
            addresses: BTreeMap::new(),
            moving: BTreeMap::new(),
            names: BTreeMap::new(),
            networks: config
                .network
                .iter()
                .map(|network| network.name.clone())
                .collect(),
            peers: BTreeMap::new(),
            known: BTreeMap::new(),
            ids: BTreeMap::new(),
            filled: Vec::new(),
            beats: BTreeMap::new(),
            refused: words::Refused::default(),
            trouble: None,
            logged: None,
        };
        transport.reconfigure(config, beat_every);
        Ok(transport)
    }

    /// Takes over other nodes: those that stay keep their paths and keys, what comes from those that go
    /// is a stranger's from now on.
    pub(crate) fn reconfigure(&mut self, config: &Config, beat_every: Duration) {
        let others = || config.nodes.iter().filter(|node| node.name != config.node);
        let count = config.network.len();
        let sizes = || {
            let priority = |at: usize| config.network[at].priority;
            (0..count).map(move |at| (priority(at), config.datagram_bytes(at)))
        };
        let stays = |id: NodeId| others().any(|node| node.id == id.0);
        self.addresses.retain(|peer, _| stays(*peer));
        self.moving.clear();
        for node in others() {
            let new: Vec<_> = (0..count).map(|at| config.data_address(node, at)).collect();
            let peer = NodeId(node.id);
            let now = self.addresses.entry(peer).or_insert_with(|| new.clone());
            for network in (0..count).filter(|at| now[*at] != new[*at]) {
                self.moving.insert((peer, network), new[network]);
            }
        }
        self.names = others()
            .map(|node| (NodeId(node.id), node.name.clone()))
            .collect();
        self.peers.retain(|peer, _| stays(*peer));
        self.beats.retain(|peer, _| stays(*peer));
        self.filled.retain(|(peer, _)| stays(*peer));
        self.known.retain(|_, one| stays(one.peer));
        self.ids.retain(|(peer, _), _| stays(*peer));
        for node in others() {
            let peer = NodeId(node.id);
            self.peers
                .entry(peer)
                .or_insert_with(|| Paths::new(peer, config.mode, beat_every, sizes()));
        }
    }

    /// Room for a chunk's body in one datagram of the narrowest network.
    pub(crate) fn chunk_bytes(config: &Config) -> usize {
        (0..config.network.len())
            .map(|network| config.datagram_bytes(network))
            .min()
            .unwrap_or(NARROW_BYTES)
            - HEAD_BYTES
            - TAG_BYTES
            - FRAME_HEAD
            - wire::DATA_HEAD
    }

    /// What the kernel keeps for us on the socket where it keeps least.
    pub(crate) fn receive_buffer(&self) -> usize {
        self.sockets
            .iter()
            .map(DataSocket::receive_buffer)
            .min()
            .unwrap_or(0)
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// News of keys.
    pub(crate) fn key(&mut self, event: KeyEvent) {
        match event {
            KeyEvent::Inbound {
                network,
                peer,
                id,
                key,
            } => self.add_inbound(network, peer, id, &key),
            KeyEvent::Outbound {
                network,
                peer,
                id,
                key,
            } => {
                if let Some(paths) = self.peers.get_mut(&peer) {
                    paths.set_key(network, Outbound::new(id, &key));
                }
            }
            KeyEvent::Forget { network, peer } => {
                for id in self.ids.remove(&(peer, network)).unwrap_or_default() {
                    self.known.remove(&id);
                }
                if let Some(paths) = self.peers.get_mut(&peer) {
                    paths.set_key(network, None);
                }
            }
            KeyEvent::Refused { text } => {
                self.refused.connections += 1;
                warn!("refused: {text}");
                self.refused.last = Some(text);
            }
            KeyEvent::Note { text } => info!("{text}"),
            KeyEvent::Reloaded { trouble } => {
                if let Some(why) = &trouble {
                    warn!("certificate and nodes were not taken over: {why}");
                }
                self.trouble = trouble;
            }
            KeyEvent::Device(_) | KeyEvent::Stop => {}
        }
    }

    fn add_inbound(&mut self, network: usize, peer: NodeId, id: u32, key: &[u8; KEY_BYTES]) {
        // A key that was under way while its peer was removed opens nothing.
        let known = self.peers.contains_key(&peer);
        let Some(inbound) = Inbound::new(key).filter(|_| known) else {
            return;
        };
        let known = Known {
            peer,
            network,
            inbound,
        };
        self.known.insert(id, known);
        let ids = self.ids.entry((peer, network)).or_default();
        ids.push(id);
        while ids.len() > KEYS_KEPT {
            self.known.remove(&ids.remove(0));
        }
    }

    /// Takes what has come on a socket, up to a turn's worth; true if there may be more.
    pub(crate) fn receive(
        &mut self,
        now: Time,
        socket: usize,
        take: &mut impl FnMut(NodeId, Envelope),
    ) -> bool {
        let Self {
            sockets,
            known,
            peers,
            refused,
            addresses,
            moving,
            ..
        } = self;
        let mut odd = None;
        let mut more = true;
        for _ in 0..BATCHES_PER_TURN {
            more = sockets[socket].receive(|from, datagram| {
                let bytes = datagram.len();
                let Some(one) = seal::key_id(datagram).and_then(|id| known.get_mut(&id)) else {
                    refused.unknown_key += 1;
                    odd = Some((from, "a datagram under no key of ours"));
                    return;
                };
                let Some((counter, content)) = one.inbound.open(datagram) else {
                    refused.not_opened += 1;
                    odd = Some((from, "a datagram that was forged, damaged or repeated"));
                    return;
                };
                let (peer, network) = (one.peer, one.network);
                let Some(paths) = peers.get_mut(&peer) else {
                    return;
                };
                paths.paths[network].came(now, bytes);
                if !moving.is_empty() && moving.get(&(peer, network)) == Some(&from) {
                    moving.remove(&(peer, network));
                    if let Some(addresses) = addresses.get_mut(&peer) {
                        addresses[network] = from;
                    }
                }
                let mut unpacker = std::mem::take(&mut paths.paths[network].unpacker);
                unpacker.unpack(counter, content, |frame| match wire::decode(frame) {
                    Some(Frame::Beat(beat)) => paths.heard(now, network, beat),
                    Some(Frame::Packet(envelope)) => take(peer, envelope),
                    Some(Frame::Filler) => {}
                    None => refused.unreadable += 1,
                });
                paths.paths[network].unpacker = unpacker;
            });
            if !more {
                break;
            }
        }
        if let Some((from, what)) = odd {
            self.odd(now, socket, from, what);
        }
        more
    }

    fn odd(&mut self, now: Time, socket: usize, from: SocketAddr, what: &str) {
        let text = format!("{from} on network {}: {what}", self.networks[socket]);
        if self.logged.is_none_or(|at| now.since(at) >= LOG_EVERY) {
            warn!("refused: {text}");
            self.logged = Some(now);
        }
        self.refused.last = Some(text);
    }

    /// A packet of the core on its way.
    pub(crate) fn send(&mut self, now: Time, to: NodeId, envelope: &Envelope) {
        if matches!(envelope.packet, Packet::Heartbeat { .. }) {
            self.beat(now, to, envelope);
            return;
        }
        let Some(paths) = self.peers.get_mut(&to) else {
            return;
        };
        let route = paths.route();
        wire::encode(envelope, |head, body| {
            for network in route {
                let path = &mut paths.paths[network];
                let Some(key) = &mut path.key else { continue };
                path.packer.push(key, head, body);
                let full = self.sockets[network].batch_bytes(path.packer.size());
                if path.packer.full(full) {
                    flush(&self.sockets[network], self.addresses[&to][network], path);
                } else if !self.filled.contains(&(to, network)) {
                    self.filled.push((to, network));
                }
            }
        });
    }

    /// A heartbeat goes out on every path, with the path's own beat.
    fn beat(&mut self, now: Time, to: NodeId, envelope: &Envelope) {
        let count = self.beats.entry(to).or_default();
        *count += 1;
        let filler = count.is_multiple_of(FILLER_EVERY);
        let Some(paths) = self.peers.get_mut(&to) else {
            return;
        };
        for network in 0..paths.paths.len() {
            let beat = paths.beat(now, network).encode();
            let (socket, address) = (&self.sockets[network], self.addresses[&to][network]);
            let path = &mut paths.paths[network];
            // Beats do not wait behind a batch that is being filled.
            flush(socket, address, path);
            if filler {
                send_filler(socket, address, path);
            }
            let Some(key) = &mut path.key else { continue };
            path.packer.push(key, &beat, &[]);
            wire::encode(envelope, |head, body| path.packer.push(key, head, body));
            flush(socket, address, path);
        }
    }

    /// Everything gathered leaves.
    pub(crate) fn flush(&mut self) {
        for (peer, network) in std::mem::take(&mut self.filled) {
            if let Some(paths) = self.peers.get_mut(&peer) {
                let address = self.addresses[&peer][network];
                flush(&self.sockets[network], address, &mut paths.paths[network]);
            }
        }
    }

    /// Which paths work and which are used; the changes are logged.
    pub(crate) fn look(&mut self, now: Time) {
        for paths in self.peers.values_mut() {
            for change in paths.look(now) {
                let name = &self.names[&change.peer];
                let network = &self.networks[change.network];
                if change.up {
                    info!("network {network} to {name} works");
                } else {
                    warn!("network {network} to {name} is silent");
                }
            }
        }
    }

    /// Every path, for the status.
    pub(crate) fn links(&self) -> Vec<words::Link> {
        let mut links = Vec::new();
        for (peer, paths) in &self.peers {
            for (network, path) in paths.paths.iter().enumerate() {
                let (state, trip) = paths.status(network);
                links.push(words::Link {
                    peer: self.names[peer].clone(),
                    network: self.networks[network].clone(),
                    address: self.addresses[peer][network].to_string(),
                    state,
                    round_trip_us: trip
                        .map(|trip| u64::try_from(trip.as_micros()).unwrap_or(u64::MAX)),
                    datagram_bytes: path.packer.size(),
                    counters: path.counters,
                });
            }
        }
        links
    }

    /// Times that another path had to be taken, over all peers.
    pub(crate) fn failovers(&self) -> u64 {
        self.peers.values().map(|paths| paths.failovers).sum()
    }
}

fn flush(socket: &DataSocket, to: SocketAddr, path: &mut crate::path::Path) {
    let Some(key) = &mut path.key else { return };
    let size = path.packer.size();
    let batch = path.packer.finish(key, false);
    if batch.is_empty() {
        return;
    }
    let count = batch.len().div_ceil(size) as u64;
    let failed = socket.send(to, batch, size);
    path.counters.sent += count - failed;
    path.counters.sent_bytes += batch.len() as u64;
    path.counters.send_failed += failed;
    path.packer.clear();
}

/// One datagram as large as the network is said to carry.
fn send_filler(socket: &DataSocket, to: SocketAddr, path: &mut crate::path::Path) {
    let (size, wide) = (path.packer.size(), path.wide_bytes);
    let Some(key) = &mut path.key else { return };
    path.packer.set_size(wide);
    let room = wide - HEAD_BYTES - TAG_BYTES - FRAME_HEAD;
    path.packer.push(key, &wire::filler(room - BEAT_BYTES), &[]);
    let batch = path.packer.finish(key, true);
    let failed = socket.send(to, batch, wide);
    path.counters.send_failed += failed;
    path.counters.sent += 1 - failed.min(1);
    path.packer.clear();
    path.packer.set_size(size);
}
