//! XPath 1.0 over a document: the part of it that people use to find things in a CIB.
//!
//! All axes but namespaces, predicates, unions, comparisons, arithmetic, and the core functions except
//! for languages and number formats.

mod eval;
mod parse;

use crate::xml::{Document, ElementId};

/// Longest expression accepted; the longest that tools write stays under a thousand.
const EXPRESSION_BYTES_MAX: usize = 64 << 10;

/// Deepest nesting of an expression: the reader is recursive.
const DEPTH_MAX: usize = 100;

/// Most steps of an evaluation: a bound on expressions made to run for ever. A path over a CIB of
/// 100 MB takes a hundredth of it.
const WORK_MAX: u64 = 1 << 30;

/// An expression that cannot be read or evaluated. The expression is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("XPath '{expression}': {message}")]
pub struct XPathError {
    expression: String,
    message: String,
}

/// An expression, ready to be evaluated.
#[derive(Debug, Clone)]
pub struct XPath {
    text: String,
    root: parse::Expression,
}

impl XPath {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is no XPath, or uses what is not known here; the message says where.
    pub fn parse(text: &str) -> Result<Self, XPathError> {
        let failed = |message| XPathError {
            expression: text.chars().take(200).collect(),
            message,
        };
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(failed(format!("longer than {EXPRESSION_BYTES_MAX} bytes")));
        }
        let root = parse::parse(text).map_err(failed)?;
        Ok(Self {
            text: text.to_owned(),
            root,
        })
    }

    /// The elements that match, in document order. For an attribute or a text it is the element that
    /// has it.
    ///
    /// # Errors
    /// The expression does not name elements, or takes too long.
    pub fn elements(&self, document: &Document) -> Result<Vec<ElementId>, XPathError> {
        let failed = |message| XPathError {
            expression: self.text.clone(),
            message,
        };
        eval::elements(&self.root, document).map_err(failed)
    }
}

/// The path of an element: names, each with the id where there is one.
pub fn path_of(document: &Document, element: ElementId) -> String {
    let mut steps = Vec::new();
    let mut at = Some(document.element(element));
    while let Some(e) = at {
        steps.push(match e.attr("id") {
            Some(id) => format!("/{}[@id='{id}']", e.name()),
            None => format!("/{}", e.name()),
        });
        at = e.parent();
    }
    steps.reverse();
    steps.concat()
}

#[cfg(test)]
mod tests;
