//! What happens at a site's cluster: orders arrive, resources step, guards wake, agents are told.

use oracle::Event as Seen;
use ticket_protocol::{ClusterReport, Term, Time};

use crate::faults::Fault;
use crate::plan::MS;
use crate::site::{Around, Gate, Order, Out};
use crate::world::{OrderEnd, Stack, What, World};

/// How late a report may reach the agent, at most.
const REPORT_NS: u64 = 2 * MS;
/// A resumed node looks at everything that is due within this time.
const THAW_NS: u64 = 5 * MS;

impl World {
    /// Lets a gate act and does what it wants done.
    pub(crate) fn gate<R>(
        &mut self,
        site: u16,
        ticket: u16,
        act: impl FnOnce(&mut Gate, &mut Around<'_>) -> R,
    ) -> R {
        let mut out = std::mem::take(&mut self.out);
        let node = &mut self.sites[usize::from(site)];
        let clock = self.members[usize::from(site)].clock;
        let mut around = Around {
            now: Time(clock.local(self.now)),
            dice: &mut self.site_dice,
            faults: &mut self.faults,
            plan: &self.plan.cluster,
            out: &mut out,
        };
        let result = act(&mut node.gates[usize::from(ticket)], &mut around);
        let boot = node.boot;
        for wish in out.drain(..) {
            match wish {
                Out::Step { after_ns, step } => {
                    let at = clock.true_at(clock.local(self.now) + after_ns);
                    self.schedule.push(
                        at,
                        What::Step {
                            site,
                            ticket,
                            boot,
                            step,
                        },
                    );
                }
                Out::Wake { at } => {
                    let at = clock.true_at(at.0).max(self.now);
                    self.schedule.push(at, What::Wake { site, ticket, boot });
                }
                Out::Stopped { term, stop, done } => {
                    let result = if done {
                        Ok(())
                    } else {
                        Err("it still runs".to_owned())
                    };
                    let ticket = self.names[usize::from(ticket)].clone();
                    let report = ClusterReport::Stopped {
                        ticket,
                        term,
                        stop,
                        result,
                    };
                    self.report(site, report);
                }
                Out::Seen(event) => self.site_sees(ticket, event),
            }
        }
        self.out = out;
        result
    }

    fn site_sees(&mut self, ticket: u16, event: Seen) {
        self.see(event);
        if let Seen::Started { site, term, .. } = event {
            self.write_to_store(ticket, site, Term(term));
        }
    }

    /// The service writes to a store that compares terms.
    fn write_to_store(&mut self, ticket: u16, site: u16, term: Term) {
        let greatest = &mut self.store[usize::from(ticket)];
        let accepted = term >= *greatest;
        *greatest = (*greatest).max(term);
        self.stats.writes += 1;
        self.stats.stale_writes += u64::from(!accepted);
        self.see(Seen::Wrote {
            ticket,
            site,
            term: term.0,
            accepted,
        });
    }

    /// Tells the site's agent something; what it was told is lost if it dies meanwhile.
    pub(crate) fn report(&mut self, site: u16, report: ClusterReport) {
        let at = self.now + self.site_dice.below(REPORT_NS);
        let life = self.members[usize::from(site)].life;
        // One connection: what is said later is heard later.
        let last = &mut self.sites[usize::from(site)].reported;
        *last = at.max(*last);
        let at = *last;
        let report = Box::new(report);
        self.schedule.push(at, What::Report { site, life, report });
    }

    /// An order that failed: the agent is told so.
    pub(crate) fn refuse(
        &mut self,
        site: u16,
        ticket: u16,
        order: Order,
        after_ns: u64,
        answered: bool,
    ) {
        if !answered {
            return;
        }
        let name = self.names[usize::from(ticket)].clone();
        let result = Err("the command failed".to_owned());
        let report = match order {
            Order::Grant { term, .. } => ClusterReport::Granted {
                ticket: name,
                term,
                result,
            },
            Order::Stop { term, stop } => ClusterReport::Stopped {
                ticket: name,
                term,
                stop,
                result,
            },
            _ => return,
        };
        let life = self.members[usize::from(site)].life;
        let report = Box::new(report);
        self.schedule
            .push(self.now + after_ns, What::Report { site, life, report });
    }

    /// Something happens at a site, unless it is out of power, paused, or its stack is down.
    pub(crate) fn site_event(&mut self, what: What) {
        let (site, boot) = match &what {
            What::Order { site, boot, .. }
            | What::Question { site, boot, .. }
            | What::Step { site, boot, .. }
            | What::Wake { site, boot, .. } => (*site, *boot),
            _ => return,
        };
        let node = &mut self.sites[usize::from(site)];
        if node.boot != boot || !node.powered {
            return;
        }
        if node.frozen {
            node.waiting.push(what);
            return;
        }
        if self.now < node.reads_at && matches!(what, What::Order { .. } | What::Question { .. }) {
            let at = node.reads_at;
            self.schedule.push(at, what);
            return;
        }
        let up = node.stack == Stack::Up;
        match what {
            What::Wake { ticket, .. } => {
                self.gate(site, ticket, |gate, around| gate.wake(around, up));
            }
            What::Order {
                ticket,
                key,
                order,
                answer,
                ..
            } if up => {
                self.carry_out(site, ticket, key, order, answer);
            }
            What::Question {
                ticket,
                life,
                check,
                ..
            } if up => {
                self.answer(site, ticket, life, check);
            }
            What::Step { ticket, step, .. } if up => {
                self.gate(site, ticket, |gate, around| gate.step(around, step));
            }
            What::Order {
                ticket,
                order,
                answer,
                ..
            } if node.stack == Stack::Down => {
                // Nobody listens: the agent's connection is refused.
                if answer != OrderEnd::Silent {
                    self.refuse(site, ticket, order, MS, true);
                }
            }
            other => node.waiting.push(other),
        }
    }

    fn carry_out(
        &mut self,
        site: u16,
        ticket: u16,
        key: (u32, u32),
        order: Order,
        answer: OrderEnd,
    ) {
        let done = self.sites[usize::from(site)].done[usize::from(ticket)];
        let died = key < self.sites[usize::from(site)].restarted;
        // What the guard is told of a hold does not pass through the stack.
        let overtaken = key < done || (died && !matches!(order, Order::Hold { .. }));
        self.trace(|| {
            format!("m{site} t{ticket} carries out {key:?} {order:?}, void: {overtaken}")
        });
        let done = &mut self.sites[usize::from(site)].done[usize::from(ticket)];
        if overtaken {
            // Overtaken by a later order: the last one counts.
            return;
        }
        *done = key;
        let hold = self.sites[usize::from(site)].holds[usize::from(ticket)];
        let void = self.sites[usize::from(site)].hold_void[usize::from(ticket)];
        if matches!(order, Order::Hold { term, .. } if hold != Some((term, true)) || key <= void) {
            // The dependent is managed again: the agreement comes too late to be used.
            return;
        }
        let good = self.gate(site, ticket, |gate, around| gate.order(around, order));
        match (order, good, answer) {
            (_, _, OrderEnd::Silent) => {}
            (_, false, _) | (_, _, OrderEnd::Lost) => self.refuse(site, ticket, order, MS, true),
            (Order::Grant { term, .. }, true, OrderEnd::Honest) => {
                let ticket = self.names[usize::from(ticket)].clone();
                self.report(
                    site,
                    ClusterReport::Granted {
                        ticket,
                        term,
                        result: Ok(()),
                    },
                );
            }
            // The gate itself says when a stop is over.
            (_, true, OrderEnd::Honest) => {}
        }
    }

    fn answer(&mut self, site: u16, ticket: u16, life: u32, check: Option<u64>) {
        if self.members[usize::from(site)].life != life {
            return;
        }
        if check.is_none() {
            // A new agent is heard: what an earlier one ordered and is still under way is void.
            let done = &mut self.sites[usize::from(site)].done[usize::from(ticket)];
            *done = (*done).max((life, 0));
        }
        let now = self.members[usize::from(site)].local(self.now);
        let name = self.names[usize::from(ticket)].clone();
        let gate = &self.sites[usize::from(site)].gates[usize::from(ticket)];
        let report = match check {
            Some(check) => {
                let unfit = self.site_dice.chance(self.plan.cluster.start_fail_ppm / 4);
                let result = if unfit {
                    Err("no node can run it".to_owned())
                } else {
                    Ok(())
                };
                ClusterReport::Checked {
                    ticket: name,
                    check,
                    result,
                }
            }
            None => {
                let (held, release_begun) = gate.recall(now);
                ClusterReport::Recalled {
                    ticket: name,
                    held,
                    release_begun,
                    quiet: gate.quiet(),
                }
            }
        };
        self.report(site, report);
        let node = &self.sites[usize::from(site)];
        let wants = node.holds[usize::from(ticket)].map(|(term, _)| (term, true));
        let over = node.hold_over[usize::from(ticket)].map(|term| (term, false));
        if let Some((term, on)) = wants.or(over).filter(|_| check.is_none()) {
            // An agent that starts hears whether there is a hold.
            self.report_hold(site, ticket, term, on);
        }
    }

    pub(crate) fn report_hold(&mut self, site: u16, ticket: u16, term: Term, on: bool) {
        let ticket = self.names[usize::from(ticket)].clone();
        let reason = if on {
            "maintenance".to_owned()
        } else {
            String::new()
        };
        self.report(
            site,
            ClusterReport::Hold {
                ticket,
                term,
                on,
                reason,
            },
        );
    }

    /// The majority agreed on a hold: from now on the lease does not run out.
    pub(crate) fn hold_agreed(&mut self, site: u16, ticket: u16, term: Term) {
        let hold = &mut self.sites[usize::from(site)].holds[usize::from(ticket)];
        if *hold == Some((term, false)) {
            *hold = Some((term, true));
            self.stats.holds += 1;
            self.see(Seen::Hold {
                ticket,
                site,
                on: true,
            });
        }
    }

    /// The dependent is managed again.
    pub(crate) fn end_hold(&mut self, site: u16, ticket: u16) {
        let node = &mut self.sites[usize::from(site)];
        let Some((term, agreed)) = node.holds[usize::from(ticket)].take() else {
            return;
        };
        // An agreement to this hold that is still under way is not one to the next.
        node.hold_void[usize::from(ticket)] = (self.members[usize::from(site)].life, node.orders);
        if agreed {
            self.see(Seen::Hold {
                ticket,
                site,
                on: false,
            });
        }
        let powered = self.sites[usize::from(site)].powered;
        if powered {
            self.gate(site, ticket, |gate, around| {
                gate.order(around, Order::Hold { term, on: false });
                gate.guard(around);
            });
        }
        self.sites[usize::from(site)].hold_over[usize::from(ticket)] = Some(term);
        self.report_hold(site, ticket, term, false);
    }

    /// The stack dies. Nobody answers its agent, what runs goes on.
    pub(crate) fn kill_stack(&mut self, site: u16) {
        let node = &mut self.sites[usize::from(site)];
        if node.stack == Stack::Down || !node.powered {
            return;
        }
        node.stack = Stack::Down;
        // The guard is not the stack's: what it waits for stays.
        node.waiting
            .retain(|what| matches!(what, What::Wake { .. }));
        for gate in &mut node.gates {
            gate.stack_killed();
        }
        // What the agent waits for will never come: its connection is gone.
        for ticket in 0..self.names.len() {
            if let Some(order @ Order::Stop { .. }) = self.sites[usize::from(site)].told[ticket] {
                self.refuse(site, ticket as u16, order, MS, true);
            }
        }
    }

    /// The stack goes on, or is started again.
    pub(crate) fn stack_back(&mut self, site: u16) {
        let node = &mut self.sites[usize::from(site)];
        if !node.powered || node.stack == Stack::Up {
            return;
        }
        let was = node.stack;
        node.stack = Stack::Up;
        if was == Stack::Down {
            let alive = self.members[usize::from(site)].process.is_some();
            let life = self.members[usize::from(site)].life;
            let node = &mut self.sites[usize::from(site)];
            node.restarted = (life, node.orders + 1);
            for ticket in 0..self.names.len() {
                let told = self.sites[usize::from(site)].told[ticket].filter(|_| alive);
                let node = &self.sites[usize::from(site)];
                let on = if alive {
                    node.standby[ticket]
                } else {
                    node.gates[ticket].standby()
                };
                self.gate(site, ticket as u16, |gate, around| {
                    gate.stack_back(around, told);
                    gate.order(around, Order::Standby { on });
                });
            }
        }
        if !self.sites[usize::from(site)].frozen {
            self.release_waiting(site);
        }
    }

    /// A paused site goes on: everything that was due comes at once, in no particular order.
    pub(crate) fn thaw(&mut self, site: u16) {
        let node = &mut self.sites[usize::from(site)];
        if !std::mem::take(&mut node.frozen) {
            return;
        }
        self.see(Seen::Thawed { site });
        for ticket in 0..self.names.len() as u16 {
            let gate = &self.sites[usize::from(site)].gates[usize::from(ticket)];
            if let Some(term) = gate.running() {
                self.write_to_store(ticket, site, term);
            }
        }
        self.release_waiting(site);
    }

    fn release_waiting(&mut self, site: u16) {
        let waiting = std::mem::take(&mut self.sites[usize::from(site)].waiting);
        // Guard and stack wake in any order; what the stack was sent it reads in order.
        let orders = self.now + self.site_dice.below(THAW_NS);
        let wakes = self.now + self.site_dice.below(THAW_NS);
        self.sites[usize::from(site)].reads_at = orders;
        for what in waiting {
            let at = if matches!(what, What::Wake { .. }) {
                wakes
            } else {
                orders
            };
            self.schedule.push(at, what);
        }
    }

    /// The node loses power: agent, stack, guard and everything that ran.
    pub(crate) fn power_off(&mut self, site: u16) {
        self.kill(site, None);
        let node = &mut self.sites[usize::from(site)];
        if !node.powered {
            return;
        }
        node.powered = false;
        node.stack = Stack::Down;
        node.boot += 1;
        node.waiting.clear();
        for ticket in 0..self.names.len() as u16 {
            self.gate(site, ticket, Gate::power_off);
            let node = &mut self.sites[usize::from(site)];
            node.told[usize::from(ticket)] = None;
            if !self.plan.tickets[usize::from(ticket)].manual {
                // Nothing runs, and no deadline survives a boot: the lease is nobody's.
                self.power_ends_claim(site, ticket);
            }
            let node = &mut self.sites[usize::from(site)];
            node.standby[usize::from(ticket)] = false;
            node.done[usize::from(ticket)] = (0, 0);
            if let Some((term, agreed)) = node.holds[usize::from(ticket)].take() {
                node.hold_over[usize::from(ticket)] = Some(term);
                if agreed {
                    self.see(Seen::Hold {
                        ticket,
                        site,
                        on: false,
                    });
                }
            }
        }
        if std::mem::take(&mut self.sites[usize::from(site)].frozen) {
            self.see(Seen::Thawed { site });
        }
    }

    fn power_ends_claim(&mut self, site: u16, ticket: u16) {
        let claim = self.sites[usize::from(site)].claims[usize::from(ticket)].take();
        if let Some(claim) = claim.filter(|claim| !claim.released) {
            self.see(Seen::Released {
                ticket,
                site,
                term: claim.term.0,
            });
        }
    }

    /// The node boots: a new clock reading, nothing armed, nothing running.
    pub(crate) fn power_on(&mut self, site: u16) {
        let node = &mut self.sites[usize::from(site)];
        if std::mem::replace(&mut node.powered, true) {
            return;
        }
        node.stack = Stack::Up;
        let local = self.dice.between(1, 30) * crate::plan::S;
        let member = &mut self.members[usize::from(site)];
        member.clock = crate::clock::Clock::new(self.now, local, member.ppm);
        self.start(site);
    }

    /// A clock goes at another rate from now on; every timer on that machine is set anew.
    pub(crate) fn change_rate(&mut self, member: u16, ppm: i64) {
        let left_over = |ticket: usize| {
            let site = self.sites.get(usize::from(member));
            let runs = site.is_some_and(|site| site.gates[ticket].running().is_some());
            runs && !self.holds(member, ticket as u16)
        };
        if (0..self.names.len()).any(left_over) {
            // Its deadline was told to the oracle in true time, at the old rate.
            return;
        }
        self.faults.count(Fault::RateChange);
        let node = &mut self.members[usize::from(member)];
        node.ppm = ppm;
        node.clock.set_rate(self.now, ppm);
        node.timer_at = u64::MAX;
        self.arm(member);
        if usize::from(member) >= self.sites.len() {
            return;
        }
        for ticket in 0..self.names.len() as u16 {
            self.gate(member, ticket, |gate, around| gate.wake_again(around));
            let claim = self.sites[usize::from(member)].claims[usize::from(ticket)];
            if let Some(claim) = claim.filter(|_| self.holds(member, ticket)) {
                self.claimed(member, ticket, claim);
            }
        }
    }
}
