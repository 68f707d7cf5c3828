//! A connection to the local stack or to the guard that comes back by itself.
//!
//! A task owns the socket. Requests go in without waiting; answers, events and the loss of the
//! connection come out as [`Heard`]. Nothing is repeated here: after [`Heard::Connected`] the
//! owner says again what still holds, which both sockets take as often as they like.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use stack_api::envelope::{self, Incoming};
use stack_api::{ErrorBody, LineBuffer, guard, line, stack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// First wait before a connection is tried again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(20);
/// Longest wait: a restarted daemon is found within half a second.
const RETRY_MAX: Duration = Duration::from_millis(500);

/// Requests that wait for the socket. Ten tickets' renewals fit many times; a peer that is further
/// behind is stopped, and what it misses is said again when it answers.
const REQUESTS_WAITING_MAX: usize = 256;

/// How long a socket's buffer may stay full before the peer counts as hung.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// The words of one of the two sockets.
pub(crate) trait Words: Send + 'static {
    /// A request.
    type Do: Serialize + Send + 'static;
    /// A good answer.
    type Answer: DeserializeOwned + Send + 'static;
    /// An event.
    type Event: DeserializeOwned + Send + 'static;
    /// Name for messages.
    const PEER: &'static str;
    /// Asks for events.
    const SUBSCRIBE: Self::Do;

    fn request(id: u64, ask: Self::Do) -> Vec<u8> {
        line::encode(&envelope::Request { id, r#do: ask })
    }

    /// An answer with its id, or an event.
    fn read(line: &[u8]) -> Result<Line<Self>, line::LineError> {
        Ok(match line::decode(line)? {
            Incoming::Notice(notice) => Line::Event(notice.event),
            Incoming::Response(response) => {
                let result = Result::from(response.result)
                    .map_err(|error: ErrorBody| AskError::Refused(error.to_string()));
                Line::Answer(response.id, result)
            }
        })
    }
}

/// Why a question has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AskError {
    /// The peer said no; nothing changed.
    Refused(String),
    /// The peer could not be asked, or did not answer: whether it acted is not known.
    Failed(String),
}

impl From<AskError> for String {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused(why) | AskError::Failed(why) => why,
        }
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

/// A line from the other side.
pub(crate) enum Line<W: Words + ?Sized> {
    Answer(u64, Result<W::Answer, AskError>),
    Event(W::Event),
}

/// The local stack's socket.
pub(crate) enum Stack {}

impl Words for Stack {
    type Do = stack::Do;
    type Answer = stack::Answer;
    type Event = stack::Event;
    const PEER: &'static str = "local stack";
    const SUBSCRIBE: Self::Do = stack::Do::Subscribe;
}

/// The guard's socket.
pub(crate) enum Guard {}

impl Words for Guard {
    type Do = guard::Do;
    type Answer = guard::Answer;
    type Event = guard::Event;
    const PEER: &'static str = "guard";
    const SUBSCRIBE: Self::Do = guard::Do::Subscribe;
}

/// What comes out of a connection.
pub(crate) enum Heard<W: Words> {
    /// A new connection; everything asked before and unanswered has failed.
    Connected,
    /// No connection; said once until the next [`Heard::Connected`].
    Disconnected(String),
    /// The answer to the request with this tag; an error also when the connection broke before it.
    Answer(u64, Result<W::Answer, AskError>),
    /// An event.
    Event(W::Event),
}

/// A request with its tag and the moment after which nobody waits for it.
type Request<W> = (u64, <W as Words>::Do, Instant);

/// The asking end.
#[derive(Debug)]
pub(crate) struct Connection<W: Words> {
    requests: mpsc::Sender<Request<W>>,
    words: PhantomData<W>,
}

impl<W: Words> Connection<W> {
    /// Starts a task that keeps a connection to `path`; everything heard goes to `heard`, which
    /// must be read.
    pub(crate) fn start(path: PathBuf, heard: mpsc::Sender<Heard<W>>) -> Self {
        let (requests, waiting) = mpsc::channel(REQUESTS_WAITING_MAX);
        tokio::spawn(keep::<W>(path, waiting, heard));
        Self {
            requests,
            words: PhantomData,
        }
    }

    /// Asks; the answer carries `tag`. Without a connection the request waits for one until the
    /// given moment. False when the peer is too far behind: nothing was asked.
    pub(crate) fn ask(&self, tag: u64, ask: W::Do, until: Instant) -> bool {
        self.requests.try_send((tag, ask, until)).is_ok()
    }
}

/// Connects, serves, and connects again until nobody asks any more.
async fn keep<W: Words>(
    path: PathBuf,
    mut requests: mpsc::Receiver<Request<W>>,
    heard: mpsc::Sender<Heard<W>>,
) {
    let mut wait = RETRY_MIN;
    let mut told = false;
    loop {
        let why = match UnixStream::connect(&path).await {
            Ok(stream) => {
                (wait, told) = (RETRY_MIN, false);
                match serve::<W>(stream, &mut requests, &heard).await {
                    Ok(()) => return,
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error.to_string(),
        };
        if !told {
            told = true;
            let text = format!("{} at {}: {why}", W::PEER, path.display());
            if heard.send(Heard::Disconnected(text)).await.is_err() {
                return;
            }
        }
        if requests.is_closed() {
            return;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// One connection; `Ok` when nobody asks any more.
async fn serve<W: Words>(
    mut stream: UnixStream,
    requests: &mut mpsc::Receiver<Request<W>>,
    heard: &mpsc::Sender<Heard<W>>,
) -> io::Result<()> {
    let gone = |_closed| io::Error::other("this agent is stopping");
    // Request 0 is the subscription; nobody waits for its answer.
    let mut last_id = 0_u64;
    write(&mut stream, &W::request(0, W::SUBSCRIBE)).await?;
    heard.send(Heard::Connected).await.map_err(gone)?;
    let mut unanswered: BTreeMap<u64, u64> = BTreeMap::new();
    let mut buffer = LineBuffer::new();
    let mut chunk = vec![0_u8; 4096];
    let why = loop {
        tokio::select! {
            biased;
            read = stream.read(&mut chunk) => match read {
                Ok(0) => break io::Error::from(io::ErrorKind::UnexpectedEof),
                Ok(count) => {
                    if let Err(error) = buffer.push(&chunk[..count]) {
                        break io::Error::other(error);
                    }
                    while let Some(line) = buffer.next_line() {
                        let message = match W::read(&line) {
                            Ok(Line::Event(event)) => Heard::Event(event),
                            Ok(Line::Answer(id, result)) => match unanswered.remove(&id) {
                                Some(tag) => Heard::Answer(tag, result),
                                None => continue,
                            },
                            Err(error) => {
                                tracing::warn!(peer = W::PEER, %error, "a line was not understood");
                                continue;
                            }
                        };
                        heard.send(message).await.map_err(gone)?;
                    }
                }
                Err(error) => break error,
            },
            request = requests.recv() => {
                let Some((tag, ask, until)) = request else { return Ok(()) };
                if Instant::now() > until {
                    let error = format!("the {} could not be reached in time", W::PEER);
                    heard.send(Heard::Answer(tag, Err(AskError::Failed(error)))).await.map_err(gone)?;
                    continue;
                }
                last_id += 1;
                unanswered.insert(last_id, tag);
                if let Err(error) = write(&mut stream, &W::request(last_id, ask)).await {
                    break error;
                }
            }
        }
    };
    for tag in unanswered.into_values() {
        let error = format!("the connection to the {} broke: {why}", W::PEER);
        heard
            .send(Heard::Answer(tag, Err(AskError::Failed(error))))
            .await
            .map_err(gone)?;
    }
    Err(why)
}

async fn write(stream: &mut UnixStream, bytes: &[u8]) -> io::Result<()> {
    match tokio::time::timeout(WRITE_PATIENCE, stream.write_all(bytes)).await {
        Ok(written) => written,
        Err(_late) => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not read")),
    }
}
