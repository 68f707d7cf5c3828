//! Interlock as this side: two site agents and an arbitrator, each in its own namespace, moving the
//! same simple cluster command as booth does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::booth::Timings;
use crate::hosts::{Hosts, MEMBERS};

/// The members' names, in the order of their hosts.
pub(crate) const NAMES: [&str; MEMBERS] = ["berlin", "paris", "arb"];

/// Where the binaries are.
#[derive(Clone)]
pub(crate) struct Binaries {
    pub(crate) folder: PathBuf,
    pub(crate) arbitrator: PathBuf,
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
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
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

    fn configure(&self, tickets: usize, timings: &Timings) -> Result<(), String> {
        let (certificates, program) = (self.folder.join("ca"), self.binaries.folder.join("ticket"));
        let mut init = Command::new(&program);
        init.args(["init", "--cluster", "bench", "--ticket", "t0", "--dir"])
            .arg(&certificates);
        for (index, name) in NAMES.iter().enumerate() {
            let role = if index + 1 < MEMBERS {
                "--site"
            } else {
                "--arbitrator"
            };
            init.args([role, &format!("{name}={}:9929", Hosts::address(index))]);
        }
        finish(&mut init)?;
        for (index, name) in NAMES.iter().enumerate() {
            let home = self.folder.join(name);
            fs::create_dir_all(&home).map_err(|error| error.to_string())?;
            finish(
                Command::new(&program)
                    .args(["issue", name, "--ca-dir"])
                    .arg(&certificates)
                    .arg("--out-dir")
                    .arg(home.join("pki")),
            )?;
            let text = self.configuration(index, tickets, timings);
            fs::write(home.join("interlock.toml"), text).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn configuration(&self, me: usize, tickets: usize, timings: &Timings) -> String {
        let home = self.folder.join(NAMES[me]);
        let mut text = format!("[cluster]\nname = \"bench\"\nmember = \"{}\"\n", NAMES[me]);
        for (index, name) in NAMES.iter().enumerate() {
            let role = if index + 1 < MEMBERS {
                "site"
            } else {
                "arbitrator"
            };
            let address = format!("{}:9929", Hosts::address(index));
            text += &format!("[member.{name}]\nrole = \"{role}\"\naddress = [\"{address}\"]\n");
        }
        let lease = timings.lease.as_secs();
        for index in 0..tickets {
            text += &format!(
                "[ticket.t{index}]\nlease = \"{lease}s\"\nacquire-after = \"1s\"\nstop-budget = \"1s\"\n"
            );
        }
        for (key, name) in [("pki", "pki"), ("state", "state"), ("run", "run")] {
            if key == "pki" {
                text += "[paths]\n";
            }
            text += &format!("{key} = \"{}\"\n", home.join(name).display());
        }
        if me + 1 < MEMBERS {
            let cluster = self.cluster();
            text += &format!(
                "[cluster-manager]\nkind = \"command\"\ncommand = [\"{}\"]\ntimeout = \"5s\"\n",
                cluster.join("crm_ticket").display()
            );
        }
        text
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
        self.hosts
            .command(index, &program.display().to_string())
            .arg("--config")
            .arg(self.folder.join(NAMES[index]).join("interlock.toml"))
            .env("CLUSTER_LOG", cluster_log)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))
    }

    fn client(&self, index: usize, words: &[&str]) -> Result<Option<Duration>, String> {
        let program = self.binaries.folder.join("ticket");
        let mut command = self.hosts.command(index, &program.display().to_string());
        command
            .arg("--config")
            .arg(self.folder.join(NAMES[index]).join("interlock.toml"))
            .args(words);
        let start = Instant::now();
        let output = command
            .output()
            .map_err(|error| format!("ticket: {error}"))?;
        Ok(output.status.success().then(|| start.elapsed()))
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
        self.client(0, &["grant", ticket, "--to", NAMES[0]])?
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
