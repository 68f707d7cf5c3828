//! Interlock as this side: two site agents and an arbitrator, each in its own namespace, moving the
//! same simple cluster command as booth does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::booth::Timings;
use crate::hosts::{Hosts, MEMBERS};
use crate::process::schedule_like;

/// The members' names, in the order of their hosts.
pub(crate) const NAMES: [&str; MEMBERS] = ["berlin", "paris", "arb"];

/// Where the binaries are.
#[derive(Clone)]
pub(crate) struct Binaries {
    pub(crate) folder: PathBuf,
    pub(crate) arbitrator: PathBuf,
    pub(crate) ticket: PathBuf,
}

/// A running formation; killed when dropped.
pub(crate) struct Interlock<'a> {
    hosts: &'a Hosts,
    binaries: Binaries,
    folder: PathBuf,
    daemons: Vec<Child>,
}

impl<'a> Interlock<'a> {
    /// Makes keys and configuration, starts the members, and waits until they see each other.
    ///
    /// # Errors
    /// Which step failed and its words.
    pub(crate) fn start(
        hosts: &'a Hosts,
        binaries: &Binaries,
        folder: &Path,
        tickets: usize,
        timings: &Timings,
    ) -> Result<Self, String> {
        let mut formation = Self {
            hosts,
            binaries: binaries.clone(),
            folder: folder.to_path_buf(),
            daemons: Vec::new(),
        };
        formation.configure(tickets, timings)?;
        for index in 0..MEMBERS {
            let daemon = formation.daemon(index)?;
            formation.daemons.push(daemon);
        }
        let patience = Instant::now() + Duration::from_secs(15);
        while !formation.complete() {
            if Instant::now() > patience {
                return Err("the members did not find each other within 15 s".to_owned());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(formation)
    }

    /// Keys, one directory per member and the one configuration, as `ticket init` makes them.
    fn configure(&self, tickets: usize, timings: &Timings) -> Result<(), String> {
        let lease = format!("{}s", timings.lease.as_secs());
        let mut init = Command::new(&self.binaries.ticket);
        init.args(["init", "--cluster", "bench", "--local", "--lease", &lease])
            .args([
                "--acquire-after",
                "1s",
                "--stop-budget",
                "500ms",
                "--cluster-manager",
            ])
            .arg(self.cluster().join("crm_ticket"))
            .arg("--dir")
            .arg(&self.folder);
        for (index, name) in NAMES.iter().enumerate() {
            let role = if index + 1 < MEMBERS {
                "--site"
            } else {
                "--arbitrator"
            };
            init.args([role, &format!("{name}={}:9930", Hosts::address(index))]);
        }
        for index in 0..tickets {
            init.args(["--ticket", &format!("t{index}")]);
        }
        finish(&mut init)
    }

    fn cluster(&self) -> PathBuf {
        self.folder.parent().unwrap_or(&self.folder).join("cluster")
    }

    fn daemon(&self, index: usize) -> Result<Child, String> {
        let log = File::create(self.folder.join(format!("{}.log", NAMES[index])))
            .map_err(|error| error.to_string())?;
        let program = if index + 1 < MEMBERS {
            self.binaries.folder.join("site-agent")
        } else {
            self.binaries.arbitrator.clone()
        };
        let cluster_log = crate::side_by_side::cluster_log(&self.cluster(), "interlock", index);
        let mut command = Command::new(&program);
        command
            .arg("--config")
            .arg(self.folder.join(NAMES[index]).join("interlock.toml"))
            .env("CLUSTER_LOG", cluster_log)
            .stdout(Stdio::null())
            .stderr(log);
        self.hosts.within(index, || {
            command
                .spawn()
                .map_err(|error| format!("{}: {error}", program.display()))
        })
    }

    fn client(&self, index: usize, words: &[&str]) -> Result<Option<Duration>, String> {
        let mut command = Command::new(&self.binaries.ticket);
        command
            .arg("--config")
            .arg(self.folder.join(NAMES[index]).join("interlock.toml"))
            .args(words);
        self.hosts.within(index, || {
            let start = Instant::now();
            let output = command
                .output()
                .map_err(|error| format!("ticket: {error}"))?;
            Ok(output.status.success().then(|| start.elapsed()))
        })
    }

    /// Does every member see every other?
    fn complete(&self) -> bool {
        (0..MEMBERS).all(|index| matches!(self.client(index, &["peers", "--quiet"]), Ok(Some(_))))
    }

    /// The time of one grant at the first site, with all members up, command start to end.
    ///
    /// # Errors
    /// The grant was not made.
    pub(crate) fn grant(&self, ticket: &str) -> Result<Duration, String> {
        self.client(0, &["grant", ticket, NAMES[0]])?
            .ok_or_else(|| format!("interlock: no grant of {ticket}"))
    }

    /// Revokes, so that the next grant is one.
    ///
    /// # Errors
    /// The revoke was refused.
    pub(crate) fn revoke(&self, ticket: &str) -> Result<(), String> {
        self.client(0, &["revoke", ticket])?
            .map(|_| ())
            .ok_or_else(|| format!("interlock: no revoke of {ticket}"))
    }

    /// `kill -9` of the first site's agent.
    pub(crate) fn kill_first_site(&mut self) {
        let _ = self.daemons[0].kill();
        let _ = self.daemons[0].wait();
    }

    /// Lets every daemon run in the scheduling class of `other`: booth's make themselves real-time.
    ///
    /// # Errors
    /// The class cannot be set.
    pub(crate) fn schedule_like(&self, other: u32) -> Result<String, String> {
        let mut class = String::new();
        for daemon in &self.daemons {
            class = schedule_like(daemon.id(), other)?;
        }
        Ok(class)
    }

    /// The arbitrator's process.
    pub(crate) fn arbitrator(&self) -> u32 {
        self.daemons[MEMBERS - 1].id()
    }
}

impl Drop for Interlock<'_> {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn finish(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
