//! Messaging in this process, and the two threads between it and the loop: one says what the controller
//! wants said, one hands over what is delivered.
//!
//! A message longer than messaging takes goes in pieces; those of one node come in order, and the whole
//! counts where its last piece does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use controller::View;
use stack_client::words::{Answer, Do, Notice, Status};
use stack_client::{Client, Error, Event, Guarantee};
use tokio::sync::mpsc;

/// The group of the controllers.
const GROUP: &str = "interlock.controller";
/// Words that wait to be said; more than a large cluster's whole transition.
const WORDS_BOUND: usize = 65_536;
/// Deliveries that wait for the loop; then messaging waits, and with it the site.
const NEWS_BOUND: usize = 1_024;
/// Bytes of a piece: well under what messaging takes.
const PIECE_BYTES: usize = 512 << 10;
/// The first byte of a piece.
const LAST: u8 = 0;
const MORE: u8 = 1;

/// What messaging tells.
#[derive(Debug)]
pub(crate) enum RingNews {
    /// A new view is in force.
    View(View),
    /// We listen from here on, or the view's quorum changed.
    Attach(View),
    /// A controller said something.
    Message(u32, Vec<u8>),
    /// It is over, and why.
    Broken(String),
}

/// The link to messaging.
#[derive(Debug)]
pub(crate) struct RingLink {
    words: SyncSender<Vec<u8>>,
    pub(crate) news: mpsc::Receiver<RingNews>,
}

impl RingLink {
    /// Says something to all controllers.
    ///
    /// # Errors
    /// Nobody takes it: the link is broken, or hopelessly behind.
    pub(crate) fn say(&self, word: Vec<u8>) -> Result<(), &'static str> {
        self.words.try_send(word).map_err(|error| match error {
            TrySendError::Full(_) => "messaging takes nothing any more",
            TrySendError::Disconnected(_) => "the link to messaging is broken",
        })
    }
}

/// Connects to the messaging daemon at a socket.
///
/// # Errors
/// Nobody answers there, or no thread is to be had.
pub(crate) fn start(socket: &Path) -> Result<RingLink, Box<dyn std::error::Error>> {
    let (words, to_say) = sync_channel(WORDS_BOUND);
    let (tell, news) = mpsc::channel(NEWS_BOUND);
    let sender = Client::connect(socket)?;
    let failed = tell.clone();
    std::thread::Builder::new()
        .name("ring-say".to_owned())
        .spawn(move || {
            if let Err(error) = say_all(sender, &to_say) {
                // The loop is gone when this fails.
                let _ = failed.blocking_send(RingNews::Broken(error.to_string()));
            }
        })?;
    let path: PathBuf = socket.to_owned();
    std::thread::Builder::new()
        .name("ring-hear".to_owned())
        .spawn(move || {
            if let Err(error) = hear(&path, &tell) {
                // As above.
                let _ = tell.blocking_send(RingNews::Broken(error.to_string()));
            }
        })?;
    Ok(RingLink { words, news })
}

/// Says what is to be said until nobody wants to any more.
fn say_all(mut client: Client, words: &Receiver<Vec<u8>>) -> Result<(), Error> {
    while let Ok(word) = words.recv() {
        say(&mut client, &word)?;
        while let Ok(word) = words.try_recv() {
            say(&mut client, &word)?;
        }
        client.flush()?;
    }
    Ok(())
}

fn say(client: &mut Client, word: &[u8]) -> Result<(), Error> {
    let mut pieces = word.chunks(PIECE_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let kind = if pieces.peek().is_some() { MORE } else { LAST };
        client.send(GROUP, Guarantee::Agreed, &[&[kind], piece].concat())?;
    }
    Ok(())
}

/// Pieces of each node's unfinished message.
#[derive(Debug, Default)]
struct Pieces(BTreeMap<u32, Vec<u8>>);

impl Pieces {
    /// The whole message, when its last piece has come.
    fn take(&mut self, from: u32, bytes: &[u8]) -> Option<Vec<u8>> {
        let (kind, piece) = bytes.split_first()?;
        let whole = self.0.entry(from).or_default();
        whole.extend_from_slice(piece);
        if *kind == MORE {
            return None;
        }
        self.0.remove(&from)
    }
}

/// Hands over what is delivered until the loop is gone.
fn hear(socket: &Path, tell: &mpsc::Sender<RingNews>) -> Result<(), Error> {
    let mut client = Client::connect(socket)?;
    client.ask(Do::Follow)?;
    client.join(GROUP)?;
    let mut view = view_of(&status(&mut client)?);
    let mut pieces = Pieces::default();
    let mut news = Some(RingNews::Attach(view.clone()));
    loop {
        if let Some(news) = news.take()
            && tell.blocking_send(news).is_err()
        {
            return Ok(());
        }
        let Some(event) = client.next(Some(Duration::from_secs(1)))? else {
            if tell.is_closed() {
                return Ok(());
            }
            continue;
        };
        match event {
            Event::Message { from, bytes, .. } => {
                let whole = pieces.take(from.node, &bytes);
                news = whole.map(|whole| RingNews::Message(from.node, whole));
            }
            Event::Notice(Notice::View {
                view: name,
                members,
            }) => {
                pieces.0.retain(|node, _| members.contains(node));
                // One that is over already is followed by the next.
                let now = view_of(&status(&mut client)?);
                if now.name == name {
                    view = now;
                    news = Some(RingNews::View(view.clone()));
                }
            }
            Event::Notice(Notice::Quorum(quorum)) => {
                let known = (view.quorate, view.expected_votes);
                if known != (quorum.quorate, quorum.expected) {
                    (view.quorate, view.expected_votes) = (quorum.quorate, quorum.expected);
                    news = Some(RingNews::Attach(view.clone()));
                }
            }
            Event::Notice(_) => {}
        }
    }
}

fn status(client: &mut Client) -> Result<Status, Error> {
    match client.ask(Do::Status)? {
        Answer::Status(status) => Ok(*status),
        other => Err(Error::Words(format!("{other:?}"))),
    }
}

fn view_of(status: &Status) -> View {
    let nodes = status.nodes.iter();
    View {
        name: status.view.clone(),
        members: nodes.clone().filter(|n| n.member).map(|n| n.id).collect(),
        nodes: nodes.map(|n| (n.id, n.name.clone(), n.votes)).collect(),
        quorate: status.quorum.quorate,
        expected_votes: status.quorum.expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_several_nodes_become_whole_messages() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.take(1, &[MORE, 1, 2]), None);
        assert_eq!(pieces.take(2, &[LAST, 9]), Some(vec![9]));
        assert_eq!(pieces.take(1, &[MORE, 3]), None);
        assert_eq!(pieces.take(1, &[LAST]), Some(vec![1, 2, 3]));
        assert_eq!(pieces.take(1, &[LAST, 4]), Some(vec![4]), "and begins anew");
        assert_eq!(pieces.take(1, &[]), None, "nonsense");
    }
}
