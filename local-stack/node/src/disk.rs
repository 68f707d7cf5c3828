//! Files: the CIB (durable), what the next daemon of this boot must find (not durable), the lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cib::Cib;
use controller::Kept;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use stack_api::clock::boot_id;

/// Why the daemon cannot begin, or a change is not on disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// A file or directory cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The CIB is not one. Place and fault are in the text.
    #[error("{0}")]
    Cib(cib::Error),
    /// Another daemon runs on this state directory.
    #[error("{0}: another daemon uses this state directory")]
    Locked(PathBuf),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DiskError + '_ {
    |source| DiskError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Reads a CIB.
pub(crate) fn load_cib(path: &Path) -> Result<Cib, DiskError> {
    let bytes = fs::read(path).map_err(at(path))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let source = io::Error::new(
            io::ErrorKind::InvalidData,
            format!("not text: byte {valid} is not UTF-8; a CIB is an XML document"),
        );
        DiskError::Io {
            path: path.to_owned(),
            source,
        }
    })?;
    Cib::parse(&text, Some(&path.display().to_string())).map_err(DiskError::Cib)
}

/// Replaces the CIB's file so that after any crash the old or the new one is there, whole. The status
/// section is not written: it is about what runs, which is found out anew.
pub(crate) fn save_cib(path: &Path, cib: &Cib) -> Result<(), DiskError> {
    let mut cib = cib.clone();
    if let Some(status) = cib.section(cib::Section::Status).map(|status| status.key()) {
        cib.document_mut().clear(status);
    }
    let new = path.with_extension("new");
    let mut file = File::create(&new).map_err(at(&new))?;
    file.write_all(cib.to_text().as_bytes()).map_err(at(&new))?;
    file.sync_all().map_err(at(&new))?;
    fs::rename(&new, path).map_err(at(path))?;
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(at(parent))
}

/// Writes beside the CIB which era it is of, after it: an old era with a new CIB claims too little,
/// which is safe, the reverse too much.
pub(crate) fn save_era(path: &Path, era: u64, cib: &Cib) -> Result<(), DiskError> {
    let text = format!("{era} {}\n", configuration(cib));
    let new = path.with_extension("new");
    let mut file = File::create(&new).map_err(at(&new))?;
    file.write_all(text.as_bytes()).map_err(at(&new))?;
    file.sync_all().map_err(at(&new))?;
    fs::rename(&new, path).map_err(at(path))
}

/// The era of a CIB that was read. One that was changed meanwhile, by an editor or from a backup, is of
/// none: what the site agreed on goes before it.
pub(crate) fn load_era(path: &Path, cib: &Cib) -> u64 {
    let Ok(text) = fs::read_to_string(path) else {
        return 0;
    };
    let (era, digest) = text.trim().split_once(' ').unwrap_or_default();
    if digest == configuration(cib) {
        return era.parse().unwrap_or(0);
    }
    tracing::warn!(
        "the CIB was changed while this daemon did not run: the other nodes' goes before it"
    );
    0
}

fn configuration(cib: &Cib) -> String {
    let section = cib.section(cib::Section::Configuration);
    let section = section.map(|section| cib.document().extract(section.key()));
    section.map_or_else(String::new, |section| cib::digest::of_content(&section))
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptFile {
    boot_id: String,
    kept: Kept,
}

/// The state directory.
#[derive(Debug)]
pub(crate) struct StateDir {
    dir: PathBuf,
    boot_id: String,
    /// Names this node's processes among those of other stacks on the machine.
    pub(crate) instance: String,
    /// Held for as long as the daemon lives.
    _lock: File,
}

impl StateDir {
    /// Makes and locks the directory.
    pub(crate) fn open(dir: &Path) -> Result<Self, DiskError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| DiskError::Locked(dir.to_owned()))?;
        let boot_path = Path::new("/proc/sys/kernel/random/boot_id");
        let boot_id = boot_id().map_err(at(boot_path))?;
        let instance = instance(&dir.join("instance"))?;
        Ok(Self {
            dir: dir.to_owned(),
            boot_id,
            instance,
            _lock: lock,
        })
    }

    /// Where the CIB's era is kept.
    pub(crate) fn era_path(&self) -> PathBuf {
        self.file("era")
    }

    /// A file of the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where running agents are noted.
    pub(crate) fn notes(&self) -> PathBuf {
        self.dir.join("running")
    }

    /// The classic commands, as links to this program. Each is replaced in one step: agents that a
    /// daemon before this one left behind may be calling them.
    pub(crate) fn commands(&self) -> Result<PathBuf, DiskError> {
        let dir = std::path::absolute(self.dir.join("commands")).map_err(at(&self.dir))?;
        let program = std::env::current_exe().map_err(at(Path::new("/proc/self/exe")))?;
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        let new = dir.join(".new");
        for name in tools::NAMES {
            let link = dir.join(name);
            if fs::read_link(&link).is_ok_and(|known| known == program) {
                continue;
            }
            // One that a crash left.
            let _ = fs::remove_file(&new);
            std::os::unix::fs::symlink(&program, &new).map_err(at(&new))?;
            fs::rename(&new, &link).map_err(at(&link))?;
        }
        Ok(dir)
    }

    /// What the daemon before this one kept in this boot. What cannot be read counts as nothing kept:
    /// gated resources are then stopped, never adopted.
    pub(crate) fn load_kept(&self) -> Kept {
        let path = self.dir.join("kept.json");
        let Ok(bytes) = fs::read(&path) else {
            return Kept::default();
        };
        match serde_json::from_slice::<KeptFile>(&bytes) {
            Ok(file) if file.boot_id == self.boot_id => file.kept,
            Ok(_) => Kept::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what was kept is lost");
                Kept::default()
            }
        }
    }

    /// Keeps it. Not synced: it must outlive the process, not the machine.
    pub(crate) fn save_kept(&self, kept: Kept) -> Result<(), DiskError> {
        let path = self.dir.join("kept.json");
        let new = self.dir.join("kept.new");
        let file = KeptFile {
            boot_id: self.boot_id.clone(),
            kept,
        };
        let bytes = serde_json::to_vec(&file)
            .map_err(io::Error::from)
            .map_err(at(&path))?;
        fs::write(&new, bytes).map_err(at(&new))?;
        fs::rename(&new, &path).map_err(at(&path))
    }
}

fn instance(path: &Path) -> Result<String, DiskError> {
    if let Ok(text) = fs::read_to_string(path) {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            return Ok(text.to_owned());
        }
    }
    let source = Path::new("/proc/sys/kernel/random/uuid");
    let uuid = fs::read_to_string(source).map_err(at(source))?;
    fs::write(path, &uuid).map_err(at(path))?;
    Ok(uuid.trim().to_owned())
}

/// The word in the environment of everything that runs under a ticket's term on this node.
pub(crate) fn marker(instance: &str, ticket: &str, term: u64) -> String {
    let mut name = String::new();
    for byte in ticket.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    format!("{instance}/{name}/{term}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_has_one_user_and_one_name() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path()).unwrap();
        assert!(matches!(
            StateDir::open(dir.path()),
            Err(DiskError::Locked(_))
        ));
        let name = first.instance.clone();
        let kept = Kept {
            manual: vec![("t".into(), 5)],
            ..Kept::default()
        };
        first.save_kept(kept.clone()).unwrap();
        drop(first);
        let second = StateDir::open(dir.path()).unwrap();
        assert_eq!((second.instance.clone(), second.load_kept()), (name, kept));
        fs::write(dir.path().join("kept.json"), "{").unwrap();
        assert_eq!(second.load_kept(), Kept::default());
    }

    #[test]
    fn the_era_is_that_of_the_configuration_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("era");
        let mut cib = Cib::empty();
        assert_eq!(load_era(&path, &cib), 0);
        save_era(&path, 7, &cib).unwrap();
        cib.bump_updates();
        assert_eq!(load_era(&path, &cib), 7, "the status is not part of it");
        let options = cib.section_or_append(cib::Section::Options);
        cib.document_mut().append(options, "cluster_property_set");
        assert_eq!(load_era(&path, &cib), 0, "an editor was there");
    }

    #[test]
    fn a_marker_has_nothing_that_the_guard_would_misread() {
        assert_eq!(marker("i", "a,b c", 3), "i/a%2cb%20c/3");
    }

    #[test]
    fn a_cib_is_read_saved_and_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cib.xml");
        save_cib(&path, &Cib::empty()).unwrap();
        assert_eq!(load_cib(&path).unwrap().version(), Cib::empty().version());
        for (text, what) in [
            (&b"not xml"[..], "cib.xml"),
            (b"<nodes/>", "cib"),
            (b"\xff\xfe", "UTF-8"),
        ] {
            fs::write(&path, text).unwrap();
            let error = load_cib(&path).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
