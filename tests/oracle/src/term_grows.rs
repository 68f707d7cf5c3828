//! Every grant has a term that only grows (promise 4): no later grant of a ticket, at any site,
//! after whatever was forced, lost or re-created, has a term that is not greater than all before.

use crate::history::{Entry, Event, Setup, Site, epoch_of};
use crate::table::Table;
use crate::violation::Violations;

const NAME: &str = "term_grows";

/// The state of the invariant.
#[derive(Clone, Debug)]
pub struct TermGrows {
    /// The greatest term seen and the site it was granted to, by ticket.
    greatest: Vec<(u64, Site)>,
    /// The last term of each site that was new when it was granted.
    last: Table<u64>,
}

impl TermGrows {
    /// No grant yet.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            greatest: vec![(0, 0); setup.tickets.len()],
            last: Table::new(setup, 0),
        }
    }

    /// Takes the next event.
    pub fn observe(&mut self, entry: &Entry, violations: &mut Violations) {
        let Event::Held {
            ticket, site, term, ..
        } = entry.event
        else {
            return;
        };
        let greatest = &mut self.greatest[usize::from(ticket)];
        if term > greatest.0 {
            *greatest = (term, site);
        }
        if *greatest == (term, site) {
            *self.last.cell_mut(ticket, site) = term;
            return;
        }
        let (before, at_site) = *greatest;
        if epoch_of(term) < epoch_of(before) && *self.last.cell(ticket, site) == term {
            // Who was left behind by a forced grant, and has not heard of it, goes on as before.
            return;
        }
        violations.note(NAME, entry.at, ticket, || {
            format!("site {site} holds term {term:#x} after term {before:#x} at site {at_site}")
        });
    }
}
