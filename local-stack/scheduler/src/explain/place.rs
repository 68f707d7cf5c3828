//! Where in the CIB something stands, and how things are called in sentences.

use cib::{Element, ElementId};

use super::Place;
use crate::explain::record::{Note, Origin};
use crate::ids::{ColId, LocId, NodeId, RscId};
use crate::model::Variant;
use crate::plan::Plan;
use crate::text;

/// A score in words.
pub(super) fn score_text(score: i32) -> String {
    if score >= text::INFINITY {
        "INFINITY".to_owned()
    } else if score <= -text::INFINITY {
        "-INFINITY".to_owned()
    } else {
        score.to_string()
    }
}

pub(super) fn place(element: Element<'_>) -> Place {
    Place {
        element: element.name().to_owned(),
        id: element.id().to_owned(),
        position: element.position().map(|p| (p.line, p.column)),
    }
}

impl<'a> Plan<'a> {
    pub(super) fn node_name(&self, node: NodeId) -> &'a str {
        self.node[node].name
    }

    pub(super) fn node_names(&self, nodes: &[NodeId]) -> String {
        let names: Vec<&str> = nodes.iter().map(|n| self.node_name(*n)).collect();
        names.join(", ")
    }

    /// The resource's name as people configure it, with the instance number where it tells anything.
    pub(super) fn rsc_name(&self, rsc: RscId) -> String {
        self.rsc[rsc].id.to_string()
    }

    /// The name by which commands know it: without the number of an anonymous instance.
    pub(super) fn command_name(&self, rsc: RscId) -> String {
        text::base_name(&self.rsc[rsc].id).to_owned()
    }

    pub(super) fn element(&self, id: ElementId) -> Element<'a> {
        self.root.document().element(id)
    }

    /// Where an option of the cluster is set.
    pub(super) fn option_place(&self, names: &[&str]) -> Option<Place> {
        let config = self.root.child("configuration")?.child("crm_config")?;
        let sets = config.children_named("cluster_property_set");
        let mut pairs = sets.flat_map(|set| set.children_named("nvpair"));
        pairs
            .find(|p| p.attr("name").is_some_and(|n| names.contains(&n)))
            .map(place)
    }

    /// Where a meta-attribute that counts for a resource is set.
    pub(super) fn meta_place(&self, rsc: RscId, name: &str) -> Option<Place> {
        self.meta_owner(rsc, name).1
    }

    /// The resource (it, or what it is part of) for which a meta-attribute is set, and where.
    pub(super) fn meta_owner(&self, rsc: RscId, name: &str) -> (RscId, Option<Place>) {
        let mut current = Some(rsc);
        let value = self.rsc[rsc].meta(name);
        while let Some(r) = current {
            let found = value.and_then(|v| self.meta_in(self.config_parents(r), name, v));
            if found.is_some() {
                return (r, found);
            }
            current = self.rsc[r].parent;
        }
        let defaults = self.rsc_defaults.into_iter().collect();
        (rsc, value.and_then(|v| self.meta_in(defaults, name, v)))
    }

    fn meta_in(&self, owners: Vec<Element<'a>>, name: &str, value: &str) -> Option<Place> {
        for owner in owners {
            for block in owner.children_named("meta_attributes") {
                let Some(block) = self.references.resolve(block) else {
                    continue;
                };
                let mut pairs = block.children_named("nvpair");
                let found =
                    pairs.find(|p| p.attr("name") == Some(name) && p.attr("value") == Some(value));
                if let Some(found) = found {
                    return Some(place(found));
                }
            }
        }
        None
    }

    /// Where an attribute of a node is set: permanently, or until it restarts.
    pub(super) fn attribute_place(&self, node: NodeId, name: &str) -> Option<Place> {
        let configuration = self.root.child("configuration");
        let nodes = configuration.and_then(|c| c.child("nodes"));
        let id = self.node[node].id;
        let own = nodes.and_then(|n| n.children().find(|e| e.id() == id));
        let status = self.root.child("status");
        let state = status.and_then(|s| s.children().find(|e| e.id() == id));
        let transient = state.and_then(|s| s.child("transient_attributes"));
        let owners = [transient, own];
        let blocks = owners
            .into_iter()
            .flatten()
            .flat_map(|o| o.children_named("instance_attributes"));
        let mut pairs = blocks.flat_map(|b| b.children_named("nvpair"));
        pairs.find(|p| p.attr("name") == Some(name)).map(place)
    }

    fn origin(&self, fits: impl Fn(&Origin<'a>) -> bool) -> Option<Element<'a>> {
        let recorder = self.recorder.as_ref()?;
        let origin = recorder.origins.iter().find(|o| fits(o))?;
        Some(origin.element)
    }

    pub(super) fn location_origin(&self, id: LocId) -> Option<Element<'a>> {
        self.origin(|o| o.has_location(id))
    }

    pub(super) fn colocation_origin(&self, id: ColId) -> Option<Element<'a>> {
        self.origin(|o| o.has_colocation(id))
    }

    pub(super) fn ticket_origin(&self, constraint: usize) -> Option<Element<'a>> {
        self.origin(|o| o.has_ticket(constraint))
    }

    /// The constraint that orders `then` after `first`.
    pub(super) fn order_origin(&self, first: RscId, then: RscId) -> Option<Element<'a>> {
        self.origin(|o| {
            o.element.name() == "rsc_order"
                && o.orderings().any(|i| {
                    let Some(ordering) = self.orderings.get(i) else {
                        return false;
                    };
                    let about = |side: Option<RscId>, rsc| {
                        side.is_some_and(|s| self.is_part(rsc, s) || self.is_part(s, rsc))
                    };
                    about(ordering.first.rsc, first) && about(ordering.then.rsc, then)
                })
        })
    }

    /// The constraint that orders `then` after anything, when it does so over a gate.
    pub(super) fn gate_origin(&self, then: RscId) -> Option<Element<'a>> {
        self.origin(|o| {
            o.orderings().any(|i| {
                let ordering = self.orderings.get(i);
                ordering.is_some_and(|x| {
                    x.first.rsc.is_none() && x.then.rsc.is_some_and(|t| self.is_part(then, t))
                })
            })
        })
    }

    /// Whether a resource is another or somewhere in it.
    pub(super) fn is_part(&self, rsc: RscId, whole: RscId) -> bool {
        let mut current = Some(rsc);
        while let Some(r) = current {
            if r == whole {
                return true;
            }
            current = self.rsc[r].parent;
        }
        false
    }

    /// The notes about a resource or what it is part of, each once, that concern a node (or all).
    pub(super) fn notes(&self, rsc: RscId, node: Option<NodeId>) -> Vec<Note> {
        let mut found: Vec<Note> = Vec::new();
        let mut current = Some(rsc);
        while let Some(r) = current {
            let here = self.recorder.as_ref().and_then(|x| x.notes.get(&r));
            for note in here.into_iter().flatten().filter(|n| n.node == node) {
                if !found.iter().any(|n| n.what == note.what) {
                    found.push(*note);
                }
            }
            current = self.rsc[r].parent;
        }
        found
    }

    /// The primitives in a resource, itself if it is one.
    pub(super) fn leaves(&self, rsc: RscId) -> Vec<RscId> {
        let mut all = self.with_descendants(rsc);
        if let Some(bundle) = &self.rsc[rsc].bundle {
            for replica in &bundle.replicas {
                let parts = [Some(replica.container), replica.ip, replica.remote];
                all.extend(parts.into_iter().flatten());
            }
            if let Some(child) = bundle.child {
                all.extend(self.with_descendants(child));
            }
        }
        all.retain(|r| self.rsc[*r].variant == Variant::Primitive);
        all.dedup();
        all
    }
}
