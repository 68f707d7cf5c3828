//! The order in which Pacemaker walks a resource's table of nodes.
//!
//! Its tables are GLib's hash tables by node id, and where capacities do not order the nodes (one has
//! more memory, another more processors) the node that is found depends on where the walk begins. So
//! the walk is worked out here: the same strings give the same order, on every machine.

/// Primes just below each power of two: what a table of that many places is divided by.
const MODULI: [u32; 22] = [
    1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131_071,
    262_139, 524_287, 1_048_573, 2_097_143,
];

/// Smallest table: eight places.
const SHIFT_MIN: usize = 3;

/// What the table stores instead of the hashes 0 and 1, which mean that a place is free.
const LEAST_HASH: u32 = 2;

/// A table of places, each free or with one of the strings (by its number) and its hash.
struct Places {
    places: Vec<Option<(u32, usize)>>,
    shift: usize,
    filled: usize,
}

/// The numbers of `ids`, inserted in their order into an empty table, as a walk finds them.
pub(crate) fn walk<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut table = Places {
        places: vec![None; 1 << SHIFT_MIN],
        shift: SHIFT_MIN,
        filled: 0,
    };
    for (number, id) in ids.enumerate() {
        table.insert(hash(id), number);
    }
    table.places.iter().flatten().map(|(_, n)| *n).collect()
}

/// Pacemaker's own hash of a string, bytes with their sign.
fn hash(id: &str) -> u32 {
    let step = |h: u32, b: u8| {
        h.wrapping_mul(31)
            .wrapping_add_signed(i32::from(b.cast_signed()))
    };
    id.bytes().fold(0, step).max(LEAST_HASH)
}

impl Places {
    fn first_place(&self, hash: u32) -> usize {
        (hash.wrapping_mul(11) % MODULI[self.shift]) as usize
    }

    /// The first place of a probe, each step one longer than the one before, that is not `taken`.
    fn probe(&self, hash: u32, taken: impl Fn(usize) -> bool) -> usize {
        let mask = self.places.len() - 1;
        let mut place = self.first_place(hash);
        let mut step = 0;
        while taken(place) {
            step += 1;
            place = (place + step) & mask;
        }
        place
    }

    fn insert(&mut self, hash: u32, number: usize) {
        let place = self.probe(hash, |p| self.places[p].is_some());
        self.places[place] = Some((hash, number));
        self.filled += 1;
        if self.places.len() <= self.filled + self.filled / 16 && self.shift + 1 < MODULI.len() {
            self.grow();
        }
    }

    /// Moves everything to its place in a larger table, pushing out what has not been moved yet.
    fn grow(&mut self) {
        let wanted = self.filled * 4 / 3;
        let old = self.places.len();
        self.shift = (usize::BITS - wanted.leading_zeros()) as usize;
        self.places.resize(1 << self.shift, None);
        let mut moved = vec![false; self.places.len()];
        for from in 0..old {
            if moved[from] {
                continue;
            }
            let mut item = self.places[from].take();
            while let Some((hash, number)) = item {
                let place = self.probe(hash, |p| moved[p]);
                moved[place] = true;
                item = self.places[place].replace((hash, number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::walk;

    fn walked(ids: &[String]) -> Vec<&str> {
        let order = walk(ids.iter().map(String::as_str));
        order.into_iter().map(|n| ids[n].as_str()).collect()
    }

    /// What GLib 2.74's table gave for the same hashes and insertions.
    #[test]
    fn the_walk_is_that_of_glib() {
        let numbers: Vec<String> = (1..=32).map(|n| n.to_string()).collect();
        let seen = "2 18 25 8 13 32 20 3 19 26 9 14 21 4 27 15 22 5 10 28 16 23 6 11 30 29 1 17 24 7 31 12";
        assert_eq!(walked(&numbers).join(" "), seen);
        let numbers: Vec<String> = (1..=100).map(|n| n.to_string()).collect();
        let hundred = walked(&numbers);
        assert_eq!(
            hundred[..12].join(" "),
            "99 72 27 43 86 57 14 30 28 73 44 87"
        );
        assert_eq!(
            hundred[88..].join(" "),
            "55 12 84 71 26 9 98 42 85 69 56 13"
        );
        let names: Vec<String> = (0..31).map(|n| format!("node-{n}é")).collect();
        let seen = "node-25é node-19é node-6é node-22é node-16é node-29é node-3é node-13é node-26é node-0é node-7é node-10é node-23é node-17é node-4é node-20é node-14é node-27é node-1é node-8é node-30é node-11é node-24é node-18é node-5é node-21é node-15é node-2é node-28é node-9é node-12é";
        assert_eq!(walked(&names).join(" "), seen);
    }
}
