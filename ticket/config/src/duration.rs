//! Durations as operators write them: `"30s"`, `"250ms"`, `"5min"`, `"PT1M30S"`, or a bare number of
//! seconds. Pacemaker's units, and ISO 8601 without years and months.

use std::time::Duration;

/// Longest duration that a configuration may name: a year. Nothing here waits longer, and sums of
/// such values stay far from overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Longest text that can be a duration. The longest sensible one has 20 characters.
const TEXT_MAX: usize = 64;

const MICROS_PER_SECOND: u128 = 1_000_000;

/// Unit names and their length in microseconds: Pacemaker's list, where `m` is minutes.
const UNITS: [(&str, u128); 12] = [
    ("us", 1),
    ("usec", 1),
    ("ms", 1_000),
    ("msec", 1_000),
    ("", MICROS_PER_SECOND),
    ("s", MICROS_PER_SECOND),
    ("sec", MICROS_PER_SECOND),
    ("m", 60 * MICROS_PER_SECOND),
    ("min", 60 * MICROS_PER_SECOND),
    ("h", 3_600 * MICROS_PER_SECOND),
    ("hr", 3_600 * MICROS_PER_SECOND),
    ("d", 86_400 * MICROS_PER_SECOND),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No number, an unknown unit, a sign, or anything else.
    #[error("not a duration; write a number and a unit, such as \"30s\", \"250ms\" or \"5min\"")]
    Form,
    /// ISO 8601 years and months have no fixed length.
    #[error("years and months have no fixed length; write days, hours, minutes or seconds")]
    Calendar,
    /// More than a year.
    #[error("longer than a year")]
    TooLong,
    /// Finer than a microsecond.
    #[error("finer than a microsecond")]
    TooFine,
}

/// Reads a duration.
///
/// # Errors
/// [`DurationError`]: the text is the operator's mistake.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if text.is_empty() || text.len() > TEXT_MAX {
        return Err(DurationError::Form);
    }
    let micros = match text.strip_prefix(['P', 'p']) {
        Some(rest) => parse_iso(rest)?,
        None => parse_simple(text)?,
    };
    let micros = u64::try_from(micros).map_err(|_| DurationError::TooLong)?;
    Some(Duration::from_micros(micros))
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or(DurationError::TooLong)
}

/// Writes a duration so that [`parse`] reads the same value, in the largest unit that fits evenly.
/// What is finer than a microsecond is cut off.
pub fn format(duration: Duration) -> String {
    let micros = duration.as_micros();
    let units = [
        ("h", 3_600 * MICROS_PER_SECOND),
        ("min", 60 * MICROS_PER_SECOND),
    ];
    // 90s reads better than 1.5min, and 60s is written 1min only from five minutes on.
    for (name, length) in units {
        if micros >= 5 * length && micros.is_multiple_of(length) {
            return format!("{}{name}", micros / length);
        }
    }
    if micros.is_multiple_of(MICROS_PER_SECOND) {
        return format!("{}s", micros / MICROS_PER_SECOND);
    }
    if micros.is_multiple_of(1_000) {
        return format!("{}ms", micros / 1_000);
    }
    format!("{micros}us")
}

/// `30s`, `1.5 s`, `30`.
fn parse_simple(text: &str) -> Result<u128, DurationError> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let length = UNITS
        .iter()
        .find(|row| row.0 == unit)
        .ok_or(DurationError::Form)?
        .1;
    scale(number, length)
}

/// What follows the `P` of `P1DT2H3M4.5S` and `P2W`.
fn parse_iso(text: &str) -> Result<u128, DurationError> {
    let mut total: u128 = 0;
    let mut in_time = false;
    let mut rest = text;
    let mut last_length = u128::MAX;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(['T', 't']) {
            if in_time || after.is_empty() {
                return Err(DurationError::Form);
            }
            in_time = true;
            rest = after;
            continue;
        }
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(DurationError::Form)?;
        let mut after = rest[end..].chars();
        let length = match (after.next().map(|c| c.to_ascii_uppercase()), in_time) {
            (Some('W'), false) => 7 * 86_400 * MICROS_PER_SECOND,
            (Some('D'), false) => 86_400 * MICROS_PER_SECOND,
            (Some('Y' | 'M'), false) => return Err(DurationError::Calendar),
            (Some('H'), true) => 3_600 * MICROS_PER_SECOND,
            (Some('M'), true) => 60 * MICROS_PER_SECOND,
            (Some('S'), true) => MICROS_PER_SECOND,
            _ => return Err(DurationError::Form),
        };
        // Each part once, from large to small.
        if length >= last_length {
            return Err(DurationError::Form);
        }
        last_length = length;
        total = total.saturating_add(scale(&rest[..end], length)?);
        rest = after.as_str();
    }
    if last_length == u128::MAX {
        return Err(DurationError::Form);
    }
    Ok(total)
}

/// A decimal number times a unit's length, exactly, in microseconds.
fn scale(number: &str, length: u128) -> Result<u128, DurationError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(DurationError::Form);
    }
    let whole: u128 = whole.parse().map_err(|_| DurationError::TooLong)?;
    let places = u32::try_from(fraction.len()).map_err(|_| DurationError::TooFine)?;
    let denominator = 10_u128.checked_pow(places).ok_or(DurationError::TooFine)?;
    let fraction: u128 = fraction.parse().map_err(|_| DurationError::TooFine)?;
    let part = fraction.checked_mul(length).ok_or(DurationError::TooFine)?;
    if !part.is_multiple_of(denominator) {
        return Err(DurationError::TooFine);
    }
    let whole = whole.checked_mul(length).ok_or(DurationError::TooLong)?;
    whole
        .checked_add(part / denominator)
        .ok_or(DurationError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_pacemakers_units_and_iso_8601() {
        let cases = [
            ("30", 30_000_000),
            ("30s", 30_000_000),
            ("30 sec", 30_000_000),
            ("1.5s", 1_500_000),
            ("250ms", 250_000),
            ("7usec", 7),
            ("5m", 300_000_000),
            ("5min", 300_000_000),
            ("2hr", 7_200_000_000),
            ("1d", 86_400_000_000),
            ("PT30S", 30_000_000),
            ("PT1M30.5S", 90_500_000),
            ("P1DT1H", 90_000_000_000),
            ("P2W", 1_209_600_000_000),
            ("0s", 0),
        ];
        for (text, micros) in cases {
            assert_eq!(parse(text), Ok(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_none() {
        use DurationError::{Calendar, Form, TooFine, TooLong};
        let cases = [
            ("", Form),
            ("s", Form),
            ("-5s", Form),
            ("5 parsecs", Form),
            ("1.2.3s", Form),
            (".5s", Form),
            ("5.", Form),
            ("P", Form),
            ("PT", Form),
            ("P1DT", Form),
            ("PT1S2S", Form),
            ("PT1S1M", Form),
            ("P1M", Calendar),
            ("P1Y", Calendar),
            ("400d", TooLong),
            ("99999999999999999999999999999999999999999h", TooLong),
            ("0.0000001s", TooFine),
            ("inf", Form),
            ("1e3s", Form),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn never_panics_on_what_looks_like_one(text in "[Pp]?[0-9.TtDdHhMmSsWuU ]{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_read_again(micros in 0..=DURATION_MAX.as_micros() as u64) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn units_agree(seconds in 0_u64..1_000_000) {
            let expected = Ok(Duration::from_secs(seconds));
            prop_assert_eq!(parse(&format!("{seconds}")), expected);
            prop_assert_eq!(parse(&format!("{seconds}s")), expected);
            prop_assert_eq!(parse(&format!("{seconds}000ms")), expected);
            prop_assert_eq!(parse(&format!("PT{seconds}S")), expected);
        }
    }
}
