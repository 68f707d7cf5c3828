//! After healing, the cluster is as the scheduler wants it: one copy everywhere, nothing left to do, and
//! everything runs.

use cib::Cib;
use scheduler::{ActionKind, Inputs};

/// Judges one node's copy: the scheduler has nothing to do.
///
/// # Errors
/// The first thing that it would do.
pub fn judge_copy(cib: &Cib, wall_s: i64) -> Result<(), String> {
    let inputs = Inputs {
        now: wall_s,
        grants: Some(Vec::new()),
    };
    let transition = scheduler::schedule(cib, &inputs);
    let left = transition
        .synapses
        .iter()
        .find(|synapse| synapse.action.kind != ActionKind::Pseudo);
    match left {
        Some(synapse) => Err(format!("{} is still to be done", synapse.action.key)),
        None => Ok(()),
    }
}

/// Judges what is active: each of `resources` is, once.
///
/// # Errors
/// The first that is not.
pub fn judge_active(resources: &[String], active: &[(u32, &str)]) -> Result<(), String> {
    for resource in resources {
        let places = active.iter().filter(|(_, known)| known == resource).count();
        if places != 1 {
            return Err(format!("{resource} is active on {places} nodes"));
        }
    }
    Ok(())
}
