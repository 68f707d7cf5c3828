//! How colocations move scores.

use std::borrow::Cow;

use super::Nodes;
use crate::constraint::Colocation;
use crate::ids::{ColId, Id as _, NodeId, RscId};
use crate::model::{Role, RscFlags, Variant};
use crate::plan::Plan;
use crate::text::{self, INFINITY};

/// Marks a node as unusable for the time being.
const UNUSABLE: i32 = -100 * INFINITY;

/// What a colocation concerns at this point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affects {
    Nothing,
    Location,
    Role,
}

/// Which colocations are merged, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Merge {
    /// Follow what the source is with, not what is with the source.
    pub(crate) this_with: bool,
    /// Scores may not fall below zero.
    pub(crate) nonnegative: bool,
    /// Give up what leaves no node.
    pub(crate) active: bool,
}

impl<'a> Plan<'a> {
    /// Whether a dependent may draw its primary.
    pub(crate) fn has_influence(&self, col: &Colocation<'a>, primary: Option<RscId>) -> bool {
        let primary = primary.unwrap_or(col.primary);
        let p = &self.rsc[primary];
        let nested = self.rsc[col.dependent].is(RscFlags::REMOTE_NESTING);
        if nested && !p.is(RscFlags::FAILED) && p.running_on.len() == 1 {
            return false;
        }
        col.influence || p.running_on.is_empty()
    }

    /// What plays the role for a resource: of a container, the instance inside.
    fn role_player(&self, rsc: RscId) -> RscId {
        if !self.rsc[rsc].is(RscFlags::REPLICA_CONTAINER) {
            return rsc;
        }
        self.inside_container(rsc).unwrap_or(rsc)
    }

    /// The instance inside a bundle's container.
    pub(crate) fn inside_container(&self, container: RscId) -> Option<RscId> {
        let bundle = self.rsc[self.top_resource(container, true)]
            .bundle
            .as_ref()?;
        bundle
            .replicas
            .iter()
            .find(|r| r.container == container)
            .and_then(|r| r.child)
    }

    /// What a colocation concerns now; `preview`: as if all were assigned.
    pub(crate) fn colocation_affects(
        &self,
        dependent: RscId,
        primary: RscId,
        col: &Colocation<'a>,
        preview: bool,
    ) -> Affects {
        if !preview && self.rsc[primary].is(RscFlags::UNASSIGNED) {
            return Affects::Nothing;
        }
        let player = &self.rsc[self.role_player(dependent)];
        let promotable = player
            .parent
            .is_some_and(|p| self.rsc[p].is(RscFlags::PROMOTABLE));
        if col.dependent_role >= Role::Unpromoted && promotable && !player.is(RscFlags::UNASSIGNED)
        {
            return Affects::Role;
        }
        if !preview && !self.rsc[dependent].is(RscFlags::UNASSIGNED) {
            return Affects::Nothing;
        }
        if col.dependent_role != Role::Unknown && col.dependent_role != player.next_role {
            return Affects::Nothing;
        }
        let other = &self.rsc[self.role_player(primary)];
        if col.primary_role != Role::Unknown && col.primary_role != other.next_role {
            return Affects::Nothing;
        }
        Affects::Location
    }

    // --- applying a colocation to the dependent ---

    /// Applies a colocation of (a part of) the dependent with (a part of) the primary. Returns what
    /// it adds to a promotion score.
    pub(crate) fn apply_colocation(
        &mut self,
        dependent: RscId,
        primary: RscId,
        col: ColId,
        for_dependent: bool,
    ) -> i32 {
        if for_dependent {
            if self.rsc[dependent].variant == Variant::Group {
                return self.apply_to_group(dependent, primary, col);
            }
            return self.apply_colocation(dependent, primary, col, false);
        }
        match self.rsc[primary].variant {
            Variant::Primitive => self.apply_to_primitive(dependent, primary, col),
            Variant::Group => self.apply_with_group(dependent, primary, col),
            Variant::Clone => self.apply_with_clone(dependent, primary, col),
            Variant::Bundle => self.apply_with_bundle(dependent, primary, col),
        }
    }

    fn apply_to_group(&mut self, dependent: RscId, primary: RscId, col: ColId) -> i32 {
        let mut members = self.rsc[dependent].children.clone();
        if self.group_keeps(dependent, "collocated") {
            // The others follow the first.
            members.truncate(1);
        } else if self.col[col].score >= INFINITY {
            return 0;
        }
        let mut added = 0;
        for member in members {
            added = text::add(added, self.apply_colocation(member, primary, col, true));
        }
        let priority = &mut self.rsc[dependent].promotion_priority;
        *priority = text::add(added, *priority);
        added
    }

    fn apply_with_group(&mut self, dependent: RscId, primary: RscId, col: ColId) -> i32 {
        if self.rsc[primary].is(RscFlags::UNASSIGNED) {
            return 0;
        }
        let members = self.rsc[primary].children.clone();
        let mandatory = self.col[col].score >= INFINITY;
        let concerned = if !self.group_keeps(primary, "collocated") {
            if mandatory {
                return 0;
            }
            &members[..]
        } else if mandatory {
            // All of the group must be there.
            &members[members.len().saturating_sub(1)..]
        } else {
            &members[..members.len().min(1)]
        };
        let mut added = 0;
        for member in concerned {
            added = text::add(added, self.apply_colocation(dependent, *member, col, false));
        }
        added
    }

    fn apply_to_primitive(&mut self, dependent: RscId, primary: RscId, id: ColId) -> i32 {
        let col = self.col[id].clone();
        match self.colocation_affects(dependent, primary, &col, false) {
            Affects::Role => self.apply_to_priority(dependent, primary, &col),
            Affects::Location => {
                self.apply_to_scores(dependent, primary, &col);
                0
            }
            Affects::Nothing => 0,
        }
    }

    fn same_value(&self, a: (NodeId, RscId), b: (NodeId, RscId), attribute: &str) -> bool {
        if a.0 == b.0 && attribute == "#uname" && self.node[a.0].own_name {
            return true;
        }
        let x = self.colocation_value(a.0, attribute, a.1);
        let y = self.colocation_value(b.0, attribute, b.1);
        match (x, y) {
            (Some(x), Some(y)) => x.eq_ignore_ascii_case(y),
            (None, None) => true,
            _ => false,
        }
    }

    fn apply_to_scores(&mut self, dependent: RscId, primary: RscId, col: &Colocation<'a>) {
        let place = self.rsc[primary].assigned;
        if place.is_none() && col.score < 0 {
            return;
        }
        let mut work = self.rsc[dependent].allowed.clone();
        for (index, slot) in work.iter_mut().enumerate().filter(|(_, s)| s.present) {
            let node = NodeId::new(index);
            let Some(place) = place else {
                slot.score = text::add(-col.score, slot.score);
                continue;
            };
            if self.same_value((node, dependent), (place, primary), col.attribute) {
                if col.score < INFINITY {
                    slot.score = text::add(col.score, slot.score);
                }
            } else if col.score >= INFINITY {
                slot.score = -INFINITY;
            }
        }
        if col.score.abs() >= INFINITY || self.any_available(&work) {
            self.rsc[dependent].allowed = work;
        }
    }

    fn apply_to_priority(&mut self, dependent: RscId, primary: RscId, col: &Colocation<'a>) -> i32 {
        let Some(here) = self.rsc[dependent].assigned else {
            return 0;
        };
        let there = self.rsc[primary].assigned;
        if there.is_some() && col.primary_role != Role::Unknown {
            let player = &self.rsc[self.role_player(primary)];
            if col.primary_role != player.next_role {
                return 0;
            }
        }
        let same = match there {
            Some(there) => self.same_value((here, dependent), (there, primary), col.attribute),
            None => self
                .colocation_value(here, col.attribute, dependent)
                .is_none(),
        };
        let factor = if !same {
            if col.score != INFINITY || col.dependent_role != Role::Promoted {
                return 0;
            }
            -1
        } else if col.dependent_role == Role::Unpromoted {
            -1
        } else {
            1
        };
        let added = factor * col.score;
        let priority = &mut self.rsc[dependent].promotion_priority;
        *priority = text::add(added, *priority);
        added
    }

    /// Bans a dependent from where the primary will not be; adds the primary's scores.
    pub(crate) fn intersect_nodes(
        &mut self,
        dependent: RscId,
        primary_nodes: &[(NodeId, i32)],
        merge_scores: bool,
    ) {
        for (index, slot) in self.rsc[dependent].allowed.iter_mut().enumerate() {
            if !slot.present {
                continue;
            }
            match primary_nodes.iter().find(|(n, _)| n.at() == index) {
                None => slot.score = -INFINITY,
                Some((_, score)) if merge_scores => slot.score = text::add(slot.score, *score),
                Some(_) => {}
            }
        }
    }

    // --- merging the preferences of dependents ---

    /// Scores of a resource as its primary sees them. The locations of a group are added to its first
    /// member only; where another member is itself configured to be with something, they count
    /// there too.
    fn scores_for_primary(&self, source: RscId, col: &Colocation<'a>) -> Cow<'_, Nodes> {
        let own = Cow::Borrowed(&self.rsc[source].allowed);
        let Some(group) = self.rsc[source].parent else {
            return own;
        };
        let g = &self.rsc[group];
        if source != col.dependent
            || !col.explicit
            || g.variant != Variant::Group
            || g.children.first() == Some(&source)
        {
            return own;
        }
        let mut scores = own.into_owned();
        for location in self.loc.iter().filter(|l| l.rsc == group) {
            if location.role > Role::Unknown && location.role != self.rsc[source].next_role {
                continue;
            }
            for (node, score) in &location.nodes {
                if let Some(slot) = scores.get_mut(node.at()).filter(|s| s.present) {
                    slot.score = text::add(slot.score, *score);
                }
            }
        }
        Cow::Owned(scores)
    }

    fn best_matching(
        &self,
        rsc: RscId,
        scores: &Nodes,
        attribute: &str,
        value: Option<&str>,
    ) -> i32 {
        let mut best = -INFINITY;
        for (index, slot) in scores.iter().enumerate() {
            let node = NodeId::new(index);
            if slot.present && slot.score > best && self.available(node, false) {
                let same = match (value, self.colocation_value(node, attribute, rsc)) {
                    (Some(x), Some(y)) => x.eq_ignore_ascii_case(y),
                    (None, None) => true,
                    _ => false,
                };
                if same {
                    best = slot.score;
                }
            }
        }
        best
    }

    fn allowed_on_one(&self, rsc: RscId) -> bool {
        self.rsc[rsc]
            .allowed
            .iter()
            .filter(|s| s.present && s.score >= 0)
            .count()
            == 1
    }

    fn add_matching(
        &self,
        nodes: &mut Nodes,
        source: RscId,
        target: RscId,
        col: &Colocation<'a>,
        factor: f32,
        only_positive: bool,
    ) {
        let scores = self.scores_for_primary(source, col);
        let uname = col.attribute == "#uname";
        let by_name = uname && !self.is_bundled(source);
        for (index, slot) in nodes.iter_mut().enumerate().filter(|(_, s)| s.present) {
            let node = NodeId::new(index);
            let value = if uname && self.node[node].own_name {
                Some(self.node[node].name)
            } else {
                self.colocation_value(node, col.attribute, target)
            };
            let own = value.is_some_and(|v| v.eq_ignore_ascii_case(self.node[node].name));
            let score = if by_name && own {
                // A name belongs to one node only.
                let slot = scores
                    .get(index)
                    .filter(|s| s.present && self.available(node, false));
                slot.map_or(-INFINITY, |s| s.score.max(-INFINITY))
            } else {
                self.best_matching(source, &scores, col.attribute, value)
            };
            if factor < 0.0
                && score < 0
                && (self.rsc[col.primary].stickiness >= -score
                    || !self.has_influence(col, None)
                    || !self.allowed_on_one(col.dependent))
            {
                continue;
            }
            if slot.score == UNUSABLE {
                continue;
            }
            let sum = text::add(attenuate(factor, score), slot.score);
            if only_positive && sum < 0 && slot.score > 0 {
                slot.score = UNUSABLE;
            } else if !(only_positive && sum < 0 && slot.score == 0) {
                slot.score = sum;
            }
        }
    }

    /// Adds to `nodes` what `source` (and what is with it) prefers; `nodes` begins as the source's
    /// own if it is `None`.
    pub(crate) fn add_colocated_scores(
        &mut self,
        source: RscId,
        target: Option<RscId>,
        nodes: &mut Option<Nodes>,
        col: Option<ColId>,
        factor: f32,
        merge: Merge,
    ) {
        if self.rsc[source].is(RscFlags::UPDATING_NODES) {
            return;
        }
        self.rsc[source].flags.set(RscFlags::UPDATING_NODES);
        if self.rsc[source].variant == Variant::Group {
            let members = &self.rsc[source].children;
            let member = if nodes.is_none() {
                members.last()
            } else {
                members.first()
            };
            if let Some(member) = member.copied() {
                self.add_colocated_scores(member, target, nodes, col, factor, merge);
            }
        } else {
            self.merge_scores(source, target, nodes, col, factor, merge);
        }
        self.rsc[source].flags.clear(RscFlags::UPDATING_NODES);
    }

    fn merge_scores(
        &mut self,
        source: RscId,
        target: Option<RscId>,
        nodes: &mut Option<Nodes>,
        col: Option<ColId>,
        factor: f32,
        merge: Merge,
    ) {
        let target = target.filter(|_| nodes.is_some()).unwrap_or(source);
        let mut work = match (&*nodes, col) {
            (Some(nodes), Some(col)) => {
                let mut work = nodes.clone();
                let col = &self.col[col];
                self.add_matching(&mut work, source, target, col, factor, merge.nonnegative);
                work
            }
            (Some(nodes), None) => nodes.clone(),
            (None, _) => self.rsc[source].allowed.clone(),
        };
        if self.any_available(&work) {
            let list = if merge.this_with {
                self.this_with_colocations(source)
            } else {
                self.with_this_colocations(source)
            };
            let merge = Merge {
                active: true,
                ..merge
            };
            let mut table = Some(work);
            for id in list {
                let other = {
                    let c = &self.col[id];
                    if merge.this_with {
                        c.primary
                    } else if self.has_influence(c, None) {
                        c.dependent
                    } else {
                        continue;
                    }
                };
                let factor = factor * score_factor(self.col[id].score);
                self.add_colocated_scores(other, Some(target), &mut table, Some(id), factor, merge);
            }
            work = table.unwrap_or_default();
        } else if merge.active {
            return;
        }
        if merge.nonnegative {
            for slot in work.iter_mut().filter(|s| s.score == UNUSABLE) {
                slot.score = 1;
            }
        }
        *nodes = Some(work);
    }

    /// Lets what is with `target` by a colocation influence where it goes.
    pub(crate) fn add_dependent_scores(&mut self, id: ColId, target: RscId) {
        let col = &self.col[id];
        if !self.has_influence(col, None) {
            return;
        }
        let source = col.dependent;
        let factor = score_factor(col.score);
        let nonnegative = self.rsc[target].variant == Variant::Clone;
        let merge = Merge {
            this_with: false,
            nonnegative,
            active: true,
        };
        let mut nodes = Some(self.rsc[target].allowed.clone());
        self.add_colocated_scores(source, Some(target), &mut nodes, Some(id), factor, merge);
        if let Some(nodes) = nodes {
            self.rsc[target].allowed = nodes;
        }
    }

    /// The members of a group that are where the group is.
    pub(crate) fn members_with(&self, group: RscId) -> Vec<RscId> {
        let r = &self.rsc[group];
        let mut members = r.children.clone();
        if !self.group_keeps(group, "collocated") && !r.parent.is_some_and(|p| self.is_clone(p)) {
            members.truncate(1);
        }
        members
    }

    /// Every resource that must be with this one, itself included.
    pub(crate) fn colocated_resources(&self, rsc: RscId, whose: RscId, list: &mut Vec<RscId>) {
        if self.rsc[rsc].variant == Variant::Group {
            list.insert(0, rsc);
            for member in self.members_with(rsc) {
                self.colocated_resources(member, whose, list);
            }
            return;
        }
        if list.contains(&rsc) {
            return;
        }
        list.insert(0, rsc);
        for id in self.this_with_colocations(rsc) {
            let col = &self.col[id];
            if col.primary != whose
                && col.score == INFINITY
                && self.colocation_affects(rsc, col.primary, col, true) == Affects::Location
            {
                self.colocated_resources(col.primary, whose, list);
            }
        }
        for id in self.with_this_colocations(rsc) {
            let col = &self.col[id];
            if col.dependent == whose || (self.is_clone(rsc) && !self.is_clone(col.dependent)) {
                continue;
            }
            if col.score == INFINITY
                && self.colocation_affects(col.dependent, rsc, col, true) == Affects::Location
            {
                self.colocated_resources(col.dependent, whose, list);
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "scores are small")]
fn score_factor(score: i32) -> f32 {
    score as f32 / INFINITY as f32
}

/// A share of a score, rounded, but never to nothing.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "scores are small"
)]
fn attenuate(factor: f32, score: i32) -> i32 {
    let share = f64::from(factor * score as f32);
    let rounded = (if share < 0.0 {
        share - 0.5
    } else {
        share + 0.5
    }) as i32;
    match rounded {
        0 if score == 0 => 0,
        0 if factor > 0.0 => 1,
        0 if factor < 0.0 => -1,
        other => other,
    }
}
