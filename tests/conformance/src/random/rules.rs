//! Random rules.

use cib::ElementId;

use super::sketch::{Feature, Sketch};

/// Appends a rule with one to three conditions.
pub(super) fn rule(s: &mut Sketch, parent: ElementId, attributes: &[(&str, &str)]) {
    let id = s.id("rule");
    let rule = s.add(parent, "rule", &[("id", &id)]);
    for (name, value) in attributes {
        s.set(rule, name, value);
    }
    let count = s.dice.range(1, 3);
    if count > 1 {
        let word = s.dice.word(&["and", "or"]);
        s.set(rule, "boolean-op", word);
    }
    for _ in 0..count {
        condition(s, rule);
    }
}

fn condition(s: &mut Sketch, rule: ElementId) {
    if s.uses(Feature::Date, 60) {
        date(s, rule);
        return;
    }
    let id = s.id("expr");
    let (attribute, operation, value) = match s.dice.below(8) {
        0 | 1 => {
            let node = s.some_node();
            ("#uname", s.dice.word(&["eq", "ne"]), node)
        }
        2 => {
            let kind = s.dice.word(&["cluster", "remote", "container"]);
            ("#kind", s.dice.word(&["eq", "ne"]), kind.to_owned())
        }
        3 | 4 => {
            let operation = s.dice.word(&["lt", "gt", "lte", "gte", "eq", "ne"]);
            ("rack", operation, s.dice.range(1, 12).to_string())
        }
        5 => {
            let operation = s.dice.word(&["defined", "not_defined"]);
            (s.dice.word(&["region", "rack"]), operation, String::new())
        }
        _ => {
            let region = s.dice.word(&["a", "b", "c"]);
            ("region", s.dice.word(&["eq", "ne"]), region.to_owned())
        }
    };
    let mut fields = vec![
        ("id", id.as_str()),
        ("attribute", attribute),
        ("operation", operation),
    ];
    if !value.is_empty() {
        fields.push(("value", &value));
    }
    if attribute == "rack" && !value.is_empty() && s.dice.chance(60) {
        fields.push(("type", s.dice.word(&["integer", "string", "version"])));
    }
    s.add(rule, "expression", &fields);
}

fn date(s: &mut Sketch, rule: ElementId) {
    let id = s.id("date");
    match s.dice.below(4) {
        0 => {
            let start = s
                .dice
                .word(&["2026-05-28T20:00:00Z", "2027-01-01", "2020-01-01"]);
            s.add(
                rule,
                "date_expression",
                &[("id", &id), ("operation", "gt"), ("start", start)],
            );
        }
        1 => {
            let end = s
                .dice
                .word(&["2026-05-28T21:00:00Z", "2027-01-01", "2020-01-01"]);
            s.add(
                rule,
                "date_expression",
                &[("id", &id), ("operation", "lt"), ("end", end)],
            );
        }
        2 => {
            let range = s.dice.word(&["2026-05-28T20:00:00Z", "2026-06-01"]);
            s.add(
                rule,
                "date_expression",
                &[
                    ("id", &id),
                    ("operation", "in_range"),
                    ("start", range),
                    ("end", "2026-07-01"),
                ],
            );
        }
        _ => {
            let expression = s.add(
                rule,
                "date_expression",
                &[("id", &id), ("operation", "date_spec")],
            );
            let id = s.id("spec");
            let name = s.dice.word(&["hours", "weekdays", "months", "years"]);
            let value = s.dice.word(&["20", "1-5", "5-23", "2026", "3-4"]);
            s.add(expression, "date_spec", &[("id", &id), (name, value)]);
        }
    }
}
