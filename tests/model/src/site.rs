//! A site as proposer and holder: the design's rules, without retries and waits.

use serde::Serialize;
use ticket_protocol::{Accepted, Ballot, Purpose, Seq, Term, Time};

/// Who agreed: one bit per member.
pub(crate) type Votes = u8;

/// A round of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Round {
    /// None.
    Idle,
    /// Promises are awaited.
    Preparing {
        /// Not counted any more this long after.
        base: Time,
        ballot: Ballot,
        purpose: Purpose,
        votes: Votes,
        best: Option<Accepted>,
        max_term: Term,
    },
    /// A value is being agreed.
    Accepting {
        base: Time,
        accepted: Accepted,
        purpose: Purpose,
        votes: Votes,
    },
    /// The lease is being renewed.
    Renewing {
        base: Time,
        ballot: Ballot,
        seq: Seq,
        votes: Votes,
    },
}

/// What a site's cluster runs by: whatever becomes of the agent, it runs until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Claim {
    pub(crate) term: Term,
    /// On the site's own clock.
    pub(crate) deadline: Time,
}

/// One site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Site {
    pub(crate) round: Round,
    /// The value that its agent renews and releases; lost with the agent.
    pub(crate) leads: Option<Accepted>,
    pub(crate) claim: Option<Claim>,
    pub(crate) ballot_seen: u64,
    /// What it may still begin.
    pub(crate) grants: u8,
    pub(crate) renewals: u8,
    pub(crate) releases: u8,
}

impl Site {
    pub(crate) fn new(grants: u8, renewals: u8, releases: u8) -> Self {
        Self {
            round: Round::Idle,
            leads: None,
            claim: None,
            ballot_seen: 0,
            grants,
            renewals,
            releases,
        }
    }

    /// Its agent dies: what it was about is forgotten, what runs goes on.
    pub(crate) fn crash(&mut self) {
        self.round = Round::Idle;
        self.leads = None;
        self.ballot_seen = 0;
    }
}
