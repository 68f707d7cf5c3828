//! Whether a configuration says something that can be meant: every error at once, each with its place.

mod grammar;
mod references;
mod values;

use std::collections::HashMap;
use std::fmt;

use crate::cib::Cib;
use crate::xml::{Element, Position};
use grammar::{Entry, Type};

/// Most problems that are told; a file with more has one cause, and it is among the first.
pub const PROBLEMS_MAX: usize = 200;

/// Something wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, if the text came from one.
    pub file: Option<String>,
    /// Where the element begins.
    pub position: Option<Position>,
    /// Which element: `<name id="...">`.
    pub element: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Whether it makes the configuration unusable.
    pub fatal: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(position) = self.position {
            write!(f, "{position}:")?;
        }
        if self.file.is_some() || self.position.is_some() {
            f.write_str(" ")?;
        }
        write!(f, "{}: {}", self.element, self.message)
    }
}

/// Collects problems.
pub(crate) struct Checker<'a> {
    problems: Vec<(Element<'a>, String, bool)>,
    /// Names given, and to what.
    ids: HashMap<&'a str, Element<'a>>,
    /// References, to be looked up when all names are known.
    references: Vec<(Element<'a>, &'static str, &'a str)>,
    file: Option<String>,
}

/// Whether a schema is one that is known: `pacemaker-X.Y`, or `none` for no schema at all.
pub fn known_schema(name: &str) -> bool {
    if name == "none" || name == "pacemaker-next" {
        return true;
    }
    let version = name
        .strip_prefix("pacemaker-")
        .and_then(|v| v.split_once('.'));
    let Some((major, minor)) = version else {
        return false;
    };
    let newest = match major {
        "1" => 3,
        "2" => 10,
        "3" => 10,
        "4" => 0,
        _ => return false,
    };
    minor.parse().is_ok_and(|m: u32| m <= newest)
}

/// Checks a configuration: its vocabulary, values, names and references.
pub fn check(cib: &Cib) -> Vec<Problem> {
    let root = cib.root();
    let mut checker = Checker {
        problems: Vec::new(),
        ids: HashMap::new(),
        references: Vec::new(),
        file: cib.document().file().map(str::to_owned),
    };
    match root.attr("validate-with") {
        Some("none") => {
            let message = "validate-with=\"none\" turns the check of the vocabulary off";
            checker.warn(root, message.to_owned());
        }
        Some(name) if !known_schema(name) => {
            let message = format!(
                "validate-with=\"{name}\" is no schema that is known; the newest that Debian 12 reads is \
                 pacemaker-3.9"
            );
            checker.error(root, message);
        }
        _ => checker.vocabulary(root),
    }
    if let Some(configuration) = root.child("configuration") {
        checker.names(configuration);
        checker.references(configuration);
    }
    checker.finish()
}

impl<'a> Checker<'a> {
    pub(crate) fn error(&mut self, element: Element<'a>, message: String) {
        self.problems.push((element, message, true));
    }

    pub(crate) fn warn(&mut self, element: Element<'a>, message: String) {
        self.problems.push((element, message, false));
    }

    fn finish(mut self) -> Vec<Problem> {
        let total = self.problems.len();
        // In the order of the text.
        self.problems.sort_by_key(|(element, ..)| element.key());
        self.problems.truncate(PROBLEMS_MAX);
        let left = total - self.problems.len();
        let mut list: Vec<Problem> = self
            .problems
            .iter()
            .map(|(element, message, fatal)| Problem {
                file: self.file.clone(),
                position: element.position(),
                element: name_of(*element),
                message: message.clone(),
                fatal: *fatal,
            })
            .collect();
        if left > 0
            && let Some(last) = list.last_mut()
        {
            last.message
                .push_str(&format!(" (and {left} more problems)"));
        }
        list
    }

    fn vocabulary(&mut self, root: Element<'a>) {
        let mut stack = vec![root];
        while let Some(element) = stack.pop() {
            let Some(entry) = grammar::entry(element.name()) else {
                continue;
            };
            self.attributes(element, entry);
            values::shape(self, element);
            for child in element.children() {
                if !entry.children.contains(&child.name()) {
                    self.misplaced(element, child, entry);
                } else if child.name() != "status" {
                    stack.push(child);
                }
            }
        }
        if root.name() == "cib" {
            self.sections(root);
        }
    }

    fn misplaced(&mut self, parent: Element<'a>, child: Element<'a>, entry: &Entry) {
        let (name, inside) = (child.name(), parent.name());
        let known: Vec<String> = entry.children.iter().map(|c| format!("<{c}>")).collect();
        let message = if known.is_empty() {
            format!("does not belong in <{inside}>, which has no elements in it")
        } else {
            let near = nearest(name, &entry.children);
            let hint = near.map_or(String::new(), |n| format!("; did you mean <{n}>?"));
            format!(
                "does not belong in <{inside}>; there may be {}{hint}",
                known.join(" ")
            )
        };
        self.error(child, message);
    }

    fn sections(&mut self, root: Element<'a>) {
        let Some(configuration) = root.child("configuration") else {
            self.error(root, "<configuration> is missing".to_owned());
            return;
        };
        for section in ["crm_config", "nodes", "resources", "constraints"] {
            if configuration.child(section).is_none() {
                self.error(configuration, format!("<{section}/> is missing"));
            }
        }
    }

    fn attributes(&mut self, element: Element<'a>, entry: &'static Entry) {
        let free = entry.attributes.iter().any(|a| a.name == "*");
        for (name, value) in element.attributes() {
            let Some(known) = entry.attributes.iter().find(|a| a.name == name) else {
                // Names in a namespace belong to others.
                if !free && !name.contains(':') {
                    let names: Vec<&str> = entry.attributes.iter().map(|a| a.name).collect();
                    let near = nearest(name, &names);
                    let hint = near.map_or_else(
                        || format!("there are {}", names.join(", ")),
                        |n| format!("did you mean {n}?"),
                    );
                    self.error(element, format!("there is no attribute {name}; {hint}"));
                }
                continue;
            };
            match known.kind {
                Type::Reference => self.references.push((element, known.name, value)),
                kind => {
                    if let Err(message) = values::check(kind, value) {
                        self.error(element, format!("{name}=\"{value}\": {message}"));
                    }
                }
            }
        }
        for attribute in &entry.attributes {
            if attribute.required && element.attr(attribute.name).is_none() {
                self.error(element, format!("attribute {} is missing", attribute.name));
            }
        }
    }
}

/// What an element is called in messages.
fn name_of(element: Element<'_>) -> String {
    match element.attr("id") {
        Some(id) => format!("<{} id=\"{id}\">", element.name()),
        None => format!("<{}>", element.name()),
    }
}

/// The known word that a wrong one was probably meant to be: at most two letters differ.
fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let distance = |other: &str| {
        let (a, b): (Vec<char>, Vec<char>) = (word.chars().collect(), other.chars().collect());
        if a.len().abs_diff(b.len()) > 2 {
            return usize::MAX;
        }
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.iter().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, y) in b.iter().enumerate() {
                let change = diagonal + usize::from(x != y);
                diagonal = row[j + 1];
                row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
            }
        }
        row[b.len()]
    };
    let best = known.iter().map(|k| (distance(k), *k)).min()?;
    (best.0 <= 2).then_some(best.1)
}

#[cfg(test)]
mod tests;
