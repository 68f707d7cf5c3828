//! Writing: indented by two spaces, attributes in their order, comments kept.

use std::fmt::Write as _;

use crate::xml::{Document, Element, ElementId, Kind, NONE};

/// The bytes that are written otherwise.
const RESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let reserved = b"&<>\"\n\t\r";
    let mut i = 0;
    while i < reserved.len() {
        table[reserved[i] as usize] = true;
        i += 1;
    }
    table
};

/// Appends `value` with what XML reserves escaped for an attribute in double quotes.
pub fn escape_into(out: &mut String, value: &str) {
    // Nearly everything is plain.
    if !value.bytes().any(|b| RESERVED[usize::from(b)]) {
        out.push_str(value);
        return;
    }
    let mut plain = 0;
    for (i, b) in value.bytes().enumerate() {
        let replacement = match b {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'\n' => "&#10;",
            b'\t' => "&#9;",
            b'\r' => "&#13;",
            _ => continue,
        };
        out.push_str(&value[plain..i]);
        out.push_str(replacement);
        plain = i + 1;
    }
    out.push_str(&value[plain..]);
}

impl Document {
    /// The whole document as text.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(self.parsed);
        for id in &self.prolog {
            self.write_node(&mut out, *id, 0);
        }
        self.write_node(&mut out, self.root, 0);
        for id in &self.epilog {
            self.write_node(&mut out, *id, 0);
        }
        out
    }

    fn write_node(&self, out: &mut String, id: u32, depth: usize) {
        let node = self.node(id);
        let text = self.span(node.text);
        out.extend(std::iter::repeat_n("  ", depth));
        match node.kind {
            Kind::Comment => {
                let _ = writeln!(out, "<!--{text}-->");
            }
            Kind::Instruction => {
                let _ = writeln!(out, "<?{text}?>");
            }
            Kind::Text => {
                escape_into(out, text);
                out.push('\n');
            }
            Kind::Element => self.write_element(out, id, depth),
        }
    }

    fn write_element(&self, out: &mut String, id: u32, depth: usize) {
        let element = self.element(ElementId(id));
        let node = self.node(id);
        out.push('<');
        out.push_str(element.name());
        for (name, value) in element.attributes() {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape_into(out, value);
            out.push('"');
        }
        if node.first_child == NONE {
            out.push_str("/>\n");
            return;
        }
        // Text is written without indentation: white space beside it would become part of it.
        let mixed = self.has_text(id);
        out.push('>');
        if !mixed {
            out.push('\n');
        }
        let mut child = node.first_child;
        while child != NONE {
            if mixed && self.node(child).kind == Kind::Text {
                write_text(out, self.span(self.node(child).text));
            } else {
                self.write_node(out, child, if mixed { 0 } else { depth + 1 });
                if mixed && out.ends_with('\n') {
                    out.pop();
                }
            }
            child = self.node(child).next;
        }
        if !mixed {
            out.extend(std::iter::repeat_n("  ", depth));
        }
        out.push_str("</");
        out.push_str(element.name());
        out.push_str(">\n");
    }

    fn has_text(&self, id: u32) -> bool {
        let mut child = self.node(id).first_child;
        while child != NONE {
            if self.node(child).kind == Kind::Text {
                return true;
            }
            child = self.node(child).next;
        }
        false
    }
}

/// Writes text such that a reader which drops white space between elements does not drop it.
fn write_text(out: &mut String, text: &str) {
    if text.trim().is_empty() {
        for c in text.chars() {
            let _ = write!(out, "&#{};", u32::from(c));
        }
    } else {
        escape_into(out, text);
    }
}

impl Element<'_> {
    /// This element and what is below it as text.
    pub fn to_text(self) -> String {
        let mut out = String::new();
        self.document().write_node(&mut out, self.key().0, 0);
        out
    }
}
