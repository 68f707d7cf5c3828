//! Tickets: which lease is in force, what the guard is armed for, under which term each resource was
//! started. The scheduler's grants come from here and from nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{GuardHeld, Holding, Kept, Lease};

/// Tickets of this node.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    leases: BTreeMap<String, Lease>,
    /// Greatest term of each ticket whose deadline was seen to pass: a lapse is final.
    lapsed: BTreeMap<String, u64>,
    guard_up: bool,
    /// The daemon is going: nothing starts any more.
    closed: bool,
    armed: BTreeSet<Holding>,
    asked_to_arm: BTreeSet<Holding>,
    asked_to_disarm: BTreeSet<Holding>,
    /// Why the guard would not be armed.
    refused: BTreeMap<Holding, String>,
    /// Gated resources that left no process when they were started (an address, a mount).
    without_process: BTreeSet<String>,
    /// Manual tickets that only an earlier daemon was told of: enough to keep what runs, too little
    /// to start what does not. Somebody else may have them by now.
    unconfirmed: BTreeSet<String>,
    /// Terms under which resources were started.
    started: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Gate {
    /// What a restarted daemon goes on with until the agent speaks: leases that the guard still holds,
    /// and manual tickets under which something may still run.
    pub(crate) fn restore(kept: Kept, held: &[GuardHeld]) -> Self {
        let mut gate = Self::default();
        for (resource, terms) in kept.started {
            gate.started.insert(resource, terms.into_iter().collect());
        }
        gate.without_process = kept.without_process.into_iter().collect();
        gate.armed = held.iter().map(|held| held.holding.clone()).collect();
        // It has just answered; if it goes, that is told like any other time.
        gate.guard_up = !held.is_empty();
        let mut manual = kept.manual;
        manual.retain(|(ticket, _)| gate.started_with(ticket).next().is_some());
        gate.unconfirmed = manual.iter().map(|(ticket, _)| ticket.clone()).collect();
        let manual = manual
            .into_iter()
            .map(|(ticket, term)| (ticket, term, None));
        let held = held.iter().map(|held| {
            let Holding { ticket, term } = held.holding.clone();
            (ticket, term, Some(held.deadline_ns))
        });
        for (ticket, term, deadline_ns) in manual.chain(held) {
            let known = gate
                .leases
                .get(&ticket)
                .is_some_and(|lease| lease.term >= term);
            if !known {
                let lease = Lease {
                    ticket: ticket.clone(),
                    term,
                    granted: true,
                    deadline_ns,
                    ..Lease::default()
                };
                gate.leases.insert(ticket, lease);
            }
        }
        gate
    }

    pub(crate) fn kept(&self) -> Kept {
        let manual = |lease: &&Lease| lease.granted && lease.deadline_ns.is_none();
        let terms = |terms: &BTreeMap<String, u64>| {
            terms
                .iter()
                .map(|(ticket, term)| (ticket.clone(), *term))
                .collect()
        };
        Kept {
            failures: Vec::new(),
            without_process: self.without_process.iter().cloned().collect(),
            started: self
                .started
                .iter()
                .map(|(r, t)| (r.clone(), terms(t)))
                .collect(),
            manual: self
                .leases
                .values()
                .filter(manual)
                .map(|lease| (lease.ticket.clone(), lease.term))
                .collect(),
        }
    }

    pub(crate) fn lease(&self, ticket: &str) -> Option<&Lease> {
        self.leases.get(ticket)
    }

    pub(crate) fn tickets(&self) -> impl Iterator<Item = &str> {
        self.leases.keys().map(String::as_str)
    }

    /// Takes a lease unless a newer one is known; `true` when something changed. One whose deadline has
    /// passed before it came (a word that waited for this daemon's start) is not held, and not a lapse
    /// either: it never was in force here. Expire what is known first.
    pub(crate) fn accept(&mut self, mut lease: Lease, boot_ns: u64) -> bool {
        if let Some(known) = self.leases.get(&lease.ticket) {
            if (lease.term, lease.generation) < (known.term, known.generation) {
                return false;
            }
            if lease.term == known.term && lease.deadline_ns.is_some() {
                lease.deadline_ns = lease.deadline_ns.max(known.deadline_ns);
            }
        }
        if self
            .lapsed
            .get(&lease.ticket)
            .is_some_and(|lapsed| lease.term <= *lapsed)
        {
            lease.granted = false;
        }
        if lease
            .deadline_ns
            .is_some_and(|deadline| deadline <= boot_ns)
        {
            lease.granted = false;
        }
        self.unconfirmed.remove(&lease.ticket);
        let changed = self.leases.get(&lease.ticket) != Some(&lease);
        self.leases.insert(lease.ticket.clone(), lease);
        changed
    }

    /// Ends the leases whose deadline has passed; returns them.
    pub(crate) fn expire(&mut self, boot_ns: u64) -> Vec<Holding> {
        let mut ended = Vec::new();
        for lease in self.leases.values_mut().filter(|lease| lease.granted) {
            if lease
                .deadline_ns
                .is_some_and(|deadline| deadline <= boot_ns)
            {
                lease.granted = false;
                let holding = Holding {
                    ticket: lease.ticket.clone(),
                    term: lease.term,
                };
                self.lapsed.insert(holding.ticket.clone(), holding.term);
                ended.push(holding);
            }
        }
        ended
    }

    /// The lease in force has ended here, and no word about its term revives it.
    pub(crate) fn is_lapsed(&self, ticket: &str) -> bool {
        let lapsed = self.lapsed.get(ticket);
        self.leases
            .get(ticket)
            .is_some_and(|l| lapsed.is_some_and(|lapsed| l.term <= *lapsed))
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.leases
            .values()
            .filter(|lease| lease.granted)
            .filter_map(|lease| lease.deadline_ns)
            .min()
    }

    /// The lease is valid and nobody asked for its dependents to stop.
    pub(crate) fn wants_dependents(&self, ticket: &str) -> bool {
        self.leases
            .get(ticket)
            .is_some_and(|lease| lease.granted && !lease.standby && !lease.stop)
    }

    /// What runs under this lease would be ended at its deadline.
    pub(crate) fn is_covered(&self, ticket: &str) -> bool {
        self.leases.get(ticket).is_some_and(|lease| {
            let holding = Holding {
                ticket: lease.ticket.clone(),
                term: lease.term,
            };
            lease.deadline_ns.is_none() || self.armed.contains(&holding)
        })
    }

    /// Dependents may be started or promoted now.
    pub(crate) fn is_open(&self, ticket: &str, boot_ns: u64) -> bool {
        let current = |lease: &Lease| lease.deadline_ns.is_none_or(|deadline| deadline > boot_ns);
        !self.closed
            && self.wants_dependents(ticket)
            && self.is_covered(ticket)
            && self.leases.get(ticket).is_some_and(current)
    }

    pub(crate) fn guard_came(&mut self, armed: BTreeSet<Holding>) {
        self.guard_up = true;
        self.armed = armed;
        self.asked_to_arm.clear();
        self.asked_to_disarm.clear();
        self.refused.clear();
    }

    pub(crate) fn guard_went(&mut self) {
        *self = Self {
            guard_up: false,
            armed: BTreeSet::new(),
            asked_to_arm: BTreeSet::new(),
            asked_to_disarm: BTreeSet::new(),
            refused: BTreeMap::new(),
            ..std::mem::take(self)
        };
    }

    /// Nothing starts under any ticket from here on.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_guard_up(&self) -> bool {
        self.guard_up
    }

    /// The term to arm the guard for, once.
    pub(crate) fn ask_to_arm(&mut self, ticket: &str) -> Option<(Holding, u64)> {
        let lease = self.leases.get(ticket)?;
        let holding = Holding {
            ticket: ticket.to_owned(),
            term: lease.term,
        };
        let deadline_ns = lease.deadline_ns?;
        let wanted = self.guard_up
            && !self.closed
            && self.wants_dependents(ticket)
            && !self.armed.contains(&holding)
            && !self.refused.contains_key(&holding);
        (wanted && self.asked_to_arm.insert(holding.clone())).then_some((holding, deadline_ns))
    }

    /// The same for a term that the guard is armed for, because something about it has changed.
    pub(crate) fn ask_to_arm_again(&mut self, ticket: &str) -> Option<(Holding, u64)> {
        let lease = self.leases.get(ticket)?;
        let holding = Holding {
            ticket: ticket.to_owned(),
            term: lease.term,
        };
        let deadline_ns = lease.deadline_ns?;
        let wanted = self.guard_up && self.armed.contains(&holding);
        (wanted && self.asked_to_arm.insert(holding.clone())).then_some((holding, deadline_ns))
    }

    /// Whether a gated resource has a process that can be killed; `true` when that is news.
    pub(crate) fn note_process(&mut self, resource: &str, has_process: bool) -> bool {
        if has_process {
            self.without_process.remove(resource)
        } else {
            self.without_process.insert(resource.to_owned())
        }
    }

    pub(crate) fn has_no_process(&self, resource: &str) -> bool {
        self.without_process.contains(resource)
    }

    pub(crate) fn armed(&mut self, holding: &Holding, result: Result<(), String>) {
        if !self.asked_to_arm.remove(holding) || !self.guard_up {
            return;
        }
        match result {
            Ok(()) => {
                self.armed.insert(holding.clone());
            }
            Err(reason) => {
                self.refused.insert(holding.clone(), reason);
            }
        }
    }

    /// Terms for which the guard is armed and nothing is going to start.
    pub(crate) fn idle_armed(&self) -> Vec<Holding> {
        let idle = |holding: &&Holding| {
            let current = self
                .leases
                .get(&holding.ticket)
                .is_some_and(|l| l.term == holding.term);
            self.closed || !current || !self.wants_dependents(&holding.ticket)
        };
        self.armed.iter().filter(idle).cloned().collect()
    }

    pub(crate) fn ask_to_disarm(&mut self, holding: &Holding) -> bool {
        self.asked_to_disarm.insert(holding.clone())
    }

    /// The guard has not answered yet.
    pub(crate) fn is_disarming(&self) -> bool {
        !self.asked_to_disarm.is_empty()
    }

    pub(crate) fn disarmed(&mut self, holding: &Holding, done: bool) {
        self.asked_to_disarm.remove(holding);
        if done {
            self.armed.remove(holding);
        }
    }

    /// The guard has ended everything under the term.
    pub(crate) fn fired(&mut self, holding: &Holding) {
        self.armed.remove(holding);
        self.asked_to_disarm.remove(holding);
        let lapsed = self.lapsed.entry(holding.ticket.clone()).or_default();
        *lapsed = (*lapsed).max(holding.term);
        let lease = self.leases.get_mut(&holding.ticket);
        if let Some(lease) = lease.filter(|lease| lease.term <= holding.term) {
            lease.granted = false;
        }
    }

    pub(crate) fn is_armed(&self, ticket: &str) -> bool {
        self.armed.iter().any(|holding| holding.ticket == ticket)
    }

    pub(crate) fn all_armed(&self) -> impl Iterator<Item = &Holding> {
        self.armed.iter()
    }

    pub(crate) fn refusal(&self, ticket: &str) -> Option<&str> {
        let lease = self.leases.get(ticket)?;
        let holding = Holding {
            ticket: ticket.to_owned(),
            term: lease.term,
        };
        self.refused.get(&holding).map(String::as_str)
    }

    /// Notes the terms that a resource is started under; `true` when that is news.
    pub(crate) fn note_started(&mut self, resource: &str, gates: &[Holding]) -> bool {
        if gates.is_empty() {
            return false;
        }
        let terms = self.started.entry(resource.to_owned()).or_default();
        let before = terms.clone();
        terms.extend(gates.iter().map(|gate| (gate.ticket.clone(), gate.term)));
        *terms != before
    }

    /// The resource is stopped; `true` when something was noted.
    pub(crate) fn note_stopped(&mut self, resource: &str) -> bool {
        let noted = self.started.remove(resource).is_some();
        let runs = |ticket: &String| {
            self.started
                .values()
                .any(|terms| terms.contains_key(ticket))
        };
        let idle: Vec<String> = self
            .unconfirmed
            .iter()
            .filter(|t| !runs(t))
            .cloned()
            .collect();
        for ticket in idle {
            self.unconfirmed.remove(&ticket);
            self.leases.remove(&ticket);
        }
        noted
    }

    /// The resource is demoted: it does not run under this ticket any more.
    pub(crate) fn note_demoted(&mut self, resource: &str, ticket: &str) -> bool {
        self.started
            .get_mut(resource)
            .is_some_and(|terms| terms.remove(ticket).is_some())
    }

    pub(crate) fn started_under(&self, resource: &str) -> Vec<Holding> {
        let terms = self.started.get(resource).into_iter().flatten();
        terms
            .map(|(ticket, term)| Holding {
                ticket: ticket.clone(),
                term: *term,
            })
            .collect()
    }

    pub(crate) fn term_of(&self, resource: &str, ticket: &str) -> Option<u64> {
        self.started.get(resource)?.get(ticket).copied()
    }

    /// Resources that were started under this ticket, whatever the configuration says now.
    pub(crate) fn started_with(&self, ticket: &str) -> impl Iterator<Item = &str> {
        self.started
            .iter()
            .filter(move |(_, terms)| terms.contains_key(ticket))
            .map(|(resource, _)| resource.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(term: u64, generation: u64, deadline_ns: u64) -> Lease {
        Lease {
            ticket: "t".into(),
            term,
            generation,
            granted: true,
            deadline_ns: Some(deadline_ns),
            ..Lease::default()
        }
    }

    #[test]
    fn a_lapse_is_final_and_an_older_word_does_not_count() {
        let mut gate = Gate::default();
        assert!(gate.accept(lease(5, 1, 100), 1));
        assert!(!gate.accept(lease(4, 9, 900), 1), "an older term");
        assert!(gate.accept(
            Lease {
                stop: true,
                ..lease(5, 2, 100)
            },
            1
        ));
        assert!(!gate.accept(lease(5, 1, 200), 1), "an older generation");
        assert_eq!(gate.expire(99), []);
        assert_eq!(gate.expire(100).len(), 1);
        gate.accept(lease(5, 3, 500), 1);
        assert!(!gate.wants_dependents("t"), "late");
        gate.accept(lease(6, 0, 500), 1);
        assert!(gate.wants_dependents("t"));
    }

    #[test]
    fn open_only_while_the_guard_is_armed_for_this_term() {
        let mut gate = Gate::default();
        gate.accept(lease(5, 1, 100), 1);
        assert_eq!(gate.ask_to_arm("t"), None, "no guard");
        gate.guard_came(BTreeSet::new());
        let (holding, deadline) = gate.ask_to_arm("t").unwrap();
        assert_eq!((holding.term, deadline), (5, 100));
        assert_eq!(gate.ask_to_arm("t"), None, "asked already");
        assert!(!gate.is_open("t", 1));
        gate.armed(&holding, Ok(()));
        assert!(gate.is_open("t", 1));
        assert!(!gate.is_open("t", 100));
        gate.guard_went();
        assert!(!gate.is_open("t", 1));
        gate.armed(&holding, Ok(()));
        assert!(!gate.is_open("t", 1), "an answer of the guard before");
    }

    #[test]
    fn a_manual_ticket_needs_no_guard() {
        let mut gate = Gate::default();
        gate.accept(
            Lease {
                deadline_ns: None,
                ..lease(5, 1, 0)
            },
            1,
        );
        assert!(gate.is_open("t", u64::MAX));
        assert_eq!(gate.kept().manual, [("t".to_owned(), 5)]);
    }

    #[test]
    fn an_earlier_daemons_word_for_a_manual_ticket_keeps_and_does_not_start() {
        let manual = Lease {
            deadline_ns: None,
            ..lease(5, 1, 0)
        };
        let mut before = Gate::default();
        before.accept(manual.clone(), 1);
        assert!(
            !Gate::restore(before.kept(), &[]).is_open("t", 1),
            "nothing ran"
        );
        let gates = [Holding {
            ticket: "t".into(),
            term: 5,
        }];
        before.note_started("web", &gates);
        let mut next = Gate::restore(before.kept(), &[]);
        assert!(next.is_open("t", 1), "it may still run, and is kept");
        next.note_stopped("web");
        assert!(!next.is_open("t", 1), "it does not run");
        next.accept(manual, 1);
        assert!(next.is_open("t", 1), "the agent's word of today");
    }
}
