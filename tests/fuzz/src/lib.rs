//! Readers and the scheduler on mutated input: no panic, no hang.
//!
//! The fuzzer is our own: inputs are random clusters and what is in the corpus, changed by bytes or as
//! trees; a seed and a number name an input. An input that shows something new (another error,
//! another kind of answer) joins those that are changed further. `corpus/` keeps a few of each
//! target, which `cargo test` replays.

mod mutate;

use std::collections::BTreeSet;

use cib::{Cib, Document, patch};
use conformance::random::{Dice, NOW, Sketch};
use scheduler::Inputs;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The XML reader and writer.
    Xml,
    /// The patch reader.
    Patch,
    /// The scheduler, from the XML reader to the graph's text.
    Scheduler,
}

/// All targets, by name.
pub const TARGETS: [(&str, Target); 3] = [
    ("xml", Target::Xml),
    ("patch", Target::Patch),
    ("scheduler", Target::Scheduler),
];

/// Between the two documents of a patch's input.
const CUT: &str = "\n=====\n";

/// Inputs that are changed further; a new one takes a random place when they are so many.
const POOL: usize = 400;

/// Longest input: what goes wrong on a long one goes wrong on a short one, sooner.
const BYTES_MAX: usize = 1 << 16;

impl Target {
    /// Puts an input through. What it returns tells apart what happened, roughly.
    pub fn run(self, input: &[u8]) -> String {
        match self {
            Self::Xml => xml(input),
            Self::Patch => read_patch(input),
            Self::Scheduler => schedule(input),
        }
    }
}

fn error_kind(text: &str) -> String {
    let letters = text.chars().filter(|c| c.is_alphabetic() || *c == ' ');
    letters.take(60).collect()
}

fn xml(input: &[u8]) -> String {
    match Document::parse_bytes(input.to_vec(), None) {
        Ok(document) => {
            let text = document.to_text();
            let again = Document::parse(&text, None).map(|d| d.to_text());
            assert_eq!(
                again.as_deref(),
                Ok(text.as_str()),
                "what is written is read"
            );
            let count = document.root().descendants().count();
            format!("{} elements", count.next_power_of_two())
        }
        Err(e) => error_kind(&e.to_string()),
    }
}

fn read_patch(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let Some((document, change)) = text.split_once(CUT) else {
        return "no cut".into();
    };
    let (Ok(mut cib), Ok(change)) = (Cib::parse(document, None), Document::parse(change, None))
    else {
        return "no XML".into();
    };
    let before = cib.to_text();
    match patch::apply(&mut cib, &change) {
        Ok(()) => {
            let changes = change.root().children_named("change").count();
            format!("{changes} changes")
        }
        Err(e) => {
            assert_eq!(before, cib.to_text(), "a refused patch changes nothing");
            error_kind(&e.to_string())
        }
    }
}

fn schedule(input: &[u8]) -> String {
    let cib = match Document::parse_bytes(input.to_vec(), None).and_then(Cib::from_document) {
        Ok(cib) => cib,
        Err(e) => return error_kind(&e.to_string()),
    };
    let inputs = Inputs {
        now: NOW,
        grants: None,
    };
    let _ = tools::status_text(&scheduler::status(&cib, &inputs));
    let transition = scheduler::simulate(&cib, &inputs);
    let _ = tools::graph_xml(&transition);
    let names: BTreeSet<&str> = (transition.synapses.iter())
        .map(|s| s.action.operation.as_str())
        .collect();
    let told: BTreeSet<String> = (transition.diagnostics.iter())
        .map(|d| error_kind(d).chars().take(20).collect())
        .collect();
    format!("{names:?} {told:?}")
}

/// A run of the fuzzer.
#[derive(Debug)]
pub struct Fuzzer {
    target: Target,
    seed: u64,
    pool: Vec<Vec<u8>>,
    seen: BTreeSet<String>,
}

impl Fuzzer {
    /// Starts with a seed and a corpus.
    pub fn new(target: Target, seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Self {
            target,
            seed,
            pool: corpus,
            seen: BTreeSet::new(),
        }
    }

    /// Inputs that showed something new.
    pub fn pool(&self) -> &[Vec<u8>] {
        &self.pool
    }

    /// The input of a number; it depends on what the inputs before it showed.
    pub fn input(&self, number: u64) -> Vec<u8> {
        let mut dice = Dice::new(self.seed ^ number.wrapping_mul(0x0100_0000_01b3));
        let fresh = self.pool.is_empty() || dice.chance(25);
        let base = if fresh {
            fresh_input(self.target, &mut dice)
        } else {
            dice.pick(&self.pool).cloned().unwrap_or_default()
        };
        let mut out = match self.target {
            Target::Scheduler => change_tree(&mut dice, &base),
            _ if dice.chance(50) => change_tree(&mut dice, &base),
            _ => {
                let other = dice.pick(&self.pool).cloned().unwrap_or_default();
                mutate::bytes(&mut dice, &base, &other)
            }
        };
        out.truncate(BYTES_MAX);
        out
    }

    /// Notes what an input showed.
    pub fn learn(&mut self, number: u64, input: Vec<u8>, shown: String) {
        if !self.seen.insert(shown) {
            return;
        }
        if self.pool.len() < POOL {
            self.pool.push(input);
        } else {
            let place = usize::try_from(number).unwrap_or(0) % POOL;
            self.pool[place] = input;
        }
    }
}

/// A random cluster: cold, or after one transition and some trouble.
fn cluster(dice: &mut Dice) -> Cib {
    let mut sketch = Sketch::cold(dice.bits() % 100_000);
    for _ in 0..dice.below(3) {
        let inputs = Inputs {
            now: NOW,
            grants: None,
        };
        let transition = scheduler::simulate(&sketch.cib, &inputs);
        sketch.adopt(tools::after(&sketch.cib, &transition, NOW));
        sketch.trouble();
    }
    sketch.cib
}

fn fresh_input(target: Target, dice: &mut Dice) -> Vec<u8> {
    let cib = cluster(dice);
    if target != Target::Patch {
        return cib.to_text().into_bytes();
    }
    let mut changed = cib.document().clone();
    mutate::tree(dice, &mut changed);
    let options = patch::Options {
        versions: dice.chance(50),
        digest: dice.chance(20),
    };
    let change = patch::diff(cib.document(), &changed, options);
    let change = change.map_or_else(String::new, |c| c.to_text());
    format!("{}{CUT}{change}", cib.to_text()).into_bytes()
}

/// Changes one of the documents of an input as a tree.
fn change_tree(dice: &mut Dice, input: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(input);
    let mut parts: Vec<String> = text.split(CUT).map(str::to_owned).collect();
    let at = dice.below(parts.len());
    match Document::parse(&parts[at], None) {
        Ok(mut document) => {
            mutate::tree(dice, &mut document);
            parts[at] = document.to_text();
            parts.join(CUT).into_bytes()
        }
        Err(_) => mutate::bytes(dice, input, b""),
    }
}
