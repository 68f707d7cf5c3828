//! Carrying out what a member's process wants done: datagrams, writes, answers, cluster commands.

use oracle::Event as Seen;
use ticket_protocol::{
    Ballot, ClusterCommand, ClusterReport, DurableState, Effect, Event, Message, Part, StopCause,
    Term, TicketId, TicketName, Time, WriteId,
};

use crate::faults::Fault;
use crate::member::{CrashAt, Input};
use crate::network::Fate;
use crate::plan::{MS, S};
use crate::site::Order;
use crate::world::{Claim, OrderEnd, What, World};

/// A hanging command is given up by the agent after this long.
const COMMAND_TIMEOUT_NS: u64 = 2 * S;
/// And it may still take effect this long after it was given.
const HANG_MAX_NS: u64 = 30 * S;
/// How soon a process that crashed at a write is started again.
const RESTART_NS: u64 = 300 * MS;

/// A ballot as one number for the oracle.
fn packed(ballot: Ballot) -> u64 {
    ballot.counter << 16 | u64::from(ballot.member)
}

impl World {
    /// Takes all effects of a process, in order, unless it is paused or dies in the middle.
    pub(crate) fn drain(&mut self, member: u16) {
        loop {
            let node = &mut self.members[usize::from(member)];
            if node.paused {
                return;
            }
            if node.pause_after == Some(0) {
                node.pause_after = None;
                node.paused = true;
                return;
            }
            let Some(effect) = node
                .process
                .as_mut()
                .and_then(|process| process.poll_effect())
            else {
                break;
            };
            if let Some(left) = node.pause_after.as_mut() {
                *left -= 1;
            }
            self.effect(member, effect);
        }
        self.arm(member);
    }

    fn effect(&mut self, member: u16, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(member, to.0, message),
            Effect::Write { id, state } => self.write(member, id, state),
            Effect::Cluster(command) => self.cluster(member, &command),
            Effect::Reply { id, outcome } => self.reply(id, &outcome),
            Effect::Event(event) => self.event(member, &event),
        }
    }

    /// Tells the oracle what a datagram says of its sender's disk. A proposer's own acceptor comes
    /// first: what it proposes it has itself stored.
    fn see_answers(&mut self, member: u16, message: &Message) {
        for part in &message.parts {
            let (ticket, ballot, seq) = match part {
                Part::Promise { ticket, ballot, .. } | Part::Prepare { ticket, ballot, .. } => {
                    (*ticket, *ballot, None)
                }
                Part::Accepted {
                    ticket,
                    ballot,
                    seq,
                } => (*ticket, *ballot, Some(*seq)),
                Part::Accept {
                    ticket, accepted, ..
                } => (*ticket, accepted.ballot, Some(accepted.seq)),
                _ => continue,
            };
            let (ticket, ballot) = (self.index(ticket), packed(ballot));
            self.see(match seq {
                None => Seen::Promised {
                    member,
                    ticket,
                    ballot,
                },
                Some(seq) => Seen::Accepted {
                    member,
                    ticket,
                    ballot,
                    seq,
                },
            });
        }
    }

    fn send(&mut self, from: u16, to: u16, message: Message) {
        self.see_answers(from, &message);
        let life = self.members[usize::from(to)].life;
        let heard = self
            .hidden_doubt()
            .is_some_and(|one| one == from || one == to);
        let (dice, faults) = (&mut self.network_dice, &mut self.faults);
        let fate = if heard {
            Fate {
                first: Some(self.plan.weather.delay_min_ns),
                second: None,
            }
        } else {
            self.network
                .fate(dice, faults, usize::from(from), usize::from(to))
        };
        self.trace(|| format!("m{from} -> m{to} {fate:?} {:?}", message.parts));
        if self.plan.replays {
            self.record(from, to, &message);
        }
        if let Some(delay) = fate.second {
            let message = Box::new(message.clone());
            self.schedule.push(
                self.now + delay,
                What::Deliver {
                    from,
                    to,
                    life,
                    message,
                },
            );
        }
        if let Some(delay) = fate.first {
            let message = Box::new(message);
            self.schedule.push(
                self.now + delay,
                What::Deliver {
                    from,
                    to,
                    life,
                    message,
                },
            );
        }
    }

    fn index(&self, id: TicketId) -> u16 {
        let index = self.ids.iter().position(|&one| one == id);
        index.expect("members speak of configured tickets only") as u16
    }

    fn write(&mut self, member: u16, id: WriteId, state: DurableState) {
        let plan = &self.plan.disk;
        let mut time = self.dice.around(plan.write_ns);
        if self.dice.chance(plan.slow_ppm) {
            self.faults.count(Fault::SlowDisk);
            time += self.dice.below(S);
        }
        let node = &mut self.members[usize::from(member)];
        assert!(node.pending.is_none(), "m{member} has two writes under way");
        node.pending = Some((id, state));
        if let Some(crash) = node.crash_at.take() {
            self.kill(member, Some(crash));
            let after = self.dice.around(RESTART_NS);
            self.start_later(member, after);
            return;
        }
        let life = node.life;
        self.schedule
            .push(self.now + time, What::Written { member, life, id });
    }

    /// The time of a write is over.
    pub(crate) fn written(&mut self, member: u16, life: u32, id: WriteId) {
        let lie = self.dice.chance(self.plan.disk.lose_ppm);
        let torn = self.dice.coin();
        let node = &mut self.members[usize::from(member)];
        if node.life != life {
            return;
        }
        let Some((pending, state)) = node.pending.take() else {
            return;
        };
        assert_eq!(pending, id, "writes end in their order");
        let failed = std::mem::take(&mut node.fail_next_write);
        if failed {
            if torn {
                node.disk.tear();
            }
            self.faults.count(Fault::FailedFsync);
        } else {
            self.stored(member, &state);
            let node = &mut self.members[usize::from(member)];
            node.lied = lie.then(|| state.clone());
            if !lie {
                node.disk.write(state);
            }
        }
        self.input(member, Input::Written(id, !failed));
    }

    /// Tells the oracle what a member has on its disk, as far as it can know.
    pub(crate) fn stored(&mut self, member: u16, state: &DurableState) {
        for record in &state.tickets {
            let ticket = self.index(record.ticket);
            let (accepted, seq) = match &record.accepted {
                Some(one) => (packed(one.ballot), one.seq),
                None => (0, 0),
            };
            let promised = packed(record.promised);
            self.see(Seen::Stored {
                member,
                ticket,
                promised,
                accepted,
                seq,
            });
        }
    }

    /// Ends a process at once; a write under way ends as told, or as chance has it.
    pub(crate) fn kill(&mut self, member: u16, write: Option<CrashAt>) {
        let ends = [CrashAt::Before, CrashAt::Torn, CrashAt::After];
        let end = write.unwrap_or_else(|| ends[self.dice.index(3)]);
        let node = &mut self.members[usize::from(member)];
        if node.process.is_none() {
            return;
        }
        let lied = node.lied.take();
        let pending = node.pending.take();
        if let Some(state) = lied {
            self.lose_or_keep(member, state);
        }
        let node = &mut self.members[usize::from(member)];
        if let Some((_, state)) = pending {
            match end {
                CrashAt::Before => self.faults.count(Fault::CrashBeforeWrite),
                CrashAt::Torn => {
                    node.disk.tear();
                    self.faults.count(Fault::TornWrite);
                }
                CrashAt::After => {
                    node.disk.write(state);
                    self.faults.count(Fault::CrashAfterWrite);
                }
            }
        }
        node.end();
        self.trace(|| format!("m{member} is dead"));
        self.operator_lost(member);
        for other in 0..self.members.len() as u16 {
            if other != member {
                let at = self.now + self.dice.between(500, 2_500) * MS;
                self.schedule.push(
                    at,
                    What::Link {
                        of: other,
                        to: member,
                        fresh: false,
                    },
                );
            }
        }
    }

    /// A crash shows that a write was a lie, unless another member's memory is in doubt: the
    /// design survives one such loss at a time.
    fn lose_or_keep(&mut self, member: u16, state: DurableState) {
        if self.may_lose_memory(member) {
            self.faults.count(Fault::LostWrite);
            self.in_doubt(member, true);
        } else {
            self.members[usize::from(member)].disk.write(state);
        }
    }

    fn event(&mut self, member: u16, event: &Event) {
        self.trace(|| format!("m{member} {event:?}"));
        match event {
            Event::Granted {
                taken_over_from,
                forced,
                ..
            } => {
                self.stats.grants += 1;
                self.stats.takeovers += u64::from(taken_over_from.is_some());
                self.stats.forced += u64::from(*forced);
            }
            Event::Resumed { .. } => self.stats.resumed += 1,
            Event::Lapsed { .. } => self.stats.lapsed += 1,
            Event::Released { .. } => self.stats.released += 1,
            Event::RolledBack { .. } => self.stats.rolled_back += 1,
            Event::Voting => self.stats.memories_recovered += 1,
            Event::Alarm(alarm) => {
                self.stats.alarms += 1;
                if let ticket_protocol::Alarm::Impossible { what } = alarm {
                    self.stats.impossible += 1;
                    self.alarm_impossible(member, what);
                }
            }
            Event::Started { .. } | Event::Changed { .. } | Event::Hold { .. } => {}
        }
    }

    /// A member met what must not be. Where a disk took back what it had stored, that is so.
    fn alarm_impossible(&mut self, member: u16, what: &str) {
        let lies = [Fault::RolledBack, Fault::RottenSlot, Fault::LostWrite];
        if lies.iter().all(|&fault| self.faults.of(fault) == 0) {
            self.impossible
                .get_or_insert_with(|| format!("m{member}: {what}"));
        }
    }

    fn cluster(&mut self, site: u16, command: &ClusterCommand) {
        use ClusterCommand as Command;
        self.trace(|| format!("m{site} orders {command:?}"));
        let ticket = Self::ticket(named(command));
        match *command {
            Command::Grant {
                term,
                deadline,
                standby,
                ..
            } => {
                self.order(site, ticket, Order::Standby { on: standby }, false);
                self.claim(site, ticket, term, deadline);
                self.order(site, ticket, Order::Grant { term, deadline }, true);
            }
            Command::Extend { term, deadline, .. } => {
                let deadline = Some(deadline);
                self.claim(site, ticket, term, deadline);
                self.order(site, ticket, Order::Grant { term, deadline }, false);
            }
            Command::Stop {
                term, stop, cause, ..
            } => {
                self.stats.leftovers += u64::from(cause == StopCause::Leftover);
                self.sites[usize::from(site)].stops[usize::from(ticket)] = Some(stop);
                self.order(site, ticket, Order::Stop { term, stop }, true);
            }
            Command::Withdraw { term, .. } => {
                self.confirmed(site, ticket, term);
                self.order(site, ticket, Order::Withdraw { term }, false);
            }
            Command::Activate { term, .. } => {
                self.sites[usize::from(site)].stops[usize::from(ticket)] = None;
                self.reclaim(site, ticket, term);
                self.order(site, ticket, Order::Activate { term }, false);
            }
            Command::Standby { on, .. } => self.order(site, ticket, Order::Standby { on }, false),
            Command::HoldAgreed { term, .. } => {
                self.hold_agreed(site, ticket, term);
                self.order(site, ticket, Order::Hold { term, on: true }, false);
            }
            Command::Check { check, .. } => self.question(site, ticket, Some(check)),
            Command::Recall { .. } => self.question(site, ticket, None),
        }
    }

    /// The site claims a ticket: the agent tells the guard at once, beside the stack.
    fn claim(&mut self, site: u16, ticket: u16, term: Term, deadline: Option<Time>) {
        let node = &mut self.sites[usize::from(site)];
        let claim = Claim {
            term,
            deadline,
            released: false,
        };
        node.claims[usize::from(ticket)] = Some(claim);
        let mut taken = true;
        if let Some(deadline) = deadline {
            taken = self.gate(site, ticket, |gate, around| {
                gate.guard_deadline(around, term, deadline)
            });
        }
        if !taken {
            // The guard has the last word: nothing runs under this term, and the agent is told.
            let name = self.names[usize::from(ticket)].clone();
            let reason = "the guard refuses the deadline".to_owned();
            self.report(
                site,
                ClusterReport::Failed {
                    ticket: name,
                    term,
                    reason,
                },
            );
            let stale = &mut self.sites[usize::from(site)].stale[usize::from(ticket)];
            if self.late || *stale == term {
                // Decided before a pause and carried out after it.
                *stale = term;
                return;
            }
        }
        self.claimed(site, ticket, claim);
    }

    /// Tells the oracle of a claim, in true time.
    pub(crate) fn claimed(&mut self, site: u16, ticket: u16, claim: Claim) {
        let clock = &self.members[usize::from(site)].clock;
        let until = claim.deadline.map(|deadline| clock.true_at(deadline.0));
        if until.is_some_and(|until| until <= self.now) {
            // Carried out late by an agent that was paused: no claim, and the guard refuses it.
            return;
        }
        self.see(Seen::Held {
            ticket,
            site,
            term: claim.term.0,
            until,
        });
    }

    /// The site no longer claims this term.
    pub(crate) fn confirmed(&mut self, site: u16, ticket: u16, term: Term) {
        let claim = &mut self.sites[usize::from(site)].claims[usize::from(ticket)];
        if let Some(claim) = claim
            .as_mut()
            .filter(|one| one.term == term && !one.released)
        {
            claim.released = true;
            self.see(Seen::Released {
                ticket,
                site,
                term: term.0,
            });
        }
    }

    /// A stop was taken back: the site claims the term again.
    fn reclaim(&mut self, site: u16, ticket: u16, term: Term) {
        let claim = &mut self.sites[usize::from(site)].claims[usize::from(ticket)];
        if let Some(claim) = claim
            .as_mut()
            .filter(|one| one.term == term && one.released)
        {
            claim.released = false;
            let claim = *claim;
            self.claimed(site, ticket, claim);
        }
    }

    /// Sends an order to the site's stack: it takes its time, and may hang or fail. Orders for one
    /// ticket arrive in order, but for one that hangs: that comes late, or is overtaken and void.
    fn order(&mut self, site: u16, ticket: u16, order: Order, answered: bool) {
        let plan = self.plan.cluster;
        let mut after = self.site_dice.around(plan.command_ns);
        let key = self.remember_order(site, ticket, order);
        let fails = self.site_dice.chance(plan.fail_ppm);
        let hangs = self.site_dice.chance(plan.hang_ppm);
        let repeated = matches!(order, Order::Grant { .. } | Order::Stop { .. });
        if fails && repeated {
            self.faults.count(Fault::CommandFail);
            self.refuse(site, ticket, order, after, answered);
            return;
        }
        let mut answer = if answered {
            OrderEnd::Honest
        } else {
            OrderEnd::Silent
        };
        if hangs && repeated {
            self.faults.count(Fault::CommandHang);
            self.refuse(site, ticket, order, COMMAND_TIMEOUT_NS, answered);
            answer = OrderEnd::Silent;
            let last = self.sites[usize::from(site)].arrives[usize::from(ticket)];
            after = last.saturating_sub(self.now).max(after) + self.site_dice.below(HANG_MAX_NS);
        } else {
            if fails || hangs {
                // Nobody asks whether these were done: the agent tries until they are.
                self.faults.count(Fault::CommandFail);
                after += COMMAND_TIMEOUT_NS;
            }
            if answered && self.site_dice.chance(plan.fail_done_ppm) {
                self.faults.count(Fault::CommandFailDone);
                answer = OrderEnd::Lost;
            }
            let last = &mut self.sites[usize::from(site)].arrives[usize::from(ticket)];
            *last = (self.now + after).max(*last);
            after = *last - self.now;
        }
        let boot = self.sites[usize::from(site)].boot;
        let what = What::Order {
            site,
            ticket,
            boot,
            key,
            order,
            answer,
        };
        self.schedule.push(self.now + after, what);
    }

    /// Numbers an order, and notes what a stack that restarts is to be told.
    fn remember_order(&mut self, site: u16, ticket: u16, order: Order) -> (u32, u32) {
        let node = &mut self.sites[usize::from(site)];
        node.orders += 1;
        let told = &mut node.told[usize::from(ticket)];
        match order {
            Order::Grant { .. } if matches!(told, Some(Order::Stop { .. })) => {
                // The lease of a grant that is being stopped goes on: the stop is what counts,
                // unless it is of an older term.
                if let (Some(Order::Stop { term: old, .. }), Order::Grant { term, .. }) =
                    (*told, order)
                    && term > old
                {
                    *told = Some(order);
                }
            }
            Order::Grant { .. } | Order::Stop { .. } | Order::Withdraw { .. } => {
                *told = Some(order);
            }
            Order::Activate { term } => {
                let claim = node.claims[usize::from(ticket)];
                let deadline = claim.and_then(|claim| claim.deadline);
                *told = Some(Order::Grant { term, deadline });
            }
            Order::Standby { on } => node.standby[usize::from(ticket)] = on,
            Order::Hold { .. } => {}
        }
        (
            self.members[usize::from(site)].life,
            self.sites[usize::from(site)].orders,
        )
    }

    fn question(&mut self, site: u16, ticket: u16, check: Option<u64>) {
        let after = self.site_dice.around(self.plan.cluster.command_ns);
        let life = self.members[usize::from(site)].life;
        let boot = self.sites[usize::from(site)].boot;
        let what = What::Question {
            site,
            ticket,
            boot,
            life,
            check,
        };
        self.schedule.push(self.now + after, what);
    }

    /// Starts a member's process later on.
    pub(crate) fn start_later(&mut self, member: u16, after_ns: u64) {
        let at = self.now + after_ns;
        self.schedule
            .push(at, What::Act(crate::nemesis::Act::Start { member }));
    }
}

fn named(command: &ClusterCommand) -> &TicketName {
    use ClusterCommand as Command;
    match command {
        Command::Grant { ticket, .. }
        | Command::Extend { ticket, .. }
        | Command::Stop { ticket, .. }
        | Command::Withdraw { ticket, .. }
        | Command::Activate { ticket, .. }
        | Command::Standby { ticket, .. }
        | Command::HoldAgreed { ticket, .. }
        | Command::Check { ticket, .. }
        | Command::Recall { ticket } => ticket,
    }
}
