//! What is the matter with a node.

use super::place::{place, score_text};
use super::{Cause, Code};
use crate::ids::NodeId;
use crate::plan::Plan;
use crate::text::{self, INFINITY};

impl<'a> Plan<'a> {
    /// Why a node takes nothing, if it does not.
    pub(super) fn node_causes(&mut self, node: NodeId) -> Vec<Cause> {
        let n = &self.node[node];
        let name = n.name;
        if self.is_remote_kind(node) && !n.online && !n.unclean {
            return vec![self.connection_cause(node)];
        }
        if n.pending {
            let text = format!("{name} has not finished joining the cluster");
            return vec![Cause::new(Code::NodePending, text)];
        }
        if n.unclean {
            return vec![self.unclean_cause(node)];
        }
        if !n.online {
            let text = format!("{name} is offline");
            let fix = format!("start the cluster on {name}");
            return vec![Cause::new(Code::NodeOffline, text).fix(fix)];
        }
        let mut causes = Vec::new();
        if n.shutdown {
            let text = format!("{name} is shutting down");
            causes.push(
                Cause::new(Code::NodeShutdown, text).at(self.attribute_place(node, "shutdown")),
            );
        }
        if n.standby_on_fail {
            let text = format!("a failure with on-fail=standby has put {name} in standby");
            let fix = format!("crm_resource --cleanup --node {name}");
            causes.push(Cause::new(Code::NodeStandbyOnFail, text).fix(fix));
        } else if n.standby {
            let text = format!("{name} is in standby");
            let fix = format!("crm_standby --node {name} --delete");
            let at = self.attribute_place(node, "standby");
            causes.push(Cause::new(Code::NodeStandby, text).at(at).fix(fix));
        }
        if n.maintenance {
            let text = format!("{name} is in maintenance");
            let fix = format!("crm_attribute --node {name} --name maintenance --delete");
            let at = self.attribute_place(node, "maintenance");
            causes.push(Cause::new(Code::NodeMaintenance, text).at(at).fix(fix));
        }
        if n.weight < 0 && !n.shutdown {
            let text = format!("{name} itself has the score {}", score_text(n.weight));
            causes.push(Cause::new(Code::NodeScore, text).at(self.node_place(node)));
        }
        causes
    }

    fn node_place(&self, node: NodeId) -> Option<super::Place> {
        let nodes = self.root.child("configuration")?.child("nodes")?;
        let id = self.node[node].id;
        nodes.children().find(|e| e.id() == id).map(place)
    }

    fn connection_cause(&mut self, node: NodeId) -> Cause {
        let name = self.node_name(node);
        let Some(connection) = self.node[node].connection else {
            let text = format!("no resource makes the connection to the remote node {name}");
            return Cause::new(Code::RemoteConnection, text);
        };
        let what = self.guest_launcher(node).unwrap_or(connection);
        let because = self.general_causes(what);
        let what = self.rsc_name(what);
        let text = format!("the remote node {name} is not connected: {what} does not run");
        let cause = Cause::new(Code::RemoteConnection, text).because(because);
        cause.fix(format!(
            "see why {what} does not run: local-stack explain {what}"
        ))
    }

    fn unclean_cause(&self, node: NodeId) -> Cause {
        let name = self.node_name(node);
        let state = if self.node[node].unseen {
            "has not been seen since the cluster started"
        } else {
            "may still be running resources"
        };
        if self.can_fence(Some(node)) {
            let text = format!("{name} is unclean ({state}) and will be fenced");
            return Cause::new(Code::NodeUnclean, text);
        }
        let o = &self.options;
        let (why, at) = if !o.fencing {
            let names = ["fencing-enabled", "stonith-enabled"];
            ("fencing is disabled", self.option_place(&names))
        } else if !o.have_fencing {
            ("no fencing device is configured", None)
        } else {
            ("this partition has no quorum", None)
        };
        let text = format!("{name} is unclean ({state}) and cannot be fenced: {why}");
        Cause::new(Code::FencingImpossible, text)
            .at(at)
            .fix(format!(
                "make sure that {name} is down, then tell: stonith_admin --confirm {name}"
            ))
    }

    /// The health of a node, as a reason.
    pub(super) fn health_cause(&self, node: NodeId) -> Cause {
        let name = self.node_name(node);
        let attrs = &self.node[node].attrs;
        let health = attrs.iter().filter(|(n, _)| n.starts_with("#health"));
        let health: Vec<String> = health.map(|(n, v)| format!("{n}={v}")).collect();
        let score = score_text(self.health(node));
        let text = format!(
            "the health of {name} is bad: {} (score {score})",
            health.join(", ")
        );
        let mut cause =
            Cause::new(Code::NodeHealth, text).at(self.option_place(&["node-health-strategy"]));
        for (attribute, _) in attrs.iter().filter(|(n, _)| n.starts_with("#health")) {
            cause.at.extend(self.attribute_place(node, attribute));
        }
        cause.fix(format!("when {name} is well again: crm_attribute --node {name} --name '#health...' --update green"))
    }

    /// What a resource needs of a node and the node has not.
    pub(super) fn capacity_text(&self, rsc: crate::ids::RscId, node: NodeId) -> String {
        let left = &self.node[node].utilization;
        let left = left.named(&self.words);
        let amounts = self.rsc[rsc].utilization.named(&self.words);
        let short: Vec<String> = amounts
            .into_iter()
            .map(|(name, amount)| {
                let left = left.iter().find(|(n, _)| *n == name).map_or(0, |(_, a)| *a);
                format!("{name} {amount} (left: {left})")
            })
            .collect();
        if short.is_empty() {
            return "what must be with it needs more than there is".to_owned();
        }
        format!("it needs {}", short.join(", "))
    }

    /// Whether a score forbids.
    pub(super) fn forbids(score: i32) -> bool {
        score <= -INFINITY
    }

    /// When something happened, if that is recorded.
    pub(super) fn when(&self, seconds: Option<&str>) -> String {
        let at = seconds.and_then(text::leading_int).filter(|s| *s > 0);
        at.map_or_else(String::new, |at| format!(" at {}", crate::dates::text(at)))
    }
}
