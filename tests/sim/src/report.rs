//! What runs add up to.

use std::fmt::Write as _;

use oracle::{Answer, Ask};

use crate::faults::{Fault, Faults};

/// What happened in one run or in many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events taken from the schedule.
    pub events: u64,
    /// Datagrams delivered to a living process.
    pub messages: u64,
    /// Grants, however they came about.
    pub grants: u64,
    /// Grants by which a ticket was taken over without an operator.
    pub takeovers: u64,
    /// Forced grants.
    pub forced: u64,
    /// Terms that a restarted agent went on with.
    pub resumed: u64,
    /// Leases that ran out.
    pub lapsed: u64,
    /// Releases after a confirmed stop.
    pub released: u64,
    /// Moves rolled back.
    pub rolled_back: u64,
    /// Orders to stop what was left over of an old term.
    pub leftovers: u64,
    /// Holds agreed.
    pub holds: u64,
    /// Lost memories recovered.
    pub memories_recovered: u64,
    /// Alarms raised.
    pub alarms: u64,
    /// Timers that a member asked for in its past: it wants to act and does not.
    pub hasty_timers: u64,
    /// Alarms that say a bug was met.
    pub impossible: u64,
    /// Writes offered to the store that compares terms.
    pub writes: u64,
    /// Of these, refused as stale.
    pub stale_writes: u64,
    /// Simulated time, in nanoseconds.
    pub simulated_ns: u64,
    /// Seeds run.
    pub seeds: u64,
    /// Commands by kind: asked, done, agreed, refused, unknown.
    commands: [[u64; 5]; 5],
}

const KINDS: [&str; 5] = ["grant", "revoke", "move", "standby", "activate"];

fn kind(ask: Ask) -> usize {
    match ask {
        Ask::Grant { .. } => 0,
        Ask::Revoke => 1,
        Ask::Move { .. } => 2,
        Ask::Standby { on: true } => 3,
        Ask::Standby { on: false } => 4,
    }
}

impl Stats {
    pub(crate) fn asked(&mut self, ask: Ask) {
        self.commands[kind(ask)][0] += 1;
    }

    pub(crate) fn answered(&mut self, ask: Option<Ask>, answer: Answer) {
        let column = match answer {
            Answer::Done => 1,
            Answer::Agreed => 2,
            Answer::Refused => 3,
            Answer::Unknown => 4,
        };
        if let Some(ask) = ask {
            self.commands[kind(ask)][column] += 1;
        }
    }

    /// How many commands of a kind (`grant`, `revoke`, `move`, `standby`, `activate`) were done.
    #[must_use]
    pub fn done(&self, name: &str) -> u64 {
        KINDS
            .iter()
            .position(|&one| one == name)
            .map_or(0, |kind| self.commands[kind][1])
    }

    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self
            .numbers_mut()
            .into_iter()
            .zip(other.clone().numbers_mut())
        {
            *mine += *theirs;
        }
        for (mine, theirs) in self.commands.iter_mut().zip(&other.commands) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
    }

    fn numbers_mut(&mut self) -> [&mut u64; 19] {
        [
            &mut self.events,
            &mut self.messages,
            &mut self.grants,
            &mut self.takeovers,
            &mut self.forced,
            &mut self.resumed,
            &mut self.lapsed,
            &mut self.released,
            &mut self.rolled_back,
            &mut self.leftovers,
            &mut self.holds,
            &mut self.memories_recovered,
            &mut self.alarms,
            &mut self.hasty_timers,
            &mut self.impossible,
            &mut self.writes,
            &mut self.stale_writes,
            &mut self.simulated_ns,
            &mut self.seeds,
        ]
    }

    /// The figures as text.
    #[must_use]
    pub fn text(&self, faults: &Faults) -> String {
        let mut text = String::new();
        let hours = self.simulated_ns as f64 / 3.6e12;
        let lines: [(&str, u64); 18] = [
            ("seeds", self.seeds),
            ("events", self.events),
            ("datagrams delivered", self.messages),
            ("grants", self.grants),
            ("  of these takeovers", self.takeovers),
            ("  of these forced", self.forced),
            ("leases run out", self.lapsed),
            ("terms resumed after a restart", self.resumed),
            ("releases after a confirmed stop", self.released),
            ("moves rolled back", self.rolled_back),
            ("orders to stop leftovers", self.leftovers),
            ("holds agreed", self.holds),
            ("lost memories recovered", self.memories_recovered),
            ("alarms", self.alarms),
            ("timers asked for in the past", self.hasty_timers),
            ("alarms that say impossible", self.impossible),
            ("writes to the store with terms", self.writes),
            ("  of these refused as stale", self.stale_writes),
        ];
        let _ = writeln!(text, "{:<44}{hours:>14.1} h", "simulated time");
        for (name, value) in lines {
            let _ = writeln!(text, "{name:<44}{value:>14}");
        }
        let head = ["command", "asked", "done", "agreed", "refused", "unknown"];
        let _ = writeln!(
            text,
            "{:<12}{:>10}{:>10}{:>10}{:>10}{:>10}",
            head[0], head[1], head[2], head[3], head[4], head[5]
        );
        for (name, row) in KINDS.iter().zip(&self.commands) {
            let _ = write!(text, "{name:<12}");
            for value in row {
                let _ = write!(text, "{value:>10}");
            }
            text.push('\n');
        }
        let _ = writeln!(text, "faults");
        for &fault in Fault::ALL {
            let count = faults.of(fault);
            let mark = if count == 0 {
                "  <- never happened"
            } else {
                ""
            };
            let _ = writeln!(text, "  {:<58}{count:>14}{mark}", fault.text());
        }
        text
    }
}
