//! Log lines on stderr: one line an event, one `write` a line.
//!
//! A small subscriber of our own instead of a general one: the arbitrator is meant to stay tiny,
//! and filters with regular expressions and span registries are most of what a general one brings.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Environment variable with the least important level that is shown: `error`, `warn`, `info`
/// (the default), `debug` or `trace`. A second word after a comma is the level of libraries
/// (default `warn`).
pub const LOG_VARIABLE: &str = "INTERLOCK_LOG";

/// Starts logging to stderr. Under systemd (`JOURNAL_STREAM` set) lines carry a priority instead
/// of a time, which the journal adds itself. A second call does nothing.
///
/// # Errors
/// `INTERLOCK_LOG` names no level; nothing was changed.
pub(crate) fn start() -> Result<(), String> {
    let setting = std::env::var(LOG_VARIABLE).unwrap_or_default();
    let (own, libraries) = levels(&setting)?;
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let log = Log {
        own,
        libraries,
        journal,
    };
    // Set already means a test started it before: one is enough.
    let _second = tracing::subscriber::set_global_default(log);
    Ok(())
}

fn levels(setting: &str) -> Result<(LevelFilter, LevelFilter), String> {
    let level = |word: &str, default| match word.trim() {
        "" => Ok(default),
        word => word.parse().map_err(|_unknown| {
            format!("{LOG_VARIABLE}: {word:?} is no level; write error, warn, info, debug or trace")
        }),
    };
    let (own, libraries) = setting.split_once(',').unwrap_or((setting, ""));
    Ok((
        level(own, LevelFilter::INFO)?,
        level(libraries, LevelFilter::WARN)?,
    ))
}

struct Log {
    own: LevelFilter,
    libraries: LevelFilter,
    journal: bool,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let crate_name = metadata.target().split("::").next().unwrap_or_default();
        let most = match crate_name {
            "ticket_service" | "ticket_store" | "site_agent" | "arbitrator" | "link" => self.own,
            _ => self.libraries,
        };
        metadata.is_event() && *metadata.level() <= most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.own.max(self.libraries))
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::with_capacity(160));
        line.head(self.journal, *event.metadata().level());
        event.record(&mut line);
        line.0.push('\n');
        // Nowhere is left to report a failed write of the log itself.
        let _lost = io::stderr().write_all(line.0.as_bytes());
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

struct Line(String);

impl Line {
    fn head(&mut self, journal: bool, level: Level) {
        let (priority, word) = match level {
            Level::ERROR => (3, "ERROR"),
            Level::WARN => (4, "WARN "),
            Level::INFO => (6, "INFO "),
            Level::DEBUG | Level::TRACE => (7, "DEBUG"),
        };
        // Writing to a string cannot fail.
        let _fits = if journal {
            write!(self.0, "<{priority}>")
        } else {
            let nanos = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            write!(self.0, "{} {word} ", Rfc3339(nanos.as_millis()))
        };
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0.push_str(value);
        } else {
            let _fits = write!(self.0, " {}={value:?}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _fits = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}

/// Milliseconds since 1970 as `2026-11-20T12:30:49.123Z`.
pub(crate) struct Rfc3339(pub(crate) u128);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

/// Year, month and day of a number of days since 1970 in the Gregorian calendar.
fn civil(days: u128) -> (u128, u128, u128) {
    // Counted in years that begin in March, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u128::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_735_689_600_001, "2025-01-01T00:00:00.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Rfc3339(millis).to_string(), text);
        }
    }

    #[test]
    fn levels_default_and_refuse() {
        assert_eq!(levels(""), Ok((LevelFilter::INFO, LevelFilter::WARN)));
        assert_eq!(
            levels("debug,info"),
            Ok((LevelFilter::DEBUG, LevelFilter::INFO))
        );
        assert!(levels("loud").is_err_and(|text| text.contains("INTERLOCK_LOG")));
    }
}
