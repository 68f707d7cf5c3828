//! A store that compares terms accepts no stale writer (promise 4, the half that storage keeps):
//! once it took a write of some term, no write of a lower term is accepted.

use crate::history::{Entry, Event, Setup};
use crate::violation::Violations;

const NAME: &str = "fenced_store";

/// The state of the invariant.
#[derive(Clone, Debug)]
pub struct FencedStore {
    greatest: Vec<u64>,
}

impl FencedStore {
    /// Nothing written yet.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            greatest: vec![0; setup.tickets.len()],
        }
    }

    /// Takes the next event.
    pub fn observe(&mut self, entry: &Entry, violations: &mut Violations) {
        let Event::Wrote {
            ticket,
            site,
            term,
            accepted: true,
        } = entry.event
        else {
            return;
        };
        let greatest = &mut self.greatest[usize::from(ticket)];
        if term < *greatest {
            let before = *greatest;
            violations.note(NAME, entry.at, ticket, || {
                format!("a write of site {site} with term {term:#x} was taken after {before:#x}")
            });
        }
        *greatest = (*greatest).max(term);
    }
}
