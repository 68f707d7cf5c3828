//! The durable state, written at once to a fast disk and beside the loop to a slow one.
//!
//! A write takes as long as the disk wants; renewals must not wait for it. So a write after a slow
//! one runs on a thread, which ends soon after the last write: an idle member has one thread. The
//! protocol has at most one write under way.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ticket_protocol::{WriteFailed, WriteId};
use ticket_store::{Loaded, Options, Store};
use tokio::task::JoinHandle;

/// What was on the disk at the start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing, and the mark of a first start.
    Fresh,
    /// Nothing, without the mark.
    Missing,
    /// Something that is not a state.
    Damaged(String),
    /// The last state that was written.
    State(Vec<u8>),
}

/// The state file and the write under way.
#[derive(Debug)]
pub(crate) struct Disk {
    /// `None` while a write is under way.
    file: Option<StateFile>,
    writing: Option<(WriteId, Writing)>,
    /// Written at once; not told yet.
    done: Option<(WriteId, Result<(), WriteFailed>)>,
    /// How long the last write took; the first one, which makes the file, counts as slow.
    last_took: Duration,
}

type Writing = JoinHandle<(StateFile, Duration, Result<(), WriteFailed>)>;

/// A disk that took less than this for the last write is written without a thread: handing over
/// and back costs more than the write itself, most of all on a busy machine, where each change of
/// threads is another wait for a processor. Above what solid-state disks take there, below what a
/// renewal would notice. One slow write, and the next goes to a thread again.
const AT_ONCE: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct StateFile {
    store: Store,
    /// The mark of a first start, until it is used up.
    mark: Option<PathBuf>,
}

impl Disk {
    /// Opens the state directory; no other process can use it until we end. `mark` says that the
    /// member has never voted, and so does `first_start`. `high_water` keeps the number of the last
    /// write outside the directory, so that a restored backup is noticed.
    ///
    /// # Errors
    /// The directory is in use, or cannot be read; nothing was changed.
    pub(crate) fn open(
        directory: &Path,
        mark: PathBuf,
        first_start: bool,
        high_water: PathBuf,
    ) -> Result<(Self, Found), String> {
        let options = Options {
            high_water: Some(high_water),
        };
        let (store, loaded) = Store::open(directory, options).map_err(|error| error.to_string())?;
        let marked = mark.exists();
        let found = match loaded {
            Loaded::Fresh if marked || first_start => Found::Fresh,
            Loaded::Fresh => Found::Missing,
            Loaded::Lost { loss, .. } => Found::Damaged(loss.to_string()),
            Loaded::State(bytes) => Found::State(bytes),
        };
        let used_up = marked && !matches!(found, Found::Fresh);
        if used_up {
            // A crash came between the first write and the mark's removal, or somebody put it back.
            remove_durably(&mark).map_err(|error| format!("{}: {error}", mark.display()))?;
        }
        let file = StateFile {
            store,
            mark: (marked && !used_up).then_some(mark),
        };
        let disk = Self {
            file: Some(file),
            writing: None,
            done: None,
            last_took: Duration::MAX,
        };
        Ok((disk, found))
    }

    /// Begins a write.
    pub(crate) fn write(&mut self, id: WriteId, bytes: Vec<u8>) {
        let Some(mut file) = self.file.take() else {
            // The protocol never has two under way. If it did, answering neither is safe: what is
            // not on disk is never promised.
            tracing::error!(?id, "a write while another is under way was dropped");
            return;
        };
        if self.last_took < AT_ONCE {
            let (took, result) = file.timed_write(&bytes);
            self.last_took = took;
            self.file = Some(file);
            self.done = Some((id, result));
            return;
        }
        let task = tokio::task::spawn_blocking(move || {
            let (took, result) = file.timed_write(&bytes);
            (file, took, result)
        });
        self.writing = Some((id, task));
    }

    /// Waits for the write under way; for ever if there is none. Dropping the future loses nothing.
    pub(crate) async fn written(&mut self) -> (WriteId, Result<(), WriteFailed>) {
        if let Some(done) = self.done.take() {
            return done;
        }
        let Some((id, task)) = &mut self.writing else {
            return std::future::pending().await;
        };
        let (id, done) = (*id, task.await);
        self.writing = None;
        match done {
            Ok((file, took, result)) => {
                self.file = Some(file);
                self.last_took = took;
                (id, result)
            }
            Err(error) => {
                let reason = format!("the writing thread failed: {error}");
                (id, Err(WriteFailed { reason }))
            }
        }
    }

    /// Waits until no write is under way.
    pub(crate) async fn settled(&mut self) {
        if (self.writing.is_some() || self.done.is_some())
            && let (_, Err(error)) = self.written().await
        {
            tracing::warn!(%error, "the last write failed; its promise was not given");
        }
    }
}

impl StateFile {
    fn timed_write(&mut self, bytes: &[u8]) -> (Duration, Result<(), WriteFailed>) {
        let began = Instant::now();
        let result = self.write(bytes).map_err(|reason| WriteFailed { reason });
        (began.elapsed(), result)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.store.write(bytes).map_err(|error| error.to_string())?;
        // Used up before anything that was written is promised: from here on a missing state file
        // is a loss of memory.
        if let Some(mark) = self.mark.take() {
            remove_durably(&mark).map_err(|error| format!("{}: {error}", mark.display()))?;
        }
        Ok(())
    }
}

fn remove_durably(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
