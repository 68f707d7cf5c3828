//! The service's own proof of life: a record each millisecond, appended to a file.
//!
//! A file keeps what a killed process wrote last, needs no reader that keeps up, and costs the
//! writer one short `write` into the page cache.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use crate::clock::Mono;

/// Bytes of one record: the instant and the term, little endian.
pub(crate) const RECORD_BYTES: u64 = 16;

/// Beats farther apart than this belong to two stretches. The scheduler of a busy machine may hold
/// a process back for some milliseconds; a stop and a start of a service take longer than this.
pub(crate) const STRETCH_GAP_MAX: Duration = Duration::from_millis(25);

/// An uninterrupted run of beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) first: Mono,
    pub(crate) last: Mono,
}

/// Appends one beat.
pub(crate) fn append(file: &mut File, at: Mono, term: u64) -> io::Result<()> {
    let mut record = [0; RECORD_BYTES as usize];
    record[..8].copy_from_slice(&at.0.to_le_bytes());
    record[8..].copy_from_slice(&term.to_le_bytes());
    file.write_all(&record)
}

/// The stretches of beats in a file, and the number of beats.
pub(crate) fn read(path: &Path) -> io::Result<(Vec<Stretch>, u64)> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(stretches(instants(&bytes)))
}

/// The last beat in a file, if there is one.
pub(crate) fn last(path: &Path) -> Option<Mono> {
    let mut file = File::open(path).ok()?;
    let whole = file.metadata().ok()?.len() / RECORD_BYTES;
    let start = whole.checked_sub(1)? * RECORD_BYTES;
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut record = [0; RECORD_BYTES as usize];
    file.read_exact(&mut record).ok()?;
    instants(&record).next()
}

/// A torn last record (its writer was killed within the `write`) is left out.
fn instants(bytes: &[u8]) -> impl Iterator<Item = Mono> + '_ {
    bytes.chunks_exact(RECORD_BYTES as usize).map(|record| {
        let mut nanos = [0; 8];
        nanos.copy_from_slice(&record[..8]);
        Mono(u64::from_le_bytes(nanos))
    })
}

fn stretches(beats: impl Iterator<Item = Mono>) -> (Vec<Stretch>, u64) {
    let mut found: Vec<Stretch> = Vec::new();
    let mut count = 0;
    for at in beats {
        count += 1;
        match found.last_mut() {
            Some(stretch) if at.since(stretch.last) <= STRETCH_GAP_MAX => stretch.last = at,
            _ => found.push(Stretch {
                first: at,
                last: at,
            }),
        }
    }
    (found, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_come_back_as_stretches() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("beats");
        let mut file = File::create(&path).unwrap();
        for millis in [1, 2, 3, 4, 900, 901] {
            append(&mut file, Mono(millis * 1_000_000), 7).unwrap();
        }
        file.write_all(&[1, 2, 3]).unwrap();
        let (found, count) = read(&path).unwrap();
        assert_eq!(count, 6);
        let stretch = |first: u64, last: u64| Stretch {
            first: Mono(first * 1_000_000),
            last: Mono(last * 1_000_000),
        };
        assert_eq!(found, [stretch(1, 4), stretch(900, 901)]);
        assert_eq!(last(&path), Some(Mono(901_000_000)));
    }

    #[test]
    fn a_file_without_a_beat_has_no_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("beats");
        File::create(&path).unwrap();
        assert_eq!(last(&path), None);
        assert_eq!(last(&folder.path().join("absent")), None);
    }
}
