//! A cluster of links on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use link::ca::{Ca, Issued, MEMBER_VALIDITY};
use link::{Credentials, Event, Events, Identity, Link, LinkConfig, Peer, Pki};

/// Longest wait for something that has to happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn identity(cluster: &str, role: &str, name: &str) -> Identity {
    Identity::new(cluster, role, name).expect("a good name")
}

pub(crate) fn issued(ca: &Ca, role: &str, name: &str) -> Issued {
    ca.issue(&identity("shop", role, name), MEMBER_VALIDITY)
        .expect("a certificate")
}

pub(crate) fn credentials(ca: &Ca, issued: &Issued) -> Credentials {
    let pki = Pki::in_directory("memory".as_ref(), &issued.identity.name);
    Credentials::from_pem(
        ca.certificate_pem(),
        &issued.certificate_pem,
        &issued.key_pem,
        &pki,
        &issued.identity,
    )
    .expect("good credentials")
}

pub(crate) fn peer(name: &str, role: &str, addresses: &[SocketAddr]) -> Peer {
    Peer {
        name: name.to_owned(),
        role: role.to_owned(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
    }
}

/// A free UDP port on loopback: bound for a moment, then given back.
pub(crate) fn free(ip: &str) -> SocketAddr {
    let socket = std::net::UdpSocket::bind(SocketAddr::new(ip.parse().expect("an address"), 0))
        .expect("a free port");
    socket.local_addr().expect("bound")
}

pub(crate) fn config(
    ca: &Ca,
    role: &str,
    name: &str,
    listen: SocketAddr,
    peers: Vec<Peer>,
) -> LinkConfig {
    LinkConfig::new(
        credentials(ca, &issued(ca, role, name)),
        vec![listen],
        peers,
    )
}

/// Binds; a port that a closed link has not given back yet is waited for.
pub(crate) async fn start(config: LinkConfig) -> (Link, Events) {
    let begun = std::time::Instant::now();
    loop {
        match Link::bind(config.clone()).await {
            Ok(bound) => return bound,
            Err(e) if begun.elapsed() > SOON => panic!("{e}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// The first event that `pick` takes; others are dropped.
pub(crate) async fn wait_for<T>(
    events: &mut Events,
    mut pick: impl FnMut(Event) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = events.recv().await;
            if let Some(found) = pick(event) {
                return found;
            }
        }
    };
    tokio::time::timeout(SOON, found)
        .await
        .expect("it happens soon")
}

pub(crate) async fn up(events: &mut Events, name: &str) -> SocketAddr {
    wait_for(events, |event| match event {
        Event::Up { peer, address, .. } if *peer == *name => Some(address),
        _ => None,
    })
    .await
}

pub(crate) async fn down(events: &mut Events, name: &str) -> String {
    wait_for(events, |event| match event {
        Event::Down { peer, why } if *peer == *name => Some(why),
        _ => None,
    })
    .await
}

pub(crate) async fn message(events: &mut Events, name: &str) -> Vec<u8> {
    wait_for(events, |event| match event {
        Event::Message { from, bytes } if *from == *name => Some(bytes.to_vec()),
        _ => None,
    })
    .await
}
