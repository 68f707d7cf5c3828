//! Capacities of nodes.

use std::cmp::Ordering;

use crate::action::{ActFlags, Relation, Side};
use crate::amounts::Amounts;
use crate::explain::What;
use crate::ids::{ActId, NodeId, RscId};
use crate::model::{RscFlags, Variant};
use crate::options::Placement;
use crate::plan::Plan;
use crate::text::INFINITY;
use crate::words::Word;

impl<'a> Plan<'a> {
    /// Which of two nodes has more to spare.
    pub(crate) fn compare_capacities(&self, a: NodeId, b: NodeId) -> Ordering {
        let (x, y) = (&self.node[a].utilization, &self.node[b].utilization);
        x.balance(y).cmp(&0)
    }

    /// Takes (-1) or returns (1) what a resource needs.
    pub(crate) fn use_capacity(&mut self, node: NodeId, rsc: RscId, sign: i64) {
        let amounts = self.rsc[rsc].utilization.clone();
        for (name, amount) in amounts.iter() {
            let capacity = &mut self.node[node].utilization;
            match capacity.get_mut(name) {
                Some(value) => *value += sign * amount,
                None => *capacity.entry(name) = if sign > 0 { amount } else { 0 },
            }
        }
    }

    fn has_capacity(&self, node: NodeId, amounts: &Amounts) -> bool {
        let capacity = &self.node[node].utilization;
        amounts
            .iter()
            .all(|(name, amount)| amount <= capacity.get(name).unwrap_or(0))
    }

    fn add_utilization(&self, rsc: RscId, all: &[RscId], sum: &mut Amounts) {
        let r = &self.rsc[rsc];
        if !r.is(RscFlags::UNASSIGNED) {
            return;
        }
        match r.variant {
            Variant::Primitive => {
                for (name, amount) in r.utilization.iter() {
                    *sum.entry(name) += amount;
                }
            }
            Variant::Group => {
                for member in self.members_with(rsc) {
                    if self.rsc[member].is(RscFlags::UNASSIGNED) && !all.contains(&member) {
                        self.add_utilization(member, all, sum);
                    }
                }
            }
            Variant::Clone => {
                let mut existing = false;
                for child in &r.children {
                    if all.contains(child) {
                        existing = true;
                    } else if self.rsc[*child].children.iter().any(|m| all.contains(m)) {
                        self.add_utilization(*child, all, sum);
                        existing = true;
                    }
                }
                if let Some(first) = r.children.first().filter(|_| !existing) {
                    self.add_utilization(*first, all, sum);
                }
            }
            Variant::Bundle => {
                if let Some(first) = self.instances(rsc).first() {
                    self.add_utilization(*first, all, sum);
                }
            }
        }
    }

    /// Bans nodes that cannot hold a resource with all that must be there too; if none can, those
    /// that cannot hold it alone, and names the node with most to spare.
    pub(crate) fn ban_insufficient_capacity(&mut self, rsc: RscId) -> Option<NodeId> {
        if self.options.placement == Placement::Default {
            return None;
        }
        let mut all = Vec::new();
        self.colocated_resources(rsc, rsc, &mut all);
        if !all.contains(&rsc) {
            all.push(rsc);
        }
        let mut sum = Amounts::default();
        for r in &all {
            self.add_utilization(*r, &all, &mut sum);
        }
        let usable: Vec<NodeId> = self
            .walk_nodes(rsc)
            .into_iter()
            .filter(|n| self.usable(rsc, *n))
            .collect();
        let mut most: Option<NodeId> = None;
        for &node in &usable {
            if most.is_none_or(|m| self.compare_capacities(node, m) == Ordering::Less) {
                most = Some(node);
            }
        }
        let any = usable.iter().any(|n| self.has_capacity(*n, &sum));
        let needed = if any {
            sum
        } else {
            (*self.rsc[rsc].utilization).clone()
        };
        for node in usable {
            if !self.has_capacity(node, &needed) {
                self.add_score(rsc, Some(node), -INFINITY);
                self.note(rsc, Some(node), What::Capacity);
            }
        }
        most.filter(|_| !any)
    }

    fn load_stopped(&mut self, node: NodeId) -> ActId {
        let name = format!("load_stopped_{}", self.node[node].name);
        let action = self.pseudo(&name);
        if self.act[action].node.is_none() {
            self.act[action].node = Some(node);
            self.act[action].flags.clear(ActFlags::OPTIONAL);
        }
        action
    }

    /// What comes to a node waits for what leaves it.
    pub(crate) fn order_by_load(&mut self, rsc: RscId) {
        let flags = Relation::ON_SAME_NODE_OR_TARGET;
        for node in self.rsc[rsc].running_on.clone() {
            let load = self.load_stopped(node);
            self.order(Side::op(rsc, Word::STOP), Self::side(load), flags);
        }
        for node in self.order.clone() {
            if self.slot(rsc, node).is_some() {
                let load = self.load_stopped(node);
                self.order(Self::side(load), Side::op(rsc, Word::START), flags);
                self.order(Self::side(load), Side::op(rsc, Word::MIGRATE_TO), flags);
            }
        }
    }
}
