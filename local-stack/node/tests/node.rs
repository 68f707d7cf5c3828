//! Daemon and guard as real processes, with a small OCF agent, unprivileged.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod support;

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use stack_api::stack::{Answer, Do, ResourceState};
use stack_api::{ClientError, ErrorCode};
use support::{FAR, Node, SHORT, cib, until};

#[test]
fn without_tickets_it_needs_neither_guard_nor_agent() {
    let mut node = Node::new(&cib("", ""));
    node.start_alone();
    until("it runs", || {
        (node.state("web") == ResourceState::Started).then_some(())
    });
    assert_eq!(node.log(), ["start"]);
    node.tell("broken");
    until("it was recovered", || {
        node.log()
            .ends_with(&["stop".into(), "start".into()])
            .then_some(())
    });
    node.signal(Signal::TERM);
    assert!(node.wait().success());
    assert_eq!(node.log().last().unwrap(), "stop");
    assert!(!node.serves());
}

#[test]
fn the_same_cib_runs_with_tickets_off() {
    let mut node = Node::new(&cib("t", ""));
    node.start_with(&["--tickets", "off"]);
    until("it runs", || node.serves().then_some(()));
    let refused = node.ask(Do::Lease(node.lease(5, FAR)));
    assert!(matches!(refused, Err(ClientError::Refused(_))));
}

#[test]
fn it_starts_with_a_lease_and_stops_at_its_end() {
    let mut node = Node::new(&cib("t", ""));
    node.start_guarded();
    until("it was probed", || {
        (node.state("web") == ResourceState::Stopped).then_some(())
    });
    let lease = node.lease(5, SHORT);
    node.ask(Do::Lease(lease.clone())).unwrap();
    until("it runs", || node.ticket().started.then_some(()));
    let environment = fs::read_to_string(node.path("environment")).unwrap();
    for line in [
        "INTERLOCK_TICKET=t",
        "INTERLOCK_TERM=5",
        "OCF_RESKEY_CRM_meta_ticket_term=5",
    ] {
        assert!(
            environment.lines().any(|known| known == line),
            "{line} in {environment}"
        );
    }
    until("it is stopped", || node.ticket().quiet.then_some(()));
    assert!(
        node.now_ns() >= lease.deadline_ns.unwrap(),
        "before its end"
    );
    assert!(!node.serves());
    assert_eq!(node.log(), ["start", "stop"]);
    assert!(node.held().iter().all(|held| !held.armed));
}

#[test]
fn a_stop_before_a_release_is_confirmed() {
    let mut node = Node::new(&cib("t", ""));
    node.start_guarded();
    node.run_under(5, FAR);
    let mut lease = node.lease(5, FAR);
    (lease.generation, lease.stop) = (2, true);
    node.ask(Do::Lease(lease)).unwrap();
    until("it is quiet", || node.ticket().quiet.then_some(()));
    assert!(!node.serves());
}

#[test]
fn a_killed_daemon_leaves_it_running_and_the_next_adopts_it() {
    let mut node = Node::new(&cib("t", ""));
    node.start_guarded();
    node.run_under(5, FAR);
    let service = node.service_pid();
    node.signal(Signal::KILL);
    node.wait();
    assert!(node.serves());
    node.start_daemon();
    until("it is adopted", || node.ticket().started.then_some(()));
    assert_eq!(node.service_pid(), service, "restarted");
    assert_eq!(node.log(), ["start"]);
    // A new term is never an adoption.
    node.ask(Do::Lease(node.lease(6, FAR))).unwrap();
    until("it was replaced", || {
        (node.log() == ["start", "stop", "start"]).then_some(())
    });
}

#[test]
fn after_a_restart_without_a_valid_lease_it_is_stopped() {
    let mut node = Node::new(&cib("t", ""));
    node.start_guarded();
    node.run_under(5, FAR);
    node.signal(Signal::KILL);
    node.wait();
    // Another state directory's guard knows nothing of the term.
    node.restart_guard_empty();
    node.start_daemon();
    until("it is stopped", || node.ticket().quiet.then_some(()));
    assert_eq!(node.log(), ["start", "stop"]);
}

#[test]
fn the_guard_ends_it_when_the_daemon_is_paused() {
    let mut node = Node::new(&cib("t", ""));
    node.start_guarded();
    let deadline_ns = node.run_under(5, SHORT);
    node.signal(Signal::STOP);
    until("the service is gone", || (!node.serves()).then_some(()));
    assert!(node.now_ns() >= deadline_ns, "before its end");
    node.signal(Signal::CONT);
    until("it is quiet", || node.ticket().quiet.then_some(()));
}

#[test]
fn the_guard_ends_what_a_killed_daemon_left() {
    let mut node = Node::new(&cib("t", ""));
    node.start_guarded();
    node.run_under(5, SHORT);
    node.signal(Signal::KILL);
    until("the service is gone", || (!node.serves()).then_some(()));
}

#[test]
fn a_hung_stop_is_ended_by_the_guard_and_found_out() {
    let mut node = Node::new(&cib("t", ""));
    node.start_guarded();
    node.run_under(5, SHORT);
    node.tell("hang-stop");
    until("it is quiet", || node.ticket().quiet.then_some(()));
    assert!(!node.serves());
}

#[test]
fn a_hung_start_does_not_outlive_its_lease() {
    let mut node = Node::new(&cib("t", ""));
    node.tell("hang-start");
    node.start_guarded();
    node.ask(Do::Lease(node.lease(5, SHORT))).unwrap();
    until("it is starting", || {
        (node.state("web") == ResourceState::Starting).then_some(())
    });
    until("it is quiet", || node.ticket().quiet.then_some(()));
}

#[test]
fn a_dead_guard_means_a_stop() {
    let mut node = Node::new(&cib("t", ""));
    node.start_guarded();
    node.run_under(5, FAR);
    node.kill_guard();
    until("it is quiet", || node.ticket().quiet.then_some(()));
    assert!(node.ticket().problems[0].contains("no guard"));
    assert_eq!(node.log(), ["start", "stop"]);
}

#[test]
fn a_new_configuration_is_on_disk_before_it_is_answered() {
    let mut node = Node::new(&cib("", ""));
    node.start_alone();
    until("it runs", || node.serves().then_some(()));
    let stopped = r#"<meta_attributes id="m"><nvpair id="m1" name="target-role" value="Stopped"/></meta_attributes>"#;
    let answer = node
        .ask(Do::CibReplace {
            xml: cib("", stopped),
            force: None,
        })
        .unwrap();
    assert!(matches!(answer, Answer::Replaced { .. }));
    assert!(
        fs::read_to_string(node.path("cib.xml"))
            .unwrap()
            .contains("target-role")
    );
    until("it is stopped", || (!node.serves()).then_some(()));
    for (xml, code) in [
        ("this is not XML".to_owned(), ErrorCode::Data),
        ("<cib/>".to_owned(), ErrorCode::Data),
        (
            cib("", "").replace("epoch=\"1\"", "epoch=\"0\""),
            ErrorCode::Old,
        ),
    ] {
        let refused = node.ask(Do::CibReplace { xml, force: None });
        assert!(
            matches!(&refused, Err(ClientError::Refused(body)) if body.code == code),
            "{refused:?}"
        );
    }
    assert!(
        fs::read_to_string(node.path("cib.xml"))
            .unwrap()
            .contains("target-role")
    );
}

#[test]
fn a_configuration_that_cannot_be_written_is_refused_as_a_whole() {
    let mut node = Node::new(&cib("", ""));
    node.start_alone();
    until("it runs", || node.serves().then_some(()));
    let before = fs::read(node.path("cib.xml")).unwrap();
    // As on a full disk: the new file cannot be made.
    fs::create_dir(node.path("cib.new")).unwrap();
    let stopped = r#"<meta_attributes id="m"><nvpair id="m1" name="target-role" value="Stopped"/></meta_attributes>"#;
    let refused = node.ask(Do::CibReplace {
        xml: cib("", stopped),
        force: None,
    });
    let Err(ClientError::Refused(body)) = &refused else {
        panic!("{refused:?}");
    };
    assert!(body.message.contains("cib.new"), "{body:?}");
    assert_eq!(fs::read(node.path("cib.xml")).unwrap(), before);
    let Answer::Cib { xml } = node.ask(Do::CibQuery { scope: None }).unwrap() else {
        panic!("no configuration");
    };
    assert!(!xml.contains("target-role"), "half applied");
    assert!(node.serves());
}

#[test]
fn bad_agents_are_named_in_the_status() {
    for (agent, what) in [
        ("missing", "ocf:test:missing is not installed"),
        ("plain", "not executable"),
        ("garbage", "exit code"),
    ] {
        let mut node =
            Node::new(&cib("", "").replace("type=\"web\"", &format!("type=\"{agent}\"")));
        node.start_alone();
        let failure = until("it is named", || {
            node.status()
                .resources
                .into_iter()
                .find_map(|resource| resource.last_failure)
        });
        assert!(failure.contains(what), "{failure}");
        node.signal(Signal::KILL);
    }
}

#[test]
fn a_cib_that_is_not_one_keeps_the_daemon_from_starting() {
    let mut node = Node::new("<cib><configuration>");
    node.spawn_daemon(&[]);
    assert_eq!(node.wait().code(), Some(65));
}

#[test]
fn verbs_print_and_exit() {
    let mut node = Node::new(&cib("", ""));
    let (code, _, err) = node.verb(&["status"]);
    assert_eq!(code, 102, "{err}");
    node.start_alone();
    until("it runs", || {
        (node.state("web") == ResourceState::Started).then_some(())
    });
    let (code, out, _) = node.verb(&["status"]);
    assert_eq!(code, 0);
    assert!(out.contains("web (ocf:test:web): started"), "{out}");
    let (_, json, _) = node.verb(&["status", "--output-as", "json"]);
    assert!(json.starts_with("{\"status\":{"), "{json}");
    let (code, out, _) = node.verb(&["cib", "query", "--scope", "resources"]);
    assert!(code == 0 && out.starts_with("<resources"), "{out}");
    let (code, out, err) = node.verb(&["explain", "web"]);
    assert!(code == 0 && out.starts_with("web runs on n"), "{out}{err}");
    assert_eq!(node.verb(&["explain", "nope"]).0, 105);
    assert_eq!(node.verb(&["resource", "cleanup", "nope"]).0, 105);
    assert_eq!(node.verb(&["resource", "cleanup", "web"]).0, 0);
    assert_eq!(node.verb(&["frobnicate"]).0, 64);
    assert_eq!(node.verb(&["shutdown"]).0, 0);
    assert!(node.wait().success());
    assert!(!node.serves());
    std::thread::sleep(Duration::from_millis(1));
}

#[test]
fn a_service_that_hides_is_still_ended() {
    let mut node = Node::new(&cib("t", ""));
    node.tell("hide");
    node.start_guarded();
    node.run_under(5, SHORT);
    node.signal(Signal::KILL);
    until("the service is gone", || (!node.serves()).then_some(()));
}

#[test]
fn a_ticket_can_come_back_after_a_hung_start() {
    let mut node = Node::new(&cib("t", ""));
    node.tell("hang-start");
    node.start_guarded();
    node.ask(Do::Lease(node.lease(5, SHORT))).unwrap();
    until("it is starting", || {
        (node.state("web") == ResourceState::Starting).then_some(())
    });
    until("it is quiet", || node.ticket().quiet.then_some(()));
    fs::remove_file(node.path("hang-start")).unwrap();
    node.ask(Do::Lease(node.lease(6, FAR))).unwrap();
    until("it runs", || node.ticket().started.then_some(()));
}

#[test]
fn what_has_no_process_is_named() {
    let mut node = Node::new(&cib("t", ""));
    node.tell("no-process");
    node.start_guarded();
    node.run_under(5, FAR);
    let problems = until("it is named", || {
        let problems = node.ticket().problems;
        (!problems.is_empty()).then_some(problems)
    });
    assert!(problems[0].contains("without a process"), "{problems:?}");
    assert!(node.verb(&["status"]).1.contains("without a process"));
}

#[test]
fn unmanaged_keeps_the_deadline_and_the_command_says_so() {
    let mut node = Node::new(&cib("t", ""));
    node.start_guarded();
    node.run_under(5, 3 * SHORT);
    let meta = r#"<meta_attributes id="m"><nvpair id="m1" name="is-managed" value="false"/></meta_attributes>"#;
    let answer = node
        .ask(Do::CibReplace {
            xml: cib("t", meta),
            force: None,
        })
        .unwrap();
    let Answer::Replaced { notes, .. } = answer else {
        panic!("{answer:?}");
    };
    assert!(
        notes.iter().any(|note| note.contains("web is unmanaged")),
        "{notes:?}"
    );
    assert_eq!(node.ticket().hold.unwrap(), "web is unmanaged");
    until("the guard ends it", || (!node.serves()).then_some(()));
    assert!(
        !node.log().contains(&"stop".to_owned()),
        "the cluster does not touch it"
    );
}

#[test]
fn frozen_under_an_agreed_hold_it_stays() {
    let mut node =
        Node::new(&cib("t", "").replace("loss-policy=\"stop\"", "loss-policy=\"freeze\""));
    node.start_guarded();
    let deadline_ns = node.run_under(5, SHORT);
    assert!(node.ticket().hold.unwrap().contains("freeze"));
    let mut lease = node.lease(5, SHORT);
    (lease.generation, lease.hold, lease.deadline_ns) = (2, true, Some(deadline_ns));
    node.hold(5);
    node.ask(Do::Lease(lease)).unwrap();
    until("the lease is over", || {
        (!node.ticket().granted).then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    assert!(node.serves());
    assert_eq!(node.log(), ["start"]);
}

#[test]
fn a_group_starts_and_stops_in_order() {
    let mut node = Node::new(&support::group());
    node.start_guarded();
    until("it was probed", || {
        (node.state("b") == ResourceState::Stopped).then_some(())
    });
    node.ask(Do::Lease(node.lease(5, FAR))).unwrap();
    until("all run", || node.ticket().started.then_some(()));
    assert_eq!(node.log(), ["a start", "b start", "c start"]);
    let mut lease = node.lease(5, FAR);
    (lease.generation, lease.stop) = (2, true);
    node.ask(Do::Lease(lease)).unwrap();
    until("it is quiet", || node.ticket().quiet.then_some(()));
    assert_eq!(node.log()[3..], ["c stop", "b stop", "a stop"]);
}

#[test]
fn a_lost_ticket_demotes_where_that_is_the_policy() {
    let mut node = Node::new(&support::promotable());
    node.start_guarded();
    until("it runs unpromoted", || {
        (node.state("p") == ResourceState::Started).then_some(())
    });
    assert!(node.ticket().quiet, "unpromoted is quiet");
    node.ask(Do::Lease(node.lease(5, SHORT))).unwrap();
    until("it is promoted", || {
        (node.state("p") == ResourceState::Promoted).then_some(())
    });
    until("it is demoted", || node.ticket().quiet.then_some(()));
    assert_eq!(node.log(), ["p start", "p promote 5", "p demote"]);
    assert_eq!(node.state("p"), ResourceState::Started);
}

#[test]
fn one_node_alone_is_fenced_by_its_guard() {
    let mut node = Node::new(&support::fenced());
    node.start_guarded();
    node.run_under(5, SHORT);
    node.tell("hang-stop");
    until("the service is gone", || (!node.serves()).then_some(()));
    until("it is quiet", || node.ticket().quiet.then_some(()));
}

#[test]
fn a_hold_is_agreed_before_its_reason_takes_effect() {
    let mut node = Node::new(&cib("t", ""));
    node.start_guarded();
    let deadline_ns = node.run_under(5, FAR);
    let meta = r#"<meta_attributes id="m"><nvpair id="m1" name="is-managed" value="false"/></meta_attributes>"#;
    std::thread::scope(|scope| {
        let xml = cib("t", meta);
        let replaced = scope.spawn(|| node.ask(Do::CibReplace { xml, force: None }).unwrap());
        until("the hold is wanted", || node.ticket().hold);
        node.hold(5);
        let mut lease = node.lease(5, FAR);
        (lease.generation, lease.hold, lease.deadline_ns) = (2, true, Some(deadline_ns));
        node.ask(Do::Lease(lease)).unwrap();
        let answer = replaced.join().unwrap();
        assert!(
            matches!(&answer, Answer::Replaced { notes, .. } if notes.is_empty()),
            "{answer:?}"
        );
    });
    assert_eq!(node.ticket().hold.unwrap(), "web is unmanaged");
    assert!(!node.status().resources[0].managed);
}
