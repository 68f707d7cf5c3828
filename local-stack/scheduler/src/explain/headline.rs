//! How it stands with a resource, in one sentence.

use super::{Code, Explanation, Verdict};
use crate::ids::{NodeId, RscId};
use crate::model::{Role, RscFlags, Variant};
use crate::plan::Plan;

/// A place of a resource, and whether it is promoted there.
type Somewhere = (NodeId, bool);

impl<'a> Plan<'a> {
    pub(super) fn headline(&self, rsc: RscId, explanation: &Explanation) -> String {
        let name = &explanation.id;
        let places = self.places_now(rsc);
        let now = self.somewhere(&places);
        let then = self.somewhere(&self.places_then(rsc));
        let up = |n: &Somewhere| self.node[n.0].online && !self.node[n.0].unclean;
        let runs = if places.iter().any(up) {
            "runs on"
        } else {
            "was last seen on"
        };
        let cause = explanation.causes.first();
        let because = cause.map_or_else(String::new, |c| format!(" because {}", c.text));
        let intended = if explanation.intended {
            ", as intended,"
        } else {
            ""
        };
        let promotion = self.promotion_matters(rsc, explanation);
        match explanation.verdict {
            Verdict::Fine | Verdict::Starting if promotion => {
                let begin = if explanation.verdict == Verdict::Fine {
                    format!("{name} {runs} {now}")
                } else {
                    format!("{name} is stopped and will be started on {then}")
                };
                format!("{begin}, and no instance is promoted{because}")
            }
            Verdict::Fine => match cause {
                None if self.nodes_change(rsc) => {
                    format!("{name} {runs} {now}, and will run on {then}")
                }
                None => format!("{name} {runs} {now}, as it should{}", self.promotions(rsc)),
                Some(c) if c.code == Code::ActionPending => {
                    format!("{name} {runs} {now}; {}", c.text)
                }
                Some(_) => format!("{name} {runs} {now} and is left alone{because}"),
            },
            Verdict::Starting => {
                let cause = cause.map_or_else(String::new, |c| format!(": {}", c.text));
                format!("{name} is stopped and will be started on {then}{cause}")
            }
            Verdict::Moving => format!("{name} moves from {now} to {then}{because}"),
            Verdict::Stopping if then.is_empty() => {
                format!("{name} {runs} {now} and will be stopped{intended}{because}")
            }
            Verdict::Stopping => {
                format!("{name} will be stopped on {now} and cannot be started on {then}{because}")
            }
            Verdict::Stopped => format!("{name} is stopped{intended}{because}"),
            Verdict::Stuck => format!("{name} {runs} {now} and cannot be changed{because}"),
        }
    }

    /// Whether the first reason is one why nothing is promoted.
    fn promotion_matters(&self, rsc: RscId, explanation: &Explanation) -> bool {
        let r = &self.rsc[rsc];
        let promotable = r.variant == Variant::Clone && r.is(RscFlags::PROMOTABLE);
        let other = [Code::ActionPending, Code::ProbesPending];
        promotable
            && r.is(RscFlags::MANAGED)
            && self.role(rsc, false) != Role::Promoted
            && explanation
                .causes
                .first()
                .is_some_and(|c| !other.contains(&c.code))
    }

    /// Whether instances come or go.
    fn nodes_change(&self, rsc: RscId) -> bool {
        let nodes =
            |places: Vec<Somewhere>| -> Vec<NodeId> { places.into_iter().map(|p| p.0).collect() };
        nodes(self.places_now(rsc)) != nodes(self.places_then(rsc))
    }

    /// Where it will be promoted and is not yet.
    fn promotions(&self, rsc: RscId) -> String {
        let now = self.places_now(rsc);
        let mut new = self.places_then(rsc);
        new.retain(|p| p.1 && !now.contains(p));
        if new.is_empty() {
            return String::new();
        }
        let nodes: Vec<NodeId> = new.iter().map(|p| p.0).collect();
        format!(", and will be promoted on {}", self.node_names(&nodes))
    }

    fn somewhere(&self, places: &[Somewhere]) -> String {
        let names = places.iter().map(|(node, promoted)| {
            let role = if *promoted { " (promoted)" } else { "" };
            format!("{}{role}", self.node_name(*node))
        });
        names.collect::<Vec<_>>().join(", ")
    }

    fn places_now(&self, rsc: RscId) -> Vec<Somewhere> {
        let mut places = Vec::new();
        for leaf in self.leaves(rsc) {
            let promoted = self.rsc[leaf].role == Role::Promoted;
            places.extend(self.rsc[leaf].running_on.iter().map(|n| (*n, promoted)));
        }
        self.in_order(places)
    }

    fn places_then(&self, rsc: RscId) -> Vec<Somewhere> {
        let leaves = self.leaves(rsc).into_iter();
        let active = leaves.filter(|l| self.rsc[*l].next_role != Role::Stopped);
        let places = active.filter_map(|l| {
            let promoted = self.rsc[l].next_role == Role::Promoted;
            self.rsc[l].assigned.map(|n| (n, promoted))
        });
        let places = places.collect();
        self.in_order(places)
    }

    /// Each node once, in the order of nodes; promoted if anything is.
    fn in_order(&self, places: Vec<Somewhere>) -> Vec<Somewhere> {
        let nodes = self.order.iter();
        let each = nodes.filter_map(|n| {
            let mut here = places.iter().filter(|p| p.0 == *n).peekable();
            here.peek()?;
            Some((*n, here.any(|p| p.1)))
        });
        each.collect()
    }
}
