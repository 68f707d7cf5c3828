//! The nodes of a site in one process under virtual time: membership and order, with every fault.
//!
//! One seed is one run, exactly: [`run_seed`]. The command `ring-sim` runs many of them, runs each
//! twice, or removes the safety rules one at a time to see each missed.

mod faults;
mod host;
pub mod nemesis;
pub mod oracle;
mod random;
mod report;
mod swarm;
mod verdict;
mod world;

pub use membership::Weakness;
pub use random::Random;
pub use report::{COUNTS, Count, Report};
pub use swarm::{Style, Swarm};
pub use world::World;

/// The rules that can be removed, with their names.
pub const RULES: [(&str, Weakness); 10] = [
    ("safe waits for all", Weakness::SafeWaits),
    ("held is fixed once told", Weakness::Freeze),
    ("missing is fetched first", Weakness::Fetch),
    ("behind a gap only companions", Weakness::Gap),
    ("a failed recovery binds", Weakness::Obligation),
    ("only newer proposals", Weakness::Promise),
    ("incarnation in the view's name", Weakness::ViewIncarnation),
    ("what a view change cuts is sent whole", Weakness::Whole),
    ("acknowledge without gap", Weakness::Contiguous),
    ("a new process is another member", Weakness::Restarted),
];

/// One seed's run: what happened, and the first breach if there was one.
pub fn run_seed(seed: u64, weakness: Option<Weakness>) -> (Report, Option<String>) {
    let mut world = World::new(seed, weakness);
    let breach = world.run().err();
    (world.report, breach)
}
