//! The tree: an arena of nodes over one text buffer.
//!
//! Names and values are spans of the buffer, so reading a large CIB allocates a handful of vectors
//! and nothing per attribute. Edited values are appended to the buffer.

use std::fmt;

/// A place in the text: both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Names one element of a [`Document`]; stays valid while the element is in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementId(pub(crate) u32);

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Element,
    Text,
    Comment,
    /// A processing instruction; kept, never interpreted.
    Instruction,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Element: name. Otherwise: the text.
    pub(crate) text: Span,
    pub(crate) parent: u32,
    pub(crate) first_child: u32,
    pub(crate) last_child: u32,
    pub(crate) next: u32,
    pub(crate) attributes_start: u32,
    pub(crate) attributes_count: u32,
    /// Byte offset of the node in the text that was parsed; `NONE` for nodes made later.
    pub(crate) offset: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// A lossless XML tree.
#[derive(Debug, Clone)]
pub struct Document {
    /// The text parsed, then everything decoded or set later.
    pub(crate) text: String,
    /// How much of `text` was parsed (positions refer to this part).
    pub(crate) parsed: usize,
    pub(crate) file: Option<String>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) root: u32,
    /// Nodes before and after the root (comments, instructions), in order.
    pub(crate) prolog: Vec<u32>,
    pub(crate) epilog: Vec<u32>,
}

impl Document {
    /// The root element.
    pub fn root(&self) -> Element<'_> {
        Element {
            document: self,
            id: ElementId(self.root),
        }
    }

    /// The element that `id` names.
    pub fn element(&self, id: ElementId) -> Element<'_> {
        Element { document: self, id }
    }

    /// The name of the file that the text came from.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    #[inline]
    pub(crate) fn span(&self, span: Span) -> &str {
        let start = span.start as usize;
        &self.text[start..start + span.length as usize]
    }

    #[inline]
    pub(crate) fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    /// Line and column of a byte offset of the parsed text.
    pub(crate) fn position_at(text: &str, offset: usize) -> Position {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |i| i + 1);
        let column = before[begin..].chars().count() + 1;
        Position {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    /// The first element of the whole tree, in document order, whose `id` attribute is `id`.
    pub fn find_by_id(&self, id: &str) -> Option<Element<'_>> {
        self.root().descendants().find(|e| e.attr("id") == Some(id))
    }
}

/// A view of one element.
#[derive(Clone, Copy)]
pub struct Element<'a> {
    document: &'a Document,
    id: ElementId,
}

impl fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} id={:?}>", self.name(), self.attr("id"))
    }
}

impl<'a> Element<'a> {
    /// The key of this element in its document.
    pub fn key(self) -> ElementId {
        self.id
    }

    /// The document.
    pub fn document(self) -> &'a Document {
        self.document
    }

    #[inline]
    fn node(self) -> &'a Node {
        self.document.node(self.id.0)
    }

    /// The tag name.
    #[inline]
    pub fn name(self) -> &'a str {
        self.document.span(self.node().text)
    }

    /// The value of an attribute, entities resolved.
    #[inline]
    pub fn attr(self, name: &str) -> Option<&'a str> {
        let wanted = name.len();
        self.raw_attributes()
            .iter()
            .find(|a| a.name.length as usize == wanted && self.document.span(a.name) == name)
            .map(|a| self.document.span(a.value))
    }

    /// The `id` attribute, or the empty string.
    pub fn id(self) -> &'a str {
        self.attr("id").unwrap_or("")
    }

    #[inline]
    pub(crate) fn raw_attributes(self) -> &'a [Attribute] {
        let node = self.node();
        let start = node.attributes_start as usize;
        &self.document.attributes[start..start + node.attributes_count as usize]
    }

    /// All attributes as (name, value), in the order written.
    pub fn attributes(self) -> Attributes<'a> {
        Attributes {
            document: self.document,
            rest: self.raw_attributes().iter(),
        }
    }

    /// The child elements, in order.
    #[inline]
    pub fn children(self) -> Children<'a> {
        Children {
            document: self.document,
            next: self.node().first_child,
        }
    }

    /// The child elements with this tag name, in order.
    pub fn children_named(self, name: &'a str) -> impl Iterator<Item = Self> + Clone {
        self.children().filter(move |c| c.name() == name)
    }

    /// The first child element with this tag name.
    pub fn child(self, name: &str) -> Option<Self> {
        self.children().find(|c| c.name() == name)
    }

    /// The parent element; none for the root.
    pub fn parent(self) -> Option<Self> {
        let parent = self.node().parent;
        (parent != NONE).then_some(Self {
            document: self.document,
            id: ElementId(parent),
        })
    }

    /// This element and all below it, in document order.
    pub fn descendants(self) -> impl Iterator<Item = Self> {
        let document = self.document;
        let top = self.id.0;
        let mut next = top;
        std::iter::from_fn(move || {
            while next != NONE {
                let current = next;
                let node = document.node(current);
                next = if node.first_child == NONE {
                    following(document, current, top)
                } else {
                    node.first_child
                };
                if node.kind == Kind::Element {
                    return Some(Element {
                        document,
                        id: ElementId(current),
                    });
                }
            }
            None
        })
    }

    /// Where the element begins; none if it was made after parsing.
    pub fn position(self) -> Option<Position> {
        let offset = self.node().offset;
        let parsed = &self.document.text[..self.document.parsed];
        (offset != NONE).then(|| Document::position_at(parsed, offset as usize))
    }
}

/// The node after `current` in document order within `top`, not counting what is below `current`.
fn following(document: &Document, mut current: u32, top: u32) -> u32 {
    while current != top {
        let node = document.node(current);
        if node.next != NONE {
            return node.next;
        }
        current = node.parent;
    }
    NONE
}

/// Iterator over attributes.
#[derive(Clone)]
pub struct Attributes<'a> {
    document: &'a Document,
    rest: std::slice::Iter<'a, Attribute>,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let a = self.rest.next()?;
        Some((self.document.span(a.name), self.document.span(a.value)))
    }
}

/// Iterator over child elements.
#[derive(Clone)]
pub struct Children<'a> {
    document: &'a Document,
    next: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.next != NONE {
            let id = self.next;
            let node = self.document.node(id);
            self.next = node.next;
            if node.kind == Kind::Element {
                return Some(Element {
                    document: self.document,
                    id: ElementId(id),
                });
            }
        }
        None
    }
}
