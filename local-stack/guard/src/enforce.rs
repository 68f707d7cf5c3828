//! Ending what runs past its deadline, round by round. The caller gives the time and asks for the next
//! round; nothing here waits.

use std::collections::{BTreeMap, BTreeSet};

use stack_api::guard::{Event, Holding};

use crate::log;
use crate::processes::{ProcessId, Tracker};
use crate::reset::Reset;
use crate::table::{Entry, Table};

/// Pause between two rounds. A killed process takes some milliseconds to go, more if it is large.
const ROUND_NS: u64 = 20_000_000;

/// Rounds without an end before the guard calls it stuck: half a second is far more than the kernel
/// needs for anything that can be killed.
const ROUNDS_BEFORE_STUCK: u32 = 25;

/// Pause between two rounds once stuck: what sleeps in the kernel may still wake and be killed.
const STUCK_ROUND_NS: u64 = 1_000_000_000;

/// Empty scans in a row that prove the end. One could miss a child made while `/proc` was being read.
const EMPTY_SCANS: u32 = 2;

#[derive(Debug, Default)]
struct Firing {
    seen: BTreeSet<ProcessId>,
    rounds: u32,
    empty: u32,
    next_ns: u64,
}

/// The terms that are being ended.
#[derive(Debug, Default)]
pub struct Enforcer {
    firing: BTreeMap<Holding, Firing>,
}

impl Enforcer {
    /// When [`Enforcer::run`] has to be called next.
    pub fn next_timeout(&self, table: &Table) -> Option<u64> {
        let due = table.next_timeout_except(|holding| self.firing.contains_key(holding));
        let rounds = self.firing.values().map(|firing| firing.next_ns);
        rounds.chain(due).min()
    }

    /// Acts on everything that is due. Events go to subscribers; `true` beside them when something
    /// was disarmed.
    pub fn run(
        &mut self,
        now_ns: u64,
        table: &mut Table,
        tracker: &mut Tracker,
        reset: &mut Reset,
    ) -> (Vec<Event>, bool) {
        let mut events = Vec::new();
        let due = table.due(now_ns);
        // A hold or a disarm may have come since: what is not due any more is not being ended.
        self.firing
            .retain(|holding, _| due.iter().any(|entry| names(entry) == *holding));
        let mut disarmed = false;
        for entry in due {
            let firing = self.firing.entry(names(&entry)).or_default();
            if firing.next_ns > now_ns {
                continue;
            }
            match round(now_ns, firing, &entry, tracker) {
                Round::Goes => {}
                Round::Stuck(pids) => {
                    let outcome = reset.now();
                    complain(
                        &entry,
                        &format!("{} processes cannot be killed; {outcome}", pids.len()),
                    );
                    events.push(Event::Stuck {
                        ticket: entry.ticket,
                        term: entry.term,
                        pids,
                    });
                }
                Round::Done(pids) => {
                    complain(&entry, &format!("time is over; ended: {}", some(&pids)));
                    let killed = u32::try_from(pids.len()).unwrap_or(u32::MAX);
                    let unproven = entry.reset && {
                        complain(&entry, &reset_for(reset));
                        true
                    };
                    table.disarm(&names(&entry));
                    self.firing.remove(&names(&entry));
                    disarmed = true;
                    let (ticket, term) = (entry.ticket, entry.term);
                    events.push(Event::Fired {
                        ticket,
                        term,
                        killed,
                        unproven,
                    });
                }
            }
        }
        (events, disarmed)
    }
}

fn names(entry: &Entry) -> Holding {
    Holding {
        ticket: entry.ticket.clone(),
        term: entry.term,
    }
}

fn reset_for(reset: &mut Reset) -> String {
    let outcome = if reset.possible() {
        reset.now()
    } else {
        "no reset is permitted".to_owned()
    };
    format!("what runs there without a process cannot be proved to be gone: {outcome}")
}

fn complain(entry: &Entry, what: &str) {
    log::line(format!(
        "ticket {} term {}: {what}",
        entry.ticket, entry.term
    ));
}

/// Process numbers for a line, not all of a thousand.
fn some(pids: &[u32]) -> String {
    const SHOWN: usize = 16;
    let shown: Vec<String> = pids.iter().take(SHOWN).map(u32::to_string).collect();
    let more = if pids.len() > SHOWN { " ..." } else { "" };
    format!("{}{more}", shown.join(" "))
}

enum Round {
    Goes,
    Stuck(Vec<u32>),
    Done(Vec<u32>),
}

fn round(now_ns: u64, firing: &mut Firing, entry: &Entry, tracker: &mut Tracker) -> Round {
    let marker = entry.marker.as_deref().unwrap_or_default();
    firing.rounds = firing.rounds.saturating_add(1);
    firing.next_ns = now_ns + ROUND_NS;
    match tracker.kill(marker) {
        Ok(found) if found.is_empty() => {
            firing.empty += 1;
            if firing.empty >= EMPTY_SCANS {
                return Round::Done(firing.seen.iter().map(|id| id.pid).collect());
            }
            return Round::Goes;
        }
        Ok(found) => {
            firing.empty = 0;
            firing.seen.extend(found);
        }
        Err(error) => complain(entry, &format!("/proc: {error}")),
    }
    if firing.rounds < ROUNDS_BEFORE_STUCK {
        return Round::Goes;
    }
    firing.next_ns = now_ns + STUCK_ROUND_NS;
    Round::Stuck(firing.seen.iter().map(|id| id.pid).collect())
}
