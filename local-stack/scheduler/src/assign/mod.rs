//! Where each resource shall run.

mod bundle;
mod clone;
mod colocation;
mod group;
mod instances;
mod nodes;
mod primitive;
mod promotable;
mod promotion_score;
mod relevant;
mod sort;
mod utilization;

use crate::ids::{NodeId, RscId};
use crate::model::{RscFlags, Slot, Variant};
use crate::options::Placement;
use crate::plan::Plan;

/// A resource's view of all nodes.
pub(crate) type Nodes = Vec<Slot>;

impl<'a> Plan<'a> {
    /// Assigns every resource.
    pub(crate) fn assign_all(&mut self) {
        self.note_own_names();
        if self.options.placement != Placement::Default {
            self.sort_resources();
        }
        // Connections come first: others may want to run on their nodes.
        if self.have_remote {
            for rsc in self.top.clone() {
                if self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION) {
                    let prefer = self.rsc[rsc].partial_target;
                    self.assign(rsc, prefer, true);
                }
            }
        }
        for rsc in self.top.clone() {
            if !self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION) {
                self.assign(rsc, None, true);
            }
        }
    }

    /// Most colocations are by name: where that is the obvious one, nothing has to be looked up.
    fn note_own_names(&mut self) {
        for node in self.node.ids() {
            let value = self.attr(node, "#uname");
            let own = value.is_some_and(|v| v.eq_ignore_ascii_case(self.node[node].name));
            self.node[node].own_name = own && !self.is_remote_kind(node);
        }
    }

    /// Assigns a resource; `stop_if_fail`: for good, even if there is no node for it.
    pub(crate) fn assign(
        &mut self,
        rsc: RscId,
        prefer: Option<NodeId>,
        stop_if_fail: bool,
    ) -> Option<NodeId> {
        match self.rsc[rsc].variant {
            Variant::Primitive => self.assign_primitive(rsc, prefer, stop_if_fail),
            Variant::Group => self.assign_group(rsc, prefer, stop_if_fail),
            Variant::Clone => self.assign_clone(rsc, stop_if_fail),
            Variant::Bundle => self.assign_bundle(rsc, stop_if_fail),
        }
    }
}
