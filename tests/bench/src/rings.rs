//! The nodes of each side, as processes in network namespaces: Debian's corosync, and ours.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::hosts::{Hosts, run as shell};

/// A ring forms within this, or the run is over.
const FORMS_WITHIN: Duration = Duration::from_secs(60);

/// One side: its daemons, and how its load is called.
pub(crate) struct Ring {
    pub(crate) name: &'static str,
    scratch: PathBuf,
    bench: PathBuf,
    ours: bool,
    /// The command of each node's daemon.
    words: Vec<Vec<String>>,
    pub(crate) daemons: Vec<Child>,
}

/// Where the binaries are.
pub(crate) struct Programs {
    pub(crate) bench: PathBuf,
    pub(crate) stack: PathBuf,
    pub(crate) load: PathBuf,
}

impl Ring {
    /// Starts corosync on the first `count` hosts, knet with aes256 and sha256, everything else its
    /// default but for `totem`, in the same scheduling class and with the same priority as ours gives
    /// itself.
    ///
    /// # Errors
    /// Which step failed.
    pub(crate) fn corosync(
        hosts: &Hosts,
        programs: &Programs,
        scratch: &Path,
        count: usize,
        totem: &str,
    ) -> Result<Self, String> {
        let key = scratch.join("authkey");
        let mut random = vec![0; 256];
        std::io::Read::read_exact(
            &mut File::open("/dev/urandom").map_err(|error| error.to_string())?,
            &mut random,
        )
        .map_err(|error| error.to_string())?;
        fs::write(&key, random).map_err(|error| error.to_string())?;
        let mut text = format!(
            "totem {{\n version: 2\n cluster_name: bench\n transport: knet\n crypto_cipher: aes256\n \
             crypto_hash: sha256\n keyfile: {}\n {totem}}}\nquorum {{\n provider: corosync_votequorum\n}}\nsystem {{\n \
             sched_rr: no\n}}\nlogging {{\n to_stderr: yes\n to_syslog: no\n}}\nnodelist {{\n",
            key.display()
        );
        for index in 0..count {
            let address = Hosts::address(index);
            text += &format!(
                " node {{\n nodeid: {0}\n name: n{0}\n ring0_addr: {address}\n }}\n",
                index + 1
            );
        }
        text += "}\n";
        let config = scratch.join("corosync.conf");
        fs::write(&config, text).map_err(|error| error.to_string())?;
        // Each has its own run and state directories and shared memory, as on machines of their own.
        let script = format!(
            "mount -t tmpfs none /run && mount -t tmpfs none /var/lib/corosync && mount -t tmpfs none /dev/shm && \
             exec nice -n -20 corosync -f -c {}",
            config.display()
        );
        let words = ["unshare", "-m", "sh", "-c", script.as_str()].map(str::to_owned);
        let mut ring = Self {
            name: "corosync",
            scratch: scratch.to_owned(),
            bench: programs.load.clone(),
            ours: false,
            words: vec![words.to_vec(); count],
            daemons: Vec::new(),
        };
        ring.start(hosts)?;
        Ok(ring)
    }

    /// Starts ours with its defaults.
    ///
    /// # Errors
    /// Which step failed.
    pub(crate) fn ours(hosts: &Hosts, programs: &Programs, scratch: &Path) -> Result<Self, String> {
        let site = scratch.join("site");
        let mut words = vec![programs.stack.display().to_string()];
        words.extend(["messaging", "init", "--cluster", "bench", "--dir"].map(str::to_owned));
        words.push(site.display().to_string());
        for index in 0..hosts.count() {
            words.push("--node".to_owned());
            words.push(format!("n{}={}", index + 1, Hosts::address(index)));
        }
        shell(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        for index in 0..hosts.count() {
            let node = site.join(format!("n{}", index + 1));
            let place = node.join("messaging.toml");
            let text = fs::read_to_string(&place).map_err(|error| error.to_string())?;
            let node = node.display();
            let text = format!(
                "pki = \"{node}/pki\"\nsocket = \"{node}/socket\"\nstate = \"{node}/state\"\n{text}"
            );
            fs::write(&place, text).map_err(|error| error.to_string())?;
        }
        let stack = programs.stack.display().to_string();
        let words = |index: usize| {
            let config = site.join(format!("n{}/messaging.toml", index + 1));
            vec![
                stack.clone(),
                "messaging".to_owned(),
                "daemon".to_owned(),
                "--config".to_owned(),
                config.display().to_string(),
            ]
        };
        let mut ring = Self {
            name: "interlock",
            scratch: scratch.to_owned(),
            bench: programs.bench.clone(),
            ours: true,
            words: (0..hosts.count()).map(words).collect(),
            daemons: Vec::new(),
        };
        ring.start(hosts)?;
        Ok(ring)
    }

    fn start(&mut self, hosts: &Hosts) -> Result<(), String> {
        for index in 0..self.words.len() {
            let child = self.daemon(hosts, index)?;
            self.daemons.push(child);
        }
        self.form(hosts)
    }

    /// Starts the daemon of a node; its log goes on.
    fn daemon(&self, hosts: &Hosts, index: usize) -> Result<Child, String> {
        let words = &self.words[index];
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(index))
            .map_err(|error| error.to_string())?;
        hosts.within(index, move || {
            Command::new(&words[0])
                .args(&words[1..])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .map_err(|error| format!("{}: {error}", words[0]))
        })
    }

    /// Where a node's daemon writes its log.
    pub(crate) fn log(&self, index: usize) -> PathBuf {
        self.scratch.join(format!("{}-{index}.log", self.name))
    }

    /// The socket of a node of ours.
    pub(crate) fn socket(&self, index: usize) -> PathBuf {
        self.scratch.join(format!("site/n{}/socket", index + 1))
    }

    /// Starts a node's daemon again after it has ended.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn restart(&mut self, hosts: &Hosts, index: usize) -> Result<(), String> {
        self.daemons[index] = self.daemon(hosts, index)?;
        Ok(())
    }

    /// Waits until all are together: a load that sees all members says so.
    fn form(&self, hosts: &Hosts) -> Result<(), String> {
        let until = Instant::now() + FORMS_WITHIN;
        let mut why = String::new();
        let count = self.daemons.len();
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(500));
            let mut watchers = Vec::new();
            for index in 0..count {
                match self.load(hosts, index, "watch", &[&count.to_string()]) {
                    Ok(watcher) => watchers.push(watcher),
                    Err(error) => why = error,
                }
            }
            let formed = watchers.len() == count
                && watchers
                    .iter_mut()
                    .all(|one| one.line(Duration::from_secs(8)).is_ok());
            if formed {
                return Ok(());
            }
        }
        Err(format!(
            "{} did not form a ring of {count}: {why}",
            self.name
        ))
    }

    /// Starts a load at a node.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn load(
        &self,
        hosts: &Hosts,
        index: usize,
        role: &str,
        words: &[&str],
    ) -> Result<Load, String> {
        let mut all: Vec<String> = Vec::new();
        if self.ours {
            let socket = self.socket(index);
            all.extend([
                self.bench.display().to_string(),
                "drive".to_owned(),
                role.to_owned(),
            ]);
            all.extend(["--socket".to_owned(), socket.display().to_string()]);
        } else {
            // Into the daemon's mounts: its shared memory is there.
            let pid = self.daemons[index].id().to_string();
            all.extend(["nsenter", "-m", "-t", &pid, "--"].map(str::to_owned));
            all.extend([
                self.bench.display().to_string(),
                role.to_owned(),
                "load".to_owned(),
            ]);
        }
        all.extend(words.iter().map(|word| (*word).to_owned()));
        let log = self.scratch.join(format!("{}-load-{index}.log", self.name));
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|error| error.to_string())?;
        let child = hosts.within(index, move || {
            Command::new(&all[0])
                .args(&all[1..])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(log)
                .spawn()
                .map_err(|error| format!("{}: {error}", all[0]))
        })?;
        Load::new(child)
    }

    /// Nanoseconds of processor time that the daemons have used.
    pub(crate) fn processor_time(&self) -> Result<u64, String> {
        let mut sum = 0;
        for daemon in &self.daemons {
            sum += crate::process::processor_ns(daemon.id())?;
        }
        Ok(sum)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            // One that has ended already needs no more.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// One process of the load, and its lines.
pub(crate) struct Load {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Load {
    fn new(mut child: Child) -> Result<Self, String> {
        let out = child.stdout.take().ok_or("a load without output")?;
        let (tell, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(out)).map_while(Result::ok)
            {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// The next line.
    ///
    /// # Errors
    /// None came in time.
    pub(crate) fn line(&mut self, wait: Duration) -> Result<String, String> {
        self.lines
            .recv_timeout(wait)
            .map_err(|_| "a load said nothing in time".to_owned())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Compiles corosync's load, if its headers are there.
///
/// # Errors
/// The compiler's words.
pub(crate) fn compile_load(scratch: &Path) -> Result<PathBuf, String> {
    compile(scratch, "load", include_bytes!("load.c"), &["-lcpg"])
}

/// Compiles a small program of ours.
///
/// # Errors
/// The compiler's words.
pub(crate) fn compile(
    scratch: &Path,
    name: &str,
    text: &[u8],
    libraries: &[&str],
) -> Result<PathBuf, String> {
    let (source, program) = (scratch.join(format!("{name}.c")), scratch.join(name));
    let mut file = File::create(&source).map_err(|error| error.to_string())?;
    file.write_all(text).map_err(|error| error.to_string())?;
    let (to, from) = (program.display().to_string(), source.display().to_string());
    let mut words = vec!["cc", "-O2", "-o", &to, &from];
    words.extend(libraries);
    shell(&words)?;
    Ok(program)
}
