use proptest::prelude::*;

use super::*;

const IDS: Ids = Ids {
    store: 7,
    incarnation: 3,
};

/// A file after the given states were written one after another, the first creating it.
fn file(states: &[Vec<u8>]) -> Vec<u8> {
    let header = Header {
        slot_bytes: slot_bytes(2_000),
        base: 1,
    };
    let mut file = encode_header(header);
    file.resize(file_bytes(header.slot_bytes), 0);
    for (n, state) in states.iter().enumerate() {
        write(&mut file, n as u64 + 1, state, usize::MAX);
    }
    file
}

/// One write, of which only the first `sectors` reach the disk.
fn write(file: &mut [u8], counter: u64, state: &[u8], sectors: usize) {
    let bytes = encode(&Record {
        ids: IDS,
        counter,
        state: state.to_vec(),
    });
    let at = slot_offset(slot_of(counter), slot_bytes(2_000));
    let length = bytes.len().min(sectors.saturating_mul(SECTOR_BYTES));
    file[at..at + length].copy_from_slice(&bytes[..length]);
}

fn verdict(file: &[u8]) -> Verdict {
    judge(&decode(file).unwrap())
}

fn states() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2_000), 1..6)
}

proptest! {
    #[test]
    fn the_last_state_is_read_back(states in states()) {
        let Verdict::Newest { record, torn } = verdict(&file(&states)) else {
            panic!("a whole file was not trusted");
        };
        prop_assert!(!torn);
        prop_assert_eq!(record.counter, states.len() as u64);
        prop_assert_eq!(Some(&record.state), states.last());
    }

    /// A flipped bit anywhere is either harmless or called a loss; never an older state.
    #[test]
    fn a_flipped_bit_is_never_an_older_state(
        states in states(), at in any::<prop::sample::Index>(), bit in 0u8..8
    ) {
        let mut file = file(&states);
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        match decode(&file).map(|image| judge(&image)) {
            Ok(Verdict::Newest { record, .. }) => prop_assert_eq!(Some(&record.state), states.last()),
            Ok(Verdict::Lost { .. }) | Err(_) => {}
        }
    }

    /// A write cut short after any number of sectors leaves the state before it, or its own.
    #[test]
    fn a_torn_write_loses_nothing(states in states(), last in proptest::collection::vec(any::<u8>(), 0..2_000), sectors in 0usize..6) {
        let mut file = file(&states);
        write(&mut file, states.len() as u64 + 1, &last, sectors);
        let Verdict::Newest { record, .. } = verdict(&file) else {
            panic!("a torn write was called a loss");
        };
        if record.counter == states.len() as u64 {
            prop_assert_eq!(Some(&record.state), states.last());
        } else {
            prop_assert_eq!(record.state, last);
        }
    }

    /// Sectors of one write reaching the disk in any order.
    #[test]
    fn sectors_out_of_order_lose_nothing(
        states in states(), last in proptest::collection::vec(any::<u8>(), 0..2_000), mask: u8
    ) {
        let mut file = file(&states);
        let counter = states.len() as u64 + 1;
        let bytes = encode(&Record { ids: IDS, counter, state: last.clone() });
        let at = slot_offset(slot_of(counter), slot_bytes(2_000));
        for (n, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            if mask & (1 << n) != 0 {
                file[at + n * SECTOR_BYTES..][..SECTOR_BYTES].copy_from_slice(sector);
            }
        }
        match verdict(&file) {
            Verdict::Newest { record, .. } if record.counter == counter => prop_assert_eq!(record.state, last),
            Verdict::Newest { record, .. } => prop_assert_eq!(Some(&record.state), states.last()),
            Verdict::Lost { .. } => panic!("a torn write was called a loss"),
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
        let _ = decode(&bytes);
        let _ = decode_slot(&bytes[..bytes.len() / SECTOR_BYTES * SECTOR_BYTES]);
    }
}

#[test]
fn truncated_at_every_byte() {
    let whole = file(&[vec![1; 600], vec![2; 700], vec![3; 10]]);
    for length in 0..whole.len() {
        assert!(
            matches!(decode(&whole[..length]), Err(Damage::Truncated { .. })),
            "cut to {length} bytes"
        );
    }
}

#[test]
fn every_bit_of_the_newest_state_counts() {
    let whole = file(&[b"first".to_vec(), b"second".to_vec()]);
    let at = slot_offset(slot_of(2), slot_bytes(2_000));
    for bit in 0..SECTOR_BYTES * 8 {
        let mut file = whole.clone();
        file[at + bit / 8] ^= 1 << (bit % 8);
        let Verdict::Lost { older } = verdict(&file) else {
            panic!("bit {bit} went unnoticed")
        };
        assert_eq!(older.map(|record| record.state), Some(b"first".to_vec()));
    }
}

#[test]
fn a_slot_that_was_zeroed_is_a_loss() {
    let mut file = file(&[b"first".to_vec(), b"second".to_vec(), b"third".to_vec()]);
    let at = slot_offset(slot_of(3), slot_bytes(2_000));
    file[at..at + slot_bytes(2_000)].fill(0);
    assert!(matches!(verdict(&file), Verdict::Lost { older: Some(_) }));
}

#[test]
fn newer_and_foreign_files_are_told_apart() {
    let reseal = |mut file: Vec<u8>| {
        let crc = crc32fast::hash(&file[..HEADER_BYTES - 4]);
        file[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
        file
    };
    let whole = file(&[b"x".to_vec()]);
    let mut newer = whole.clone();
    newer[9] = 2;
    assert_eq!(decode(&newer), Err(Damage::Header));
    assert_eq!(decode(&reseal(newer)), Err(Damage::Version { found: 2 }));
    let mut foreign = whole;
    foreign[0] = b'X';
    assert_eq!(decode(&reseal(foreign)), Err(Damage::Foreign));
}
