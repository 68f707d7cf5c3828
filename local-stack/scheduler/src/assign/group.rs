//! Assigning a group: its members in order.

use crate::ids::{NodeId, RscId};
use crate::model::RscFlags;
use crate::plan::Plan;

impl<'a> Plan<'a> {
    pub(super) fn assign_group(
        &mut self,
        rsc: RscId,
        prefer: Option<NodeId>,
        stop_if_fail: bool,
    ) -> Option<NodeId> {
        if !self.rsc[rsc].is(RscFlags::UNASSIGNED) {
            return self.rsc[rsc].assigned;
        }
        if self.rsc[rsc].is(RscFlags::ASSIGNING) {
            return None;
        }
        let members = self.rsc[rsc].children.clone();
        let Some(&first) = members.first() else {
            self.rsc[rsc].flags.clear(RscFlags::UNASSIGNED);
            return None;
        };
        self.rsc[rsc].flags.set(RscFlags::ASSIGNING);
        self.rsc[rsc].role = self.rsc[first].role;
        self.note_weights(rsc, "pcmk__group_assign");
        let mut place = None;
        for member in members {
            let node = self.assign(member, prefer, stop_if_fail);
            place = place.or(node);
        }
        self.rsc[rsc].next_role = self.rsc[first].next_role;
        self.rsc[rsc]
            .flags
            .clear(RscFlags::ASSIGNING | RscFlags::UNASSIGNED);
        place.filter(|_| self.group_keeps(rsc, "collocated"))
    }
}
