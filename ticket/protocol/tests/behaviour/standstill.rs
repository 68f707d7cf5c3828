//! Machines whose time stood still.

use std::time::Duration;

use crate::world::*;
use ticket_protocol::Voting;

const PAUSE: Duration = Duration::from_secs(3);

fn granted() -> World {
    let mut world = World::new(auto());
    let id = world.grant(A, A);
    assert!(done(&world.run_while_pending(id)));
    world.run_for(secs(5));
    world
}

fn dropped(world: &World) -> bool {
    world.view(A).voting != Voting::Yes && world.running() != Some(A)
}

#[test]
fn two_clocks_that_went_on_end_the_lease() {
    let mut world = granted();
    world.go_on(&[B, ARB], PAUSE);
    world.run_for(secs(3));
    assert!(dropped(&world), "{}", world.story());
    assert!(world.story().contains("stood still for 3.0 s"));
    world.run_for(secs(60));
    assert_eq!(world.view(A).voting, Voting::Yes, "{}", world.story());
    assert_eq!(world.terms.len(), 2, "{}", world.story());
    assert!(world.running().is_some(), "{}", world.story());
}

#[test]
fn one_clock_that_went_on_is_believed_where_real_time_was_set_forward() {
    let mut world = granted();
    world.go_on(&[B], PAUSE);
    world.run_for(secs(3));
    assert!(!dropped(&world), "{}", world.story());
    world.set_forward(A);
    assert!(dropped(&world), "{}", world.story());
}

#[test]
fn one_clock_or_real_time_alone_may_be_wrong() {
    let mut world = granted();
    world.go_on(&[B], PAUSE);
    world.run_for(secs(100));
    world.set_forward(A);
    world.run_for(secs(100));
    for m in [A, B, ARB] {
        assert_eq!(world.view(m).voting, Voting::Yes, "{}", world.story());
    }
    assert_eq!(world.running(), Some(A), "{}", world.story());
    assert_eq!(world.terms.len(), 1, "{}", world.story());
}

/// What a site that was stopped finds is that all others went on; they find that it did not.
#[test]
fn nobody_doubts_its_own_clock_because_another_stood_still() {
    let mut world = granted();
    world.go_on(&[A, ARB], PAUSE);
    world.run_for(secs(60));
    for m in [A, ARB] {
        assert_eq!(world.view(m).voting, Voting::Yes, "{}", world.story());
    }
    assert_eq!(world.running(), Some(A), "{}", world.story());
}
