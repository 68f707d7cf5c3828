//! A blocking client. Every wait has a deadline.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::call::{Body, Call, Request, Response};
use crate::code::Code;
use crate::{API_VERSION, LINE_MAX};

/// Pause before another try when the daemon's queue of connections is full: it is alive but does not
/// accept. The deadline bounds the number of tries.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// Bytes read at a time. A view of three members and ten tickets fits in one, an outcome in a tenth
/// of it; memory that is never read into costs a command as much time as its work.
const CHUNK: usize = 8 << 10;

/// A connection to a daemon's control socket.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    socket: PathBuf,
    received: Vec<u8>,
    last_id: u64,
}

/// Talking to the daemon failed. Whether a request that was sent took effect is not known after
/// any error but the first three.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: the socket does not exist or is left over from a daemon that is gone.
    #[error("nobody answers on {}: {cause}", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The socket may not be used by this user.
    #[error("permission denied on {}", socket.display())]
    Permission {
        /// The socket.
        socket: PathBuf,
    },
    /// The daemon exists but does not accept connections.
    #[error("the daemon behind {} does not accept connections", socket.display())]
    NotAccepting {
        /// The socket.
        socket: PathBuf,
    },
    /// The connection ended before the final answer.
    #[error("the daemon behind {} closed the connection before it answered", socket.display())]
    Closed {
        /// The socket.
        socket: PathBuf,
    },
    /// Reading or writing failed.
    #[error("the connection to {} broke: {cause}", socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// What came is not an answer of this protocol.
    #[error("the daemon behind {} sent what is no answer: {detail}", socket.display())]
    Garbage {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl ClientError {
    /// The exit code, for a request that changes nothing.
    pub fn code(&self) -> Code {
        match self {
            Self::NotRunning { .. } => Code::NotConnected,
            Self::Permission { .. } => Code::Permission,
            Self::NotAccepting { .. } => Code::Timeout,
            Self::Closed { .. } | Self::Broken { .. } => Code::Unavailable,
            Self::Garbage { .. } => Code::Protocol,
        }
    }

    /// Whether the request certainly did not reach the daemon, so that nothing changed.
    pub fn before_sending(&self) -> bool {
        matches!(
            self,
            Self::NotRunning { .. } | Self::Permission { .. } | Self::NotAccepting { .. }
        )
    }
}

impl Client {
    /// Connects to the control socket at `socket`, trying no longer than until `deadline`.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`], [`ClientError::Permission`], [`ClientError::NotAccepting`] and, for
    /// anything else the system says, [`ClientError::Broken`]. Nothing was sent.
    pub fn connect(socket: &Path, deadline: Instant) -> Result<Self, ClientError> {
        let broken = |errno: Errno| ClientError::Broken {
            socket: socket.to_owned(),
            cause: errno.into(),
        };
        let address = SocketAddrUnix::new(socket).map_err(broken)?;
        // Not blocking, because a stopped daemon's full queue would block a connect for ever.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(broken)?;
        loop {
            match rustix::net::connect(&fd, &address) {
                Ok(()) => break,
                Err(Errno::AGAIN) => {
                    if Instant::now() + CONNECT_PAUSE >= deadline {
                        return Err(ClientError::NotAccepting {
                            socket: socket.to_owned(),
                        });
                    }
                    std::thread::sleep(CONNECT_PAUSE);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(connect_error(socket, errno)),
            }
        }
        let stream = UnixStream::from(fd);
        let socket = socket.to_owned();
        match stream.set_nonblocking(false) {
            Ok(()) => Ok(Self {
                stream,
                socket,
                received: Vec::new(),
                last_id: 0,
            }),
            Err(cause) => Err(ClientError::Broken { socket, cause }),
        }
    }

    /// Sends one request and returns its id. Waits until `deadline` at most for the daemon to take
    /// it.
    ///
    /// # Errors
    /// [`ClientError::Broken`]; the daemon may have received the request.
    pub fn send(&mut self, call: Call, deadline: Instant) -> Result<u64, ClientError> {
        self.last_id += 1;
        let request = Request {
            version: API_VERSION,
            id: self.last_id,
            call,
        };
        let mut line = serde_json::to_vec(&request).map_err(|error| self.broken(error.into()))?;
        line.push(b'\n');
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            let Some(left) = left(deadline) else {
                return Err(self.broken(io::ErrorKind::TimedOut.into()));
            };
            self.stream
                .set_write_timeout(Some(left))
                .map_err(|cause| self.broken(cause))?;
            match self.stream.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if passing(&error) => {}
                Err(cause) => return Err(self.broken(cause)),
            }
        }
        Ok(self.last_id)
    }

    /// The next line that answers request `id`, or `None` if none came until `deadline`. Lines for
    /// other requests are passed over.
    ///
    /// # Errors
    /// [`ClientError::Closed`], [`ClientError::Broken`], [`ClientError::Garbage`]: the outcome of a
    /// change that was sent is not known.
    pub fn next(&mut self, id: u64, deadline: Instant) -> Result<Option<Body>, ClientError> {
        loop {
            let Some(line) = self.line(deadline)? else {
                return Ok(None);
            };
            let response = read(&line).map_err(|error| ClientError::Garbage {
                socket: self.socket.clone(),
                detail: error.to_string(),
            })?;
            // Id 0: the daemon could not read the request that it answers.
            if response.id == id || response.id == 0 {
                return Ok(Some(response.body));
            }
        }
    }

    /// Sends `call` and waits for its final answer until `deadline`; `None` if none came.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::next`].
    pub fn call(&mut self, call: Call, deadline: Instant) -> Result<Option<Body>, ClientError> {
        let id = self.send(call, deadline)?;
        loop {
            match self.next(id, deadline)? {
                Some(Body::Progress(_) | Body::Event(_)) => {}
                last => return Ok(last),
            }
        }
    }

    /// One line without its end, or `None` if it did not come until `deadline`.
    fn line(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>, ClientError> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.received[searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let rest = self.received.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.received, rest);
                line.pop();
                return Ok(Some(line));
            }
            searched = self.received.len();
            if searched > LINE_MAX {
                let detail = format!("a line of more than {LINE_MAX} bytes");
                return Err(ClientError::Garbage {
                    socket: self.socket.clone(),
                    detail,
                });
            }
            let Some(left) = left(deadline) else {
                return Ok(None);
            };
            self.stream
                .set_read_timeout(Some(left))
                .map_err(|cause| self.broken(cause))?;
            let mut chunk = vec![0; CHUNK];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    return Err(ClientError::Closed {
                        socket: self.socket.clone(),
                    });
                }
                Ok(length) => self.received.extend_from_slice(&chunk[..length]),
                Err(error) if passing(&error) => {}
                Err(cause) => return Err(self.broken(cause)),
            }
        }
    }

    fn broken(&self, cause: io::Error) -> ClientError {
        ClientError::Broken {
            socket: self.socket.clone(),
            cause,
        }
    }
}

/// Reads a line. Control characters in its texts become spaces: they end up on terminals, where
/// they would move the cursor or worse, and part of them come from other machines.
fn read(line: &[u8]) -> serde_json::Result<Response> {
    let mut value = serde_json::from_slice(line)?;
    clean(&mut value);
    serde_json::from_value(value)
}

fn clean(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) if text.contains(char::is_control) => {
            *text = text.replace(char::is_control, " ");
        }
        // No deeper than the reader allows, which is 128 levels.
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        _ => {}
    }
}

/// Time left until `deadline`; `None` when it has passed. Never zero, which sockets refuse.
fn left(deadline: Instant) -> Option<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
}

/// A read or write that has to be tried again, after a look at the deadline.
fn passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

fn connect_error(socket: &Path, errno: Errno) -> ClientError {
    let socket = socket.to_owned();
    match errno {
        Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR => ClientError::NotRunning {
            socket,
            cause: errno.into(),
        },
        Errno::ACCESS | Errno::PERM => ClientError::Permission { socket },
        other => ClientError::Broken {
            socket,
            cause: other.into(),
        },
    }
}
