//! Dates as people read them.

/// A time in the form of C's `ctime`, in universal time.
pub(crate) fn local_text(at: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, seconds) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let weekday = DAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)];
    let month = MONTHS[usize::from(month) - 1];
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}")
}

/// A time in ISO 8601, in universal time.
pub(crate) fn utc_text(at: i64) -> String {
    let (year, month, day) = civil(at.div_euclid(86_400));
    let seconds = at.rem_euclid(86_400);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970-01-01.
pub(crate) fn civil(days: i64) -> (i64, u8, u8) {
    // Years begin in March here, so that the leap day is the last of a year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (
        year,
        u8::try_from(month).unwrap_or(1),
        u8::try_from(day).unwrap_or(1),
    )
}

/// Days since 1970-01-01 of a date.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, week and weekday (1 is Monday) of a number of days since 1970-01-01.
pub(crate) fn week_of(days: i64) -> (i64, i64, i64) {
    // The first of January 1970 was a Thursday; a week belongs to the year of its Thursday.
    let weekday = (days + 3).rem_euclid(7) + 1;
    let thursday = days - weekday + 4;
    let (year, _, _) = civil(thursday);
    let first = days_from_civil(year, 1, 1);
    (year, (thursday - first) / 7 + 1, weekday)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    days_from_civil(next_year, next, 1) - days_from_civil(year, month, 1)
}

/// Whether the day that a date names is in the calendar; what is no plain date passes.
pub(crate) fn is_possible(text: &str) -> bool {
    let date = text.split(['T', ' ']).next().unwrap_or("");
    let parts: Vec<&str> = date.split('-').collect();
    let numbers: Vec<Option<i64>> = parts.iter().map(|p| p.parse().ok()).collect();
    match numbers.as_slice() {
        [Some(year), Some(month), Some(day)] => {
            (1..=12).contains(month) && (1..=days_in_month(*year, *month)).contains(day)
        }
        _ => !text.is_empty(),
    }
}

/// Seconds that a date's zone is ahead of universal time.
pub(crate) fn offset_of(text: &str) -> i64 {
    let time = text.find(':').map_or("", |i| &text[i..]);
    let Some(at) = time.rfind(['+', '-']) else {
        return 0;
    };
    let sign = if time[at..].starts_with('-') { -1 } else { 1 };
    let digits: String = time[at..].chars().filter(char::is_ascii_digit).collect();
    let number = |range: std::ops::Range<usize>| {
        digits
            .get(range)
            .and_then(|d| d.parse::<i64>().ok())
            .unwrap_or(0)
    };
    sign * (number(0..2) * 3600 + number(2..4) * 60)
}

/// A duration: months are as long as the calendar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) years: i64,
    pub(crate) months: i64,
    pub(crate) days: i64,
    pub(crate) seconds: i64,
}

impl Span {
    /// Reads `P1Y2M3W4DT5H6M7S`, any part of which may be missing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut span = Self::default();
        let mut rest = text.strip_prefix('P')?;
        let mut in_time = false;
        let mut parts = 0;
        while !rest.is_empty() {
            if let Some(time) = rest.strip_prefix('T') {
                in_time = true;
                rest = time;
                continue;
            }
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: i64 = rest[..end].parse().ok()?;
            let unit = rest[end..].chars().next()?;
            let (place, factor) = match (unit, in_time) {
                ('Y', false) => (&mut span.years, 1),
                ('M', false) => (&mut span.months, 1),
                ('W', false) => (&mut span.days, 7),
                ('D', false) => (&mut span.days, 1),
                ('H', true) => (&mut span.seconds, 3600),
                ('M', true) => (&mut span.seconds, 60),
                ('S', true) => (&mut span.seconds, 1),
                _ => return None,
            };
            *place = place.checked_add(number.checked_mul(factor)?)?;
            rest = &rest[end + unit.len_utf8()..];
            parts += 1;
        }
        (parts > 0).then_some(span)
    }

    /// The duration in words.
    pub(crate) fn words(&self) -> String {
        let part = |number: i64, unit: &str| match number {
            0 => String::new(),
            1 => format!("{number:2} {unit} "),
            _ => format!("{number:2} {unit}s "),
        };
        let mut text = format!(
            "{}{}{}",
            match part(self.years, "year").as_str() {
                "" => String::new(),
                years => format!("  {years}"),
            },
            part(self.months, "month"),
            part(self.days, "day")
        );
        if self.seconds != 0 {
            let (hours, minutes, seconds) = (
                self.seconds / 3600,
                self.seconds / 60 % 60,
                self.seconds % 60,
            );
            let plural = |number: i64, unit: &str| {
                let s = if number == 1 { "" } else { "s" };
                (number != 0).then(|| format!("{number} {unit}{s}"))
            };
            let units = [
                plural(hours, "hour"),
                plural(minutes, "minute"),
                plural(seconds, "second"),
            ];
            let words: Vec<String> = units.into_iter().flatten().collect();
            let s = if self.seconds == 1 { "" } else { "s" };
            text.push_str(&format!("{} second{s}", self.seconds));
            if self.seconds >= 60 {
                text.push_str(&format!(" ({})", words.join(" ")));
            }
        }
        text
    }

    const fn negative(self) -> Self {
        Self {
            years: -self.years,
            months: -self.months,
            days: -self.days,
            seconds: -self.seconds,
        }
    }
}

/// The time a duration after another one. A day that a month does not have is its last one.
pub(crate) fn after(at: i64, span: &Span) -> i64 {
    let (year, month, day) = civil(at.div_euclid(86_400));
    let months = i64::from(month) - 1 + span.months + (year + span.years).saturating_mul(12);
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let day = i64::from(day).min(days_in_month(year, month));
    let days = days_from_civil(year, month, day).saturating_add(span.days);
    let seconds = at.rem_euclid(86_400).saturating_add(span.seconds);
    days.saturating_mul(86_400).saturating_add(seconds)
}

/// Beginning and end of a period: two dates, or a date and a duration, with a slash between.
pub(crate) fn period(text: &str, parse: impl Fn(&str) -> Option<i64>) -> Option<(i64, i64)> {
    let (first, second) = text.split_once('/')?;
    match (Span::parse(first), Span::parse(second)) {
        (None, None) => Some((parse(first)?, parse(second)?)),
        (None, Some(span)) => {
            let start = parse(first)?;
            Some((start, after(start, &span)))
        }
        (Some(span), None) => {
            let end = parse(second)?;
            Some((after(end, &span.negative()), end))
        }
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_as_long_as_the_calendar_says() {
        let at = |y, m, d| days_from_civil(y, m, d) * 86_400;
        let month = Span::parse("P1M").expect("a duration");
        assert_eq!(after(at(2024, 1, 31), &month), at(2024, 2, 29));
        let long = Span::parse("P1Y2M3DT4H5M6S").expect("a duration");
        assert_eq!(after(at(2024, 1, 31), &long), at(2025, 4, 3) + 14_706);
        assert_eq!(week_of(days_from_civil(2024, 12, 30)), (2025, 1, 1));
        assert_eq!(civil(days_from_civil(2000, 2, 29)), (2000, 2, 29));
        for wrong in [
            "",
            "P",
            "5",
            "P5",
            "PT",
            "P1H",
            "PT1Y",
            "P99999999999999999999Y",
        ] {
            assert_eq!(Span::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_period_has_two_ends() {
        let parse = |text: &str| scheduler::parse_time(text);
        let day = |d| (days_from_civil(2005, 1, 1) + d - 1) * 86_400;
        assert_eq!(period("2005-040/2005-043", parse), Some((day(40), day(43))));
        assert_eq!(period("2005-040/P3D", parse), Some((day(40), day(43))));
        assert_eq!(period("P3D/2005-043", parse), Some((day(40), day(43))));
        assert_eq!(period("2005-040", parse), None);
        assert_eq!(period("P1D/P1D", parse), None);
    }
}
