//! What a run notes down while it decides, when somebody wants to know why.
//!
//! A run without a recorder pays one test of a pointer in places that refuse something, and nothing
//! anywhere else. Whatever can be read off the finished plan is not noted.

use std::collections::BTreeMap;

use cib::{Element, ElementId};

use crate::assign::Nodes;
use crate::ids::{ColId, Id as _, LocId, NodeId, RscId};
use crate::opmeta::OnFail;
use crate::plan::Plan;

/// Something that happened to a resource's chances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A ticket constraint (by its place in the plan) took effect.
    Ticket(usize),
    /// A recorded operation bans the resource from its node, or from everywhere.
    Failure(ElementId),
    /// What a recorded failure asks for.
    OnFail(OnFail, Option<ElementId>),
    /// It is active on more nodes than it may be.
    MultiplyActive,
    /// It waits for the node that was shut down.
    Locked(NodeId),
    /// It prefers to stay, by this score.
    Sticky(i32),
    /// It has failed there as often as it may.
    Threshold { count: i32, limit: i32 },
    /// Another constraint names the only nodes where it may be.
    Exclusive,
    /// A colocation of which it is the dependent took the node away.
    With(ColId),
    /// What is to be with it cannot be on the node.
    Dependent(ColId),
    /// The node has too little to spare.
    Capacity,
    /// As many instances as may be on the node are there.
    NodeLimit(i32),
    /// As many instances as there may be have a place.
    Limit(i32),
    /// Without quorum nothing new is started.
    NoQuorum,
    /// What it must be with does not come up.
    Held(ColId),
}

/// A note about a resource, for one node or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) rsc: RscId,
    pub(crate) node: Option<NodeId>,
    pub(crate) what: What,
}

/// How much of each kind of constraint there is: what a constraint adds lies between two of these.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    locations: usize,
    colocations: usize,
    orderings: usize,
    tickets: usize,
}

/// A constraint as configured, and what it became.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) element: Element<'a>,
    from: Marks,
    to: Marks,
}

impl Origin<'_> {
    pub(crate) fn has_location(&self, id: LocId) -> bool {
        (self.from.locations..self.to.locations).contains(&id.at())
    }

    pub(crate) fn has_colocation(&self, id: ColId) -> bool {
        (self.from.colocations..self.to.colocations).contains(&id.at())
    }

    pub(crate) fn has_ticket(&self, place: usize) -> bool {
        (self.from.tickets..self.to.tickets).contains(&place)
    }

    /// The places of its orderings in the plan.
    pub(crate) fn orderings(&self) -> std::ops::Range<usize> {
        self.from.orderings..self.to.orderings
    }
}

/// The notes of one run.
#[derive(Debug, Default)]
pub(crate) struct Recorder<'a> {
    pub(crate) notes: BTreeMap<RscId, Vec<Note>>,
    pub(crate) origins: Vec<Origin<'a>>,
    /// The scores by which each primitive was assigned, as of the last time.
    pub(crate) scores: BTreeMap<RscId, Nodes>,
    /// The locations that stand for the health of nodes.
    pub(crate) health: Vec<LocId>,
}

impl<'a> Plan<'a> {
    /// Notes something down if anybody wants to know.
    pub(crate) fn note(&mut self, rsc: RscId, node: Option<NodeId>, what: What) {
        if let Some(recorder) = &mut self.recorder {
            let notes = recorder.notes.entry(rsc).or_default();
            let note = Note { rsc, node, what };
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }

    /// Where constraints stand, before one is read.
    pub(crate) fn marks(&self) -> Marks {
        Marks {
            locations: self.loc.len(),
            colocations: self.col.len(),
            orderings: self.orderings.len(),
            tickets: self.ticket_constraints.len(),
        }
    }

    /// Notes what a constraint has become.
    pub(crate) fn note_origin(&mut self, element: Element<'a>, from: Marks) {
        let to = self.marks();
        if let Some(recorder) = &mut self.recorder {
            recorder.origins.push(Origin { element, from, to });
        }
    }

    /// Notes a location that stands for the health of a node.
    pub(crate) fn note_health(&mut self, id: LocId) {
        if let Some(recorder) = &mut self.recorder {
            recorder.health.push(id);
        }
    }

    /// Keeps the scores by which a resource is assigned now: later steps use them up.
    pub(crate) fn note_scores(&mut self, rsc: RscId) {
        if let Some(recorder) = &mut self.recorder {
            let scores = self.rsc[rsc].allowed.clone();
            recorder.scores.insert(rsc, scores);
        }
    }

    /// The scores of a resource as they are, if changes are to be noted.
    pub(crate) fn scores_before(&self, rsc: RscId) -> Option<Nodes> {
        self.recorder
            .as_ref()
            .map(|_| self.rsc[rsc].allowed.clone())
    }

    /// Notes which nodes have been lost since [`Self::scores_before`].
    pub(crate) fn note_lost(&mut self, rsc: RscId, before: Option<Nodes>, what: What) {
        let Some(before) = before else {
            return;
        };
        for (place, was) in before.iter().enumerate() {
            let now = self.rsc[rsc].allowed.get(place).copied();
            let lost = now.is_none_or(|n| n.present && n.score < 0);
            if was.present && was.score >= 0 && lost {
                self.note(rsc, Some(NodeId::new(place)), what);
            }
        }
    }
}
