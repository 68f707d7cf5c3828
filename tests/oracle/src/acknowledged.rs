//! Nothing acknowledged is forgotten (promise 5), seen from the operator's side.
//!
//! * A revoke that was reported done has ended the holder's claim and everything that ran, and the
//!   ticket comes back only by a grant or move that was asked after the revoke was asked.
//! * A grant that was reported done was a claim of that site.

use crate::history::{Answer, Ask, Entry, Event, Nanos, Setup, Site, TicketId, epoch_of};
use crate::table::Table;
use crate::violation::Violations;

const NAME: &str = "acknowledged";

/// Requests without an answer that are remembered; a simulated operator has far fewer.
const OPEN_MAX: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Open {
    request: u64,
    ticket: TicketId,
    ask: Ask,
    asked: Nanos,
    /// When the first of the grants and moves was asked that had no answer yet when this was
    /// asked: they are concurrent with it, and either order is as good as the other.
    since: Nanos,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    term: u64,
    until: Nanos,
    claimed: Nanos,
    running: u64,
    /// What runs was found past its lease when its site was resumed: `lease_binds` judges how fast
    /// it is gone.
    stale: bool,
}

/// A revoke that was reported done, in force until a later grant.
#[derive(Clone, Copy, Debug)]
struct Revoked {
    asked: Nanos,
    done: Nanos,
    /// Agreed only: this term, or an older one, may run until its holder hears of it.
    may_run: u64,
    /// The recovery epoch of what was revoked.
    epoch: u64,
}

/// The state of the invariant.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    cells: Table<Cell>,
    frozen: Vec<bool>,
    open: Vec<Open>,
    /// Grants and moves with an unknown outcome: they may take effect at any later time.
    unknown: Vec<Open>,
    revoked: Vec<Option<Revoked>>,
    /// Whether a hold was ever agreed: its lease does not end, which a claim cannot say.
    hold: Vec<bool>,
    /// When the last grant or move that was reported done had been asked, by ticket.
    granted: Vec<Nanos>,
}

impl Acknowledged {
    /// Nothing asked.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            cells: Table::new(setup, Cell::default()),
            frozen: vec![false; setup.sites.len()],
            open: Vec::with_capacity(OPEN_MAX),
            unknown: Vec::with_capacity(OPEN_MAX),
            revoked: vec![None; setup.tickets.len()],
            hold: vec![false; setup.tickets.len()],
            granted: vec![0; setup.tickets.len()],
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
                self.held(entry.at, ticket, site, (term, until), violations);
            }
            Event::Released { ticket, site, term } => {
                let cell = self.cells.cell_mut(ticket, site);
                if cell.term == term {
                    cell.until = cell.until.min(entry.at);
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
                let cell = self.cells.cell_mut(ticket, site);
                cell.running &= !(1 << (resource % 64));
                cell.stale &= cell.running != 0;
            }
            Event::Hold {
                ticket, on: true, ..
            } => self.hold[usize::from(ticket)] = true,
            Event::Frozen { site } => self.frozen[usize::from(site)] = true,
            Event::Thawed { site } => self.thaw(entry.at, site),
            Event::Asked {
                request,
                ticket,
                ask,
            } => {
                if self.open.len() == OPEN_MAX {
                    let oldest = self.open.remove(0);
                    self.unknown(oldest);
                }
                let at = entry.at;
                let under_way = |other: &&Open| {
                    let grants = matches!(other.ask, Ask::Grant { .. } | Ask::Move { .. });
                    other.ticket == ticket && grants
                };
                let grants = self.open.iter().filter(under_way);
                let since = grants.map(|other| other.asked).fold(at, Nanos::min);
                self.open.push(Open {
                    request,
                    ticket,
                    ask,
                    asked: at,
                    since,
                });
            }
            Event::Answered {
                request,
                answer,
                term,
            } => self.answered(entry.at, request, (answer, term), violations),
            _ => {}
        }
    }

    fn thaw(&mut self, at: Nanos, site: Site) {
        self.frozen[usize::from(site)] = false;
        for ticket in 0..self.revoked.len() {
            let cell = self.cells.cell_mut(ticket as TicketId, site);
            cell.stale = cell.running != 0 && cell.until <= at;
        }
    }

    fn unknown(&mut self, one: Open) {
        if matches!(one.ask, Ask::Grant { .. } | Ask::Move { .. }) {
            if self.unknown.len() == OPEN_MAX {
                self.unknown.remove(0);
            }
            self.unknown.push(one);
        }
    }

    fn held(
        &mut self,
        at: Nanos,
        ticket: TicketId,
        site: Site,
        (term, until): (u64, Option<Nanos>),
        violations: &mut Violations,
    ) {
        let before = *self.cells.cell(ticket, site);
        *self.cells.cell_mut(ticket, site) = Cell {
            term,
            until: until.unwrap_or(Nanos::MAX),
            claimed: at,
            ..before
        };
        let Some(revoked) = self.revoked[usize::from(ticket)] else {
            return;
        };
        if term <= revoked.may_run {
            return;
        }
        let goes_on = before.term == term && before.until > at;
        if goes_on && epoch_of(term) < revoked.epoch {
            // Left behind by a forced grant, it never ceased to claim: neither did the revoke end
            // that (see `revoke_done`), nor does it come back now.
            return;
        }
        let allows = |one: &Open| {
            one.ticket == ticket
                && one.asked >= revoked.asked
                && matches!(one.ask, Ask::Grant { .. } | Ask::Move { .. })
        };
        if self.open.iter().any(allows) || self.unknown.iter().any(allows) {
            self.revoked[usize::from(ticket)] = None;
            return;
        }
        self.revoked[usize::from(ticket)] = None;
        violations.note(NAME, at, ticket, || {
            format!(
                "site {site} holds term {term:#x} although the revoke asked at {} ns was \
                 reported done at {} ns and no grant was asked since",
                revoked.asked, revoked.done
            )
        });
    }

    fn answered(
        &mut self,
        at: Nanos,
        request: u64,
        (answer, term): (Answer, u64),
        violations: &mut Violations,
    ) {
        let Some(index) = self.open.iter().position(|one| one.request == request) else {
            return;
        };
        let one = self.open.remove(index);
        match answer {
            Answer::Refused => {}
            Answer::Unknown => self.unknown(one),
            Answer::Agreed => self.revoke_agreed(at, one, term),
            Answer::Done => match one.ask {
                Ask::Revoke => self.revoke_done(at, one, term, violations),
                Ask::Grant { to } => {
                    self.regranted(one);
                    let cell = self.cells.cell(one.ticket, to);
                    let hold = self.hold[usize::from(one.ticket)];
                    if cell.claimed < one.asked && cell.until < one.asked && !hold {
                        violations.note(NAME, at, one.ticket, || {
                            format!("a grant to site {to} was reported done, but it held nothing")
                        });
                    }
                }
                Ask::Move { .. } => self.regranted(one),
                Ask::Standby { .. } => {}
            },
        }
    }

    /// A grant or move that is done replaces every revoke asked before it.
    fn regranted(&mut self, one: Open) {
        let ticket = usize::from(one.ticket);
        self.granted[ticket] = self.granted[ticket].max(one.asked);
        if self.revoked[ticket].is_some_and(|revoked| revoked.asked <= one.asked) {
            self.revoked[ticket] = None;
        }
    }

    /// Whether a grant or move asked after this revoke, or beside it, may already have replaced it.
    fn replaced(&self, one: Open) -> bool {
        let later = |other: &Open| {
            other.ticket == one.ticket
                && other.asked >= one.since
                && matches!(other.ask, Ask::Grant { .. } | Ask::Move { .. })
        };
        let granted = self.granted[usize::from(one.ticket)] >= one.since;
        granted || self.open.iter().any(later) || self.unknown.iter().any(later)
    }

    fn revoke_agreed(&mut self, at: Nanos, one: Open, may_run: u64) {
        if one.ask != Ask::Revoke || self.replaced(one) {
            return;
        }
        let asked = one.since;
        self.revoked[usize::from(one.ticket)] = Some(Revoked {
            asked,
            done: at,
            may_run,
            epoch: epoch_of(may_run),
        });
    }

    fn revoke_done(&mut self, at: Nanos, one: Open, term: u64, violations: &mut Violations) {
        if self.replaced(one) {
            return;
        }
        let row = self.cells.row(one.ticket);
        // A forced grant counts also where its site never came to claim it.
        let epoch = row.iter().map(|cell| epoch_of(cell.term)).max();
        let epoch = epoch.unwrap_or(0).max(epoch_of(term));
        for (site, cell) in row.iter().enumerate() {
            if epoch_of(cell.term) != epoch {
                // Left behind by a forced grant: the operator's own doing.
                continue;
            }
            let runs = cell.running != 0 && !cell.stale && !self.frozen[site];
            if cell.until > at || runs {
                violations.note(NAME, at, one.ticket, || {
                    format!(
                        "a revoke was reported done while site {site} {} (term {:#x})",
                        if runs {
                            "still runs it"
                        } else {
                            "still holds it"
                        },
                        cell.term
                    )
                });
            }
        }
        let asked = one.since;
        self.revoked[usize::from(one.ticket)] = Some(Revoked {
            asked,
            done: at,
            may_run: 0,
            epoch,
        });
    }
}
