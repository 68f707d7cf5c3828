//! Tickets: what needs one, and what happens without it.

use cib::Element;

use super::sets::SideOf;
use super::{LossPolicy, TicketConstraint, constraint_role};
use crate::explain::What;
use crate::ids::RscId;
use crate::model::{Role, RscFlags};
use crate::plan::Plan;
use crate::text;

impl<'a> Plan<'a> {
    pub(super) fn unpack_ticket(&mut self, element: Element<'a>) {
        let Some(ticket) = element.attr("ticket").filter(|t| !t.is_empty()) else {
            return;
        };
        let role = element.attr("rsc-role");
        let side = SideOf {
            attribute: "rsc",
            role,
            action: None,
        };
        let Ok(sets) = self.sets(element, &[side], false) else {
            return;
        };
        let policy = element.attr("loss-policy");
        self.tickets.entry(ticket.to_owned()).or_default();
        for set in &sets {
            for id in &set.members {
                let Some(rsc) = self.constrained(id) else {
                    return;
                };
                self.new_ticket_constraint(rsc, ticket, set.role, policy);
            }
        }
        if sets.is_empty()
            && let Some(rsc) = element.attr("rsc").and_then(|r| self.constrained(r))
        {
            self.new_ticket_constraint(rsc, ticket, role, policy);
        }
    }

    fn new_ticket_constraint(
        &mut self,
        rsc: RscId,
        ticket: &str,
        role: Option<&str>,
        policy: Option<&str>,
    ) {
        let role = constraint_role(role).unwrap_or(Role::Unknown);
        let policy = match policy.map(str::to_ascii_lowercase).as_deref() {
            Some("fence") if self.options.fencing => LossPolicy::Fence,
            Some("fence" | "stop") => LossPolicy::Stop,
            Some("freeze") => LossPolicy::Freeze,
            Some("demote") => LossPolicy::Demote,
            _ if role == Role::Promoted => LossPolicy::Demote,
            _ => LossPolicy::Stop,
        };
        let constraint = TicketConstraint {
            ticket: ticket.to_owned(),
            role,
            policy,
        };
        self.rsc[rsc].tickets.push(self.ticket_constraints.len());
        self.apply_ticket(rsc, &constraint);
        self.ticket_constraints.push(constraint);
    }

    fn apply_ticket(&mut self, rsc: RscId, constraint: &TicketConstraint) {
        let state = self
            .tickets
            .get(&constraint.ticket)
            .copied()
            .unwrap_or_default();
        if state.granted && !state.standby {
            return;
        }
        self.note(rsc, None, What::Ticket(self.ticket_constraints.len()));
        if !self.rsc[rsc].children.is_empty() {
            for child in self.rsc[rsc].children.clone() {
                self.apply_ticket(child, constraint);
            }
            return;
        }
        let role = constraint.role;
        if state.granted || self.rsc[rsc].running_on.is_empty() {
            if role != Role::Promoted || constraint.policy == LossPolicy::Stop {
                self.add_score(rsc, None, -text::INFINITY);
            }
            return;
        }
        let concerned = role == Role::Unknown || role == self.rsc[rsc].role;
        match constraint.policy {
            LossPolicy::Stop => self.add_score(rsc, None, -text::INFINITY),
            LossPolicy::Demote => {
                // Promotion is prevented when it comes to that.
                if role != Role::Promoted {
                    self.add_score(rsc, None, -text::INFINITY);
                }
            }
            LossPolicy::Fence if concerned => {
                self.add_score(rsc, None, -text::INFINITY);
                for node in self.rsc[rsc].running_on.clone() {
                    self.fence_node(node, false);
                }
            }
            LossPolicy::Freeze if concerned => {
                self.rsc[rsc].flags.clear(RscFlags::MANAGED);
                self.rsc[rsc].flags.set(RscFlags::BLOCKED);
            }
            LossPolicy::Fence | LossPolicy::Freeze => {}
        }
    }

    /// Whether a ticket keeps a resource from being promoted.
    pub(crate) fn ticket_prevents_promotion(&self, rsc: RscId) -> bool {
        self.rsc[rsc].tickets.iter().any(|t| {
            let constraint = &self.ticket_constraints[*t];
            let state = self
                .tickets
                .get(&constraint.ticket)
                .copied()
                .unwrap_or_default();
            constraint.role == Role::Promoted && (!state.granted || state.standby)
        })
    }
}
