//! Why a resource gets no node at all, or is left alone.

use super::place::place;
use super::record::What;
use super::{Cause, Code, NodeLine, NodeVerdict};
use crate::constraint::LossPolicy;
use crate::ids::{ColId, RscId};
use crate::model::{MultiplyActive, Role, RscFlags};
use crate::opmeta::OnFail;
use crate::options::NoQuorum;
use crate::plan::Plan;

/// How many reasons behind reasons are told: more than this nobody reads.
pub(super) const DEPTH_MAX: usize = 6;

impl<'a> Plan<'a> {
    /// Why a primitive has no node, or shall not be active: the most important reason first.
    pub(super) fn absent(&mut self, rsc: RscId, depth: usize) -> Vec<Cause> {
        let causes = self.general_causes(rsc);
        if !causes.is_empty() {
            return causes;
        }
        let lines = self.node_lines(rsc);
        self.no_node(rsc, &lines, depth)
    }

    /// Reasons that are the same on every node.
    pub(super) fn general_causes(&mut self, rsc: RscId) -> Vec<Cause> {
        let mut causes = Vec::new();
        let r = &self.rsc[rsc];
        let instance = r.parent.is_some_and(|p| self.is_clone(p));
        if r.is(RscFlags::REMOVED) && !instance {
            let text = "it is not in the configuration any more";
            causes.push(Cause::new(Code::Removed, text).at([place(r.xml)]));
        }
        if self.options.stop_all {
            let name = "stop-all-resources";
            let fix = format!("crm_attribute --name {name} --delete");
            let at = self.option_place(&[name]);
            causes.push(
                Cause::new(Code::StopAll, format!("{name} is set"))
                    .at(at)
                    .fix(fix),
            );
        }
        if self.target_role(rsc) == Some(Role::Stopped) {
            causes.push(self.target_role_cause(rsc));
        }
        self.add_ticket_causes(rsc, &mut causes);
        self.add_noted_causes(rsc, &mut causes);
        if !self.rsc[rsc].is(RscFlags::MANAGED) && self.rsc[rsc].running_on.is_empty() {
            causes.extend(self.alone_causes(rsc));
        }
        let mut each: Vec<Cause> = Vec::new();
        for cause in causes {
            if !each.contains(&cause) {
                each.push(cause);
            }
        }
        each
    }

    fn target_role_cause(&self, rsc: RscId) -> Cause {
        let (owner, at) = self.meta_owner(rsc, "target-role");
        let name = self.command_name(owner);
        let role = self.rsc[rsc].meta("target-role").unwrap_or("Stopped");
        let mut text = if owner == rsc {
            format!("its target-role is {role}")
        } else {
            format!("the target-role of {name} is {role}")
        };
        if let Some(by) = self.last_change() {
            text += &format!(" ({by})");
        }
        Cause::new(Code::TargetRole, text).at(at).fix(format!(
            "crm_resource --resource {name} --meta --delete-parameter target-role"
        ))
    }

    /// Who has changed the configuration last, and when: the CIB knows no more.
    fn last_change(&self) -> Option<String> {
        let when = self
            .root
            .attr("cib-last-written")
            .filter(|w| !w.is_empty())?;
        let attr = |name: &str| self.root.attr(name).filter(|v| !v.is_empty());
        let mut text = format!("the configuration was last changed {when}");
        if let Some(user) = attr("update-user") {
            text += &format!(" by {user}");
        }
        if let Some(client) = attr("update-client") {
            text += &format!(" with {client}");
        }
        if let Some(origin) = attr("update-origin") {
            text += &format!(" on {origin}");
        }
        Some(text)
    }

    // --- tickets ---

    fn add_ticket_causes(&self, rsc: RscId, causes: &mut Vec<Cause>) {
        for note in self.notes(rsc, None) {
            if let What::Ticket(constraint) = note.what {
                let c = &self.ticket_constraints[constraint];
                if c.role != Role::Promoted || c.policy == LossPolicy::Stop {
                    causes.push(self.ticket_cause(constraint));
                }
            }
        }
    }

    /// What the lack of a ticket means.
    pub(super) fn ticket_cause(&self, constraint: usize) -> Cause {
        let c = &self.ticket_constraints[constraint];
        let ticket = &c.ticket;
        let state = self.tickets.get(ticket).copied().unwrap_or_default();
        let policy = match c.policy {
            LossPolicy::Stop => "stop",
            LossPolicy::Demote => "demote",
            LossPolicy::Fence => "fence",
            LossPolicy::Freeze => "freeze",
        };
        let element = self.ticket_origin(constraint);
        let id = element.map_or("", |e| e.id());
        let rest = format!("(constraint {id}, loss-policy {policy})");
        let last = self.ticket_last_granted(ticket);
        if state.granted {
            let text = format!("ticket {ticket} is in standby at this site {rest}");
            let fix = format!("ticket activate {ticket}");
            return Cause::new(Code::TicketStandby, text)
                .at(element.map(place))
                .fix(fix);
        }
        let text = format!("ticket {ticket} is not granted to this site {rest}{last}");
        Cause::new(Code::TicketNotGranted, text)
            .at(element.map(place))
            .fix(format!("ticket move {ticket} --to SITE, or, if no site holds it: ticket grant {ticket} --to SITE"))
    }

    /// When this site had a ticket last, if the CIB remembers.
    fn ticket_last_granted(&self, ticket: &str) -> String {
        let status = self.root.child("status");
        let tickets = status.and_then(|s| s.child("tickets"));
        let state = tickets.and_then(|t| t.children().find(|e| e.id() == ticket));
        let when = self.when(state.and_then(|s| s.attr("last-granted")));
        if when.is_empty() {
            when
        } else {
            format!("; it was last granted{when}")
        }
    }

    // --- failures, quorum, limits ---

    fn add_noted_causes(&mut self, rsc: RscId, causes: &mut Vec<Cause>) {
        let mut notes = self.notes(rsc, None);
        for node in self.order.clone() {
            let here = self.notes(rsc, Some(node)).into_iter();
            notes.extend(here.filter(|n| matches!(n.what, What::OnFail(..))));
        }
        for note in notes {
            match note.what {
                What::Failure(entry) => {
                    causes.push(self.ban_by_failure(note.rsc, note.node, entry));
                }
                What::OnFail(on_fail, entry)
                    if matches!(on_fail, OnFail::Block | OnFail::Stop)
                        && (on_fail == OnFail::Stop || self.rsc[rsc].is(RscFlags::BLOCKED)) =>
                {
                    causes.extend(self.on_fail_cause(note.rsc, note.node, (on_fail, entry)));
                }
                What::MultiplyActive
                    if matches!(
                        self.rsc[note.rsc].multiply_active,
                        MultiplyActive::Block | MultiplyActive::Stop
                    ) =>
                {
                    causes.push(self.multiple_cause(note.rsc));
                }
                What::Limit(most) => {
                    let text = match most {
                        1 => "an instance is elsewhere already (clone-max 1)".to_owned(),
                        _ => format!("{most} instances have a place already (clone-max {most})"),
                    };
                    let at = self.meta_place(rsc, "clone-max");
                    causes.push(Cause::new(Code::CloneMax, text).at(at));
                }
                _ => {}
            }
        }
    }

    fn multiple_cause(&self, rsc: RscId) -> Cause {
        let name = self.command_name(rsc);
        let nodes = self.node_names(&self.rsc[rsc].running_on);
        let policy = self.rsc[rsc].meta("multiple-active").unwrap_or("block");
        let text = format!("it is active on {nodes}, and multiple-active is {policy}");
        Cause::new(Code::MultipleActive, text)
            .at(self.meta_place(rsc, "multiple-active"))
            .fix(format!(
                "stop it by hand where it should not be, then: crm_resource --refresh --resource {name}"
            ))
    }

    pub(super) fn no_device_cause(&self) -> Cause {
        let text = "fencing is enabled and no fencing device is configured: nothing is started or \
                    stopped";
        let at = self.option_place(&["fencing-enabled", "stonith-enabled"]);
        Cause::new(Code::NoFencingDevice, text)
            .at(at)
            .fix("configure a fencing device (a primitive of class stonith)")
    }

    /// Why a resource is left alone.
    pub(super) fn alone_causes(&mut self, rsc: RscId) -> Vec<Cause> {
        let name = self.command_name(rsc);
        if self.options.fencing && !self.options.have_fencing {
            return vec![self.no_device_cause()];
        }
        if self.options.maintenance {
            let cause = Cause::new(Code::MaintenanceMode, "maintenance-mode is set")
                .at(self.option_place(&["maintenance-mode"]))
                .fix("crm_attribute --name maintenance-mode --delete");
            return vec![cause];
        }
        let in_maintenance = self.rsc[rsc]
            .running_on
            .iter()
            .find(|n| self.node[**n].maintenance);
        if let Some(node) = in_maintenance.copied() {
            return self.node_causes(node);
        }
        if self.rsc[rsc].meta_true("maintenance") {
            let cause = Cause::new(Code::Maintenance, "its meta-attribute maintenance is true")
                .at(self.meta_place(rsc, "maintenance"))
                .fix(format!(
                    "crm_resource --resource {name} --meta --delete-parameter maintenance"
                ));
            return vec![cause];
        }
        let off = self.rsc[rsc]
            .meta("is-managed")
            .is_some_and(|m| !crate::text::is_true(Some(m)));
        if off {
            let cause = Cause::new(Code::Unmanaged, "is-managed is false")
                .at(self.meta_place(rsc, "is-managed"))
                .fix(format!(
                    "crm_resource --resource {name} --meta --delete-parameter is-managed"
                ));
            return vec![cause];
        }
        let frozen = self
            .notes(rsc, None)
            .into_iter()
            .find_map(|n| match n.what {
                What::Ticket(c) if self.ticket_constraints[c].policy == LossPolicy::Freeze => {
                    Some(c)
                }
                _ => None,
            });
        frozen.map(|c| self.ticket_cause(c)).into_iter().collect()
    }

    pub(super) fn quorum_cause(&self) -> Cause {
        let policy = match self.options.no_quorum {
            NoQuorum::Freeze => "freeze",
            NoQuorum::Ignore => "ignore",
            NoQuorum::Demote => "demote",
            NoQuorum::Fence => "fence",
            NoQuorum::Stop => "stop",
        };
        let text = format!("this partition has no quorum (no-quorum-policy {policy})");
        let mut down = Vec::new();
        for node in &self.order {
            if !self.is_remote_kind(*node) && !self.node[*node].online {
                down.push(*node);
            }
        }
        let fix = if down.is_empty() {
            "bring the missing nodes back".to_owned()
        } else {
            format!("bring back {}", self.node_names(&down))
        };
        Cause::new(Code::NoQuorum, text)
            .at(self.option_place(&["no-quorum-policy"]))
            .fix(fix)
    }

    // --- no node ---

    /// What the nodes' reasons amount to, when none of them takes the resource.
    pub(super) fn no_node(&mut self, rsc: RscId, lines: &[NodeLine], depth: usize) -> Vec<Cause> {
        if lines.is_empty() {
            let text = "no node is configured, and none has joined";
            return vec![Cause::new(Code::NoNodes, text)];
        }
        if let Some(cause) = self.stopped_partner(rsc, depth) {
            return vec![cause];
        }
        if lines.iter().any(|l| l.verdict == NodeVerdict::Chosen) {
            return Vec::new();
        }
        let reasons = lines.iter().filter_map(|l| l.causes.first());
        let reasons: Vec<Cause> = reasons.cloned().collect();
        if let [one] = reasons.as_slice() {
            return vec![one.clone()];
        }
        let mut texts: Vec<&str> = reasons.iter().map(|c| c.text.as_str()).collect();
        texts.dedup();
        let text = format!("no node can run it: {}", texts.join("; "));
        let mut because: Vec<Cause> = Vec::new();
        for line in lines {
            for cause in &line.causes {
                if !because.contains(cause) {
                    because.push(cause.clone());
                }
            }
        }
        vec![Cause::new(Code::NoNode, text).because(because)]
    }

    /// What takes a resource's nodes away by not running itself.
    fn stopped_partner(&mut self, rsc: RscId, depth: usize) -> Option<Cause> {
        let mut found: Option<ColId> = None;
        let mut nodes = self.order.clone().into_iter().map(Some).collect::<Vec<_>>();
        nodes.push(None);
        for node in nodes {
            for note in self.notes(rsc, node) {
                let What::With(col) = note.what else {
                    continue;
                };
                let primary = self.col[col].primary;
                let needed = self.col[col].score > 0;
                let role = self.col[col].primary_role;
                let nowhere = self.places_in_role(primary, role).is_empty();
                if needed && nowhere && found.is_none() {
                    found = Some(col);
                }
            }
        }
        let col = found?;
        let primary = self.col[col].primary;
        let because = if depth < DEPTH_MAX {
            self.why_not_running(primary, depth + 1)
        } else {
            Vec::new()
        };
        let cause = self.partner_cause(col).because(because);
        let other = self.command_name(primary);
        Some(cause.fix(format!(
            "see why {other} does not run: local-stack explain {other}"
        )))
    }
}
