//! Wrong files, each with one clear error and nothing lost or half-applied.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use link::Identity;
use link::ca::Ca;
use ticket_admin::{MemberState, Verb};

use crate::cluster::{AUTO, Cluster, PATIENCE, issue};

const MANUAL: &str = "[ticket.db]\nmode = \"manual\"\n";

/// Starts a member that must refuse to run; what it said.
fn refused(cluster: &Cluster, member: &str) -> (Option<i32>, String) {
    let output: Output = cluster
        .command(member, &[])
        .stderr(Stdio::piped())
        .output()
        .expect("the daemon");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text)
}

fn replace_certificate(cluster: &Cluster, ca: &Ca, name: &str, role: &str, owner: &str) {
    let pki = cluster.home(owner).join("pki");
    for file in ["crt", "key"] {
        fs::remove_file(pki.join(format!("{owner}.{file}"))).expect("the old one");
    }
    issue(ca, "shop", role, name, &pki);
    if name != owner {
        for file in ["crt", "key"] {
            fs::rename(
                pki.join(format!("{name}.{file}")),
                pki.join(format!("{owner}.{file}")),
            )
            .expect("renamed");
        }
    }
}

#[test]
fn wrong_certificates_are_named_and_refused() {
    let cluster = Cluster::new(MANUAL);
    let stranger = Ca::create("shop").expect("another authority");
    replace_certificate(&cluster, &stranger, "berlin", "site", "berlin");
    let (code, text) = refused(&cluster, "berlin");
    assert_eq!(code, Some(78), "{text}");

    replace_certificate(&cluster, &cluster.ca, "paris", "site", "berlin");
    let (code, text) = refused(&cluster, "berlin");
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("paris"), "{text}");

    let pki = cluster.home("paris").join("pki");
    for file in ["paris.crt", "paris.key"] {
        fs::remove_file(pki.join(file)).expect("the old one");
    }
    let identity = Identity::new("shop", "site", "paris").expect("an identity");
    let past = SystemTime::now() - Duration::from_secs(7200);
    let expired = cluster
        .ca
        .issue_between(&identity, past, past + Duration::from_secs(3600))
        .expect("a certificate");
    expired.save(&pki).expect("saved");
    let (code, text) = refused(&cluster, "paris");
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("expired"), "{text}");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let cluster = Cluster::new(MANUAL);
    let key = cluster.home("berlin").join("pki/berlin.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("chmod");
    let (code, text) = refused(&cluster, "berlin");
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("chmod 600"), "{text}");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let cluster = Cluster::new(MANUAL);
    let file = cluster.home("berlin").join("interlock.toml");
    let text = fs::read_to_string(&file).expect("the configuration");
    fs::write(&file, text.replace("mode", "moed")).expect("a wrong key");
    let (code, text) = refused(&cluster, "berlin");
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("interlock.toml:"), "{text}");
    assert!(cluster.home("berlin").join("state/first-start").exists());
}

#[test]
fn the_wrong_program_for_a_member_is_refused() {
    let cluster = Cluster::new(MANUAL);
    let file = cluster.home("berlin").join("interlock.toml");
    let text = fs::read_to_string(&file).expect("the configuration");
    fs::write(
        &file,
        text.replace("member = \"berlin\"", "member = \"arb\""),
    )
    .expect("written");
    let (code, text) = refused(&cluster, "berlin");
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("start it with `arbitrator`"), "{text}");
}

#[test]
fn a_second_process_of_a_member_is_refused() {
    let cluster = Cluster::started(MANUAL);
    let (code, text) = refused(&cluster, "berlin");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("two copies of one member"), "{text}");
    cluster.await_view("berlin", "still there", |view| {
        view.votes.reachable == view.votes.configured
    });
}

/// Damages the state of berlin and shows that it says so and goes on as one that lost its memory.
fn damaged(damage: impl FnOnce(&mut Vec<u8>)) {
    let mut cluster = Cluster::started(MANUAL);
    cluster.grant("db", "berlin");
    cluster.kill("berlin");
    let path = cluster.home("berlin").join("state/state");
    let mut bytes = fs::read(&path).expect("the state");
    damage(&mut bytes);
    fs::write(&path, bytes).expect("damaged");
    cluster.start("berlin");
    let view = cluster.await_view("berlin", "an alarm", |view| !view.alarms.is_empty());
    assert!(view.alarms[0].contains("memory"), "{:?}", view.alarms);
}

#[test]
fn a_truncated_state_counts_as_lost() {
    damaged(|bytes| bytes.truncate(100));
}

#[test]
fn a_state_with_flipped_bits_counts_as_lost() {
    damaged(|bytes| {
        for byte in bytes.iter_mut().step_by(50) {
            *byte ^= 0x10;
        }
    });
}

#[test]
fn a_deleted_state_counts_as_lost() {
    damaged(Vec::clear);
}

/// Restores a state that is older than the last one, in a folder that still knows its number or
/// not; berlin's alarms and everybody's.
fn rolled_back(forgotten: bool) -> Vec<String> {
    let mut cluster = Cluster::started(MANUAL);
    cluster.grant("db", "berlin");
    let path = cluster.home("berlin").join("state/state");
    let older = fs::read(&path).expect("the state");
    cluster
        .act("berlin", "db", Verb::Revoke {})
        .expect("revoked");
    cluster.grant("db", "paris");
    cluster.await_view("berlin", "granted to paris", |view| {
        view.tickets[0].holder.as_deref() == Some("paris")
    });
    cluster.kill("berlin");
    assert_ne!(
        older,
        fs::read(&path).expect("the state"),
        "nothing was written"
    );
    fs::write(&path, older).expect("the older state");
    if forgotten {
        // As after a reboot.
        for file in fs::read_dir(cluster.home("berlin").join("run")).expect("the folder") {
            fs::remove_file(file.expect("a file").path()).expect("forgotten");
        }
    }
    cluster.start("berlin");
    let until = Instant::now() + PATIENCE;
    loop {
        let views = ["arb", "berlin", "paris"].map(|member| cluster.view(member));
        let alarms: Vec<String> = views
            .into_iter()
            .flatten()
            .flat_map(|it| it.alarms)
            .collect();
        if !alarms.is_empty() {
            return alarms;
        }
        assert!(Instant::now() < until, "no alarm\n{}", cluster.logs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_older_state_is_noticed_by_the_member_itself() {
    let alarms = rolled_back(false);
    assert!(
        alarms.iter().any(|alarm| alarm.contains("memory")),
        "{alarms:?}"
    );
}

#[test]
fn an_older_state_is_noticed_by_the_others_after_a_reboot() {
    let alarms = rolled_back(true);
    assert!(
        alarms
            .iter()
            .any(|alarm| alarm.contains("older") || alarm.contains("memory")),
        "{alarms:?}"
    );
}

#[test]
fn a_full_disk_is_an_alarm_and_the_others_go_on() {
    let mut cluster = Cluster::new(AUTO);
    cluster.start("arb");
    cluster.start("paris");
    // Files end at 8 kB: no state can be made. The log is a pipe, because it is a file as well.
    let mut limited = cluster.limited("berlin", 16).spawn().expect("the daemon");
    cluster.await_view("paris", "all votes within reach", |view| {
        view.members
            .iter()
            .all(|member| matches!(member.state, MemberState::Me | MemberState::Up))
    });
    cluster.grant("db", "paris");
    let view = cluster.await_view("berlin", "an alarm", |view| !view.alarms.is_empty());
    assert!(
        view.alarms.iter().any(|alarm| alarm.contains("written")),
        "{:?}",
        view.alarms
    );
    assert!(
        !cluster.home("berlin").join("state/state").exists(),
        "half a state"
    );
    assert!(
        cluster.home("berlin").join("state/first-start").exists(),
        "the mark is used up"
    );
    limited.kill().expect("the signal");
    limited.wait().expect("its end");
}

#[test]
fn two_copies_of_a_member_are_noticed() {
    let cluster = Cluster::started(MANUAL);
    let mut copy = cluster.copy("berlin").spawn().expect("the daemon");
    let until = Instant::now() + PATIENCE;
    loop {
        let views = ["arb", "berlin", "paris"].map(|member| cluster.view(member));
        let alarmed = views.into_iter().flatten().any(|view| {
            view.alarms
                .iter()
                .any(|alarm| alarm.contains("twice") || alarm.contains("two copies"))
        });
        if alarmed {
            break;
        }
        assert!(Instant::now() < until, "no alarm\n{}", cluster.logs());
        std::thread::sleep(Duration::from_millis(20));
    }
    // It may have ended by itself: that is what it should do.
    let _ended = copy.kill();
    copy.wait().expect("its end");
}
