//! ISO 8601 dates and durations, in UTC: calendar, ordinal and week dates.

/// A point in time, in seconds since the epoch.
pub(crate) type Seconds = i64;

const DAY: i64 = 86_400;

/// Days since 1970-01-01 of a proleptic Gregorian date.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let mp = (month + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// The fields of a point in time that date specifications name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) year_day: i64,
    pub(crate) week_year: i64,
    pub(crate) week: i64,
    pub(crate) week_day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

/// A point in time as RFC 3339 writes it, in UTC.
pub(crate) fn text(time: Seconds) -> String {
    let f = fields(time);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        f.year, f.month, f.day, f.hour, f.minute, f.second
    )
}

/// Takes a point in time apart.
pub(crate) fn fields(time: Seconds) -> Fields {
    let days = time.div_euclid(DAY);
    let rest = time.rem_euclid(DAY);
    let (year, month, day) = civil_from_days(days);
    let year_day = days - days_from_civil(year, 1, 1) + 1;
    // 1970-01-01 was a Thursday (4).
    let week_day = (days + 3).rem_euclid(7) + 1;
    let thursday = days - week_day + 4;
    let (week_year, _, _) = civil_from_days(thursday);
    let week = (thursday - days_from_civil(week_year, 1, 1)) / 7 + 1;
    Fields {
        year,
        month,
        day,
        year_day,
        week_year,
        week,
        week_day,
        hour: rest / 3600,
        minute: rest / 60 % 60,
        second: rest % 60,
    }
}

/// Reads a date with optional time and offset; date alone means midnight, time alone today.
pub(crate) fn parse(text: &str, now: Seconds) -> Option<Seconds> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("epoch") {
        return Some(0);
    }
    let (date, time) = match text.find(['T', ' ']) {
        Some(0) => ("", &text[1..]),
        Some(i) => (&text[..i], text[i + 1..].trim_start()),
        None if text.contains(':') && !text.contains('-') => ("", text),
        None => (text, ""),
    };
    let days = if date.is_empty() {
        now.div_euclid(DAY)
    } else {
        parse_date(date)?
    };
    let seconds = if time.is_empty() {
        0
    } else {
        parse_time(time)?
    };
    Some(days * DAY + seconds)
}

fn number(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn parse_date(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [year, week, day] if week.starts_with('W') => {
            week_date(number(year)?, number(&week[1..])?, number(day)?)
        }
        [year, week] if week.starts_with('W') => week_date(number(year)?, number(&week[1..])?, 1),
        [year, month, day] => {
            let (y, m, d) = (number(year)?, number(month)?, number(day)?);
            let valid = (1..=12).contains(&m) && (1..=31).contains(&d);
            valid.then(|| days_from_civil(y, m, d))
        }
        [year, day] if day.len() == 3 => {
            Some(days_from_civil(number(year)?, 1, 1) + number(day)? - 1)
        }
        [year, month] => Some(days_from_civil(number(year)?, number(month)?, 1)),
        [compact] if compact.len() == 8 => Some(days_from_civil(
            number(&compact[..4])?,
            number(&compact[4..6])?,
            number(&compact[6..])?,
        )),
        [compact] if compact.len() == 7 => {
            Some(days_from_civil(number(&compact[..4])?, 1, 1) + number(&compact[4..])? - 1)
        }
        [year] => Some(days_from_civil(number(year)?, 1, 1)),
        _ => None,
    }
}

fn week_date(year: i64, week: i64, day: i64) -> Option<i64> {
    if !(1..=53).contains(&week) || !(1..=7).contains(&day) {
        return None;
    }
    let january_4 = days_from_civil(year, 1, 4);
    let monday = january_4 - (january_4 + 3).rem_euclid(7);
    Some(monday + (week - 1) * 7 + day - 1)
}

/// Seconds since midnight, the offset subtracted.
fn parse_time(text: &str) -> Option<i64> {
    let end = text.find(['Z', 'z', '+', '-', ' ']).unwrap_or(text.len());
    let (clock, zone) = (&text[..end], text[end..].trim());
    let seconds = parse_clock(clock)?;
    let offset = match zone.chars().next() {
        None | Some('Z' | 'z') => 0,
        Some(sign) => {
            let value = parse_clock(zone[1..].trim())?;
            if sign == '-' { -value } else { value }
        }
    };
    Some(seconds - offset)
}

fn parse_clock(text: &str) -> Option<i64> {
    let (h, m, s) = if text.contains(':') {
        let mut parts = text.split(':');
        let h = number(parts.next()?)?;
        let m = parts.next().map_or(Some(0), number)?;
        let s = parts
            .next()
            .map_or(Some(0), |s| number(s.split('.').next()?))?;
        (h, m, s)
    } else {
        let part = |range: std::ops::Range<usize>| text.get(range).map_or(Some(0), number);
        (
            part(0..2)?,
            part(2..4.min(text.len()).max(2)).or(Some(0))?,
            part(4..6)?,
        )
    };
    let valid = (0..=24).contains(&h) && (0..60).contains(&m) && (0..=60).contains(&s);
    valid.then_some(h * 3600 + m * 60 + s)
}

/// A duration `P1Y2M3DT4H5M6S` in seconds (a year counts 365 days, a month 30).
pub(crate) fn duration_seconds(text: &str) -> Option<i64> {
    let body = text.trim().strip_prefix(['P', 'p'])?;
    let mut total = 0;
    let mut in_time = false;
    let mut digits = String::new();
    for c in body.chars() {
        match c.to_ascii_uppercase() {
            'T' => in_time = true,
            d if d.is_ascii_digit() => digits.push(d),
            unit => {
                let n: i64 = digits.parse().ok()?;
                digits.clear();
                total += n * match (unit, in_time) {
                    ('Y', _) => 365 * DAY,
                    ('M', false) => 30 * DAY,
                    ('W', _) => 7 * DAY,
                    ('D', _) => DAY,
                    ('H', _) => 3600,
                    ('M', true) => 60,
                    ('S', _) => 1,
                    _ => return None,
                };
            }
        }
    }
    digits.is_empty().then_some(total)
}

/// Adds calendar years and months, then the rest, to a point in time.
pub(crate) fn add_calendar(time: Seconds, years: i64, months: i64, seconds: i64) -> Seconds {
    let (year, month, day) = civil_from_days(time.div_euclid(DAY));
    let total = (year + years) * 12 + (month - 1) + months;
    let (y, m) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    let next = days_from_civil(y + i64::from(m == 12), m % 12 + 1, 1);
    let length = next - days_from_civil(y, m, 1);
    days_from_civil(y, m, day.min(length)) * DAY + time.rem_euclid(DAY) + seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_every_notation() {
        let noon = days_from_civil(2005, 1, 20) * DAY + 12 * 3600 + 1800;
        assert_eq!(parse("2005-020T12:30", 0), Some(noon));
        assert_eq!(parse("2005-01-20 12:30:00", 0), Some(noon));
        assert_eq!(parse("2005-W03-4T12:30Z", 0), Some(noon));
        assert_eq!(parse("2005-01-20T14:30+02:00", 0), Some(noon));
        assert_eq!(parse("2005-01-20T14:30:00.000000+02", 0), Some(noon));
        assert_eq!(parse("garbage", 0), None);
    }

    #[test]
    fn weeks_and_months() {
        let f = fields(days_from_civil(2005, 1, 1) * DAY);
        assert_eq!(
            (f.week_year, f.week, f.week_day, f.year_day),
            (2004, 53, 6, 1)
        );
        let end = days_from_civil(2024, 1, 31) * DAY;
        assert_eq!(
            add_calendar(end, 0, 1, 0),
            days_from_civil(2024, 2, 29) * DAY
        );
        assert_eq!(duration_seconds("P1DT1M"), Some(86_460));
    }
}
