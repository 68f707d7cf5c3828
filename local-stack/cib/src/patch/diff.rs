//! Making patches.

use std::collections::HashMap;

use crate::arrange::Child;
use crate::cib::Version;
use crate::digest;
use crate::xml::{Document, Element, ElementId, Kind};

/// What a patch says about versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Whether the versions stand in the patch.
    pub versions: bool,
    /// Whether the digest of the result stands in the patch.
    pub digest: bool,
}

/// One element with its counterpart.
struct Pair {
    old: ElementId,
    new: ElementId,
}

struct Maker<'a> {
    old: &'a Document,
    new: &'a Document,
    patch: Document,
    deletes: Vec<(String, Option<usize>)>,
    options: Options,
}

/// The patch that makes `new` out of `old`; none if they do not differ. What differs only in the order
/// of attributes does not differ.
pub fn diff(old: &Document, new: &Document, options: Options) -> Option<Document> {
    let mut patch = Document::new("diff");
    let root = patch.root().key();
    patch.set_attr(root, "format", "2");
    let mut maker = Maker {
        old,
        new,
        patch,
        deletes: Vec::new(),
        options,
    };
    let (a, b) = (old.root(), new.root());
    if a.name() != b.name() || a.attr("id") != b.attr("id") {
        return None;
    }
    if options.versions {
        maker.versions();
    }
    let before = maker.patch.root().children().count();
    let pair = Pair {
        old: a.key(),
        new: b.key(),
    };
    maker.find_deletes(&pair, &own_step(a));
    for (path, position) in std::mem::take(&mut maker.deletes) {
        let change = maker.change("delete", &path);
        if let Some(position) = position {
            let position = position.to_string();
            maker.patch.set_attr(change, "position", &position);
        }
    }
    maker.compare(&pair, &own_step(b));
    if maker.patch.root().children().count() == before {
        return None;
    }
    if options.digest {
        let digest = digest::of_content(new);
        maker.patch.set_attr(root, "digest", &digest);
    }
    Some(maker.patch)
}

/// The last step of the path to an element.
fn own_step(element: Element<'_>) -> String {
    match element.attr("id") {
        Some(id) => format!("/{}[@id='{id}']", element.name()),
        None => format!("/{}", element.name()),
    }
}

fn version_of(element: Element<'_>) -> Version {
    let part = |name| element.attr(name).and_then(|v| v.parse().ok()).unwrap_or(0);
    Version {
        admin_epoch: part("admin_epoch"),
        epoch: part("epoch"),
        num_updates: part("num_updates"),
    }
}

impl Maker<'_> {
    fn versions(&mut self) {
        let root = self.patch.root().key();
        let list = self.patch.append(root, "version");
        let both = [("source", self.old), ("target", self.new)];
        for (name, document) in both {
            let version = version_of(document.root());
            let element = self.patch.append(list, name);
            for (name, value) in [
                ("admin_epoch", version.admin_epoch),
                ("epoch", version.epoch),
                ("num_updates", version.num_updates),
            ] {
                self.patch.set_attr(element, name, &value.to_string());
            }
        }
    }

    fn change(&mut self, operation: &str, path: &str) -> ElementId {
        let root = self.patch.root().key();
        let change = self.patch.append(root, "change");
        self.patch.set_attr(change, "operation", operation);
        self.patch.set_attr(change, "path", path);
        change
    }

    /// The children of both elements, each old one with its counterpart among the new ones.
    fn matches(&self, pair: &Pair) -> (Vec<Child>, Vec<Child>, Vec<Option<usize>>) {
        let old = self.old.counted(pair.old);
        let new = self.new.counted(pair.new);
        let mut free: HashMap<(Sort, &str, Option<&str>), Vec<usize>> = HashMap::new();
        for (place, child) in new.iter().enumerate().rev() {
            let key = key_of(self.new, *child);
            free.entry(key).or_default().push(place);
        }
        let found = old
            .iter()
            .map(|child| free.get_mut(&key_of(self.old, *child)).and_then(Vec::pop))
            .collect();
        (old, new, found)
    }

    fn find_deletes(&mut self, pair: &Pair, path: &str) {
        let (old, new, found) = self.matches(pair);
        for (place, child) in old.iter().enumerate() {
            match (child.kind, found[place]) {
                (Kind::Element, Some(other)) => {
                    let both = Pair {
                        old: ElementId(child.id),
                        new: ElementId(new[other].id),
                    };
                    let step = own_step(self.old.element(both.old));
                    self.find_deletes(&both, &format!("{path}{step}"));
                }
                (Kind::Element, None) => {
                    let element = self.old.element(ElementId(child.id));
                    let step = own_step(element);
                    // Without an id only its place tells it from its like.
                    let place = element.attr("id").is_none().then_some(place);
                    self.deletes.push((format!("{path}{step}"), place));
                }
                (Kind::Comment, None) => {
                    self.deletes.push((format!("{path}/comment"), Some(place)));
                }
                _ => {}
            }
        }
    }

    fn compare(&mut self, pair: &Pair, path: &str) {
        self.attributes(pair, path);
        let (old, new, found) = self.matches(pair);
        let mut counterpart: Vec<Option<usize>> = vec![None; new.len()];
        for (place, other) in found.iter().enumerate() {
            if let Some(other) = other {
                counterpart[*other] = Some(place);
            }
        }
        // Ranks among what is on both sides tell what moved.
        let mut kept: Vec<usize> = counterpart.iter().flatten().copied().collect();
        kept.sort_unstable();
        let mut rank = 0;
        for (place, child) in new.iter().enumerate() {
            let Some(other) = counterpart[place] else {
                if child.kind != Kind::Instruction {
                    let change = self.change("create", path);
                    self.patch.set_attr(change, "position", &place.to_string());
                    self.patch.append_any(change, self.new, *child);
                }
                continue;
            };
            let moved = kept[rank] != other;
            rank += 1;
            if child.kind == Kind::Element {
                let both = Pair {
                    old: ElementId(old[other].id),
                    new: ElementId(child.id),
                };
                let step = own_step(self.new.element(both.new));
                let path = format!("{path}{step}");
                self.compare(&both, &path);
                if moved {
                    let change = self.change("move", &path);
                    self.patch.set_attr(change, "position", &place.to_string());
                }
            }
        }
    }

    fn attributes(&mut self, pair: &Pair, path: &str) {
        let (a, b) = (self.old.element(pair.old), self.new.element(pair.new));
        // Versions have their own place; without it they stay out altogether.
        let is_root = a.parent().is_none();
        let left_out = |name: &str| {
            is_root
                && !self.options.versions
                && matches!(name, "admin_epoch" | "epoch" | "num_updates")
        };
        let set: Vec<(&str, &str)> = b
            .attributes()
            .filter(|(name, value)| a.attr(name) != Some(value) && !left_out(name))
            .collect();
        let unset: Vec<&str> = a
            .attributes()
            .map(|(name, _)| name)
            .filter(|name| b.attr(name).is_none() && !left_out(name))
            .collect();
        if set.is_empty() && unset.is_empty() {
            return;
        }
        let change = self.change("modify", path);
        let list = self.patch.append(change, "change-list");
        let mut one = |name: &str, value: Option<&str>| {
            let element = self.patch.append(list, "change-attr");
            self.patch.set_attr(element, "name", name);
            let operation = if value.is_some() { "set" } else { "unset" };
            self.patch.set_attr(element, "operation", operation);
            if let Some(value) = value {
                self.patch.set_attr(element, "value", value);
            }
        };
        for (name, value) in set {
            one(name, Some(value));
        }
        for name in unset {
            one(name, None);
        }
        let result = self.patch.append(change, "change-result");
        let copy = self.patch.append(result, b.name());
        for (name, value) in b.attributes() {
            self.patch.set_attr(copy, name, value);
        }
    }
}

/// What a child is matched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sort {
    Element,
    Other,
}

fn key_of(document: &Document, child: Child) -> (Sort, &str, Option<&str>) {
    if child.kind == Kind::Element {
        let element = document.element(ElementId(child.id));
        return (Sort::Element, element.name(), element.attr("id"));
    }
    (Sort::Other, document.comment(child.id), None)
}
