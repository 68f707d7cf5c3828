//! The loop: datagrams in, the core, clients, datagrams out. One thread, never blocked.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use membership::{
    Change, Delivery, GroupEvent, Groups, Guarantee, Node, NodeId, NodeList, NodeSet, Quorum,
    QuorumState, Roster, Time,
};
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use rustix::time::{ClockId, Timespec, clock_gettime};
use stack_client::words::{self, Notice};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::clients::{Conn, LEFT, OF_GROUPS, OF_NODES, OF_STORE, TO_GROUP, Wish, group_of};
use crate::config::Config;
use crate::device::DeviceVote;
use crate::disk::Disk;
use crate::keys::{KeyEvent, Settings};
use crate::nodes;
use crate::store::{Effect, Store, Word};
use crate::transport::Transport;

/// Connections of applications at one time.
const CLIENTS_MAX: usize = 256;
/// A client that reads nothing for this long, with all that it may have waiting, is disconnected:
/// it would stop the whole site for ever.
const SLOW_MAX: Duration = Duration::from_secs(30);
/// Deliveries between two looks at the sockets.
const DELIVERIES_PER_TURN: usize = 4_096;
/// Wishes of one client between two looks at the others.
const WISHES_PER_TURN: usize = 2_048;
/// Paths are looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const EVENTS_AT_ONCE: usize = 64;
/// What may wait here for its turn, in bytes; then clients wait.
const QUEUE_BYTES: usize = 2 << 20;

const WAKE: u64 = 1;
const LISTEN: u64 = 2;
const SOCKETS: u64 = 16;
const CLIENTS: u64 = 1 << 16;

/// Nanoseconds of `CLOCK_BOOTTIME`: goes on while the machine sleeps, as the others' clocks do.
pub(crate) fn now() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Time(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Why the loop has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was told to.
    Told,
    /// This node is found at other addresses from now on: start again there.
    Moved,
    /// This node was removed from the site.
    Removed,
}

/// A change of the nodes that a client of this node waits for.
pub(crate) struct Awaited {
    pub(crate) client: u64,
    pub(crate) request: u64,
    pub(crate) change: Change,
    /// Whom it concerns.
    pub(crate) name: String,
}

/// Everything that the loop needs from outside.
pub(crate) struct Parts {
    /// As the file has it, and with the nodes that are in force.
    pub(crate) file: Config,
    pub(crate) config: Config,
    pub(crate) list: NodeList,
    pub(crate) settings: Arc<watch::Sender<Settings>>,
    pub(crate) me: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) transport: Transport,
    pub(crate) listener: UnixListener,
    pub(crate) keys: Receiver<KeyEvent>,
    pub(crate) wake: Arc<OwnedFd>,
    pub(crate) disk: Disk,
    pub(crate) store: Store,
    pub(crate) limits: Vec<String>,
    pub(crate) device: Option<DeviceVote>,
}

/// The daemon's state.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) me: NodeId,
    pub(crate) node: Node,
    pub(crate) groups: Groups,
    pub(crate) quorum: Quorum,
    pub(crate) quorum_state: QuorumState,
    pub(crate) device: Option<DeviceVote>,
    pub(crate) transport: Transport,
    pub(crate) store: Store,
    pub(crate) limits: Vec<String>,
    pub(crate) roster: Roster,
    pub(crate) awaited: Option<Awaited>,
    pub(crate) file: Config,
    /// The list in force: on this node's disk.
    pub(crate) list: NodeList,
    /// Lists that are being written.
    pub(crate) lists_for_disk: Vec<(u64, NodeList)>,
    /// Members of the view that have not said their list yet: until then nobody becomes quorate, by
    /// a list that may be old.
    pub(crate) unlisted: NodeSet,
    pub(crate) settings: Arc<watch::Sender<Settings>>,
    pub(crate) clients: BTreeMap<u64, Conn>,
    pub(crate) delivered: u64,
    pub(crate) submitted: u64,
    pub(crate) slow_stops: u64,
    /// Messages of our own that found no room yet: joins, leaves, the store's.
    outgoing: std::collections::VecDeque<(Vec<u8>, Guarantee)>,
    waiting_for_disk: Vec<(u64, u64, u64, u64)>,
    pub(crate) disk_number: u64,
    epoll: OwnedFd,
    listener: UnixListener,
    keys: Receiver<KeyEvent>,
    wake: Arc<OwnedFd>,
    pub(crate) disk: Disk,
    next_client: u64,
    looked: Time,
    causes_seen: Option<Time>,
    pub(crate) ending: Option<Ending>,
    /// This node's addresses are others once this number is on disk.
    pub(crate) moving: Option<u64>,
}

impl Engine {
    /// Puts the parts together.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let Parts {
            file,
            config,
            list,
            settings,
            me,
            incarnation,
            transport,
            listener,
            keys,
            wake,
            disk,
            store,
            limits,
            device,
        } = parts;
        let mut core = config.core(me);
        core.chunk_bytes = Transport::chunk_bytes(&config);
        core.queue_bytes = QUEUE_BYTES;
        core.window = window(&transport, core.chunk_bytes);
        let epoll = watched(&wake, &listener, &transport)?;
        let start = now();
        let mut quorum = Quorum::new(quorum_config(&config, &list));
        let quorum_state = quorum.update(start, &std::iter::once(me).collect(), false);
        core.nodes = list.nodes();
        Ok(Self {
            node: Node::new(core, incarnation, start),
            groups: Groups::new(me),
            quorum,
            quorum_state,
            device,
            transport,
            store,
            limits,
            roster: Roster::new(me, list.clone()),
            awaited: None,
            file,
            list,
            lists_for_disk: Vec::new(),
            unlisted: NodeSet::default(),
            settings,
            clients: BTreeMap::new(),
            delivered: 0,
            submitted: 0,
            slow_stops: 0,
            outgoing: std::collections::VecDeque::new(),
            waiting_for_disk: Vec::new(),
            disk_number: 0,
            epoll,
            listener,
            keys,
            wake,
            disk,
            next_client: 1,
            looked: start,
            causes_seen: None,
            ending: None,
            moving: None,
            config,
            me,
        })
    }

    /// Runs until told to stop, or until this node has no place here any more.
    ///
    /// # Errors
    /// The system does not tell what is ready any more.
    pub(crate) fn run(&mut self) -> io::Result<Ending> {
        let mut more = false;
        let ending = loop {
            let ready = self.wait(more)?;
            more = self.turn(&ready);
            if let Some(ending) = self.ending {
                break ending;
            }
        };
        self.device_release(now());
        let why = match ending {
            Ending::Told => "the daemon ends",
            Ending::Moved => "this node's addresses have changed: the daemon starts again",
            Ending::Removed => "this node was removed from the site",
        };
        for client in self.clients.values_mut() {
            let why = why.to_owned();
            client.notice(&Notice::Closing { why });
            client.write();
        }
        self.say_farewell()?;
        Ok(ending)
    }

    /// The others need not wait until they miss us.
    fn say_farewell(&mut self) -> io::Result<()> {
        self.node.leave(now());
        while self.node.next_timeout().is_some() {
            self.send_packets(now());
            self.wait(false)?;
            let now = now();
            if self.node.next_timeout().is_some_and(|at| at <= now) {
                self.node.handle_timeout(now);
            }
        }
        self.send_packets(now());
        Ok(())
    }

    /// Waits until something is ready; not at all if there is `more` to do.
    fn wait(&self, more: bool) -> io::Result<Vec<(u64, epoll::EventFlags)>> {
        let now = now();
        let timers = [
            self.node.next_timeout(),
            self.quorum.next_timeout(),
            self.device.as_ref().and_then(DeviceVote::next_timeout),
            Some(self.looked.after(Duration::from_secs(1))),
        ];
        let due = timers.into_iter().flatten().min().unwrap_or(now);
        let span = if more { Duration::ZERO } else { due.since(now) };
        let timeout = Timespec {
            tv_sec: i64::try_from(span.as_secs()).unwrap_or(0),
            tv_nsec: i64::from(span.subsec_nanos()),
        };
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&timeout),
        ) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        Ok(events
            .iter()
            .map(|event| (event.data.u64(), event.flags))
            .collect())
    }

    /// One turn: what has come first, timers after it, so that a late turn accuses nobody whose
    /// heartbeat was here already. True if there is more to do at once.
    fn turn(&mut self, ready: &[(u64, epoll::EventFlags)]) -> bool {
        let now = now();
        let mut more = false;
        // First: a vote that ended while we slept is not shown to anybody.
        self.device_look(now);
        for (number, flags) in ready {
            match *number {
                WAKE => self.woken(now),
                LISTEN => self.accept(),
                id if id >= CLIENTS => {
                    if let Some(client) = self.clients.get_mut(&(id - CLIENTS)) {
                        let gone = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                        client.readable |= flags.intersects(epoll::EventFlags::IN | gone);
                        client.writable |= flags.intersects(epoll::EventFlags::OUT | gone);
                    }
                }
                at => {
                    let node = &mut self.node;
                    let mut take = |from, envelope| node.handle_packet(now, from, envelope);
                    more |= self
                        .transport
                        .receive(now, (at - SOCKETS) as usize, &mut take);
                }
            }
        }
        more |= self.read_clients();
        self.send_own();
        self.node.flush(now);
        if self.node.next_timeout().is_some_and(|at| at <= now) {
            self.node.handle_timeout(now);
        }
        if self.quorum.next_timeout().is_some_and(|at| at <= now) {
            let state = self.quorum.handle_timeout(now);
            self.note_quorum(state);
        }
        if now.since(self.looked) >= LOOK_EVERY {
            self.looked = now;
            self.transport.look(now);
            self.end_slow(now);
            self.log_causes();
        }
        more |= self.deliver(now);
        self.send_packets(now);
        self.drop_gone();
        let room = self.node.queued_bytes() < QUEUE_BYTES / 2;
        more || room && self.clients.values().any(|client| client.stalled.is_some())
    }

    fn send_packets(&mut self, now: Time) {
        while let Some((to, envelope)) = self.node.poll_packet() {
            self.transport.send(now, to, &envelope);
        }
        self.transport.flush();
    }

    /// Keys, and the disk.
    fn woken(&mut self, now: Time) {
        let mut count = [0; 8];
        // Only that it is read: the queues say what there is.
        let _ = rustix::io::read(&*self.wake, &mut count);
        while let Ok(event) = self.keys.try_recv() {
            match event {
                KeyEvent::Device(answer) => {
                    self.device_says(now, answer);
                    continue;
                }
                KeyEvent::Stop => {
                    self.ending.get_or_insert(Ending::Told);
                }
                _ => {}
            }
            self.transport.key(event);
        }
        self.transport.look(now);
        while let Ok((number, result)) = self.disk.done.try_recv() {
            self.stored(number, &result);
            self.listed(now, number, &result);
        }
    }

    fn stored(&mut self, number: u64, result: &io::Result<()>) {
        if let Err(error) = result {
            warn!("the store's file was not written: {error}");
        }
        let done: Vec<_> = self
            .waiting_for_disk
            .extract_if(.., |(at, ..)| *at <= number)
            .collect();
        for (_, client, request, version) in done {
            let outcome = match result {
                Ok(()) => words::Outcome::Ok(words::Answer::Updated { version }),
                Err(error) => words::Outcome::Error(words::Refusal {
                    message: format!("changed, but not on this node's disk: {error}"),
                }),
            };
            if let Some(client) = self.clients.get_mut(&client) {
                client.reply(request, outcome);
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.clients.len() >= CLIENTS_MAX || stream.set_nonblocking(true).is_err() {
                warn!("a client was turned away: there are {}", self.clients.len());
                continue;
            }
            let id = self.next_client;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            let data = epoll::EventData::new_u64(CLIENTS + id);
            if epoll::add(&self.epoll, &stream, data, flags).is_ok() {
                self.next_client += 1;
                self.clients.insert(id, Conn::new(id, stream));
            }
        }
    }

    /// Takes what clients want, as far as there is room; true if somebody has more.
    fn read_clients(&mut self) -> bool {
        let mut more = false;
        let ids: Vec<u64> = self.clients.keys().copied().collect();
        for id in ids {
            let Some(client) = self.clients.get_mut(&id) else {
                continue;
            };
            if let Some((message, safe)) = client.stalled.take() {
                self.submit(id, message, safe);
            }
            for _ in 0..WISHES_PER_TURN {
                let Some(client) = self.clients.get_mut(&id) else {
                    break;
                };
                // A client that does not read is not asked for more: its answers need room too.
                if client.stalled.is_some() || client.gone.is_some() || client.full() {
                    break;
                }
                match client.next_wish() {
                    Some(Wish::Send { message, safe }) => self.submit(id, message, safe),
                    Some(Wish::Ask(ask)) => self.answer(id, ask),
                    None if client.readable && client.gone.is_none() => client.read(),
                    None => break,
                }
            }
            if let Some(client) = self.clients.get(&id) {
                more |= client.waiting() && client.stalled.is_none() && !client.full();
            }
        }
        more
    }

    fn submit(&mut self, id: u64, message: Vec<u8>, safe: bool) {
        let guarantee = if safe {
            Guarantee::Safe
        } else {
            Guarantee::Agreed
        };
        match self.node.queue(message, guarantee) {
            Ok(()) => self.submitted += 1,
            Err(message) => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.stalled = Some((message, safe));
                }
            }
        }
    }

    /// The daemon's own messages; they wait for room as those of clients do.
    fn send_own(&mut self) {
        while let Some(word) = self.groups.poll_message() {
            let message = [&[OF_GROUPS], word.as_slice()].concat();
            self.outgoing.push_back((message, Guarantee::Agreed));
        }
        while let Some(word) = self.store.poll_word() {
            if let Ok(bytes) = postcard::to_allocvec(&word) {
                let message = [&[OF_STORE], bytes.as_slice()].concat();
                self.outgoing.push_back((message, Guarantee::Agreed));
            }
        }
        while let Some(word) = self.roster.poll_message() {
            let message = [&[OF_NODES], word.as_slice()].concat();
            self.outgoing.push_back((message, Guarantee::Safe));
        }
        while let Some((message, guarantee)) = self.outgoing.pop_front() {
            if let Err(message) = self.node.queue(message, guarantee) {
                self.outgoing.push_front((message, guarantee));
                return;
            }
        }
    }

    /// Hands out what is ripe, as long as every client takes it; true if there is more.
    fn deliver(&mut self, now: Time) -> bool {
        for _ in 0..DELIVERIES_PER_TURN {
            if self.clients.values().any(Conn::full) && !self.write_clients(now) {
                return false;
            }
            let Some(delivery) = self.node.poll_delivery(now) else {
                self.write_clients(now);
                return false;
            };
            self.hand_out(now, delivery);
        }
        self.write_clients(now);
        true
    }

    /// Writes to all; false if one still has as much as it may.
    fn write_clients(&mut self, now: Time) -> bool {
        let mut room = true;
        for client in self.clients.values_mut() {
            if client.writable && client.pending() && client.write() {
                client.slow_since = None;
            }
            if client.full() {
                room = false;
                if client.slow_since.is_none() {
                    self.slow_stops += 1;
                    client.slow_since = Some(now);
                }
            }
        }
        room
    }

    fn hand_out(&mut self, now: Time, delivery: Delivery) {
        match delivery {
            Delivery::Message { sender, bytes, .. } => match bytes.split_first() {
                Some((&TO_GROUP, message)) => self.deliver_to_group(sender, message),
                Some((&OF_GROUPS, word)) => {
                    self.groups.handle_message(sender, word);
                    self.tell_groups();
                }
                Some((&OF_STORE, word)) => {
                    if let Ok(word) = postcard::from_bytes::<Word>(word) {
                        self.store.handle(sender, word);
                        self.store_effects();
                    }
                }
                Some((&OF_NODES, word)) => self.hear_of_nodes(now, sender, word),
                _ => warn!("node {sender} sent a message that we do not understand"),
            },
            Delivery::Transitional { members, .. } => {
                self.roster.handle_transitional(&members);
                let members = members.iter().map(|node| node.0).collect();
                self.tell_followers(&Notice::Transitional { members });
            }
            Delivery::View(view) => {
                let names: Vec<String> = view.members.iter().map(|node| self.name(node)).collect();
                info!("view {} with {}", view.id, names.join(", "));
                let members = view.members.iter().map(|node| node.0).collect();
                let name = view.id.to_string();
                self.tell_followers(&Notice::View {
                    view: name,
                    members,
                });
                let vote = self.device_view(now, &view.members);
                let state = self.quorum.update(now, &view.members, vote);
                self.unlisted = view.members.clone();
                self.note_quorum(state.clone());
                self.groups.handle_view(&view.members);
                self.tell_groups();
                self.roster.handle_view(&view);
                self.store
                    .handle_view(view.id.counter, &view.members, state.quorate);
                self.store_effects();
                self.send_own();
                self.node.flush(now);
            }
        }
    }

    fn deliver_to_group(&mut self, sender: NodeId, message: &[u8]) {
        let Some(group) = group_of(message) else {
            return;
        };
        for client in self.clients.values_mut() {
            if client.groups.iter().any(|one| one == group) {
                client.deliver(sender, message);
                self.delivered += 1;
            }
        }
    }

    fn tell_groups(&mut self) {
        while let Some(GroupEvent { group, members }) = self.groups.poll_event() {
            // A member's messages are delivered from its own join on, at the same place everywhere.
            for client in self.clients.values_mut() {
                let was = client.groups.iter().position(|one| one == group.as_bytes());
                let is = members.contains(&(self.me, client.id));
                match (was, is) {
                    (None, true) => client.groups.push(group.clone().into_bytes()),
                    (Some(at), false) => {
                        client.groups.swap_remove(at);
                    }
                    _ => {}
                }
                if is || was.is_some() {
                    client.notice(&Notice::Members(named(&group, &members)));
                }
            }
        }
    }

    pub(crate) fn store_effects(&mut self) {
        let (mut write, mut replaced) = (None, false);
        while let Some(effect) = self.store.poll_effect() {
            match effect {
                Effect::Changed {
                    key,
                    value,
                    version,
                } => {
                    replaced |= key.starts_with(nodes::PLACES);
                    if key.starts_with(crate::store::DURABLE) {
                        self.disk_number += 1;
                        write = Some(self.disk_number);
                    }
                    let watching = |client: &&mut Conn| {
                        client
                            .watches
                            .iter()
                            .any(|prefix| key.starts_with(prefix.as_str()))
                    };
                    for client in self.clients.values_mut().filter(watching) {
                        let (key, value) = (key.clone(), value.clone());
                        client.notice(&Notice::Changed {
                            key,
                            value,
                            version,
                        });
                    }
                }
                Effect::Answer {
                    client,
                    request,
                    outcome: Ok(version),
                    durable: true,
                } => self
                    .waiting_for_disk
                    .push((self.disk_number, client, request, version)),
                Effect::Answer {
                    client,
                    request,
                    outcome,
                    ..
                } => {
                    let outcome = match outcome {
                        Ok(version) => words::Outcome::Ok(words::Answer::Updated { version }),
                        Err(message) => words::Outcome::Error(words::Refusal { message }),
                    };
                    if let Some(client) = self.clients.get_mut(&client) {
                        client.reply(request, outcome);
                    }
                }
            }
        }
        if let Some(number) = write {
            let mut contents = self.store.contents().clone();
            contents
                .keys
                .retain(|key, _| key.starts_with(crate::store::DURABLE));
            self.disk.write(number, contents);
        }
        if replaced {
            self.put_in_force(now());
        }
    }

    pub(crate) fn note_quorum(&mut self, mut state: QuorumState) {
        if state.quorate && !self.quorum_state.quorate && !self.unlisted.is_empty() {
            (state.quorate, state.reason) = (false, "the members compare their lists of nodes");
        }
        if state != self.quorum_state {
            let word = if state.quorate {
                "quorate"
            } else {
                "not quorate"
            };
            info!(
                "{word}: {} of {} votes, {} needed {}",
                state.votes, state.expected, state.needed, state.reason
            );
            self.quorum_state = state;
            let quorum = self.quorum_words();
            self.tell_followers(&Notice::Quorum(quorum));
        }
    }

    pub(crate) fn quorum_words(&self) -> words::Quorum {
        let state = &self.quorum_state;
        words::Quorum {
            quorate: state.quorate,
            votes: state.votes,
            needed: state.needed,
            expected: state.expected,
            reason: state.reason.to_owned(),
        }
    }

    fn tell_followers(&mut self, notice: &Notice) {
        for client in self.clients.values_mut().filter(|client| client.follows) {
            client.notice(notice);
        }
    }

    /// The reason for every change of the membership goes to the log.
    fn log_causes(&mut self) {
        let seen = self.causes_seen;
        for (at, cause) in &self.node.status().causes {
            if seen.is_none_or(|seen| *at > seen) {
                info!("the membership changes: {cause}");
                self.causes_seen = Some(*at);
            }
        }
    }

    fn end_slow(&mut self, now: Time) {
        for client in self.clients.values_mut() {
            if client
                .slow_since
                .is_some_and(|since| now.since(since) >= SLOW_MAX)
            {
                let seconds = SLOW_MAX.as_secs();
                let why = format!("you read nothing for {seconds} s while the site waited");
                client.notice(&Notice::Closing { why });
                client.write();
                client.gone = Some(format!(
                    "it read nothing for {seconds} s while the site waited"
                ));
            }
        }
    }

    fn drop_gone(&mut self) {
        let over = |client: &Conn| client.gone.is_some() && client.stalled.is_none();
        if !self.clients.values().any(over) {
            return;
        }
        let gone: Vec<u64> = self
            .clients
            .values()
            .filter(|one| over(one))
            .map(|one| one.id)
            .collect();
        for id in gone {
            let Some(client) = self.clients.remove(&id) else {
                continue;
            };
            let _ = epoll::delete(&self.epoll, client.stream());
            match client.gone.as_deref() {
                Some(LEFT) | None => debug!("client {id} is gone"),
                Some(why) => info!("client {id} is gone: {why}"),
            }
            self.groups.forget(id);
        }
        self.send_own();
        self.node.flush(now());
    }

    pub(crate) fn name(&self, node: NodeId) -> String {
        self.config
            .by_id(node)
            .map_or_else(|| node.to_string(), |one| one.name.clone())
    }
}

/// Votes are those of the list: the place of a node may still have to be learnt.
pub(crate) fn quorum_config(config: &Config, list: &NodeList) -> membership::QuorumConfig {
    membership::QuorumConfig {
        votes: list.votes.clone(),
        ..config.quorum()
    }
}

/// A group in the words of the socket.
pub(crate) fn named(group: &str, members: &[(NodeId, u64)]) -> words::Group {
    words::Group {
        name: group.to_owned(),
        members: members
            .iter()
            .map(|(node, client)| (node.0, *client))
            .collect(),
    }
}

/// An epoll instance on everything that is there from the beginning.
fn watched(wake: &OwnedFd, listener: &UnixListener, transport: &Transport) -> io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let watch = |fd: &dyn AsFd, number: u64| {
        let data = epoll::EventData::new_u64(number);
        epoll::add(&epoll, fd.as_fd(), data, epoll::EventFlags::IN)
    };
    watch(wake, WAKE)?;
    watch(listener, LISTEN)?;
    for (at, socket) in transport.sockets().enumerate() {
        watch(&socket, SOCKETS + at as u64)?;
    }
    Ok(epoll)
}

/// Sequence numbers under way: no more than the sockets' buffers hold. A packet costs the kernel its
/// bytes and half as much again.
fn window(transport: &Transport, chunk_bytes: usize) -> u64 {
    const LEAST: usize = 64;
    const MOST: usize = 2_048;
    let fits = transport.receive_buffer() * 2 / 3 / chunk_bytes;
    fits.clamp(LEAST, MOST) as u64
}
