//! A machine whose time stood still: its hypervisor stopped it, and no clock of its own counted
//! the time. Its leases last longer by that than everybody else believes, which no margin covers.
//!
//! ```text
//!   a peer's clock went on for longer than this one's, by more than rates may differ
//!      -- another peer says the same ---------------------------------------+
//!      -- this machine's real time was set forward --------------------------+--> leases dropped,
//!      -- neither: that peer's clock may be the wrong one; nothing           |    begins anew
//! ```
//!
//! Real time alone shows nothing: operators and NTP set it, on all members at once if they like.

use std::time::Duration;

use crate::ids::MemberId;
use crate::participant::Participant;
use crate::time::{Time, stretched};

/// Less than this is not worth the price of a memory; `acquire-after` exceeds the stop budget by
/// about as much.
const STILL_MIN: Duration = Duration::from_millis(500);
/// What is seen within this time counts together: members that share tickets speak several times
/// per lease, and a lease that was renewed since is right again.
const STILL_WINDOW: Duration = Duration::from_secs(60);

/// By how much less a span on this member's clock was than on a peer's, if by more than the rates
/// may differ. `doubt` is how far the readings may be apart by themselves.
pub(crate) fn stood_still(
    mine: Duration,
    theirs: Duration,
    doubt: Duration,
    bound_ppm: u32,
) -> Option<Duration> {
    let explained = stretched(mine, bound_ppm) + doubt + STILL_MIN;
    (theirs > explained).then(|| theirs.saturating_sub(mine))
}

impl Participant {
    /// Looks whether there are witnesses enough that this member's time stood still.
    pub(crate) fn judge_standstill(&mut self) {
        let now = self.now;
        let recent = |at: Time| now.since(at) <= STILL_WINDOW;
        let witnesses: Vec<(MemberId, Duration)> = self
            .peers
            .iter()
            .filter_map(|peer| {
                let (_, by) = peer.went_on.filter(|&(at, _)| recent(at))?;
                Some((peer.id, by))
            })
            .collect();
        let Some(&(first, by)) = witnesses.first() else {
            return;
        };
        let set_forward = self.real_time_set.is_some_and(recent);
        if witnesses.len() < 2 && !set_forward {
            return;
        }
        for peer in &mut self.peers {
            peer.went_on = None;
        }
        self.real_time_set = None;
        if self.memory.voting {
            let seconds = by.as_secs_f64();
            self.lose_memory(format!(
                "this machine's time stood still for {seconds:.1} s by the clock of {first}"
            ));
        }
    }
}
