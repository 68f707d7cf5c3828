//! Takeover of automatic tickets: who tries, when, and what stops it.
//!
//! ```text
//!   (holder, or not to be taken) ----> none
//!        the value may be taken         |  ^ another value, or the obligation was renewed
//!                                       v  |
//!                                candidate(at) --at--> prepare .. accept --> granted
//!                                       ^                   |
//!                                       +-- later, random --+ refused
//! ```
//!
//! Sites queue by preference: each waits one round timeout longer than the one before it. Whoever
//! comes too early is refused by the obligations and is told how long they last.

use std::time::Duration;

use crate::config::{Mode, Role};
use crate::ids::{MemberId, Term};
use crate::message::{Part, Purpose, Reason};
use crate::participant::Participant;
use crate::proposer::Change;
use crate::ticket::{Candidate, Holding, Round, Wish};
use crate::time::Time;
use crate::value::{Accepted, Phase, Transfer, Value};

/// An arbitrator tells the sites that an obligation is over, in case they missed the grant: at
/// first after each lease, then ever less often, down to this.
const KICK_MAX: Duration = Duration::from_secs(60);
/// What was only heard of, and keeps this site from taking over, is doubted after so many spans of
/// lease and acquire-after: whoever was agreeing on it has long been answered.
const DOUBT_SPANS: u32 = 2;

impl Participant {
    /// Whether this site may take a ticket over by itself when its holder is gone.
    fn may_take(&self, value: &Value) -> bool {
        if value.hold.is_some() && value.is_held() {
            return false;
        }
        if value.class.is_manual() {
            // Only what was on its way here, or comes back here, stopped at the other end.
            return match value.phase {
                Phase::Vacant(Some(transfer)) => transfer.to == self.me || transfer.from == self.me,
                _ => false,
            };
        }
        match value.phase {
            Phase::Granted | Phase::Moving(_) | Phase::Vacant(_) => true,
            Phase::Revoking | Phase::Revoked => !self.config.rules.revoke_stays(),
        }
    }

    /// How many sites go before this one.
    fn rank(&self, t: usize, value: &Value) -> u32 {
        let first = match value.phase {
            Phase::Moving(Transfer { to, .. }) | Phase::Vacant(Some(Transfer { to, .. })) => {
                Some(to)
            }
            _ => None,
        };
        let prefer = &self.tickets[t].config.prefer;
        let place = |site: MemberId| {
            let listed = prefer.iter().position(|&member| member == site);
            // Who lost it goes last: it is the one that is known to be in trouble.
            (
                first != Some(site),
                site == value.owner,
                listed.unwrap_or(usize::MAX),
                site,
            )
        };
        let mine = place(self.me);
        let sites = self.peers.iter().filter(|peer| peer.role == Role::Site);
        let before = sites.filter(|peer| place(peer.id) < mine).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    pub(crate) fn advance_candidate(&mut self, t: usize) {
        if !self.is_site {
            return self.advance_kick(t);
        }
        let ticket = &self.tickets[t];
        let takeable = |known: &&Accepted| self.may_take(&known.value);
        let known = ticket.known.as_ref();
        let known = known.filter(|known| takeable(known) || ticket.is_hearsay());
        let (Holding::None, Some(known)) = (&ticket.holding, known) else {
            self.tickets[t].candidate = None;
            return;
        };
        let of = (known.ballot, known.seq);
        let obligation = ticket.acceptor.obligation.map_or(Time::ZERO, |o| o.until);
        let after = obligation.max(self.restart_until);
        if let Some(candidate) = ticket.candidate
            && candidate.of == of
            && candidate.after == after
        {
            return;
        }
        let not_before = match known.value.phase {
            Phase::Vacant(Some(transfer)) if transfer.to != self.me => ticket
                .known_since
                .after(Duration::from_millis(u64::from(transfer.wait_ms))),
            _ if takeable(&known) => Time::ZERO,
            // A majority is asked: what it does not have was lost, or never agreed.
            _ => {
                let class = known.value.class;
                let span = class.lease() + class.acquire_after();
                ticket.known_since.after(span * DOUBT_SPANS)
            }
        };
        let rank = self.rank(t, &known.value);
        let from = self.now.max(after).max(not_before).max(ticket.unfit_until);
        let jitter = self.resend_after(0);
        let delay = self.config.round_timeout * rank + self.random.up_to(jitter);
        self.tickets[t].candidate = Some(Candidate {
            of,
            at: from.after(delay),
            after,
        });
    }

    pub(crate) fn candidate_wish(&self, t: usize) -> Option<Wish> {
        let candidate = self.tickets[t].candidate?;
        (self.now >= candidate.at).then_some(Wish::Acquire(Purpose::Takeover))
    }

    /// A takeover that was refused is tried again when the obligations that refused it end.
    pub(crate) fn candidate_failed(&mut self, t: usize, round: &Round, reason: Reason) {
        if round.wish != Wish::Acquire(Purpose::Takeover) {
            return;
        }
        let free = self.free_at(round);
        let pause = self.resend_after(round.resends);
        let pause = pause + self.random.up_to(self.config.round_timeout);
        let most = self.now.after(KICK_MAX);
        let retry = self.tickets[t].retry_at;
        if let Some(candidate) = &mut self.tickets[t].candidate {
            let from = if reason == Reason::Passed {
                self.now
            } else {
                free.min(most)
            };
            candidate.at = from.max(retry).after(pause);
        }
    }

    /// When enough of the obligations that a round met are over for a majority.
    pub(crate) fn free_at(&self, round: &Round) -> Time {
        let spare = self.peers.len() + 1 - self.config.majority();
        let mut ends: Vec<Time> = round.obliged.iter().map(|&(_, until)| until).collect();
        ends.sort_unstable();
        // So many may stay obliged as are not needed for a majority.
        match ends.len().checked_sub(spare + 1) {
            Some(last) => ends[last].max(self.now),
            None => self.now,
        }
    }

    /// When the obligations of a majority are over, if those that were not heard of last as long
    /// as the longest that was.
    pub(crate) fn surely_free_at(&self, round: &Round) -> Time {
        let mut ends: Vec<Time> = round.obliged.iter().map(|&(_, until)| until).collect();
        let longest = ends.iter().copied().max().unwrap_or(self.now);
        let mut free = round.agreed;
        for &(member, _) in &round.obliged {
            free.remove(member);
        }
        let silent = (self.peers.len() + 1).saturating_sub(free.len() + ends.len());
        ends.extend(std::iter::repeat_n(longest, silent));
        ends.extend(std::iter::repeat_n(self.now, free.len()));
        ends.sort_unstable();
        ends.get(self.config.majority() - 1)
            .copied()
            .unwrap_or(longest)
    }

    pub(crate) fn takeover_change(
        &mut self,
        t: usize,
        current: &Value,
        highest: Term,
    ) -> Option<Change> {
        if !self.may_take(current) {
            return None;
        }
        self.tickets[t].taken_from = Some(current.owner);
        Some(self.new_grant(t, Some(current), highest, None))
    }

    /// The value of a new grant to this site.
    pub(crate) fn new_grant(
        &mut self,
        t: usize,
        current: Option<&Value>,
        highest: Term,
        forced: Option<String>,
    ) -> Change {
        let floor = Term::new(self.memory.recovery_epoch, 0, MemberId(0));
        let term = highest.max(floor).next(self.me, forced.is_some());
        let ticket = &mut self.tickets[t];
        ticket.came_by = match current.map(|value| value.phase) {
            Some(Phase::Vacant(Some(transfer))) if transfer.to == self.me => Some(transfer),
            _ => None,
        };
        let value = Value {
            owner: self.me,
            term,
            phase: Phase::Granted,
            class: ticket.config.class(),
            standby: false,
            hold: None,
            forced,
            revokes: 0,
        };
        Change {
            value,
            lease: true,
            release: None,
        }
    }

    /// An arbitrator cannot take over, but may be the only one who knows that somebody can.
    fn advance_kick(&mut self, t: usize) {
        let now = self.now;
        let ticket = &self.tickets[t];
        let auto = ticket.config.mode == Mode::Auto;
        let known = ticket
            .known
            .as_ref()
            .filter(|known| auto && self.may_take(&known.value));
        let Some(known) = known else {
            self.tickets[t].kick = None;
            return;
        };
        let end = ticket.acceptor.obligation.map_or(Time::ZERO, |o| o.until);
        let lease = known.value.class.lease();
        match ticket.kick {
            Some((at, _)) if end > now && at < end => self.tickets[t].kick = Some((end, 0)),
            Some((at, count)) if now >= at => {
                let accepted = known.clone();
                let pause = (lease * (1 << count.min(8))).min(KICK_MAX);
                self.tickets[t].kick = Some((now.after(pause), count + 1));
                self.kick_sites(t, &accepted);
            }
            Some(_) => {}
            None => self.tickets[t].kick = Some((end.max(now.after(lease / 2)), 0)),
        }
    }

    fn kick_sites(&mut self, t: usize, accepted: &Accepted) {
        let ticket = self.tickets[t].id;
        let sites: Vec<MemberId> = self
            .peers
            .iter()
            .filter(|peer| peer.role == Role::Site)
            .map(|peer| peer.id)
            .collect();
        for to in sites {
            self.send(
                to,
                Part::Notice {
                    ticket,
                    accepted: accepted.clone(),
                    over: true,
                },
            );
        }
    }

    pub(crate) fn on_notice(
        &mut self,
        ticket: crate::ids::TicketId,
        accepted: Accepted,
        over: bool,
    ) {
        let Some(t) = self.ticket_index(ticket) else {
            return;
        };
        let unknown = self.tickets[t].known.is_none();
        self.learn(t, accepted);
        if over && unknown {
            // This site never saw the grant, and its holder is gone.
            self.tickets[t].candidate = None;
        }
        self.touch(t);
    }
}
