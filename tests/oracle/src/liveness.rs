//! After healing every automatic ticket has a holder within a bound, and what it gates runs there.
//!
//! Excused are tickets that are revoked, on hold, in standby, or that no site is able to run; who
//! writes the history says so after healing.

use crate::history::{Entry, Event, Nanos, Setup, TicketId};
use crate::table::Table;
use crate::violation::Violations;

const NAME: &str = "liveness";

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    term: u64,
    until: Nanos,
    running: u64,
}

/// The state of the invariant.
#[derive(Clone, Debug)]
pub struct Liveness {
    cells: Table<Cell>,
    healed: Option<Nanos>,
    excused: Vec<bool>,
    /// Whether the ticket had a holder at any time since healing.
    seen: Vec<bool>,
}

impl Liveness {
    /// Nobody holds anything; not healed.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            cells: Table::new(setup, Cell::default()),
            healed: None,
            excused: vec![false; setup.tickets.len()],
            seen: vec![false; setup.tickets.len()],
        }
    }

    /// Takes the next event.
    pub fn observe(&mut self, entry: &Entry) {
        match entry.event {
            Event::Held {
                ticket,
                site,
                term,
                until,
            } => {
                let cell = self.cells.cell_mut(ticket, site);
                cell.term = term;
                cell.until = until.unwrap_or(Nanos::MAX);
                self.seen[usize::from(ticket)] |= self.healed.is_some();
            }
            Event::Released { ticket, site, term } => {
                let cell = self.cells.cell_mut(ticket, site);
                if cell.term == term {
                    cell.until = 0;
                }
            }
            Event::Started {
                ticket,
                site,
                resource,
                ..
            } => {
                self.cells.cell_mut(ticket, site).running |= 1 << (resource % 64);
            }
            Event::Ended {
                ticket,
                site,
                resource,
            } => {
                self.cells.cell_mut(ticket, site).running &= !(1 << (resource % 64));
            }
            Event::Healed => self.healed = Some(entry.at),
            Event::Excused { ticket } => self.excused[usize::from(ticket)] = true,
            _ => {}
        }
    }

    /// Takes the end of the history.
    pub fn finish(&self, setup: &Setup, at: Nanos, violations: &mut Violations) {
        let Some(healed) = self.healed else { return };
        for (ticket, facts) in setup.tickets.iter().enumerate() {
            let waited = at.saturating_sub(healed);
            if facts.manual || self.excused[ticket] || waited < facts.liveness_bound_ns {
                continue;
            }
            let row = self.cells.row(ticket as TicketId);
            let held = row.iter().find(|cell| cell.until > at);
            if held.is_some_and(|cell| cell.running != 0) {
                continue;
            }
            let seen = self.seen[ticket];
            violations.note(NAME, at, ticket as TicketId, || match held {
                None => {
                    format!("no holder {waited} ns after healing (held at some time since: {seen})")
                }
                Some(_) => format!("held, but nothing runs {waited} ns after healing"),
            });
        }
    }
}
