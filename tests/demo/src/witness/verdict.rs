//! From what was seen to what it means: overlap, gaps, and what a paused site did afterwards.
//!
//! Pure: instances in, verdict out.

use std::time::Duration;

use super::beats::Stretch;
use crate::clock::Mono;

/// One life of the service at one site, as far as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) site: String,
    pub(crate) pid: i32,
    pub(crate) term: u64,
    /// When it announced itself, before it served anything.
    pub(crate) started: Mono,
    /// When it began to answer requests.
    pub(crate) ready: Option<Mono>,
    /// When its process was gone: by its pidfd, or when its agent confirmed the stop.
    pub(crate) gone: Option<Mono>,
    /// Pauses of the whole site, guard included: since when, until when.
    pub(crate) frozen: Vec<(Mono, Option<Mono>)>,
    /// Its beats.
    pub(crate) stretches: Vec<Stretch>,
}

impl Instance {
    /// From when until when it ran; `now` stands for "still running".
    pub(crate) fn life(&self, now: Mono) -> (Mono, Mono) {
        let last_beat = self
            .stretches
            .last()
            .map_or(self.started, |stretch| stretch.last);
        // The pidfd is read by a thread that may run late, never early; a beat is proof of life.
        (self.started, self.gone.unwrap_or(now).max(last_beat))
    }

    /// The end of its life as far as `other` is concerned. Where the whole site was paused, guard
    /// included, and `other` started during that pause, what follows is judged by the store and by
    /// the time from resume to kill (see [`Verdict`]): no promise is made for a paused host.
    fn end_towards(&self, other: &Self, now: Mono) -> Mono {
        let end = self.life(now).1;
        self.frozen
            .iter()
            .find(|(since, until)| *since <= other.started && other.started <= until.unwrap_or(now))
            .map_or(end, |(since, _)| end.min(*since))
    }
}

/// Two lives at two sites at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    pub(crate) one: (String, u64),
    pub(crate) other: (String, u64),
    pub(crate) span: Duration,
}

/// A time without service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Last beat before.
    pub(crate) since: Mono,
    pub(crate) span: Duration,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// What the witness has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) overlaps: Vec<Overlap>,
    pub(crate) gaps: Vec<Gap>,
    /// How long a service went on after its whole site had been resumed while another served.
    pub(crate) after_resume: Vec<(String, Duration)>,
}

impl Verdict {
    /// Judges all lives seen until `now`.
    pub(crate) fn of(instances: &[Instance], now: Mono) -> Self {
        Self {
            overlaps: overlaps(instances, now),
            gaps: gaps(instances),
            after_resume: after_resume(instances, now),
        }
    }

    /// The sum of all overlaps: must be zero.
    pub(crate) fn overlap(&self) -> Duration {
        self.overlaps.iter().map(|overlap| overlap.span).sum()
    }

    /// The longest time without service.
    pub(crate) fn longest_gap(&self) -> Option<&Gap> {
        self.gaps.iter().max_by_key(|gap| gap.span)
    }
}

fn overlaps(instances: &[Instance], now: Mono) -> Vec<Overlap> {
    let mut found = Vec::new();
    for (index, one) in instances.iter().enumerate() {
        for other in &instances[index + 1..] {
            if one.site == other.site {
                continue;
            }
            let since = one.started.max(other.started);
            let until = one.end_towards(other, now).min(other.end_towards(one, now));
            let span = until.since(since);
            if !span.is_zero() {
                let name = |instance: &Instance| (instance.site.clone(), instance.term);
                found.push(Overlap {
                    one: name(one),
                    other: name(other),
                    span,
                });
            }
        }
    }
    found
}

/// Times between the last beat of one life and the first of another, or between two stretches of
/// beats of one life, in which nobody served.
fn gaps(instances: &[Instance]) -> Vec<Gap> {
    let mut all: Vec<(Stretch, &str)> = instances
        .iter()
        .flat_map(|instance| {
            instance
                .stretches
                .iter()
                .map(|stretch| (*stretch, instance.site.as_str()))
        })
        .collect();
    all.sort_by_key(|(stretch, _)| stretch.first);
    let mut found = Vec::new();
    let Some((first, site)) = all.first() else {
        return found;
    };
    let (mut last, mut from) = (first.last, *site);
    for (stretch, site) in &all[1..] {
        if stretch.first > last {
            found.push(Gap {
                since: last,
                span: stretch.first.since(last),
                from: from.into(),
                to: (*site).into(),
            });
        }
        if stretch.last > last {
            (last, from) = (stretch.last, site);
        }
    }
    found
}

fn after_resume(instances: &[Instance], now: Mono) -> Vec<(String, Duration)> {
    let mut found = Vec::new();
    for one in instances {
        for (since, until) in &one.frozen {
            let Some(resumed) = until else { continue };
            let superseded = instances.iter().any(|other| {
                other.site != one.site && other.started >= *since && other.started <= *resumed
            });
            if superseded {
                found.push((one.site.clone(), one.life(now).1.since(*resumed)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono(millis * 1_000_000)
    }

    fn life(site: &str, term: u64, from: u64, to: Option<u64>) -> Instance {
        let last = to.unwrap_or(10_000);
        Instance {
            site: site.into(),
            pid: 1,
            term,
            started: at(from),
            ready: Some(at(from + 2)),
            gone: to.map(at),
            frozen: Vec::new(),
            stretches: vec![Stretch {
                first: at(from + 2),
                last: at(last - 1),
            }],
        }
    }

    #[test]
    fn one_after_the_other_is_a_gap_and_no_overlap() {
        let verdict = Verdict::of(
            &[life("berlin", 1, 0, Some(100)), life("paris", 2, 150, None)],
            at(10_000),
        );
        assert_eq!(verdict.overlap(), Duration::ZERO);
        assert_eq!(verdict.gaps.len(), 1);
        assert_eq!(verdict.gaps[0].span, Duration::from_millis(53));
        assert_eq!(
            (verdict.gaps[0].from.as_str(), verdict.gaps[0].to.as_str()),
            ("berlin", "paris")
        );
    }

    #[test]
    fn two_lives_at_two_sites_overlap() {
        let verdict = Verdict::of(
            &[life("berlin", 1, 0, Some(200)), life("paris", 2, 150, None)],
            at(10_000),
        );
        assert_eq!(verdict.overlap(), Duration::from_millis(50));
    }

    #[test]
    fn a_restart_at_one_site_is_no_overlap() {
        let verdict = Verdict::of(
            &[
                life("berlin", 1, 0, Some(200)),
                life("berlin", 1, 190, None),
            ],
            at(10_000),
        );
        assert_eq!(verdict.overlap(), Duration::ZERO);
    }

    #[test]
    fn a_beat_after_the_exit_was_seen_still_counts_as_life() {
        let mut first = life("berlin", 1, 0, Some(100));
        first.stretches[0].last = at(160);
        let verdict = Verdict::of(&[first, life("paris", 2, 150, None)], at(10_000));
        assert_eq!(verdict.overlap(), Duration::from_millis(10));
    }

    #[test]
    fn a_service_paused_alone_still_counts_as_running() {
        let mut first = life("berlin", 1, 0, Some(500));
        first.stretches[0].last = at(50);
        let verdict = Verdict::of(&[first, life("paris", 2, 300, None)], at(10_000));
        assert_eq!(verdict.overlap(), Duration::from_millis(200));
    }

    #[test]
    fn a_paused_site_is_judged_from_resume_to_kill() {
        let mut first = life("berlin", 1, 0, Some(8_030));
        first.frozen.push((at(1_000), Some(at(8_000))));
        let second = life("paris", 2, 5_000, None);
        let verdict = Verdict::of(&[first.clone(), second], at(10_000));
        assert_eq!(verdict.overlap(), Duration::ZERO);
        assert_eq!(
            verdict.after_resume,
            [("berlin".to_owned(), Duration::from_millis(30))]
        );
        // Whoever starts after the resume finds the promise in force.
        let late = Verdict::of(&[first, life("paris", 2, 8_010, None)], at(10_000));
        assert_eq!(late.overlap(), Duration::from_millis(20));
    }
}
