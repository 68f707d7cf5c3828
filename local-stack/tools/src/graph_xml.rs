//! A transition graph in the form that other programs know.

use scheduler::{Action, ActionKind, NodeName, Transition};

/// What an action takes in the text, roughly: the text is written once, without being moved.
const ACTION_BYTES: usize = 1024;

/// The text of a transition graph.
pub fn graph_xml(transition: &Transition) -> String {
    let mut out = String::with_capacity(transition.synapses.len() * ACTION_BYTES);
    let actions = Actions::new(transition);
    let mut graph = Tag::open(&mut out, 0, "transition_graph");
    graph.attr("cluster-delay", &transition.cluster_delay);
    graph.attr("fencing-timeout", &transition.fencing_timeout);
    graph.attr("failed-stop-offset", "INFINITY");
    let fatal = transition.start_failure_is_fatal;
    graph.attr("failed-start-offset", if fatal { "INFINITY" } else { "1" });
    if transition.batch_limit > 0 {
        graph.attr("batch-limit", &transition.batch_limit.to_string());
    }
    graph.attr("transition_id", "0");
    if transition.migration_limit > 0 {
        graph.attr("migration-limit", &transition.migration_limit.to_string());
    }
    if let Some(at) = transition.recheck_by {
        graph.attr("recheck-by", &at.to_string());
    }
    graph.content(!transition.synapses.is_empty(), |out| {
        for (number, synapse) in transition.synapses.iter().enumerate() {
            let mut tag = Tag::open(out, 1, "synapse");
            tag.attr("id", &number.to_string());
            if synapse.priority > 0 {
                tag.attr("priority", &synapse.priority.to_string());
            }
            tag.content(true, |out| {
                Tag::open(out, 2, "action_set").content(true, |out| {
                    whole_action(out, &synapse.action);
                });
                let waits = !synapse.inputs.is_empty();
                Tag::open(out, 2, "inputs").content(waits, |out| {
                    for id in &synapse.inputs {
                        let input = actions.get(*id);
                        Tag::open(out, 3, "trigger").content(input.is_some(), |out| {
                            if let Some(input) = input {
                                action(out, 4, input).content(false, |_| {});
                            }
                        });
                    }
                });
            });
        }
    });
    out
}

/// The actions by their numbers.
struct Actions<'a>(Vec<Option<&'a Action>>);

impl<'a> Actions<'a> {
    fn new(transition: &'a Transition) -> Self {
        let mut by_id: Vec<Option<&Action>> = Vec::new();
        for synapse in &transition.synapses {
            let place = synapse.action.id as usize;
            if by_id.len() <= place {
                by_id.resize(place + 1, None);
            }
            by_id[place] = Some(&synapse.action);
        }
        Self(by_id)
    }

    fn get(&self, id: u32) -> Option<&'a Action> {
        self.0.get(id as usize).copied().flatten()
    }
}

/// An element that is being written.
struct Tag<'o> {
    out: &'o mut String,
    depth: usize,
    name: &'static str,
}

impl<'o> Tag<'o> {
    fn open(out: &'o mut String, depth: usize, name: &'static str) -> Self {
        indent(out, depth);
        out.push('<');
        out.push_str(name);
        Self { out, depth, name }
    }

    fn attr(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        cib::escape_into(self.out, value);
        self.out.push('"');
    }

    /// Ends the element, with what `write` writes if there is `any` content.
    fn content(self, any: bool, write: impl FnOnce(&mut String)) {
        if !any {
            self.out.push_str("/>\n");
            return;
        }
        self.out.push_str(">\n");
        write(self.out);
        indent(self.out, self.depth);
        self.out.push_str("</");
        self.out.push_str(self.name);
        self.out.push_str(">\n");
    }
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

fn action<'o>(out: &'o mut String, depth: usize, action: &Action) -> Tag<'o> {
    let name = match action.kind {
        ActionKind::Resource => "rsc_op",
        ActionKind::Pseudo => "pseudo_event",
        ActionKind::Cluster => "crm_event",
    };
    let mut tag = Tag::open(out, depth, name);
    tag.attr("id", &action.id.to_string());
    if action.operation == "lrm_delete" {
        tag.attr("mode", "cib");
    }
    tag.attr("operation", &action.operation);
    tag.attr("operation_key", &action.key);
    if let Some(key) = &action.internal_key {
        tag.attr("internal_operation_key", key);
    }
    if let Some(NodeName { uname, id }) = &action.node {
        tag.attr("on_node", uname);
        tag.attr("on_node_uuid", id);
    }
    if let Some(router) = &action.router {
        tag.attr("router_node", router);
    }
    tag
}

fn whole_action(out: &mut String, of: &Action) {
    action(out, 3, of).content(true, |out| {
        if let Some(resource) = &of.resource {
            let mut tag = Tag::open(out, 4, "primitive");
            tag.attr("id", &resource.id);
            if let Some(long) = &resource.long_id {
                tag.attr("long-id", long);
            }
            tag.attr("class", &resource.class);
            if let Some(provider) = &resource.provider {
                tag.attr("provider", provider);
            }
            tag.attr("type", &resource.kind);
            tag.content(false, |_| {});
        }
        attributes(out, of);
        if !of.downed.is_empty() {
            Tag::open(out, 4, "downed").content(true, |out| {
                for id in &of.downed {
                    let mut tag = Tag::open(out, 5, "node");
                    tag.attr("id", id);
                    tag.content(false, |_| {});
                }
            });
        }
    });
}

fn attributes(out: &mut String, of: &Action) {
    let mut tag = Tag::open(out, 4, "attributes");
    let mut others = false;
    for (name, value) in &of.attributes {
        if is_name(name) {
            tag.attr(name, value);
        } else {
            others = true;
        }
    }
    tag.content(others, |out| {
        for (name, value) in &of.attributes {
            if !is_name(name) {
                let mut tag = Tag::open(out, 5, "param");
                tag.attr("name", name);
                tag.attr("value", value);
                tag.content(false, |_| {});
            }
        }
    });
}

/// Whether a text can be the name of an XML attribute.
fn is_name(text: &str) -> bool {
    let start = |c: char| c.is_alphabetic() || c == '_';
    text.starts_with(start)
        && text
            .chars()
            .all(|c| start(c) || c.is_ascii_digit() || "-.".contains(c))
}
