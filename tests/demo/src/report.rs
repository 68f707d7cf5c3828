//! The outcome of one run, for people and for the table of all runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Human;

/// The outcome of one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Report {
    pub(crate) script: String,
    pub(crate) settings: String,
    /// Why it was not run, if it was not.
    pub(crate) skipped: Option<String>,
    /// From a disturbance to the first answer after it, in milliseconds.
    pub(crate) figures: Vec<(String, u64)>,
    /// From the start of the first process to the first answer of the service.
    pub(crate) first_answer_ms: Option<u64>,
    /// The longest that a deadline was put off because the machine was busy.
    pub(crate) stretched_ms: u64,
    pub(crate) lives: u64,
    pub(crate) overlap_us: u64,
    pub(crate) longest_gap_ms: Option<u64>,
    pub(crate) last_gap_ms: Option<u64>,
    pub(crate) writes: u64,
    pub(crate) refused: u64,
    pub(crate) stale: u64,
    /// Longest time from the resumption of a site to the end of its stale service.
    pub(crate) after_resume_ms: Option<u64>,
    pub(crate) failures: Vec<String>,
}

impl Report {
    /// Nothing failed.
    pub(crate) fn good(&self) -> bool {
        self.failures.is_empty()
    }

    /// One word.
    pub(crate) fn word(&self) -> &'static str {
        match (&self.skipped, self.good()) {
            (Some(_), _) => "skipped",
            (None, true) => "ok",
            (None, false) => "FAILED",
        }
    }

    /// What a person reads at the end of a run.
    pub(crate) fn text(&self) -> String {
        let millis = |value: u64| Human(Duration::from_millis(value)).to_string();
        let mut text = format!("\n{} — {}\n", self.script, self.settings);
        text += &format!(
            "  witness: {} lives of the service, overlap {}, longest gap {}\n",
            self.lives,
            Human(Duration::from_micros(self.overlap_us)),
            self.longest_gap_ms.map_or_else(|| "none".into(), millis),
        );
        if let Some(span) = self.first_answer_ms {
            text += &format!("  first answer: {} after the start\n", millis(span));
        }
        text += &format!(
            "  store: {} writes accepted, {} refused, {} stale accepted\n",
            self.writes, self.refused, self.stale
        );
        if let Some(span) = self.after_resume_ms {
            text += &format!(
                "  from resume to the end of the stale service: {}\n",
                millis(span)
            );
        }
        for (cause, span) in &self.figures {
            text += &format!("  {cause}: service again after {}\n", millis(*span));
        }
        if self.stretched_ms > 0 {
            text += &format!(
                "  busy machine: deadlines were up to {} longer than written\n",
                millis(self.stretched_ms)
            );
        }
        for failure in &self.failures {
            text += &format!("  FAILED {failure}\n");
        }
        if let Some(why) = &self.skipped {
            text += &format!("  SKIPPED {why}\n");
        }
        text + &format!("  result: {}\n", self.word())
    }
}
