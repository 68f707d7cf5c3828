//! Depth first over all reachable states, each visited once.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::world::{Bounds, Step, World};

/// What a search came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// States visited, each counted once.
    pub states: u64,
    /// Steps from one state to another, or to one seen before.
    pub steps: u64,
    /// The longest way to a state.
    pub depth: usize,
    /// States in which both sites had held the ticket, one after the other.
    pub taken_over: u64,
    /// The first violation, with the steps that lead to it.
    pub violation: Option<(String, Vec<String>)>,
    /// The bound on states ended the search: it is not exhaustive.
    pub cut_short: bool,
}

/// One state on the present way, and what is still to be tried from it.
struct Frame {
    world: World,
    /// Tried now; those after it were tried before.
    next: Vec<Step>,
    now: Step,
}

impl Frame {
    fn new(world: World, bounds: &Bounds) -> Self {
        let next = world.steps(bounds);
        let now = Step::Tick;
        Self { world, next, now }
    }
}

/// 128 bits: with 10^9 states the chance that two are taken for one is below 10^-20.
fn digest(world: &World) -> u128 {
    let bytes = world.bytes();
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        bytes.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// Visits every state that can be reached, or stops at the first violation, or at `states_max`.
#[must_use]
pub fn search(bounds: &Bounds, states_max: u64) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    let first = World::new(bounds);
    seen.insert(digest(&first));
    found.states = 1;
    let mut way = vec![Frame::new(first, bounds)];
    while let Some(frame) = way.last_mut() {
        let Some(step) = frame.next.pop() else {
            way.pop();
            continue;
        };
        frame.now = step;
        let Some(world) = frame.world.after(step) else {
            continue;
        };
        found.steps += 1;
        if !seen.insert(digest(&world)) {
            continue;
        }
        found.states += 1;
        found.taken_over += u64::from(world.taken_over());
        if let Some(what) = world.violation() {
            let steps = way.iter().map(|frame| frame.world.tell(frame.now));
            found.violation = Some((what.to_owned(), steps.collect()));
            return found;
        }
        if found.states >= states_max {
            found.cut_short = true;
            return found;
        }
        way.push(Frame::new(world, bounds));
        found.depth = found.depth.max(way.len());
    }
    found
}
