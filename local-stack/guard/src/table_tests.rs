use super::*;

fn arm(term: u64, deadline_ns: u64) -> Arm {
    Arm {
        ticket: "db".into(),
        term,
        deadline_ns,
        stop_budget_ns: 50,
        marker: format!("m{term}"),
        reset: false,
    }
}

fn deadline(term: u64, deadline_ns: u64) -> Deadline {
    Deadline {
        ticket: "db".into(),
        term,
        deadline_ns,
    }
}

fn holding(term: u64) -> Holding {
    Holding {
        ticket: "db".into(),
        term,
    }
}

#[test]
fn a_deadline_only_grows_and_acts_after_the_stop_budget() {
    let mut table = Table::default();
    assert_eq!(table.deadline(0, &deadline(3, 200)), Ok(200));
    assert_eq!(table.next_timeout(), None, "nothing is armed yet");
    assert_eq!(
        table.arm(10, &arm(3, 100)),
        Ok(200),
        "the later deadline counts"
    );
    assert_eq!(table.deadline(20, &deadline(3, 150)), Ok(200));
    assert_eq!(table.deadline(30, &deadline(3, 300)), Ok(300));
    assert_eq!(table.next_timeout(), Some(350));
    assert!(table.due(349).is_empty());
    assert_eq!(table.due(350).len(), 1);
    assert_eq!(table.due(351).len(), 1, "due until it is disarmed");
    table.disarm(&holding(3));
    assert!(table.due(352).is_empty());
}

#[test]
fn a_lapse_is_final_for_the_term_and_the_next_term_is_free() {
    let mut table = Table::default();
    table.arm(0, &arm(3, 100)).unwrap();
    let over = Err(Refused::Over {
        ticket: "db".into(),
        term: 3,
    });
    assert_eq!(table.deadline(100, &deadline(3, 500)), over);
    assert_eq!(table.arm(100, &arm(3, 500)), over);
    assert_eq!(
        table.hold(
            100,
            &Hold {
                ticket: "db".into(),
                term: 3,
                on: true
            }
        ),
        over.map(|_: u64| ())
    );
    assert_eq!(table.arm(101, &arm(4, 500)), Ok(500));
    assert_eq!(table.due(150).len(), 1, "the old term still ends");
    let stale = table.deadline(160, &deadline(3, 900));
    assert!(matches!(stale, Err(Refused::Stale { known: 4, .. })));
}

#[test]
fn an_arm_without_a_future_is_refused() {
    let mut table = Table::default();
    assert!(matches!(
        table.arm(100, &arm(3, 100)),
        Err(Refused::Over { .. })
    ));
    assert!(matches!(
        table.arm(
            0,
            &Arm {
                marker: "a,b".into(),
                ..arm(3, 9)
            }
        ),
        Err(Refused::Marker)
    ));
    assert!(matches!(
        table.arm(
            0,
            &Arm {
                marker: String::new(),
                ..arm(3, 9)
            }
        ),
        Err(Refused::Marker)
    ));
}

#[test]
fn a_hold_keeps_the_deadline_from_acting_and_its_end_does_not_revive_it() {
    let mut table = Table::default();
    table.arm(0, &arm(3, 100)).unwrap();
    table
        .hold(
            50,
            &Hold {
                ticket: "db".into(),
                term: 3,
                on: true,
            },
        )
        .unwrap();
    assert!(table.due(1000).is_empty());
    table
        .hold(
            1000,
            &Hold {
                ticket: "db".into(),
                term: 3,
                on: false,
            },
        )
        .unwrap();
    assert_eq!(table.due(1001).len(), 1);
}

#[test]
fn firing_does_not_wait_even_on_hold() {
    let mut table = Table::default();
    table.arm(0, &arm(3, 100)).unwrap();
    table
        .hold(
            1,
            &Hold {
                ticket: "db".into(),
                term: 3,
                on: true,
            },
        )
        .unwrap();
    table.fire(&holding(3)).unwrap();
    assert_eq!(table.due(2).len(), 1);
    assert!(matches!(
        table.fire(&holding(9)),
        Err(Refused::Unknown { .. })
    ));
}

#[test]
fn after_a_restart_everything_counts_as_over_until_the_agent_speaks() {
    let mut before = Table::default();
    before.arm(0, &arm(3, 100)).unwrap();
    let mut after = Table::restore(before.armed(), 1000);
    assert!(after.held(1000)[0].over);
    assert_eq!(after.next_timeout(), Some(1050));
    assert_eq!(after.deadline(1010, &deadline(3, 2000)), Ok(2000));
    assert!(!after.held(1010)[0].over);
    assert_eq!(after.next_timeout(), Some(2050));

    let mut silent = Table::restore(before.armed(), 1000);
    assert_eq!(silent.due(1050).len(), 1);
    assert!(silent.deadline(1051, &deadline(3, 2000)).is_err());
}

#[test]
fn a_ticket_that_moves_for_ever_needs_no_memory() {
    let mut table = Table::default();
    for term in 1..20_000 {
        table.arm(0, &arm(term, 100)).unwrap();
        table.disarm(&holding(term));
    }
    assert_eq!(table.held(0).len(), 1);
}
