//! What a CIB says about a resource, and `crm_resource`.

mod agents;
mod change;
mod digests;
mod place;
mod show;
mod tool;

pub(crate) use tool::crm_resource;

use cib::{Cib, Element, Section};

/// The configuration of a resource, by its identifier with or without an instance number.
pub(crate) fn find<'a>(cib: &'a Cib, id: &str) -> Option<Element<'a>> {
    const KINDS: [&str; 5] = ["primitive", "group", "clone", "master", "bundle"];
    let resources = cib.section(Section::Resources)?;
    let plain = id.split(':').next().unwrap_or(id);
    let named = |name: &str| {
        let mut all = resources.descendants();
        all.find(|e| KINDS.contains(&e.name()) && e.id() == name)
    };
    named(id).or_else(|| named(plain))
}

/// A meta-attribute of a resource: its own, that of what it is in, of its template, or the default.
pub(crate) fn meta(cib: &Cib, id: &str, name: &str) -> Option<String> {
    let mut element = find(cib, id);
    while let Some(e) = element.filter(|e| e.name() != "resources") {
        if let Some(value) = value_in(e, "meta_attributes", name) {
            return Some(value);
        }
        let template = e
            .attr("template")
            .and_then(|t| cib.document().find_by_id(t));
        if let Some(value) = template.and_then(|t| value_in(t, "meta_attributes", name)) {
            return Some(value);
        }
        element = e.parent();
    }
    let defaults = cib.section(Section::ResourceDefaults)?;
    value_in(defaults, "meta_attributes", name)
}

/// A value in one of the blocks of an element.
pub(crate) fn value_in(element: Element<'_>, block: &str, name: &str) -> Option<String> {
    let blocks = element.children().filter(|c| c.name() == block);
    let mut pairs = blocks.flat_map(Element::children);
    let pair = pairs.find(|p| p.attr("name") == Some(name))?;
    pair.attr("value").map(str::to_owned)
}
