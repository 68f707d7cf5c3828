//! Which colocations concern a resource, considering what it is part of.

use crate::ids::{ColId, RscId};
use crate::model::{RscFlags, Variant};
use crate::plan::Plan;
use crate::text::INFINITY;

impl Plan<'_> {
    pub(crate) fn this_with_colocations(&self, rsc: RscId) -> Vec<ColId> {
        let mut list = Vec::new();
        self.add_colocations(rsc, rsc, false, &mut list);
        list
    }

    pub(crate) fn with_this_colocations(&self, rsc: RscId) -> Vec<ColId> {
        let mut list = Vec::new();
        self.add_colocations(rsc, rsc, true, &mut list);
        list
    }

    fn own(&self, rsc: RscId, with: bool) -> &[ColId] {
        if with {
            &self.rsc[rsc].with_this
        } else {
            &self.rsc[rsc].this_with
        }
    }

    fn add_own(&self, rsc: RscId, with: bool, list: &mut Vec<ColId>) {
        if list.is_empty() {
            list.extend_from_slice(self.own(rsc, with));
        } else {
            for col in self.own(rsc, with) {
                self.insert_colocation(list, *col, with);
            }
        }
    }

    fn add_colocations(&self, rsc: RscId, whose: RscId, with: bool, list: &mut Vec<ColId>) {
        match self.rsc[rsc].variant {
            Variant::Primitive if rsc == whose => {
                self.add_own(rsc, with, list);
                if let Some(parent) = self.rsc[rsc].parent {
                    self.add_colocations(parent, whose, with, list);
                }
            }
            Variant::Primitive => {
                for col in self.own(rsc, with) {
                    if self.col[*col].explicit {
                        self.insert_colocation(list, *col, with);
                    }
                }
            }
            Variant::Group => self.add_group_colocations(rsc, whose, with, list),
            Variant::Clone => {
                self.add_own(rsc, with, list);
                if let Some(parent) = self.rsc[rsc].parent {
                    self.add_colocations(parent, whose, with, list);
                }
            }
            Variant::Bundle => self.add_bundle_colocations(rsc, whose, with, list),
        }
    }

    /// The chain of members passes most of a group's colocations on.
    fn add_group_colocations(&self, rsc: RscId, whose: RscId, with: bool, list: &mut Vec<ColId>) {
        let members = &self.rsc[rsc].children;
        let end = if with {
            members.last()
        } else {
            members.first()
        };
        let Some(&end) = end else {
            return;
        };
        if whose == rsc || whose == end {
            self.add_own(rsc, with, list);
            if let Some(parent) = self.rsc[rsc].parent {
                self.add_colocations(parent, whose, with, list);
            }
            for &member in members {
                if member != whose {
                    self.add_colocations(member, whose, with, list);
                }
            }
            return;
        }
        if with {
            return;
        }
        // An unmanaged member breaks the chain.
        let earlier = members.iter().take_while(|m| **m != whose);
        if earlier
            .into_iter()
            .any(|m| !self.rsc[*m].is(RscFlags::MANAGED))
        {
            for col in self.own(rsc, false) {
                if self.col[*col].score == INFINITY {
                    self.insert_colocation(list, *col, false);
                }
            }
        }
    }

    /// A bundle's colocations are those of its containers; by role, those of its primitive.
    fn add_bundle_colocations(&self, rsc: RscId, whose: RscId, with: bool, list: &mut Vec<ColId>) {
        if whose == rsc || self.rsc[whose].is(RscFlags::REPLICA_CONTAINER) {
            self.add_own(rsc, with, list);
            return;
        }
        let child = self.rsc[rsc].bundle.as_ref().and_then(|b| b.child);
        let Some(child) = child.filter(|c| self.rsc[*c].is(RscFlags::PROMOTABLE)) else {
            return;
        };
        if self.top_resource(whose, false) != child {
            return;
        }
        // While roles are chosen, the instances inside count.
        let choosing = if whose == child {
            self.rsc[whose].is(RscFlags::PROMOTION_CONSTRAINED)
        } else {
            !self.rsc[whose].is(RscFlags::UNASSIGNED)
        };
        if choosing {
            self.add_own(rsc, with, list);
        }
    }
}
