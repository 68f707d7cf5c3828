//! What is run, and how it ended.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::collect::Left;

/// An agent's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// `ocf`, `systemd`, `lsb`, `service`, `nagios`, `upstart` or `stonith`.
    pub class: String,
    /// For class `ocf`: the directory under the agents' path.
    pub provider: Option<String>,
    /// The file's, unit's or fence agent's name.
    pub kind: String,
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.class)?;
        if let Some(provider) = &self.provider {
            write!(f, ":{provider}")?;
        }
        write!(f, ":{}", self.kind)
    }
}

/// Why an agent cannot be run on this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The class is not one that this program runs.
    #[error("agents of class {0} are not run here")]
    Class(String),
    /// A provider or type that would lead out of the agents' directories.
    #[error("{0} is not a name of an agent")]
    Name(String),
    /// Another class's program is not there.
    #[error("{agent} is not installed: there is no {}", .file.display())]
    Program {
        /// The agent.
        agent: String,
        /// What was looked for.
        file: PathBuf,
    },
    /// There is no such file.
    #[error("{agent} is not installed: no {provider}/{kind} under {searched}")]
    File {
        /// The agent.
        agent: String,
        /// Its directory.
        provider: String,
        /// Its file.
        kind: String,
        /// The directories that were searched.
        searched: String,
    },
}

impl Agent {
    /// An OCF agent's file: the first under `directories` that exists.
    ///
    /// # Errors
    /// [`Missing`]: the configuration or the node is at fault; nothing was run.
    pub fn find(&self, directories: &[PathBuf]) -> Result<PathBuf, Missing> {
        let (Some(provider), "ocf") = (self.provider.as_deref(), self.class.as_str()) else {
            return Err(Missing::Class(self.class.clone()));
        };
        for name in [provider, &self.kind] {
            let one_component = Path::new(name).components().count() == 1;
            if !one_component || name.starts_with('.') || name.contains(['/', '\0']) {
                return Err(Missing::Name(self.to_string()));
            }
        }
        let file = |directory: &PathBuf| directory.join(provider).join(&self.kind);
        directories
            .iter()
            .map(file)
            .find(|path| path.exists())
            .ok_or_else(|| {
                let list: Vec<String> = directories
                    .iter()
                    .map(|d| d.display().to_string())
                    .collect();
                Missing::File {
                    agent: self.to_string(),
                    provider: provider.to_owned(),
                    kind: self.kind.clone(),
                    searched: list.join(":"),
                }
            })
    }
}

/// The prefix of parameters in an agent's environment.
const PARAMETER: &str = "OCF_RESKEY_";

/// The prefix of meta-attributes there.
const META: &str = "OCF_RESKEY_CRM_meta_";

/// One operation of a resource.
#[derive(Clone, PartialEq, Eq)]
pub struct Operation {
    /// The resource's id.
    pub resource: String,
    /// Its agent.
    pub agent: Agent,
    /// The agent's first argument.
    pub action: String,
    /// How long the agent may take.
    pub timeout: Duration,
    /// Variables for the agent, complete but for what it inherits; see [`crate::environment`].
    pub environment: Vec<(String, String)>,
    /// Find out what the agent leaves running; see [`crate::collect`].
    pub collect: bool,
}

impl Operation {
    /// The resource's parameters, without meta-attributes.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment.iter().filter_map(|(name, value)| {
            let parameter = name.strip_prefix(PARAMETER)?;
            let own = !name.starts_with(META) && parameter != "crm_feature_set";
            own.then_some((parameter, value.as_str()))
        })
    }

    /// A meta-attribute of the operation, its name written with `_`.
    pub fn meta(&self, name: &str) -> Option<&str> {
        let found = self
            .environment
            .iter()
            .find(|(known, value)| known.strip_prefix(META) == Some(name) && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// It only asks what runs, once.
    pub fn is_probe(&self) -> bool {
        self.action == "monitor" && matches!(self.meta("interval"), None | Some("0"))
    }
}

/// Values of parameters may be secrets: only names are shown.
impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(n, _)| n.as_str()).collect();
        f.debug_struct("Operation")
            .field("resource", &self.resource)
            .field("agent", &self.agent)
            .field("action", &self.action)
            .field("timeout", &self.timeout)
            .field("environment", &names)
            .field("collect", &self.collect)
            .finish()
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The agent exited by itself.
    Complete,
    /// Its time was over; its process group was ended.
    Timeout,
    /// There is no such agent on this node, or it is not a program.
    NotInstalled,
    /// It could not be started, or was ended by a signal.
    Error,
    /// It was ended on request.
    Cancelled,
}

impl Status {
    /// A stable word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Timeout => "timeout",
            Self::NotInstalled => "not-installed",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The result of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// The agent's exit code, or the code that stands for what happened.
    pub rc: u8,
    /// The agent's own words (or ours, when it had no chance to say any).
    pub exit_reason: String,
    /// The end of what it wrote to standard output.
    pub output: String,
    /// How long it ran.
    pub exec_time: Duration,
    /// How long it waited for its turn.
    pub queue_time: Duration,
    /// What it left running; none when nobody looked.
    pub left: Option<Vec<Left>>,
}

impl Outcome {
    /// An outcome without a run.
    pub fn without_run(status: Status, rc: u8, exit_reason: impl Into<String>) -> Self {
        Self {
            status,
            rc,
            exit_reason: exit_reason.into(),
            output: String::new(),
            exec_time: Duration::ZERO,
            queue_time: Duration::ZERO,
            left: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lead_out_of_the_directories() {
        let dir = tempfile::tempdir().unwrap();
        let roots = [dir.path().to_owned()];
        let agent = |class: &str, provider: &str, kind: &str| Agent {
            class: class.into(),
            provider: Some(provider.into()),
            kind: kind.into(),
        };
        for (provider, kind) in [
            ("..", "sh"),
            ("a", "../../bin/sh"),
            ("", "x"),
            ("a", ".x"),
            ("/", "x"),
        ] {
            let found = agent("ocf", provider, kind).find(&roots);
            assert!(
                matches!(found, Err(Missing::Name(_))),
                "{provider} {kind}: {found:?}"
            );
        }
        assert!(matches!(
            agent("upstart", "a", "b").find(&roots),
            Err(Missing::Class(_))
        ));
        let text = agent("ocf", "heartbeat", "Gone")
            .find(&roots)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("ocf:heartbeat:Gone is not installed"),
            "{text}"
        );
    }
}
