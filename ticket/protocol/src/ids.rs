//! Names and numbers: members, tickets, terms, ballots.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A member of the cluster (a site or an arbitrator), as numbered in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId(pub u16);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

/// A set of members, at most [`MemberSet::CAPACITY`] of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemberSet(u64);

impl MemberSet {
    /// Members are numbered below this: a set is one machine word.
    pub const CAPACITY: u16 = 64;

    /// Adds `member`.
    pub fn insert(&mut self, member: MemberId) {
        self.0 |= 1u64 << (member.0 % Self::CAPACITY);
    }

    /// Takes `member` out.
    pub fn remove(&mut self, member: MemberId) {
        self.0 &= !(1u64 << (member.0 % Self::CAPACITY));
    }

    /// Whether `member` is in.
    #[must_use]
    pub fn contains(self, member: MemberId) -> bool {
        self.0 & (1u64 << (member.0 % Self::CAPACITY)) != 0
    }

    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A ticket's name as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TicketName(pub String);

impl TicketName {
    /// The ticket's number on the wire and on disk.
    #[must_use]
    pub fn id(&self) -> TicketId {
        TicketId(crc32fast::hash(self.0.as_bytes()))
    }
}

impl From<&str> for TicketName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for TicketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A ticket's number: a checksum of its name, so that it never depends on the order of a
/// configuration. Two names with one number are refused when the member starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TicketId(pub u32);

/// The number of a grant: (recovery epoch, counter, site) packed in 64 bits and compared as one
/// number. It only grows, for ever.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Term(pub u64);

impl Term {
    /// Lower than every grant's term.
    pub const NONE: Self = Self(0);
    const SITE_BITS: u32 = 12;
    const COUNTER_BITS: u32 = 40;

    /// Packs a term. Each part is cut to its width (12, 40 and 12 bits).
    #[must_use]
    pub fn new(epoch: u16, counter: u64, site: MemberId) -> Self {
        let epoch = u64::from(epoch & 0xfff) << (Self::SITE_BITS + Self::COUNTER_BITS);
        let counter = (counter & ((1 << Self::COUNTER_BITS) - 1)) << Self::SITE_BITS;
        Self(epoch | counter | u64::from(site.0 & 0xfff))
    }

    /// The recovery epoch: raised by forced grants and by `site recover`.
    #[must_use]
    pub fn epoch(self) -> u16 {
        u16::try_from(self.0 >> (Self::SITE_BITS + Self::COUNTER_BITS)).unwrap_or(0xfff)
    }

    /// The counter: raised by every grant.
    #[must_use]
    pub fn counter(self) -> u64 {
        (self.0 >> Self::SITE_BITS) & ((1 << Self::COUNTER_BITS) - 1)
    }

    /// The site that it was granted to.
    #[must_use]
    pub fn site(self) -> MemberId {
        MemberId(u16::try_from(self.0 & 0xfff).unwrap_or(0))
    }

    /// The next term after this one, for `site`; `forced` raises the recovery epoch too.
    #[must_use]
    pub fn next(self, site: MemberId, forced: bool) -> Self {
        let epoch = if forced {
            self.epoch() + 1
        } else {
            self.epoch()
        };
        Self::new(epoch, self.counter() + 1, site)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch(), self.counter(), self.site().0)
    }
}

/// The number of a proposer's attempt; unique to the member that made it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ballot {
    /// Grows with every attempt.
    pub counter: u64,
    /// The proposer.
    pub member: u16,
}

/// The number of a value within its ballot: strictly growing.
pub type Seq = u32;

/// An operator's command, numbered by the shell that runs the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// A write of the durable state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WriteId(pub u64);

/// One order to stop what depends on a ticket; its confirmation names it, so that a late one of
/// an earlier order counts for nothing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct StopId(pub u64);
