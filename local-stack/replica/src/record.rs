//! Failures, as attributes of a node's status.

use cib::{Cib, Section};

use crate::change::NodeRef;

/// A failcount that bans a resource from the node, as text and as number.
pub const INFINITY: (&str, u32) = ("INFINITY", 1_000_000);

/// The failcount attribute of an operation.
pub(crate) fn fail_count_name(resource: &str, operation: &str, interval_ms: u32) -> String {
    format!("fail-count-{resource}#{operation}_{interval_ms}")
}

pub(crate) fn last_failure_name(resource: &str, operation: &str, interval_ms: u32) -> String {
    format!("last-failure-{resource}#{operation}_{interval_ms}")
}

fn count(text: &str) -> u32 {
    let number = text
        .parse()
        .unwrap_or(if text == INFINITY.0 { INFINITY.1 } else { 0 });
    u32::min(number, INFINITY.1)
}

/// One failure more; `fatal`: as many as there can be.
pub(crate) fn counted(cib: &Cib, node: &str, name: &str, fatal: bool) -> String {
    if fatal {
        return INFINITY.0.to_owned();
    }
    let known = transients(cib, node)
        .into_iter()
        .find(|(known, _)| known == name);
    let before = known.map_or(0, |(_, text)| count(&text));
    if before >= INFINITY.1 {
        INFINITY.0.to_owned()
    } else {
        (before + 1).to_string()
    }
}

/// All failures of a resource on a node (by its id), added up.
pub fn failures_of(cib: &Cib, node: &str, resource: &str) -> u32 {
    let prefix = format!("fail-count-{resource}#");
    transients(cib, node)
        .into_iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .fold(0, |sum, (_, value)| {
            u32::min(INFINITY.1, sum + count(&value))
        })
}

/// Forgets all failures of a resource on a node; `true` when there were some.
pub(crate) fn clear_failures(cib: &mut Cib, node: &NodeRef, resource: &str) -> bool {
    let mut cleared = false;
    let prefixes = [
        format!("fail-count-{resource}#"),
        format!("last-failure-{resource}#"),
    ];
    for (name, _) in transients(cib, &node.id) {
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            cib.set_transient_attribute(&node.id, &node.uname, &name, None);
            cleared = true;
        }
    }
    cleared
}

/// A node's transient attributes, by its id: name and value.
pub fn transients(cib: &Cib, node: &str) -> Vec<(String, String)> {
    let state = cib
        .section(Section::Status)
        .and_then(|status| status.children().find(|state| state.id() == node));
    let Some(attributes) = state.and_then(|state| state.child("transient_attributes")) else {
        return Vec::new();
    };
    attributes
        .descendants()
        .filter(|element| element.name() == "nvpair")
        .filter_map(|pair| {
            Some((
                pair.attr("name")?.to_owned(),
                pair.attr("value")?.to_owned(),
            ))
        })
        .collect()
}
