//! At no instant do two sites both hold the same ticket (promise 1).
//!
//! A claim lasts from its first [`Event::Held`] to the end of the lease, whatever happens to the
//! daemon that renewed it; only [`Event::Released`] ends it earlier. Claims of different recovery
//! epochs are an operator's forced grant and are not judged here.

use crate::history::{Entry, Event, Nanos, Setup, epoch_of};
use crate::table::Table;
use crate::violation::Violations;

const NAME: &str = "one_holder";

#[derive(Clone, Copy, Debug, Default)]
struct Claim {
    term: u64,
    /// 0 = no claim; `Nanos::MAX` = without end (manual).
    until: Nanos,
}

/// The state of the invariant.
#[derive(Clone, Debug)]
pub struct OneHolder {
    claims: Table<Claim>,
}

impl OneHolder {
    /// Nobody holds anything.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            claims: Table::new(setup, Claim::default()),
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
                let until = until.unwrap_or(Nanos::MAX);
                let claim = self.claims.cell_mut(ticket, site);
                *claim = Claim { term, until };
                if until <= entry.at {
                    return;
                }
                for (other, claim) in self.claims.row(ticket).iter().enumerate() {
                    let same_epoch = epoch_of(claim.term) == epoch_of(term);
                    if other != usize::from(site) && claim.until > entry.at && same_epoch {
                        violations.note(NAME, entry.at, ticket, || {
                            format!(
                                "site {site} holds term {term:#x} while site {other} holds term \
                                 {:#x} for another {} ns",
                                claim.term,
                                claim.until - entry.at
                            )
                        });
                    }
                }
            }
            Event::Released { ticket, site, term } => {
                let claim = self.claims.cell_mut(ticket, site);
                if claim.term == term {
                    claim.until = 0;
                }
            }
            _ => {}
        }
    }
}
