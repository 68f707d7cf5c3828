//! What a link reports, and the bounded queue that it reports through.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::Notify;

/// Messages waiting for the reader. A reader that is this far behind gains nothing from older
/// ones: protocol messages are resent, so the oldest is dropped and counted.
pub const MESSAGES_MAX: usize = 1_024;
/// State reports waiting for the reader: several changes of every member of the largest cluster.
const REPORTS_MAX: usize = 256;

/// Something that happened on the link. Names are the configured ones, proven by certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message of a member. May be a duplicate, late, or out of order.
    Message {
        /// Who sent it.
        from: Arc<str>,
        /// What it sent.
        bytes: Bytes,
    },
    /// A member can be reached now.
    Up {
        /// Which.
        peer: Arc<str>,
        /// Where it is.
        address: SocketAddr,
        /// Number drawn by the peer's process at its start: another one means that it restarted.
        instance: u64,
    },
    /// A member cannot be reached any more, or its process was replaced by another.
    Down {
        /// Which.
        peer: Arc<str>,
        /// Why, for people.
        why: String,
    },
    /// Two live processes use one member's name and key: somebody copied a member. The one known
    /// longer is kept, the newcomer refused. If `member` is our own name, we are one of the two.
    /// Reported at most once a second.
    Duplicate {
        /// The name used twice.
        member: Arc<str>,
        /// Where both are, for people.
        why: String,
    },
    /// Somebody was not let in. Reported at most once a second, always counted.
    Refused {
        /// Where it came from (or where we dialled).
        address: SocketAddr,
        /// Why, for people.
        why: String,
    },
    /// A certificate expires within thirty days, or has. Existing connections stay; new ones are
    /// refused from then on. Repeated daily.
    CertificateExpires {
        /// Whose.
        member: Arc<str>,
        /// When.
        not_after: SystemTime,
    },
}

/// The reading end of a link.
pub struct Events {
    pub(crate) queue: Arc<Queue>,
}

impl Events {
    /// The next event, reports before messages. Cancel safe.
    pub async fn recv(&mut self) -> Event {
        loop {
            // Ask to be told before looking, so that nothing is missed in between.
            let told = self.queue.filled.notified();
            if let Some(event) = self.queue.pop() {
                return event;
            }
            told.await;
        }
    }

    /// The next event if one is waiting.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.queue.pop()
    }
}

/// Where connections put what they have for the reader; never blocks them.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    reports: VecDeque<Event>,
    messages: VecDeque<Event>,
}

impl Queue {
    /// Queues an event; says whether an older one had to go for it.
    pub(crate) fn push(&self, event: Event) -> bool {
        let mut waiting = self.lock();
        let Waiting { reports, messages } = &mut *waiting;
        let (lane, max) = match event {
            Event::Message { .. } => (messages, MESSAGES_MAX),
            _ => (reports, REPORTS_MAX),
        };
        let dropped = lane.len() >= max;
        if dropped {
            lane.pop_front();
        }
        lane.push_back(event);
        drop(waiting);
        self.filled.notify_one();
        dropped
    }

    fn pop(&self) -> Option<Event> {
        let mut waiting = self.lock();
        let report = waiting.reports.pop_front();
        report.or_else(|| waiting.messages.pop_front())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere leaves the queue whole: each push and pop is one step.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
