//! Restarts, lost and rolled-back memories, manual tickets.

use std::time::Duration;

use crate::world::*;
use ticket_protocol::{
    ClusterReport, Command, Outcome, PhaseKind, Restored, TicketConfig, Voting, Why,
};

fn granted() -> World {
    let mut world = World::new(auto());
    let id = world.grant(A, A);
    assert!(done(&world.run_while_pending(id)));
    world
}

#[test]
fn a_restarted_holder_goes_on() {
    let mut world = granted();
    world.run_for(secs(3));
    world.restart(A);
    world.run_for(secs(30));
    assert_eq!(world.running(), Some(A), "{}", world.story());
    assert_eq!(world.terms.len(), 1, "{}", world.story());
    assert!(world.story().contains("Resumed"));
}

#[test]
fn a_restarted_holder_goes_on_while_the_other_site_is_down() {
    let mut world = granted();
    world.crash(B);
    world.run_for(secs(3));
    world.restart(A);
    world.run_for(secs(30));
    assert_eq!(world.terms.len(), 1, "{}", world.story());
    assert_eq!(world.running(), Some(A));
}

#[test]
fn an_arbitrator_restarted_during_a_cut_gives_no_second_lease() {
    let mut world = granted();
    world.cut(A, B);
    for _ in 0..10 {
        world.run_for(secs(7));
        world.restart(ARB);
    }
    world.run_for(secs(30));
    assert_eq!(world.terms.len(), 1, "{}", world.story());
    assert_eq!(world.running(), Some(A));
}

#[test]
fn an_arbitrator_without_memory_is_mute_until_both_others_have_told() {
    let mut world = granted();
    world.cut(A, B);
    world.run_for(secs(1));
    world.lose_disk(ARB);
    // Neither A nor B alone is a majority while it is mute.
    world.run_for(secs(10));
    assert_eq!(world.terms.len(), 1, "{}", world.story());
    assert_eq!(world.running(), None);
    world.run_for(secs(30));
    assert_eq!(world.view(ARB).voting, Voting::Yes, "{}", world.story());
    world.heal();
    world.run_for(secs(40));
    assert!(world.running().is_some(), "{}", world.story());
    assert_eq!(world.terms.len(), 2);
}

#[test]
fn without_both_others_it_stays_mute() {
    let mut world = granted();
    world.crash(B);
    world.lose_disk(ARB);
    world.run_for(secs(60));
    assert!(
        matches!(world.view(ARB).voting, Voting::Reading { .. }),
        "{}",
        world.story()
    );
    assert_eq!(world.running(), None);
    let reason = "B burnt down".to_owned();
    let id = world.command(ARB, Command::Recover { reason });
    assert!(done(&world.run_while_pending(id)));
    world.run_for(secs(60));
    assert_eq!(world.running(), Some(A), "{}", world.story());
    assert_eq!(world.terms[1].epoch(), 1, "{:?}", world.terms[1]);
}

#[test]
fn a_rolled_back_member_notices() {
    let mut world = granted();
    let old = world.nodes[2].disk.clone().unwrap();
    let id = world.revoke(B, secs(20));
    assert!(done(&world.run_while_pending(id)));
    world.run_for(secs(1));
    world.crash(ARB);
    world.start(ARB, Restored::State(old));
    world.run_for(secs(1));
    assert!(
        !matches!(world.view(ARB).voting, Voting::Yes),
        "{}",
        world.story()
    );
    world.run_for(secs(60));
    assert_eq!(world.view(ARB).voting, Voting::Yes, "{}", world.story());
    assert_eq!(world.running(), None);
}

#[test]
fn a_restarted_member_helps_again_at_once_when_all_confirm() {
    let mut world = granted();
    let id = world.revoke(A, secs(20));
    assert!(done(&world.run_while_pending(id)));
    world.restart(ARB);
    world.run_for(secs(1));
    world.crash(B);
    let id = world.grant(A, A);
    let start = world.now;
    let outcome = world.run_while_pending(id);
    assert!(done(&outcome), "{outcome:?}\n{}", world.story());
    assert!(world.now.since(start) < secs(2), "{}", world.story());
}

#[test]
fn all_restart() {
    let mut world = granted();
    for m in [A, B, ARB] {
        world.crash(m);
    }
    world.nodes[0].site.running = None;
    world.nodes[0].site.deadline = None;
    world.run_for(secs(1));
    for m in [A, B, ARB] {
        world.restart(m);
    }
    world.run_for(secs(60));
    assert!(world.running().is_some(), "{}", world.story());
}

/// The ticket is on hold at A, agreed.
fn hold(world: &mut World) {
    let term = world.terms[world.terms.len() - 1];
    let reason = "maintenance".to_owned();
    let report = ClusterReport::Hold {
        ticket: ticket(),
        term,
        on: true,
        reason,
    };
    world.report(A, report);
    world.run_for(secs(1));
    assert!(world.nodes[0].site.hold, "{}", world.story());
}

/// A's disk dies while its ticket is on hold. Everything is stopped, and its release begun, when A
/// dies again, before it had read back that the ticket was its own. Nobody else can end the hold.
#[test]
fn a_hold_is_ended_by_an_owner_that_began_its_release_without_a_memory() {
    let mut world = granted();
    hold(&mut world);
    world.lose_disk(A);
    world.run_for(secs(3));
    assert_ne!(world.view(A).voting, Voting::Yes, "{}", world.story());
    assert_eq!(world.running(), None, "{}", world.story());
    world.restart(A);
    world.run_for(secs(90));
    assert!(world.running().is_some(), "{}", world.story());
    assert_eq!(world.view(B).tickets[0].hold, None, "{}", world.story());
}

/// A runs its second term, on hold, when it comes back with a disk from the time of the first, and
/// what runs is no longer known to the guard. The stack obeys no order of the old term.
#[test]
fn what_runs_is_stopped_also_under_a_term_that_was_forgotten() {
    let mut world = granted();
    let old = world.nodes[0].disk.clone();
    let id = world.revoke(B, secs(20));
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    let id = world.grant(A, A);
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    hold(&mut world);
    world.nodes[0].site.unguarded = true;
    world.isolate(A);
    world.nodes[0].disk = old;
    world.restart(A);
    world.run_for(secs(1));
    world.heal();
    world.run_for(secs(90));
    assert_ne!(world.running(), None, "{}", world.story());
    assert_eq!(world.terms.len(), 3, "{}", world.story());
    assert_eq!(world.view(B).tickets[0].hold, None, "{}", world.story());
}

fn manual() -> World {
    let mut world = World::new(vec![TicketConfig::manual("db")]);
    let id = world.grant(A, A);
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    world
}

#[test]
fn a_manual_ticket_is_never_taken_over() {
    let mut world = manual();
    world.run_for(secs(100));
    assert_eq!(world.running(), Some(A));
    world.isolate(A);
    world.run_for(secs(100));
    assert_eq!(world.running(), Some(A));
    let id = world.grant(B, B);
    let outcome = world.run_while_pending(id);
    assert!(
        matches!(&outcome, Outcome::Refused(r) if r.why == Why::Granted && r.holder == Some(A)),
        "{outcome:?}"
    );
    let id = world.revoke(B, secs(3));
    let outcome = world.run_while_pending(id);
    assert!(
        matches!(
            outcome,
            Outcome::Pending {
                holder: A,
                may_run_for: None
            }
        ),
        "{outcome:?}\n{}",
        world.story()
    );
}

#[test]
fn a_manual_ticket_is_granted_elsewhere_after_its_release() {
    let mut world = manual();
    let id = world.revoke(B, secs(10));
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    let id = world.grant(ARB, B);
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    assert_eq!(world.running(), Some(B));
}

/// Its holder lost its memory and runs nothing any more: it says so when the ticket is revoked.
#[test]
fn a_manual_ticket_is_revoked_although_its_holder_forgot_it() {
    let mut world = manual();
    world.lose_disk(A);
    world.run_for(secs(60));
    assert_eq!(world.view(A).voting, Voting::Yes, "{}", world.story());
    assert_eq!(world.running(), None, "{}", world.story());
    let id = world.revoke(B, secs(10));
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    let id = world.grant(ARB, B);
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    assert_eq!(world.running(), Some(B));
}

#[test]
fn a_manual_ticket_is_moved() {
    let mut world = manual();
    let id = world.move_to(A, B);
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    assert_eq!(world.running(), Some(B));
}

#[test]
fn a_forced_grant_raises_the_epoch() {
    let mut world = manual();
    world.crash(A);
    world.nodes[0].site.running = None;
    let force = Some("A burnt down".to_owned());
    let id = world.command(
        B,
        Command::Grant {
            ticket: ticket(),
            to: B,
            wait: secs(10),
            force,
        },
    );
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    assert_eq!(world.running(), Some(B));
    assert_eq!(world.terms[1].epoch(), 1);
    assert!(world.view(B).tickets[0].forced.is_some());
}

#[test]
fn a_restarted_manual_holder_goes_on() {
    let mut world = manual();
    world.restart(A);
    world.run_for(secs(10));
    assert_eq!(world.running(), Some(A), "{}", world.story());
    assert_eq!(world.terms.len(), 1);
}

#[test]
fn a_value_lost_with_the_only_memory_of_it_is_not_believed_for_ever() {
    let mut world = granted();
    let id = world.revoke(A, secs(30));
    world.run_while_pending(id);
    // Another member proposed last, so A needs promises for a grant.
    let id = world.revoke(ARB, secs(30));
    world.run_while_pending(id);
    world.cut(A, B);
    world.grant(A, A);
    world.run_for(Duration::from_millis(15));
    // The arbitrator has promised, and A's own acceptor has the grant. Nobody else gets it, but B
    // hears of it when it asks.
    world.isolate(A);
    world.run_for(Duration::from_millis(5));
    world.heal();
    world.grant(B, A);
    world.run_for(Duration::from_millis(12));
    world.isolate(A);
    assert_eq!(
        world.view(B).tickets[0].phase,
        PhaseKind::Granted,
        "{}",
        world.story()
    );
    world.lose_disk(A);
    world.heal();
    world.run_for(secs(120));
    for m in [A, B] {
        let phase = world.view(m).tickets[0].phase;
        assert_eq!(phase, PhaseKind::Revoked, "{m:?}\n{}", world.story());
    }
    assert_eq!(world.running(), None, "{}", world.story());
}

/// Nobody holds the ticket, and any site may take it. The arbitrator is revoking it: its own
/// acceptor has that, both sites have heard of it, and nobody has stored it, when the arbitrator's
/// disk dies. The revoke never happened, and must not keep the sites from taking the ticket.
#[test]
fn a_revoke_lost_with_the_only_memory_of_it_keeps_nobody_away() {
    let mut world = granted();
    let vacant = |world: &World| world.view(ARB).tickets[0].phase == PhaseKind::Vacant;
    for m in [A, B] {
        world.nodes[usize::from(m.0)].site.grant_fails = true;
    }
    let (ticket, term) = (ticket(), world.terms[0]);
    let reason = "no node is healthy".to_owned();
    world.report(
        A,
        ClusterReport::Failed {
            ticket,
            term,
            reason,
        },
    );
    let end = world.now.after(secs(60));
    world.run_until(end, |world| world.terms.len() > 1 && vacant(world));
    assert!(vacant(&world), "{}", world.story());
    world.run_for(secs(1));
    world.revoke(ARB, secs(30));
    // Promised, and not yet proposed.
    world.run_for(Duration::from_millis(25));
    world.isolate(ARB);
    world.run_for(Duration::from_millis(5));
    world.heal();
    world.move_to(A, B);
    world.move_to(B, A);
    world.run_for(Duration::from_millis(12));
    for m in [A, B] {
        let phase = world.view(m).tickets[0].phase;
        assert_eq!(phase, PhaseKind::Revoked, "{m:?}\n{}", world.story());
        world.nodes[usize::from(m.0)].site.grant_fails = false;
    }
    world.lose_disk(ARB);
    world.run_for(secs(120));
    assert!(world.running().is_some(), "{}", world.story());
}

#[test]
fn a_disk_put_back_from_before_its_replacement_does_not_vote() {
    let mut world = granted();
    let old = world.nodes[1].disk.clone();
    world.lose_disk(B);
    world.run_for(secs(60));
    assert_eq!(world.view(B).voting, Voting::Yes, "{}", world.story());
    // Nobody that runs has ever met the store that comes back.
    for m in [A, ARB] {
        world.restart(m);
        world.run_for(secs(20));
    }
    world.nodes[1].disk = old;
    world.restart(B);
    world.run_for(Duration::from_millis(100));
    assert_ne!(world.view(B).voting, Voting::Yes, "{}", world.story());
    world.run_for(secs(60));
    assert_eq!(world.view(B).voting, Voting::Yes, "{}", world.story());
    assert_eq!(world.running(), Some(A), "{}", world.story());
}

/// How long a cluster takes to say what it holds, and some more.
const RECALLED: Duration = Duration::from_millis(100);

/// A comes back with a disk that still says that its hold is agreed (seed 1161709088). The hold is
/// over, its lease goes on, and nobody has told A yet that its memory is old: were the guard told to
/// hold now, nothing would end what runs there when the ticket is taken over.
#[test]
fn a_hold_that_is_over_is_not_brought_back_by_an_old_disk() {
    let mut world = granted();
    hold(&mut world);
    let old = world.nodes[0].disk.clone();
    let (ticket, term) = (ticket(), world.terms[0]);
    let reason = String::new();
    let over = ClusterReport::Hold {
        ticket,
        term,
        on: false,
        reason,
    };
    world.nodes[0].site.hold = false;
    world.report(A, over);
    world.run_for(secs(1));
    world.isolate(A);
    world.nodes[0].disk = old;
    world.restart(A);
    world.run_for(RECALLED);
    assert!(world.story().contains("Resumed"), "{}", world.story());
    assert!(!world.nodes[0].site.hold, "{}", world.story());
    world.heal();
    world.run_for(secs(60));
    assert!(!world.nodes[0].site.hold, "{}", world.story());
    assert!(world.running().is_some(), "{}", world.story());
}

/// A hold that lasts outlives the restart of its holder, and the new run says so once a majority
/// has said that it still lasts.
#[test]
fn a_hold_is_agreed_again_after_a_restart() {
    let mut world = granted();
    hold(&mut world);
    world.nodes[0].site.hold = false;
    world.restart(A);
    world.run_for(secs(5));
    assert!(world.nodes[0].site.hold, "{}", world.story());
    assert_eq!(world.running(), Some(A), "{}", world.story());
    assert_eq!(world.terms.len(), 1, "{}", world.story());
}

/// B was granted the ticket by its own proposal, and comes back with a disk from before it (seed
/// 1161687269). The only member that could say so hears nothing of it, but is heard.
#[test]
fn a_member_that_forgot_its_own_proposal_notices_when_it_hears_of_it() {
    let mut world = granted();
    let old = world.nodes[1].disk.clone();
    let id = world.revoke(A, secs(20));
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    world.cut(A, B);
    let id = world.grant(B, B);
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    world.cuts.insert((B, ARB));
    world.crash(B);
    world.nodes[1].site.running = None;
    world.nodes[1].disk = old;
    world.restart(B);
    world.run_for(secs(20));
    let forgot = "does not know it any more";
    assert!(world.story().contains(forgot), "{}", world.story());
    // What an earlier life proposed is no reason to begin anew for ever.
    world.heal();
    world.run_for(secs(60));
    assert_eq!(world.view(B).voting, Voting::Yes, "{}", world.story());
    assert_eq!(world.story().matches(forgot).count(), 1);
}

/// The arbitrator comes back with an old disk, and what it is told about that is lost.
#[test]
fn a_member_that_is_behind_is_told_so_until_it_has_heard_it() {
    let mut world = granted();
    let old = world.nodes[2].disk.clone();
    let id = world.revoke(A, secs(20));
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    for site in [A, B] {
        world.cuts.insert((site, ARB));
    }
    world.nodes[2].disk = old;
    world.crash(ARB);
    world.heal();
    world.restart(ARB);
    for site in [A, B] {
        world.cuts.insert((site, ARB));
    }
    world.run_for(Duration::from_millis(20));
    world.heal();
    for site in [A, B] {
        world.cuts.insert((ARB, site));
    }
    assert_eq!(world.view(ARB).voting, Voting::Yes, "{}", world.story());
    world.grant(A, A);
    world.run_for(Duration::from_millis(20));
    assert_ne!(world.view(ARB).voting, Voting::Yes, "{}", world.story());
}

/// A's manual ticket was forced away while its agent was down, and that grant is revoked (seed
/// 1161730165). A's new run hears of it before its cluster has said what it still runs.
#[test]
fn a_manual_holder_that_was_forced_away_does_not_claim_its_term_again() {
    let mut world = manual();
    let term = world.terms[0];
    world.crash(A);
    world.nodes[0].site.running = None;
    let force = Some("A is out of reach".to_owned());
    let (ticket, wait) = (ticket(), secs(10));
    let grant = Command::Grant {
        ticket,
        to: B,
        wait,
        force,
    };
    let id = world.command(B, grant);
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    let id = world.revoke(B, secs(10));
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    world.nodes[0].site.running = Some(term);
    let before = world.log.len();
    world.restart(A);
    world.run_for(secs(30));
    let claims = |(_, m, what): &&(_, _, String)| *m == A && what.starts_with("Grant {");
    let claims = world.log[before..].iter().filter(claims).count();
    assert_eq!(claims, 0, "{}", world.story());
    assert_eq!(world.running(), None, "{}", world.story());
}

/// A was cut off when it ended its hold, and its lease ran out: nobody else knows that the hold is
/// over. Both others have restarted, and refuse A for a while, which is not the hold's doing (seed
/// 1161718219).
#[test]
fn an_owner_that_ended_its_hold_alone_gets_its_ticket_back_soon() {
    let mut world = granted();
    hold(&mut world);
    world.isolate(A);
    world.nodes[0].site.hold = false;
    let (name, term) = (ticket(), world.terms[0]);
    let (on, reason) = (false, String::new());
    let ticket = name;
    let over = ClusterReport::Hold {
        ticket,
        term,
        on,
        reason,
    };
    world.report(A, over);
    world.run_for(secs(20));
    assert_eq!(world.running(), None, "{}", world.story());
    // Neither of the two is told by everybody that nothing of its memory is missing.
    world.cut(B, ARB);
    world.restart(B);
    world.restart(ARB);
    world.run_for(secs(1));
    world.cuts.retain(|&(from, to)| from != A && to != A);
    let healed = world.now;
    let end = healed.after(secs(40));
    world.run_until(end, |world| world.running().is_some());
    let took = world.now.since(healed);
    assert!(took < secs(20), "{took:?}\n{}", world.story());
}

/// The arbitrator comes back with an old disk, is told so, and dies before it has written that it
/// begins anew, again and again (seed 2000004063). Each start counts one write: soon it has written
/// as often as it had been seen to.
#[test]
fn a_member_that_is_behind_does_not_catch_up_by_restarting() {
    let mut world = granted();
    let old = world.nodes[2].disk.clone();
    let id = world.revoke(A, secs(20));
    assert!(done(&world.run_while_pending(id)), "{}", world.story());
    world.crash(ARB);
    world.nodes[2].disk = old;
    for start in 1..10 {
        world.restart(ARB);
        let end = world.now.after(secs(1));
        world.run_until(end, |world| world.view(ARB).voting != Voting::Yes);
        let voting = world.view(ARB).voting;
        assert_ne!(voting, Voting::Yes, "start {start}\n{}", world.story());
        world.crash(ARB);
    }
}
