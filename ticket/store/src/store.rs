//! The file itself: one process at a time, durable before acknowledged, honest about loss.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tracing::warn;

use crate::slots::{self, Damage, Header, Ids, Record, Verdict};

const STATE: &str = "state";
/// The damaged file is kept under this name for whoever wants to know what happened.
const LOST: &str = "state.lost";
const FRESH: &str = "state.new";
const LOCK: &str = "lock";
/// Slots of a new file hold at least this much, so that a growing state rarely needs a new file.
const STATE_BYTES_MIN: usize = 24 * 1024;
/// Larger files than this are not ours: a state of a thousand tickets has some 200 kB.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Longest state: two slots and a header stay below [`FILE_BYTES_MAX`].
pub const STATE_BYTES_MAX: usize = 16 << 20;

/// How to open a store.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// File that keeps the counter of the last acknowledged write, apart from the state: on a
    /// file system that does not go back with it, such as `/run`. Finds restored backups and
    /// snapshots, and deleted state. `None`: nothing to compare with.
    pub high_water: Option<PathBuf>,
}

/// What a store remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// There never was a state here, as far as can be known. A deleted directory looks the same.
    Fresh,
    /// The newest acknowledged state.
    State(Vec<u8>),
    /// There was a state and it cannot be trusted: the member has lost its memory. The store has
    /// a new incarnation; the old file stays until the first write, and then beside the new one.
    Lost {
        /// What happened.
        loss: Loss,
        /// A state that may be older than the one lost. Good for diagnosis and for what only
        /// grows; never for promises.
        older: Option<Vec<u8>>,
    },
}

/// How memory was lost.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Loss {
    /// The file as a whole cannot be read.
    #[error("{}: {damage}", path.display())]
    File {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// One or both slots are damaged; what they held may have been the newest state.
    #[error(
        "{}: a slot is damaged{}", path.display(),
        older.map_or(String::new(), |n| format!("; the other holds write {n}"))
    )]
    Slot {
        /// The state file.
        path: PathBuf,
        /// Counter of what can still be read.
        older: Option<u64>,
    },
    /// The state is older than one that was acknowledged: a restored backup or snapshot.
    #[error("{}: it holds write {found}, but write {expected} was acknowledged", path.display())]
    RolledBack {
        /// The state file.
        path: PathBuf,
        /// Counter in the file.
        found: u64,
        /// Counter that was acknowledged.
        expected: u64,
    },
    /// The state belongs to another memory than the one last used here.
    #[error("{}: it is the state of another store", path.display())]
    OtherStore {
        /// The state file.
        path: PathBuf,
    },
    /// The state file was deleted.
    #[error("{} is gone, but write {expected} was acknowledged", path.display())]
    Missing {
        /// The state file.
        path: PathBuf,
        /// Counter that was acknowledged.
        expected: u64,
    },
}

/// A store that cannot be opened. Nothing was changed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it open: a second copy of this member must not run.
    #[error(
        "{} is in use{}: two copies of one member must never run",
        directory.display(), pid.as_ref().map_or(String::new(), |pid| format!(" by process {pid}"))
    )]
    Locked {
        /// The state directory.
        directory: PathBuf,
        /// The other process, if it said so.
        pid: Option<String>,
    },
    /// The file was written by a newer program, or is none of ours. It is left alone.
    #[error("{}: {damage}; it was left as it is", path.display())]
    Unusable {
        /// The state file.
        path: PathBuf,
        /// Why.
        damage: Damage,
    },
    /// The system refused. Not the same as lost memory: the state may be sound.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A state that was not stored.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Writing or syncing failed. Whether the state is on disk is unknown; the store refuses
    /// everything from now on, because a later success would prove nothing about this one.
    #[error("{}: {source}; the store is not used any more", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write failed. Nothing was written.
    #[error("an earlier write failed: this member has lost its memory until it is restarted")]
    Poisoned,
    /// The state is longer than [`STATE_BYTES_MAX`]. Nothing was written, the store goes on.
    #[error("the state has {0} bytes, at most {STATE_BYTES_MAX} can be stored")]
    TooLong(usize),
}

/// A member's durable state, open in this process alone.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// Held, not used: the lock ends with it.
    _lock: File,
    /// `None` until the first write of a fresh or lost memory.
    open: Option<(File, Header)>,
    ids: Ids,
    counter: u64,
    high_water: Option<PathBuf>,
    poisoned: bool,
}

/// What the high-water file says.
struct Mark {
    ids: Ids,
    counter: u64,
}

impl Store {
    /// Opens (or makes) the state directory and reads what is remembered there.
    pub fn open(directory: &Path, options: Options) -> Result<(Self, Loaded), OpenError> {
        make_directory(directory)?;
        let lock = lock(directory)?;
        let path = directory.join(STATE);
        let mark = options.high_water.as_deref().and_then(read_mark);
        let (loaded, kept) = match read_state(&path)? {
            Some(bytes) => judge(&path, &bytes, mark.as_ref())?,
            None => match &mark {
                Some(mark) => {
                    let loss = Loss::Missing {
                        path: path.clone(),
                        expected: mark.counter,
                    };
                    (Loaded::Lost { loss, older: None }, None)
                }
                None => (Loaded::Fresh, None),
            },
        };
        let mut store = Self {
            directory: directory.to_owned(),
            _lock: lock,
            open: None,
            ids: Ids {
                store: 0,
                incarnation: 0,
            },
            counter: 0,
            high_water: options.high_water,
            poisoned: false,
        };
        match (&loaded, kept) {
            (Loaded::State(_), Some((header, record))) => {
                let file = OpenOptions::new().read(true).write(true).open(&path);
                let file = file.map_err(|source| OpenError::File { path, source })?;
                store.open = Some((file, header));
                store.ids = record.ids;
                store.counter = record.counter;
            }
            (_, kept) => {
                let older = kept.map(|(_, record)| Mark {
                    ids: record.ids,
                    counter: record.counter,
                });
                store.begin_incarnation(older, mark)?;
            }
        }
        Ok((store, loaded))
    }

    /// Ids and counter above everything that is still known of the memory before.
    fn begin_incarnation(
        &mut self,
        older: Option<Mark>,
        mark: Option<Mark>,
    ) -> Result<(), OpenError> {
        let known = [older, mark];
        let known = known.iter().flatten();
        let store = known.clone().map(|m| m.ids.store).next();
        let last = known.clone().map(|m| m.ids.incarnation).max().unwrap_or(0);
        // Counting from the date keeps incarnations growing even if nothing is known any more.
        let date = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        self.counter = known.map(|m| m.counter).max().unwrap_or(0);
        self.ids = Ids {
            store: store.map_or_else(random_id, Ok)?,
            incarnation: last.saturating_add(1).max(date),
        };
        Ok(())
    }

    /// Which memory this is; drawn at random when the store was created, kept when it was lost.
    pub fn ids(&self) -> Ids {
        self.ids
    }

    /// Counter of the last acknowledged write; it only grows.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// Whether an earlier write failed.
    pub fn poisoned(&self) -> bool {
        self.poisoned
    }

    /// Stores a whole state. When this returns, the state survives any crash; the number is its
    /// counter. Blocks for as long as the disk takes.
    pub fn write(&mut self, state: &[u8]) -> Result<u64, WriteError> {
        if self.poisoned {
            return Err(WriteError::Poisoned);
        }
        if state.len() > STATE_BYTES_MAX {
            return Err(WriteError::TooLong(state.len()));
        }
        let counter = self.counter + 1;
        let record = Record {
            ids: self.ids,
            counter,
            state: state.to_vec(),
        };
        if let Err(source) = self.put(&record) {
            self.poisoned = true;
            return Err(WriteError::Failed {
                path: self.directory.join(STATE),
                source,
            });
        }
        self.counter = counter;
        self.write_mark();
        Ok(counter)
    }

    fn put(&mut self, record: &Record) -> io::Result<()> {
        match &self.open {
            Some((file, header)) if record.state.len() <= slots::capacity(header.slot_bytes) => {
                put_in_slot(file, *header, record)
            }
            _ => {
                self.open = Some(self.create(record)?);
                Ok(())
            }
        }
    }

    /// A new file with this record in it, whole on disk before it takes the old one's name.
    fn create(&self, record: &Record) -> io::Result<(File, Header)> {
        let fresh = self.directory.join(FRESH);
        let path = self.directory.join(STATE);
        let size = record.state.len().saturating_mul(2).max(STATE_BYTES_MIN);
        let header = Header {
            slot_bytes: slots::slot_bytes(size.min(STATE_BYTES_MAX)),
            base: record.counter,
        };
        let mut image = slots::encode_header(header);
        image.resize(slots::file_bytes(header.slot_bytes), 0);
        let at = slots::slot_offset(slots::slot_of(record.counter), header.slot_bytes);
        let sectors = slots::encode(record);
        image[at..at + sectors.len()].copy_from_slice(&sectors);
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600);
        let mut file = options.open(&fresh)?;
        // Real zeros, not a hole: later writes then need no new blocks, so a disk that fills up
        // does not stop a member that runs, and fdatasync has no metadata to write.
        file.write_all(&image)?;
        file.sync_all()?;
        self.keep_evidence(&path);
        fs::rename(&fresh, &path)?;
        File::open(&self.directory)?.sync_all()?;
        Ok((file, header))
    }

    /// A lost state is kept under another name; a state that only grew is not.
    fn keep_evidence(&self, path: &Path) {
        if self.open.is_some() || !path.exists() {
            return;
        }
        let lost = self.directory.join(LOST);
        // Evidence is worth having and not worth failing for.
        let _ = fs::remove_file(&lost);
        if let Err(e) = fs::hard_link(path, &lost) {
            warn!("{}: cannot keep the damaged state: {e}", lost.display());
        }
    }

    fn write_mark(&self) {
        let Some(path) = &self.high_water else { return };
        let mut mark = Vec::with_capacity(MARK_BYTES);
        for word in [self.ids.store, self.ids.incarnation, self.counter] {
            mark.extend_from_slice(&word.to_be_bytes());
        }
        mark.extend_from_slice(&crc32fast::hash(&mark).to_be_bytes());
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        // The mark only adds a check; without it the store is as good as before.
        if let Err(e) = file.and_then(|file| file.write_all_at(&mark, 0)) {
            warn!("{}: cannot keep the high-water mark: {e}", path.display());
        }
    }
}

const MARK_BYTES: usize = 3 * 8 + 4;

fn put_in_slot(file: &File, header: Header, record: &Record) -> io::Result<()> {
    let slot = slots::slot_of(record.counter);
    let at = slots::slot_offset(slot, header.slot_bytes);
    file.write_all_at(&slots::encode(record), at as u64)?;
    file.sync_data()
}

fn read_mark(path: &Path) -> Option<Mark> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(e) => {
            warn!("{}: cannot read the high-water mark: {e}", path.display());
            return None;
        }
    };
    let (body, crc) = bytes.split_at_checked(MARK_BYTES - 4)?;
    if crc32fast::hash(body).to_be_bytes() != *crc {
        warn!(
            "{}: the high-water mark is damaged and not used",
            path.display()
        );
        return None;
    }
    let mut words = body.chunks_exact(8).map(|word| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        u64::from_be_bytes(bytes)
    });
    let ids = Ids {
        store: words.next()?,
        incarnation: words.next()?,
    };
    Some(Mark {
        ids,
        counter: words.next()?,
    })
}

/// What the file's bytes mean, and what of them can go on being used.
fn judge(
    path: &Path,
    bytes: &[u8],
    mark: Option<&Mark>,
) -> Result<(Loaded, Option<(Header, Record)>), OpenError> {
    let path = path.to_owned();
    let lost = |loss, older: Option<Record>, header: Option<Header>| {
        let state = older.as_ref().map(|record| record.state.clone());
        (Loaded::Lost { loss, older: state }, header.zip(older))
    };
    let image = match slots::decode(bytes) {
        Ok(image) => image,
        Err(damage @ (Damage::Version { .. } | Damage::Foreign)) => {
            return Err(OpenError::Unusable { path, damage });
        }
        Err(damage) => return Ok(lost(Loss::File { path, damage }, None, None)),
    };
    let header = image.header;
    let (record, torn) = match slots::judge(&image) {
        Verdict::Newest { record, torn } => (record, torn),
        Verdict::Lost { older } => {
            let loss = Loss::Slot {
                path,
                older: older.as_ref().map(|record| record.counter),
            };
            return Ok(lost(loss, older, Some(header)));
        }
    };
    if let Some(mark) = mark {
        if mark.ids.store != record.ids.store {
            return Ok(lost(Loss::OtherStore { path }, Some(record), Some(header)));
        }
        if (record.ids.incarnation, record.counter) < (mark.ids.incarnation, mark.counter) {
            let (found, expected) = (record.counter, mark.counter);
            let loss = Loss::RolledBack {
                path,
                found,
                expected,
            };
            return Ok(lost(loss, Some(record), Some(header)));
        }
    }
    if torn {
        warn!(
            "{}: a write was cut short by a crash; it was never acknowledged",
            path.display()
        );
    }
    Ok((Loaded::State(record.state.clone()), Some((header, record))))
}

fn read_state(path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    let failed = |source| OpenError::File {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(Some(bytes))
}

fn make_directory(directory: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::File {
        path: directory.to_owned(),
        source,
    };
    if directory.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed)?;
    // A directory whose name a power cut forgets would look like a member that never ran.
    let parent = directory
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = File::open(parent.unwrap_or_else(|| Path::new("."))).map_err(failed)?;
    parent.sync_all().map_err(failed)
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let failed = |source| OpenError::File {
        path: path.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path).ok();
            let pid = pid.map(|text| text.trim().chars().take(10).collect::<String>());
            let pid = pid.filter(|pid| !pid.is_empty());
            return Err(OpenError::Locked {
                directory: directory.to_owned(),
                pid,
            });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // Only for the other copy's error message.
    let _ = file.set_len(0);
    let _ = file.write_all_at(std::process::id().to_string().as_bytes(), 0);
    Ok(file)
}

fn random_id() -> Result<u64, OpenError> {
    const SOURCE: &str = "/dev/urandom";
    let mut bytes = [0; 8];
    File::open(SOURCE)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|source| OpenError::File {
            path: SOURCE.into(),
            source,
        })?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
