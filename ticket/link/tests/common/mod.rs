//! A cluster of links on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use link::ca::{Ca, Issued, MEMBER_VALIDITY};
use link::{Credentials, Event, Events, Identity, Link, LinkConfig, Peer, Pki};

/// Longest wait for something that has to happen.
pub const SOON: Duration = Duration::from_secs(10);

pub fn identity(cluster: &str, role: &str, name: &str) -> Identity {
    Identity::new(cluster, role, name).expect("a good name")
}

pub fn issued(ca: &Ca, role: &str, name: &str) -> Issued {
    ca.issue(&identity("shop", role, name), MEMBER_VALIDITY)
        .expect("a certificate")
}

pub fn credentials(ca: &Ca, issued: &Issued) -> Credentials {
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

pub fn peer(name: &str, role: &str, addresses: &[SocketAddr]) -> Peer {
    Peer {
        name: name.to_owned(),
        role: role.to_owned(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
    }
}

/// A free UDP port on loopback: bound for a moment, then given back.
pub fn free(ip: &str) -> SocketAddr {
    let socket = std::net::UdpSocket::bind(SocketAddr::new(ip.parse().expect("an address"), 0))
        .expect("a free port");
    socket.local_addr().expect("bound")
}

pub fn config(ca: &Ca, role: &str, name: &str, listen: SocketAddr, peers: Vec<Peer>) -> LinkConfig {
    LinkConfig::new(
        credentials(ca, &issued(ca, role, name)),
        vec![listen],
        peers,
    )
}

pub async fn start(config: LinkConfig) -> (Link, Events) {
    Link::bind(config).await.expect("bound")
}

/// The first event that `pick` takes; others are dropped.
pub async fn wait_for<T>(events: &mut Events, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = pick(events.recv().await) {
                return found;
            }
        }
    };
    tokio::time::timeout(SOON, found)
        .await
        .expect("it happens soon")
}

pub async fn up(events: &mut Events, name: &str) -> SocketAddr {
    wait_for(events, |event| match event {
        Event::Up { peer, address, .. } if *peer == *name => Some(address),
        _ => None,
    })
    .await
}

pub async fn down(events: &mut Events, name: &str) -> String {
    wait_for(events, |event| match event {
        Event::Down { peer, why } if *peer == *name => Some(why),
        _ => None,
    })
    .await
}

pub async fn message(events: &mut Events, name: &str) -> Vec<u8> {
    wait_for(events, |event| match event {
        Event::Message { from, bytes } if *from == *name => Some(bytes.to_vec()),
        _ => None,
    })
    .await
}
