//! Reading and writing one attribute.

use cib::{Cib, Element, ElementId, Section};

use super::{Key, Scope};
use crate::exit::{self, Failure};
use crate::{cibadmin, live};

/// How often a change is made anew because another came in between.
const TRIES: u32 = 5;

/// The value of an attribute.
///
/// # Errors
/// The node is not there.
pub(super) fn get(cib: &Cib, key: &Key) -> Result<Option<String>, Failure> {
    let blocks: Vec<Element<'_>> = match &key.scope {
        Scope::Transient(node) => {
            let id = node_id(cib, node)?;
            let states = cib.section(Section::Status).into_iter();
            let state = states.flat_map(Element::children).find(|s| s.id() == id);
            let outer = state.and_then(|s| s.child("transient_attributes"));
            outer.into_iter().flat_map(Element::children).collect()
        }
        Scope::Node(node) | Scope::Utilization(node) => {
            let wanted = block(&key.scope);
            let element = node_element(cib, node)?;
            let all = element.into_iter().flat_map(Element::children);
            all.filter(|c| c.name() == wanted).collect()
        }
        Scope::Section(name) => {
            let configuration = cib.section(Section::Configuration);
            let section = configuration.and_then(|c| c.child(name));
            section.into_iter().flat_map(Element::children).collect()
        }
    };
    let mine = |block: &Element<'_>| key.set.as_deref().is_none_or(|set| block.id() == set);
    let mut pairs = blocks
        .into_iter()
        .filter(mine)
        .flat_map(Element::children)
        .filter(|pair| pair.attr("name") == Some(&key.name));
    Ok(pairs
        .next()
        .and_then(|pair| pair.attr("value").map(str::to_owned)))
}

/// Sets an attribute, or deletes it.
///
/// # Errors
/// The node is not there, or the cluster refuses.
pub(super) fn put(place: &str, key: &Key, value: Option<&str>) -> Result<(), Failure> {
    if let (Scope::Transient(node), true) = (&key.scope, live::is(place)) {
        return live::set(place, Some(node), &key.name, value);
    }
    for _ in 1..TRIES {
        match put_once(place, key, value) {
            Err(failure) if failure.code == exit::OLD => {}
            end => return end,
        }
    }
    put_once(place, key, value)
}

fn put_once(place: &str, key: &Key, value: Option<&str>) -> Result<(), Failure> {
    let cib = cibadmin::read(place)?;
    let mut changed = cib.clone();
    if let Scope::Transient(node) = &key.scope {
        let id = node_id(&cib, node)?;
        changed.set_transient_attribute(&id, node, &key.name, value);
    } else {
        change(&mut changed, key, value)?;
        if changed.to_text() == cib.to_text() {
            return Ok(());
        }
        changed.bump_epoch();
    }
    let answer = cibadmin::store(&cib, &changed, place)?;
    if answer.code == exit::OK {
        return Ok(());
    }
    Err(Failure::new(answer.code, answer.errors.join("\n")))
}

fn change(cib: &mut Cib, key: &Key, value: Option<&str>) -> Result<(), Failure> {
    let (holder, default_set) = match &key.scope {
        Scope::Section(name) => {
            let section = cib.section_or_append(match *name {
                "rsc_defaults" => Section::ResourceDefaults,
                "op_defaults" => Section::OperationDefaults,
                _ => Section::Options,
            });
            let set = match *name {
                "rsc_defaults" => "rsc_defaults-options".to_owned(),
                "op_defaults" => "op_defaults-options".to_owned(),
                _ => "cib-bootstrap-options".to_owned(),
            };
            (section, set)
        }
        scope => {
            let node = scope.node().unwrap_or_default();
            let element = node_element(cib, node)?;
            let element = element.ok_or_else(|| unknown(node))?;
            let suffix = if matches!(scope, Scope::Utilization(_)) {
                "-utilization"
            } else {
                ""
            };
            let set = format!("nodes-{}{suffix}", element.id());
            (element.key(), set)
        }
    };
    let wanted = block(&key.scope);
    let set = key.set.clone().unwrap_or(default_set);
    write(cib, holder, wanted, &set, key, value);
    Ok(())
}

fn write(
    cib: &mut Cib,
    holder: ElementId,
    wanted: &str,
    set: &str,
    key: &Key,
    value: Option<&str>,
) {
    let holder_element = cib.document().element(holder);
    let blocks = holder_element.children().filter(|c| c.name() == wanted);
    let named = |block: &Element<'_>| key.set.as_deref().is_none_or(|set| block.id() == set);
    let known = blocks.filter(named).find_map(|block| {
        let mut pairs = block.children();
        pairs.find(|pair| pair.attr("name") == Some(&key.name))
    });
    let known = known.map(Element::key);
    let document = cib.document_mut();
    match (known, value) {
        (Some(pair), Some(value)) => document.set_attr(pair, "value", value),
        (Some(pair), None) => document.remove(pair),
        (None, None) => {}
        (None, Some(value)) => {
            let block = document.child_with_id(holder, wanted, set);
            let id = format!("{set}-{}", key.name);
            let pair = document.child_with_id(block, "nvpair", &id);
            document.set_attr(pair, "name", &key.name);
            document.set_attr(pair, "value", value);
        }
    }
}

fn block(scope: &Scope) -> &'static str {
    match scope {
        Scope::Utilization(_) => "utilization",
        Scope::Section("crm_config") => "cluster_property_set",
        Scope::Section(_) => "meta_attributes",
        Scope::Transient(_) | Scope::Node(_) => "instance_attributes",
    }
}

fn unknown(node: &str) -> Failure {
    let message = format!("Could not map name={node} to a UUID");
    Failure::new(exit::NO_SUCH, message)
}

fn node_element<'a>(cib: &'a Cib, node: &str) -> Result<Option<Element<'a>>, Failure> {
    let nodes = cib.section(Section::Nodes);
    let all = nodes.into_iter().flat_map(Element::children);
    let mut mine = all.filter(|n| n.attr("uname") == Some(node));
    match mine.next() {
        Some(element) => Ok(Some(element)),
        None => Err(unknown(node)),
    }
}

fn node_id(cib: &Cib, node: &str) -> Result<String, Failure> {
    let element = node_element(cib, node)?;
    Ok(element.map(|e| e.id().to_owned()).unwrap_or_default())
}
