//! A ticket's life with real daemons and a cluster that is a shell script.

use std::fs;

use rustix::process::Signal;
use ticket_admin::{Code, MemberState, TicketState, Verb, View};

use crate::cluster::{AUTO, Cluster};

fn holder(view: &View) -> Option<&str> {
    let ticket = view.tickets.first()?;
    match ticket.state {
        TicketState::Granted => ticket.holder.as_deref(),
        _ => None,
    }
}

#[test]
fn a_grant_reaches_the_cluster_and_is_read_back() {
    let cluster = Cluster::started(AUTO);
    let outcome = cluster.grant("db", "berlin");
    assert_eq!(outcome.holder.as_deref(), Some("berlin"));
    assert!(
        cluster
            .cluster_state("berlin", "db")
            .starts_with("granted ")
    );
    assert_eq!(cluster.cluster_state("paris", "db"), "");
    for member in ["arb", "berlin", "paris"] {
        cluster.await_view(member, "granted to berlin", |view| {
            holder(view) == Some("berlin")
        });
    }
}

#[test]
fn a_second_grant_is_refused_and_names_the_reason() {
    let cluster = Cluster::started(AUTO);
    cluster.grant("db", "berlin");
    let to = Some("paris".to_owned());
    let refused = cluster.act("paris", "db", Verb::Grant { to, force: None });
    assert_eq!(refused.expect_err("it is held").code, Code::Exists);
    let unknown = cluster.act("paris", "nothing", Verb::Revoke {});
    assert_eq!(unknown.expect_err("no such ticket").code, Code::NoSuch);
}

#[test]
fn a_killed_site_loses_the_ticket_to_the_other() {
    let mut cluster = Cluster::started(AUTO);
    cluster.grant("db", "berlin");
    cluster.kill("berlin");
    cluster.await_view("paris", "granted to paris", |view| {
        holder(view) == Some("paris")
    });
    cluster.await_cluster_state("paris", "db", |state| state.starts_with("granted "));
}

#[test]
fn a_killed_member_is_seen_when_somebody_looks() {
    let mut cluster = Cluster::started(AUTO);
    cluster.kill("arb");
    cluster.await_view("berlin", "arb to be silent", |view| {
        let arb = view.members.iter().find(|it| it.name == "arb");
        // Long before the link gives the connection up.
        view.votes.reachable == 2
            && arb.is_some_and(|it| it.state == MemberState::Up && it.why.is_some())
    });
}

#[test]
fn revoke_stops_and_stays() {
    let cluster = Cluster::started(AUTO);
    cluster.grant("db", "berlin");
    cluster
        .act("paris", "db", Verb::Revoke {})
        .expect("revoked");
    assert_eq!(cluster.cluster_state("berlin", "db"), "stopped");
    cluster.await_view("arb", "revoked", |view| {
        view.tickets[0].state == TicketState::Revoked
    });
    cluster.grant("db", "paris");
    assert!(cluster.cluster_state("paris", "db").starts_with("granted "));
}

#[test]
fn a_move_stops_before_it_starts() {
    let cluster = Cluster::started(AUTO);
    cluster.grant("db", "berlin");
    let to = "paris".to_owned();
    let moved = cluster.act("berlin", "db", Verb::Move { to });
    let moved = moved.unwrap_or_else(|failure| panic!("{failure:?}\n{}", cluster.logs()));
    assert_eq!(moved.holder.as_deref(), Some("paris"));
    assert!(moved.gap_ms.is_some(), "{moved:?}");
    assert_eq!(cluster.cluster_state("berlin", "db"), "stopped");
    assert!(cluster.cluster_state("paris", "db").starts_with("granted "));
}

#[test]
fn a_failing_stop_rolls_the_move_back() {
    let cluster = Cluster::started(AUTO);
    cluster.grant("db", "berlin");
    fs::write(cluster.home("berlin").join("cluster/fail"), "stop").expect("the switch");
    let to = "paris".to_owned();
    let failed = cluster.act("berlin", "db", Verb::Move { to });
    let failure = failed.expect_err("the stop fails");
    assert_ne!(failure.code, Code::Done);
    assert_eq!(cluster.cluster_state("paris", "db"), "");
}

#[test]
fn a_hanging_cluster_command_blocks_nothing() {
    let cluster = Cluster::started(AUTO);
    fs::write(cluster.home("berlin").join("cluster/hang"), "grant").expect("the switch");
    let to = Some("berlin".to_owned());
    let grant = std::thread::scope(|scope| {
        let grant = scope.spawn(|| cluster.act("berlin", "db", Verb::Grant { to, force: None }));
        // Meanwhile the daemon answers.
        cluster.await_view("berlin", "answered during the hang", |_| true);
        grant.join().expect("no panic")
    });
    assert!(grant.is_err(), "{grant:?}");
    assert!(
        !cluster
            .cluster_state("berlin", "db")
            .starts_with("granted ")
    );
}

#[test]
fn a_clean_stop_leaves_nothing_running_and_ends_well() {
    let mut cluster = Cluster::started(AUTO);
    cluster.grant("db", "berlin");
    cluster.signal("berlin", Signal::TERM);
    assert_eq!(cluster.ended("berlin"), Some(0));
    // No guard here: the agent itself stopped what nothing else would end.
    assert_eq!(cluster.cluster_state("berlin", "db"), "stopped");
    assert!(!cluster.home("berlin").join("run/berlin.sock").exists());
    cluster.await_view("paris", "granted to paris", |view| {
        holder(view) == Some("paris")
    });
}

#[test]
fn members_remember_across_a_restart() {
    let mut cluster = Cluster::started(AUTO);
    cluster.grant("db", "berlin");
    cluster.kill("arb");
    cluster.start("arb");
    let view = cluster.await_view("arb", "voting again", |view| {
        view.votes.reachable == view.votes.configured
    });
    assert!(view.alarms.is_empty(), "{:?}", view.alarms);
    cluster.await_view("arb", "granted to berlin", |view| {
        holder(view) == Some("berlin")
    });
    assert!(!cluster.home("arb").join("state/first-start").exists());
}

#[test]
fn a_reload_takes_good_files_and_keeps_the_old_against_bad_ones() {
    let cluster = Cluster::started(AUTO);
    let log = || fs::read_to_string(cluster.home("berlin").join("log")).unwrap_or_default();
    let await_log = |text: &str| {
        let until = std::time::Instant::now() + crate::cluster::PATIENCE;
        while !log().contains(text) {
            assert!(
                std::time::Instant::now() < until,
                "never {text:?}: {}",
                log()
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    cluster.signal("berlin", Signal::HUP);
    await_log("kind=\"reloaded\"");
    let file = cluster.home("berlin").join("interlock.toml");
    let good = fs::read_to_string(&file).expect("the configuration");
    fs::write(&file, good.clone() + "[ticket.web]\n").expect("another ticket");
    cluster.signal("berlin", Signal::HUP);
    await_log("tickets or timings changed");
    fs::write(&file, good + "[tickett.web]\n").expect("an unknown table");
    cluster.signal("berlin", Signal::HUP);
    await_log("tickett");
    cluster.grant("db", "berlin");
}
