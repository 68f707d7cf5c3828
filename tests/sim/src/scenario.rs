//! Named scenarios: the ways in which booth granted one ticket to two sites (D1 to D8), and what
//! Interlock does instead. The same oracles judge them; each also says what must have happened.

use oracle::{Ask, Violation};
use ticket_protocol::{Outcome, PhaseKind, Rules};

use crate::faults::Fault;
use crate::nemesis::Act;
use crate::plan::{ClusterPlan, KILL_SLACK_NS, MS, Plan, S, TicketPlan};
use crate::traps::Trap;
use crate::world::World;

/// A scenario.
pub struct Scenario {
    /// `D1` to `D8`.
    pub name: &'static str,
    /// What happens, in one line.
    pub title: &'static str,
    ticket: fn() -> TicketPlan,
    act: fn(&mut Script),
}

/// What a scenario came to.
#[derive(Clone, Debug)]
pub struct Played {
    /// Broken invariants.
    pub violations: Vec<Violation>,
    /// What should have happened and did not.
    pub missed: Vec<String>,
}

impl Scenario {
    /// Plays it.
    #[must_use]
    pub fn play(&self, trace: bool) -> Played {
        let mut plan = Plan::calm(1);
        plan.tickets = vec![(self.ticket)()];
        let mut script = Script {
            world: World::new(plan, Rules::default(), trace),
            missed: vec![],
        };
        script.world.run_for(S);
        (self.act)(&mut script);
        let mut world = script.world;
        world.checker.finish(world.now);
        let violations = world.checker.violations().list().to_vec();
        Played {
            violations,
            missed: script.missed,
        }
    }
}

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "D1",
        title: "the holder is cut off right after its renewal was answered",
        ticket: || TicketPlan::auto(10 * S, S),
        act: cut_after_acks,
    },
    Scenario {
        name: "D2",
        title: "the arbitrator restarts, again and again, while the sites are cut off each other",
        ticket: || TicketPlan::auto(20 * S, S),
        act: arbitrator_restarts,
    },
    Scenario {
        name: "D3",
        title: "cluster commands hang for half a minute at the holder",
        ticket: || TicketPlan::auto(10 * S, 2 * S),
        act: cluster_hangs,
    },
    Scenario {
        name: "D4",
        title: "the cluster command of a revoke fails",
        ticket: || TicketPlan::auto(10 * S, 2 * S),
        act: revoke_fails,
    },
    Scenario {
        name: "D5",
        title: "the holder's agent dies, is paused, or dies together with its stack",
        ticket: || TicketPlan::auto(10 * S, 2 * S),
        act: agent_dies,
    },
    Scenario {
        name: "D6",
        title: "real time steps back an hour while the isolated holder restarts",
        ticket: || TicketPlan::auto(10 * S, 2 * S),
        act: time_steps,
    },
    Scenario {
        name: "D7",
        title: "a planned move starts nothing before the stop is confirmed",
        ticket: || TicketPlan::auto(10 * S, 15 * S),
        act: planned_move,
    },
    Scenario {
        name: "D8",
        title: "a manual ticket is granted on both sides of a partition",
        ticket: TicketPlan::manual,
        act: manual_on_both_sides,
    },
];

/// A scenario under way. Members 0 and 1 are sites, 2 is the arbitrator; one ticket.
struct Script {
    world: World,
    missed: Vec<String>,
}

impl Script {
    fn expect(&mut self, good: bool, what: &str) {
        if !good {
            let at = self.world.now as f64 / 1e9;
            self.missed.push(format!("{what} (at {at:.3} s)"));
        }
    }

    /// Gives a command and waits for its final answer.
    fn command(&mut self, member: u16, ask: Ask) -> Option<Outcome> {
        self.world.ask(member, 0, ask, 20 * S);
        let end = self.world.now + 21 * S;
        while self.world.operator.last.is_none() && self.world.now < end {
            self.world.run_for(10 * MS);
        }
        self.world.operator.last.take()
    }

    fn granted_to_first(&mut self) {
        let outcome = self.command(0, Ask::Grant { to: 0 });
        self.expect(
            matches!(outcome, Some(Outcome::Done { .. })),
            "the first grant is done",
        );
        self.world.run_for(5 * S);
        self.expect_at(0);
    }

    fn expect_at(&mut self, site: u16) {
        let held = self.world.holds(site, 0);
        let runs = self.runs(site);
        self.expect(
            held && runs,
            &format!("site {site} holds the ticket and runs it"),
        );
    }

    fn runs(&self, site: u16) -> bool {
        !self.world.sites[usize::from(site)].gates[0].quiet()
    }

    /// Runs until the other site has taken over, at most until lease and wait are over and 2 s.
    fn expect_takeover(&mut self, to: u16) {
        let ticket = &self.world.plan.tickets[0];
        let end = self.world.now + ticket.lease_ns + ticket.acquire_after_ns + 2 * S;
        while !(self.world.holds(to, 0) && self.runs(to)) && self.world.now < end {
            self.world.run_for(10 * MS);
        }
        self.expect_at(to);
        self.expect(!self.runs(1 - to), "nothing runs at the other site");
    }
}

fn cut_after_acks(script: &mut Script) {
    for answered in [true, false] {
        let holder = if answered { 0 } else { 1 };
        if answered {
            script.granted_to_first();
        }
        script.world.trap = Some(Trap::Renewal { holder, answered });
        script.world.plan.nemesis_lasts_ns = 20 * S;
        while script.world.trap.is_some() {
            script.world.run_for(10 * MS);
        }
        script.expect(
            script.world.faults.of(Fault::CutAfterAcks) > 0,
            "the cut was made",
        );
        script
            .world
            .network
            .cut(usize::from(holder), 1 - usize::from(holder));
        script.world.network.cut(usize::from(holder), 2);
        script.expect_takeover(1 - holder);
        script.world.run_for(60 * S);
        script.world.mend(0, 1);
        script.world.mend(holder, 2);
        script.world.run_for(20 * S);
        script.expect_at(1 - holder);
    }
}

fn arbitrator_restarts(script: &mut Script) {
    script.granted_to_first();
    script.world.cut(0, 1, 300 * S);
    for _ in 0..10 {
        script.world.run_for(7 * S);
        script.world.kill(2, None);
        script.world.run_for(100 * MS);
        script.world.start(2);
    }
    script.world.run_for(30 * S);
    script.expect_at(0);
    script.expect(
        !script.world.holds(1, 0),
        "the site that is cut off got nothing",
    );
}

fn cluster_hangs(script: &mut Script) {
    script.granted_to_first();
    script.world.plan.cluster.hang_ppm = 1_000_000;
    script.world.run_for(30 * S);
    script.world.plan.cluster.hang_ppm = 0;
    script.world.run_for(40 * S);
    let holders = (0..2).filter(|&site| script.world.holds(site, 0)).count();
    script.expect(holders == 1, "one site holds the ticket after the hang");
}

fn revoke_fails(script: &mut Script) {
    script.granted_to_first();
    script.world.plan.cluster.fail_ppm = 1_000_000;
    script.world.ask(1, 0, Ask::Revoke, 5 * S);
    script.world.run_for(4 * S);
    let done = matches!(script.world.operator.last, Some(Outcome::Done { .. }));
    script.expect(!(done && script.runs(0)), "no revoke is done while it runs");
    script.world.run_for(2 * S);
    let told = script.world.operator.last.take();
    script.expect(told.is_some(), "the operator is told within the wait");
    script.world.plan.cluster = ClusterPlan::FINE;
    script.world.run_for(60 * S);
    script.expect(
        !script.runs(0) && !script.runs(1),
        "a revoked ticket runs nowhere",
    );
    let (phase, _) = script.world.seen_by(1, 0);
    script.expect(phase == PhaseKind::Revoked, "it stays revoked");
}

fn agent_dies(script: &mut Script) {
    script.granted_to_first();
    script.world.kill(0, None);
    script.expect_takeover(1);
    script.world.start(0);
    script.world.run_for(10 * S);
    script.world.members[1].paused = true;
    script.expect_takeover(0);
    script.world.resume(1);
    script.world.run_for(10 * S);
    script.expect_at(0);
    script.world.kill_stack(0);
    script.world.kill(0, None);
    script.expect_takeover(1);
    let killed = script.world.faults.of(Fault::GuardKill);
    script.expect(
        killed > 0,
        "the guard ended what nobody else was there to end",
    );
    script.world.start(0);
    script.world.stack_back(0);
    script.world.run_for(10 * S);
    script.expect_at(1);
}

fn time_steps(script: &mut Script) {
    script.granted_to_first();
    script.world.isolate(0, 120 * S);
    script.world.run_for(S);
    script.world.kill(0, None);
    script.world.run_for(100 * MS);
    script.world.start(0);
    script.world.run_for(100 * MS);
    script.world.strike_time(0);
    script.expect_takeover(1);
    script.world.run_for(130 * S);
    script.expect_at(1);
}

fn planned_move(script: &mut Script) {
    script.world.plan.cluster.stop_ns = 3 * S;
    script.granted_to_first();
    let outcome = script.command(1, Ask::Move { to: 1 });
    script.expect(
        matches!(outcome, Some(Outcome::Done { .. })),
        "the move is done",
    );
    script.world.run_for(S);
    script.expect_at(1);
    script.expect(
        script.world.stats.takeovers == 0,
        "a move does not wait for a lease",
    );
    let (standby, _) = (script.world.sites[0].gates[0].standby(), ());
    script.expect(!standby, "no standby is left behind");
    // The same with a stop that never ends by itself: the move is rolled back or refused.
    script.world.plan.cluster.stop_hang_ppm = 1_000_000;
    let outcome = script.command(0, Ask::Move { to: 0 });
    script.expect(
        !matches!(outcome, Some(Outcome::Done { .. })),
        "no move without a stop",
    );
    script.expect(
        !script.runs(0),
        "nothing was started beside what does not stop",
    );
    script.later_cleanup();
}

impl Script {
    fn later_cleanup(&mut self) {
        self.world.plan.cluster = ClusterPlan::FINE;
        self.world.gate(1, 0, |gate, around| gate.clean_up(around));
        self.world.run_for(60 * S + KILL_SLACK_NS);
        let holders = (0..2).filter(|&site| self.world.holds(site, 0)).count();
        self.expect(holders == 1, "one site holds the ticket in the end");
    }
}

fn manual_on_both_sides(script: &mut Script) {
    script.granted_to_first();
    script.world.cut(0, 1, 200 * S);
    script.world.cut(0, 2, 200 * S);
    let outcome = script.command(1, Ask::Grant { to: 1 });
    script.expect(
        !matches!(outcome, Some(Outcome::Done { .. })),
        "no plain grant elsewhere",
    );
    let outcome = script.command(0, Ask::Grant { to: 0 });
    script.expect(outcome.is_some(), "every command is answered");
    script.world.run_for(60 * S);
    script.expect(!script.runs(1), "the other side runs nothing");
    script.expect(script.runs(0), "the holder runs on");
    script.world.later(0, Act::Mend { a: 0, b: 2 });
    script.world.later(0, Act::Mend { a: 0, b: 1 });
    script.world.run_for(10 * S);
    let outcome = script.command(0, Ask::Move { to: 1 });
    script.expect(
        matches!(outcome, Some(Outcome::Done { .. })),
        "a move works once healed",
    );
    script.expect_at(1);
}
