//! What the members themselves say: one thread per member asks its control socket.
//!
//! The time line needs it, and `expect holder`. It proves nothing: the proof is the witness's.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ticket_admin::{Answer, Body, Call, Client, TicketState, View};

use crate::clock::Mono;

/// Time between two looks at a member: a person sees a change at once, and three members cost
/// 15 questions per second.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Before the first answer, so that the start shows as it is.
const LOOK_EVERY_AT_START: Duration = Duration::from_millis(10);

/// A member that does not answer a look within this time counts as silent (paused).
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);

/// An answer older than this says nothing about now.
const STALE: Duration = Duration::from_millis(900);

/// One member's answer, when it was asked for and when it came: the truth lies in between.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) at: Mono,
    pub(crate) answered: Mono,
    pub(crate) view: View,
}

/// A site's own claim to hold a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) site: String,
    pub(crate) term: u64,
    /// The end of its lease on the witness's clock; `None` for a manual ticket.
    pub(crate) until: Option<Mono>,
    pub(crate) standby: bool,
    /// On hold, agreed by a majority: its lease may run out and go on.
    pub(crate) hold: bool,
}

/// The latest answer of each member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observer {
    looks: Arc<Mutex<BTreeMap<String, Look>>>,
    nudged: Arc<Condvar>,
}

impl Observer {
    /// Watches a member; each new answer is announced on `news`.
    pub(crate) fn watch(
        &self,
        member: &str,
        socket: PathBuf,
        news: Sender<Look>,
    ) -> io::Result<()> {
        let (looks, member) = (Arc::clone(&self.looks), member.to_owned());
        let nudged = Arc::clone(&self.nudged);
        thread::Builder::new()
            .name("observer".into())
            .spawn(move || {
                loop {
                    let known = lock(&looks).contains_key(&member);
                    if let Some(look) = look(&socket) {
                        lock(&looks).insert(member.clone(), look.clone());
                        if news.send(look).is_err() {
                            return;
                        }
                    }
                    let span = if known {
                        LOOK_EVERY
                    } else {
                        LOOK_EVERY_AT_START
                    };
                    // Early or late makes no difference to a look, so neither does a poisoned lock.
                    drop(nudged.wait_timeout(lock(&looks), span));
                }
            })?;
        Ok(())
    }

    /// Looks at all members now, not only when it is time.
    pub(crate) fn nudge(&self) {
        self.nudged.notify_all();
    }

    /// A member's last answer if it is fresh.
    pub(crate) fn fresh(&self, member: &str) -> Option<Look> {
        let now = Mono::now();
        let look = lock(&self.looks).get(member).cloned()?;
        (now.since(look.at) < STALE).then_some(look)
    }

    /// All fresh answers.
    pub(crate) fn all_fresh(&self) -> Vec<Look> {
        let now = Mono::now();
        let looks = lock(&self.looks);
        looks
            .values()
            .filter(|look| now.since(look.at) < STALE)
            .cloned()
            .collect()
    }

    /// Forgets what a member said: it was ended, and what it says next is another life.
    pub(crate) fn forget(&self, member: &str) {
        lock(&self.looks).remove(member);
    }
}

fn lock(looks: &Mutex<BTreeMap<String, Look>>) -> MutexGuard<'_, BTreeMap<String, Look>> {
    looks.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(socket: &std::path::Path) -> Option<Look> {
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    // Taken before the question, so that an end of a lease computed from it is never too late.
    let at = Mono::now();
    let mut client = Client::connect(socket, deadline).ok()?;
    match client.call(Call::View {}, deadline) {
        Ok(Some(Body::Ok(Answer::View(view)))) => Some(Look {
            at,
            answered: Mono::now(),
            view: *view,
        }),
        _ => None,
    }
}

/// What a site says about itself: whether it holds the ticket now.
pub(crate) fn claim(look: &Look, ticket: &str) -> Option<Claim> {
    let view = &look.view;
    let ticket = view.tickets.iter().find(|known| known.name == ticket)?;
    let held = matches!(
        ticket.state,
        TicketState::Granted | TicketState::Moving | TicketState::Revoking
    );
    if !held || ticket.holder.as_deref() != Some(view.member.as_str()) {
        return None;
    }
    let until = match &ticket.lease {
        // What others have to assume is longer than what the holder counts on.
        Some(lease) if !lease.exact => return None,
        Some(lease) => Some(look.at.plus(Duration::from_millis(lease.left_ms))),
        // A held automatic ticket without a lease is one whose lease is over.
        None if ticket.lease_ms.is_some() => return None,
        None => None,
    };
    Some(Claim {
        site: view.member.clone(),
        term: ticket
            .term_packed
            .as_deref()
            .and_then(|term| term.parse().ok())
            .unwrap_or(0),
        until,
        standby: ticket.standby,
        hold: ticket.hold.as_ref().is_some_and(|hold| hold.agreed),
    })
}
