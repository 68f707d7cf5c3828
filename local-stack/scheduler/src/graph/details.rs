//! Everything that carrying out an action takes.

use std::borrow::Cow;
use std::sync::Arc;

use super::number;
use super::shared::{Common, is_resource_meta};
use crate::action::ActFlags;
use crate::attributes::{Attributes, Pair};
use crate::ids::{ActId, RscId};
use crate::model::{Map, RscFlags, Variant};
use crate::plan::Plan;
use crate::transition::{Action, ActionKind};
use crate::words::Word;

type Values<'a> = Map<'a>;

/// The name of an attribute that is about the action rather than for the agent.
fn meta_name(name: &str) -> Option<String> {
    if name.starts_with('#') {
        return None;
    }
    let mut full = String::with_capacity("CRM_meta_".len() + name.len());
    full.push_str("CRM_meta_");
    full.extend(name.chars().map(|c| if c == '-' { '_' } else { c }));
    Some(full)
}

fn put<'a>(attributes: &mut Values<'a>, name: &str, value: impl Into<Cow<'a, str>>) {
    if let Some(name) = meta_name(name) {
        attributes.insert(Cow::Owned(name), value.into());
    }
}

/// Like [`put`], for names that are known.
fn put_known<'a>(attributes: &mut Values<'a>, name: &'static str, value: impl Into<Cow<'a, str>>) {
    attributes.insert(Cow::Borrowed(name), value.into());
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
        let resource = self.act[action].rsc.filter(|_| !pseudo);
        let resource = resource.map(|r| self.shared_resource(r));
        let (attributes, timeout_ms) = self.attributes(action, node.is_some());
        let downed = if node.is_some() {
            self.downed(action)
        } else {
            Vec::new()
        };
        let (key, internal_key) = self.keys(action);
        let node = node.map(|n| self.shared_node(n).name.clone());
        let a = &self.act[action];
        let target_rc = a.target_rc.unwrap_or(0);
        Action {
            id: number(action),
            kind,
            operation: self.words.text(task).to_owned(),
            key,
            internal_key,
            node,
            router,
            resource,
            attributes,
            interval_ms: a.key.interval,
            timeout_ms,
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
        let interval = if a.key.interval == 0 {
            String::new()
        } else {
            a.key.interval.to_string()
        };
        let interval = if interval.is_empty() { "0" } else { &interval };
        let key = |id: &str| [id, "_", name, "_", interval].concat();
        let own = key(&self.rsc[rsc].id);
        match self.rsc[rsc].clone_name {
            Some(known) => (key(known), Some(own)),
            None => (own, None),
        }
    }

    /// The attributes of an action, and the milliseconds that it may take.
    fn attributes(&mut self, action: ActId, with_node: bool) -> (Attributes, u32) {
        let rsc = self.act[action].rsc;
        if let Some(rsc) = rsc
            && let Some(own) = self.own_attributes(action, with_node)
        {
            let Common { list, timeout_ms } = self.common_attributes(rsc, action);
            let timeout = own.iter().find(|(n, _)| &**n == "CRM_meta_timeout");
            let timeout = timeout.map_or(timeout_ms, |(_, t)| t.parse().unwrap_or(0));
            return (Attributes::new(list, own), timeout);
        }
        let values = self.all_attributes(action, with_node);
        let timeout = values.get("CRM_meta_timeout");
        let timeout = timeout.and_then(|t| t.parse().ok()).unwrap_or(0);
        (values.into_iter().collect(), timeout)
    }

    /// What an action has that others with its name and resource have not; none if that cannot be told
    /// apart.
    fn own_attributes(&mut self, action: ActId, with_node: bool) -> Option<Vec<Pair>> {
        let a = &self.act[action];
        let guest = a.node.is_some_and(|n| self.is_guest(n));
        if guest || a.meta.iter().any(|(name, _)| is_resource_meta(name)) {
            return None;
        }
        let (node, target_rc) = (a.node.filter(|_| with_node), a.target_rc);
        let mut own: Vec<Pair> = Vec::with_capacity(a.meta.len() + 3);
        for (name, value) in &a.meta {
            let name: Arc<str> = meta_name(name)?.into();
            own.retain(|(n, _)| *n != name);
            own.push((name, value.as_str().into()));
        }
        let mut put = |name: &Arc<str>, value: &Arc<str>| {
            own.retain(|(n, _)| n != name);
            own.push((name.clone(), value.clone()));
        };
        if let Some(rc) = target_rc {
            let value = self.shared.number(rc);
            put(&self.shared.names.target_rc, &value);
        }
        if let Some(node) = node {
            let (name, id) = {
                let node = self.shared_node(node);
                (node.uname.clone(), node.id.clone())
            };
            put(&self.shared.names.node, &name);
            put(&self.shared.names.node_id, &id);
        }
        own.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Some(own)
    }

    /// What every action with this one's name has, on any node or (where it matters) on this one.
    fn common_attributes(&mut self, rsc: RscId, action: ActId) -> Common {
        let a = &self.act[action];
        let (node, origin, interval) = (a.node, a.origin, a.key.interval);
        let name = self.words.shared(origin);
        let config = self.op_config(rsc, &name, interval, true);
        let varies = self.rsc[rsc].params_vary
            || config.is_some_and(|c| c.child("instance_attributes").is_some());
        let place = match node {
            None => 0,
            Some(_) if !varies => 1,
            Some(node) => node.0.saturating_add(2),
        };
        let key = (rsc, origin, interval, place);
        if let Some(common) = self.shared.common.get(&key) {
            return common.clone();
        }
        let mut values = Values::new();
        self.add_operation(rsc, action, &mut values);
        if let Some(address) = self.rsc[rsc].meta("external-ip") {
            put_known(&mut values, "pcmk_external_ip", address.to_owned());
        }
        self.add_resource_meta(rsc, &mut values);
        let common = Common::new(values);
        self.shared.common.insert(key, common.clone());
        common
    }

    /// Parameters and what is configured for the operation.
    fn add_operation(&mut self, rsc: RscId, action: ActId, attributes: &mut Values<'a>) {
        let a = &self.act[action];
        let (node, origin, interval) = (a.node, a.origin, a.key.interval);
        let origin = self.words.shared(origin);
        let config = self.op_config(rsc, &origin, interval, true);
        let primitive = self.rsc[rsc].variant == Variant::Primitive;
        if let (Some(node), Some(_)) = (node, config) {
            for (name, value) in self.op_params(config, node) {
                attributes.insert(name, value);
            }
        }
        if node.is_some() || primitive {
            self.add_parameters(rsc, action, attributes);
        }
        for (name, value) in self.op_meta(rsc, node, &origin, interval, config) {
            put(attributes, &name, value);
        }
    }

    fn all_attributes(&mut self, action: ActId, with_node: bool) -> Values<'a> {
        let mut attributes = Values::new();
        let a = &self.act[action];
        let (rsc, node) = (a.rsc, a.node);
        if let Some(rsc) = rsc {
            self.add_operation(rsc, action, &mut attributes);
        }
        for (name, value) in &self.act[action].meta {
            put(&mut attributes, name, value.clone());
        }
        let a = &self.act[action];
        if let Some(rc) = a.target_rc {
            put(&mut attributes, "op_target_rc", rc.to_string());
        }
        if let (Some(node), true) = (a.node, with_node) {
            put(&mut attributes, "on_node", self.node[node].name);
            put(&mut attributes, "on_node_uuid", self.node[node].id);
        }
        match (rsc, node) {
            (Some(rsc), _) => {
                if let Some(address) = self.rsc[rsc].meta("external-ip") {
                    put_known(&mut attributes, "pcmk_external_ip", address.to_owned());
                }
                self.add_resource_meta(rsc, &mut attributes);
                self.add_host(rsc, action, &mut attributes);
            }
            (None, Some(node)) if self.act[action].task == Word::STONITH => {
                for (name, value) in &self.node[node].attrs {
                    put(&mut attributes, name, value.clone());
                }
            }
            _ => {}
        }
        attributes
    }

    fn add_parameters(&mut self, rsc: RscId, action: ActId, attributes: &mut Values<'a>) {
        let node = self.act[action].node;
        let params = self.params(rsc, node);
        let address = if node.is_some() {
            self.bundle_remote_address(rsc)
        } else {
            None
        };
        for (name, value) in params.iter() {
            let entry = attributes.entry(name.clone());
            entry.or_insert_with(|| match &address {
                Some(address) if name == "addr" => Cow::Owned(address.clone()),
                _ => value.clone(),
            });
        }
    }

    /// What a resource and all that it is part of say about themselves.
    fn add_resource_meta(&self, rsc: RscId, attributes: &mut Values<'a>) {
        let mut current = Some(rsc);
        while let Some(id) = current {
            let r = &self.rsc[id];
            match (r.variant, &r.clone) {
                (Variant::Primitive, _) => {
                    if let Some(number) = r.instance {
                        put_known(attributes, "CRM_meta_clone", number.to_string());
                    }
                    if let Some(value) = r.meta("remote-node") {
                        put_known(attributes, "CRM_meta_remote_node", value.to_owned());
                    }
                }
                (Variant::Clone, Some(clone)) => {
                    let flag = |f| if r.is(f) { "true" } else { "false" };
                    put_known(
                        attributes,
                        "CRM_meta_globally_unique",
                        flag(RscFlags::UNIQUE),
                    );
                    put_known(attributes, "CRM_meta_notify", flag(RscFlags::NOTIFY));
                    let mut count = |name, count: i32| {
                        put_known(attributes, name, count.to_string());
                    };
                    count("CRM_meta_clone_max", clone.max);
                    count("CRM_meta_clone_node_max", clone.node_max);
                    if r.is(RscFlags::PROMOTABLE) {
                        count("CRM_meta_promoted_max", clone.promoted_max);
                        count("CRM_meta_promoted_node_max", clone.promoted_node_max);
                        count("CRM_meta_master_max", clone.promoted_max);
                        count("CRM_meta_master_node_max", clone.promoted_node_max);
                    }
                }
                _ => {}
            }
            if let Some(launcher) = r.launcher
                && !attributes.contains_key("CRM_meta_container")
            {
                put_known(
                    attributes,
                    "CRM_meta_container",
                    self.rsc[launcher].id.to_string(),
                );
            }
            current = r.parent;
        }
    }

    /// For what runs in a guest but keeps its attributes on the host: which host that is.
    fn add_host(&self, rsc: RscId, action: ActId, attributes: &mut Values<'a>) {
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
            let name = "CRM_meta_container_attribute_target";
            put_known(attributes, name, target.to_owned());
            put_known(attributes, "CRM_meta_physical_host", self.node[host].name);
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
