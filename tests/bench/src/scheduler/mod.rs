//! The scheduler beside Debian's `crm_simulate`, in one run, on the same inputs.

mod cases;
mod farm;
mod groups;
mod memory;
mod program;
mod report;
mod xml;

use std::path::{Path, PathBuf};

use cases::{Case, Input};
use clap::Args;
use program::Program;
use report::{Report, Row};

/// Runs on each side of a quick case; the middle one counts.
const QUICK_RUNS: usize = 5;

/// What takes Debian's program longer than this is run once on its side, and three times on ours.
const SLOW_SECONDS: f64 = 3.0;

/// Repetitions over the directory of a profile.
const PROFILE_REPEAT: u32 = 20;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Our `crm_simulate`; default: the one beside this program.
    #[arg(long)]
    ours: Option<PathBuf>,
    /// The program to compare with.
    #[arg(long, default_value = "/usr/sbin/crm_simulate")]
    theirs: PathBuf,
    /// The sizes of the goals (some minutes) instead of small ones.
    #[arg(long)]
    full: bool,
    /// Only what has this in its name.
    #[arg(long, default_value = "")]
    only: String,
    /// A directory of CIBs to time as well.
    #[arg(long)]
    inputs: Option<PathBuf>,
    /// A directory of CIBs that both go through with `--profile DIR --repeat 20`.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Exit 1 when a goal is missed, too.
    #[arg(long)]
    check: bool,
}

/// The table, and how many failures it shows: graphs that differ, whatever the machine is like, and with
/// `--check` goals that are missed.
///
/// # Errors
/// As [`run`].
pub(crate) fn answer(plan: &Plan) -> Result<(String, usize), String> {
    let report = run(plan)?;
    let missed = if plan.check { report.missed() } else { 0 };
    Ok((report.to_string(), report.unequal() + missed))
}

/// Runs everything and reports.
///
/// # Errors
/// A program is missing or fails, or a file cannot be written: nothing is reported then.
fn run(plan: &Plan) -> Result<Report, String> {
    let ours = match &plan.ours {
        Some(path) => path.clone(),
        None => beside()?,
    };
    let ours = Program::new("interlock", ours)?;
    let theirs = Program::new("Debian", plan.theirs.clone())?;
    let directory = tempfile::tempdir().map_err(|e| format!("temporary directory: {e}"))?;
    let mut report = Report::new(&theirs.version()?);
    for case in cases::all(plan.full, plan.inputs.as_deref())? {
        if !case.name.contains(&plan.only) {
            continue;
        }
        eprintln!("bench: {} ...", case.name);
        let row = compare(&case, &ours, &theirs, directory.path())?;
        report.rows.push(row);
    }
    report.doubled();
    if let Some(cibs) = &plan.profile {
        eprintln!("bench: profile of {} ...", cibs.display());
        let files = cibs_only(cibs, directory.path())?;
        let theirs = theirs.profile(&files, PROFILE_REPEAT)?;
        let ours = ours.profile(&files, PROFILE_REPEAT)?;
        report.profile = Some((ours, theirs));
    }
    Ok(report)
}

/// `crm_simulate` beside this program.
fn beside() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| format!("this program's place: {e}"))?;
    let path = own.with_file_name("crm_simulate");
    if path.is_file() {
        Ok(path)
    } else {
        let path = path.display();
        Err(format!(
            "{path} is not there: build it (cargo build --release) or name it with --ours"
        ))
    }
}

/// A directory with nothing but the CIBs of another: Debian's program takes every file for one.
fn cibs_only(from: &Path, below: &Path) -> Result<PathBuf, String> {
    let to = below.join("profile");
    let failed = |e: std::io::Error| format!("{}: {e}", from.display());
    std::fs::create_dir(&to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "xml")
            && let Some(name) = path.file_name()
        {
            std::fs::copy(&path, to.join(name)).map_err(failed)?;
        }
    }
    Ok(to)
}

/// Times one case on both sides, in turns, and compares the graphs.
fn compare(case: &Case, ours: &Program, theirs: &Program, directory: &Path) -> Result<Row, String> {
    let input = match &case.input {
        Input::Made(text) => {
            let path = directory.join("cib.xml");
            std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
            path
        }
        Input::File(path) => path.clone(),
    };
    let (our_graph, their_graph) = (directory.join("ours.xml"), directory.join("theirs.xml"));
    let mut our_runs = Vec::new();
    let mut their_runs = Vec::new();
    while our_runs.len() < QUICK_RUNS {
        let slow = their_runs
            .first()
            .is_some_and(|run: &program::Run| run.cpu > SLOW_SECONDS);
        if !slow {
            their_runs.push(theirs.decide(&input, &their_graph)?);
        }
        our_runs.push(ours.decide(&input, &our_graph)?);
        if slow && our_runs.len() >= 3 {
            break;
        }
    }
    let text = read(&input)?;
    let memory = memory::seconds(&text)?;
    let pair = conformance::compare_pair(&read(&their_graph)?, &read(&our_graph)?)
        .map_err(|e| format!("{}: {e}", case.name))?;
    Ok(Row {
        name: case.name.clone(),
        megabytes: mega(text.len()),
        ours: program::middle(our_runs),
        theirs: program::middle(their_runs),
        memory,
        pair,
        goal: case.goal,
        doubles: case.doubles.clone(),
    })
}

#[allow(clippy::cast_precision_loss, reason = "for people to read")]
fn mega(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}
