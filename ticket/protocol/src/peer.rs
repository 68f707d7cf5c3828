//! What a member knows of another: which life of it speaks, how far away it is, how its clock
//! runs.

use std::time::Duration;

use crate::config::Role;
use crate::effect::{Alarm, Event};
use crate::ids::MemberId;
use crate::message::{Header, Life, Part, Seen};
use crate::participant::Participant;
use crate::standstill::stood_still;
use crate::time::Time;

/// Lives of a member that are over are remembered so that a late datagram does not bring one
/// back. A member loses its memory rarely; eight lives are years.
const RETIRED_MAX: usize = 8;
/// So many runs of a peer are told apart: an older one is late, or its number is used a second time.
const RUNS_MAX: usize = 8;
/// A retired life that still speaks so long after its end is not late but running.
const RETIRED_SPEAKS: Duration = Duration::from_secs(60);
/// Clock rates are compared over at least this long: at 1 % of it, the round trip's uncertainty
/// is small against what is measured.
const RATE_WINDOW: Duration = Duration::from_secs(20);
/// An echo held back longer than this is not used to measure a round trip.
const ECHO_HELD_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: MemberId,
    pub(crate) role: Role,
    pub(crate) outbox: Vec<Part>,
    pub(crate) connected: bool,
    pub(crate) voting: Option<bool>,
    pub(crate) life: Option<Life>,
    retired: Vec<(Life, Time)>,
    pub(crate) seen: Seen,
    /// The newest of the run before the present one.
    pub(crate) previous: Option<Seen>,
    pub(crate) heard_at: Option<Time>,
    clock: Time,
    pub(crate) round_trip: Option<Duration>,
    rate_from: Option<Sample>,
    pub(crate) clock_ppm: Option<i64>,
    rate_alarmed: bool,
    /// When its clock was found to have gone on while this member's stood still, and by how much.
    pub(crate) went_on: Option<(Time, Duration)>,
    other_epoch: Option<u64>,
    /// Whether it has confirmed, since this member restarted, that it has seen nothing newer.
    pub(crate) confirmed: bool,
    /// The last runs of this life that were heard: number and nonce.
    runs: Vec<(u32, u32)>,
    /// This life was found rolled back. It is over, whatever it says from now on: its write counter
    /// catches up when it restarts.
    rolled_back: Option<Life>,
    /// It spoke last in an older state than was seen of it: it is told so with every datagram,
    /// until it speaks in a newer one. One that was told once and missed it would soon vote.
    pub(crate) behind: Option<Part>,
}

/// A reading of the peer's clock: taken somewhere within `width` before `at`.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Time,
    clock: Time,
    width: Duration,
}

impl Peer {
    pub(crate) fn new(id: MemberId, role: Role) -> Self {
        Self {
            id,
            role,
            outbox: Vec::new(),
            connected: false,
            voting: None,
            life: None,
            retired: Vec::new(),
            seen: Seen::default(),
            previous: None,
            heard_at: None,
            clock: Time::ZERO,
            round_trip: None,
            rate_from: None,
            clock_ppm: None,
            rate_alarmed: false,
            went_on: None,
            other_epoch: None,
            confirmed: false,
            runs: Vec::new(),
            rolled_back: None,
            behind: None,
        }
    }

    /// What this peer's clock showed last, and how long ago.
    pub(crate) fn echo(&self, now: Time) -> Option<(Time, Duration)> {
        let held = now.since(self.heard_at?);
        (held <= ECHO_HELD_MAX).then_some((self.clock, held))
    }

    /// Round trip and clock rate. Returns a rate beyond `bound_ppm`, once.
    fn measure(&mut self, now: Time, header: &Header, bound_ppm: u32) -> Option<i64> {
        let (echoed, held) = header.echo?;
        if held > ECHO_HELD_MAX || echoed > now {
            return None;
        }
        let trip = now.since(echoed).saturating_sub(held);
        // Smoothed upwards at once and downwards slowly: a resend too late costs less than one
        // too early.
        self.round_trip = Some(self.round_trip.map_or(trip, |last| {
            if trip > last {
                trip
            } else {
                (last * 7 + trip) / 8
            }
        }));
        let sample = Sample {
            at: now,
            clock: header.clock,
            width: trip,
        };
        let Some(from) = self.rate_from else {
            self.rate_from = Some(sample);
            return None;
        };
        let mine = now.since(from.at);
        let theirs = header.clock.since(from.clock);
        if let Some(by) = stood_still(mine, theirs, from.width + trip, bound_ppm) {
            self.went_on = Some((now, by));
            self.rate_from = Some(sample);
            return None;
        }
        if mine < RATE_WINDOW {
            // The sharper reading of the two is the better start.
            if sample.width < from.width {
                self.rate_from = Some(sample);
            }
            return None;
        }
        let window = i128::try_from(mine.as_nanos()).unwrap_or(i128::MAX);
        let theirs = i128::from(header.clock.0) - i128::from(from.clock.0);
        let ppm = i64::try_from((theirs - window) * 1_000_000 / window).unwrap_or(i64::MAX);
        let doubt = (from.width + trip).as_nanos() * 1_000_000 / mine.as_nanos().max(1);
        let doubt = i64::try_from(doubt).unwrap_or(i64::MAX);
        let beyond = ppm.saturating_abs().saturating_sub(doubt) > i64::from(bound_ppm);
        if beyond || mine > RATE_WINDOW * 3 || doubt < i64::from(bound_ppm) / 10 {
            self.clock_ppm = Some(ppm);
            self.rate_from = Some(sample);
        }
        let news = beyond && !self.rate_alarmed;
        self.rate_alarmed = beyond;
        news.then_some(ppm)
    }

    fn forget_life(&mut self, now: Time) {
        if let Some(life) = self.life.take() {
            if self.retired.len() == RETIRED_MAX {
                self.retired.remove(0);
            }
            self.retired.push((life, now));
        }
        self.seen = Seen::default();
        self.previous = None;
        self.rate_from = None;
        self.runs.clear();
    }

    fn note_run(&mut self, seen: Seen) {
        if self.runs.len() == RUNS_MAX {
            self.runs.remove(0);
        }
        self.runs.push((seen.run, seen.nonce));
    }

    /// Whether another run of this number was heard.
    fn repeats(&self, said: Seen) -> bool {
        let other = |&(run, nonce): &(u32, u32)| run == said.run && nonce != said.nonce;
        self.runs.iter().any(other)
    }
}

/// What to do with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Take,
    /// Of nobody.
    Drop,
    /// Of an older state than we have seen of it.
    Stale,
}

impl Participant {
    pub(crate) fn peer(&self, id: MemberId) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.id == id)
    }

    pub(crate) fn peer_mut(&mut self, id: MemberId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.id == id)
    }

    /// Whether a datagram with this header is listened to.
    pub(crate) fn admit(&mut self, from: MemberId, header: &Header) -> bool {
        let (now, bound) = (self.now, self.config.drift_ppm);
        let (epoch, digest) = (self.config.epoch, self.digest);
        let Some(peer) = self.peer_mut(from) else {
            return false;
        };
        if header.epoch != epoch || header.digest != digest {
            let news = peer.other_epoch != Some(header.epoch);
            peer.other_epoch = Some(header.epoch);
            if news {
                let epoch = header.epoch;
                self.event(Event::Alarm(Alarm::OtherConfiguration {
                    member: from,
                    epoch,
                }));
            }
            return false;
        }
        peer.other_epoch = None;
        match self.judge_life(from, header) {
            Verdict::Take => {}
            Verdict::Drop => return false,
            Verdict::Stale => {
                if let Some(peer) = self.peer(from) {
                    let life = header.life;
                    let over = Seen {
                        run: u32::MAX,
                        nonce: 0,
                        written: 0,
                    };
                    let counts = peer.rolled_back != Some(life);
                    let seen = if peer.life == Some(life) && counts {
                        peer.seen
                    } else {
                        over
                    };
                    let newest = peer.life.filter(|newest| newest.store == life.store);
                    let incarnation = newest.map_or(life.incarnation, |newest| newest.incarnation);
                    let stale = Part::Stale {
                        life,
                        seen,
                        incarnation,
                    };
                    if let Some(peer) = self.peer_mut(from) {
                        peer.behind = Some(stale.clone());
                    }
                    self.send(from, stale);
                }
                return false;
            }
        }
        let Some(peer) = self.peer_mut(from) else {
            return false;
        };
        peer.behind = None;
        peer.connected = true;
        peer.voting = Some(header.voting);
        if header.clock >= peer.clock || header.seen.run > peer.seen.run {
            peer.clock = header.clock;
            peer.heard_at = Some(now);
        }
        if let Some(ppm) = peer.measure(now, header, bound) {
            self.event(Event::Alarm(Alarm::ClockRate { member: from, ppm }));
        }
        self.judge_standstill();
        true
    }

    fn judge_life(&mut self, from: MemberId, header: &Header) -> Verdict {
        let Some(peer) = self.peer_mut(from) else {
            return Verdict::Drop;
        };
        let life = header.life;
        if peer.life != Some(life) {
            return self.judge_other_life(from, header);
        }
        let (said, seen) = (header.seen, peer.seen);
        if peer.rolled_back == Some(life) {
            return Verdict::Stale;
        }
        // It started with less than it had, or the same run a second time.
        let less = said.run > seen.run && header.restored < seen.written;
        // Sent later and yet of an older state.
        let older =
            said.run == seen.run && said.written < seen.written && header.clock > peer.clock;
        if less || older || peer.repeats(said) {
            peer.rolled_back = Some(life);
            self.event(Event::Alarm(Alarm::RolledBack { member: from }));
            return Verdict::Stale;
        }
        if said.run < seen.run {
            return Verdict::Stale;
        }
        if said.run > seen.run {
            peer.previous = Some(seen);
            peer.seen = said;
            peer.note_run(said);
            peer.clock = header.clock;
            peer.rate_from = None;
            return Verdict::Take;
        }
        peer.seen.written = seen.written.max(said.written);
        Verdict::Take
    }

    /// A life speaks that is not the last that was heard of this member.
    fn judge_other_life(&mut self, from: MemberId, header: &Header) -> Verdict {
        let (now, life) = (self.now, header.life);
        let Some(peer) = self.peer_mut(from) else {
            return Verdict::Drop;
        };
        let retired = peer
            .retired
            .iter_mut()
            .find(|(retired, _)| *retired == life);
        if let Some((_, since)) = retired {
            if *since != Time::NEVER && now.since(*since) > RETIRED_SPEAKS {
                *since = Time::NEVER;
                self.event(Event::Alarm(Alarm::TwoCopies { member: from }));
            }
            return Verdict::Stale;
        }
        let older = |last: Life| last.store == life.store && last.incarnation > life.incarnation;
        if peer.life.is_some_and(older) {
            return Verdict::Stale;
        }
        // Who begins anew reads the registers before it votes. A store that was not there before
        // and votes at once is an old one put back, of which this member has no memory.
        if header.voting && peer.life.is_some_and(|last| last.store != life.store) {
            self.event(Event::Alarm(Alarm::RolledBack { member: from }));
            return Verdict::Stale;
        }
        let lost = peer.life.is_some();
        peer.forget_life(now);
        peer.life = Some(life);
        peer.seen = header.seen;
        peer.note_run(header.seen);
        peer.clock = header.clock;
        if lost {
            self.forget_votes(from);
        }
        Verdict::Take
    }

    /// A member lost its memory: what it agreed to counts no more.
    fn forget_votes(&mut self, member: MemberId) {
        for ticket in &mut self.tickets {
            if let Some(round) = ticket.proposal.round_mut() {
                round.agreed.remove(member);
            }
        }
        for lease in &mut self.leases {
            if let Some(round) = &mut lease.round {
                round.forget(member);
            }
        }
    }

    /// How long to wait for answers before a round is sent again.
    pub(crate) fn resend_after(&self, resends: u32) -> Duration {
        let trip = self.peers.iter().filter_map(|peer| peer.round_trip).max();
        let first = trip.map_or(self.config.round_timeout, |trip| trip * 2);
        let doubled = first * (1 << resends.min(8));
        doubled.clamp(RESEND_MIN, self.config.round_timeout.max(RESEND_MIN))
    }
}

/// A local network's round trip is far below what a busy machine needs to answer, disk included.
const RESEND_MIN: Duration = Duration::from_millis(20);
