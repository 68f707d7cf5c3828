//! Every fault kind the simulator knows, and how often each one happened.
//!
//! A run that reports a kind with 0 did not test it: the report says so, and the tests demand
//! that a run of some hundred seeds has none.

macro_rules! faults {
    ($($name:ident = $text:literal),+ $(,)?) => {
        /// A fault kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = $text] $name,)+
        }

        impl Fault {
            /// All kinds, in the order of the report.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// What the report calls it.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

faults! {
    Loss = "datagram lost",
    Duplicate = "datagram doubled",
    Straggler = "datagram held back (reordered)",
    DatagramCut = "datagram dropped by a two-way cut",
    DatagramCutOneWay = "datagram dropped by a one-way cut",
    DatagramToDead = "datagram to a dead process",
    TwoWayCut = "two members cut, both ways",
    OneWayCut = "two members cut, one way",
    Isolation = "member cut off from all others",
    CutAfterAcks = "cut right after heartbeat acks",
    AgentCrash = "site agent killed",
    AgentPause = "site agent paused",
    AgentRestartStorm = "member restarted several times within one obligation",
    ArbitratorCrash = "arbitrator killed",
    ArbitratorPause = "arbitrator paused",
    ArbitratorRestartInCut = "arbitrator restarted during a cut between the sites",
    StackCrash = "local stack killed",
    StackPause = "local stack paused",
    AgentAndStackPause = "site agent and local stack paused together",
    NodeCrash = "node of a site lost power, booted later",
    SiteFreeze = "whole site paused and resumed, service and guard included",
    CrashBeforeWrite = "crash before a write reached the disk",
    CrashAfterWrite = "crash after a write, before its result was known",
    TornWrite = "crash in mid-write",
    LostWrite = "write reported done that never reached the disk",
    FailedFsync = "fsync failed",
    SlowDisk = "slow write",
    RottenSlot = "newest slot unreadable",
    CorruptState = "state unreadable",
    DeletedState = "state deleted",
    RolledBack = "state restored from an old copy",
    FastClock = "clock at the fast end of the bound",
    SlowClock = "clock at the slow end of the bound",
    RateChange = "clock changed its rate",
    RealTimeStep = "real time stepped",
    CommandHang = "cluster command hung",
    CommandFail = "cluster command failed",
    CommandFailDone = "cluster command done, its result lost",
    StartFail = "start of a resource failed",
    StopFail = "stop of a resource failed",
    StopHang = "stop of a resource hung",
    ClusterGaveUp = "cluster gave a ticket up (health)",
    Replay = "old datagrams delivered again, all at once",
    LagAndWipe = "memory lost beside a member that lagged behind",
    WipeAfterAck = "memory lost right after it answered a proposer that crashed",
    GuardKill = "guard killed what ran past its lease",
    HoldAsked = "dependent became unmanaged (hold asked)",
    ClientLeft = "operator's client died before the answer",
}

/// How often each kind happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    counts: Vec<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            counts: vec![0; Fault::ALL.len()],
        }
    }
}

impl Faults {
    /// Counts one.
    pub fn count(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
    }

    /// How often it happened.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// The kinds that never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<Fault> {
        Fault::ALL
            .iter()
            .copied()
            .filter(|&fault| self.of(fault) == 0)
            .collect()
    }
}
