//! Rules, and blocks of names and values that rules guard.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use cib::{Document, Element};

use crate::dates;
use crate::model::Map;
use crate::text;

/// What rules are judged by; what is absent cannot match.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts<'m, 'a> {
    pub(crate) now: i64,
    pub(crate) node: Option<&'m Map<'a>>,
    /// Class, provider and type of a resource.
    pub(crate) agent: Option<(&'m str, Option<&'m str>, &'m str)>,
    /// Name and interval of an operation.
    pub(crate) op: Option<(&'m str, u32)>,
    pub(crate) params: Option<&'m Map<'a>>,
    pub(crate) meta: Option<&'m Map<'a>>,
    /// What a pattern matched: the whole, then its groups.
    pub(crate) groups: Option<&'m [String]>,
}

/// Most rules that one rule may take in by reference, however deep: they may refer to each other in
/// circles, or double at every step.
const HOPS_MAX: u32 = 1000;

/// Finds what `id-ref` names.
#[derive(Debug)]
pub(crate) struct References<'a> {
    document: &'a Document,
    index: std::cell::OnceCell<HashMap<&'a str, Element<'a>>>,
    /// How many references the rule at hand has followed.
    hops: std::cell::Cell<u32>,
}

impl<'a> References<'a> {
    pub(crate) fn new(document: &'a Document) -> Self {
        Self {
            document,
            index: std::cell::OnceCell::new(),
            hops: std::cell::Cell::new(0),
        }
    }

    /// The element itself, or the one it refers to.
    pub(crate) fn resolve(&self, element: Element<'a>) -> Option<Element<'a>> {
        let Some(reference) = element.attr("id-ref") else {
            return Some(element);
        };
        let index = self.index.get_or_init(|| {
            let mut index = HashMap::new();
            for e in self.document.root().descendants() {
                if let Some(id) = e.attr("id") {
                    index.entry(id).or_insert(e);
                }
            }
            index
        });
        index.get(reference).copied()
    }
}

/// Reads the blocks named `name` among `parents`' children into `out`.
///
/// Blocks count by descending score; of equal ones the last in the document counts most, and those
/// of the first parent count more than those of the others. The first value of a name stays, unless
/// `overwrite`.
pub(crate) fn read_blocks<'a>(
    references: &References<'a>,
    parents: &[Element<'a>],
    name: &str,
    facts: &Facts<'_, 'a>,
    (first, overwrite): (Option<&str>, bool),
    out: &mut Map<'a>,
) {
    let mut blocks: Vec<(bool, i32, Element<'a>)> = Vec::new();
    for parent in parents.iter().rev() {
        for child in parent.children().filter(|c| c.name() == name) {
            if let Some(block) = references.resolve(child) {
                let score = block.attr("score").map_or(0, text::parse_score);
                blocks.push((first == Some(block.id()), score, block));
            }
        }
    }
    blocks.reverse();
    if overwrite {
        blocks.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    } else {
        blocks.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.cmp(&a.1)));
    }
    for (_, _, block) in blocks {
        if block_applies(references, block, facts) {
            read_pairs(references, block, overwrite, out);
        }
    }
}

fn read_pairs<'a>(
    references: &References<'a>,
    block: Element<'a>,
    overwrite: bool,
    out: &mut Map<'a>,
) {
    let block = block.child("attributes").unwrap_or(block);
    for pair in block.children_named("nvpair") {
        let Some(target) = references.resolve(pair) else {
            continue;
        };
        let Some(name) = pair.attr("name").or_else(|| target.attr("name")) else {
            continue;
        };
        let Some(value) = target.attr("value") else {
            continue;
        };
        if value.eq_ignore_ascii_case("#default") {
            out.remove(name);
        } else if overwrite {
            out.insert(Cow::Borrowed(name), Cow::Borrowed(value));
        } else {
            out.entry(Cow::Borrowed(name))
                .or_insert(Cow::Borrowed(value));
        }
    }
}

/// Whether a block's rules (if any) hold: one of them suffices.
pub(crate) fn block_applies<'a>(
    references: &References<'a>,
    block: Element<'a>,
    facts: &Facts<'_, 'a>,
) -> bool {
    let mut rules = block.children_named("rule").peekable();
    rules.peek().is_none() || rules.any(|r| holds(references, r, facts))
}

/// Whether a rule holds.
pub(crate) fn holds<'a>(
    references: &References<'a>,
    rule: Element<'a>,
    facts: &Facts<'_, 'a>,
) -> bool {
    references.hops.set(0);
    part_holds(references, rule, facts)
}

fn part_holds<'a>(references: &References<'a>, rule: Element<'a>, facts: &Facts<'_, 'a>) -> bool {
    if rule.attr("id-ref").is_some() {
        let hops = references.hops.get() + 1;
        references.hops.set(hops);
        if hops > HOPS_MAX {
            return false;
        }
    }
    let Some(rule) = references.resolve(rule) else {
        return false;
    };
    let any = rule
        .attr("boolean-op")
        .is_some_and(|o| o.eq_ignore_ascii_case("or"));
    let mut conditions = 0;
    for condition in rule.children() {
        let result = match condition.name() {
            "rule" => part_holds(references, condition, facts),
            "expression" => attribute_holds(condition, facts),
            "date_expression" => date_holds(references, condition, facts.now),
            "rsc_expression" => agent_holds(condition, facts),
            "op_expression" => op_holds(condition, facts),
            _ => continue,
        };
        conditions += 1;
        if result == any {
            return any;
        }
    }
    conditions == 0 || !any
}

fn agent_holds(condition: Element<'_>, facts: &Facts<'_, '_>) -> bool {
    let Some((class, provider, kind)) = facts.agent else {
        return false;
    };
    let fits = |name, actual: Option<&str>| condition.attr(name).is_none_or(|w| Some(w) == actual);
    fits("class", Some(class)) && fits("provider", provider) && fits("type", Some(kind))
}

fn op_holds(condition: Element<'_>, facts: &Facts<'_, '_>) -> bool {
    let Some((name, interval)) = facts.op else {
        return false;
    };
    if condition.attr("name") != Some(name) {
        return false;
    }
    match condition.attr("interval") {
        None => true,
        Some(text) => {
            text::milliseconds(text).is_some() && text::interval_ms(Some(text)) == interval
        }
    }
}

/// Replaces `%1`..`%9` by what a pattern's groups matched.
pub(crate) fn substitute<'t>(text: &'t str, groups: Option<&[String]>) -> Cow<'t, str> {
    let Some(groups) = groups.filter(|_| text.contains('%')) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek().and_then(|d| d.to_digit(10)) {
            Some(digit) if c == '%' => {
                chars.next();
                if let Some(group) = groups.get(digit as usize) {
                    out.push_str(group);
                }
            }
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

pub(crate) fn attribute_holds(condition: Element<'_>, facts: &Facts<'_, '_>) -> bool {
    let (Some(name), Some(operation)) = (condition.attr("attribute"), condition.attr("operation"))
    else {
        return false;
    };
    let Some(attributes) = facts.node else {
        return false;
    };
    let name = substitute(name, facts.groups);
    let actual = attributes.get(name.as_ref()).map(AsRef::as_ref);
    let operation = operation.to_ascii_lowercase();
    match operation.as_str() {
        "defined" => return actual.is_some(),
        "not_defined" => return actual.is_none(),
        _ => {}
    }
    let Some(given) = condition.attr("value") else {
        return false;
    };
    let reference = match condition.attr("value-source").unwrap_or("literal") {
        "param" => facts.params.and_then(|p| p.get(given)).map(AsRef::as_ref),
        "meta" => facts.meta.and_then(|m| m.get(given)).map(AsRef::as_ref),
        _ => Some(given),
    };
    let ordering = matches!(operation.as_str(), "lt" | "gt" | "lte" | "gte");
    let kind = condition.attr("type").map_or_else(
        || default_type(ordering, actual, reference),
        str::to_ascii_lowercase,
    );
    compare(&operation, &kind, actual, reference)
}

fn default_type(ordering: bool, a: Option<&str>, b: Option<&str>) -> String {
    let kind = if !ordering {
        "string"
    } else if [a, b].into_iter().flatten().any(|v| v.contains('.')) {
        "number"
    } else {
        "integer"
    };
    kind.into()
}

fn compare(operation: &str, kind: &str, actual: Option<&str>, reference: Option<&str>) -> bool {
    let order = match (actual, reference) {
        (Some(a), Some(b)) => compare_values(kind, a, b),
        (None, None) if operation == "eq" => return true,
        (None, None) => return false,
        _ => return operation == "ne",
    };
    match operation {
        "eq" => order == Ordering::Equal,
        "ne" => order != Ordering::Equal,
        "lt" => order == Ordering::Less,
        "lte" => order != Ordering::Greater,
        "gt" => order == Ordering::Greater,
        "gte" => order != Ordering::Less,
        _ => false,
    }
}

fn compare_values(kind: &str, a: &str, b: &str) -> Ordering {
    match kind {
        "integer" => match (text::leading_int(a), text::leading_int(b)) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()),
        },
        "number" => match (leading_float(a), leading_float(b)) {
            (Some(x), Some(y)) => x.partial_cmp(&y).unwrap_or(Ordering::Equal),
            _ => a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()),
        },
        "version" => text::compare_versions(a, b),
        _ => a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()),
    }
}

fn leading_float(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let end = text
        .char_indices()
        .find(|(i, c)| !(c.is_ascii_digit() || *c == '.' || (*i == 0 && (*c == '-' || *c == '+'))))
        .map_or(text.len(), |(i, _)| i);
    text[..end].parse().ok()
}

pub(crate) fn date_holds<'a>(
    references: &References<'a>,
    condition: Element<'a>,
    now: i64,
) -> bool {
    let date = |name| condition.attr(name).and_then(|t| dates::parse(t, now));
    match condition
        .attr("operation")
        .unwrap_or("in_range")
        .to_ascii_lowercase()
        .as_str()
    {
        "gt" => date("start").is_some_and(|s| now > s),
        "lt" => date("end").is_some_and(|e| now < e),
        "in_range" => in_range(references, condition, now, (date("start"), date("end"))),
        "date_spec" => condition
            .child("date_spec")
            .and_then(|s| references.resolve(s))
            .is_some_and(|spec| spec_holds(spec, now)),
        _ => false,
    }
}

fn in_range<'a>(
    references: &References<'a>,
    condition: Element<'a>,
    now: i64,
    (start, end): (Option<i64>, Option<i64>),
) -> bool {
    if start.is_none() && end.is_none() {
        return false;
    }
    if start.is_some_and(|s| now < s) {
        return false;
    }
    let duration = condition
        .child("duration")
        .and_then(|d| references.resolve(d));
    let end = match (end, start, duration) {
        (None, Some(start), Some(duration)) => Some(add_duration(start, duration)),
        _ => end,
    };
    end.is_none_or(|e| now <= e)
}

fn add_duration(start: i64, duration: Element<'_>) -> i64 {
    let part = |name| duration.attr(name).and_then(text::leading_int).unwrap_or(0);
    let seconds = part("weeks") * 604_800
        + part("days") * 86_400
        + part("hours") * 3600
        + part("minutes") * 60
        + part("seconds");
    dates::add_calendar(start, part("years"), part("months"), seconds)
}

fn spec_holds(spec: Element<'_>, now: i64) -> bool {
    let f = dates::fields(now);
    let fits = |name, value: i64| {
        spec.attr(name)
            .is_none_or(|range| range_holds(range, value))
    };
    fits("seconds", f.second)
        && fits("minutes", f.minute)
        && fits("hours", f.hour)
        && fits("monthdays", f.day)
        && fits("weekdays", f.week_day)
        && fits("yeardays", f.year_day)
        && fits("months", f.month)
        && fits("weeks", f.week)
        && fits("years", f.year)
        && fits("weekyears", f.week_year)
}

fn range_holds(range: &str, value: i64) -> bool {
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let Some(low) = text::leading_int(low) else {
        return false;
    };
    let high = if high.is_empty() {
        Some(i64::MAX)
    } else {
        text::leading_int(high)
    };
    high.is_some_and(|high| (low..=high).contains(&value))
}
