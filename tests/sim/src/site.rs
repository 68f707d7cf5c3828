//! One simulated site: the local stack's view of the tickets, the guard, and what runs.
//!
//! One resource per ticket stands for all that depend on it. The stack persists nothing about
//! grants; the guard keeps a deadline per term and kills at deadline plus stop budget, whatever
//! became of agent and stack. Everything here counts on the node's own clock.

use oracle::Event;
use ticket_protocol::{StopId, Term, Time};

use crate::dice::Dice;
use crate::faults::{Fault, Faults};
use crate::plan::{ClusterPlan, MS, S, TicketPlan};

/// How long the stack waits before it tries a failed start again.
const START_AGAIN_NS: u64 = S;
/// Terms the guard remembers per ticket: the one that runs, the new one, one more.
const ARMED_MAX: usize = 4;

/// What an agent tells its cluster about one ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start what depends on the ticket.
    Grant {
        /// The grant's term.
        term: Term,
        /// The lease's end on this node's clock; `None` = manual.
        deadline: Option<Time>,
    },
    /// Stop everything, and say so.
    Stop {
        /// The grant's term.
        term: Term,
        /// Names the order in its confirmation.
        stop: StopId,
    },
    /// Not granted here.
    Withdraw {
        /// Up to this term.
        term: Term,
    },
    /// A stop is taken back.
    Activate {
        /// The grant's term.
        term: Term,
    },
    /// The standby mark.
    Standby {
        /// Set or clear.
        on: bool,
    },
    /// The majority agreed on a hold or on its end.
    Hold {
        /// The grant's term.
        term: Term,
        /// Begin or end.
        on: bool,
    },
}

/// What a site wants done about one ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// Something happens to the resource later, unless `step` was overtaken meanwhile.
    Step {
        /// After this long on the node's clock.
        after_ns: u64,
        /// Which step.
        step: u64,
    },
    /// The stack's or the guard's timer, at this reading of the node's clock.
    Wake {
        /// When.
        at: Time,
    },
    /// A stop was confirmed or found impossible.
    Stopped {
        /// The term.
        term: Term,
        /// The order.
        stop: StopId,
        /// Whether everything is stopped.
        done: bool,
    },
    /// For the oracle.
    Seen(Event),
}

/// What surrounds a site while it acts.
pub struct Around<'a> {
    /// The node's clock.
    pub now: Time,
    /// The site's choices.
    pub dice: &'a mut Dice,
    /// The counters.
    pub faults: &'a mut Faults,
    /// How the cluster behaves.
    pub plan: &'a ClusterPlan,
    /// What it wants done.
    pub out: &'a mut Vec<Out>,
}

/// What the stack was told by its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    term: Term,
    deadline: Option<Time>,
    stop: Option<StopId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Stopped,
    Starting,
    Running,
    /// Stopping; it ends well, fails, or hangs.
    Stopping(End),
    /// A stop failed: it runs on and the stack leaves it alone until somebody orders again.
    Stuck,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Well,
    Fails,
    Hangs,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    term: Term,
    deadline: Time,
    /// The stop was confirmed: nothing may be started under this deadline any more.
    disarmed: bool,
    hold: bool,
}

/// One ticket at one site.
#[derive(Clone, Debug)]
pub struct Gate {
    ticket: u16,
    site: u16,
    manual: bool,
    stop_budget_ns: u64,
    lease: Option<Lease>,
    state: State,
    term: Term,
    step: u64,
    standby: bool,
    /// The term that the order to stop named, for its confirmation.
    stop_names: Term,
    armed: Vec<Armed>,
}

impl Gate {
    /// Nothing runs, nothing is granted.
    #[must_use]
    pub fn new(ticket: u16, site: u16, plan: &TicketPlan) -> Self {
        Self {
            ticket,
            site,
            manual: plan.manual,
            stop_budget_ns: plan.stop_budget_ns,
            lease: None,
            state: State::Stopped,
            term: Term::NONE,
            step: 0,
            standby: false,
            stop_names: Term::NONE,
            armed: Vec::with_capacity(ARMED_MAX),
        }
    }

    /// Whether nothing that depends on the ticket runs.
    #[must_use]
    pub fn quiet(&self) -> bool {
        self.state == State::Stopped
    }

    /// Under which term something runs.
    #[must_use]
    pub fn running(&self) -> Option<Term> {
        (!self.quiet()).then_some(self.term)
    }

    /// The standby mark.
    #[must_use]
    pub fn standby(&self) -> bool {
        self.standby
    }

    /// What guard and stack still hold, and whether a release was begun.
    #[must_use]
    pub fn recall(&self, now: Time) -> (Option<(Term, Time)>, bool) {
        let held = self
            .armed
            .iter()
            .filter(|one| !one.disarmed && one.deadline > now)
            .max_by_key(|one| one.term)
            .map(|one| (one.term, one.deadline));
        let begun = self.lease.is_some_and(|lease| lease.stop.is_some());
        if self.manual {
            return (self.lease.map(|lease| (lease.term, Time::NEVER)), begun);
        }
        (held, begun)
    }

    /// The guard hears a deadline directly from the agent. Refused: a term below one seen, and a
    /// term whose deadline has passed.
    pub fn guard_deadline(&mut self, around: &mut Around<'_>, term: Term, deadline: Time) -> bool {
        if self.armed.iter().any(|one| one.term > term) {
            return false;
        }
        if let Some(one) = self.armed.iter_mut().find(|one| one.term == term) {
            // During an agreed hold nothing is enforced, so a lease that is renewed again counts.
            if one.deadline <= around.now && !one.hold {
                return false;
            }
            one.deadline = one.deadline.max(deadline);
        } else {
            if deadline <= around.now {
                return false;
            }
            if self.armed.len() == ARMED_MAX {
                self.armed.remove(0);
            }
            self.armed.push(Armed {
                term,
                deadline,
                disarmed: false,
                hold: false,
            });
        }
        around.out.push(Out::Wake { at: deadline });
        let kill = Time(deadline.0.saturating_add(self.stop_budget_ns));
        around.out.push(Out::Wake { at: kill });
        true
    }

    /// The stack carries out an order. `false` = refused or failed, nothing was changed.
    pub fn order(&mut self, around: &mut Around<'_>, order: Order) -> bool {
        let known = self.lease.map_or(Term::NONE, |lease| lease.term);
        match order {
            Order::Grant { term, deadline } => {
                if term < known || deadline.is_some_and(|end| end <= around.now) {
                    return false;
                }
                let stop = self
                    .lease
                    .filter(|lease| lease.term == term)
                    .and_then(|l| l.stop);
                self.lease = Some(Lease {
                    term,
                    deadline,
                    stop,
                });
            }
            Order::Stop { term, stop } => {
                if term < known && term != Term::NONE {
                    return false;
                }
                self.stop_names = term;
                // An agent that does not know what runs here has all of it stopped.
                let term = term.max(known);
                let deadline = self
                    .lease
                    .filter(|l| l.term == term)
                    .and_then(|l| l.deadline);
                self.lease = Some(Lease {
                    term,
                    deadline,
                    stop: Some(stop),
                });
                if self.state == State::Stuck {
                    self.state = State::Running;
                }
            }
            Order::Withdraw { term } => {
                if term < known {
                    return false;
                }
                self.lease = None;
                if self.state == State::Stuck {
                    self.state = State::Running;
                }
            }
            Order::Activate { term } => {
                let Some(lease) = self.lease.as_mut().filter(|lease| lease.term == term) else {
                    return false;
                };
                lease.stop = None;
                for one in self.armed.iter_mut().filter(|one| one.term == term) {
                    one.disarmed = false;
                }
            }
            Order::Standby { on } => {
                if self.standby != on {
                    self.standby = on;
                    let (ticket, site) = (self.ticket, self.site);
                    around
                        .out
                        .push(Out::Seen(Event::StandbyMark { ticket, site, on }));
                }
            }
            Order::Hold { term, on } => {
                for one in self.armed.iter_mut().filter(|one| one.term == term) {
                    one.hold = on;
                }
            }
        }
        self.settle(around);
        true
    }

    fn covers(&self, now: Time, term: Term) -> bool {
        let valid = |one: &Armed| !one.disarmed && (one.hold || one.deadline > now);
        // The guard arms nothing below a term that it has seen.
        let newest = self.armed.iter().max_by_key(|one| one.term);
        self.manual || newest.is_some_and(|one| one.term == term && valid(one))
    }

    fn wanted(&self, now: Time) -> Option<Term> {
        let lease = self.lease?;
        let valid = lease.deadline.is_none_or(|deadline| deadline > now);
        let may = valid && lease.stop.is_none() && !self.standby;
        // The guard is asked before every start: no start without an armed deadline.
        (may && self.covers(now, lease.term)).then_some(lease.term)
    }

    /// Brings what runs in line with what is wanted: the scheduler of this small stack.
    fn settle(&mut self, around: &mut Around<'_>) {
        if !self.quiet()
            && self
                .armed
                .iter()
                .any(|one| one.term == self.term && one.hold)
        {
            // Unmanaged: it runs on, and whoever orders a stop is told so.
            self.impossible(around);
            return;
        }
        let wanted = self.wanted(around.now);
        match self.state {
            State::Stopped => {
                if let Some(term) = wanted {
                    self.start(around, term);
                } else {
                    self.confirm(around);
                }
            }
            State::Starting | State::Running if wanted != Some(self.term) => self.stop(around),
            State::Starting | State::Running | State::Stopping(_) | State::Stuck => {}
        }
    }

    fn next_step(&mut self, around: &mut Around<'_>, after_ns: u64) {
        self.step += 1;
        around.out.push(Out::Step {
            after_ns,
            step: self.step,
        });
    }

    fn start(&mut self, around: &mut Around<'_>, term: Term) {
        self.state = State::Starting;
        self.term = term;
        let (ticket, site) = (self.ticket, self.site);
        let started = Event::Started {
            ticket,
            site,
            resource: 0,
            term: term.0,
        };
        around.out.push(Out::Seen(started));
        let after = around.dice.around(around.plan.start_ns);
        self.next_step(around, after);
    }

    fn stop(&mut self, around: &mut Around<'_>) {
        let end = if around.dice.chance(around.plan.stop_hang_ppm) {
            around.faults.count(Fault::StopHang);
            End::Hangs
        } else if around.dice.chance(around.plan.stop_fail_ppm) {
            around.faults.count(Fault::StopFail);
            End::Fails
        } else {
            End::Well
        };
        self.state = State::Stopping(end);
        let after = match end {
            // The stack gives the agent up after the budget; the process is still there.
            End::Hangs => self.stop_budget_ns.max(MS),
            End::Well | End::Fails => around.dice.around(around.plan.stop_ns),
        };
        self.next_step(around, after);
    }

    /// A step of the resource is over, unless a later one overtook it.
    pub fn step(&mut self, around: &mut Around<'_>, step: u64) {
        if step != self.step {
            return;
        }
        match self.state {
            State::Starting => {
                if around.dice.chance(around.plan.start_fail_ppm) {
                    around.faults.count(Fault::StartFail);
                    self.gone(around);
                    self.next_step(around, START_AGAIN_NS);
                    return;
                }
                self.state = State::Running;
            }
            State::Stopping(End::Well) => self.gone(around),
            State::Stopping(End::Fails | End::Hangs) => {
                self.state = State::Stuck;
                self.impossible(around);
                return;
            }
            State::Stopped | State::Running | State::Stuck => {}
        }
        self.settle(around);
    }

    /// The stack's timer or the guard's: `stack` = the stack is up to look at deadlines too.
    pub fn wake(&mut self, around: &mut Around<'_>, stack: bool) {
        self.guard(around);
        if stack {
            self.settle(around);
        }
    }

    /// Sets all timers again, after the clock changed its rate.
    pub fn wake_again(&mut self, around: &mut Around<'_>) {
        for one in &self.armed {
            around.out.push(Out::Wake { at: one.deadline });
            let kill = Time(one.deadline.0.saturating_add(self.stop_budget_ns));
            around.out.push(Out::Wake { at: kill });
        }
    }

    /// The guard looks at its deadlines; it kills what runs past one.
    pub fn guard(&mut self, around: &mut Around<'_>) {
        if self.manual || self.quiet() {
            return;
        }
        let over = |one: &Armed| {
            let kill = Time(one.deadline.0.saturating_add(self.stop_budget_ns));
            one.term == self.term && !one.hold && kill <= around.now
        };
        if self.armed.iter().any(over) {
            around.faults.count(Fault::GuardKill);
            self.gone(around);
            self.step += 1;
        }
    }

    /// The resource's processes are gone.
    fn gone(&mut self, around: &mut Around<'_>) {
        self.state = State::Stopped;
        let (ticket, site) = (self.ticket, self.site);
        around.out.push(Out::Seen(Event::Ended {
            ticket,
            site,
            resource: 0,
        }));
    }

    /// Nothing runs: a stop that was ordered is confirmed, and its deadline taken back.
    fn confirm(&mut self, around: &mut Around<'_>) {
        let Some(Lease {
            term,
            stop: Some(stop),
            ..
        }) = self.lease
        else {
            return;
        };
        for one in self.armed.iter_mut().filter(|one| one.term == term) {
            one.disarmed = true;
        }
        let term = self.stop_names;
        around.out.push(Out::Stopped {
            term,
            stop,
            done: true,
        });
    }

    /// A stop failed or hangs: whoever ordered it is told that it still runs.
    fn impossible(&mut self, around: &mut Around<'_>) {
        if let Some(Lease {
            stop: Some(stop), ..
        }) = self.lease
        {
            let term = self.stop_names;
            around.out.push(Out::Stopped {
                term,
                stop,
                done: false,
            });
        }
    }

    /// The stack was killed: what it was told is gone, what runs goes on, nobody waits for steps.
    pub fn stack_killed(&mut self) {
        self.lease = None;
        self.step += 1;
    }

    /// The stack is back: it adopts what runs and takes deadlines from the guard until its agent
    /// speaks. `told` = the agent lives and repeats what it last said.
    pub fn stack_back(&mut self, around: &mut Around<'_>, told: Option<Order>) {
        if !self.quiet() {
            self.state = State::Running;
        }
        let (held, _) = self.recall(around.now);
        self.lease = held.map(|(term, end)| Lease {
            term,
            deadline: Some(end),
            stop: None,
        });
        if let Some(order) = told {
            self.order(around, order);
        } else if !self.manual {
            self.settle(around);
        }
    }

    /// Power is gone: everything is.
    pub fn power_off(&mut self, around: &mut Around<'_>) {
        if !self.quiet() {
            self.gone(around);
        }
        self.lease = None;
        self.armed.clear();
        self.step += 1;
    }

    /// The operator repaired what would not stop, and asks the stack to look again.
    pub fn clean_up(&mut self, around: &mut Around<'_>) {
        if matches!(
            self.state,
            State::Stuck | State::Stopping(End::Hangs | End::Fails)
        ) {
            self.state = State::Running;
        }
        self.settle(around);
    }
}
