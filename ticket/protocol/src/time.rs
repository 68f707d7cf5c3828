//! Time as the protocol sees it: readings of one member's own clock.

use core::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A reading of this member's `CLOCK_BOOTTIME`, in nanoseconds since its boot.
///
/// Readings of different members are never compared: only spans travel between members.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(pub u64);

impl Time {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than every reading: what never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// This time plus `span`; stops at [`Time::NEVER`] instead of overflowing.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long it is from `earlier` to this time; zero if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:09}s",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000
        )
    }
}

/// `span` stretched by `ppm` parts per million and rounded up: span times (1 + rho).
#[must_use]
pub fn stretched(span: Duration, ppm: u32) -> Duration {
    let nanos = span.as_nanos();
    let extra = (nanos * u128::from(ppm)).div_ceil(1_000_000);
    Duration::from_nanos(u64::try_from(nanos + extra).unwrap_or(u64::MAX))
}

/// `span` in whole milliseconds, rounded up; `u32::MAX` (49 days) if longer.
#[must_use]
pub fn whole_millis(span: Duration) -> u32 {
    u32::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}
