//! Plugins of Nagios and Icinga: they watch something that is started elsewhere (a service inside a
//! guest, for example).
//!
//! A start is done when the plugin is content; a stop does nothing; a probe finds nothing running as
//! long as the plugin can be run at all, so that a start follows.

use std::path::Path;

use super::names::component;
use super::{Means, Program, Said, not_implemented};
use crate::agent::{Missing, Operation, Outcome, Status};
use crate::rc;

pub(crate) fn means(operation: &Operation, directory: &Path) -> Result<Means, Missing> {
    let file = directory.join(component(&operation.agent)?);
    if !file.exists() {
        return Err(Missing::Program {
            agent: operation.agent.to_string(),
            file,
        });
    }
    let program = |arguments, meaning| Program {
        file: file.clone(),
        arguments,
        ocf: false,
        meaning,
    };
    Ok(match operation.action.as_str() {
        "stop" => Means::Done(Outcome::without_run(Status::Complete, rc::OK, "")),
        "start" => Means::Watch(program(arguments(operation), watched)),
        "monitor" if operation.is_probe() => {
            Means::Program(program(vec!["--version".to_owned()], probed))
        }
        "monitor" => Means::Program(program(arguments(operation), watched)),
        _ => not_implemented(operation),
    })
}

/// Every parameter becomes a long option; one without a value is a switch.
fn arguments(operation: &Operation) -> Vec<String> {
    let mut arguments = Vec::new();
    for (name, value) in operation.parameters() {
        arguments.push(format!("--{name}"));
        if !value.is_empty() {
            arguments.push(value.to_owned());
        }
    }
    arguments
}

/// Only "ok" is good: a warning is what the operator asked to be warned of.
fn watched(_: &str, code: u8, _: &Said<'_>) -> u8 {
    u8::from(code != 0)
}

/// Plugins answer `--version` with 0, or with 3, "unknown", by the older rules.
fn probed(_: &str, code: u8, _: &Said<'_>) -> u8 {
    match code {
        0 | 3 => rc::NOT_RUNNING,
        _ => rc::ERROR,
    }
}
