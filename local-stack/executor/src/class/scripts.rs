//! Init scripts (class `lsb`) and upstart's jobs.
//!
//! Both take no parameters. An init script's `status` has exit codes of its own (Linux Standard Base
//! Core, chapter 22.2); the other actions' are the first eight of the resource agents'.

use std::path::Path;

use super::names::component;
use super::{Means, Program, Said, not_implemented};
use crate::agent::{Missing, Operation};
use crate::rc;

/// An init script's operation.
pub(crate) fn lsb(operation: &Operation, directory: &Path) -> Result<Means, Missing> {
    let name = component(&operation.agent)?;
    let file = directory.join(name);
    if !file.exists() {
        return Err(Missing::Program {
            agent: operation.agent.to_string(),
            file,
        });
    }
    let argument = match operation.action.as_str() {
        "start" | "stop" => operation.action.as_str(),
        "monitor" | "status" => "status",
        _ => return Ok(not_implemented(operation)),
    };
    Ok(Means::Program(Program {
        file,
        arguments: vec![argument.to_owned()],
        ocf: false,
        meaning: lsb_meaning,
    }))
}

fn lsb_meaning(action: &str, code: u8, _: &Said<'_>) -> u8 {
    match (action, code) {
        ("monitor" | "status", 0) => rc::OK,
        // Dead with or without a pid file or lock file, or not running.
        ("monitor" | "status", 1..=3) => rc::NOT_RUNNING,
        ("monitor" | "status", 150) => rc::NOT_INSTALLED,
        ("monitor" | "status", 151) => rc::INSUFFICIENT_PRIVILEGES,
        ("monitor" | "status", _) => rc::ERROR,
        // A service that is not running is stopped.
        ("stop", rc::NOT_RUNNING) => rc::OK,
        (_, 0..=7) => code,
        _ => rc::ERROR,
    }
}

/// An upstart job's operation.
pub(crate) fn upstart(operation: &Operation, initctl: &Path) -> Result<Means, Missing> {
    let name = component(&operation.agent)?;
    if !initctl.exists() {
        return Err(Missing::Program {
            agent: operation.agent.to_string(),
            file: initctl.to_owned(),
        });
    }
    let word = match operation.action.as_str() {
        "start" | "stop" => operation.action.as_str(),
        "monitor" | "status" => "status",
        _ => return Ok(not_implemented(operation)),
    };
    Ok(Means::Program(Program {
        file: initctl.to_owned(),
        arguments: vec![word.to_owned(), name.to_owned()],
        ocf: false,
        meaning: upstart_meaning,
    }))
}

fn upstart_meaning(action: &str, code: u8, said: &Said<'_>) -> u8 {
    let unknown = said.stderr.contains("Unknown job");
    match action {
        _ if unknown => rc::NOT_INSTALLED,
        "start" if code != 0 && said.stderr.contains("already running") => rc::OK,
        "stop" if code != 0 && said.stderr.contains("Unknown instance") => rc::OK,
        "start" | "stop" => u8::from(code != 0),
        _ if code != 0 => rc::ERROR,
        _ if said.stdout.contains("start/running") => rc::OK,
        _ => rc::NOT_RUNNING,
    }
}
