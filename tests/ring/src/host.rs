//! One node's machine: its process, its clock, its disk, its application.

use std::collections::VecDeque;

use membership::{NodeId, NodeList, NodeSet, Quorum, QuorumConfig, Roster, Time};

use crate::oracle::Process;

/// Parts of a million.
const MILLION: i128 = 1_000_000;

/// A clock that starts somewhere, goes at its own rate, and stands still while its machine does.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// Deviation of its rate, parts per million.
    rate: i128,
    offset: i128,
    /// It never goes back.
    last: Time,
}

impl Clock {
    pub(crate) fn new(rate: i64, offset: u64) -> Self {
        Self {
            rate: i128::from(rate),
            offset: i128::from(offset),
            last: Time(0),
        }
    }

    /// What it shows at that true time.
    pub(crate) fn read(&mut self, now: Time) -> Time {
        let mut gone = i128::from(now.0);
        if self.rate != 0 {
            gone += gone * self.rate / MILLION;
        }
        let shows = u64::try_from(gone + self.offset).unwrap_or(0);
        self.last = self.last.max(Time(shows));
        self.last
    }

    /// When it will show that, at the earliest.
    pub(crate) fn when(&self, shows: Time) -> Time {
        let mut gone = i128::from(shows.0) - self.offset;
        if self.rate != 0 {
            gone = gone * MILLION / (MILLION + self.rate) + 2;
        }
        Time(u64::try_from(gone).unwrap_or(0))
    }

    /// It stands still for so long, in ns.
    pub(crate) fn stop(&mut self, span: u64) {
        self.offset -= i128::from(span);
    }
}

/// One machine.
pub(crate) struct Host {
    pub(crate) process: Process,
    /// Messages that its process has sent.
    pub(crate) sent: u32,
    /// The node's timer that is in the events, by its own clock.
    pub(crate) timer: Option<Time>,
    pub(crate) paused_until: Time,
    /// The process is gone until then, and then a new one starts.
    pub(crate) down: bool,
    /// It was removed: no process starts until it is added again.
    pub(crate) outside: bool,
    pub(crate) slow: bool,
    /// The view that its application is in.
    pub(crate) view: u64,
    pub(crate) clock: Clock,
    pub(crate) roster: Roster,
    /// Its words that found no room yet.
    pub(crate) words: VecDeque<Vec<u8>>,
    pub(crate) quorum: Quorum,
    /// The members of the view that its application is in.
    pub(crate) members: NodeSet,
    /// May it act, in that view?
    pub(crate) quorate: bool,
}

impl Host {
    pub(crate) fn new(node: NodeId, list: NodeList, clock: Clock, slow: bool) -> Self {
        Self {
            process: 0,
            sent: 0,
            timer: None,
            paused_until: Time(0),
            down: false,
            outside: false,
            slow,
            view: 0,
            clock,
            quorum: Quorum::new(majority(&list)),
            roster: Roster::new(node, list),
            words: VecDeque::new(),
            members: NodeSet::default(),
            quorate: false,
        }
    }

    /// A new process: what is on the disk is all that it knows.
    pub(crate) fn begin(&mut self, now: Time, process: Process, list: NodeList) {
        self.process = process;
        (self.sent, self.timer, self.view) = (0, None, 0);
        (self.down, self.outside, self.quorate) = (false, false, false);
        self.paused_until = now;
        self.members = NodeSet::default();
        self.words.clear();
        self.quorum = Quorum::new(majority(&list));
        self.roster = Roster::new(self.roster.node(), list);
    }
}

/// How votes are counted by a list of nodes.
pub(crate) fn majority(list: &NodeList) -> QuorumConfig {
    QuorumConfig {
        votes: list.votes.clone(),
        ..QuorumConfig::majority(&list.nodes())
    }
}
