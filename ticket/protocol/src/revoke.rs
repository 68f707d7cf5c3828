//! Revoke: accepted during an obligation, keeps owner and term, frees nothing.
//!
//! ```text
//!   Granted, Moving --revoke--> Revoking --the holder released: everything stopped--> Revoked
//!                                  |                                                   ^
//!                                  +--- every obligation of a majority is over --------+
//!   Vacant --------------------------revoke--------------------------------------------+
//! ```
//!
//! No revoked ticket is taken over by itself. A grant names the number of revokes that it knows
//! of, so that none that was asked for before a revoke undoes it.

use crate::command::{Outcome, Step, Why};
use crate::ids::Term;
use crate::participant::Participant;
use crate::proposer::Change;
use crate::ticket::{Holding, Job, JobKind, Wish};
use crate::time::Time;
use crate::value::{Phase, PhaseKind, Value};

impl Participant {
    pub(crate) fn revoke_wish(&self, t: usize) -> Option<Wish> {
        let ticket = &self.tickets[t];
        if matches!(ticket.holding, Holding::Held(_) | Holding::Releasing(_)) {
            return None;
        }
        match &ticket.job.as_ref()?.kind {
            JobKind::Revoke { agreed, over_at } => {
                (agreed.is_none() || self.now >= *over_at).then_some(Wish::Revoke)
            }
            _ => None,
        }
    }

    pub(crate) fn revoke_change(&mut self, t: usize, current: Option<&Value>) -> Option<Change> {
        let Some(current) = current else {
            self.refuse(t, Why::NotGranted);
            return None;
        };
        let job = self.tickets[t].job.as_ref()?;
        let JobKind::Revoke { agreed, over_at } = &job.kind else {
            return None;
        };
        let over =
            *agreed == Some(current.term) && self.now >= *over_at && !current.class.is_manual();
        if agreed.is_some_and(|term| term != current.term) {
            self.refuse_changed(t, Some(current));
            return None;
        }
        if current.is_held() && current.hold.is_some() {
            self.refuse_on_hold(t);
            return None;
        }
        let phase = match current.phase {
            Phase::Revoking if over => Phase::Revoked,
            Phase::Granted | Phase::Moving(_) | Phase::Revoking => Phase::Revoking,
            Phase::Vacant(_) | Phase::Revoked => Phase::Revoked,
        };
        let first = u32::from(agreed.is_none());
        let value = Value {
            phase,
            revokes: current.revokes.saturating_add(first),
            ..current.clone()
        };
        Some(Change {
            value,
            lease: false,
            release: None,
        })
    }

    /// The revoke of this term is done. What this member knows of the ticket may be newer: a grant
    /// that was asked for beside it and came after it is not what the operator is told of.
    pub(crate) fn finish_revoked(&mut self, t: usize, term: Term) {
        let done = Outcome::Done {
            owner: None,
            term,
            phase: PhaseKind::Revoked,
        };
        self.finish(t, done);
    }

    pub(crate) fn revoke_chosen(&mut self, t: usize, value: &Value) {
        let now = self.now;
        let Some(Job {
            kind: JobKind::Revoke { agreed, over_at },
            ..
        }) = &mut self.tickets[t].job
        else {
            return;
        };
        if value.phase == Phase::Revoked {
            return self.finish_revoked(t, value.term);
        }
        *agreed = Some(value.term);
        let left = (*over_at != Time::NEVER).then(|| over_at.since(now));
        self.progress(t, Step::Stop, vec![value.owner], left);
    }
}
