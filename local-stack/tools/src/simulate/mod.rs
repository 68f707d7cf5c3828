//! `crm_simulate`: what a cluster would do in a given state.

mod dot;
mod inject;
mod play;
mod profile;
mod scores;
mod summary;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use cib::Cib;
use scheduler::{Inputs, Status};

use crate::answer::{self, Answer, Call, Frame};
use crate::args::{Given, Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::source;
use inject::{NodeChange, OperationSpec};

const TOOL: Tool = Tool {
    name: "crm_simulate",
    about: "crm_simulate - simulate a Pacemaker cluster's response to events",
    flags: &[
        switch(
            'R',
            "run",
            "Show what the cluster will do in response to the input",
        ),
        switch(
            'S',
            "simulate",
            "Like --run, and show the status after doing it",
        ),
        switch(
            'X',
            "in-place",
            "Like --simulate, and store the result in the input file",
        ),
        switch('A', "show-attrs", "Show node attributes"),
        switch('c', "show-failcounts", "Show resource fail counts"),
        switch('s', "show-scores", "Show allocation scores"),
        switch('U', "show-utilization", "Show utilization information"),
        valued(
            'P',
            "profile",
            "DIR",
            "Process all files of a directory and print timings",
        ),
        valued('N', "repeat", "N", "With --profile, repeat each N times"),
        valued('u', "node-up", "NODE", "Simulate bringing a node online"),
        valued('d', "node-down", "NODE", "Simulate taking a node offline"),
        valued('f', "node-fail", "NODE", "Simulate a node failing"),
        valued(
            'i',
            "op-inject",
            "OPSPEC",
            "Generate a failure (RSC_OP_INTERVAL@NODE=RC)",
        ),
        valued(
            'F',
            "op-fail",
            "OPSPEC",
            "Let an action of the simulation fail",
        ),
        valued(
            't',
            "set-datetime",
            "DATETIME",
            "Set date/time (ISO 8601, or seconds)",
        ),
        valued(
            'q',
            "quorum",
            "QUORUM",
            "Set to '1' (or 'true') to indicate quorum",
        ),
        valued(
            'w',
            "watchdog",
            "DEVICE",
            "Set to '1' (or 'true') to indicate a watchdog",
        ),
        valued('g', "ticket-grant", "TICKET", "Simulate granting a ticket"),
        valued('r', "ticket-revoke", "TICKET", "Simulate revoking a ticket"),
        valued(
            'b',
            "ticket-standby",
            "TICKET",
            "Simulate making a ticket standby",
        ),
        valued(
            'e',
            "ticket-activate",
            "TICKET",
            "Simulate activating a ticket",
        ),
        valued('I', "save-input", "FILE", "Save the input configuration"),
        valued('O', "save-output", "FILE", "Save the output configuration"),
        valued('G', "save-graph", "FILE", "Save the transition graph (XML)"),
        valued(
            'D',
            "save-dotfile",
            "FILE",
            "Save the transition graph (DOT)",
        ),
        switch(
            'a',
            "all-actions",
            "Taken for compatibility; the graph has no other actions",
        ),
        switch('L', "live-check", "Use the running cluster as input"),
        valued(
            'x',
            "xml-file",
            "FILE",
            "Retrieve XML from the named file (\"-\": stdin)",
        ),
        switch('p', "xml-pipe", "Retrieve XML from stdin"),
        switch('Q', "quiet", "Display only essential output"),
    ],
};

/// Option, what it does, and how that is told in XML and in text.
const NODE_CHANGES: &[(&str, NodeChange, &str, &str)] = &[
    (
        "node-up",
        NodeChange::Up,
        "Online",
        "Bringing node % online",
    ),
    (
        "node-down",
        NodeChange::Down,
        "Offline",
        "Taking node % offline",
    ),
    ("node-fail", NodeChange::Fail, "Failing", "Failing node %"),
];

/// Option, the ticket's attribute and its value, and how that is told in XML and in text.
const TICKET_CHANGES: &[(&str, (&str, &str), &str, &str)] = &[
    (
        "ticket-grant",
        ("granted", "true"),
        "Granting",
        "Granting ticket %",
    ),
    (
        "ticket-revoke",
        ("granted", "false"),
        "Revoking",
        "Revoking ticket %",
    ),
    (
        "ticket-standby",
        ("standby", "true"),
        "Standby",
        "Making ticket % standby",
    ),
    (
        "ticket-activate",
        ("standby", "false"),
        "Activating",
        "Activating ticket %",
    ),
];

/// Runs `crm_simulate` with its arguments.
pub fn crm_simulate(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.collect();
    answer::run(&TOOL, &arguments, run)
}

/// What is printed, and when it is.
struct Run<'a> {
    given: &'a Given,
    now: i64,
    quiet: bool,
    text: String,
    frame: Option<Frame>,
}

fn now(given: &Given) -> Result<Option<i64>, Failure> {
    let Some(text) = given.value("set-datetime") else {
        return Ok(None);
    };
    let at = text.parse().ok().or_else(|| scheduler::parse_time(text));
    at.map(Some).ok_or_else(|| {
        let message = format!("'{text}' is no date; write it as 2026-01-31 12:00:00Z");
        Failure::new(exit::USAGE, message)
    })
}

/// Seconds since the epoch, by the clock of this machine.
pub(crate) fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0))
}

fn input(given: &Given) -> Result<String, Failure> {
    if given.has("live-check") && given.value("xml-file").is_none() {
        return source::cib_file();
    }
    match given.value("xml-file") {
        Some(path) => Ok(path.to_owned()),
        None if given.has("xml-pipe") => Ok("-".to_owned()),
        None => source::cib_file(),
    }
}

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let set = now(given)?;
    if let Some(directory) = given.value("profile") {
        return profile::run(call, directory, set);
    }
    let path = input(given)?;
    let mut cib = source::read_cib(&path)?;
    if let Some(file) = given.value("save-input") {
        source::write(file, &cib.to_text())?;
    }
    let now = set.or_else(|| recorded_time(&cib)).unwrap_or_else(clock);
    let mut run = Run {
        given,
        now,
        quiet: given.has("quiet"),
        text: String::new(),
        frame: call.frame(),
    };
    run.before(&cib)?;
    run.change(&mut cib)?;
    let output = run.after(&mut cib)?;
    if let Some(text) = output {
        if let Some(file) = given.value("save-output") {
            source::write(file, &text)?;
        }
        if given.has("in-place") {
            source::write(&path, &text)?;
        }
    }
    // Scores are for programs too: one fact per line, without decoration.
    let plain = given.has("show-scores") || given.has("show-utilization");
    Ok(Answer {
        text: if plain && !given.has("text-fancy") {
            undecorated(&run.text)
        } else {
            run.text
        },
        xml: run.frame,
        ..Answer::default()
    })
}

impl Run<'_> {
    fn inputs(&self) -> Inputs {
        Inputs {
            now: self.now,
            grants: None,
        }
    }

    fn before(&mut self, cib: &Cib) -> Result<(), Failure> {
        let given = self.given;
        if self.quiet && self.frame.is_none() {
            return Ok(());
        }
        let status = scheduler::status(cib, &self.inputs());
        if given.value("set-datetime").is_none()
            && let Some(at) = recorded_time(cib)
            && self.frame.is_none()
        {
            let at = crate::date::utc_text(at);
            let _ = writeln!(self.text, "Using the original execution date of: {at}");
        }
        self.say_time();
        let (all, disabled, blocked) = crate::status_text::counts(&status);
        if disabled + blocked > 0 {
            let _ = writeln!(
                self.text,
                "{disabled} of {all} resource instances DISABLED and {blocked} BLOCKED from further \
                 action due to failure\n"
            );
        }
        self.describe(cib, &status, "Current cluster status:", "cluster_status");
        Ok(())
    }

    /// Each look at the cluster is said to be at the time that was asked for.
    fn say_time(&mut self) {
        if let (Some(text), true) = (self.given.value("set-datetime"), self.frame.is_none()) {
            let _ = writeln!(self.text, "Setting effective cluster time: {text}");
        }
    }

    fn describe(&mut self, cib: &Cib, status: &Status, title: &str, element: &str) {
        let (attributes, failures) = (
            self.given.has("show-attrs"),
            self.given.has("show-failcounts"),
        );
        if let Some(frame) = &mut self.frame {
            let root = frame.root;
            let parent = frame.add(root, element, &[]);
            crate::status_xml::write(cib, status, frame, parent);
            if attributes {
                crate::status_xml::write_attributes(status, frame, parent);
            }
            // The schema has no history in what comes after.
            if failures && element == "cluster_status" {
                crate::failures::xml(cib, status, frame, parent);
            }
            return;
        }
        let _ = writeln!(self.text, "{title}");
        self.text.push_str(&crate::status_text(status));
        if attributes {
            self.text.push_str(&crate::status_text::attributes(status));
        }
        if failures {
            self.text.push_str(&crate::failures::text(cib, status));
        }
        self.text.push('\n');
    }

    /// Applies what-if options, in the order in which Pacemaker does.
    fn change(&mut self, cib: &mut Cib) -> Result<(), Failure> {
        let given = self.given;
        let mut said = Said::default();
        if let Some(quorum) = given.value("quorum") {
            let root = cib.root().key();
            cib.document_mut().set_attr(root, "have-quorum", quorum);
            said.attribute("quorum", quorum);
        }
        if let Some(watchdog) = given.value("watchdog") {
            inject::set_option(cib, "have-watchdog", watchdog);
            said.attribute("watchdog", watchdog);
        }
        for (option, change, action, text) in NODE_CHANGES {
            for node in given.values(option) {
                inject::set_node(cib, node, *change);
                said.element("modify_node", ("node", node), ("action", action), text);
            }
        }
        for (option, (name, value), action, text) in TICKET_CHANGES {
            for ticket in given.values(option) {
                inject::set_ticket(cib, ticket, name, value);
                let element = "modify_ticket";
                said.element(element, ("ticket", ticket), ("action", action), text);
            }
        }
        self.inject(cib, &mut said)?;
        said.write(self);
        Ok(())
    }

    /// Puts results of operations into the history.
    fn inject(&self, cib: &mut Cib, said: &mut Said) -> Result<(), Failure> {
        for text in self.given.values("op-inject") {
            said.line(format!("  * Injecting {text} into the configuration"));
            said.elements
                .push(("inject_spec", vec![("spec", text.to_owned())]));
            let spec = OperationSpec::parse(text);
            match spec.and_then(|spec| inject::operation(cib, &spec, self.now)) {
                Ok((node, injected)) => {
                    for attribute in injected {
                        said.line(attribute.line(&node));
                        said.elements.push((
                            "inject_attr",
                            vec![
                                ("name", attribute.name),
                                ("value", attribute.value),
                                ("node_path", "/node_state".to_owned()),
                                ("cib_node", node.clone()),
                            ],
                        ));
                    }
                }
                Err(message) => return Err(Failure::new(exit::DATA, message)),
            }
        }
        Ok(())
    }

    /// The transition, and what comes of it: the CIB afterwards, if that was asked for.
    fn after(&mut self, cib: &mut Cib) -> Result<Option<String>, Failure> {
        let given = self.given;
        let which = (given.has("show-scores"), given.has("show-utilization"));
        let play = given.has("simulate") || given.has("in-place");
        let shown = which.0 || which.1;
        let saved = ["save-graph", "save-dotfile"].iter().any(|o| given.has(o));
        if !play && !given.has("run") && !shown && !saved {
            return Ok(given.has("save-output").then(|| cib.to_text()));
        }
        let inputs = self.inputs();
        // What changes is only told to those who asked.
        let told = !self.quiet || self.frame.is_some();
        let before = told.then(|| scheduler::status(cib, &inputs));
        let (transition, scores) = if shown {
            scheduler::simulate_with_scores(cib, &inputs)
        } else {
            (scheduler::simulate(cib, &inputs), Vec::new())
        };
        if shown {
            match &mut self.frame {
                Some(frame) => scores::xml(&scores, which, frame),
                None => {
                    self.text.push_str("Assignment Scores:\n");
                    self.text.push_str(&scores::text(&scores, which));
                    self.text.push('\n');
                }
            }
        }
        if let Some(file) = given.value("save-graph") {
            source::write_derived(file, &crate::graph_xml(&transition))?;
        }
        if let Some(file) = given.value("save-dotfile") {
            source::write_derived(file, &dot::dot(&transition))?;
        }
        let changes = before.map(|before| summary::changes(&before, &transition));
        match (&mut self.frame, changes) {
            (Some(frame), Some(changes)) => summary::xml(&changes, frame),
            (None, Some(changes)) => {
                let _ = write!(
                    self.text,
                    "Transition Summary:\n{}",
                    summary::text(&changes)
                );
            }
            (_, None) => {}
        }
        if !play {
            // The process ends here: its memory goes as one piece.
            std::mem::forget(transition);
            return Ok(given.has("save-output").then(|| cib.to_text()));
        }
        let mut failing = Vec::new();
        for text in given.values("op-fail") {
            let spec = OperationSpec::parse(text);
            failing.push(spec.map_err(|message| Failure::new(exit::DATA, message))?);
        }
        let events = play::play(cib, &transition, self.now, &failing);
        match &mut self.frame {
            Some(frame) => play::xml(&events, frame),
            None if !self.quiet => {
                let text = play::text(&events);
                let _ = write!(self.text, "\nExecuting Cluster Transition:\n{text}");
                self.say_time();
                self.text.push('\n');
            }
            None => {}
        }
        if !self.quiet || self.frame.is_some() {
            let status = scheduler::status(cib, &inputs);
            let title = "Revised Cluster Status:";
            self.describe(cib, &status, title, "revised_cluster_status");
        }
        Ok(Some(cib.to_text()))
    }
}

/// What was changed before the simulation.
#[derive(Default)]
struct Said {
    text: String,
    attributes: Vec<(&'static str, String)>,
    elements: Vec<(&'static str, Vec<(&'static str, String)>)>,
}

impl Said {
    fn line(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.text, "{}", line.as_ref());
    }

    fn attribute(&mut self, name: &'static str, value: &str) {
        self.line(format!("  * Setting {name}: {value}"));
        self.attributes.push((name, value.to_owned()));
    }

    fn element(
        &mut self,
        element: &'static str,
        (what, name): (&'static str, &str),
        (action_name, action): (&'static str, &str),
        text: &str,
    ) {
        self.line(format!("  * {}", text.replace('%', name)));
        let about = vec![(action_name, action.to_owned()), (what, name.to_owned())];
        self.elements.push((element, about));
    }

    fn write(self, run: &mut Run<'_>) {
        if self.text.is_empty() {
            return;
        }
        match &mut run.frame {
            Some(frame) => {
                let root = frame.root;
                let list = frame.add(root, "modifications", &[]);
                for (name, value) in &self.attributes {
                    frame.document.set_attr(list, name, value);
                }
                // The schema wants attributes after everything else.
                let last = |name: &str| name == "inject_attr";
                let mut elements = self.elements;
                elements.sort_by_key(|(name, _)| last(name));
                for (name, about) in &elements {
                    let about: Vec<(&str, &str)> =
                        about.iter().map(|(n, v)| (*n, v.as_str())).collect();
                    frame.add(list, name, &about);
                }
            }
            None if !run.quiet => {
                let text = &self.text;
                let _ = write!(run.text, "Performing Requested Modifications:\n{text}");
                run.say_time();
                run.text.push('\n');
            }
            None => {}
        }
    }
}

/// Without headings, bullets and indentation.
fn undecorated(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        let item = trimmed.strip_prefix("* ").unwrap_or(trimmed);
        if item.ends_with(':') && !item.contains(" capacity:") && !item.contains(" utilization on ")
        {
            continue;
        }
        // Of a list of nodes only the nodes are left.
        let item = match item.split_once(": [ ") {
            Some((_, nodes)) if item.ends_with(" ]") => &format!("[ {nodes}"),
            _ => item,
        };
        out.push_str(item);
        out.push('\n');
    }
    out
}

/// The CIB after a transition in which everything succeeds.
pub fn after(cib: &Cib, transition: &scheduler::Transition, now: i64) -> Cib {
    let mut cib = cib.clone();
    play::play(&mut cib, transition, now, &[]);
    cib
}

/// When a CIB was judged, if it remembers.
pub fn recorded_time(cib: &Cib) -> Option<i64> {
    cib.root()
        .attr("execution-date")
        .and_then(|d| d.parse().ok())
}
