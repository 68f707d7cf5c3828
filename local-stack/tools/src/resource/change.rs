//! Changing the parameters of resources.

use cib::{Cib, Element, ElementId, request};

use super::tool::Run;
use crate::args::Given;
use crate::cibadmin;
use crate::exit::{self, Failure};

/// The kind of block that parameters are in.
pub(super) fn block(given: &Given) -> &'static str {
    if given.has("meta") {
        "meta_attributes"
    } else if given.has("utilization") {
        "utilization"
    } else {
        "instance_attributes"
    }
}

/// The value's element, with its set, if it exists.
fn pair_of(run: &Run<'_>, element: Element<'_>, name: &str) -> Option<(ElementId, ElementId)> {
    let given = run.given;
    let kind = block(given);
    let sets = element.children().filter(|s| s.name() == kind);
    let mut sets = sets.filter(|s| given.value("set-name").is_none_or(|n| s.id() == n));
    sets.find_map(|set| {
        let mut pairs = set.children().filter(|p| p.name() == "nvpair");
        let fits = |p: &Element<'_>| {
            p.attr("name") == Some(name) && given.value("nvpair").is_none_or(|n| p.id() == n)
        };
        pairs.find(fits).map(|p| (set.key(), p.key()))
    })
}

/// Sets a parameter. Returns what there is to say.
pub(super) fn set(run: &Run<'_>, cib: &mut Cib) -> Result<String, Failure> {
    let given = run.given;
    let id = run.resource()?;
    let name = given.value("set-parameter").unwrap_or("");
    let Some(value) = given.value("parameter-value") else {
        let message = "You need to supply a value with the -v option";
        return Err(Failure::new(exit::USAGE, message));
    };
    let element = target(run, cib, id)?;
    if let Some((_, pair)) = pair_of(run, cib.document().element(element), name) {
        cib.document_mut().set_attr(pair, "value", value);
        let pair = cib.document().element(pair).id();
        return Ok(format!(
            "Set '{id}' option: id={pair} name={name} value={value}\n"
        ));
    }
    let kind = block(given);
    let element_id = cib.document().element(element).id().to_owned();
    let sets = cib
        .document()
        .element(element)
        .children()
        .filter(|s| s.name() == kind);
    let known = sets
        .filter(|s| given.value("set-name").is_none_or(|n| s.id() == n))
        .find(|s| s.attr("id").is_some());
    let (set, set_id) = match known {
        Some(set) => (set.key(), set.id().to_owned()),
        None => {
            let id = given.value("set-name").map(str::to_owned);
            let id = id.unwrap_or_else(|| format!("{element_id}-{kind}"));
            let document = cib.document_mut();
            let set = document.append(element, kind);
            document.set_attr(set, "id", &id);
            (set, id)
        }
    };
    let pair_id = given.value("nvpair").map(str::to_owned);
    let pair_id = pair_id.unwrap_or_else(|| format!("{set_id}-{name}"));
    let document = cib.document_mut();
    let pair = document.append(set, "nvpair");
    document.set_attr(pair, "id", &pair_id);
    document.set_attr(pair, "name", name);
    document.set_attr(pair, "value", value);
    Ok(format!(
        "Set '{id}' option: id={pair_id} set={set_id} name={name} value={value}\n"
    ))
}

/// The element whose parameters are meant: of a meta-attribute of something cloned, the clone, unless
/// `--force` says otherwise.
fn target(run: &Run<'_>, cib: &Cib, id: &str) -> Result<ElementId, Failure> {
    let missing = || Failure::new(exit::NO_SUCH, format!("{id} is not configured"));
    let element = super::find(cib, id).ok_or_else(missing)?;
    let parent = element
        .parent()
        .filter(|p| matches!(p.name(), "clone" | "master"));
    let cloned = parent.filter(|_| run.given.has("meta") && !run.given.has("force"));
    Ok(cloned.unwrap_or(element).key())
}

/// Removes a parameter. Returns what there is to say.
pub(super) fn unset(run: &Run<'_>, cib: &mut Cib) -> Result<String, Failure> {
    let id = run.resource()?;
    let name = run.given.value("delete-parameter").unwrap_or("");
    let element = target(run, cib, id)?;
    let Some((_, pair)) = pair_of(run, cib.document().element(element), name) else {
        return Ok(String::new());
    };
    let pair_id = cib.document().element(pair).id().to_owned();
    cib.document_mut().remove(pair);
    Ok(format!("Deleted '{id}' option: id={pair_id} name={name}\n"))
}

/// Deletes a resource.
pub(super) fn delete(run: &Run<'_>, cib: &mut Cib) -> Result<String, Failure> {
    let Some(kind) = run.given.value("resource-type") else {
        let message = "You need to specify a resource type with -t";
        return Err(Failure::new(exit::NO_SUCH, message));
    };
    let Some(id) = run.given.value("resource") else {
        return Err(Failure::new(
            exit::USAGE,
            "Must supply a resource ID with -r",
        ));
    };
    let mut data = cib::Document::new(kind);
    let root = data.root().key();
    data.set_attr(root, "id", id);
    let mut request = request::Request::new(request::Operation::Delete, Some(data));
    request.section = Some("resources".to_owned());
    // The caller counts the change.
    let version = cib.version();
    request::apply(cib, &request).map_err(|e| cibadmin::refused(&e))?;
    cib.set_version(version);
    Ok(String::new())
}
