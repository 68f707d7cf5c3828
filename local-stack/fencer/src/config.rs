//! Devices and topology, as the configuration names them.
//!
//! Parameters that begin with `pcmk_` are the fencer's own (Pacemaker Explained, chapter on fencing);
//! all others are the fence agent's.

use std::collections::{BTreeMap, BTreeSet};

use cib::{Cib, Element, Section};

/// Levels of a topology.
pub const LEVELS: std::ops::RangeInclusive<u8> = 1..=9;

/// Devices and levels that are read; nobody has as many.
const ENTRIES_MAX: usize = 1000;

/// Tries of one action unless the device says otherwise.
const TRIES: u32 = 2;

/// Most tries: each costs a timeout.
const TRIES_MAX: u32 = 100;

/// Meta-parameters that no fence agent knows.
const NOT_FOR_AGENTS: [&str; 4] = ["provides", "stonith-timeout", "priority", "crm_feature_set"];

/// How it is found out which nodes a device can fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostCheck {
    /// By the list or map of the configuration.
    Static,
    /// By asking the device for its list.
    Dynamic,
    /// By asking the device about the node.
    Status,
    /// It is taken to be able to fence all.
    None,
}

/// What is known of a fence agent, out of its description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The actions that it has.
    pub actions: BTreeSet<String>,
    /// The parameter that names the node: `port` or `plug`.
    pub host_argument: Option<String>,
    /// `on` is to be done when a node joins.
    pub unfences: bool,
    /// Actions that must be run on the target.
    pub on_target: BTreeSet<String>,
}

/// A fence device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// The resource's id.
    pub id: String,
    /// Its fence agent.
    pub agent: String,
    /// Its parameters, as configured, sorted by name.
    pub parameters: BTreeMap<String, String>,
    /// Nodes that must not use it.
    pub banned: BTreeSet<String>,
    /// The node on which it was started: it has been seen to work there.
    pub started_on: Option<String>,
    /// What its agent can do.
    pub facts: Facts,
}

impl Device {
    fn own(&self, name: &str) -> Option<&str> {
        let value = self.parameters.get(&format!("pcmk_{name}"))?;
        (!value.is_empty()).then_some(value)
    }

    /// Names of nodes that the configuration gives it, with what the device calls them.
    pub fn hosts(&self) -> BTreeMap<String, String> {
        let mut hosts = BTreeMap::new();
        let list = self.own("host_list").unwrap_or_default();
        for name in split(list) {
            hosts.insert(name.to_owned(), name.to_owned());
        }
        for entry in split(self.own("host_map").unwrap_or_default()) {
            if let Some((node, name)) = entry.split_once([':', '=']) {
                hosts.insert(node.to_owned(), name.to_owned());
            }
        }
        hosts
    }

    /// What the device calls a node.
    pub fn name_of(&self, node: &str) -> String {
        self.hosts().remove(node).unwrap_or_else(|| node.to_owned())
    }

    /// How it is found out which nodes it can fence.
    pub fn host_check(&self) -> HostCheck {
        match self.own("host_check") {
            Some("static-list") => HostCheck::Static,
            Some("dynamic-list") => HostCheck::Dynamic,
            Some("status") => HostCheck::Status,
            Some("none") => HostCheck::None,
            _ if !self.hosts().is_empty() => HostCheck::Static,
            _ if self.facts.actions.contains("list") => HostCheck::Dynamic,
            _ if self.facts.actions.contains("status") => HostCheck::Status,
            _ => HostCheck::None,
        }
    }

    /// The agent's word for an action. An agent that cannot reboot powers off.
    pub fn word(&self, action: &str) -> String {
        if let Some(word) = self.own(&format!("{action}_action")) {
            return word.to_owned();
        }
        let known = &self.facts.actions;
        if action == "reboot" && !known.is_empty() && !known.contains("reboot") {
            return "off".to_owned();
        }
        action.to_owned()
    }

    /// How long an action may take, all tries together, milliseconds.
    pub fn timeout_ms(&self, action: &str, default: u64) -> u64 {
        let own = self.own(&format!("{action}_timeout")).and_then(span_ms);
        own.filter(|ms| *ms > 0).unwrap_or(default).max(1)
    }

    /// How often an action is tried within its time.
    pub fn tries(&self, action: &str) -> u32 {
        let own = self.own(&format!("{action}_retries"));
        let tries = own.and_then(|text| text.parse().ok()).unwrap_or(TRIES);
        tries.clamp(1, TRIES_MAX)
    }

    /// Jobs that it can do at once; none for any number.
    pub fn action_limit(&self) -> Option<usize> {
        let limit: i64 = self
            .own("action_limit")
            .and_then(|text| text.parse().ok())
            .unwrap_or(1);
        (limit >= 0).then(|| usize::try_from(limit.max(1)).unwrap_or(1))
    }

    /// The delay before it acts: a fixed part (which may differ by node), and a random part on top that
    /// keeps the whole below `pcmk_delay_max`. Milliseconds.
    pub fn delay_ms(&self, target: &str, random: u64) -> u64 {
        let base = self.own("delay_base").map_or(0, |text| {
            if !text.contains([':', ';']) {
                return span_ms(text).unwrap_or(0);
            }
            let pairs = text
                .split([';', ' '])
                .filter_map(|e| e.split_once([':', '=']));
            let mut mine = pairs.filter(|(node, _)| *node == target);
            mine.next().and_then(|(_, v)| span_ms(v)).unwrap_or(0)
        });
        let most = self.own("delay_max").and_then(span_ms).unwrap_or(0);
        match most.checked_sub(base) {
            Some(span @ 1..) => base + random % (span + 1),
            _ => base,
        }
    }

    /// It is to be switched on when a node joins.
    pub fn unfences(&self) -> bool {
        let configured = self.parameters.get("provides").map(String::as_str);
        self.facts.unfences || configured == Some("unfencing")
    }

    /// What the agent is told on its standard input.
    pub fn lines(&self, word: &str, target: Option<&str>) -> Vec<(String, String)> {
        let line = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut lines = vec![line("action", word)];
        let argument = match self.own("host_argument") {
            Some("none") => None,
            Some(name) => Some(name.to_owned()),
            None => self.facts.host_argument.clone(),
        };
        if let Some(target) = target {
            lines.push(line("nodename", target));
        }
        for (name, value) in &self.parameters {
            let ours = name.starts_with("pcmk_") || name.starts_with("CRM_meta");
            let hosts = target.is_some() && argument.as_deref() == Some(name);
            if !ours && !NOT_FOR_AGENTS.contains(&name.as_str()) && name != "action" && !hosts {
                lines.push(line(name, value));
            }
        }
        if let (Some(target), Some(argument)) = (target, argument) {
            // A configured value goes first: the device then fences one node only, whatever it is called.
            let value = match self.parameters.get(&argument) {
                Some(fixed) if fixed != "dynamic" && !fixed.is_empty() => fixed.clone(),
                _ => self.name_of(target),
            };
            lines.push((argument, value));
        }
        lines
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', ';', '\t', '\n'])
        .filter(|part| !part.is_empty())
}

/// A span of time: seconds unless it has a unit; milliseconds.
fn span_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..end].parse().ok()?;
    let unit = match text[end..].trim() {
        "" | "s" | "sec" => 1000,
        "ms" | "msec" => 1,
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Whom a level is for.
#[derive(Debug, Clone)]
pub enum Target {
    /// The node with this name.
    Node(String),
    /// Nodes whose names a regular expression finds.
    Pattern(regex_lite::Regex),
    /// Nodes with this value of a node attribute.
    Attribute {
        /// The attribute.
        name: String,
        /// Its value.
        value: String,
    },
}

/// Devices that must all succeed.
#[derive(Debug, Clone)]
pub struct Level {
    /// Whom it is for.
    pub target: Target,
    /// Lower ones go first.
    pub index: u8,
    /// The devices, in order.
    pub devices: Vec<String>,
}

impl Level {
    /// Whether it is for a node with these attributes.
    pub fn is_for(&self, node: &str, attributes: &[(String, String)]) -> bool {
        match &self.target {
            Target::Node(name) => name == node,
            Target::Pattern(pattern) => pattern.is_match(node),
            Target::Attribute { name, value } => attributes
                .iter()
                .any(|(known, has)| known == name && has == value),
        }
    }
}

/// The topology of a CIB. Levels that say nothing sensible are left out; the checker of configurations
/// names them.
pub fn topology(cib: &Cib) -> Vec<Level> {
    let configuration = cib.section(Section::Configuration);
    let section = configuration.and_then(|c| c.child("fencing-topology"));
    let levels = section
        .into_iter()
        .flat_map(|s| s.children_named("fencing-level"));
    levels.take(ENTRIES_MAX).filter_map(level).collect()
}

fn level(element: Element<'_>) -> Option<Level> {
    let index = element.attr("index")?.parse().ok()?;
    if !LEVELS.contains(&index) {
        return None;
    }
    let target = if let Some(name) = element.attr("target") {
        Target::Node(name.to_owned())
    } else if let Some(pattern) = element.attr("target-pattern") {
        Target::Pattern(regex_lite::Regex::new(pattern).ok()?)
    } else {
        Target::Attribute {
            name: element.attr("target-attribute")?.to_owned(),
            value: element.attr("target-value")?.to_owned(),
        }
    };
    let devices: Vec<String> = split(element.attr("devices")?).map(str::to_owned).collect();
    (!devices.is_empty()).then_some(Level {
        target,
        index,
        devices,
    })
}

/// The devices of a CIB: every resource of class `stonith` that is not switched off, whether it is
/// started or not. What their agents can do is not known here.
pub fn devices(cib: &Cib) -> Vec<Device> {
    let Some(resources) = cib.section(Section::Resources) else {
        return Vec::new();
    };
    let primitives = resources
        .descendants()
        .filter(|e| e.name() == "primitive" && e.attr("class") == Some("stonith"));
    let bans = bans(cib);
    primitives
        .take(ENTRIES_MAX)
        .filter(|primitive| !is_off(*primitive))
        .map(|primitive| {
            let pairs = pairs(primitive, "instance_attributes");
            let id = primitive.id().to_owned();
            Device {
                banned: bans.get(&id).cloned().unwrap_or_default(),
                id,
                agent: primitive.attr("type").unwrap_or_default().to_owned(),
                parameters: pairs,
                ..Device::default()
            }
        })
        .collect()
}

fn pairs(element: Element<'_>, block: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for block in element.children().filter(|child| child.name() == block) {
        for pair in block.children_named("nvpair") {
            if let (Some(name), Some(value)) = (pair.attr("name"), pair.attr("value")) {
                found
                    .entry(name.to_owned())
                    .or_insert_with(|| value.to_owned());
            }
        }
    }
    found
}

fn is_off(primitive: Element<'_>) -> bool {
    let role = pairs(primitive, "meta_attributes").remove("target-role");
    role.is_some_and(|role| role.eq_ignore_ascii_case("stopped"))
}

/// Nodes that a location constraint keeps from a device for ever.
fn bans(cib: &Cib) -> BTreeMap<String, BTreeSet<String>> {
    let mut bans: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let constraints = cib.section(Section::Constraints).into_iter();
    for location in constraints.flat_map(|c| c.children_named("rsc_location")) {
        let never = matches!(location.attr("score"), Some("-INFINITY" | "-infinity"));
        if let (true, Some(resource), Some(node)) =
            (never, location.attr("rsc"), location.attr("node"))
        {
            bans.entry(resource.to_owned())
                .or_default()
                .insert(node.to_owned());
        }
    }
    bans
}

#[cfg(test)]
mod tests;
