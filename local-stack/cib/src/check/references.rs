//! Names, and what refers to them.

use std::collections::HashMap;

use super::{Checker, grammar, name_of};
use crate::xml::Element;
use grammar::Type;

/// Most cycles that are told: one is enough to know, the others may go with it.
const CYCLES_MAX: usize = 10;

impl<'a> Checker<'a> {
    /// Finds names that are given twice.
    pub(super) fn names(&mut self, configuration: Element<'a>) {
        for element in configuration.descendants() {
            let Some(id) = element.attr("id") else {
                continue;
            };
            let given = grammar::entry(element.name()).is_some_and(|entry| {
                let own = entry.attributes.iter().find(|a| a.name == "id");
                own.is_some_and(|a| a.kind == Type::New)
            });
            if !given {
                continue;
            }
            if let Some(first) = self.ids.get(id) {
                let at = first
                    .position()
                    .map_or(String::new(), |p| format!(" (line {})", p.line));
                let message = format!(
                    "the id is taken by {}{at}; give it another",
                    name_of(*first)
                );
                self.error(element, message);
            } else {
                self.ids.insert(id, element);
            }
        }
    }

    /// Finds references to nothing, and references in circles.
    pub(super) fn references(&mut self, configuration: Element<'a>) {
        for (element, name, value) in std::mem::take(&mut self.references) {
            if !self.ids.contains_key(value) {
                let message = format!("{name}=\"{value}\": there is nothing with this id");
                self.error(element, message);
                continue;
            }
            match name {
                "template" => self.template(element, value),
                "id-ref" => self.shared(element, value),
                _ => {}
            }
        }
        self.order_cycles(configuration);
    }

    fn template(&mut self, element: Element<'a>, value: &str) {
        let Some(target) = self.ids.get(value).copied() else {
            return;
        };
        if target.key() == element.key() {
            self.error(
                element,
                format!("template=\"{value}\": it cannot be its own template"),
            );
        } else if target.name() != "template" {
            let message = format!(
                "template=\"{value}\": that is a {}, not a template",
                name_of(target)
            );
            self.error(element, message);
        }
    }

    /// What `id-ref` names must be of the same kind, and not a reference itself: a chain could close.
    fn shared(&mut self, element: Element<'a>, value: &str) {
        let Some(target) = self.ids.get(value).copied() else {
            return;
        };
        let mut above = Some(element);
        while let Some(e) = above {
            if e.key() == target.key() {
                let message = format!("id-ref=\"{value}\": it is part of what it refers to");
                self.error(element, message);
                return;
            }
            above = e.parent();
        }
        if target.name() != element.name() {
            let message = format!("id-ref=\"{value}\": that is a {}", name_of(target));
            self.error(element, message);
        } else if target.attr("id-ref").is_some() {
            let message =
                format!("id-ref=\"{value}\": that is a reference itself; refer to its target");
            self.error(element, message);
        }
    }

    /// Mandatory orders of starts that go in a circle: none of the resources could ever start.
    fn order_cycles(&mut self, configuration: Element<'a>) {
        let constraints = configuration.child("constraints");
        let mut after: HashMap<&str, Vec<(&str, Element<'a>)>> = HashMap::new();
        for order in constraints
            .into_iter()
            .flat_map(|c| c.children_named("rsc_order"))
        {
            let plain = |name: &str| order.attr(name).is_none_or(|a| a == "start");
            let mandatory = order.attr("kind").is_none_or(|k| k == "Mandatory")
                && order
                    .attr("score")
                    .is_none_or(|s| s == "INFINITY" || s == "+INFINITY");
            if let (Some(first), Some(then)) = (order.attr("first"), order.attr("then"))
                && mandatory
                && plain("first-action")
                && plain("then-action")
            {
                after.entry(first).or_default().push((then, order));
            }
        }
        let mut state: HashMap<&str, bool> = HashMap::new();
        let mut starts: Vec<&str> = after.keys().copied().collect();
        starts.sort_unstable();
        let mut cycles = 0;
        for start in starts {
            if state.contains_key(start) {
                continue;
            }
            // The way here: resource, and which of its successors is next.
            let mut way: Vec<(&str, usize)> = vec![(start, 0)];
            state.insert(start, true);
            while let Some((at, next)) = way.last_mut() {
                let Some((then, order)) = after.get(at).and_then(|list| list.get(*next)) else {
                    state.insert(at, false);
                    way.pop();
                    continue;
                };
                *next += 1;
                match state.get(then) {
                    None => {
                        state.insert(then, true);
                        way.push((then, 0));
                    }
                    Some(true) if cycles < CYCLES_MAX => {
                        cycles += 1;
                        let begin = way.iter().position(|(r, _)| r == then).unwrap_or(0);
                        let mut names: Vec<&str> = way[begin..].iter().map(|(r, _)| *r).collect();
                        names.push(then);
                        let circle = names.join(" -> ");
                        let order = *order;
                        self.warn(
                            order,
                            format!("the orders go in a circle: {circle}; remove one"),
                        );
                    }
                    Some(_) => {}
                }
            }
        }
    }
}
