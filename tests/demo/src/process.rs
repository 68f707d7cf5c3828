//! The daemons: real processes, each started by this one and ended with it.

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use rustix::process::{Pid, Signal as Number, kill_process, set_parent_process_death_signal};

use crate::script::Signal;
use crate::witness::alive;

/// How to start a daemon, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) binary: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) log: PathBuf,
}

/// A daemon, running or not.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    recipe: Recipe,
    child: Option<Child>,
    /// SIGKILL is on its way: a process that waits for its disk dies a little later.
    pub(crate) doomed: bool,
}

impl Process {
    pub(crate) fn new(name: String, recipe: Recipe) -> Self {
        Self {
            name,
            recipe,
            child: None,
            doomed: false,
        }
    }

    /// Starts it. Must be called on the main thread: the kernel ends the process when the *thread*
    /// that started it ends.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.recipe.log)?;
        let child = Command::new(std::env::current_exe()?)
            .arg("bound")
            .arg(&self.recipe.binary)
            .args(&self.recipe.arguments)
            .envs(self.recipe.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C on the terminal is for the demo alone.
            .process_group(0)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Its process id while it runs.
    pub(crate) fn pid(&self) -> Option<i32> {
        let pid = i32::try_from(self.child.as_ref()?.id()).ok()?;
        alive(pid).then_some(pid)
    }

    /// How it ended, once.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; nothing is left to do then.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Its log.
    pub(crate) fn log(&self) -> &Path {
        &self.recipe.log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a signal; a process that is gone already is no error.
pub(crate) fn signal(pid: i32, signal: Signal) {
    let number = match signal {
        Signal::Kill => Number::KILL,
        Signal::Stop => Number::STOP,
        Signal::Cont => Number::CONT,
        Signal::Term => Number::TERM,
    };
    if let Some(pid) = Pid::from_raw(pid) {
        let _gone_already = kill_process(pid, number);
    }
}

/// Every process that names `folder` in its environment or command line: the daemons of a site, its
/// agents under way and its service. The witness cannot know the agents, and a process that nobody
/// knows would survive the power-off of its site.
pub(crate) fn all_of(folder: &Path) -> Vec<i32> {
    let mark = format!("{}/", folder.display()).into_bytes();
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mentions = |pid: i32, file: &str| {
        std::fs::read(format!("/proc/{pid}/{file}"))
            .is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark))
    };
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != own && (mentions(*pid, "cmdline") || mentions(*pid, "environ")))
        .collect()
}

/// `demo bound PROGRAM ARGS`: becomes the program, which the kernel kills when the demo dies.
pub(crate) fn bound(program: &Path, arguments: &[String]) -> ExitCode {
    if let Err(error) = set_parent_process_death_signal(Some(Number::KILL)) {
        eprintln!(
            "demo: {} would outlive the demo: {error}",
            program.display()
        );
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("demo: {}: {error}", program.display());
    ExitCode::FAILURE
}

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "ended cleanly".into(),
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(9)) => "was killed".into(),
        (None, Some(15)) => "was terminated".into(),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
