//! The socket and the loop.

use std::io;
use std::path::PathBuf;

use stack_api::clock::{BootClock, boot_id, span_ns};
use stack_api::guard::{Answer, Do, Event, Holding, Process, State};
use stack_api::peers::{Input, Peers, listen};
use stack_api::{ErrorBody, ErrorCode};
use tokio::net::UnixListener;
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
    /// The kernel's `sysrq-trigger`.
    pub sysrq: PathBuf,
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
    let reset = Reset::open(options.reset, &options.sysrq, options.watchdog.as_deref())?;
    let memory = Memory::open(options.state.as_deref())
        .map_err(|error| fault("the state directory", error))?;
    let restored = memory
        .load()
        .map_err(|error| fault("what was armed before", error))?;
    let now_ns = options.clock.now_ns();
    let timer = BootTimer::new(options.clock).map_err(|error| fault("timer", error))?;
    let listener = listen(&options.socket, "guard")
        .map_err(|error| fault(&options.socket.display().to_string(), error))?;
    let mut tracker = Tracker::default();
    for entry in &restored {
        let marker = entry.marker.as_deref().unwrap_or_default();
        tracker.note(marker, entry.tracked.iter().map(process));
    }
    // A subscriber that does not read is cut off and sees it when it asks again.
    let (peers, requests) = Peers::new(CONNECTIONS_MAX, None);
    let server = Server {
        table: Table::restore(restored, now_ns),
        tracker,
        enforcer: Enforcer::default(),
        reset,
        memory,
        peers,
        next_scan_ns: now_ns,
        next_feed_ns: now_ns,
        // Half the time that systemd allows, as it advises.
        alive: sd_notify::watchdog_enabled().map(|allowed| (span_ns(allowed / 2), now_ns)),
        stopping: false,
        boot_id: boot_id().map_err(|error| fault("boot id", error))?,
        options,
    };
    server
        .serve(&listener, &timer, requests)
        .await
        .map_err(|error| fault("the loop", error))
}

struct Server {
    options: Options,
    boot_id: String,
    table: Table,
    tracker: Tracker,
    enforcer: Enforcer,
    reset: Reset,
    memory: Memory,
    peers: Peers<Do, Answer, Event>,
    next_scan_ns: u64,
    next_feed_ns: u64,
    /// How often, and when next, systemd is told that this loop runs.
    alive: Option<(u64, u64)>,
    stopping: bool,
}

impl Server {
    async fn serve(
        mut self,
        listener: &UnixListener,
        timer: &BootTimer,
        mut requests: mpsc::Receiver<Input<Do>>,
    ) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Readiness is for the unit; nobody listens in a demo.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        while !self.stopping || self.table.is_armed() {
            timer.set(self.wake_at())?;
            tokio::select! {
                accepted = listener.accept() => {
                    // Too many descriptors is the only failure; the next peer may be luckier.
                    if let Ok((stream, _)) = accepted {
                        self.peers.admit(stream);
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
            self.peers.publish(event);
        }
        if self.table.is_armed() && now_ns >= self.next_scan_ns {
            self.next_scan_ns = now_ns + SCAN_EVERY_NS;
            if let Err(error) = self.tracker.scan(self.table.markers()) {
                log::line(format!("/proc: {error}"));
            }
        }
    }

    fn input(&mut self, input: Input<Do>) {
        match input {
            Input::Gone(peer) => self.peers.gone(peer),
            Input::Garbage(peer, what) => self.peers.refuse(peer, what),
            Input::Request(peer, request) => {
                if request.r#do == Do::Subscribe {
                    self.peers.subscribe(peer);
                }
                let result = self.answer(request.r#do);
                self.peers.answer(peer, request.id, result.into());
            }
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
        limits.extend(self.reset.limits());
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
