//! `CLOCK_BOOTTIME`, as every process of a node reads it, and the boot's id.
//!
//! With the feature `test-clock` (never in a release package) two variables of the environment
//! change what a process reads: `INTERLOCK_TEST_CLOCK_PPM` makes its clock run faster or slower by
//! that many parts per million, counted from boot so that all processes with the same value agree.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// This node's clock for leases: `CLOCK_BOOTTIME` at its own rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BootClock {
    /// How much faster than the machine's this clock runs, in parts per million.
    rate_ppm: i64,
}

impl BootClock {
    /// The clock of this process; with `test-clock` its rate comes from the environment.
    ///
    /// # Errors
    /// The variable's text when it is not a whole number between -900 000 and 9 000 000.
    pub fn from_env() -> Result<Self, String> {
        if let Some(text) = std::env::var_os("INTERLOCK_TEST_CLOCK_PPM") {
            if cfg!(not(feature = "test-clock")) {
                return Err("INTERLOCK_TEST_CLOCK_PPM: this build has no test clock".into());
            }
            let text = text.to_string_lossy().into_owned();
            let rate_ppm = text
                .trim()
                .parse::<i64>()
                .ok()
                .filter(|ppm| (-900_000..=9_000_000).contains(ppm))
                .ok_or_else(|| {
                    format!("INTERLOCK_TEST_CLOCK_PPM={text}: write parts per million, as -9900")
                })?;
            return Ok(Self { rate_ppm });
        }
        Ok(Self::default())
    }

    /// Now, in nanoseconds.
    pub fn now_ns(self) -> u64 {
        self.reading(machine_now_ns())
    }

    /// The machine's `CLOCK_BOOTTIME` at which this clock reads `at_ns`: for timers.
    pub fn machine_ns(self, at_ns: u64) -> u64 {
        if self.rate_ppm == 0 {
            return at_ns;
        }
        let scaled = i128::from(at_ns) * 1_000_000 / (1_000_000 + i128::from(self.rate_ppm));
        // Rounded up: a timer that fires early would only be set again.
        u64::try_from(scaled).map_or(u64::MAX, |ns| ns.saturating_add(1))
    }

    fn reading(self, machine_ns: u64) -> u64 {
        let scaled = i128::from(machine_ns) * (1_000_000 + i128::from(self.rate_ppm)) / 1_000_000;
        u64::try_from(scaled).unwrap_or(0)
    }
}

/// `CLOCK_BOOTTIME` of the machine, in nanoseconds.
pub fn machine_now_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// A span as nanoseconds, the greatest number when it does not fit.
pub fn span_ns(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The id of this boot. Instants and terms recorded under another boot's id mean nothing.
///
/// # Errors
/// When the kernel does not tell; without it, count everything recorded as expired.
pub fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_and_the_boot_has_an_id() {
        let clock = BootClock::default();
        let first = clock.now_ns();
        assert!(clock.now_ns() >= first);
        assert_eq!(clock.machine_ns(first), first);
        assert!(!boot_id().unwrap().is_empty());
    }

    #[test]
    fn a_timer_at_a_scaled_instant_is_not_early() {
        for rate_ppm in [-9_900, 9_900, 30_000, -500_000] {
            let clock = BootClock { rate_ppm };
            for at_ns in [1, 1_000_003, 7_654_321_987_654_321] {
                assert!(
                    clock.reading(clock.machine_ns(at_ns)) >= at_ns,
                    "{rate_ppm} {at_ns}"
                );
            }
        }
    }
}
