use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::*;

/// Long enough for any machine; the tests wait for conditions, not for time.
const PATIENCE: Duration = Duration::from_secs(60);

fn shell(marker: &str, script: &str) -> Child {
    Command::new("/bin/sh")
        .args(["-c", script])
        .env(MARKER_VARIABLE, marker)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn unique(name: &str) -> String {
    format!(
        "{name}-{}-{}",
        std::process::id(),
        stack_api::clock::machine_now_ns()
    )
}

fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(10));
    }
}

fn kill_all(tracker: &mut Tracker, marker: &str) {
    until("everything is dead", || {
        tracker.kill(marker).unwrap().is_empty().then_some(())
    });
}

#[test]
fn the_command_name_may_hold_anything() {
    let text = b"77 (a) (b c)) S 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000 1";
    let stat = parse_stat(77, text).unwrap();
    assert_eq!(
        (stat.state, stat.parent, stat.group, stat.session),
        (b'S', 1, 2, 3)
    );
    assert_eq!(stat.id.start, 4242);
    assert_eq!(parse_stat(77, b"77 (cut"), None);
}

#[test]
fn a_marker_is_found_whole_among_several() {
    let environment = b"A=1\0INTERLOCK_GUARD=x-1,y-22\0NOT_INTERLOCK_GUARD=z\0";
    assert_eq!(markers_in(environment).collect::<Vec<_>>(), ["x-1", "y-22"]);
}

#[test]
fn a_family_dies_even_where_the_environment_was_cleared() {
    let marker = unique("family");
    let mut tracker = Tracker::default();
    // The shell keeps the marker; its child has none.
    let mut child = shell(&marker, "env -i sleep 1000 & wait");
    let found = until("both are seen", || {
        let found = tracker
            .scan([marker.as_str()])
            .unwrap()
            .remove(&marker)
            .unwrap();
        (found.len() == 2).then_some(found)
    });
    assert!(found.iter().any(|id| id.pid == child.id()));
    kill_all(&mut tracker, &marker);
    child.wait().unwrap();
}

#[test]
fn an_orphan_that_was_seen_once_is_remembered() {
    let marker = unique("orphan");
    let mut tracker = Tracker::default();
    let mut child = shell(&marker, "env -i setsid sleep 1000 & read x");
    let orphan = until("the sleeper is seen", || {
        let found = tracker
            .scan([marker.as_str()])
            .unwrap()
            .remove(&marker)
            .unwrap();
        found.into_iter().find(|id| {
            fs::read(format!("/proc/{}/cmdline", id.pid)).is_ok_and(|c| c.starts_with(b"sleep"))
        })
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let found = tracker
        .scan([marker.as_str()])
        .unwrap()
        .remove(&marker)
        .unwrap();
    assert!(
        found.contains(&orphan),
        "no marker and no parent, but known"
    );
    kill_all(&mut tracker, &marker);
}

#[test]
fn other_markers_are_left_alone() {
    let (mine, other) = (unique("mine"), unique("other"));
    let mut tracker = Tracker::default();
    let mut first = shell(&mine, "sleep 1000");
    let mut second = shell(&other, "sleep 1000");
    until("both run", || {
        let found = tracker.scan([mine.as_str(), other.as_str()]).unwrap();
        found.values().all(|ids| !ids.is_empty()).then_some(())
    });
    kill_all(&mut tracker, &mine);
    first.wait().unwrap();
    assert!(second.try_wait().unwrap().is_none());
    kill_all(&mut tracker, &other);
    second.wait().unwrap();
}
