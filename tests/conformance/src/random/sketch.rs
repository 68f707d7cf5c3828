//! A random cluster under construction: its CIB, and what is known of it.

use cib::{Cib, ElementId, Section};

use super::dice::Dice;

/// The time at which every random cluster is judged, in seconds since the epoch.
pub const NOW: i64 = 1_780_000_000;

/// What a random cluster may have. Each seed has some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Feature {
    Group,
    Clone,
    Promotable,
    Bundle,
    Template,
    Tag,
    IdRef,
    Set,
    Location,
    Rule,
    Date,
    Order,
    Colocation,
    Ticket,
    Utilization,
    Health,
    Stickiness,
    Threshold,
    OnFail,
    Maintenance,
    Standby,
    Remote,
    Guest,
    Fencing,
    Topology,
    Unfencing,
    Quorum,
    Attribute,
    Defaults,
    Migration,
    Notify,
    ShutdownLock,
    Discovery,
    Priority,
    MultipleActive,
    OptIn,
    RoleMonitor,
    Requires,
}

/// All of them.
pub const FEATURES: [Feature; 38] = [
    Feature::Group,
    Feature::Clone,
    Feature::Promotable,
    Feature::Bundle,
    Feature::Template,
    Feature::Tag,
    Feature::IdRef,
    Feature::Set,
    Feature::Location,
    Feature::Rule,
    Feature::Date,
    Feature::Order,
    Feature::Colocation,
    Feature::Ticket,
    Feature::Utilization,
    Feature::Health,
    Feature::Stickiness,
    Feature::Threshold,
    Feature::OnFail,
    Feature::Maintenance,
    Feature::Standby,
    Feature::Remote,
    Feature::Guest,
    Feature::Fencing,
    Feature::Topology,
    Feature::Unfencing,
    Feature::Quorum,
    Feature::Attribute,
    Feature::Defaults,
    Feature::Migration,
    Feature::Notify,
    Feature::ShutdownLock,
    Feature::Discovery,
    Feature::Priority,
    Feature::MultipleActive,
    Feature::OptIn,
    Feature::RoleMonitor,
    Feature::Requires,
];

/// What kind of thing a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An agent's.
    Primitive,
    /// A list of primitives.
    Group,
    /// Instances of a primitive or group.
    Clone,
    /// Containers.
    Bundle,
}

/// A resource of the cluster.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its identifier.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// Whether it can be promoted.
    pub promotable: bool,
    /// Whether it stands by itself (is not part of another).
    pub top: bool,
    /// Its element.
    pub element: ElementId,
}

/// A random cluster.
#[derive(Debug, Clone)]
pub struct Sketch {
    /// What the seed decides next.
    pub dice: Dice,
    /// The CIB so far.
    pub cib: Cib,
    /// What this cluster may have.
    pub features: Vec<Feature>,
    /// Cluster nodes.
    pub nodes: Vec<String>,
    /// Remote and guest nodes.
    pub remotes: Vec<String>,
    /// Resources, without fencing devices.
    pub resources: Vec<Resource>,
    /// Fencing devices.
    pub devices: Vec<String>,
    /// Tickets.
    pub tickets: Vec<String>,
    ids: usize,
}

impl Sketch {
    /// A cluster without anything.
    pub fn new(seed: u64) -> Self {
        Self::around(seed, Cib::empty())
    }

    pub(super) fn around(seed: u64, cib: Cib) -> Self {
        let mut dice = Dice::new(seed);
        let density = dice.range(8, 35);
        let features = FEATURES.iter().copied();
        let features = features.filter(|_| dice.chance(density)).collect();
        let mut sketch = Self {
            dice,
            cib,
            features,
            nodes: Vec::new(),
            remotes: Vec::new(),
            resources: Vec::new(),
            devices: Vec::new(),
            tickets: Vec::new(),
            ids: 0,
        };
        sketch.root_attribute("crm_feature_set", "3.16.1");
        sketch.root_attribute("validate-with", "pacemaker-3.9");
        sketch.root_attribute("have-quorum", "1");
        sketch.root_attribute("dc-uuid", "1");
        sketch.root_attribute("execution-date", &NOW.to_string());
        sketch
    }

    fn root_attribute(&mut self, name: &str, value: &str) {
        let root = self.cib.root().key();
        self.cib.document_mut().set_attr(root, name, value);
    }

    /// Whether this cluster has a feature.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Whether this cluster has a feature, and this time uses it.
    pub fn uses(&mut self, feature: Feature, percent: usize) -> bool {
        self.has(feature) && self.dice.chance(percent)
    }

    /// A new identifier.
    pub fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{}", self.ids)
    }

    /// Appends an element.
    pub fn add(&mut self, parent: ElementId, name: &str, attributes: &[(&str, &str)]) -> ElementId {
        let document = self.cib.document_mut();
        let element = document.append(parent, name);
        for (name, value) in attributes {
            document.set_attr(element, name, value);
        }
        element
    }

    /// Sets an attribute of an element.
    pub fn set(&mut self, element: ElementId, name: &str, value: &str) {
        self.cib.document_mut().set_attr(element, name, value);
    }

    /// A section, made if need be.
    pub fn section(&mut self, section: Section) -> ElementId {
        self.cib.section_or_append(section)
    }

    /// Appends a block of name and value pairs.
    pub fn block(&mut self, parent: ElementId, kind: &str, pairs: &[(&str, &str)]) -> ElementId {
        let id = self.id("set");
        let block = self.add(parent, kind, &[("id", &id)]);
        for (name, value) in pairs {
            self.pair(block, name, value);
        }
        block
    }

    /// Appends a pair to a block.
    pub fn pair(&mut self, block: ElementId, name: &str, value: &str) {
        let id = self.id("nv");
        self.add(
            block,
            "nvpair",
            &[("id", &id), ("name", name), ("value", value)],
        );
    }

    /// Sets a value in the first block of this kind below an element, both made if need be.
    pub fn value(&mut self, parent: ElementId, kind: &str, name: &str, value: &str) {
        let block = self.cib.document().element(parent).child(kind);
        let Some(block) = block.map(|b| b.key()) else {
            self.block(parent, kind, &[(name, value)]);
            return;
        };
        let pair = self.cib.document().element(block).children();
        let pair = pair.into_iter().find(|p| p.attr("name") == Some(name));
        match pair.map(|p| p.key()) {
            Some(pair) => self.set(pair, "value", value),
            None => self.pair(block, name, value),
        }
    }

    /// Sets a cluster option.
    pub fn option(&mut self, name: &str, value: &str) {
        let options = self.section(Section::Options);
        self.value(options, "cluster_property_set", name, value);
    }

    /// A random score.
    pub fn score(&mut self) -> String {
        match self.dice.below(12) {
            0..=2 => "INFINITY".into(),
            3..=4 => "-INFINITY".into(),
            5 => format!("-{}", self.dice.range(1, 300)),
            6 => "0".into(),
            7 => self.dice.word(&["1", "-1", "999999", "5000"]).into(),
            _ => self.dice.range(1, 300).to_string(),
        }
    }

    /// Every node's name.
    pub fn all_nodes(&self) -> Vec<String> {
        self.nodes.iter().chain(&self.remotes).cloned().collect()
    }

    /// A node, mostly of the cluster's own.
    pub fn some_node(&mut self) -> String {
        let list = if self.remotes.is_empty() || self.dice.chance(70) {
            self.nodes.clone()
        } else {
            self.remotes.clone()
        };
        self.dice.pick(&list).cloned().unwrap_or_default()
    }

    /// A resource by which constraints may go: mostly a whole one.
    pub fn some_resource(&mut self) -> Option<Resource> {
        let inner = self.dice.chance(12);
        let list: Vec<Resource> = self
            .resources
            .iter()
            .filter(|r| r.top != inner)
            .cloned()
            .collect();
        let list = if list.is_empty() {
            self.resources.clone()
        } else {
            list
        };
        self.dice.pick(&list).cloned()
    }
}
