//! Durable keys of the store: one small file, written anew and put in place of the old one.
//!
//! A thread of its own, so that a slow disk stops no message.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::fd::OwnedFd;

use crate::store::Contents;

/// Largest file that is read: the store's bound, written as JSON.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// The writing thread.
pub(crate) struct Disk {
    jobs: Sender<(u64, Contents)>,
    pub(crate) done: Receiver<(u64, io::Result<()>)>,
}

fn file(directory: &Path) -> PathBuf {
    directory.join("store.json")
}

/// Reads the durable keys; none if there is no file yet.
///
/// # Errors
/// The file is there and cannot be read or understood.
pub(crate) fn load(directory: &Path) -> Result<Contents, String> {
    let path = file(directory);
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
        Err(error) => return Err(told(&error)),
        Ok(about) if about.len() > FILE_BYTES_MAX => return Err(told(&"it is too long")),
        Ok(_) => {}
    }
    let text = fs::read(&path).map_err(|error| told(&error))?;
    serde_json::from_slice(&text).map_err(|error| {
        told(&format!(
            "{error}: move it away to begin without, the other nodes have the keys"
        ))
    })
}

impl Disk {
    /// Starts the thread; `wake` tells the loop that something is done.
    ///
    /// # Errors
    /// The directory cannot be made, or the thread not started.
    pub(crate) fn start(directory: &Path, wake: Arc<OwnedFd>) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let (jobs, work) = channel::<(u64, Contents)>();
        let (tell, done) = channel();
        let directory = directory.to_owned();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                while let Ok(mut job) = work.recv() {
                    // Of several that wait only the last is worth writing: it has them all.
                    while let Ok(newer) = work.try_recv() {
                        job = newer;
                    }
                    let result = write(&directory, &job.1);
                    if tell.send((job.0, result)).is_err() {
                        return;
                    }
                    let _ = rustix::io::write(&*wake, &1_u64.to_ne_bytes());
                }
            })?;
        Ok(Self { jobs, done })
    }

    /// Has these keys written; `number` comes back when they, or newer ones, are on disk.
    pub(crate) fn write(&self, number: u64, contents: Contents) {
        // The thread ends only with the loop.
        let _ = self.jobs.send((number, contents));
    }
}

fn write(directory: &Path, contents: &Contents) -> io::Result<()> {
    let path = file(directory);
    let temporary = path.with_extension("new");
    let mut out = File::create(&temporary)?;
    out.write_all(&serde_json::to_vec(contents)?)?;
    out.sync_data()?;
    fs::rename(&temporary, &path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stack_client::words::Value;

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(directory.path()), Ok(Contents::default()));
        let keys = [("config.a".to_owned(), Value::Text("x".to_owned()))].into();
        let contents = Contents {
            epoch: 3,
            version: 9,
            keys,
        };
        write(directory.path(), &contents).unwrap();
        assert_eq!(load(directory.path()), Ok(contents));
        fs::write(file(directory.path()), "{").unwrap();
        assert!(load(directory.path()).unwrap_err().contains("store.json"));
    }
}
