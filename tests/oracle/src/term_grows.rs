//! Every grant has a term that only grows (promise 4): no later grant of a ticket, at any site,
//! after whatever was forced, lost or re-created, has a term that is not greater than all before.

use crate::history::{Entry, Event, Setup, Site};
use crate::violation::Violations;

const NAME: &str = "term_grows";

/// The state of the invariant.
#[derive(Clone, Debug)]
pub struct TermGrows {
    /// The greatest term seen and the site it was granted to, by ticket.
    greatest: Vec<(u64, Site)>,
}

impl TermGrows {
    /// No grant yet.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            greatest: vec![(0, 0); setup.tickets.len()],
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
        if *greatest == (term, site) {
            return;
        }
        if term > greatest.0 {
            *greatest = (term, site);
            return;
        }
        let (before, at_site) = *greatest;
        violations.note(NAME, entry.at, ticket, || {
            format!("site {site} holds term {term:#x} after term {before:#x} at site {at_site}")
        });
    }
}
