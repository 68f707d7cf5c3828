//! The truth table of a rule: each condition with the value it met.

use cib::Element;

use super::Row;
use crate::plan::Plan;
use crate::rules::{self, Facts};

/// Most rows of a table: rules that refer to each other in circles would fill it for ever.
const ROWS_MAX: usize = 200;

impl<'a> Plan<'a> {
    /// One row for each rule and condition, the outermost rule first.
    pub(super) fn truth_table(&self, rule: Element<'a>, facts: &Facts<'_, 'a>) -> Vec<Row> {
        let mut rows = Vec::new();
        self.add_rows(rule, facts, 0, &mut rows);
        rows
    }

    fn add_rows(
        &self,
        written: Element<'a>,
        facts: &Facts<'_, 'a>,
        depth: usize,
        rows: &mut Vec<Row>,
    ) {
        if rows.len() >= ROWS_MAX || depth >= ROWS_MAX {
            return;
        }
        let Some(element) = self.references.resolve(written) else {
            return;
        };
        let row = |condition: String, holds: bool| Row {
            depth,
            id: element.id().to_owned(),
            condition,
            holds,
        };
        match element.name() {
            "rule" => {
                let any = element
                    .attr("boolean-op")
                    .is_some_and(|o| o.eq_ignore_ascii_case("or"));
                let which = if any { "any of" } else { "all of" };
                let holds = rules::holds(&self.references, element, facts);
                rows.push(row(which.to_owned(), holds));
                for condition in element.children() {
                    self.add_rows(condition, facts, depth + 1, rows);
                }
            }
            "expression" => {
                let holds = rules::attribute_holds(element, facts);
                rows.push(row(expression(element, facts), holds));
            }
            "date_expression" => {
                let holds = rules::date_holds(&self.references, element, facts.now);
                rows.push(row(self.date(element, facts.now), holds));
            }
            _ => {}
        }
    }

    fn date(&self, element: Element<'a>, now: i64) -> String {
        let mut text = format!("date {}", element.attr("operation").unwrap_or("in_range"));
        for name in ["start", "end"] {
            if let Some(value) = element.attr(name) {
                text += &format!(" {name} {value}");
            }
        }
        for name in ["date_spec", "duration"] {
            let spec = element.child(name);
            if let Some(spec) = spec.and_then(|s| self.references.resolve(s)) {
                let fields = spec.attributes().filter(|(n, _)| *n != "id");
                let fields: Vec<String> = fields.map(|(n, v)| format!("{n} {v}")).collect();
                text += &format!(" {}", fields.join(", "));
            }
        }
        format!("{text} (it is {})", crate::dates::text(now))
    }
}

fn expression(element: Element<'_>, facts: &Facts<'_, '_>) -> String {
    let name = element.attr("attribute").unwrap_or("?");
    let name = rules::substitute(name, facts.groups);
    let operation = element.attr("operation").unwrap_or("?");
    let actual = facts.node.and_then(|n| n.get(name.as_ref()));
    let actual = actual.map_or_else(|| "not defined".to_owned(), |v| format!("'{v}'"));
    match element.attr("value") {
        Some(value) => {
            let source = element.attr("value-source").unwrap_or("literal");
            let given = match source {
                "literal" => format!("'{value}'"),
                other => format!("{other} '{value}'"),
            };
            format!("{name} {operation} {given} (it is {actual})")
        }
        None => format!("{name} {operation} (it is {actual})"),
    }
}
