//! Finding and ending what was started under a marker.
//!
//! A process belongs to a marker when its environment names it, when it descends from one that does,
//! when it is in the process group or session of such a leader, or when an earlier scan saw it belong
//! (a daemon may overwrite its environment to change its title). All of this is read from `/proc`,
//! which is memory, not disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use stack_api::guard::MARKER_VARIABLE;

/// Most bytes of an environment that are looked at. The kernel's limit for all strings of an exec is
/// some megabytes; what is larger than this is not an agent's.
const ENVIRONMENT_BYTES_MAX: u64 = 4 << 20;

/// A process, safe against reuse of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it was started, in clock ticks since boot.
    start: u64,
}

impl ProcessId {
    /// Names a process by number and start, in clock ticks since boot.
    pub fn new(pid: u32, start: u64) -> Self {
        Self { pid, start }
    }
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    id: ProcessId,
    state: u8,
    parent: u32,
    group: u32,
    session: u32,
}

/// Remembers which processes belong to which marker.
#[derive(Debug, Default)]
pub struct Tracker {
    known: BTreeMap<String, BTreeSet<ProcessId>>,
}

impl Tracker {
    /// Takes it as known that these processes belong to the marker.
    pub fn note(&mut self, marker: &str, processes: impl IntoIterator<Item = ProcessId>) {
        self.known
            .entry(marker.to_owned())
            .or_default()
            .extend(processes);
    }

    /// Scans once and gives the living processes of each marker.
    ///
    /// # Errors
    /// `/proc` cannot be read: nothing is known then.
    pub fn scan<'a>(
        &mut self,
        markers: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<BTreeMap<String, BTreeSet<ProcessId>>> {
        let table = process_table()?;
        let mut wanted: BTreeMap<&str, BTreeSet<ProcessId>> = markers
            .into_iter()
            .map(|marker| (marker, BTreeSet::new()))
            .collect();
        self.known
            .retain(|marker, _| wanted.contains_key(marker.as_str()));
        for stat in table.values() {
            let environment = read_environment(stat.id.pid).unwrap_or_default();
            for marker in markers_in(&environment) {
                if let Some(found) = wanted.get_mut(marker) {
                    found.insert(stat.id);
                }
            }
        }
        let mut result = BTreeMap::new();
        for (marker, mut found) in wanted {
            let known = self.known.entry(marker.to_owned()).or_default();
            let alive = |id: &&ProcessId| table.get(&id.pid).is_some_and(|stat| stat.id == **id);
            found.extend(known.iter().filter(alive));
            close_over_families(&table, &mut found);
            known.clone_from(&found);
            result.insert(marker.to_owned(), found);
        }
        Ok(result)
    }

    /// Kills every process of the marker once; gives those that were there. Call it again until it
    /// gives none.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn kill(&mut self, marker: &str) -> io::Result<BTreeSet<ProcessId>> {
        let found = self.scan_also(marker)?;
        for id in &found {
            // Looked at again just before: the number may have been given to another process.
            if read_stat(id.pid).is_some_and(|stat| stat.id == *id)
                && let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw)
            {
                // A refusal shows in the next scan, which finds the process again.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        Ok(found)
    }

    /// Scans for one marker and keeps what is known of the others.
    fn scan_also(&mut self, marker: &str) -> io::Result<BTreeSet<ProcessId>> {
        let mut markers: BTreeSet<String> = self.known.keys().cloned().collect();
        markers.insert(marker.to_owned());
        let mut found = self.scan(markers.iter().map(String::as_str))?;
        Ok(found.remove(marker).unwrap_or_default())
    }
}

/// Adds descendants, and members of groups and sessions whose leader belongs.
fn close_over_families(table: &BTreeMap<u32, Stat>, found: &mut BTreeSet<ProcessId>) {
    loop {
        let before = found.len();
        let pids: BTreeSet<u32> = found.iter().map(|id| id.pid).collect();
        for stat in table.values() {
            let family = [stat.parent, stat.group, stat.session];
            if family.iter().any(|pid| pids.contains(pid)) && !is_exempt(stat.id.pid) {
                found.insert(stat.id);
            }
        }
        if found.len() == before {
            return;
        }
    }
}

/// The guard itself and init are never ended this way.
fn is_exempt(pid: u32) -> bool {
    pid == 1 || pid == std::process::id()
}

fn process_table() -> io::Result<BTreeMap<u32, Stat>> {
    let mut table = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        // A process that goes away while the list is read is not an error.
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Some(stat) = read_stat(pid) else {
            continue;
        };
        let gone = matches!(stat.state, b'Z' | b'X' | b'x');
        if !gone && !is_exempt(pid) {
            table.insert(pid, stat);
        }
    }
    Ok(table)
}

fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The command's name is in parentheses and may hold anything, parentheses and blanks included.
fn parse_stat(pid: u32, text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&text[end + 1..]).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some(Stat {
        id: ProcessId {
            pid,
            start: fields.get(19)?.parse().ok()?,
        },
        state: *fields.first()?.as_bytes().first()?,
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
    })
}

fn read_environment(pid: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(Path::new("/proc").join(pid.to_string()).join("environ"))?;
    file.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn markers_in(environment: &[u8]) -> impl Iterator<Item = &str> {
    environment
        .split(|byte| *byte == 0)
        .filter_map(|pair| {
            pair.strip_prefix(MARKER_VARIABLE.as_bytes())?
                .strip_prefix(b"=")
        })
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
}

#[cfg(test)]
#[path = "processes_tests.rs"]
mod tests;
