//! Who is not let in, and what is said about it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::cluster::{
    config, credentials, free, identity, issued, message, peer, start, up, wait_for,
};
use link::ca::{Ca, MEMBER_VALIDITY};
use link::{Credentials, CredentialsError, Event, Identity, Link, LinkConfig, Pki};

const DAY: Duration = Duration::from_secs(86_400);

/// What berlin says about a stranger that dials it, and what the stranger learns.
async fn refused(ca: &Ca, stranger: impl FnOnce(SocketAddr) -> LinkConfig) -> (String, String) {
    let berlin = free("127.0.0.1");
    let peers = vec![peer("paris", "site", &[])];
    let (link, mut events) = start(config(ca, "site", "berlin", berlin, peers)).await;
    let (stranger, _stranger_events) = start(stranger(berlin)).await;
    let here = wait_for(&mut events, |event| match event {
        Event::Refused { why, .. } => Some(why),
        Event::Up { .. } | Event::Message { .. } => panic!("the stranger was let in"),
        _ => None,
    })
    .await;
    let there = loop {
        if let Some(why) = stranger.stats().peers[0].last_error.clone() {
            break why;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(link.stats().refused > 0);
    assert_eq!(link.stats().peers[0].address, None);
    (here, there)
}

fn dialling(credentials: Credentials, berlin: SocketAddr) -> LinkConfig {
    let peers = vec![peer("berlin", "site", &[berlin])];
    LinkConfig::new(credentials, vec![free("127.0.0.1")], peers)
}

#[tokio::test(flavor = "current_thread")]
async fn certificate_of_another_authority() {
    let (ours, other) = (Ca::create("shop").unwrap(), Ca::create("shop").unwrap());
    // Its configuration trusts ours, so that only its own certificate is wrong.
    let wrong = credentials(&other, &issued(&other, "site", "paris"));
    let (here, there) = refused(&ours, |berlin| dialling(wrong, berlin)).await;
    assert!(
        there.contains("another authority") || here.contains("another authority"),
        "{here} / {there}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn certificate_of_another_cluster() {
    let (ours, other) = (Ca::create("shop").unwrap(), Ca::create("bank").unwrap());
    let certificate = other
        .issue(&identity("bank", "site", "paris"), MEMBER_VALIDITY)
        .unwrap();
    let wrong = credentials(&other, &certificate);
    let (here, there) = refused(&ours, |berlin| dialling(wrong, berlin)).await;
    assert!(
        there.contains("another cluster") || here.contains("another cluster"),
        "{here} / {there}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn member_that_the_configuration_does_not_name() {
    let ca = Ca::create("shop").unwrap();
    let rome = credentials(&ca, &issued(&ca, "site", "rome"));
    let (here, there) = refused(&ca, |berlin| dialling(rome, berlin)).await;
    assert!(here.contains("berlin knows no member rome"), "{here}");
    assert!(there.contains("berlin knows no member rome"), "{there}");
}

#[tokio::test(flavor = "current_thread")]
async fn member_in_another_role() {
    let ca = Ca::create("shop").unwrap();
    let paris = credentials(&ca, &issued(&ca, "arbitrator", "paris"));
    let (here, there) = refused(&ca, |berlin| dialling(paris, berlin)).await;
    assert!(
        here.contains("of paris says arbitrator") && here.contains("says site"),
        "{here}"
    );
    assert!(there.contains("says site"), "{there}");
}

#[tokio::test(flavor = "current_thread")]
async fn dialled_member_is_somebody_else() {
    let ca = Ca::create("shop").unwrap();
    let address = free("127.0.0.1");
    let (_rome, _events) = start(config(
        &ca,
        "site",
        "rome",
        address,
        vec![peer("berlin", "site", &[])],
    ))
    .await;
    let paris_at_rome = vec![peer("paris", "site", &[address])];
    let (berlin, mut events) = start(config(
        &ca,
        "site",
        "berlin",
        free("127.0.0.1"),
        paris_at_rome,
    ))
    .await;
    let why = wait_for(&mut events, |event| match event {
        Event::Refused { why, .. } => Some(why),
        _ => None,
    })
    .await;
    assert!(
        why.contains("rome of cluster shop, but berlin dialled paris"),
        "{why}"
    );
    assert!(berlin.stats().peers[0].counters.auth_failures > 0);
}

#[tokio::test(flavor = "current_thread")]
async fn certificate_that_expires_while_running_refuses_newcomers_only() {
    let ca = Ca::create("shop").unwrap();
    let (a, b) = (free("127.0.0.1"), free("127.0.0.1"));
    let now = SystemTime::now();
    let short = ca
        .issue_between(
            &identity("shop", "site", "paris"),
            now - DAY,
            now + Duration::from_secs(2),
        )
        .unwrap();
    let short = credentials(&ca, &short);
    let (berlin, mut events) = start(config(
        &ca,
        "site",
        "berlin",
        a,
        vec![peer("paris", "site", &[])],
    ))
    .await;
    let paris = LinkConfig::new(short, vec![b], vec![peer("berlin", "site", &[a])]);
    let (first, mut first_events) = start(paris.clone()).await;
    wait_for(&mut first_events, |event| match event {
        Event::CertificateExpires { member, .. } => (*member == *"paris").then_some(()),
        _ => None,
    })
    .await;
    up(&mut events, "paris").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // The connection made before still carries messages.
    first.send("berlin", b"still here").unwrap();
    assert_eq!(message(&mut events, "paris").await, b"still here");
    first.close().await;
    drop((first, first_events));
    let (_second, _second_events) = start(paris).await;
    let why = wait_for(&mut events, |event| match event {
        Event::Refused { why, .. } => Some(why),
        Event::Up { .. } => panic!("an expired certificate was let in"),
        _ => None,
    })
    .await;
    assert!(why.contains("expired"), "{why}");
    assert!(berlin.stats().refused > 0);
}

#[tokio::test(flavor = "current_thread")]
async fn garbage_from_strangers_disturbs_nobody() {
    let ca = Ca::create("shop").unwrap();
    let (a, b) = (free("127.0.0.1"), free("127.0.0.1"));
    let (_left, mut left_events) = start(config(
        &ca,
        "site",
        "berlin",
        a,
        vec![peer("paris", "site", &[b])],
    ))
    .await;
    let (right, mut right_events) = start(config(
        &ca,
        "site",
        "paris",
        b,
        vec![peer("berlin", "site", &[a])],
    ))
    .await;
    up(&mut left_events, "paris").await;
    up(&mut right_events, "berlin").await;
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut x = 1u64;
    for length in (0..1_400).step_by(7) {
        let noise: Vec<u8> = (0..length)
            .map(|n| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Every other one looks like the start of a handshake.
                if n == 0 && length % 2 == 0 {
                    0xc3
                } else {
                    (x >> 56) as u8
                }
            })
            .collect();
        stranger.send_to(&noise, a).unwrap();
        if length % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    right.send("berlin", b"undisturbed").unwrap();
    assert_eq!(message(&mut left_events, "paris").await, b"undisturbed");
}

fn pem(ca: &Ca, member: &Identity, change: impl FnOnce(&mut [String; 3])) -> CredentialsError {
    let good = ca.issue(member, MEMBER_VALIDITY).unwrap();
    let mut pem = [
        ca.certificate_pem().to_owned(),
        good.certificate_pem,
        good.key_pem,
    ];
    change(&mut pem);
    let pki = Pki::in_directory("pki".as_ref(), "paris");
    match Credentials::from_pem(&pem[0], &pem[1], &pem[2], &pki, member) {
        Ok(_) => panic!("the credentials were taken"),
        Err(e) => e,
    }
}

#[test]
fn own_credentials_are_checked_before_anything_starts() {
    let ca = Ca::create("shop").unwrap();
    let paris = identity("shop", "site", "paris");
    let other = ca
        .issue(&identity("shop", "site", "rome"), MEMBER_VALIDITY)
        .unwrap();
    let error = pem(&ca, &paris, |pem| pem[1] = other.certificate_pem.clone());
    assert!(
        error.to_string().contains("certificate of site rome"),
        "{error}"
    );
    let error = pem(&ca, &paris, |pem| pem[2] = other.key_pem.clone());
    assert!(
        error.to_string().contains("paris.key is not the key of"),
        "{error}"
    );
    let foreign = Ca::create("shop").unwrap();
    let error = pem(&ca, &paris, |pem| {
        pem[0] = foreign.certificate_pem().to_owned()
    });
    assert!(error.to_string().contains("was not signed by"), "{error}");
    let error = pem(&ca, &paris, |pem| pem[2] = "no key".to_owned());
    assert!(error.to_string().contains("no PEM private key"), "{error}");
    let bank = Ca::create("bank").unwrap();
    let bank = bank
        .issue(&identity("bank", "site", "paris"), MEMBER_VALIDITY)
        .unwrap();
    let error = pem(&ca, &paris, |pem| pem[1] = bank.certificate_pem.clone());
    assert!(
        error.to_string().contains("certificate of cluster bank"),
        "{error}"
    );
    let now = SystemTime::now();
    let old = ca
        .issue_between(&paris, now - DAY * 9, now - DAY * 3)
        .unwrap();
    let error = pem(&ca, &paris, |pem| pem[1] = old.certificate_pem.clone());
    assert!(error.to_string().contains("expired 3 days ago"), "{error}");
    let early = ca
        .issue_between(&paris, now + DAY * 3, now + DAY * 9)
        .unwrap();
    let error = pem(&ca, &paris, |pem| pem[1] = early.certificate_pem.clone());
    assert!(error.to_string().contains("not valid before"), "{error}");
}

#[test]
fn key_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create("shop").unwrap();
    ca.save(dir.path()).unwrap();
    assert!(ca.save(dir.path()).is_err(), "an authority was overwritten");
    let paris = identity("shop", "site", "paris");
    let issued = Ca::load(dir.path())
        .unwrap()
        .issue(&paris, MEMBER_VALIDITY)
        .unwrap();
    issued.save(dir.path()).unwrap();
    assert!(issued.save(dir.path()).is_err(), "a key was overwritten");
    let pki = Pki::in_directory(dir.path(), "paris");
    for key in [dir.path().join("ca.key"), pki.key.clone()] {
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    Credentials::load(&pki, &paris).unwrap();
    std::fs::set_permissions(&pki.key, PermissionsExt::from_mode(0o640)).unwrap();
    let error = Credentials::load(&pki, &paris).err().unwrap();
    assert!(
        matches!(error, CredentialsError::KeyExposed { mode: 0o640, .. }),
        "{error}"
    );
    std::fs::set_permissions(dir.path().join("ca.key"), PermissionsExt::from_mode(0o604)).unwrap();
    assert!(Ca::load(dir.path()).is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn contradicting_peers_are_refused() {
    let ca = Ca::create("shop").unwrap();
    let a = free("127.0.0.1");
    let bad = [
        vec![peer("berlin", "site", &[a])],
        vec![peer("paris", "site", &[a]), peer("paris", "site", &[a])],
        vec![link::Peer {
            addresses: vec!["nonsense:".to_owned()],
            ..peer("paris", "site", &[])
        }],
        vec![peer("Paris", "site", &[a])],
    ];
    for peers in bad {
        assert!(
            Link::bind(config(&ca, "site", "berlin", a, peers))
                .await
                .is_err()
        );
    }
}
