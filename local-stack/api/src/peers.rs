//! The daemon's side of a socket: connections, framing, answers, events.

use std::collections::BTreeMap;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::envelope::{Notice, Outcome, Request, Response};
use crate::error::{ErrorBody, ErrorCode};
use crate::line::{self, LineBuffer};

/// Requests that wait for the loop; a peer that sends faster waits in its socket.
const REQUESTS_BOUND: usize = 64;

/// Lines that wait for one peer: more than a loop writes at one go, less than a megabyte of events.
const LINES_BOUND: usize = 256;

/// Bytes read at once: most requests are shorter, and a guard's memory is locked.
const CHUNK_BYTES: usize = 8 * 1024;

/// What a peer did.
#[derive(Debug)]
pub enum Input<D> {
    /// It asks.
    Request(u64, Request<D>),
    /// It sent a line that is no request.
    Garbage(u64, String),
    /// It went away.
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
pub struct Peers<D, A, E> {
    peers: BTreeMap<u64, Peer>,
    most: usize,
    lagged: Option<Vec<u8>>,
    next: u64,
    inputs: mpsc::Sender<Input<D>>,
    words: PhantomData<(A, E)>,
}

/// Binds the socket of a daemon called `who`. One that is left over from a dead daemon is replaced; a live one is not.
///
/// # Errors
/// The system's own, and `AddrInUse` when a daemon answers there. A live daemon is not disturbed.
pub fn listen(path: &Path, who: &str) -> io::Result<UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("another {who} answers there"),
            ));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    // The site agent runs as another user of the same group.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

impl<D, A, E> Peers<D, A, E>
where
    D: DeserializeOwned + Send + 'static,
    A: Serialize,
    E: Serialize,
{
    /// Nobody yet, and where requests come out. At most `most` peers are served at once. A
    /// subscriber that reads too slowly is told `lagged`, or, without such a word, cut off.
    pub fn new(most: usize, lagged: Option<E>) -> (Self, mpsc::Receiver<Input<D>>) {
        let (inputs, receiver) = mpsc::channel(REQUESTS_BOUND);
        let peers = Self {
            peers: BTreeMap::new(),
            most,
            lagged: lagged.map(|event| line::encode(&Notice { event })),
            next: 0,
            inputs,
            words: PhantomData,
        };
        (peers, receiver)
    }

    /// Takes a new connection; one too many is closed.
    pub fn admit(&mut self, stream: UnixStream) {
        if self.peers.len() >= self.most {
            return;
        }
        self.next += 1;
        let (reader, mut writer) = stream.into_split();
        let (lines, mut outgoing) = mpsc::channel::<Vec<u8>>(LINES_BOUND);
        let peer = Peer {
            lines,
            subscribed: false,
            lagging: false,
        };
        self.peers.insert(self.next, peer);
        tokio::spawn(read(self.next, reader, self.inputs.clone()));
        tokio::spawn(async move {
            while let Some(line) = outgoing.recv().await {
                if writer.write_all(&line).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Forgets a peer.
    pub fn gone(&mut self, peer: u64) {
        self.peers.remove(&peer);
    }

    /// From here on this peer is told of events.
    pub fn subscribe(&mut self, peer: u64) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.subscribed = true;
        }
    }

    /// Answers a request; a peer that reads no answers is cut off.
    pub fn answer(&mut self, peer: u64, id: u64, result: Outcome<A>) {
        let line = line::encode(&Response { id, result });
        let full = |to: &Peer| to.lines.try_send(line).is_err();
        if self.peers.get(&peer).is_some_and(full) {
            self.peers.remove(&peer);
        }
    }

    /// Refuses what is not a request.
    pub fn refuse(&mut self, peer: u64, what: String) {
        let error = ErrorBody::new(ErrorCode::Usage, what);
        self.answer(peer, 0, Outcome::Error(error));
    }

    /// Tells all subscribers.
    pub fn publish(&mut self, event: E) {
        let line = line::encode(&Notice { event });
        let lagged = self.lagged.as_ref();
        self.peers.retain(|_, peer| {
            if !peer.subscribed {
                return true;
            }
            if peer.lagging
                && let Some(lagged) = lagged
                && peer.lines.try_send(lagged.clone()).is_ok()
            {
                peer.lagging = false;
            }
            if peer.lagging || peer.lines.try_send(line.clone()).is_err() {
                peer.lagging = true;
            }
            !peer.lagging || lagged.is_some()
        });
    }
}

async fn read<D: DeserializeOwned>(
    peer: u64,
    mut reader: OwnedReadHalf,
    inputs: mpsc::Sender<Input<D>>,
) {
    let mut buffer = LineBuffer::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    // A read error is a peer that went away.
    while let Ok(count @ 1..) = reader.read(&mut chunk).await {
        if buffer.push(&chunk[..count]).is_err() {
            break;
        }
        while let Some(text) = buffer.next_line() {
            let input = match line::decode::<Request<D>>(&text) {
                Ok(request) => Input::Request(peer, request),
                Err(error) => Input::Garbage(peer, error.to_string()),
            };
            if inputs.send(input).await.is_err() {
                return;
            }
        }
    }
    // The loop is gone when this fails, and with it the peer.
    let _ = inputs.send(Input::Gone(peer)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, BufReader};

    type Words = Peers<String, u32, u32>;

    /// A connected pair: the peers' side admitted, and the other end.
    fn connected(peers: &mut Words) -> UnixStream {
        let (mine, theirs) = UnixStream::pair().unwrap();
        peers.admit(mine);
        theirs
    }

    #[tokio::test]
    async fn requests_come_in_and_answers_go_out() {
        let (mut peers, mut inputs) = Words::new(1, None);
        let mut stream = connected(&mut peers);
        stream
            .write_all(b"{\"id\":4,\"do\":\"it\"}\nnonsense\n")
            .await
            .unwrap();
        let Some(Input::Request(peer, request)) = inputs.recv().await else {
            panic!("no request");
        };
        assert_eq!((request.id, request.r#do.as_str()), (4, "it"));
        peers.answer(peer, 4, Outcome::Ok(7));
        let Some(Input::Garbage(peer, what)) = inputs.recv().await else {
            panic!("no garbage");
        };
        peers.refuse(peer, what);
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(
            lines.next_line().await.unwrap().unwrap(),
            r#"{"id":4,"ok":7}"#
        );
        let refused = lines.next_line().await.unwrap().unwrap();
        assert!(refused.starts_with(r#"{"id":0,"error":"#), "{refused}");
        // One too many is closed.
        let mut late = connected(&mut peers);
        assert_eq!(late.read(&mut [0; 8]).await.unwrap(), 0);
    }

    /// Fills a subscriber that does not read; what it gets once it does.
    async fn slow_subscriber(lagged: Option<u32>) -> Vec<String> {
        let (mut peers, mut inputs) = Words::new(1, lagged);
        let mut stream = connected(&mut peers);
        stream
            .write_all(b"{\"id\":1,\"do\":\"listen\"}\n")
            .await
            .unwrap();
        let Some(Input::Request(peer, _)) = inputs.recv().await else {
            panic!("no request");
        };
        peers.subscribe(peer);
        // Nothing is written meanwhile: this task does not let the others run.
        for event in 0..2 * u32::try_from(LINES_BOUND).unwrap() {
            peers.publish(event);
        }
        let mut lines = BufReader::new(stream).lines();
        let mut seen = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            seen.push(line);
            if seen.len() == LINES_BOUND {
                peers.publish(9_999);
                peers.publish(9_999);
            }
            if seen.len() == LINES_BOUND + 2 {
                break;
            }
        }
        seen
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_that_it_lags_or_cut_off() {
        let told = slow_subscriber(Some(7)).await;
        assert_eq!(told[LINES_BOUND - 1], r#"{"event":255}"#);
        assert_eq!(told[LINES_BOUND..], [r#"{"event":7}"#, r#"{"event":9999}"#]);
        let cut_off = slow_subscriber(None).await;
        assert_eq!(cut_off.len(), LINES_BOUND);
    }
}
