//! A table of one cell per ticket and site.

use crate::history::{Setup, Site, TicketId};

/// Cells by (ticket, site). Indexes outside of the setup are a defect of the witness: they panic.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    sites: usize,
    cells: Vec<T>,
}

impl<T: Clone> Table<T> {
    pub(crate) fn new(setup: &Setup, empty: T) -> Self {
        let sites = setup.sites.len();
        Self {
            sites,
            cells: vec![empty; sites * setup.tickets.len()],
        }
    }

    pub(crate) fn cell(&self, ticket: TicketId, site: Site) -> &T {
        &self.cells[usize::from(ticket) * self.sites + usize::from(site)]
    }

    pub(crate) fn cell_mut(&mut self, ticket: TicketId, site: Site) -> &mut T {
        &mut self.cells[usize::from(ticket) * self.sites + usize::from(site)]
    }

    /// The cells of one ticket, by site.
    pub(crate) fn row(&self, ticket: TicketId) -> &[T] {
        let start = usize::from(ticket) * self.sites;
        &self.cells[start..start + self.sites]
    }

    pub(crate) fn row_mut(&mut self, ticket: TicketId) -> &mut [T] {
        let start = usize::from(ticket) * self.sites;
        &mut self.cells[start..start + self.sites]
    }
}
