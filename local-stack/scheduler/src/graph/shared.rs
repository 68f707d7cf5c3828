//! What many actions of a graph have in common: made once, shared by all.

use std::sync::Arc;

use crate::attributes::Pair;
use crate::hash::NumberMap;
use crate::ids::{Id as _, NodeId, RscId};
use crate::model::{Map, RscFlags};
use crate::plan::Plan;
use crate::transition::{NodeName, ResourceName};
use crate::words::Word;

/// What resources say about themselves in the attributes of their actions, whatever an action says.
const RESOURCE_META: [&str; 11] = [
    "clone",
    "remote_node",
    "globally_unique",
    "notify",
    "clone_max",
    "clone_node_max",
    "promoted_max",
    "promoted_node_max",
    "master_max",
    "master_node_max",
    "container",
];

/// Whether what an action says about itself under this name is overridden by its resource (or is not
/// told at all).
pub(super) fn is_resource_meta(name: &str) -> bool {
    let same = |known: &&str| {
        let bytes = name.bytes().map(|b| if b == b'-' { b'_' } else { b });
        known.len() == name.len() && bytes.eq(known.bytes())
    };
    name.starts_with('#') || RESOURCE_META.iter().any(same)
}

/// Attributes that several actions have.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) list: Arc<[Pair]>,
    pub(super) timeout_ms: u32,
}

impl Common {
    pub(super) fn new(values: Map<'_>) -> Self {
        let timeout = values.get("CRM_meta_timeout");
        let timeout = timeout.and_then(|t| t.parse().ok());
        let list = values.into_iter().map(|(n, v)| (n.into(), v.into()));
        Self {
            list: list.collect(),
            timeout_ms: timeout.unwrap_or(0),
        }
    }
}

/// A node as actions name it.
#[derive(Debug)]
pub(super) struct SharedNode {
    pub(super) name: Arc<NodeName>,
    pub(super) uname: Arc<str>,
    pub(super) id: Arc<str>,
}

/// Names of attributes that most actions have.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) node: Arc<str>,
    pub(super) node_id: Arc<str>,
    pub(super) target_rc: Arc<str>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            node: "CRM_meta_on_node".into(),
            node_id: "CRM_meta_on_node_uuid".into(),
            target_rc: "CRM_meta_op_target_rc".into(),
        }
    }
}

/// What has been made so far.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(super) names: Names,
    numbers: Vec<(i32, Arc<str>)>,
    nodes: Vec<Option<SharedNode>>,
    resources: Vec<Option<Arc<ResourceName>>>,
    /// By resource, operation, interval and whether there is a node (or which, if that matters).
    pub(super) common: NumberMap<(RscId, Word, u32, u32), Common>,
}

impl Shared {
    /// An exit code as text; there are few.
    pub(super) fn number(&mut self, number: i32) -> Arc<str> {
        if let Some((_, text)) = self.numbers.iter().find(|(n, _)| *n == number) {
            return text.clone();
        }
        let text: Arc<str> = number.to_string().into();
        self.numbers.push((number, text.clone()));
        text
    }
}

impl Plan<'_> {
    pub(super) fn shared_node(&mut self, node: NodeId) -> &SharedNode {
        let (place, n) = (node.at(), &self.node[node]);
        let nodes = &mut self.shared.nodes;
        if nodes.len() <= place {
            nodes.resize_with(place + 1, || None);
        }
        nodes[place].get_or_insert_with(|| SharedNode {
            name: Arc::new(NodeName {
                uname: n.name.to_owned(),
                id: n.id.to_owned(),
            }),
            uname: n.name.into(),
            id: n.id.into(),
        })
    }

    pub(super) fn shared_resource(&mut self, rsc: RscId) -> Arc<ResourceName> {
        let place = rsc.at();
        if self.shared.resources.len() <= place {
            self.shared.resources.resize(place + 1, None);
        }
        if let Some(found) = &self.shared.resources[place] {
            return found.clone();
        }
        let made = Arc::new(self.resource_name(rsc));
        self.shared.resources[place] = Some(made.clone());
        made
    }

    fn resource_name(&self, rsc: RscId) -> ResourceName {
        let r = &self.rsc[rsc];
        let (id, long) = match r.clone_name {
            Some(known) if r.is(RscFlags::REMOVED) => (known, Some(&*r.id)),
            _ if r.is(RscFlags::UNIQUE) => (&*r.id, None),
            Some(known) if known != r.xml_id => (r.xml_id, Some(known)),
            _ => (r.xml_id, Some(&*r.id)),
        };
        ResourceName {
            id: id.to_owned(),
            long_id: long.filter(|l| *l != id).map(str::to_owned),
            class: r.class.to_owned(),
            provider: r.provider.map(str::to_owned),
            kind: r.kind.to_owned(),
        }
    }
}
