//! What an agent says of itself: its actions with their default timeouts, its parameters.
//!
//! Resource agents and fence agents use nearly the same vocabulary (OCF resource agent API 1.0 and 1.1,
//! and the fence agents' own additions); both are read here. The reader is lenient: what it does not
//! know is passed over, because agents are of many ages.

use std::time::Duration;

use cib::{Document, Element};

use crate::agent::{Agent, Operation, Status};
use crate::environment;
use crate::process::{self, Surroundings};
use crate::secrets;

/// How long an agent may take to describe itself; the slowest take a second.
const READ_MAX: Duration = Duration::from_secs(20);

/// Longest description that is read.
const BYTES_MAX: usize = 1 << 20;

/// Actions and parameters that are read of one agent; the largest have some hundred.
const ENTRIES_MAX: usize = 1024;

/// Longest default that is believed: agents' defaults are advice, and a typing error would be one too.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// An agent's description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its actions, in its own order.
    pub actions: Vec<Action>,
    /// Its parameters, in its own order.
    pub parameters: Vec<Parameter>,
}

/// An action of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Action {
    /// Its name.
    pub name: String,
    /// For one role only.
    pub role: Option<String>,
    /// How long it may take, as its author thinks.
    pub timeout: Option<Duration>,
    /// How often it is to be repeated.
    pub interval: Option<Duration>,
    /// The level of a check.
    pub depth: Option<String>,
    /// A fence agent's action that is to be done by itself when a node joins (unfencing).
    pub automatic: bool,
    /// A fence agent's action that must run on the target.
    pub on_target: bool,
}

/// A parameter of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// It must be given.
    pub required: bool,
    /// Its value must differ between resources.
    pub unique: bool,
    /// Its value is a secret.
    pub secret: bool,
    /// A change needs no restart.
    pub reloadable: bool,
    /// It has been replaced by another.
    pub deprecated: bool,
    /// Its value when it is not given.
    pub default: Option<String>,
}

/// Why there is no description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The agent did not describe itself; nothing was changed.
    #[error("{agent} does not describe itself: {why}")]
    Silent {
        /// The agent.
        agent: String,
        /// What happened.
        why: String,
    },
    /// What it says is no description.
    #[error("what {agent} says of itself is not a description: {why}")]
    Garbage {
        /// The agent.
        agent: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Metadata {
    /// Reads a description.
    ///
    /// # Errors
    /// It is not XML, too long, or not a description; in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("it is longer than {BYTES_MAX} bytes"));
        }
        let document = Document::parse(&without_prolog(text), None).map_err(|e| e.to_string())?;
        let root = document.root();
        if root.name() != "resource-agent" {
            return Err(format!("it begins with <{}>", root.name()));
        }
        let list = |outer: &str, inner: &'static str| {
            let outer = root.child(outer);
            let all = outer.into_iter().flat_map(move |o| o.children_named(inner));
            all.take(ENTRIES_MAX).collect::<Vec<_>>()
        };
        Ok(Self {
            name: root.attr("name").unwrap_or_default().to_owned(),
            actions: list("actions", "action").into_iter().map(action).collect(),
            parameters: list("parameters", "parameter")
                .into_iter()
                .map(parameter)
                .collect(),
        })
    }

    /// The action with this name (the first, where there are several).
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.name == name)
    }

    /// The parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|known| known.name == name)
    }

    /// How long an action may take, as the agent's author thinks.
    pub fn default_timeout(&self, action: &str) -> Option<Duration> {
        self.action(action)?.timeout
    }
}

/// Has an agent describe itself.
///
/// # Errors
/// [`MetadataError`]; nothing was changed.
pub async fn read(
    agent: &Agent,
    ocf_root: &str,
    around: &Surroundings,
) -> Result<Metadata, MetadataError> {
    let silent = |why: String| MetadataError::Silent {
        agent: agent.to_string(),
        why,
    };
    let operation = Operation {
        resource: agent.kind.clone(),
        agent: agent.clone(),
        action: "meta-data".to_owned(),
        timeout: READ_MAX,
        environment: environment::ocf(&agent.kind, agent, ocf_root, &[]),
        collect: false,
    };
    let (_go_on, cancel) = tokio::sync::oneshot::channel();
    let outcome = process::run(&operation, around, cancel).await;
    if outcome.status != Status::Complete || outcome.rc != 0 {
        return Err(silent(if outcome.exit_reason.is_empty() {
            format!("exit code {}", outcome.rc)
        } else {
            outcome.exit_reason
        }));
    }
    Metadata::parse(&outcome.output).map_err(|why| MetadataError::Garbage {
        agent: agent.to_string(),
        why,
    })
}

/// A declaration of the document's type says nothing here, and names files that nobody has; whatever an
/// agent prints before its description is its own business.
fn without_prolog(text: &str) -> String {
    let begin = text.find("<resource-agent").unwrap_or(0);
    text[begin..].to_owned()
}

fn action(element: Element<'_>) -> Action {
    let text = |name: &str| element.attr(name).filter(|v| !v.is_empty());
    let time = |name: &str| text(name).and_then(span);
    Action {
        name: text("name").unwrap_or_default().to_owned(),
        role: text("role").map(str::to_owned),
        timeout: time("timeout").filter(|timeout| !timeout.is_zero() && *timeout <= TIMEOUT_MAX),
        interval: time("interval"),
        depth: text("depth").map(str::to_owned),
        automatic: text("automatic").is_some_and(is_true),
        on_target: text("on_target").is_some_and(is_true),
    }
}

fn parameter(element: Element<'_>) -> Parameter {
    let flag = |name: &str| element.attr(name).is_some_and(is_true);
    let name = element.attr("name").unwrap_or_default();
    // Both vocabularies have a group of parameters whose values are private.
    let private = element.attr("unique-group") == Some("private") || flag("private");
    let content = element.child("content");
    Parameter {
        name: name.to_owned(),
        required: flag("required"),
        unique: flag("unique") || element.attr("unique-group").is_some_and(|g| g != "private"),
        secret: private || secrets::is_secret_name(name),
        reloadable: flag("reloadable"),
        deprecated: flag("deprecated") || element.child("deprecated").is_some(),
        default: content
            .and_then(|content| content.attr("default"))
            .map(str::to_owned),
    }
}

fn is_true(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "1" | "y" | "yes" | "on" | "true"
    )
}

/// A span of time as agents write it: `20`, `20s`, `500ms`, `1m`, `2min`, `1h`.
fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..end].parse().ok()?;
    let millis = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "s" | "sec" => 1000,
        "ms" | "msec" => 1,
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="db" version="1.0">
<version>1.0</version>
<shortdesc lang="en">A database</shortdesc>
<parameters>
<parameter name="ip" unique="1" required="1"><content type="string"/></parameter>
<parameter name="passwd"><content type="string" default="x"/></parameter>
<parameter name="level" unique-group="private"><content type="string" default=""/></parameter>
</parameters>
<actions>
<action name="start" timeout="90s"/>
<action name="monitor" depth="0" timeout="20" interval="10s" role="Promoted"/>
<action name="on" automatic="1" on_target="1"/>
<action name="stop" timeout="999999999h"/>
</actions>
</resource-agent>"#;

    #[test]
    fn a_description_is_read() {
        let read = Metadata::parse(TEXT).unwrap();
        assert_eq!(read.name, "db");
        assert_eq!(read.default_timeout("start"), Some(Duration::from_secs(90)));
        assert_eq!(read.default_timeout("stop"), None, "nobody means that");
        let monitor = read.action("monitor").unwrap();
        assert_eq!(monitor.interval, Some(Duration::from_secs(10)));
        assert_eq!(monitor.role.as_deref(), Some("Promoted"));
        assert!(read.action("on").unwrap().automatic);
        let secret = |name: &str| read.parameter(name).unwrap().secret;
        assert!(secret("passwd") && secret("level") && !secret("ip"));
        assert!(read.parameter("ip").unwrap().required);
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for text in ["", "usage: agent {start|stop}", "<a/>", "<resource-agent"] {
            assert!(Metadata::parse(text).is_err(), "{text}");
        }
    }
}
