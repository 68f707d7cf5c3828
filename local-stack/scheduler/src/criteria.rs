//! What makes nodes better or worse for a resource, apart from other resources.

use crate::constraint::Location;
use crate::explain::What;
use crate::ids::{Id as _, LocId, NodeId, RscId};
use crate::model::{ProbeMode, Role, RscFlags, Variant};
use crate::options::HealthStrategy;
use crate::plan::Plan;
use crate::text::{self, INFINITY};
use crate::words::Word;

impl<'a> Plan<'a> {
    /// The score that a node's health attributes add up to.
    pub(crate) fn health(&self, node: NodeId) -> i32 {
        let o = &self.options;
        let (red, yellow, green) = match o.health {
            HealthStrategy::None => return 0,
            HealthStrategy::MigrateOnRed => (-INFINITY, 0, 0),
            HealthStrategy::OnlyGreen => (-INFINITY, -INFINITY, 0),
            _ => (o.health_red, o.health_yellow, o.health_green),
        };
        let progressive = o.health == HealthStrategy::Progressive;
        let base = if progressive { o.health_base } else { 0 };
        let attrs = &self.node[node].attrs;
        let values = attrs.iter().filter(|(n, _)| n.starts_with("#health"));
        values.fold(base, |sum, (_, value)| {
            let score = match value.to_ascii_lowercase().as_str() {
                "red" => red,
                "yellow" => yellow,
                "green" => green,
                _ => text::parse_score(value),
            };
            text::add(score, sum)
        })
    }

    /// Turns the health of nodes into locations.
    pub(crate) fn apply_health(&mut self) {
        for node in self.order.clone() {
            let health = self.health(node);
            if health == 0 {
                continue;
            }
            for rsc in self.top.clone() {
                if health > 0 || !self.rsc[rsc].meta_true("allow-unhealthy-nodes") {
                    let location = self.loc.push(Location {
                        rsc,
                        role: Role::Unknown,
                        probe_mode: ProbeMode::Always,
                        nodes: vec![(node, health)],
                    });
                    self.rsc[rsc].locations.insert(0, location);
                    self.note_health(location);
                }
            }
        }
    }

    pub(crate) fn apply_node_criteria(&mut self) {
        if self.options.shutdown_lock {
            for rsc in self.top.clone() {
                self.lock(rsc);
            }
        }
        for place in (0..self.loc.len()).rev() {
            let id = LocId::new(place);
            let rsc = self.loc[id].rsc;
            self.apply_location(rsc, id, false);
        }
        for rsc in self.top.clone() {
            self.apply_stickiness(rsc);
        }
        for node in self.order.clone() {
            for rsc in self.top.clone() {
                self.check_threshold(rsc, node);
                self.apply_exclusive(rsc, node);
            }
        }
    }

    /// Keeps what has been shut down with its node for that node.
    fn lock(&mut self, rsc: RscId) {
        match self.rsc[rsc].variant {
            Variant::Primitive => {}
            Variant::Group => {
                for member in self.rsc[rsc].children.clone() {
                    self.lock(member);
                }
                return;
            }
            _ => return,
        }
        let class = self.rsc[rsc].class;
        if class.is_empty() || class == "stonith" || self.is_remote_connection(rsc) {
            return;
        }
        if let Some(node) = self.rsc[rsc].lock_node {
            if !self.rsc[rsc].running_on.is_empty() {
                self.op(rsc, Word::LRM_DELETE, Some(node), false);
                self.rsc[rsc].lock_node = None;
                self.rsc[rsc].lock_time = 0;
            }
        } else if let [node] = *self.rsc[rsc].running_on.as_slice()
            && self.node[node].shutdown
            && !self.node[node].unclean
        {
            let since = self
                .attr(node, "shutdown")
                .and_then(text::leading_int)
                .unwrap_or(0);
            self.rsc[rsc].lock_node = Some(node);
            self.rsc[rsc].lock_time = if since == 0 { self.now } else { since };
        }
        let Some(locked) = self.rsc[rsc].lock_node else {
            return;
        };
        let limit = self.options.shutdown_lock_limit;
        if limit > 0 {
            self.recheck(self.rsc[rsc].lock_time + limit + 1);
        }
        for node in self.order.clone() {
            if node != locked {
                self.add_score(rsc, Some(node), -INFINITY);
                self.note(rsc, Some(node), What::Locked(locked));
            }
        }
    }

    /// Applies a location; later members of a group only learn of the nodes, not the scores.
    fn apply_location(&mut self, rsc: RscId, id: LocId, reset: bool) {
        self.apply_location_to(rsc, id, reset);
        match self.rsc[rsc].variant {
            Variant::Primitive => {}
            Variant::Group => {
                let colocated = self.group_keeps(rsc, "collocated");
                let members = self.rsc[rsc].children.clone();
                for (place, member) in members.into_iter().enumerate() {
                    self.apply_location(member, id, reset || (place > 0 && colocated));
                }
            }
            Variant::Clone => {
                for instance in self.rsc[rsc].children.clone() {
                    self.apply_location(instance, id, reset);
                }
            }
            Variant::Bundle => {
                let Some(bundle) = self.rsc[rsc].bundle.clone() else {
                    return;
                };
                for replica in &bundle.replicas {
                    self.apply_location(replica.container, id, reset);
                    if let Some(ip) = replica.ip {
                        self.apply_location(ip, id, reset);
                    }
                }
                if let Some(child) = bundle.child
                    && self.loc[id].role > Role::Started
                {
                    self.apply_location(child, id, reset);
                    self.rsc[child].locations.insert(0, id);
                }
            }
        }
    }

    fn apply_location_to(&mut self, rsc: RscId, id: LocId, reset: bool) {
        let location = &self.loc[id];
        if location.role > Role::Unknown && location.role != self.rsc[rsc].next_role {
            return;
        }
        let probe_mode = location.probe_mode;
        for (node, score) in location.nodes.clone() {
            let score = if reset { 0 } else { score };
            if self.slot(rsc, node).is_none() {
                self.slot_mut(rsc, node).score = score;
            } else {
                let slot = self.slot_mut(rsc, node);
                slot.score = text::add(slot.score, score);
            }
            let rank = |m: ProbeMode| match m {
                ProbeMode::Always => 0,
                ProbeMode::Never => 1,
                ProbeMode::Exclusive => 2,
            };
            let slot = self.slot_mut(rsc, node);
            if rank(slot.probe_mode) < rank(probe_mode) {
                slot.probe_mode = probe_mode;
                if probe_mode == ProbeMode::Exclusive {
                    self.rsc[rsc].flags.set(RscFlags::EXCLUSIVE_PROBES);
                }
            }
        }
    }

    fn apply_stickiness(&mut self, rsc: RscId) {
        if !self.rsc[rsc].children.is_empty() {
            for child in self.rsc[rsc].children.clone() {
                self.apply_stickiness(child);
            }
            return;
        }
        let r = &self.rsc[rsc];
        if let [node] = *r.running_on.as_slice()
            && r.is(RscFlags::MANAGED)
            && r.stickiness >= 1
            && (self.options.symmetric || self.slot(rsc, node).is_some())
        {
            let score = self.rsc[rsc].stickiness;
            self.add_score(rsc, Some(node), score);
            self.note(rsc, Some(node), What::Sticky(score));
        }
    }

    fn check_threshold(&mut self, rsc: RscId, node: NodeId) {
        if !self.rsc[rsc].children.is_empty() {
            for i in 0..self.rsc[rsc].children.len() {
                let child = self.rsc[rsc].children[i];
                self.check_threshold(child, node);
            }
            return;
        }
        let key = crate::action::Key::once(Word::CLEAR_FAILCOUNT);
        if self.find_actions_exact(rsc, key, node).is_empty()
            && let Some((failed, count)) = self.threshold_reached(rsc, node)
        {
            self.add_score(failed, Some(node), -INFINITY);
            let limit = self.rsc[rsc].migration_threshold;
            self.note(failed, Some(node), What::Threshold { count, limit });
        }
    }

    fn apply_exclusive(&mut self, rsc: RscId, node: NodeId) {
        let top = self.top_resource(rsc, false);
        let exclusive = self.rsc[rsc].is(RscFlags::EXCLUSIVE_PROBES)
            || self.rsc[top].is(RscFlags::EXCLUSIVE_PROBES);
        if !exclusive {
            return;
        }
        for i in 0..self.rsc[rsc].children.len() {
            let child = self.rsc[rsc].children[i];
            self.apply_exclusive(child, node);
        }
        if self
            .slot(rsc, node)
            .is_some_and(|s| s.probe_mode != ProbeMode::Exclusive)
        {
            self.slot_mut(rsc, node).score = -INFINITY;
            self.note(rsc, Some(node), What::Exclusive);
        }
    }
}
