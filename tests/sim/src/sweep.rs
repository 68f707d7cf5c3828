//! Many seeds, on several threads. Each seed is its own run, so the order does not matter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oracle::Violation;
use ticket_protocol::Rules;

use crate::faults::Faults;
use crate::plan::Plan;
use crate::report::Stats;
use crate::run::{Result, run};

/// A sweep stops after this many bad seeds: they are to be looked at first.
const BAD_SEEDS_MAX: usize = 20;

/// When a sweep ends: whichever comes first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bound {
    /// The seed after the last.
    pub end: Option<u64>,
    /// After this many events.
    pub events: Option<u64>,
    /// After this long.
    pub time: Option<Duration>,
}

/// What a sweep came to.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// All runs together.
    pub stats: Stats,
    /// All their faults.
    pub faults: Faults,
    /// The bad seeds, each with its first violation.
    pub bad: Vec<(u64, Violation)>,
    /// How long it took.
    pub took: Duration,
}

/// Runs seeds from `first` on until a bound is met. `tell` hears now and then how far it is.
#[must_use]
pub fn sweep(first: u64, bound: Bound, jobs: usize, tell: impl Fn(&Sweep) + Sync) -> Sweep {
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let total = Mutex::new(Sweep::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if bound.end.is_some_and(|end| seed >= end) {
                        return;
                    }
                    let result = run_guarded(Plan::from_seed(seed), Rules::default());
                    let mut total = total.lock().unwrap_or_else(|poison| poison.into_inner());
                    total.take(result);
                    total.took = begun.elapsed();
                    let enough = bound.events.is_some_and(|end| total.stats.events >= end)
                        || bound.time.is_some_and(|end| total.took >= end)
                        || total.bad.len() >= BAD_SEEDS_MAX;
                    if enough {
                        stop.store(true, Ordering::Relaxed);
                    }
                    tell(&total);
                }
            });
        }
    });
    let mut total = total
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    total.took = begun.elapsed();
    total.bad.sort_by_key(|(seed, _)| *seed);
    total
}

/// A run whose panic counts as a violation: the protocol's own assertions are oracles too.
pub(crate) fn run_guarded(plan: Plan, rules: Rules) -> Result {
    let seed = plan.seed;
    let outcome = catch_unwind(AssertUnwindSafe(|| run(plan, rules, true, false)));
    outcome.unwrap_or_else(|_| Result {
        seed,
        hash: 0,
        violations: vec![Violation {
            invariant: "panic",
            at: 0,
            ticket: 0,
            what: "an assertion failed; replay the seed to see it".to_owned(),
        }],
        stats: Stats::default(),
        faults: Faults::default(),
    })
}

impl Sweep {
    fn take(&mut self, result: Result) {
        self.stats.add(&result.stats);
        self.faults.add(&result.faults);
        if let Some(first) = result.violations.into_iter().next() {
            self.bad.push((result.seed, first));
        }
    }
}

/// Runs each seed twice; the seeds whose trace hashes differ.
#[must_use]
pub fn determinism(seeds: std::ops::Range<u64>) -> Vec<u64> {
    seeds
        .filter(|&seed| {
            let once = run(Plan::from_seed(seed), Rules::default(), false, false);
            let again = run(Plan::from_seed(seed), Rules::default(), false, false);
            once.hash != again.hash || once.stats != again.stats
        })
        .collect()
}
