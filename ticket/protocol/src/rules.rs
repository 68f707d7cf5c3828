//! The safety rules, each with a switch that exists only with the feature `weaken`.
//!
//! The simulator removes them one at a time and must find a violation for each: a rule whose
//! absence nobody notices is either not needed or not tested. It builds the crate under another
//! name (`tests/sim/weakened`), so that nothing else built beside it has the switches.

use serde::{Deserialize, Serialize};

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident => $label:literal,)*) => {
        /// Which safety rules are in force: all, unless the feature `weaken` is on.
        #[cfg(feature = "weaken")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Rules { $($(#[$doc])* pub $name: bool,)* }

        /// Which safety rules are in force: all of them, always.
        #[cfg(not(feature = "weaken"))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Rules {}

        #[cfg(feature = "weaken")]
        impl Default for Rules {
            fn default() -> Self { Self { $($name: true,)* } }
        }

        #[cfg(not(feature = "weaken"))]
        impl Default for Rules {
            fn default() -> Self { Self {} }
        }

        impl Rules {
            /// The names of the rules that can be removed, in the order of the design.
            pub const NAMES: &'static [&'static str] = &[$($label,)*];

            /// All rules but `name`; `None` if there is no such rule (and always `None`
            /// without the feature `weaken`).
            #[must_use]
            pub fn without(name: &str) -> Option<Self> {
                #[cfg(feature = "weaken")]
                {
                    let mut rules = Self::default();
                    match name {
                        $($label => rules.$name = false,)*
                        _ => return None,
                    }
                    Some(rules)
                }
                #[cfg(not(feature = "weaken"))]
                {
                    let _ = name;
                    None
                }
            }

            $(
                #[cfg(feature = "weaken")]
                pub(crate) fn $name(self) -> bool { self.$name }
                #[cfg(not(feature = "weaken"))]
                pub(crate) fn $name(self) -> bool { true }
            )*
        }
    };
}

rules! {
    /// A member's own acceptor durably promises and stores before the message leaves.
    own_acceptor_first => "own-acceptor-first",
    /// The lease counts from before the round's first send, not from its answers.
    lease_from_send => "lease-from-send",
    /// Obligations are longer than leases by the ratio that clocks may differ.
    drift_margin => "drift-margin",
    /// An obligation is the maximum over all accepted leases, not what came last.
    obligation_maximum => "obligation-maximum",
    /// While an obligation runs, no other owner is accepted.
    obligation_at_accept => "obligation-at-accept",
    /// An acceptor answers only after what it answers is on disk.
    store_before_answer => "store-before-answer",
    /// After a restart an acceptor counts its obligations again in full.
    wait_after_restart => "wait-after-restart",
    /// A member without memory does not vote before every lease it may have forgotten is over.
    wait_after_lost_memory => "wait-after-lost-memory",
    /// A member without memory reads the registers from a majority before it votes.
    reread_after_lost_memory => "reread-after-lost-memory",
    /// Accepts are ordered by (ballot, seq), not by ballot alone.
    ballot_seq => "ballot-seq",
    /// Obligations cover the time that the losing site needs to stop.
    acquire_after => "acquire-after",
    /// A release ends the obligation of that very term and no other.
    release_only_that_term => "release-only-that-term",
    /// A revoked ticket is never taken over automatically.
    revoke_stays => "revoke-stays",
    /// A revoke leaves owner, term and obligation as they are.
    revoke_frees_nothing => "revoke-frees-nothing",
    /// A lease that ran out is never revived by late answers.
    lapse_is_final => "lapse-is-final",
    /// A ticket is released only after the stop of its dependents was confirmed.
    stop_before_release => "stop-before-release",
}
