//! Patches: the difference between two documents, in Pacemaker's format 2.

mod apply;
mod diff;

use crate::cib::Version;

/// Why a patch cannot be applied. The document was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Not a patch, or none of a format that is read.
    #[error("{0}")]
    Shape(String),
    /// The patch is for another version of the document.
    #[error("the patch changes version {source_version}; the CIB has {present}")]
    Version {
        /// What the patch was made for.
        source_version: Version,
        /// What the document has.
        present: Version,
    },
    /// The patch is for a version that is past.
    #[error("the patch makes version {target}, and the CIB has {present} already")]
    Old {
        /// What the patch makes.
        target: Version,
        /// What the document has.
        present: Version,
    },
    /// Something that the patch changes is not there.
    #[error("change {number} ({operation}) is about {path}, which the CIB does not have")]
    Missing {
        /// Which change of the patch, from 1.
        number: usize,
        /// What was to be done.
        operation: String,
        /// Where.
        path: String,
    },
    /// The result is not what the patch's maker had.
    #[error(
        "after the patch the CIB has digest {found}; the patch says {expected}: something else differs"
    )]
    Digest {
        /// What the patch says.
        expected: String,
        /// What came out.
        found: String,
    },
}

pub use apply::{apply, path_element};
pub use diff::{Options, diff};

#[cfg(test)]
mod tests;
