//! What is left when killing does not help or proves nothing: the node itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use stack_api::guard::Protection;

/// The inode of the machine's own pid namespace, the same on every Linux.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// How a node may be reset, as the administrator permitted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ResetKind {
    /// Not at all: processes are killed, and what has none is left as it is.
    #[default]
    None,
    /// Through the kernel's `sysrq-trigger`, at once and without a sync.
    Sysrq,
    /// The init of the pid namespace that the guard lives in (test lab). Refused outside one.
    PidNamespace,
}

/// Where the kernel takes orders without a shell.
pub const SYSRQ_TRIGGER: &str = "/proc/sysrq-trigger";

/// Resets the node, and keeps its watchdog fed until then.
#[derive(Debug)]
pub struct Reset {
    kind: ResetKind,
    sysrq: PathBuf,
    watchdog: Option<(PathBuf, File)>,
    fed: bool,
}

impl Reset {
    /// Opens the watchdog and checks that the kind of reset is possible. `sysrq` is
    /// [`SYSRQ_TRIGGER`], wherever that is to be seen.
    ///
    /// # Errors
    /// One sentence: what is not possible and why. Nothing was changed.
    pub fn open(kind: ResetKind, sysrq: &Path, watchdog: Option<&Path>) -> Result<Self, String> {
        match kind {
            ResetKind::None => {}
            ResetKind::Sysrq => {
                OpenOptions::new()
                    .write(true)
                    .open(sysrq)
                    .map_err(|error| format!("--reset sysrq: {}: {error}", sysrq.display()))?;
            }
            ResetKind::PidNamespace => {
                let inode = pid_namespace().map_err(|error| format!("--reset: {error}"))?;
                if inode == INITIAL_PID_NAMESPACE {
                    return Err(
                        "--reset pid-namespace: this is the machine's own pid namespace, not a lab's"
                            .into(),
                    );
                }
            }
        }
        let watchdog = watchdog
            .map(|path| {
                let opened = OpenOptions::new().write(true).open(path);
                let file = opened.map_err(|error| format!("{}: {error}", path.display()))?;
                Ok::<_, String>((path.to_owned(), file))
            })
            .transpose()?;
        Ok(Self {
            kind,
            sysrq: sysrq.to_owned(),
            watchdog,
            fed: true,
        })
    }

    /// How far this protects the node.
    pub fn protection(&self) -> Protection {
        if self.watchdog.is_some() {
            Protection::Watchdog
        } else {
            Protection::Process
        }
    }

    /// What an administrator must know of this protection; empty when it has no limit.
    pub fn limits(&self) -> Vec<String> {
        match (&self.watchdog, self.kind) {
            (None, ResetKind::None) => {
                vec!["the node cannot be reset: no --watchdog and no --reset".to_owned()]
            }
            (Some((path, _)), ResetKind::None) => {
                let span = timeout_s(path).map_or_else(
                    || "its own time".to_owned(),
                    |seconds| format!("up to {seconds} s"),
                );
                vec![format!(
                    "a reset by {} alone takes {span}: acquire-after must be longer, or --reset \
                     sysrq be given",
                    path.display()
                )]
            }
            _ => Vec::new(),
        }
    }

    /// A node can be reset.
    pub fn possible(&self) -> bool {
        self.kind != ResetKind::None || self.watchdog.is_some()
    }

    /// Tells the watchdog that the guard lives; from [`Reset::now`] on it is told no more.
    ///
    /// # Errors
    /// The device's own.
    pub fn feed(&mut self) -> io::Result<()> {
        match &mut self.watchdog {
            Some((_, file)) if self.fed => file.write_all(b"\0"),
            _ => Ok(()),
        }
    }

    /// Ends the watch in an orderly way: the guard goes and nothing is armed.
    pub fn release(&mut self) {
        if let Some((_, file)) = &mut self.watchdog {
            // The magic close of the watchdog interface. A device that does not know it bites, which
            // is what its administrator asked for (nowayout).
            let _ = file.write_all(b"V");
        }
    }

    /// Resets the node. Returns only when that is not possible; the watchdog is not fed again.
    pub fn now(&mut self) -> String {
        self.fed = false;
        let tried = match self.kind {
            ResetKind::None => Err(io::Error::other("not permitted (--reset)")),
            ResetKind::Sysrq => fs::write(&self.sysrq, "b"),
            ResetKind::PidNamespace => reset_pid_namespace(),
        };
        let waiting = self
            .watchdog
            .as_ref()
            .map(|(path, _)| format!("; {} is not fed any more", path.display()));
        match tried {
            Ok(()) => "the reset returned".to_owned(),
            Err(error) => format!("no reset: {error}{}", waiting.unwrap_or_default()),
        }
    }
}

/// How long after its last feed a watchdog bites, where the kernel tells.
fn timeout_s(device: &Path) -> Option<u32> {
    let name = device.file_name()?.to_str()?;
    // The old name stands for the first device.
    let name = if name == "watchdog" {
        "watchdog0"
    } else {
        name
    };
    let text = fs::read_to_string(format!("/sys/class/watchdog/{name}/timeout")).ok()?;
    text.trim().parse().ok()
}

fn pid_namespace() -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

/// In a pid namespace other than the machine's, `reboot` ends the namespace's init and with it every
/// process inside, and nothing else. Checked again here, because in the machine's own it would end
/// the machine.
fn reset_pid_namespace() -> io::Result<()> {
    if pid_namespace()? == INITIAL_PID_NAMESPACE {
        return Err(io::Error::other("this is the machine's own pid namespace"));
    }
    rustix::system::reboot(rustix::system::RebootCommand::Restart)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_fed_until_the_reset_and_released_only_in_peace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watchdog");
        fs::write(&path, "").unwrap();
        let sysrq = Path::new(SYSRQ_TRIGGER);
        let mut reset = Reset::open(ResetKind::None, sysrq, Some(&path)).unwrap();
        assert_eq!(reset.protection(), Protection::Watchdog);
        assert!(reset.limits()[0].contains("acquire-after"));
        reset.feed().unwrap();
        assert!(reset.now().contains("not fed"));
        reset.feed().unwrap();
        assert_eq!(
            fs::read(&path).unwrap(),
            b"\0",
            "fed once, then never again"
        );
        let missing =
            Reset::open(ResetKind::None, sysrq, Some(&dir.path().join("none"))).unwrap_err();
        assert!(missing.contains("none"), "{missing}");
    }

    #[test]
    fn sysrq_is_told_to_reset_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trigger");
        let missing = Reset::open(ResetKind::Sysrq, &path, None).unwrap_err();
        assert!(missing.contains("trigger"), "{missing}");
        fs::write(&path, "").unwrap();
        let mut reset = Reset::open(ResetKind::Sysrq, &path, None).unwrap();
        assert!(reset.possible() && reset.limits().is_empty());
        assert_eq!(fs::read(&path).unwrap(), b"", "nothing is said before");
        assert_eq!(reset.now(), "the reset returned");
        assert_eq!(fs::read(&path).unwrap(), b"b");
    }

    #[test]
    fn without_anything_processes_are_the_limit() {
        let reset = Reset::open(ResetKind::None, Path::new(SYSRQ_TRIGGER), None).unwrap();
        assert_eq!(reset.protection(), Protection::Process);
        assert!(!reset.possible());
    }
}
