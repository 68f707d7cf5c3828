//! *Agreed delivery*: one order everywhere, the same view for the same message, no gap, no duplicate.

use std::collections::HashMap;

use membership::ViewId;

use super::{MessageId, Seen};

/// Where a process is in its view.
#[derive(Default)]
struct Place {
    view: Option<ViewId>,
    /// Messages delivered in the view, before the transitional one.
    position: usize,
    transitional: bool,
    last_seq: u64,
    /// How many of `last_seq` were delivered.
    of_seq: u32,
}

/// The oracle.
#[derive(Default)]
pub struct SameOrder {
    /// What every process delivers in a view's regular part: a prefix of this.
    regular: HashMap<ViewId, Vec<MessageId>>,
    /// Which message a number is.
    by_number: HashMap<(ViewId, u64, u32), MessageId>,
    /// The view and number of a message.
    by_message: HashMap<MessageId, (ViewId, u64)>,
    places: HashMap<u64, Place>,
}

impl SameOrder {
    /// A process has delivered something.
    pub fn see(&mut self, process: u64, seen: &Seen) -> Result<(), String> {
        let place = self.places.entry(process).or_default();
        match seen {
            Seen::View(view) => {
                if place.view.is_some_and(|old| old.counter >= view.id.counter) {
                    return Err(format!("{process:x} went back to view {}", view.id));
                }
                *place = Place {
                    view: Some(view.id),
                    ..Place::default()
                };
                Ok(())
            }
            Seen::Transitional(..) => {
                place.transitional = true;
                Ok(())
            }
            Seen::Message { view, seq, id, .. } => {
                if place.view != Some(*view) {
                    return Err(format!(
                        "{id:?} of view {view} delivered in {:?}",
                        place.view
                    ));
                }
                if *seq < place.last_seq {
                    return Err(format!("{id:?}: number {seq} after {}", place.last_seq));
                }
                place.of_seq = if *seq == place.last_seq {
                    place.of_seq + 1
                } else {
                    0
                };
                place.last_seq = *seq;
                let number = (*view, *seq, place.of_seq);
                let known = *self.by_number.entry(number).or_insert(*id);
                if known != *id {
                    return Err(format!("{number:?} is {known:?} and {id:?}"));
                }
                let home = *self.by_message.entry(*id).or_insert((*view, *seq));
                if home != (*view, *seq) {
                    return Err(format!(
                        "{id:?} delivered at {home:?} and at {:?}",
                        (view, seq)
                    ));
                }
                if place.transitional {
                    return Ok(());
                }
                let regular = self.regular.entry(*view).or_default();
                if place.position == regular.len() {
                    regular.push(*id);
                } else if regular[place.position] != *id {
                    let other = regular[place.position];
                    return Err(format!(
                        "{process:x} delivers {id:?} where others had {other:?}"
                    ));
                }
                place.position += 1;
                Ok(())
            }
        }
    }

    /// Forgets what no later delivery can refer to.
    pub fn forget_before(&mut self, counter: u64) {
        self.regular.retain(|view, _| view.counter >= counter);
        self.by_number
            .retain(|(view, ..), _| view.counter >= counter);
        self.by_message
            .retain(|_, (view, _)| view.counter >= counter);
    }
}
