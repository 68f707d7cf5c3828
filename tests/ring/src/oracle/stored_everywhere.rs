//! *Safe delivery*: when a safe message is delivered in its view, every member of the view that has
//! not crashed has stored it, and delivers it before it leaves the view for good. The same holds for
//! one that is delivered in a transitional view, for the members of that.

use std::collections::{BTreeSet, HashMap};

use membership::{Guarantee, NodeId, NodeSet, ViewId};

use super::Seen;

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

/// Where a process is.
struct Place {
    view: ViewId,
    reached: Reached,
    /// With whom it goes on, once the view's regular part is over.
    companions: Option<NodeSet>,
}

/// The oracle.
#[derive(Default)]
pub struct StoredEverywhere {
    nodes: HashMap<u64, NodeId>,
    /// The greatest number that anybody delivered as safe in the view's regular part.
    safe: HashMap<ViewId, u64>,
    /// Numbers delivered as safe in a transitional view, by its members.
    bound: HashMap<ViewId, Vec<(u64, NodeSet)>>,
    places: HashMap<u64, Place>,
    /// How far each process had come when it left a view.
    left: HashMap<ViewId, HashMap<u64, Reached>>,
}

impl StoredEverywhere {
    /// A process of that node has started.
    pub fn lives(&mut self, process: u64, node: NodeId) {
        self.nodes.insert(process, node);
    }

    /// A process has delivered something. `stored` says whether every living member of that view
    /// that is still in it holds a number; the others are judged by what they delivered there.
    pub fn see(
        &mut self,
        process: u64,
        seen: &Seen,
        mut stored: impl FnMut(ViewId, u64) -> Result<(), String>,
    ) -> Result<(), String> {
        match seen {
            Seen::Message {
                view,
                seq,
                guarantee,
                id,
            } => {
                let place = self.places.entry(process).or_insert_with(|| Place {
                    view: *view,
                    reached: Reached::default(),
                    companions: None,
                });
                let safe = *guarantee == Guarantee::Safe;
                if let Some(companions) = &place.companions {
                    place.reached.transitional.insert(*seq);
                    if safe {
                        let companions = companions.clone();
                        return self.bind(*view, *seq, companions);
                    }
                    return Ok(());
                }
                place.reached.regular = *seq;
                if !safe {
                    return Ok(());
                }
                let greatest = self.safe.entry(*view).or_insert(0);
                *greatest = (*greatest).max(*seq);
                stored(*view, *seq)?;
                let mut left = self.left.get(view).into_iter().flatten();
                match left.find(|(_, reached)| !reached.delivered(*seq)) {
                    Some((other, _)) => Err(format!(
                        "{id:?} delivered as safe at {seq} of {view}, but {other:x} left without it"
                    )),
                    None => Ok(()),
                }
            }
            Seen::Transitional(_, companions) => {
                if let Some(place) = self.places.get_mut(&process) {
                    place.companions = Some(companions.clone());
                }
                Ok(())
            }
            Seen::View(view) => self.leave(process, view.id),
        }
    }

    /// A safe message was delivered in a transitional view: its members are bound to deliver it.
    fn bind(&mut self, view: ViewId, seq: u64, companions: NodeSet) -> Result<(), String> {
        let left = self.left.get(&view).into_iter().flatten();
        for (other, reached) in left {
            let bound = self
                .nodes
                .get(other)
                .is_some_and(|node| companions.contains(*node));
            if bound && !reached.delivered(seq) {
                return Err(format!(
                    "{seq} of {view} delivered as safe with {companions:?}, but {other:x} left without it"
                ));
            }
        }
        let numbers = self.bound.entry(view).or_default();
        if numbers.last() != Some(&(seq, companions.clone())) {
            numbers.push((seq, companions));
        }
        Ok(())
    }

    fn leave(&mut self, process: u64, next: ViewId) -> Result<(), String> {
        let fresh = Place {
            view: next,
            reached: Reached::default(),
            companions: None,
        };
        let Some(old) = self.places.insert(process, fresh) else {
            return Ok(());
        };
        let (view, reached) = (old.view, old.reached);
        let safe = self.safe.get(&view).copied().unwrap_or(0);
        if !reached.delivered(safe) {
            return Err(format!(
                "{process:x} left {view} at {}, safe was {safe}",
                reached.regular
            ));
        }
        let node = self.nodes.get(&process);
        let missed = self
            .bound
            .get(&view)
            .into_iter()
            .flatten()
            .find(|(seq, companions)| {
                node.is_some_and(|node| companions.contains(*node)) && !reached.delivered(*seq)
            });
        if let Some((seq, companions)) = missed {
            return Err(format!(
                "{process:x} left {view} without {seq}, delivered as safe with {companions:?}"
            ));
        }
        self.left.entry(view).or_default().insert(process, reached);
        Ok(())
    }

    /// Forgets what no later delivery can refer to.
    pub fn forget_before(&mut self, counter: u64) {
        self.safe.retain(|view, _| view.counter >= counter);
        self.bound.retain(|view, _| view.counter >= counter);
        self.left.retain(|view, _| view.counter >= counter);
    }
}
