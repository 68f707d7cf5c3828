//! A blocking client.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use thiserror::Error;

use crate::words::{
    Answer, Ask, Do, FRAME_BYTES_MAX, GROUP_BYTES_MAX, Guarantee, LENGTH_BYTES, MESSAGE_BYTES_MAX,
    Notice, Outcome, Reply, from_daemon, to_daemon,
};

/// Small messages gather here until so many bytes are worth a system call.
const GATHER_BYTES: usize = 32 << 10;
/// Read at once.
const READ_BYTES: usize = 128 << 10;
/// Events that came while we waited for something else, in bytes: then the application must take
/// them first.
const INBOX_BYTES_MAX: usize = 64 << 20;
/// An answer has come by then, or the daemon hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What went wrong.
#[derive(Debug, Error)]
pub enum Error {
    /// Nobody answers at the socket. Nothing was done.
    #[error("{path}: {source}: is the messaging daemon running, and is that its socket?")]
    Connect {
        /// The socket.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke. Whether what was under way was done is not known.
    #[error("the connection to the messaging daemon broke: {0}")]
    Broken(#[from] io::Error),
    /// The daemon ended the connection.
    #[error("the messaging daemon ended the connection: {0}")]
    Closed(String),
    /// The daemon refused. Nothing changed.
    #[error("{0}")]
    Refused(String),
    /// The message or the group's name is too long. Nothing was sent.
    #[error("{0}")]
    TooLong(String),
    /// Too many events wait: take them with [`Client::next`], then try again. Nothing was sent.
    #[error("64 MB of events wait to be taken; nothing was sent")]
    Behind,
    /// No answer came in time. Whether it was done is not known.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The daemon says something that we do not understand.
    #[error("the daemon's words are not understood ({0}): is it of another version?")]
    Words(String),
}

/// A process of some node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The node.
    pub node: u32,
    /// Its number there.
    pub client: u64,
}

/// What comes, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A message to a group that we are in.
    Message {
        /// The group.
        group: String,
        /// Who sent it.
        from: Member,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Something else that happened.
    Notice(Notice),
}

/// A connection to the daemon of this node.
pub struct Client {
    stream: UnixStream,
    out: Vec<u8>,
    buffer: Vec<u8>,
    /// What of `buffer` has been read, and how much of it is there.
    start: usize,
    end: usize,
    inbox: VecDeque<Event>,
    inbox_bytes: usize,
    answers: VecDeque<Reply>,
    next_id: u64,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub fn connect(path: &Path) -> Result<Self, Error> {
        let refused = |source| Error::Connect {
            path: path.display().to_string(),
            source,
        };
        let stream = UnixStream::connect(path).map_err(refused)?;
        stream.set_nonblocking(true).map_err(refused)?;
        Ok(Self {
            stream,
            out: Vec::new(),
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            answers: VecDeque::new(),
            next_id: 1,
        })
    }

    /// Joins a group, and says who we are in it.
    ///
    /// # Errors
    /// Refused (a name that is empty or too long, a member already), or the connection broke.
    pub fn join(&mut self, group: &str) -> Result<Member, Error> {
        let group = group.to_owned();
        match self.ask(Do::Join { group })? {
            Answer::Done { node, client } => Ok(Member { node, client }),
            other => Err(Error::Words(format!("{other:?}"))),
        }
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// Refused (not a member), or the connection broke.
    pub fn leave(&mut self, group: &str) -> Result<(), Error> {
        let group = group.to_owned();
        self.ask(Do::Leave { group }).map(|_| ())
    }

    /// Sends a message to a group; one need not be its member. Small ones gather until
    /// [`Client::flush`], [`Client::next`] or [`Client::ask`], or until there are many. Waits while
    /// the site is busy; nothing is dropped.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Behind`], or the connection broke.
    pub fn send(&mut self, group: &str, guarantee: Guarantee, message: &[u8]) -> Result<(), Error> {
        if message.len() > MESSAGE_BYTES_MAX {
            let text = format!(
                "{} bytes: a message has at most {MESSAGE_BYTES_MAX}",
                message.len()
            );
            return Err(Error::TooLong(text));
        }
        if group.is_empty() || group.len() > GROUP_BYTES_MAX {
            let text = format!("a group's name has 1 to {GROUP_BYTES_MAX} bytes");
            return Err(Error::TooLong(text));
        }
        if self.inbox_bytes > INBOX_BYTES_MAX {
            return Err(Error::Behind);
        }
        let length = 3 + group.len() + message.len();
        self.out.extend_from_slice(&(length as u32).to_le_bytes());
        let safe = u8::from(guarantee == Guarantee::Safe);
        self.out
            .extend_from_slice(&[to_daemon::SEND, safe, group.len() as u8]);
        self.out.extend_from_slice(group.as_bytes());
        self.out.extend_from_slice(message);
        if self.out.len() >= GATHER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands everything gathered to the daemon. Reads what comes meanwhile: two that wait for each
    /// other would wait for ever.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self) -> Result<(), Error> {
        let mut done = 0;
        while done < self.out.len() {
            match self.stream.write(&self.out[done..]) {
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = self.wait(PollFlags::IN | PollFlags::OUT, None)?;
                    if ready.contains(PollFlags::IN) {
                        self.read()?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // The daemon's last words say why.
                    self.read()?;
                    return Err(error.into());
                }
            }
        }
        self.out.clear();
        Ok(())
    }

    /// The next event; `None` when none has come within `wait` (`None`: for ever).
    ///
    /// # Errors
    /// The connection broke.
    pub fn next(&mut self, wait: Option<Duration>) -> Result<Option<Event>, Error> {
        let until = wait.map(|wait| Instant::now() + wait);
        loop {
            if let Some(event) = self.inbox.pop_front() {
                self.inbox_bytes -= cost(&event);
                return Ok(Some(event));
            }
            if !self.out.is_empty() {
                self.flush()?;
                continue;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if !self.wait(PollFlags::IN, left)?.is_empty() {
                self.read()?;
            } else if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
        }
    }

    /// Asks, and waits for the answer. Events that come meanwhile are kept for [`Client::next`].
    ///
    /// # Errors
    /// Refused, no answer in time, or the connection broke.
    pub fn ask(&mut self, what: Do) -> Result<Answer, Error> {
        let id = self.next_id;
        self.next_id += 1;
        let text = serde_json::to_vec(&Ask { id, what })
            .map_err(|error| Error::Words(error.to_string()))?;
        if text.len() + 1 > FRAME_BYTES_MAX {
            return Err(Error::TooLong(format!(
                "{} bytes in one request",
                text.len()
            )));
        }
        self.out
            .extend_from_slice(&(text.len() as u32 + 1).to_le_bytes());
        self.out.push(to_daemon::ASK);
        self.out.extend_from_slice(&text);
        self.flush()?;
        let until = Instant::now() + ANSWER_WITHIN;
        loop {
            while let Some(reply) = self.answers.pop_front() {
                if reply.id == id {
                    return match reply.outcome {
                        Outcome::Ok(answer) => Ok(answer),
                        Outcome::Error(refusal) => Err(Error::Refused(refusal.message)),
                    };
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if !self.wait(PollFlags::IN, Some(left))?.is_empty() {
                self.read()?;
            } else if left.is_zero() {
                return Err(Error::Timeout(ANSWER_WITHIN));
            }
        }
    }

    fn wait(&self, flags: PollFlags, wait: Option<Duration>) -> Result<PollFlags, Error> {
        let mut fds = [PollFd::new(&self.stream, flags)];
        let wait = wait.map(|wait| Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) => Ok(fds[0].revents()),
            Err(rustix::io::Errno::INTR) => Ok(PollFlags::empty()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Reads what is there.
    fn read(&mut self) -> Result<(), Error> {
        if self.start > 0 && self.buffer.len() - self.end < READ_BYTES / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() - self.end < READ_BYTES / 2 {
            self.buffer.resize(self.end + READ_BYTES, 0);
        }
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => Err(Error::Closed("it is gone".to_owned())),
            Ok(count) => {
                self.end += count;
                self.take_frames()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn take_frames(&mut self) -> Result<(), Error> {
        loop {
            let there = &self.buffer[self.start..self.end];
            let Some(length) = there.first_chunk::<LENGTH_BYTES>() else {
                break;
            };
            let length = u32::from_le_bytes(*length) as usize;
            if length == 0 || length > FRAME_BYTES_MAX {
                return Err(Error::Words(format!("a frame of {length} bytes")));
            }
            let Some(frame) = there.get(LENGTH_BYTES..LENGTH_BYTES + length) else {
                break;
            };
            match frame[0] {
                from_daemon::MESSAGE => {
                    let event = message(&frame[1..])
                        .ok_or_else(|| Error::Words("a message cut short".to_owned()))?;
                    self.inbox_bytes += cost(&event);
                    self.inbox.push_back(event);
                }
                from_daemon::ANSWER => {
                    let reply = serde_json::from_slice(&frame[1..])
                        .map_err(|error| Error::Words(error.to_string()))?;
                    self.answers.push_back(reply);
                }
                from_daemon::NOTICE => {
                    let notice = serde_json::from_slice(&frame[1..])
                        .map_err(|error| Error::Words(error.to_string()))?;
                    if let Notice::Closing { why } = notice {
                        return Err(Error::Closed(why));
                    }
                    let event = Event::Notice(notice);
                    self.inbox_bytes += cost(&event);
                    self.inbox.push_back(event);
                }
                kind => return Err(Error::Words(format!("a frame of kind {kind}"))),
            }
            self.start += LENGTH_BYTES + length;
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        Ok(())
    }
}

/// What an event costs of the inbox; notices are small and few.
fn cost(event: &Event) -> usize {
    match event {
        Event::Message { group, bytes, .. } => group.len() + bytes.len() + 64,
        Event::Notice(_) => 256,
    }
}

fn message(body: &[u8]) -> Option<Event> {
    let (node, rest) = body.split_first_chunk::<4>()?;
    let (client, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first()?;
    let (group, bytes) = rest.split_at_checked(usize::from(*length))?;
    Some(Event::Message {
        group: String::from_utf8_lossy(group).into_owned(),
        from: Member {
            node: u32::from_le_bytes(*node),
            client: u64::from_le_bytes(*client),
        },
        bytes: bytes.to_vec(),
    })
}
