//! Colocation constraints.

use std::cmp::Ordering;

use cib::Element;

use super::sets::{Set, SideOf};
use super::{Colocation, constraint_role};
use crate::action::Relation;
use crate::ids::{ColId, RscId};
use crate::model::{Role, RscFlags, Variant};
use crate::plan::Plan;
use crate::text;
use crate::words::Word;

/// What a colocation is made of.
pub(crate) struct NewColocation<'a> {
    pub(crate) attribute: Option<&'a str>,
    pub(crate) score: i32,
    pub(crate) dependent: RscId,
    pub(crate) primary: RscId,
    pub(crate) dependent_role: Role,
    pub(crate) primary_role: Role,
    pub(crate) influence: bool,
    pub(crate) explicit: bool,
}

impl<'a> Plan<'a> {
    pub(super) fn unpack_colocation(&mut self, element: Element<'a>) {
        let sides = [
            SideOf {
                attribute: "rsc",
                role: element.attr("rsc-role"),
                action: None,
            },
            SideOf {
                attribute: "with-rsc",
                role: element.attr("with-rsc-role"),
                action: None,
            },
        ];
        let tag = |p: &Self, name: &str| {
            element
                .attr(name)
                .is_some_and(|id| p.constrained(id).is_none())
        };
        if element.child("resource_set").is_none() && tag(self, "rsc") && tag(self, "with-rsc") {
            return;
        }
        let Ok(sets) = self.sets(element, &sides, true) else {
            return;
        };
        let score = element.attr("score").map_or(0, text::parse_score);
        let influence = element.attr("influence").and_then(text::parse_bool);
        let mut last: Option<&Set<'a>> = None;
        for set in &sets {
            self.colocate_within(set, score, influence);
            if let Some(last) = last {
                self.colocate_sets(last, set, score, influence);
            }
            last = Some(set);
        }
        if last.is_none() {
            self.colocate_simply(element, score, influence);
        }
    }

    fn influence(&self, rsc: RscId, configured: Option<bool>) -> bool {
        configured.unwrap_or_else(|| self.rsc[rsc].is(RscFlags::CRITICAL))
    }

    fn colocate_simply(&mut self, element: Element<'a>, score: i32, influence: Option<bool>) {
        let find = |p: &Self, name: &str| element.attr(name).and_then(|id| p.constrained(id));
        let (Some(dependent), Some(primary)) = (find(self, "rsc"), find(self, "with-rsc")) else {
            return;
        };
        let (Some(dependent_role), Some(primary_role)) = (
            constraint_role(element.attr("rsc-role")),
            constraint_role(element.attr("with-rsc-role")),
        ) else {
            return;
        };
        let influence = self.influence(dependent, influence);
        self.new_colocation(NewColocation {
            attribute: element.attr("node-attribute"),
            score,
            dependent,
            primary,
            dependent_role,
            primary_role,
            influence,
            explicit: true,
        });
    }

    fn colocate_pair(
        &mut self,
        (dependent, primary): (RscId, RscId),
        (dependent_role, primary_role): (Option<&str>, Option<&str>),
        score: i32,
        influence: Option<bool>,
    ) {
        let (Some(dependent_role), Some(primary_role)) = (
            constraint_role(dependent_role),
            constraint_role(primary_role),
        ) else {
            return;
        };
        let influence = self.influence(dependent, influence);
        self.new_colocation(NewColocation {
            attribute: None,
            score,
            dependent,
            primary,
            dependent_role,
            primary_role,
            influence,
            explicit: true,
        });
    }

    fn colocate_within(&mut self, set: &Set<'a>, score: i32, influence: Option<bool>) {
        let score = set.attr("score").map_or(score, text::parse_score);
        if score == 0 || set.sequential == Some(false) {
            return;
        }
        let with_previous = set
            .attr("ordering")
            .is_none_or(|o| o.eq_ignore_ascii_case("group"));
        let mut before: Vec<RscId> = Vec::new();
        for id in &set.members {
            let Some(rsc) = self.constrained(id) else {
                return;
            };
            let roles = (set.role, set.role);
            if score > 0 {
                if let Some(&last) = before.last() {
                    let pair = if with_previous {
                        (rsc, last)
                    } else {
                        (last, rsc)
                    };
                    self.colocate_pair(pair, roles, score, influence);
                }
            } else {
                // Nobody in the set may be with anybody else in it.
                for other in before.clone() {
                    self.colocate_pair((rsc, other), roles, score, influence);
                }
            }
            before.push(rsc);
        }
    }

    fn colocate_sets(
        &mut self,
        dependents: &Set<'a>,
        primaries: &Set<'a>,
        score: i32,
        influence: Option<bool>,
    ) {
        if score == 0 {
            return;
        }
        let resolve = |p: &Self, ids: &[&str]| -> Vec<RscId> {
            ids.iter().filter_map(|id| p.constrained(id)).collect()
        };
        let all = |set: &Set<'a>| set.sequential == Some(false);
        let ends = |p: &Self, set: &Set<'a>, last: bool| {
            if all(set) {
                return resolve(p, &set.members);
            }
            let id = if last {
                set.members.last()
            } else {
                set.members.first()
            };
            resolve(p, &id.copied().into_iter().collect::<Vec<_>>())
        };
        let from = ends(self, dependents, false);
        let to = ends(self, primaries, true);
        for &dependent in &from {
            for &primary in &to {
                let roles = (dependents.role, primaries.role);
                self.colocate_pair((dependent, primary), roles, score, influence);
            }
        }
    }

    pub(crate) fn new_colocation(&mut self, new: NewColocation<'a>) {
        if new.score == 0 {
            return;
        }
        let (dependent, primary) = (new.dependent, new.primary);
        let col = self.col.push(Colocation {
            dependent,
            primary,
            dependent_role: new.dependent_role,
            primary_role: new.primary_role,
            attribute: new.attribute.unwrap_or("#uname"),
            score: new.score,
            influence: new.influence,
            explicit: new.explicit,
        });
        let mut list = std::mem::take(&mut self.rsc[dependent].this_with);
        self.insert_colocation(&mut list, col, false);
        self.rsc[dependent].this_with = list;
        let mut list = std::mem::take(&mut self.rsc[primary].with_this);
        self.insert_colocation(&mut list, col, true);
        self.rsc[primary].with_this = list;
        if new.score <= -text::INFINITY {
            self.order_apart((dependent, new.dependent_role), (primary, new.primary_role));
            self.order_apart((primary, new.primary_role), (dependent, new.dependent_role));
        }
    }

    /// One must leave before the other comes.
    fn order_apart(&mut self, first: (RscId, Role), then: (RscId, Role)) {
        let leave: &[Word] = match first.1 {
            Role::Promoted => &[Word::DEMOTE],
            Role::Unpromoted => &[Word::STOP, Word::PROMOTE],
            _ => &[Word::STOP],
        };
        let come: &[Word] = match then.1 {
            Role::Promoted => &[Word::PROMOTE],
            Role::Unpromoted => &[Word::START, Word::DEMOTE],
            _ => &[Word::START],
        };
        for &a in leave {
            for &b in come {
                self.order_ops((first.0, a), (then.0, b), Relation::REQUIRED_ON_SAME_NODE);
            }
        }
    }

    /// Puts a colocation where it belongs, before those that count the same.
    pub(crate) fn insert_colocation(&self, list: &mut Vec<ColId>, col: ColId, by_dependent: bool) {
        let place = list
            .iter()
            .position(|other| {
                self.compare_colocations(col, *other, by_dependent) != Ordering::Greater
            })
            .unwrap_or(list.len());
        list.insert(place, col);
    }

    fn compare_colocations(&self, a: ColId, b: ColId, by_dependent: bool) -> Ordering {
        let side = |c: ColId| {
            let col = &self.col[c];
            &self.rsc[if by_dependent {
                col.dependent
            } else {
                col.primary
            }]
        };
        let (x, y) = (side(a), side(b));
        let promotable = |r: &crate::model::Resource<'_>| {
            r.variant == Variant::Clone && r.is(RscFlags::PROMOTABLE)
        };
        y.priority
            .cmp(&x.priority)
            .then_with(|| y.variant.cmp(&x.variant))
            .then_with(|| promotable(y).cmp(&promotable(x)))
            .then_with(|| x.id.cmp(&y.id))
    }
}
