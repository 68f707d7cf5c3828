//! The control socket: peers, framing, events.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use stack_api::stack::{Do, Event, Notice, Outcome, Request, Response};
use stack_api::{ErrorBody, ErrorCode, LineBuffer, line};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// Most connections at once: agents and tools of one node.
const PEERS_MAX: usize = 256;

/// Requests that wait for the loop; a peer that sends faster waits in its socket.
const REQUESTS_BOUND: usize = 64;

/// Lines that wait for one peer. A subscriber that is further behind is told that it lags.
const LINES_BOUND: usize = 256;

/// What a peer did.
#[derive(Debug)]
pub(crate) enum Input {
    Request(u64, Request),
    Garbage(u64, String),
    Gone(u64),
}

#[derive(Debug)]
struct Peer {
    lines: mpsc::Sender<Vec<u8>>,
    subscribed: bool,
    lagging: bool,
}

/// Everybody who is connected.
#[derive(Debug)]
pub(crate) struct Control {
    peers: BTreeMap<u64, Peer>,
    next: u64,
    inputs: mpsc::Sender<Input>,
}

/// Binds the socket. One that is left over from a dead daemon is replaced; a live one is not.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another daemon answers there",
            ));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

impl Control {
    /// Nobody yet, and where requests come out.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Input>) {
        let (inputs, receiver) = mpsc::channel(REQUESTS_BOUND);
        (
            Self {
                peers: BTreeMap::new(),
                next: 0,
                inputs,
            },
            receiver,
        )
    }

    /// Takes a new connection; one too many is closed.
    pub(crate) fn admit(&mut self, stream: UnixStream) {
        if self.peers.len() >= PEERS_MAX {
            return;
        }
        self.next += 1;
        let (reader, mut writer) = stream.into_split();
        let (lines, mut outgoing) = mpsc::channel::<Vec<u8>>(LINES_BOUND);
        self.peers.insert(
            self.next,
            Peer {
                lines,
                subscribed: false,
                lagging: false,
            },
        );
        tokio::spawn(read(self.next, reader, self.inputs.clone()));
        tokio::spawn(async move {
            while let Some(line) = outgoing.recv().await {
                if writer.write_all(&line).await.is_err() {
                    return;
                }
            }
        });
    }

    pub(crate) fn gone(&mut self, peer: u64) {
        self.peers.remove(&peer);
    }

    pub(crate) fn subscribe(&mut self, peer: u64) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.subscribed = true;
        }
    }

    /// Answers a request; a peer that reads no answers is cut off.
    pub(crate) fn answer(&mut self, peer: u64, id: u64, result: Outcome) {
        let line = line::encode(&Response { id, result });
        let failed = self
            .peers
            .get(&peer)
            .is_some_and(|to| to.lines.try_send(line).is_err());
        if failed {
            self.peers.remove(&peer);
        }
    }

    /// Refuses what is not a request.
    pub(crate) fn refuse(&mut self, peer: u64, what: String) {
        self.answer(
            peer,
            0,
            Outcome::Error(ErrorBody::new(ErrorCode::Usage, what)),
        );
    }

    /// Tells all subscribers.
    pub(crate) fn publish(&mut self, event: Event) {
        let line = line::encode(&Notice { event });
        let lagged = line::encode(&Notice {
            event: Event::Lagged,
        });
        for peer in self.peers.values_mut().filter(|peer| peer.subscribed) {
            if peer.lagging && peer.lines.try_send(lagged.clone()).is_ok() {
                peer.lagging = false;
            }
            if peer.lagging || peer.lines.try_send(line.clone()).is_err() {
                peer.lagging = true;
            }
        }
    }
}

async fn read(peer: u64, mut reader: OwnedReadHalf, inputs: mpsc::Sender<Input>) {
    let mut buffer = LineBuffer::new();
    let mut chunk = vec![0; 16 * 1024];
    // A read error is a peer that went away.
    while let Ok(count @ 1..) = reader.read(&mut chunk).await {
        if buffer.push(&chunk[..count]).is_err() {
            break;
        }
        while let Some(text) = buffer.next_line() {
            let input = match line::decode::<Request>(&text) {
                Ok(request) => Input::Request(peer, request),
                Err(error) => Input::Garbage(peer, error.to_string()),
            };
            if inputs.send(input).await.is_err() {
                return;
            }
        }
    }
    // The loop is gone when this fails.
    let _ = inputs.send(Input::Gone(peer)).await;
}

/// Whether a request may be answered while the daemon ends.
pub(crate) fn is_query(request: &Do) -> bool {
    matches!(
        request,
        Do::Status
            | Do::TicketStatus(_)
            | Do::Subscribe
            | Do::CibQuery { .. }
            | Do::Shutdown
            | Do::Lease(_)
    )
}
