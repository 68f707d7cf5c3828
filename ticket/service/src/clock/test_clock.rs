//! A clock with a rate and steps of its own, for laboratory scenarios.

use super::{NANOS_PER_SECOND, TEST_CLOCK_PPM};

const MILLION: u128 = 1_000_000;

/// How this process's clocks differ from the kernel's.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestClock {
    /// Microseconds of this clock in a second of the kernel's.
    micros_per_second: u128,
    /// The file with the seconds by which the real-time clock is ahead. Lives as long as the
    /// process, as its clock does.
    step: Option<&'static str>,
}

impl TestClock {
    pub(super) fn new(ppm: Option<&str>, step: Option<String>) -> Result<Self, String> {
        let micros_per_second = match ppm {
            None => MILLION,
            Some(text) => text
                .parse::<i32>()
                .ok()
                .and_then(|ppm| u128::try_from(1_000_000 + i64::from(ppm)).ok())
                .filter(|micros| *micros > 0)
                .ok_or_else(|| {
                    format!("{TEST_CLOCK_PPM}: {text:?}; write parts per million, such as -9900")
                })?,
        };
        Ok(Self {
            micros_per_second,
            step: step.map(|path| &*path.leak()),
        })
    }

    pub(super) fn local(&self, raw: u64) -> u64 {
        let scaled = u128::from(raw) * self.micros_per_second / MILLION;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }

    pub(super) fn raw(&self, local: u64) -> u64 {
        let raw = (u128::from(local) * MILLION).div_ceil(self.micros_per_second);
        u64::try_from(raw).unwrap_or(u64::MAX)
    }

    pub(super) fn realtime(&self, raw: u64) -> u64 {
        let seconds = self
            .step
            .and_then(|path| std::fs::read_to_string(path).ok())
            .and_then(|text| text.trim().parse::<i64>().ok())
            .unwrap_or(0);
        raw.saturating_add_signed(seconds.saturating_mul(NANOS_PER_SECOND.cast_signed()))
    }
}
