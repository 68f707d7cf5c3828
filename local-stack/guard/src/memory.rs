//! What survives a restart of the guard within a boot: which terms were armed, not their deadlines.
//! The file is written when something is armed or disarmed, never in between, and belongs on a file
//! system in memory (`/run`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stack_api::clock::boot_id;

use crate::table::Entry;

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    boot_id: String,
    armed: Vec<Entry>,
}

/// The file, if there is to be one.
#[derive(Debug)]
pub(crate) struct Memory {
    path: Option<PathBuf>,
}

impl Memory {
    /// Keeps the file in `dir`, which is made if needed.
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        if let Some(dir) = dir {
            fs::create_dir_all(dir)?;
        }
        Ok(Self {
            path: dir.map(|dir| dir.join("guard.json")),
        })
    }

    /// What was armed in this boot. An unreadable file is an error: something may run unguarded.
    pub(crate) fn load(&self) -> io::Result<Vec<Entry>> {
        let Some(path) = &self.path else {
            return Ok(Vec::new());
        };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let record: Record = serde_json::from_slice(&bytes)?;
        Ok(if record.boot_id == boot_id()? {
            record.armed
        } else {
            Vec::new()
        })
    }

    /// Replaces the file. There is no sync: it only has to outlive the process, not the machine.
    pub(crate) fn save(&self, armed: Vec<Entry>) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let record = Record {
            boot_id: boot_id()?,
            armed,
        };
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec(&record)?)?;
        fs::rename(&new, path)
    }
}
