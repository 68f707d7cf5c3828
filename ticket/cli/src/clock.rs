//! Spans and times of day, for people and for programs.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A span for reading: `8ms`, `0.3s`, `36s`, `4m 10s`, `3h 12m`, `2d 4h`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    match ms {
        0..100 => format!("{ms}ms"),
        100..10_000 => format!("{}.{}s", seconds, ms % 1_000 / 100),
        10_000..120_000 => format!("{seconds}s"),
        120_000..7_200_000 => two(seconds / 60, "m", seconds % 60, "s"),
        7_200_000..172_800_000 => two(seconds / 3_600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large}{large_unit}"),
        small => format!("{large}{large_unit} {small}{small_unit}"),
    }
}

/// The moment of an answer: spans in it count from here, by this machine's clock.
#[derive(Clone)]
pub(crate) struct Now {
    at: Timestamp,
    zone: TimeZone,
}

impl Now {
    /// Now.
    pub(crate) fn new() -> Self {
        Self {
            at: Timestamp::now(),
            zone: TimeZone::system(),
        }
    }

    /// Time of day in `ms` from now; with the date if that is another day.
    pub(crate) fn clock_in(&self, ms: u64) -> String {
        let then = self.in_ms(ms).to_zoned(self.zone.clone());
        let today = self.at.to_zoned(self.zone.clone()).date();
        let form = if then.date() == today {
            "%H:%M:%S"
        } else {
            "%Y-%m-%d %H:%M:%S"
        };
        then.strftime(form).to_string()
    }

    /// Date and time of day in `ms` from now, as booth writes it.
    pub(crate) fn booth_in(&self, ms: u64) -> String {
        self.in_ms(ms)
            .to_zoned(self.zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    }

    /// RFC 3339 in UTC of the moment in `ms` from now.
    pub(crate) fn rfc3339_in(&self, ms: u64) -> String {
        rfc3339(self.in_ms(ms))
    }

    /// RFC 3339 in UTC of the moment `ms` ago.
    pub(crate) fn rfc3339_ago(&self, ms: u64) -> String {
        rfc3339(self.at.checked_sub(signed(ms)).unwrap_or(Timestamp::MIN))
    }

    /// Whole days until a moment given in seconds since 1970; negative when it is past.
    pub(crate) fn days_until(&self, unix_seconds: i64) -> i64 {
        unix_seconds
            .saturating_sub(self.at.as_second())
            .div_euclid(86_400)
    }

    fn in_ms(&self, ms: u64) -> Timestamp {
        self.at.checked_add(signed(ms)).unwrap_or(Timestamp::MAX)
    }
}

/// Time of day of a moment given in milliseconds since 1970, with milliseconds.
pub(crate) fn clock_of_unix(ms: u64) -> String {
    unix(ms)
        .to_zoned(TimeZone::system())
        .strftime("%H:%M:%S%.3f")
        .to_string()
}

/// RFC 3339 in UTC of a moment given in milliseconds since 1970.
pub(crate) fn rfc3339_of_unix(ms: u64) -> String {
    rfc3339(unix(ms))
}

/// RFC 3339 in UTC of a moment given in seconds since 1970.
pub(crate) fn rfc3339_of_seconds(seconds: i64) -> String {
    rfc3339(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
}

/// Seconds with three digits after the point.
pub(crate) fn seconds(ms: u64) -> f64 {
    // Exact up to 2⁵³ milliseconds, which is 285,000 years.
    ms as f64 / 1_000.0
}

fn signed(ms: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn unix(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        let cases = [
            (0, "0ms"),
            (99, "99ms"),
            (340, "0.3s"),
            (9_999, "9.9s"),
            (36_400, "36s"),
            (119_999, "119s"),
            (250_000, "4m 10s"),
            (3_600_000, "60m"),
            (11_520_000, "3h 12m"),
            (187_200_000, "2d 4h"),
        ];
        for (ms, text) in cases {
            assert_eq!(span(ms), text);
        }
        let _ = span(u64::MAX);
    }

    #[test]
    fn times_out_of_range_are_no_panic() {
        let now = Now::new();
        for ms in [0, 1, u64::MAX] {
            let _ = (now.clock_in(ms), now.rfc3339_in(ms), now.rfc3339_ago(ms));
            let _ = (clock_of_unix(ms), rfc3339_of_unix(ms), now.booth_in(ms));
        }
        let _ = (now.days_until(i64::MIN), rfc3339_of_seconds(i64::MAX));
        assert_eq!(rfc3339_of_unix(1_500), "1970-01-01T00:00:01.500Z");
    }
}
