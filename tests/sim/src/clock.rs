//! A machine's own clock (CLOCK_BOOTTIME): it begins anywhere, runs at its own rate, never back.

/// Nanoseconds of true time, which no member can see.
pub type True = u64;

/// Fixed point with 32 bits behind the point: exact and the same everywhere.
const ONE: u64 = 1 << 32;

/// One machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base_true: True,
    base_local: u64,
    rate: u64,
}

impl Clock {
    /// A clock that shows `local` at the true instant `at` and gains `ppm` parts per million.
    #[must_use]
    pub fn new(at: True, local: u64, ppm: i64) -> Self {
        Self {
            base_true: at,
            base_local: local,
            rate: rate(ppm),
        }
    }

    /// What the clock shows.
    #[must_use]
    pub fn local(&self, at: True) -> u64 {
        let passed = at - self.base_true;
        self.base_local + ((u128::from(passed) * u128::from(self.rate)) >> 32) as u64
    }

    /// The first true instant at which the clock shows `local` or more.
    #[must_use]
    pub fn true_at(&self, local: u64) -> True {
        let ahead = u128::from(local.saturating_sub(self.base_local));
        let rate = u128::from(self.rate);
        let passed = (ahead << 32).div_ceil(rate);
        self.base_true
            .saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// Changes the rate from now on.
    pub fn set_rate(&mut self, at: True, ppm: i64) {
        *self = Self::new(at, self.local(at), ppm);
    }
}

fn rate(ppm: i64) -> u64 {
    let delta = i128::from(ONE) * i128::from(ppm) / 1_000_000;
    u64::try_from(i128::from(ONE) + delta).expect("a clock's rate is above zero")
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn both_directions_agree() {
        for ppm in [-9_900, 0, 1, 9_900] {
            let clock = Clock::new(5_000, 77, ppm);
            for local in [77, 78, 1_000_003, 3_600_000_000_000] {
                let at = clock.true_at(local);
                assert!(clock.local(at) >= local);
                assert!(at == 5_000 || clock.local(at - 1) < local);
            }
        }
    }

    #[test]
    fn a_new_rate_keeps_the_reading() {
        let mut clock = Clock::new(0, 0, 10_000);
        assert_eq!(clock.local(1_000_000) / 100, 10_099);
        let before = clock.local(2_000_000);
        clock.set_rate(2_000_000, 0);
        assert_eq!(clock.local(2_000_000), before);
        assert_eq!(clock.local(3_000_000), before + 1_000_000);
    }
}
