//! Wrong files, each with one clear error and nothing lost or half-applied.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};

use link::Identity;
use link::ca::Ca;

use crate::cluster::{Cluster, issue};

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
