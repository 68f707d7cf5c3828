//! Planned moves, standby, hold.

use std::time::Duration;

use crate::world::*;
use ticket_protocol::{ClusterReport, Command, MemberId, Outcome, PhaseKind, Why};

fn granted() -> World {
    let mut world = World::new(auto());
    let id = world.grant(A, A);
    assert!(done(&world.run_while_pending(id)));
    world
}

/// No site is left in standby and no move is left over.
fn settled(world: &World) {
    let view = world.view(ARB);
    assert!(!view.tickets[0].standby);
    assert!(
        matches!(view.tickets[0].phase, PhaseKind::Granted),
        "{:?}\n{}",
        view.tickets[0],
        world.story()
    );
}

#[test]
fn moved() {
    let mut world = granted();
    let id = world.move_to(ARB, B);
    let start = world.now;
    let outcome = world.run_while_pending(id);
    assert!(done(&outcome), "{outcome:?}\n{}", world.story());
    assert_eq!(world.running(), Some(B));
    assert!(
        world.now.since(start) < Duration::from_millis(500),
        "{}",
        world.story()
    );
    world.run_for(secs(30));
    assert_eq!(world.running(), Some(B));
    settled(&world);
}

#[test]
fn not_moved_to_a_site_that_cannot_run_it() {
    let mut world = granted();
    world.nodes[1].site.unfit = true;
    let id = world.move_to(A, B);
    let outcome = world.run_while_pending(id);
    assert!(
        matches!(&outcome, Outcome::Refused(r) if matches!(r.why, Why::TargetUnfit(_))),
        "{outcome:?}"
    );
    assert_eq!(world.running(), Some(A));
    assert!(!world.story().contains("Stop {"), "{}", world.story());
}

#[test]
fn rolled_back_when_the_stop_fails() {
    let mut world = granted();
    world.nodes[0].site.stop_fails = true;
    let id = world.move_to(B, B);
    let outcome = world.run_while_pending(id);
    assert!(
        matches!(&outcome, Outcome::Refused(r) if matches!(r.why, Why::StopFailed(_))),
        "{outcome:?}\n{}",
        world.story()
    );
    world.run_for(secs(20));
    assert_eq!(world.running(), Some(A));
    assert_eq!(world.terms.len(), 1);
    settled(&world);
}

#[test]
fn rolled_back_when_the_stop_hangs() {
    let mut world = granted();
    world.nodes[0].site.stop_hangs = true;
    let id = world.move_to(A, B);
    let outcome = world.run_while_pending(id);
    assert!(matches!(&outcome, Outcome::Refused(r) if matches!(r.why, Why::StopFailed(_))));
    world.run_for(secs(20));
    assert_eq!(world.running(), Some(A));
    settled(&world);
}

#[test]
fn a_late_confirmation_of_an_earlier_stop_counts_for_nothing() {
    let mut world = granted();
    world.nodes[0].site.stop_hangs = true;
    let id = world.move_to(A, B);
    world.run_while_pending(id);
    let stop = ticket_protocol::StopId((1 << 32) | 1);
    let term = world.terms[0];
    world.move_to(A, B);
    world.run_for(secs(1));
    world.report(
        A,
        ClusterReport::Stopped {
            ticket: ticket(),
            term,
            stop,
            result: Ok(()),
        },
    );
    world.run_for(secs(1));
    assert_eq!(world.running(), Some(A), "{}", world.story());
    assert_eq!(world.terms.len(), 1);
}

#[test]
fn goes_back_when_the_target_cannot_start() {
    let mut world = granted();
    world.nodes[1].site.grant_fails = true;
    let id = world.move_to(A, B);
    let outcome = world.run_while_pending(id);
    assert!(
        matches!(&outcome, Outcome::Refused(r) if matches!(r.why, Why::StartFailed(_))),
        "{outcome:?}\n{}",
        world.story()
    );
    world.run_for(secs(20));
    assert_eq!(world.running(), Some(A), "{}", world.story());
    settled(&world);
}

/// Every process dies at every moment of a move: at most one owner, and in the end one.
#[test]
fn killed_at_every_moment() {
    for victim in [A, B, ARB] {
        for restarts in [true, false] {
            for ms in (0..320).step_by(4) {
                let mut world = granted();
                world.move_to(B, B);
                world.run_for(Duration::from_millis(ms));
                world.crash(victim);
                world.run_for(Duration::from_millis(700));
                if restarts {
                    world.restart(victim);
                } else if victim != ARB {
                    // A dead site runs nothing once its guard has seen to it.
                    world.nodes[usize::from(victim.0)].site.stop_hangs = true;
                }
                world.run_for(secs(60));
                let holder = world.running();
                assert!(
                    holder.is_some(),
                    "{victim} {ms} {restarts}\n{}",
                    world.story()
                );
                assert!(restarts || holder != Some(victim));
                if victim != ARB || restarts {
                    let witness = if victim == B && !restarts { A } else { B };
                    let view = world.view(if restarts { ARB } else { witness });
                    assert!(!view.tickets[0].standby);
                    assert_eq!(
                        view.tickets[0].phase,
                        PhaseKind::Granted,
                        "{}",
                        world.story()
                    );
                }
            }
        }
    }
}

/// The holder dies while it stops for a move.
fn left_by_its_source(world: &mut World, asked: MemberId) -> ticket_protocol::RequestId {
    world.nodes[0].site.stop_hangs = true;
    let command = Command::Move {
        ticket: ticket(),
        to: B,
        wait: secs(300),
    };
    let id = world.command(asked, command);
    world.run_for(secs(1));
    assert_eq!(world.view(ARB).tickets[0].phase, PhaseKind::Moving);
    world.crash(A);
    id
}

/// The target takes the ticket over: what was wished for has come about, and whoever wished it is
/// told, long before the wait is over.
#[test]
fn a_move_whose_source_died_is_answered_when_its_target_has_the_ticket() {
    for asked in [B, ARB] {
        let mut world = granted();
        let id = left_by_its_source(&mut world, asked);
        let start = world.now;
        let outcome = world.run_while_pending(id);
        assert!(
            matches!(
                outcome,
                Outcome::Done {
                    owner: Some(B),
                    phase: PhaseKind::Granted,
                    ..
                }
            ),
            "{outcome:?}\n{}",
            world.story()
        );
        assert!(world.now.since(start) < secs(13), "{}", world.story());
        assert_eq!(world.running(), Some(B), "{}", world.story());
    }
}

/// A third site takes the ticket over, as source and target are both dead.
#[test]
fn a_move_whose_ticket_went_elsewhere_is_refused() {
    let (third, arbitrator) = (MemberId(2), MemberId(3));
    let mut world = World::sized(5, 2, auto());
    let id = world.grant(A, A);
    assert!(done(&world.run_while_pending(id)));
    let id = left_by_its_source(&mut world, arbitrator);
    world.crash(B);
    let start = world.now;
    let outcome = world.run_while_pending(id);
    assert!(
        matches!(&outcome, Outcome::Refused(r) if r.why == Why::Changed && r.holder == Some(third)),
        "{outcome:?}\n{}",
        world.story()
    );
    assert!(world.now.since(start) < secs(13), "{}", world.story());
}

/// A register that says that the target has the ticket does not say that anything runs there: its
/// agent was restarted too late to go on.
#[test]
fn a_move_to_its_holder_is_done_when_it_runs_there() {
    let mut world = granted();
    let id = world.move_to(ARB, A);
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    world.crash(A);
    world.run_for(secs(8));
    assert_eq!(
        world.running(),
        None,
        "its lease is over: {}",
        world.story()
    );
    world.restart(A);
    let id = world.move_to(ARB, A);
    // `SameSite` would be told as done.
    match world.run_while_pending(id) {
        Outcome::Refused(refused) => assert_ne!(refused.why, Why::SameSite),
        outcome => {
            assert!(done(&outcome), "{outcome:?}\n{}", world.story());
            assert_eq!(world.running(), Some(A), "{}", world.story());
        }
    }
}

/// The source's disk and its answers are slow at every moment of a move: what it is told in the end
/// is what has become of the ticket.
#[test]
fn deaf_at_every_moment() {
    for ms in 0..120 {
        let mut world = granted();
        let id = world.move_to(A, B);
        world.run_for(Duration::from_millis(ms));
        world.cuts.extend([(B, A), (ARB, A)]);
        world.run_for(secs(2));
        world.heal();
        let outcome = world.run_while_pending(id);
        world.run_for(secs(30));
        assert!(
            done(&outcome) || world.running() == Some(A),
            "{ms} {outcome:?}\n{}",
            world.story()
        );
    }
}

#[test]
fn standby_and_activate() {
    let mut world = granted();
    let id = world.command(
        B,
        Command::Standby {
            ticket: ticket(),
            on: true,
            wait: secs(5),
        },
    );
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    assert!(world.nodes[0].site.standby);
    assert!(world.view(ARB).tickets[0].standby);
    let id = world.command(
        ARB,
        Command::Standby {
            ticket: ticket(),
            on: false,
            wait: secs(5),
        },
    );
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    assert!(!world.nodes[0].site.standby);
}

fn hold(world: &mut World, on: bool) {
    let term = *world.terms.last().expect("granted");
    let reason = "maintenance".to_owned();
    if !on {
        world.nodes[0].site.hold = false;
    }
    world.report(
        A,
        ClusterReport::Hold {
            ticket: ticket(),
            term,
            on,
            reason,
        },
    );
    world.run_for(secs(1));
}

#[test]
fn on_hold_neither_released_nor_taken_over() {
    let mut world = granted();
    hold(&mut world, true);
    assert!(world.nodes[0].site.hold, "{}", world.story());
    let id = world.move_to(ARB, B);
    let outcome = world.run_while_pending(id);
    assert!(
        matches!(&outcome, Outcome::Refused(r) if matches!(r.why, Why::OnHold(_))),
        "{outcome:?}"
    );
    let id = world.revoke(B, secs(5));
    let outcome = world.run_while_pending(id);
    assert!(matches!(&outcome, Outcome::Refused(r) if matches!(r.why, Why::OnHold(_))));
    world.isolate(A);
    world.run_for(secs(60));
    assert_eq!(world.running(), Some(A), "{}", world.story());
    assert_eq!(world.terms.len(), 1);
    world.heal();
    world.run_for(secs(10));
    hold(&mut world, false);
    world.run_for(secs(20));
    assert_eq!(world.running(), Some(A), "{}", world.story());
    assert_eq!(world.terms.len(), 1);
    assert_eq!(world.view(ARB).tickets[0].hold, None);
    let id = world.move_to(ARB, B);
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
}

#[test]
fn a_hold_that_is_not_agreed_leaves_the_deadline_in_force() {
    let mut world = granted();
    world.isolate(A);
    hold(&mut world, true);
    assert!(!world.nodes[0].site.hold);
    world.run_for(secs(30));
    assert_eq!(world.running(), Some(B), "{}", world.story());
}

#[test]
fn a_hold_lifted_after_the_lease_is_over_frees_the_ticket() {
    let mut world = granted();
    hold(&mut world, true);
    world.isolate(A);
    world.run_for(secs(30));
    hold(&mut world, false);
    world.run_for(secs(5));
    world.heal();
    world.run_for(secs(60));
    assert!(world.running().is_some(), "{}", world.story());
    let holder: Option<MemberId> = world.running();
    assert!(holder.is_some());
    assert_eq!(world.view(ARB).tickets[0].hold, None, "{}", world.story());
}
