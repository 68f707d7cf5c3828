//! A small world for tests: members, a network with one delay, disks, and clusters that obey.
//!
//! Everything happens in the order of its time; nothing is random but the members' own back-off,
//! which is seeded. The simulator in `tests/sim` is the thorough one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ticket_protocol::{
    ClusterCommand, ClusterReport, Command, Config, DurableState, Effect, Event, Member, MemberId,
    Message, Outcome, Participant, RequestId, Restored, Role, Term, TicketConfig, TicketName, Time,
    WriteId, wire,
};

pub(crate) const A: MemberId = MemberId(0);
pub(crate) const B: MemberId = MemberId(1);
pub(crate) const ARB: MemberId = MemberId(2);

const DELAY: Duration = Duration::from_millis(5);
const FSYNC: Duration = Duration::from_millis(2);

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[derive(Debug, Clone)]
enum Input {
    Message(MemberId, Box<Message>),
    Written(WriteId, Box<DurableState>),
    Report(ClusterReport),
}

/// What a site's cluster and guard do, as far as the protocol can see.
#[derive(Debug, Default, Clone)]
pub(crate) struct Site {
    pub(crate) running: Option<Term>,
    pub(crate) deadline: Option<Time>,
    /// The highest term that it was ordered anything of: it refuses to stop for a lower one.
    pub(crate) knows: Term,
    /// The guard holds no deadline any more, whatever runs.
    pub(crate) unguarded: bool,
    pub(crate) hold: bool,
    pub(crate) stop_fails: bool,
    pub(crate) stop_hangs: bool,
    pub(crate) grant_fails: bool,
    /// How much longer than usual every answer takes.
    pub(crate) slow: Duration,
    pub(crate) unfit: bool,
    pub(crate) standby: bool,
}

impl Site {
    /// The orders that are not answered.
    fn obey(&mut self, command: ClusterCommand) {
        match command {
            ClusterCommand::Extend { term, deadline, .. } if self.running == Some(term) => {
                self.deadline = Some(deadline);
            }
            ClusterCommand::Withdraw { term, .. } if self.running <= Some(term) => {
                self.running = None;
            }
            ClusterCommand::Activate { term, .. } => self.running = Some(term),
            ClusterCommand::Standby { on, .. } => self.standby = on,
            ClusterCommand::HoldAgreed { .. } => self.hold = true,
            _ => {}
        }
    }
}

pub(crate) struct Node {
    pub(crate) participant: Option<Participant>,
    pub(crate) disk: Option<DurableState>,
    pub(crate) site: Site,
    /// By how much its clock shows more than the world's.
    pub(crate) ahead: Duration,
    life: u64,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) tickets: Vec<TicketConfig>,
    queue: BTreeMap<(Time, u64), (MemberId, u64, Input)>,
    order: u64,
    pub(crate) cuts: BTreeSet<(MemberId, MemberId)>,
    pub(crate) log: Vec<(Time, MemberId, String)>,
    pub(crate) outcomes: BTreeMap<RequestId, Outcome>,
    pub(crate) steps: BTreeMap<RequestId, Vec<Outcome>>,
    next_request: u64,
    arbitrators: usize,
    pub(crate) terms: Vec<Term>,
    pub(crate) bytes: usize,
    pub(crate) sent: usize,
    pub(crate) wakes: usize,
    /// How long a write takes.
    pub(crate) fsync: Duration,
    granted: usize,
}

impl World {
    pub(crate) fn new(tickets: Vec<TicketConfig>) -> Self {
        Self::sized(3, 1, tickets)
    }

    pub(crate) fn sized(members: u16, arbitrators: usize, tickets: Vec<TicketConfig>) -> Self {
        let nodes = (0..members)
            .map(|_| Node {
                participant: None,
                disk: None,
                site: Site::default(),
                ahead: Duration::ZERO,
                life: 0,
            })
            .collect();
        let mut world = Self {
            now: Time(1_000_000_000),
            nodes,
            tickets,
            queue: BTreeMap::new(),
            order: 0,
            cuts: BTreeSet::new(),
            log: Vec::new(),
            outcomes: BTreeMap::new(),
            steps: BTreeMap::new(),
            next_request: 0,
            arbitrators,
            terms: Vec::new(),
            bytes: 0,
            sent: 0,
            wakes: 0,
            fsync: FSYNC,
            granted: 0,
        };
        for m in 0..members {
            world.start(MemberId(m), Restored::Fresh);
        }
        world.run_for(Duration::from_millis(100));
        world
    }

    /// What a member's clock shows.
    fn clock(&self, id: MemberId) -> Time {
        self.now.after(self.nodes[usize::from(id.0)].ahead)
    }

    /// These go on for a while, and nobody else: the others' machines were stopped, and do not know.
    pub(crate) fn go_on(&mut self, members: &[MemberId], span: Duration) {
        for id in members {
            self.nodes[usize::from(id.0)].ahead += span;
        }
    }

    /// A member's real time was set forward.
    pub(crate) fn set_forward(&mut self, id: MemberId) {
        let now = self.clock(id);
        if let Some(p) = &mut self.nodes[usize::from(id.0)].participant {
            p.handle_real_time_set_forward(now);
        }
        self.drain(id);
    }

    pub(crate) fn config(&self, me: MemberId) -> Config {
        let count = self.nodes.len();
        let members = (0..count)
            .map(|m| Member {
                id: MemberId(m as u16),
                name: format!("m{m}"),
                role: if m + self.arbitrators >= count {
                    Role::Arbitrator
                } else {
                    Role::Site
                },
            })
            .collect();
        Config::new("test", me, members, self.tickets.clone())
    }

    pub(crate) fn start(&mut self, id: MemberId, restored: Restored) {
        let seed = 1000 * u64::from(id.0) + self.now.0;
        let participant = Participant::new(self.config(id), restored, self.clock(id), seed)
            .expect("the configuration is good");
        let node = &mut self.nodes[usize::from(id.0)];
        node.participant = Some(participant);
        node.life += 1;
        self.drain(id);
        for other in 0..self.nodes.len() {
            let other = MemberId(other as u16);
            if other != id && !self.cuts.contains(&(id, other)) {
                self.connect(id, other);
                self.connect(other, id);
            }
        }
    }

    /// The link of one member to another is up.
    fn connect(&mut self, of: MemberId, to: MemberId) {
        let now = self.clock(of);
        if let Some(p) = &mut self.nodes[usize::from(of.0)].participant {
            p.handle_connected(now, to);
        }
        self.drain(of);
    }

    pub(crate) fn crash(&mut self, id: MemberId) {
        self.nodes[usize::from(id.0)].participant = None;
        self.nodes[usize::from(id.0)].life += 1;
    }

    pub(crate) fn restart(&mut self, id: MemberId) {
        self.crash(id);
        let restored = match self.nodes[usize::from(id.0)].disk.clone() {
            Some(state) => Restored::State(state),
            None => Restored::Fresh,
        };
        self.start(id, restored);
    }

    pub(crate) fn lose_disk(&mut self, id: MemberId) {
        self.crash(id);
        self.nodes[usize::from(id.0)].disk = None;
        self.start(
            id,
            Restored::Lost {
                reason: "deleted".into(),
            },
        );
    }

    pub(crate) fn cut(&mut self, a: MemberId, b: MemberId) {
        self.cuts.insert((a, b));
        self.cuts.insert((b, a));
    }

    pub(crate) fn isolate(&mut self, a: MemberId) {
        for b in 0..self.nodes.len() {
            self.cut(a, MemberId(b as u16));
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    pub(crate) fn command(&mut self, at: MemberId, command: Command) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let now = self.clock(at);
        if let Some(p) = &mut self.nodes[usize::from(at.0)].participant {
            p.handle_command(now, id, command);
        }
        self.drain(at);
        id
    }

    pub(crate) fn report(&mut self, at: MemberId, report: ClusterReport) {
        let now = self.clock(at);
        if let Some(p) = &mut self.nodes[usize::from(at.0)].participant {
            p.handle_report(now, report);
        }
        self.drain(at);
    }

    pub(crate) fn grant(&mut self, at: MemberId, to: MemberId) -> RequestId {
        let ticket = self.tickets[0].name.clone();
        self.command(
            at,
            Command::Grant {
                ticket,
                to,
                wait: secs(60),
                force: None,
            },
        )
    }

    pub(crate) fn revoke(&mut self, at: MemberId, wait: Duration) -> RequestId {
        let ticket = self.tickets[0].name.clone();
        self.command(at, Command::Revoke { ticket, wait })
    }

    pub(crate) fn move_to(&mut self, at: MemberId, to: MemberId) -> RequestId {
        let ticket = self.tickets[0].name.clone();
        self.command(
            at,
            Command::Move {
                ticket,
                to,
                wait: secs(20),
            },
        )
    }

    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now.after(span);
        self.run_until(end, |_| false);
    }

    pub(crate) fn run_while_pending(&mut self, id: RequestId) -> Outcome {
        let end = self.now.after(secs(120));
        self.run_until(end, |world| world.outcomes.contains_key(&id));
        self.outcomes
            .get(&id)
            .cloned()
            .unwrap_or_else(|| panic!("no outcome\n{}", self.story()))
    }

    pub(crate) fn run_until(&mut self, end: Time, done: impl Fn(&Self) -> bool) {
        let mut steps = 0;
        while !done(self) {
            steps += 1;
            assert!(
                steps < 2_000_000,
                "the world does not come to rest\n{}",
                self.story()
            );
            let timer = (0..self.nodes.len())
                .filter_map(|m| {
                    let p = self.nodes[m].participant.as_ref()?;
                    let left = p
                        .next_timeout()?
                        .since(Time::ZERO.after(self.nodes[m].ahead));
                    let at = Time::ZERO.after(left).max(self.now);
                    Some((at, MemberId(m as u16)))
                })
                .min();
            let event = self.queue.first_key_value().map(|(&(time, _), _)| time);
            match (event, timer) {
                (Some(event), timer) if timer.is_none_or(|(at, _)| event <= at) && event <= end => {
                    let ((time, _), (to, life, input)) =
                        self.queue.pop_first().expect("it was looked at");
                    self.now = time;
                    self.deliver(to, life, input);
                }
                (_, Some((at, member))) if at <= end => {
                    self.now = at;
                    let at = self.clock(member);
                    if let Some(p) = &mut self.nodes[usize::from(member.0)].participant {
                        p.handle_timeout(at);
                    }
                    self.drain(member);
                    if let Some(p) = &self.nodes[usize::from(member.0)].participant {
                        let next = p.next_timeout().unwrap_or(Time::NEVER);
                        assert!(
                            next > at,
                            "a timer that stays in the past\n{}",
                            self.story()
                        );
                        self.wakes += 1;
                    }
                }
                _ => break,
            }
            self.enforce();
            self.check();
        }
        if !done(self) {
            self.now = self.now.max(end);
            self.enforce();
        }
    }

    fn deliver(&mut self, to: MemberId, life: u64, input: Input) {
        let now = self.clock(to);
        let node = &mut self.nodes[usize::from(to.0)];
        if node.life != life {
            return;
        }
        if let Input::Written(_, state) = &input {
            node.disk = Some((**state).clone());
        }
        let Some(p) = &mut node.participant else {
            return;
        };
        match input {
            Input::Message(from, message) => p.handle_message(now, from, *message),
            Input::Written(id, _) => p.handle_written(now, id, Ok(())),
            Input::Report(report) => p.handle_report(now, report),
        }
        self.drain(to);
    }

    fn push(&mut self, after: Duration, to: MemberId, input: Input) {
        self.order += 1;
        let life = self.nodes[usize::from(to.0)].life;
        self.queue
            .insert((self.now.after(after), self.order), (to, life, input));
    }

    fn drain(&mut self, id: MemberId) {
        loop {
            let Some(p) = &mut self.nodes[usize::from(id.0)].participant else {
                return;
            };
            let Some(effect) = p.poll_effect() else {
                return;
            };
            match effect {
                Effect::Send { to, message } => {
                    let bytes = wire::encode_message(&message);
                    assert!(bytes.len() <= 1200, "{} bytes: {message:?}", bytes.len());
                    self.bytes += bytes.len();
                    self.sent += 1;
                    let message =
                        wire::decode_message(&bytes).expect("what was encoded is decoded");
                    if !self.cuts.contains(&(id, to)) {
                        self.push(DELAY, to, Input::Message(id, Box::new(message)));
                    }
                }
                Effect::Write { id: write, state } => {
                    self.push(self.fsync, id, Input::Written(write, Box::new(state)));
                }
                Effect::Cluster(command) => {
                    self.log.push((self.now, id, format!("{command:?}")));
                    self.obey(id, command);
                }
                Effect::Reply {
                    id: request,
                    outcome,
                } => {
                    self.log
                        .push((self.now, id, format!("{request:?} {outcome:?}")));
                    if outcome.is_final() {
                        let twice = self.outcomes.insert(request, outcome);
                        assert!(twice.is_none(), "two outcomes of {request:?}");
                    } else {
                        self.steps.entry(request).or_default().push(outcome);
                    }
                }
                Effect::Event(event) => {
                    if let Event::Granted { .. } = &event {
                        self.granted += 1;
                    }
                    if let Event::Granted { term, .. } = &event
                        && self.tickets.len() == 1
                    {
                        assert!(
                            self.terms.iter().all(|last| last < term),
                            "terms grow\n{}",
                            self.story()
                        );
                        self.terms.push(*term);
                    }
                    self.log.push((self.now, id, format!("{event:?}")));
                }
            }
        }
    }

    fn obey(&mut self, id: MemberId, command: ClusterCommand) {
        let site = &mut self.nodes[usize::from(id.0)].site;
        let refuse = |no: bool, why: &str| if no { Err(why.to_owned()) } else { Ok(()) };
        let report = match command {
            ClusterCommand::Grant {
                ticket,
                term,
                deadline,
                ..
            } => {
                let result = refuse(site.grant_fails, "no");
                if result.is_ok() {
                    site.running = Some(term);
                    site.deadline = deadline;
                    site.knows = site.knows.max(term);
                }
                ClusterReport::Granted {
                    ticket,
                    term,
                    result,
                }
            }
            ClusterCommand::Stop {
                ticket, term, stop, ..
            } => {
                if site.stop_hangs {
                    return;
                }
                let result = refuse(site.stop_fails || term < site.knows, "busy");
                site.knows = site.knows.max(term);
                if result.is_ok() {
                    site.running = None;
                }
                ClusterReport::Stopped {
                    ticket,
                    term,
                    stop,
                    result,
                }
            }
            ClusterCommand::Check { ticket, check } => {
                let result = refuse(site.unfit, "no agent");
                ClusterReport::Checked {
                    ticket,
                    check,
                    result,
                }
            }
            ClusterCommand::Recall { ticket } => {
                let held = site
                    .running
                    .filter(|_| !site.unguarded)
                    .map(|term| (term, site.deadline.unwrap_or(Time::NEVER)));
                let quiet = site.running.is_none();
                ClusterReport::Recalled {
                    ticket,
                    held,
                    release_begun: false,
                    quiet,
                }
            }
            unanswered => return site.obey(unanswered),
        };
        let after = Duration::from_millis(50) + site.slow;
        self.push(after, id, Input::Report(report));
    }

    /// The guards.
    fn enforce(&mut self) {
        let now = self.now;
        for node in &mut self.nodes {
            let now = now.after(node.ahead);
            if node.site.deadline.is_some_and(|end| end <= now) && !node.site.hold {
                node.site.running = None;
            }
        }
    }

    /// At most one site runs.
    fn check(&self) {
        if self.tickets.len() == 1 {
            let running = self
                .nodes
                .iter()
                .filter(|node| node.site.running.is_some())
                .count();
            assert!(running <= 1, "two run\n{}", self.story());
        }
    }

    pub(crate) fn running(&self) -> Option<MemberId> {
        let m = self
            .nodes
            .iter()
            .position(|node| node.site.running.is_some())?;
        Some(MemberId(m as u16))
    }

    pub(crate) fn terms_of_all(&self) -> usize {
        self.granted
    }

    pub(crate) fn view(&self, at: MemberId) -> ticket_protocol::View {
        self.nodes[usize::from(at.0)]
            .participant
            .as_ref()
            .expect("it runs")
            .view(self.clock(at))
    }

    pub(crate) fn story(&self) -> String {
        let mut story = String::new();
        for (time, member, what) in &self.log {
            story.push_str(&format!("{time} {member} {what}\n"));
        }
        story.push_str(&format!("now {}\n", self.now));
        story
    }
}

pub(crate) fn ticket() -> TicketName {
    "db".into()
}

pub(crate) fn auto() -> Vec<TicketConfig> {
    vec![TicketConfig::auto("db", secs(6), secs(4))]
}

pub(crate) fn done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done { .. })
}
