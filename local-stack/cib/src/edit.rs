//! Changing the tree.

use crate::xml::{Attribute, Document, ElementId, Kind, NONE, Node, Span};

impl Document {
    /// A document with one element and nothing else.
    pub fn new(root: &str) -> Self {
        let mut document = Self {
            text: String::new(),
            parsed: 0,
            file: None,
            nodes: Vec::new(),
            attributes: Vec::new(),
            root: 0,
            prolog: Vec::new(),
            epilog: Vec::new(),
        };
        document.push_node(root, NONE);
        document
    }

    pub(crate) fn keep(&mut self, text: &str) -> Span {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.push_str(text);
        Span {
            start,
            length: u32::try_from(text.len()).unwrap_or(0),
        }
    }

    fn push_node(&mut self, name: &str, parent: u32) -> u32 {
        let text = self.keep(name);
        let id = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        self.nodes.push(Node {
            kind: Kind::Element,
            text,
            parent,
            first_child: NONE,
            last_child: NONE,
            next: NONE,
            attributes_start: u32::try_from(self.attributes.len()).unwrap_or(NONE),
            attributes_count: 0,
            offset: NONE,
        });
        id
    }

    /// Sets an attribute, keeping its place if it exists; appends it otherwise.
    pub fn set_attr(&mut self, element: ElementId, name: &str, value: &str) {
        let node = *self.node(element.0);
        let start = node.attributes_start as usize;
        let count = node.attributes_count as usize;
        let found = (start..start + count).find(|i| self.span(self.attributes[*i].name) == name);
        if let Some(index) = found {
            if self.span(self.attributes[index].value) != value {
                self.attributes[index].value = self.keep(value);
            }
            return;
        }
        let attribute = Attribute {
            name: self.keep(name),
            value: self.keep(value),
        };
        if start + count != self.attributes.len() {
            // Another element's attributes follow: move ours to the end of the table.
            let moved = u32::try_from(self.attributes.len()).unwrap_or(NONE);
            self.attributes.extend_from_within(start..start + count);
            self.nodes[element.0 as usize].attributes_start = moved;
        }
        self.attributes.push(attribute);
        self.nodes[element.0 as usize].attributes_count += 1;
    }

    /// Removes an attribute; returns whether it was there.
    pub fn remove_attr(&mut self, element: ElementId, name: &str) -> bool {
        let node = *self.node(element.0);
        let start = node.attributes_start as usize;
        let end = start + node.attributes_count as usize;
        let found = (start..end).find(|i| self.span(self.attributes[*i].name) == name);
        let Some(index) = found else {
            return false;
        };
        self.attributes.copy_within(index + 1..end, index);
        self.nodes[element.0 as usize].attributes_count -= 1;
        true
    }

    /// Appends a new, empty element to `parent`.
    pub fn append(&mut self, parent: ElementId, name: &str) -> ElementId {
        let id = self.push_node(name, parent.0);
        self.link_last(parent.0, id);
        ElementId(id)
    }

    /// Appends text to an element.
    pub fn append_text(&mut self, parent: ElementId, text: &str) {
        let text = self.keep(text);
        let id = self.push_node("", parent.0);
        self.nodes[id as usize].kind = Kind::Text;
        self.nodes[id as usize].text = text;
        self.link_last(parent.0, id);
    }

    fn link_last(&mut self, parent: u32, id: u32) {
        let last = self.node(parent).last_child;
        self.nodes[parent as usize].last_child = id;
        if last == NONE {
            self.nodes[parent as usize].first_child = id;
        } else {
            self.nodes[last as usize].next = id;
        }
    }

    /// The first child named `name`, made if there is none.
    pub fn child_or_append(&mut self, parent: ElementId, name: &str) -> ElementId {
        match self.element(parent).child(name) {
            Some(child) => child.key(),
            None => self.append(parent, name),
        }
    }

    /// The first child named `name` whose `id` is `id`, made if there is none.
    pub fn child_with_id(&mut self, parent: ElementId, name: &str, id: &str) -> ElementId {
        let found = self
            .element(parent)
            .children()
            .find(|c| c.name() == name && c.id() == id);
        match found {
            Some(child) => child.key(),
            None => {
                let child = self.append(parent, name);
                self.set_attr(child, "id", id);
                child
            }
        }
    }

    /// Takes an element and all below it out of the tree. The root cannot be removed.
    pub fn remove(&mut self, element: ElementId) {
        let parent = self.node(element.0).parent;
        if parent == NONE {
            return;
        }
        let next = self.node(element.0).next;
        let mut previous = NONE;
        let mut child = self.node(parent).first_child;
        while child != NONE && child != element.0 {
            previous = child;
            child = self.node(child).next;
        }
        if child == NONE {
            return;
        }
        if previous == NONE {
            self.nodes[parent as usize].first_child = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next == NONE {
            self.nodes[parent as usize].last_child = previous;
        }
        self.nodes[element.0 as usize].next = NONE;
        self.nodes[element.0 as usize].parent = NONE;
    }

    /// Removes all children of an element, text and comments included.
    pub fn clear(&mut self, element: ElementId) {
        let mut child = self.node(element.0).first_child;
        while child != NONE {
            let next = self.node(child).next;
            self.nodes[child as usize].parent = NONE;
            self.nodes[child as usize].next = NONE;
            child = next;
        }
        self.nodes[element.0 as usize].first_child = NONE;
        self.nodes[element.0 as usize].last_child = NONE;
    }

    /// Appends a copy of `source` (with everything below it) to `parent`.
    pub fn append_copy(&mut self, parent: ElementId, source: &Self, from: ElementId) -> ElementId {
        let view = source.element(from);
        let copy = self.append(parent, view.name());
        for (name, value) in view.attributes() {
            self.set_attr(copy, name, value);
        }
        // Depth is bounded by the reader of `source`.
        let mut child = source.node(from.0).first_child;
        while child != NONE {
            let node = *source.node(child);
            if node.kind == Kind::Element {
                self.append_copy(copy, source, ElementId(child));
            } else {
                let text = self.keep(source.span(node.text));
                let id = self.push_node("", copy.0);
                self.nodes[id as usize].kind = node.kind;
                self.nodes[id as usize].text = text;
                self.link_last(copy.0, id);
            }
            child = node.next;
        }
        copy
    }
}
