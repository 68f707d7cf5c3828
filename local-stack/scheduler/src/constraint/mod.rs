//! Constraints from the configuration.

mod colocation;
mod location;
mod order;
mod sets;
mod ticket;

pub(crate) use colocation::NewColocation;
pub(crate) use location::pattern_groups;

use cib::Element;

use crate::ids::{NodeId, RscId};
use crate::model::{ProbeMode, Role};
use crate::plan::Plan;

/// That one resource shall (or shall not) be where another is.
#[derive(Debug, Clone)]
pub(crate) struct Colocation<'a> {
    pub(crate) dependent: RscId,
    pub(crate) primary: RscId,
    pub(crate) dependent_role: Role,
    pub(crate) primary_role: Role,
    pub(crate) attribute: &'a str,
    pub(crate) score: i32,
    /// Whether the dependent may draw the primary.
    pub(crate) influence: bool,
    /// Whether somebody configured it.
    pub(crate) explicit: bool,
}

/// Where a resource would rather be.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub(crate) rsc: RscId,
    pub(crate) role: Role,
    pub(crate) probe_mode: ProbeMode,
    pub(crate) nodes: Vec<(NodeId, i32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LossPolicy {
    Stop,
    Demote,
    Fence,
    Freeze,
}

/// That a resource needs a ticket.
#[derive(Debug, Clone)]
pub(crate) struct TicketConstraint {
    pub(crate) ticket: String,
    pub(crate) role: Role,
    pub(crate) policy: LossPolicy,
}

/// Whether this site has a ticket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TicketState {
    pub(crate) granted: bool,
    pub(crate) standby: bool,
}

impl<'a> Plan<'a> {
    pub(crate) fn unpack_constraints(&mut self, constraints: Element<'a>) {
        for element in constraints.children() {
            if element.attr("id").is_none() {
                continue;
            }
            let marks = self.marks();
            match element.name() {
                "rsc_order" => self.unpack_order(element),
                "rsc_colocation" => self.unpack_colocation(element),
                "rsc_location" => self.unpack_location(element),
                "rsc_ticket" => self.unpack_ticket(element),
                _ => {}
            }
            self.note_origin(element, marks);
        }
    }

    /// The resource that a constraint means; for an instance, all of its clone.
    pub(crate) fn constrained(&self, id: &str) -> Option<RscId> {
        if let Some(rsc) = self.find(id) {
            return Some(rsc);
        }
        // What is cloned is known by its own name only once a node has told of it.
        let instance = *self.clone_names.get(id)?.first()?;
        Some(self.top_resource(instance, false))
    }
}

/// A role in a constraint; started is as good as any.
fn constraint_role(text: Option<&str>) -> Option<Role> {
    match text {
        None => Some(Role::Unknown),
        Some(text) => match Role::parse(text)? {
            Role::Started => Some(Role::Unknown),
            role => Some(role),
        },
    }
}
