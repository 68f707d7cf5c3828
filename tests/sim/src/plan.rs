//! Everything a run is, derived from its seed: swarm testing. Each seed switches most faults off
//! and makes the others strong, so that rare combinations come up that an average would drown.

use crate::dice::Dice;
use crate::network::Weather;

/// One millisecond in nanoseconds.
pub const MS: u64 = 1_000_000;
/// One second in nanoseconds.
pub const S: u64 = 1_000 * MS;

/// By how much clock rates may differ, in parts per million: the configured bound.
pub const DRIFT_PPM: u32 = 10_000;
/// The fast end of the bound: just below, as the promise says "less than".
pub const FAST_PPM: i64 = DRIFT_PPM as i64 - 1;

/// Between the guard's kill and the earliest takeover: what the configuration check demands that
/// `acquire-after` exceeds the stop budget by. Small, so that an eaten margin shows.
pub const KILL_SLACK_NS: u64 = 2 * MS;

/// What the nemesis may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nemesis {
    /// Two members cut from each other, both ways.
    TwoWayCut,
    /// Two members cut, one way.
    OneWayCut,
    /// One member cut from all.
    Isolate,
    /// The holder cut from all right after a renewal was answered.
    CutHolder,
    /// Two sites cut from each other and the arbitrator restarted meanwhile.
    ArbitratorInCut,
    /// A member's process killed, restarted soon.
    Crash,
    /// A member's process killed several times in a row.
    RestartStorm,
    /// A member's process paused.
    Pause,
    /// A site's stack killed or paused.
    Stack,
    /// Agent and stack of a site paused together.
    AgentAndStack,
    /// A site's node loses power.
    NodeCrash,
    /// A whole site is paused.
    Freeze,
    /// A member killed, and its state deleted, corrupted or taken back.
    Disk,
    /// A member killed in mid-write.
    CrashWrite,
    /// The next write fails.
    Fsync,
    /// Real time steps (which nothing may depend on).
    RealTime,
    /// A clock changes its rate, within the bound.
    Rate,
    /// The cluster gives a ticket up.
    GiveUp,
    /// A dependent becomes unmanaged for a while.
    Hold,
    /// Old datagrams come again, all at once.
    Replay,
    /// One member lags behind, then another loses its memory while the third is cut off.
    LagAndWipe,
    /// A proposer dies before its own write while the member that answered it loses its memory.
    WipeAfterAck,
}

impl Nemesis {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::TwoWayCut,
        Self::OneWayCut,
        Self::Isolate,
        Self::CutHolder,
        Self::ArbitratorInCut,
        Self::Crash,
        Self::RestartStorm,
        Self::Pause,
        Self::Stack,
        Self::AgentAndStack,
        Self::NodeCrash,
        Self::Freeze,
        Self::Disk,
        Self::CrashWrite,
        Self::Fsync,
        Self::RealTime,
        Self::Rate,
        Self::GiveUp,
        Self::Hold,
        Self::Replay,
        Self::LagAndWipe,
        Self::WipeAfterAck,
    ];
}

/// How the clocks of a run go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// All at the same rate.
    Equal,
    /// Anywhere within the bound.
    Mixed,
    /// Sites slow, arbitrators fast, at exactly the bound.
    SitesSlow,
    /// One member slow, all others fast.
    OneSlow,
}

/// One ticket of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketPlan {
    /// No lease: manual.
    pub manual: bool,
    /// The lease.
    pub lease_ns: u64,
    /// The wait after it.
    pub acquire_after_ns: u64,
    /// The interval of renewals.
    pub renew_ns: u64,
    /// How long a stop may take before the guard kills.
    pub stop_budget_ns: u64,
    /// Sites in the order of preference.
    pub prefer: Vec<u16>,
}

/// How the sites' clusters behave. Chances in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterPlan {
    /// The usual time of a command.
    pub command_ns: u64,
    /// A command hangs (its result comes as a failure after its timeout, its effect later still).
    pub hang_ppm: u32,
    /// A command fails without effect.
    pub fail_ppm: u32,
    /// A command is done but its result is a failure.
    pub fail_done_ppm: u32,
    /// The usual time of a start.
    pub start_ns: u64,
    /// The usual time of a stop.
    pub stop_ns: u64,
    /// A start fails.
    pub start_fail_ppm: u32,
    /// A stop fails: the resource runs on.
    pub stop_fail_ppm: u32,
    /// A stop hangs until the guard kills.
    pub stop_hang_ppm: u32,
}

/// How the disks behave. Chances in parts per million and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskPlan {
    /// The usual time of a write.
    pub write_ns: u64,
    /// A write takes very long.
    pub slow_ppm: u32,
    /// A write is reported and does not reach the medium.
    pub lose_ppm: u32,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its seed.
    pub seed: u64,
    /// How many members have a cluster; they come first.
    pub sites: usize,
    /// How many only vote.
    pub arbitrators: usize,
    /// The tickets.
    pub tickets: Vec<TicketPlan>,
    /// The network when nothing is cut.
    pub weather: Weather,
    /// After this long a round is sent again.
    pub round_timeout_ns: u64,
    /// The clocks.
    pub clocks: Clocks,
    /// The sites' clusters.
    pub cluster: ClusterPlan,
    /// The disks.
    pub disk: DiskPlan,
    /// The nemeses of this run.
    pub nemeses: Vec<Nemesis>,
    /// Whether datagrams are kept for [`Nemesis::Replay`].
    pub replays: bool,
    /// The usual time between two acts of the nemesis.
    pub nemesis_every_ns: u64,
    /// How long what it does lasts.
    pub nemesis_lasts_ns: u64,
    /// The usual time between two commands of the operator.
    pub operator_every_ns: u64,
    /// How long the nemesis and the operator go on.
    pub storm_ns: u64,
}

/// Simulated time of a run with faults: long enough for tens of takeovers, short enough that a
/// seed is replayed within a second.
const STORM_NS: u64 = 240 * S;

/// More nemeses at once than this hide each other's effects.
const NEMESES_MAX: u64 = 5;

impl Plan {
    /// A run without any fault: two sites, an arbitrator, one automatic ticket.
    #[must_use]
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            sites: 2,
            arbitrators: 1,
            tickets: vec![TicketPlan::auto(2 * S, S)],
            weather: Weather::FINE,
            round_timeout_ns: 200 * MS,
            clocks: Clocks::Equal,
            cluster: ClusterPlan::FINE,
            disk: DiskPlan {
                write_ns: MS,
                slow_ppm: 0,
                lose_ppm: 0,
            },
            nemeses: Vec::new(),
            replays: false,
            nemesis_every_ns: 0,
            nemesis_lasts_ns: 0,
            operator_every_ns: 0,
            storm_ns: 0,
        }
    }

    /// How many members there are.
    #[must_use]
    pub fn members(&self) -> usize {
        self.sites + self.arbitrators
    }

    /// The longest lease with its wait, of all tickets.
    #[must_use]
    pub fn longest_ns(&self) -> u64 {
        let span = |ticket: &TicketPlan| ticket.lease_ns + ticket.acquire_after_ns;
        self.tickets.iter().map(span).max().unwrap_or(0)
    }

    /// How long after healing every automatic ticket has its holder: a lost memory waits once,
    /// a lapsed lease once, duels and refused attempts cost some more.
    #[must_use]
    pub fn calm_ns(longest_ns: u64) -> u64 {
        15 * S + 4 * longest_ns
    }

    /// The run of a seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, 0);
        let (sites, arbitrators) = match dice.below(8) {
            0..4 => (2, 1),
            4 => (3, 0),
            5 => (2, 3),
            6 => (3, 2),
            _ => (4, 1),
        };
        let tickets = (0..dice.between(1, 3))
            .map(|_| ticket(dice, sites))
            .collect();
        let weather = weather(dice);
        let mut nemeses: Vec<_> = (0..dice.below(NEMESES_MAX + 1))
            .map(|_| Nemesis::ALL[dice.index(Nemesis::ALL.len())])
            .collect();
        // Without any of these a seed has no takeovers, and idle seeds are cheap but worth nothing.
        nemeses.push([Nemesis::CutHolder, Nemesis::Crash, Nemesis::Isolate][dice.index(3)]);
        let operator_every_ns = [0, 2 * S, 5 * S, 15 * S][dice.index(4)];
        Self {
            seed,
            sites,
            arbitrators,
            tickets,
            weather,
            round_timeout_ns: dice.between(100, 400) * MS,
            clocks: [
                Clocks::Equal,
                Clocks::Mixed,
                Clocks::SitesSlow,
                Clocks::OneSlow,
            ][dice.index(4)],
            cluster: cluster(dice),
            disk: disk(dice),
            replays: nemeses.contains(&Nemesis::Replay),
            nemeses,
            nemesis_every_ns: dice.between(1_000, 8_000) * MS,
            nemesis_lasts_ns: dice.between(200, 8_000) * MS,
            operator_every_ns,
            storm_ns: STORM_NS,
        }
    }
}

impl TicketPlan {
    /// An automatic ticket renewed three times per lease.
    #[must_use]
    pub fn auto(lease_ns: u64, acquire_after_ns: u64) -> Self {
        Self {
            manual: false,
            lease_ns,
            acquire_after_ns,
            renew_ns: lease_ns / 3,
            stop_budget_ns: acquire_after_ns.saturating_sub(KILL_SLACK_NS),
            prefer: Vec::new(),
        }
    }

    /// A manual ticket.
    #[must_use]
    pub fn manual() -> Self {
        Self {
            manual: true,
            lease_ns: 0,
            acquire_after_ns: 0,
            renew_ns: 0,
            stop_budget_ns: S,
            prefer: Vec::new(),
        }
    }
}

impl ClusterPlan {
    /// Every command works, fast.
    pub const FINE: Self = Self {
        command_ns: MS,
        hang_ppm: 0,
        fail_ppm: 0,
        fail_done_ppm: 0,
        start_ns: 20 * MS,
        stop_ns: 20 * MS,
        start_fail_ppm: 0,
        stop_fail_ppm: 0,
        stop_hang_ppm: 0,
    };
}

fn ticket(dice: &mut Dice, sites: usize) -> TicketPlan {
    if dice.chance(120_000) {
        return TicketPlan::manual();
    }
    let lease_ms = [1_000, 1_500, 2_000, 3_000, 5_000, 10_000][dice.index(6)];
    // From barely more than the guard needs to as long as the lease.
    let acquire_after_ms = [5, 50, 500, 1_000, lease_ms][dice.index(5)];
    let mut plan = TicketPlan::auto(lease_ms * MS, acquire_after_ms * MS);
    plan.renew_ns = plan.lease_ns / dice.between(2, 5);
    if dice.coin() {
        plan.prefer.push(dice.below(sites as u64) as u16);
    }
    plan
}

fn weather(dice: &mut Dice) -> Weather {
    let mut weather = Weather {
        delay_min_ns: dice.between(0, 20) * MS / 4,
        delay_spread_ns: dice.between(0, 40) * MS / 4,
        ..Weather::FINE
    };
    if dice.coin() {
        weather.loss_ppm = dice.below(300_000) as u32;
    }
    if dice.coin() {
        weather.duplicate_ppm = dice.below(500_000) as u32;
    }
    if dice.coin() {
        weather.straggle_ppm = dice.below(100_000) as u32;
    }
    weather.straggle_max_ns = [100 * MS, S, 5 * S, 20 * S][dice.index(4)];
    weather
}

fn cluster(dice: &mut Dice) -> ClusterPlan {
    let mut plan = ClusterPlan {
        command_ns: dice.between(0, 20) * MS,
        start_ns: dice.between(1, 400) * MS,
        stop_ns: dice.between(1, 400) * MS,
        ..ClusterPlan::FINE
    };
    let mut some = |strength: u64| {
        if dice.chance(300_000) {
            dice.below(strength) as u32
        } else {
            0
        }
    };
    plan.hang_ppm = some(200_000);
    plan.fail_ppm = some(300_000);
    plan.fail_done_ppm = some(300_000);
    plan.start_fail_ppm = some(300_000);
    plan.stop_fail_ppm = some(500_000);
    plan.stop_hang_ppm = some(800_000);
    plan
}

fn disk(dice: &mut Dice) -> DiskPlan {
    let mut plan = DiskPlan {
        write_ns: dice.between(0, 10) * MS,
        slow_ppm: 0,
        lose_ppm: 0,
    };
    if dice.chance(300_000) {
        plan.slow_ppm = dice.below(100_000) as u32;
    }
    if dice.chance(200_000) {
        plan.lose_ppm = dice.below(100_000) as u32;
    }
    plan
}
