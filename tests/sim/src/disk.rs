//! A member's disk: two slots with a counter each, written in turn, as the real store does it.
//!
//! The newest valid slot counts. A write goes to the other slot, so a crash in mid-write leaves
//! the one before. What can go wrong is here: a torn write, a write that was reported and is not
//! there, a bad sector, a restored backup, a deleted file.

/// One slot.
#[derive(Clone, Debug)]
enum Slot<T> {
    Empty,
    /// A checksum that does not match.
    Torn,
    Valid {
        counter: u64,
        state: T,
    },
}

/// What a member finds when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// Nothing was ever written (or everything was deleted: a disk cannot tell).
    Nothing,
    /// The newest state that can be read.
    State(T),
    /// There is something, and none of it can be read.
    Corrupt,
}

/// The disk of one member.
#[derive(Clone, Debug)]
pub struct Disk<T> {
    slots: [Slot<T>; 2],
    counter: u64,
    /// A copy from earlier on, to be restored by a fault.
    backup: Option<T>,
}

impl<T: Clone> Disk<T> {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: [Slot::Empty, Slot::Empty],
            counter: 0,
            backup: None,
        }
    }

    /// A write never touches the newest valid slot.
    fn target(&self) -> usize {
        self.newest().map_or(0, |newest| 1 - newest)
    }

    /// A write that is on the medium.
    pub fn write(&mut self, state: T) {
        self.counter += 1;
        let target = self.target();
        self.slots[target] = Slot::Valid {
            counter: self.counter,
            state,
        };
    }

    /// A crash in the middle of a write: the slot is neither the old nor the new one.
    pub fn tear(&mut self) {
        let target = self.target();
        self.slots[target] = Slot::Torn;
    }

    /// The newest slot becomes unreadable (a bad sector): the one before counts.
    pub fn rot(&mut self) {
        if let Some(newest) = self.newest() {
            self.slots[newest] = Slot::Torn;
        }
    }

    /// Both slots become unreadable.
    pub fn corrupt(&mut self) {
        self.slots = [Slot::Torn, Slot::Torn];
    }

    /// Everything is deleted.
    pub fn delete(&mut self) {
        self.slots = [Slot::Empty, Slot::Empty];
    }

    /// Notes the present state for a later [`Disk::restore`].
    pub fn back_up(&mut self) {
        if let Found::State(state) = self.load() {
            self.backup = Some(state);
        }
    }

    /// Puts the backup in place of what is there; `false` when there is none.
    pub fn restore(&mut self) -> bool {
        let Some(state) = self.backup.clone() else {
            return false;
        };
        self.slots = [Slot::Empty, Slot::Empty];
        self.write(state);
        true
    }

    fn newest(&self) -> Option<usize> {
        let counter = |slot: &Slot<T>| match slot {
            Slot::Valid { counter, .. } => Some(*counter),
            Slot::Empty | Slot::Torn => None,
        };
        let first = counter(&self.slots[0]);
        let second = counter(&self.slots[1]);
        match (first, second) {
            (None, None) => None,
            _ => Some(usize::from(second > first)),
        }
    }

    /// What a starting member reads.
    #[must_use]
    pub fn load(&self) -> Found<T> {
        match self.newest() {
            Some(newest) => match &self.slots[newest] {
                Slot::Valid { state, .. } => Found::State(state.clone()),
                Slot::Empty | Slot::Torn => Found::Corrupt,
            },
            None if self.slots.iter().any(|slot| matches!(slot, Slot::Torn)) => Found::Corrupt,
            None => Found::Nothing,
        }
    }
}

impl<T: Clone> Default for Disk<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{Disk, Found};

    #[test]
    fn the_newest_valid_slot_counts() {
        let mut disk = Disk::new();
        assert_eq!(disk.load(), Found::Nothing);
        for state in 1..=3 {
            disk.write(state);
            assert_eq!(disk.load(), Found::State(state));
        }
        disk.tear();
        disk.tear();
        assert_eq!(
            disk.load(),
            Found::State(3),
            "torn writes leave the one before"
        );
        disk.write(4);
        disk.write(5);
        disk.rot();
        assert_eq!(
            disk.load(),
            Found::State(4),
            "a bad sector takes one step back"
        );
    }

    #[test]
    fn a_first_write_that_is_torn_is_corrupt_and_not_empty() {
        let mut disk: Disk<u8> = Disk::new();
        disk.tear();
        assert_eq!(disk.load(), Found::Corrupt);
        disk.delete();
        assert_eq!(disk.load(), Found::Nothing);
        disk.write(1);
        disk.corrupt();
        assert_eq!(disk.load(), Found::Corrupt);
    }

    #[test]
    fn a_backup_takes_the_disk_back() {
        let mut disk = Disk::new();
        assert!(!disk.restore());
        disk.write(1);
        disk.back_up();
        disk.write(2);
        assert!(disk.restore());
        assert_eq!(disk.load(), Found::State(1));
        disk.write(3);
        assert_eq!(disk.load(), Found::State(3));
    }
}
