//! The cluster information base (CIB): Pacemaker's XML vocabulary at the border.
//!
//! [`Document`] is a lossless XML tree: attribute order, comments and unknown names survive a round
//! trip, and every element knows its line and column. [`Cib`] adds what a CIB means: the version
//! tuple, its sections, and the operations that the cluster itself does to the status section.
//! [`digest`] has the recipe by which a recorded operation is compared with its configuration.
//!
//! Nothing here reads a file, a clock or the environment.

pub mod acl;
mod arrange;
pub mod check;
mod cib;
pub mod digest;
mod edit;
mod error;
mod history;
mod parse;
pub mod patch;
pub mod request;
pub mod upgrade;
mod write;
mod xml;
mod xpath;

pub use cib::{Cib, Section, Version};
pub use error::{Error, ErrorKind};
pub use history::OperationRecord;
pub use write::escape_into;
pub use xml::{Attributes, Children, Document, Element, ElementId, Position};
pub use xpath::{XPath, XPathError, path_of};
