//! Durable keys of the store, and the list of nodes: one small file each, written anew and put in place
//! of the old one.
//!
//! A thread of its own, so that a slow disk stops no message.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use membership::NodeList;
use rustix::fd::OwnedFd;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::Contents;

/// Largest file that is read: the store's bound, written as JSON.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// The writing thread.
pub(crate) struct Disk {
    jobs: Sender<Job>,
    pub(crate) done: Receiver<(u64, io::Result<()>)>,
}

/// What is to be written; what is not named stays.
#[derive(Default)]
struct Job {
    number: u64,
    keys: Option<Contents>,
    nodes: Option<NodeList>,
}

impl Job {
    /// Of several that wait only the last of each kind is worth writing: it has them all.
    fn merge(&mut self, newer: Self) {
        self.number = newer.number;
        self.keys = newer.keys.or_else(|| self.keys.take());
        self.nodes = newer.nodes.or_else(|| self.nodes.take());
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("store.json")
}

/// Where the list of nodes is.
pub(crate) fn nodes_file(directory: &Path) -> PathBuf {
    directory.join("nodes.json")
}

/// Reads the durable keys; none if there is no file yet.
///
/// # Errors
/// The file is there and cannot be read or understood.
pub(crate) fn load(directory: &Path) -> Result<Contents, String> {
    let keys = read(&file(directory), "the other nodes have the keys")?;
    Ok(keys.unwrap_or_default())
}

/// Reads the list of nodes; `None` if it was never changed.
///
/// # Errors
/// The file is there and cannot be read or understood.
pub(crate) fn load_nodes(directory: &Path) -> Result<Option<NodeList>, String> {
    read(&nodes_file(directory), "the other nodes have the list")
}

fn read<T: DeserializeOwned>(path: &Path, comfort: &str) -> Result<Option<T>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(&error)),
        Ok(about) if about.len() > FILE_BYTES_MAX => return Err(told(&"it is too long")),
        Ok(_) => {}
    }
    let text = fs::read(path).map_err(|error| told(&error))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        told(&format!(
            "{error}: move it away to begin without, {comfort}"
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
        let (jobs, work) = channel::<Job>();
        let (tell, done) = channel();
        let directory = directory.to_owned();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                while let Ok(mut job) = work.recv() {
                    while let Ok(newer) = work.try_recv() {
                        job.merge(newer);
                    }
                    let result = put(&directory, &job);
                    if tell.send((job.number, result)).is_err() {
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
        let _ = self.jobs.send(Job {
            number,
            keys: Some(contents),
            nodes: None,
        });
    }

    /// The same for the list of nodes.
    pub(crate) fn write_nodes(&self, number: u64, nodes: NodeList) {
        let _ = self.jobs.send(Job {
            number,
            keys: None,
            nodes: Some(nodes),
        });
    }
}

fn put(directory: &Path, job: &Job) -> io::Result<()> {
    if let Some(keys) = &job.keys {
        write(directory, &file(directory), keys)?;
    }
    if let Some(nodes) = &job.nodes {
        write(directory, &nodes_file(directory), nodes)?;
    }
    Ok(())
}

fn write(directory: &Path, path: &Path, what: &impl Serialize) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut out = File::create(&temporary)?;
    out.write_all(&serde_json::to_vec(what)?)?;
    out.sync_data()?;
    fs::rename(&temporary, path)?;
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
        write(directory.path(), &file(directory.path()), &contents).unwrap();
        assert_eq!(load(directory.path()), Ok(contents));
        fs::write(file(directory.path()), "{").unwrap();
        assert!(load(directory.path()).unwrap_err().contains("store.json"));
    }
}
