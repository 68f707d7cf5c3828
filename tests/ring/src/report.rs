//! What happened in some runs.

use std::fmt;

use crate::nemesis::KINDS;

/// What is counted beside deliveries, views and the faults of [`crate::nemesis::Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Packets lost, by chance or by a cut.
    Lost,
    /// Packets doubled.
    Doubled,
    /// Packets that come before one that left earlier for the same node.
    Reordered,
    /// Packets that come very late.
    Late,
    /// Processes that died while they sent a `Join`.
    CrashInJoin,
    /// ... a `Propose`.
    CrashInPropose,
    /// ... an `Info`.
    CrashInInfo,
    /// ... a `Plan`.
    CrashInPlan,
    /// ... a `Miss`.
    CrashInMiss,
    /// ... a `Recover`.
    CrashInRecover,
    /// ... a `Recovered`.
    CrashInRecovered,
    /// ... an `Install`.
    CrashInInstall,
    /// Cuts of the network in the middle of such a step.
    StepCut,
    /// Such steps that came again when they were long over.
    StepRepeat,
    /// Processes that started again without memory of the one before.
    LostMemory,
    /// Messages refused because the queue was full.
    FullQueue,
    /// Nodes with a slow application.
    SlowNode,
    /// Nodes whose clock goes faster or slower than the others'.
    SkewedClock,
    /// Lists of nodes that came in force, each at each node.
    ListChanged,
    /// Changes of the list that were refused, the same.
    ListRefused,
}

/// All of them, with their names.
pub const COUNTS: [(Count, &str); 20] = [
    (Count::Lost, "lost packets"),
    (Count::Doubled, "doubled"),
    (Count::Reordered, "reordered"),
    (Count::Late, "very late"),
    (Count::CrashInJoin, "crashes in a join"),
    (Count::CrashInPropose, "in a proposal"),
    (Count::CrashInInfo, "in its answer"),
    (Count::CrashInPlan, "in a plan"),
    (Count::CrashInMiss, "in a request for missing"),
    (Count::CrashInRecover, "in a repair"),
    (Count::CrashInRecovered, "in its end"),
    (Count::CrashInInstall, "in an install"),
    (Count::StepCut, "cuts in mid-step"),
    (Count::StepRepeat, "steps repeated late"),
    (Count::LostMemory, "restarts without memory"),
    (Count::FullQueue, "full queues"),
    (Count::SlowNode, "slow nodes"),
    (Count::SkewedClock, "skewed clocks"),
    (Count::ListChanged, "lists of nodes changed"),
    (Count::ListRefused, "changes refused"),
];

/// Counts, and a hash of everything that happened in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Things that happened.
    pub events: u64,
    /// Messages delivered, each at each node, and judged by every oracle.
    pub deliveries: u64,
    /// Views installed, each at each node.
    pub views: u64,
    /// Packets sent.
    pub packets: u64,
    /// In the order of [`COUNTS`].
    counts: [u64; COUNTS.len()],
    /// Faults by kind.
    pub faults: [u64; KINDS.len()],
    /// The trace's hash.
    pub hash: u64,
}

impl Report {
    /// One more of these.
    pub fn count(&mut self, what: Count) {
        self.counts[what as usize] += 1;
    }

    /// How many there were.
    pub fn of(&self, what: Count) -> u64 {
        self.counts[what as usize]
    }

    /// Kinds of faults that never came, by name.
    pub fn never(&self) -> Vec<String> {
        let counts = COUNTS
            .iter()
            .filter(|(count, _)| self.of(*count) == 0)
            .map(|(_, name)| (*name).to_owned());
        let faults = KINDS
            .iter()
            .zip(self.faults)
            .filter(|(_, count)| *count == 0)
            .map(|(kind, _)| format!("{kind:?}"));
        counts.chain(faults).collect()
    }

    /// Takes one more thing into the hash.
    pub fn mix(&mut self, thing: u64) {
        self.hash = (self.hash ^ thing)
            .wrapping_mul(0x0100_0000_01B3)
            .rotate_left(23);
    }

    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.views += other.views;
        self.packets += other.packets;
        let sums = self.counts.iter_mut().chain(&mut self.faults);
        for (sum, more) in sums.zip(other.counts.iter().chain(&other.faults)) {
            *sum += more;
        }
        self.mix(other.hash);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} deliveries, {} views installed; {} events, {} packets",
            self.deliveries, self.views, self.events, self.packets
        )?;
        let counts: Vec<String> = COUNTS
            .iter()
            .map(|(count, name)| format!("{name} {}", self.of(*count)))
            .collect();
        let faults: Vec<String> = KINDS
            .iter()
            .zip(self.faults)
            .map(|(kind, count)| format!("{kind:?} {count}"))
            .collect();
        write!(out, "{}\nfaults: {}", counts.join(", "), faults.join(", "))
    }
}
