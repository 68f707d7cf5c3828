//! Three hosts on one bridge, each a network namespace of this run.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Number of members: two sites and an arbitrator.
pub(crate) const MEMBERS: usize = 3;

/// The namespaces; removed when dropped.
pub(crate) struct Hosts {
    prefix: String,
}

impl Hosts {
    /// Makes the namespaces and the bridge between them.
    ///
    /// # Errors
    /// The `ip` command that failed, with its words; what was made is removed again.
    pub(crate) fn up() -> Result<Self, String> {
        let hosts = Self {
            prefix: format!("ib{}", std::process::id() % 100_000),
        };
        let lan = hosts.lan();
        run(&["ip", "netns", "add", &lan])?;
        run(&["ip", "-n", &lan, "link", "add", "br0", "type", "bridge"])?;
        run(&["ip", "-n", &lan, "link", "set", "br0", "up"])?;
        for index in 0..MEMBERS {
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
        for name in (0..MEMBERS)
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
