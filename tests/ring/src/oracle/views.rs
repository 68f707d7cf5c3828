//! What an oracle keeps for each view, found by name once and by place afterwards.

use std::collections::BTreeMap;

use membership::ViewId;

/// Something for each view.
#[derive(Debug)]
pub(crate) struct Views<T> {
    places: BTreeMap<ViewId, usize>,
    kept: Vec<T>,
    free: Vec<usize>,
}

impl<T> Default for Views<T> {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            kept: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T: Default> Views<T> {
    /// The place of a view; valid until the view is forgotten.
    pub(crate) fn place(&mut self, view: ViewId) -> usize {
        *self.places.entry(view).or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                self.kept.push(T::default());
                self.kept.len() - 1
            })
        })
    }

    /// What is kept there.
    pub(crate) fn at(&mut self, place: usize) -> &mut T {
        &mut self.kept[place]
    }

    /// What is kept for a view.
    pub(crate) fn of(&mut self, view: ViewId) -> &mut T {
        let place = self.place(view);
        self.at(place)
    }

    /// Forgets views that nobody is in any more, nor can come from.
    pub(crate) fn forget_before(&mut self, counter: u64) {
        let (kept, free) = (&mut self.kept, &mut self.free);
        self.places.retain(|view, place| {
            let stays = view.counter >= counter;
            if !stays {
                kept[*place] = T::default();
                free.push(*place);
            }
            stays
        });
    }
}
