//! `iso8601`: what a date, a duration or a period means.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::answer::{self, Answer, Call};
use crate::args::{Given, Tool, switch, valued};
use crate::date::{self, Span};
use crate::exit::Failure;

const TOOL: Tool = Tool {
    name: "iso8601",
    about: "Display and parse ISO 8601 dates and times",
    flags: &[
        switch('n', "now", "Display the current date/time"),
        valued(
            'd',
            "date",
            "DATE",
            "Parse a date/time, such as '2019-09-24 00:30:00 +01:00'",
        ),
        valued(
            'p',
            "period",
            "PERIOD",
            "Parse a period, such as '2005-040/2005-043'",
        ),
        valued(
            'D',
            "duration",
            "DURATION",
            "Parse a duration, such as 'P1M'",
        ),
        valued(
            'E',
            "expected",
            "TEXT",
            "Exit with an error if the result is not this text",
        ),
        switch(
            's',
            "seconds",
            "Show result as seconds since 0000-001 00:00:00Z",
        ),
        switch(
            'S',
            "epoch",
            "Show result as seconds since 1970-001 00:00:00Z",
        ),
        switch('L', "local", "Show result as a 'local' date/time"),
        switch('O', "ordinal", "Show result as an 'ordinal' date/time"),
        switch('W', "week", "Show result as a 'calendar week' date/time"),
    ],
};

/// Exit code: what was given is not what it should be.
const INVALID: u8 = 2;

/// Seconds from the year 0, as Pacemaker counts them, to 1970.
const BEFORE_EPOCH: i64 = 62_135_596_800;

/// Runs `iso8601` with its arguments.
pub(crate) fn iso8601(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, run)
}

fn shown(given: &Given, at: i64, offset: i64) -> String {
    if given.has("epoch") {
        return at.to_string();
    }
    if given.has("seconds") {
        return (at + BEFORE_EPOCH).to_string();
    }
    let offset = if given.has("local") { offset } else { 0 };
    let local = at + offset;
    let days = local.div_euclid(86_400);
    let (year, month, day) = date::civil(days);
    let date = if given.has("ordinal") {
        format!(
            "{year:04}-{:03}",
            days - date::days_from_civil(year, 1, 1) + 1
        )
    } else if given.has("week") {
        let (year, week, weekday) = date::week_of(days);
        format!("{year:04}-W{week:02}-{weekday}")
    } else {
        format!("{year:04}-{month:02}-{day:02}")
    };
    let seconds = local.rem_euclid(86_400);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let zone = if offset == 0 {
        "Z".to_owned()
    } else {
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.abs() / 60;
        format!(" {sign}{:02}:{:02}", minutes / 60, minutes % 60)
    };
    format!("{date} {hour:02}:{minute:02}:{second:02}{zone}")
}

fn parse(text: &str) -> Option<i64> {
    if text == "epoch" {
        return Some(0);
    }
    date::is_possible(text).then(|| scheduler::parse_time(text))?
}

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let mut text = String::new();
    let mut errors = Vec::new();
    let mut results = Vec::new();
    let mut at = None;
    if let Some(duration) = given.value("duration")
        && Span::parse(duration).is_none()
    {
        errors.push(format!("Invalid duration specified: {duration}"));
    }
    if let Some(period) = given.value("period") {
        match date::period(period, parse) {
            Some((start, end)) => {
                let (start, end) = (shown(given, start, 0), shown(given, end, 0));
                let _ = writeln!(text, "Period: {start} to {end}");
                results.push(format!("{start} to {end}"));
            }
            None => errors.push(format!("Invalid interval specified: {period}")),
        }
    }
    if given.has("now") {
        let now = crate::simulate::clock();
        let _ = writeln!(text, "Current date/time: {}", shown(given, now, 0));
        at = Some(now);
    }
    if let Some(date) = given.value("date") {
        match parse(date) {
            Some(time) => {
                let result = shown(given, time, date::offset_of(date));
                let _ = writeln!(text, "Date: {result}");
                results.push(result);
                at = Some(time);
            }
            None => errors.push(format!("Invalid date/time specified: {date}")),
        }
    }
    if let Some(span) = given.value("duration").and_then(Span::parse) {
        let _ = writeln!(text, "Duration: {}", span.words());
        if let Some(at) = at {
            let end = shown(given, date::after(at, &span), 0);
            let _ = writeln!(text, "Duration ends at: {end}");
            results.push(end);
        }
    }
    let mut code = if errors.is_empty() { 0 } else { INVALID };
    if let (Some(expected), 0) = (given.value("expected"), code) {
        code = u8::from(results.last().map(String::as_str) != Some(expected));
    }
    Ok(Answer {
        code,
        errors,
        ..Answer::text(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_all_forms_are_understood() {
        for (text, wanted) in [
            ("2019-09-24 00:30:00 +01:00", Some(1_569_281_400)),
            ("2019-040", Some(1_549_670_400)),
            ("2019-W05-3", Some(1_548_806_400)),
            ("20240203T040506Z", Some(1_706_933_106)),
            ("2024-12-31T24:00:00Z", Some(1_735_689_600)),
            ("epoch", Some(0)),
            ("2024-02-30", None),
            ("bogus", None),
            ("", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
    }
}
