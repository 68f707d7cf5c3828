//! *Safe delivery*: when a safe message is delivered in its view, every member of the view that has
//! not crashed has stored it, and delivers it before it leaves the view for good. The same holds for
//! one that is delivered in a transitional view, for the members of that.

use std::collections::BTreeSet;

use membership::{Guarantee, NodeId, NodeSet, ViewId};

use super::{Process, Seen, Views, entry};

/// How far a process has come in a view.
#[derive(Clone, Debug, Default)]
struct Reached {
    /// In its regular part.
    regular: u64,
    /// In the transitional one.
    transitional: BTreeSet<u64>,
}

impl Reached {
    fn delivered(&self, seq: u64) -> bool {
        seq <= self.regular || self.transitional.contains(&seq)
    }
}

/// What is known of a view.
#[derive(Default)]
struct InView {
    /// The greatest number that anybody delivered as safe in the regular part.
    safe: u64,
    /// Numbers delivered as safe in a transitional view, by its members.
    bound: Vec<(u64, NodeSet)>,
    /// How far each process had come when it left.
    left: Vec<(Process, Reached)>,
}

/// Where a process is.
#[derive(Default)]
struct Place {
    view: Option<(ViewId, usize)>,
    reached: Reached,
    /// The number last seen to be stored by all: the other messages of its packet are with it.
    stored: u64,
    /// With whom it goes on, once the view's regular part is over.
    companions: Option<NodeSet>,
}

/// The oracle.
#[derive(Default)]
pub struct StoredEverywhere {
    nodes: Vec<NodeId>,
    views: Views<InView>,
    places: Vec<Place>,
}

impl StoredEverywhere {
    /// A process of that node has started.
    pub fn lives(&mut self, process: Process, node: NodeId) {
        debug_assert_eq!(self.nodes.len(), process as usize, "counted as they start");
        self.nodes.push(node);
    }

    /// A process has delivered something. `stored` says whether every living member of that view
    /// that is still in it holds a number; the others are judged by what they delivered there.
    pub fn see(
        &mut self,
        process: Process,
        seen: &Seen,
        stored: impl FnOnce(ViewId, u64) -> Result<(), String>,
    ) -> Result<(), String> {
        let (view, seq, guarantee, id) = match seen {
            Seen::Message {
                view,
                seq,
                guarantee,
                id,
            } => (*view, *seq, *guarantee, *id),
            Seen::Transitional(_, companions) => {
                entry(&mut self.places, process).companions = Some(companions.clone());
                return Ok(());
            }
            Seen::View(view) => return self.leave(process, view.id),
        };
        let place = entry(&mut self.places, process);
        let at = match place.view {
            Some((known, at)) if known == view => at,
            _ => {
                let at = self.views.place(view);
                place.view = Some((view, at));
                at
            }
        };
        let safe = guarantee == Guarantee::Safe;
        if let Some(companions) = &place.companions {
            place.reached.transitional.insert(seq);
            if safe {
                let companions = companions.clone();
                return self.bind(view, seq, companions);
            }
            return Ok(());
        }
        place.reached.regular = seq;
        if !safe || place.stored == seq {
            return Ok(());
        }
        place.stored = seq;
        stored(view, seq)?;
        let known = self.views.at(at);
        known.safe = known.safe.max(seq);
        let without = known.left.iter().find(|(_, left)| !left.delivered(seq));
        match without {
            Some((other, _)) => Err(format!(
                "{id:?} delivered as safe at {seq} of {view}, but {other} left without it"
            )),
            None => Ok(()),
        }
    }

    /// A safe message was delivered in a transitional view: its members are bound to deliver it.
    fn bind(&mut self, view: ViewId, seq: u64, companions: NodeSet) -> Result<(), String> {
        let known = self.views.of(view);
        for (other, reached) in &known.left {
            let bound = companions.contains(self.nodes[*other as usize]);
            if bound && !reached.delivered(seq) {
                return Err(format!(
                    "{seq} of {view} delivered as safe with {companions:?}, but {other} left without it"
                ));
            }
        }
        if known
            .bound
            .last()
            .is_none_or(|last| *last != (seq, companions.clone()))
        {
            known.bound.push((seq, companions));
        }
        Ok(())
    }

    fn leave(&mut self, process: Process, next: ViewId) -> Result<(), String> {
        let fresh = Place {
            view: Some((next, self.views.place(next))),
            ..Place::default()
        };
        let old = std::mem::replace(entry(&mut self.places, process), fresh);
        let (Some((view, _)), reached) = (old.view, old.reached) else {
            return Ok(());
        };
        let known = self.views.of(view);
        if !reached.delivered(known.safe) {
            return Err(format!(
                "{process} left {view} at {}, safe was {}",
                reached.regular, known.safe
            ));
        }
        let node = self.nodes[process as usize];
        let missed = known
            .bound
            .iter()
            .find(|(seq, companions)| companions.contains(node) && !reached.delivered(*seq));
        if let Some((seq, companions)) = missed {
            return Err(format!(
                "{process} left {view} without {seq}, delivered as safe with {companions:?}"
            ));
        }
        known.left.push((process, reached));
        Ok(())
    }

    /// Forgets what no later delivery can refer to.
    pub fn forget_before(&mut self, counter: u64) {
        self.views.forget_before(counter);
    }
}
