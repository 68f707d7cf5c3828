//! The sample store: what a storage that knows terms does with a stale writer.
//!
//! A new holder claims its term before it serves; from then on every write with a lower term is
//! refused. That is the last line: it holds even when the promise of the tickets was broken from
//! outside, as by the pause of a whole site.

/// The store's answer to a claim or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    /// A higher term has been claimed: this one.
    Refused(u64),
}

/// The store. It counts what the witness reports.
#[derive(Debug, Default)]
pub(crate) struct Store {
    highest: u64,
    /// The highest term whose service answered requests; kept apart from `highest`, so that a store
    /// that forgot to refuse would be found out.
    served: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) stale_accepted: u64,
}

impl Store {
    /// A service with this term is about to serve.
    pub(crate) fn claim(&mut self, term: u64) -> Answer {
        if term < self.highest {
            self.refused += 1;
            return Answer::Refused(self.highest);
        }
        self.highest = term;
        Answer::Accepted
    }

    /// A service with this term now answers requests.
    pub(crate) fn serving(&mut self, term: u64) {
        self.served = self.served.max(term);
    }

    /// One write.
    pub(crate) fn write(&mut self, term: u64) -> Answer {
        if term < self.highest {
            self.refused += 1;
            return Answer::Refused(self.highest);
        }
        self.accept(term);
        Answer::Accepted
    }

    fn accept(&mut self, term: u64) {
        self.accepted += 1;
        if term < self.served {
            self.stale_accepted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_writer_is_refused_from_the_claim_on() {
        let mut store = Store::default();
        assert_eq!(store.claim(5), Answer::Accepted);
        assert_eq!(store.write(5), Answer::Accepted);
        assert_eq!(store.claim(9), Answer::Accepted);
        assert_eq!(store.write(5), Answer::Refused(9));
        assert_eq!(store.claim(5), Answer::Refused(9));
        store.serving(9);
        assert_eq!(store.write(9), Answer::Accepted);
        assert_eq!(
            (store.accepted, store.refused, store.stale_accepted),
            (2, 2, 0)
        );
    }

    /// The canary of this measure: a store without its check would be seen.
    #[test]
    fn an_accepted_stale_write_is_counted() {
        let mut store = Store::default();
        store.serving(9);
        store.accept(5);
        assert_eq!(store.stale_accepted, 1);
    }
}
