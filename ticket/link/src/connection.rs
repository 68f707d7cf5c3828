//! One connection: proving who is there, greeting, and reading until it ends.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream};
use rustls_pki_types::CertificateDer;
use tokio::task::JoinSet;
use tracing::debug;

use crate::credentials::Facts;
use crate::failure::{Code, Failure};
use crate::frame::{self, HELLO_BYTES, Hello, MESSAGE_BYTES_MAX};
use crate::identity::Identity;
use crate::shared::{Shared, Wire, canonical};

/// A long message must arrive within this; whoever is slower resends it as a fresh one.
pub(crate) const STREAM_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection whose peer has proven to be a configured member.
pub(crate) struct Proven {
    pub(crate) connection: Connection,
    pub(crate) peer: Arc<str>,
    certificate_expires: SystemTime,
}

/// Who is at the other end, by its certificate; `Err` says why it is not let in, and which name
/// it proved. TLS has checked the signature; here the name and role must be those of a configured
/// peer.
pub(crate) fn prove(
    shared: &Shared,
    connection: Connection,
    expected: Option<&str>,
) -> Result<Proven, (Option<String>, Failure)> {
    let address = canonical(connection.remote_address());
    let refuse = |name: Option<String>, why: String| {
        connection.close(Code::Refused.into(), why.as_bytes());
        (name, Failure::auth(address, why))
    };
    let facts = match peer_facts(&connection) {
        Ok(facts) => facts,
        Err(why) => return Err(refuse(None, why)),
    };
    let found = facts.identity;
    if let Err(why) = expect(shared, &found, expected) {
        return Err(refuse(Some(found.name), why));
    }
    let peer = Arc::from(found.name);
    Ok(Proven {
        connection,
        peer,
        certificate_expires: facts.not_after,
    })
}

fn peer_facts(connection: &Connection) -> Result<Facts, String> {
    let shown = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or("it showed no certificate")?;
    Facts::of(shown.first().ok_or("it showed no certificate")?)
}

fn expect(shared: &Shared, found: &Identity, dialled: Option<&str>) -> Result<(), String> {
    let me = &shared.me;
    if found.cluster != me.cluster {
        return Err(format!(
            "certificate of another cluster: {found}, {} is of {}",
            me.name, me.cluster
        ));
    }
    // Somebody with our own name is dealt with after the greeting: ourselves, or a copy of us.
    if found.name == me.name && dialled.is_none() {
        return Ok(());
    }
    if let Some(dialled) = dialled
        && dialled != found.name
    {
        return Err(format!(
            "certificate of {found}, but {} dialled {dialled}",
            me.name
        ));
    }
    let Some(peer) = shared.peer(&found.name) else {
        return Err(format!("{} knows no member {}", me.name, found.name));
    };
    if peer.role != found.role {
        return Err(format!(
            "the certificate of {} says {}, the configuration of {} says {}",
            found.name, found.role, me.name, peer.role
        ));
    }
    Ok(())
}

/// Exchanges greetings and enters the connection into the table; then reads it in the background
/// until it ends.
pub(crate) async fn establish(
    shared: &Arc<Shared>,
    proven: Proven,
    ours: bool,
) -> Result<(), Failure> {
    let Proven {
        connection,
        peer,
        certificate_expires,
    } = proven;
    let address = canonical(connection.remote_address());
    let wait = shared.timing.handshake_timeout;
    let theirs = match tokio::time::timeout(wait, greet(shared, &connection)).await {
        Ok(greeting) => greeting.inspect_err(|failure| {
            connection.close(Code::BadGreeting.into(), failure.text.as_bytes());
        })?,
        Err(_) => {
            connection.close(Code::BadGreeting.into(), b"no greeting in time");
            return Err(Failure::other("no greeting in time"));
        }
    };
    if *peer == *shared.me.name {
        return Err(own_name(shared, &connection, theirs));
    }
    let instance = theirs.instance;
    let wire = Wire {
        connection: connection.clone(),
        start: Arc::default(),
    };
    let Some(id) = shared.admit(&peer, instance, ours, wire.clone(), certificate_expires) else {
        connection.close(Code::Removed.into(), b"removed from the configuration");
        return Err(Failure::auth(address, "removed from the configuration"));
    };
    tokio::spawn(read(shared.clone(), peer, id, wire));
    Ok(())
}

/// The other end has our own certificate: is it us (an address that leads back), or a copy?
fn own_name(shared: &Shared, connection: &Connection, theirs: Hello) -> Failure {
    let address = canonical(connection.remote_address());
    if theirs.instance == shared.instance {
        connection.close(Code::Refused.into(), b"that is ourselves");
        return Failure::other("a configured address leads back to ourselves");
    }
    let why = format!("another process at {address} uses our name and key");
    connection.close(
        Code::Duplicate.into(),
        b"this process uses your name and key",
    );
    shared.own_duplicate(why.clone());
    Failure::auth(address, why)
}

async fn greet(shared: &Shared, connection: &Connection) -> Result<Hello, Failure> {
    let address = canonical(connection.remote_address());
    let lost = |e: &ConnectionError| Failure::connection(address, e);
    let mut out = connection.open_uni().await.map_err(|e| lost(&e))?;
    let hello = Hello {
        instance: shared.instance,
    }
    .encode();
    let sent = async { out.write_all(&hello).await.is_ok() && out.finish().is_ok() }.await;
    if !sent {
        let reason = connection.close_reason();
        return Err(reason.map_or_else(|| Failure::other("greeting not sent"), |e| lost(&e)));
    }
    let mut stream = connection.accept_uni().await.map_err(|e| lost(&e))?;
    let bytes =
        stream
            .read_to_end(HELLO_BYTES)
            .await
            .map_err(|e| match connection.close_reason() {
                Some(reason) => lost(&reason),
                None => Failure::other(format!("its greeting cannot be read: {e}")),
            })?;
    Hello::decode(&bytes).map_err(Failure::other)
}

/// Reads datagrams and streams until the connection ends.
async fn read(shared: Arc<Shared>, peer: Arc<str>, id: u64, wire: Wire) {
    let Wire { connection, start } = wire;
    let mut streams = JoinSet::new();
    // Of two processes with one name, the newcomer is not listened to before the first is gone.
    tokio::select! {
            biased;
        () = start.notified() => {}
        end = connection.closed() => return ended(&shared, &peer, id, &connection, &end),
    }
    let end = loop {
        tokio::select! {
            biased;
            datagram = connection.read_datagram() => match datagram {
                Ok(bytes) => datagram_in(&shared, &peer, id, &connection, bytes),
                Err(e) => break e,
            },
            // QUIC itself lets the peer open only so many at a time.
            stream = connection.accept_uni() => match stream {
                Ok(stream) => { streams.spawn(stream_in(shared.clone(), peer.clone(), stream)); }
                Err(e) => break e,
            },
            Some(_) = streams.join_next() => {}
        }
    };
    ended(&shared, &peer, id, &connection, &end);
}

fn ended(
    shared: &Arc<Shared>,
    peer: &Arc<str>,
    id: u64,
    connection: &Connection,
    end: &ConnectionError,
) {
    let failure = Failure::connection(canonical(connection.remote_address()), end);
    debug!(%peer, id, "connection ended: {}", failure.text);
    // An orderly end is no failure.
    let orderly = match end {
        ConnectionError::LocallyClosed => true,
        ConnectionError::ApplicationClosed(close) => [Code::Goodbye, Code::Superseded, Code::Spare]
            .into_iter()
            .any(|code| close.error_code == code.into()),
        _ => false,
    };
    if !orderly {
        shared.failed(peer, &failure);
    }
    shared.closed(peer, id, &failure.text);
}

fn datagram_in(
    shared: &Arc<Shared>,
    peer: &Arc<str>,
    id: u64,
    connection: &Connection,
    mut bytes: Bytes,
) {
    match bytes.first() {
        Some(&frame::MESSAGE) => {
            let message = bytes.split_off(1);
            shared.deliver(peer, message);
        }
        Some(&frame::PROBE) => {
            // If it cannot be sent the connection has ended, and its reader learns that.
            let _ = connection.send_datagram(frame::probe(frame::ANSWER).into());
        }
        Some(&frame::ANSWER) => shared.answered(peer, id),
        _ => shared.count(peer, |c| c.invalid += 1),
    }
}

async fn stream_in(shared: Arc<Shared>, peer: Arc<str>, mut stream: RecvStream) {
    let whole = stream.read_to_end(MESSAGE_BYTES_MAX + 1);
    match tokio::time::timeout(STREAM_TIMEOUT, whole).await {
        Ok(Ok(bytes)) if bytes.first() == Some(&frame::MESSAGE) => {
            shared.deliver(&peer, Bytes::from(bytes).split_off(1));
        }
        Ok(Err(quinn::ReadToEndError::Read(_))) => {}
        Ok(_) => shared.count(&peer, |c| c.invalid += 1),
        Err(_) => shared.count(&peer, |c| c.errors += 1),
    }
}
