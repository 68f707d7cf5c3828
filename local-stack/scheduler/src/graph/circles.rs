//! A transition in which actions wait for each other in a circle would never end.
//!
//! Constraints can ask for one (a guest node ordered after something that is probed on it), and
//! Pacemaker then writes a graph that cannot be carried out. Here the least important of the orderings
//! in the circle gives way, and a diagnostic names it.

use std::collections::HashMap;

use crate::transition::{Action, Synapse};

/// Takes orderings out until nothing waits for itself; tells which.
pub(super) fn open(synapses: &mut [Synapse]) -> Vec<String> {
    let place: HashMap<u32, usize> = (synapses.iter().enumerate())
        .map(|(at, s)| (s.action.id, at))
        .collect();
    let mut told = Vec::new();
    let mut stuck = stuck(synapses, &place);
    // Each round takes one ordering out, so there are at most as many rounds as orderings.
    while let Some(circle) = walk(synapses, &place, &stuck) {
        let (then, first) = weakest(synapses, &circle);
        told.push(format!(
            "orderings go round in a circle: {} does not wait for {}",
            name(&synapses[then].action),
            name(&synapses[first].action)
        ));
        let id = synapses[first].action.id;
        synapses[then].inputs.retain(|input| *input != id);
        stuck = self::stuck(synapses, &place);
    }
    told
}

/// Which actions could never begin.
fn stuck(synapses: &[Synapse], place: &HashMap<u32, usize>) -> Vec<bool> {
    let mut waits = vec![0_usize; synapses.len()];
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); synapses.len()];
    for (at, synapse) in synapses.iter().enumerate() {
        for input in &synapse.inputs {
            if let Some(&first) = place.get(input) {
                waits[at] += 1;
                after[first].push(at);
            }
        }
    }
    let mut ready: Vec<usize> = (0..synapses.len()).filter(|at| waits[*at] == 0).collect();
    while let Some(at) = ready.pop() {
        for &then in &after[at] {
            waits[then] -= 1;
            if waits[then] == 0 {
                ready.push(then);
            }
        }
    }
    waits.into_iter().map(|w| w > 0).collect()
}

/// From an action that never begins, back along what it waits for, until that repeats.
fn walk(synapses: &[Synapse], place: &HashMap<u32, usize>, stuck: &[bool]) -> Option<Vec<usize>> {
    let mut path = Vec::new();
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut at = stuck.iter().position(|s| *s)?;
    loop {
        if let Some(&from) = seen.get(&at) {
            return Some(path.split_off(from));
        }
        seen.insert(at, path.len());
        path.push(at);
        let inputs = synapses[at].inputs.iter().filter_map(|i| place.get(i));
        at = inputs.copied().find(|i| stuck[*i])?;
    }
}

/// The ordering of a circle that is missed least: who waits, and for whom.
fn weakest(synapses: &[Synapse], circle: &[usize]) -> (usize, usize) {
    let edge = |i: usize| (circle[i], circle[(i + 1) % circle.len()]);
    let mut best = edge(0);
    let mut least = u8::MAX;
    for i in 0..circle.len() {
        let (then, first) = edge(i);
        let weight = weight(&synapses[first].action, &synapses[then].action);
        if weight < least {
            least = weight;
            best = (then, first);
        }
    }
    best
}

/// How much depends on an ordering.
fn weight(first: &Action, then: &Action) -> u8 {
    let probe = |a: &Action| a.operation == "monitor" && a.interval_ms == 0;
    let connection = (first.resource.as_ref())
        .zip(then.node.as_ref())
        .is_some_and(|(rsc, node)| rsc.id == node.uname);
    match () {
        // Nothing can be done on a node before it is there.
        () if connection => 4,
        () if probe(then) => 0,
        () if probe(first) => 1,
        () if then.operation == "monitor" || then.operation == "notify" => 2,
        () => 3,
    }
}

fn name(action: &Action) -> String {
    match &action.node {
        Some(node) => format!("{} on {}", action.key, node.uname),
        None => action.key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transition::ActionKind;

    fn synapse(id: u32, operation: &str, inputs: &[u32]) -> Synapse {
        let action = Action {
            id,
            kind: ActionKind::Resource,
            operation: operation.into(),
            key: format!("{operation}{id}"),
            internal_key: None,
            node: None,
            router: None,
            resource: None,
            attributes: crate::attributes::Attributes::default(),
            interval_ms: 0,
            timeout_ms: 0,
            target_rc: 0,
            downed: Vec::new(),
            can_fail: false,
        };
        Synapse {
            priority: 0,
            action,
            inputs: inputs.to_vec(),
        }
    }

    #[test]
    fn what_waits_for_itself_through_others_waits_less() {
        let mut synapses = vec![
            synapse(1, "start", &[3]),
            synapse(2, "monitor", &[1]),
            synapse(3, "start", &[2, 4]),
            synapse(4, "stop", &[]),
        ];
        let told = open(&mut synapses);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(synapses[1].inputs, [0_u32; 0], "the probe gives way");
        assert_eq!(synapses[2].inputs, [2, 4]);
        assert!(open(&mut synapses).is_empty());
    }

    #[test]
    fn what_is_in_order_is_left_alone() {
        let mut synapses = vec![synapse(1, "start", &[]), synapse(2, "start", &[1, 99])];
        assert!(open(&mut synapses).is_empty());
        assert_eq!(synapses[1].inputs, [1, 99]);
    }
}
