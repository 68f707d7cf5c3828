//! Resources from their configuration.

use std::borrow::Cow;
use std::rc::Rc;

use cib::Element;

use super::nodes::is_connection;
use crate::action_list::ActionList;
use crate::amounts::Amounts;
use crate::ids::RscId;
use crate::model::{Map, MultiplyActive, NodeKind, OpConfig, Resource, Role, RscFlags, Variant};
use crate::options::NoQuorum;
use crate::plan::Plan;
use crate::rules::{self, Facts};
use crate::text;

impl<'a> Plan<'a> {
    pub(crate) fn unpack_resources(&mut self, resources: Element<'a>) {
        for element in resources.children() {
            if element.name() == "template" {
                self.templates.entry(element.id()).or_default();
            } else if !element.id().is_empty()
                && let Some(rsc) = self.unpack_resource(element, None, None)
            {
                self.top.push(rsc);
            }
        }
        for rsc in self.top.clone() {
            self.link_launcher(rsc);
            self.link_connection(rsc);
        }
        let rsc = &self.rsc;
        self.top
            .sort_by(|a, b| rsc[*b].priority.cmp(&rsc[*a].priority));
    }

    fn link_launcher(&mut self, rsc: RscId) {
        if !self.rsc[rsc].children.is_empty() {
            for child in self.rsc[rsc].children.clone() {
                self.link_launcher(child);
            }
            return;
        }
        let Some(launcher) = self.rsc[rsc].meta("container").and_then(|c| self.find(c)) else {
            return;
        };
        if launcher != rsc {
            self.rsc[rsc].launcher = Some(launcher);
            self.rsc[launcher].launched.push(rsc);
        }
    }

    /// Ties a connection to the node it makes.
    pub(crate) fn link_connection(&mut self, rsc: RscId) {
        if !self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION) {
            return;
        }
        let Some(node) = self.find_node(&self.rsc[rsc].id.clone()) else {
            return;
        };
        self.node[node].connection = Some(rsc);
        if self.rsc[rsc].launcher.is_none() {
            self.judge_startup(node);
        } else {
            self.node[node]
                .attrs
                .insert(Cow::Borrowed("#kind"), Cow::Borrowed("container"));
        }
    }

    fn blank(&self, element: Element<'a>, parent: Option<RscId>, variant: Variant) -> Resource<'a> {
        let template = element.attr("template").and_then(|t| {
            let resources = self.root.child("configuration")?.child("resources")?;
            resources.children_named("template").find(|e| e.id() == t)
        });
        let attr = |name: &str| {
            element
                .attr(name)
                .or_else(|| template.and_then(|t| t.attr(name)))
        };
        Resource {
            id: element.id().into(),
            xml_id: element.id(),
            clone_name: None,
            instance: None,
            variant,
            xml: element,
            template,
            class: attr("class").unwrap_or(""),
            provider: attr("provider"),
            kind: attr("type").unwrap_or(""),
            parent,
            children: Vec::new(),
            flags: RscFlags::UNASSIGNED,
            meta: Map::new(),
            ops: Rc::new(Vec::new()),
            params: Vec::new(),
            params_vary: false,
            utilization: Rc::default(),
            priority: 0,
            stickiness: 0,
            migration_threshold: text::INFINITY,
            failure_timeout: 0,
            multiply_active: MultiplyActive::Restart,
            role: Role::Stopped,
            next_role: Role::Unknown,
            running_on: Vec::new(),
            known_on: Vec::new(),
            allowed: Vec::new(),
            assigned: None,
            dangling: Vec::new(),
            partial_target: None,
            partial_source: None,
            pending_task: None,
            pending_node: None,
            lock_node: None,
            lock_time: 0,
            launcher: None,
            launched: Vec::new(),
            reconnect_ms: 0,
            actions: ActionList::default(),
            this_with: Vec::new(),
            with_this: Vec::new(),
            locations: Vec::new(),
            tickets: Vec::new(),
            clone: None,
            bundle: None,
            sort_index: -1,
            promotion_priority: 0,
        }
    }

    /// Reads a resource and its parts.
    pub(crate) fn unpack_resource(
        &mut self,
        element: Element<'a>,
        parent: Option<RscId>,
        instance: Option<i32>,
    ) -> Option<RscId> {
        let variant = match element.name() {
            "primitive" | "lrm_resource" => Variant::Primitive,
            "group" => Variant::Group,
            "clone" | "master" | crate::expand::INNER => Variant::Clone,
            "bundle" => Variant::Bundle,
            _ => return None,
        };
        let mut blank = self.blank(element, parent, variant);
        if blank.template.is_none() && element.attr("template").is_some() {
            return None;
        }
        // Members of a cloned group carry the number of their group.
        let inherited = parent.and_then(|p| {
            (self.rsc[p].variant == Variant::Group)
                .then_some(self.rsc[p].instance)
                .flatten()
        });
        blank.instance = instance.or(inherited);
        if let Some(number) = blank.instance {
            blank.id = format!("{}:{number}", element.id()).into();
        }
        let rsc = self.rsc.push(blank);
        let id = self.rsc[rsc].id.clone();
        self.by_id.entry(id).or_insert(rsc);
        self.read_ops(rsc);
        self.read_meta(rsc);
        self.read_settings(rsc);
        let fine = match variant {
            Variant::Primitive => self.unpack_primitive(rsc),
            Variant::Group => self.unpack_group(rsc),
            Variant::Clone => self.unpack_clone(rsc),
            Variant::Bundle => self.unpack_bundle(rsc),
        };
        if !fine {
            self.by_id.retain(|_, r| *r != rsc);
            return None;
        }
        let guest = self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION)
            && self.rsc[rsc].meta("container").is_some();
        if self.options.symmetric {
            self.allow_by_default(rsc);
        } else if guest {
            self.add_score(rsc, None, 0);
        }
        self.read_utilization(rsc);
        if let Some(template) = element.attr("template") {
            let users = self.templates.entry(template).or_default();
            if !users.contains(&element.id()) {
                users.push(element.id());
            }
        }
        Some(rsc)
    }

    /// In a symmetric cluster every node is a candidate, but for exclusive resources and nodes.
    fn allow_by_default(&mut self, rsc: RscId) {
        for r in self.with_descendants(rsc) {
            if self.rsc[r].is(RscFlags::EXCLUSIVE_PROBES) {
                continue;
            }
            for i in 0..self.order.len() {
                let node = self.order[i];
                if self.node[node].probe_mode != crate::model::ProbeMode::Never {
                    self.slot_mut(r, node);
                }
            }
        }
    }

    fn read_utilization(&mut self, rsc: RscId) {
        let parents = self.config_parents(rsc);
        let mut values = Map::new();
        let facts = self.facts();
        let how = (None, false);
        rules::read_blocks(
            &self.references,
            &parents,
            "utilization",
            &facts,
            how,
            &mut values,
        );
        let mut utilization = Amounts::default();
        for (name, value) in values {
            if let Some(value) = text::leading_int(&value) {
                *utilization.entry(self.words.get(&name)) = value;
            }
        }
        self.rsc[rsc].utilization = Rc::new(utilization);
    }

    fn read_ops(&mut self, rsc: RscId) {
        let r = &self.rsc[rsc];
        let own = r
            .xml
            .child("operations")
            .and_then(|o| self.references.resolve(o));
        let base = r.template.and_then(|t| t.child("operations"));
        let base = base.and_then(|o| self.references.resolve(o));
        let key = |e: &Element<'a>| {
            let role = e.attr("role").and_then(Role::parse);
            let role = role.filter(|r| !matches!(r, Role::Started | Role::Unpromoted));
            (e.attr("name"), role)
        };
        let own_ops: Vec<Element<'a>> = own
            .into_iter()
            .flat_map(|o| o.children_named("op"))
            .collect();
        let taken: Vec<_> = own_ops.iter().map(key).collect();
        let base_ops = base.into_iter().flat_map(|o| o.children_named("op"));
        let inherited = base_ops.filter(|e| own.is_none() || !taken.contains(&key(e)));
        let all = own_ops.iter().copied().chain(inherited);
        let ops = all.filter_map(|written| {
            let element = self.references.resolve(written)?;
            Some(OpConfig {
                name: element.attr("name").unwrap_or(""),
                interval_ms: text::interval_ms(element.attr("interval")),
                enabled: element
                    .attr("enabled")
                    .and_then(text::parse_bool)
                    .unwrap_or(true),
                element,
            })
        });
        self.rsc[rsc].ops = Rc::new(ops.collect());
    }

    fn read_meta(&mut self, rsc: RscId) {
        let mut meta = Map::new();
        let r = &self.rsc[rsc];
        if let Some(number) = r.instance {
            meta.insert(Cow::Borrowed("clone"), Cow::Owned(number.to_string()));
        }
        let elements = [Some(r.xml), r.template];
        for (name, value) in elements.iter().flatten().flat_map(|e| e.attributes()) {
            if name != "template" {
                meta.entry(Cow::Borrowed(name))
                    .or_insert(Cow::Borrowed(value));
            }
        }
        let facts = Facts {
            agent: Some((r.class, r.provider, r.kind)),
            ..self.facts()
        };
        let name = "meta_attributes";
        let how = (None, false);
        let mut current = Some(rsc);
        while let Some(c) = current {
            let parents = self.config_parents(c);
            rules::read_blocks(&self.references, &parents, name, &facts, how, &mut meta);
            current = self.rsc[c].parent;
        }
        if let Some(defaults) = self.rsc_defaults {
            rules::read_blocks(&self.references, &[defaults], name, &facts, how, &mut meta);
        }
        if let Some(parent) = self.rsc[rsc].parent {
            for (name, value) in &self.rsc[parent].meta {
                meta.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        let guarded = |e: Element<'a>| {
            let mut blocks = e.children_named("instance_attributes");
            blocks.any(|b| b.child("rule").is_some() || b.attr("id-ref").is_some())
        };
        let vary = self.config_parents(rsc).into_iter().any(guarded)
            || self.rsc_defaults.is_some_and(guarded)
            || self.rsc[rsc]
                .parent
                .is_some_and(|p| self.rsc[p].params_vary);
        let r = &mut self.rsc[rsc];
        r.params_vary = vary;
        r.meta = meta;
    }

    fn read_settings(&mut self, rsc: RscId) {
        let in_maintenance = self.options.maintenance;
        let connection =
            is_connection(self.rsc[rsc].xml) || self.rsc[rsc].template.is_some_and(is_connection);
        let r = &mut self.rsc[rsc];
        let guest = connection && r.meta("container").is_some();
        let remote = connection && !guest;
        let mut flags = r.flags;
        if connection {
            flags.set(RscFlags::REMOTE_CONNECTION);
        }
        r.priority = r.meta("priority").map_or(0, text::parse_score);
        r.promotion_priority = r.priority;
        if r.meta("critical").is_none() || r.meta_true("critical") {
            flags.set(RscFlags::CRITICAL);
        }
        if r.meta_true("notify") {
            flags.set(RscFlags::NOTIFY);
        }
        if r.meta("allow-migrate")
            .map_or(remote, |v| text::is_true(Some(v)))
        {
            flags.set(RscFlags::MIGRATABLE);
        }
        if r.meta("is-managed")
            .map_or(!in_maintenance, |v| text::is_true(Some(v)))
        {
            flags.set(RscFlags::MANAGED);
        }
        if in_maintenance || r.meta_true("maintenance") {
            flags.clear(RscFlags::MANAGED);
            flags.set(RscFlags::MAINTENANCE);
        }
        r.multiply_active = match r
            .meta("multiple-active")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("stop_only") => MultiplyActive::Stop,
            Some("block") => MultiplyActive::Block,
            Some("stop_unexpected") => MultiplyActive::Unexpected,
            _ => MultiplyActive::Restart,
        };
        if let Some(value) = r.meta("resource-stickiness") {
            r.stickiness = text::parse_score(value);
        }
        if let Some(value) = r.meta("migration-threshold") {
            let threshold = text::parse_score(value);
            r.migration_threshold = if threshold < 0 { 1 } else { threshold };
        }
        if r.class.eq_ignore_ascii_case("stonith") {
            flags.set(RscFlags::FENCE_DEVICE);
            self.options.have_fencing = true;
        }
        let r = &mut self.rsc[rsc];
        r.failure_timeout = i64::from(text::interval_ms(r.meta("failure-timeout"))) / 1000;
        r.flags = flags;
        self.read_uniqueness(rsc);
        self.read_requires(rsc, connection);
        if remote {
            let params = self.params(rsc, None);
            if let Some(value) = params.get("reconnect_interval") {
                let ms = text::interval_ms(Some(value));
                self.rsc[rsc].reconnect_ms = ms;
                self.rsc[rsc].failure_timeout = i64::from(ms) / 1000;
            }
        }
        if let Some(role) = self.target_role(rsc) {
            self.rsc[rsc].next_role = role;
        }
    }

    fn read_uniqueness(&mut self, rsc: RscId) {
        let top = self.top_resource(rsc, false);
        if !self.is_clone(top) {
            self.rsc[rsc].flags.set(RscFlags::UNIQUE);
            return;
        }
        let r = &self.rsc[rsc];
        let unique = match r.meta("globally-unique") {
            Some(value) => text::is_true(Some(value)),
            None => r
                .meta("clone-node-max")
                .and_then(text::leading_int)
                .is_some_and(|n| n > 1),
        };
        let promotable = r.meta_true("promotable") || r.xml.name() == "master";
        if unique {
            self.rsc[rsc].flags.set(RscFlags::UNIQUE);
        }
        if promotable {
            self.rsc[rsc].flags.set(RscFlags::PROMOTABLE);
            self.rsc[rsc]
                .meta
                .insert(Cow::Borrowed("promotable"), Cow::Borrowed("true"));
        }
    }

    fn read_requires(&mut self, rsc: RscId, connection: bool) {
        let value = self.rsc[rsc].meta("requires").map(str::to_ascii_lowercase);
        let o = &self.options;
        let device = self.rsc[rsc].is(RscFlags::FENCE_DEVICE);
        let value = match value.as_deref() {
            Some(v @ ("nothing" | "quorum" | "fencing")) => v,
            Some("unfencing") if device || !o.fencing => "quorum",
            Some("unfencing") => "unfencing",
            _ if device || connection => "quorum",
            _ if o.unfencing => "unfencing",
            _ if o.fencing => "fencing",
            _ if o.no_quorum == NoQuorum::Ignore => "nothing",
            _ => "quorum",
        };
        let flags = &mut self.rsc[rsc].flags;
        match value {
            "quorum" => flags.set(RscFlags::NEEDS_QUORUM),
            "fencing" => flags.set(RscFlags::NEEDS_FENCING),
            "unfencing" => flags.set(RscFlags::NEEDS_FENCING | RscFlags::NEEDS_UNFENCING),
            _ => {}
        }
    }

    /// The role that configuration asks for, if it restricts anything.
    pub(crate) fn target_role(&self, rsc: RscId) -> Option<Role> {
        let role = Role::parse(self.rsc[rsc].meta("target-role")?)?;
        if matches!(role, Role::Started | Role::Unknown) {
            return None;
        }
        if role > Role::Started {
            let promotable = self.rsc[self.top_resource(rsc, false)].is(RscFlags::PROMOTABLE);
            return (promotable && role == Role::Unpromoted).then_some(role);
        }
        Some(role)
    }

    fn unpack_primitive(&mut self, rsc: RscId) -> bool {
        let top = self.top_resource(rsc, false);
        let class = self.rsc[rsc].class.to_ascii_lowercase();
        let can_be_unique = matches!(class.as_str(), "ocf" | "stonith");
        if !can_be_unique && self.rsc[rsc].is(RscFlags::UNIQUE) && self.is_clone(top) {
            let nodes = i32::try_from(self.node.len()).unwrap_or(i32::MAX);
            if let Some(clone) = self.rsc[top].clone.as_mut() {
                clone.node_max = 1;
                clone.max = clone.max.min(nodes);
            }
            let mut all = self.with_descendants(top);
            all.push(rsc);
            for r in all {
                self.rsc[r].flags.clear(RscFlags::UNIQUE);
                let meta = &mut self.rsc[r].meta;
                meta.insert(Cow::Borrowed("globally-unique"), Cow::Borrowed("false"));
            }
        }
        class == "ocf" || !self.rsc[top].is(RscFlags::PROMOTABLE)
    }

    fn unpack_group(&mut self, rsc: RscId) -> bool {
        let element = self.rsc[rsc].xml;
        let mut found = false;
        for member in element.children_named("primitive") {
            found = true;
            if let Some(child) = self.unpack_resource(member, Some(rsc), None) {
                self.rsc[rsc].children.push(child);
            }
        }
        found
    }

    /// A resource that has history but no configuration.
    pub(crate) fn unpack_removed(&mut self, entry: Element<'a>) -> Option<RscId> {
        let rsc = self.unpack_resource(entry, None, None)?;
        if self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION) {
            let name = entry.id();
            let node = match self.find_node(name) {
                Some(node) => node,
                None => self.create_node(name, name, NodeKind::Remote, 0),
            };
            self.link_connection(rsc);
            self.node[node].shutdown = true;
        }
        let flags = &mut self.rsc[rsc].flags;
        if entry.attr("container").is_some() {
            flags.set(RscFlags::REMOVED_LAUNCHED);
        }
        flags.set(RscFlags::REMOVED);
        self.top.push(rsc);
        Some(rsc)
    }
}
