//! Everything that carrying out an action takes.

use std::collections::BTreeMap;

use super::number;
use crate::action::ActFlags;
use crate::ids::{ActId, RscId};
use crate::model::{RscFlags, Variant};
use crate::plan::Plan;
use crate::transition::{Action, ActionKind, NodeName, ResourceName};
use crate::words::Word;

type Attributes = BTreeMap<String, String>;

/// The name of an attribute that is about the action rather than for the agent.
fn meta_name(name: &str) -> Option<String> {
    (!name.starts_with('#')).then(|| format!("CRM_meta_{}", name.replace('-', "_")))
}

fn put(attributes: &mut Attributes, name: &str, value: &str) {
    if let Some(name) = meta_name(name) {
        attributes.insert(name, value.to_owned());
    }
}

impl<'a> Plan<'a> {
    pub(super) fn details(&mut self, action: ActId) -> Action {
        let a = &self.act[action];
        let (task, pseudo) = (a.task, a.flags.has(ActFlags::PSEUDO));
        let kind = match task {
            Word::STONITH if !pseudo => ActionKind::Cluster,
            Word::SHUTDOWN | Word::CLEAR_FAILCOUNT | Word::LRM_DELETE => ActionKind::Cluster,
            _ if pseudo => ActionKind::Pseudo,
            _ => ActionKind::Resource,
        };
        let with_node = kind != ActionKind::Pseudo || task == Word::STONITH;
        let node = a.node.filter(|_| with_node);
        let router = node
            .and_then(|_| self.router(action))
            .map(|n| self.node[n].name.to_owned());
        let resource = self.act[action]
            .rsc
            .filter(|_| !pseudo)
            .map(|r| self.resource_name(r));
        let attributes = self.attributes(action, node.is_some());
        let downed = if node.is_some() {
            self.downed(action)
        } else {
            Vec::new()
        };
        let (key, internal_key) = self.keys(action);
        let timeout = attributes
            .get("CRM_meta_timeout")
            .and_then(|t| t.parse().ok())
            .unwrap_or(0);
        let a = &self.act[action];
        let target_rc = a.target_rc.unwrap_or(0);
        Action {
            id: number(action),
            kind,
            operation: self.words.text(task).to_owned(),
            key,
            internal_key,
            node: node.map(|n| NodeName {
                uname: self.node[n].name.to_owned(),
                id: self.node[n].id.to_owned(),
            }),
            router,
            resource,
            attributes: attributes.into_iter().collect(),
            interval_ms: a.key.interval,
            timeout_ms: timeout,
            target_rc,
            downed,
            can_fail: a.flags.has(ActFlags::CAN_FAIL),
        }
    }

    fn keys(&self, action: ActId) -> (String, Option<String>) {
        let a = &self.act[action];
        let name = self.words.text(a.key.name);
        let Some(rsc) = a.rsc else {
            return (name.to_owned(), None);
        };
        let key = |id: &str| format!("{id}_{name}_{}", a.key.interval);
        let own = key(&self.rsc[rsc].id);
        match self.rsc[rsc].clone_name {
            Some(known) => (key(known), Some(own)),
            None => (own, None),
        }
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

    fn attributes(&mut self, action: ActId, with_node: bool) -> Attributes {
        let mut attributes = Attributes::new();
        let a = &self.act[action];
        let (rsc, node, origin, interval) = (a.rsc, a.node, a.origin, a.key.interval);
        if let Some(rsc) = rsc {
            let origin = self.words.shared(origin);
            let config = self.op_config(rsc, &origin, interval, true);
            let primitive = self.rsc[rsc].variant == Variant::Primitive;
            if let (Some(node), Some(_)) = (node, config) {
                for (name, value) in self.op_params(config, node) {
                    attributes.insert(name.into_owned(), value.into_owned());
                }
            }
            if node.is_some() || primitive {
                self.add_parameters(rsc, action, &mut attributes);
            }
            for (name, value) in self.op_meta(rsc, node, &origin, interval, config) {
                put(&mut attributes, &name, &value);
            }
        }
        for (name, value) in &self.act[action].meta {
            put(&mut attributes, name, value);
        }
        let a = &self.act[action];
        if let Some(rc) = a.target_rc {
            put(&mut attributes, "op_target_rc", &rc.to_string());
        }
        if let (Some(node), true) = (a.node, with_node) {
            put(&mut attributes, "on_node", self.node[node].name);
            put(&mut attributes, "on_node_uuid", self.node[node].id);
        }
        match (rsc, node) {
            (Some(rsc), _) => {
                if let Some(address) = self.rsc[rsc].meta("external-ip") {
                    attributes.insert("pcmk_external_ip".to_owned(), address.to_owned());
                }
                self.add_resource_meta(rsc, &mut attributes);
                self.add_host(rsc, action, &mut attributes);
            }
            (None, Some(node)) if self.act[action].task == Word::STONITH => {
                for (name, value) in &self.node[node].attrs {
                    put(&mut attributes, name, value);
                }
            }
            _ => {}
        }
        attributes
    }

    fn add_parameters(&mut self, rsc: RscId, action: ActId, attributes: &mut Attributes) {
        let node = self.act[action].node;
        let params = self.params(rsc, node);
        let address = if node.is_some() {
            self.bundle_remote_address(rsc)
        } else {
            None
        };
        for (name, value) in params.iter() {
            let value = match &address {
                Some(address) if name == "addr" => address.as_str(),
                _ => value,
            };
            attributes
                .entry(name.clone().into_owned())
                .or_insert_with(|| value.to_owned());
        }
    }

    /// What a resource and all that it is part of say about themselves.
    fn add_resource_meta(&self, rsc: RscId, attributes: &mut Attributes) {
        let mut current = Some(rsc);
        while let Some(id) = current {
            let r = &self.rsc[id];
            match (r.variant, &r.clone) {
                (Variant::Primitive, _) => {
                    if let Some(number) = r.instance {
                        put(attributes, "clone", &number.to_string());
                    }
                    if let Some(value) = r.meta("remote-node") {
                        put(attributes, "remote_node", value);
                    }
                }
                (Variant::Clone, Some(clone)) => {
                    let flag = |f| if r.is(f) { "true" } else { "false" };
                    put(attributes, "globally-unique", flag(RscFlags::UNIQUE));
                    put(attributes, "notify", flag(RscFlags::NOTIFY));
                    put(attributes, "clone-max", &clone.max.to_string());
                    put(attributes, "clone-node-max", &clone.node_max.to_string());
                    if r.is(RscFlags::PROMOTABLE) {
                        put(attributes, "promoted-max", &clone.promoted_max.to_string());
                        let per_node = clone.promoted_node_max.to_string();
                        put(attributes, "promoted-node-max", &per_node);
                        put(attributes, "master-max", &clone.promoted_max.to_string());
                        put(attributes, "master-node-max", &per_node);
                    }
                }
                _ => {}
            }
            if let Some(launcher) = r.launcher
                && !attributes.contains_key("CRM_meta_container")
            {
                put(attributes, "container", &self.rsc[launcher].id);
            }
            current = r.parent;
        }
    }

    /// For what runs in a guest but keeps its attributes on the host: which host that is.
    fn add_host(&self, rsc: RscId, action: ActId, attributes: &mut Attributes) {
        let a = &self.act[action];
        let Some(node) = a.node.filter(|n| self.is_guest(*n)) else {
            return;
        };
        let target = self.rsc[rsc].meta("container-attribute-target");
        let Some(target) = target.filter(|t| t.eq_ignore_ascii_case("host")) else {
            return;
        };
        let Some(launcher) = self.guest_launcher(node) else {
            return;
        };
        let now = matches!(
            a.task,
            Word::STOP | Word::DEMOTE | Word::STOPPED | Word::DEMOTED | Word::CANCEL
        );
        let host = if now {
            self.current_node(launcher)
        } else {
            self.rsc[launcher].assigned
        };
        if let Some(host) = host {
            put(attributes, "container-attribute-target", target);
            put(attributes, "physical-host", self.node[host].name);
        }
    }

    /// The nodes that are down once the action is done.
    fn downed(&self, action: ActId) -> Vec<String> {
        let a = &self.act[action];
        let Some(node) = a.node else {
            return Vec::new();
        };
        let id = |n| self.node[n].id.to_owned();
        match (a.task, a.rsc) {
            (Word::SHUTDOWN, _) => vec![id(node)],
            (Word::STONITH, _) => {
                let how = self.act_meta(action, "stonith_action").unwrap_or("");
                if !matches!(
                    how.to_ascii_lowercase().as_str(),
                    "off" | "reboot" | "poweroff"
                ) {
                    return Vec::new();
                }
                let guests = self.node[node].running.iter().filter_map(|r| {
                    let connection = self.launched_connection(*r)?;
                    self.find_node(&self.rsc[connection].id).map(id)
                });
                std::iter::once(id(node)).chain(guests).collect()
            }
            (Word::STOP, Some(rsc)) if self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION) => {
                let migrating = a.before.iter().any(|e| {
                    let first = &self.act[self.edges[*e as usize].first];
                    first.rsc == Some(rsc) && first.task == Word::MIGRATE_FROM
                });
                if migrating {
                    Vec::new()
                } else {
                    vec![self.rsc[rsc].id.to_string()]
                }
            }
            _ => Vec::new(),
        }
    }
}
