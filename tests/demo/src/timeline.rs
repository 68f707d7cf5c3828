//! The time line: one line for each thing that happens, with a lane for each site.
//!
//! ```text
//!   seconds  berlin   paris
//!     0.912  ▒▒ holds ·        berlin holds db under term 1 until 12:44:10.5 unless renewed
//!     0.984  ██ web   ·        web answers at berlin under term 1, 984 ms after the start
//! ```
//!
//! Colour only on a terminal, and never colour alone: each lane has its word.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::time::{Duration, SystemTime};

use crate::clock::Mono;
use crate::settings::SITES;

/// The weight of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Quiet,
    Good,
    Warn,
    Bad,
    /// What the person or the script ordered.
    Order,
}

/// What a site looks like at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) serves: bool,
    pub(crate) holds: bool,
    pub(crate) up: bool,
}

impl Lane {
    fn cell(self) -> (&'static str, &'static str) {
        match self {
            Self {
                serves: true,
                holds: true,
                ..
            } => ("\x1b[32m", "██ web"),
            // The site's own word is behind its service's by up to a look, or its agent is gone.
            Self {
                serves: true,
                holds: false,
                ..
            } => ("\x1b[33m", "█▒ web"),
            Self { holds: true, .. } => ("\x1b[36m", "▒▒ holds"),
            Self { up: true, .. } => ("\x1b[2m", "·"),
            Self { up: false, .. } => ("\x1b[31m", "✗ down"),
        }
    }
}

/// Prints; keeps a copy without colour where one is wanted.
#[derive(Debug)]
pub(crate) struct Timeline {
    colour: bool,
    copy: Option<File>,
    begun: Mono,
    quiet: bool,
}

/// Width of a lane: the longest word and two spaces.
const LANE_WIDTH: usize = 9;

impl Timeline {
    /// Colour on a terminal unless `NO_COLOR` is set; `quiet` prints nothing but to the copy.
    pub(crate) fn new(copy: Option<File>, quiet: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = wanted && std::io::stdout().is_terminal();
        Self {
            colour,
            copy,
            begun: Mono::now(),
            quiet,
        }
    }

    /// Sets the zero and prints the head.
    pub(crate) fn begin(&mut self, at: Mono) {
        self.begun = at;
        let lanes: String = SITES
            .iter()
            .map(|site| format!("{site:<LANE_WIDTH$}"))
            .collect();
        self.raw(&format!(" seconds  {lanes}"));
    }

    /// A line about now.
    pub(crate) fn say(&mut self, tone: Tone, lanes: &[Lane], text: &str) {
        self.say_at(Mono::now(), tone, lanes, text);
    }

    /// A line about a moment.
    pub(crate) fn say_at(&mut self, at: Mono, tone: Tone, lanes: &[Lane], text: &str) {
        let seconds = at.since(self.begun).as_secs_f64();
        let plain: String = lanes
            .iter()
            .map(|lane| format!("{:<LANE_WIDTH$}", lane.cell().1))
            .collect();
        if self.colour && !self.quiet {
            let painted: String = lanes
                .iter()
                .map(|lane| {
                    let (colour, word) = lane.cell();
                    format!("{colour}{word:<LANE_WIDTH$}\x1b[0m")
                })
                .collect();
            let colour = match tone {
                Tone::Plain => "",
                Tone::Quiet => "\x1b[2m",
                Tone::Good => "\x1b[32m",
                Tone::Warn => "\x1b[33m",
                Tone::Bad => "\x1b[31m",
                Tone::Order => "\x1b[1m",
            };
            print(&format!("{seconds:8.3}  {painted}{colour}{text}\x1b[0m"));
            self.keep(&format!("{seconds:8.3}  {plain}{text}"));
        } else {
            self.raw(&format!("{seconds:8.3}  {plain}{text}"));
        }
    }

    /// A line as it is.
    pub(crate) fn raw(&mut self, text: &str) {
        if !self.quiet {
            print(text);
        }
        self.keep(text);
    }

    fn keep(&mut self, text: &str) {
        if let Some(copy) = &mut self.copy
            && writeln!(copy, "{text}").is_err()
        {
            self.copy = None;
        }
    }
}

/// Prints one line. A reader that went away must not end the cluster in disorder.
fn print(text: &str) {
    let _reader_gone = writeln!(std::io::stdout(), "{text}");
}

/// An instant as the time of day, to a tenth of a second.
pub(crate) fn time_of_day(at: Mono) -> String {
    let (now, wall) = (Mono::now(), SystemTime::now());
    let wall = if at > now {
        wall + at.since(now)
    } else {
        wall - now.since(at)
    };
    let Ok(since_epoch) = wall.duration_since(SystemTime::UNIX_EPOCH) else {
        return "before 1970".into();
    };
    let zone = jiff::tz::TimeZone::system();
    let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(0);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(stamp) => stamp.to_zoned(zone).strftime("%H:%M:%S.%3f").to_string(),
        Err(_) => format!(
            "{} s",
            Duration::from_millis(millis.unsigned_abs()).as_secs()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_a_site_has_its_own_word() {
        let lane = |serves, holds, up| Lane { serves, holds, up }.cell().1;
        let words = [
            lane(true, true, true),
            lane(true, false, true),
            lane(false, true, true),
            lane(false, false, true),
            lane(false, false, false),
        ];
        for (index, word) in words.iter().enumerate() {
            assert!(word.chars().count() < LANE_WIDTH);
            assert!(!words[index + 1..].contains(word));
        }
    }
}
