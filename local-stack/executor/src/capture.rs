//! What an agent writes: read while it runs, bounded, never waited for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::net::unix::pipe::Receiver;

/// Kept of each stream: the end of it, where agents say why they failed. Meta-data of the
/// distribution's largest agents is about 60 kB.
const KEPT_BYTES: usize = 256 * 1024;

/// Bytes taken from a pipe after the agent's exit: what it had room for. A daemon that inherited the
/// pipe and writes without end is not read any further.
const DRAINED_BYTES_MAX: usize = 1024 * 1024;

/// One stream of an agent.
#[derive(Debug)]
pub(crate) struct Capture {
    pipe: Option<Receiver>,
    bytes: Vec<u8>,
}

impl Capture {
    /// Takes the reading end of a pipe.
    pub(crate) fn new(pipe: io::PipeReader) -> io::Result<Self> {
        let pipe = Receiver::from_owned_fd(OwnedFd::from(pipe))?;
        Ok(Self {
            pipe: Some(pipe),
            bytes: Vec::new(),
        })
    }

    /// Waits until something was read; never ends after the end of the stream.
    pub(crate) async fn read_some(&mut self) {
        let Some(pipe) = &self.pipe else {
            return std::future::pending().await;
        };
        if pipe.readable().await.is_err() {
            self.pipe = None;
            return;
        }
        let mut chunk = [0; 4096];
        match pipe.try_read(&mut chunk) {
            Ok(0) => self.pipe = None,
            Ok(count) => self.keep(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.pipe = None,
        }
    }

    /// Takes what is in the pipe now, and closes it.
    pub(crate) fn drain(&mut self) {
        let Some(pipe) = self.pipe.take() else {
            return;
        };
        let mut chunk = [0; 4096];
        let mut drained = 0;
        while let Ok(count @ 1..) = rustix::io::read(pipe.as_fd(), &mut chunk) {
            self.keep(&chunk[..count]);
            drained += count;
            if drained >= DRAINED_BYTES_MAX {
                return;
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > 2 * KEPT_BYTES {
            let surplus = self.bytes.len() - KEPT_BYTES;
            self.bytes.drain(..surplus);
        }
    }

    /// What was kept. Bytes that are not UTF-8 and control characters are replaced.
    pub(crate) fn text(&self) -> String {
        let from = self.bytes.len().saturating_sub(KEPT_BYTES);
        String::from_utf8_lossy(&self.bytes[from..])
            .chars()
            .map(|c| {
                if c.is_control() && c != '\n' && c != '\t' {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect()
    }
}
