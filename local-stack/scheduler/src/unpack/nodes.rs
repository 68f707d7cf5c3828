//! Nodes: those configured, and those that resources make.

use std::borrow::Cow;

use cib::Element;

use crate::amounts::Amounts;
use crate::hash::NumberMap;
use crate::ids::NodeId;
use crate::model::{Map, Node, NodeKind, ProbeMode};
use crate::plan::Plan;
use crate::rules;
use crate::text;

impl<'a> Plan<'a> {
    pub(crate) fn create_node(
        &mut self,
        id: &'a str,
        name: &'a str,
        kind: NodeKind,
        weight: i32,
    ) -> NodeId {
        let mut attrs = Map::new();
        let kind_name = if kind == NodeKind::Remote {
            "remote"
        } else {
            "cluster"
        };
        attrs.insert(Cow::Borrowed("#kind"), Cow::Borrowed(kind_name));
        self.have_remote |= kind == NodeKind::Remote;
        let node = self.node.push(Node {
            id,
            name,
            kind,
            weight,
            probe_mode: ProbeMode::Always,
            online: false,
            unclean: false,
            unseen: false,
            pending: false,
            standby: false,
            standby_on_fail: false,
            shutdown: false,
            expected_up: false,
            maintenance: false,
            discovery: true,
            unpacked: false,
            is_dc: false,
            remote_reset: false,
            remote_fenced: false,
            remote_maintenance: false,
            connection: None,
            own_name: false,
            attrs,
            utilization: Amounts::default(),
            running: Vec::new(),
            allocated: Vec::new(),
            resources: 0,
            priority: 0,
            digests: NumberMap::default(),
        });
        let place = self.order.partition_point(|n| {
            text::natural(self.node[*n].name, name) != std::cmp::Ordering::Greater
        });
        self.order.insert(place, node);
        node
    }

    pub(crate) fn unpack_nodes(&mut self, nodes: Element<'a>) {
        for element in nodes.children_named("node") {
            let Some(id) = element.attr("id") else {
                continue;
            };
            let name = element.attr("uname").unwrap_or(id);
            let remote = element
                .attr("type")
                .is_some_and(|t| t.eq_ignore_ascii_case("remote"));
            let kind = if remote {
                NodeKind::Remote
            } else {
                NodeKind::Member
            };
            let weight = element.attr("score").map_or(0, text::parse_score);
            let node = self.create_node(id, name, kind, weight);
            self.judge_startup(node);
            self.add_node_attributes(Some(element), node, false);
        }
    }

    /// A node that has not been seen yet may have to be fenced.
    pub(crate) fn judge_startup(&mut self, node: NodeId) {
        let unclean = self.options.startup_fencing;
        let n = &mut self.node[node];
        if n.kind == NodeKind::Remote && n.connection.is_none() {
            return;
        }
        n.unclean = unclean;
        n.unseen = true;
    }

    /// The remote and guest nodes that resources stand for.
    pub(crate) fn unpack_remote_nodes(&mut self, resources: Element<'a>) {
        for element in resources.children_named("primitive") {
            let name = element.id();
            if is_connection(element) && self.find_node(name).is_none() {
                self.create_node(name, name, NodeKind::Remote, 0);
            }
        }
    }

    pub(crate) fn add_node_attributes(
        &mut self,
        element: Option<Element<'a>>,
        node: NodeId,
        overwrite: bool,
    ) {
        let dc = self.root.attr("dc-uuid");
        let is_dc = dc.is_some_and(|d| d.eq_ignore_ascii_case(self.node[node].id));
        if is_dc {
            self.dc = Some(node);
        }
        let cluster_name = self.options.cluster_name.clone();
        let n = &mut self.node[node];
        n.is_dc |= is_dc;
        let mut attrs = std::mem::take(&mut n.attrs);
        attrs.insert(Cow::Borrowed("#uname"), Cow::Borrowed(n.name));
        attrs.insert(Cow::Borrowed("#id"), Cow::Borrowed(n.id));
        let dc = if is_dc { "true" } else { "false" };
        attrs.insert(Cow::Borrowed("#is_dc"), Cow::Borrowed(dc));
        if let Some(name) = &cluster_name {
            attrs.insert(Cow::Borrowed("#cluster-name"), Cow::Owned(name.clone()));
        }
        let facts = self.facts();
        if let Some(element) = element {
            let name = "instance_attributes";
            let how = (None, overwrite);
            rules::read_blocks(&self.references, &[element], name, &facts, how, &mut attrs);
            let mut utilization = Map::new();
            let how = (None, false);
            let name = "utilization";
            rules::read_blocks(
                &self.references,
                &[element],
                name,
                &facts,
                how,
                &mut utilization,
            );
            for (name, value) in utilization {
                let Some(value) = text::leading_int(&value) else {
                    continue;
                };
                let (name, n) = (self.words.get(&name), &mut self.node[node]);
                if n.utilization.get(name).is_none() {
                    *n.utilization.entry(name) = value;
                }
            }
        }
        if !attrs.contains_key("#site-name") {
            let site = attrs
                .get("site-name")
                .cloned()
                .or_else(|| cluster_name.map(Cow::Owned));
            if let Some(site) = site {
                attrs.insert(Cow::Borrowed("#site-name"), site);
            }
        }
        self.node[node].attrs = attrs;
    }
}

/// Whether a primitive is the connection to a node.
pub(crate) fn is_connection(element: Element<'_>) -> bool {
    let is = |name, value: &str| {
        element
            .attr(name)
            .is_some_and(|v| v.eq_ignore_ascii_case(value))
    };
    is("type", "remote") && is("class", "ocf") && is("provider", "pacemaker")
}
