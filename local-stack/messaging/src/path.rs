//! The paths to one peer, one per network: which works, which is used.
//!
//! Every heartbeat travels on every path, so a cut network accuses nobody; everything else takes the
//! path that is in use. A path works while beats come in on it and say that ours arrive there too: a
//! network that is cut one way is of no use. Three missed beats end it, long before the membership
//! suspects anybody.

use std::time::Duration;

use membership::{NodeId, Time};
use stack_client::words;

use crate::frame::{Packer, Unpacker};
use crate::seal::Outbound;
use crate::wire::Beat;

/// Smallest datagram that any path carries (QUIC's own minimum, RFC 9000, section 14).
pub(crate) const NARROW_BYTES: usize = 1_200;
/// Beats missed before a path is out of use.
const MISSED_BEATS: u32 = 3;
/// A path with a higher priority is taken again after it worked for this long: a flapping one would
/// change the path at every flap.
const PROVEN_AFTER: Duration = Duration::from_secs(1);
/// A path on which no full datagram arrived for this long, though beats do, is a narrow one.
const NARROW_AFTER: Duration = Duration::from_secs(2);

/// How the paths of a pair of nodes are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The best one that works carries everything.
    Passive,
    /// All that work carry everything: a lost packet costs no time, every packet is sent often.
    Active,
}

/// One path.
pub(crate) struct Path {
    pub(crate) key: Option<Outbound>,
    pub(crate) packer: Packer,
    pub(crate) unpacker: Unpacker,
    pub(crate) counters: words::LinkCounters,
    priority: u8,
    /// A whole datagram of this network, in bytes.
    pub(crate) wide_bytes: usize,
    /// The last beat: when it came, and the peer's clock in it.
    beat: Option<(Time, u64)>,
    peer_hears: bool,
    up_since: Option<Time>,
    round_trip: Option<Duration>,
    wide_came: Option<Time>,
    wide_told: Option<Time>,
}

impl Path {
    fn new(priority: u8, wide_bytes: usize) -> Self {
        Self {
            key: None,
            packer: Packer::new(wide_bytes),
            unpacker: Unpacker::default(),
            counters: words::LinkCounters::default(),
            priority,
            wide_bytes,
            beat: None,
            peer_hears: false,
            up_since: None,
            round_trip: None,
            wide_came: None,
            wide_told: None,
        }
    }

    fn hears(&self, now: Time, patience: Duration) -> bool {
        self.beat.is_some_and(|(at, _)| now.since(at) < patience)
    }

    fn works(&self, now: Time, patience: Duration) -> bool {
        self.key.is_some() && self.peer_hears && self.hears(now, patience)
    }

    /// A datagram of this size came.
    pub(crate) fn came(&mut self, now: Time, bytes: usize) {
        self.counters.received += 1;
        self.counters.received_bytes += bytes as u64;
        if bytes > NARROW_BYTES {
            self.wide_came = Some(now);
        }
    }
}

/// What changed, for the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) peer: NodeId,
    pub(crate) network: usize,
    pub(crate) up: bool,
}

/// All paths to one peer.
pub(crate) struct Paths {
    peer: NodeId,
    mode: Mode,
    patience: Duration,
    pub(crate) paths: Vec<Path>,
    used: Option<usize>,
    /// Times that another path had to be taken.
    pub(crate) failovers: u64,
}

impl Paths {
    /// `networks`: priority and datagram size of each; `None` where the peer has no address.
    pub(crate) fn new(
        peer: NodeId,
        mode: Mode,
        beat_every: Duration,
        networks: impl Iterator<Item = (u8, usize)>,
    ) -> Self {
        Self {
            peer,
            mode,
            patience: beat_every * MISSED_BEATS + beat_every / 2,
            paths: networks
                .map(|(priority, bytes)| Path::new(priority, bytes))
                .collect(),
            used: None,
            failovers: 0,
        }
    }

    /// What to tell the peer on a path now.
    pub(crate) fn beat(&self, now: Time, network: usize) -> Beat {
        let path = &self.paths[network];
        let (echo, kept) = path.beat.map_or((0, 0), |(at, sent)| {
            (
                sent,
                u64::try_from(now.since(at).as_nanos()).unwrap_or(u64::MAX),
            )
        });
        Beat {
            sent: now.0,
            echo,
            kept,
            hears: path.hears(now, self.patience),
            wide: path
                .wide_came
                .is_some_and(|at| now.since(at) < NARROW_AFTER),
        }
    }

    /// The peer's beat.
    pub(crate) fn heard(&mut self, now: Time, network: usize, beat: Beat) {
        let Some(path) = self.paths.get_mut(network) else {
            return;
        };
        path.beat = Some((now, beat.sent));
        path.peer_hears = beat.hears;
        if beat.echo != 0 && beat.echo <= now.0 {
            let trip = Duration::from_nanos((now.0 - beat.echo).saturating_sub(beat.kept));
            path.round_trip = Some(path.round_trip.map_or(trip, |old| (old * 7 + trip) / 8));
        }
        if beat.wide || path.wide_told.is_none() {
            path.wide_told = Some(now);
        }
        let narrow = path
            .wide_told
            .is_some_and(|at| now.since(at) > NARROW_AFTER * 2);
        let size = if narrow {
            NARROW_BYTES.min(path.wide_bytes)
        } else {
            path.wide_bytes
        };
        if size != path.packer.size() {
            path.packer.set_size(size);
        }
    }

    /// A key came or went: the path must prove itself again.
    pub(crate) fn set_key(&mut self, network: usize, key: Option<Outbound>) {
        if let Some(path) = self.paths.get_mut(network) {
            path.key = key;
            path.packer.clear();
        }
    }

    /// Looks at every path and chooses; says what changed.
    pub(crate) fn look(&mut self, now: Time) -> Vec<Change> {
        let mut changes = Vec::new();
        for (network, path) in self.paths.iter_mut().enumerate() {
            let works = path.works(now, self.patience);
            if works != path.up_since.is_some() {
                path.up_since = works.then_some(now);
                let up = works;
                changes.push(Change {
                    peer: self.peer,
                    network,
                    up,
                });
                path.counters.changes += 1;
            }
        }
        let current = self.used.filter(|at| self.paths[*at].up_since.is_some());
        let best = self.best(|path| path.up_since.is_some());
        let proven = self.best(|path| {
            path.up_since
                .is_some_and(|since| now.since(since) >= PROVEN_AFTER)
        });
        let chosen = match (current, proven) {
            (None, _) => best,
            (Some(current), Some(other))
                if self.paths[other].priority > self.paths[current].priority =>
            {
                Some(other)
            }
            (Some(current), _) => Some(current),
        };
        if chosen != self.used && self.used.is_some() {
            self.failovers += 1;
        }
        self.used = chosen;
        changes
    }

    /// The greatest priority among those, the first network among equals.
    fn best(&self, which: impl Fn(&Path) -> bool) -> Option<usize> {
        let rank = |at: &usize| (self.paths[*at].priority, std::cmp::Reverse(*at));
        (0..self.paths.len())
            .filter(|at| which(&self.paths[*at]))
            .max_by_key(rank)
    }

    /// The paths that carry a packet now. With none that works, all that have a key are tried.
    pub(crate) fn route(&self) -> impl Iterator<Item = usize> + use<> {
        let mut chosen = 0_u16;
        let mut add = |at: usize| chosen |= 1 << at;
        match (self.mode, self.used) {
            (Mode::Passive, Some(at)) => add(at),
            (Mode::Active, Some(_)) => (0..self.paths.len())
                .filter(|at| self.paths[*at].up_since.is_some())
                .for_each(add),
            (_, None) => (0..self.paths.len())
                .filter(|at| self.paths[*at].key.is_some())
                .for_each(add),
        }
        (0..16).filter(move |at| chosen >> at & 1 == 1)
    }

    /// For the status.
    pub(crate) fn status(&self, network: usize) -> (words::LinkState, Option<Duration>) {
        let path = &self.paths[network];
        let state = match (path.up_since, self.used, path.key.is_some()) {
            (Some(_), Some(used), _) if used == network || self.mode == Mode::Active => {
                words::LinkState::InUse
            }
            (Some(_), ..) => words::LinkState::Standby,
            (None, _, true) => words::LinkState::Silent,
            (None, _, false) => words::LinkState::NotConnected,
        };
        (state, path.round_trip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(50);

    fn ms(at: u64) -> Time {
        Time(at * 1_000_000)
    }

    fn paths(mode: Mode) -> Paths {
        let mut paths = Paths::new(NodeId(2), mode, EVERY, [(1, 1_452), (2, 1_452)].into_iter());
        for network in 0..2 {
            paths.set_key(network, Outbound::new(1, &[0; 32]));
        }
        paths
    }

    fn beat(paths: &mut Paths, now: Time, network: usize, hears: bool) {
        let beat = Beat {
            sent: 1,
            echo: 0,
            kept: 0,
            hears,
            wide: true,
        };
        paths.heard(now, network, beat);
        paths.look(now);
    }

    fn route(paths: &Paths) -> Vec<usize> {
        paths.route().collect()
    }

    #[test]
    fn the_better_network_until_it_is_silent_and_again_once_proven() {
        let mut paths = paths(Mode::Passive);
        assert_eq!(route(&paths), [0, 1], "nothing is known yet: all are tried");
        for at in (0..1_200).step_by(50) {
            (0..2).for_each(|network| beat(&mut paths, ms(at), network, true));
        }
        assert_eq!(route(&paths), [1]);
        for at in (1_200..1_400).step_by(50) {
            beat(&mut paths, ms(at), 0, true);
        }
        assert_eq!(route(&paths), [0], "three beats missed");
        assert_eq!(paths.failovers, 2, "to the better one, and away from it");
        for at in (1_400..2_200).step_by(50) {
            (0..2).for_each(|network| beat(&mut paths, ms(at), network, true));
        }
        assert_eq!(route(&paths), [0], "not proven yet");
        for at in (2_200..2_500).step_by(50) {
            (0..2).for_each(|network| beat(&mut paths, ms(at), network, true));
        }
        assert_eq!(route(&paths), [1]);
    }

    #[test]
    fn a_network_that_is_cut_one_way_is_of_no_use() {
        let mut paths = paths(Mode::Passive);
        for at in (0..1_000).step_by(50) {
            beat(&mut paths, ms(at), 0, true);
            beat(&mut paths, ms(at), 1, false);
        }
        assert_eq!(route(&paths), [0]);
    }

    #[test]
    fn active_takes_all_that_work() {
        let mut paths = paths(Mode::Active);
        for at in (0..500).step_by(50) {
            (0..2).for_each(|network| beat(&mut paths, ms(at), network, true));
        }
        assert_eq!(route(&paths), [0, 1]);
    }

    #[test]
    fn a_path_that_loses_large_datagrams_gets_small_ones() {
        let mut paths = paths(Mode::Passive);
        let mut narrow = |at: u64, wide: bool| {
            let beat = Beat {
                sent: 1,
                echo: 0,
                kept: 0,
                hears: true,
                wide,
            };
            paths.heard(ms(at), 0, beat);
            paths.paths[0].packer.size()
        };
        assert_eq!(narrow(0, true), 1_452);
        assert_eq!(narrow(3_000, false), 1_452);
        assert_eq!(narrow(5_000, false), NARROW_BYTES);
        assert_eq!(narrow(5_050, true), 1_452);
    }
}
