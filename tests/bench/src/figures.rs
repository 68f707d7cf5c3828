//! Figures and the goals they are held against.

use std::fmt;
use std::time::Duration;

/// The middle of some durations; zero of none.
pub(crate) fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// One line of the report: both sides' figure and the goal for ours.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    pub(crate) unit: &'static str,
    /// The most that ours may be, in `unit`; `None` where the line only informs.
    pub(crate) goal: Option<f64>,
    /// Times are judged by a person, who knows what else the machine was doing; sizes and counts by
    /// `--check` too.
    pub(crate) timing: bool,
}

/// Everything measured in one run.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) setting: Vec<String>,
    pub(crate) lines: Vec<Line>,
}

impl Report {
    pub(crate) fn missed(&self) -> usize {
        self.lines
            .iter()
            .filter(|line| !line.timing && line.goal.is_some_and(|goal| line.ours > goal))
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.setting {
            writeln!(out, "# {line}")?;
        }
        writeln!(
            out,
            "{:<46} {:>10} {:>10} {:<5} {:>7} {:>9}",
            "", "interlock", "booth", "", "ratio", "goal"
        )?;
        for line in &self.lines {
            let ratio = if line.theirs > 0.0 {
                format!("{:.2}", line.ours / line.theirs)
            } else {
                "-".to_owned()
            };
            let goal = line.goal.map_or_else(
                || "-".to_owned(),
                |goal| {
                    format!(
                        "<= {goal:.2} {}",
                        if line.ours > goal { "MISSED" } else { "ok" }
                    )
                },
            );
            writeln!(
                out,
                "{:<46} {:>10.2} {:>10.2} {:<5} {:>7} {:>12}",
                line.what, line.ours, line.theirs, line.unit, ratio, goal
            )?;
        }
        Ok(())
    }
}
