use std::os::unix::fs::PermissionsExt;

use super::*;

fn open(directory: &Path) -> (Store, Loaded) {
    let high_water = Some(directory.join("mark"));
    Store::open(&directory.join("s"), Options { high_water }).unwrap()
}

fn open_without_mark(directory: &Path) -> (Store, Loaded) {
    Store::open(&directory.join("s"), Options::default()).unwrap()
}

fn state_file(directory: &Path) -> PathBuf {
    directory.join("s").join(STATE)
}

#[test]
fn what_was_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, loaded) = open(dir.path());
    assert_eq!(loaded, Loaded::Fresh);
    let ids = store.ids();
    for n in 1..=5u64 {
        assert_eq!(store.write(&[n as u8; 900]).unwrap(), n);
    }
    drop(store);
    let (store, loaded) = open(dir.path());
    assert_eq!(loaded, Loaded::State(vec![5; 900]));
    assert_eq!((store.ids(), store.counter()), (ids, 5));
    let mode = fs::metadata(state_file(dir.path()))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_growing_state_gets_a_larger_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    for size in [1, 10_000, 100_000, 1_000_000, 5] {
        store.write(&vec![7; size]).unwrap();
    }
    store.write(&[8]).unwrap();
    drop(store);
    let (store, loaded) = open(dir.path());
    assert_eq!(loaded, Loaded::State(vec![8]));
    assert_eq!(store.counter(), 6);
    assert!(
        !dir.path().join("s").join(LOST).exists(),
        "growing is no loss"
    );
}

#[test]
fn second_copy_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, _) = open(dir.path());
    let error = Store::open(&dir.path().join("s"), Options::default()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(text.contains(&std::process::id().to_string()), "{text}");
}

#[test]
fn damaged_slot_is_lost_memory_with_a_new_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.write(b"first").unwrap();
    store.write(b"second").unwrap();
    let (ids, path) = (store.ids(), state_file(dir.path()));
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    bytes[slots::HEADER_BYTES + 40] ^= 1;
    fs::write(&path, &bytes).unwrap();
    for _ in 0..2 {
        // Still lost until something is written.
        let (store, loaded) = open(dir.path());
        let Loaded::Lost {
            loss: Loss::Slot { .. },
            older,
        } = loaded
        else {
            panic!("{loaded:?}")
        };
        assert_eq!(older, Some(b"first".to_vec()));
        assert_eq!(store.ids().store, ids.store);
        assert!(store.ids().incarnation > ids.incarnation);
    }
    let (mut store, _) = open(dir.path());
    assert_eq!(store.write(b"third").unwrap(), 3);
    drop(store);
    let (_store, loaded) = open(dir.path());
    assert_eq!(loaded, Loaded::State(b"third".to_vec()));
    assert_eq!(
        fs::read(dir.path().join("s").join(LOST)).unwrap(),
        bytes,
        "evidence is kept"
    );
}

#[test]
fn truncated_file_is_lost_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.write(b"first").unwrap();
    drop(store);
    let file = OpenOptions::new()
        .write(true)
        .open(state_file(dir.path()))
        .unwrap();
    for length in [10_000, 4_096, 100, 0] {
        file.set_len(length).unwrap();
        let (_store, loaded) = open(dir.path());
        let Loaded::Lost { loss, older: None } = loaded else {
            panic!("{loaded:?}")
        };
        assert!(loss.to_string().contains("truncated"), "{loss}");
    }
}

#[test]
fn restored_backup_is_lost_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.write(b"first").unwrap();
    store.write(b"second").unwrap();
    let path = state_file(dir.path());
    let backup = fs::read(&path).unwrap();
    store.write(b"third").unwrap();
    drop(store);
    fs::write(&path, &backup).unwrap();
    let (store, loaded) = open(dir.path());
    let Loaded::Lost {
        loss:
            Loss::RolledBack {
                found: 2,
                expected: 3,
                ..
            },
        ..
    } = loaded
    else {
        panic!("{loaded:?}")
    };
    assert_eq!(store.counter(), 3, "the counter never goes back");
    drop(store);
    // Without the mark nobody on this machine can know.
    let (_store, loaded) = open_without_mark(dir.path());
    assert_eq!(loaded, Loaded::State(b"second".to_vec()));
}

#[test]
fn deleted_state_is_noticed_by_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.write(b"first").unwrap();
    drop(store);
    fs::remove_file(state_file(dir.path())).unwrap();
    let (_store, loaded) = open(dir.path());
    assert!(matches!(
        loaded,
        Loaded::Lost {
            loss: Loss::Missing { expected: 1, .. },
            ..
        }
    ));
}

#[test]
fn newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.write(b"first").unwrap();
    drop(store);
    let path = state_file(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[9] = 9;
    let end = slots::HEADER_BYTES - 4;
    let crc = crc32fast::hash(&bytes[..end]);
    bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
    fs::write(&path, &bytes).unwrap();
    let error = Store::open(&dir.path().join("s"), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn failed_write_poisons_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.write(b"first").unwrap();
    // A disk that is full: every write to this device fails with ENOSPC.
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (sound, header) = store
        .open
        .replace((
            full,
            Header {
                slot_bytes: 8_192,
                base: 1,
            },
        ))
        .unwrap();
    let error = store.write(b"second").unwrap_err();
    assert!(matches!(error, WriteError::Failed { .. }), "{error}");
    // Even when the disk has room again.
    store.open = Some((sound, header));
    assert!(matches!(store.write(b"third"), Err(WriteError::Poisoned)));
    assert!(store.poisoned());
    assert_eq!(store.counter(), 1);
    drop(store);
    let (_store, loaded) = open(dir.path());
    assert_eq!(
        loaded,
        Loaded::State(b"first".to_vec()),
        "nothing acknowledged was lost"
    );
}

#[test]
fn unreadable_directory_is_an_error_not_a_loss() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("s"), b"a file").unwrap();
    assert!(matches!(
        Store::open(&dir.path().join("s"), Options::default()),
        Err(OpenError::File { .. })
    ));
}

#[test]
fn too_long_a_state_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.write(b"first").unwrap();
    assert!(matches!(
        store.write(&vec![0; STATE_BYTES_MAX + 1]),
        Err(WriteError::TooLong(_))
    ));
    assert_eq!(store.write(b"second").unwrap(), 2);
}
