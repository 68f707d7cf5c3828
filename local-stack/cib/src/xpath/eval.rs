//! Evaluating expressions.

use std::cell::Cell;
use std::collections::HashMap;

use super::WORK_MAX;
use super::parse::{Axis, Expression, Operator, Step, Test};
use crate::xml::{Document, ElementId, Kind, NONE};

/// A node: an element, text or comment of the arena, an attribute of one, or the document itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Item {
    /// `NONE` for the document itself.
    node: u32,
    /// Which attribute, from 1; 0 for the node.
    attribute: u32,
}

const DOCUMENT: Item = Item {
    node: NONE,
    attribute: 0,
};

#[derive(Debug, Clone)]
enum Value {
    Nodes(Vec<Item>),
    Number(f64),
    Text(String),
    Truth(bool),
}

struct Run<'a> {
    document: &'a Document,
    /// Place of every node in document order.
    order: HashMap<u32, u32>,
    work: Cell<u64>,
}

#[derive(Clone, Copy)]
struct Context {
    item: Item,
    position: usize,
    size: usize,
}

/// Whether there is a function with this name and so many arguments.
pub(super) fn check_call(name: &str, arguments: usize) -> Result<(), String> {
    let range = match name {
        "last" | "position" | "true" | "false" => 0..=0,
        "count" | "not" | "boolean" | "sum" | "floor" | "ceiling" | "round" | "id" => 1..=1,
        "name" | "local-name" | "string" | "number" | "string-length" | "normalize-space" => 0..=1,
        "contains" | "starts-with" | "substring-before" | "substring-after" => 2..=2,
        "substring" => 2..=3,
        "translate" => 3..=3,
        "concat" => 2..=usize::MAX,
        other => return Err(format!("there is no function {other}() here")),
    };
    if range.contains(&arguments) {
        return Ok(());
    }
    Err(format!("{name}() does not take {arguments} arguments"))
}

pub(super) fn elements(
    expression: &Expression,
    document: &Document,
) -> Result<Vec<ElementId>, String> {
    let mut order = HashMap::new();
    let mut number = 0;
    let mut stack = vec![document.root];
    while let Some(node) = stack.pop() {
        order.insert(node, number);
        number += 1;
        let begin = stack.len();
        let mut child = document.node(node).first_child;
        while child != NONE {
            stack.push(child);
            child = document.node(child).next;
        }
        stack[begin..].reverse();
    }
    let run = Run {
        document,
        order,
        work: Cell::new(0),
    };
    let context = Context {
        item: DOCUMENT,
        position: 1,
        size: 1,
    };
    let Value::Nodes(items) = run.value(expression, context)? else {
        return Err("this gives a value, not elements of the CIB".to_owned());
    };
    let mut found: Vec<ElementId> = Vec::new();
    for item in items {
        let mut node = item.node;
        while node != NONE && document.node(node).kind != Kind::Element {
            node = document.node(node).parent;
        }
        if node != NONE && found.last() != Some(&ElementId(node)) {
            found.push(ElementId(node));
        }
    }
    Ok(found)
}

fn number_of(text: &str) -> f64 {
    text.trim().parse().unwrap_or(f64::NAN)
}

fn text_of_number(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    format!("{number}")
}

impl Run<'_> {
    fn step_taken(&self, amount: usize) -> Result<(), String> {
        let work = self.work.get() + amount as u64 + 1;
        self.work.set(work);
        if work > WORK_MAX {
            return Err("evaluating this takes too long".to_owned());
        }
        Ok(())
    }

    fn value(&self, expression: &Expression, context: Context) -> Result<Value, String> {
        self.step_taken(0)?;
        Ok(match expression {
            Expression::Number(number) => Value::Number(*number),
            Expression::Text(text) => Value::Text(text.clone()),
            Expression::Negative(inside) => {
                Value::Number(-self.number(&self.value(inside, context)?))
            }
            Expression::Binary(operator, left, right) => {
                return self.binary(*operator, (left, right), context);
            }
            Expression::Call(name, arguments) => return self.call(name, arguments, context),
            Expression::Path {
                absolute,
                start,
                filters,
                steps,
            } => {
                let mut items = match (start, absolute) {
                    (Some(start), _) => match self.value(start, context)? {
                        Value::Nodes(items) => items,
                        _ => return Err("a path begins with something that is no node".to_owned()),
                    },
                    (None, true) => vec![DOCUMENT],
                    (None, false) => vec![context.item],
                };
                for filter in filters {
                    items = self.filtered(items, filter)?;
                }
                for step in steps {
                    items = self.stepped(&items, step)?;
                }
                Value::Nodes(items)
            }
        })
    }

    fn binary(
        &self,
        operator: Operator,
        (left, right): (&Expression, &Expression),
        context: Context,
    ) -> Result<Value, String> {
        let a = self.value(left, context)?;
        match operator {
            Operator::Or if self.truth(&a) => return Ok(Value::Truth(true)),
            Operator::And if !self.truth(&a) => return Ok(Value::Truth(false)),
            _ => {}
        }
        let b = self.value(right, context)?;
        let arithmetic =
            |f: fn(f64, f64) -> f64| Value::Number(f(self.number(&a), self.number(&b)));
        Ok(match operator {
            Operator::Or | Operator::And => Value::Truth(self.truth(&b)),
            Operator::Plus => arithmetic(|x, y| x + y),
            Operator::Minus => arithmetic(|x, y| x - y),
            Operator::Times => arithmetic(|x, y| x * y),
            Operator::Divide => arithmetic(|x, y| x / y),
            Operator::Modulo => arithmetic(|x, y| x % y),
            Operator::Union => match (a, b) {
                (Value::Nodes(mut items), Value::Nodes(others)) => {
                    items.extend(others);
                    Value::Nodes(self.sorted(items))
                }
                _ => return Err("'|' stands between node sets only".to_owned()),
            },
            _ => Value::Truth(self.compare(operator, &a, &b)?),
        })
    }

    fn compare(&self, operator: Operator, a: &Value, b: &Value) -> Result<bool, String> {
        match (a, b) {
            (Value::Nodes(items), Value::Nodes(others)) => {
                self.step_taken(items.len().saturating_mul(others.len()))?;
                let texts: Vec<String> = others.iter().map(|i| self.text_of(*i)).collect();
                Ok(items.iter().any(|item| {
                    let text = self.text_of(*item);
                    texts
                        .iter()
                        .any(|other| compare_texts(operator, &text, other))
                }))
            }
            (Value::Nodes(_), Value::Truth(other)) => Ok(compare_numbers(
                operator,
                f64::from(self.truth(a)),
                f64::from(*other),
            )),
            (Value::Truth(one), Value::Nodes(_)) => Ok(compare_numbers(
                operator,
                f64::from(*one),
                f64::from(self.truth(b)),
            )),
            (Value::Nodes(items), other) | (other, Value::Nodes(items)) => {
                let swapped = !matches!(a, Value::Nodes(_));
                Ok(items.iter().any(|item| {
                    let text = Value::Text(self.text_of(*item));
                    if swapped {
                        self.compare_plain(operator, other, &text)
                    } else {
                        self.compare_plain(operator, &text, other)
                    }
                }))
            }
            _ => Ok(self.compare_plain(operator, a, b)),
        }
    }

    fn compare_plain(&self, operator: Operator, a: &Value, b: &Value) -> bool {
        let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
        match (a, b) {
            (Value::Truth(_), _) | (_, Value::Truth(_)) if equality => {
                compare_numbers(operator, f64::from(self.truth(a)), f64::from(self.truth(b)))
            }
            (Value::Text(a), Value::Text(b)) => compare_texts(operator, a, b),
            _ => compare_numbers(operator, self.number(a), self.number(b)),
        }
    }

    fn truth(&self, value: &Value) -> bool {
        match value {
            Value::Nodes(items) => !items.is_empty(),
            Value::Number(number) => *number != 0.0 && !number.is_nan(),
            Value::Text(text) => !text.is_empty(),
            Value::Truth(truth) => *truth,
        }
    }

    fn number(&self, value: &Value) -> f64 {
        match value {
            Value::Number(number) => *number,
            Value::Truth(truth) => f64::from(*truth),
            Value::Text(text) => number_of(text),
            Value::Nodes(_) => number_of(&self.text(value)),
        }
    }

    fn text(&self, value: &Value) -> String {
        match value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => text_of_number(*number),
            Value::Truth(truth) => truth.to_string(),
            Value::Nodes(items) => items.first().map_or(String::new(), |i| self.text_of(*i)),
        }
    }

    fn text_of(&self, item: Item) -> String {
        if item.attribute > 0 {
            let element = self.document.element(ElementId(item.node));
            let attribute = element.attributes().nth(item.attribute as usize - 1);
            return attribute.map_or(String::new(), |(_, value)| value.to_owned());
        }
        let root = if item.node == NONE {
            self.document.root
        } else {
            item.node
        };
        let node = self.document.node(root);
        if node.kind != Kind::Element {
            return self.document.comment(root).to_owned();
        }
        let mut text = String::new();
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            let node = self.document.node(id);
            match node.kind {
                Kind::Text => text.push_str(self.document.comment(id)),
                Kind::Element => {
                    let begin = stack.len();
                    let mut child = node.first_child;
                    while child != NONE {
                        stack.push(child);
                        child = self.document.node(child).next;
                    }
                    stack[begin..].reverse();
                }
                Kind::Comment | Kind::Instruction => {}
            }
        }
        text
    }

    fn sorted(&self, mut items: Vec<Item>) -> Vec<Item> {
        let place = |item: &Item| {
            let order = self.order.get(&item.node).map_or(0, |o| o + 1);
            (order, item.attribute)
        };
        items.sort_by_key(place);
        items.dedup();
        items
    }

    fn filtered(&self, items: Vec<Item>, filter: &Expression) -> Result<Vec<Item>, String> {
        let size = items.len();
        let mut kept = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let context = Context {
                item,
                position: i + 1,
                size,
            };
            let keep = match self.value(filter, context)? {
                #[allow(
                    clippy::cast_precision_loss,
                    clippy::float_cmp,
                    reason = "positions are small"
                )]
                Value::Number(number) => number == context.position as f64,
                other => self.truth(&other),
            };
            if keep {
                kept.push(item);
            }
        }
        Ok(kept)
    }

    fn stepped(&self, items: &[Item], step: &Step) -> Result<Vec<Item>, String> {
        let mut all = Vec::new();
        for item in items {
            let mut found = self.along(*item, step.axis)?;
            found.retain(|i| self.fits(*i, step));
            for predicate in &step.predicates {
                found = self.filtered(found, predicate)?;
            }
            all.extend(found);
        }
        Ok(self.sorted(all))
    }

    fn fits(&self, item: Item, step: &Step) -> bool {
        if item.attribute > 0 {
            let element = self.document.element(ElementId(item.node));
            let name = element.attributes().nth(item.attribute as usize - 1);
            return match &step.test {
                Test::Name(wanted) => name.is_some_and(|(name, _)| name == wanted),
                Test::Any | Test::Node => true,
                Test::Text | Test::Comment => false,
            };
        }
        if item.node == NONE {
            return step.test == Test::Node;
        }
        let kind = self.document.node(item.node).kind;
        match &step.test {
            Test::Node => true,
            Test::Text => kind == Kind::Text,
            Test::Comment => kind == Kind::Comment,
            Test::Any => kind == Kind::Element,
            Test::Name(name) => {
                kind == Kind::Element && self.document.element(ElementId(item.node)).name() == name
            }
        }
    }

    fn children(&self, item: Item) -> Vec<Item> {
        if item.attribute > 0 {
            return Vec::new();
        }
        let mut child = if item.node == NONE {
            return vec![Item {
                node: self.document.root,
                attribute: 0,
            }];
        } else {
            self.document.node(item.node).first_child
        };
        let mut list = Vec::new();
        while child != NONE {
            list.push(Item {
                node: child,
                attribute: 0,
            });
            child = self.document.node(child).next;
        }
        list
    }

    fn parent(&self, item: Item) -> Option<Item> {
        if item.node == NONE {
            return None;
        }
        if item.attribute > 0 {
            return Some(Item {
                attribute: 0,
                ..item
            });
        }
        let node = self.document.node(item.node).parent;
        Some(Item { node, attribute: 0 })
    }

    fn below(&self, item: Item) -> Result<Vec<Item>, String> {
        let mut list = Vec::new();
        let mut stack = self.children(item);
        stack.reverse();
        while let Some(next) = stack.pop() {
            self.step_taken(0)?;
            list.push(next);
            let begin = stack.len();
            stack.extend(self.children(next));
            stack[begin..].reverse();
        }
        Ok(list)
    }

    fn along(&self, item: Item, axis: Axis) -> Result<Vec<Item>, String> {
        let mut ancestors = Vec::new();
        if matches!(axis, Axis::Ancestor | Axis::AncestorOrSelf) {
            let mut at = self.parent(item);
            while let Some(next) = at {
                ancestors.push(next);
                at = self.parent(next);
            }
        }
        let siblings = |after: bool| {
            let all = self.parent(item).map_or(Vec::new(), |p| self.children(p));
            let place = all.iter().position(|i| *i == item).unwrap_or(all.len());
            if after {
                all.into_iter().skip(place + 1).collect::<Vec<_>>()
            } else {
                all.into_iter().take(place).rev().collect()
            }
        };
        let list = match axis {
            Axis::Child => self.children(item),
            Axis::Oneself => vec![item],
            Axis::Parent => self.parent(item).into_iter().collect(),
            Axis::Ancestor => ancestors,
            Axis::AncestorOrSelf => std::iter::once(item).chain(ancestors).collect(),
            Axis::Descendant => self.below(item)?,
            Axis::DescendantOrSelf => std::iter::once(item).chain(self.below(item)?).collect(),
            Axis::FollowingSibling => siblings(true),
            Axis::PrecedingSibling => siblings(false),
            Axis::Following | Axis::Preceding => {
                let mut list = Vec::new();
                let mut at = Some(item);
                while let Some(here) = at {
                    let all = self.parent(here).map_or(Vec::new(), |p| self.children(p));
                    let place = all.iter().position(|i| *i == here).unwrap_or(all.len());
                    let range = if axis == Axis::Following {
                        all.get(place + 1..).unwrap_or(&[])
                    } else {
                        &all[..place]
                    };
                    for sibling in range {
                        list.push(*sibling);
                        list.extend(self.below(*sibling)?);
                    }
                    at = self.parent(here);
                }
                let mut list = self.sorted(list);
                if axis == Axis::Preceding {
                    list.reverse();
                }
                list
            }
            Axis::Attribute if item.attribute == 0 && item.node != NONE => {
                let count = self.document.node(item.node).attributes_count;
                let is_element = self.document.node(item.node).kind == Kind::Element;
                let count = if is_element { count } else { 0 };
                (1..=count)
                    .map(|attribute| Item { attribute, ..item })
                    .collect()
            }
            Axis::Attribute => Vec::new(),
        };
        self.step_taken(list.len())?;
        Ok(list)
    }

    fn call(
        &self,
        name: &str,
        arguments: &[Expression],
        context: Context,
    ) -> Result<Value, String> {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.value(argument, context)?);
        }
        let own = || Value::Nodes(vec![context.item]);
        let first = || values.first().cloned().unwrap_or_else(own);
        let text = |i: usize| values.get(i).map_or(String::new(), |v| self.text(v));
        #[allow(clippy::cast_precision_loss, reason = "positions are small")]
        let count = |n: usize| Value::Number(n as f64);
        Ok(match name {
            "last" => count(context.size),
            "position" => count(context.position),
            "true" => Value::Truth(true),
            "false" => Value::Truth(false),
            "not" => Value::Truth(!self.truth(&first())),
            "boolean" => Value::Truth(self.truth(&first())),
            "number" => Value::Number(self.number(&first())),
            "string" => Value::Text(self.text(&first())),
            "floor" => Value::Number(self.number(&first()).floor()),
            "ceiling" => Value::Number(self.number(&first()).ceil()),
            "round" => Value::Number((self.number(&first()) + 0.5).floor()),
            "string-length" => count(self.text(&first()).chars().count()),
            "contains" => Value::Truth(text(0).contains(&text(1))),
            "starts-with" => Value::Truth(text(0).starts_with(&text(1))),
            "concat" => Value::Text((0..values.len()).map(text).collect()),
            "substring-before" => {
                let whole = text(0);
                let part = whole.split_once(&text(1)).map_or("", |(before, _)| before);
                Value::Text(part.to_owned())
            }
            "substring-after" => {
                let whole = text(0);
                let part = whole.split_once(&text(1)).map_or("", |(_, after)| after);
                Value::Text(part.to_owned())
            }
            "substring" => {
                let from = self.number(&values[1]).round();
                let to = values
                    .get(2)
                    .map_or(f64::INFINITY, |v| from + self.number(v).round());
                let whole = text(0);
                let kept = (1_u32..)
                    .zip(whole.chars())
                    .filter(|(i, _)| f64::from(*i) >= from && f64::from(*i) < to);
                Value::Text(kept.map(|(_, c)| c).collect())
            }
            "normalize-space" => {
                let text = self.text(&first());
                Value::Text(text.split_whitespace().collect::<Vec<_>>().join(" "))
            }
            "translate" => {
                let (from, to): (Vec<char>, Vec<char>) =
                    (text(1).chars().collect(), text(2).chars().collect());
                let change = |c: char| match from.iter().position(|f| *f == c) {
                    Some(place) => to.get(place).copied(),
                    None => Some(c),
                };
                Value::Text(text(0).chars().filter_map(change).collect())
            }
            "name" | "local-name" | "count" | "sum" | "id" => return self.of_nodes(name, first()),
            other => return Err(format!("there is no function {other}() here")),
        })
    }

    fn of_nodes(&self, name: &str, value: Value) -> Result<Value, String> {
        if name == "id" {
            let wanted = self.text(&value);
            let found = wanted
                .split_whitespace()
                .filter_map(|id| self.document.find_by_id(id))
                .map(|e| Item {
                    node: e.key().0,
                    attribute: 0,
                });
            return Ok(Value::Nodes(self.sorted(found.collect())));
        }
        let Value::Nodes(items) = value else {
            return Err(format!("{name}() is about nodes"));
        };
        #[allow(
            clippy::cast_precision_loss,
            reason = "there are fewer nodes than that"
        )]
        let answer = match name {
            "count" => Value::Number(items.len() as f64),
            "sum" => Value::Number(items.iter().map(|i| number_of(&self.text_of(*i))).sum()),
            _ => Value::Text(items.first().map_or(String::new(), |i| self.name_of(*i))),
        };
        Ok(answer)
    }

    fn name_of(&self, item: Item) -> String {
        if item.node == NONE || self.document.node(item.node).kind != Kind::Element {
            return String::new();
        }
        let element = self.document.element(ElementId(item.node));
        if item.attribute > 0 {
            let attribute = element.attributes().nth(item.attribute as usize - 1);
            return attribute.map_or(String::new(), |(name, _)| name.to_owned());
        }
        element.name().to_owned()
    }
}

#[allow(clippy::float_cmp, reason = "XPath compares numbers exactly")]
fn compare_numbers(operator: Operator, a: f64, b: f64) -> bool {
    match operator {
        Operator::Equal => a == b,
        Operator::NotEqual => a != b,
        Operator::Less => a < b,
        Operator::LessEqual => a <= b,
        Operator::Greater => a > b,
        Operator::GreaterEqual => a >= b,
        _ => false,
    }
}

fn compare_texts(operator: Operator, a: &str, b: &str) -> bool {
    match operator {
        Operator::Equal => a == b,
        Operator::NotEqual => a != b,
        _ => compare_numbers(operator, number_of(a), number_of(b)),
    }
}
