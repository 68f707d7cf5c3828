//! The one clock of the witness: nanoseconds on `CLOCK_MONOTONIC`, the same for every process here.

use std::fmt;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// An instant on `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mono(pub(crate) u64);

impl Mono {
    /// The clock's reading now.
    pub(crate) fn now() -> Self {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
        let secs = u64::try_from(tv_sec).unwrap_or(0);
        let nanos = u64::try_from(tv_nsec).unwrap_or(0);
        Self(secs * 1_000_000_000 + nanos)
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant, `span` later.
    pub(crate) fn plus(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// Processes that want a core and have none, for each core, over the last minute.
pub(crate) fn waiting_per_core() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    ((load - cores) / cores).max(0.0)
}

/// A duration as a person reads it: `412 ms`, `2.35 s`.
pub(crate) struct Human(pub(crate) Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos < 1_000_000 {
            write!(f, "{} µs", nanos / 1_000)
        } else if nanos < 1_000_000_000 {
            write!(f, "{} ms", nanos / 1_000_000)
        } else {
            write!(f, "{:.2} s", self.0.as_secs_f64())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_like_a_sentence() {
        assert_eq!(Human(Duration::from_micros(7)).to_string(), "7 µs");
        assert_eq!(Human(Duration::from_millis(412)).to_string(), "412 ms");
        assert_eq!(Human(Duration::from_millis(2_350)).to_string(), "2.35 s");
    }

    #[test]
    fn since_never_goes_below_zero() {
        assert_eq!(Mono(5).since(Mono(9)), Duration::ZERO);
        assert_eq!(Mono(9).since(Mono(5)), Duration::from_nanos(4));
    }
}
