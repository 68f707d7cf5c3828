//! The agents of one node: each resource is on or off, and an operation takes its time, fails, hangs or
//! lies.

use std::collections::{BTreeMap, BTreeSet};

use controller::{Ending, OperationResult, Order};

use crate::random::Random;

/// How an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    Well,
    /// The agent says that it failed, and did nothing.
    Fails,
    /// It does nothing until its time is over.
    Hangs,
    /// It says that it is done, and did nothing.
    Lies,
}

/// What runs on a node, daemon or not.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    /// What is active in truth.
    pub(crate) active: BTreeSet<String>,
    /// Starts under way.
    pub(crate) starting: BTreeSet<String>,
    /// Recurring monitors: call, resource, interval, and what was told last.
    pub(crate) monitors: BTreeMap<(String, u32), (u64, u8)>,
}

impl Agents {
    /// How long an operation takes, in milliseconds, and how it goes.
    pub(crate) fn begin(&mut self, random: &mut Random, order: &Order, bad: u64) -> (u64, Course) {
        if order.action == "start" {
            self.starting.insert(order.resource.clone());
        }
        let course = match order.action.as_str() {
            "start" if random.chance(bad) => Course::Fails,
            "start" if random.chance(bad / 4) => Course::Hangs,
            "start" if random.chance(bad / 4) => Course::Lies,
            "stop" if random.chance(bad / 8) => Course::Fails,
            "stop" if random.chance(bad / 8) => Course::Hangs,
            _ => Course::Well,
        };
        let ms = match course {
            Course::Hangs => u64::from(order.timeout_ms),
            _ if order.action == "start" && random.chance(30) => random.between(1_000, 15_000),
            _ => random.between(5, 300),
        };
        (ms, course)
    }

    /// What the agent does and says at the end.
    pub(crate) fn end(&mut self, order: &Order, course: Course) -> OperationResult {
        if order.action == "start" {
            self.starting.remove(&order.resource);
        }
        let does = course == Course::Well;
        let (ending, rc) = match (order.action.as_str(), course) {
            (_, Course::Hangs) => (Ending::Timeout, 1),
            (_, Course::Fails) => (Ending::Complete, 1),
            ("monitor", _) => (Ending::Complete, self.look(&order.resource)),
            _ => (Ending::Complete, 0),
        };
        if does && order.action == "start" {
            self.active.insert(order.resource.clone());
        }
        if does && order.action == "stop" {
            self.active.remove(&order.resource);
        }
        result(ending, rc)
    }

    pub(crate) fn look(&self, resource: &str) -> u8 {
        if self.active.contains(resource) { 0 } else { 7 }
    }
}

pub(crate) fn result(ending: Ending, rc: u8) -> OperationResult {
    OperationResult {
        ending,
        rc,
        reason: String::new(),
        exec_ms: 1,
        queue_ms: 0,
    }
}
