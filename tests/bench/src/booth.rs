//! Debian's booth as the other side: three `boothd`, each in its own namespace.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::hosts::{Hosts, MEMBERS, run};

/// The timings that both sides run with.
pub(crate) struct Timings {
    pub(crate) lease: Duration,
}

/// A running booth formation; killed when dropped.
pub(crate) struct Booth<'a> {
    hosts: &'a Hosts,
    folder: PathBuf,
    daemons: Vec<Child>,
}

/// Debian 12's booth waits for ever for the end of a netlink dump that newer kernels put into the
/// same datagram as the last answer; preloaded, this hands the end over as a message of its own.
const NETLINK_SHIM: &str = include_str!("netlink_shim.c");

impl<'a> Booth<'a> {
    /// Installs booth if needed, configures and starts it, and waits until each member answers.
    ///
    /// # Errors
    /// Which step failed and its words.
    pub(crate) fn start(
        hosts: &'a Hosts,
        folder: &Path,
        tickets: usize,
        timings: &Timings,
    ) -> Result<Self, String> {
        install()?;
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        build_shim(folder)?;
        let config = configuration(tickets, timings);
        fs::write(folder.join("booth.conf"), config).map_err(|error| error.to_string())?;
        let mut booth = Self {
            hosts,
            folder: folder.to_path_buf(),
            daemons: Vec::new(),
        };
        for index in 0..MEMBERS {
            let daemon = booth.daemon(index)?;
            booth.daemons.push(daemon);
        }
        let patience = Instant::now() + Duration::from_secs(15);
        while booth.client(0, &["list"])?.is_none() {
            if Instant::now() > patience {
                return Err("booth did not answer `list` within 15 s".to_owned());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(booth)
    }

    fn daemon(&self, index: usize) -> Result<Child, String> {
        let log = File::create(self.folder.join(format!("boothd{index}.log")))
            .map_err(|error| error.to_string())?;
        let lock = self.folder.join(format!("boothd{index}.pid"));
        let mut command = Command::new("boothd");
        self.surround(&mut command, index);
        command
            .args(["daemon", "-S", "-c"])
            .arg(self.folder.join("booth.conf"))
            .arg("-l")
            .arg(lock)
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log);
        self.hosts.within(index, || {
            command.spawn().map_err(|error| format!("boothd: {error}"))
        })
    }

    fn surround(&self, command: &mut Command, index: usize) {
        let path = std::env::var("PATH").unwrap_or_default();
        let cluster = self.folder.parent().unwrap_or(&self.folder).join("cluster");
        command
            .env("PATH", format!("{}:{path}", cluster.display()))
            .env("LD_PRELOAD", self.folder.join("shim.so"))
            .env(
                "CLUSTER_LOG",
                crate::side_by_side::cluster_log(&cluster, "booth", index),
            );
    }

    fn client(&self, index: usize, words: &[&str]) -> Result<Option<Duration>, String> {
        let mut command = Command::new("booth");
        self.surround(&mut command, index);
        command
            .arg(words[0])
            .arg("-c")
            .arg(self.folder.join("booth.conf"))
            .args(&words[1..]);
        self.hosts.within(index, || {
            let start = Instant::now();
            let output = command
                .output()
                .map_err(|error| format!("booth: {error}"))?;
            Ok(output.status.success().then(|| start.elapsed()))
        })
    }

    /// The time of one grant at the first site, with all members up, command start to end.
    ///
    /// # Errors
    /// The grant was not made.
    pub(crate) fn grant(&self, ticket: &str) -> Result<Duration, String> {
        self.client(0, &["grant", "-C", ticket])?
            .ok_or_else(|| format!("booth: no grant of {ticket}"))
    }

    /// Revokes, so that the next grant is one.
    ///
    /// # Errors
    /// The revoke was refused.
    pub(crate) fn revoke(&self, ticket: &str) -> Result<(), String> {
        self.client(0, &["revoke", "-w", ticket])?
            .map(|_| ())
            .ok_or_else(|| format!("booth: no revoke of {ticket}"))
    }

    /// `kill -9` of the first site's daemon: what it leaves running is booth's own affair.
    pub(crate) fn kill_first_site(&mut self) {
        kill_tree(&mut self.daemons[0]);
    }

    /// The arbitrator's process.
    ///
    /// # Errors
    /// It is not running.
    pub(crate) fn arbitrator(&self) -> Result<u32, String> {
        Ok(self.daemons[MEMBERS - 1].id())
    }
}

impl Drop for Booth<'_> {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            kill_tree(daemon);
        }
    }
}

fn kill_tree(daemon: &mut Child) {
    let _ = daemon.kill();
    let _ = daemon.wait();
}

fn install() -> Result<(), String> {
    if run(&["which", "boothd"]).is_ok() {
        return Ok(());
    }
    run(&["apt-get", "update"])?;
    run(&[
        "apt-get",
        "install",
        "-y",
        "--no-install-recommends",
        "booth",
        "gcc",
        "libc6-dev",
    ])?;
    Ok(())
}

fn build_shim(folder: &Path) -> Result<(), String> {
    let source = folder.join("netlink_shim.c");
    fs::write(&source, NETLINK_SHIM).map_err(|error| error.to_string())?;
    let (source, library) = (source.display().to_string(), folder.join("shim.so"));
    let library = library.display().to_string();
    run(&[
        "gcc", "-shared", "-fPIC", "-O2", "-o", &library, &source, "-ldl",
    ])
    .map(|_| ())
}

fn configuration(tickets: usize, timings: &Timings) -> String {
    let lease = timings.lease.as_secs();
    let mut text = String::from("transport = UDP\nport = 9929\n");
    for index in 0..MEMBERS {
        let role = if index + 1 < MEMBERS {
            "site"
        } else {
            "arbitrator"
        };
        text += &format!("{role} = {}\n", Hosts::address(index));
    }
    for index in 0..tickets {
        // booth's own rule: timeout * (retries + 1) < renewal-freq.
        text += &format!(
            "ticket = \"t{index}\"\n expire = {lease}\n timeout = 1\n retries = 3\n renewal-freq = {}\n",
            (lease / 2).max(5)
        );
    }
    text
}
