//! What a configuration implies: connections of guest nodes, the resources of bundles.
//!
//! They are written as XML into a copy of the document, so that the rest of the scheduler reads one
//! kind of resource only.

use cib::{Document, Element, ElementId};

/// Where the generated resources of a bundle are kept: children of the bundle element.
pub(crate) const REPLICA: &str = "replica";
/// The generated clone around a bundle's primitive.
pub(crate) const INNER: &str = "inner-clone";

pub(crate) const DEFAULT_PORT: &str = "3121";

/// The document with what it implies, or `None` if it implies nothing.
pub(crate) fn expand(document: &Document) -> Option<Document> {
    let resources = document.root().child("configuration")?.child("resources")?;
    let implies = resources.descendants().any(|e| match e.name() {
        "bundle" => true,
        "nvpair" => e.attr("name") == Some("remote-node"),
        _ => false,
    });
    if !implies {
        return None;
    }
    let mut copy = document.clone();
    guests(document, resources, &mut copy);
    for bundle in resources.children_named("bundle") {
        crate::expand_bundle::expand(document, bundle, &mut copy);
    }
    Some(copy)
}

/// The connection to a guest node, appended to `parent`.
pub(crate) struct Connection<'a> {
    pub(crate) name: &'a str,
    pub(crate) launcher: &'a str,
    pub(crate) allow_migrate: Option<&'a str>,
    pub(crate) is_managed: Option<&'a str>,
    pub(crate) start_timeout: Option<&'a str>,
    pub(crate) address: Option<&'a str>,
    pub(crate) port: Option<&'a str>,
}

pub(crate) fn primitive(
    to: &mut Document,
    parent: ElementId,
    id: &str,
    provider: &str,
    kind: &str,
) -> ElementId {
    let primitive = to.append(parent, "primitive");
    for (name, value) in [
        ("id", id),
        ("class", "ocf"),
        ("provider", provider),
        ("type", kind),
    ] {
        to.set_attr(primitive, name, value);
    }
    primitive
}

pub(crate) fn nvpair(to: &mut Document, set: ElementId, name: &str, value: &str) {
    let id = format!("{}-{name}", to.element(set).id());
    let pair = to.append(set, "nvpair");
    to.set_attr(pair, "id", &id);
    to.set_attr(pair, "name", name);
    to.set_attr(pair, "value", value);
}

pub(crate) fn set(to: &mut Document, parent: ElementId, name: &str, id: &str) -> ElementId {
    let set = to.append(parent, name);
    to.set_attr(set, "id", id);
    set
}

pub(crate) fn op(to: &mut Document, ops: ElementId, rsc: &str, op: [&str; 2], timeout: &str) {
    let [name, interval] = op;
    let element = to.append(ops, "op");
    to.set_attr(element, "id", &format!("{rsc}-{name}-{interval}"));
    to.set_attr(element, "interval", interval);
    to.set_attr(element, "name", name);
    if !timeout.is_empty() {
        to.set_attr(element, "timeout", timeout);
    }
}

impl Connection<'_> {
    pub(crate) fn write(&self, to: &mut Document, parent: ElementId) {
        let remote = primitive(to, parent, self.name, "pacemaker", "remote");
        let meta = set(
            to,
            remote,
            "meta_attributes",
            &format!("{}-meta_attributes", self.name),
        );
        nvpair(to, meta, "internal_rsc", "true");
        nvpair(to, meta, "container", self.launcher);
        for (name, value) in [
            ("allow-migrate", self.allow_migrate),
            ("is-managed", self.is_managed),
        ] {
            if let Some(value) = value {
                nvpair(to, meta, name, value);
            }
        }
        if self.address.is_some() || self.port.is_some() {
            let id = format!("{}-instance_attributes", self.name);
            let attributes = set(to, remote, "instance_attributes", &id);
            for (name, value) in [("addr", self.address), ("port", self.port)] {
                if let Some(value) = value {
                    nvpair(to, attributes, name, value);
                }
            }
        }
        let ops = to.append(remote, "operations");
        op(to, ops, self.name, ["monitor", "30s"], "30s");
        if let Some(timeout) = self.start_timeout {
            op(to, ops, self.name, ["start", "0"], timeout);
        }
    }
}

fn guests(document: &Document, resources: Element<'_>, to: &mut Document) {
    let parent = resources.key();
    for top in resources.children() {
        match top.name() {
            "primitive" => guest(document, top, to, parent),
            "group" => {
                for member in top.children_named("primitive") {
                    guest(document, member, to, parent);
                }
            }
            _ => {}
        }
    }
}

fn guest(document: &Document, launcher: Element<'_>, to: &mut Document, parent: ElementId) {
    let mut name = None;
    let mut connection = Connection {
        name: "",
        launcher: launcher.id(),
        allow_migrate: None,
        is_managed: None,
        start_timeout: Some("60s"),
        address: None,
        port: None,
    };
    for pair in launcher
        .children_named("meta_attributes")
        .flat_map(Element::children)
    {
        let value = pair.attr("value");
        match pair.attr("name") {
            Some("remote-node") => name = value,
            Some("remote-addr") => connection.address = value,
            Some("remote-port") => connection.port = value,
            Some("remote-connect-timeout") => connection.start_timeout = value,
            Some("remote-allow-migrate") => connection.allow_migrate = value,
            Some("is-managed") => connection.is_managed = value,
            _ => {}
        }
    }
    let Some(name) = name else {
        return;
    };
    let resources = document
        .root()
        .child("configuration")
        .and_then(|c| c.child("resources"));
    let taken =
        resources.is_some_and(|r| r.descendants().any(|e| e.id() == name && is_resource(e)));
    if !taken {
        connection.name = name;
        connection.write(to, parent);
    }
}

pub(crate) fn is_resource(element: Element<'_>) -> bool {
    matches!(
        element.name(),
        "primitive" | "group" | "clone" | "master" | "bundle"
    )
}
