//! Our answers beside Pacemaker's recorded ones.
//!
//! The recordings are not part of this repository. They are looked for in the directory that
//! `INTERLOCK_CONFORMANCE` names, or else in `../shared/conformance` beside the repository.
//!
//! Beside the recordings there are random clusters ([`random`]), for which another `crm_simulate`
//! ([`Anchor`]) gives the answer to compare with.
//!
//! The project's own cases are in `cases`: `NAME.xml` is a cluster, `NAME.txt` what the documentation
//! says must be done there.

mod anchor;
mod cases;
mod graph;
mod known;
mod own;
mod pair;
pub mod random;
mod shrink;

pub use anchor::{Anchor, Verdict, ours, ours_settles, unchecked};
pub use cases::{Case, Recordings};
pub use graph::{Difference, Graph};
pub use known::{CLASSES, known_class};
pub use own::{Own, own_cases};
pub use pair::{PairDifference, compare_pair};
pub use shrink::shrink;

use random::Sketch;

/// The random case of a seed: cold, or taken further by a program that plays transitions.
pub fn random_case(seed: u64, anchor: &Anchor) -> String {
    let mut sketch = Sketch::cold(seed);
    // Some are judged cold, some after a start, some after more.
    let rounds = [0, 1, 1, 2, 2, 3][sketch.dice.below(6)];
    for _ in 0..rounds {
        let Ok(cib) = anchor.play(&sketch.cib.to_text()) else {
            break;
        };
        sketch.adopt(cib);
        sketch.trouble();
    }
    sketch.cib.to_text()
}
