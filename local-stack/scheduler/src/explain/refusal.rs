//! Why a resource may not, need not or shall be on a node.

use cib::Element;

use super::place::{place, score_text};
use super::record::What;
use super::{Cause, Code, NodeLine, NodeVerdict, Row};
use crate::constraint::pattern_groups;
use crate::ids::{ColId, Id as _, LocId, NodeId, RscId};
use crate::model::{ProbeMode, Role, RscFlags, Variant};
use crate::plan::Plan;
use crate::rules::Facts;

/// A failure is recorded twice, as the last operation and as the last failure: the fuller record is
/// told.
fn keep_one_failure(causes: &mut Vec<Cause>) {
    for code in [Code::StopFailed, Code::FailedThere] {
        let of = causes.iter().filter(|c| c.code == code);
        let Some(fullest) = of.max_by_key(|c| c.text.len()).cloned() else {
            continue;
        };
        let mut kept = false;
        causes.retain(|c| c.code != code || (*c == fullest && !std::mem::replace(&mut kept, true)));
    }
}

impl<'a> Plan<'a> {
    /// One line for each node.
    pub(super) fn node_lines(&mut self, rsc: RscId) -> Vec<NodeLine> {
        let nodes = self.order.clone();
        let nodes = nodes.into_iter();
        nodes.map(|n| self.node_line(rsc, n)).collect()
    }

    pub(super) fn node_line(&mut self, rsc: RscId, node: NodeId) -> NodeLine {
        let score = self.score_then(rsc, node);
        let r = &self.rsc[rsc];
        let chosen = r.assigned == Some(node) && r.next_role != Role::Stopped;
        let (verdict, causes) = if chosen {
            (NodeVerdict::Chosen, vec![self.choice(rsc, node)])
        } else {
            let causes = self.refusals(rsc, node);
            if causes.is_empty() && score.is_some_and(|s| s >= 0) && self.available(node, false) {
                let better: Vec<Cause> = self.better(rsc, node).into_iter().collect();
                (NodeVerdict::Possible, better)
            } else {
                (NodeVerdict::Refused, causes)
            }
        };
        NodeLine {
            node: self.node_name(node).to_owned(),
            verdict,
            score,
            causes,
        }
    }

    /// The score that a resource gave a node when it was assigned.
    pub(super) fn score_then(&self, rsc: RscId, node: NodeId) -> Option<i32> {
        let kept = self.recorder.as_ref().and_then(|r| r.scores.get(&rsc));
        let slots = kept.unwrap_or(&self.rsc[rsc].allowed);
        let slot = slots.get(node.at()).filter(|s| s.present);
        slot.map(|s| s.score)
    }

    /// Every reason why a node may not have a resource.
    pub(super) fn refusals(&mut self, rsc: RscId, node: NodeId) -> Vec<Cause> {
        let mut causes = self.node_causes(node);
        if self.slot(rsc, node).is_none() {
            causes.push(self.absence(rsc, node));
        }
        for note in self.notes(rsc, Some(node)) {
            let cause = match note.what {
                What::Failure(entry) => Some(self.ban_by_failure(note.rsc, note.node, entry)),
                What::OnFail(on_fail, entry) if on_fail == crate::opmeta::OnFail::Ban => {
                    self.on_fail_cause(note.rsc, note.node, (on_fail, entry))
                }
                What::Threshold { count, limit } => {
                    Some(self.threshold_cause(note.rsc, node, (count, limit)))
                }
                What::Locked(to) => Some(self.lock_cause(note.rsc, to)),
                What::Exclusive => Some(self.exclusive_cause(rsc)),
                What::NodeLimit(most) => Some(self.node_limit(rsc, node, most)),
                _ if self.score_then(rsc, node).is_some_and(|s| s >= 0) => None,
                What::With(col) => Some(self.elsewhere(node, col)),
                What::Dependent(col) => Some(self.dependent_cause(node, col)),
                What::Capacity => {
                    let name = self.node_name(node);
                    let text = format!(
                        "{name} has too little to spare: {}",
                        self.capacity_text(rsc, node)
                    );
                    Some(Cause::new(Code::Utilization, text))
                }
                _ => None,
            };
            causes.extend(cause);
        }
        keep_one_failure(&mut causes);
        if self.score_then(rsc, node).is_none_or(|s| s < 0) {
            self.add_location_causes(rsc, node, &mut causes);
        }
        causes
    }

    /// Why a resource does not even know a node.
    fn absence(&self, rsc: RscId, node: NodeId) -> Cause {
        if self.rsc[rsc].is(RscFlags::EXCLUSIVE_PROBES) {
            return self.exclusive_cause(rsc);
        }
        let name = self.node_name(node);
        let what = self.command_name(rsc);
        let text = format!(
            "the cluster is not symmetric (symmetric-cluster=false) and no location constraint \
             allows {what} on {name}"
        );
        Cause::new(Code::NotAllowed, text)
            .at(self.option_place(&["symmetric-cluster"]))
            .fix(format!(
                "add <rsc_location id=\"{what}-on-{name}\" rsc=\"{what}\" node=\"{name}\" score=\"0\"/> to \
                 the constraints"
            ))
    }

    fn exclusive_cause(&self, rsc: RscId) -> Cause {
        let mut own = self.loc.ids().filter(|l| {
            let location = &self.loc[*l];
            location.probe_mode == ProbeMode::Exclusive && self.is_part(rsc, location.rsc)
        });
        let element = own.next().and_then(|l| self.location_origin(l));
        let id = element.map_or("a constraint", |e| e.id());
        let text = format!("{id} (resource-discovery=exclusive) allows other nodes only");
        let cause = Cause::new(Code::DiscoveryExclusive, text).at(element.map(place));
        cause.fix(format!("change or delete {id}"))
    }

    fn lock_cause(&self, rsc: RscId, to: NodeId) -> Cause {
        let r = &self.rsc[rsc];
        let node = self.node_name(to);
        let since = crate::dates::text(r.lock_time);
        let mut text =
            format!("it waits for {node}, which was shut down at {since} (shutdown-lock)");
        let limit = self.options.shutdown_lock_limit;
        if limit > 0 {
            let until = crate::dates::text(r.lock_time + limit);
            text += &format!("; the lock ends at {until}");
        }
        let name = self.command_name(rsc);
        Cause::new(Code::ShutdownLock, text)
            .at(self.option_place(&["shutdown-lock"]))
            .fix(format!(
                "start {node}, or: crm_resource --refresh --resource {name} --node {node}"
            ))
    }

    fn node_limit(&self, rsc: RscId, node: NodeId, most: i32) -> Cause {
        let name = self.node_name(node);
        let text = match most {
            1 => format!("{name} has an instance already (clone-node-max 1)"),
            _ => format!("{name} has {most} instances already (clone-node-max {most})"),
        };
        Cause::new(Code::CloneNodeMax, text).at(self.meta_place(rsc, "clone-node-max"))
    }

    // --- colocation ---

    /// `constraint x (db with web, INFINITY)`, or what else keeps the two together.
    pub(super) fn colocation_text(&self, id: ColId) -> String {
        let col = &self.col[id];
        let (dependent, primary) = (
            self.command_name(col.dependent),
            self.command_name(col.primary),
        );
        match self.colocation_origin(id) {
            Some(element) => format!("constraint {}", element.id()),
            None => match self.rsc[col.dependent].parent {
                Some(group) if self.rsc[group].variant == Variant::Group => {
                    format!("group {}", self.command_name(group))
                }
                _ => format!("{dependent} belongs to {primary}"),
            },
        }
    }

    fn elsewhere(&self, node: NodeId, id: ColId) -> Cause {
        let (primary, score) = (self.col[id].primary, self.col[id].score);
        let other = self.command_name(primary);
        let by = self.colocation_text(id);
        let at = self.colocation_origin(id).map(place);
        let places = self.places_in_role(primary, self.col[id].primary_role);
        if places.is_empty() {
            return self.partner_cause(id);
        }
        let name = self.node_name(node);
        let there = self.node_names(&places);
        let text = if score < 0 {
            format!("it may not be where {other} is, and {other} is on {name} ({by})")
        } else {
            format!("it must be where {other} is: on {there} ({by})")
        };
        Cause::new(Code::ColocationElsewhere, text).at(at)
    }

    /// Where a resource will be, if in a role: only what is promoted counts for that.
    pub(super) fn places_in_role(&self, rsc: RscId, role: Role) -> Vec<NodeId> {
        if role != Role::Promoted {
            return self.locations(rsc, false);
        }
        let leaves = self.leaves(rsc).into_iter();
        let promoted = leaves.filter(|l| self.rsc[*l].next_role == Role::Promoted);
        promoted.filter_map(|l| self.rsc[l].assigned).collect()
    }

    /// What a resource must be with does not run at all.
    pub(super) fn partner_cause(&self, id: ColId) -> Cause {
        let col = &self.col[id];
        let other = self.command_name(col.primary);
        let by = self.colocation_text(id);
        let role = match col.primary_role {
            Role::Promoted => "is promoted nowhere",
            _ => "does not run",
        };
        let parent = self.rsc[col.dependent].parent;
        let inside = self.colocation_origin(id).is_none()
            && parent.is_some()
            && parent == self.rsc[col.primary].parent;
        let (code, text) = if inside {
            let text = format!("{other}, which comes before it in {by}, {role}");
            (Code::GroupMember, text)
        } else {
            let text = format!("it must be where {other} is, and {other} {role} ({by})");
            (Code::ColocationPartner, text)
        };
        Cause::new(code, text).at(self.colocation_origin(id).map(place))
    }

    fn dependent_cause(&self, node: NodeId, id: ColId) -> Cause {
        let other = self.command_name(self.col[id].dependent);
        let name = self.node_name(node);
        let by = self.colocation_text(id);
        let text = format!("{other} must be with it and cannot be on {name} ({by})");
        Cause::new(Code::Dependent, text).at(self.colocation_origin(id).map(place))
    }

    // --- locations ---

    fn locations_for(&self, rsc: RscId, node: NodeId) -> Vec<(LocId, i32)> {
        let all = self.loc.ids();
        let fitting = all.filter_map(|id| {
            let location = &self.loc[id];
            let (_, score) = location.nodes.iter().find(|(n, _)| *n == node)?;
            let role = location.role <= Role::Started;
            (role && self.is_part(rsc, location.rsc)).then_some((id, *score))
        });
        fitting.collect()
    }

    fn add_location_causes(&mut self, rsc: RscId, node: NodeId, causes: &mut Vec<Cause>) {
        let locations = self.locations_for(rsc, node);
        let any_ban = locations.iter().any(|(_, score)| Self::forbids(*score));
        for (id, score) in locations {
            if score >= 0 || (any_ban && !Self::forbids(score)) {
                continue;
            }
            let health = self
                .recorder
                .as_ref()
                .is_some_and(|r| r.health.contains(&id));
            let cause = if health {
                self.health_cause(node)
            } else {
                match self.location_origin(id) {
                    Some(element) => self.location_cause(rsc, node, element, score),
                    None => continue,
                }
            };
            causes.push(cause);
        }
    }

    fn location_cause(
        &mut self,
        rsc: RscId,
        node: NodeId,
        element: Element<'a>,
        score: i32,
    ) -> Cause {
        let name = self.node_name(node);
        let id = element.id();
        let what = self.command_name(rsc);
        let score = score_text(score);
        let table = self.location_table(rsc, node, element);
        let at = place(element);
        if id.starts_with("cli-ban-") {
            let until = self.ban_end(element);
            let text = format!(
                "{name} is banned by {id}, which crm_resource --ban (or --move) has made{until}"
            );
            let fix = format!("crm_resource --clear --resource {what} --node {name}");
            let mut cause = Cause::new(Code::Ban, text).at([at]).fix(fix);
            cause.table = table;
            return cause;
        }
        if table.is_empty() {
            let text = format!("constraint {id} gives {name} the score {score}");
            let fix = format!("change or delete rsc_location {id}");
            return Cause::new(Code::Location, text).at([at]).fix(fix);
        }
        let rule = element
            .child("rule")
            .and_then(|r| self.references.resolve(r));
        let rule_id = rule.map_or("", |r| r.id());
        let text =
            format!("rule {rule_id} of constraint {id} holds for {name} and gives it {score}");
        let fix = format!("change the rule, or what it asks for on {name}");
        let mut cause = Cause::new(Code::LocationRule, text).at([at]).fix(fix);
        cause.at.extend(rule.map(place));
        cause.table = table;
        cause
    }

    /// The truth table of a location's rule on a node; empty if it has none.
    fn location_table(&mut self, rsc: RscId, node: NodeId, element: Element<'a>) -> Vec<Row> {
        let Some(rule) = element.child("rule") else {
            return Vec::new();
        };
        let top = self.top_resource(rsc, false);
        let params = self.params(rsc, Some(node));
        let groups = pattern_groups(element, &self.rsc[top].id);
        let facts = Facts {
            node: Some(&self.node[node].attrs),
            params: Some(&params),
            meta: Some(&self.rsc[rsc].meta),
            groups: groups.as_deref(),
            ..self.facts()
        };
        self.truth_table(rule, &facts)
    }

    fn ban_end(&self, element: Element<'a>) -> String {
        let rule = element
            .child("rule")
            .and_then(|r| self.references.resolve(r));
        let date = rule.and_then(|r| r.child("date_expression"));
        let end = date.and_then(|d| d.attr("end"));
        end.map_or_else(String::new, |end| format!(" and which ends at {end}"))
    }

    // --- what is good about a node ---

    pub(super) fn choice(&mut self, rsc: RscId, node: NodeId) -> Cause {
        if !self.rsc[rsc].is(RscFlags::MANAGED) {
            return Cause::new(Code::LeftAlone, "it runs there and is left alone");
        }
        let score = self.score_then(rsc, node).unwrap_or(0);
        let name = self.node_name(node);
        let mut parts = Vec::new();
        let mut places = Vec::new();
        for (id, score) in self.locations_for(rsc, node) {
            if let Some(element) = self.location_origin(id).filter(|_| score > 0) {
                parts.push(format!("{} {}", element.id(), score_text(score)));
                places.push(place(element));
            }
        }
        for note in self.notes(rsc, Some(node)) {
            if let What::Sticky(score) = note.what {
                parts.push(format!("stickiness {}", score_text(score)));
            }
        }
        let others = self.order.iter().copied().filter(|n| *n != node);
        let others: Vec<i32> = others
            .filter(|n| self.available(*n, false))
            .filter_map(|n| self.score_then(rsc, n))
            .filter(|s| *s >= 0)
            .collect();
        let of = if parts.is_empty() {
            String::new()
        } else {
            format!(" ({})", parts.join(", "))
        };
        if others.is_empty() {
            return Cause::new(
                Code::BestScore,
                format!("{name} is the only node that can{of}"),
            )
            .at(places);
        }
        if others.iter().any(|s| *s >= score) {
            let why = if self.is_running_on(rsc, node) {
                "it runs there already"
            } else {
                "of equal nodes the one with fewer resources is taken, then the first by name"
            };
            return Cause::new(Code::Tie, format!("{why}{of}")).at(places);
        }
        let text = format!("{name} has the highest score, {}{of}", score_text(score));
        Cause::new(Code::BestScore, text).at(places)
    }

    fn better(&mut self, rsc: RscId, node: NodeId) -> Option<Cause> {
        let own = self.score_then(rsc, node)?;
        let best = self.rsc[rsc].assigned?;
        let name = self.node_name(best);
        let score = self.score_then(rsc, best).unwrap_or(0);
        Some(if score > own {
            let (own, score) = (score_text(own), score_text(score));
            Cause::new(
                Code::LowerScore,
                format!(
                    "{} has the score {own}, {name} has {score}",
                    self.node_name(node)
                ),
            )
        } else {
            Cause::new(
                Code::Tie,
                format!("it is as good as {name}, which is taken"),
            )
        })
    }
}
