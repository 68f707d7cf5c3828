//! `crm_simulate`: what a cluster would do in a given state.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use cib::Cib;
use scheduler::{Inputs, Status};

use crate::play::play;
use crate::summary::summary;

/// What was asked for.
#[derive(Debug, Default)]
struct Options {
    xml_file: Option<String>,
    save_graph: Option<String>,
    now: Option<i64>,
    save_output: Option<String>,
    run: bool,
    quiet: bool,
}

/// Runs `crm_simulate` with its arguments.
pub fn crm_simulate(arguments: impl Iterator<Item = String>) -> ExitCode {
    match parse(arguments).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("crm_simulate: {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "-x" | "--xml-file" => options.xml_file = Some(value()?),
            "-G" | "--save-graph" => options.save_graph = Some(value()?),
            "-O" | "--save-output" => options.save_output = Some(value()?),
            "-D" | "--save-dotfile" => {
                value()?;
            }
            "-t" | "--set-datetime" => {
                let text = value()?;
                let at = text.parse().ok().or_else(|| scheduler::parse_time(&text));
                options.now = Some(at.ok_or_else(|| format!("'{text}' is no date"))?);
            }
            "-S" | "--simulate" => options.run = true,
            "-Q" | "--quiet" => options.quiet = true,
            "-R" | "--run" | "-s" | "--show-scores" => {}
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), String> {
    let path = options.xml_file.as_deref().ok_or("which file? (-x FILE)")?;
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let cib = Cib::parse(&text, Some(path)).map_err(|e| e.to_string())?;
    let recorded = recorded_time(&cib);
    let clock = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs())
    };
    let now = options
        .now
        .or(recorded)
        .unwrap_or_else(|| i64::try_from(clock()).unwrap_or(0));
    let inputs = Inputs { now, grants: None };
    let mut text = String::new();
    let before = scheduler::status(&cib, &inputs);
    if !options.quiet {
        let (all, disabled, blocked) = crate::status_text::counts(&before);
        if disabled + blocked > 0 {
            let _ = writeln!(
                text,
                "{disabled} of {all} resource instances DISABLED and {blocked} BLOCKED from further \
                 action due to failure\n"
            );
        }
        describe(&before, "Current cluster status:", &mut text);
    }
    let transition = scheduler::simulate(&cib, &inputs);
    if let Some(file) = &options.save_graph {
        std::fs::write(file, crate::graph_xml(&transition)).map_err(|e| format!("{file}: {e}"))?;
    }
    if !options.quiet {
        text.push_str("Transition Summary:\n");
        text.push_str(&summary(&before, &transition));
        text.push('\n');
    }
    if options.run {
        let mut cib = cib;
        let done = play(&mut cib, &transition, now);
        if let Some(file) = &options.save_output {
            std::fs::write(file, cib.to_text()).map_err(|e| format!("{file}: {e}"))?;
        }
        if !options.quiet {
            text.push_str("Executing Cluster Transition:\n");
            text.push_str(&done);
            text.push('\n');
        }
        describe(
            &scheduler::status(&cib, &inputs),
            "Revised Cluster Status:",
            &mut text,
        );
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .map_err(|e| format!("output: {e}"))
}

fn describe(status: &Status, title: &str, text: &mut String) {
    text.push_str(title);
    text.push('\n');
    text.push_str(&crate::status_text(status));
    text.push('\n');
}

/// When a CIB was judged, if it remembers.
pub fn recorded_time(cib: &Cib) -> Option<i64> {
    cib.root()
        .attr("execution-date")
        .and_then(|d| d.parse().ok())
}
