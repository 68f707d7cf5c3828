//! Two graphs beside each other, whatever their size.
//!
//! [`crate::Graph`] holds every pair of ordered actions; here the relation is compared a block of columns
//! at a time, so that graphs of a hundred thousand actions fit into memory.

use std::collections::HashMap;

use cib::Document;

use crate::graph::{Node, name_of, read_nodes, sort};

/// Columns compared at a time, in words: a row of a block is half a kilobyte.
const BLOCK_WORDS: usize = 64;

/// How two graphs differ, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairDifference {
    /// Real actions of the first graph.
    pub first: usize,
    /// Real actions of the second graph.
    pub second: usize,
    /// Actions that only the first has.
    pub only_first: usize,
    /// Actions that only the second has.
    pub only_second: usize,
    /// Orderings that only the first has.
    pub order_only_first: u64,
    /// Orderings that only the second has.
    pub order_only_second: u64,
}

impl PairDifference {
    /// Whether the graphs are equal.
    pub fn is_none(&self) -> bool {
        self.only_first == 0
            && self.only_second == 0
            && self.order_only_first == 0
            && self.order_only_second == 0
    }
}

/// One graph, its real actions numbered by what they are.
struct Side {
    nodes: Vec<Node>,
    /// Every node after what it waits for.
    sorted: Vec<usize>,
    /// What a node is, if it is a real action.
    kind: Vec<Option<usize>>,
}

impl Side {
    fn read(text: &str, kinds: &mut HashMap<String, usize>) -> Result<Self, String> {
        let document = Document::parse(text, None).map_err(|e| e.to_string())?;
        let mut nodes = read_nodes(document.root(), name_of);
        let sorted = sort(&nodes)?;
        let mut kind = Vec::with_capacity(nodes.len());
        for node in &mut nodes {
            kind.push(node.name.take().map(|name| {
                let next = kinds.len();
                *kinds.entry(name).or_insert(next)
            }));
        }
        Ok(Self {
            nodes,
            sorted,
            kind,
        })
    }

    fn counts(&self, kinds: usize) -> Vec<usize> {
        let mut counts = vec![0; kinds];
        for kind in self.kind.iter().flatten() {
            counts[*kind] += 1;
        }
        counts
    }

    /// For each kind of action, which of the kinds from `begin` on come before it.
    fn before(&self, begin: usize, kinds: usize) -> Vec<[u64; BLOCK_WORDS]> {
        let mut reached = vec![[0_u64; BLOCK_WORDS]; self.nodes.len()];
        let mut before = vec![[0_u64; BLOCK_WORDS]; kinds];
        for &node in &self.sorted {
            let mut row = [0_u64; BLOCK_WORDS];
            for &input in &self.nodes[node].inputs {
                for (bits, other) in row.iter_mut().zip(&reached[input]) {
                    *bits |= other;
                }
            }
            if let Some(kind) = self.kind[node] {
                for (bits, other) in before[kind].iter_mut().zip(&row) {
                    *bits |= other;
                }
                set(&mut row, kind, begin, true);
            }
            reached[node] = row;
        }
        for (kind, row) in before.iter_mut().enumerate() {
            set(row, kind, begin, false);
        }
        before
    }
}

/// Sets or clears the bit of a kind, if it is in the block.
fn set(row: &mut [u64; BLOCK_WORDS], kind: usize, begin: usize, on: bool) {
    let Some(at) = kind.checked_sub(begin).filter(|at| *at < BLOCK_WORDS * 64) else {
        return;
    };
    let bit = 1 << (at % 64);
    if on {
        row[at / 64] |= bit;
    } else {
        row[at / 64] &= !bit;
    }
}

/// Compares two graphs as the judge of the recorded cases does: the real actions, and which of them
/// come before which.
///
/// # Errors
/// One of the texts is not a graph, or its graph goes round in a circle.
pub fn compare_pair(first: &str, second: &str) -> Result<PairDifference, String> {
    let mut kinds = HashMap::new();
    let a = Side::read(first, &mut kinds)?;
    let b = Side::read(second, &mut kinds)?;
    let kinds = kinds.len();
    let mut difference = PairDifference::default();
    for (x, y) in a.counts(kinds).into_iter().zip(b.counts(kinds)) {
        difference.first += x;
        difference.second += y;
        difference.only_first += x.saturating_sub(y);
        difference.only_second += y.saturating_sub(x);
    }
    for begin in (0..kinds).step_by(BLOCK_WORDS * 64) {
        let (x, y) = (a.before(begin, kinds), b.before(begin, kinds));
        for (x, y) in x.iter().flatten().zip(y.iter().flatten()) {
            difference.order_only_first += u64::from((x & !y).count_ones());
            difference.order_only_second += u64::from((y & !x).count_ones());
        }
    }
    Ok(difference)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// A graph of starts on one node, each waiting for the listed others; `None` is a pseudo-event.
    fn graph(actions: &[(Option<&str>, &[usize])]) -> String {
        let mut text = String::from("<transition_graph>");
        for (id, (name, inputs)) in actions.iter().enumerate() {
            let tag = name.map_or("pseudo_event", |_| "rsc_op");
            let key = name.unwrap_or("x");
            let _ = write!(
                text,
                "<synapse><action_set><{tag} id='{id}' operation='start' operation_key='{key}_start_0' \
                 on_node='n'/></action_set><inputs>"
            );
            for input in *inputs {
                let _ = write!(text, "<trigger><rsc_op id='{input}'/></trigger>");
            }
            text.push_str("</inputs></synapse>");
        }
        text.push_str("</transition_graph>");
        text
    }

    #[test]
    fn steps_between_do_not_matter_but_order_does() {
        let direct = graph(&[(Some("a"), &[]), (Some("b"), &[0]), (Some("c"), &[1])]);
        let around = graph(&[
            (Some("c"), &[3]),
            (Some("b"), &[2]),
            (Some("a"), &[]),
            (None, &[1]),
        ]);
        let same = compare_pair(&direct, &around).expect("both are graphs");
        assert!(same.is_none(), "{same:?}");
        assert_eq!((same.first, same.second), (3, 3));
        let loose = graph(&[(Some("a"), &[]), (Some("b"), &[0]), (Some("c"), &[0])]);
        let other = compare_pair(&direct, &loose).expect("both are graphs");
        assert_eq!((other.order_only_first, other.order_only_second), (1, 0));
        let more = graph(&[
            (Some("a"), &[]),
            (Some("b"), &[0]),
            (Some("c"), &[1]),
            (Some("d"), &[]),
        ]);
        let other = compare_pair(&direct, &more).expect("both are graphs");
        assert_eq!((other.only_first, other.only_second), (0, 1));
    }

    #[test]
    fn orderings_across_blocks_are_seen() {
        let names: Vec<String> = (0..5000).map(|n| format!("r{n}")).collect();
        let all: Vec<(Option<&str>, &[usize])> =
            names.iter().map(|n| (Some(n.as_str()), &[][..])).collect();
        let mut chained = all.clone();
        chained[4999].1 = &[0];
        chained[0].1 = &[4998];
        let difference = compare_pair(&graph(&chained), &graph(&all)).expect("both are graphs");
        assert_eq!(difference.order_only_first, 3);
        assert_eq!(difference.order_only_second, 0);
    }

    #[test]
    fn a_circle_is_an_error() {
        let circle = graph(&[(Some("a"), &[1]), (Some("b"), &[0])]);
        assert!(compare_pair(&circle, &circle).is_err());
    }
}
