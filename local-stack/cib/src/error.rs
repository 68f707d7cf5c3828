//! What can be wrong with a CIB's text.

use crate::xml::Position;

/// Why a text is not a CIB. The input is at fault; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {kind}", .file.as_deref().unwrap_or("input"), .position.map(|p| format!(":{p}")).unwrap_or_default())]
pub struct Error {
    /// The name of the file, if the text came from one.
    pub file: Option<String>,
    /// Where in the text, when one place is to blame.
    pub position: Option<Position>,
    /// What is wrong, and what would be right.
    pub kind: ErrorKind,
}

/// The ways in which a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The text is longer than the reader accepts.
    #[error("the text has {length} bytes; at most {limit} are read")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// Elements are nested deeper than any CIB needs.
    #[error("elements are nested deeper than {limit} levels; a CIB needs fewer than 20")]
    TooDeep {
        /// Levels accepted.
        limit: usize,
    },
    /// A document type declaration, which could define entities.
    #[error("a document type declaration (<!DOCTYPE ...>) is refused; remove it")]
    DocumentType,
    /// An entity that XML does not predefine.
    #[error(
        "unknown entity &{name};; write &amp;, &lt;, &gt;, &quot;, &apos; or a numeric reference"
    )]
    UnknownEntity {
        /// The entity's name.
        name: String,
    },
    /// The text ends inside a construct.
    #[error("the text ends inside {inside}")]
    Unfinished {
        /// What was begun.
        inside: String,
    },
    /// A character that cannot stand there.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What would be right.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// An end tag that does not match.
    #[error("</{found}> closes <{open}> (begun at {begun}); write </{open}>")]
    Mismatch {
        /// The open element.
        open: String,
        /// Where it was opened.
        begun: Position,
        /// The name in the end tag.
        found: String,
    },
    /// One attribute twice in an element.
    #[error("attribute {name} stands twice in one element; keep one of them")]
    DuplicateAttribute {
        /// The attribute's name.
        name: String,
    },
    /// No element at all, or text beside the root.
    #[error("{0}")]
    Shape(String),
    /// The bytes are not UTF-8.
    #[error("the text is not UTF-8 from byte {valid_up_to} on")]
    NotUtf8 {
        /// Bytes before the first invalid one.
        valid_up_to: usize,
    },
}
