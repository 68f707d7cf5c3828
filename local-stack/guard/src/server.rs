//! The socket and the loop.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use stack_api::clock::{BootClock, boot_id, span_ns};
use stack_api::guard::{
    Answer, Do, Event, Holding, Notice, Outcome, Process, Request, Response, State,
};
use stack_api::{ErrorBody, ErrorCode, LineBuffer, line};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::enforce::Enforcer;
use crate::log;
use crate::memory::Memory;
use crate::processes::{ProcessId, Tracker};
use crate::reset::{Reset, ResetKind};
use crate::table::{Refused, Table};
use crate::timer::BootTimer;

/// Most connections at once: agent, local stack and a few tools. More are closed at once.
const CONNECTIONS_MAX: usize = 64;

/// Requests waiting for the loop; a peer that sends faster waits in its socket.
const REQUESTS_BOUND: usize = 64;

/// Answers and events waiting for one peer; one that reads slower than this is cut off.
const REPLIES_BOUND: usize = 256;

/// Pause between two looks at what belongs to the armed markers: often enough to see the parents of
/// a daemon that changes its title and hides its environment.
const SCAN_EVERY_NS: u64 = 1_000_000_000;

/// Pause between two feeds of a watchdog device; their shortest usual time is ten seconds.
const FEED_EVERY_NS: u64 = 2_000_000_000;

/// Sweeps before a disarm gives up on processes that cannot be killed.
const SWEEPS_MAX: u32 = 100;

/// How the guard was started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen.
    pub socket: PathBuf,
    /// Where to remember what is armed; belongs on a file system in memory.
    pub state: Option<PathBuf>,
    /// The clock of this node.
    pub clock: BootClock,
    /// How the node may be reset.
    pub reset: ResetKind,
    /// A watchdog device to feed.
    pub watchdog: Option<PathBuf>,
    /// Why this process is not protected itself (memory, priority).
    pub limits: Vec<String>,
}

/// Runs until a signal ends it; what is armed then is ended first.
///
/// # Errors
/// One sentence: what could not be set up. Nothing was armed.
pub async fn run(options: Options) -> Result<(), String> {
    let fault = |what: &str, error: io::Error| format!("{what}: {error}");
    let reset = Reset::open(options.reset, options.watchdog.as_deref())?;
    let memory = Memory::open(options.state.as_deref())
        .map_err(|error| fault("the state directory", error))?;
    let restored = memory
        .load()
        .map_err(|error| fault("what was armed before", error))?;
    let now_ns = options.clock.now_ns();
    let timer = BootTimer::new(options.clock).map_err(|error| fault("timer", error))?;
    let listener = listen(&options.socket)
        .map_err(|error| fault(&options.socket.display().to_string(), error))?;
    let mut tracker = Tracker::default();
    for entry in &restored {
        let marker = entry.marker.as_deref().unwrap_or_default();
        tracker.note(marker, entry.tracked.iter().map(process));
    }
    let server = Server {
        table: Table::restore(restored, now_ns),
        tracker,
        enforcer: Enforcer::default(),
        reset,
        memory,
        peers: BTreeMap::new(),
        next_scan_ns: now_ns,
        next_feed_ns: now_ns,
        // Half the time that systemd allows, as it advises.
        alive: sd_notify::watchdog_enabled().map(|allowed| (span_ns(allowed / 2), now_ns)),
        stopping: false,
        boot_id: boot_id().map_err(|error| fault("boot id", error))?,
        options,
    };
    server
        .serve(&listener, &timer)
        .await
        .map_err(|error| fault("the loop", error))
}

/// Binds the socket. One that is left over from a dead guard is replaced; a live one is not.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another guard answers there",
            ));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    // The site agent runs as another user of the same group.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

struct Peer {
    replies: mpsc::Sender<Vec<u8>>,
    subscribed: bool,
}

enum Input {
    Request(u64, Request),
    Garbage(u64, String),
    Gone(u64),
}

struct Server {
    options: Options,
    boot_id: String,
    table: Table,
    tracker: Tracker,
    enforcer: Enforcer,
    reset: Reset,
    memory: Memory,
    peers: BTreeMap<u64, Peer>,
    next_scan_ns: u64,
    next_feed_ns: u64,
    /// How often, and when next, systemd is told that this loop runs.
    alive: Option<(u64, u64)>,
    stopping: bool,
}

impl Server {
    async fn serve(mut self, listener: &UnixListener, timer: &BootTimer) -> io::Result<()> {
        let (inputs, mut requests) = mpsc::channel(REQUESTS_BOUND);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut next_peer = 0;
        // Readiness is for the unit; nobody listens in a demo.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        while !self.stopping || self.table.is_armed() {
            timer.set(self.wake_at())?;
            tokio::select! {
                accepted = listener.accept() => {
                    // Too many descriptors is the only failure; the next peer may be luckier.
                    if let Ok((stream, _)) = accepted {
                        next_peer += 1;
                        self.admit(next_peer, stream, inputs.clone());
                    }
                }
                Some(input) = requests.recv() => self.input(input),
                fired = timer.fired() => fired?,
                _ = terminate.recv() => self.stop(),
                _ = interrupt.recv() => self.stop(),
            }
            self.act();
        }
        self.reset.release();
        let _ = std::fs::remove_file(&self.options.socket);
        Ok(())
    }

    fn stop(&mut self) {
        if self.table.is_armed() {
            log::line("told to end while armed: what it guards is ended first".to_owned());
        }
        self.table.fire_all();
        self.stopping = true;
    }

    fn wake_at(&self) -> Option<u64> {
        let scan = self.table.is_armed().then_some(self.next_scan_ns);
        let feeds = self.reset.protection() == stack_api::guard::Protection::Watchdog;
        let feed = feeds.then_some(self.next_feed_ns);
        self.enforcer
            .next_timeout(&self.table)
            .into_iter()
            .chain(scan)
            .chain(feed)
            .chain(self.alive.map(|(_, next_ns)| next_ns))
            .min()
    }

    fn act(&mut self) {
        let now_ns = self.options.clock.now_ns();
        if let Some((every_ns, next_ns)) = &mut self.alive
            && now_ns >= *next_ns
        {
            *next_ns = now_ns.saturating_add(*every_ns);
            // systemd starts a guard anew that it does not hear.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
        if now_ns >= self.next_feed_ns {
            self.next_feed_ns = now_ns + FEED_EVERY_NS;
            if let Err(error) = self.reset.feed() {
                log::line(format!("watchdog: {error}"));
            }
        }
        let (events, disarmed) =
            self.enforcer
                .run(now_ns, &mut self.table, &mut self.tracker, &mut self.reset);
        if disarmed {
            self.save();
        }
        for event in events {
            self.publish(event);
        }
        if self.table.is_armed() && now_ns >= self.next_scan_ns {
            self.next_scan_ns = now_ns + SCAN_EVERY_NS;
            if let Err(error) = self.tracker.scan(self.table.markers()) {
                log::line(format!("/proc: {error}"));
            }
        }
    }

    fn publish(&mut self, event: Event) {
        let line = line::encode(&Notice { event });
        // A subscriber that does not read is cut off and sees it when it asks again.
        self.peers
            .retain(|_, peer| !peer.subscribed || peer.replies.try_send(line.clone()).is_ok());
    }

    fn admit(&mut self, id: u64, stream: UnixStream, inputs: mpsc::Sender<Input>) {
        if self.peers.len() >= CONNECTIONS_MAX {
            return;
        }
        let (reader, mut writer) = stream.into_split();
        let (replies, mut lines) = mpsc::channel::<Vec<u8>>(REPLIES_BOUND);
        self.peers.insert(
            id,
            Peer {
                replies,
                subscribed: false,
            },
        );
        tokio::spawn(read(id, reader, inputs));
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                if writer.write_all(&line).await.is_err() {
                    return;
                }
            }
        });
    }

    fn input(&mut self, input: Input) {
        let (peer, response) = match input {
            Input::Gone(peer) => {
                self.peers.remove(&peer);
                return;
            }
            Input::Garbage(peer, what) => {
                let result = Outcome::Error(ErrorBody::new(ErrorCode::Usage, what));
                (peer, Response { id: 0, result })
            }
            Input::Request(peer, request) => {
                if request.r#do == Do::Subscribe
                    && let Some(peer) = self.peers.get_mut(&peer)
                {
                    peer.subscribed = true;
                }
                let result = match self.answer(request.r#do) {
                    Ok(answer) => Outcome::Ok(answer),
                    Err(error) => Outcome::Error(error),
                };
                (
                    peer,
                    Response {
                        id: request.id,
                        result,
                    },
                )
            }
        };
        let line = line::encode(&response);
        let delivered = self
            .peers
            .get(&peer)
            .map(|to| to.replies.try_send(line).is_ok());
        if delivered == Some(false) {
            self.peers.remove(&peer);
        }
    }

    fn answer(&mut self, request: Do) -> Result<Answer, ErrorBody> {
        let now_ns = self.options.clock.now_ns();
        match request {
            Do::Arm(arm) => {
                if self.stopping {
                    return Err(ErrorBody::new(
                        ErrorCode::Unavailable,
                        "the guard is ending",
                    ));
                }
                let deadline_ns = self.table.arm(now_ns, &arm).map_err(refusal)?;
                self.tell_systemd();
                log::line(format!("ticket {} term {}: armed", arm.ticket, arm.term));
                // Only what would be found again after a restart of the guard counts as armed.
                self.memory.save(self.table.armed()).map_err(|error| {
                    self.table.disarm(&Holding {
                        ticket: arm.ticket,
                        term: arm.term,
                    });
                    ErrorBody::new(ErrorCode::Error, format!("not armed: {error}"))
                })?;
                self.next_scan_ns = self.next_scan_ns.min(now_ns + SCAN_EVERY_NS);
                Ok(Answer::Armed { deadline_ns })
            }
            Do::Deadline(deadline) => {
                let deadline_ns = self.table.deadline(now_ns, &deadline).map_err(refusal)?;
                Ok(Answer::Deadline { deadline_ns })
            }
            Do::Disarm(holding) => self.disarm(&holding),
            Do::Hold(hold) => {
                self.table.hold(now_ns, &hold).map_err(refusal)?;
                Ok(Answer::Held)
            }
            Do::Track(track) => {
                let marker = self.table.track(&track).map_err(refusal)?;
                self.tracker
                    .note(&marker, track.processes.iter().map(process));
                self.save();
                Ok(Answer::Tracked)
            }
            Do::Fire(holding) => {
                self.table.fire(&holding).map_err(refusal)?;
                Ok(Answer::Firing)
            }
            Do::Query => Ok(Answer::State(self.state(now_ns))),
            Do::Subscribe => Ok(Answer::Subscribed),
        }
    }

    /// Sweeps what a confirmed stop left behind, then disarms.
    fn disarm(&mut self, holding: &Holding) -> Result<Answer, ErrorBody> {
        let marker = self.table.marker(holding).map_err(refusal)?;
        let mut killed = std::collections::BTreeSet::new();
        if let Some(marker) = marker {
            let mut left = true;
            for _ in 0..SWEEPS_MAX {
                let found = self.tracker.kill(&marker).map_err(|error| {
                    ErrorBody::new(ErrorCode::Error, format!("still armed: /proc: {error}"))
                })?;
                left = !found.is_empty();
                if !left {
                    break;
                }
                killed.extend(found);
            }
            if left {
                return Err(ErrorBody::new(
                    ErrorCode::Unsafe,
                    format!(
                        "still armed: processes of term {} of ticket {} cannot be ended",
                        holding.term, holding.ticket
                    ),
                ));
            }
            self.table.disarm(holding);
            self.save();
            let (ticket, term, swept) = (&holding.ticket, holding.term, killed.len());
            log::line(format!(
                "ticket {ticket} term {term}: disarmed, {swept} left-overs ended"
            ));
        }
        Ok(Answer::Disarmed {
            killed: u32::try_from(killed.len()).unwrap_or(u32::MAX),
        })
    }

    fn save(&self) {
        self.tell_systemd();
        if let Err(error) = self.memory.save(self.table.armed()) {
            // Too much is remembered then: a later restart ends what is long gone.
            log::line(format!("state: {error}"));
        }
    }

    /// The line that `systemctl status` shows.
    fn tell_systemd(&self) {
        let names: Vec<String> = self
            .table
            .armed()
            .iter()
            .map(|entry| format!("{} term {}", entry.ticket, entry.term))
            .collect();
        let protection = self.reset.protection().name();
        let armed = if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        };
        let text = format!("armed for {armed}; protection {protection}");
        // Nobody listens outside systemd.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&text)]);
    }

    fn state(&mut self, now_ns: u64) -> State {
        let mut limits = self.options.limits.clone();
        if !self.reset.possible() {
            limits.push("the node cannot be reset: no --watchdog and no --reset".to_owned());
        }
        State {
            boot_id: self.boot_id.clone(),
            now_ns,
            protection: self.reset.protection(),
            can_reset: self.reset.possible(),
            limits,
            held: self.table.held(now_ns),
        }
    }
}

fn process(process: &Process) -> ProcessId {
    ProcessId::new(process.pid, process.start)
}

fn refusal(refused: Refused) -> ErrorBody {
    let code = match refused {
        Refused::Stale { .. } | Refused::Over { .. } => ErrorCode::Unsafe,
        Refused::Unknown { .. } => ErrorCode::NoSuchObject,
        Refused::Full => ErrorCode::Unavailable,
        Refused::Marker => ErrorCode::Usage,
    };
    ErrorBody::new(code, refused.to_string())
}

async fn read(peer: u64, mut reader: OwnedReadHalf, inputs: mpsc::Sender<Input>) {
    let mut buffer = LineBuffer::new();
    let mut chunk = [0; 4096];
    // A read error is a peer that went away.
    while let Ok(count @ 1..) = reader.read(&mut chunk).await {
        if buffer.push(&chunk[..count]).is_err() {
            break;
        }
        while let Some(text) = buffer.next_line() {
            let input = match line::decode::<Request>(&text) {
                Ok(request) => Input::Request(peer, request),
                Err(error) => Input::Garbage(peer, error.to_string()),
            };
            if inputs.send(input).await.is_err() {
                return;
            }
        }
    }
    // The loop is gone when this fails, and with it the peer.
    let _ = inputs.send(Input::Gone(peer)).await;
}
