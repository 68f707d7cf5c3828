//! Merging one element into another.

use crate::arrange::Child;
use crate::xml::{Document, Element, ElementId, Kind};

/// The element at or below `root` that has the name and id of `wanted`.
pub(super) fn find(document: &Document, root: ElementId, wanted: Element<'_>) -> Option<ElementId> {
    let same = |e: &Element<'_>| e.name() == wanted.name() && e.attr("id") == wanted.attr("id");
    let found = document.element(root).descendants().find(same);
    found.map(Element::key)
}

/// Sets the attributes of `source` and merges its children: those that have a counterpart with the same
/// name and id are merged, others are added.
pub(super) fn merge(document: &mut Document, target: ElementId, source: Element<'_>) {
    for (name, value) in source.attributes() {
        let value = match document.element(target).attr(name) {
            Some(old) => counted(name, old, value).unwrap_or_else(|| value.to_owned()),
            None => value.to_owned(),
        };
        document.set_attr(target, name, &value);
    }
    // Depth is bounded by the reader of `source`.
    for child in source.document().counted(source.key()) {
        merge_child(document, target, source.document(), child);
    }
}

fn merge_child(document: &mut Document, target: ElementId, source: &Document, child: Child) {
    if child.kind != Kind::Element {
        let text = source.comment(child.id);
        let known = document
            .counted(target)
            .iter()
            .any(|c| c.kind == child.kind && document.comment(c.id) == text);
        if !known {
            document.append_any(target, source, child);
        }
        return;
    }
    let element = source.element(ElementId(child.id));
    let counterpart = document.element(target).children().find(|c| {
        c.name() == element.name() && element.attr("id").is_none_or(|id| c.attr("id") == Some(id))
    });
    match counterpart.map(Element::key) {
        Some(counterpart) => merge(document, counterpart, element),
        None => {
            document.append_copy(target, source, element.key());
        }
    }
}

/// `NAME++` and `NAME+=N` count on from the present value.
fn counted(name: &str, old: &str, value: &str) -> Option<String> {
    let change = value.strip_prefix(name)?;
    let amount: i64 = match change {
        "++" => 1,
        _ => change.strip_prefix("+=")?.parse().ok()?,
    };
    let old: i64 = old.parse().unwrap_or(0);
    Some(old.saturating_add(amount).to_string())
}
