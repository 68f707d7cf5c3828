//! `CLOCK_BOOTTIME`, as every process of a node reads it, and the boot's id.
//!
//! With the feature `test-clock` (never in a release package) two variables of the environment
//! change what a process reads: `INTERLOCK_TEST_CLOCK_PPM` makes its clock run faster or slower by
//! that many parts per million, counted from boot so that all processes with the same value agree;
//! `INTERLOCK_TEST_CLOCK_STEP` names a file with the seconds by which its real-time clock is ahead.

use std::ffi::OsString;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

const RATE_VARIABLE: &str = "INTERLOCK_TEST_CLOCK_PPM";
const STEP_VARIABLE: &str = "INTERLOCK_TEST_CLOCK_STEP";

/// This node's clocks: `CLOCK_BOOTTIME` for leases, at its own rate, and the real time of a
/// configuration's rules, on which no lease depends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BootClock {
    /// How much faster than the machine's this clock runs, in parts per million.
    rate_ppm: i64,
    /// The file with the seconds by which the real-time clock is ahead. Lives as long as the
    /// process, as its clock does.
    step: Option<&'static str>,
}

/// A variable of the test clock, refused by a build without one.
fn test_setting(name: &str) -> Result<Option<String>, String> {
    let text: Option<OsString> = std::env::var_os(name);
    if text.is_some() && cfg!(not(feature = "test-clock")) {
        return Err(format!("{name}: this build has no test clock"));
    }
    Ok(text.map(|text| text.to_string_lossy().into_owned()))
}

impl BootClock {
    /// The clock of this process; with `test-clock` its rate and steps come from the environment.
    ///
    /// # Errors
    /// The variable's text when it is not a whole number between -900 000 and 9 000 000.
    pub fn from_env() -> Result<Self, String> {
        let step = test_setting(STEP_VARIABLE)?.map(|path| &*path.leak());
        let Some(text) = test_setting(RATE_VARIABLE)? else {
            return Ok(Self { rate_ppm: 0, step });
        };
        let rate_ppm = text
            .trim()
            .parse::<i64>()
            .ok()
            .filter(|ppm| (-900_000..=9_000_000).contains(ppm))
            .ok_or_else(|| format!("{RATE_VARIABLE}={text}: write parts per million, as -9900"))?;
        Ok(Self { rate_ppm, step })
    }

    /// The real time, in seconds since 1970; 0 before.
    pub fn wall_s(self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let ahead = self
            .step
            .and_then(|path| std::fs::read_to_string(path).ok())
            .and_then(|text| text.trim().parse::<i64>().ok())
            .unwrap_or(0);
        i64::try_from(since.as_secs())
            .unwrap_or(i64::MAX)
            .saturating_add(ahead)
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
    fn the_real_time_steps_and_the_leases_clock_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("step");
        std::fs::write(&path, "-3600\n").unwrap();
        let stepped = BootClock {
            rate_ppm: 0,
            step: Some(path.display().to_string().leak()),
        };
        let behind = BootClock::default().wall_s() - stepped.wall_s();
        assert!((3_500..=3_600).contains(&behind), "{behind}");
        let before = BootClock::default().now_ns();
        assert!(stepped.now_ns() >= before);
    }

    #[test]
    fn a_timer_at_a_scaled_instant_is_not_early() {
        for rate_ppm in [-9_900, 9_900, 30_000, -500_000] {
            let clock = BootClock {
                rate_ppm,
                step: None,
            };
            for at_ns in [1, 1_000_003, 7_654_321_987_654_321] {
                assert!(
                    clock.reading(clock.machine_ns(at_ns)) >= at_ns,
                    "{rate_ppm} {at_ns}"
                );
            }
        }
    }
}
