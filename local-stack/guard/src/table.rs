//! What the guard holds: deadlines per (ticket, term), and when to act. No I/O, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stack_api::guard::{Arm, Deadline, Held, Hold, Holding, Process, TRACKED_MAX, Track};

/// Most (ticket, term) pairs that are remembered. A site has some hundred tickets at most; a peer
/// that names more is broken, and the memory is locked.
pub const HELD_MAX: usize = 4096;

/// Why a request changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A later term of this ticket is known.
    #[error("term {term} of ticket {ticket} is stale: term {known} is known")]
    Stale {
        /// The ticket.
        ticket: String,
        /// The term that came.
        term: u64,
        /// The greatest one known.
        known: u64,
    },
    /// The deadline has passed: a lapse is final.
    #[error("term {term} of ticket {ticket} is over: its deadline has passed")]
    Over {
        /// The ticket.
        ticket: String,
        /// The term.
        term: u64,
    },
    /// Nothing is known of this term.
    #[error("nothing is held for term {term} of ticket {ticket}")]
    Unknown {
        /// The ticket.
        ticket: String,
        /// The term.
        term: u64,
    },
    /// [`HELD_MAX`] or [`TRACKED_MAX`] is reached.
    #[error("more than {HELD_MAX} tickets and terms, or {TRACKED_MAX} processes of one")]
    Full,
    /// An empty marker, or one with a comma, would match what it should not.
    #[error("a marker must not be empty and has no comma, blank or zero byte")]
    Marker,
}

/// One (ticket, term).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The ticket.
    pub ticket: String,
    /// The term.
    pub term: u64,
    /// On `CLOCK_BOOTTIME`; only grows.
    pub deadline_ns: u64,
    /// Added to the deadline before the guard acts.
    pub stop_budget_ns: u64,
    /// Set while armed.
    pub marker: Option<String>,
    /// Killing proves nothing for what runs under it.
    pub reset: bool,
    /// Processes that belong to it although their environment may not tell.
    #[serde(default)]
    pub tracked: Vec<Process>,
    /// On hold: the deadline does not act.
    #[serde(default)]
    pub hold: bool,
    /// The deadline was seen to pass, or the guard was told to act.
    #[serde(default)]
    pub over: bool,
    /// Act at once, without a stop budget.
    #[serde(default)]
    pub fire: bool,
    /// Restored after a restart of the guard: its last deadline was not kept. A deadline from the
    /// agent makes it an ordinary one again; until then it counts as over.
    #[serde(default)]
    pub restored: bool,
}

impl Entry {
    /// When the guard acts; none while not armed or on hold.
    pub fn acts_at(&self) -> Option<u64> {
        if self.marker.is_none() || (self.hold && !self.fire) {
            None
        } else if self.fire {
            Some(0)
        } else {
            Some(self.deadline_ns.saturating_add(self.stop_budget_ns))
        }
    }

    fn lapse(&mut self, now_ns: u64) {
        if now_ns >= self.deadline_ns && !self.hold && !self.restored {
            self.over = true;
        }
    }
}

/// Every deadline that the guard knows.
#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<(String, u64), Entry>,
}

impl Table {
    /// Takes back what was armed before a restart of the guard within the same boot. The deadline that
    /// was kept is the one of the arming: while it lies ahead it counts; one that has passed counts as
    /// over unless the agent gives a later one within the stop budget.
    pub fn restore(entries: Vec<Entry>, now_ns: u64) -> Self {
        let mut table = Self::default();
        for mut entry in entries.into_iter().take(HELD_MAX) {
            entry.restored = !entry.over && entry.deadline_ns <= now_ns;
            entry.deadline_ns = entry.deadline_ns.max(now_ns);
            table
                .entries
                .insert((entry.ticket.clone(), entry.term), entry);
        }
        table
    }

    /// What has to survive a restart of the guard.
    pub fn armed(&self) -> Vec<Entry> {
        self.entries
            .values()
            .filter(|e| e.marker.is_some())
            .cloned()
            .collect()
    }

    /// Something is armed.
    pub fn is_armed(&self) -> bool {
        self.entries.values().any(|e| e.marker.is_some())
    }

    /// Markers under which something may run.
    pub fn markers(&self) -> impl Iterator<Item = &str> {
        self.entries.values().filter_map(|e| e.marker.as_deref())
    }

    /// The lease was taken or extended. Returns the deadline that counts.
    ///
    /// # Errors
    /// [`Refused`]; nothing was changed.
    pub fn deadline(&mut self, now_ns: u64, deadline: &Deadline) -> Result<u64, Refused> {
        let entry = self.admit(now_ns, &deadline.ticket, deadline.term)?;
        if deadline.deadline_ns > now_ns {
            entry.restored = false;
        }
        entry.deadline_ns = entry.deadline_ns.max(deadline.deadline_ns);
        Ok(entry.deadline_ns)
    }

    /// Arms one ticket and term. Returns the deadline that counts.
    ///
    /// # Errors
    /// [`Refused`]; nothing was changed.
    pub fn arm(&mut self, now_ns: u64, arm: &Arm) -> Result<u64, Refused> {
        let misleading = |c: char| c == ',' || c.is_whitespace() || c == '\0';
        if arm.marker.is_empty() || arm.marker.contains(misleading) {
            return Err(Refused::Marker);
        }
        let entry = self.admit(now_ns, &arm.ticket, arm.term)?;
        if entry.deadline_ns.max(arm.deadline_ns) <= now_ns {
            return Err(Refused::Over {
                ticket: arm.ticket.clone(),
                term: arm.term,
            });
        }
        if arm.deadline_ns > now_ns {
            entry.restored = false;
        }
        entry.deadline_ns = entry.deadline_ns.max(arm.deadline_ns);
        entry.stop_budget_ns = arm.stop_budget_ns;
        entry.marker = Some(arm.marker.clone());
        entry.reset = arm.reset;
        Ok(entry.deadline_ns)
    }

    /// The entry of a term that is neither stale nor over, made if it is new.
    fn admit(&mut self, now_ns: u64, ticket: &str, term: u64) -> Result<&mut Entry, Refused> {
        let known = self.greatest_term(ticket);
        if let Some(known) = known.filter(|known| *known > term) {
            return Err(Refused::Stale {
                ticket: ticket.to_owned(),
                term,
                known,
            });
        }
        if known != Some(term) {
            self.forget_idle(ticket);
            if self.entries.len() >= HELD_MAX {
                return Err(Refused::Full);
            }
        }
        let entry = self
            .entries
            .entry((ticket.to_owned(), term))
            .or_insert_with(|| Entry {
                ticket: ticket.to_owned(),
                term,
                // Not over yet: the caller gives the first deadline.
                deadline_ns: 0,
                stop_budget_ns: 0,
                marker: None,
                reset: false,
                tracked: Vec::new(),
                hold: false,
                over: false,
                fire: false,
                restored: false,
            });
        if entry.deadline_ns != 0 {
            entry.lapse(now_ns);
        }
        if entry.over {
            return Err(Refused::Over {
                ticket: ticket.to_owned(),
                term,
            });
        }
        Ok(entry)
    }

    /// Older terms of the ticket that hold nothing: a greater term replaces what they remember.
    fn forget_idle(&mut self, ticket: &str) {
        self.entries
            .retain(|(name, _), entry| name != ticket || entry.marker.is_some());
    }

    fn greatest_term(&self, ticket: &str) -> Option<u64> {
        let range = (ticket.to_owned(), 0)..=(ticket.to_owned(), u64::MAX);
        self.entries
            .range(range)
            .next_back()
            .map(|((_, term), _)| *term)
    }

    /// The marker to sweep before a disarm; none when the term is known but not armed.
    ///
    /// # Errors
    /// [`Refused::Unknown`].
    pub fn marker(&self, holding: &Holding) -> Result<Option<String>, Refused> {
        self.get(holding).map(|entry| entry.marker.clone())
    }

    fn get(&self, holding: &Holding) -> Result<&Entry, Refused> {
        self.entries
            .get(&(holding.ticket.clone(), holding.term))
            .ok_or_else(|| Refused::Unknown {
                ticket: holding.ticket.clone(),
                term: holding.term,
            })
    }

    fn get_mut(&mut self, holding: &Holding) -> Option<&mut Entry> {
        self.entries
            .get_mut(&(holding.ticket.clone(), holding.term))
    }

    /// Processes that belong to an armed term. Its marker.
    ///
    /// # Errors
    /// [`Refused`]: the term is not armed, or too many processes were named; nothing was changed.
    pub fn track(&mut self, track: &Track) -> Result<String, Refused> {
        let unknown = Refused::Unknown {
            ticket: track.ticket.clone(),
            term: track.term,
        };
        let holding = Holding {
            ticket: track.ticket.clone(),
            term: track.term,
        };
        let entry = self.get_mut(&holding).ok_or_else(|| unknown.clone())?;
        let marker = entry.marker.clone().ok_or(unknown)?;
        if entry.tracked.len() + track.processes.len() > TRACKED_MAX {
            return Err(Refused::Full);
        }
        entry.tracked.extend(&track.processes);
        Ok(marker)
    }

    /// Nothing runs under the term any more.
    pub fn disarm(&mut self, holding: &Holding) {
        if let Some(entry) = self.get_mut(holding) {
            entry.marker = None;
            entry.fire = false;
            entry.reset = false;
            entry.tracked.clear();
        }
    }

    /// A hold agreed by the majority begins or ends.
    ///
    /// # Errors
    /// [`Refused`]; nothing was changed. A term that is over cannot be put on hold.
    pub fn hold(&mut self, now_ns: u64, hold: &Hold) -> Result<(), Refused> {
        let holding = Holding {
            ticket: hold.ticket.clone(),
            term: hold.term,
        };
        self.get(&holding)?;
        let Some(entry) = self.get_mut(&holding) else {
            return Ok(());
        };
        entry.lapse(now_ns);
        if entry.over && hold.on {
            return Err(Refused::Over {
                ticket: holding.ticket,
                term: holding.term,
            });
        }
        entry.hold = hold.on;
        Ok(())
    }

    /// Acts at once on a term.
    ///
    /// # Errors
    /// [`Refused::Unknown`].
    pub fn fire(&mut self, holding: &Holding) -> Result<(), Refused> {
        self.get(holding)?;
        if let Some(entry) = self.get_mut(holding) {
            entry.over = true;
            entry.fire = true;
        }
        Ok(())
    }

    /// Acts at once on everything that is armed.
    pub fn fire_all(&mut self) {
        for entry in self.entries.values_mut().filter(|e| e.marker.is_some()) {
            entry.over = true;
            entry.fire = true;
        }
    }

    /// Armed terms on which the guard must act now.
    pub fn due(&mut self, now_ns: u64) -> Vec<Entry> {
        for entry in self.entries.values_mut() {
            entry.lapse(now_ns);
        }
        let due = |entry: &&mut Entry| entry.acts_at().is_some_and(|at| at <= now_ns);
        self.entries
            .values_mut()
            .filter(due)
            .map(|entry| {
                entry.over = true;
                entry.clone()
            })
            .collect()
    }

    /// When [`Table::due`] has to be asked next.
    pub fn next_timeout(&self) -> Option<u64> {
        self.next_timeout_except(|_| false)
    }

    /// The same without the terms that `known` names.
    pub fn next_timeout_except(&self, known: impl Fn(&Holding) -> bool) -> Option<u64> {
        self.entries
            .values()
            .filter(|entry| {
                !known(&Holding {
                    ticket: entry.ticket.clone(),
                    term: entry.term,
                })
            })
            .filter_map(Entry::acts_at)
            .min()
    }

    /// What is held, for [`stack_api::guard::Do::Query`].
    pub fn held(&mut self, now_ns: u64) -> Vec<Held> {
        for entry in self.entries.values_mut() {
            entry.lapse(now_ns);
        }
        self.entries
            .values()
            .map(|entry| Held {
                ticket: entry.ticket.clone(),
                term: entry.term,
                deadline_ns: entry.deadline_ns,
                armed: entry.marker.is_some(),
                marker: entry.marker.clone(),
                stop_budget_ns: entry.stop_budget_ns,
                hold: entry.hold,
                over: entry.over || entry.restored,
            })
            .collect()
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
