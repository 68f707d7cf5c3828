//! What happened in some runs.

use std::fmt;

use crate::nemesis::KINDS;

/// Counts, and a hash of everything that happened in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Things that happened.
    pub events: u64,
    /// Messages delivered, each at each node.
    pub deliveries: u64,
    /// Views installed, each at each node.
    pub views: u64,
    /// Packets sent.
    pub packets: u64,
    /// Packets lost, by chance or by a cut.
    pub lost: u64,
    /// Packets doubled.
    pub duplicated: u64,
    /// Packets that came very late.
    pub late: u64,
    /// Nodes that crashed in the middle of a step of a view change.
    pub step_crashes: u64,
    /// Cuts of the network in the middle of such a step.
    pub step_cuts: u64,
    /// Such steps that came again when they were long over.
    pub step_repeats: u64,
    /// Messages refused because the queue was full.
    pub full_queues: u64,
    /// Nodes with a slow application.
    pub slow_nodes: u64,
    /// Faults by kind.
    pub faults: [u64; 7],
    /// The trace's hash.
    pub hash: u64,
}

impl Report {
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
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.late += other.late;
        self.step_crashes += other.step_crashes;
        self.step_cuts += other.step_cuts;
        self.step_repeats += other.step_repeats;
        self.full_queues += other.full_queues;
        self.slow_nodes += other.slow_nodes;
        for (sum, more) in self.faults.iter_mut().zip(other.faults) {
            *sum += more;
        }
        self.mix(other.hash);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} events, {} deliveries, {} views installed; {} packets ({} lost, {} doubled, {} very \
             late), {} crashes, {} cuts and {} late repetitions in mid-step, {} full \
             queues, {} slow nodes",
            self.events,
            self.deliveries,
            self.views,
            self.packets,
            self.lost,
            self.duplicated,
            self.late,
            self.step_crashes,
            self.step_cuts,
            self.step_repeats,
            self.full_queues,
            self.slow_nodes
        )?;
        let faults: Vec<String> = KINDS
            .iter()
            .zip(self.faults)
            .map(|(kind, count)| format!("{kind:?} {count}"))
            .collect();
        write!(out, "faults: {}", faults.join(", "))
    }
}
