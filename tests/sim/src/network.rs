//! The network between members: datagrams that are lost, doubled, late, out of order, cut off.

use crate::dice::Dice;
use crate::faults::{Fault, Faults};

/// More members than any test uses; the matrix of links is this squared.
pub const MEMBERS_MAX: usize = 8;

/// How bad the network is when nothing is cut. All chances in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// A datagram is lost.
    pub loss_ppm: u32,
    /// A datagram comes twice, the second time late.
    pub duplicate_ppm: u32,
    /// A datagram is held back for much longer than the usual delay, so that others overtake it.
    pub straggle_ppm: u32,
    /// The least delay, in nanoseconds.
    pub delay_min_ns: u64,
    /// The usual delay above the least one, in nanoseconds (evenly up to twice that).
    pub delay_spread_ns: u64,
    /// How late a straggler may be, in nanoseconds: several leases.
    pub straggle_max_ns: u64,
}

impl Weather {
    /// A good network: one millisecond, nothing lost.
    pub const FINE: Self = Self {
        loss_ppm: 0,
        duplicate_ppm: 0,
        straggle_ppm: 0,
        delay_min_ns: 1_000_000,
        delay_spread_ns: 0,
        straggle_max_ns: 0,
    };
}

/// When the copies of one datagram arrive, as delays in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// The datagram itself, unless it is lost.
    pub first: Option<u64>,
    /// Its duplicate.
    pub second: Option<u64>,
}

/// The links between all members.
#[derive(Clone, Debug)]
pub struct Network {
    weather: Weather,
    /// Bit `to` of `cut[from]`: what `from` sends to `to` is dropped.
    cut: [u16; MEMBERS_MAX],
}

impl Network {
    /// Nothing is cut.
    #[must_use]
    pub fn new(weather: Weather) -> Self {
        Self {
            weather,
            cut: [0; MEMBERS_MAX],
        }
    }

    /// Changes the weather for what is sent from now on.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Cuts one direction.
    pub fn cut_one_way(&mut self, from: usize, to: usize) {
        self.cut[from] |= 1 << to;
    }

    /// Cuts both directions.
    pub fn cut(&mut self, a: usize, b: usize) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Lets both directions through again.
    pub fn mend(&mut self, a: usize, b: usize) {
        self.cut[a] &= !(1 << b);
        self.cut[b] &= !(1 << a);
    }

    /// Lets everything through again.
    pub fn mend_all(&mut self) {
        self.cut = [0; MEMBERS_MAX];
    }

    /// Whether that direction is cut.
    #[must_use]
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from] & (1 << to) != 0
    }

    /// Decides what becomes of one datagram.
    pub fn fate(&self, dice: &mut Dice, faults: &mut Faults, from: usize, to: usize) -> Fate {
        if self.is_cut(from, to) {
            faults.count(if self.is_cut(to, from) {
                Fault::DatagramCut
            } else {
                Fault::DatagramCutOneWay
            });
            return Fate::default();
        }
        let weather = &self.weather;
        if dice.chance(weather.loss_ppm) {
            faults.count(Fault::Loss);
            return Fate::default();
        }
        let mut delay = weather.delay_min_ns + dice.around(weather.delay_spread_ns);
        if dice.chance(weather.straggle_ppm) {
            faults.count(Fault::Straggler);
            delay += dice.below(weather.straggle_max_ns);
        }
        let second = dice.chance(weather.duplicate_ppm).then(|| {
            faults.count(Fault::Duplicate);
            delay + dice.below(weather.straggle_max_ns.max(weather.delay_spread_ns) + 1)
        });
        Fate {
            first: Some(delay),
            second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, Network, Weather};
    use crate::dice::Dice;
    use crate::faults::{Fault, Faults};

    #[test]
    fn a_one_way_cut_drops_one_direction_only() {
        let (mut dice, mut faults) = (Dice::new(1, 0), Faults::default());
        let mut network = Network::new(Weather::FINE);
        network.cut_one_way(0, 1);
        assert_eq!(network.fate(&mut dice, &mut faults, 0, 1), Fate::default());
        let through = Fate {
            first: Some(1_000_000),
            second: None,
        };
        assert_eq!(network.fate(&mut dice, &mut faults, 1, 0), through);
        assert_eq!(faults.of(Fault::DatagramCutOneWay), 1);
        network.mend(0, 1);
        assert_eq!(network.fate(&mut dice, &mut faults, 0, 1), through);
    }

    #[test]
    fn bad_weather_loses_doubles_and_delays() {
        let (mut dice, mut faults) = (Dice::new(1, 0), Faults::default());
        let network = Network::new(Weather {
            loss_ppm: 300_000,
            duplicate_ppm: 300_000,
            straggle_ppm: 300_000,
            straggle_max_ns: 1_000_000_000,
            ..Weather::FINE
        });
        for _ in 0..1_000 {
            network.fate(&mut dice, &mut faults, 0, 1);
        }
        for fault in [Fault::Loss, Fault::Duplicate, Fault::Straggler] {
            assert!(faults.of(fault) > 150, "{fault:?}");
        }
    }
}
