//! All members under one virtual time.
//!
//! ```text
//!   schedule (time, order) -> World::step -> Participant::handle_* -> effects -> schedule
//!                                  |                                     |
//!                                  +-- what a witness sees -> oracle <---+
//! ```
//! One seed makes one run: every choice comes from a [`Dice`], every tie is broken by the order of
//! scheduling, and no container is iterated in an order that depends on anything else.

use std::collections::VecDeque;

use oracle::{Checker, Event};
use ticket_protocol::{
    ClusterReport, MemberId, Message, Participant, Rules, StopId, Term, TicketId, TicketName, Time,
    WriteId,
};

use crate::clock::True;
use crate::dice::Dice;
use crate::doubt::Doubt;
use crate::faults::{Fault, Faults};
use crate::member::{Input, Member};
use crate::nemesis::Act;
use crate::network::Network;
use crate::operator::Operator;
use crate::plan::{MS, Plan, S};
use crate::report::Stats;
use crate::schedule::Schedule;
use crate::setup::{TICKET_NAMES, setup};
use crate::site::{Gate, Order, Out};
use crate::traps::{Recorded, Trap};

/// Everything that can be scheduled.
pub(crate) enum What {
    Deliver {
        from: u16,
        to: u16,
        life: u32,
        message: Box<Message>,
    },
    Timer {
        member: u16,
    },
    Written {
        member: u16,
        life: u32,
        id: WriteId,
    },
    Order {
        site: u16,
        ticket: u16,
        boot: u32,
        key: (u32, u32),
        order: Order,
        answer: OrderEnd,
    },
    Question {
        site: u16,
        ticket: u16,
        boot: u32,
        life: u32,
        check: Option<u64>,
    },
    Report {
        site: u16,
        life: u32,
        report: Box<ClusterReport>,
    },
    Step {
        site: u16,
        ticket: u16,
        boot: u32,
        step: u64,
    },
    Wake {
        site: u16,
        ticket: u16,
        boot: u32,
    },
    Link {
        of: u16,
        to: u16,
        fresh: bool,
    },
    Act(Act),
}

impl What {
    /// For the trace hash: the kind and whom it concerns.
    fn digest(&self) -> u64 {
        let (kind, a, b) = match self {
            Self::Deliver { from, to, .. } => (1, *from, *to),
            Self::Timer { member } => (2, *member, 0),
            Self::Written { member, .. } => (3, *member, 0),
            Self::Order { site, ticket, .. } => (4, *site, *ticket),
            Self::Question { site, ticket, .. } => (5, *site, *ticket),
            Self::Report { site, .. } => (6, *site, 0),
            Self::Step { site, ticket, .. } => (7, *site, *ticket),
            Self::Wake { site, ticket, .. } => (8, *site, *ticket),
            Self::Link { of, to, .. } => (9, *of, *to),
            Self::Act(_) => (10, 0, 0),
        };
        kind << 32 | u64::from(a) << 16 | u64::from(b)
    }
}

/// How a cluster command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderEnd {
    /// As the stack says.
    Honest,
    /// Done, but reported as failed.
    Lost,
    /// Nobody waits for it any more.
    Silent,
}

/// What a site claims, as its agent told its cluster last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) term: Term,
    pub(crate) deadline: Option<Time>,
    pub(crate) released: bool,
}

/// The state of a site's local stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    Up,
    Paused,
    Down,
}

/// A site's node, but for the agent.
pub(crate) struct SiteNode {
    pub(crate) gates: Vec<Gate>,
    pub(crate) claims: Vec<Option<Claim>>,
    /// The last lease order the agent gave, repeated to a stack that restarted.
    pub(crate) told: Vec<Option<Order>>,
    /// Whether the agent last told the stack to keep the ticket in standby.
    pub(crate) standby: Vec<bool>,
    /// A term whose deadline reached the guard too late: nothing runs under it any more.
    pub(crate) stale: Vec<Term>,
    /// The stop that the agent waits for; a confirmation of any other means nothing.
    pub(crate) stops: Vec<Option<StopId>>,
    /// When the last order for a ticket arrives.
    pub(crate) arrives: Vec<True>,
    /// The newest order carried out, by (life of the agent, number).
    pub(crate) done: Vec<(u32, u32)>,
    pub(crate) orders: u32,
    /// When the agent hears the last report.
    pub(crate) reported: True,
    pub(crate) stack: Stack,
    pub(crate) frozen: bool,
    /// Orders before this one were on their way to a stack that died, and died with it: its agent
    /// says the last of them again.
    pub(crate) restarted: (u32, u32),
    /// When a stack that went on has read what it was sent before: later orders come after that.
    pub(crate) reads_at: True,
    /// Whether the node has power.
    pub(crate) powered: bool,
    pub(crate) boot: u32,
    pub(crate) waiting: Vec<What>,
    /// The term for which this site reported a hold that is not over.
    pub(crate) holds: Vec<Option<(Term, bool)>>,
    /// Orders up to this one do not agree to a hold any more.
    pub(crate) hold_void: Vec<(u32, u32)>,
    /// The term whose hold is over, repeated to an agent that restarted.
    pub(crate) hold_over: Vec<Option<Term>>,
}

/// The whole simulation of one run.
pub struct World {
    pub(crate) now: True,
    pub(crate) plan: Plan,
    pub(crate) rules: Rules,
    pub(crate) schedule: Schedule<What>,
    pub(crate) members: Vec<Member>,
    pub(crate) sites: Vec<SiteNode>,
    pub(crate) network: Network,
    pub(crate) network_dice: Dice,
    pub(crate) nemesis_dice: Dice,
    pub(crate) operator_dice: Dice,
    pub(crate) site_dice: Dice,
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) stats: Stats,
    pub(crate) checker: Checker,
    pub(crate) names: Vec<TicketName>,
    pub(crate) ids: Vec<TicketId>,
    pub(crate) operator: Operator,
    pub(crate) out: Vec<Out>,
    /// The greatest term a store that compares terms has seen, by ticket.
    pub(crate) store: Vec<Term>,
    /// A process that was paused carries out what it had decided before.
    pub(crate) late: bool,
    /// Faults are still being made.
    pub(crate) storm: bool,
    /// The member whose memory is in doubt, and the peers it has not heard and told since.
    pub(crate) doubt: Option<Doubt>,
    /// What the nemesis is waiting for.
    pub(crate) trap: Option<Trap>,
    /// Datagrams that may come again: those that ask and answer, and those that end something.
    pub(crate) recorded: [VecDeque<Recorded>; 2],
    /// The first alarm of a member that met what must not be.
    pub(crate) impossible: Option<String>,
    hash: u64,
    trace: bool,
}

impl World {
    /// A cluster that has just been set up; every member starts now.
    #[must_use]
    pub fn new(plan: Plan, rules: Rules, trace: bool) -> Self {
        let count = plan.tickets.len();
        let names: Vec<_> = TICKET_NAMES[..count]
            .iter()
            .map(|&name| name.into())
            .collect();
        let mut world = Self {
            now: S,
            rules,
            schedule: Schedule::new(),
            members: Vec::new(),
            sites: Vec::new(),
            network: Network::new(plan.weather),
            network_dice: Dice::new(plan.seed, 1),
            nemesis_dice: Dice::new(plan.seed, 2),
            operator_dice: Dice::new(plan.seed, 3),
            site_dice: Dice::new(plan.seed, 4),
            dice: Dice::new(plan.seed, 5),
            faults: Faults::default(),
            stats: Stats::default(),
            checker: Checker::new(setup(&plan)),
            ids: names.iter().map(TicketName::id).collect(),
            names,
            operator: Operator::default(),
            out: Vec::new(),
            store: vec![Term::NONE; count],
            late: false,
            storm: true,
            doubt: None,
            trap: None,
            recorded: Default::default(),
            impossible: None,
            hash: plan.seed,
            trace,
            plan,
        };
        world.set_up();
        world
    }

    /// Starts a member's process.
    pub(crate) fn start(&mut self, member: u16) {
        let index = usize::from(member);
        if self.members[index].process.is_some() {
            return;
        }
        let restored = self.members[index].restored();
        self.remember(member, &restored);
        let config = self.config(member);
        let seed = self.dice.any();
        let now = self.members[index].local(self.now);
        let participant = Participant::new(config, restored, now, seed);
        let participant = participant.expect("the plan makes valid configurations");
        let node = &mut self.members[index];
        node.life += 1;
        node.process = Some(participant);
        if let Some(site) = self.sites.get_mut(index) {
            // What the run before it said, and waited for, died with it: a stack that restarts
            // hears nothing of that from this one.
            site.told.fill(None);
            site.stops.fill(None);
        }
        self.trace(|| format!("m{member} starts"));
        for other in 0..self.members.len() as u16 {
            if other != member {
                let at = self.now + self.dice.between(1, 20) * MS;
                self.schedule.push(
                    at,
                    What::Link {
                        of: member,
                        to: other,
                        fresh: true,
                    },
                );
                self.schedule.push(
                    at,
                    What::Link {
                        of: other,
                        to: member,
                        fresh: true,
                    },
                );
            }
        }
        self.drain(member);
    }

    /// Tells the oracle what a starting member has on its disk.
    fn remember(&mut self, member: u16, restored: &ticket_protocol::Restored) {
        self.checker.observe(self.now, Event::Forgot { member });
        if let ticket_protocol::Restored::State(state) = restored {
            self.stored(member, state);
        }
    }

    /// Runs until `end` (true time); `false` when nothing is left to happen.
    pub fn run_until(&mut self, end: True) {
        while let Some((at, what)) = self.schedule.pop_until(end) {
            self.now = at;
            self.stats.events += 1;
            self.mix(at);
            self.mix(what.digest());
            self.step(what);
            if !self.checker.violations().is_empty() && self.operator.stop_at_first {
                return;
            }
        }
        self.now = self.now.max(end);
    }

    /// Runs for a span of true time.
    pub fn run_for(&mut self, span_ns: u64) {
        self.run_until(self.now + span_ns);
    }

    fn step(&mut self, what: What) {
        match what {
            What::Deliver {
                from,
                to,
                life,
                message,
            } => self.deliver(from, to, life, message),
            What::Timer { member } => self.timer(member),
            What::Written { member, life, id } => self.written(member, life, id),
            What::Report { site, life, report } => {
                if self.members[usize::from(site)].life == life {
                    self.input(site, Input::Report(report));
                }
            }
            What::Link { of, to, fresh } => self.link(of, to, fresh),
            What::Act(act) => self.act(act),
            What::Order { .. } | What::Question { .. } | What::Step { .. } | What::Wake { .. } => {
                self.site_event(what)
            }
        }
    }

    fn deliver(&mut self, from: u16, to: u16, life: u32, message: Box<Message>) {
        let node = &self.members[usize::from(to)];
        if node.process.is_none() || node.life != life {
            self.faults.count(Fault::DatagramToDead);
            return;
        }
        self.trace(|| format!("m{to} <- m{from} {:?}", message.parts));
        if let Some(doubt) = self.doubt.as_mut() {
            doubt.spoken(from, to);
        }
        self.stats.messages += 1;
        let sprung = self.springs(from, to, &message);
        self.input(to, Input::Message(from, message));
        if sprung {
            self.spring(from, to);
        }
    }

    fn timer(&mut self, member: u16) {
        let node = &mut self.members[usize::from(member)];
        if node.timer_at != self.now {
            return;
        }
        node.timer_at = True::MAX;
        if node.paused {
            return;
        }
        let now = node.local(self.now);
        let Some(process) = node.process.as_mut() else {
            return;
        };
        if process.next_timeout().is_some_and(|next| next <= now) {
            process.handle_timeout(now);
            self.trace(|| format!("m{member} timeout"));
        }
        self.drain(member);
    }

    /// Gives an input to a member's process, or keeps it while the process is paused.
    pub(crate) fn input(&mut self, member: u16, input: Input) {
        let now = self.now;
        let node = &mut self.members[usize::from(member)];
        if node.process.is_none() {
            return;
        }
        if node.paused {
            if !node.keep(input) {
                self.faults.count(Fault::Loss);
            }
            return;
        }
        let local = node.local(now);
        let stopped = match &input {
            Input::Report(report) => stopped_well(report),
            _ => None,
        };
        let Some(process) = node.process.as_mut() else {
            return;
        };
        match input {
            Input::Message(from, message) => {
                process.handle_message(local, MemberId(from), *message)
            }
            Input::Report(report) => process.handle_report(local, *report),
            Input::Written(id, true) => process.handle_written(local, id, Ok(())),
            Input::Written(id, false) => {
                let reason = "simulated".to_owned();
                process.handle_written(local, id, Err(ticket_protocol::WriteFailed { reason }));
            }
            Input::Link(peer, true) => process.handle_connected(local, MemberId(peer)),
            Input::Link(peer, false) => process.handle_disconnected(local, MemberId(peer)),
        }
        if let Some((ticket, term, stop)) = stopped
            && self.sites[usize::from(member)].stops[usize::from(ticket)] == Some(stop)
        {
            self.confirmed(member, ticket, term);
        }
        self.drain(member);
    }

    /// Lets a paused process go on with all that waited for it.
    pub(crate) fn resume(&mut self, member: u16) {
        let late = self.dice.coin();
        let node = &mut self.members[usize::from(member)];
        if !node.paused {
            node.pause_after = None;
            return;
        }
        node.paused = false;
        node.pause_after = None;
        self.trace(|| format!("m{member} resumes"));
        // What it had decided before the pause is carried out first, late as it is.
        self.late = true;
        self.drain(member);
        self.late = false;
        if !late {
            self.timeout(member);
        }
        let waiting = std::mem::take(&mut self.members[usize::from(member)].waiting);
        for input in waiting {
            self.input(member, input);
        }
        self.timeout(member);
    }

    fn timeout(&mut self, member: u16) {
        let node = &mut self.members[usize::from(member)];
        if node.paused {
            return;
        }
        let now = node.local(self.now);
        if let Some(process) = node.process.as_mut() {
            process.handle_timeout(now);
            self.drain(member);
        }
    }

    /// Sets the member's timer to what its process asks for.
    pub(crate) fn arm(&mut self, member: u16) {
        let node = &self.members[usize::from(member)];
        let Some(next) = node.process.as_ref().and_then(Participant::next_timeout) else {
            return;
        };
        if next == Time::NEVER {
            return;
        }
        let mut at = node.clock.true_at(next.0);
        if at <= self.now {
            // A process that asks for the past again and again must not stop the world's time.
            at = self.now + MS / 1_000;
            self.stats.hasty_timers += 1;
            self.trace(|| format!("m{member} asks for a timer at {next} in the past"));
        }
        let node = &mut self.members[usize::from(member)];
        if at < node.timer_at {
            node.timer_at = at;
            self.schedule.push(at, What::Timer { member });
        }
    }

    fn link(&mut self, of: u16, to: u16, fresh: bool) {
        let up = self.members[usize::from(to)].process.is_some()
            && !self.network.is_cut(usize::from(of), usize::from(to))
            && !self.network.is_cut(usize::from(to), usize::from(of));
        let node = &mut self.members[usize::from(of)];
        let before = node.links & (1 << to) != 0;
        if before == up && !(fresh && up) {
            return;
        }
        node.links = if up {
            node.links | 1 << to
        } else {
            node.links & !(1 << to)
        };
        self.input(of, Input::Link(to, up));
    }

    /// Tells the oracle what a witness sees.
    pub(crate) fn see(&mut self, event: Event) {
        self.trace(|| format!("  {event:?}"));
        self.checker.observe(self.now, event);
    }

    /// Notes something for a person, if asked to.
    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>13.6} {}", self.now as f64 / 1e9, line());
        }
    }

    fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }

    /// Stands for the whole run so far: equal for equal seeds.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The instant, in true time.
    #[must_use]
    pub fn now(&self) -> True {
        self.now
    }

    /// The index of a ticket.
    pub(crate) fn ticket(name: &TicketName) -> u16 {
        u16::from(name.0.as_bytes()[1] - b'0')
    }
}

fn stopped_well(report: &ClusterReport) -> Option<(u16, Term, StopId)> {
    match report {
        ClusterReport::Stopped {
            ticket,
            term,
            stop,
            result: Ok(()),
        } => Some((World::ticket(ticket), *term, *stop)),
        _ => None,
    }
}
