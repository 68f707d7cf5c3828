//! Questions and answers over a [`Connection`]: each question waits for its own answer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::connection::{Connection, Heard, Words};

/// What was heard and waits to be read; the task that reads it does nothing slow.
const HEARD_WAITING_MAX: usize = 64;

/// The tag of requests whose good answer interests nobody.
const TOLD: u64 = 0;

/// An asking end. Clones share one connection.
pub(crate) struct Asker<W: Words> {
    connection: Arc<Connection<W>>,
    asked: Arc<Mutex<Asked<W>>>,
    patience: Duration,
}

impl<W: Words> Clone for Asker<W> {
    fn clone(&self) -> Self {
        Self {
            connection: Arc::clone(&self.connection),
            asked: Arc::clone(&self.asked),
            patience: self.patience,
        }
    }
}

struct Asked<W: Words> {
    last_tag: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Result<W::Answer, String>>>,
}

/// What is not the answer to a question.
pub(crate) enum News<W: Words> {
    /// A new connection: say again what still holds.
    Connected,
    /// No connection, and why.
    Disconnected(String),
    /// The answer to what was told without waiting.
    Told(Result<W::Answer, String>),
    /// An event.
    Event(W::Event),
}

impl<W: Words> Asker<W> {
    /// Starts to keep a connection to `path`. Each question waits `patience` for its answer. The
    /// news must be read.
    pub(crate) fn start(path: PathBuf, patience: Duration) -> (Self, mpsc::Receiver<News<W>>) {
        let (heard_sender, heard) = mpsc::channel(HEARD_WAITING_MAX);
        let asker = Self {
            connection: Arc::new(Connection::start(path, heard_sender)),
            asked: Arc::new(Mutex::new(Asked {
                last_tag: TOLD,
                waiting: BTreeMap::new(),
            })),
            patience,
        };
        let (news_sender, news) = mpsc::channel(HEARD_WAITING_MAX);
        tokio::spawn(sort(Arc::clone(&asker.asked), heard, news_sender));
        (asker, news)
    }

    /// Says something without waiting. False when the peer is too far behind: nothing was said.
    pub(crate) fn tell(&self, tell: W::Do) -> bool {
        self.connection
            .ask(TOLD, tell, Instant::now() + self.patience)
    }

    /// Asks and waits.
    ///
    /// # Errors
    /// The peer refuses, cannot be reached, or does not answer in time: then it is not known
    /// whether it acted.
    pub(crate) async fn ask(&self, ask: W::Do) -> Result<W::Answer, String> {
        let (sender, answer) = oneshot::channel();
        let tag = {
            let mut asked = lock(&self.asked);
            asked.last_tag += 1;
            let tag = asked.last_tag;
            asked.waiting.insert(tag, sender);
            tag
        };
        if !self
            .connection
            .ask(tag, ask, Instant::now() + self.patience)
        {
            lock(&self.asked).waiting.remove(&tag);
            return Err(format!("the {} takes no requests", W::PEER));
        }
        match timeout(self.patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_dropped)) => Err(format!("the connection to the {} ended", W::PEER)),
            Err(_late) => {
                lock(&self.asked).waiting.remove(&tag);
                let patience = self.patience.as_millis();
                Err(format!(
                    "the {} gave no answer within {patience} ms",
                    W::PEER
                ))
            }
        }
    }
}

fn lock<W: Words>(asked: &Mutex<Asked<W>>) -> MutexGuard<'_, Asked<W>> {
    // Every change is one step: a panic elsewhere leaves it whole.
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives each answer to whoever asked, and the rest to the reader of the news.
async fn sort<W: Words>(
    asked: Arc<Mutex<Asked<W>>>,
    mut heard: mpsc::Receiver<Heard<W>>,
    news: mpsc::Sender<News<W>>,
) {
    while let Some(heard) = heard.recv().await {
        let piece = match heard {
            Heard::Connected => News::Connected,
            Heard::Disconnected(why) => News::Disconnected(why),
            Heard::Event(event) => News::Event(event),
            Heard::Answer(TOLD, result) => News::Told(result),
            Heard::Answer(tag, result) => {
                let waiting = lock(&asked).waiting.remove(&tag);
                if let Some(waiting) = waiting {
                    // Whoever asked may have gone.
                    let _gone = waiting.send(result);
                }
                continue;
            }
        };
        if news.send(piece).await.is_err() {
            return;
        }
    }
}
