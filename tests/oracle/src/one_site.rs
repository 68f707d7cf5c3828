//! At no instant does a ticketed resource run at two sites (promise 2).
//!
//! A resource counts from the beginning of its start to the certain end of its stop. A site that
//! is paused as a whole runs nothing; what it finds stale when it goes on is judged by
//! [`crate::lease_binds`] (how fast it is gone) and [`crate::fenced_store`] (what it could write).

use crate::history::{Entry, Event, Nanos, Setup, Site, TicketId, epoch_of};
use crate::table::Table;
use crate::violation::Violations;

const NAME: &str = "one_site";

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// Bits of the resources that run. 64 per ticket are enough for a simulated or demo site.
    running: u64,
    /// The greatest term under which one of them was started.
    term: u64,
    /// Resumed with a lease that was over: not counted, see the module's text.
    stale: bool,
    /// The end of the lease as last told.
    until: Nanos,
}

/// The state of the invariant.
#[derive(Clone, Debug)]
pub struct OneSite {
    cells: Table<Cell>,
    frozen: Vec<bool>,
}

impl OneSite {
    /// Nothing runs.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            cells: Table::new(setup, Cell::default()),
            frozen: vec![false; setup.sites.len()],
        }
    }

    /// Whether something of the ticket runs at the site.
    #[must_use]
    pub fn runs(&self, ticket: TicketId, site: Site) -> bool {
        self.cells.cell(ticket, site).running != 0
    }

    /// Takes the next event.
    pub fn observe(&mut self, setup: &Setup, entry: &Entry, violations: &mut Violations) {
        match entry.event {
            Event::Held {
                ticket,
                site,
                term,
                until,
            } => {
                let cell = self.cells.cell_mut(ticket, site);
                if cell.running == 0 || cell.term == term {
                    cell.until = until.unwrap_or(Nanos::MAX);
                }
            }
            Event::Started {
                ticket,
                site,
                resource,
                term,
            } => {
                let cell = self.cells.cell_mut(ticket, site);
                cell.running |= 1 << (resource % 64);
                cell.term = cell.term.max(term);
                self.judge(entry.at, ticket, site, violations);
            }
            Event::Ended {
                ticket,
                site,
                resource,
            } => {
                let cell = self.cells.cell_mut(ticket, site);
                cell.running &= !(1 << (resource % 64));
                if cell.running == 0 {
                    cell.stale = false;
                    cell.term = 0;
                }
            }
            Event::Frozen { site } => self.frozen[usize::from(site)] = true,
            Event::Thawed { site } => self.thaw(setup, entry.at, site, violations),
            _ => {}
        }
    }

    fn thaw(&mut self, setup: &Setup, at: Nanos, site: Site, violations: &mut Violations) {
        self.frozen[usize::from(site)] = false;
        for ticket in 0..setup.tickets.len() {
            let ticket = ticket as TicketId;
            let cell = self.cells.cell_mut(ticket, site);
            if cell.running == 0 {
                continue;
            }
            cell.stale = cell.until <= at;
            if !cell.stale {
                self.judge(at, ticket, site, violations);
            }
        }
    }

    fn judge(&self, at: Nanos, ticket: TicketId, site: Site, violations: &mut Violations) {
        let mine = *self.cells.cell(ticket, site);
        if mine.running == 0 || mine.stale || self.frozen[usize::from(site)] {
            return;
        }
        for (other, cell) in self.cells.row(ticket).iter().enumerate() {
            if other == usize::from(site)
                || cell.running == 0
                || cell.stale
                || self.frozen[other]
                || epoch_of(cell.term) != epoch_of(mine.term)
            {
                continue;
            }
            violations.note(NAME, at, ticket, || {
                format!(
                    "runs at site {site} (term {:#x}) and still at site {other} (term {:#x})",
                    mine.term, cell.term
                )
            });
        }
    }
}
