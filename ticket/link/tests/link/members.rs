//! Members that move, restart, are copied, or are found by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cluster::{config, credentials, down, free, issued, message, peer, start, up, wait_for};
use link::ca::Ca;
use link::{Address, Event, Link, LinkConfig, LinkSocket, Peer, Resolution, Resolve, ResolveError};

#[tokio::test(flavor = "current_thread")]
async fn ipv6_and_both_families_on_one_socket() {
    let ca = Ca::create("shop").unwrap();
    let port = free("127.0.0.1").port();
    let everywhere: SocketAddr = format!("[::]:{port}").parse().unwrap();
    let peers = vec![peer("paris", "site", &[]), peer("rome", "site", &[])];
    let (berlin, mut events) = start(config(&ca, "site", "berlin", everywhere, peers)).await;
    for (name, ip) in [("paris", "::1"), ("rome", "127.0.0.1")] {
        let there = SocketAddr::new(ip.parse().unwrap(), port);
        let peers = vec![peer("berlin", "site", &[there])];
        let (link, mut link_events) = start(config(&ca, "site", name, free(ip), peers)).await;
        assert_eq!(up(&mut link_events, "berlin").await, there);
        assert_eq!(up(&mut events, name).await.ip(), there.ip());
        berlin.send(name, b"hello").unwrap();
        assert_eq!(message(&mut link_events, "berlin").await, b"hello");
        link.close().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn first_address_that_works_is_used() {
    let ca = Ca::create("shop").unwrap();
    let (a, b) = (free("127.0.0.1"), free("127.0.0.1"));
    let (nobody, nobody6) = (free("127.0.0.1"), free("::1"));
    let (_left, mut left_events) = start(config(
        &ca,
        "site",
        "berlin",
        a,
        vec![peer("paris", "site", &[nobody, nobody6, b])],
    ))
    .await;
    let (_right, _right_events) = start(config(
        &ca,
        "site",
        "paris",
        b,
        vec![peer("berlin", "site", &[])],
    ))
    .await;
    assert_eq!(up(&mut left_events, "paris").await, b);
}

/// A name server that a test can rewrite.
#[derive(Default)]
struct FakeNames(Mutex<BTreeMap<String, SocketAddr>>);

impl FakeNames {
    fn set(&self, name: &str, address: SocketAddr) {
        self.0.lock().unwrap().insert(name.to_owned(), address);
    }
}

impl Resolve for FakeNames {
    fn resolve<'a>(&'a self, address: &'a Address) -> Resolution<'a> {
        Box::pin(async move {
            let name = match address {
                Address::Ip(address) => return Ok(vec![*address]),
                Address::Host { name, .. } | Address::Service { name } => name.clone(),
            };
            let found = self.0.lock().unwrap().get(&name).copied();
            let reason = "no such name".to_owned();
            found
                .map(|address| vec![address])
                .ok_or(ResolveError { name, reason })
        })
    }
}

async fn start_with_names(config: LinkConfig, names: Arc<FakeNames>) -> (Link, link::Events) {
    let socket = quinn::Runtime::wrap_udp_socket(
        &quinn::TokioRuntime,
        std::net::UdpSocket::bind(config.listen[0]).unwrap(),
    )
    .unwrap();
    let socket = LinkSocket::custom(socket, Arc::new(quinn::TokioRuntime)).unwrap();
    Link::bind_with(config, vec![socket], names).await.unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn names_are_resolved_again_when_a_member_moves() {
    let ca = Ca::create("shop").unwrap();
    let names = Arc::new(FakeNames::default());
    let peers = vec![Peer {
        name: "paris".to_owned(),
        role: "site".to_owned(),
        addresses: vec![
            "srv:_interlock._udp.paris.example".to_owned(),
            "never.example:9929".to_owned(),
        ],
    }];
    let (berlin, mut events) = start_with_names(
        config(&ca, "site", "berlin", free("127.0.0.1"), peers),
        names.clone(),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = berlin.stats().peers[0].last_error.clone().unwrap();
    assert!(
        error.contains("cannot be resolved: no such name"),
        "{error}"
    );
    for _ in 0..2 {
        let here = free("127.0.0.1");
        names.set("_interlock._udp.paris.example", here);
        let (paris, _paris_events) = start(config(
            &ca,
            "site",
            "paris",
            here,
            vec![peer("berlin", "site", &[])],
        ))
        .await;
        assert_eq!(up(&mut events, "paris").await, here);
        paris.close().await;
        down(&mut events, "paris").await;
    }
}

/// What a process that is killed leaves behind: nothing says goodbye.
async fn kill(runtime: tokio::runtime::Runtime) {
    tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_millis(50)))
        .await
        .unwrap();
}

fn own_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn killed_and_restarted_member_is_back_at_once() {
    let ca = Ca::create("shop").unwrap();
    let (a, b) = (free("127.0.0.1"), free("127.0.0.1"));
    let paris = config(&ca, "site", "paris", b, vec![peer("berlin", "site", &[a])]);
    let (_berlin, mut events) = start(config(
        &ca,
        "site",
        "berlin",
        a,
        vec![peer("paris", "site", &[b])],
    ))
    .await;
    let mut instances = Vec::new();
    let mut worst = Duration::ZERO;
    for _ in 0..3 {
        let begun = Instant::now();
        let process = own_runtime();
        let paris = paris.clone();
        process.spawn(async move {
            let (link, mut events) = start(paris).await;
            up(&mut events, "berlin").await;
            while link.send("berlin", b"alive").is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let instance = wait_for(&mut events, |event| match event {
            Event::Up { instance, .. } => Some(instance),
            _ => None,
        })
        .await;
        assert_eq!(message(&mut events, "paris").await, b"alive");
        worst = worst.max(begun.elapsed());
        assert!(!instances.contains(&instance));
        instances.push(instance);
        kill(process).await;
    }
    println!("worst time from restart to the first message: {worst:?}");
    assert!(worst < Duration::from_secs(3), "took {worst:?}");
}

/// Long before the link gives a silent connection up, somebody who looks can know.
#[tokio::test(flavor = "current_thread")]
async fn who_is_asked_answers_or_is_seen_not_to() {
    let ca = Ca::create("shop").unwrap();
    let (a, b) = (free("127.0.0.1"), free("127.0.0.1"));
    let paris = config(&ca, "site", "paris", b, vec![peer("berlin", "site", &[a])]);
    let (berlin, mut events) = start(config(
        &ca,
        "site",
        "berlin",
        a,
        vec![peer("paris", "site", &[b])],
    ))
    .await;
    let process = own_runtime();
    process.spawn(async move {
        let _running = start(paris).await;
        std::future::pending::<()>().await;
    });
    up(&mut events, "paris").await;
    berlin.ask_quiet(Duration::ZERO);
    while berlin.stats().peers[0].last_heard.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(berlin.stats().peers[0].unanswered_for, None);
    kill(process).await;
    // Asked again only after a pause, so that a program that looks all the time wakes nobody more
    // often.
    while berlin.stats().peers[0].unanswered_for.is_none() {
        berlin.ask_quiet(Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let heard = berlin.stats().peers[0].last_heard;
    assert!(heard.is_some_and(|ago| ago >= Duration::from_secs(1)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stats = &berlin.stats().peers[0];
    assert!(
        stats
            .unanswered_for
            .is_some_and(|it| it >= Duration::from_millis(100))
    );
    assert!(stats.address.is_some(), "the link itself has not noticed");
}

#[tokio::test(flavor = "current_thread")]
async fn copy_of_a_member_is_refused_and_named_on_both_sides() {
    let ca = Ca::create("shop").unwrap();
    let (a, b, c) = (free("127.0.0.1"), free("127.0.0.1"), free("127.0.0.1"));
    let (_berlin, mut events) = start(config(
        &ca,
        "site",
        "berlin",
        a,
        vec![peer("paris", "site", &[])],
    ))
    .await;
    let original = config(&ca, "site", "paris", b, vec![peer("berlin", "site", &[a])]);
    let mut copy = original.clone();
    copy.listen = vec![c];
    let (first, mut first_events) = start(original).await;
    up(&mut events, "paris").await;
    up(&mut first_events, "berlin").await;
    let (_second, mut second_events) = start(copy).await;
    let duplicate = |event| match event {
        Event::Duplicate { member, why } => Some((member, why)),
        Event::Down { .. } => panic!("the copy took the place of the first"),
        _ => None,
    };
    let (member, why) = wait_for(&mut events, duplicate).await;
    assert_eq!(*member, *"paris");
    assert!(
        why.contains(&b.to_string()) && why.contains(&c.to_string()),
        "{why}"
    );
    let (member, why) = wait_for(&mut second_events, |event| match event {
        Event::Duplicate { member, why } => Some((member, why)),
        _ => None,
    })
    .await;
    assert_eq!(*member, *"paris");
    assert!(why.contains("another process with the name paris"), "{why}");
    first.send("berlin", b"undisturbed").unwrap();
    assert_eq!(message(&mut events, "paris").await, b"undisturbed");
}

#[tokio::test(flavor = "current_thread")]
async fn reload_keeps_good_connections() {
    let ca = Ca::create("shop").unwrap();
    let (a, b, c) = (free("127.0.0.1"), free("127.0.0.1"), free("127.0.0.1"));
    let to_paris = peer("paris", "site", &[b]);
    let to_rome = peer("rome", "site", &[c]);
    let first = config(&ca, "site", "berlin", a, vec![to_paris.clone()]);
    let (berlin, mut events) = start(first.clone()).await;
    let (paris, mut paris_events) = start(config(
        &ca,
        "site",
        "paris",
        b,
        vec![peer("berlin", "site", &[a])],
    ))
    .await;
    let (_rome, mut rome_events) = start(config(
        &ca,
        "site",
        "rome",
        c,
        vec![peer("berlin", "site", &[])],
    ))
    .await;
    up(&mut events, "paris").await;
    up(&mut paris_events, "berlin").await;
    // A new certificate and one member more.
    let mut second = first.clone();
    second.credentials = credentials(&ca, &issued(&ca, "site", "berlin"));
    second.peers = vec![to_paris, to_rome.clone()];
    berlin.reload(second.clone()).await.unwrap();
    up(&mut events, "rome").await;
    paris.send("berlin", b"kept").unwrap();
    assert_eq!(message(&mut events, "paris").await, b"kept");
    assert_eq!(
        berlin.stats().peers[0].counters.connects,
        1,
        "paris was reconnected"
    );
    // One member less: its connection is closed.
    second.peers = vec![to_rome];
    berlin.reload(second.clone()).await.unwrap();
    assert!(down(&mut paris_events, "berlin").await.contains("removed"));
    up(&mut rome_events, "berlin").await;
    // Another identity needs a restart.
    second.credentials = credentials(&ca, &issued(&ca, "site", "oslo"));
    assert!(berlin.reload(second).await.is_err());
}
