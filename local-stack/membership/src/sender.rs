//! Messages on their way out: a bounded queue, cut into chunks as sequence numbers come.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::Config;
use crate::ids::NodeId;
use crate::message::{Chunk, Guarantee, PIECE_BYTES_MAX, PIECE_OVERHEAD, Place};

struct Message {
    bytes: Vec<u8>,
    guarantee: Guarantee,
}

/// The sending half of a node.
///
/// A message stays in the queue until its last piece has left with a sequence number, so that a view
/// change in the middle of it sends all of it again in the next view (nobody has delivered it: its
/// end was never sent).
pub(crate) struct Sender {
    me: NodeId,
    chunk_bytes: usize,
    queue_bytes_max: usize,
    queue: VecDeque<Message>,
    queue_bytes: usize,
    /// Where the next chunk begins: message of the queue, byte of it.
    cut_message: usize,
    cut_byte: usize,
    /// Chunks that wait for a number, and how many messages end in each.
    waiting: VecDeque<(Arc<Chunk>, usize)>,
    /// Chunks cut since the view began: how many numbers we want.
    wanted: u64,
    /// Numbers that we got since the view began.
    granted: u64,
}

impl Sender {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            me: config.me,
            chunk_bytes: config.chunk_bytes.min(PIECE_BYTES_MAX),
            queue_bytes_max: config.queue_bytes,
            queue: VecDeque::new(),
            queue_bytes: 0,
            cut_message: 0,
            cut_byte: 0,
            waiting: VecDeque::new(),
            wanted: 0,
            granted: 0,
        }
    }

    /// Queues a message, or gives it back if there is no room.
    pub(crate) fn submit(&mut self, bytes: Vec<u8>, guarantee: Guarantee) -> Result<(), Vec<u8>> {
        let size = bytes.len() + PIECE_OVERHEAD;
        if self.queue_bytes + size > self.queue_bytes_max && !self.queue.is_empty() {
            return Err(bytes);
        }
        self.queue_bytes += size;
        self.queue.push_back(Message { bytes, guarantee });
        Ok(())
    }

    /// A new view: numbers are counted afresh, and what was not sent whole is sent again.
    pub(crate) fn restart(&mut self, whole: bool) {
        (self.wanted, self.granted) = (self.waiting.len() as u64, 0);
        if whole {
            (self.cut_message, self.cut_byte, self.wanted) = (0, 0, 0);
            self.waiting.clear();
        }
    }

    pub(crate) fn wanted(&self) -> u64 {
        self.wanted
    }

    pub(crate) fn granted(&self) -> u64 {
        self.granted
    }

    /// Cuts chunks: full ones at any time up to `most` waiting, a partly filled one only while
    /// nothing else waits, so that small messages gather in one chunk while a request is under way.
    pub(crate) fn cut(&mut self, most: u64) {
        while self.wanted - self.granted < most {
            let Some(first) = self.queue.get(self.cut_message) else {
                return;
            };
            let guarantee = first.guarantee;
            if !self.waiting.is_empty() && !self.fills(guarantee) {
                return;
            }
            let (chunk, next) = self.next_chunk(guarantee);
            let ended = next.0 - self.cut_message;
            (self.cut_message, self.cut_byte) = next;
            self.waiting.push_back((Arc::new(chunk), ended));
            self.wanted += 1;
        }
    }

    /// Is there enough of that guarantee for a chunk as full as it gets?
    fn fills(&self, guarantee: Guarantee) -> bool {
        let (mut room, mut byte) = (self.chunk_bytes, self.cut_byte);
        for message in self.queue.range(self.cut_message..) {
            let size = message.bytes.len() - byte + PIECE_OVERHEAD;
            if message.guarantee != guarantee || size > room {
                return true;
            }
            (room, byte) = (room - size, 0);
        }
        room <= PIECE_OVERHEAD
    }

    /// The next chunk, and where the one after begins.
    fn next_chunk(&self, guarantee: Guarantee) -> (Chunk, (usize, usize)) {
        let mut chunk = Chunk {
            sender: self.me,
            guarantee,
            body: Vec::new(),
        };
        let mut room = self.chunk_bytes;
        let (mut at, mut byte) = (self.cut_message, self.cut_byte);
        while let Some(message) = self.queue.get(at) {
            let empty = chunk.body.is_empty();
            if message.guarantee != guarantee || (room <= PIECE_OVERHEAD && !empty) {
                break;
            }
            let left = message.bytes.len() - byte;
            // A message that fits into a chunk of its own is not torn apart to fill this one.
            let fits_alone = byte == 0 && left + PIECE_OVERHEAD <= self.chunk_bytes;
            if fits_alone && left + PIECE_OVERHEAD > room {
                break;
            }
            if empty {
                let whole = (left + PIECE_OVERHEAD) * (self.queue.len() - at);
                chunk.body.reserve_exact(whole.min(self.chunk_bytes));
            }
            let take = left.min(room - PIECE_OVERHEAD);
            let place = match (byte == 0, take == left) {
                (true, true) => Place::Whole,
                (true, false) => Place::First,
                (false, false) => Place::Middle,
                (false, true) => Place::Last,
            };
            chunk.add(place, &message.bytes[byte..byte + take]);
            room -= take + PIECE_OVERHEAD;
            if take < left {
                return (chunk, (at, byte + take));
            }
            (at, byte) = (at + 1, 0);
        }
        (chunk, (at, byte))
    }

    /// The next chunk gets a number: it leaves now.
    pub(crate) fn take_granted(&mut self) -> Option<Arc<Chunk>> {
        let (chunk, ended) = self.waiting.pop_front()?;
        self.granted += 1;
        for _ in 0..ended {
            if let Some(message) = self.queue.pop_front() {
                self.queue_bytes -= message.bytes.len() + PIECE_OVERHEAD;
                self.cut_message -= 1;
            }
        }
        Some(chunk)
    }

    /// Bytes that wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue_bytes
    }
}
