//! A transition graph in the form that other programs know.

use cib::{Document, ElementId};
use scheduler::{Action, ActionKind, NodeName, Transition};

/// The text of a transition graph.
pub fn graph_xml(transition: &Transition) -> String {
    let mut graph = Document::new("transition_graph");
    let root = graph.root().key();
    graph.set_attr(root, "cluster-delay", &transition.cluster_delay);
    graph.set_attr(root, "fencing-timeout", &transition.fencing_timeout);
    graph.set_attr(root, "failed-stop-offset", "INFINITY");
    let start = if transition.start_failure_is_fatal {
        "INFINITY"
    } else {
        "1"
    };
    graph.set_attr(root, "failed-start-offset", start);
    if transition.batch_limit > 0 {
        graph.set_attr(root, "batch-limit", &transition.batch_limit.to_string());
    }
    graph.set_attr(root, "transition_id", "0");
    if transition.migration_limit > 0 {
        graph.set_attr(
            root,
            "migration-limit",
            &transition.migration_limit.to_string(),
        );
    }
    if let Some(at) = transition.recheck_by {
        graph.set_attr(root, "recheck-by", &at.to_string());
    }
    let mut by_id: Vec<Option<&Action>> = Vec::new();
    for synapse in &transition.synapses {
        let place = synapse.action.id as usize;
        if by_id.len() <= place {
            by_id.resize(place + 1, None);
        }
        by_id[place] = Some(&synapse.action);
    }
    for (number, synapse) in transition.synapses.iter().enumerate() {
        let element = graph.append(root, "synapse");
        graph.set_attr(element, "id", &number.to_string());
        if synapse.priority > 0 {
            graph.set_attr(element, "priority", &synapse.priority.to_string());
        }
        let set = graph.append(element, "action_set");
        let action = action(&mut graph, set, &synapse.action);
        details(&mut graph, action, &synapse.action);
        let inputs = graph.append(element, "inputs");
        for id in &synapse.inputs {
            let trigger = graph.append(inputs, "trigger");
            if let Some(Some(input)) = by_id.get(*id as usize) {
                self::action(&mut graph, trigger, input);
            }
        }
    }
    graph.to_text()
}

fn action(graph: &mut Document, parent: ElementId, action: &Action) -> ElementId {
    let name = match action.kind {
        ActionKind::Resource => "rsc_op",
        ActionKind::Pseudo => "pseudo_event",
        ActionKind::Cluster => "crm_event",
    };
    let element = graph.append(parent, name);
    graph.set_attr(element, "id", &action.id.to_string());
    if action.operation == "lrm_delete" {
        graph.set_attr(element, "mode", "cib");
    }
    graph.set_attr(element, "operation", &action.operation);
    graph.set_attr(element, "operation_key", &action.key);
    if let Some(key) = &action.internal_key {
        graph.set_attr(element, "internal_operation_key", key);
    }
    if let Some(NodeName { uname, id }) = &action.node {
        graph.set_attr(element, "on_node", uname);
        graph.set_attr(element, "on_node_uuid", id);
    }
    if let Some(router) = &action.router {
        graph.set_attr(element, "router_node", router);
    }
    element
}

fn details(graph: &mut Document, element: ElementId, action: &Action) {
    if let Some(resource) = &action.resource {
        let primitive = graph.append(element, "primitive");
        graph.set_attr(primitive, "id", &resource.id);
        if let Some(long) = &resource.long_id {
            graph.set_attr(primitive, "long-id", long);
        }
        graph.set_attr(primitive, "class", &resource.class);
        if let Some(provider) = &resource.provider {
            graph.set_attr(primitive, "provider", provider);
        }
        graph.set_attr(primitive, "type", &resource.kind);
    }
    let attributes = graph.append(element, "attributes");
    for (name, value) in &action.attributes {
        if is_name(name) {
            graph.set_attr(attributes, name, value);
        } else {
            let param = graph.append(attributes, "param");
            graph.set_attr(param, "name", name);
            graph.set_attr(param, "value", value);
        }
    }
    if !action.downed.is_empty() {
        let downed = graph.append(element, "downed");
        for id in &action.downed {
            let node = graph.append(downed, "node");
            graph.set_attr(node, "id", id);
        }
    }
}

/// Whether a text can be the name of an XML attribute.
fn is_name(text: &str) -> bool {
    let start = |c: char| c.is_alphabetic() || c == '_';
    text.starts_with(start)
        && text
            .chars()
            .all(|c| start(c) || c.is_ascii_digit() || "-.".contains(c))
}
