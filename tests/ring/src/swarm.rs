//! Which faults a seed has, and how strong: every seed another mixture (swarm testing).

use std::time::Duration;

use crate::random::Random;

/// One run's settings.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Nodes of the site.
    pub nodes: u32,
    /// Lost packets, per mille.
    pub loss: u64,
    /// Doubled packets, per mille.
    pub duplication: u64,
    /// Least and greatest delay; their difference is the reordering.
    pub delay: (Duration, Duration),
    /// Packets that come very late, up to [`crate::nemesis::LATE_MAX`], per 100,000.
    pub late: u64,
    /// Packets that come late, about as late as a view change takes, per 100,000: what was sent in a
    /// view arrives when its members have told each other what they hold.
    pub straggle: u64,
    /// Crashes of a node while it sends a step of a view change, per mille.
    pub step_crash: u64,
    /// Cuts of the network while a node sends such a step, per mille.
    pub step_cut: u64,
    /// Such steps that come once more when they are long over, per mille.
    pub step_again: u64,
    /// Between two faults of the kinds below, on average.
    pub fault_every: Duration,
    /// Weights of the kinds, in the order of [`crate::nemesis::Kind`].
    pub weights: [u64; 7],
    /// Sequence numbers in use at once.
    pub window: u64,
    /// Between two messages of one node, on average.
    pub send_every: Duration,
    /// Share of safe messages, per mille.
    pub safe: u64,
    /// Longest message in bytes.
    pub message_bytes: u64,
    /// Nodes whose application takes its deliveries slowly, per mille.
    pub slow: u64,
    /// How long faults go on before everything heals.
    pub faulty_for: Duration,
}

impl Swarm {
    /// The mixture of a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x7EA7);
        let nodes = match random.below(20) {
            0 => 1,
            1..=3 => 2,
            4..=9 => 3,
            10..=15 => 4 + random.below(4) as u32,
            16..=18 => 8 + random.below(8) as u32,
            _ => 16 + random.below(17) as u32,
        };
        let mut weights = [0; 7];
        for weight in &mut weights {
            *weight = if random.chance(650) {
                1 + random.below(5)
            } else {
                0
            };
        }
        let jitter = [1, 5, 30, 60][random.below(4) as usize];
        let large = random.chance(250);
        Self {
            nodes,
            loss: if random.chance(600) {
                random.below(300)
            } else {
                0
            },
            duplication: if random.chance(500) {
                random.below(200)
            } else {
                0
            },
            delay: (Duration::from_micros(100), Duration::from_millis(jitter)),
            late: if random.chance(400) {
                1 + random.below(500)
            } else {
                0
            },
            straggle: if random.chance(400) {
                1 + random.below(15_000)
            } else {
                0
            },
            step_crash: if random.chance(300) {
                1 + random.below(50)
            } else {
                0
            },
            step_cut: if random.chance(500) {
                1 + random.below(150)
            } else {
                0
            },
            step_again: if random.chance(500) {
                1 + random.below(700)
            } else {
                0
            },
            fault_every: Duration::from_millis(200 + random.below(2_500)),
            weights,
            window: [64, 64, 300, 2_048][random.below(4) as usize],
            send_every: Duration::from_micros(
                (3_000 + random.below(30_000)) * u64::from(nodes) / 3,
            ),
            safe: [0, 300, 1_000][random.below(3) as usize],
            message_bytes: if large { 60_000 } else { 200 },
            slow: if random.chance(300) { 300 } else { 0 },
            faulty_for: Duration::from_secs(8 + random.below(12)),
        }
    }
}
