//! Messages and states as bytes: what was written is read, and nothing else is.

use proptest::prelude::*;
use ticket_protocol::{
    Accepted, Ask, Ballot, DurableState, Header, LeaseClass, Life, MemberId, Message, Obliged,
    Owed, Part, Phase, PhaseKind, Purpose, Reason, Refusal, Renewal, Seen, Term, TicketId,
    TicketRecord, Time, Transfer, Value, wire,
};

fn ballot() -> impl Strategy<Value = Ballot> {
    (any::<u64>(), 0..64u16).prop_map(|(counter, member)| Ballot { counter, member })
}

fn purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![
        Just(Purpose::Owner),
        Just(Purpose::Takeover),
        Just(Purpose::Grant),
        Just(Purpose::Force),
        Just(Purpose::Revoke),
    ]
}

fn phase() -> impl Strategy<Value = Phase> {
    let transfer =
        (any::<u64>(), 0..64u16, 0..64u16, any::<u32>()).prop_map(|(id, from, to, wait_ms)| {
            Transfer {
                id,
                from: MemberId(from),
                to: MemberId(to),
                wait_ms,
            }
        });
    prop_oneof![
        Just(Phase::Granted),
        Just(Phase::Revoking),
        Just(Phase::Revoked),
        transfer.clone().prop_map(Phase::Moving),
        proptest::option::of(transfer).prop_map(Phase::Vacant),
    ]
}

fn accepted() -> impl Strategy<Value = Accepted> {
    let text = || proptest::option::of("[a-z ]{0,40}");
    let value = (
        0..64u16,
        any::<u64>(),
        phase(),
        any::<bool>(),
        text(),
        text(),
        any::<u32>(),
    )
        .prop_map(
            |(owner, term, phase, standby, hold, forced, revokes)| Value {
                owner: MemberId(owner),
                term: Term(term),
                phase,
                class: LeaseClass {
                    lease_ms: 1000,
                    acquire_after_ms: 500,
                },
                standby,
                hold,
                forced,
                revokes,
            },
        );
    (ballot(), any::<u32>(), value).prop_map(|(ballot, seq, value)| Accepted { ballot, seq, value })
}

fn obliged() -> impl Strategy<Value = Obliged> {
    let owner = proptest::option::of((0..64u16).prop_map(MemberId));
    (owner, any::<u64>(), proptest::option::of(any::<u32>())).prop_map(|(owner, term, left_ms)| {
        Obliged {
            owner,
            term: Term(term),
            left_ms,
        }
    })
}

fn part() -> impl Strategy<Value = Part> {
    let ticket = any::<u32>().prop_map(TicketId);
    let refusal = (
        ballot(),
        proptest::option::of(accepted()),
        proptest::option::of(obliged()),
    )
        .prop_map(|(promised, accepted, obliged)| Refusal {
            reason: Reason::Passed,
            promised,
            accepted,
            obliged,
        });
    prop_oneof![
        Just(Part::Hello),
        (ticket.clone(), ballot(), purpose()).prop_map(|(ticket, ballot, purpose)| {
            Part::Prepare {
                ticket,
                ballot,
                purpose,
            }
        }),
        (ticket.clone(), accepted(), purpose(), any::<bool>()).prop_map(
            |(ticket, accepted, purpose, lease)| Part::Accept {
                ticket,
                accepted,
                purpose,
                replaces: None,
                lease,
                release: Some(Term(7)),
            }
        ),
        (ticket.clone(), ballot(), refusal).prop_map(|(ticket, ballot, refusal)| {
            Part::Refused {
                ticket,
                ballot,
                seq: Some(3),
                refusal,
            }
        }),
        proptest::collection::vec((ticket.clone(), 0..1u64 << 21, 0..1u32 << 14), 0..81).prop_map(
            |tickets| Part::Renew {
                class: LeaseClass {
                    lease_ms: 1000,
                    acquire_after_ms: 500
                },
                round: 9,
                chunk: 1,
                tickets: tickets
                    .into_iter()
                    .map(|(ticket, ballot, seq)| Renewal {
                        ticket,
                        ballot,
                        seq
                    })
                    .collect(),
            }
        ),
        (ticket, any::<u64>(), any::<u32>()).prop_map(|(ticket, request, wait_ms)| Part::Ask {
            request,
            ticket,
            ask: Ask::Grant {
                term: Term(5),
                phase: PhaseKind::Vacant,
                revokes: 1,
                force: None
            },
            wait_ms,
        }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (
        any::<u64>(),
        any::<u32>(),
        proptest::collection::vec(part(), 0..6),
    )
        .prop_map(|(store, run, parts)| Message {
            header: Header {
                epoch: 1,
                digest: 2,
                life: Life {
                    store,
                    incarnation: 1,
                },
                seen: Seen {
                    run,
                    nonce: 4,
                    written: 5,
                },
                restored: 3,
                voting: true,
                clock: Time(6),
                echo: None,
            },
            parts,
        })
}

fn state() -> impl Strategy<Value = DurableState> {
    let record = (
        any::<u32>(),
        ballot(),
        purpose(),
        proptest::option::of(accepted()),
    )
        .prop_map(|(ticket, promised, promised_for, accepted)| TicketRecord {
            ticket: TicketId(ticket),
            promised,
            promised_for,
            accepted,
            max_term: Term(8),
            owed: Some(Owed {
                owner: MemberId(1),
                term: Term(8),
                span_ms: Some(9),
            }),
            resigned: Term::NONE,
            hold_agreed: Term::NONE,
            lapsed: Term::NONE,
            forgotten: promised,
        });
    proptest::collection::vec(record, 0..8).prop_map(|tickets| DurableState {
        member: MemberId(1),
        store: 2,
        incarnation: 3,
        voting: true,
        run: 4,
        written: 5,
        recovery_epoch: 6,
        unsettled: 0,
        tickets,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_comes_back(message in message()) {
        let bytes = wire::encode_message(&message);
        prop_assert_eq!(wire::decode_message(&bytes), Ok(message));
    }

    #[test]
    fn a_state_comes_back(state in state()) {
        let bytes = wire::encode_state(&state);
        prop_assert_eq!(wire::decode_state(&bytes), Ok(state));
    }

    #[test]
    fn a_state_is_no_message(state in state()) {
        let bytes = wire::encode_state(&state);
        prop_assert_eq!(wire::decode_message(&bytes), Err(wire::DecodeError::Kind));
    }

    #[test]
    fn a_flipped_bit_is_noticed(message in message(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = wire::encode_message(&message);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(wire::decode_message(&bytes).is_err());
    }

    #[test]
    fn a_cut_is_noticed(message in message(), at in any::<prop::sample::Index>()) {
        let bytes = wire::encode_message(&message);
        let at = at.index(bytes.len());
        prop_assert!(wire::decode_message(&bytes[..at]).is_err());
    }

    #[test]
    fn anything_else_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(wire::decode_message(&bytes).is_err());
        prop_assert!(wire::decode_state(&bytes).is_err());
    }

    /// Datagrams are packed by it: a part never takes more than it says.
    #[test]
    fn the_weight_of_a_part_is_not_exceeded(parts in proptest::collection::vec(part(), 1)) {
        let header = Header {
            epoch: u64::MAX, digest: u32::MAX,
            life: Life { store: u64::MAX, incarnation: u32::MAX },
            seen: Seen { run: u32::MAX, nonce: u32::MAX, written: u64::MAX },
            restored: u64::MAX, voting: true, clock: Time::NEVER, echo: None,
        };
        let weight: usize = parts.iter().map(Part::weight).sum();
        let empty = wire::encode_message(&Message { header, parts: Vec::new() }).len();
        let full = wire::encode_message(&Message { header, parts }).len();
        prop_assert!(full - empty <= weight + weight / 2, "{} > {}", full - empty, weight);
    }
}
