//! `crm_mon`: the state of the cluster, once or again and again.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use cib::Cib;
use scheduler::Inputs;

use crate::answer::{self, Answer, Call};
use crate::args::{Flag, Given, Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::status_text::status_text;
use crate::{cibadmin, simulate, source, status_xml};

const FLAGS: &[Flag] = &[
    switch('1', "one-shot", "Display the cluster status once and exit"),
    switch('X', "as-xml", "Write the answer as XML"),
    valued(
        'h',
        "as-html",
        "FILE",
        "Write cluster status to the named HTML file",
    ),
    switch('d', "daemonize", "Run in the background as a daemon"),
    valued('p', "pid-file", "FILE", "Daemon pid file location"),
    valued('i', "interval", "TIMESPEC", "Update frequency"),
    valued(
        'E',
        "external-agent",
        "FILE",
        "(Taken and not used: see alerts)",
    ),
    valued(
        'e',
        "external-recipient",
        "RECIPIENT",
        "(Taken and not used)",
    ),
    switch('n', "group-by-node", "(Taken and not used)"),
    switch('r', "inactive", "Display inactive resources"),
    switch('f', "failcounts", "Display resource fail counts"),
    switch('o', "operations", "(Taken and not used)"),
    switch('t', "timing-details", "(Taken and not used)"),
    switch('c', "tickets", "(Taken and not used)"),
    switch('j', "pending", "(Taken and not used)"),
    switch('A', "show-node-attributes", "Display node attributes"),
    switch('R', "show-detail", "(Taken and not used)"),
    switch('b', "brief", "(Taken and not used)"),
    switch('D', "hide-headers", "Hide all headers"),
    switch('N', "disable-ncurses", "(Taken and not used)"),
    switch('Q', "quiet", "Display only essential output"),
    valued('U', "exclude", "SECTIONS", "(Taken and not used)"),
    valued('I', "include", "SECTIONS", "(Taken and not used)"),
    valued('m', "fence-history", "LEVEL", "(Taken and not used)"),
    valued(' ', "node", "NODE", "(Taken and not used)"),
    valued(' ', "resource", "RESOURCE", "(Taken and not used)"),
    switch(
        's',
        "simple-status",
        "Display the cluster status once as a simple one line output",
    ),
];

const TOOL: Tool = Tool {
    name: "crm_mon",
    about: "crm_mon - Provides a summary of cluster's current state",
    flags: FLAGS,
};

/// Between two looks unless the command line says otherwise.
const INTERVAL: Duration = Duration::from_secs(5);

/// Marks the copy of this program that was put into the background.
const BACKGROUND_VARIABLE: &str = "INTERLOCK_CRM_MON_BACKGROUND";

/// Runs `crm_mon` with its arguments.
pub(crate) fn crm_mon(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, |call| run(call, arguments))
}

fn run(call: &Call<'_>, arguments: &[String]) -> Result<Answer, Failure> {
    let given = call.given;
    if given.has("daemonize") && std::env::var_os(BACKGROUND_VARIABLE).is_none() {
        return background(arguments);
    }
    let place = source::cib_file()?;
    if given.has("one-shot") || call.as_xml || given.has("as-xml") || given.has("simple-status") {
        let cib = cibadmin::read(&place)?;
        return Ok(once(call, &cib));
    }
    if let Some(path) = given.value("pid-file") {
        source::write(path, &format!("{}\n", std::process::id()))?;
    }
    let interval = given.value("interval").and_then(seconds);
    let interval = interval.unwrap_or(INTERVAL);
    loop {
        match cibadmin::read(&place) {
            Ok(cib) => show(given, &text(given, &cib))?,
            // The cluster may come back; whoever looks at the file is told.
            Err(failure) => show(given, &format!("{}\n", failure.message))?,
        }
        std::thread::sleep(interval);
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let number = text.trim_end_matches(['s', 'S']).parse().ok()?;
    Some(Duration::from_secs(number).max(Duration::from_secs(1)))
}

/// Goes on as a program of its own; the pid file is there when this returns.
fn background(arguments: &[String]) -> Result<Answer, Failure> {
    let failed = |e: std::io::Error| Failure::new(exit::ERROR, format!("no background: {e}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command
        .arg0("crm_mon")
        .args(arguments)
        .env(BACKGROUND_VARIABLE, "1")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command.spawn().map_err(failed)?;
    let given = TOOL.parse(arguments)?;
    if let Some(path) = given.value("pid-file") {
        source::write(path, &format!("{}\n", child.id()))?;
    }
    Ok(Answer::default())
}

fn show(given: &Given, text: &str) -> Result<(), Failure> {
    match given.value("as-html") {
        Some(path) => {
            let escaped = text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            let page = format!(
                "<!DOCTYPE html>\n<html><head><title>Cluster status</title></head>\n\
                 <body><pre>\n{escaped}</pre></body></html>\n"
            );
            source::write(path, &page)
        }
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

fn once(call: &Call<'_>, cib: &Cib) -> Answer {
    let given = call.given;
    let Some(mut frame) = call.frame() else {
        return Answer::text(text(given, cib));
    };
    let status = status_of(cib);
    let root = frame.root;
    status_xml::write(cib, &status, &mut frame, root);
    Answer {
        xml: Some(frame),
        ..Answer::default()
    }
}

fn status_of(cib: &Cib) -> scheduler::Status {
    let now = simulate::recorded_time(cib).unwrap_or_else(simulate::clock);
    scheduler::status(cib, &Inputs { now, grants: None })
}

fn text(given: &Given, cib: &Cib) -> String {
    let status = status_of(cib);
    let online = status.nodes.iter().filter(|n| n.online).count();
    let (instances, disabled, blocked) = crate::status_text::counts(&status);
    if given.has("simple-status") {
        let all = status.nodes.len();
        return format!(
            "CLUSTER OK: {online} of {all} nodes online, {instances} resource instances\n"
        );
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    if !given.has("hide-headers") && !given.has("quiet") {
        let dc = status.nodes.iter().find(|n| n.is_dc);
        let quorum = cib
            .root()
            .attr("have-quorum")
            .is_some_and(|q| q != "0" && q != "false");
        let quorum = if quorum { "with" } else { "WITHOUT" };
        text.push_str("Cluster Summary:\n");
        match dc {
            Some(dc) => {
                let _ = writeln!(
                    text,
                    "  * Current DC: {} - partition {quorum} quorum",
                    dc.name
                );
            }
            None => text.push_str("  * Current DC: NONE\n"),
        }
        let nodes = status.nodes.len();
        let _ = writeln!(text, "  * {nodes} node{} configured", plural(nodes));
        let mut also = String::new();
        if disabled > 0 {
            let _ = write!(also, " ({disabled} DISABLED)");
        }
        if blocked > 0 {
            let _ = write!(
                also,
                " ({blocked} BLOCKED from further action due to failure)"
            );
        }
        let _ = writeln!(
            text,
            "  * {instances} resource instance{} configured{also}\n",
            plural(instances)
        );
    }
    for line in status_text(&status).lines() {
        let line = line.strip_prefix("  ").unwrap_or(line);
        let _ = writeln!(text, "{}", line.strip_prefix("* ").unwrap_or(line));
    }
    if given.has("show-node-attributes") {
        text.push_str("\nNode Attributes:\n");
        for node in &status.nodes {
            let _ = writeln!(text, "  * Node: {}:", node.name);
            for (name, value) in status_xml::shown_attributes(node) {
                let _ = writeln!(text, "    * {name:<32}\t: {value}");
            }
        }
    }
    text
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
