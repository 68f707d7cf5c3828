//! One member's whole protocol state, and the order in which things happen in it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::acceptor::Context;
use crate::command::{Command, Forecast};
use crate::config::{Config, Role, StartError};
use crate::durable::{Restored, TicketRecord};
use crate::effect::{ClusterCommand, ClusterReport, Effect, Event, WriteFailed};
use crate::errand::Errand;
use crate::ids::{MemberId, RequestId, TicketId, TicketName, WriteId};
use crate::lease::ClassLease;
use crate::message::{Header, Life, Message, Part};
use crate::peer::Peer;
use crate::random::Random;
use crate::recovery::{Recovery, RestartCheck};
use crate::request::{AnsweredCheck, Finished, Request};
use crate::storage::Memory;
use crate::ticket::{Holding, Ticket};
use crate::time::Time;
use crate::view::View;

/// A datagram's parts are packed up to this size: with header, TLS and QUIC it fits the 1,200
/// bytes that every path carries.
const PARTS_BYTES_MAX: usize = 1000;
/// Answers that wait for the disk. They are datagrams, whose loss everybody is prepared for, and
/// a disk that hangs must not fill the memory.
const GATED_MAX: usize = 4096;
/// What a member may have to say to another before its own start is on disk.
const UNSAID_MAX: usize = 64;
/// Input is worked off in rounds, because a member also answers itself. Three suffice for a
/// grant in a cluster of one; more means a loop, which must not stop the process.
const SETTLE_MAX: usize = 64;
/// The same for one ticket.
const SETTLE_PER_TICKET: usize = 8;

/// One member's whole protocol state. See the crate's documentation for how to drive it.
#[derive(Debug)]
pub struct Participant {
    pub(crate) config: Config,
    pub(crate) me: MemberId,
    pub(crate) is_site: bool,
    pub(crate) digest: u32,
    pub(crate) now: Time,
    pub(crate) peers: Vec<Peer>,
    pub(crate) memory: Memory,
    /// Those of the configuration, by number.
    pub(crate) tickets: Vec<Ticket>,
    /// Records of tickets that are not, or no longer, configured: kept for their terms.
    pub(crate) orphans: Vec<TicketRecord>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) gated: VecDeque<(u64, MemberId, Part)>,
    pub(crate) loopback: VecDeque<Part>,
    pub(crate) touched: Vec<usize>,
    timers: BTreeSet<(Time, usize)>,
    pub(crate) leases: Vec<ClassLease>,
    pub(crate) requests: Vec<Request>,
    pub(crate) errands: Vec<Errand>,
    pub(crate) finished: VecDeque<Finished>,
    pub(crate) checks: VecDeque<AnsweredCheck>,
    pub(crate) random: Random,
    pub(crate) recovery: Option<Recovery>,
    pub(crate) restart: Option<RestartCheck>,
    pub(crate) restart_until: Time,
    pub(crate) unsure_until: Time,
    /// When this machine's real time was last set forward.
    pub(crate) real_time_set: Option<Time>,
    /// The longest span of an obligation; what a member without memory waits.
    pub(crate) longest: Duration,
    /// A round of ours counts no answer later than this: shorter than every wait after a lost
    /// memory, so that no vote of before the loss is counted with one of after it.
    pub(crate) lifetime: Duration,
}

impl Participant {
    /// A member that starts now. `seed` must differ from start to start.
    ///
    /// # Errors
    /// The configuration or the restored state is at fault.
    pub fn new(
        config: Config,
        restored: Restored,
        now: Time,
        seed: u64,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let me = config.me;
        let mut random = Random::new(seed);
        let life = Life {
            store: random.next(),
            incarnation: 1,
        };
        let nonce = u32::try_from(random.next() >> 32).unwrap_or_default();
        let mut peers: Vec<Peer> = config
            .members
            .iter()
            .filter(|member| member.id != me)
            .map(|member| Peer::new(member.id, member.role))
            .collect();
        peers.sort_by_key(|peer| peer.id);
        let mut tickets: Vec<Ticket> = config.tickets.iter().cloned().map(Ticket::new).collect();
        tickets.sort_by_key(|ticket| ticket.id);
        let timers = (0..tickets.len()).map(|t| (Time::NEVER, t)).collect();
        let longest = longest_span(&config);
        let lifetime = (config.round_timeout * LIFETIME_ROUNDS).min(longest / 2);
        let mut participant = Self {
            me,
            is_site: config
                .member(me)
                .is_some_and(|member| member.role == Role::Site),
            digest: digest(&config),
            now,
            peers,
            memory: Memory::new(life, nonce),
            tickets,
            orphans: Vec::new(),
            effects: VecDeque::new(),
            gated: VecDeque::new(),
            loopback: VecDeque::new(),
            touched: Vec::new(),
            timers,
            leases: Vec::new(),
            requests: Vec::new(),
            errands: Vec::new(),
            finished: VecDeque::new(),
            checks: VecDeque::new(),
            random,
            recovery: None,
            restart: None,
            restart_until: Time::ZERO,
            unsure_until: Time::ZERO,
            real_time_set: None,
            longest,
            lifetime,
            config,
        };
        participant.restore(restored)?;
        participant.settle();
        Ok(participant)
    }

    /// A datagram of a member that the link has authenticated.
    pub fn handle_message(&mut self, now: Time, from: MemberId, message: Message) {
        self.at(now);
        if !self.admit(from, &message.header) {
            return self.settle();
        }
        for part in message.parts {
            self.on_part(from, &message.header, part);
        }
        self.settle();
    }

    /// An operator's command. Answered by [`Effect::Reply`].
    pub fn handle_command(&mut self, now: Time, id: RequestId, command: Command) {
        self.at(now);
        self.on_command(id, command);
        self.settle();
    }

    /// What the site's cluster says.
    pub fn handle_report(&mut self, now: Time, report: ClusterReport) {
        self.at(now);
        self.on_report(report);
        self.settle();
    }

    /// A write is over. After an error this member no longer trusts its memory.
    pub fn handle_written(&mut self, now: Time, id: WriteId, result: Result<(), WriteFailed>) {
        self.at(now);
        self.on_written(id, result);
        self.settle();
    }

    /// The link to a member is up.
    pub fn handle_connected(&mut self, now: Time, member: MemberId) {
        self.at(now);
        self.on_connected(member);
        self.settle();
    }

    /// The link to a member is down.
    pub fn handle_disconnected(&mut self, now: Time, member: MemberId) {
        self.at(now);
        if let Some(peer) = self.peer_mut(member) {
            peer.connected = false;
        }
        self.settle();
    }

    /// The shell found that this machine's time stood still or went back (a hypervisor's pause, a
    /// restored snapshot): leases are dropped and the member's memory is no longer relied on.
    pub fn handle_lost_time(&mut self, now: Time, reason: &str) {
        self.at(now);
        self.lose_memory(reason.to_owned());
        self.settle();
    }

    /// The shell found that this machine's real time was set forward. That alone means nothing: it
    /// counts as a witness beside a peer's clock, see [`Participant::handle_lost_time`].
    pub fn handle_real_time_set_forward(&mut self, now: Time) {
        self.at(now);
        self.real_time_set = Some(now);
        self.judge_standstill();
        self.settle();
    }

    /// The time of [`Participant::next_timeout`] has come (or any other time: it does no harm).
    pub fn handle_timeout(&mut self, now: Time) {
        self.at(now);
        self.settle();
    }

    /// When [`Participant::handle_timeout`] has to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        let mut next = self.timers.first().map_or(Time::NEVER, |&(time, _)| time);
        next = next.min(self.lease_timeout()).min(self.request_timeout());
        next = next.min(self.recovery_timeout());
        if self.memory.changes != self.memory.stored
            && self.memory.writing.is_none()
            && self.memory.retry_at > self.now
        {
            next = next.min(self.memory.retry_at);
        }
        (next != Time::NEVER).then_some(next)
    }

    /// What has to be done next; call until `None` after every input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        if let Some(write) = self.due_write() {
            return Some(write);
        }
        self.due_message()
    }

    /// Everything that this member knows.
    #[must_use]
    pub fn view(&self, now: Time) -> View {
        self.overview(now)
    }

    /// What a command would do if it were given now, as far as this member knows.
    #[must_use]
    pub fn forecast(&self, now: Time, command: &Command) -> Forecast {
        self.foresee(now, command)
    }

    fn at(&mut self, now: Time) {
        debug_assert!(now >= self.now, "time goes forward");
        self.now = self.now.max(now);
        // Whatever the input is, a lease that ran out before it is over before it is looked at.
        while let Some(&(time, t)) = self.timers.first() {
            if time > self.now {
                break;
            }
            self.timers.remove(&(time, t));
            self.timers.insert((Time::NEVER, t));
            self.tickets[t].wake = Time::NEVER;
            self.expire(t);
            self.touch(t);
        }
    }

    /// Works off everything that follows from the last input.
    fn settle(&mut self) {
        self.run_leases();
        self.run_requests();
        self.run_recovery();
        for _ in 0..SETTLE_MAX + self.touched.len() * SETTLE_PER_TICKET {
            if let Some(part) = self.loopback.pop_front() {
                self.on_own_part(part);
                continue;
            }
            let Some(t) = self.touched.pop() else { break };
            self.tickets[t].touched = false;
            self.advance(t);
            self.set_timer(t);
        }
        if self.gated.len() > GATED_MAX {
            let me = self.me;
            let mut excess = self.gated.len() - GATED_MAX;
            self.gated.retain(|(_, to, _)| {
                let drop = *to != me && excess > 0;
                excess -= usize::from(drop);
                !drop
            });
        }
    }

    fn set_timer(&mut self, t: usize) {
        let wake = self.ticket_timeout(t);
        let last = self.tickets[t].wake;
        if wake != last {
            self.timers.remove(&(last, t));
            self.timers.insert((wake, t));
            self.tickets[t].wake = wake;
        }
    }

    pub(crate) fn touch(&mut self, t: usize) {
        if !std::mem::replace(&mut self.tickets[t].touched, true) {
            self.touched.push(t);
        }
    }

    pub(crate) fn ticket_index(&self, id: TicketId) -> Option<usize> {
        self.tickets
            .binary_search_by_key(&id, |ticket| ticket.id)
            .ok()
    }

    pub(crate) fn ticket_named(&self, name: &TicketName) -> Option<usize> {
        self.ticket_index(name.id())
            .filter(|&t| self.tickets[t].config.name == *name)
    }

    pub(crate) fn name(&self, t: usize) -> TicketName {
        self.tickets[t].config.name.clone()
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            now: self.now,
            rules: self.config.rules,
            drift_ppm: self.config.drift_ppm,
            voting: self.memory.voting,
            restart_until: self.restart_until,
            unsure_until: self.unsure_until,
        }
    }

    pub(crate) fn send(&mut self, to: MemberId, part: Part) {
        if to == self.me {
            self.loopback.push_back(part);
        } else if let Some(peer) = self.peer_mut(to) {
            peer.outbox.push(part);
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.effects.push_back(Effect::Event(event));
    }

    pub(crate) fn order(&mut self, command: ClusterCommand) {
        self.effects.push_back(Effect::Cluster(command));
    }

    /// The next datagram: everything that one peer is to be told, as far as it fits.
    fn due_message(&mut self) -> Option<Effect> {
        if self.memory.alive > self.memory.stored {
            for peer in &mut self.peers {
                peer.outbox.truncate(UNSAID_MAX);
            }
            return None;
        }
        let header = self.header();
        let now = self.now;
        let peer = self.peers.iter_mut().find(|peer| !peer.outbox.is_empty())?;
        if let Some(stale) = peer.behind.clone()
            && !peer.outbox.contains(&stale)
        {
            peer.outbox.insert(0, stale);
        }
        let mut size = 0;
        let fits = peer
            .outbox
            .iter()
            .take_while(|part| {
                size += part.weight();
                size <= PARTS_BYTES_MAX
            })
            .count()
            .max(1);
        let parts = if fits >= peer.outbox.len() {
            std::mem::take(&mut peer.outbox)
        } else {
            peer.outbox.drain(..fits).collect()
        };
        let header = Header {
            echo: peer.echo(now),
            ..header
        };
        Some(Effect::Send {
            to: peer.id,
            message: Message { header, parts },
        })
    }

    fn header(&self) -> Header {
        Header {
            epoch: self.config.epoch,
            digest: self.digest,
            life: self.memory.life,
            seen: self.memory.seen(),
            restored: self.memory.restored,
            voting: self.memory.voting,
            clock: self.now,
            echo: None,
        }
    }

    /// The first moment at which ticket `t` needs attention.
    fn ticket_timeout(&self, t: usize) -> Time {
        let ticket = &self.tickets[t];
        let mut wake = Time::NEVER;
        if let Some(round) = ticket.proposal.round() {
            wake = wake
                .min(round.resend_at)
                .min(round.again_at())
                .min(round.base.after(self.lifetime));
        } else if self.memory.voting && self.wish(t).is_some() {
            wake = wake.min(ticket.retry_at);
        }
        if let Some(held) = ticket.held().filter(|held| !held.lapsed) {
            if !held.hold_agreed {
                wake = wake.min(held.deadline);
            }
            match &held.stop {
                Some(stop) => wake = wake.min(stop.again_at),
                None if !held.started => wake = wake.min(held.start_by),
                None => {}
            }
        }
        if let Holding::Leftover { again_at, .. } | Holding::Recalling { again_at } = ticket.holding
        {
            wake = wake.min(again_at);
        }
        if let Some(candidate) = ticket.candidate.filter(|candidate| candidate.at > self.now) {
            wake = wake.min(candidate.at);
        }
        if let Some((at, _)) = ticket.kick {
            wake = wake.min(at);
        }
        wake.min(self.job_timeout(t))
    }
}

/// Rounds are given up after this many round timeouts.
const LIFETIME_ROUNDS: u32 = 8;
/// The wait after a lost memory where no ticket has a lease.
const LONGEST_MIN: Duration = Duration::from_secs(1);

fn longest_span(config: &Config) -> Duration {
    let spans = config.tickets.iter().map(|ticket| {
        let class = ticket.class();
        class.lease() + class.acquire_after()
    });
    spans.max().unwrap_or_default().max(LONGEST_MIN)
}

/// What all members must agree on: who they are.
fn digest(config: &Config) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(config.cluster.as_bytes());
    let mut members: Vec<_> = config.members.iter().collect();
    members.sort_by_key(|member| member.id);
    for member in members {
        hasher.update(&member.id.0.to_le_bytes());
        hasher.update(&[u8::from(member.role == Role::Site)]);
        hasher.update(member.name.as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize()
}
