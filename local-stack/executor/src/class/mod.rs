//! The classes of agents: where each is found, how it is called, and what its answers mean.
//!
//! Every class is turned into a [`Means`]: a program with its arguments, a unit of systemd, a fence
//! device, or an answer that needs no run. What is not here is "not installed", never an error of the
//! program.

pub(crate) mod nagios;
pub(crate) mod names;
pub(crate) mod scripts;
pub mod systemd;

use std::path::PathBuf;

use crate::agent::{Missing, Operation, Outcome, Status};
use crate::process::Surroundings;
use crate::rc;

/// Where agents that are no OCF agents live on this node.
#[derive(Debug, Clone)]
pub struct Places {
    /// Init scripts.
    pub init: PathBuf,
    /// Nagios plugins.
    pub plugins: PathBuf,
    /// Fence agents.
    pub fence: PathBuf,
    /// Upstart's own command.
    pub initctl: PathBuf,
    /// Where systemd answers.
    pub systemd: systemd::Address,
    /// Settings of units for as long as the machine runs.
    pub units: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            init: "/etc/init.d".into(),
            plugins: "/usr/lib/nagios/plugins".into(),
            fence: "/usr/sbin".into(),
            initctl: "/sbin/initctl".into(),
            systemd: systemd::Address::default(),
            units: "/run/systemd/system".into(),
        }
    }
}

/// How an operation is carried out.
#[derive(Debug)]
pub(crate) enum Means {
    /// A program is run once.
    Program(Program),
    /// A plugin is run until it is content: that is what a start means for something that only watches.
    Watch(Program),
    /// A unit of systemd.
    Unit(String),
    /// A fence device.
    Device,
    /// Nothing is to be run.
    Done(Outcome),
}

/// A program with its arguments, and what its answer means.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) file: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// The agent gets the OCF environment.
    pub(crate) ocf: bool,
    /// What an exit code means, given the action and what was printed.
    pub(crate) meaning: fn(&str, u8, &Said<'_>) -> u8,
}

/// What a program printed.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    pub(crate) stdout: &'a str,
    pub(crate) stderr: &'a str,
}

/// What an OCF agent says counts as it is.
pub(crate) fn as_it_is(_: &str, code: u8, _: &Said<'_>) -> u8 {
    code
}

/// How an operation is carried out here.
///
/// # Errors
/// [`Missing`]: there is no such agent on this node; nothing was run.
pub(crate) fn means(operation: &Operation, around: &Surroundings) -> Result<Means, Missing> {
    let agent = &operation.agent;
    match agent.class.as_str() {
        "ocf" => Ok(Means::Program(Program {
            file: agent.find(&around.directories)?,
            arguments: vec![operation.action.clone()],
            ocf: true,
            meaning: as_it_is,
        })),
        "lsb" => scripts::lsb(operation, &around.places.init),
        "upstart" => scripts::upstart(operation, &around.places.initctl),
        "systemd" => names::unit(agent).map(Means::Unit),
        "nagios" => nagios::means(operation, &around.places.plugins),
        "stonith" => Ok(Means::Device),
        "service" => service(operation, around),
        other => Err(Missing::Class(other.to_owned())),
    }
}

/// A service is whatever runs services here: an init script goes first, then systemd, then upstart.
fn service(operation: &Operation, around: &Surroundings) -> Result<Means, Missing> {
    let places = &around.places;
    names::component(&operation.agent)?;
    if places.init.join(&operation.agent.kind).exists() {
        return scripts::lsb(operation, &places.init);
    }
    if places.systemd.is_there() {
        return names::unit(&operation.agent).map(Means::Unit);
    }
    scripts::upstart(operation, &places.initctl)
}

/// An action that a class does not have.
pub(crate) fn not_implemented(operation: &Operation) -> Means {
    let text = format!(
        "agents of class {} have no action {}",
        operation.agent.class, operation.action
    );
    Means::Done(Outcome::without_run(
        Status::Complete,
        rc::NOT_IMPLEMENTED,
        text,
    ))
}
