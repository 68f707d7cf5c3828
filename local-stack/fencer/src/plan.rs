//! Which devices, in which order, on which node.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Device, Level, Target};
use crate::types::{Action, Members, Request};

/// Everything that is configured.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) devices: BTreeMap<String, Device>,
    pub(crate) levels: Vec<Level>,
    pub(crate) members: Members,
    /// The node of this fencer.
    pub(crate) node: String,
}

impl Setup {
    /// Devices that may play a part in a request: those of the target's levels, or all.
    pub(crate) fn candidates(&self, request: &Request) -> Vec<&Device> {
        let levels = self.levels_of(request);
        let named: BTreeSet<&str> = levels
            .iter()
            .flat_map(|level| level.devices.iter().map(String::as_str))
            .collect();
        let all = self.devices.values();
        all.filter(|device| named.is_empty() || named.contains(device.id.as_str()))
            .collect()
    }

    /// The target's levels, lowest first. Levels by name go before levels by pattern, and these before
    /// levels by attribute: only one kind counts.
    fn levels_of(&self, request: &Request) -> Vec<&Level> {
        let kind = |level: &Level| match level.target {
            Target::Node(_) => 0,
            Target::Pattern(_) => 1,
            Target::Attribute { .. } => 2,
        };
        let fits = |level: &&Level| level.is_for(&request.target, &request.attributes);
        let mut mine: Vec<&Level> = self.levels.iter().filter(fits).collect();
        if let Some(first) = mine.iter().map(|level| kind(level)).min() {
            mine.retain(|level| kind(level) == first);
        }
        mine.sort_by_key(|level| level.index);
        mine
    }

    /// The order in which devices are tried: all of one entry must succeed, then the request is done;
    /// else the next entry is tried.
    pub(crate) fn levels_for(
        &self,
        request: &Request,
        able: &BTreeSet<String>,
    ) -> Vec<Vec<String>> {
        if request.action == Action::On {
            let unfencing: Vec<String> = self
                .devices
                .values()
                .filter(|device| device.unfences() && able.contains(&device.id))
                .map(|device| device.id.clone())
                .collect();
            if !unfencing.is_empty() {
                return vec![unfencing];
            }
        }
        let levels = self.levels_of(request);
        if !levels.is_empty() {
            // A level with a device that cannot do it cannot succeed as a whole.
            return levels
                .into_iter()
                .filter(|level| level.devices.iter().all(|device| able.contains(device)))
                .map(|level| level.devices.clone())
                .collect();
        }
        let mut singles: Vec<&Device> = able.iter().filter_map(|id| self.devices.get(id)).collect();
        // One that is watched is known to work.
        singles.sort_by_key(|device| (device.started_on.is_none(), device.id.clone()));
        singles
            .into_iter()
            .map(|device| vec![device.id.clone()])
            .collect()
    }

    /// The node that runs a device's agent; another one with each try. Never the target, unless it is
    /// alone or the agent must run there.
    pub(crate) fn executor(
        &self,
        device: &Device,
        action: &str,
        target: &str,
        tried: u32,
    ) -> Option<String> {
        let may = |node: &&String| !device.banned.contains(*node);
        if device.facts.on_target.contains(action) {
            return self.members.get(target).filter(may).cloned();
        }
        let mut nodes: Vec<&String> = self.members.iter().filter(may).collect();
        if self.members.len() > 1 {
            nodes.retain(|node| *node != target);
        }
        nodes.sort_by_key(|node| {
            let watched = device.started_on.as_ref() == Some(node);
            (!watched, **node != self.node, (*node).clone())
        });
        let count = nodes.len();
        let place = usize::try_from(tried).ok()?.checked_rem(count)?;
        nodes.get(place).map(|node| (*node).clone())
    }
}
