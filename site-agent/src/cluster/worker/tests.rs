//! What is left in a mailbox, and what is interrupted.

use ticket_protocol::{MemberId, StopCause, StopId};

use super::*;

fn ticket() -> TicketName {
    TicketName::from("db")
}

fn term(counter: u64) -> Term {
    Term::new(0, counter, MemberId(1))
}

fn grant(counter: u64) -> ClusterCommand {
    ClusterCommand::Grant {
        ticket: ticket(),
        term: term(counter),
        deadline: Some(Time(10)),
        standby: false,
    }
}

fn extend(counter: u64, deadline: u64) -> ClusterCommand {
    ClusterCommand::Extend {
        ticket: ticket(),
        term: term(counter),
        deadline: Time(deadline),
    }
}

fn stop(counter: u64, id: u64) -> ClusterCommand {
    ClusterCommand::Stop {
        ticket: ticket(),
        term: term(counter),
        stop: StopId(id),
        cause: StopCause::Revoke,
        deadline: None,
    }
}

fn withdraw(counter: u64) -> ClusterCommand {
    ClusterCommand::Withdraw {
        ticket: ticket(),
        term: term(counter),
    }
}

fn check() -> ClusterCommand {
    ClusterCommand::Check {
        ticket: ticket(),
        check: 1,
    }
}

#[test]
fn a_hanging_cluster_never_fills_the_mailbox() {
    let mut mailbox = Mailbox::default();
    assert!(mailbox.post(grant(1)));
    for round in 0..10_000 {
        assert!(
            !mailbox.post(extend(1, 10 + round)),
            "a renewal interrupts nothing"
        );
        mailbox.post(stop(1, round));
        mailbox.post(check());
    }
    assert_eq!(mailbox.waiting.len(), 4, "{:?}", mailbox.waiting);
    assert_eq!(mailbox.deadline, Some(Time(10_009)));
}

#[test]
fn the_end_of_a_term_drops_what_waits_of_it_and_keeps_questions() {
    let mut mailbox = Mailbox::default();
    mailbox.post(grant(1));
    mailbox.post(check());
    mailbox.post(extend(1, 20));
    assert!(mailbox.post(withdraw(1)), "what is being done is pointless");
    assert_eq!(mailbox.waiting, [check(), withdraw(1)]);
    assert_eq!((mailbox.granted, mailbox.deadline), (None, None));
    mailbox.post(grant(2));
    mailbox.post(withdraw(1));
    assert_eq!(
        mailbox.granted,
        Some(term(2)),
        "a late withdrawal is of the old term"
    );
    assert_eq!(mailbox.waiting, [check(), grant(2), withdraw(1)]);
}

#[test]
fn only_the_last_order_to_stop_counts() {
    let mut mailbox = Mailbox::default();
    mailbox.post(stop(1, 1));
    mailbox.post(ClusterCommand::Activate {
        ticket: ticket(),
        term: term(1),
        stop: StopId(1),
    });
    mailbox.post(stop(1, 2));
    assert_eq!(mailbox.waiting, [stop(1, 2)]);
}
