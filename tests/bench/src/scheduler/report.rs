//! The table.

use std::fmt;

use conformance::PairDifference;

use super::program::Run;

/// At most this share of Debian's memory.
const MEMORY_GOAL: f64 = 1.0 / 3.0;

/// Twice the nodes or groups cost at most this many times the processor time.
const DOUBLE_GOAL: f64 = 2.5;

/// Profiling takes at most this share of Debian's processor time.
const PROFILE_GOAL: f64 = 0.1;

/// One case, measured.
pub(crate) struct Row {
    pub(crate) name: String,
    /// The CIB's size.
    pub(crate) megabytes: f64,
    pub(crate) ours: Run,
    pub(crate) theirs: Run,
    /// Seconds in memory.
    pub(crate) memory: f64,
    pub(crate) pair: PairDifference,
    pub(crate) goal: Option<f64>,
    pub(crate) doubles: Option<String>,
}

/// Everything measured in one run.
pub(crate) struct Report {
    version: String,
    pub(crate) rows: Vec<Row>,
    /// What of a row is to what: our factor, and Debian's.
    doubled: Vec<(String, String, f64, f64)>,
    /// Ours and theirs.
    pub(crate) profile: Option<(Run, Run)>,
}

impl Report {
    pub(crate) fn new(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            rows: Vec::new(),
            doubled: Vec::new(),
            profile: None,
        }
    }

    /// Compares each case with the one it is twice as large as.
    pub(crate) fn doubled(&mut self) {
        for row in &self.rows {
            let small = self
                .rows
                .iter()
                .find(|r| Some(&r.name) == row.doubles.as_ref());
            if let Some(small) = small {
                let ours = row.ours.cpu / small.ours.cpu;
                let theirs = row.theirs.cpu / small.theirs.cpu;
                let names = (small.name.clone(), row.name.clone());
                self.doubled.push((names.0, names.1, ours, theirs));
            }
        }
    }

    /// How many pairs of graphs differ: that is an error whatever the machine is like.
    pub(crate) fn unequal(&self) -> usize {
        self.rows.iter().filter(|r| !r.pair.is_none()).count()
    }

    /// How many goals are missed.
    pub(crate) fn missed(&self) -> usize {
        let rows = self.rows.iter().map(|row| {
            let slow = row.goal.is_some_and(|goal| times(row) < goal);
            let fat = row.goal.is_some() && row.ours.memory > row.theirs.memory * MEMORY_GOAL;
            usize::from(slow) + usize::from(fat)
        });
        let doubled = self.doubled.iter().filter(|d| d.2 > DOUBLE_GOAL).count();
        let profile = self
            .profile
            .is_some_and(|(ours, theirs)| ours.cpu > theirs.cpu * PROFILE_GOAL);
        rows.sum::<usize>() + doubled + usize::from(profile)
    }
}

fn times(row: &Row) -> f64 {
    row.theirs.cpu / row.ours.cpu
}

fn verdict(missed: bool) -> &'static str {
    if missed { "MISSED" } else { "ok" }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "# crm_simulate -R -Q -G beside {}", self.version)?;
        writeln!(
            out,
            "# processor seconds of the whole process (middle of the runs), most memory resident"
        )?;
        writeln!(
            out,
            "{:<24} {:>7} {:>9} {:>9} {:>7} {:>13} {:>7} {:>7} {:>6} {:>7} {:>9} graphs",
            "",
            "CIB MB",
            "Debian s",
            "ours s",
            "times",
            "goal",
            "mem MB",
            "ours",
            "share",
            "",
            "inside s"
        )?;
        for row in &self.rows {
            let times = times(row);
            let goal = row.goal.map_or_else(
                || "-".to_owned(),
                |goal| format!(">= {goal:.0} {}", verdict(times < goal)),
            );
            let share = row.ours.memory / row.theirs.memory;
            let fat = row.goal.map_or("", |_| verdict(share > MEMORY_GOAL));
            let pair = if row.pair.is_none() {
                format!("equal, {} actions", row.pair.second)
            } else {
                format!("DIFFER: {:?}", row.pair)
            };
            writeln!(
                out,
                "{:<24} {:>7.1} {:>9.3} {:>9.3} {:>7.1} {:>13} {:>7.0} {:>7.0} {:>6.2} {:>7} {:>9.3} {}",
                row.name,
                row.megabytes,
                row.theirs.cpu,
                row.ours.cpu,
                times,
                goal,
                row.theirs.memory,
                row.ours.memory,
                share,
                fat,
                row.memory,
                pair
            )?;
        }
        for (small, large, ours, theirs) in &self.doubled {
            let verdict = verdict(*ours > DOUBLE_GOAL);
            writeln!(
                out,
                "{small} -> {large}: {ours:.2} times the time (goal <= {DOUBLE_GOAL} {verdict}); \
                 Debian's {theirs:.2}"
            )?;
        }
        if let Some((ours, theirs)) = self.profile {
            let share = ours.cpu / theirs.cpu;
            let verdict = verdict(share > PROFILE_GOAL);
            writeln!(
                out,
                "profile: {:.2} s, Debian's {:.2} s: share {share:.3} (goal <= {PROFILE_GOAL} {verdict})",
                ours.cpu, theirs.cpu
            )?;
        }
        Ok(())
    }
}
