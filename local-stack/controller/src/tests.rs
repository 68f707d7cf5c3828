use crate::test_support::Bench;
use crate::{Ending, GuardHeld, Holding, Kept, Lease, Shown, Start, State};

const CIB: &str = r#"<cib epoch="1"><configuration><crm_config/><nodes/><resources>
    <primitive id="free" class="ocf" provider="test" type="agent"/>
    <primitive id="web" class="ocf" provider="test" type="agent"><operations>
      <op id="web-stop" name="stop" interval="0" timeout="3s"/></operations></primitive>
  </resources><constraints><rsc_ticket id="t1" rsc="web" ticket="t" loss-policy="stop"/></constraints>
  </configuration><status/></cib>"#;

fn lease(term: u64, deadline_ns: u64) -> Lease {
    Lease {
        ticket: "t".into(),
        term,
        generation: 1,
        granted: true,
        deadline_ns: Some(deadline_ns),
        ..Lease::default()
    }
}

fn give(bench: &mut Bench, lease: Lease) {
    bench.controller.handle_lease(bench.now, lease);
    bench.run();
}

/// A node whose gated resource runs under term 5 until 10 000.
fn granted() -> Bench {
    let mut bench = Bench::new(CIB, Start::default());
    bench.guard_up(&[]);
    give(&mut bench, lease(5, 10_000));
    bench.did();
    assert!(bench.running["web"]);
    assert!(bench.controller.ticket("t").started);
    bench
}

#[test]
fn without_a_lease_only_the_free_resource_starts() {
    let mut bench = Bench::new(CIB, Start::default());
    bench.run();
    let did = bench.did();
    assert_eq!(
        did,
        [
            "free monitor",
            "web monitor",
            "free start",
            "free monitor recurring"
        ]
    );
    let ticket = bench.controller.ticket("t");
    assert!(ticket.quiet && !ticket.granted && ticket.stop_budget_ms == 3_000);
}

#[test]
fn the_guard_is_armed_before_anything_gated_starts() {
    let mut bench = Bench::new(CIB, Start::default());
    bench.guard_answers = false;
    bench.guard_up(&[]);
    bench.did();
    give(&mut bench, lease(5, 10_000));
    assert_eq!(bench.did(), ["arm 5"]);
    let holding = Holding {
        ticket: "t".into(),
        term: 5,
    };
    bench.controller.handle_armed(bench.now, &holding, Ok(()));
    bench.run();
    assert_eq!(bench.did(), ["web start", "web monitor recurring"]);
    let order = bench
        .orders
        .iter()
        .find(|order| order.action == "start" && order.resource == "web");
    assert_eq!(order.unwrap().gates, [holding]);
}

#[test]
fn without_a_guard_a_lease_starts_nothing_and_a_manual_ticket_does() {
    let mut bench = Bench::new(CIB, Start::default());
    bench.run().did();
    give(&mut bench, lease(5, 10_000));
    assert_eq!(bench.did(), [""; 0]);
    assert!(bench.controller.ticket("t").problems[0].contains("no guard"));
    give(
        &mut bench,
        Lease {
            deadline_ns: None,
            ..lease(6, 0)
        },
    );
    assert_eq!(bench.did(), ["web start", "web monitor recurring"]);
}

#[test]
fn a_lease_that_ends_stops_its_dependents_and_disarms() {
    let mut bench = granted();
    assert_eq!(bench.controller.next_timeout(), 10_000);
    give(&mut bench, lease(5, 20_000));
    assert_eq!(bench.at(10_000).did(), [""; 0], "renewed");
    assert_eq!(bench.at(20_000).did(), ["web stop", "disarm 5"]);
    assert!(bench.controller.ticket("t").quiet);
    give(&mut bench, lease(5, 90_000));
    assert_eq!(bench.did(), [""; 0], "a lapse is final");
}

#[test]
fn a_word_that_came_too_late_is_no_lapse() {
    let mut bench = Bench::new(CIB, Start::default());
    bench.guard_up(&[]);
    bench.at(50_000).did();
    give(&mut bench, lease(5, 10_000));
    assert_eq!(bench.did(), [""; 0]);
    give(&mut bench, lease(5, 90_000));
    assert_eq!(bench.did(), ["arm 5", "web start", "web monitor recurring"]);
}

#[test]
fn a_stop_asked_for_is_confirmed_and_can_be_taken_back() {
    let mut bench = granted();
    bench.hang = vec!["web stop".into()];
    give(
        &mut bench,
        Lease {
            stop: true,
            generation: 2,
            ..lease(5, 10_000)
        },
    );
    assert_eq!(bench.did(), ["web stop"]);
    assert!(!bench.controller.ticket("t").quiet);
    assert_eq!(
        bench.controller.ticket("t").dependents[0].state,
        Shown::Stopping
    );
    let stop = bench.hanging.pop().unwrap();
    bench.hang.clear();
    bench.running.insert("web".into(), false);
    bench.result(stop.call, Ending::Complete, 0);
    bench.run();
    assert_eq!(bench.did(), ["disarm 5"]);
    assert!(bench.controller.ticket("t").quiet);
    give(
        &mut bench,
        Lease {
            generation: 3,
            ..lease(5, 10_000)
        },
    );
    assert_eq!(bench.did(), ["arm 5", "web start", "web monitor recurring"]);
}

#[test]
fn a_new_term_is_a_stop_and_a_start() {
    let mut bench = granted();
    give(&mut bench, lease(6, 50_000));
    let did = bench.did();
    assert_eq!(
        did,
        [
            "arm 6",
            "web stop",
            "disarm 5",
            "web start",
            "web monitor recurring"
        ]
    );
    assert_eq!(bench.controller.resources()[1].terms, [("t".to_owned(), 6)]);
}

#[test]
fn a_hung_start_is_ended_with_its_lease() {
    let mut bench = Bench::new(CIB, Start::default());
    bench.hang = vec!["web start".into()];
    bench.guard_up(&[]);
    give(&mut bench, lease(5, 10_000));
    bench.did();
    assert_eq!(bench.at(10_000).did(), ["abort", "web stop", "disarm 5"]);
    bench.hang.clear();
    give(&mut bench, lease(6, 20_000));
    assert_eq!(
        bench.did(),
        ["arm 6", "web start", "web monitor recurring"],
        "not counted as failure"
    );
}

#[test]
fn a_stop_asked_for_waits_for_the_start() {
    let mut bench = Bench::new(CIB, Start::default());
    bench.hang = vec!["web start".into()];
    bench.guard_up(&[]);
    give(&mut bench, lease(5, 10_000));
    bench.did();
    give(
        &mut bench,
        Lease {
            stop: true,
            generation: 2,
            ..lease(5, 10_000)
        },
    );
    assert_eq!(bench.did(), [""; 0]);
    assert!(!bench.controller.ticket("t").quiet);
    let start = bench.hanging.pop().unwrap();
    bench.running.insert("web".into(), true);
    bench.result(start.call, Ending::Complete, 0);
    bench.run();
    assert_eq!(bench.did(), ["web stop", "disarm 5"]);
}

#[test]
fn a_failed_stop_is_never_quiet_until_the_guard_has_ended_it() {
    let mut bench = granted();
    bench.fail = vec!["web stop".into()];
    assert_eq!(bench.at(10_000).did(), ["web stop"]);
    let ticket = bench.controller.ticket("t");
    assert!(!ticket.quiet);
    assert_eq!(ticket.hold.unwrap(), "the stop of web failed");
    assert_eq!(ticket.dependents[0].state, Shown::Settled(State::Blocked));
    // Killed by the guard: a probe finds it gone.
    bench.running.insert("web".into(), false);
    bench.controller.handle_fired(
        bench.now,
        &Holding {
            ticket: "t".into(),
            term: 5,
        },
    );
    bench.run();
    assert_eq!(bench.did(), ["web monitor"]);
    assert!(bench.controller.ticket("t").quiet);
}

#[test]
fn the_guards_death_stops_what_depends_on_a_deadline() {
    let mut bench = granted();
    bench.controller.handle_guard_down(bench.now);
    bench.run();
    assert_eq!(bench.did(), ["web stop"]);
    assert!(bench.controller.ticket("t").quiet);
    bench.guard_up(&[]);
    assert_eq!(bench.did(), ["arm 5", "web start", "web monitor recurring"]);
}

#[test]
fn a_restart_adopts_within_the_same_term_only() {
    let kept = Kept {
        started: vec![("web".into(), vec![("t".into(), 5)])],
        ..Kept::default()
    };
    let held = |term| {
        let holding = Holding {
            ticket: "t".into(),
            term,
        };
        vec![GuardHeld {
            holding,
            deadline_ns: 10_000,
        }]
    };
    let restart = |kept: Kept, held: Vec<GuardHeld>, armed: &[(&str, u64)]| {
        let mut bench = Bench::new(CIB, Start { kept, held });
        bench.running = [("web".to_owned(), true), ("free".to_owned(), true)].into();
        // The probe's result may be there before the guard's first word.
        bench.run();
        bench.guard_up(armed);
        let mut did = bench.did();
        did.retain(|what| what.starts_with("web"));
        did
    };
    let adopted = ["web monitor", "web monitor recurring"];
    assert_eq!(restart(kept.clone(), held(5), &[("t", 5)]), adopted);
    // The guard holds nothing any more, or another term, or nobody knows under which term it runs.
    assert_eq!(
        restart(kept.clone(), Vec::new(), &[]),
        ["web monitor", "web stop"]
    );
    let replaced = [
        "web monitor",
        "web stop",
        "web start",
        "web monitor recurring",
    ];
    assert_eq!(restart(kept, held(6), &[("t", 6)]), replaced);
    assert_eq!(restart(Kept::default(), held(5), &[("t", 5)]), replaced);
}

#[test]
fn a_failed_monitor_is_recovered_counted_and_cleaned_up() {
    let mut bench = granted();
    bench.running.insert("web".into(), false);
    bench.monitor_tells("web", 7);
    assert_eq!(
        bench.did(),
        ["web stop", "web start", "web monitor recurring"]
    );
    let web = &bench.controller.resources()[1];
    assert_eq!(web.fail_count, 1);
    assert!(web.last_failure.as_ref().unwrap().contains("exit code 7"));
    bench
        .controller
        .handle_cleanup(bench.now, Some("web"))
        .unwrap();
    bench.run();
    assert_eq!(bench.did(), ["web monitor", "web monitor recurring"]);
    assert_eq!(bench.controller.resources()[1].fail_count, 0);
    assert_eq!(
        bench.controller.handle_cleanup(bench.now, Some("nope")),
        Err("nope".to_owned())
    );
}

#[test]
fn a_failed_start_bans_and_says_why() {
    let mut bench = Bench::new(CIB, Start::default());
    bench.fail = vec!["web start".into()];
    bench.guard_up(&[]);
    give(&mut bench, lease(5, 10_000));
    let did = bench.did();
    assert_eq!(did[did.len() - 3..], ["arm 5", "web start", "web stop"]);
    assert_eq!(bench.controller.resources()[1].fail_count, 1_000_000);
    let ticket = bench.controller.ticket("t");
    assert!(ticket.granted && !ticket.started && ticket.problems[0].contains("start of web"));
}

#[test]
fn failures_outlive_the_daemon() {
    let mut bench = Bench::new(CIB, Start::default());
    bench.fail = vec!["free start".into()];
    bench.run();
    let kept = bench.controller.kept();
    assert_eq!(
        kept.failures[0],
        ("fail-count-free#start_0".into(), "INFINITY".into())
    );
    let mut next = Bench::new(
        CIB,
        Start {
            kept,
            held: Vec::new(),
        },
    );
    next.run();
    assert_eq!(next.did(), ["free monitor", "web monitor"], "still banned");
    let why = |bench: &Bench| bench.controller.resources()[0].last_failure.clone();
    let told = why(&next).expect("a reason");
    assert!(told.contains("start of free failed before"), "{told}");
    next.controller
        .handle_cleanup(next.now, Some("free"))
        .unwrap();
    next.run();
    assert!(next.controller.kept().failures.is_empty());
    assert_eq!(why(&next), None);
    assert!(next.running["free"]);
}

#[test]
fn a_long_start_does_not_hold_up_others() {
    let mut bench = Bench::new(CIB, Start::default());
    bench.hang = vec!["free start".into()];
    bench.guard_up(&[]);
    bench.did();
    give(&mut bench, lease(5, 10_000));
    assert_eq!(
        bench.did(),
        ["arm 5", "web start", "web monitor recurring"],
        "free is still starting"
    );
    let start = bench.hanging.pop().unwrap();
    bench.running.insert("free".into(), true);
    bench.result(start.call, Ending::Complete, 0);
    bench.run();
    assert_eq!(
        bench.did(),
        ["free monitor recurring"],
        "and was started once"
    );
}

#[test]
fn a_shutdown_stops_everything_then_ends() {
    let mut bench = granted();
    bench.controller.handle_shutdown(bench.now);
    bench.run();
    assert_eq!(
        bench.did(),
        ["free stop", "web stop", "disarm 5", "stopped "]
    );
}

#[test]
fn what_cannot_be_stopped_is_named_at_the_end() {
    let mut bench = granted();
    bench.fail = vec!["web stop".into()];
    bench.controller.handle_shutdown(bench.now);
    bench.run();
    assert_eq!(bench.did().last().unwrap(), "stopped web");
}

#[test]
fn unmanaged_is_a_hold_and_an_older_configuration_is_refused() {
    let mut bench = granted();
    assert_eq!(bench.controller.ticket("t").hold, None);
    let meta = r#"type="agent"><meta_attributes id="m"><nvpair id="m1" name="is-managed" value="0"/>
        </meta_attributes><operations>"#;
    let new = CIB.replace("type=\"agent\"><operations>", meta);
    let offered = bench
        .controller
        .offer(cib::Cib::parse(&new, None).unwrap())
        .unwrap();
    assert_eq!(offered.version().epoch, 2);
    bench.controller.handle_replace(bench.now, offered).unwrap();
    bench.run();
    assert_eq!(
        bench.controller.ticket("t").hold.unwrap(),
        "web is unmanaged"
    );
    let old = bench.controller.offer(cib::Cib::parse(CIB, None).unwrap());
    assert_eq!(old.unwrap_err().epoch, 2);
}

#[test]
fn a_check_says_what_would_not_start() {
    let mut bench = Bench::new(CIB, Start::default());
    bench.run();
    assert!(bench.controller.check("t").able);
    bench.fail = vec!["web start".into()];
    bench.guard_up(&[]);
    give(&mut bench, lease(5, 10_000));
    let check = bench.controller.check("t");
    assert!(!check.able);
    assert!(
        check.problems[0].starts_with("web would not be started (start of web"),
        "{check:?}"
    );
}
