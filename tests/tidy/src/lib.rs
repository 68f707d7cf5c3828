//! House rules that a compiler does not check: where files may lie, how long they may be, which
//! crate may use which, and which words have no place in the repository.
//!
//! Each rule is a function from the repository's root to a list of breaches, so that the tests can
//! run it on the real tree and on a small broken one (a rule that cannot fail is no rule).

mod dependencies;
mod files;

pub use dependencies::{Edge, asks_for_switches, forbidden_edges, metadata, workspace_edges};
pub use files::{Breach, long_files, stray_top_level, unfit_words};

use std::path::{Path, PathBuf};

/// The repository's root: two folders above this crate.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
