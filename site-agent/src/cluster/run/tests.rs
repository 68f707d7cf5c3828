//! Commands that end well, badly, late or never.

use std::future::pending;

use super::*;

async fn sh(script: &str, within: Duration) -> Result<Ended, String> {
    run(
        Path::new("/bin/sh"),
        &["-c", script],
        &[],
        within,
        pending(),
    )
    .await
}

const PLENTY: Duration = Duration::from_secs(60);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// Whether a process lives, or waits to be reaped.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn output_and_last_words_are_kept() {
    block_on(async {
        let ended = sh("echo granted 7", PLENTY).await.expect("it ends well");
        assert_eq!(ended.output, "granted 7\n");
        let failed = sh("echo first >&2; echo disk on fire >&2; exit 3", PLENTY).await;
        let why = failed.expect_err("it fails");
        assert!(why.contains('3') && why.ends_with("disk on fire"), "{why}");
        let missing = run(Path::new("/nowhere"), &[""; 0], &[], PLENTY, pending()).await;
        assert!(missing.is_err_and(|why| why.contains("/nowhere")));
    });
}

#[test]
fn a_hanging_command_is_killed_with_its_children() {
    block_on(async {
        let file = std::env::temp_dir().join(format!("interlock-run-{}", std::process::id()));
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let late = sh(&script, Duration::from_millis(300)).await;
        assert!(late.is_err_and(|why| why.contains("killed")));
        let child = std::fs::read_to_string(&file).expect("its child's id");
        let mut patience = 6000;
        while lives(&child) && patience > 0 {
            patience -= 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!lives(&child), "{child} survived");
        std::fs::remove_file(&file).expect("the scratch file goes");
    });
}

#[test]
fn a_superseded_command_is_killed_at_once() {
    block_on(async {
        let superseded = tokio::time::sleep(Duration::from_millis(50));
        let words = ["-c", "sleep 1000"];
        let ended = run(Path::new("/bin/sh"), &words, &[], PLENTY, superseded).await;
        assert!(ended.is_err_and(|why| why.contains("pointless")));
    });
}

#[test]
fn what_a_command_leaves_running_does_not_hold_it_up() {
    block_on(async {
        // The child keeps the pipes open, as a service started by a careless script does.
        let ended = timeout(PLENTY, sh("sleep 5 & exit 0", PLENTY)).await;
        assert!(ended.is_ok_and(|ended| ended.is_ok()));
    });
}

#[test]
fn a_flood_of_output_neither_blocks_nor_fills_memory() {
    block_on(async {
        let ended = sh("yes | head -c 3000000", PLENTY).await.expect("it ends");
        assert!(ended.output.len() <= 4096);
    });
}
