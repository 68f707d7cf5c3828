//! Operators' commands from request to final answer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ticket_admin::{Action, Answer, Body, Code, Failure, RequestId, Verb};
use ticket_protocol::{Command, MemberId, Outcome, Step, TicketName, Time};

use crate::control::Client;
use crate::conversion::Roster;

/// Commands under way at once. Each ticket takes one at a time; a hundred tickets revoked by a
/// script fit, and a client that sends without end is refused.
const COMMANDS_MAX: usize = 256;

/// Final answers kept for a repetition of their request. An operator repeats within minutes.
const ANSWERS_KEPT: usize = 256;

/// The longest that a command is waited for: nothing in the protocol takes longer than a lease and
/// `acquire-after`, and a place in [`COMMANDS_MAX`] must come free.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything asked for and not answered, and what was answered lately.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    last_id: u64,
    pending: BTreeMap<ticket_protocol::RequestId, Pending>,
    answered: VecDeque<(RequestId, Action, Body)>,
}

#[derive(Debug)]
struct Pending {
    action: Action,
    /// Who asked, with the number of each one's line: more than one after a repetition.
    clients: Vec<(u64, Client)>,
    /// When the holder of a ticket that moves had confirmed its stop, as heard here.
    stopped_at: Option<Time>,
}

/// What to do about an action.
pub(crate) enum Taken {
    /// It was answered, or is under way already.
    Settled,
    /// Give this command to the protocol.
    New(ticket_protocol::RequestId, Command),
}

impl Desk {
    /// Takes an action in.
    pub(crate) fn take(
        &mut self,
        line: u64,
        client: Client,
        action: Action,
        roster: &Roster,
        is_site: bool,
    ) -> Taken {
        if let Some((_, _, body)) = self
            .answered
            .iter()
            .find(|(id, known, _)| *id == action.request && same(known, &action))
        {
            client.answer(line, body.clone());
            return Taken::Settled;
        }
        if let Some(pending) = self
            .pending
            .values_mut()
            .find(|it| it.action.request == action.request && same(&it.action, &action))
        {
            pending.clients.push((line, client));
            return Taken::Settled;
        }
        if self.pending.len() >= COMMANDS_MAX {
            let text = format!("{COMMANDS_MAX} commands are under way already");
            client.answer(line, Body::Error(Failure::new(Code::Temporary, text)));
            return Taken::Settled;
        }
        let command = match command(&action, roster, is_site) {
            Ok(command) => command,
            Err(failure) => {
                client.answer(line, Body::Error(failure));
                return Taken::Settled;
            }
        };
        tracing::info!(
            ticket = action.ticket,
            command = action.verb.name(),
            request = %action.request,
            uid = client.uid().unwrap_or(u32::MAX),
            "an operator's command"
        );
        self.last_id += 1;
        let id = ticket_protocol::RequestId(self.last_id);
        let clients = vec![(line, client)];
        let pending = Pending {
            action,
            clients,
            stopped_at: None,
        };
        self.pending.insert(id, pending);
        Taken::New(id, command)
    }

    /// The action of a command under way.
    pub(crate) fn action(&self, id: ticket_protocol::RequestId) -> Option<&Action> {
        self.pending.get(&id).map(|pending| &pending.action)
    }

    /// How long nothing ran anywhere, when a move is done: from the confirmed stop at the old holder
    /// to the confirmed start at the new one, as this member heard of them. `None` for everything
    /// else, and where the news of the stop was lost.
    pub(crate) fn gap(
        &mut self,
        id: ticket_protocol::RequestId,
        outcome: &Outcome,
        now: Time,
    ) -> Option<Duration> {
        let pending = self.pending.get_mut(&id)?;
        match outcome {
            Outcome::Progress(progress) => {
                match progress.step {
                    Step::Release => pending.stopped_at = pending.stopped_at.or(Some(now)),
                    Step::RollBack => pending.stopped_at = None,
                    _ => {}
                }
                None
            }
            Outcome::Done { .. } => pending.stopped_at.map(|at| now.since(at)),
            _ => None,
        }
    }

    /// Sends a line to everybody who asked; a final one ends the command.
    pub(crate) fn answer(&mut self, id: ticket_protocol::RequestId, body: Body) {
        let Some(pending) = self.pending.get(&id) else {
            return;
        };
        for (line, client) in &pending.clients {
            client.answer(*line, body.clone());
        }
        if matches!(body, Body::Progress(_) | Body::Event(_)) {
            return;
        }
        if let Some(pending) = self.pending.remove(&id) {
            self.remember(pending.action, body);
        }
    }

    /// The daemon stops: nobody will know how these went on.
    pub(crate) fn give_up(&mut self) {
        let ids: Vec<_> = self.pending.keys().copied().collect();
        for id in ids {
            let text = "the daemon was stopped while the command was under way; whether it took \
                        effect is not known here";
            let failure = Failure::new(Code::Unknown, text).hint("ask another member");
            self.answer(id, Body::Error(failure));
        }
    }

    fn remember(&mut self, action: Action, body: Body) {
        // Only a wish that was met must not be carried out again; everything else is asked anew.
        if !matches!(body, Body::Ok(_)) {
            return;
        }
        if self.answered.len() == ANSWERS_KEPT {
            self.answered.pop_front();
        }
        self.answered.push_back((action.request, action, body));
    }
}

/// A request id names one wish; another wish under the same id is a new one.
fn same(one: &Action, other: &Action) -> bool {
    one.ticket == other.ticket && one.verb == other.verb
}

/// The protocol's command for an action.
///
/// # Errors
/// It names a member that does not exist, or none where one is needed; nothing was changed.
pub(crate) fn command(action: &Action, roster: &Roster, is_site: bool) -> Result<Command, Failure> {
    let ticket = TicketName(action.ticket.clone());
    let wait = Duration::from_millis(action.wait_ms).min(WAIT_MAX);
    Ok(match &action.verb {
        Verb::Grant { to, force } => Command::Grant {
            ticket,
            to: match to {
                Some(name) => member(name, roster)?,
                None if is_site => roster.me(),
                None => {
                    let text = format!("{} is an arbitrator", roster.name(roster.me()));
                    let hint = "name the site that is to hold the ticket";
                    return Err(Failure::new(Code::NotApplicable, text).hint(hint));
                }
            },
            wait,
            force: force.clone(),
        },
        Verb::Revoke {} => Command::Revoke { ticket, wait },
        Verb::Move { to } => Command::Move {
            ticket,
            to: member(to, roster)?,
            wait,
        },
        Verb::Standby {} => Command::Standby {
            ticket,
            on: true,
            wait,
        },
        Verb::Activate {} => Command::Standby {
            ticket,
            on: false,
            wait,
        },
    })
}

fn member(name: &str, roster: &Roster) -> Result<MemberId, Failure> {
    roster.number(name).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        let text = format!("\"{shown}\" is not a member of this cluster");
        Failure::new(Code::NoSuch, text).hint("`ticket peers` shows them all")
    })
}

/// The answer to a plan.
pub(crate) fn plan_answer(plan: ticket_admin::Plan) -> Body {
    Body::Ok(Answer::Plan(plan))
}
