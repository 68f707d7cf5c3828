//! `crm_rule`: whether a rule about dates is in effect.

use std::fmt::Write as _;
use std::process::ExitCode;

use cib::{Cib, Element};

use crate::answer::{self, Answer, Call};
use crate::args::{Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::{cibadmin, date, source};

const TOOL: Tool = Tool {
    name: "crm_rule",
    about: "evaluate rules from the Pacemaker configuration",
    flags: &[
        switch('c', "check", "Check whether a rule is in effect"),
        valued(
            'X',
            "xml-text",
            "XML",
            "Use argument for XML (or stdin if '-')",
        ),
        valued(
            'd',
            "date",
            "DATE",
            "Whether the rule is in effect on a given date",
        ),
        valued(
            'r',
            "rule",
            "ID",
            "The ID of the rule to check (may be given several times)",
        ),
    ],
};

/// Not a rule that this tool can judge.
const UNIMPLEMENTED: u8 = 3;

/// Runs `crm_rule` with its arguments.
pub(crate) fn crm_rule(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, run)
}

fn read(call: &Call<'_>) -> Result<Cib, Failure> {
    match call.given.value("xml-text") {
        Some("-") => source::read_cib("-"),
        Some(text) => source::parse_cib(text.to_owned(), "input"),
        None => cibadmin::read(&source::cib_file()?),
    }
}

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    if !given.has("check") {
        return Err(Failure::new(exit::USAGE, "No mode operation given"));
    }
    if !given.has("rule") {
        return Err(Failure::new(exit::USAGE, "--check requires use of --rule="));
    }
    let now = match given.value("date") {
        None => crate::simulate::clock(),
        Some(text) => scheduler::parse_time(text)
            .ok_or_else(|| Failure::new(exit::DATA, format!("Invalid date specified: '{text}'")))?,
    };
    let cib = read(call)?;
    let mut answer = Answer {
        xml: call.frame(),
        ..Answer::default()
    };
    for id in given.values("rule") {
        let (code, text) = match check(&cib, id, now) {
            Ok((code, text)) => (code, format!("Rule {id} {text}")),
            Err((code, why)) => {
                let text = format!("Could not determine whether rule {id} is in effect: {why}");
                answer.errors.push(text.clone());
                (code, text)
            }
        };
        if answer.errors.is_empty() || answer.errors.last() != Some(&text) {
            let _ = writeln!(answer.text, "{text}");
        }
        if let Some(frame) = &mut answer.xml {
            let root = frame.root;
            frame.add(
                root,
                "rule-check",
                &[("rule-id", id), ("rc", &code.to_string())],
            );
        }
        answer.code = code;
    }
    answer.plain_errors = true;
    Ok(answer)
}

/// Whether a rule is in effect: an exit code and the words for it, or why it cannot be told.
fn check(cib: &Cib, id: &str, now: i64) -> Result<(u8, &'static str), (u8, String)> {
    let configuration = cib.root().child("configuration").into_iter();
    let mut rules = configuration
        .flat_map(Element::descendants)
        .filter(|e| e.name() == "rule");
    let Some(rule) = rules.find(|r| r.id() == id) else {
        return Err((exit::NO_SUCH, "Rule not found".to_owned()));
    };
    let dates: Vec<Element<'_>> = rule
        .descendants()
        .filter(|e| e.name() == "date_expression")
        .collect();
    let [expression] = dates.as_slice() else {
        let why = if dates.is_empty() {
            "Rule does not have a date expression"
        } else {
            "Rule has more than one date expression"
        };
        return Err((UNIMPLEMENTED, why.to_owned()));
    };
    let bad = |name: &str| {
        let value = expression.attr(name).unwrap_or("");
        (exit::DATA, format!("{name}=\"{value}\" is no date"))
    };
    let at = |name: &str| match expression.attr(name) {
        None => Ok(None),
        Some(text) => scheduler::parse_time(text)
            .map(Some)
            .ok_or_else(|| bad(name)),
    };
    let (start, mut end) = (at("start")?, at("end")?);
    let operation = expression.attr("operation").unwrap_or("in_range");
    if let (Some(duration), Some(start), None) = (expression.child("duration"), start, end) {
        end = Some(date::after(start, &units(duration)));
    }
    const EFFECT: (u8, &str) = (exit::OK, "is still in effect");
    const EARLY: (u8, &str) = (exit::NOT_YET_IN_EFFECT, "has not yet taken effect");
    const EXPIRED: (u8, &str) = (exit::EXPIRED, "is expired");
    match operation {
        "gt" => Ok(if start.is_none_or(|s| now > s) {
            EFFECT
        } else {
            EARLY
        }),
        "lt" => Ok(if end.is_none_or(|e| now < e) {
            EFFECT
        } else {
            EXPIRED
        }),
        "in_range" => Ok(match (start, end) {
            (Some(start), _) if now < start => EARLY,
            (_, Some(end)) if now > end => EXPIRED,
            _ => EFFECT,
        }),
        "date_spec" => years(*expression, now),
        other => Err((UNIMPLEMENTED, format!("operation '{other}' is not known"))),
    }
}

fn units(duration: Element<'_>) -> date::Span {
    let number = |name: &str| {
        duration
            .attr(name)
            .and_then(|v| v.parse().ok())
            .unwrap_or(0)
    };
    date::Span {
        years: number("years"),
        months: number("months"),
        days: number("days") + 7 * number("weeks"),
        seconds: number("seconds") + 60 * number("minutes") + 3600 * number("hours"),
    }
}

/// Only of years can be told whether they will come again.
fn years(expression: Element<'_>, now: i64) -> Result<(u8, &'static str), (u8, String)> {
    let spec = expression.child("date_spec");
    let Some(range) = spec.and_then(|s| s.attr("years")) else {
        let why = "Rule must either not use date_spec, or use date_spec with years= but not moon=";
        return Err((UNIMPLEMENTED, why.to_owned()));
    };
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str, open: i64| {
        if text.is_empty() {
            Ok(open)
        } else {
            text.parse::<i64>()
        }
    };
    let (Ok(low), Ok(high)) = (number(low, i64::MIN), number(high, i64::MAX)) else {
        return Err((exit::DATA, format!("years=\"{range}\" is no range")));
    };
    let (year, _, _) = date::civil(now.div_euclid(86_400));
    Ok(if year < low {
        (exit::NOT_YET_IN_EFFECT, "has not yet taken effect")
    } else if year > high {
        (exit::EXPIRED, "is expired")
    } else {
        let others =
            spec.is_some_and(|s| s.attributes().any(|(n, _)| !matches!(n, "id" | "years")));
        if others {
            (exit::INDETERMINATE, "may or may not satisfy conditions now")
        } else {
            (exit::OK, "satisfies conditions")
        }
    })
}
