//! A transition as a graph for Graphviz.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use scheduler::{Action, ActionKind, Transition};

/// The name of an action in the drawing.
fn name(action: &Action) -> String {
    let node = action.node.as_ref().map_or("", |n| n.uname.as_str());
    let key = action.internal_key.as_ref().unwrap_or(&action.key);
    let text = match (action.kind, action.operation.as_str()) {
        (ActionKind::Cluster, "stonith") => {
            let how = action.attribute("CRM_meta_stonith_action").unwrap_or("");
            format!("stonith '{how}' {node}")
        }
        _ if node.is_empty() => key.clone(),
        _ => format!("{key} {node}"),
    };
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The drawing's text.
pub(super) fn dot(transition: &Transition) -> String {
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    let mut text = String::from(" digraph \"g\" {\n");
    for synapse in &transition.synapses {
        let action = &synapse.action;
        let name = name(action);
        let font = match action.kind {
            ActionKind::Pseudo => "orange",
            _ => "black",
        };
        let _ = writeln!(
            text,
            "\"{name}\" [ style=bold color=\"green\" fontcolor=\"{font}\"]"
        );
        names.insert(action.id, name);
    }
    for synapse in &transition.synapses {
        for input in &synapse.inputs {
            if let (Some(from), Some(to)) = (names.get(input), names.get(&synapse.action.id)) {
                let _ = writeln!(text, "\"{from}\" -> \"{to}\" [ style = bold]");
            }
        }
    }
    text.push_str("}\n");
    text
}
