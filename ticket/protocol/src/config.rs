//! What a member is told about its cluster when it starts.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{MemberId, MemberSet, TicketName};
use crate::rules::Rules;
use crate::value::LeaseClass;

/// Whether a member has a cluster that can hold tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Votes and can hold tickets.
    Site,
    /// Votes only.
    Arbitrator,
}

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: MemberId,
    /// Its name, as in its certificate.
    pub name: String,
    /// What it does.
    pub role: Role,
}

/// Who moves a ticket when its holder is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The members, after the lease ran out.
    Auto,
    /// The operator. There is no lease.
    Manual,
}

/// One ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketConfig {
    /// Its name.
    pub name: TicketName,
    /// Who moves it.
    pub mode: Mode,
    /// How long a grant lasts without renewal. Longer rides out longer cuts, shorter fails over
    /// sooner. Not used by manual tickets.
    pub lease: Duration,
    /// How long after the lease's end the old holder may still be stopping: at least its stop
    /// budget. Not used by manual tickets.
    pub acquire_after: Duration,
    /// How often the holder renews: at most a third of the lease lets two renewals be lost.
    pub renew_every: Duration,
    /// Which sites take it over first. Sites not named come last, in the order of their numbers.
    pub prefer: Vec<MemberId>,
}

impl TicketConfig {
    /// An automatic ticket renewed three times per lease, without preference.
    #[must_use]
    pub fn auto(name: &str, lease: Duration, acquire_after: Duration) -> Self {
        Self {
            name: name.into(),
            mode: Mode::Auto,
            lease,
            acquire_after,
            renew_every: lease / 3,
            prefer: Vec::new(),
        }
    }

    /// A manual ticket.
    #[must_use]
    pub fn manual(name: &str) -> Self {
        Self {
            name: name.into(),
            mode: Mode::Manual,
            lease: Duration::ZERO,
            acquire_after: Duration::ZERO,
            renew_every: Duration::ZERO,
            prefer: Vec::new(),
        }
    }

    /// The lease class of this ticket's grants.
    #[must_use]
    pub fn class(&self) -> LeaseClass {
        match self.mode {
            Mode::Auto => LeaseClass::new(self.lease, self.acquire_after),
            Mode::Manual => LeaseClass::MANUAL,
        }
    }
}

/// The whole configuration of one member. All members must have the same one but for `me`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The cluster's name.
    pub cluster: String,
    /// Grows with every agreed change of the configuration.
    pub epoch: u64,
    /// Which member this is.
    pub me: MemberId,
    /// All members; any number up to [`MemberSet::CAPACITY`].
    pub members: Vec<Member>,
    /// All tickets.
    pub tickets: Vec<TicketConfig>,
    /// By how much the clock rates of two members may differ, in parts per million.
    pub drift_ppm: u32,
    /// After this long without an answer a round is sent again, at the latest; sooner where the
    /// measured round-trip times are shorter. About twice the longest round-trip time.
    pub round_timeout: Duration,
    /// Which safety rules are in force.
    pub rules: Rules,
}

impl Config {
    /// 1 %: what a badly broken quartz does.
    pub const DRIFT_PPM: u32 = 10_000;
    /// Suits round trips up to half of it.
    pub const ROUND_TIMEOUT: Duration = Duration::from_millis(500);

    /// A configuration with the usual drift and round timeout.
    #[must_use]
    pub fn new(
        cluster: &str,
        me: MemberId,
        members: Vec<Member>,
        tickets: Vec<TicketConfig>,
    ) -> Self {
        Self {
            cluster: cluster.to_owned(),
            epoch: 1,
            me,
            members,
            tickets,
            drift_ppm: Self::DRIFT_PPM,
            round_timeout: Self::ROUND_TIMEOUT,
            rules: Rules::default(),
        }
    }

    /// The member numbered `id`.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// How many votes decide.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    pub(crate) fn validate(&self) -> Result<(), StartError> {
        let mut seen = MemberSet::default();
        for member in &self.members {
            if member.id.0 >= MemberSet::CAPACITY {
                return Err(StartError::MemberNumber {
                    name: member.name.clone(),
                });
            }
            if seen.contains(member.id) {
                return Err(StartError::DuplicateMember {
                    name: member.name.clone(),
                });
            }
            seen.insert(member.id);
        }
        if !seen.contains(self.me) {
            return Err(StartError::NotAMember { me: self.me });
        }
        let mut ids = BTreeSet::new();
        for ticket in &self.tickets {
            if !ids.insert(ticket.name.id()) {
                return Err(StartError::TicketNumber {
                    name: ticket.name.clone(),
                });
            }
            self.validate_timing(ticket)?;
        }
        Ok(())
    }

    fn validate_timing(&self, ticket: &TicketConfig) -> Result<(), StartError> {
        if ticket.mode == Mode::Manual {
            return Ok(());
        }
        let name = ticket.name.clone();
        if ticket.lease < Duration::from_millis(1) || ticket.renew_every.is_zero() {
            return Err(StartError::Timing {
                name,
                why: "the lease and its renewals need a length",
            });
        }
        if ticket.renew_every.saturating_mul(2) > ticket.lease {
            return Err(StartError::Timing {
                name,
                why: "renew-every is more than half the lease",
            });
        }
        Ok(())
    }
}

/// Why a member cannot start. The configuration is at fault; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// `me` is not in the list of members.
    #[error("member {me} is not in the list of members")]
    NotAMember {
        /// The number that was not found.
        me: MemberId,
    },
    /// Two members have one number.
    #[error("member {name}: its number is taken by another member")]
    DuplicateMember {
        /// The second of them.
        name: String,
    },
    /// A member's number is out of range.
    #[error("member {name}: member numbers end at 63")]
    MemberNumber {
        /// Its name.
        name: String,
    },
    /// A ticket is listed twice, or its name has the same checksum as another's.
    #[error("ticket {name}: listed twice, or its name collides with another's: rename it")]
    TicketNumber {
        /// The second of them.
        name: TicketName,
    },
    /// A ticket's timings contradict each other.
    #[error("ticket {name}: {why}")]
    Timing {
        /// The ticket.
        name: TicketName,
        /// What contradicts what.
        why: &'static str,
    },
    /// The restored state belongs to another member or cluster.
    #[error("the stored state belongs to {owner}, not to this member")]
    ForeignState {
        /// Whose it is.
        owner: String,
    },
}
