//! The acceptor's transition table: every input in every state that matters.

use super::*;
use crate::value::{LeaseClass, Transfer};

const A: MemberId = MemberId(0);
const B: MemberId = MemberId(1);
const T5: Term = Term(5 << 12);
const T6: Term = Term((6 << 12) | 1);

fn ctx(now_s: u64) -> Context {
    Context {
        now: Time(now_s * 1_000_000_000),
        rules: Rules::default(),
        drift_ppm: 10_000,
        voting: true,
        restart_until: Time::ZERO,
        unsure_until: Time::ZERO,
    }
}

fn ballot(counter: u64, member: MemberId) -> Ballot {
    Ballot {
        counter,
        member: member.0,
    }
}

fn value(owner: MemberId, term: Term, phase: Phase) -> Value {
    Value {
        owner,
        term,
        phase,
        class: LeaseClass {
            lease_ms: 10_000,
            acquire_after_ms: 5_000,
        },
        standby: false,
        hold: None,
        forced: None,
        revokes: 0,
    }
}

fn offer(from: MemberId, counter: u64, seq: Seq, value: Value, purpose: Purpose) -> Offer {
    let lease = from == value.owner && value.is_renewed();
    let accepted = Accepted {
        ballot: ballot(counter, from),
        seq,
        value,
    };
    Offer {
        from,
        accepted,
        purpose,
        replaces: None,
        lease,
        release: None,
    }
}

/// Granted to A at second 100, with ballot 7: obliged until 100 + 15.15 s.
fn granted() -> Acceptor {
    let mut acceptor = Acceptor::new(TicketId(1));
    let now = ctx(100);
    assert_eq!(
        acceptor.prepare(&now, A, ballot(7, A), Purpose::Grant),
        Ok(true)
    );
    let grant = offer(A, 7, 1, value(A, T5, Phase::Granted), Purpose::Grant);
    assert_eq!(acceptor.accept(&now, grant), Ok(true));
    acceptor
}

#[test]
fn the_obligation_is_lease_and_wait_and_drift() {
    let acceptor = granted();
    let obligation = acceptor.obligation.unwrap();
    assert_eq!(obligation.until, Time(115_150_000_000));
    assert_eq!((obligation.owner, obligation.term), (A, T5));
    let owed = acceptor.record.owed.unwrap();
    assert_eq!((owed.owner, owed.term, owed.span_ms), (A, T5, Some(15_000)));
}

#[test]
fn prepare() {
    use Purpose::{Grant, Owner, Revoke, Takeover};
    for (second, counter, from, purpose, expected) in [
        (101, 6, B, Grant, Err(Reason::Passed)),
        (101, 8, B, Takeover, Err(Reason::Obliged)),
        (101, 8, B, Grant, Ok(true)),
        (101, 8, B, Revoke, Ok(true)),
        (101, 8, A, Owner, Ok(true)),
        (101, 8, A, Takeover, Ok(true)),
        (116, 8, B, Takeover, Ok(true)),
    ] {
        let mut acceptor = granted();
        let answer = acceptor.prepare(&ctx(second), from, ballot(counter, from), purpose);
        assert_eq!(answer, expected, "{second} {counter} {from} {purpose:?}");
    }
    let mute = Context {
        voting: false,
        ..ctx(101)
    };
    assert_eq!(
        granted().prepare(&mute, A, ballot(9, A), Owner),
        Err(Reason::Mute)
    );
}

#[test]
fn a_promise_is_repeated_but_not_reused() {
    let mut acceptor = granted();
    let now = ctx(101);
    assert_eq!(
        acceptor.prepare(&now, B, ballot(8, B), Purpose::Revoke),
        Ok(true)
    );
    assert_eq!(
        acceptor.prepare(&now, B, ballot(8, B), Purpose::Revoke),
        Ok(false)
    );
    assert_eq!(
        acceptor.prepare(&now, B, ballot(8, B), Purpose::Grant),
        Err(Reason::Purpose)
    );
    let grant = offer(B, 8, 1, value(B, T6, Phase::Granted), Purpose::Grant);
    assert_eq!(acceptor.accept(&ctx(200), grant), Err(Reason::Purpose));
    let grant = offer(B, 8, 1, value(B, T6, Phase::Granted), Purpose::Revoke);
    assert_eq!(acceptor.accept(&ctx(200), grant), Err(Reason::Purpose));
}

/// What an acceptor that granted to A at 100 s answers to an offer.
fn answer(second: u64, offer: Offer) -> Result<Changed, Reason> {
    granted().accept(&ctx(second), offer)
}

#[test]
fn accept_in_the_order_of_ballot_and_number() {
    let grant = |counter, seq, phase| offer(A, counter, seq, value(A, T5, phase), Purpose::Grant);
    let transfer = Transfer {
        id: 1,
        from: A,
        to: B,
        wait_ms: 1,
    };
    assert_eq!(
        answer(101, grant(6, 9, Phase::Granted)),
        Err(Reason::Passed)
    );
    assert_eq!(
        answer(101, grant(7, 0, Phase::Granted)),
        Err(Reason::Passed)
    );
    assert_eq!(answer(101, grant(7, 1, Phase::Granted)), Ok(false));
    assert_eq!(answer(101, grant(7, 2, Phase::Moving(transfer))), Ok(true));
    assert_eq!(answer(101, grant(8, 1, Phase::Granted)), Ok(true));
}

#[test]
fn accept_another_owner_only_when_the_obligation_is_over_or_by_force() {
    let grant = |seq, purpose| offer(B, 8, seq, value(B, T6, Phase::Granted), purpose);
    for purpose in [Purpose::Grant, Purpose::Takeover] {
        assert_eq!(answer(101, grant(1, purpose)), Err(Reason::Obliged));
        assert_eq!(answer(115, grant(1, purpose)), Err(Reason::Obliged));
        assert_eq!(answer(116, grant(1, purpose)), Ok(true));
    }
    assert_eq!(answer(101, grant(1, Purpose::Force)), Ok(true));
    assert_eq!(answer(101, grant(2, Purpose::Force)), Err(Reason::Obliged));
    let again = offer(A, 8, 1, value(A, T6, Phase::Granted), Purpose::Owner);
    assert_eq!(answer(101, again), Ok(true));
}

#[test]
fn accept_a_revoke_at_once_and_its_end_only_after_the_obligation() {
    let revoke = |phase| offer(B, 8, 1, value(A, T5, phase), Purpose::Revoke);
    assert_eq!(answer(101, revoke(Phase::Revoking)), Ok(true));
    assert_eq!(answer(101, revoke(Phase::Revoked)), Err(Reason::Obliged));
    assert_eq!(answer(116, revoke(Phase::Revoked)), Ok(true));
    let unconfirmed = offer(A, 8, 1, value(A, T5, Phase::Vacant(None)), Purpose::Owner);
    assert_eq!(answer(101, unconfirmed), Err(Reason::Obliged));
}

#[test]
fn a_revoke_frees_nothing() {
    let mut acceptor = granted();
    let revoke = offer(B, 8, 1, value(A, T5, Phase::Revoking), Purpose::Revoke);
    assert_eq!(acceptor.accept(&ctx(101), revoke), Ok(true));
    assert_eq!(acceptor.obligation.unwrap().until, Time(115_150_000_000));
}

#[test]
fn the_obligation_is_a_maximum() {
    let mut acceptor = granted();
    let mut shorter = value(A, T5, Phase::Granted);
    shorter.class.lease_ms = 1000;
    assert_eq!(
        acceptor.accept(&ctx(101), offer(A, 7, 2, shorter, Purpose::Grant)),
        Ok(true)
    );
    assert_eq!(acceptor.obligation.unwrap().until, Time(115_150_000_000));
    assert_eq!(acceptor.record.owed.unwrap().span_ms, Some(15_000));
}

#[test]
fn a_release_ends_the_obligation_of_that_term_and_no_other() {
    for (from, term, ends) in [(A, T5, true), (A, Term(T5.0 - 4096), false), (B, T5, false)] {
        let mut acceptor = granted();
        assert_eq!(acceptor.release(Rules::default(), from, term), ends);
        assert_eq!(acceptor.obligation.is_none(), ends);
    }
}

#[test]
fn a_released_ticket_is_free_at_once() {
    let mut acceptor = granted();
    let mut release = offer(A, 7, 2, value(A, T5, Phase::Vacant(None)), Purpose::Grant);
    release.release = Some(T5);
    assert_eq!(acceptor.accept(&ctx(101), release), Ok(true));
    let grant = offer(B, 8, 1, value(B, T6, Phase::Granted), Purpose::Grant);
    assert_eq!(acceptor.accept(&ctx(101), grant), Ok(true));
}

#[test]
fn renew() {
    for (from, counter, seq, expected) in [
        (A, 7, 1, Ok(false)),
        (A, 7, 2, Err(Reason::Missing)),
        (A, 6, 1, Err(Reason::Passed)),
        (B, 7, 1, Err(Reason::Missing)),
    ] {
        let mut acceptor = granted();
        let answer = acceptor.renew(&ctx(110), from, ballot(counter, from), seq);
        assert_eq!(answer, expected, "{from} {counter} {seq}");
        let until = if expected.is_ok() {
            125_150_000_000
        } else {
            115_150_000_000
        };
        assert_eq!(acceptor.obligation.unwrap().until, Time(until));
    }
    let mut acceptor = granted();
    assert_eq!(
        acceptor.prepare(&ctx(101), B, ballot(8, B), Purpose::Revoke),
        Ok(true)
    );
    assert_eq!(
        acceptor.renew(&ctx(101), A, ballot(7, A), 1),
        Err(Reason::Passed)
    );
}

#[test]
fn a_hold_keeps_everybody_away_for_ever_but_not_from_an_acceptor_that_missed_its_end() {
    let mut acceptor = granted();
    let mut held = value(A, T5, Phase::Granted);
    held.hold = Some("maintenance".to_owned());
    assert_eq!(
        acceptor.accept(&ctx(101), offer(A, 7, 2, held, Purpose::Grant)),
        Ok(true)
    );
    let mut grant = offer(B, 8, 1, value(B, T6, Phase::Granted), Purpose::Grant);
    assert_eq!(
        acceptor.accept(&ctx(9999), grant.clone()),
        Err(Reason::OnHold)
    );
    grant.replaces = Some((ballot(7, A), 2));
    assert_eq!(
        acceptor.accept(&ctx(9999), grant.clone()),
        Err(Reason::OnHold)
    );
    grant.replaces = Some((ballot(7, A), 3));
    assert_eq!(
        acceptor.accept(&ctx(102), grant.clone()),
        Err(Reason::Obliged)
    );
    assert_eq!(acceptor.accept(&ctx(9999), grant), Ok(true));
}

#[test]
fn a_restarted_acceptor_counts_the_longest_span_again() {
    let acceptor = granted();
    let owed = acceptor.record.owed.unwrap();
    let longest = std::time::Duration::from_secs(60);
    let at = Time(1_000_000_000);
    let obligation = obligation::restarted(owed, longest, 10_000, Rules::default(), at);
    assert_eq!(obligation.until, Time(61_600_000_000));
    let manual = Owed {
        span_ms: None,
        ..owed
    };
    let obligation = obligation::restarted(manual, longest, 10_000, Rules::default(), at);
    assert_eq!(obligation.until, Time::NEVER);
}

#[test]
fn a_restarted_acceptor_takes_no_new_term_before_it_is_sure() {
    let mut acceptor = granted();
    acceptor.release(Rules::default(), A, T5);
    let unsure = Context {
        restart_until: Time(200_000_000_000),
        unsure_until: Time(102_000_000_000),
        ..ctx(101)
    };
    let owner = |counter| (A, ballot(counter, A), Purpose::Owner);
    let (from, higher, purpose) = owner(8);
    assert_eq!(
        acceptor.prepare(&unsure, from, higher, purpose),
        Err(Reason::Obliged)
    );
    let later = Context {
        now: Time(103_000_000_000),
        ..unsure
    };
    assert_eq!(acceptor.prepare(&later, from, higher, purpose), Ok(true));
    let grant = acceptor.prepare(&later, B, ballot(9, B), Purpose::Grant);
    assert_eq!(grant, Err(Reason::Obliged));
    let next = offer(A, 8, 1, value(A, T5, Phase::Granted), Purpose::Owner);
    assert_eq!(acceptor.accept(&later, next), Ok(true));
    let other = offer(A, 8, 2, value(A, T6, Phase::Granted), Purpose::Owner);
    assert_eq!(acceptor.accept(&later, other), Err(Reason::Obliged));
}

/// A member that lost its memory has read the register back, and owes nobody anything. The holder
/// sends the very value once more: that is stored, or a restart would forget whom it protects (seed
/// 2200000535).
#[test]
fn whom_a_recovered_acceptor_protects_again_is_stored() {
    let mut acceptor = granted();
    acceptor.record.owed = None;
    acceptor.obligation = None;
    let grant = offer(A, 7, 1, value(A, T5, Phase::Granted), Purpose::Grant);
    assert_eq!(acceptor.accept(&ctx(200), grant.clone()), Ok(true));
    assert_eq!(acceptor.record.owed.map(|owed| owed.owner), Some(A));
    assert_eq!(acceptor.accept(&ctx(201), grant), Ok(false));
}
