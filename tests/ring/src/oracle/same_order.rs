//! *Agreed delivery*: one order everywhere, the same view for the same message, no gap, no duplicate.

use std::collections::BTreeMap;

use membership::ViewId;

use super::{MessageId, Process, Seen, Views, entry};

/// Where a process is in its view.
#[derive(Default)]
struct Place {
    view: Option<ViewId>,
    /// Where the view's order is kept.
    order: usize,
    /// Messages delivered in the view, before the transitional one.
    position: usize,
    transitional: bool,
    last_seq: u64,
    /// How many of `last_seq` were delivered.
    of_seq: u32,
}

/// One view's order.
#[derive(Default)]
struct Order {
    /// What every process delivers in the view's regular part: a prefix of this.
    regular: Vec<(u64, MessageId)>,
    /// What was delivered in transitional views, by number and place in it.
    behind: BTreeMap<(u64, u32), MessageId>,
}

impl Order {
    /// The message that was delivered at that place in a regular part, if any has been.
    fn regular_at(&self, seq: u64, of_seq: u32) -> Option<MessageId> {
        let first = self.regular.partition_point(|(at, _)| *at < seq);
        let (at, id) = *self.regular.get(first + of_seq as usize)?;
        (at == seq).then_some(id)
    }
}

/// The oracle.
#[derive(Default)]
pub struct SameOrder {
    orders: Views<Order>,
    /// The view and number of each message, by sender and count.
    homes: Vec<Vec<Option<(ViewId, u64)>>>,
    places: Vec<Place>,
}

impl SameOrder {
    /// A process has delivered something.
    pub fn see(&mut self, process: Process, seen: &Seen) -> Result<(), String> {
        let place = entry(&mut self.places, process);
        match seen {
            Seen::View(view) => {
                if place.view.is_some_and(|old| old.counter >= view.id.counter) {
                    return Err(format!("{process} went back to view {}", view.id));
                }
                *place = Place {
                    view: Some(view.id),
                    order: self.orders.place(view.id),
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
                let (number, order) = ((*seq, place.of_seq), self.orders.at(place.order));
                if place.transitional {
                    let regular = order.regular_at(number.0, number.1);
                    let known = *order.behind.entry(number).or_insert(*id);
                    if known != *id || regular.is_some_and(|regular| regular != *id) {
                        return Err(format!(
                            "{number:?} of {view} is {known:?}, {regular:?} and {id:?}"
                        ));
                    }
                    return self.at_home(*id, (*view, *seq));
                }
                let position = place.position;
                place.position += 1;
                if let Some(known) = order.regular.get(position) {
                    if *known != (*seq, *id) {
                        return Err(format!(
                            "{process} delivers {id:?} at {seq} where others had {known:?}"
                        ));
                    }
                    return Ok(());
                }
                if let Some(known) = order.behind.get(&number).filter(|known| *known != id) {
                    return Err(format!("{number:?} of {view} is {known:?} and {id:?}"));
                }
                order.regular.push((*seq, *id));
                self.at_home(*id, (*view, *seq))
            }
        }
    }

    /// A message has one view and one number in it. Asked where a place is seen for the first time:
    /// whoever delivers the same at the same place delivers it there as well.
    fn at_home(&mut self, id: MessageId, found: (ViewId, u64)) -> Result<(), String> {
        let homes = entry(&mut self.homes, id.process);
        let home = *entry(homes, id.count).get_or_insert(found);
        if home != found {
            return Err(format!("{id:?} delivered at {home:?} and at {found:?}"));
        }
        Ok(())
    }

    /// Forgets what no later delivery can refer to.
    pub fn forget_before(&mut self, counter: u64) {
        self.orders.forget_before(counter);
    }
}
