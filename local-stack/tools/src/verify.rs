//! `crm_verify`: whether a configuration can be meant.

use std::process::ExitCode;

use cib::{Cib, Element, Section};

use crate::answer::{self, Answer, Call};
use crate::args::{Given, Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::{cibadmin, source};

const TOOL: Tool = Tool {
    name: "crm_verify",
    about: "Check a Pacemaker configuration for errors",
    flags: &[
        switch(
            'L',
            "live-check",
            "Check the configuration used by the running cluster",
        ),
        valued(
            'x',
            "xml-file",
            "FILE",
            "Check the configuration in the named file",
        ),
        switch(
            'p',
            "xml-pipe",
            "Check the configuration piped in via stdin",
        ),
        valued(
            'X',
            "xml-text",
            "XML",
            "Check the configuration in the supplied string",
        ),
        valued(
            'S',
            "save-xml",
            "FILE",
            "Save verified XML to the named file",
        ),
        switch('Q', "quiet", "Don't print verify information"),
    ],
};

/// Runs `crm_verify` with its arguments.
pub(crate) fn crm_verify(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, run)
}

fn read(given: &Given) -> Result<Cib, Failure> {
    if let Some(path) = given.value("xml-file") {
        return source::read_cib(path);
    }
    if given.has("xml-pipe") {
        return source::read_cib("-");
    }
    if let Some(text) = given.value("xml-text") {
        return source::parse_cib(text.to_owned(), "input");
    }
    if given.has("live-check") {
        return cibadmin::read(&source::cib_file()?);
    }
    let message = "No configuration source specified.  Use --help for usage information.";
    Err(Failure::new(exit::ERROR, message))
}

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let cib = read(given).map_err(|f| match f.code {
        exit::DATA if f.message.contains("the root element is") => {
            let only = "This tool can only check complete configurations (i.e. those starting with <cib>).";
            Failure::new(exit::PROTOCOL, format!("{only} {}", f.message))
        }
        exit::DATA => Failure::new(exit::CONFIG, f.message),
        _ => f,
    })?;
    if let Some(path) = given.value("save-xml") {
        source::write(path, &cib.to_text())?;
    }
    let problems = cib::check::check(&cib);
    let verbose = given.count("verbose");
    // What is not in the vocabulary is told always, what is not meant only if asked, like warnings.
    let mut errors: Vec<String> = problems
        .iter()
        .filter(|p| p.fatal)
        .map(ToString::to_string)
        .collect();
    let mut invalid = !errors.is_empty();
    let warnings: Vec<String> = problems
        .iter()
        .filter(|p| !p.fatal)
        .map(|p| format!("warning: {p}"))
        .collect();
    let warned = !warnings.is_empty();
    let meant = meaning(&cib);
    invalid |= meant.iter().any(|(fatal, _)| *fatal);
    if verbose > 0 {
        errors.extend(warnings);
        errors.extend(meant.into_iter().map(|(fatal, text)| {
            let kind = if fatal { "error" } else { "warning" };
            format!("{kind}: {text}")
        }));
    }
    let mut answer = Answer {
        xml: call.frame(),
        ..Answer::default()
    };
    if invalid || warned {
        let what = if invalid { "Errors" } else { "Warnings" };
        let mut last = format!("crm_verify: {what} found during check: config not valid");
        if !invalid {
            last = "crm_verify: Warnings found during check: config may not be valid".to_owned();
        }
        if verbose == 0 {
            last.push_str("\n-V may provide more details");
        }
        errors.push(last);
        answer.code = exit::CONFIG;
    }
    if given.has("quiet") {
        errors.clear();
    }
    answer.errors = errors;
    answer.plain_errors = true;
    Ok(answer)
}

/// What is in the vocabulary and yet cannot be meant: fatal or not, and what it is.
fn meaning(cib: &Cib) -> Vec<(bool, String)> {
    let mut list = Vec::new();
    let option = |names: [&str; 2]| {
        let pairs = cib.section(Section::Options).into_iter();
        let mut pairs = pairs
            .flat_map(Element::descendants)
            .filter(|e| e.name() == "nvpair");
        let pair = pairs.find(|p| p.attr("name").is_some_and(|n| names.contains(&n)));
        pair.and_then(|p| p.attr("value")).map(str::to_owned)
    };
    let off = |value: &str| {
        let words = ["false", "no", "off", "n", "0"];
        words.iter().any(|w| value.eq_ignore_ascii_case(w))
    };
    let fencing = option(["fencing-enabled", "stonith-enabled"]).is_none_or(|v| !off(&v));
    let mut primitives = cib
        .section(Section::Resources)
        .into_iter()
        .flat_map(Element::descendants);
    let device = primitives.any(|e| e.attr("class") == Some("stonith"));
    if fencing && !device {
        for line in [
            "Resource start-up disabled since no fencing resources have been defined",
            "Either configure some or disable fencing with the fencing-enabled option",
            "NOTE: Clusters with shared data need fencing to ensure data integrity",
        ] {
            list.push((true, line.to_owned()));
        }
    }
    let choices: [(&str, &[&str]); 4] = [
        (
            "no-quorum-policy",
            &["stop", "freeze", "ignore", "demote", "fence", "suicide"],
        ),
        (
            "placement-strategy",
            &["default", "utilization", "minimal", "balanced"],
        ),
        (
            "node-health-strategy",
            &[
                "none",
                "migrate-on-red",
                "only-green",
                "progressive",
                "custom",
            ],
        ),
        ("fencing-action", &["reboot", "off", "poweroff"]),
    ];
    for (name, words) in choices {
        let old = if name == "fencing-action" {
            "stonith-action"
        } else {
            name
        };
        if let Some(value) = option([name, old])
            && !words.iter().any(|w| value.eq_ignore_ascii_case(w))
        {
            let words = words.join(", ");
            list.push((
                true,
                format!(
                    "Using default value for cluster option '{name}' because '{value}' is invalid; write one \
                     of {words}"
                ),
            ));
        }
    }
    list
}
