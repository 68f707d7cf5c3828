//! The one event loop around the protocol, shared by `site-agent` and `arbitrator`.
//!
//! ```text
//!  alarm, link, disk, cluster reports, control socket, signals
//!                       |  one input at a time
//!                       v
//!             Participant::handle_*            (decides; no I/O)
//!                       |  effects, in order
//!                       v
//!  disk write | cluster command | datagram | answer | event
//! ```
//!
//! Nothing here waits but the one `select!`: a disk that is not fast is written by a thread that
//! exists while it writes, the cluster is driven by its backend's own tasks, clients and members have tasks of
//! their own, each behind a bounded queue.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use link::{Events, Link};
use ticket_admin::{Body, Call, Event, Level};
use ticket_config::Config;
use ticket_protocol::{
    ClusterCommand, ClusterReport, Effect, Participant, TicketName, Time, WriteFailed, WriteId,
    wire,
};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use crate::clock::{Alarm, Clock};
use crate::cluster::Cluster;
use crate::contact::Contacts;
use crate::control::{Asked, Control};
use crate::conversion::Roster;
use crate::desk::{self, Desk, Taken};
use crate::device::Device;
use crate::disk::Disk;
use crate::manager::Manager;
use crate::pause::{Noticed, PauseWatch, Readings};
use crate::reload::{Reload, Reloaded};
use crate::view::Sources;
use crate::watch::Watch;
use crate::{answer, happening};

/// Inputs taken before effects go out again: enough that a burst of all members' messages shares
/// one turn, few enough that a flood cannot starve timers and disk.
const INPUTS_A_TURN: usize = 64;

/// A member that was not heard for so long is asked whether it lives when somebody looks: the
/// link itself notices only after tens of seconds, because asking wakes both ends.
const QUIET: Duration = Duration::from_secs(1);

/// How long an alarm is shown by `ticket status` after it was last raised.
const ALARM_SHOWN: Duration = Duration::from_secs(15 * 60);

/// Alarms shown at once; beyond it the oldest goes. Distinct ones are a handful even in a disaster.
const ALARMS_SHOWN_MAX: usize = 32;

/// Pause before a timeout that is still due after it was handled is handled again: short beside any
/// lease, long beside a turn of the loop.
const TIMEOUT_PAUSE: Duration = Duration::from_millis(5);

/// How long a clean stop waits for the disk: what was not answered by then was never promised.
const LAST_WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// The loop's state: everything a member's process has.
pub(crate) struct EventLoop {
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    pub(crate) roster: Roster,
    pub(crate) participant: Participant,
    pub(crate) disk: Disk,
    pub(crate) link: Link,
    pub(crate) members: Events,
    pub(crate) alarm: Alarm,
    pub(crate) control: Control,
    pub(crate) cluster: Box<dyn Cluster>,
    pub(crate) reports: mpsc::Receiver<ClusterReport>,
    pub(crate) signals: Signals,
    pub(crate) manager: Manager,
    pub(crate) reload: Reload,
    pub(crate) pauses: PauseWatch,
    pub(crate) started: Time,
    pub(crate) desk: Desk,
    pub(crate) watch: Watch,
    pub(crate) contacts: Contacts,
    /// The quorum device, if sites have one here.
    pub(crate) device: Option<Device>,
    pub(crate) alarms: BTreeMap<(String, String), (Time, String)>,
    /// Why the loop has to end after this turn.
    pub(crate) ended: Option<Ended>,
    /// The status line may have changed.
    pub(crate) stale_status: bool,
    /// No timeout is handled before this: see [`TIMEOUT_PAUSE`].
    pub(crate) not_before: Time,
    /// When the service manager was last told that we live.
    pub(crate) alive_at: Time,
}

/// The signals that mean something to us.
pub(crate) struct Signals {
    pub(crate) hangup: Signal,
    pub(crate) terminate: Signal,
    pub(crate) interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Why the loop ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// The kernel's timer failed: no deadline can be kept any more.
    #[error("the timer failed: {0}")]
    Timer(#[from] io::Error),
    /// Another process uses our name and key. Each of the two may be the one that others know, so
    /// that both would vote: neither must.
    #[error(
        "another process is this member too: {0}; stop one of them, delete its state, and give it a \
         name and a certificate of its own"
    )]
    Duplicate(String),
}

/// One thing that happened.
enum Input {
    Stop,
    Reload,
    Reloaded(Reloaded),
    Written(WriteId, Result<(), WriteFailed>),
    Report(ClusterReport),
    Member(link::Event),
    Asked(Asked),
    Rung,
}

impl EventLoop {
    /// Runs until a signal asks for the end.
    ///
    /// # Errors
    /// See [`Ended`]; it was stopped as after a signal.
    pub(crate) async fn run(mut self) -> Result<(), Ended> {
        self.manager.ready();
        self.act();
        let outcome = self.turns().await;
        if let Err(ended) = &outcome {
            tracing::error!("{ended}");
        }
        self.stop().await;
        outcome
    }

    async fn turns(&mut self) -> Result<(), Ended> {
        loop {
            let due = self.next_wake();
            self.alarm.set(due)?;
            // A time that has passed already is due now, not late.
            let due = due.map(|due| due.max(self.clock.now()));
            let input = self.next_input().await?;
            self.notice_pauses(due);
            if let Input::Stop = input {
                return Ok(());
            }
            self.handle(input);
            for _ in 1..INPUTS_A_TURN {
                match self.ready_input() {
                    Some(input) => self.handle(input),
                    None => break,
                }
            }
            self.keep_time();
            self.tell_manager();
            if let Some(ended) = self.ended.take() {
                return Err(ended);
            }
        }
    }

    /// When the loop has to run again without any other input.
    fn next_wake(&self) -> Option<Time> {
        let sign_of_life = self
            .manager
            .sleep_max()
            .map(|sleep| self.alive_at.after(sleep));
        let timeout = self.participant.next_timeout();
        let timeout = timeout.map(|timeout| timeout.max(self.not_before));
        [timeout, sign_of_life].into_iter().flatten().min()
    }

    /// Waits for the next input. What is urgent comes first.
    async fn next_input(&mut self) -> io::Result<Input> {
        tokio::select! {
            biased;
            _ = self.signals.terminate.recv() => Ok(Input::Stop),
            _ = self.signals.interrupt.recv() => Ok(Input::Stop),
            (id, result) = self.disk.written() => Ok(Input::Written(id, result)),
            rung = self.alarm.rung() => rung.map(|()| Input::Rung),
            Some(report) = self.reports.recv() => Ok(Input::Report(report)),
            event = self.members.recv() => Ok(Input::Member(event)),
            asked = self.control.next() => Ok(Input::Asked(asked)),
            _ = self.signals.hangup.recv() => Ok(Input::Reload),
            reloaded = self.reload.done() => Ok(Input::Reloaded(reloaded)),
        }
    }

    /// An input of the cluster or a member that is there already. Clients wait for their turn: a
    /// view of many tickets takes a while, and several at once must not hold up a renewal.
    fn ready_input(&mut self) -> Option<Input> {
        if let Ok(report) = self.reports.try_recv() {
            return Some(Input::Report(report));
        }
        self.members.try_recv().map(Input::Member)
    }

    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        match input {
            Input::Stop | Input::Rung => {}
            Input::Reload => {
                self.manager.reloading();
                self.reload.start(&self.config, &self.link);
            }
            Input::Reloaded(reloaded) => self.reloaded(reloaded),
            Input::Written(id, result) => self.participant.handle_written(now, id, result),
            Input::Report(report) => {
                tracing::debug!(?report, "the cluster reports");
                self.participant.handle_report(now, report);
            }
            Input::Member(event) => self.member(now, event),
            Input::Asked(asked) => self.asked(now, asked),
        }
        self.act();
    }

    /// Runs the protocol's timers that are due; also those that came due meanwhile.
    fn keep_time(&mut self) {
        let now = self.clock.now();
        if self.participant.next_timeout().is_some_and(|at| at <= now) {
            self.participant.handle_timeout(now);
            self.act();
            let again = self.participant.next_timeout();
            if again.is_some_and(|at| at <= now) {
                // The same moment again would be a loop without end: a defect of the protocol, which
                // must not take members and clients down with it.
                self.not_before = now.after(TIMEOUT_PAUSE);
            }
        }
    }

    /// Does what the protocol wants done, in its order.
    fn act(&mut self) {
        while let Some(effect) = self.participant.poll_effect() {
            match effect {
                Effect::Send { to, message } => {
                    let bytes = wire::encode_message(&message);
                    // A datagram that is lost here is as lost as one in the network, and counted.
                    let _lost = self.link.send(&self.roster.name(to), &bytes);
                    self.contacts.sent(to, self.clock.now());
                }
                Effect::Write { id, state } => self.disk.write(id, wire::encode_state(&state)),
                Effect::Cluster(command) => self.command_cluster(command),
                Effect::Reply { id, outcome } => {
                    let gap = self.desk.gap(id, &outcome, self.clock.now());
                    if let Some(action) = self.desk.action(id) {
                        let mut body = answer::outcome(outcome, action, &self.roster);
                        if let Body::Ok(ticket_admin::Answer::Outcome(outcome)) = &mut body {
                            outcome.gap_ms = gap.map(answer::millis);
                        }
                        self.desk.answer(id, body);
                    }
                }
                Effect::Event(event) => {
                    let event = happening::protocol(&event, &self.roster);
                    self.publish(event);
                }
            }
        }
    }

    /// Hands a command over, unless its deadline has passed since the protocol decided it: this
    /// process may have been paused in between.
    fn command_cluster(&mut self, command: ClusterCommand) {
        let late = match &command {
            ClusterCommand::Grant { deadline, .. } => *deadline,
            ClusterCommand::Extend { deadline, .. } => Some(*deadline),
            _ => None,
        };
        if late.is_some_and(|deadline| deadline <= self.clock.now()) {
            tracing::warn!(?command, "not carried out: its lease is over already");
            return;
        }
        tracing::debug!(?command, "to the cluster");
        self.cluster.command(command);
    }

    fn member(&mut self, now: Time, event: link::Event) {
        match &event {
            link::Event::Message { from, bytes } => match self.roster.number(from) {
                Some(member) => match wire::decode_message(bytes) {
                    Ok(message) => {
                        self.contacts.heard(member);
                        self.participant.handle_message(now, member, message);
                    }
                    Err(error) => {
                        self.link.count_invalid(from);
                        tracing::debug!(%from, %error, "a message was not understood");
                    }
                },
                None => match &self.device {
                    Some(device) => device.handle(from, bytes),
                    None => tracing::debug!(%from, "a message of nobody we know"),
                },
            },
            link::Event::Up { peer, .. } => {
                if let Some(member) = self.roster.number(peer) {
                    self.contacts.heard(member);
                    self.participant.handle_connected(now, member);
                }
            }
            link::Event::Down { peer, .. } => {
                if let Some(member) = self.roster.number(peer) {
                    self.participant.handle_disconnected(now, member);
                }
            }
            link::Event::Duplicate { member, why } => {
                if self.roster.number(member) == Some(self.roster.me()) {
                    self.ended = Some(Ended::Duplicate(why.clone()));
                }
            }
            link::Event::Refused { .. } | link::Event::CertificateExpires { .. } => {}
        }
        if let Some(event) = happening::link(&event) {
            self.publish(event);
        }
    }

    fn asked(&mut self, now: Time, asked: Asked) {
        let Asked { request, client } = asked;
        let is_site = self
            .config
            .me()
            .is_some_and(|me| me.role == ticket_config::Role::Site);
        match request.call {
            Call::View {} => {
                self.link.ask_quiet(QUIET);
                let view = self.view(now);
                let answer = ticket_admin::Answer::View(Box::new(view));
                client.answer(request.id, Body::Ok(answer));
            }
            Call::Watch { after } => self.watch.subscribe(request.id, client, after),
            Call::Plan(action) => {
                let body = match desk::command(&action, &self.roster, is_site) {
                    Ok(command) => {
                        let forecast = self.participant.forecast(now, &command);
                        let pace = self.pace(&action.ticket);
                        desk::plan_answer(answer::plan(&forecast, &action, &self.roster, pace))
                    }
                    Err(failure) => Body::Error(failure),
                };
                client.answer(request.id, body);
            }
            Call::Act(action) => {
                let taken = self
                    .desk
                    .take(request.id, client, action, &self.roster, is_site);
                if let Taken::New(id, command) = taken {
                    self.participant.handle_command(now, id, command);
                }
            }
        }
    }

    /// How long a round and a stop take, as far as can be known beforehand.
    fn pace(&self, ticket: &str) -> answer::Pace {
        let mut round_trips: Vec<Duration> = self
            .link
            .stats()
            .peers
            .iter()
            .filter(|peer| peer.address.is_some())
            .filter_map(|peer| peer.rtt)
            .collect();
        round_trips.sort_unstable();
        // We ourselves are one of the majority.
        let others = self.config.majority().saturating_sub(1);
        let configured = self.config.find_ticket(ticket).map(|it| it.stop_budget);
        let known = self
            .cluster
            .stop_budget_ms(&TicketName(ticket.to_owned()))
            .map(Duration::from_millis);
        answer::Pace {
            round: match others {
                0 => Some(Duration::ZERO),
                others => round_trips.get(others - 1).copied(),
            },
            stop_budget: known.or(configured),
        }
    }

    fn view(&mut self, now: Time) -> ticket_admin::View {
        self.forget_old_alarms(now);
        Sources {
            config: &self.config,
            roster: &self.roster,
            protocol: self.participant.view(now),
            link: self.link.stats(),
            cluster: &*self.cluster,
            contacts: &self.contacts,
            up: now.since(self.started),
            alarms: self.alarms.values().map(|(_, text)| text.clone()).collect(),
        }
        .view()
    }

    /// Logs, remembers and sends out an event.
    fn publish(&mut self, mut event: Event) {
        event.at_unix_ms = self.clock.realtime_nanos() / 1_000_000;
        happening::log(&event);
        if event.kind == "voting" {
            self.alarms.retain(|(kind, _), _| kind != "lost-memory");
        }
        if event.level == Level::Alarm {
            let subject = event.ticket.clone().or_else(|| event.member.clone());
            let key = (event.kind.clone(), subject.unwrap_or_default());
            self.alarms
                .insert(key, (self.clock.now(), event.text.clone()));
            if self.alarms.len() > ALARMS_SHOWN_MAX {
                let oldest = self.alarms.iter().min_by_key(|(_, (at, _))| *at);
                if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                    self.alarms.remove(&key);
                }
            }
        }
        self.watch.publish(event);
        self.stale_status = true;
    }

    fn forget_old_alarms(&mut self, now: Time) {
        self.alarms
            .retain(|_, (raised, _)| now.since(*raised) < ALARM_SHOWN);
    }

    fn notice_pauses(&mut self, due: Option<Time>) {
        for noticed in self.pauses.compare(Readings::take(&self.clock), due) {
            self.publish(happening::pause(noticed));
            if let Noticed::RealtimeForward(_) = noticed {
                self.participant
                    .handle_real_time_set_forward(self.clock.now());
                self.act();
            }
        }
    }

    fn reloaded(&mut self, reloaded: Reloaded) {
        let event = match reloaded {
            Ok(config) => {
                self.config = *config;
                Event {
                    kind: "reloaded".to_owned(),
                    text: "configuration and certificates were read again and are in force"
                        .to_owned(),
                    ..Event::default()
                }
            }
            Err(error) => Event {
                level: Level::Warning,
                kind: "reload-failed".to_owned(),
                text: format!("everything stays as it was; not reloaded: {error}"),
                ..Event::default()
            },
        };
        self.publish(event);
        self.manager.ready();
    }

    /// Sign of life and status for the service manager.
    fn tell_manager(&mut self) {
        let now = self.clock.now();
        if let Some(sleep) = self.manager.sleep_max()
            && now >= self.alive_at.after(sleep)
        {
            self.manager.alive();
            self.alive_at = now;
        }
        if self.stale_status && self.manager.is_present() {
            self.stale_status = false;
            let view = self.view(now);
            let held: Vec<&str> = view
                .tickets
                .iter()
                .filter(|it| it.holder.as_deref() == Some(view.member.as_str()))
                .filter(|it| it.state == ticket_admin::TicketState::Granted)
                .map(|it| it.name.as_str())
                .collect();
            let holds = match held.as_slice() {
                [] => "holds no ticket".to_owned(),
                held => format!("holds {}", held.join(", ")),
            };
            let votes = view.votes;
            self.manager.status(format!(
                "{holds}; {} of {} votes within reach, {} needed",
                votes.reachable, votes.configured, votes.needed
            ));
        }
    }

    /// A clean end. Tickets are not released: a restarted agent goes on with them while their
    /// leases last, and if none comes back the guard ends what runs at the deadline.
    async fn stop(mut self) {
        self.manager.stopping();
        let view = self.participant.view(self.clock.now());
        for ticket in view.tickets.iter().filter(|ticket| ticket.mine) {
            let name = ticket.name.0.as_str();
            match ticket.lease_left {
                Some(left) => tracing::warn!(
                    ticket = name,
                    left_ms = answer::millis(left),
                    "stopping while holding it: resumed if restarted in time, otherwise its \
                     resources are ended at the lease's end; `ticket move` hands over without a gap"
                ),
                None => tracing::warn!(
                    ticket = name,
                    "stopping while holding it: it is manual and stays here"
                ),
            }
        }
        self.desk.give_up();
        if tokio::time::timeout(LAST_WRITE_PATIENCE, self.disk.settled())
            .await
            .is_err()
        {
            tracing::warn!("the disk did not finish the last write; its promise was not given");
        }
        self.cluster.shut_down().await;
        self.link.close().await;
        tracing::info!("stopped");
    }
}
