//! All invariants over one history.

use crate::acknowledged::Acknowledged;
use crate::durable_first::DurableFirst;
use crate::fenced_store::FencedStore;
use crate::history::{Entry, Event, History, Nanos, Setup};
use crate::lease_binds::LeaseBinds;
use crate::liveness::Liveness;
use crate::one_holder::OneHolder;
use crate::one_owner::OneOwner;
use crate::one_site::OneSite;
use crate::term_grows::TermGrows;
use crate::violation::Violations;

/// Every invariant, fed event by event.
#[derive(Clone, Debug)]
pub struct Checker {
    setup: Setup,
    acknowledged: Acknowledged,
    durable_first: DurableFirst,
    fenced_store: FencedStore,
    lease_binds: LeaseBinds,
    liveness: Liveness,
    one_holder: OneHolder,
    one_owner: OneOwner,
    one_site: OneSite,
    term_grows: TermGrows,
    violations: Violations,
    last: Nanos,
}

impl Checker {
    /// Ready for the first event of a history.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            acknowledged: Acknowledged::new(&setup),
            durable_first: DurableFirst::new(&setup),
            fenced_store: FencedStore::new(&setup),
            lease_binds: LeaseBinds::new(&setup),
            liveness: Liveness::new(&setup),
            one_holder: OneHolder::new(&setup),
            one_owner: OneOwner::new(&setup),
            one_site: OneSite::new(&setup),
            term_grows: TermGrows::new(&setup),
            violations: Violations::default(),
            last: 0,
            setup,
        }
    }

    /// What the history is about.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Takes the next event.
    ///
    /// # Panics
    /// When time goes back or an index is not in the setup: a defect of who writes the history.
    pub fn observe(&mut self, at: Nanos, event: Event) {
        assert!(
            at >= self.last,
            "the history's clock went back from {} to {at}",
            self.last
        );
        self.last = at;
        let entry = Entry { at, event };
        let violations = &mut self.violations;
        if let Event::Stored { .. } | Event::Promised { .. } | Event::Accepted { .. } = event {
            self.durable_first.observe(&entry, violations);
            return;
        }
        self.acknowledged.observe(&entry, violations);
        self.durable_first.observe(&entry, violations);
        self.fenced_store.observe(&entry, violations);
        self.lease_binds.observe(&self.setup, &entry, violations);
        self.liveness.observe(&entry);
        self.one_holder.observe(&entry, violations);
        self.one_owner.observe(&entry, violations);
        self.one_site.observe(&self.setup, &entry, violations);
        self.term_grows.observe(&entry, violations);
    }

    /// Takes the end of the history: what is still due then is judged.
    pub fn finish(&mut self, at: Nanos) {
        self.lease_binds
            .finish(&self.setup, at, &mut self.violations);
        self.liveness.finish(&self.setup, at, &mut self.violations);
        self.one_owner.finish(&self.setup, at, &mut self.violations);
    }

    /// What was broken so far.
    #[must_use]
    pub fn violations(&self) -> &Violations {
        &self.violations
    }
}

/// Checks a whole history; its last entry is its end.
#[must_use]
pub fn check(history: &History) -> Violations {
    let mut checker = Checker::new(history.setup.clone());
    for entry in &history.entries {
        checker.observe(entry.at, entry.event);
    }
    checker.finish(history.entries.last().map_or(0, |entry| entry.at));
    checker.violations
}
