//! Moves end with one owner and leave no standby behind.
//!
//! A move that was reported done has its ticket at the target and nowhere else. At the end of a
//! healed history no site's cluster carries a standby mark that no operator asked for: neither a
//! move that was resumed nor one that was rolled back may leave its tool behind.

use crate::history::{Answer, Ask, Entry, Event, Nanos, Setup, Site, TicketId};
use crate::table::Table;
use crate::violation::Violations;

const NAME: &str = "one_owner";

/// Moves that may be under way at once; older ones are forgotten first (their answers are late).
const MOVES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    term: u64,
    until: Nanos,
    standby: bool,
    /// The last time that the site began or prolonged a claim.
    claimed: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Move {
    request: u64,
    ticket: TicketId,
    to: Site,
    asked: Nanos,
}

/// The state of the invariant.
#[derive(Clone, Debug)]
pub struct OneOwner {
    cells: Table<Cell>,
    moves: Vec<Move>,
    /// Whether an operator's standby may be in force, by ticket.
    standby_asked: Vec<bool>,
    healed: bool,
}

impl OneOwner {
    /// No owner, no move.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            cells: Table::new(setup, Cell::default()),
            moves: Vec::with_capacity(MOVES_MAX),
            standby_asked: vec![false; setup.tickets.len()],
            healed: false,
        }
    }

    /// Takes the next event.
    pub fn observe(&mut self, entry: &Entry, violations: &mut Violations) {
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
                cell.claimed = entry.at;
            }
            Event::Released { ticket, site, term } => {
                let cell = self.cells.cell_mut(ticket, site);
                if cell.term == term {
                    cell.until = cell.until.min(entry.at);
                }
            }
            Event::StandbyMark { ticket, site, on } => {
                self.cells.cell_mut(ticket, site).standby = on;
            }
            Event::Healed => self.healed = true,
            Event::Asked {
                request,
                ticket,
                ask,
            } => self.asked(entry.at, request, ticket, ask),
            Event::Answered {
                request, answer, ..
            } => {
                self.answered(entry.at, request, answer, violations);
            }
            _ => {}
        }
    }

    /// Takes the end of the history.
    pub fn finish(&self, setup: &Setup, at: Nanos, violations: &mut Violations) {
        if !self.healed {
            return;
        }
        for ticket in 0..setup.tickets.len() {
            if self.standby_asked[ticket] {
                continue;
            }
            for (site, cell) in self.cells.row(ticket as TicketId).iter().enumerate() {
                if cell.standby {
                    violations.note(NAME, at, ticket as TicketId, || {
                        format!("site {site} was left in standby and nobody asked for it")
                    });
                }
            }
        }
    }

    fn asked(&mut self, asked: Nanos, request: u64, ticket: TicketId, ask: Ask) {
        match ask {
            Ask::Move { to } => {
                if self.moves.len() == MOVES_MAX {
                    self.moves.remove(0);
                }
                self.moves.push(Move {
                    request,
                    ticket,
                    to,
                    asked,
                });
            }
            Ask::Standby { on: true } => self.standby_asked[usize::from(ticket)] = true,
            Ask::Standby { on: false } | Ask::Grant { .. } | Ask::Revoke => {}
        }
    }

    fn answered(&mut self, at: Nanos, request: u64, answer: Answer, violations: &mut Violations) {
        let Some(index) = self.moves.iter().position(|one| one.request == request) else {
            return;
        };
        let one = self.moves.swap_remove(index);
        if answer != Answer::Done {
            return;
        }
        let row = self.cells.row(one.ticket);
        let target = row[usize::from(one.to)];
        // A site that held it already may have lost it before its word arrived.
        if target.claimed < one.asked && target.until <= one.asked {
            violations.note(NAME, at, one.ticket, || {
                format!(
                    "a move to site {} was reported done, but it never held it",
                    one.to
                )
            });
        }
    }
}
