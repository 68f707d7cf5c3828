//! Digests: MD5 over a canonical text.
//!
//! Of an operation: one space, `<parameters`, the attributes sorted by name, `/>` and a newline. Of a
//! whole CIB there are two: the one kept beside the file ([`of_file`]), and the one in patches, which
//! leaves out who wrote it and when ([`of_content`]).

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

use crate::write::escape_into;
use crate::xml::{Document, ElementId, Kind, NONE};

/// The digest of parameters that are **already sorted by name**, as 32 hexadecimal digits.
pub fn of_sorted<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from(" <parameters");
    for (name, value) in parameters {
        text.push(' ');
        text.push_str(name);
        text.push_str("=\"");
        escape_into(&mut text, value);
        text.push('"');
    }
    text.push_str("/>\n");
    hex(&Md5::digest(text.as_bytes()))
}

/// The digest of parameters in any order.
pub fn of(parameters: &[(&str, &str)]) -> String {
    let mut sorted = parameters.to_vec();
    sorted.sort_by(|a, b| a.0.cmp(b.0));
    of_sorted(sorted)
}

/// Who changed a CIB last, and when: no part of its content.
const AUDIT: [&str; 6] = [
    "cib-last-written",
    "update-origin",
    "update-client",
    "update-user",
    "origin",
    "__crm_diff_marker__",
];

/// The digest of a CIB as it stands in a file.
pub fn of_file(document: &Document) -> String {
    let mut text = String::from(" ");
    compact(document, document.root().key().0, false, &mut text);
    text.push('\n');
    hex(&Md5::digest(text.as_bytes()))
}

/// The digest of what a CIB says, whoever wrote it.
pub fn of_content(document: &Document) -> String {
    let mut text = String::new();
    compact(document, document.root().key().0, true, &mut text);
    hex(&Md5::digest(text.as_bytes()))
}

/// The document without anything between its elements.
fn compact(document: &Document, id: u32, filtered: bool, out: &mut String) {
    let node = document.node(id);
    if node.kind == Kind::Comment {
        let _ = write!(out, "<!--{}-->", document.comment(id));
        return;
    }
    let element = document.element(ElementId(id));
    out.push('<');
    out.push_str(element.name());
    for (name, value) in element.attributes() {
        if filtered && AUDIT.contains(&name) {
            continue;
        }
        let _ = write!(out, " {name}=\"");
        escape(out, value);
        out.push('"');
    }
    if node.first_child == NONE {
        out.push_str("/>");
        return;
    }
    out.push('>');
    let mut child = node.first_child;
    while child != NONE {
        let node = document.node(child);
        match node.kind {
            Kind::Text => escape(out, document.comment(child)),
            Kind::Instruction => {}
            Kind::Element | Kind::Comment => compact(document, child, filtered, out),
        }
        child = node.next;
    }
    let _ = write!(out, "</{}>", element.name());
}

/// Escapes as Pacemaker does for digests, which is not what it writes to files.
fn escape(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("    "),
            other => out.push(other),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    for b in bytes {
        out.push(digit(b >> 4));
        out.push(digit(b & 15));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests_of_a_document() {
        // Computed by Pacemaker 2.1.5's `cibadmin -5` and `-6`.
        let text = "<cib crm_feature_set=\"3.16.1\" validate-with=\"pacemaker-3.9\" cib-last-written=\"x\" \
                    epoch=\"5\" num_updates=\"3\" admin_epoch=\"0\">\n  <status>\n    <a b=\"a'b&#10;&#9;&lt;ü\"/>\
                    <!-- hi -->\n  </status>\n</cib>\n";
        let document = Document::parse(text, None).expect("a document");
        assert_eq!(of_file(&document), "28559ecd246c4ab45e2dadc7c5895a83");
        assert_eq!(of_content(&document), "56890441e1a2e0c3f2a8c2cb7192d80d");
    }

    #[test]
    fn known_digests() {
        assert_eq!(of(&[]), "f2317cad3d54cec5d7d7aa7d0bf35cf8");
        assert_eq!(
            of(&[("CRM_meta_timeout", "20000")]),
            "4811cef7f7f94e3a35a70be7916cb2fd"
        );
    }
}
