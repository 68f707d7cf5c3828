//! `local-stack explain`: why something is as it is, in a file's cluster or in the running one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use cib::Cib;
use scheduler::{Code, Inputs};
use stack_api::stack::{Answer, Do};
use stack_api::{ErrorBody, ErrorCode};

use crate::cli::{Output, Where, refuse, request};

/// Exit code: the file cannot be read.
const EXIT_NO_INPUT: u8 = 66;

#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// A resource, node or ticket, if need be with that word before it; everything that does not run
    /// without it.
    #[arg(num_args = 0..=2, value_name = "NAME")]
    words: Vec<String>,
    /// Read the CIB from this file (`-`: standard input) instead of asking the daemon.
    #[arg(long, value_name = "FILE")]
    cib: Option<PathBuf>,
    /// Judge by this time (ISO 8601, or seconds since the epoch) instead of now.
    #[arg(long)]
    date: Option<String>,
    /// Only why the resource is not (or is) on this node.
    #[arg(long, value_name = "NODE")]
    why_not: Option<String>,
    /// Print every code of a reason and what it means, and nothing else.
    #[arg(long, exclusive = true)]
    codes: bool,
    #[command(flatten)]
    place: Where,
}

pub(crate) fn run(arguments: &Explain) -> ExitCode {
    if arguments.codes {
        return codes();
    }
    let told = source(arguments).and_then(|(text, file)| tell(arguments, text, &file));
    match told {
        Ok(exit) => exit,
        Err((error, exit)) => {
            let code = refuse(arguments.place.output_as, &error);
            exit.map_or(code, ExitCode::from)
        }
    }
}

/// What went wrong, and the exit code if it is not that of the error.
type Failure = (ErrorBody, Option<u8>);

fn fail(code: ErrorCode, message: impl Into<String>) -> Failure {
    (ErrorBody::new(code, message), None)
}

/// The text of the CIB, and how it is called.
fn source(arguments: &Explain) -> Result<(Vec<u8>, String), Failure> {
    let variable = || std::env::var_os("CIB_file").filter(|v| !v.is_empty());
    let file = arguments
        .cib
        .clone()
        .or_else(|| variable().map(PathBuf::from));
    let Some(file) = file else {
        return match request(&arguments.place, Do::CibQuery { scope: None }) {
            Ok(Answer::Cib { xml }) => Ok((xml.into_bytes(), "CIB".to_owned())),
            Ok(_) => Err(fail(
                ErrorCode::Software,
                "the daemon's answer is not a CIB",
            )),
            Err((error, exit)) => Err((error.hint("or name a file: --cib FILE"), exit)),
        };
    };
    let read = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(&file)
    };
    let name = file.display().to_string();
    match read {
        Ok(bytes) => Ok((bytes, name)),
        Err(error) => {
            let body = ErrorBody::new(ErrorCode::Data, format!("{name}: {error}"));
            Err((body, Some(EXIT_NO_INPUT)))
        }
    }
}

fn tell(arguments: &Explain, text: Vec<u8>, file: &str) -> Result<ExitCode, Failure> {
    let subject = tools::explain_subject(&arguments.words)
        .map_err(|message| fail(ErrorCode::Usage, message))?;
    let document = cib::Document::parse_bytes(text, Some(file));
    let cib = document.and_then(Cib::from_document);
    let cib = cib.map_err(|error| fail(ErrorCode::Data, error.to_string()))?;
    let now = time(arguments, &cib)?;
    let inputs = Inputs { now, grants: None };
    let Some(explained) = scheduler::explain(&cib, &inputs, &subject) else {
        let name = arguments.words.join(" ");
        let message = format!("{file}: no resource, node or ticket is called {name}");
        let hint = "without a name everything that does not run is listed";
        return Err((
            ErrorBody::new(ErrorCode::NoSuchObject, message).hint(hint),
            None,
        ));
    };
    let mut explanation = explained.explanation;
    let exit = tools::explain_exit(&explanation);
    if let Some(node) = &arguments.why_not {
        explanation = tools::only_node(explanation, node)
            .map_err(|message| fail(ErrorCode::NoSuchObject, message))?;
    }
    match arguments.place.output_as {
        Output::Text => print!("{}", tools::explanation_text(&explanation, file)),
        Output::Json => println!("{}", tools::explanation_json(&explanation, file, now)),
    }
    Ok(ExitCode::from(exit))
}

/// The time to judge by: as asked, or when the CIB was recorded, or now.
fn time(arguments: &Explain, cib: &Cib) -> Result<i64, Failure> {
    if let Some(text) = &arguments.date {
        let at = text.parse().ok().or_else(|| scheduler::parse_time(text));
        return at.ok_or_else(|| {
            let example = "write it like 2026-05-28T20:26:40Z, or as seconds since the epoch";
            fail(
                ErrorCode::Usage,
                format!("--date: '{text}' is no date; {example}"),
            )
        });
    }
    let clock = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.ok().and_then(|d| i64::try_from(d.as_secs()).ok())
    };
    Ok(tools::recorded_time(cib).or_else(clock).unwrap_or(0))
}

fn codes() -> ExitCode {
    for code in Code::ALL {
        println!("{:<24} {}", code.as_str(), code.meaning().trim());
    }
    ExitCode::SUCCESS
}
