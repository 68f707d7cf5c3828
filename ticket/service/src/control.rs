//! The control socket: newline-delimited JSON for the command line (see `ticket-admin`).
//!
//! A task a client reads requests and writes answers, so that a client that is slow, silent or
//! hostile costs its own place among [`CLIENTS_MAX`] and nothing else. The event loop hands lines
//! over without waiting; a client that does not take them is disconnected.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ticket_admin::{API_VERSION, Body, Code, Failure, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream, unix};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// Clients at once: some operators, a monitoring system and a demo, with room; each costs a task
/// and a file descriptor.
const CLIENTS_MAX: usize = 64;

/// Longest request in bytes: an action with the longest reason is below 1 KiB.
const REQUEST_MAX: usize = 16 * 1024;

/// Lines that wait for a client to read them. A watch of a busy cluster has a few a second; a
/// client that is this far behind does not read. All remembered events fit, for a watch that
/// comes back.
const LINES_WAITING_MAX: usize = 1024;

/// Requests that wait for the event loop, all clients together; beyond, clients wait in turn.
const REQUESTS_WAITING_MAX: usize = 32;

/// How long a client may leave its socket's buffer full.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client that is owed nothing may say nothing. Commands ask at once; a monitoring
/// system that asks less often connects again.
const IDLE_PATIENCE: Duration = Duration::from_secs(120);

/// Permissions of the socket: its owner and its group may command the cluster, nobody else.
const SOCKET_MODE: u32 = 0o660;

/// A request and where its answer goes.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) client: Client,
}

/// A connection's writing end.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    lines: mpsc::Sender<String>,
    state: Arc<ClientState>,
}

#[derive(Debug, Default)]
struct ClientState {
    /// It did not take a line in time: what it would read now has a hole, so it is disconnected.
    overrun: AtomicBool,
    /// It will send nothing more.
    hung_up: AtomicBool,
    /// User that connected, as the kernel says.
    uid: Option<u32>,
}

impl Client {
    /// Hands a line over without waiting.
    pub(crate) fn answer(&self, id: u64, body: Body) {
        let line = match serde_json::to_string(&Response { id, body }) {
            Ok(line) => line + "\n",
            Err(error) => {
                // Our own types: only a defect leads here, and the client sees its socket close.
                tracing::error!(%error, "an answer could not be written as JSON");
                self.state.overrun.store(true, Ordering::Relaxed);
                return;
            }
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.lines.try_send(line) {
            self.state.overrun.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a line could still reach it.
    pub(crate) fn is_listening(&self) -> bool {
        !self.lines.is_closed() && !self.state.hung_up.load(Ordering::Relaxed)
    }

    /// The user that connected.
    pub(crate) fn uid(&self) -> Option<u32> {
        self.state.uid
    }
}

/// The socket's file; dropping it removes the file.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    requests: mpsc::Receiver<Asked>,
}

impl Control {
    /// Binds the socket, in place of one that a dead daemon left behind, and starts to serve it.
    ///
    /// # Errors
    /// The path cannot be bound, or a living daemon answers there. A living daemon's socket stays.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
        let (sender, requests) = mpsc::channel(REQUESTS_WAITING_MAX);
        tokio::spawn(accept(listener, sender));
        Ok(Self {
            path: path.to_path_buf(),
            requests,
        })
    }

    /// The next request. Pends for ever when the socket is gone.
    pub(crate) async fn next(&mut self) -> Asked {
        match self.requests.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // A file that is gone already is what is wanted.
        let _gone = std::fs::remove_file(&self.path);
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            let text = "it exists and is not a socket; it was left alone";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "a running daemon answers there",
        )),
        Err(_nobody) => std::fs::remove_file(path),
    }
}

async fn accept(listener: UnixListener, requests: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let (mut stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "control socket: a client could not be accepted");
                // Too many open files ends by itself; without a pause this would spin meanwhile.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let requests = requests.clone();
                tokio::spawn(async move {
                    serve(stream, requests).await;
                    drop(place);
                });
            }
            Err(_full) => {
                let text = format!("{CLIENTS_MAX} clients are connected already");
                let refusal = refusal(0, Code::Unavailable, text);
                // Best effort, without waiting: the client is turned away either way.
                let _ = timeout(Duration::ZERO, stream.write_all(refusal.as_bytes())).await;
            }
        }
    }
}

fn refusal(id: u64, code: Code, text: String) -> String {
    let body = Body::Error(Failure::new(code, text));
    serde_json::to_string(&Response { id, body }).unwrap_or_default() + "\n"
}

/// One client from beginning to end.
async fn serve(stream: UnixStream, requests: mpsc::Sender<Asked>) {
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
    let (read, write) = stream.into_split();
    let (lines, waiting) = mpsc::channel(LINES_WAITING_MAX);
    let state = Arc::new(ClientState {
        uid,
        ..ClientState::default()
    });
    let client = Client {
        lines,
        state: Arc::clone(&state),
    };
    let reader = async {
        read_requests(read, &client, &requests).await;
        state.hung_up.store(true, Ordering::Relaxed);
        // The writer ends when the event loop has dropped its copies too: all answers are out.
        drop(client);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = reader => {}
        () = write_lines(write, waiting, &state) => {}
    }
}

async fn read_requests(
    mut read: unix::OwnedReadHalf,
    client: &Client,
    requests: &mpsc::Sender<Asked>,
) {
    let mut buffer = Vec::new();
    loop {
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            if !pass_on(&line, client, requests).await {
                return;
            }
        }
        if buffer.len() > REQUEST_MAX {
            let text = format!("a request is longer than {REQUEST_MAX} bytes");
            client.answer(0, Body::Error(Failure::new(Code::Data, text)));
            return;
        }
        match timeout(IDLE_PATIENCE, read.read_buf(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(_)) => {}
            // Silent, but waiting for an answer or watching: another copy of the client exists.
            Err(_idle) if Arc::strong_count(&client.state) > 2 => {}
            Err(_idle) => return,
        }
    }
}

/// Reads one line and gives it to the event loop; false when the loop is gone.
async fn pass_on(line: &[u8], client: &Client, requests: &mpsc::Sender<Asked>) -> bool {
    let request = match serde_json::from_slice::<Request>(line) {
        Ok(request) => request,
        Err(error) => {
            let text = format!("the request cannot be read: {error}");
            client.answer(0, Body::Error(Failure::new(Code::Data, text)));
            return true;
        }
    };
    if request.version != API_VERSION {
        let text = format!(
            "the client speaks version {} of the control protocol, this daemon {API_VERSION}",
            request.version
        );
        let hint = "use the `ticket` command of the same release as the daemon";
        let failure = Failure::new(Code::Protocol, text).hint(hint);
        client.answer(request.id, Body::Error(failure));
        return true;
    }
    let client = client.clone();
    requests.send(Asked { request, client }).await.is_ok()
}

async fn write_lines(
    mut write: unix::OwnedWriteHalf,
    mut waiting: mpsc::Receiver<String>,
    state: &ClientState,
) {
    while let Some(line) = waiting.recv().await {
        if state.overrun.load(Ordering::Relaxed) {
            return;
        }
        match timeout(WRITE_PATIENCE, write.write_all(line.as_bytes())).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
