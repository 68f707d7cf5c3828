//! One run of one seed: a storm, then healing, then the judgement.

use oracle::{Event, Violation};
use ticket_protocol::{PhaseKind, Rules, Voting};

use crate::faults::Faults;
use crate::plan::Plan;
use crate::report::Stats;
use crate::world::World;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Result {
    /// Its seed.
    pub seed: u64,
    /// Stands for everything that happened.
    pub hash: u64,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// What happened.
    pub stats: Stats,
    /// What went wrong on purpose.
    pub faults: Faults,
}

/// Runs one seed. `stop_at_first` ends it at the first violation.
#[must_use]
pub fn run(plan: Plan, rules: Rules, stop_at_first: bool, trace: bool) -> Result {
    let seed = plan.seed;
    let storm_ns = plan.storm_ns;
    let calm_ns = Plan::calm_ns(plan.longest_ns());
    let mut world = World::new(plan, rules, trace);
    world.operator.stop_at_first = stop_at_first;
    world.begin();
    world.run_for(storm_ns);
    if world.checker.violations().is_empty() || !stop_at_first {
        world.heal();
        world.run_for(calm_ns);
        world.excuse();
    }
    world.end(seed)
}

impl World {
    /// Tells the oracle which tickets need no holder: what a majority of views says of them.
    pub(crate) fn excuse(&mut self) {
        let voting = self
            .members
            .iter()
            .filter_map(|node| {
                let view = node.process.as_ref()?.view(node.local(self.now));
                (view.voting == Voting::Yes).then_some(())
            })
            .count();
        let blocked = voting < self.members.len() / 2 + 1;
        for ticket in 0..self.names.len() as u16 {
            let excused = (0..self.members.len() as u16).filter(|&member| {
                let (phase, standby) = self.seen_by(member, ticket);
                let idle = [PhaseKind::None, PhaseKind::Revoking, PhaseKind::Revoked];
                idle.contains(&phase) || standby
            });
            let excused = excused.count() > self.members.len() / 2;
            if excused || blocked {
                self.see(Event::Excused { ticket });
            }
        }
    }

    /// The judgement.
    pub(crate) fn end(mut self, seed: u64) -> Result {
        self.checker.finish(self.now);
        self.stats.seeds = 1;
        self.stats.simulated_ns = self.now;
        let mut violations = self.checker.violations().list().to_vec();
        if let Some(what) = self.impossible.clone() {
            violations.push(Violation {
                invariant: "impossible",
                at: self.now,
                ticket: 0,
                what,
            });
        }
        Result {
            seed,
            hash: self.hash(),
            violations,
            stats: self.stats,
            faults: self.faults,
        }
    }
}
