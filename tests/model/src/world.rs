//! A state of the small world, and the steps that lead on from it.

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use ticket_protocol::anatomy::Voter;
use ticket_protocol::{
    Accepted, Ballot, LeaseClass, MemberId, Part, Phase, Purpose, Rules, Term, TicketId,
    TicketName, TicketRecord, Time, Value,
};

use crate::site::{Claim, Round, Site};

pub(crate) const SITES: usize = 2;
pub(crate) const MEMBERS: usize = 3;
const MAJORITY: u32 = 2;

/// The slow clock shows four milliseconds where the fast one shows five.
const SLOW_NS: u64 = 4_000_000;
const FAST_NS: u64 = 5_000_000;
/// What that ratio is in parts per million.
const DRIFT_PPM: u32 = 250_000;
/// The lease is over after two ticks of a slow clock, acquire-after after one more.
const LEASE_MS: u32 = 8;
const ACQUIRE_AFTER_MS: u32 = 4;
/// Answers to a round count no longer than this: a tick of any clock, and less than two.
const LIFETIME: Duration = Duration::from_millis(6);

/// Whether crashes are searched for, and what they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// None.
    Never,
    /// A member's process dies and starts again with its disk.
    Kept,
    /// The same, with its disk or without.
    Lost,
}

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Which rules are in force.
    pub rules: Rules,
    /// Grants that each site may begin.
    pub grants: [u8; 2],
    /// Renewals that each site may begin.
    pub renewals: u8,
    /// Releases that each site may begin, everything stopped.
    pub releases: u8,
    /// One crash of one member, or none.
    pub crash: Crash,
    /// How far time goes.
    pub ticks: u64,
    /// Whose clocks are fast, one bit per member.
    pub fast: u8,
}

/// Something that was sent, and may arrive whenever it likes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Sent {
    from: u16,
    to: u16,
    bytes: Vec<u8>,
    #[serde(skip)]
    what: Said,
}

/// What a member says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
enum Said {
    Part(Part),
    Renew {
        ballot: Ballot,
        seq: u32,
        base: Time,
    },
    Renewed {
        base: Time,
    },
}

// Ordered by the bytes alone, which stand for it.
impl PartialOrd for Said {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Said {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// Something that may happen, by member or by its place among what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Tick,
    Begin(usize),
    Renew(usize),
    Release(usize),
    Deliver(usize),
    Restart(usize),
    Lose(usize),
    Read(usize),
}

/// A member without memory on its way back.
#[derive(Clone, Debug, Serialize)]
struct Lost {
    member: u16,
    wait_until: Time,
    told: [Option<TicketRecord>; MEMBERS],
}

/// A state.
#[derive(Clone, Debug)]
pub struct World {
    rules: Rules,
    tick: u64,
    rates: [u64; MEMBERS],
    voters: [Voter; MEMBERS],
    sites: [Site; SITES],
    sent: Vec<Rc<Sent>>,
    crash: Crash,
    lost: Option<Lost>,
    greatest: Term,
    held_by: u8,
    violation: Option<String>,
}

impl World {
    /// A cluster that has just been set up.
    #[must_use]
    pub fn new(bounds: &Bounds) -> Self {
        let ticket = TicketName::from("db").id();
        let longest = Duration::from_millis(u64::from(LEASE_MS + ACQUIRE_AFTER_MS));
        let voter = |m: u16| Voter::new(MemberId(m), ticket, bounds.rules, DRIFT_PPM, longest);
        let rate = |m: usize| {
            if bounds.fast & (1 << m) == 0 {
                SLOW_NS
            } else {
                FAST_NS
            }
        };
        let site = |s: usize| Site::new(bounds.grants[s], bounds.renewals, bounds.releases);
        Self {
            rules: bounds.rules,
            tick: 0,
            rates: [rate(0), rate(1), rate(2)],
            voters: [voter(0), voter(1), voter(2)],
            sites: [site(0), site(1)],
            sent: Vec::new(),
            crash: bounds.crash,
            lost: None,
            greatest: Term::NONE,
            held_by: 0,
            violation: None,
        }
    }

    /// What it is, for telling states apart. Ends that have passed are all the same.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        let mut put = |part: Result<Vec<u8>, postcard::Error>| {
            bytes.extend(part.expect("a vector takes everything"));
        };
        put(postcard::to_allocvec(&(
            self.tick,
            &self.sites,
            &self.lost,
            self.greatest,
        )));
        let crash = self.crash as u8;
        put(postcard::to_allocvec(&(crash, self.held_by, &self.sent)));
        for (m, voter) in self.voters.iter().enumerate() {
            let now = self.clock(m);
            let (owner, term, until, restart) = voter.memory();
            let owed = (until > now).then_some((owner, term, until));
            let restart = (restart > now).then_some(restart);
            put(postcard::to_allocvec(&(
                voter.record(),
                voter.votes(),
                owed,
                restart,
            )));
        }
        bytes
    }

    /// What is wrong in this state, if anything.
    #[must_use]
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// Whether both sites have held the ticket.
    #[must_use]
    pub fn taken_over(&self) -> bool {
        self.held_by == 0b11
    }

    /// What a member's clock shows.
    fn clock(&self, member: usize) -> Time {
        Time(SLOW_NS + self.tick * self.rates[member])
    }

    /// All that may happen next, or may not be possible.
    #[must_use]
    pub(crate) fn steps(&self, bounds: &Bounds) -> Vec<Step> {
        let mut steps = Vec::with_capacity(self.sent.len() + 16);
        if self.tick < bounds.ticks {
            steps.push(Step::Tick);
        }
        for s in 0..SITES {
            steps.extend([Step::Begin(s), Step::Renew(s), Step::Release(s)]);
        }
        steps.extend((0..self.sent.len()).map(Step::Deliver));
        for m in 0..MEMBERS {
            if self.crash != Crash::Never {
                steps.push(Step::Restart(m));
            }
            if self.crash == Crash::Lost {
                steps.push(Step::Lose(m));
            }
            if self.lost.is_some() {
                steps.push(Step::Read(m));
            }
        }
        steps
    }

    /// What a step makes of this state; `None` if it is not possible.
    #[must_use]
    pub(crate) fn after(&self, step: Step) -> Option<Self> {
        let mut next = self.clone();
        let possible = match step {
            Step::Tick => {
                next.tick += 1;
                true
            }
            Step::Begin(s) => next.begin(s),
            Step::Renew(s) => next.begin_renewal(s),
            Step::Release(s) => next.release(s),
            Step::Deliver(index) => {
                next.deliver(&self.sent[index]);
                true
            }
            Step::Restart(m) => next.restart(m),
            Step::Lose(m) => next.lose(m),
            Step::Read(m) => next.read(m),
        };
        possible.then_some(next)
    }

    /// A step from this state in words.
    #[must_use]
    pub(crate) fn tell(&self, step: Step) -> String {
        let tick = self.tick;
        let what = match step {
            Step::Tick => "time goes on".to_owned(),
            Step::Begin(s) => format!("m{s} begins a grant"),
            Step::Renew(s) => format!("m{s} begins a renewal"),
            Step::Release(s) => format!("m{s} has stopped everything and releases"),
            Step::Deliver(index) => {
                let sent = &self.sent[index];
                format!("m{} hears m{}: {:?}", sent.to, sent.from, sent.what)
            }
            Step::Restart(m) => format!("m{m} crashes and starts again"),
            Step::Lose(m) => format!("m{m} crashes and loses its memory"),
            Step::Read(m) => format!("m{m} is read by the member that lost its memory"),
        };
        format!("tick {tick}: {what}")
    }

    fn say(&mut self, from: usize, to: usize, what: Said) {
        let mut bytes = postcard::to_allocvec(&what).expect("a vector takes everything");
        bytes.shrink_to_fit();
        let (from, to) = (from as u16, to as u16);
        let sent = Rc::new(Sent {
            from,
            to,
            bytes,
            what,
        });
        if let Err(place) = self.sent.binary_search(&sent) {
            self.sent.insert(place, sent);
        }
    }

    fn say_all(&mut self, from: usize, what: &Said) {
        for to in (0..MEMBERS).filter(|&to| to != from) {
            self.say(from, to, what.clone());
        }
    }

    /// Its own acceptor hears a part before anybody else does; `false` = it refuses.
    fn own_first(&mut self, s: usize, part: &Part) -> bool {
        if !self.rules.own_acceptor_first {
            // Like everybody else's, later.
            self.say(s, s, Said::Part(part.clone()));
            return true;
        }
        let now = self.clock(s);
        self.voters[s].hear(now, MemberId(s as u16), part).is_some()
    }

    /// The votes with which a round begins.
    fn own_vote(&self, s: usize) -> u8 {
        u8::from(self.rules.own_acceptor_first) << s
    }

    fn begin(&mut self, s: usize) -> bool {
        let site = &self.sites[s];
        let idle = site.round == Round::Idle && site.leads.is_none();
        if site.grants == 0 || !idle || !self.voters[s].votes() {
            return false;
        }
        let seen = site
            .ballot_seen
            .max(self.voters[s].record().promised.counter);
        let ballot = Ballot {
            counter: seen + 1,
            member: s as u16,
        };
        let first = self.voters[s].record().accepted.is_none();
        let purpose = if first {
            Purpose::Grant
        } else {
            Purpose::Takeover
        };
        let ticket = self.ticket();
        let part = Part::Prepare {
            ticket,
            ballot,
            purpose,
        };
        self.sites[s].grants -= 1;
        if !self.own_first(s, &part) {
            return false;
        }
        let record = self.voters[s].record();
        let (best, max_term) = (record.accepted.clone(), record.max_term);
        let (base, votes) = (self.clock(s), self.own_vote(s));
        let site = &mut self.sites[s];
        site.ballot_seen = ballot.counter;
        site.round = Round::Preparing {
            base,
            ballot,
            purpose,
            votes,
            best,
            max_term,
        };
        self.say_all(s, &Said::Part(part));
        true
    }

    fn ticket(&self) -> TicketId {
        self.voters[0].record().ticket
    }

    fn begin_renewal(&mut self, s: usize) -> bool {
        let now = self.clock(s);
        let site = &self.sites[s];
        let (Some(lead), Some(claim)) = (&site.leads, &site.claim) else {
            return false;
        };
        let held = lead.value.phase == Phase::Granted && now < claim.deadline;
        if site.renewals == 0 || site.round != Round::Idle || !held {
            return false;
        }
        let (ballot, seq) = (lead.ballot, lead.seq);
        if !self.voters[s].renew(now, MemberId(s as u16), ballot, seq) {
            return false;
        }
        let site = &mut self.sites[s];
        site.renewals -= 1;
        site.round = Round::Renewing {
            base: now,
            ballot,
            seq,
            votes: 1 << s,
        };
        self.say_all(
            s,
            &Said::Renew {
                ballot,
                seq,
                base: now,
            },
        );
        true
    }

    /// Nothing runs any more: the claim is over, and everybody is told.
    fn release(&mut self, s: usize) -> bool {
        let site = &self.sites[s];
        let Some(lead) = site.leads.clone() else {
            return false;
        };
        if site.releases == 0 || site.round != Round::Idle {
            return false;
        }
        let (ticket, term) = (self.ticket(), lead.value.term);
        let site = &mut self.sites[s];
        site.releases -= 1;
        site.claim = None;
        site.leads = None;
        let fact = Part::Release { ticket, term };
        let now = self.clock(s);
        self.voters[s].hear(now, MemberId(s as u16), &fact);
        self.say_all(s, &Said::Part(fact));
        let replaces = Some((lead.ballot, lead.seq));
        let phase = Phase::Vacant(None);
        let value = Value {
            phase,
            ..lead.value
        };
        let accepted = Accepted {
            ballot: lead.ballot,
            seq: lead.seq + 1,
            value,
        };
        let purpose = self.voters[s].record().promised_for;
        self.propose(s, accepted, purpose, replaces, Some(term));
        true
    }

    fn propose(
        &mut self,
        s: usize,
        accepted: Accepted,
        purpose: Purpose,
        replaces: Option<(Ballot, u32)>,
        release: Option<Term>,
    ) {
        let part = Part::Accept {
            ticket: self.ticket(),
            accepted: accepted.clone(),
            purpose,
            replaces,
            lease: release.is_none(),
            release,
        };
        self.sites[s].round = Round::Idle;
        if self.own_first(s, &part) {
            let (base, votes) = (self.clock(s), self.own_vote(s));
            self.sites[s].round = Round::Accepting {
                base,
                accepted,
                purpose,
                votes,
            };
            self.say_all(s, &Said::Part(part));
        }
    }

    fn deliver(&mut self, sent: &Sent) {
        let (from, to) = (usize::from(sent.from), usize::from(sent.to));
        match &sent.what {
            Said::Part(Part::Promise {
                ballot,
                accepted,
                max_term,
                ..
            }) => {
                self.promised(from, to, *ballot, accepted.clone(), *max_term);
            }
            Said::Part(Part::Accepted { ballot, seq, .. }) => {
                self.accepted(from, to, *ballot, *seq);
            }
            Said::Part(part) => {
                let now = self.clock(to);
                if let Some(mut answer) = self.voters[to].hear(now, MemberId(sent.from), part) {
                    if let Part::Promise { obliged, .. } = &mut answer {
                        // Only tells when to try again.
                        *obliged = None;
                    }
                    self.say(to, from, Said::Part(answer));
                }
            }
            Said::Renew { ballot, seq, base } => {
                let now = self.clock(to);
                if self.voters[to].renew(now, MemberId(sent.from), *ballot, *seq) {
                    self.say(to, from, Said::Renewed { base: *base });
                }
            }
            Said::Renewed { base } => self.renewed(from, to, *base),
        }
    }

    fn promised(
        &mut self,
        from: usize,
        s: usize,
        of: Ballot,
        told: Option<Accepted>,
        highest: Term,
    ) {
        let now = self.clock(s);
        let Round::Preparing {
            base,
            ballot,
            purpose,
            votes,
            best,
            max_term,
        } = &mut self.sites[s].round
        else {
            return;
        };
        if *ballot != of || now >= base.after(LIFETIME) || *votes & (1 << from) != 0 {
            return;
        }
        *votes |= 1 << from;
        *max_term = (*max_term).max(highest);
        let place = |value: &Option<Accepted>| value.as_ref().map(|it| (it.ballot, it.seq));
        if place(&told) > place(best) {
            *best = told;
        }
        if votes.count_ones() < MAJORITY {
            return;
        }
        let (ballot, purpose, best, max_term) = (*ballot, *purpose, best.clone(), *max_term);
        self.sites[s].round = Round::Idle;
        let held = best.as_ref().is_some_and(|best| best.value.is_held());
        if purpose == Purpose::Grant && held {
            return;
        }
        let me = MemberId(s as u16);
        let replaces = place(&best);
        let value = Value {
            owner: me,
            term: max_term
                .max(self.voters[s].record().max_term)
                .next(me, false),
            phase: Phase::Granted,
            class: LeaseClass {
                lease_ms: LEASE_MS,
                acquire_after_ms: ACQUIRE_AFTER_MS,
            },
            standby: false,
            hold: None,
            forced: None,
            revokes: 0,
        };
        let accepted = Accepted {
            ballot,
            seq: 1,
            value,
        };
        self.propose(s, accepted, purpose, replaces, None);
    }

    fn accepted(&mut self, from: usize, s: usize, of: Ballot, number: u32) {
        let now = self.clock(s);
        let Round::Accepting {
            base,
            accepted,
            votes,
            ..
        } = &mut self.sites[s].round
        else {
            return;
        };
        if (accepted.ballot, accepted.seq) != (of, number) || now >= base.after(LIFETIME) {
            return;
        }
        *votes |= 1 << from;
        if votes.count_ones() < MAJORITY {
            return;
        }
        let (base, accepted) = (*base, accepted.clone());
        self.sites[s].round = Round::Idle;
        if accepted.value.phase != Phase::Granted {
            return;
        }
        let term = accepted.value.term;
        let lease = accepted.value.class.lease();
        let base = if self.rules.lease_from_send {
            base
        } else {
            now
        };
        let deadline = base.after(lease);
        if now >= deadline {
            return;
        }
        if term <= self.greatest {
            self.broken(format!("term {term} is granted after {}", self.greatest));
        }
        self.greatest = self.greatest.max(term);
        self.held_by |= 1 << s;
        let site = &mut self.sites[s];
        site.leads = Some(accepted);
        site.claim = Some(Claim { term, deadline });
        self.judge(s);
    }

    fn renewed(&mut self, from: usize, s: usize, of: Time) {
        let now = self.clock(s);
        let site = &mut self.sites[s];
        let Round::Renewing { base, votes, .. } = &mut site.round else {
            return;
        };
        if *base != of {
            return;
        }
        *votes |= 1 << from;
        if votes.count_ones() < MAJORITY {
            return;
        }
        let base = if self.rules.lease_from_send {
            *base
        } else {
            now
        };
        site.round = Round::Idle;
        let lease = Duration::from_millis(u64::from(LEASE_MS));
        let Some(claim) = &mut site.claim else { return };
        if now >= claim.deadline && self.rules.lapse_is_final {
            return;
        }
        claim.deadline = claim.deadline.max(base.after(lease));
        self.judge(s);
    }

    fn broken(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// Whoever claims the ticket now is the only one that may be running what depends on it.
    fn judge(&mut self, s: usize) {
        let other = SITES - 1 - s;
        let now = self.clock(other);
        let stopping = Duration::from_millis(u64::from(ACQUIRE_AFTER_MS));
        let Some(claim) = &self.sites[other].claim else {
            return;
        };
        if now < claim.deadline.after(stopping) {
            let (term, tick) = (claim.term, self.tick);
            self.broken(format!(
                "m{s} holds the ticket at tick {tick} while m{other} may still run under {term}"
            ));
        }
    }

    fn restart(&mut self, m: usize) -> bool {
        if self.crash == Crash::Never {
            return false;
        }
        self.crash = Crash::Never;
        let now = self.clock(m);
        self.voters[m].restart(now);
        if let Some(site) = self.sites.get_mut(m) {
            site.crash();
        }
        true
    }

    fn lose(&mut self, m: usize) -> bool {
        self.crash = Crash::Never;
        let now = self.clock(m);
        let wait_until = self.voters[m].lose(now);
        if let Some(site) = self.sites.get_mut(m) {
            site.crash();
        }
        let (member, told) = (m as u16, [None, None, None]);
        self.lost = Some(Lost {
            member,
            wait_until,
            told,
        });
        if !self.rules.reread_after_lost_memory {
            self.voters[m].recovered();
            self.lost = None;
        }
        true
    }

    /// The member that lost its memory is told what another has, at any time after its wait. With
    /// three members it takes both others.
    fn read(&mut self, of: usize) -> bool {
        let Some(mut lost) = self.lost.take() else {
            return false;
        };
        let member = usize::from(lost.member);
        let ready = self.clock(member) >= lost.wait_until;
        if of == member || !ready || lost.told[of].is_some() {
            return false;
        }
        lost.told[of] = Some(self.voters[of].record().clone());
        let told: Vec<_> = lost.told.iter().flatten().cloned().collect();
        if told.len() < MEMBERS - 1 {
            self.lost = Some(lost);
            return true;
        }
        for record in told {
            self.voters[member].adopt(record);
        }
        self.voters[member].recovered();
        true
    }
}
