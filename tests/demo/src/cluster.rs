//! The cluster of the demo: its processes, their files, and the network between them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::layout::{CLUSTER, Layout};
use crate::process::{Process, Recipe, all_of, signal};
use crate::relay::{Endpoint, Relay};
use crate::script::{Daemon, Signal, Target};
use crate::settings::{ARBITRATOR, Manager, SITES, Settings, TICKET, members};
use crate::witness::{Witness, alive};

/// The programs that the demo starts, by the name of their file.
pub(crate) const PROGRAMS: [&str; 5] =
    ["site-agent", "arbitrator", "local-stack", "guard", "ticket"];

/// Longest wait for a guard's socket; it needs some milliseconds.
const SOCKET_WAIT_MAX: Duration = Duration::from_secs(10);

/// Time between two tries.
const SOCKET_WAIT_STEP: Duration = Duration::from_millis(2);

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Finds them beside the demo's own file, or in `folder`.
    pub(crate) fn find(folder: Option<PathBuf>) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let folder = folder
            .or_else(|| own.parent().map(Path::to_owned))
            .ok_or("the demo's own file has no folder")?;
        let missing: Vec<&str> = PROGRAMS
            .into_iter()
            .filter(|name| !folder.join(name).is_file())
            .collect();
        if missing.is_empty() {
            return Ok(Self { folder });
        }
        let release = if cfg!(debug_assertions) {
            ""
        } else {
            " --release"
        };
        Err(format!(
            "{} not found in {}: build the whole workspace first with `cargo build{release}`",
            missing.join(", "),
            folder.display()
        ))
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// Whether all daemons were built with a test feature: they list them in `--version`.
    pub(crate) fn have(&self, feature: &str, programs: &[&str]) -> bool {
        programs.iter().all(|program| {
            Command::new(self.path(program))
                .arg("--version")
                .output()
                .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(feature))
        })
    }
}

/// All processes of a run.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) layout: Layout,
    pub(crate) relay: Relay,
    pub(crate) binaries: Binaries,
    settings: Settings,
    processes: BTreeMap<(String, Daemon), Process>,
}

impl Cluster {
    /// Writes configurations and certificates; starts nothing.
    pub(crate) fn prepare(
        layout: Layout,
        binaries: Binaries,
        settings: &Settings,
    ) -> Result<Self, String> {
        let endpoints: Vec<Endpoint> = members()
            .map(|name| Endpoint {
                name: name.into(),
                listen: layout.listen(name),
            })
            .collect();
        let relay = Relay::start(&endpoints).map_err(|error| format!("relay: {error}"))?;
        let mut cluster = Self {
            layout,
            relay,
            binaries,
            settings: settings.clone(),
            processes: BTreeMap::new(),
        };
        cluster.make_certificates()?;
        cluster
            .write_files()
            .map_err(|error| format!("{}: {error}", cluster.root().display()))?;
        for site in SITES {
            for daemon in [Daemon::Guard, Daemon::Stack, Daemon::Agent] {
                cluster.add(site, daemon);
            }
        }
        cluster.add(ARBITRATOR, Daemon::Arbitrator);
        if settings.manager == Manager::Command {
            cluster
                .processes
                .retain(|(_, daemon), _| *daemon != Daemon::Stack);
        }
        Ok(cluster)
    }

    /// The run's folder.
    pub(crate) fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Starts every daemon, those first that others ask; the agents when their guard listens, as the
    /// units of `deploy` do it.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let order = [
            Daemon::Guard,
            Daemon::Stack,
            Daemon::Arbitrator,
            Daemon::Agent,
        ];
        for daemon in order {
            for ((_, kind), process) in &mut self.processes {
                if *kind == daemon {
                    process
                        .start()
                        .map_err(|error| format!("{}: {error}", process.name))?;
                }
            }
            if daemon == Daemon::Guard {
                for site in SITES {
                    self.wait_for_socket(&self.layout.of(site).join("run/guard.sock"))?;
                }
            }
        }
        Ok(())
    }

    fn wait_for_socket(&self, path: &Path) -> Result<(), String> {
        let until = Instant::now() + SOCKET_WAIT_MAX;
        while UnixStream::connect(path).is_err() {
            if Instant::now() > until {
                return Err(format!("nobody listens on {}", path.display()));
            }
            sleep(SOCKET_WAIT_STEP);
        }
        Ok(())
    }

    /// Replaces the configurations that `ticket init` wrote by such that lead through the relay.
    fn write_files(&self) -> io::Result<()> {
        self.layout.furnish()?;
        for member in members() {
            self.layout
                .write_config(member, &self.settings, &self.relay)?;
            fs::write(self.layout.of(member).join("clock-step"), "0\n")?;
            // What it holds is written into the one file.
            fs::remove_dir_all(self.layout.of(member).join("conf.d"))?;
        }
        SITES
            .iter()
            .try_for_each(|site| self.layout.write_cluster(site, &self.settings))
    }

    /// CA, certificates and folders, by the command line's own verb.
    fn make_certificates(&self) -> Result<(), String> {
        let settings = &self.settings;
        let millis = |span: Duration| format!("{}ms", span.as_millis());
        let mut arguments: Vec<String> = ["init", "--cluster", CLUSTER, "--local", "--dir"]
            .map(str::to_owned)
            .into();
        arguments.push(self.layout.cluster().display().to_string());
        for member in members() {
            let flag = if member == ARBITRATOR {
                "--arbitrator"
            } else {
                "--site"
            };
            arguments.push(flag.into());
            arguments.push(format!("{member}={}", self.layout.listen(member)));
        }
        for (flag, value) in [
            ("--ticket", TICKET.to_owned()),
            ("--lease", millis(settings.lease)),
            ("--acquire-after", millis(settings.acquire_after)),
            ("--stop-budget", millis(settings.stop_budget)),
            ("--cluster-manager", "local-stack".to_owned()),
        ] {
            arguments.extend([flag.to_owned(), value]);
        }
        self.run_ticket(&arguments)
    }

    fn run_ticket(&self, arguments: &[String]) -> Result<(), String> {
        let output = Command::new(self.binaries.path("ticket"))
            .args(arguments)
            .output()
            .map_err(|error| format!("ticket: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "`ticket {}` failed: {}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))
    }

    fn add(&mut self, member: &str, daemon: Daemon) {
        let recipe = self.recipe(member, daemon);
        let name = match daemon {
            Daemon::Arbitrator => member.to_owned(),
            _ => format!("{member}.{}", daemon.word()),
        };
        self.processes
            .insert((member.to_owned(), daemon), Process::new(name, recipe));
    }

    fn recipe(&self, member: &str, daemon: Daemon) -> Recipe {
        let folder = self.layout.of(member);
        let path = |name: &str| folder.join(name).display().to_string();
        let arguments: Vec<String> = match daemon {
            Daemon::Guard => {
                vec![
                    "--socket".into(),
                    path("run/guard.sock"),
                    "--state".into(),
                    path("guard"),
                ]
            }
            Daemon::Stack => [
                ("daemon", None),
                ("--cib", Some(path("cib.xml"))),
                ("--socket", Some(path("run/local-stack.sock"))),
                ("--state", Some(path("stack"))),
                ("--guard", Some(path("run/guard.sock"))),
                ("--node", Some(format!("{member}-1"))),
                ("--site", Some(member.to_owned())),
            ]
            .into_iter()
            .flat_map(|(flag, value)| std::iter::once(flag.to_owned()).chain(value))
            .collect(),
            Daemon::Agent | Daemon::Arbitrator => {
                vec![
                    "--config".into(),
                    self.layout.config(member).display().to_string(),
                ]
            }
        };
        let program = match daemon {
            Daemon::Guard => "guard",
            Daemon::Stack => "local-stack",
            Daemon::Agent => "site-agent",
            Daemon::Arbitrator => "arbitrator",
        };
        Recipe {
            binary: self.binaries.path(program),
            arguments,
            environment: self.environment(member),
            log: folder.join(format!("{}.log", daemon.word())),
        }
    }

    fn environment(&self, member: &str) -> Vec<(String, String)> {
        let mut found = vec![(
            "OCF_ROOT".to_owned(),
            self.layout.ocf_root().display().to_string(),
        )];
        if let Some(ppm) = self.settings.clock_ppm.get(member) {
            found.push(("INTERLOCK_TEST_CLOCK_PPM".into(), ppm.to_string()));
            let step = self
                .layout
                .of(member)
                .join("clock-step")
                .display()
                .to_string();
            found.push(("INTERLOCK_TEST_CLOCK_STEP".into(), step));
        }
        if !self.settings.weaken.is_empty() {
            found.push(("INTERLOCK_WEAKEN".into(), self.settings.weaken.join(",")));
        }
        found
    }

    /// The daemons that a target names.
    fn named(&self, target: &Target) -> Vec<(String, Daemon)> {
        match target {
            Target::Member(member) => self
                .processes
                .keys()
                .filter(|(name, _)| name == member)
                .cloned()
                .collect(),
            Target::Daemon(member, daemon) => vec![(member.clone(), *daemon)],
            Target::Service(_) => Vec::new(),
        }
    }

    /// All processes of a target that run now.
    pub(crate) fn pids(&self, target: &Target, witness: &Witness) -> Vec<i32> {
        match target {
            Target::Member(member) => all_of(&self.layout.of(member)),
            Target::Daemon(member, daemon) => {
                let process = self.processes.get(&(member.clone(), *daemon));
                process.and_then(Process::pid).into_iter().collect()
            }
            Target::Service(site) => witness
                .pids(site)
                .into_iter()
                .filter(|pid| alive(*pid))
                .collect(),
        }
    }

    /// Sends a signal to all processes of a target; returns how many.
    pub(crate) fn signal(&mut self, number: Signal, target: &Target, witness: &Witness) -> usize {
        if number == Signal::Kill {
            for key in self.named(target) {
                if let Some(process) = self.processes.get_mut(&key) {
                    process.doomed = true;
                }
            }
        }
        let site = match target {
            Target::Member(member) if SITES.contains(&member.as_str()) => Some(member),
            _ => None,
        };
        let pids = self.pids(target, witness);
        for pid in &pids {
            signal(*pid, number);
        }
        // An agent may have started a process between the look and the signal.
        if site.is_some() && matches!(number, Signal::Kill | Signal::Stop) {
            for pid in self.pids(target, witness) {
                signal(pid, number);
            }
        }
        match (site, number) {
            (Some(site), Signal::Stop) => witness.frozen(site),
            (Some(site), Signal::Cont) => witness.resumed(site),
            _ => {}
        }
        pids.len()
    }

    /// Starts those daemons of a target that do not run; ends those first that do, where one daemon
    /// is named.
    pub(crate) fn restart(&mut self, target: &Target) -> Result<Vec<String>, String> {
        let single =
            matches!(target, Target::Daemon(..)) || *target == Target::Member(ARBITRATOR.into());
        let mut started = Vec::new();
        for key in self.named(target) {
            let Some(process) = self.processes.get_mut(&key) else {
                return Err(format!(
                    "{}.{} does not exist in this run",
                    key.0,
                    key.1.word()
                ));
            };
            if process.pid().is_some() && !single && !process.doomed {
                continue;
            }
            // Gone for certain before the new one starts: two copies of one member refuse to run.
            process.end();
            let recipe = self.recipe(&key.0, key.1);
            let name = self.processes[&key].name.clone();
            let mut process = Process::new(name.clone(), recipe);
            process
                .start()
                .map_err(|error| format!("{name}: {error}"))?;
            self.processes.insert(key, process);
            started.push(name);
        }
        Ok(started)
    }

    /// Daemons that ended since the last call, and how.
    pub(crate) fn ended(&mut self) -> Vec<(String, std::process::ExitStatus, PathBuf)> {
        self.processes
            .values_mut()
            .filter_map(|process| {
                let status = process.ended()?;
                Some((process.name.clone(), status, process.log().to_owned()))
            })
            .collect()
    }

    /// Whether any daemon of this member runs.
    pub(crate) fn is_up(&self, member: &str) -> bool {
        let agent = if member == ARBITRATOR {
            Daemon::Arbitrator
        } else {
            Daemon::Agent
        };
        self.processes
            .get(&(member.to_owned(), agent))
            .is_some_and(|known| known.pid().is_some())
    }

    /// A line for `status`: each daemon of a member and whether it runs.
    pub(crate) fn daemons(&self, member: &str) -> String {
        let words: Vec<String> = self
            .processes
            .iter()
            .filter(|((name, _), _)| name == member)
            .map(|((_, daemon), process)| match process.pid() {
                Some(pid) => format!("{} {pid}", daemon.word()),
                None => format!("{} down", daemon.word()),
            })
            .collect();
        words.join(", ")
    }

    /// Deletes what a member has stored, as a lost disk does.
    pub(crate) fn wipe(&self, member: &str) -> io::Result<()> {
        let state = self.layout.of(member).join("state");
        fs::remove_dir_all(&state)?;
        fs::create_dir(&state)
    }

    /// Flips bytes in everything that a member has stored.
    pub(crate) fn corrupt(&self, member: &str) -> io::Result<usize> {
        let mut spoiled = 0;
        for entry in fs::read_dir(self.layout.of(member).join("state"))? {
            let path = entry?.path();
            if path.is_file() {
                let mut bytes = fs::read(&path)?;
                bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
                fs::write(&path, bytes)?;
                spoiled += 1;
            }
        }
        Ok(spoiled)
    }

    /// Sets or clears a fault of an agent or a cluster command.
    pub(crate) fn fault(&self, site: &str, action: &str, kind: &str) -> io::Result<()> {
        let path = self.layout.of(site).join("faults").join(action);
        if kind == "off" {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        fs::write(path, format!("{kind}\n"))
    }

    /// Steps a member's real-time clock.
    pub(crate) fn step_clock(&self, member: &str, seconds: i64) -> io::Result<()> {
        fs::write(
            self.layout.of(member).join("clock-step"),
            format!("{seconds}\n"),
        )
    }

    /// Ends everything, agents and services too.
    pub(crate) fn end(&mut self) {
        self.processes.clear();
        for pid in all_of(self.root()) {
            signal(pid, Signal::Kill);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}
