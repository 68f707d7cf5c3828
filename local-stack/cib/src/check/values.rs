//! Values of attributes, and attributes that belong together.

use super::Checker;
use super::grammar::Type;
use crate::xml::Element;

/// Whether a value is of a type.
///
/// # Errors
/// What would be right.
pub(super) fn check(kind: Type, value: &str) -> Result<(), String> {
    let number = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    match kind {
        Type::Text | Type::Reference => Ok(()),
        Type::New if is_name(value) => Ok(()),
        Type::New => Err(
            "no identifier; it begins with a letter or _ and goes on with letters, digits, \
                          '.', '-' and '_'"
                .to_owned(),
        ),
        Type::Score if number(value) || matches!(value, "INFINITY" | "+INFINITY" | "-INFINITY") => {
            Ok(())
        }
        Type::Score => Err("no score; write a whole number, INFINITY or -INFINITY".to_owned()),
        Type::Integer if number(value) => Ok(()),
        Type::Integer => Err("no whole number".to_owned()),
        Type::Count if number(value) && !value.starts_with('-') => Ok(()),
        Type::Count => Err("no whole number from 0 on".to_owned()),
        Type::Boolean if matches!(value, "true" | "false" | "1" | "0") => Ok(()),
        Type::Boolean => Err("write true or false".to_owned()),
        Type::Date if is_date(value) => Ok(()),
        Type::Date => Err("no date; write it as 2026-01-31 or 2026-01-31 12:00:00Z".to_owned()),
        Type::Choice(words) if words.split(' ').any(|w| w == value) => Ok(()),
        Type::Choice(words) => {
            let words: Vec<&str> = words.split(' ').collect();
            Err(format!("write one of {}", words.join(", ")))
        }
    }
}

fn is_name(value: &str) -> bool {
    let mut chars = value.chars();
    let first = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    first && chars.all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '\u{b7}'))
}

/// Whether a text looks like a date of ISO 8601: what is a date exactly is for those who use it; what
/// no reading could make one of is found here.
fn is_date(value: &str) -> bool {
    let value = value.trim();
    let date = value.split(['T', ' ', 't']).next().unwrap_or("");
    let time = &value[date.len()..];
    let digits: Vec<&str> = date.split('-').collect();
    let all = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let in_range = |text: &str, low: u32, high: u32| {
        text.parse().is_ok_and(|n: u32| (low..=high).contains(&n))
    };
    let good_date = match digits.as_slice() {
        [year] => all(year) && matches!(year.len(), 4 | 7 | 8),
        [year, rest] if all(year) => {
            let month = rest.len() <= 2 && in_range(rest, 1, 12);
            let day = rest.len() == 3 && in_range(rest, 1, 366);
            let week = rest.strip_prefix('W').is_some_and(|w| in_range(w, 1, 53));
            month || day || week
        }
        [year, week, day] if week.starts_with('W') => {
            all(year) && in_range(&week[1..], 1, 53) && in_range(day, 1, 7)
        }
        [year, month, day] => all(year) && in_range(month, 1, 12) && in_range(day, 1, 31),
        _ => value.starts_with('P') || date.is_empty() && !value.is_empty(),
    };
    let good_time = time.chars().all(|c| {
        c.is_ascii_digit() || matches!(c, ':' | '.' | '+' | '-' | ' ' | 'T' | 'Z' | 't' | 'z')
    });
    value == "epoch" || (good_date && good_time)
}

/// Whether an element has what makes sense together.
pub(super) fn shape<'a>(checker: &mut Checker<'a>, element: Element<'a>) {
    let has = |name: &str| element.attr(name).is_some();
    let set = element.child("resource_set").is_some();
    let message = match element.name() {
        "primitive" if has("template") && (has("class") || has("type")) => {
            "template, or class and type: not both"
        }
        "primitive" if !(has("template") || has("class") && has("type")) => {
            "class and type are missing (or template)"
        }
        "primitive" | "template" if element.attr("class") == Some("ocf") && !has("provider") => {
            "an agent of class ocf has a provider; for those of the distribution it is heartbeat"
        }
        "group" if element.child("primitive").is_none() => "a group has at least one <primitive>",
        "clone" | "master"
            if element.child("primitive").is_none() && element.child("group").is_none() =>
        {
            "there is nothing to clone; put a <primitive> or a <group> in it"
        }
        "op" if !(has("id-ref") || has("name") && has("interval")) => {
            "name and interval are missing (interval=\"0\" for an operation that does not recur)"
        }
        "nvpair" if !has("id-ref") && !has("name") => "name is missing",
        "meta_attributes"
        | "instance_attributes"
        | "utilization"
        | "cluster_property_set"
        | "rule"
        | "resource_set"
        | "op"
        | "nvpair"
            if !has("id") && !has("id-ref") =>
        {
            "attribute id is missing"
        }
        "rsc_location" if !set && !has("rsc") && !has("rsc-pattern") => {
            "which resource? write rsc, rsc-pattern or a <resource_set>"
        }
        "rsc_location" if element.child("rule").is_none() && !(has("node") && has("score")) => {
            "where? write node and score, or a <rule>"
        }
        "rsc_colocation" if !(set || has("rsc") && has("with-rsc")) => {
            "which resources? write rsc and with-rsc, or <resource_set>"
        }
        "rsc_order" if !(set || has("first") && has("then")) => {
            "which resources? write first and then, or <resource_set>"
        }
        "rsc_ticket" if !set && !has("rsc") => "which resource? write rsc, or a <resource_set>",
        _ => return,
    };
    checker.error(element, message.to_owned());
}
