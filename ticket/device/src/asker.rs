//! A node's half: asks for the vote, and knows until when it has it.
//!
//! ```text
//!  NoSession --Session--> Asking --Vote--> Held --lease over, view left--> Asking
//!      ^                    |                |
//!      +---- Session again (the device restarted)
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use crate::Rule;
use crate::words::{Answer, Ask, Members, Session, Verdict, Wish};

/// First pause between questions, and the one while the device is silent.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Shortest pause, whatever the device says.
const ASK_LEAST: Duration = Duration::from_millis(20);
/// Longest pause: so late is a device noticed that was away.
const ASK_MOST: Duration = Duration::from_secs(1);
/// Questions whose answer still counts.
const OPEN_MAX: usize = 8;

/// The asking half.
#[derive(Debug)]
pub struct Asker {
    node: u32,
    process: u64,
    session: Option<Session>,
    number: u64,
    /// The members of the view that it is in.
    view: Option<Members>,
    /// Questions that may still be answered: number, and our clock before each was sent.
    open: VecDeque<(u64, Duration)>,
    /// The vote counts until then.
    until: Option<Duration>,
    ask_at: Option<Duration>,
    outgoing: Option<Ask>,
    /// The device's last word, for people.
    last: Option<(Duration, Verdict)>,
    weakness: Option<Rule>,
}

impl Asker {
    /// A node that has just started. `process` must differ from that of every earlier process of the
    /// node (64 random bits will do).
    pub fn new(node: u32, process: u64) -> Self {
        Self {
            node,
            process,
            session: None,
            number: 0,
            view: None,
            open: VecDeque::new(),
            until: None,
            ask_at: None,
            outgoing: None,
            last: None,
            weakness: None,
        }
    }

    /// Removes one safety rule: for tests that show the rule is needed.
    #[cfg(test)]
    pub(crate) fn weaken(&mut self, rule: Rule) {
        self.weakness = Some(rule);
    }

    fn keeps(&self, rule: Rule) -> bool {
        self.weakness != Some(rule)
    }

    /// The node is in another view: the vote was for the last one.
    pub fn handle_view(&mut self, now: Duration, members: Members) {
        self.view = Some(members);
        if self.keeps(Rule::BoundToView) {
            self.until = None;
            self.open.clear();
        }
        self.ask(now);
    }

    /// An answer of the device, authenticated by the link.
    pub fn handle_answer(&mut self, now: Duration, answer: Answer) {
        if answer.process != self.process {
            return;
        }
        let asked = self
            .open
            .iter()
            .find(|(number, _)| *number == answer.number);
        let Some((_, sent)) = asked.copied() else {
            return;
        };
        self.last = Some((now, answer.verdict.clone()));
        match answer.verdict {
            Verdict::Session(session) => {
                self.open.clear();
                self.session = Some(session);
                self.ask(now);
            }
            Verdict::Vote { lease } => {
                let from = if self.keeps(Rule::FromSend) {
                    sent
                } else {
                    now
                };
                self.until = self.until.max(Some(from + lease));
                let pause = (lease / 4).clamp(ASK_LEAST, ASK_MOST);
                self.ask_at = Some(now + pause);
            }
            Verdict::Wait { again, .. } => {
                self.ask_at = Some(now + again.clamp(ASK_LEAST, ASK_MOST));
            }
            Verdict::Unknown => self.ask_at = Some(now + ASK_MOST),
        }
    }

    /// There is a connection to the device again: ask at once.
    pub fn handle_connected(&mut self, now: Duration) {
        self.ask(now);
    }

    /// Time has come for whatever [`Asker::next_timeout`] named.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
        }
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask(now);
        }
    }

    fn ask(&mut self, now: Duration) {
        let Some(members) = self.view.clone() else {
            return;
        };
        let wish = match self.session {
            None => Wish::Greet,
            Some(_) => Wish::Vote { members },
        };
        self.say(now, wish);
        self.ask_at = Some(now + ASK_EVERY);
    }

    fn say(&mut self, now: Duration, wish: Wish) {
        self.number += 1;
        if self.open.len() == OPEN_MAX {
            self.open.pop_front();
        }
        self.open.push_back((self.number, now));
        self.outgoing = Some(Ask {
            node: self.node,
            process: self.process,
            session: self.session,
            number: self.number,
            wish,
        });
    }

    /// The node ends: it has no vote from here on, and the device need not wait for the lease.
    pub fn release(&mut self, now: Duration) {
        (self.until, self.view, self.ask_at) = (None, None, None);
        self.open.clear();
        if self.session.is_some() {
            self.say(now, Wish::Release);
            self.open.clear();
        }
    }

    /// The next question to send. It is sent at once or not at all.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        self.outgoing.take()
    }

    /// Does the view that the node is in have the device's vote?
    pub fn has_vote(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// What the device said last, and when.
    pub fn last_word(&self) -> Option<&(Duration, Verdict)> {
        self.last.as_ref()
    }

    /// When [`Asker::handle_timeout`] wants to be called: a question is due, or the vote is over.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.ask_at.into_iter().chain(self.until).min()
    }
}
