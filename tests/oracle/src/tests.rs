//! Each invariant can fail, and does not fail on the good history beside it.

use crate::{
    Answer, Ask, Checker, Entry, Event, History, HistoryError, Nanos, Setup, TicketSetup, check,
};

const S: Nanos = 1_000_000_000;

fn setup() -> Setup {
    let ticket = |name: &str, manual| TicketSetup {
        name: name.to_owned(),
        manual,
        stop_budget_ns: 2 * S,
        liveness_bound_ns: 30 * S,
    };
    Setup {
        sites: vec!["berlin".to_owned(), "paris".to_owned()],
        tickets: vec![ticket("db", false), ticket("web", true)],
        kill_after_thaw_ns: S / 10,
    }
}

fn history(events: &[(Nanos, Event)]) -> History {
    let entries = events
        .iter()
        .map(|&(at, event)| Entry { at: at * S, event })
        .collect();
    History {
        setup: setup(),
        entries,
    }
}

/// The invariants that fail on these events (seconds, event).
fn broken(events: &[(Nanos, Event)]) -> Vec<&'static str> {
    let mut names: Vec<_> = check(&history(events))
        .list()
        .iter()
        .map(|one| one.invariant)
        .collect();
    names.dedup();
    names
}

fn held(site: u16, term: u64, until: Nanos) -> Event {
    Event::Held {
        ticket: 0,
        site,
        term,
        until: Some(until * S),
    }
}

fn manual(site: u16, term: u64) -> Event {
    Event::Held {
        ticket: 1,
        site,
        term,
        until: None,
    }
}

fn released(site: u16, term: u64) -> Event {
    Event::Released {
        ticket: 0,
        site,
        term,
    }
}

fn started(site: u16, term: u64) -> Event {
    Event::Started {
        ticket: 0,
        site,
        resource: 0,
        term,
    }
}

fn ended(site: u16) -> Event {
    Event::Ended {
        ticket: 0,
        site,
        resource: 0,
    }
}

fn asked(request: u64, ask: Ask) -> Event {
    Event::Asked {
        request,
        ticket: 0,
        ask,
    }
}

fn done(request: u64) -> Event {
    Event::Answered {
        request,
        answer: Answer::Done,
        term: 0,
    }
}

#[test]
fn a_takeover_after_the_lease_is_good() {
    let events = [
        (0, held(0, 1, 10)),
        (1, started(0, 1)),
        (5, held(0, 1, 15)),
        (16, ended(0)),
        (20, held(1, 2, 30)),
        (20, started(1, 2)),
    ];
    assert_eq!(broken(&events), [""; 0]);
}

#[test]
fn two_holders_are_caught() {
    assert_eq!(
        broken(&[(0, held(0, 1, 10)), (9, held(1, 2, 20))]),
        ["one_holder"]
    );
    assert_eq!(
        broken(&[(0, held(0, 1, 10)), (10, held(1, 2, 20))]),
        [""; 0]
    );
    assert_eq!(
        broken(&[(0, manual(0, 1)), (9, manual(1, 2))]),
        ["one_holder"]
    );
}

#[test]
fn a_release_ends_the_claim_of_that_term_only() {
    let good = [
        (0, held(0, 1, 10)),
        (1, released(0, 1)),
        (2, held(1, 2, 20)),
    ];
    assert_eq!(broken(&good), [""; 0]);
    let stale = [
        (0, held(0, 5, 10)),
        (1, released(0, 1)),
        (2, held(1, 6, 20)),
    ];
    assert_eq!(broken(&stale), ["one_holder"]);
}

#[test]
fn a_forced_grant_is_the_operators_own_doing() {
    let forced = 1 << 52;
    assert_eq!(
        broken(&[(0, manual(0, 1)), (9, manual(1, forced))]),
        [""; 0]
    );
}

#[test]
fn running_at_two_sites_is_caught() {
    let events = [
        (0, held(0, 1, 10)),
        (0, started(0, 1)),
        (11, held(1, 2, 20)),
        (11, started(1, 2)),
        (12, ended(0)),
    ];
    assert_eq!(broken(&events), ["one_site"]);
}

#[test]
fn a_frozen_site_runs_nothing_but_must_be_swept_at_once() {
    let site = 0;
    let frozen = [
        (0, held(0, 1, 10)),
        (0, started(0, 1)),
        (5, Event::Frozen { site }),
        (15, held(1, 2, 40)),
        (15, started(1, 2)),
        (30, Event::Thawed { site }),
    ];
    let mut swept = frozen.to_vec();
    swept.push((30, ended(0)));
    swept.push((32, released(0, 1)));
    assert_eq!(broken(&swept), [""; 0]);
    let mut left = frozen.to_vec();
    left.push((31, ended(0)));
    assert_eq!(broken(&left), ["lease_binds"]);
    let valid = [
        (0, held(0, 1, 50)),
        (0, started(0, 1)),
        (5, Event::Frozen { site }),
        (15, started(1, 1)),
        (30, Event::Thawed { site }),
    ];
    assert!(broken(&valid).contains(&"one_site"));
}

#[test]
fn running_past_lease_and_budget_is_caught() {
    let events = [(0, held(0, 1, 10)), (0, started(0, 1)), (13, ended(0))];
    assert_eq!(broken(&events), ["lease_binds"]);
    let left_running = [(0, held(0, 1, 10)), (0, started(0, 1)), (13, Event::Healed)];
    assert_eq!(broken(&left_running), ["lease_binds"]);
    let in_time = [(0, held(0, 1, 10)), (0, started(0, 1)), (12, ended(0))];
    assert_eq!(broken(&in_time), [""; 0]);
}

#[test]
fn adopting_what_runs_under_an_old_term_is_caught() {
    let events = [
        (0, held(0, 1, 10)),
        (0, started(0, 1)),
        (5, released(0, 1)),
        (6, held(0, 2, 20)),
        (15, ended(0)),
    ];
    assert_eq!(broken(&events), ["lease_binds"]);
}

#[test]
fn a_lapsed_term_that_is_revived_is_caught() {
    assert_eq!(
        broken(&[(0, held(0, 1, 10)), (11, held(0, 1, 20))]),
        ["lease_binds"]
    );
    assert_eq!(broken(&[(0, held(0, 1, 10)), (9, held(0, 1, 20))]), [""; 0]);
    let hold = |on| Event::Hold {
        ticket: 0,
        site: 0,
        on,
    };
    let events = [
        (0, held(0, 1, 10)),
        (1, hold(true)),
        (11, held(0, 1, 20)),
        (12, hold(false)),
    ];
    assert_eq!(broken(&events), [""; 0], "a hold suspends the end");
}

#[test]
fn a_start_without_a_lease_is_caught() {
    assert_eq!(
        broken(&[(0, started(0, 1)), (0, ended(0))]),
        ["lease_binds"]
    );
    let late = [(0, held(0, 1, 10)), (11, started(0, 1)), (12, ended(0))];
    assert_eq!(broken(&late), ["lease_binds"]);
}

#[test]
fn a_hold_suspends_the_deadline() {
    let hold = |on| Event::Hold {
        ticket: 0,
        site: 0,
        on,
    };
    let events = [
        (0, held(0, 1, 10)),
        (0, started(0, 1)),
        (5, hold(true)),
        (40, ended(0)),
    ];
    assert_eq!(broken(&events), [""; 0]);
}

#[test]
fn a_term_that_does_not_grow_is_caught() {
    assert_eq!(
        broken(&[(0, held(0, 3, 10)), (11, held(1, 2, 20))]),
        ["term_grows"]
    );
    assert_eq!(
        broken(&[(0, held(0, 3, 10)), (11, held(1, 3, 20))]),
        ["term_grows"]
    );
}

#[test]
fn a_revoked_ticket_that_comes_back_is_caught() {
    let told = |request, answer| Event::Answered {
        request,
        answer,
        term: 0,
    };
    let mut events = vec![
        (0, held(0, 1, 10)),
        (1, asked(1, Ask::Grant { to: 1 })),
        (2, asked(2, Ask::Revoke)),
        (3, released(0, 1)),
        (4, done(2)),
        (20, held(1, 2, 30)),
    ];
    assert_eq!(
        broken(&events),
        [""; 0],
        "the grant was under way beside it"
    );
    events.insert(2, (1, told(1, Answer::Unknown)));
    assert_eq!(
        broken(&events),
        ["acknowledged"],
        "the grant was over before the revoke"
    );
    events.insert(6, (5, asked(3, Ask::Grant { to: 1 })));
    assert_eq!(broken(&events), [""; 0]);
    events.insert(7, (6, told(3, Answer::Refused)));
    assert_eq!(
        broken(&events),
        ["acknowledged"],
        "a refused grant changes nothing"
    );
}

/// Site 0 was paused as a whole until after its lease and the next holder's revoke. What it finds
/// running is killed at once, which is not the revoke's affair; while its lease is good, it is.
#[test]
fn what_a_resumed_site_finds_past_its_lease_is_not_what_was_revoked() {
    let history = |until| {
        vec![
            (0, held(0, 1, until)),
            (0, started(0, 1)),
            (1, Event::Frozen { site: 0 }),
            (1, asked(2, Ask::Revoke)),
            (6, Event::Thawed { site: 0 }),
            (6, done(2)),
            (6, ended(0)),
        ]
    };
    assert_eq!(broken(&history(5)), [""; 0]);
    assert_eq!(broken(&history(10)), ["acknowledged"]);
}

/// Site 0 holds a manual ticket and was left behind by a forced grant to site 1, which was revoked.
#[test]
fn who_was_left_behind_goes_on_after_the_revoke_and_nobody_comes_back() {
    let forced = 1 << 52;
    let release = |site, term| Event::Released {
        ticket: 1,
        site,
        term,
    };
    let ask = |request, ask| Event::Asked {
        request,
        ticket: 1,
        ask,
    };
    let mut events = vec![
        (0, manual(0, 1)),
        (1, ask(1, Ask::Grant { to: 1 })),
        (2, manual(1, forced)),
        (3, done(1)),
        (4, ask(2, Ask::Revoke)),
        (5, release(1, forced)),
        (6, done(2)),
        (9, manual(0, 1)),
    ];
    assert_eq!(broken(&events), [""; 0], "it never ceased to claim");
    events.insert(7, (7, release(0, 1)));
    assert_eq!(broken(&events), ["acknowledged"], "it comes back");
    events.pop();
    events.push((9, manual(1, forced)));
    assert_eq!(
        broken(&events),
        ["acknowledged"],
        "what was revoked is back"
    );
}

#[test]
fn a_revoke_of_a_forced_grant_says_nothing_of_who_was_left_behind() {
    let mut events = vec![
        (0, held(0, 1, 10)),
        (0, started(0, 1)),
        (2, asked(2, Ask::Revoke)),
        (4, done(2)),
        (5, ended(0)),
    ];
    assert_eq!(broken(&events), ["acknowledged"]);
    let (request, answer) = (2, Answer::Done);
    let term = 1 << 52;
    events[3].1 = Event::Answered {
        request,
        answer,
        term,
    };
    assert_eq!(broken(&events), [""; 0]);
}

#[test]
fn a_grant_asked_beside_a_revoke_may_come_after_it() {
    let mut events = vec![
        (0, held(0, 1, 10)),
        (1, asked(1, Ask::Grant { to: 0 })),
        (2, asked(2, Ask::Revoke)),
        (3, released(0, 1)),
        (5, held(0, 2, 20)),
        (6, done(2)),
    ];
    assert_eq!(broken(&events), [""; 0]);
    events.remove(1);
    assert_eq!(broken(&events), ["acknowledged"]);
}

#[test]
fn a_revoke_agreed_only_keeps_the_ticket_from_others() {
    let agreed = Event::Answered {
        request: 2,
        answer: Answer::Agreed,
        term: 2,
    };
    let mut events = vec![
        (0, held(0, 1, 10)),
        (2, asked(2, Ask::Revoke)),
        (4, agreed),
        (5, held(0, 1, 12)),
    ];
    assert_eq!(
        broken(&events),
        [""; 0],
        "the holder may not have heard yet"
    );
    events.push((13, held(0, 2, 20)));
    assert_eq!(
        broken(&events),
        [""; 0],
        "nor may who was granted the very term that was revoked"
    );
    events.push((25, held(1, 3, 30)));
    assert_eq!(broken(&events), ["acknowledged"]);
}

#[test]
fn a_revoke_reported_done_too_early_is_caught() {
    let holds = [
        (0, held(0, 1, 10)),
        (2, asked(2, Ask::Revoke)),
        (4, done(2)),
    ];
    assert_eq!(broken(&holds), ["acknowledged"]);
    let runs = [
        (0, held(0, 1, 10)),
        (0, started(0, 1)),
        (2, asked(2, Ask::Revoke)),
        (3, released(0, 1)),
        (4, done(2)),
        (5, ended(0)),
    ];
    assert_eq!(broken(&runs), ["acknowledged"]);
}

#[test]
fn a_grant_or_move_reported_done_without_a_claim_is_caught() {
    let ask = Ask::Grant { to: 1 };
    assert_eq!(
        broken(&[(1, asked(1, ask)), (2, done(1))]),
        ["acknowledged"]
    );
    let ask = Ask::Move { to: 1 };
    assert_eq!(broken(&[(1, asked(1, ask)), (2, done(1))]), ["one_owner"]);
    let good = [(1, asked(1, ask)), (2, held(1, 1, 9)), (3, done(1))];
    assert_eq!(broken(&good), [""; 0]);
    // The target had it before: lost again before its word arrived, or before anybody asked.
    let held_when_asked = [(1, held(1, 1, 3)), (2, asked(1, ask)), (4, done(1))];
    assert_eq!(broken(&held_when_asked), [""; 0]);
    let over_when_asked = [(1, held(1, 1, 3)), (4, asked(1, ask)), (5, done(1))];
    assert_eq!(broken(&over_when_asked), ["one_owner"]);
}

#[test]
fn a_standby_left_behind_is_caught() {
    let mark = |on| Event::StandbyMark {
        ticket: 0,
        site: 0,
        on,
    };
    let excused = Event::Excused { ticket: 0 };
    let events = [(0, mark(true)), (1, Event::Healed), (1, excused)];
    assert_eq!(broken(&events), ["one_owner"]);
    let cleared = [
        (0, mark(true)),
        (1, mark(false)),
        (1, Event::Healed),
        (1, excused),
    ];
    assert_eq!(broken(&cleared), [""; 0]);
    let wanted = [
        (0, asked(1, Ask::Standby { on: true })),
        (0, mark(true)),
        (1, Event::Healed),
        (1, excused),
    ];
    assert_eq!(broken(&wanted), [""; 0]);
}

#[test]
fn an_answer_before_the_disk_is_caught() {
    let stored = |promised, accepted, seq| Event::Stored {
        member: 2,
        ticket: 0,
        promised,
        accepted,
        seq,
    };
    let promise = Event::Promised {
        member: 2,
        ticket: 0,
        ballot: 7,
    };
    let accept = Event::Accepted {
        member: 2,
        ticket: 0,
        ballot: 7,
        seq: 5,
    };
    assert_eq!(broken(&[(1, promise)]), ["durable_first"]);
    assert_eq!(broken(&[(0, stored(7, 0, 0)), (1, promise)]), [""; 0]);
    assert_eq!(
        broken(&[(0, stored(7, 0, 0)), (1, accept)]),
        ["durable_first"]
    );
    assert_eq!(
        broken(&[(0, stored(7, 7, 4)), (1, accept)]),
        ["durable_first"]
    );
    assert_eq!(broken(&[(0, stored(7, 7, 5)), (1, accept)]), [""; 0]);
    let forgot = Event::Forgot { member: 2 };
    assert_eq!(
        broken(&[(0, stored(7, 7, 5)), (1, forgot), (2, accept)]),
        ["durable_first"]
    );
}

#[test]
fn no_holder_after_healing_is_caught() {
    let mut events = vec![(0, Event::Healed), (31, released(0, 0))];
    assert_eq!(broken(&events), ["liveness"]);
    events[1] = (29, released(0, 0));
    assert_eq!(broken(&events), [""; 0], "the bound is not over");
    let held_and_runs = [(0, Event::Healed), (5, held(0, 1, 50)), (31, started(0, 1))];
    assert_eq!(broken(&held_and_runs), [""; 0]);
    let held_only = [(0, Event::Healed), (31, held(0, 1, 50))];
    assert_eq!(broken(&held_only), ["liveness"]);
    let excused = [
        (0, Event::Healed),
        (1, Event::Excused { ticket: 0 }),
        (31, released(0, 0)),
    ];
    assert_eq!(broken(&excused), [""; 0]);
}

#[test]
fn a_stale_write_that_was_taken_is_caught() {
    let wrote = |term, accepted| Event::Wrote {
        ticket: 0,
        site: 0,
        term,
        accepted,
    };
    assert_eq!(
        broken(&[(0, wrote(2, true)), (1, wrote(1, true))]),
        ["fenced_store"]
    );
    assert_eq!(
        broken(&[(0, wrote(2, true)), (1, wrote(1, false))]),
        [""; 0]
    );
}

#[test]
fn a_history_survives_its_file() {
    let good = history(&[
        (0, held(0, 1, 10)),
        (1, asked(1, Ask::Revoke)),
        (2, done(1)),
    ]);
    let mut file = Vec::new();
    good.write(&mut file).unwrap();
    assert_eq!(History::read(file.as_slice()).unwrap(), good);
}

#[test]
fn a_bad_history_says_which_line() {
    assert!(matches!(History::read(&b""[..]), Err(HistoryError::Empty)));
    let mut file = Vec::new();
    history(&[(5, held(0, 1, 10)), (1, held(0, 1, 10))])
        .write(&mut file)
        .unwrap();
    assert!(matches!(
        History::read(file.as_slice()),
        Err(HistoryError::Order(3))
    ));
    file.extend_from_slice(b"{\"at\":1}\n");
    file.drain(..file.iter().position(|&b| b == b'\n').unwrap() + 1);
    let text = History::read(file.as_slice()).unwrap_err().to_string();
    assert!(text.contains("line 1"), "{text}");
}

#[test]
#[should_panic(expected = "clock went back")]
fn a_clock_that_goes_back_is_refused() {
    let mut checker = Checker::new(setup());
    checker.observe(2, Event::Healed);
    checker.observe(1, Event::Healed);
}
