//! A few of the demo's scripts with every `cargo test`; all of them: `demo --all-scripts`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, Once, PoisonError};

/// One cluster at a time: two would share the machine's cores, and leases here are short.
static TURN: Mutex<()> = Mutex::new(());

static BUILT: Once = Once::new();

/// The packages whose programs the demo starts. `cargo test` builds programs for the tests of their
/// own packages only, so that they may be missing, or older than their sources.
const PACKAGES: [&str; 5] = ["site-agent", "arbitrator", "local-stack", "guard", "ticket"];

fn build(demo: &Path) {
    let mut command = Command::new(env!("CARGO"));
    command.arg("build").arg("--quiet");
    for package in PACKAGES {
        command.args(["-p", package]);
    }
    let folder = demo.parent().expect("a program has a folder");
    if folder.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    let status = command
        .arg("--target-dir")
        .arg(folder.parent().expect("a profile has a folder"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo can be started");
    assert!(status.success(), "the daemons cannot be built");
}

fn run(arguments: &[&str]) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let demo = PathBuf::from(env!("CARGO_BIN_EXE_demo"));
    BUILT.call_once(|| build(&demo));
    let output = Command::new(&demo)
        .args(arguments)
        .output()
        .expect("the demo can be started");
    assert!(
        output.status.success(),
        "demo {}:\n{}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_witness_sees_an_overlap_that_is_there() {
    run(&["--check-witness"]);
}

#[test]
fn a_move_stops_before_it_starts() {
    run(&["--builtin", "move"]);
}

#[test]
fn a_dead_site_is_replaced_in_time() {
    run(&["--builtin", "kill-site"]);
}

#[test]
fn a_paused_site_writes_nothing_stale() {
    run(&["--builtin", "pause-site"]);
}

#[test]
fn an_agent_that_hangs_is_overruled_by_the_guard() {
    run(&["--builtin", "stop-hangs"]);
}

#[test]
fn a_script_with_mistakes_is_refused_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.demo");
    std::fs::write(&path, "start\nkil berlin\nexpect joy\n").unwrap();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let demo = PathBuf::from(env!("CARGO_BIN_EXE_demo"));
    BUILT.call_once(|| build(&demo));
    let output = Command::new(demo)
        .arg("--script")
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("line 2: `kil` is not a verb"), "{text}");
    assert!(text.contains("line 3: `expect joy`"), "{text}");
}
