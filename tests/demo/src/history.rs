//! The history of a run in the oracle's words, so that the simulator's judge reads real runs too.
//!
//! Starts, ends and pauses are the witness's and exact. Claims are the sites' own words, sampled
//! every look, so a claim's end may be known one renewal late: the judge is given that much room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oracle::{Answer, Ask, Entry, Event, History, Setup, TicketSetup};

use crate::clock::Mono;
use crate::observer::Claim;
use crate::settings::{SITES, Settings, TICKET};
use crate::witness::Sight;
use crate::witness::verdict::Instance;

/// A look and what a busy machine adds to it: the claims are that much behind.
const LOOK_ROOM: Duration = Duration::from_millis(600);

/// How soon after a whole site was resumed its stale service must be gone. The guard is late at once
/// when it wakes up; what remains is the scheduler of the machine.
pub(crate) const KILL_AFTER_RESUME_MAX: Duration = Duration::from_millis(500);

/// Entries of one run: a script of an hour with a claim every look stays below it.
const ENTRIES_MAX: usize = 200_000;

/// What was recorded while the run went on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    entries: Vec<Entry>,
    refused: BTreeSet<u64>,
    standby: Vec<u16>,
    /// Sites whose claim is on hold.
    held_up: BTreeSet<u16>,
    requests: u64,
    /// Each site's last claim: when, which term, until when.
    last: BTreeMap<u16, (Mono, u64, Mono)>,
}

impl Record {
    fn add(&mut self, at: Mono, event: Event) {
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(Entry { at: at.0, event });
        }
    }

    /// A site's word. Since its last word it may have renewed its lease unseen until `alive`.
    pub(crate) fn claim(&mut self, at: Mono, claim: &Claim, alive: Mono, lease: Duration) {
        let Some(site) = index(&claim.site) else {
            return;
        };
        if let Some(bridge) = self.bridge(at, site, claim, alive.plus(lease), lease) {
            self.entries.push(bridge);
        }
        if claim.hold != self.held_up.contains(&site) {
            if claim.hold {
                self.held_up.insert(site);
            } else {
                self.held_up.remove(&site);
            }
            let on = claim.hold;
            self.add(
                at,
                Event::Hold {
                    ticket: 0,
                    site,
                    on,
                },
            );
        }
        let until = claim.until.map(|until| until.0);
        self.add(
            at,
            Event::Held {
                ticket: 0,
                site,
                term: claim.term,
                until,
            },
        );
        let marked = self.standby.contains(&site);
        if claim.standby != marked {
            self.standby.retain(|known| *known != site);
            if claim.standby {
                self.standby.push(site);
            }
            self.add(
                at,
                Event::StandbyMark {
                    ticket: 0,
                    site,
                    on: claim.standby,
                },
            );
        }
    }

    /// What the last look missed: a lease renewed before the end that was known of it. `latest` is
    /// the end of the last renewal that nobody may have seen. Only where the lease seen now began
    /// later did the site claim again what it had lost, and the judge is to say so.
    fn bridge(
        &mut self,
        at: Mono,
        site: u16,
        claim: &Claim,
        latest: Mono,
        lease: Duration,
    ) -> Option<Entry> {
        let until = claim.until?;
        let (seen, term, known) = self.last.insert(site, (at, claim.term, until))?;
        // Leases are counted on a clock that may differ by the bound of 1 %.
        let began = Mono(until.since(Mono::default().plus(lease)).as_nanos() as u64);
        let renewed = began <= latest.plus(lease / 100);
        (term == claim.term && known <= at && renewed).then_some(Entry {
            at: seen.0,
            event: Event::Held {
                ticket: 0,
                site,
                term,
                until: Some(at.0 + 1),
            },
        })
    }

    /// The site's own word is that it holds nothing: what it claims later began later.
    pub(crate) fn disowned(&mut self, at: Mono, claim: &Claim) {
        if let Some(site) = index(&claim.site) {
            self.last.remove(&site);
        }
        self.released(at, claim);
    }

    /// A site holds no longer what it held, or cannot be asked any more.
    pub(crate) fn released(&mut self, at: Mono, claim: &Claim) {
        let Some(site) = index(&claim.site) else {
            return;
        };
        self.add(
            at,
            Event::Released {
                ticket: 0,
                site,
                term: claim.term,
            },
        );
        if self.standby.contains(&site) {
            self.standby.retain(|known| *known != site);
            self.add(
                at,
                Event::StandbyMark {
                    ticket: 0,
                    site,
                    on: false,
                },
            );
        }
    }

    /// What the witness saw besides lives.
    pub(crate) fn sight(&mut self, sight: &Sight) {
        match sight {
            Sight::Serving { at, site, term, .. } => self.wrote(*at, site, *term, true),
            Sight::Refused { at, site, term, .. } => {
                if self.refused.insert(*term) {
                    self.wrote(*at, site, *term, false);
                }
            }
            Sight::Gone { .. } | Sight::Action { .. } => {}
        }
    }

    fn wrote(&mut self, at: Mono, site: &str, term: u64, accepted: bool) {
        if let Some(site) = index(site) {
            self.add(
                at,
                Event::Wrote {
                    ticket: 0,
                    site,
                    term,
                    accepted,
                },
            );
        }
    }

    /// Whether a refusal of this term was seen already.
    pub(crate) fn refused_before(&self, term: u64) -> bool {
        self.refused.contains(&term)
    }

    /// A command of the operator and what its exit code said.
    pub(crate) fn command(&mut self, asked: Mono, arguments: &[String], code: Option<i32>) {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ask = match words.as_slice() {
            ["grant", _, "--to", site, ..] => index(site).map(|to| Ask::Grant { to }),
            ["move", _, "--to", site, ..] => index(site).map(|to| Ask::Move { to }),
            ["revoke", ..] => Some(Ask::Revoke),
            ["standby", ..] => Some(Ask::Standby { on: true }),
            ["activate", ..] => Some(Ask::Standby { on: false }),
            _ => None,
        };
        let Some(ask) = ask else { return };
        self.requests += 1;
        let request = self.requests;
        // Timeout (124) leaves what was decided in force: for the judge it may still happen.
        let answer = match code {
            Some(0) => Answer::Done,
            Some(112 | 124) | None => Answer::Unknown,
            Some(_) => Answer::Refused,
        };
        self.add(
            asked,
            Event::Asked {
                request,
                ticket: 0,
                ask,
            },
        );
        let term = 0;
        self.add(
            Mono::now(),
            Event::Answered {
                request,
                answer,
                term,
            },
        );
    }

    /// The claim under which a life began. A look sees it a little after the service is up; what it
    /// says was true at the start. Where no look saw it, it is taken to have ended with the life.
    fn claim_at_start(&self, settings: &Settings, site: u16, life: &Instance, now: Mono) -> Entry {
        // The first look after the start, or else the last one before it.
        let (mut before, mut after) = (None, None);
        for entry in &self.entries {
            match entry.event {
                Event::Held {
                    site: claimer,
                    term,
                    until,
                    ..
                } if claimer == site && term == life.term => {
                    if entry.at <= life.started.0 {
                        before = Some(until);
                    } else {
                        after = after.or(Some(until));
                    }
                }
                _ => {}
            }
        }
        let seen = after.or(before);
        let (started, ended) = life.life(now);
        let lease = (!settings.manual).then(|| ended.min(started.plus(settings.lease)).0);
        let until = seen.unwrap_or(lease);
        let event = Event::Held {
            ticket: 0,
            site,
            term: life.term,
            until,
        };
        Entry {
            at: started.0,
            event,
        }
    }

    /// The whole history: what was recorded, and the lives that the witness saw.
    /// `late`: by how much a busy machine may have held everything back.
    pub(crate) fn history(
        &self,
        settings: &Settings,
        lives: &[Instance],
        late: Duration,
    ) -> History {
        let now = Mono::now();
        let mut entries = self.entries.clone();
        for life in lives {
            let Some(site) = index(&life.site) else {
                continue;
            };
            let (started, ended) = life.life(now);
            entries.push(self.claim_at_start(settings, site, life, now));
            let event = Event::Started {
                ticket: 0,
                site,
                resource: 0,
                term: life.term,
            };
            entries.push(Entry {
                at: started.0,
                event,
            });
            if life.gone.is_some() {
                entries.push(Entry {
                    at: ended.0,
                    event: Event::Ended {
                        ticket: 0,
                        site,
                        resource: 0,
                    },
                });
            }
            for (since, until) in &life.frozen {
                entries.push(Entry {
                    at: since.0,
                    event: Event::Frozen { site },
                });
                if let Some(until) = until {
                    entries.push(Entry {
                        at: until.0,
                        event: Event::Thawed { site },
                    });
                }
            }
        }
        entries.sort_by_key(|entry| entry.at);
        History {
            setup: setup(settings, late),
            entries,
        }
    }
}

fn setup(settings: &Settings, late: Duration) -> Setup {
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    // A renewal comes after a third to half of the lease; the sample may miss the last one.
    let room = settings.lease / 2 + LOOK_ROOM + late;
    Setup {
        sites: SITES.map(str::to_owned).into(),
        tickets: vec![TicketSetup {
            name: TICKET.into(),
            manual: settings.manual,
            stop_budget_ns: nanos(settings.stop_budget + room),
            liveness_bound_ns: nanos(3 * (settings.lease + settings.acquire_after)),
        }],
        kill_after_thaw_ns: nanos(KILL_AFTER_RESUME_MAX + late),
    }
}

fn index(site: &str) -> Option<u16> {
    SITES
        .iter()
        .position(|known| *known == site)
        .and_then(|index| u16::try_from(index).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(site: &str, term: u64, from: u64, to: u64) -> Instance {
        Instance {
            site: site.into(),
            term,
            started: Mono(from),
            gone: Some(Mono(to)),
            ..Instance::default()
        }
    }

    #[test]
    fn a_lease_that_came_back_is_seen_and_a_late_look_is_not_one() {
        let lease = Duration::from_nanos(100);
        let settings = Settings {
            lease,
            ..Settings::default()
        };
        let claim = |until| Claim {
            site: "berlin".into(),
            term: 1,
            until: Some(Mono(until)),
            standby: false,
            hold: false,
        };
        // The agent was alive, or ended, until `alive`; the next lease seen ends at `until`.
        let judged = |alive, until, disowned| {
            let mut record = Record::default();
            record.claim(Mono(1_000), &claim(1_090), Mono(1_000), lease);
            if disowned {
                record.disowned(Mono(1_100), &claim(1_090));
            }
            record.claim(Mono(1_200), &claim(until), Mono(alive), lease);
            oracle::check(&record.history(&settings, &[], Duration::ZERO)).is_empty()
        };
        assert!(judged(1_200, 1_290, false), "alive and only not looked at");
        assert!(judged(1_050, 1_249, false), "resumed before the end");
        assert!(
            !judged(1_050, 1_290, false),
            "ended before it can have renewed"
        );
        assert!(!judged(1_200, 1_290, true), "it said that it holds nothing");
    }

    #[test]
    fn the_oracle_sees_an_overlap_of_two_lives() {
        let settings = Settings {
            lease: Duration::from_nanos(100),
            ..Settings::default()
        };
        let good = [life("berlin", 1, 0, 100), life("paris", 2, 101, 200)];
        let history = Record::default().history(&settings, &good, Duration::ZERO);
        assert!(oracle::check(&history).is_empty());
        let bad = [life("berlin", 1, 0, 100), life("paris", 2, 50, 200)];
        let history = Record::default().history(&settings, &bad, Duration::ZERO);
        assert!(!oracle::check(&history).is_empty());
    }
}
