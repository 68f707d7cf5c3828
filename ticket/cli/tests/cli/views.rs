//! List, show, peers, status and watch, and daemons that do not answer.

use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::fake::{Fake, Step, failed, run, run_with, view};
use tempfile::TempDir;
use ticket_admin::{Body, Code, Event, Failure, Hold, Level, MemberState};

#[test]
fn list_prints_booths_lines_in_a_pipe() {
    let ran = Fake::new(view(), Vec::new()).run(&["list"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "ticket: app, leader: none [manual mode]");
    assert_eq!(lines[2], "ticket: web, leader: none");
    let (start, expires) = lines[1].split_once(", expires: ").unwrap();
    assert_eq!(start, "ticket: db, leader: berlin");
    let shape: String = expires
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00 00:00:00");
}

#[test]
fn list_as_a_table_says_the_one_thing_to_know() {
    let ran = Fake::new(view(), Vec::new()).run(&["list", "--table"]);
    let expected = "\
TICKET  STATE      HOLDER     LEASE             TERM    NOTE
app     o revoked  -          manual            -
db      * granted  berlin     [#######---] 21s  0.12.1
web     ! lost     was paris  -                 -       berlin takes over in 36s at the earliest
";
    assert_eq!(ran.out, expected);
}

#[test]
fn show_says_lease_votes_and_what_blocks() {
    let fake = Fake::new(view(), Vec::new());
    let ran = fake.run(&["show", "db"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for words in [
        "db   * granted to berlin\n",
        "lease      [##############------] 21s of 30s left, renewed 9.0s ago",
        "if lost    paris takes over at ",
        "term       0.12.1 (as one number: 49153)",
        "votes      arb + yes | berlin + yes | paris - no   3 of 3 vote, majority (needs 2)",
        "runs       g-db started on b1",
        "blocked by nothing",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    let ran = fake.run(&["show", "web"]);
    assert!(
        ran.out.contains("! paris may still run until "),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("takeover   berlin, at "), "{}", ran.out);
    assert!(
        ran.out.contains("blocked by ! paris may still run it"),
        "{}",
        ran.out
    );
    let ran = fake.run(&["show", "bd"]);
    assert_eq!(ran.code, 105);
    assert!(ran.err.contains("did you mean \"db\"?"), "{}", ran.err);
}

#[test]
fn no_majority_and_holds_are_loud() {
    let mut view = view();
    view.votes.reachable = 1;
    view.members[0].state = MemberState::Down;
    view.members[2].state = MemberState::Refused;
    view.members[2].why = Some("its certificate is of another cluster".into());
    view.tickets[1].hold = Some(Hold {
        reason: "fs is unmanaged\x1b[2J".into(),
        agreed: false,
    });
    view.nodes[0].protection = "none".into();
    view.alarms.push("paris: two live incarnations".into());
    let fake = Fake::new(view, Vec::new());
    let ran = fake.run(&["status"]);
    for words in [
        "cluster shop, seen by berlin (site, up 3h 12m, version 0.1.0) at ",
        "! ALARM: paris: two live incarnations",
        "! NO MAJORITY: 1 of 3 voters reachable (need 2); missing: arb, paris",
        "* granted, hold",
        "hold: fs is unmanaged",
        "! refused",
        "another cluster",
        "! none",
        "NOTHING ends a lease here",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    assert!(
        !ran.out.contains('\x1b'),
        "a daemon's text moves the cursor"
    );
    let ran = fake.run(&["show", "db"]);
    assert!(
        !ran.out.contains('\x1b'),
        "a daemon's text moves the cursor"
    );
    assert!(
        ran.out.contains("NOT agreed: the deadline stays in force"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("NO MAJORITY"), "{}", ran.out);
}

#[test]
fn peers_show_links_and_certificates() {
    let mut view = view();
    view.members[0].certificate.as_mut().unwrap().not_after_unix = 1_000_000_000;
    view.members[2].traffic.auth_failures = 7;
    let ran = Fake::new(view, Vec::new()).run(&["peers"]);
    assert_eq!(ran.code, 0);
    for words in [
        "arb     arbitrator  * up",
        "11 ms",
        "0.4s ago",
        "EXPIRED",
        "+2 ms",
        "* majority: 3 of 3",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    assert!(
        ran.out
            .contains("! paris: 7 handshakes failed authentication"),
        "{}",
        ran.out
    );
}

#[test]
fn json_has_a_version_times_in_utc_and_seconds() {
    let fake = Fake::new(view(), Vec::new());
    let json = |arguments: &[&str]| {
        let ran = fake.run(arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(value["api-version"], "1");
        value
    };
    let list = json(&["list", "--json"]);
    assert_eq!(list["tickets"][1]["lease"]["left_seconds"], 21.0);
    let expires = list["tickets"][1]["lease"]["expires_at"].as_str().unwrap();
    assert!(
        expires.ends_with('Z') && expires.as_bytes()[10] == b'T',
        "{expires}"
    );
    assert_eq!(list["tickets"][2]["takeover"]["in_seconds"], 36.0);
    assert_eq!(
        json(&["show", "db", "-o", "json"])["ticket"]["term_packed"],
        "49153"
    );
    assert_eq!(
        json(&["peers", "--output-format", "json"])["members"][0]["rtt_seconds"],
        0.0114
    );
    let status = json(&["status", "--json"]);
    assert_eq!(status["nodes"][0]["protection"], "process");
    assert_eq!(status["votes"]["majority"], true);
    let socket = fake.socket.to_str().unwrap();
    let ran = run_with(
        &["--socket", socket, "list"],
        &[("INTERLOCK_OUTPUT", "json")],
    );
    assert!(ran.out.starts_with('{'), "{}", ran.out);
}

#[test]
fn colour_is_for_terminals_and_for_those_who_insist() {
    let fake = Fake::new(view(), Vec::new());
    let socket = fake.socket.to_str().unwrap();
    let arguments = ["--socket", socket, "list", "--table"];
    assert!(!run(&arguments).out.contains('\x1b'));
    let forced = run_with(
        &arguments,
        &[("CLICOLOR_FORCE", "1"), ("LC_ALL", "C.UTF-8")],
    )
    .out;
    assert!(
        forced.contains("\x1b[32m\u{25cf} granted\x1b[0m"),
        "{forced}"
    );
    let both = run_with(&arguments, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).out;
    assert!(!both.contains('\x1b'));
}

#[test]
fn no_daemon_is_said_with_its_name() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("interlock.toml");
    let text = "[cluster]\nname = \"shop\"\nmember = \"berlin\"\n[paths]\nrun = \"run\"\n\
                [member.berlin]\nrole = \"site\"\naddress = \"b.example\"\n\
                [member.paris]\nrole = \"site\"\naddress = \"p.example\"\n\
                [member.arb]\nrole = \"arbitrator\"\naddress = \"a.example\"\n";
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    for verb in [&["list"][..], &["status"], &["watch"], &["grant", "db"]] {
        let mut arguments = vec!["-c", config];
        arguments.extend_from_slice(verb);
        let ran = run(&arguments);
        assert_eq!(ran.code, 102, "{}", ran.err);
        assert!(
            ran.err.contains("site-agent of berlin is not running here"),
            "{}",
            ran.err
        );
    }
    let ran = run(&["-c", config, "-s", "arb", "peers"]);
    assert!(
        ran.err.contains("arb runs on another machine") && ran.code == 102,
        "{}",
        ran.err
    );
    let ran = run(&["-c", config, "-s", "rab", "peers"]);
    assert!(
        ran.err.contains("did you mean \"arb\"?") && ran.code == 105,
        "{}",
        ran.err
    );
    // A socket that a dead daemon left behind.
    std::fs::create_dir(directory.path().join("run")).unwrap();
    drop(UnixListener::bind(directory.path().join("run/berlin.sock")).unwrap());
    assert_eq!(run(&["-c", config, "list"]).code, 102);
    let ran = run(&["-c", "/nowhere/interlock.toml", "list"]);
    assert!(
        ran.code == 78 && ran.err.contains("ticket init"),
        "{}",
        ran.err
    );
}

#[test]
fn a_daemon_that_hangs_costs_the_deadline_and_no_more() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("stopped.sock");
    let listener = stopped(&socket);
    let path = socket.to_str().unwrap();
    let hang = |verb: &[&str]| {
        let mut arguments = vec!["--socket", path, "--wait=400ms"];
        arguments.extend_from_slice(verb);
        let ran = run(&arguments);
        assert_eq!(ran.code, 124, "{verb:?}: {}", ran.err);
        assert!(ran.err.contains("does not answer"), "{}", ran.err);
        assert!(
            ran.took < Duration::from_secs(4),
            "{verb:?} took {:?}",
            ran.took
        );
    };
    hang(&["list"]);
    hang(&["status", "--json"]);
    hang(&["grant", "db"]);
    // Its queue of connections is full as well.
    let mut held = Vec::new();
    for _ in 0..100 {
        match Queued::connect(&socket) {
            Some(one) => held.push(one),
            None => break,
        }
    }
    assert!(held.len() < 100, "the queue has no end");
    hang(&["list"]);
    drop(listener);
}

/// A socket whose daemon accepts nothing, with a short queue.
fn stopped(socket: &std::path::Path) -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .expect("a socket");
    let address = SocketAddrUnix::new(socket).expect("short enough");
    rustix::net::bind(&fd, &address).expect("bound");
    rustix::net::listen(&fd, 4).expect("listens");
    fd
}

/// A connection that waits to be accepted.
struct Queued {
    _stream: UnixStream,
}

impl Queued {
    /// `None` once the queue is full.
    fn connect(socket: &std::path::Path) -> Option<Self> {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let fd = fd.expect("a socket");
        let address = SocketAddrUnix::new(socket).expect("short enough");
        rustix::net::connect(&fd, &address).ok()?;
        Some(Self {
            _stream: UnixStream::from(fd),
        })
    }
}

fn event(seq: u64, ticket: &str, text: &str) -> Step {
    Step::Say(Body::Event(Event {
        seq,
        at_unix_ms: 1_700_000_000_123,
        level: Level::Info,
        kind: "granted".into(),
        ticket: Some(ticket.into()),
        text: text.into(),
        ..Event::default()
    }))
}

#[test]
fn watch_prints_events_and_notices_gaps() {
    let steps = vec![
        event(4, "db", "one"),
        event(5, "web", "two"),
        event(8, "db", "three"),
        Step::Hang,
    ];
    let fake = Fake::new(view(), steps);
    let ran = fake.run(&["watch", "--count", "3"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let first = ran.out.lines().next().unwrap();
    assert_eq!(
        first,
        "22:13:20.123 #4    . granted           db           one"
    );
    assert!(
        ran.err.contains("! 2 events before #8 were not kept"),
        "{}",
        ran.err
    );
    let ran = fake.run(&["watch", "--count", "2", "--ticket", "db", "--json"]);
    let lines: Vec<serde_json::Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((lines.len(), &lines[1]["seq"]), (2, &8.into()));
    assert_eq!(lines[0]["at"], "2023-11-14T22:13:20.123Z");
    let ran = fake.run(&["watch", "--count", "9", "--wait=300ms"]);
    assert_eq!(ran.code, 124, "{}", ran.err);
    assert_eq!(fake.run(&["watch", "--wait=300ms"]).code, 0);
}

#[test]
fn watch_ends_with_its_daemon_and_says_how_to_go_on() {
    let fake = Fake::new(view(), vec![event(4, "db", "one"), Step::Close]);
    let ran = fake.run(&["watch"]);
    assert_eq!(ran.code, 69, "{}", ran.err);
    assert!(ran.err.contains("ticket watch --after 4"), "{}", ran.err);
    let fake = Fake::new(
        view(),
        vec![failed(Failure::new(Code::Unavailable, "64 watch already"))],
    );
    assert_eq!(fake.run(&["watch"]).code, 69);
}
