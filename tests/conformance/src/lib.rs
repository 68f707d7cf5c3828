//! Our answers beside Pacemaker's recorded ones.
//!
//! The recordings are not part of this repository. They are looked for in the directory that
//! `INTERLOCK_CONFORMANCE` names, or else in `../shared/conformance` beside the repository.

mod cases;
mod graph;

pub use cases::{Case, Recordings};
pub use graph::{Difference, Graph};
