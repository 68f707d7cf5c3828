//! Two sites and an arbitrator as real processes on this machine.
//!
//! Everything is real but the distance: daemons, certificates, QUIC, the OCF agent, the guard. The
//! datagrams pass through this process, which cuts, delays and loses them on demand, and a witness
//! outside the cluster records every life of the gated web service on one clock. It needs no
//! privilege and leaves nothing behind.
//!
//! ```text
//! demo                       a cluster to play with: type `help`
//! demo --script FILE         the same verbs from a file; exit status 0 only if all was as expected
//! demo --all-scripts         the acceptance scripts, and a table of what came out
//! ```

mod canary;
mod clock;
mod cluster;
mod expect;
mod history;
mod layout;
mod observer;
mod process;
mod relay;
mod report;
mod run;
mod script;
mod service;
mod settings;
mod span;
mod suite;
mod timeline;
mod witness;
mod world;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use cluster::Binaries;
use run::Run;
use timeline::Timeline;

/// Exit code for a wrong command line or script.
const USAGE: u8 = 64;

#[derive(Debug, Parser)]
#[command(
    name = "demo",
    version,
    about = "Two sites and an arbitrator on this machine"
)]
struct Options {
    /// Carry out the verbs of this file.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Carry out one of the scripts that are compiled in.
    #[arg(long, value_name = "NAME", conflicts_with = "script")]
    builtin: Option<String>,
    /// Carry out all scripts that are compiled in and print a table.
    #[arg(long, conflicts_with_all = ["script", "builtin"])]
    all_scripts: bool,
    /// With --all-scripts: only a selection that takes about a minute.
    #[arg(long, requires = "all_scripts")]
    short: bool,
    /// Start the service at two sites by hand and see whether the witness notices.
    #[arg(long, conflicts_with_all = ["script", "builtin", "all_scripts"])]
    check_witness: bool,
    /// Folder of the daemons' programs, where it is not the demo's own.
    #[arg(long, value_name = "FOLDER")]
    bins: Option<PathBuf>,
    /// Write the outcome as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Keep a copy of the time line.
    #[arg(long, value_name = "FILE")]
    copy: Option<PathBuf>,
    /// With --all-scripts: keep the time line of each script in this folder.
    #[arg(long, value_name = "FOLDER", requires = "all_scripts")]
    logs: Option<PathBuf>,
    /// Overrule a setting of the script, as lease=4s or manager=command.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrule: Vec<String>,
    /// Leave the run's folder, with all logs, and say where it is.
    #[arg(long)]
    keep: bool,
    /// Print only the outcome.
    #[arg(long)]
    quiet: bool,
    #[command(subcommand)]
    tool: Option<Tool>,
}

/// What the demo's own processes call.
#[derive(Debug, Subcommand)]
enum Tool {
    /// The gated web service.
    #[command(hide = true)]
    Serve(service::Serve),
    /// Ask the web service once.
    #[command(hide = true)]
    Probe {
        #[arg(long)]
        port: u16,
    },
    /// Tell the witness what an agent does.
    #[command(hide = true)]
    Note {
        #[arg(long)]
        witness: PathBuf,
        #[arg(long)]
        site: String,
        action: String,
        #[arg(long)]
        code: Option<i32>,
    },
    /// Become a program that ends with the demo.
    #[command(hide = true)]
    Bound {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    match &options.tool {
        Some(Tool::Serve(serve)) => service::serve(serve),
        Some(Tool::Probe { port }) => service::probe(*port),
        Some(Tool::Note {
            witness,
            site,
            action,
            code,
        }) => service::note(witness, site, action, *code),
        Some(Tool::Bound { program, arguments }) => process::bound(program, arguments),
        None => demo(options).unwrap_or_else(|error| {
            eprintln!("demo: {error}");
            ExitCode::from(USAGE)
        }),
    }
}

fn demo(options: Options) -> Result<ExitCode, String> {
    if options.check_witness {
        let seen = canary::check_witness()?;
        println!("witness: {seen}");
        return Ok(ExitCode::SUCCESS);
    }
    if options.all_scripts {
        Binaries::find(options.bins.clone())?;
        let logs = suite::logs_folder(options.logs)?;
        let good = suite::run_all(options.short, options.bins.as_deref(), logs.as_deref());
        return Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let binaries = Binaries::find(options.bins)?;
    let copy = match options.copy {
        Some(path) => {
            Some(File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    let scripted = read_script(options.script.as_ref(), options.builtin.as_deref())?;
    let mut run = Run::new(binaries, Timeline::new(copy, options.quiet), options.keep);
    for pair in &options.overrule {
        run.overrule(pair)?;
    }
    let name = match scripted {
        Some((name, text)) => {
            let steps = script::parse_script(&text)
                .map_err(|errors| format!("{name}:\n  {}", errors.join("\n  ")))?;
            run.script(&steps);
            name
        }
        None => {
            run.interactive()?;
            "demo".into()
        }
    };
    let report = run.finish(&name);
    if let Some(path) = options.report {
        let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::to_writer_pretty(file, &report).map_err(|error| error.to_string())?;
    }
    if !options.quiet {
        println!("{}", report.text());
    }
    Ok(if report.good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read_script(
    path: Option<&PathBuf>,
    builtin: Option<&str>,
) -> Result<Option<(String, String)>, String> {
    match (path, builtin) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            let name = path
                .file_stem()
                .map_or_else(|| "script".into(), |stem| stem.to_string_lossy());
            Ok(Some((name.into_owned(), text)))
        }
        (None, Some(name)) => match suite::builtin(name) {
            Some(text) => Ok(Some((name.into(), text.into()))),
            None => Err(format!("no script `{name}`: {}", suite::names().join(", "))),
        },
        (None, None) => Ok(None),
    }
}
