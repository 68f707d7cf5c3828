//! All scripts one after the other, and the table of what came out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::canary;
use crate::clock::Human;
use crate::report::Report;

/// The scripts, compiled in: the demo runs them wherever its binaries are.
const SCRIPTS: &[(&str, &str)] = &include!("../scripts/list.rs");

/// Scripts of the short selection, for every change: each kind of fault once.
const SHORT: [&str; 6] = [
    "move",
    "kill-site",
    "pause-site",
    "cut-holder",
    "stop-hangs",
    "arbitrator-forgets",
];

/// Runs them, each in a process of its own; true if every one is good.
pub(crate) fn run_all(short: bool, bins: Option<&Path>, logs: Option<&Path>) -> bool {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("demo: temporary folder: {error}");
            return false;
        }
    };
    match canary::check_witness() {
        Ok(seen) => println!("witness: {seen}"),
        Err(error) => {
            println!("witness: FAILED: {error}");
            return false;
        }
    }
    let mut reports = Vec::new();
    for (name, _) in SCRIPTS
        .iter()
        .filter(|(name, _)| !short || SHORT.contains(name))
    {
        let begun = Instant::now();
        let report = run_one(name, folder.path(), bins, logs);
        println!(
            "{:<24} {:<8} {}",
            name,
            report.word(),
            Human(begun.elapsed())
        );
        for failure in &report.failures {
            println!("    {failure}");
        }
        reports.push((report, begun.elapsed()));
    }
    println!("\n{}", table(&reports));
    let skipped = reports
        .iter()
        .filter(|(report, _)| report.skipped.is_some())
        .count();
    let failed = reports.iter().filter(|(report, _)| !report.good()).count();
    println!(
        "{} scripts: {failed} failed, {skipped} skipped",
        reports.len()
    );
    failed == 0
}

fn run_one(name: &str, folder: &Path, bins: Option<&Path>, logs: Option<&Path>) -> Report {
    let path = folder.join(format!("{name}.json"));
    let failed = |text: String| Report {
        script: name.into(),
        failures: vec![text],
        ..Report::default()
    };
    let Ok(own) = std::env::current_exe() else {
        return failed("the demo has no file".into());
    };
    let mut command = Command::new(own);
    command
        .args(["--builtin", name, "--quiet", "--report"])
        .arg(&path);
    if let Some(bins) = bins {
        command.arg("--bins").arg(bins);
    }
    if let Some(logs) = logs {
        command.arg("--copy").arg(logs.join(format!("{name}.log")));
    }
    let status = match command.status() {
        Ok(status) => status,
        Err(error) => return failed(error.to_string()),
    };
    let read = fs::read(&path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    read.unwrap_or_else(|| failed(format!("no report: {status}")))
}

/// Finds a script that is compiled in.
pub(crate) fn builtin(name: &str) -> Option<&'static str> {
    SCRIPTS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}

/// Names of the scripts that are compiled in.
pub(crate) fn names() -> Vec<&'static str> {
    SCRIPTS.iter().map(|(name, _)| *name).collect()
}

/// Where `--logs` writes.
pub(crate) fn logs_folder(path: Option<PathBuf>) -> Result<Option<PathBuf>, String> {
    let Some(path) = path else { return Ok(None) };
    fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Some(path))
}

fn table(reports: &[(Report, Duration)]) -> String {
    let mut text = String::from(
        "| script | settings | service again after | longest gap | overlap | stale writes | result |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let millis = |value: u64| Human(Duration::from_millis(value)).to_string();
    for (report, _) in reports {
        let worst = report.figures.iter().max_by_key(|(_, span)| *span);
        let again = worst.map_or_else(
            || "–".into(),
            |(cause, span)| format!("{} ({cause})", millis(*span)),
        );
        text += &format!(
            "| {} | {} | {again} | {} | {} | {} of {} | {} |\n",
            report.script,
            report.settings,
            report.longest_gap_ms.map_or_else(|| "–".into(), millis),
            Human(Duration::from_micros(report.overlap_us)),
            report.stale,
            report.writes,
            report.word(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_can_be_read() {
        for (name, text) in SCRIPTS {
            if let Err(errors) = crate::script::parse_script(text) {
                panic!("{name}: {}", errors.join("\n"));
            }
        }
    }

    #[test]
    fn the_short_selection_exists() {
        for name in SHORT {
            assert!(builtin(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_file_of_a_script_is_in_the_list() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        let mut files: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".demo")
                    .map(str::to_owned)
            })
            .collect();
        files.sort();
        let mut listed: Vec<String> = names().into_iter().map(str::to_owned).collect();
        listed.sort();
        assert_eq!(files, listed);
    }
}
