//! What a script may choose before its cluster starts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::span::parse_duration;

/// The sites, in order of preference, and the arbitrator.
pub(crate) const SITES: [&str; 2] = ["berlin", "paris"];

/// The third voter.
pub(crate) const ARBITRATOR: &str = "arb";

/// The ticket that gates the web service.
pub(crate) const TICKET: &str = "web";

/// What drives the service of a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manager {
    /// Our local stack, running the OCF agent.
    #[default]
    LocalStack,
    /// A command, as a site with a cluster manager of its own would use.
    Command,
}

/// The choices.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) lease: Duration,
    pub(crate) acquire_after: Duration,
    /// How long a stop of the service may take, before the guard ends it.
    pub(crate) stop_budget: Duration,
    pub(crate) manager: Manager,
    pub(crate) manual: bool,
    /// How long a cluster command may take (manager `command`).
    pub(crate) command_timeout: Duration,
    /// Clock rates by member, in parts per million (binaries with the feature `test-clock`).
    pub(crate) clock_ppm: BTreeMap<String, i64>,
    /// Safety rules switched off (binaries with the feature `weaken`).
    pub(crate) weaken: Vec<String>,
    /// Configured bound of the clocks' rates, as in the configuration file.
    pub(crate) drift: String,
}

impl Default for Settings {
    /// Short enough to watch, long enough that a busy laptop renews in time.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(5),
            acquire_after: Duration::from_secs(3),
            stop_budget: Duration::from_secs(2),
            manager: Manager::LocalStack,
            manual: false,
            command_timeout: Duration::from_secs(2),
            clock_ppm: BTreeMap::new(),
            weaken: Vec::new(),
            drift: "1%".into(),
        }
    }
}

impl Settings {
    /// `set KEY VALUE`.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "lease" => self.lease = parse_duration(value)?,
            "acquire-after" => self.acquire_after = parse_duration(value)?,
            "stop-budget" => self.stop_budget = parse_duration(value)?,
            "command-timeout" => self.command_timeout = parse_duration(value)?,
            "drift" => self.drift = value.into(),
            "manager" => {
                self.manager = match value {
                    "local-stack" => Manager::LocalStack,
                    "command" => Manager::Command,
                    _ => return Err(format!("manager `{value}`: local-stack or command")),
                }
            }
            "mode" => {
                self.manual = match value {
                    "auto" => false,
                    "manual" => true,
                    _ => return Err(format!("mode `{value}`: auto or manual")),
                }
            }
            "weaken" => self.weaken = value.split(',').map(str::to_owned).collect(),
            _ => return self.set_clock(key, value),
        }
        Ok(())
    }

    fn set_clock(&mut self, key: &str, value: &str) -> Result<(), String> {
        let known = "lease, acquire-after, stop-budget, command-timeout, drift, manager, mode, \
                     weaken, clock.berlin, clock.paris, clock.arb";
        let Some(member) = key.strip_prefix("clock.") else {
            return Err(format!("`{key}` cannot be set: {known}"));
        };
        if !is_member(member) {
            return Err(format!("`{member}` is not a member: {known}"));
        }
        let ppm = value
            .strip_suffix("ppm")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| format!("`{value}`: write a rate as -9900ppm"))?;
        self.clock_ppm.insert(member.into(), ppm);
        Ok(())
    }

    /// The one line that each script prints before it starts.
    pub(crate) fn summary(&self) -> String {
        use crate::clock::Human;
        let mut text = format!(
            "lease {}, acquire-after {}, stop budget {}",
            Human(self.lease),
            Human(self.acquire_after),
            Human(self.stop_budget)
        );
        if self.manager == Manager::Command {
            text += ", sites driven by a command";
        }
        for (member, ppm) in &self.clock_ppm {
            text += &format!(", clock of {member} {ppm:+} ppm");
        }
        for rule in &self.weaken {
            text += &format!(", WITHOUT the rule {rule}");
        }
        text
    }
}

/// Whether there is a member of that name.
pub(crate) fn is_member(name: &str) -> bool {
    SITES.contains(&name) || name == ARBITRATOR
}

/// All members.
pub(crate) fn members() -> impl Iterator<Item = &'static str> {
    SITES.into_iter().chain([ARBITRATOR])
}
