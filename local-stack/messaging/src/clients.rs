//! Connections of applications: frames in, frames out, both bounded.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use membership::{NodeId, Time};
use serde::Serialize;
use stack_client::words::{
    Ask, FRAME_BYTES_MAX, GROUP_BYTES_MAX, LENGTH_BYTES, Notice, Outcome, Reply, from_daemon,
    to_daemon,
};

/// Read at once.
const READ_BYTES: usize = 64 << 10;
/// A client that has this much to read is a slow one: nothing is delivered until it has read some.
const OUT_BYTES_FULL: usize = 512 << 10;
/// Bytes of a frame's head before the group's name, in a message to a client.
const MESSAGE_HEAD: usize = 1 + 4 + 8 + 1;

/// What a client wants.
pub(crate) enum Wish {
    /// A message for the order: to a group, as it travels.
    Send { message: Vec<u8>, safe: bool },
    /// A request.
    Ask(Ask),
}

/// One connection.
pub(crate) struct Conn {
    pub(crate) id: u64,
    stream: UnixStream,
    input: Vec<u8>,
    start: usize,
    output: Vec<u8>,
    written: usize,
    /// The system may have more for us, or takes more.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// A message that found no room.
    pub(crate) stalled: Option<(Vec<u8>, bool)>,
    pub(crate) groups: Vec<Vec<u8>>,
    pub(crate) follows: bool,
    pub(crate) watches: Vec<String>,
    /// Since when it has had as much as it may, and read nothing.
    pub(crate) slow_since: Option<Time>,
    pub(crate) gone: Option<String>,
}

impl Conn {
    pub(crate) fn new(id: u64, stream: UnixStream) -> Self {
        Self {
            id,
            stream,
            input: Vec::new(),
            start: 0,
            output: Vec::new(),
            written: 0,
            readable: true,
            writable: true,
            stalled: None,
            groups: Vec::new(),
            follows: false,
            watches: Vec::new(),
            slow_since: None,
            gone: None,
        }
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// May nothing more be put into its buffer?
    pub(crate) fn full(&self) -> bool {
        self.output.len() - self.written >= OUT_BYTES_FULL
    }

    /// Reads once; what came is taken with [`Conn::next_wish`].
    pub(crate) fn read(&mut self) {
        if self.start > 0 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        let at = self.input.len();
        self.input.resize(at + READ_BYTES, 0);
        let read = self.stream.read(&mut self.input[at..]);
        let count = *read.as_ref().unwrap_or(&0);
        self.input.truncate(at + count);
        match read {
            Ok(0) => self.gone = Some(LEFT.to_owned()),
            Ok(count) => self.readable = count == READ_BYTES,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.gone = Some(error.to_string()),
        }
    }

    /// Is there another frame to take, or something to read?
    pub(crate) fn waiting(&self) -> bool {
        let there = &self.input[self.start..];
        let length = there
            .first_chunk::<LENGTH_BYTES>()
            .map(|length| u32::from_le_bytes(*length) as usize);
        self.readable || length.is_some_and(|length| there.len() >= LENGTH_BYTES + length)
    }

    /// The next whole frame.
    pub(crate) fn next_wish(&mut self) -> Option<Wish> {
        let there = &self.input[self.start..];
        let length = u32::from_le_bytes(*there.first_chunk::<LENGTH_BYTES>()?) as usize;
        if length == 0 || length > FRAME_BYTES_MAX {
            self.gone = Some(format!("it sent a frame of {length} bytes"));
            return None;
        }
        let frame = there.get(LENGTH_BYTES..LENGTH_BYTES + length)?;
        let wish = match frame[0] {
            to_daemon::SEND => message_of(self.id, &frame[1..]),
            to_daemon::ASK => serde_json::from_slice(&frame[1..])
                .map(Wish::Ask)
                .map_err(|error| format!("a request that is not understood: {error}")),
            kind => Err(format!("a frame of unknown kind {kind}")),
        };
        self.start += LENGTH_BYTES + length;
        match wish {
            Ok(wish) => Some(wish),
            Err(why) => {
                self.gone = Some(why);
                None
            }
        }
    }

    /// A message of the order, as it travelled, for a group that the client is in.
    pub(crate) fn deliver(&mut self, sender: NodeId, message: &[u8]) {
        let length = 1 + 4 + message.len();
        self.output
            .extend_from_slice(&(length as u32).to_le_bytes());
        self.output.push(from_daemon::MESSAGE);
        self.output.extend_from_slice(&sender.0.to_le_bytes());
        self.output.extend_from_slice(message);
    }

    pub(crate) fn reply(&mut self, id: u64, outcome: Outcome) {
        self.json(from_daemon::ANSWER, &Reply { id, outcome });
    }

    pub(crate) fn notice(&mut self, notice: &Notice) {
        self.json(from_daemon::NOTICE, notice);
    }

    fn json(&mut self, kind: u8, what: &impl Serialize) {
        // Our own words can be written as JSON: their maps have text for keys.
        let Ok(text) = serde_json::to_vec(what) else {
            return;
        };
        let length = text.len() as u32 + 1;
        self.output.extend_from_slice(&length.to_le_bytes());
        self.output.push(kind);
        self.output.extend_from_slice(&text);
    }

    /// Writes what the system takes; true if that was something.
    pub(crate) fn write(&mut self) -> bool {
        let before = self.written;
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.gone = Some(error.to_string());
                    break;
                }
            }
        }
        let progress = self.written > before;
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        } else if self.written > OUT_BYTES_FULL {
            self.output.drain(..self.written);
            self.written = 0;
        }
        progress
    }

    /// Is there anything to write?
    pub(crate) fn pending(&self) -> bool {
        self.written < self.output.len()
    }
}

/// A message to a group as it travels: 0, client, name length, group, content.
fn message_of(client: u64, body: &[u8]) -> Result<Wish, String> {
    let cut = || "a message cut short".to_owned();
    let (safe, rest) = body.split_first().ok_or_else(cut)?;
    let length = usize::from(*rest.first().ok_or_else(cut)?);
    if length == 0 || length > GROUP_BYTES_MAX || rest.len() <= length {
        return Err("a group's name that is empty or too long".to_owned());
    }
    let mut message = Vec::with_capacity(MESSAGE_HEAD + rest.len());
    message.push(TO_GROUP);
    message.extend_from_slice(&client.to_le_bytes());
    message.extend_from_slice(rest);
    Ok(Wish::Send {
        message,
        safe: *safe == 1,
    })
}

/// Why a client is gone that just went.
pub(crate) const LEFT: &str = "it closed the connection";

/// First byte of a message in the order: to a group.
pub(crate) const TO_GROUP: u8 = 0;
/// Of the groups themselves.
pub(crate) const OF_GROUPS: u8 = 1;
/// Of the store.
pub(crate) const OF_STORE: u8 = 2;
/// Of the list of nodes.
pub(crate) const OF_NODES: u8 = 3;

/// The group's name in a message to a group, without its first byte.
pub(crate) fn group_of(message: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*message.get(8)?);
    message.get(9..9 + length)
}
