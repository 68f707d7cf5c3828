//! Faults: what is broken when, and its healing.

use std::time::Duration;

use crate::random::Random;
use crate::swarm::Swarm;

/// The kinds of faults beside loss, duplication and reordering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The nodes fall into two halves.
    Split,
    /// One node hears nobody, or is heard by nobody.
    OneWay,
    /// One pair of nodes is cut.
    Pair,
    /// A link goes up and down.
    Flap,
    /// A node stops for a while and goes on.
    Pause,
    /// A node stops for a while, and its clock with it.
    Freeze,
    /// A node leaves in good order and comes back later, without memory.
    Leave,
    /// Somebody asks for a node more or less in the list of nodes.
    Reconfigure,
    /// A node's process dies and comes back without memory.
    Crash,
    /// Everything heals.
    Heal,
}

/// All of them, in the order of the weights.
pub const KINDS: [Kind; 10] = [
    Kind::Split,
    Kind::OneWay,
    Kind::Pair,
    Kind::Flap,
    Kind::Pause,
    Kind::Freeze,
    Kind::Leave,
    Kind::Reconfigure,
    Kind::Crash,
    Kind::Heal,
];

/// Which directed pairs are cut: `cut[from][to]`.
#[derive(Clone, Debug)]
pub struct Cuts(Vec<Vec<bool>>);

impl Cuts {
    /// Nothing is cut.
    pub fn none(nodes: usize) -> Self {
        Self(vec![vec![false; nodes]; nodes])
    }

    /// Does a packet pass?
    pub fn passes(&self, from: usize, to: usize) -> bool {
        !self.0[from][to]
    }

    /// Heals everything.
    pub fn heal(&mut self) {
        self.0.iter_mut().flatten().for_each(|cut| *cut = false);
    }

    /// Cuts one direction, or heals it.
    pub fn set(&mut self, from: usize, to: usize, cut: bool) {
        self.0[from][to] = cut;
    }

    /// Cuts both directions, or heals them.
    pub fn set_both(&mut self, one: usize, other: usize, cut: bool) {
        self.set(one, other, cut);
        self.set(other, one, cut);
    }

    /// Two sides, by the bits of `mask`.
    pub fn split(&mut self, mask: u64) {
        for one in 0..self.0.len() {
            for other in 0..self.0.len() {
                if (mask >> one) & 1 != (mask >> other) & 1 {
                    self.set(one, other, true);
                }
            }
        }
    }
}

/// The next fault's kind.
pub fn choose(random: &mut Random, swarm: &Swarm) -> Kind {
    let total: u64 = swarm.weights.iter().sum();
    let mut at = random.below(total.max(1));
    for (kind, weight) in KINDS.into_iter().zip(swarm.weights) {
        if at < weight {
            return kind;
        }
        at -= weight;
    }
    Kind::Heal
}

/// How late a very late packet may come.
pub const LATE_MAX: Duration = Duration::from_secs(3);

/// How late a straggler may come: detection and a view change.
pub const STRAGGLE_MAX: Duration = Duration::from_millis(500);

/// How long a pause or a crash lasts: often just around the detection time, where it is delicate.
pub fn outage(random: &mut Random) -> Duration {
    match random.below(3) {
        0 => random.between(Duration::from_millis(1), Duration::from_millis(200)),
        1 => random.between(Duration::from_millis(200), Duration::from_millis(700)),
        _ => random.between(Duration::from_millis(700), Duration::from_secs(4)),
    }
}
