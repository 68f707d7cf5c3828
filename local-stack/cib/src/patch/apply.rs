//! Applying patches.

use super::PatchError;
use crate::arrange::Child;
use crate::cib::{Cib, Version};
use crate::digest;
use crate::xml::{Document, Element, ElementId, Kind};

/// A change whose place has been found.
enum Step {
    Delete(u32),
    Modify(ElementId, usize),
    /// Position, parent, and the element of the patch that is created.
    Create(usize, ElementId, Child),
    /// Position and node.
    Move(usize, u32),
}

/// Applies a patch to a CIB: wholly, or not at all.
///
/// # Errors
/// The patch does not fit; see [`PatchError`]. The CIB is as it was.
pub fn apply(cib: &mut Cib, patch: &Document) -> Result<(), PatchError> {
    let mut changed = cib.document.clone();
    apply_to(&mut changed, patch)?;
    cib.document = changed;
    Ok(())
}

fn shape<T>(message: impl Into<String>) -> Result<T, PatchError> {
    Err(PatchError::Shape(message.into()))
}

fn apply_to(document: &mut Document, patch: &Document) -> Result<(), PatchError> {
    let root = patch.root();
    if root.name() != "diff" {
        let name = root.name();
        return shape(format!(
            "the root element is <{name}>; a patch's is <diff format=\"2\">"
        ));
    }
    match root.attr("format") {
        Some("2") => {}
        Some(other) => {
            return shape(format!(
                "patches of format {other} are not read, only of format 2"
            ));
        }
        None => return shape("the patch does not say its format; only format 2 is read"),
    }
    let target = check_versions(document, root)?;
    let changes: Vec<Element<'_>> = root.children_named("change").collect();
    let mut steps = Vec::with_capacity(changes.len());
    for (number, change) in changes.iter().enumerate() {
        steps.push(locate(document, *change, number)?);
    }
    run(document, patch, &changes, steps)?;
    if let Some(target) = target {
        let key = document.root().key();
        document.set_attr(key, "admin_epoch", &target.admin_epoch.to_string());
        document.set_attr(key, "epoch", &target.epoch.to_string());
        document.set_attr(key, "num_updates", &target.num_updates.to_string());
    }
    if let Some(expected) = root.attr("digest") {
        let found = digest::of_content(document);
        if found != expected {
            let expected = expected.to_owned();
            return Err(PatchError::Digest { expected, found });
        }
    }
    Ok(())
}

fn version_of(element: Element<'_>) -> Version {
    let part = |name| element.attr(name).and_then(|v| v.parse().ok()).unwrap_or(0);
    Version {
        admin_epoch: part("admin_epoch"),
        epoch: part("epoch"),
        num_updates: part("num_updates"),
    }
}

/// Whether the patch is for this version; the version that it makes, if it says.
fn check_versions(document: &Document, root: Element<'_>) -> Result<Option<Version>, PatchError> {
    let Some(versions) = root.child("version") else {
        return Ok(None);
    };
    let target = versions.child("target").map(version_of);
    if let Some(source) = versions.child("source") {
        let source = version_of(source);
        let present = version_of(document.root());
        if source != present {
            if let Some(target) = target.filter(|t| *t <= present) {
                return Err(PatchError::Old { target, present });
            }
            return Err(PatchError::Version {
                source_version: source,
                present,
            });
        }
    }
    Ok(target)
}

fn locate(document: &Document, change: Element<'_>, number: usize) -> Result<Step, PatchError> {
    let number = number + 1;
    let path = change.attr("path").unwrap_or("");
    let operation = change.attr("operation").unwrap_or("");
    let position: Option<usize> = match change.attr("position") {
        None => None,
        Some(text) => match text.parse() {
            Ok(position) => Some(position),
            Err(_) => return shape(format!("change {number}: position '{text}' is no number")),
        },
    };
    let missing = || PatchError::Missing {
        number,
        operation: operation.to_owned(),
        path: path.to_owned(),
    };
    match operation {
        "delete" | "move" => {
            let found = match path.strip_suffix("/comment") {
                Some(parent) => path_element(document, parent).and_then(|parent| {
                    let children = document.counted(parent);
                    let child = children.get(position?)?;
                    (child.kind == Kind::Comment).then_some(child.id)
                }),
                None => by_place(document, path, position.filter(|_| operation == "delete")),
            };
            let id = found.ok_or_else(missing)?;
            if id == document.root().key().0 {
                return shape(format!("change {number}: the root cannot be {operation}d"));
            }
            Ok(match operation {
                "delete" => Step::Delete(id),
                _ => Step::Move(position.unwrap_or(usize::MAX), id),
            })
        }
        "create" => {
            let parent = path_element(document, path).ok_or_else(missing)?;
            let patch = change.document();
            let Some(child) = patch.counted(change.key()).first().copied() else {
                return shape(format!("change {number}: there is nothing to create"));
            };
            Ok(Step::Create(position.unwrap_or(usize::MAX), parent, child))
        }
        "modify" => {
            let element = path_element(document, path).ok_or_else(missing)?;
            Ok(Step::Modify(element, number - 1))
        }
        other => shape(format!(
            "change {number}: operation '{other}' is not known; there are create, modify, delete, move"
        )),
    }
}

/// The element of a path; of several that only their place tells apart, the one at `position`.
fn by_place(document: &Document, path: &str, position: Option<usize>) -> Option<u32> {
    let first = path_element(document, path)?;
    let (Some(position), Some(parent)) = (position, document.element(first).parent()) else {
        return Some(first.0);
    };
    let name = document.element(first).name();
    let children = document.counted(parent.key());
    let there = children.get(position);
    let there = there
        .filter(|c| c.kind == Kind::Element && document.element(ElementId(c.id)).name() == name);
    Some(there.map_or(first.0, |c| c.id))
}

fn run(
    document: &mut Document,
    patch: &Document,
    changes: &[Element<'_>],
    steps: Vec<Step>,
) -> Result<(), PatchError> {
    let mut later = Vec::new();
    for step in steps {
        match step {
            Step::Delete(id) => document.detach(id),
            Step::Modify(element, number) => modify(document, element, changes[number], number)?,
            Step::Create(position, parent, child) => {
                let id = document.append_any(parent, patch, child);
                document.detach(id);
                later.push((position, parent, id));
            }
            Step::Move(position, id) => {
                let parent = ElementId(document.node(id).parent);
                document.detach(id);
                later.push((position, parent, id));
            }
        }
    }
    // From the front, so that every position is that of the finished list.
    later.sort_by_key(|(position, ..)| *position);
    for (position, parent, id) in later {
        document.insert_at(parent, position, id);
    }
    Ok(())
}

fn modify(
    document: &mut Document,
    element: ElementId,
    change: Element<'_>,
    number: usize,
) -> Result<(), PatchError> {
    let Some(list) = change.child("change-list") else {
        return shape(format!("change {}: <change-list> is missing", number + 1));
    };
    for attribute in list.children_named("change-attr") {
        let Some(name) = attribute.attr("name") else {
            return shape(format!(
                "change {}: an attribute without a name",
                number + 1
            ));
        };
        match (attribute.attr("operation"), attribute.attr("value")) {
            (Some("set"), Some(value)) => document.set_attr(element, name, value),
            (Some("unset"), _) => {
                document.remove_attr(element, name);
            }
            _ => {
                let number = number + 1;
                return shape(format!(
                    "change {number}: attribute {name} is neither set nor unset"
                ));
            }
        }
    }
    Ok(())
}

/// The element of a path in the form that patches use: `/name/name[@id='x']...`.
pub fn path_element(document: &Document, path: &str) -> Option<ElementId> {
    let mut rest = path.strip_prefix('/')?;
    let mut at: Option<Element<'_>> = None;
    while !rest.is_empty() {
        let end = rest.find(['/', '[']).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = &rest[end..];
        let mut id = None;
        if let Some(inside) = rest.strip_prefix("[@id=") {
            let quote = inside.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
            let (value, after) = inside[1..].split_once(&format!("{quote}]"))?;
            id = Some(value);
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('/') {
            rest = after;
        } else if !rest.is_empty() {
            return None;
        }
        let fits =
            |e: &Element<'_>| e.name() == name && id.is_none_or(|id| e.attr("id") == Some(id));
        at = match at {
            None => Some(document.root()).filter(fits),
            Some(parent) => parent.children().find(fits),
        };
        at?;
    }
    at.map(Element::key)
}
