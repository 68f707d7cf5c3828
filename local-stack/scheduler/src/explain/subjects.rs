//! Nodes, tickets, and the cluster as a whole.

use super::{Cause, Code, Explanation, Kind, Verdict};
use crate::constraint::LossPolicy;
use crate::ids::{NodeId, RscId};
use crate::model::RscFlags;
use crate::plan::Plan;

fn blank(kind: Kind, id: &str) -> Explanation {
    Explanation {
        kind,
        id: id.to_owned(),
        verdict: Verdict::Fine,
        intended: true,
        headline: String::new(),
        causes: Vec::new(),
        nodes: Vec::new(),
        fine: Vec::new(),
        parts: Vec::new(),
    }
}

impl<'a> Plan<'a> {
    pub(super) fn explain_node(&mut self, node: NodeId) -> Explanation {
        let name = self.node_name(node);
        let mut explanation = blank(Kind::Node, name);
        explanation.causes = self.node_causes(node);
        let mut here: Vec<RscId> = self.node[node].running.clone();
        here.sort_by(|a, b| self.rsc[*a].id.cmp(&self.rsc[*b].id));
        let mut coming: Vec<RscId> = self.node[node].allocated.clone();
        coming.retain(|r| !here.contains(r));
        coming.sort_by(|a, b| self.rsc[*a].id.cmp(&self.rsc[*b].id));
        let list = |plan: &Self, all: &[RscId]| {
            let names: Vec<String> = all.iter().map(|r| plan.rsc_name(*r)).collect();
            names.join(", ")
        };
        let runs = if here.is_empty() {
            "runs nothing".to_owned()
        } else {
            format!("runs {}", list(self, &here))
        };
        let comes = if coming.is_empty() {
            String::new()
        } else {
            format!("; {} will be started there", list(self, &coming))
        };
        let first = explanation.causes.first();
        explanation.headline = match first {
            None => format!("{name} is online and {runs}{comes}"),
            Some(cause) => format!(
                "{name} takes no resources because {}; it {runs}{comes}",
                cause.text
            ),
        };
        if first.is_some() {
            explanation.verdict = Verdict::Stopped;
            explanation.intended = first.is_some_and(Cause::intended);
        }
        explanation
    }

    pub(super) fn explain_ticket(&mut self, ticket: &str) -> Explanation {
        let mut explanation = blank(Kind::Ticket, ticket);
        let state = self.tickets.get(ticket).copied().unwrap_or_default();
        let mut dependents = Vec::new();
        for constraint in 0..self.ticket_constraints.len() {
            if self.ticket_constraints[constraint].ticket != ticket {
                continue;
            }
            if !state.granted || state.standby {
                let cause = self.ticket_cause(constraint);
                explanation.causes.push(cause);
            }
            let policy = match self.ticket_constraints[constraint].policy {
                LossPolicy::Stop => "stop",
                LossPolicy::Demote => "demote",
                LossPolicy::Fence => "fence",
                LossPolicy::Freeze => "freeze",
            };
            let owner = self
                .rsc
                .ids()
                .find(|r| self.rsc[*r].tickets.contains(&constraint));
            if let Some(owner) = owner {
                dependents.push(format!(
                    "{} (loss-policy {policy})",
                    self.command_name(owner)
                ));
                explanation.parts.push(self.explain_resource(owner));
            }
        }
        let standing = match (state.granted, state.standby) {
            (true, false) => "is granted to this site",
            (true, true) => "is granted to this site, and in standby",
            (false, _) => "is not granted to this site",
        };
        let needs = if dependents.is_empty() {
            "; no resource depends on it".to_owned()
        } else {
            format!("; {} depend on it", dependents.join(", "))
        };
        explanation.headline = format!("ticket {ticket} {standing}{needs}");
        if !state.granted || state.standby {
            explanation.verdict = Verdict::Stopped;
        }
        explanation
    }

    /// Whether every part of a resource runs, or is about to be started: there is nothing to tell.
    fn is_plain(&mut self, rsc: RscId) -> bool {
        for leaf in self.leaves(rsc) {
            let standing = self.standing(leaf, 0);
            let told = standing
                .causes
                .iter()
                .any(|c| c.code != Code::ProbesPending);
            if told || !matches!(standing.verdict, Verdict::Fine | Verdict::Starting) {
                return false;
            }
        }
        let promotable = self.rsc[rsc].is(RscFlags::PROMOTABLE);
        !promotable || self.promotion_causes(rsc).is_empty()
    }

    /// Everything that is not as one would expect: nodes, tickets, then resources.
    pub(super) fn explain_cluster(&mut self) -> Explanation {
        let mut explanation = blank(Kind::Cluster, "cluster");
        if !self.options.quorate {
            let cause = self.quorum_cause();
            explanation.causes.push(cause);
        }
        if self.options.fencing && !self.options.have_fencing {
            let cause = self.no_device_cause();
            explanation.causes.push(cause);
        }
        for node in self.order.clone() {
            let part = self.explain_node(node);
            if part.verdict != Verdict::Fine {
                explanation.parts.push(part);
            }
        }
        let (mut all, mut odd) = (0, 0);
        for rsc in self.top.clone() {
            all += 1;
            if self.is_plain(rsc) {
                continue;
            }
            let part = self.explain_resource(rsc);
            let missing = part.causes.iter().any(|c| c.code != Code::ProbesPending);
            if part.verdict > Verdict::Moving || missing {
                odd += 1;
                explanation.parts.push(part);
            }
        }
        let trouble = explanation.parts.iter().any(Explanation::is_trouble);
        explanation.headline = if odd == 0 {
            format!("all {all} resources are where they should be")
        } else {
            format!("{odd} of {all} resources are not running as one would expect")
        };
        if odd > 0 || !explanation.causes.is_empty() {
            explanation.verdict = Verdict::Stopped;
            explanation.intended = !trouble;
        }
        explanation
    }
}
