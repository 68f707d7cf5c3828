//! Every random choice of a run comes from here: one seed, one run.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// Chances are given in parts per million, as integers: floating point would make the choice
/// depend on the machine.
pub const CERTAIN_PPM: u32 = 1_000_000;

/// A seeded source of choices.
#[derive(Clone, Debug)]
pub struct Dice {
    rng: ChaCha8Rng,
}

impl Dice {
    /// The same seed and stream give the same choices. Streams keep the plan of a run, its network
    /// and its operator apart, so that a change of one does not move all others.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng }
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high half of a product: no division, and the bias is far below what a test can see.
        ((u128::from(self.rng.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from).saturating_add(1))
    }

    /// True with a chance of so many parts per million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && (self.rng.next_u32() as u64 * u64::from(CERTAIN_PPM)) >> 32 < u64::from(ppm)
    }

    /// One of two, evenly.
    pub fn coin(&mut self) -> bool {
        self.rng.next_u32() & 1 == 0
    }

    /// An index of a list of that length (which must not be empty).
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A waiting time around `mean`: evenly from 0 to twice the mean, which is bounded, unlike an
    /// exponential one, and needs no floating point.
    pub fn around(&mut self, mean: u64) -> u64 {
        self.below(mean.saturating_mul(2).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn one_seed_gives_one_run() {
        let (mut a, mut b) = (Dice::new(7, 1), Dice::new(7, 1));
        assert!((0..100).all(|_| a.any() == b.any()));
        assert_ne!(Dice::new(7, 1).any(), Dice::new(7, 2).any());
    }

    #[test]
    fn chances_and_bounds_are_kept() {
        let mut dice = Dice::new(1, 0);
        let hits = (0..100_000).filter(|_| dice.chance(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!(!dice.chance(0));
        assert!((0..1_000).all(|_| dice.chance(1_000_000)));
        assert!((0..1_000).all(|_| (3..=5).contains(&dice.between(3, 5))));
        assert!((0..1_000).all(|_| dice.around(10) <= 20));
        assert_eq!(dice.below(0), 0);
    }
}
