//! Hosts, each a network namespace of this run: on one bridge, or with a bad network between them.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Number of members: two sites and an arbitrator.
pub(crate) const MEMBERS: usize = 3;
/// Runs ahead of everybody else: what is measured is not how well the network is scheduled.
const WIRE_PRIORITY: &str = "40";

/// The namespaces; removed when dropped.
pub(crate) struct Hosts {
    prefix: String,
    count: usize,
}

impl Hosts {
    /// Makes three namespaces and the bridge between them.
    ///
    /// # Errors
    /// The `ip` command that failed, with its words; what was made is removed again.
    pub(crate) fn up() -> Result<Self, String> {
        Self::on_a_bridge(MEMBERS)
    }

    /// The same with another number of them.
    ///
    /// # Errors
    /// As [`Hosts::up`].
    pub(crate) fn on_a_bridge(count: usize) -> Result<Self, String> {
        let hosts = Self::new(count);
        let lan = hosts.lan();
        run(&["ip", "netns", "add", &lan])?;
        run(&["ip", "-n", &lan, "link", "add", "br0", "type", "bridge"])?;
        run(&["ip", "-n", &lan, "link", "set", "br0", "up"])?;
        for index in 0..count {
            let (name, port) = (hosts.name(index), format!("p{index}"));
            run(&["ip", "netns", "add", &name])?;
            run(&[
                "ip", "-n", &lan, "link", "add", &port, "type", "veth", "peer", "name", "eth0",
                "netns", &name,
            ])?;
            run(&[
                "ip", "-n", &lan, "link", "set", &port, "master", "br0", "up",
            ])?;
            let address = format!("{}/24", Self::address(index));
            run(&["ip", "-n", &name, "addr", "add", &address, "dev", "eth0"])?;
            run(&["ip", "-n", &name, "link", "set", "eth0", "up"])?;
            run(&["ip", "-n", &name, "link", "set", "lo", "up"])?;
        }
        Ok(hosts)
    }

    /// Makes the namespaces with a [`Wire`] between them; `program` is the compiled `wire.c`.
    ///
    /// # Errors
    /// As [`Hosts::up`].
    pub(crate) fn on_a_wire(
        count: usize,
        program: &Path,
        loss_ppm: u32,
        jitter_us: u32,
    ) -> Result<(Self, Wire), String> {
        let hosts = Self::new(count);
        let names: Vec<String> = (0..count).map(|index| hosts.name(index)).collect();
        for name in &names {
            run(&["ip", "netns", "add", name])?;
        }
        let wire = Wire::start(program, loss_ppm, jitter_us, &names)?;
        for (index, name) in names.iter().enumerate() {
            let address = format!("{}/24", Self::address(index));
            run(&["ip", "-n", name, "addr", "add", &address, "dev", "eth0"])?;
            run(&["ip", "-n", name, "link", "set", "eth0", "up"])?;
            run(&["ip", "-n", name, "link", "set", "lo", "up"])?;
        }
        Ok((hosts, wire))
    }

    fn new(count: usize) -> Self {
        Self {
            prefix: format!("ib{}", std::process::id() % 100_000),
            count,
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Drops every packet to and from member `index`, without telling anybody.
    ///
    /// # Errors
    /// The `ip` command's words.
    pub(crate) fn cut(&self, index: usize) -> Result<(), String> {
        let port = format!("p{index}");
        run(&["ip", "-n", &self.lan(), "link", "set", &port, "nomaster"])?;
        Ok(())
    }

    /// The address of member `index`.
    pub(crate) fn address(index: usize) -> String {
        format!("10.78.0.{}", index + 1)
    }

    /// Does something inside the host of member `index`: what it starts belongs to that host.
    ///
    /// A thread of its own enters the namespace, so that no `ip netns exec` is timed with the
    /// command.
    ///
    /// # Errors
    /// The namespace cannot be entered, or `what` failed.
    pub(crate) fn within<T: Send>(
        &self,
        index: usize,
        what: impl FnOnce() -> Result<T, String> + Send,
    ) -> Result<T, String> {
        let path = format!("/var/run/netns/{}", self.name(index));
        let inside = || {
            let door = std::fs::File::open(&path).map_err(|error| format!("{path}: {error}"))?;
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(door.as_fd(), kind).map_err(|error| error.to_string())?;
            what()
        };
        std::thread::scope(|scope| scope.spawn(inside).join())
            .map_err(|_| format!("the thread inside {path} panicked"))?
    }

    fn name(&self, index: usize) -> String {
        format!("{}-{index}", self.prefix)
    }

    fn lan(&self) -> String {
        format!("{}-lan", self.prefix)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in (0..self.count)
            .map(|index| self.name(index))
            .chain([self.lan()])
        {
            // A namespace that was never made cannot be removed: nothing to do about it.
            let _ = Command::new("ip")
                .args(["netns", "del", &name])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// The process between hosts, see `wire.c`; ended when dropped.
pub(crate) struct Wire {
    child: Child,
}

impl Wire {
    fn start(
        program: &Path,
        loss_ppm: u32,
        jitter_us: u32,
        names: &[String],
    ) -> Result<Self, String> {
        let mut child = Command::new("chrt")
            .args(["-f", WIRE_PRIORITY])
            .arg(program)
            .args([loss_ppm.to_string(), jitter_us.to_string()])
            .args(names)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("chrt: {error}"))?;
        let mut line = String::new();
        if let Some(out) = &mut child.stdout {
            BufReader::new(out)
                .read_line(&mut line)
                .map_err(|error| error.to_string())?;
        }
        let wire = Self { child };
        if line == "ready\n" {
            Ok(wire)
        } else {
            Err("the wire between the hosts did not start".to_owned())
        }
    }

    /// From now on it is a bad one.
    pub(crate) fn worsen(&self) {
        self.tell(Signal::USR1);
    }

    /// From now on the last host is cut off, without a word to anybody.
    pub(crate) fn cut_last(&self) {
        self.tell(Signal::USR2);
    }

    /// Ends it: what it passed and lost.
    pub(crate) fn end(mut self) -> String {
        self.tell(Signal::TERM);
        let mut text = String::new();
        if let Some(out) = &mut self.child.stdout {
            // A wire that says nothing any more has nothing to tell.
            let _ = std::io::Read::read_to_string(out, &mut text);
        }
        text.trim().to_owned()
    }

    fn tell(&self, signal: Signal) {
        // One that has ended needs to be told nothing.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
///
/// # Errors
/// Its words, if it failed.
pub(crate) fn run(words: &[&str]) -> Result<String, String> {
    let (program, rest) = words.split_first().ok_or("an empty command")?;
    let output = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!(
            "{}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }
}
