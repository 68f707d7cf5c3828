//! The loop around the controller.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use cib::Cib;
use controller::{
    Controller, Effect, Ending, GuardHeld, Holding, Now, OperationResult, Order, Settings, Start,
};
use executor::collect::Left;
use executor::process::Surroundings;
use executor::{Agent, CallId, Executor, Operation, Outcome, Report, Status};
use guard::timer::BootTimer;
use stack_api::clock::BootClock;
use stack_api::guard::{Arm, MARKER_VARIABLE, Process, Protection, State, TRACKED_MAX, Track};
use stack_api::peers::listen;
use stack_api::stack::{self, Event, TicketStatus};
use tokio::sync::mpsc;

use crate::control::{Control, Input, PEERS_MAX};
use crate::convert;
use crate::disk::{StateDir, marker};
use crate::guard_link::{self, Ask, GuardLink, News};

mod requests;
mod site;

use site::{Site, Stored};

/// News of the guard and saved files that wait for the loop.
const BOUND: usize = 64;

/// How the daemon was started.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) cib: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) guard: Option<PathBuf>,
    pub(crate) node: String,
    pub(crate) site: Option<String>,
    pub(crate) agents: Vec<PathBuf>,
    pub(crate) ocf_root: String,
    pub(crate) tickets: bool,
    pub(crate) parallel: usize,
    pub(crate) clock: BootClock,
    /// Messaging, of a site of several nodes.
    pub(crate) messaging: Option<messaging::Config>,
}

/// A configuration that was written (or not), with who waits for it.
#[derive(Debug)]
struct Saved {
    peer: u64,
    id: u64,
    result: Result<Box<Cib>, String>,
}

/// A configuration that waits for its holds to be agreed.
#[derive(Debug)]
struct Proposal {
    peer: u64,
    id: u64,
    cib: Cib,
    /// When it is taken without.
    until: tokio::time::Instant,
}

/// How the daemon ended: resources that could not be stopped.
pub(crate) type Unstopped = Vec<String>;

struct Daemon {
    options: Options,
    state: StateDir,
    controller: Controller,
    executor: Executor,
    control: Control,
    asks: Option<mpsc::Sender<Ask>>,
    guard: Option<State>,
    /// What subscribers were told last, by ticket.
    shown: BTreeMap<String, TicketStatus>,
    /// What systemd was told last.
    told: String,
    /// Where agents find the classic commands.
    commands: Vec<(String, String)>,
    /// Starts under tickets whose left processes the guard is to know.
    collecting: BTreeMap<u64, Vec<Holding>>,
    saving: bool,
    proposal: Option<Proposal>,
    saved: mpsc::Sender<Saved>,
    left: Option<Unstopped>,
    /// The other nodes.
    site: Option<Site>,
}

/// Runs until it is told to end and everything is stopped.
///
/// # Errors
/// What kept the daemon from starting; nothing was started or stopped.
pub(crate) async fn run(options: Options) -> Result<Unstopped, Box<dyn std::error::Error>> {
    let state = StateDir::open(&options.state)?;
    let cib = site::load(&options)?;
    settle(&state).await?;
    let held = match &options.guard {
        Some(path) => guard_link::first_state(path).await,
        None => None,
    };
    let (executor, reports) = start_executor(&options, &state);
    let settings = Settings {
        node: options.node.clone(),
        uuid: state.instance.clone(),
        schedule: scheduler::schedule,
        tickets: options.tickets,
    };
    let start = Start {
        kept: state.load_kept(),
        held: held
            .iter()
            .flat_map(|guard| still_held(guard, &state.instance))
            .collect(),
    };
    let listener = listen(&options.socket, "daemon")
        .map_err(|error| format!("{}: {error}", options.socket.display()))?;
    let timer = BootTimer::new(options.clock)?;
    let (control, inputs) = Control::new(PEERS_MAX, Some(Event::Lagged));
    let (saved, saves) = mpsc::channel(BOUND);
    let link = options.guard.clone().map(guard_link::start);
    let (asks, news) = link.map_or((None, None), |GuardLink { asks, news }| {
        (Some(asks), Some(news))
    });
    let (stored, copies) = mpsc::channel(BOUND);
    let begin = site::Begin {
        settings,
        cib,
        start,
        stored,
    };
    let (controller, site) = site::begin(&options, &state, begin)?;
    let daemon = Daemon {
        commands: commands(&state, &options)?,
        controller,
        site,
        options,
        state,
        executor,
        control,
        asks,
        guard: held,
        shown: BTreeMap::new(),
        collecting: BTreeMap::new(),
        told: String::new(),
        saving: false,
        proposal: None,
        saved,
        left: None,
    };
    let channels = Channels {
        inputs,
        reports,
        news,
        saves,
        copies,
    };
    daemon.serve(&listener, &timer, channels).await
}

fn start_executor(options: &Options, state: &StateDir) -> (Executor, mpsc::Receiver<Report>) {
    Executor::new(executor::Settings {
        around: Surroundings {
            directories: options.agents.clone(),
            notes: Some(state.notes()),
            // This very program, even when its file was replaced by an upgrade meanwhile.
            collector: Some(PathBuf::from("/proc/self/exe")),
            ..Surroundings::default()
        },
        parallel: options.parallel,
    })
}

/// Waits for what agents of the daemon before this one are at.
async fn settle(state: &StateDir) -> std::io::Result<()> {
    for waited in executor::orphans::settle(&state.notes()).await? {
        tracing::warn!(
            operation = waited,
            "an agent of the daemon before this one has ended"
        );
    }
    Ok(())
}

/// What agents find in their environment to call the classic commands.
fn commands(
    state: &StateDir,
    options: &Options,
) -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    Ok(executor::environment::commands(
        &state.commands()?,
        &std::path::absolute(&options.socket)?,
        std::env::var("PATH").ok().as_deref(),
    ))
}

struct Channels {
    inputs: mpsc::Receiver<Input>,
    reports: mpsc::Receiver<Report>,
    news: Option<mpsc::Receiver<News>>,
    saves: mpsc::Receiver<Saved>,
    copies: mpsc::Receiver<Stored>,
}

fn now(clock: BootClock) -> Now {
    Now {
        boot_ns: clock.now_ns(),
        wall_s: clock.wall_s(),
    }
}

/// Terms that the guard is armed for with this node's own markers and whose deadline lies ahead.
fn still_held(guard: &State, instance: &str) -> Vec<GuardHeld> {
    let ours = guard.held.iter().filter(|held| {
        let own = marker(instance, &held.ticket, held.term);
        held.armed && !held.over && held.marker.as_deref() == Some(own.as_str())
    });
    ours.filter(|held| held.deadline_ns > guard.now_ns)
        .map(|held| GuardHeld {
            holding: Holding {
                ticket: held.ticket.clone(),
                term: held.term,
            },
            deadline_ns: held.deadline_ns,
        })
        .collect()
}

async fn next_news(news: &mut Option<mpsc::Receiver<News>>) -> Option<News> {
    match news {
        Some(news) => news.recv().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Daemon {
    async fn serve(
        mut self,
        listener: &tokio::net::UnixListener,
        timer: &BootTimer,
        mut channels: Channels,
    ) -> Result<Unstopped, Box<dyn std::error::Error>> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let half = |period: Duration| (period / 2).max(Duration::from_millis(1));
        // Without a watchdog of systemd the tick is rare and does nothing.
        let period = sd_notify::watchdog_enabled().map_or(Duration::from_secs(3600), half);
        let mut alive = tokio::time::interval(period);
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        self.controller.handle_timeout(now(self.options.clock));
        loop {
            self.perform();
            self.proceed();
            let patience = self.proposal.as_ref().map(|proposal| proposal.until);
            if let Some(left) = self.left.take() {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
                let _ = std::fs::remove_file(&self.options.socket);
                return Ok(left);
            }
            timer.set(Some(self.controller.next_timeout()))?;
            tokio::select! {
                fired = timer.fired() => {
                    fired?;
                    self.controller.handle_timeout(now(self.options.clock));
                }
                Some(report) = channels.reports.recv() => self.report(report),
                Some(news) = next_news(&mut channels.news) => self.news(news),
                Some(input) = channels.inputs.recv() => self.input(input),
                Some(saved) = channels.saves.recv() => self.saved(saved),
                Some(stored) = channels.copies.recv() => self.stored(stored),
                Some(news) = site::next_ring(&mut self.site) => self.ring(news)?,
                accepted = listener.accept() => {
                    // Too many descriptors is the only failure; the next peer may be luckier.
                    if let Ok((stream, _)) = accepted {
                        self.control.admit(stream);
                    }
                }
                _ = terminate.recv() => self.shut_down("SIGTERM"),
                _ = interrupt.recv() => self.shut_down("SIGINT"),
                _ = hangup.recv() => tracing::info!("SIGHUP: the configuration is changed by `cib replace`"),
                () = until(patience) => {}
                _ = alive.tick() => {
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
                }
            }
        }
    }

    fn shut_down(&mut self, why: &str) {
        tracing::info!(why, "stopping all resources");
        self.controller.handle_shutdown(now(self.options.clock));
    }

    fn protection(&self) -> Protection {
        self.guard
            .as_ref()
            .map_or(Protection::None, |guard| guard.protection)
    }

    fn report(&mut self, report: Report) {
        let now = now(self.options.clock);
        match report {
            Report::Cancelled { call } => self.controller.handle_cancelled(now, call.0),
            Report::Ended {
                call,
                outcome,
                resource,
                ..
            } => {
                self.collected(now, call.0, &resource, outcome.left.as_deref());
                self.controller.handle_result(now, call.0, result(outcome));
            }
        }
    }

    /// Tells guard and controller what a gated start left running, before its result counts.
    fn collected(&mut self, now: Now, call: u64, resource: &str, left: Option<&[Left]>) {
        let (Some(gates), Some(left)) = (self.collecting.remove(&call), left) else {
            return;
        };
        let processes: Vec<Process> = left
            .iter()
            .take(TRACKED_MAX)
            .map(|left| Process {
                pid: left.pid,
                start: left.start,
            })
            .collect();
        if !processes.is_empty() {
            for gate in gates {
                let (ticket, term) = (gate.ticket, gate.term);
                self.ask(Ask::Track(Track {
                    ticket,
                    term,
                    processes: processes.clone(),
                }));
            }
        }
        self.controller
            .handle_processes(now, resource, !left.is_empty());
    }

    fn news(&mut self, news: News) {
        let now = now(self.options.clock);
        match news {
            News::Up(state) => {
                tracing::info!(protection = state.protection.name(), "the guard answers");
                let held = still_held(&state, &self.state.instance);
                let armed = held.into_iter().map(|held| held.holding).collect();
                self.guard = Some(state);
                self.controller.handle_guard_up(now, armed);
                self.publish_protection();
            }
            News::Down(why) => {
                if self.guard.take().is_some() {
                    tracing::error!(why, "the guard is gone: what depends on a lease stops");
                    self.controller.handle_guard_down(now);
                    self.publish_protection();
                }
            }
            News::Armed(holding, result) => self.controller.handle_armed(now, &holding, result),
            News::Disarmed(holding, result) => {
                self.controller.handle_disarmed(now, &holding, result);
            }
            News::Fired(holding) => self.controller.handle_fired(now, &holding),
            News::Log(text) => tracing::warn!("{text}"),
        }
    }

    fn shown(&self, view: controller::TicketView) -> TicketStatus {
        let can_reset = self.guard.as_ref().is_some_and(|guard| guard.can_reset);
        convert::ticket(view, self.protection(), can_reset)
    }

    fn publish_protection(&mut self) {
        let protection = self.protection();
        self.control.publish(Event::Protection { protection });
    }

    /// Does what the controller wants, and tells subscribers what changed.
    fn perform(&mut self) {
        while let Some(effect) = self.controller.poll_effect() {
            self.effect(effect);
        }
        for view in self.controller.tickets() {
            let status = self.shown(view);
            if self.shown.get(&status.ticket) != Some(&status) {
                self.control.publish(Event::Ticket(status.clone()));
                self.shown.insert(status.ticket.clone(), status);
            }
        }
        self.tell_systemd();
    }

    /// The line that `systemctl status` shows.
    fn tell_systemd(&mut self) {
        let granted = self.shown.values().filter(|ticket| ticket.granted).count();
        let text = format!(
            "{granted} of {} tickets granted, protection {}",
            self.shown.len(),
            self.protection().name()
        );
        if text != self.told {
            // Nobody listens outside systemd.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&text)]);
            self.told = text;
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Keep => {
                if let Err(error) = self.state.save_kept(self.controller.kept()) {
                    // A restart would then stop what it cannot name the term of.
                    tracing::error!(%error, "a restart will not adopt gated resources");
                }
            }
            Effect::Run(order) => self.run(order),
            Effect::Cancel {
                call,
                resource,
                action,
                interval_ms,
            } => {
                let interval = Duration::from_millis(interval_ms.into());
                let told = self
                    .executor
                    .cancel(CallId(call), &resource, &action, interval);
                if let Err(busy) = told {
                    tracing::error!(%busy, "a monitor is not cancelled");
                    self.controller
                        .handle_cancelled(now(self.options.clock), call);
                }
            }
            Effect::Abort { call, resource } => {
                if let Err(busy) = self.executor.abort(CallId(call), &resource) {
                    tracing::error!(%busy, "an operation is not ended early");
                }
            }
            Effect::Arm {
                holding,
                deadline_ns,
                stop_budget_ns,
                reset,
            } => {
                let marker = marker(&self.state.instance, &holding.ticket, holding.term);
                let Holding { ticket, term } = holding;
                let arm = Arm {
                    ticket,
                    term,
                    deadline_ns,
                    stop_budget_ns,
                    marker,
                    reset,
                };
                self.ask(Ask::Arm(arm));
            }
            Effect::Disarm(holding) => self.ask(Ask::Disarm(holding)),
            Effect::Fire(holding) => self.ask(Ask::Fire(holding)),
            Effect::Operation {
                resource,
                action,
                interval_ms,
                result,
            } => {
                self.tell_operation(resource, action, interval_ms, result);
            }
            Effect::Log(text) => tracing::info!("{text}"),
            Effect::Stopped { left } => self.left = Some(left),
            other => self.site_effect(other),
        }
    }

    /// A full queue means that the guard does not read; the link finds that out by itself.
    fn ask(&self, ask: Ask) {
        if let Some(asks) = &self.asks
            && asks.try_send(ask).is_err()
        {
            tracing::error!("the guard's queue is full");
        }
    }

    fn tell_operation(
        &mut self,
        resource: String,
        action: String,
        interval_ms: u32,
        result: OperationResult,
    ) {
        let status = match result.ending {
            Ending::Complete => Status::Complete,
            Ending::Timeout => Status::Timeout,
            Ending::NotInstalled => Status::NotInstalled,
            Ending::Error => Status::Error,
            Ending::Cancelled => Status::Cancelled,
        };
        tracing::info!(
            resource,
            action,
            interval_ms,
            rc = result.rc,
            status = status.name(),
            ms = result.exec_ms,
            reason = result.reason,
            "operation ended"
        );
        self.control.publish(Event::Operation(stack::Operation {
            resource,
            operation: action,
            interval_ms: interval_ms.into(),
            rc: result.rc,
            status: status.name().to_owned(),
            reason: result.reason,
            exec_ms: result.exec_ms,
            ended_ns: self.options.clock.now_ns(),
        }));
    }

    fn run(&mut self, order: Order) {
        let agent = Agent {
            class: order.class,
            provider: order.provider,
            kind: order.kind,
        };
        let mut environment = executor::environment::ocf(
            &order.resource,
            &agent,
            &self.options.ocf_root,
            &order.attributes,
        );
        environment.extend(self.commands.iter().cloned());
        environment.extend(self.gate_variables(&order.gates, &order.action));
        let begins = matches!(order.action.as_str(), "start" | "promote");
        let collect = begins && !order.gates.is_empty();
        if collect {
            self.collecting.insert(order.call, order.gates);
        }
        let operation = Operation {
            resource: order.resource,
            agent,
            action: order.action,
            timeout: Duration::from_millis(order.timeout_ms.into()),
            environment,
            collect,
        };
        let interval = Duration::from_millis(order.interval_ms.into());
        if let Err(busy) = self.executor.run(CallId(order.call), operation, interval) {
            let outcome = Outcome::without_run(Status::Error, 1, busy.to_string());
            self.controller
                .handle_result(now(self.options.clock), order.call, result(outcome));
        }
    }

    /// What a gated resource's agents are told: the guard's markers, the tickets, their terms. Several
    /// tickets are separated by commas, in the same order. An agent that only looks or stops leaves
    /// nothing behind: it carries no marker, or the guard would end the very stop that is wanted.
    fn gate_variables(&self, gates: &[Holding], action: &str) -> Vec<(String, String)> {
        if gates.is_empty() {
            return Vec::new();
        }
        let join = |text: &dyn Fn(&Holding) -> String| {
            gates.iter().map(text).collect::<Vec<_>>().join(",")
        };
        let terms = join(&|gate| gate.term.to_string());
        let markers = join(&|gate| marker(&self.state.instance, &gate.ticket, gate.term));
        let mut variables = vec![
            (
                "INTERLOCK_TICKET".to_owned(),
                join(&|gate| gate.ticket.clone()),
            ),
            ("INTERLOCK_TERM".to_owned(), terms.clone()),
            ("OCF_RESKEY_CRM_meta_ticket_term".to_owned(), terms),
        ];
        if !matches!(action, "stop" | "monitor") {
            variables.push((MARKER_VARIABLE.to_owned(), markers));
        }
        variables
    }
}

fn result(outcome: Outcome) -> OperationResult {
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    OperationResult {
        ending: match outcome.status {
            Status::Complete => Ending::Complete,
            Status::Timeout => Ending::Timeout,
            Status::NotInstalled => Ending::NotInstalled,
            Status::Error => Ending::Error,
            Status::Cancelled => Ending::Cancelled,
        },
        rc: outcome.rc,
        reason: outcome.exit_reason,
        exec_ms: ms(outcome.exec_time),
        queue_ms: ms(outcome.queue_time),
    }
}
