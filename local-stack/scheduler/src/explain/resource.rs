//! How it stands with a resource.

use super::{Cause, Code, Explanation, Kind, NodeLine, NodeVerdict, Verdict};
use crate::action::ActFlags;
use crate::ids::{NodeId, RscId};
use crate::model::{Role, RscFlags, Variant};
use crate::plan::Plan;
use crate::words::Word;

/// How it stands with one primitive, or with the part of a collective that speaks for it.
pub(super) struct Standing {
    pub(super) verdict: Verdict,
    pub(super) causes: Vec<Cause>,
}

impl<'a> Plan<'a> {
    pub(super) fn explain_resource(&mut self, rsc: RscId) -> Explanation {
        let mut explanation = match self.rsc[rsc].variant {
            Variant::Primitive => self.explain_primitive(rsc),
            Variant::Group => self.explain_group(rsc),
            Variant::Clone | Variant::Bundle => self.explain_collective(rsc),
        };
        self.add_role(rsc, &mut explanation);
        explanation.intended = intended(explanation.verdict, &explanation.causes);
        explanation.headline = self.headline(rsc, &explanation);
        explanation.fine = self.fine(rsc, &explanation);
        explanation
    }

    /// The reasons why something does not run, for what depends on it; empty if it runs.
    pub(super) fn why_not_running(&mut self, rsc: RscId, depth: usize) -> Vec<Cause> {
        for leaf in self.leaves(rsc) {
            let standing = self.standing(leaf, depth);
            if !matches!(
                standing.verdict,
                Verdict::Fine | Verdict::Starting | Verdict::Moving
            ) {
                return standing.causes;
            }
        }
        if self.rsc[rsc].is(RscFlags::PROMOTABLE) {
            return self.promotion_causes(rsc);
        }
        Vec::new()
    }

    /// How it stands with a primitive.
    pub(super) fn standing(&mut self, rsc: RscId, depth: usize) -> Standing {
        let r = &self.rsc[rsc];
        let active = !r.running_on.is_empty() && r.role > Role::Stopped;
        if active && !r.is(RscFlags::MANAGED) {
            return self.standing_alone(rsc, depth);
        }
        let goes = r.assigned.filter(|_| r.next_role != Role::Stopped);
        let Some(node) = goes else {
            let verdict = match (active, self.can_stop(rsc)) {
                (true, true) => Verdict::Stopping,
                (true, false) => Verdict::Stuck,
                (false, _) => Verdict::Stopped,
            };
            let causes = self.absent(rsc, depth);
            return Standing { verdict, causes };
        };
        let here = self.is_running_on(rsc, node);
        let kept = self.kept_back(rsc, Word::START, node);
        let kept = kept.filter(|a| !here || !self.is(*a, ActFlags::OPTIONAL) || self.stops(rsc));
        if let Some(start) = kept {
            let verdict = match (active, self.stops(rsc)) {
                (true, true) => Verdict::Stopping,
                (true, false) => Verdict::Stuck,
                (false, _) => Verdict::Stopped,
            };
            let causes = self.waiting(rsc, start, depth);
            return Standing { verdict, causes };
        }
        if here {
            let causes = self.pending(rsc).into_iter().collect();
            return Standing {
                verdict: Verdict::Fine,
                causes,
            };
        }
        let verdict = if active {
            Verdict::Moving
        } else {
            Verdict::Starting
        };
        let mut causes: Vec<Cause> = self.pending(rsc).into_iter().collect();
        if active {
            causes.extend(self.why_it_moves(rsc, node));
        } else if causes.is_empty() {
            causes.extend(self.probes(rsc));
        }
        Standing { verdict, causes }
    }

    /// What is the matter with the node that it leaves, or good about the one to which it goes.
    fn why_it_moves(&mut self, rsc: RscId, to: NodeId) -> Vec<Cause> {
        let mut causes = Vec::new();
        for from in self.rsc[rsc].running_on.clone() {
            causes.extend(self.refusals(rsc, from));
        }
        if causes.is_empty() {
            causes.push(self.choice(rsc, to));
        }
        causes
    }

    /// Something active that is left alone: fine, unless a failure is the reason.
    fn standing_alone(&mut self, rsc: RscId, _depth: usize) -> Standing {
        let general = self.general_causes(rsc);
        let blocked = |c: &Cause| {
            matches!(
                c.code,
                Code::BlockedByFailure | Code::MultipleActive | Code::FatalFailure
            )
        };
        let mut causes: Vec<Cause> = general.iter().filter(|c| blocked(c)).cloned().collect();
        let stuck = !causes.is_empty() || general.iter().any(|c| c.code == Code::TargetRole);
        causes.extend(self.alone_causes(rsc));
        let verdict = if stuck { Verdict::Stuck } else { Verdict::Fine };
        Standing { verdict, causes }
    }

    fn stops(&self, rsc: RscId) -> bool {
        self.rsc[rsc].actions.iter().any(|a| {
            let action = &self.act[*a];
            action.task == Word::STOP
                && !action.flags.has(ActFlags::OPTIONAL)
                && action.flags.any(ActFlags::RUNNABLE | ActFlags::PSEUDO)
        })
    }

    fn can_stop(&self, rsc: RscId) -> bool {
        let mut stops = self.rsc[rsc]
            .actions
            .iter()
            .filter(|a| self.act[**a].task == Word::STOP);
        stops.all(|a| {
            self.act[*a]
                .flags
                .any(ActFlags::RUNNABLE | ActFlags::PSEUDO)
        })
    }

    fn about(&self, rsc: RscId, standing: Standing, nodes: Vec<NodeLine>) -> Explanation {
        Explanation {
            kind: Kind::Resource,
            id: self.rsc_name(rsc),
            verdict: standing.verdict,
            intended: false,
            headline: String::new(),
            causes: standing.causes,
            nodes,
            fine: Vec::new(),
            parts: Vec::new(),
        }
    }

    fn explain_primitive(&mut self, rsc: RscId) -> Explanation {
        let standing = self.standing(rsc, 0);
        let nodes = self.node_lines(rsc);
        self.about(rsc, standing, nodes)
    }

    /// The first member that is not as it shall be speaks for the group.
    fn explain_group(&mut self, rsc: RscId) -> Explanation {
        let members = self.rsc[rsc].children.clone();
        let mut parts = Vec::new();
        for member in &members {
            parts.push(self.explain_resource(*member));
        }
        let speaker = parts
            .iter()
            .position(|p| p.verdict > Verdict::Moving)
            .or_else(|| parts.iter().position(|p| p.verdict != Verdict::Fine))
            .unwrap_or(0);
        let (standing, nodes) = parts.get(speaker).map_or_else(
            || {
                let causes = Vec::new();
                let verdict = Verdict::Fine;
                (Standing { verdict, causes }, Vec::new())
            },
            |p| {
                let (verdict, causes) = (p.verdict, p.causes.clone());
                (Standing { verdict, causes }, p.nodes.clone())
            },
        );
        let mut explanation = self.about(rsc, standing, nodes);
        explanation.parts = parts;
        explanation
    }

    /// A clone or bundle is fine if one instance is; each node tells about its own.
    fn explain_collective(&mut self, rsc: RscId) -> Explanation {
        let mut instances = self.instances(rsc);
        // One too many counts only while it is active.
        instances.retain(|i| !self.rsc[*i].is(RscFlags::REMOVED) || self.is_active(*i, false));
        let mut parts = Vec::new();
        for instance in &instances {
            parts.push(self.explain_resource(*instance));
        }
        let mut nodes = Vec::new();
        for node in self.order.clone() {
            nodes.push(self.collective_line(&instances, node));
        }
        let active = parts
            .iter()
            .map(|p| p.verdict)
            .filter(|v| *v <= Verdict::Moving);
        let best = active
            .min()
            .or_else(|| parts.iter().map(|p| p.verdict).max());
        let verdict = best.unwrap_or(Verdict::Stopped);
        let own = |p: &&Explanation| {
            p.verdict == verdict && !p.causes.iter().any(|c| c.code == Code::CloneMax)
        };
        let speaker = parts.iter().find(own).or_else(|| parts.first());
        let causes = speaker.map_or_else(Vec::new, |p| p.causes.clone());
        let mut explanation = self.about(rsc, Standing { verdict, causes }, nodes);
        let child = self.rsc[rsc].bundle.as_ref().and_then(|b| b.child);
        if let Some(child) = child.filter(|_| verdict <= Verdict::Moving) {
            let inner = self.explain_resource(child);
            if inner.verdict > explanation.verdict {
                explanation.verdict = inner.verdict;
                explanation.causes.clone_from(&inner.causes);
            }
            parts.push(inner);
        }
        let idle = |p: &Explanation| {
            p.verdict == Verdict::Stopped && p.causes.iter().any(|c| c.code == Code::CloneMax)
        };
        parts.retain(|p| !idle(p));
        explanation.parts = parts;
        explanation
    }

    fn collective_line(&mut self, instances: &[RscId], node: NodeId) -> NodeLine {
        let there = instances
            .iter()
            .copied()
            .find(|i| self.locations(*i, false).contains(&node));
        let idle = instances
            .iter()
            .copied()
            .find(|i| self.locations(*i, false).is_empty());
        let Some(speaker) = there.or(idle).or_else(|| instances.first().copied()) else {
            return NodeLine {
                node: self.node_name(node).to_owned(),
                verdict: NodeVerdict::Refused,
                score: None,
                causes: Vec::new(),
            };
        };
        let leaf = self.leaves(speaker).first().copied().unwrap_or(speaker);
        let mut line = self.node_line(leaf, node);
        if there.is_none() && idle.is_none() && line.verdict == NodeVerdict::Possible {
            let most = instances.len();
            let text = match most {
                1 => "an instance is elsewhere already (clone-max 1)".to_owned(),
                _ => format!("{most} instances are elsewhere already (clone-max {most})"),
            };
            let place = self.meta_place(speaker, "clone-max");
            line.causes = vec![Cause::new(Code::CloneMax, text).at(place)];
        }
        if there.is_none() && line.causes.is_empty() {
            let general = self.general_causes(leaf);
            line.causes.extend(general);
            line.verdict = NodeVerdict::Refused;
        }
        line
    }

    // --- roles ---

    /// Adds why nothing is promoted, if something should be.
    fn add_role(&mut self, rsc: RscId, explanation: &mut Explanation) {
        let r = &self.rsc[rsc];
        let promotable = r.variant == Variant::Clone && r.is(RscFlags::PROMOTABLE);
        if promotable && explanation.verdict <= Verdict::Moving {
            let causes = self.promotion_causes(rsc);
            explanation.causes.extend(causes);
        }
    }

    /// Why no instance of a promotable clone is or will be promoted; empty if one is.
    pub(super) fn promotion_causes(&mut self, clone: RscId) -> Vec<Cause> {
        if self.role(clone, false) == Role::Promoted {
            return self.promote_waits(clone);
        }
        let name = self.command_name(clone);
        let tickets = self.rsc[clone].tickets.clone();
        for constraint in tickets {
            let c = &self.ticket_constraints[constraint];
            let state = self.tickets.get(&c.ticket).copied().unwrap_or_default();
            if c.role == Role::Promoted && (!state.granted || state.standby) {
                return vec![self.ticket_cause(constraint)];
            }
        }
        if self.target_role(clone) == Some(Role::Unpromoted) {
            let text = "its target-role is Unpromoted";
            let cause = Cause::new(Code::TargetRoleUnpromoted, text)
                .at(self.meta_place(clone, "target-role"))
                .fix(format!(
                    "crm_resource --resource {name} --meta --delete-parameter target-role"
                ));
            return vec![cause];
        }
        if !self.options.quorate && self.options.no_quorum != crate::options::NoQuorum::Ignore {
            return vec![self.quorum_cause()];
        }
        let instances = self.rsc[clone].children.clone();
        let unscored = instances.iter().all(|i| {
            let node = self.location(*i, false);
            node.is_none_or(|n| self.attr_of_promotion(*i, n).is_none())
        });
        if unscored {
            let text = "no instance has a promotion score: the agents have set none (crm_attribute \
                        --promotion), and no constraint does";
            let cause = Cause::new(Code::NoPromotionScore, text);
            return vec![cause.fix(
                "see what the agent's monitor says about promotion, or add a location \
                                   constraint with role=Promoted",
            )];
        }
        let text = "every instance has a negative promotion score";
        vec![Cause::new(Code::NoPromotionScore, text)]
    }

    fn attr_of_promotion(&self, instance: RscId, node: NodeId) -> Option<i32> {
        let leaves = self.leaves(instance);
        leaves.iter().find_map(|l| self.promotion_score(*l, node))
    }

    fn promote_waits(&mut self, clone: RscId) -> Vec<Cause> {
        let mut causes = Vec::new();
        for leaf in self.leaves(clone) {
            let Some(node) = self.rsc[leaf].assigned else {
                continue;
            };
            if self.rsc[leaf].next_role == Role::Promoted
                && self.rsc[leaf].role != Role::Promoted
                && let Some(promote) = self.kept_back(leaf, Word::PROMOTE, node)
            {
                causes.extend(self.waiting(leaf, promote, 0));
            }
        }
        causes
    }

    /// What has been looked at and found in order, when something is not.
    fn fine(&self, rsc: RscId, explanation: &Explanation) -> Vec<String> {
        if explanation.verdict <= Verdict::Moving && explanation.causes.is_empty() {
            return Vec::new();
        }
        let mut codes = Vec::new();
        for cause in &explanation.causes {
            add_codes(cause, &mut codes);
        }
        let lines = explanation.nodes.iter().flat_map(|l| &l.causes);
        codes.extend(lines.map(|c| c.code));
        let has = |list: &[Code]| list.iter().any(|c| codes.contains(c));
        let mut fine = Vec::new();
        let mut add = |good: bool, text: &str| {
            if good {
                fine.push(text.to_owned());
            }
        };
        let members = self.order.iter().filter(|n| !self.is_remote_kind(**n));
        let online: Vec<NodeId> = members
            .copied()
            .filter(|n| self.available(*n, false))
            .collect();
        add(self.options.quorate, "quorum");
        let names = self.node_names(&online);
        add(!online.is_empty(), &format!("{names} online"));
        add(!has(&[Code::TargetRole, Code::StopAll]), "enabled");
        let managed = self
            .leaves(rsc)
            .iter()
            .all(|l| self.rsc[*l].is(RscFlags::MANAGED));
        add(managed, "managed");
        add(
            !has(&[Code::Ban, Code::Location, Code::LocationRule]),
            "no bans",
        );
        let needs = self.rsc[rsc].tickets.is_empty();
        let lacks = has(&[Code::TicketNotGranted, Code::TicketStandby]);
        add(!needs && !lacks, "tickets");
        let failed = [
            Code::MigrationThreshold,
            Code::FailedThere,
            Code::StopFailed,
            Code::BlockedByFailure,
            Code::StoppedByFailure,
            Code::FatalFailure,
        ];
        add(!has(&failed), "no failures that count");
        add(!self.options.maintenance, "maintenance off");
        fine
    }
}

fn add_codes(cause: &Cause, codes: &mut Vec<Code>) {
    codes.push(cause.code);
    for behind in &cause.because {
        add_codes(behind, codes);
    }
}

/// Whether somebody wants it so: the first reason decides.
fn intended(verdict: Verdict, causes: &[Cause]) -> bool {
    match verdict {
        Verdict::Fine | Verdict::Starting | Verdict::Moving => true,
        _ => causes.first().is_some_and(Cause::intended),
    }
}
