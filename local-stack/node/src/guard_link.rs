//! The connection to the guard: kept up, asked in order, watched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use controller::Holding;
use stack_api::guard::{Answer, Arm, Do, Event, Incoming, Notice, Outcome, Request, State, Track};
use stack_api::{LineBuffer, line};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// Pause between two tries to reach the guard.
const RETRY: Duration = Duration::from_millis(200);

/// Pause between two questions whether the guard lives.
const PING: Duration = Duration::from_secs(1);

/// An answer later than this is none: the guard hangs or is stopped, and what it guards is unguarded.
/// Long enough for a machine that is busy reading `/proc` of many processes.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Requests and news that wait; far more than tickets.
const BOUND: usize = 256;

/// How long the daemon waits at its start for a guard to answer.
const FIRST_MAX: Duration = Duration::from_secs(2);

/// What the guard is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    Arm(Arm),
    Disarm(Holding),
    Fire(Holding),
    Track(Track),
}

/// What is heard of it.
#[derive(Debug)]
pub(crate) enum News {
    /// It answers.
    Up(State),
    /// It does not; everything asked and not answered is void.
    Down(String),
    Armed(Holding, Result<(), String>),
    Disarmed(Holding, Result<(), String>),
    Fired(Holding),
    Log(String),
}

/// Both ends of the link for the loop.
pub(crate) struct GuardLink {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) news: mpsc::Receiver<News>,
}

/// Keeps a connection to the guard for as long as the loop lives.
pub(crate) fn start(path: PathBuf) -> GuardLink {
    let (asks, mut questions) = mpsc::channel(BOUND);
    let (tell, news) = mpsc::channel(BOUND);
    tokio::spawn(async move {
        loop {
            let why = match UnixStream::connect(&path).await {
                Ok(stream) => Session::new(stream).talk(&mut questions, &tell).await,
                Err(error) => format!("{}: {error}", path.display()),
            };
            // What was asked while nobody listens is void, as the loop learns from the news.
            while questions.try_recv().is_ok() {}
            if tell.send(News::Down(why)).await.is_err() {
                return;
            }
            sleep(RETRY).await;
        }
    });
    GuardLink { asks, news }
}

/// What the guard holds now; none when it does not answer in time.
pub(crate) async fn first_state(path: &Path) -> Option<State> {
    let asked = async {
        loop {
            if let Ok(mut stream) = UnixStream::connect(path).await
                && let Some(state) = query(&mut stream).await
            {
                return state;
            }
            sleep(RETRY).await;
        }
    };
    timeout(FIRST_MAX, asked).await.ok()
}

async fn query(stream: &mut UnixStream) -> Option<State> {
    stream
        .write_all(&line::encode(&Request {
            id: 1,
            r#do: Do::Query,
        }))
        .await
        .ok()?;
    let mut buffer = LineBuffer::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(text) = buffer.next_line() {
            return match line::decode(&text).ok()? {
                Incoming::Response(response) => match response.result {
                    Outcome::Ok(Answer::State(state)) => Some(state),
                    _ => None,
                },
                Incoming::Notice(_) => None,
            };
        }
        let count = stream
            .read(&mut chunk)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        buffer.push(&chunk[..count]).ok()?;
    }
}

#[derive(Debug)]
enum Pending {
    Arm(Holding),
    Disarm(Holding),
    /// Nothing follows from the answer but a line in the log when it is a refusal.
    Other,
    /// The first query of a connection tells that the guard is up.
    First,
    Ping,
}

struct Session {
    stream: UnixStream,
    buffer: LineBuffer,
    pending: BTreeMap<u64, (Pending, Instant)>,
    last_id: u64,
}

impl Session {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            buffer: LineBuffer::new(),
            pending: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// Talks until something breaks; says what.
    async fn talk(
        mut self,
        questions: &mut mpsc::Receiver<Ask>,
        tell: &mpsc::Sender<News>,
    ) -> String {
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut chunk = [0; 4096];
        let mut first = true;
        if let Err(why) = self.ask(Pending::Other, Do::Subscribe).await {
            return why;
        }
        loop {
            let result = tokio::select! {
                // Answers first: after a pause of this process they are there, and only seem late.
                biased;
                count = self.stream.read(&mut chunk) => match count {
                    Ok(0) => Err("the guard closed the connection".to_owned()),
                    Ok(count) => self.read(&chunk[..count], tell).await,
                    Err(error) => Err(error.to_string()),
                },
                Some(ask) = questions.recv() => self.question(ask).await,
                _ = ping.tick() => {
                    let what = if std::mem::take(&mut first) { Pending::First } else { Pending::Ping };
                    match self.overdue() {
                        Some(why) => Err(why),
                        None => self.ask(what, Do::Query).await,
                    }
                }
            };
            if let Err(why) = result {
                return why;
            }
        }
    }

    fn overdue(&self) -> Option<String> {
        let oldest = self
            .pending
            .values()
            .map(|(_, since)| since.elapsed())
            .max()?;
        (oldest > ANSWER_MAX).then(|| format!("no answer for {} ms", oldest.as_millis()))
    }

    async fn question(&mut self, ask: Ask) -> Result<(), String> {
        match ask {
            Ask::Arm(arm) => {
                let holding = Holding {
                    ticket: arm.ticket.clone(),
                    term: arm.term,
                };
                self.ask(Pending::Arm(holding), Do::Arm(arm)).await
            }
            Ask::Disarm(holding) => {
                let request = Do::Disarm(named(&holding));
                self.ask(Pending::Disarm(holding), request).await
            }
            Ask::Track(track) => self.ask(Pending::Other, Do::Track(track)).await,
            Ask::Fire(holding) => self.ask(Pending::Other, Do::Fire(named(&holding))).await,
        }
    }

    async fn ask(&mut self, pending: Pending, request: Do) -> Result<(), String> {
        self.last_id += 1;
        let id = self.last_id;
        self.pending.insert(id, (pending, Instant::now()));
        let text = line::encode(&Request { id, r#do: request });
        // A guard that does not read its socket hangs.
        match timeout(ANSWER_MAX, self.stream.write_all(&text)).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("the guard does not read".to_owned()),
        }
    }

    async fn read(&mut self, bytes: &[u8], tell: &mpsc::Sender<News>) -> Result<(), String> {
        self.buffer.push(bytes).map_err(|error| error.to_string())?;
        while let Some(text) = self.buffer.next_line() {
            let incoming: Incoming = line::decode(&text).map_err(|error| error.to_string())?;
            let news = match incoming {
                Incoming::Notice(Notice { event }) => vec![from_event(event)],
                Incoming::Response(response) => {
                    let pending = self.pending.remove(&response.id);
                    pending
                        .and_then(|(pending, _)| from_answer(pending, response.result))
                        .into_iter()
                        .collect()
                }
            };
            for news in news {
                // The loop is gone when this fails, and the process with it.
                let _ = tell.send(news).await;
            }
        }
        Ok(())
    }
}

fn named(holding: &Holding) -> stack_api::guard::Holding {
    stack_api::guard::Holding {
        ticket: holding.ticket.clone(),
        term: holding.term,
    }
}

fn from_event(event: Event) -> News {
    match event {
        Event::Fired {
            ticket,
            term,
            unproven,
            killed,
        } => {
            tracing::warn!(
                ticket,
                term,
                killed,
                unproven,
                "the guard ended what was left"
            );
            News::Fired(Holding { ticket, term })
        }
        Event::Stuck { ticket, term, pids } => News::Log(format!(
            "ticket {ticket} term {term}: the guard cannot end {} processes",
            pids.len()
        )),
    }
}

fn from_answer(pending: Pending, result: Outcome) -> Option<News> {
    let simple = match &result {
        Outcome::Ok(_) => Ok(()),
        Outcome::Error(error) => Err(error.to_string()),
    };
    match (pending, result) {
        (Pending::Arm(holding), _) => Some(News::Armed(holding, simple)),
        (Pending::Disarm(holding), _) => Some(News::Disarmed(holding, simple)),
        (Pending::First, Outcome::Ok(Answer::State(state))) => Some(News::Up(state)),
        (_, Outcome::Error(error)) => Some(News::Log(format!("the guard: {error}"))),
        (Pending::First | Pending::Ping | Pending::Other, Outcome::Ok(_)) => None,
    }
}
