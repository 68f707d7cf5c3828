//! One node: its disk, its agents, and its daemon while that runs.

use std::collections::BTreeMap;

use cib::Cib;
use controller::{Controller, Now, Order, Ring, Settings, Start};

use crate::agent::{Agents, Course};

/// What is under way on a node.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) order: Order,
    pub(crate) course: Course,
}

/// A node.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// The daemon; none while it is down.
    pub(crate) controller: Option<Controller>,
    /// Counts the daemon's lives: what was begun in an earlier one is answered to nobody.
    pub(crate) life: u64,
    /// The era and the CIB, as written last.
    pub(crate) disk: (u64, Cib),
    pub(crate) agents: Agents,
    /// By life and call: an operation outlives the daemon that began it.
    pub(crate) running: BTreeMap<(u64, u64), Running>,
    pub(crate) timer_ns: Option<u64>,
    /// The part of the network that it is in.
    pub(crate) part: u64,
}

impl Host {
    pub(crate) fn new(number: u32, cib: Cib) -> Self {
        Self {
            number,
            name: format!("n{number}"),
            controller: None,
            life: 0,
            disk: (0, cib),
            agents: Agents::default(),
            running: BTreeMap::new(),
            timer_ns: None,
            part: 0,
        }
    }

    /// Starts the daemon.
    pub(crate) fn start(&mut self, now: Now) {
        self.life += 1;
        let settings = Settings {
            node: self.name.clone(),
            uuid: format!("u{}-{}", self.number, self.life),
            schedule: scheduler::schedule,
            tickets: false,
        };
        let ring = Ring {
            me: self.number,
            incarnation: u64::from(self.number) << 40 | self.life << 20,
            era: self.disk.0,
        };
        let cib = self.disk.1.clone();
        let controller = Controller::in_ring(settings, cib, Start::default(), &ring, now);
        self.controller = Some(controller);
        self.timer_ns = None;
    }

    /// Everything on the node is gone at once.
    pub(crate) fn power_off(&mut self) {
        self.controller = None;
        self.running.clear();
        self.agents = Agents::default();
        self.timer_ns = None;
    }
}
