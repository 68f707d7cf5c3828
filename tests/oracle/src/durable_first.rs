//! No effect before it is durable (promise 5): a member answers a new ballot or a new value only
//! after what it answers is on its disk; what it proposes itself its own acceptor has stored first.
//!
//! An answer is covered when the disk has that very (ballot, seq) or a later one. Renewals write
//! nothing and say nothing new; they are not among the answers judged here.

use crate::history::{Entry, Event, Setup, TicketId};
use crate::violation::Violations;

const NAME: &str = "durable_first";

/// More members than a cluster may have (12 bits of site and then some would be absurd).
const MEMBERS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Disk {
    promised: u64,
    accepted: u64,
    seq: u32,
}

/// The state of the invariant.
#[derive(Clone, Debug)]
pub struct DurableFirst {
    tickets: usize,
    disks: Vec<Disk>,
}

impl DurableFirst {
    /// Nothing stored.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        let tickets = setup.tickets.len();
        Self {
            tickets,
            disks: vec![Disk::default(); tickets * MEMBERS_MAX],
        }
    }

    fn disk_mut(&mut self, member: u16, ticket: TicketId) -> &mut Disk {
        &mut self.disks[usize::from(member) * self.tickets + usize::from(ticket)]
    }

    /// Takes the next event.
    pub fn observe(&mut self, entry: &Entry, violations: &mut Violations) {
        match entry.event {
            Event::Stored {
                member,
                ticket,
                promised,
                accepted,
                seq,
            } => {
                *self.disk_mut(member, ticket) = Disk {
                    promised,
                    accepted,
                    seq,
                };
            }
            Event::Forgot { member } => {
                let start = usize::from(member) * self.tickets;
                self.disks[start..start + self.tickets].fill(Disk::default());
            }
            Event::Promised {
                member,
                ticket,
                ballot,
            } => {
                let disk = *self.disk_mut(member, ticket);
                if disk.promised < ballot {
                    violations.note(NAME, entry.at, ticket, || {
                        format!(
                            "member {member} promised ballot {ballot:#x} while its disk has \
                             {:#x}",
                            disk.promised
                        )
                    });
                }
            }
            Event::Accepted {
                member,
                ticket,
                ballot,
                seq,
            } => {
                let disk = *self.disk_mut(member, ticket);
                let covered = (disk.accepted, disk.seq) >= (ballot, seq);
                if !covered {
                    violations.note(NAME, entry.at, ticket, || {
                        format!(
                            "member {member} accepted ballot {ballot:#x} seq {seq} while its disk \
                             has ballot {:#x} seq {}",
                            disk.accepted, disk.seq
                        )
                    });
                }
            }
            _ => {}
        }
    }
}
