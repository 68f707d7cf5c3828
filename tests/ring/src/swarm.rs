//! Which faults a seed has, and how strong: every seed another mixture (swarm testing).

use std::time::Duration;

use crate::nemesis::{KINDS, Kind};
use crate::random::Random;

/// What a seed is rich in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Some traffic, some faults.
    Mixed,
    /// One fault after the other, little traffic: many view changes.
    Storm,
    /// Many small messages in each packet, as busy applications send them; few faults.
    Heavy,
}

/// One run's settings.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// What it is rich in.
    pub style: Style,
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
    pub weights: [u64; KINDS.len()],
    /// Sequence numbers in use at once.
    pub window: u64,
    /// Between two times that one node sends, on average.
    pub send_every: Duration,
    /// Messages at such a time.
    pub burst: u64,
    /// Share of safe messages, per mille.
    pub safe: u64,
    /// Longest message in bytes, beside its header.
    pub message_bytes: u64,
    /// Nodes whose application takes its deliveries slowly, per mille.
    pub slow: u64,
    /// Clocks' rates differ by so much from the true one, in parts per million.
    pub skew: u64,
    /// How long faults go on before everything heals.
    pub faulty_for: Duration,
}

impl Swarm {
    /// The mixture of a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x7EA7);
        let style = match seed % 16 {
            2 => Style::Heavy,
            rest if rest % 2 == 0 => Style::Mixed,
            _ => Style::Storm,
        };
        let mut swarm = Self::mixed(&mut random);
        match style {
            Style::Mixed => {}
            Style::Storm => swarm.storm(&mut random),
            Style::Heavy => swarm.heavy(&mut random),
        }
        swarm.style = style;
        // The list of nodes changes in seeds in which no memory is lost: see `membership::Roster`.
        let weight = |kind| KINDS.iter().position(|one| *one == kind).unwrap_or(0);
        if random.chance(300) {
            swarm.step_crash = 0;
            for kind in [Kind::Crash, Kind::Leave] {
                swarm.weights[weight(kind)] = 0;
            }
        } else {
            swarm.weights[weight(Kind::Reconfigure)] = 0;
        }
        swarm
    }

    fn mixed(random: &mut Random) -> Self {
        let nodes = match random.below(20) {
            0 => 1,
            1..=3 => 2,
            4..=9 => 3,
            10..=15 => 4 + random.below(4) as u32,
            16..=18 => 8 + random.below(8) as u32,
            _ => 16 + random.below(17) as u32,
        };
        let mut weights = [0; KINDS.len()];
        for weight in &mut weights {
            *weight = random.sometimes(650, |random| 1 + random.below(5));
        }
        let jitter = [1, 5, 30, 60][random.below(4) as usize];
        let large = random.chance(250);
        Self {
            style: Style::Mixed,
            nodes,
            loss: random.sometimes(600, |random| random.below(301)),
            duplication: random.sometimes(500, |random| random.below(200)),
            delay: (Duration::from_micros(100), Duration::from_millis(jitter)),
            late: random.sometimes(400, |random| 1 + random.below(500)),
            straggle: random.sometimes(400, |random| 1 + random.below(15_000)),
            step_crash: random.sometimes(300, |random| 1 + random.below(50)),
            step_cut: random.sometimes(500, |random| 1 + random.below(150)),
            step_again: random.sometimes(500, |random| 1 + random.below(700)),
            fault_every: Duration::from_millis(200 + random.below(2_500)),
            weights,
            window: [64, 64, 300, 2_048][random.below(4) as usize],
            send_every: Duration::from_micros(
                (3_000 + random.below(30_000)) * u64::from(nodes) / 3,
            ),
            burst: 1,
            safe: [0, 300, 1_000][random.below(3) as usize],
            message_bytes: if large { 60_000 } else { 200 },
            slow: if random.chance(300) { 300 } else { 0 },
            skew: random.sometimes(400, |random| random.below(10_000)),
            faulty_for: Duration::from_secs(8 + random.below(12)),
        }
    }

    fn storm(&mut self, random: &mut Random) {
        if self.nodes > 7 {
            self.nodes = 2 + random.below(6) as u32;
        }
        self.fault_every = Duration::from_millis(50 + random.below(400));
        self.send_every = Duration::from_micros(20_000 + random.below(80_000));
        self.message_bytes = 200;
        self.faulty_for = Duration::from_secs(30 + random.below(60));
    }

    fn heavy(&mut self, random: &mut Random) {
        self.nodes = match random.below(4) {
            0 => 3 + random.below(5) as u32,
            1 | 2 => 8 + random.below(9) as u32,
            _ => 16 + random.below(17) as u32,
        };
        self.loss = random.sometimes(500, |random| random.below(60));
        self.duplication = random.sometimes(300, |random| random.below(50));
        self.fault_every = Duration::from_millis(1_000 + random.below(3_000));
        self.window = [64, 300, 2_048][random.below(3) as usize];
        self.burst = 100 + random.below(300);
        self.send_every =
            Duration::from_millis((20 + random.below(40)) * u64::from(self.nodes) / 8);
        self.message_bytes = 1 + random.below(30);
        self.slow = if random.chance(200) { 200 } else { 0 };
        self.faulty_for = Duration::from_secs(3 + random.below(4));
    }
}
