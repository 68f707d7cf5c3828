//! What follows from a ticket's settings: the numbers that an operator wants to know and that the
//! checks compare.

use std::time::Duration;

use crate::duration::format;
use crate::{Cluster, Mode, Ticket};

/// What the guard needs to kill, and to see that all is dead, after the stop budget: a busy machine
/// takes some ten milliseconds for a few hundred processes.
pub const GUARD_MARGIN: Duration = Duration::from_millis(100);

/// Rounds that a takeover takes after the wait: promise and accept, each of which may have to be
/// sent again once.
const TAKEOVER_ROUNDS: u32 = 4;

const MILLION: u128 = 1_000_000;

/// Numbers derived from a ticket's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timings {
    /// The settings they are derived from.
    ticket: Ticket,
    /// Given in the configuration or derived.
    pub round_timeout: Duration,
    /// Given in the configuration or default.
    pub retries: u32,
    /// The lease as the site's nodes count it: shorter, so that a fast clock elsewhere does no harm.
    pub lease_at_nodes: Duration,
    /// How long a renewal takes at most if every try but the last is lost: `renew-every`, then one
    /// round and its repetitions.
    pub renewal_needs: Duration,
    /// How long others are kept out after the last renewal: (lease + acquire-after) × (1 + drift).
    pub obligation: Duration,
    /// The longest time from the holder's last renewal to the grant at another site, with a
    /// majority in reach.
    pub worst_failover: Duration,
    /// The shortest acquire-after for the stop budget.
    pub acquire_after_needs: Duration,
}

impl Timings {
    /// Derives them.
    pub fn of(cluster: &Cluster, ticket: &Ticket) -> Self {
        let rounds = cluster.retries.saturating_add(1);
        let round = cluster.round_timeout;
        let obligation = stretch(
            ticket.lease.saturating_add(ticket.acquire_after),
            cluster.drift_ppm,
        );
        Self {
            round_timeout: round,
            retries: cluster.retries,
            lease_at_nodes: shrink(ticket.lease, cluster.drift_ppm),
            renewal_needs: ticket
                .renew_every
                .saturating_add(round.saturating_mul(rounds)),
            obligation,
            worst_failover: obligation.saturating_add(round.saturating_mul(TAKEOVER_ROUNDS)),
            acquire_after_needs: ticket.stop_budget.saturating_add(GUARD_MARGIN),
            ticket: ticket.clone(),
        }
    }

    /// Whether a renewal with all its repetitions fits in the lease.
    pub fn renewal_fits(&self) -> bool {
        self.renewal_needs <= self.lease_at_nodes
    }

    /// Whether the losing site is down before another may start.
    pub fn stop_fits(&self) -> bool {
        self.acquire_after_needs <= self.ticket.acquire_after
    }

    /// The sum that [`Timings::renewal_fits`] compares, with its numbers.
    pub fn renewal_sum(&self) -> String {
        format!(
            "renew-every {} + (1 + {} retries) x round-timeout {} = {}",
            readable(self.ticket.renew_every),
            self.retries,
            readable(self.round_timeout),
            readable(self.renewal_needs),
        )
    }

    /// The numbers, one line each, for `ticket check --explain`.
    pub fn explain(&self) -> Vec<String> {
        let ticket = &self.ticket;
        if ticket.mode == Mode::Manual {
            return vec!["manual: no lease; only an operator fails it over".to_owned()];
        }
        vec![
            format!(
                "a renewal needs {} at most, of a lease of {} ({} at the nodes)",
                self.renewal_sum(),
                format(ticket.lease),
                readable(self.lease_at_nodes),
            ),
            format!(
                "after the lease the site has {} to stop (stop-budget), then the guard kills within \
                 {}; others wait {} (acquire-after)",
                format(ticket.stop_budget),
                format(GUARD_MARGIN),
                format(ticket.acquire_after),
            ),
            format!(
                "worst-case automatic failover: {} from the holder's last renewal, {} of it \
                 waiting for certainty",
                readable(self.worst_failover),
                readable(self.obligation),
            ),
        ]
    }
}

/// `duration × (1 + ppm / 10⁶)`, rounded up.
fn stretch(duration: Duration, ppm: u32) -> Duration {
    let nanos = duration.as_nanos() * (MILLION + u128::from(ppm));
    from_nanos(nanos.div_ceil(MILLION))
}

/// `duration / (1 + ppm / 10⁶)`, rounded down.
fn shrink(duration: Duration, ppm: u32) -> Duration {
    from_nanos(duration.as_nanos() * MILLION / (MILLION + u128::from(ppm)))
}

fn from_nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// For reading: `1.981s` rather than `1981ms`, and nothing finer than a millisecond where there is
/// anything coarser.
pub(crate) fn readable(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1_000 || ms.is_multiple_of(1_000) {
        let whole = Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX));
        return format(if ms == 0 { duration } else { whole });
    }
    let text = format!("{}.{:03}", ms / 1_000, ms % 1_000);
    format!("{}s", text.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [
            (0, "0s"),
            (200, "200ms"),
            (1_981, "1.981s"),
            (59_550, "59.55s"),
            (2_000, "2s"),
        ];
        for (ms, text) in cases {
            assert_eq!(readable(Duration::from_millis(ms)), text);
        }
        assert_eq!(readable(Duration::from_micros(666_666)), "666ms");
        assert_eq!(readable(Duration::from_micros(50)), "50us");
    }

    #[test]
    fn drift_always_errs_to_the_safe_side() {
        let second = Duration::from_secs(1);
        assert_eq!(stretch(second, 10_000), Duration::from_millis(1_010));
        assert_eq!(stretch(Duration::from_nanos(1), 1), Duration::from_nanos(2));
        assert!(shrink(second, 10_000) < Duration::from_micros(990_100));
        assert!(stretch(shrink(second, 10_000), 10_000) <= second);
        assert_eq!(stretch(second, 0), second);
    }
}
