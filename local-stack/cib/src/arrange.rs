//! The order of children: positions count every node that is kept (elements, comments), not text.

use crate::xml::{Document, ElementId, Kind, NONE};

/// A child of an element, of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
}

impl Document {
    /// The children that count for positions.
    pub(crate) fn counted(&self, parent: ElementId) -> Vec<Child> {
        let mut list = Vec::new();
        let mut child = self.node(parent.0).first_child;
        while child != NONE {
            let node = self.node(child);
            if node.kind != Kind::Text {
                let kind = node.kind;
                list.push(Child { id: child, kind });
            }
            child = node.next;
        }
        list
    }

    /// The text of a comment.
    pub(crate) fn comment(&self, id: u32) -> &str {
        self.span(self.node(id).text)
    }

    /// Takes a node out of its place without forgetting it.
    pub(crate) fn detach(&mut self, id: u32) {
        self.remove(ElementId(id));
    }

    /// Puts a detached node among the children of `parent`: before the one that has `position` now, or
    /// last.
    pub(crate) fn insert_at(&mut self, parent: ElementId, position: usize, id: u32) {
        let children = self.counted(parent);
        self.nodes[id as usize].parent = parent.0;
        let Some(before) = children.get(position) else {
            let last = self.node(parent.0).last_child;
            self.nodes[id as usize].next = NONE;
            self.nodes[parent.0 as usize].last_child = id;
            if last == NONE {
                self.nodes[parent.0 as usize].first_child = id;
            } else {
                self.nodes[last as usize].next = id;
            }
            return;
        };
        let before = before.id;
        self.nodes[id as usize].next = before;
        let mut previous = NONE;
        let mut child = self.node(parent.0).first_child;
        while child != before && child != NONE {
            previous = child;
            child = self.node(child).next;
        }
        if previous == NONE {
            self.nodes[parent.0 as usize].first_child = id;
        } else {
            self.nodes[previous as usize].next = id;
        }
    }

    /// Copies a node of another document (with everything below it) to the end of `parent`.
    pub(crate) fn append_any(&mut self, parent: ElementId, source: &Self, child: Child) -> u32 {
        if child.kind == Kind::Element {
            return self.append_copy(parent, source, ElementId(child.id)).0;
        }
        self.append_text(parent, source.comment(child.id));
        let id = self.node(parent.0).last_child;
        self.nodes[id as usize].kind = child.kind;
        id
    }

    /// Gives an element another tag name.
    pub fn rename(&mut self, element: ElementId, name: &str) {
        let text = self.keep(name);
        self.nodes[element.0 as usize].text = text;
    }

    /// Puts a copy of an element of another document in the place of one of this document's.
    pub fn replace(&mut self, element: ElementId, source: &Self, from: ElementId) -> ElementId {
        let parent = self.node(element.0).parent;
        if parent == NONE {
            // The root keeps its node: others may hold its key.
            let names: Vec<String> = {
                let view = self.element(element);
                view.attributes().map(|(name, _)| name.to_owned()).collect()
            };
            for name in names {
                self.remove_attr(element, &name);
            }
            self.clear(element);
            let view = source.element(from);
            for (name, value) in view.attributes() {
                self.set_attr(element, name, value);
            }
            for child in source.counted(from) {
                self.append_any(element, source, child);
            }
            return element;
        }
        let parent = ElementId(parent);
        let place = self.counted(parent).iter().position(|c| c.id == element.0);
        self.remove(element);
        let copy = self.append_copy(parent, source, from);
        if let Some(place) = place {
            self.detach(copy.0);
            self.insert_at(parent, place, copy.0);
        }
        copy
    }

    /// A document of its own with a copy of an element of this one.
    pub fn extract(&self, element: ElementId) -> Self {
        let mut document = Self::new(self.element(element).name());
        let root = document.root().key();
        document.replace(root, self, element);
        document
    }
}
