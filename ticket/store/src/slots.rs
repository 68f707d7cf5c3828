//! The file's format: pure encoding and decoding, no I/O.

use thiserror::Error;

/// What storage writes whole or not at all, even when the power fails.
pub const SECTOR_BYTES: usize = 512;
/// State bytes in one sector.
const BODY_BYTES: usize = SECTOR_BYTES - SECTOR_HEAD_BYTES;
/// crc, position in the slot, used bytes, write counter.
const SECTOR_HEAD_BYTES: usize = 4 + 2 + 2 + 8;
/// Store id, incarnation, length, crc of the whole: before the state, in the first sector.
const RECORD_HEAD_BYTES: usize = 8 + 8 + 4 + 4;
/// The file's header has a page of its own, written once.
pub const HEADER_BYTES: usize = 4096;
/// Format version. A reader refuses any other: an older one cannot know what a newer means.
pub const VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"ILKSTATE";

/// Which memory this is: peers compare counters only within one id and incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Drawn at random when the store was created.
    pub store: u64,
    /// Grows whenever the memory was lost.
    pub incarnation: u64,
}

/// One slot's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which memory wrote it.
    pub ids: Ids,
    /// Number of the write, from 1.
    pub counter: u64,
    /// The state.
    pub state: Vec<u8>,
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Never written.
    Empty,
    /// A whole write.
    Whole(Record),
    /// Whole sectors of several writes: the last one was cut short and never acknowledged.
    Torn {
        /// The greatest counter among them: the write that was cut short.
        newest: u64,
    },
    /// A sector that proves nothing: what it held is unknown.
    Damaged,
}

/// A file that holds no usable memory.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Damage {
    /// The file ends too early.
    #[error("it has {found} bytes, {expected} are needed: it was truncated")]
    Truncated {
        /// Its length in bytes.
        found: u64,
        /// The length that it should have.
        expected: u64,
    },
    /// The header's checksum fails.
    #[error("its header is damaged")]
    Header,
    /// The header is whole and says that this is a different kind of file.
    #[error("it is not a state file")]
    Foreign,
    /// A newer program wrote it.
    #[error("it has format {found}, this program reads format {VERSION}")]
    Version {
        /// The file's format.
        found: u16,
    },
}

/// The whole file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What the header says.
    pub header: Header,
    /// Both slots.
    pub slots: [Slot; 2],
}

/// Length of a slot that holds states of up to `state_bytes`: whole pages.
pub fn slot_bytes(state_bytes: usize) -> usize {
    let sectors = (RECORD_HEAD_BYTES + state_bytes)
        .div_ceil(BODY_BYTES)
        .max(1);
    (sectors * SECTOR_BYTES).next_multiple_of(HEADER_BYTES)
}

/// Most state bytes that fit into a slot of that length.
pub fn capacity(slot_bytes: usize) -> usize {
    (slot_bytes / SECTOR_BYTES * BODY_BYTES).saturating_sub(RECORD_HEAD_BYTES)
}

/// Length of the file with two slots of that length.
pub fn file_bytes(slot_bytes: usize) -> usize {
    HEADER_BYTES + 2 * slot_bytes
}

/// Which slot the write with that counter goes to: never the one before it.
pub fn slot_of(counter: u64) -> usize {
    (counter % 2) as usize
}

/// Where a slot begins.
pub fn slot_offset(slot: usize, slot_bytes: usize) -> usize {
    HEADER_BYTES + slot * slot_bytes
}

/// What a file was created with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of one slot in bytes.
    pub slot_bytes: usize,
    /// Counter of the write that the file was created with: it was whole before the file had its
    /// name, and no earlier one was ever in it.
    pub base: u64,
}

/// The header of a new file.
pub fn encode_header(header: Header) -> Vec<u8> {
    let Header { slot_bytes, base } = header;
    let mut header = vec![0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_be_bytes());
    header[10..18].copy_from_slice(&(slot_bytes as u64).to_be_bytes());
    header[18..26].copy_from_slice(&base.to_be_bytes());
    let crc = crc32fast::hash(&header[..HEADER_BYTES - 4]);
    header[HEADER_BYTES - 4..].copy_from_slice(&crc.to_be_bytes());
    header
}

/// Reads the header of a file.
pub fn decode_header(file: &[u8]) -> Result<Header, Damage> {
    let Some(header) = file.get(..HEADER_BYTES) else {
        let found = file.len() as u64;
        return Err(Damage::Truncated {
            found,
            expected: HEADER_BYTES as u64,
        });
    };
    let (body, crc) = header.split_at(HEADER_BYTES - 4);
    if crc32fast::hash(body).to_be_bytes() != *crc {
        return Err(Damage::Header);
    }
    if body[..8] != *MAGIC {
        return Err(Damage::Foreign);
    }
    let version = u16::from_be_bytes([body[8], body[9]]);
    if version != VERSION {
        return Err(Damage::Version { found: version });
    }
    let slot_bytes = usize::try_from(u64_at(body, 10)).map_err(|_| Damage::Header)?;
    let sane = slot_bytes > 0 && slot_bytes.is_multiple_of(HEADER_BYTES) && slot_bytes < 1 << 30;
    if sane {
        Ok(Header {
            slot_bytes,
            base: u64_at(body, 18),
        })
    } else {
        Err(Damage::Header)
    }
}

/// The sectors of one write, to be put at the start of its slot.
///
/// # Panics
/// If the state is longer than [`capacity`] of any slot: the caller checks first.
pub fn encode(record: &Record) -> Vec<u8> {
    let length = u32::try_from(record.state.len()).expect("states are checked against capacity");
    let mut body = Vec::with_capacity(RECORD_HEAD_BYTES + record.state.len());
    body.extend_from_slice(&record.ids.store.to_be_bytes());
    body.extend_from_slice(&record.ids.incarnation.to_be_bytes());
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&crc32fast::hash(&record.state).to_be_bytes());
    body.extend_from_slice(&record.state);
    let mut out = Vec::with_capacity(body.len().div_ceil(BODY_BYTES) * SECTOR_BYTES);
    for (position, chunk) in body.chunks(BODY_BYTES).enumerate() {
        let position = u16::try_from(position).expect("a slot has fewer than 65536 sectors");
        let begin = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&position.to_be_bytes());
        out.extend_from_slice(&(chunk.len() as u16).to_be_bytes());
        out.extend_from_slice(&record.counter.to_be_bytes());
        out.extend_from_slice(chunk);
        out.resize(begin + SECTOR_BYTES, 0);
        let crc = crc32fast::hash(&out[begin + 4..]);
        out[begin..begin + 4].copy_from_slice(&crc.to_be_bytes());
    }
    out
}

/// Reads a whole file.
pub fn decode(file: &[u8]) -> Result<Image, Damage> {
    let header = decode_header(file)?;
    let slot_bytes = header.slot_bytes;
    let expected = file_bytes(slot_bytes) as u64;
    if (file.len() as u64) < expected {
        return Err(Damage::Truncated {
            found: file.len() as u64,
            expected,
        });
    }
    let slot = |n| {
        let begin = slot_offset(n, slot_bytes);
        decode_slot(&file[begin..begin + slot_bytes])
    };
    Ok(Image {
        header,
        slots: [slot(0), slot(1)],
    })
}

/// One sector's own proof.
enum Sector<'a> {
    Empty,
    Whole {
        counter: u64,
        position: usize,
        body: &'a [u8],
    },
    Damaged,
}

fn decode_sector(sector: &[u8]) -> Sector<'_> {
    if sector.iter().all(|byte| *byte == 0) {
        return Sector::Empty;
    }
    let crc = crc32fast::hash(&sector[4..]).to_be_bytes();
    let used = usize::from(u16::from_be_bytes([sector[6], sector[7]]));
    if sector[..4] != crc || used == 0 || used > BODY_BYTES {
        return Sector::Damaged;
    }
    Sector::Whole {
        counter: u64_at(sector, 8),
        position: usize::from(u16::from_be_bytes([sector[4], sector[5]])),
        body: &sector[SECTOR_HEAD_BYTES..SECTOR_HEAD_BYTES + used],
    }
}

/// Reads one slot.
pub fn decode_slot(slot: &[u8]) -> Slot {
    let sectors: Vec<Sector<'_>> = slot.chunks_exact(SECTOR_BYTES).map(decode_sector).collect();
    // Also beyond the current state: a torn longer write may be there, but damage may be as well.
    if sectors.iter().any(|s| matches!(s, Sector::Damaged)) {
        return Slot::Damaged;
    }
    let counters = sectors.iter().filter_map(|s| match s {
        Sector::Whole { counter, .. } => Some(*counter),
        _ => None,
    });
    let torn = Slot::Torn {
        newest: counters.max().unwrap_or(0),
    };
    let first = match sectors.first() {
        Some(Sector::Whole {
            counter,
            position: 0,
            body,
        }) => (*counter, *body),
        Some(Sector::Whole { .. }) => return Slot::Damaged,
        _ if sectors.iter().all(|s| matches!(s, Sector::Empty)) => return Slot::Empty,
        _ => return torn,
    };
    let (counter, head) = first;
    if head.len() < RECORD_HEAD_BYTES || counter == 0 {
        return Slot::Damaged;
    }
    let length = u32::from_be_bytes([head[16], head[17], head[18], head[19]]) as usize;
    if length > capacity(slot.len()) {
        return Slot::Damaged;
    }
    let needed = (RECORD_HEAD_BYTES + length).div_ceil(BODY_BYTES);
    let mut bytes = Vec::with_capacity(needed * BODY_BYTES);
    for (n, sector) in sectors.iter().take(needed).enumerate() {
        match sector {
            Sector::Whole {
                counter: c,
                position,
                body,
            } if *c == counter && *position == n => {
                bytes.extend_from_slice(body);
            }
            Sector::Whole { position, .. } if *position != n => return Slot::Damaged,
            _ => return torn,
        }
    }
    if bytes.len() != RECORD_HEAD_BYTES + length {
        return Slot::Damaged;
    }
    let ids = Ids {
        store: u64_at(&bytes, 0),
        incarnation: u64_at(&bytes, 8),
    };
    let state = bytes.split_off(RECORD_HEAD_BYTES);
    if crc32fast::hash(&state).to_be_bytes() != bytes[20..24] {
        return Slot::Damaged;
    }
    Slot::Whole(Record {
        ids,
        counter,
        state,
    })
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(word)
}

/// What the two slots say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The newest acknowledged state. `torn`: a later write was cut short by a crash.
    Newest {
        /// The state.
        record: Record,
        /// Whether a later, never acknowledged write was found cut short.
        torn: bool,
    },
    /// A slot does not hold what a sequence of writes leaves there: it may have held something
    /// newer than `older`.
    Lost {
        /// The newest state that can still be read.
        older: Option<Record>,
    },
}

/// Judges a file that has a sound header.
///
/// Only what a sequence of writes and one crash can leave is trusted: two consecutive writes of
/// one memory, each in its place; or the first one alone; or one beside its torn successor.
pub fn judge(image: &Image) -> Verdict {
    let whole = |n: usize| match &image.slots[n] {
        Slot::Whole(record) if slot_of(record.counter) == n => Some(record.clone()),
        _ => None,
    };
    let newest = newer(whole(0), whole(1));
    let Some(record) = newest else {
        return Verdict::Lost { older: None };
    };
    let other = &image.slots[1 - slot_of(record.counter)];
    let (sound, torn) = match other {
        Slot::Whole(before) => {
            let one_memory = before.ids == record.ids;
            (one_memory && before.counter + 1 == record.counter, false)
        }
        Slot::Torn { newest } => (*newest == record.counter + 1, true),
        Slot::Empty => (record.counter == image.header.base, false),
        Slot::Damaged => (false, false),
    };
    if sound && record.counter >= image.header.base {
        Verdict::Newest { record, torn }
    } else {
        Verdict::Lost {
            older: Some(record),
        }
    }
}

fn newer(a: Option<Record>, b: Option<Record>) -> Option<Record> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.counter > b.counter { a } else { b }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests;
