//! Grant, revoke, move, standby, activate: every way to end has its exit code and its words.

use std::time::Duration;

use crate::fake::{Fake, Step, failed, met, planned, run, view};
use ticket_admin::{Body, Check, Code, Failure, Plan, Progress, Step as PlanStep, Verb};

fn progress(phase: &str, until_ms: u64, step: u32) -> Step {
    Step::Say(Body::Progress(Progress {
        phase: phase.into(),
        until_ms: Some(until_ms),
        step: (step > 0).then_some(step),
        steps: (step > 0).then_some(3),
    }))
}

#[test]
fn done_is_zero_and_says_what_is_so_now() {
    let fake = Fake::new(view(), vec![met("db is granted to paris")]);
    let ran = fake.run(&["grant", "db", "--to", "paris"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out.starts_with("+ done: db is granted to paris (in "),
        "{}",
        ran.out
    );
    let action = &fake.actions()[0];
    assert_eq!(
        action.verb,
        Verb::Grant {
            to: Some("paris".into()),
            force: None
        }
    );
    assert_eq!((action.ticket.as_str(), action.wait_ms), ("db", 30_000));
}

#[test]
fn every_verb_reaches_the_daemon_as_it_was_meant() {
    let cases: [(&[&str], Verb); 7] = [
        (
            &["grant", "db"],
            Verb::Grant {
                to: Some("berlin".into()),
                force: None,
            },
        ),
        (
            &["grant", "db", "paris"],
            Verb::Grant {
                to: Some("paris".into()),
                force: None,
            },
        ),
        (&["revoke", "-t", "db"], Verb::Revoke {}),
        (
            &["move", "db", "--to", "paris"],
            Verb::Move { to: "paris".into() },
        ),
        (&["standby", "db"], Verb::Standby {}),
        (&["activate", "db"], Verb::Activate {}),
        (
            &["grant", "db", "-F", "--reason", " burnt down ", "--yes"],
            Verb::Grant {
                to: Some("berlin".into()),
                force: Some("burnt down".into()),
            },
        ),
    ];
    for (arguments, verb) in cases {
        let fake = Fake::new(view(), vec![met("so it is")]);
        let ran = fake.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
        assert_eq!(fake.actions()[0].verb, verb);
    }
}

#[test]
fn refusals_keep_their_exit_code_and_name_the_cause() {
    let quorum = Failure {
        missing: vec!["paris".into(), "arb".into()],
        ..Failure::new(Code::Quorum, "no majority of the members answers").hint("start arb")
    };
    let unsafe_now = Failure {
        may_run_ms: Some(36_000),
        retry_in_ms: Some(36_000),
        ..Failure::new(Code::Unsafe, "berlin may still be running db")
    };
    let cases = [
        (
            quorum,
            106,
            vec![
                "x refused: no majority",
                "(exit 106, quorum)",
                "paris, arb",
                "start arb",
            ],
        ),
        (
            unsafe_now,
            107,
            vec!["may run  until ", "(in 36s)", "possible from "],
        ),
        (
            Failure::new(Code::Exists, "berlin holds db"),
            108,
            vec!["berlin holds db"],
        ),
        (
            Failure::new(Code::NoSuch, "no such ticket"),
            105,
            vec!["exit 105"],
        ),
        (Failure::new(Code::Old, "db changed"), 103, vec!["exit 103"]),
        (
            Failure::new(Code::Error, "the cluster refused"),
            1,
            vec!["x refused: the cluster"],
        ),
        (
            Failure::new(Code::Unknown, "asked, not answered"),
            112,
            vec!["? unknown", "--request-id"],
        ),
    ];
    for (failure, code, words) in cases {
        let fake = Fake::new(view(), vec![failed(failure)]);
        let ran = fake.run(&["grant", "web"]);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{}", ran.err);
        for word in words {
            assert!(ran.err.contains(word), "{word}: {}", ran.err);
        }
    }
}

#[test]
fn a_revoke_with_the_holder_out_of_reach_says_until_when_it_may_run() {
    let late = Failure {
        may_run_ms: Some(20_500),
        ..Failure::new(
            Code::Timeout,
            "db is revoked, but berlin has not confirmed its stop",
        )
    };
    let wait = progress("berlin to confirm its stop", 20_500, 0);
    let pause = Step::Pause(Duration::from_millis(1_500));
    let fake = Fake::new(view(), vec![wait, pause, failed(late)]);
    let ran = fake.run(&["revoke", "db", "--wait=5s"]);
    assert_eq!(ran.code, 124);
    assert!(
        ran.err
            .contains("revoke db: waiting: berlin to confirm its stop"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains(". timeout: db is revoked, but"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("until ") && ran.err.contains("(in 20s)"),
        "{}",
        ran.err
    );
    assert_eq!(fake.actions()[0].wait_ms, 5_000);
}

#[test]
fn a_daemon_that_falls_silent_leaves_the_outcome_unknown() {
    for step in [
        Step::Close,
        Step::Raw("{\"what\n"),
        Step::Raw("no line"),
        Step::Hang,
    ] {
        let fake = Fake::new(view(), vec![step, Step::Hang]);
        let ran = fake.run(&["move", "db", "--to", "paris", "--wait=300ms"]);
        assert_eq!(ran.code, 112, "{}", ran.err);
        assert!(ran.took < Duration::from_secs(6), "{:?}", ran.took);
        let request = fake.actions()[0].request.to_string();
        let again = format!("`ticket move db --to paris --request-id {request}`");
        assert!(ran.err.contains(&again), "{}", ran.err);
    }
}

#[test]
fn a_wish_can_be_repeated_under_its_name() {
    let fake = Fake::new(view(), vec![met("so it is")]);
    let name = "0123456789abcdef0123456789abcdef";
    assert_eq!(fake.run(&["standby", "db", "--request-id", name]).code, 0);
    assert_eq!(fake.run(&["standby", "db", "--request-id", name]).code, 0);
    assert_eq!(fake.run(&["standby", "db"]).code, 0);
    let names: Vec<String> = fake
        .actions()
        .iter()
        .map(|it| it.request.to_string())
        .collect();
    assert_eq!((names[0].as_str(), &names[0]), (name, &names[1]));
    assert_ne!(names[1], names[2]);
    let ran = fake.run(&["standby", "db", "--request-id", "12"]);
    assert_eq!((ran.code, ran.err.lines().count()), (64, 1), "{}", ran.err);
}

#[test]
fn whoever_stops_waiting_learns_how_to_look_again() {
    use std::io::Read;
    use std::process::{Command, Stdio};
    let fake = Fake::new(view(), vec![Step::Hang]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ticket"))
        .arg("--socket")
        .arg(&fake.socket)
        .args(["move", "db", "--to", "paris"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command line starts");
    // From the moment when the wish is out, an end by a signal is no end of the wish.
    while fake.actions().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let name = fake.actions()[0].request.to_string();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let mut said = String::new();
    let mut errors = child.stderr.take().expect("piped");
    errors.read_to_string(&mut said).expect("UTF-8");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(112), "{said}");
    assert!(said.contains(&format!("--request-id {name}")), "{said}");
    assert!(said.contains("ticket show db"), "{said}");
}

#[test]
fn names_are_checked_before_anything_is_asked() {
    let cases: [(&[&str], i32, &str); 8] = [
        (&["grant", "dbb"], 105, "did you mean \"db\"?"),
        (&["revoke", "nothing-like-it"], 105, "there is app, db, web"),
        (
            &["move", "db", "--to", "pariss"],
            105,
            "did you mean \"paris\"?",
        ),
        (&["move", "db", "--to", "arb"], 113, "cannot hold a ticket"),
        (&["revoke"], 64, "which ticket?"),
        (&["move", "db"], 64, "--to SITE"),
        (&["grant", "db", "--force"], 64, "--reason"),
        (&["grant", "db", "--force", "--reason", "x"], 64, "--yes"),
    ];
    for (arguments, code, word) in cases {
        let fake = Fake::new(view(), vec![met("never")]);
        let ran = fake.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(word), "{arguments:?}: {}", ran.err);
        assert_eq!(fake.actions(), []);
    }
}

#[test]
fn a_move_shows_its_steps_and_how_to_undo_it() {
    let steps = vec![
        progress("stop at berlin", 15_000, 1),
        Step::Pause(Duration::from_millis(120)),
        progress("release", 100, 2),
        progress("start at paris", 10_000, 3),
        met("db moved from berlin to paris"),
    ];
    let ran = Fake::new(view(), steps).run(&["move", "db", "paris"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.err);
    assert!(
        lines[0].starts_with(" 1/3 stop at berlin") && lines[0].contains("+ ok"),
        "{}",
        ran.err
    );
    assert!(ran.out.contains("service gap 6.9s"), "{}", ran.out);
    assert!(
        ran.out.contains("undo ticket move db --to berlin"),
        "{}",
        ran.out
    );
    let steps = vec![
        progress("stop at berlin", 15_000, 1),
        failed(Failure::new(Code::Error, "it hangs")),
    ];
    let ran = Fake::new(view(), steps).run(&["move", "db", "paris"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("x no") && ran.err.contains("it hangs"),
        "{}",
        ran.err
    );
}

fn plan(ok: bool, code: Option<Code>) -> Plan {
    Plan {
        ticket: "db".into(),
        feasible: ok,
        checks: vec![Check {
            what: "agents".into(),
            ok,
            detail: "all there".into(),
        }],
        steps: vec![PlanStep {
            what: "stop at berlin".into(),
            takes_ms: Some(4_800),
            at_most_ms: Some(15_000),
        }],
        takes_ms: Some(11_200),
        gap_ms: Some(6_900),
        code,
    }
}

#[test]
fn a_dry_run_shows_checks_steps_and_times() {
    let fake = Fake::new(view(), vec![planned(plan(true, None))]);
    let ran = fake.run(&["move", "db", "--to", "paris", "--dry-run"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for words in [
        "dry run: move db; nothing is changed",
        "+ ok  majority       3 of 3 voters reachable (need 2)",
        "+ ok  target paris   connected, round trip 12ms",
        "+ ok  holder berlin  this member",
        "+ ok  agents         all there",
        "1/1 stop at berlin  about 4.8s, 15s at most",
        "result: possible, would take about 11s, service gap about 6.9s",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
}

#[test]
fn a_dry_run_exits_as_the_real_one_would() {
    let mut alone = view();
    alone.votes.reachable = 1;
    let cases = [
        (view(), plan(false, Some(Code::Quorum)), 106),
        (view(), plan(false, Some(Code::Unsafe)), 107),
        (view(), plan(false, None), 1),
        (view(), plan(false, Some(Code::Done)), 1),
        (alone, plan(true, None), 106),
    ];
    for (view, plan, code) in cases {
        let fake = Fake::new(view, vec![planned(plan)]);
        let ran = fake.run(&["grant", "db", "--dry-run", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(
            (ran.code, json["code"].as_i64()),
            (code, Some(i64::from(code)))
        );
        assert_eq!(json["steps"][0]["takes_seconds"], 4.8);
    }
}

#[test]
fn programs_get_json_and_nothing_else() {
    let steps = vec![progress("votes", 10, 0), met("db is granted to paris")];
    let ran = Fake::new(view(), steps).run(&["grant", "db", "--output-as=json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["api-version"], "1");
    assert_eq!(json["result"], "done");
    assert_eq!(json["service_gap_seconds"], 6.9);
    let late = Failure {
        may_run_ms: Some(1_500),
        ..Failure::new(Code::Timeout, "not yet")
    };
    let ran = Fake::new(view(), vec![failed(late)]).run(&["revoke", "db", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (124, ""));
    let json: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(
        (&json["code"], &json["name"]),
        (&124.into(), &"timeout".into())
    );
    assert_eq!(json["may_run_seconds"], 1.5);
    assert!(
        json["may_run_until"].as_str().unwrap().ends_with('Z'),
        "{json}"
    );
    let ran = run(&["--json", "migrate"]);
    let json: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((ran.code, &json["name"]), (64, &"usage".into()));
}

#[test]
fn quiet_says_nothing_but_errors() {
    let steps = vec![progress("votes", 10, 0), met("so it is")];
    let ran = Fake::new(view(), steps).run(&["grant", "db", "-q"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let steps = vec![failed(Failure::new(Code::Exists, "no"))];
    let ran = Fake::new(view(), steps).run(&["grant", "db", "-q"]);
    assert_eq!(ran.code, 108);
    assert!(ran.err.contains("no (exit 108"), "{}", ran.err);
}
