//! One of the two programs, run with a stop-watch.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What one run took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    /// Processor seconds of the whole process, user and system.
    pub(crate) cpu: f64,
    /// Most memory resident at once, in MB (10^6 bytes).
    pub(crate) memory: f64,
}

/// The run in the middle, by processor time.
pub(crate) fn middle(mut runs: Vec<Run>) -> Run {
    runs.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    runs.get(runs.len() / 2).copied().unwrap_or_default()
}

/// A program that answers to `crm_simulate`'s options.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    path: PathBuf,
}

/// The shell's stop-watch counts milliseconds, GNU time's only hundredths; that one knows the memory.
const SCRIPT: &str = r#"TIMEFORMAT='cpu %3U %3S'; time command time -f 'memory %M' "$@""#;

impl Program {
    /// Takes a program that is there.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn new(name: &'static str, path: PathBuf) -> Result<Self, String> {
        let program = Self { name, path };
        program.version()?;
        Ok(program)
    }

    /// The first line of what it says its version is.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn version(&self) -> Result<String, String> {
        let output = Command::new(&self.path).arg("--version").output();
        let output = output.map_err(|e| {
            let path = self.path.display();
            format!("{path}: {e} (Debian's is in the package pacemaker-cli-utils)")
        })?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().next().unwrap_or("").to_owned())
    }

    /// Has it decide on a CIB and save the graph.
    ///
    /// # Errors
    /// It fails, or `bash` or GNU `time` is missing.
    pub(crate) fn decide(&self, cib: &Path, graph: &Path) -> Result<Run, String> {
        let (cib, graph) = (cib.display().to_string(), graph.display().to_string());
        self.timed(&["-x", &cib, "-R", "-Q", "-G", &graph])
    }

    /// Has it decide on every CIB of a directory, many times.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub(crate) fn profile(&self, cibs: &Path, repeat: u32) -> Result<Run, String> {
        let cibs = cibs.display().to_string();
        self.timed(&["--profile", &cibs, "--repeat", &repeat.to_string()])
    }

    fn timed(&self, arguments: &[&str]) -> Result<Run, String> {
        let mut command = Command::new("bash");
        command.args(["-c", SCRIPT, "bash"]).arg(&self.path);
        command.args(arguments).env("LC_ALL", "C").env("TZ", "UTC");
        let output = command.output().map_err(|e| format!("bash: {e}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let number = |label: &str, place: usize| {
            let line = said.lines().rev().find_map(|l| l.strip_prefix(label))?;
            line.split_whitespace().nth(place)?.parse::<f64>().ok()
        };
        let measured = (number("cpu ", 0), number("cpu ", 1), number("memory ", 0));
        match measured {
            (Some(user), Some(system), Some(kilobytes)) if output.status.success() => Ok(Run {
                cpu: user + system,
                memory: kilobytes * 1024.0 / 1e6,
            }),
            _ => Err(format!(
                "{} ({}) {}: {}; bash and GNU time are needed to run it",
                self.name,
                self.path.display(),
                arguments.join(" "),
                said.trim()
            )),
        }
    }
}
