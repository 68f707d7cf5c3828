//! What matters of a transition graph: the real actions, and which come before which.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cib::{Document, Element};

/// Attributes about an action that must be the same.
const META: [&str; 6] = [
    "op_target_rc",
    "timeout",
    "interval",
    "migrate_source",
    "migrate_target",
    "stonith_action",
];

/// A transition graph, reduced to what is compared.
#[derive(Debug, Default)]
pub struct Graph {
    /// How often each real action is there.
    actions: BTreeMap<String, usize>,
    /// Pairs of real actions of which the first comes before the second.
    order: BTreeSet<(String, String)>,
}

/// How two graphs differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Actions that only the recording has.
    pub missing: Vec<String>,
    /// Actions that only we have.
    pub extra: Vec<String>,
    /// Orderings that only the recording has.
    pub unordered: Vec<(String, String)>,
    /// Orderings that only we have.
    pub overordered: Vec<(String, String)>,
}

impl Difference {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

pub(crate) struct Node {
    /// What it is, if it is a real action.
    pub(crate) name: Option<String>,
    /// Places of the nodes that come before it.
    pub(crate) inputs: Vec<usize>,
}

impl Graph {
    /// Reads a graph, with everything about an action that must be the same. An error names what is
    /// wrong with it: no XML, or a circle.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_named(text, name_of)
    }

    /// Reads a graph whose actions are called as `name` says. An error is as for [`Self::parse`].
    pub fn parse_named(text: &str, name: fn(Element<'_>) -> String) -> Result<Self, String> {
        let document = Document::parse(text, None).map_err(|e| e.to_string())?;
        let nodes = read_nodes(document.root(), name);
        let sorted = sort(&nodes)?;
        let mut place = vec![usize::MAX; nodes.len()];
        let mut real = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            if node.name.is_some() {
                place[index] = real.len();
                real.push(index);
            }
        }
        let words = real.len().div_ceil(64);
        let mut before = vec![vec![0_u64; words]; nodes.len()];
        for &index in &sorted {
            let mut bits = vec![0_u64; words];
            for &input in &nodes[index].inputs {
                for (bit, other) in bits.iter_mut().zip(&before[input]) {
                    *bit |= other;
                }
                if place[input] != usize::MAX {
                    bits[place[input] / 64] |= 1 << (place[input] % 64);
                }
            }
            before[index] = bits;
        }
        let mut graph = Self::default();
        for &index in &real {
            let Some(name) = &nodes[index].name else {
                continue;
            };
            *graph.actions.entry(name.clone()).or_default() += 1;
            for (at, &other) in real.iter().enumerate() {
                if before[index][at / 64] >> (at % 64) & 1 == 1
                    && let Some(first) = &nodes[other].name
                    && first != name
                {
                    graph.order.insert((first.clone(), name.clone()));
                }
            }
        }
        Ok(graph)
    }

    /// The real actions, each as often as it is there.
    pub fn actions(&self) -> Vec<&str> {
        let all = self.actions.iter();
        all.flat_map(|(name, count)| std::iter::repeat_n(name.as_str(), *count))
            .collect()
    }

    /// Whether one action comes before another.
    pub fn is_before(&self, first: &str, then: &str) -> bool {
        self.order.contains(&(first.to_owned(), then.to_owned()))
    }

    /// Compares a recording (this) with an answer.
    pub fn difference(&self, answer: &Self) -> Difference {
        let only = |a: &Self, b: &Self| {
            let mut list = Vec::new();
            for (name, count) in &a.actions {
                let other = b.actions.get(name).copied().unwrap_or(0);
                list.extend(std::iter::repeat_n(
                    name.clone(),
                    count.saturating_sub(other),
                ));
            }
            list
        };
        Difference {
            missing: only(self, answer),
            extra: only(answer, self),
            unordered: self.order.difference(&answer.order).cloned().collect(),
            overordered: answer.order.difference(&self.order).cloned().collect(),
        }
    }
}

pub(crate) fn read_nodes(root: Element<'_>, name_of: fn(Element<'_>) -> String) -> Vec<Node> {
    let mut actions = Vec::new();
    let mut index = HashMap::new();
    for synapse in root.children_named("synapse") {
        let triggers: Vec<&str> = synapse
            .children_named("inputs")
            .flat_map(|i| i.children_named("trigger"))
            .filter_map(|t| t.children().next()?.attr("id"))
            .collect();
        for action in synapse
            .children_named("action_set")
            .flat_map(Element::children)
        {
            index.insert(action.attr("id").unwrap_or(""), actions.len());
            actions.push((action, triggers.clone()));
        }
    }
    let nodes = actions.into_iter().map(|(action, triggers)| Node {
        name: (action.name() != "pseudo_event").then(|| name_of(action)),
        inputs: triggers
            .iter()
            .filter_map(|t| index.get(t).copied())
            .collect(),
    });
    nodes.collect()
}

/// The places of nodes, each after those of its inputs.
pub(crate) fn sort(nodes: &[Node]) -> Result<Vec<usize>, String> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut state = vec![State::New; nodes.len()];
    let mut sorted = Vec::with_capacity(nodes.len());
    for start in 0..nodes.len() {
        if state[start] != State::New {
            continue;
        }
        let mut stack = vec![(start, 0)];
        state[start] = State::Open;
        while let Some((node, next)) = stack.pop() {
            let Some(&input) = nodes[node].inputs.get(next) else {
                state[node] = State::Done;
                sorted.push(node);
                continue;
            };
            stack.push((node, next + 1));
            match state[input] {
                State::New => {
                    state[input] = State::Open;
                    stack.push((input, 0));
                }
                State::Open => return Err("the graph goes round in a circle".into()),
                State::Done => {}
            }
        }
    }
    Ok(sorted)
}

/// Drops instance numbers: which instance of an anonymous clone does something is of no account.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(':') {
        let (head, tail) = rest.split_at(at);
        let digits = tail[1..].bytes().take_while(u8::is_ascii_digit).count();
        let end = &tail[1 + digits..];
        let ends = end.is_empty() || end.starts_with(|c: char| c == '_' || c.is_whitespace());
        out.push_str(head);
        if digits == 0 || !ends {
            out.push(':');
            rest = &tail[1..];
        } else {
            rest = end;
        }
    }
    out.push_str(rest);
    out
}

/// Everything that must be the same about an action.
pub(crate) fn name_of(action: Element<'_>) -> String {
    let attributes: BTreeMap<&str, &str> = action
        .child("attributes")
        .into_iter()
        .flat_map(Element::attributes)
        .collect();
    let meta = |name: &str| {
        attributes
            .get(format!("CRM_meta_{name}").as_str())
            .copied()
            .unwrap_or("")
    };
    let unique = meta("globally_unique") == "true";
    let strip = |text: &str| {
        if unique {
            text.to_owned()
        } else {
            without_numbers(text)
        }
    };
    let attr = |name: &str| action.attr(name).unwrap_or("");
    let mut parts = vec![
        action.name().to_owned(),
        attr("operation").to_owned(),
        strip(attr("operation_key")),
        attr("on_node").to_owned(),
        attr("router_node").to_owned(),
    ];
    if let Some(primitive) = action.child("primitive") {
        let agent = ["class", "provider", "type"].map(|n| primitive.attr(n).unwrap_or(""));
        parts.push(agent.join(":"));
    }
    parts.extend(META.iter().map(|name| format!("{name}={}", meta(name))));
    for (name, value) in &attributes {
        if !name.starts_with("CRM_meta_") {
            if *name != "crm_feature_set" {
                parts.push(format!("{name}={value}"));
            }
        } else if name.starts_with("CRM_meta_notify_")
            && !name.contains("_master_")
            && !name.contains("_slave_")
            && !value.trim().is_empty()
        {
            let value = strip(value);
            let mut words: Vec<&str> = value.split_whitespace().collect();
            words.sort_unstable();
            parts.push(format!("{name}={}", words.join(" ")));
        }
    }
    if let Some(downed) = action.child("downed") {
        let mut ids: Vec<&str> = downed.children().map(Element::id).collect();
        ids.sort_unstable();
        parts.push(format!("downed={}", ids.join(" ")));
    }
    parts.join(" | ")
}
