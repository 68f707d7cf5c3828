//! Our own cases beside another `crm_simulate` (Debian's, in the lab): both must do what the
//! documentation says, and the graphs must be equal but for what is listed here.
//!
//! `beside-crm-simulate [PATH]`: PATH is the other program, by default `/usr/sbin/crm_simulate`.

use std::path::Path;
use std::process::{Command, ExitCode};

use conformance::{Graph, Own, own_cases};

/// Cases where the other's graph differs from ours, and why. Debian has version 2.1.5, we follow 3.0.2.
const KNOWN: &[(&str, &str)] = &[];

fn theirs(program: &Path, case: &Own, graph: &Path) -> Result<String, String> {
    let time = scheduler::time_text(Own::time());
    let output = Command::new(program)
        .arg("-x")
        .arg(case.file())
        .args(["-S", "-t", &time, "-G"])
        .arg(graph)
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .output()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "{}: {}: {}",
            program.display(),
            output.status,
            said.trim()
        ));
    }
    std::fs::read_to_string(graph).map_err(|e| format!("{}: {e}", graph.display()))
}

/// What is wrong with a case, one line each.
fn compare(program: &Path, case: &Own, graph: &Path) -> Result<Vec<String>, String> {
    let (ours, theirs) = (case.ours()?, theirs(program, case, graph)?);
    let mut wrong = Vec::new();
    for (who, answer) in [("ours", &ours), ("theirs", &theirs)] {
        let lines = case.wrong(answer)?.into_iter();
        wrong.extend(lines.map(|line| format!("{who}: {line}")));
    }
    let difference = Graph::parse(&theirs)?.difference(&Graph::parse(&ours)?);
    let known = KNOWN.iter().any(|(name, _)| *name == case.name);
    if known && difference.is_none() {
        wrong.push("equal by now: take it off the list of known differences".to_owned());
    }
    if !known {
        let only = |list: &[String], who: &str| -> Vec<String> {
            list.iter().map(|a| format!("only {who}: {a}")).collect()
        };
        wrong.extend(only(&difference.missing, "theirs"));
        wrong.extend(only(&difference.extra, "ours"));
        for (a, b) in &difference.unordered {
            wrong.push(format!("ordered only by theirs: {a} < {b}"));
        }
        for (a, b) in &difference.overordered {
            wrong.push(format!("ordered only by ours: {a} < {b}"));
        }
    }
    Ok(wrong)
}

fn main() -> ExitCode {
    let program = std::env::args().nth(1);
    let program = program.unwrap_or_else(|| "/usr/sbin/crm_simulate".to_owned());
    let graph = std::env::temp_dir().join(format!("beside-{}.xml", std::process::id()));
    let cases = match own_cases() {
        Ok(cases) => cases,
        Err(message) => {
            eprintln!("beside-crm-simulate: {message}");
            return ExitCode::FAILURE;
        }
    };
    let mut differ = 0;
    for case in &cases {
        let wrong = compare(Path::new(&program), case, &graph).unwrap_or_else(|e| vec![e]);
        if !wrong.is_empty() {
            differ += 1;
            println!("{}: {}\n  {}", case.name, case.says, wrong.join("\n  "));
        }
    }
    // It may not exist: then there is nothing to remove.
    let _ = std::fs::remove_file(&graph);
    let (all, known) = (cases.len(), KNOWN.len());
    println!(
        "{} of {all} cases as documented and equal ({known} known to differ)",
        all - differ
    );
    if differ == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
