//! Messages on their way out: a bounded queue, cut into chunks as sequence numbers come.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::Config;
use crate::ids::NodeId;
use crate::message::{Chunk, Guarantee, Piece, Place};

/// What a piece costs beside its bytes: its place and its length.
const PIECE_OVERHEAD: usize = 4;

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
            chunk_bytes: config.chunk_bytes,
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

    /// Queues a message; false if there is no room.
    pub(crate) fn submit(&mut self, bytes: Vec<u8>, guarantee: Guarantee) -> bool {
        let size = bytes.len() + PIECE_OVERHEAD;
        if self.queue_bytes + size > self.queue_bytes_max && !self.queue.is_empty() {
            return false;
        }
        self.queue_bytes += size;
        self.queue.push_back(Message { bytes, guarantee });
        true
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
            let (pieces, full, next) = self.next_pieces(guarantee);
            if !full && !self.waiting.is_empty() {
                return;
            }
            let chunk = Chunk {
                sender: self.me,
                guarantee,
                pieces,
            };
            let ended = next.0 - self.cut_message;
            (self.cut_message, self.cut_byte) = next;
            self.waiting.push_back((Arc::new(chunk), ended));
            self.wanted += 1;
        }
    }

    /// What fits into the next chunk; whether it is as full as it gets; where the one after begins.
    fn next_pieces(&self, guarantee: Guarantee) -> (Vec<Piece>, bool, (usize, usize)) {
        let (mut pieces, mut room) = (Vec::new(), self.chunk_bytes);
        let (mut at, mut byte) = (self.cut_message, self.cut_byte);
        while let Some(message) = self.queue.get(at) {
            if message.guarantee != guarantee || (room <= PIECE_OVERHEAD && !pieces.is_empty()) {
                return (pieces, true, (at, byte));
            }
            let left = message.bytes.len() - byte;
            // A message that fits into a chunk of its own is not torn apart to fill this one.
            let fits_alone = byte == 0 && left + PIECE_OVERHEAD <= self.chunk_bytes;
            if fits_alone && left + PIECE_OVERHEAD > room {
                return (pieces, true, (at, byte));
            }
            let take = left.min(room - PIECE_OVERHEAD);
            let place = match (byte == 0, take == left) {
                (true, true) => Place::Whole,
                (true, false) => Place::First,
                (false, false) => Place::Middle,
                (false, true) => Place::Last,
            };
            pieces.push(Piece {
                place,
                bytes: message.bytes[byte..byte + take].to_vec(),
            });
            room -= take + PIECE_OVERHEAD;
            if take < left {
                return (pieces, true, (at, byte + take));
            }
            (at, byte) = (at + 1, 0);
        }
        (pieces, room <= PIECE_OVERHEAD, (at, byte))
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
