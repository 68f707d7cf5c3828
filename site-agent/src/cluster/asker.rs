//! Questions and answers over a [`Connection`]: each question waits for its own answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::connection::{AskError, Connection, Heard, Words};

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
    waiting: BTreeMap<u64, oneshot::Sender<Result<W::Answer, AskError>>>,
}

/// What is not the answer to a question.
pub(crate) enum News<W: Words> {
    /// A new connection: say again what still holds.
    Connected,
    /// No connection, and why.
    Disconnected(String),
    /// The answer to what was told without waiting.
    Told(Result<W::Answer, AskError>),
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

    /// Asks at once; the future waits for the answer.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(crate) fn ask(
        &self,
        ask: W::Do,
    ) -> impl Future<Output = Result<W::Answer, AskError>> + Send + use<W> {
        let (sender, answer) = oneshot::channel();
        let tag = {
            let mut asked = lock(&self.asked);
            asked.last_tag += 1;
            let tag = asked.last_tag;
            asked.waiting.insert(tag, sender);
            tag
        };
        let patience = self.patience;
        let sent = self.connection.ask(tag, ask, Instant::now() + patience);
        let asked = Arc::clone(&self.asked);
        async move {
            let failed = |why: &str| AskError::Failed(format!("the {}: {why}", W::PEER));
            if !sent {
                lock(&asked).waiting.remove(&tag);
                return Err(failed("takes no requests"));
            }
            match timeout(patience, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_dropped)) => Err(failed("the connection ended")),
                Err(_late) => {
                    lock(&asked).waiting.remove(&tag);
                    let patience = patience.as_millis();
                    Err(failed(&format!("no answer within {patience} ms")))
                }
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
