//! A lease binds the site, not the daemon that renews it (promise 3).
//!
//! Whatever was started under a term is gone when that term's lease and the stop budget are over,
//! even if agent and stack are dead or paused. A new term never adopts what runs under an old one:
//! the old lease's end counts for it; and a term that ran out is not claimed again. Out of force
//! while the majority agreed on a hold, and for
//! manual tickets. A site that was paused as a whole has a bound from its resumption.

use crate::history::{Entry, Event, Nanos, Setup, Site, TicketId};
use crate::table::Table;
use crate::violation::Violations;

const NAME: &str = "lease_binds";

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    running: u64,
    /// The term under which it runs.
    term: u64,
    /// The lease of the last claim, and that claim's term.
    claimed: u64,
    until: Nanos,
    /// The last term for which a hold was in force: its lease may run out and go on.
    suspended: u64,
    /// When what runs must be gone; `Nanos::MAX` = never.
    due: Nanos,
    reported: bool,
}

/// The state of the invariant.
#[derive(Clone, Debug)]
pub struct LeaseBinds {
    cells: Table<Cell>,
    hold: Table<bool>,
    frozen: Vec<bool>,
    /// The least `due` of all cells where something runs: one comparison per event.
    next_due: Nanos,
}

impl LeaseBinds {
    /// Nothing runs.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            cells: Table::new(
                setup,
                Cell {
                    due: Nanos::MAX,
                    ..Cell::default()
                },
            ),
            hold: Table::new(setup, false),
            frozen: vec![false; setup.sites.len()],
            next_due: Nanos::MAX,
        }
    }

    /// Takes the next event.
    pub fn observe(&mut self, setup: &Setup, entry: &Entry, violations: &mut Violations) {
        if entry.at > self.next_due {
            self.report(setup, entry.at, violations);
        }
        match entry.event {
            Event::Held {
                ticket,
                site,
                term,
                until,
            } => {
                let budget = setup.tickets[usize::from(ticket)].stop_budget_ns;
                let cell = self.cells.cell_mut(ticket, site);
                let lapsed = cell.claimed == term && cell.until <= entry.at;
                if lapsed && cell.suspended != term {
                    violations.note(NAME, entry.at, ticket, || {
                        format!("site {site} claims term {term:#x} again after it had run out")
                    });
                }
                cell.until = until.unwrap_or(Nanos::MAX);
                cell.claimed = term;
                if cell.running != 0 && cell.term == term {
                    cell.due = cell.until.saturating_add(budget);
                    cell.reported = false;
                    self.refresh(setup);
                }
            }
            Event::Started {
                ticket,
                site,
                resource,
                term,
            } => {
                self.started(setup, entry.at, (ticket, site, resource, term), violations);
            }
            Event::Ended {
                ticket,
                site,
                resource,
            } => {
                let cell = self.cells.cell_mut(ticket, site);
                cell.running &= !(1 << (resource % 64));
                if cell.running == 0 {
                    cell.due = Nanos::MAX;
                    self.refresh(setup);
                }
            }
            Event::Hold { ticket, site, on } => {
                *self.hold.cell_mut(ticket, site) = on;
                // The deadline is in force again, and may be long over: swept at once.
                let earliest = entry.at.saturating_add(setup.kill_after_thaw_ns);
                let cell = self.cells.cell_mut(ticket, site);
                cell.due = cell.due.max(earliest);
                cell.suspended = cell.claimed;
                self.refresh(setup);
            }
            Event::Frozen { site } => {
                self.frozen[usize::from(site)] = true;
                self.refresh(setup);
            }
            Event::Thawed { site } => {
                self.frozen[usize::from(site)] = false;
                let earliest = entry.at.saturating_add(setup.kill_after_thaw_ns);
                for ticket in 0..setup.tickets.len() {
                    let cell = self.cells.cell_mut(ticket as TicketId, site);
                    cell.due = cell.due.max(earliest);
                }
                self.refresh(setup);
            }
            _ => {}
        }
    }

    /// Takes the end of the history.
    pub fn finish(&mut self, setup: &Setup, at: Nanos, violations: &mut Violations) {
        if at > self.next_due {
            self.report(setup, at, violations);
        }
    }

    fn started(
        &mut self,
        setup: &Setup,
        at: Nanos,
        (ticket, site, resource, term): (TicketId, Site, u16, u64),
        violations: &mut Violations,
    ) {
        let budget = setup.tickets[usize::from(ticket)].stop_budget_ns;
        let cell = self.cells.cell_mut(ticket, site);
        if cell.running != 0 && cell.term != term {
            violations.note(NAME, at, ticket, || {
                format!(
                    "site {site} starts under term {term:#x} what runs under {:#x}",
                    cell.term
                )
            });
        }
        if cell.claimed != term || cell.until <= at {
            violations.note(NAME, at, ticket, || {
                format!("site {site} starts a resource under term {term:#x} without a lease")
            });
        }
        cell.running |= 1 << (resource % 64);
        cell.term = term;
        cell.due = cell.until.saturating_add(budget);
        cell.reported = false;
        self.refresh(setup);
    }

    fn refresh(&mut self, setup: &Setup) {
        self.next_due = Nanos::MAX;
        for ticket in 0..setup.tickets.len() {
            let hold = self.hold.row(ticket as TicketId);
            for (site, cell) in self.cells.row(ticket as TicketId).iter().enumerate() {
                if cell.running != 0 && !cell.reported && !self.frozen[site] && !hold[site] {
                    self.next_due = self.next_due.min(cell.due);
                }
            }
        }
    }

    fn report(&mut self, setup: &Setup, at: Nanos, violations: &mut Violations) {
        for ticket in 0..setup.tickets.len() {
            let hold = self.hold.row(ticket as TicketId);
            for (site, cell) in self
                .cells
                .row_mut(ticket as TicketId)
                .iter_mut()
                .enumerate()
            {
                let counts =
                    cell.running != 0 && !cell.reported && !self.frozen[site] && !hold[site];
                if counts && at > cell.due {
                    cell.reported = true;
                    violations.note(NAME, at, ticket as TicketId, || {
                        format!(
                            "still runs at site {site} under term {:#x}, {} ns after lease and \
                             stop budget were over",
                            cell.term,
                            at - cell.due
                        )
                    });
                }
            }
        }
        self.refresh(setup);
    }
}
