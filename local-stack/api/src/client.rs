//! A small blocking client; every call has a deadline. Asynchronous programs use
//! [`crate::line`] with their own socket instead.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Serialize, de::DeserializeOwned};

use crate::envelope::{Incoming, Request};
use crate::error::ErrorBody;
use crate::line::{self, LineBuffer, LineError};
use crate::{guard, stack};

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there; nothing was asked.
    #[error("{path}: {source}")]
    Connect {
        /// The socket.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke: whether the request was carried out is not known.
    #[error("connection lost: {0}")]
    Lost(std::io::Error),
    /// No answer in time: whether the request was carried out is not known.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The peer does not speak this protocol.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The answer belongs to another request.
    #[error("an answer that nobody asked for")]
    Unexpected,
    /// The peer refused, and says why.
    #[error(transparent)]
    Refused(#[from] ErrorBody),
}

/// A connection to one of the two sockets.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    buffer: LineBuffer,
    timeout: Duration,
    last_id: u64,
}

impl Client {
    /// Connects; `timeout` bounds each later call as a whole.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Connect {
            path: path.display().to_string(),
            source,
        };
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_write_timeout(Some(timeout)).map_err(failed)?;
        Ok(Self {
            stream,
            buffer: LineBuffer::new(),
            timeout,
            last_id: 0,
        })
    }

    /// Asks the local stack.
    ///
    /// # Errors
    /// See [`ClientError`]; only `Connect` and `Refused` are certain that nothing was done.
    pub fn stack(&mut self, request: stack::Do) -> Result<stack::Answer, ClientError> {
        self.ask::<_, _, stack::Event>(request)
    }

    /// Asks the guard.
    ///
    /// # Errors
    /// See [`ClientError`]; only `Connect` and `Refused` are certain that nothing was done.
    pub fn guard(&mut self, request: guard::Do) -> Result<guard::Answer, ClientError> {
        self.ask::<_, _, guard::Event>(request)
    }

    /// Sends a request and passes over events until its answer comes.
    fn ask<D: Serialize, A: DeserializeOwned, E: DeserializeOwned>(
        &mut self,
        request: D,
    ) -> Result<A, ClientError> {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&Request { id, r#do: request })?;
        let until = Instant::now() + self.timeout;
        loop {
            match self.receive::<Incoming<A, E>>(until)? {
                Incoming::Notice(_) => {}
                Incoming::Response(response) if response.id != id => {
                    return Err(ClientError::Unexpected);
                }
                Incoming::Response(response) => {
                    return Result::from(response.result).map_err(ClientError::Refused);
                }
            }
        }
    }

    /// The next event of a connection that subscribed to the local stack.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] when none came by then; see [`ClientError`].
    pub fn next_stack_event(&mut self, within: Duration) -> Result<stack::Event, ClientError> {
        match self.receive::<stack::Incoming>(Instant::now() + within)? {
            stack::Incoming::Notice(notice) => Ok(notice.event),
            stack::Incoming::Response(_) => Err(ClientError::Unexpected),
        }
    }

    fn send<T: Serialize>(&mut self, request: &T) -> Result<(), ClientError> {
        self.stream
            .write_all(&line::encode(request))
            .map_err(|error| self.lost(error))
    }

    fn receive<T: DeserializeOwned>(&mut self, until: Instant) -> Result<T, ClientError> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(text) = self.buffer.next_line() {
                return Ok(line::decode(&text)?);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::Timeout(self.timeout));
            }
            self.stream
                .set_read_timeout(Some(left))
                .map_err(ClientError::Lost)?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ClientError::Lost(ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.buffer.push(&chunk[..count])?,
                Err(error) => match self.lost(error) {
                    // The loop looks at the time itself.
                    ClientError::Timeout(_) => {}
                    lost => return Err(lost),
                },
            }
        }
    }

    fn lost(&self, error: std::io::Error) -> ClientError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                ClientError::Timeout(self.timeout)
            }
            _ => ClientError::Lost(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn nobody_there_silence_and_refusal_differ() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let wait = Duration::from_millis(50);
        assert!(matches!(
            Client::connect(&path, wait),
            Err(ClientError::Connect { .. })
        ));

        let listener = UnixListener::bind(&path).unwrap();
        let mut client = Client::connect(&path, wait).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        assert!(matches!(
            client.stack(stack::Do::Status),
            Err(ClientError::Timeout(_))
        ));
        client.timeout = Duration::from_secs(30);
        peer.write_all(b"{\"event\":\"lagged\"}\n{\"id\":2,\"error\":{\"code\":69,\"name\":\"unavailable\",\"message\":\"no\"}}\n")
            .unwrap();
        let refused = client.stack(stack::Do::Status);
        assert!(matches!(refused, Err(ClientError::Refused(body)) if body.message == "no"));
        drop(peer);
        assert!(matches!(
            client.guard(guard::Do::Query),
            Err(ClientError::Lost(_))
        ));
    }
}
