//! Starting, and starting without a memory.
//!
//! ```text
//!   Fresh ------------------------------------------------------------> voting
//!   State, voting --> voting, but no new term until everybody has told that nothing is missing,
//!                     or every lease that may have been forgotten is over
//!   Lost, or found out later --> Waiting --longest obligation over--> Reading --a majority of
//!                     voting members, this one not counted, has told its registers--> voting
//! ```
//!
//! A disk that was rolled back looks good to its own member. Three things find it out, each of them
//! because a run of the simulator showed that the others were not enough:
//!
//! * a peer has seen this life further than it has come. It says so with every datagram, not only
//!   once: what it said may be lost while it is still heard (seed 1161687269). And that life is
//!   over for it from then on: a member that dies again before it has written that it begins anew
//!   would catch up with its write counter by restarting (seed 2000004063);
//! * this member hears of a proposal of its own that its own acceptor does not know. It stores what
//!   it proposes first, so it has forgotten it (seed 1161687269). What an earlier life proposed is
//!   no such sign: where the registers are read back, the ballots up to which that holds are noted;
//! * its guard knows a later term.
//!
//! Until one of them can have spoken, a restarted holder tells its cluster nothing that its old
//! memory alone says: no hold is agreed (seed 1161709088), and no manual ticket is claimed where
//! something newer was heard of (seed 1161730165).
//!
//! The wait also outlasts every round that was under way when the memory was lost, so that the
//! registers read after it contain whatever the lost memory helped to decide.

use std::time::Duration;

use crate::acceptor::Acceptor;
use crate::command::{Outcome, Refused, Why};
use crate::config::StartError;
use crate::durable::{DurableState, Restored, TicketRecord};
use crate::effect::{Alarm, ClusterCommand, Event};
use crate::ids::{MemberId, MemberSet, RequestId, Term, TicketId};
use crate::message::{Header, Life, Part, Purpose, Seen};
use crate::obligation;
use crate::participant::Participant;
use crate::peer::Peer;
use crate::ticket::{Holding, Proposal};
use crate::time::{Time, stretched};
use crate::value::Accepted;
use crate::view::Voting;

/// Records per datagram of recovery: a record takes up to about 150 bytes.
const RECORDS_MAX: usize = 6;
/// Questions of a starting member are repeated at this many round timeouts.
const ASK_AGAIN_ROUNDS: u32 = 2;
/// A cluster that has not said what it holds is asked again after this long: a stack takes
/// seconds to start.
const RECALL_AGAIN: Duration = Duration::from_secs(10);
/// So many round timeouts all peers get to answer a restarted member before it votes for an owner
/// that goes on. Without all of them it goes on all the same: a restart while another site is down
/// must not cost the ticket.
const UNSURE_ROUNDS: u32 = 2;
/// Members that are away are asked this seldom, at least.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(5);
/// This many starts in a row, none of which outlived the obligations of the one before, mean that
/// they may never end.
const UNSETTLED_MAX: u32 = 3;

/// A member without memory on its way back.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// Every lease that may have been forgotten is over then.
    wait_until: Time,
    nonce: u64,
    ask_at: Time,
    asked: u32,
    /// What each voting member has told so far.
    told: Vec<Telling>,
    complete: MemberSet,
    recovery_epoch: u16,
    /// The recovered state is being written.
    storing: Option<u64>,
}

#[derive(Debug)]
struct Telling {
    from: MemberId,
    next: TicketId,
    records: Vec<TicketRecord>,
}

impl Recovery {
    pub(crate) fn view(&self, now: Time, peers: &[Peer]) -> Voting {
        if now < self.wait_until {
            return Voting::Waiting {
                left: self.wait_until.since(now),
            };
        }
        let open = |peer: &&Peer| !self.complete.contains(peer.id);
        Voting::Reading {
            missing: peers.iter().filter(open).map(|peer| peer.id).collect(),
        }
    }
}

/// A restarted member asks its peers whether they have seen more of it than it remembers.
#[derive(Debug)]
pub(crate) struct RestartCheck {
    ask_at: Time,
    asked: u32,
}

impl Participant {
    pub(crate) fn restore(&mut self, restored: Restored) -> Result<(), StartError> {
        match restored {
            Restored::Fresh => {
                self.memory.voting = true;
                self.memory.run = 1;
            }
            Restored::State(state) => self.restore_state(state)?,
            Restored::Lost { reason } => {
                self.memory.run = 1;
                self.event(Event::Alarm(Alarm::LostMemory { reason }));
                self.begin_recovery();
            }
        }
        self.memory.alive = self.memory.change();
        if self.is_site {
            for t in 0..self.tickets.len() {
                self.recall(t);
            }
        }
        for t in 0..self.tickets.len() {
            self.touch(t);
        }
        Ok(())
    }

    /// Asks the site's cluster what it still holds, again and again: a site that does not know
    /// takes nothing over.
    pub(crate) fn recall(&mut self, t: usize) {
        self.recall_later(t);
        let ticket = self.name(t);
        self.order(ClusterCommand::Recall { ticket });
    }

    pub(crate) fn recall_later(&mut self, t: usize) {
        let again_at = self.now.after(RECALL_AGAIN);
        self.tickets[t].holding = Holding::Recalling { again_at };
    }

    fn restore_state(&mut self, state: DurableState) -> Result<(), StartError> {
        if state.member != self.me {
            return Err(StartError::ForeignState {
                owner: state.member.to_string(),
            });
        }
        let (now, rules, drift) = (self.now, self.config.rules, self.config.drift_ppm);
        let memory = &mut self.memory;
        memory.life = Life {
            store: state.store,
            incarnation: state.incarnation,
        };
        memory.voting = state.voting;
        memory.run = state.run.saturating_add(1);
        memory.written = state.written;
        memory.restored = state.written;
        memory.recovery_epoch = state.recovery_epoch;
        memory.unsettled = state.unsettled.saturating_add(1);
        if memory.unsettled > UNSETTLED_MAX {
            self.event(Event::Alarm(Alarm::RestartsTooOften));
        }
        let mut granted = false;
        for record in state.tickets {
            granted |= record.accepted.is_some() || record.max_term > Term::NONE;
            let Some(t) = self.ticket_index(record.ticket) else {
                self.orphans.push(record);
                continue;
            };
            let obligation = record
                .owed
                .map(|owed| obligation::restarted(owed, self.longest, drift, rules, now));
            let ticket = &mut self.tickets[t];
            ticket.ballot_seen = record.promised.counter;
            ticket.known.clone_from(&record.accepted);
            ticket.known_since = now;
            ticket.acceptor = Acceptor { record, obligation };
        }
        if !self.memory.voting {
            self.event(Event::Alarm(Alarm::LostMemory {
                reason: "the last run ended before it had recovered".to_owned(),
            }));
            self.begin_recovery();
        } else if granted && rules.wait_after_restart() {
            self.restart_until = now.after(stretched(self.longest, drift));
            let grace = self.config.round_timeout * UNSURE_ROUNDS;
            self.unsure_until = now.after(grace.min(self.longest / 8));
            self.restart = Some(RestartCheck {
                ask_at: now,
                asked: 0,
            });
        }
        Ok(())
    }

    fn begin_recovery(&mut self) {
        let rules = self.config.rules;
        let wait = if rules.wait_after_lost_memory() {
            stretched(self.longest, self.config.drift_ppm).max(self.lifetime * 2)
        } else {
            Duration::ZERO
        };
        self.memory.voting = false;
        self.restart = None;
        self.restart_until = Time::ZERO;
        self.unsure_until = Time::ZERO;
        let nonce = self.random.next();
        self.recovery = Some(Recovery {
            wait_until: self.now.after(wait),
            nonce,
            ask_at: self.now.after(wait),
            asked: 0,
            told: Vec::new(),
            complete: MemberSet::default(),
            recovery_epoch: 0,
            storing: None,
        });
    }

    /// This member's memory can no longer be relied on: it drops its leases and begins anew.
    pub(crate) fn lose_memory(&mut self, reason: String) {
        self.event(Event::Alarm(Alarm::LostMemory { reason }));
        self.memory.life.incarnation = self.memory.life.incarnation.wrapping_add(1);
        self.memory.run = 1;
        self.memory.written = 0;
        self.memory.restored = 0;
        self.gated.clear();
        for t in 0..self.tickets.len() {
            self.tickets[t].proposal = Proposal::Idle;
            self.tickets[t].lead = None;
            if self.tickets[t].held().is_some() {
                self.lapse(t);
                self.tickets[t].holding = Holding::None;
            }
            self.record_changed(t);
            self.touch(t);
        }
        self.memory.alive = self.memory.change();
        self.begin_recovery();
    }

    pub(crate) fn recovery_timeout(&self) -> Time {
        let restart = self
            .restart
            .as_ref()
            .map_or(Time::NEVER, |check| check.ask_at);
        let restart_end = if self.restart.is_some() {
            self.restart_until
        } else {
            Time::NEVER
        };
        let reading = self
            .recovery
            .as_ref()
            .filter(|recovery| recovery.storing.is_none());
        let recovery = reading.map_or(Time::NEVER, |recovery| recovery.ask_at);
        restart.min(restart_end).min(recovery)
    }

    pub(crate) fn run_recovery(&mut self) {
        let now = self.now;
        if self.restart.is_some() && now >= self.restart_until {
            self.settled();
        }
        if let Some(check) = &mut self.restart
            && now >= check.ask_at
        {
            check.asked += 1;
            let asked = check.asked;
            let again = self.resend_after(asked) * asked;
            let again = again.min(ASK_AGAIN_MAX);
            if let Some(check) = &mut self.restart {
                check.ask_at = now.after(again);
            }
            for p in 0..self.peers.len() {
                if !self.peers[p].confirmed {
                    self.peers[p].outbox.push(Part::SeenAsk);
                }
            }
        }
        self.run_reading();
    }

    /// The restart is over: nothing is missing, or nothing of it matters any more.
    fn settled(&mut self) {
        self.restart = None;
        self.restart_until = Time::ZERO;
        self.unsure_until = Time::ZERO;
        // Written with the next change: a few counts too many only alarm too early.
        self.memory.unsettled = 0;
        for t in 0..self.tickets.len() {
            self.tell_hold(t);
        }
    }

    fn ask_again(&self, asked: u32) -> Duration {
        (self.config.round_timeout * ASK_AGAIN_ROUNDS * asked).min(ASK_AGAIN_MAX)
    }

    fn run_reading(&mut self) {
        let (now, me) = (self.now, self.me);
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        if recovery.storing.is_some() || now < recovery.wait_until {
            return;
        }
        if !self.config.rules.reread_after_lost_memory() {
            return self.recovered();
        }
        // A majority of all members, this one not counted: three members take both others.
        if recovery.complete.len() >= self.config.majority() {
            return self.recovered();
        }
        if now < recovery.ask_at {
            return;
        }
        recovery.asked += 1;
        let (nonce, asked, complete) = (recovery.nonce, recovery.asked, recovery.complete);
        let again = self.ask_again(asked);
        if let Some(recovery) = &mut self.recovery {
            recovery.ask_at = now.after(again);
        }
        for p in 0..self.peers.len() {
            let to = self.peers[p].id;
            if to == me || complete.contains(to) {
                continue;
            }
            let from = self.recovery.as_ref().map_or(TicketId(0), |recovery| {
                let telling = recovery.told.iter().find(|telling| telling.from == to);
                telling.map_or(TicketId(0), |telling| telling.next)
            });
            self.send(to, Part::RecoverAsk { nonce, from });
        }
    }

    pub(crate) fn on_recover_ask(&mut self, from: MemberId, nonce: u64, first: TicketId) {
        if !self.memory.voting {
            return;
        }
        let mut records: Vec<TicketRecord> = self
            .tickets
            .iter()
            .map(|ticket| &ticket.acceptor.record)
            .chain(&self.orphans)
            .filter(|record| record.ticket >= first)
            .cloned()
            .collect();
        records.sort_by_key(|record| record.ticket);
        let next = records.get(RECORDS_MAX).map(|record| record.ticket);
        records.truncate(RECORDS_MAX);
        let gate = self.memory.changes;
        let recovery_epoch = self.memory.recovery_epoch;
        let part = Part::RecoverTell {
            nonce,
            from: first,
            records,
            next,
            recovery_epoch,
        };
        self.send_stored(gate, from, part);
    }

    pub(crate) fn on_recover_tell(
        &mut self,
        from: MemberId,
        nonce: u64,
        first: TicketId,
        records: Vec<TicketRecord>,
        next: Option<TicketId>,
        recovery_epoch: u16,
    ) {
        let Some(recovery) = self.recovery.as_mut().filter(|r| r.nonce == nonce) else {
            return;
        };
        if recovery.complete.contains(from) || recovery.storing.is_some() {
            return;
        }
        recovery.recovery_epoch = recovery.recovery_epoch.max(recovery_epoch);
        let t = match recovery
            .told
            .iter()
            .position(|telling| telling.from == from)
        {
            Some(t) => t,
            None => {
                let records = Vec::new();
                recovery.told.push(Telling {
                    from,
                    next: TicketId(0),
                    records,
                });
                recovery.told.len() - 1
            }
        };
        let telling = &mut recovery.told[t];
        if telling.next != first {
            return;
        }
        telling.records.extend(records);
        match next {
            Some(next) => {
                telling.next = next;
                self.send(from, Part::RecoverAsk { nonce, from: next });
            }
            None => recovery.complete.insert(from),
        }
        self.run_reading();
    }

    /// Adopts the greatest of what the others have, and votes once that is on disk.
    fn recovered(&mut self) {
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        let complete = recovery.complete;
        let told: Vec<Telling> = std::mem::take(&mut recovery.told)
            .into_iter()
            .filter(|telling| complete.contains(telling.from))
            .collect();
        self.memory.recovery_epoch = self.memory.recovery_epoch.max(recovery.recovery_epoch);
        for record in told.into_iter().flat_map(|telling| telling.records) {
            match self.ticket_index(record.ticket) {
                Some(t) => self.adopt(t, record),
                None => self.adopt_orphan(record),
            }
        }
        // Whatever an earlier life proposed, a majority had promised its ballot: one of those that
        // told did.
        let records = self
            .tickets
            .iter_mut()
            .map(|ticket| &mut ticket.acceptor.record);
        for record in records.chain(&mut self.orphans) {
            record.forgotten = record.promised;
        }
        let gate = self.memory.change();
        if let Some(recovery) = &mut self.recovery {
            recovery.storing = Some(gate);
        }
    }

    fn adopt(&mut self, t: usize, told: TicketRecord) {
        let accepted = told.accepted.clone();
        let ticket = &mut self.tickets[t];
        adopt_into(&mut ticket.acceptor.record, told);
        ticket.ballot_seen = ticket
            .ballot_seen
            .max(ticket.acceptor.record.promised.counter);
        ticket.acceptor.protect_manual();
        self.record_changed(t);
        if let Some(accepted) = accepted {
            self.learn(t, accepted);
        }
        self.touch(t);
    }

    fn adopt_orphan(&mut self, told: TicketRecord) {
        match self
            .orphans
            .iter_mut()
            .find(|record| record.ticket == told.ticket)
        {
            Some(record) => adopt_into(record, told),
            None => self.orphans.push(told),
        }
        self.memory.change();
    }

    /// A write has returned: if it was the one that contains the recovered registers, vote.
    pub(crate) fn on_stored(&mut self) {
        let stored = self.memory.stored;
        let Some(gate) = self.recovery.as_ref().and_then(|recovery| recovery.storing) else {
            return;
        };
        if stored < gate {
            return;
        }
        self.recovery = None;
        self.memory.voting = true;
        self.memory.change();
        self.event(Event::Voting);
        for t in 0..self.tickets.len() {
            self.touch(t);
        }
    }

    /// `site recover`: the operator says that nothing that matters was forgotten.
    pub(crate) fn on_recover_command(&mut self, id: RequestId, _reason: &str) {
        let Some(recovery) = &mut self.recovery else {
            return self.reply(id, Outcome::Refused(Refused::because(Why::NotLost)));
        };
        if self.now < recovery.wait_until {
            let may_run_for = Some(recovery.wait_until.since(self.now));
            let refused = Refused {
                may_run_for,
                ..Refused::because(Why::MayRun)
            };
            return self.reply(id, Outcome::Refused(refused));
        }
        if recovery.storing.is_none() {
            let told: Vec<MemberId> = recovery.told.iter().map(|telling| telling.from).collect();
            for from in told {
                recovery.complete.insert(from);
            }
            self.recovered();
            self.raise_epoch();
        }
        let (term, phase) = (Term::NONE, crate::value::PhaseKind::None);
        self.reply(
            id,
            Outcome::Done {
                owner: None,
                term,
                phase,
            },
        );
    }

    /// What was forgotten may contain grants: every later one is above them.
    fn raise_epoch(&mut self) {
        let tickets = self
            .tickets
            .iter()
            .map(|ticket| ticket.acceptor.record.max_term.epoch());
        let known = tickets.max().unwrap_or(0).max(self.memory.recovery_epoch);
        let epoch = known.saturating_add(1).min(0xfff);
        self.memory.recovery_epoch = epoch;
        for t in 0..self.tickets.len() {
            let record = &mut self.tickets[t].acceptor.record;
            let counter = record.max_term.counter();
            record.max_term = record.max_term.max(Term::new(epoch, counter, MemberId(0)));
            self.record_changed(t);
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.storing = Some(self.memory.changes);
        }
    }

    pub(crate) fn on_seen_ask(&mut self, from: MemberId, header: &Header) {
        let Some(peer) = self.peer(from) else { return };
        // The run that asks is not counted: it says nothing about what the one before it wrote.
        let newest = peer.previous.filter(|_| peer.seen.run == header.seen.run);
        self.send(
            from,
            Part::SeenTell {
                life: header.life,
                newest,
            },
        );
    }

    pub(crate) fn on_seen_tell(&mut self, from: MemberId, life: Life, newest: Option<Seen>) {
        if self.restart.is_none() || life != self.memory.life {
            return;
        }
        let Some(newest) = newest else { return };
        if self.memory.is_behind(newest) {
            return self.on_stale(from, life, newest, life.incarnation);
        }
        if let Some(peer) = self.peer_mut(from) {
            peer.confirmed = true;
        }
        if self.peers.iter().all(|peer| peer.confirmed) {
            self.settled();
            for t in 0..self.tickets.len() {
                self.touch(t);
            }
        }
    }

    /// A peer has seen a newer state of this member than its own: the disk was rolled back.
    pub(crate) fn on_stale(&mut self, from: MemberId, life: Life, seen: Seen, incarnation: u32) {
        let over = incarnation > life.incarnation;
        if life == self.memory.life && (over || self.memory.is_behind(seen)) {
            let newest = &mut self.memory.life.incarnation;
            *newest = (*newest).max(incarnation);
            self.lose_memory(format!("{from} has seen a newer state of this member"));
        }
    }

    /// A proposal of this member was heard of. If its own acceptor does not know it, the disk was
    /// rolled back, and who could say so by the write counter has not been heard yet.
    pub(crate) fn look_for_lost_memory(&mut self, t: usize, heard: &Accepted) {
        let rules = self.config.rules;
        if !self.memory.voting || !rules.own_acceptor_first() {
            return;
        }
        if self.tickets[t].acceptor.has_forgotten(self.me, heard) {
            let (name, counter) = (self.name(t), heard.ballot.counter);
            self.lose_memory(format!(
                "this member proposed number {counter} for {name} and does not know it any more"
            ));
        }
    }

    pub(crate) fn on_connected(&mut self, member: MemberId) {
        let Some(peer) = self.peer_mut(member) else {
            return;
        };
        peer.connected = true;
        self.send(member, Part::Hello);
        if self.restart.is_some() {
            self.send(member, Part::SeenAsk);
        }
        for t in 0..self.tickets.len() {
            if let Some(accepted) = self.tickets[t].acceptor.record.accepted.clone() {
                let ticket = self.tickets[t].id;
                self.send(
                    member,
                    Part::Notice {
                        ticket,
                        accepted,
                        over: false,
                    },
                );
            }
        }
    }
}

/// The greatest of both.
pub(crate) fn adopt_into(record: &mut TicketRecord, told: TicketRecord) {
    record.max_term = record.max_term.max(told.max_term);
    if told.promised > record.promised {
        record.promised = told.promised;
        // What it was promised for is the promiser's affair: this member promised nothing.
        record.promised_for = Purpose::Owner;
    }
    let key = |record: &TicketRecord| {
        record
            .accepted
            .as_ref()
            .map(|accepted| (accepted.ballot, accepted.seq))
    };
    if key(&told) > key(record) {
        record.accepted = told.accepted;
    }
}
