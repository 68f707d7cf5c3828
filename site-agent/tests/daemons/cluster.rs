//! A cluster of real processes on loopback: two sites and an arbitrator, unprivileged, in one
//! scratch folder.

use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use link::Identity;
use link::ca::Ca;
use ticket_admin::{Action, Answer, Body, Call, Client, Failure, RequestId, Verb, View};

/// How long anything may take before a test fails: far above every lease here, because the machine
/// may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Set for the process that plays the arbitrator: this very test program.
pub(crate) const ARBITRATOR_VARIABLE: &str = "INTERLOCK_TEST_ARBITRATOR";

/// All members: name, role.
pub(crate) const MEMBERS: [(&str, &str); 3] =
    [("arb", "arbitrator"), ("berlin", "site"), ("paris", "site")];

/// Short, because tests wait for leases; long enough for a busy machine.
pub(crate) const AUTO: &str =
    "[ticket.db]\nlease = \"3s\"\nacquire-after = \"2s\"\nstop-budget = \"1s\"\n";

/// The cluster command: it keeps the ticket's state in a file, and does as the files `hang` and
/// `fail` beside it tell: they hold a verb that hangs, or fails.
const CLUSTER_COMMAND: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$1 $2 $3" >> "$2.log"
if [ -e hang ] && [ "$(cat hang)" = "$1" ]; then sleep 1000; fi
if [ -e fail ] && [ "$(cat fail)" = "$1" ]; then echo "$1 is out of order" >&2; exit 1; fi
case "$1" in
    grant) echo "granted $3" > "$2.state" ;;
    stop | revoke) echo stopped > "$2.state" ;;
    status) if [ -e "$2.state" ]; then cat "$2.state"; else echo stopped; fi ;;
esac
exit 0
"#;

/// The whole thing. Dropping it kills what runs.
pub(crate) struct Cluster {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ca: Ca,
    running: Vec<(String, Child)>,
}

impl Cluster {
    /// Files for all members, nothing started. `tickets` is the configuration of the tickets.
    pub(crate) fn new(tickets: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let ca = Ca::create("shop").expect("an authority");
        let ports = free_ports();
        let mut members = String::new();
        for ((name, role), port) in MEMBERS.iter().zip(&ports) {
            members +=
                &format!("[member.{name}]\nrole = \"{role}\"\naddress = \"127.0.0.1:{port}\"\n");
        }
        for (name, role) in MEMBERS {
            let home = folder.path().join(name);
            for part in ["pki", "state", "run", "cluster"] {
                fs::create_dir_all(home.join(part)).expect("a folder");
            }
            let mut text = format!(
                "[cluster]\nname = \"shop\"\nmember = \"{name}\"\n{members}{tickets}\
                 [paths]\npki = \"pki\"\nstate = \"state\"\nrun = \"run\"\n"
            );
            if role == "site" {
                let program = home.join("cluster/command");
                fs::write(&program, CLUSTER_COMMAND).expect("the cluster command");
                fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
                text += &format!(
                    "[cluster-manager]\nkind = \"command\"\ncommand = [\"{}\"]\ntimeout = \"2s\"\n",
                    program.display()
                );
            }
            fs::write(home.join("interlock.toml"), text).expect("the configuration");
            fs::write(home.join("state/first-start"), "").expect("the mark");
            fs::write(home.join("pki/ca.crt"), ca.certificate_pem()).expect("the CA");
            issue(&ca, "shop", role, name, &home.join("pki"));
        }
        Self {
            folder,
            ca,
            running: Vec::new(),
        }
    }

    /// Files for all members, all started and connected.
    pub(crate) fn started(tickets: &str) -> Self {
        let mut cluster = Self::new(tickets);
        for (name, _) in MEMBERS {
            cluster.start(name);
        }
        for (name, _) in MEMBERS {
            cluster.await_view(name, "all votes within reach", |view| {
                view.votes.reachable == view.votes.configured
            });
        }
        cluster
    }

    pub(crate) fn home(&self, member: &str) -> PathBuf {
        self.folder.path().join(member)
    }

    pub(crate) fn start(&mut self, member: &str) {
        let child = self.command(member, &[]).spawn().expect("the daemon");
        self.running.push((member.to_owned(), child));
    }

    /// How a member is started.
    pub(crate) fn command(&self, member: &str, arguments: &[&str]) -> Command {
        let home = self.home(member);
        let site = member != "arb";
        let mut command = if site {
            Command::new(env!("CARGO_BIN_EXE_site-agent"))
        } else {
            // The arbitrator's program is another package's: its loop is played by ourselves.
            let mut command = Command::new(std::env::current_exe().expect("our own path"));
            command.args(["--exact", "plays_the_arbitrator", "--nocapture"]);
            command
        };
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(home.join("log"))
            .expect("the log");
        let config = home.join("interlock.toml");
        if site {
            command.arg("--config").arg(&config).args(arguments);
        } else {
            command.env(ARBITRATOR_VARIABLE, &config);
        }
        command
            .env("INTERLOCK_LOG", "debug")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    /// A site's agent that cannot write files longer than so many blocks of 512 bytes.
    pub(crate) fn limited(&self, site: &str, blocks: u32) -> Command {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_site-agent"), "--config"])
            .arg(self.home(site).join("interlock.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// A second process of a site: same name, same certificate, its own folder and port.
    pub(crate) fn copy(&self, site: &str) -> Command {
        let home = self.folder.path().join("copy");
        for part in ["state", "run"] {
            fs::create_dir_all(home.join(part)).expect("a folder");
        }
        let original = self.home(site);
        let text = fs::read_to_string(original.join("interlock.toml")).expect("its configuration");
        let listen = format!(
            "[member.{site}]\nlisten = \"127.0.0.1:{}\"",
            free_ports()[0]
        );
        let text = text.replace(&format!("[member.{site}]"), &listen).replace(
            "pki = \"pki\"",
            &format!("pki = \"{}\"", original.join("pki").display()),
        );
        fs::write(home.join("interlock.toml"), text).expect("the configuration");
        fs::write(home.join("state/first-start"), "").expect("the mark");
        let mut command = Command::new(env!("CARGO_BIN_EXE_site-agent"));
        command
            .arg("--config")
            .arg(home.join("interlock.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(original.join("copy.log")).expect("the log"));
        command
    }

    /// Sends a signal to a member's process.
    pub(crate) fn signal(&self, member: &str, signal: rustix::process::Signal) {
        let (_, child) = self
            .running
            .iter()
            .find(|(name, _)| name == member)
            .expect("it runs");
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, signal).expect("the signal");
    }

    /// Kills a member's process, without a goodbye.
    pub(crate) fn kill(&mut self, member: &str) {
        self.signal(member, rustix::process::Signal::KILL);
        self.ended(member);
    }

    /// Waits for the end of a member's process; its exit code.
    pub(crate) fn ended(&mut self, member: &str) -> Option<i32> {
        let index = self
            .running
            .iter()
            .position(|(name, _)| name == member)
            .expect("it runs");
        let (_, mut child) = self.running.remove(index);
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(
                Instant::now() < until,
                "{member} does not end\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn client(&self, member: &str) -> Option<Client> {
        let socket = self.home(member).join(format!("run/{member}.sock"));
        Client::connect(&socket, Instant::now() + Duration::from_secs(5)).ok()
    }

    /// What a member knows; `None` while it does not answer.
    pub(crate) fn view(&self, member: &str) -> Option<View> {
        let until = Instant::now() + Duration::from_secs(5);
        match self.client(member)?.call(Call::View {}, until) {
            Ok(Some(Body::Ok(Answer::View(view)))) => Some(*view),
            _ => None,
        }
    }

    /// Waits until a member's view is as it should be.
    pub(crate) fn await_view(
        &self,
        member: &str,
        what: &str,
        good: impl Fn(&View) -> bool,
    ) -> View {
        let until = Instant::now() + PATIENCE;
        loop {
            let view = self.view(member);
            match view {
                Some(view) if good(&view) => return view,
                last if Instant::now() > until => {
                    panic!("{member}: never {what}: {last:#?}\n{}", self.logs())
                }
                Some(_) | None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Carries out a command at a member and waits for its final answer.
    pub(crate) fn act(
        &self,
        member: &str,
        ticket: &str,
        verb: Verb,
    ) -> Result<ticket_admin::Outcome, Failure> {
        let action = Action {
            request: RequestId(u128::from(std::process::id()) << 64 | u128::from(count())),
            ticket: ticket.to_owned(),
            verb,
            wait_ms: 20_000,
        };
        let mut client = self.client(member).expect("the daemon answers");
        match client.call(Call::Act(action), Instant::now() + PATIENCE) {
            Ok(Some(Body::Ok(Answer::Outcome(outcome)))) => Ok(outcome),
            Ok(Some(Body::Error(failure))) => Err(failure),
            other => panic!("{member}: {other:?}\n{}", self.logs()),
        }
    }

    /// Grants and expects success.
    pub(crate) fn grant(&self, ticket: &str, site: &str) -> ticket_admin::Outcome {
        let to = Some(site.to_owned());
        match self.act(site, ticket, Verb::Grant { to, force: None }) {
            Ok(outcome) => outcome,
            Err(failure) => panic!("{failure:?}\n{}", self.logs()),
        }
    }

    /// What a site's cluster says of a ticket.
    pub(crate) fn cluster_state(&self, site: &str, ticket: &str) -> String {
        let path = self.home(site).join(format!("cluster/{ticket}.state"));
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    pub(crate) fn await_cluster_state(
        &self,
        site: &str,
        ticket: &str,
        good: impl Fn(&str) -> bool,
    ) {
        let until = Instant::now() + PATIENCE;
        while !good(&self.cluster_state(site, ticket)) {
            assert!(
                Instant::now() < until,
                "{site}: {ticket} is {:?}\n{}",
                self.cluster_state(site, ticket),
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The ends of all logs.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for (name, _) in MEMBERS {
            let mut log = String::new();
            if let Ok(mut file) = fs::File::open(self.home(name).join("log")) {
                let _cut = file.read_to_string(&mut log);
            }
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            text += &format!("== {name}\n{}\n", last.join("\n"));
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

/// A certificate for a member, as files.
pub(crate) fn issue(ca: &Ca, cluster: &str, role: &str, name: &str, pki: &Path) {
    let identity = Identity::new(cluster, role, name).expect("an identity");
    let issued = ca
        .issue(&identity, Duration::from_secs(3600))
        .expect("a certificate");
    issued.save(pki).expect("saved");
}

/// Ports that are free now. Another process may take one before a daemon does; then that test fails
/// with the bind error in the log.
fn free_ports() -> Vec<u16> {
    let sockets: Vec<UdpSocket> = MEMBERS
        .iter()
        .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    sockets
        .iter()
        .map(|socket| socket.local_addr().expect("its address").port())
        .collect()
}

/// A number that no other call of this process gets.
fn count() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}
