//! A transition graph in the form that other programs know.

use scheduler::{Action, ActionKind, Synapse, Transition};

/// What an action takes in the text, roughly: the text is written once, without being moved.
const ACTION_BYTES: usize = 768;

/// What an action's name and place take, roughly.
const HEAD_BYTES: usize = 192;

/// The text of a transition graph.
pub fn graph_xml(transition: &Transition) -> String {
    let mut out = String::with_capacity(transition.synapses.len() * ACTION_BYTES);
    let heads = Heads::new(transition);
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
            tag.number("id", number);
            if synapse.priority > 0 {
                tag.attr("priority", &synapse.priority.to_string());
            }
            tag.content(true, |out| {
                out.push_str("    <action_set>\n      ");
                if let Some(head) = heads.get(synapse.action.id) {
                    whole_action(out, head, &synapse.action);
                }
                out.push_str("    </action_set>\n");
                inputs(out, synapse, &heads);
            });
        }
    });
    out
}

/// What an action waits for.
fn inputs(out: &mut String, synapse: &Synapse, heads: &Heads) {
    if synapse.inputs.is_empty() {
        out.push_str("    <inputs/>\n");
        return;
    }
    out.push_str("    <inputs>\n");
    for id in &synapse.inputs {
        match heads.get(*id) {
            Some(head) => {
                out.push_str("      <trigger>\n        ");
                out.push_str(head);
                out.push_str("/>\n      </trigger>\n");
            }
            None => out.push_str("      <trigger/>\n"),
        }
    }
    out.push_str("    </inputs>\n");
}

/// How each action is named wherever it stands, by its number: an action that much waits for is written
/// many times.
#[derive(Default)]
struct Heads {
    text: String,
    ends: Vec<Option<(usize, usize)>>,
}

impl Heads {
    fn new(transition: &Transition) -> Self {
        let mut heads = Self {
            text: String::with_capacity(transition.synapses.len() * HEAD_BYTES),
            ends: Vec::with_capacity(transition.synapses.len()),
        };
        for synapse in &transition.synapses {
            let place = synapse.action.id as usize;
            if heads.ends.len() <= place {
                heads.ends.resize(place + 1, None);
            }
            let begin = heads.text.len();
            head(&mut heads.text, &synapse.action);
            heads.ends[place] = Some((begin, heads.text.len()));
        }
        heads
    }

    fn get(&self, id: u32) -> Option<&str> {
        let (begin, end) = (*self.ends.get(id as usize)?)?;
        Some(&self.text[begin..end])
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

    fn number(&mut self, name: &str, value: usize) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        push_number(self.out, value);
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

/// A number in decimal digits.
fn push_number(out: &mut String, mut value: usize) {
    // As many digits as 64 bits can have.
    let mut digits = [0_u8; 20];
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b"0123456789"[value % 10];
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend(digits[begin..].iter().map(|d| char::from(*d)));
}

/// An action's element, not ended.
fn head(out: &mut String, action: &Action) {
    let name = match action.kind {
        ActionKind::Resource => "rsc_op",
        ActionKind::Pseudo => "pseudo_event",
        ActionKind::Cluster => "crm_event",
    };
    let mut tag = Tag::open(out, 0, name);
    tag.number("id", action.id as usize);
    if action.operation == "lrm_delete" {
        tag.attr("mode", "cib");
    }
    tag.attr("operation", &action.operation);
    tag.attr("operation_key", &action.key);
    if let Some(key) = &action.internal_key {
        tag.attr("internal_operation_key", key);
    }
    if let Some(node) = &action.node {
        tag.attr("on_node", &node.uname);
        tag.attr("on_node_uuid", &node.id);
    }
    if let Some(router) = &action.router {
        tag.attr("router_node", router);
    }
}

fn whole_action(out: &mut String, head: &str, of: &Action) {
    out.push_str(head);
    let name = head[1..].split(' ').next().unwrap_or("");
    out.push_str(">\n");
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
    out.push_str("      </");
    out.push_str(name);
    out.push_str(">\n");
}

fn attributes(out: &mut String, of: &Action) {
    let mut tag = Tag::open(out, 4, "attributes");
    let mut others = false;
    for (name, value) in of.attributes.iter() {
        if is_name(name) {
            tag.attr(name, value);
        } else {
            others = true;
        }
    }
    tag.content(others, |out| {
        for (name, value) in of.attributes.iter() {
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
    let inside = |c: char| start(c) || c.is_ascii_digit() || c == '-' || c == '.';
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.starts_with(start) && (text.bytes().all(plain) || text.chars().all(inside))
}
