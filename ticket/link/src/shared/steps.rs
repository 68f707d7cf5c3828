//! Carrying out what the table decides.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quinn::VarInt;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Shared, State, Wire, canonical};
use crate::event::Event;
use crate::failure::Code;
use crate::frame;
use crate::table::{Farewell, Live, Step};

/// A lost crossing connection is kept this long for what is still in flight on it.
const LINGER: Duration = Duration::from_secs(2);
/// Questions whether a silent peer lives are this far apart: each wakes it up.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Shortest wait for an old process to prove that it lives: longer than a busy moment.
const CONTEST_MIN: Duration = Duration::from_millis(50);

impl Shared {
    /// A connection has greeted: enter it. `None` if the peer is not configured any more.
    pub(crate) fn admit(
        self: &Arc<Self>,
        name: &Arc<str>,
        instance: u64,
        ours: bool,
        wire: Wire,
        certificate_expires: SystemTime,
    ) -> Option<u64> {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        let entry = state.peers.get_mut(name)?;
        entry.certificate_expires = Some(certificate_expires);
        let place = canonical(wire.connection.remote_address()).to_string();
        let live = Live {
            id,
            instance,
            ours,
            place,
            wire,
        };
        // A connection may have ended without its task having had a turn yet.
        let ended = entry
            .slot
            .active()
            .filter(|a| a.wire.connection.close_reason().is_some());
        let mut steps = match ended.map(|a| a.id) {
            Some(ended) => entry.slot.closed(ended, "connection lost"),
            None => Vec::new(),
        };
        steps.extend(entry.slot.admit(live));
        self.execute(&mut state, name, steps);
        Some(id)
    }

    pub(crate) fn closed(self: &Arc<Self>, name: &Arc<str>, id: u64, why: &str) {
        let mut state = self.lock();
        let Some(entry) = state.peers.get_mut(name) else {
            return;
        };
        let steps = entry.slot.closed(id, why);
        self.execute(&mut state, name, steps);
    }

    pub(crate) fn answered(self: &Arc<Self>, name: &Arc<str>, id: u64) {
        let mut state = self.lock();
        let Some(entry) = state.peers.get_mut(name) else {
            return;
        };
        entry.heard();
        let steps = entry.slot.answered(id);
        self.execute(&mut state, name, steps);
    }

    /// Asks every connected peer that was silent for `quiet` whether it lives, and none more often
    /// than once in [`ASK_AGAIN`].
    pub(crate) fn ask_quiet(&self, quiet: Duration) {
        let now = Instant::now();
        let ago = |at: Option<Instant>| at.is_none_or(|at| now - at >= quiet.max(ASK_AGAIN));
        for entry in self.lock().peers.values_mut() {
            let Some(live) = entry.slot.active() else {
                continue;
            };
            if !ago(entry.last_heard) || !ago(entry.asked_last) {
                continue;
            }
            let probe = frame::probe(frame::PROBE).into();
            // If it cannot be sent the connection has ended, and its reader says so.
            if live.wire.connection.send_datagram(probe).is_ok() {
                entry.asked_last = Some(now);
                entry.asked_at.get_or_insert(now);
            }
        }
    }

    fn execute(self: &Arc<Self>, state: &mut State, name: &Arc<str>, steps: Vec<Step<Wire>>) {
        for step in steps {
            match step {
                Step::Up(live) => self.up(state, name, &live),
                Step::Down(why) => self.down(state, name, why),
                Step::Read(live) => live.wire.start.notify_one(),
                Step::Close(live, farewell) => close(name, &live, farewell),
                Step::Retire(id) => self.clone().retire_later(name.clone(), id),
                Step::Contest { known, contender } => {
                    self.clone().contest(name.clone(), known, contender);
                }
                Step::Duplicate { known, newcomer } => {
                    let why = format!(
                        "two processes use the name and key of {name}: one at {} and one at {}; \
                         the second was refused",
                        known.place, newcomer.place
                    );
                    warn!("{why}");
                    self.alarm(
                        state,
                        Event::Duplicate {
                            member: name.clone(),
                            why,
                        },
                    );
                }
            }
        }
        if let Some(entry) = state.peers.get(name)
            && entry.slot.vacant()
        {
            entry.vacant.notify_one();
        }
    }

    fn up(&self, state: &mut State, name: &Arc<str>, live: &Live<Wire>) {
        let Some(entry) = state.peers.get_mut(name) else {
            return;
        };
        entry.counters.connects += 1;
        if entry.counters.connects > 1 {
            entry.counters.reconnects += 1;
        }
        entry.up_since = Some(Instant::now());
        entry.asked_at = None;
        let address = canonical(live.wire.connection.remote_address());
        info!(peer = %name, %address, dialled = live.ours, "connected");
        self.queue.push(Event::Up {
            peer: name.clone(),
            address,
            instance: live.instance,
        });
        live.wire.start.notify_one();
    }

    fn down(&self, state: &mut State, name: &Arc<str>, why: String) {
        let Some(entry) = state.peers.get_mut(name) else {
            return;
        };
        entry.up_since = None;
        info!(peer = %name, "connection lost: {why}");
        self.queue.push(Event::Down {
            peer: name.clone(),
            why,
        });
    }

    fn retire_later(self: Arc<Self>, name: Arc<str>, id: u64) {
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            let mut state = self.lock();
            let Some(entry) = state.peers.get_mut(&name) else {
                return;
            };
            if let Some(live) = entry.slot.retire(id) {
                live.wire
                    .connection
                    .close(Code::Spare.into(), b"the other connection is used");
            }
        });
    }

    /// Asks an old process three times whether it lives; its answer arrives where it is read.
    fn contest(self: Arc<Self>, name: Arc<str>, known: Live<Wire>, contender: u64) {
        const QUESTIONS: u32 = 3;
        let wait =
            (known.wire.connection.rtt() * 4).clamp(CONTEST_MIN, self.timing.contest_timeout);
        tokio::spawn(async move {
            for _ in 0..QUESTIONS {
                let probe = frame::probe(frame::PROBE).into();
                // A failure means that the connection is gone, which settles the contest as well.
                if known.wire.connection.send_datagram(probe).is_err() {
                    break;
                }
                tokio::time::sleep(wait / QUESTIONS).await;
            }
            let mut state = self.lock();
            let Some(entry) = state.peers.get_mut(&name) else {
                return;
            };
            let steps = entry.slot.contest_over(contender);
            self.execute(&mut state, &name, steps);
        });
    }
}

fn close(name: &str, live: &Live<Wire>, farewell: Farewell) {
    let (code, reason) = match farewell {
        Farewell::Superseded => (Code::Superseded, "you opened another connection".to_owned()),
        Farewell::OtherInstance => (
            Code::Duplicate,
            format!("another process with the name {name} has connected"),
        ),
        Farewell::Duplicate => (
            Code::Duplicate,
            format!("another process with the name {name} is connected"),
        ),
    };
    live.wire
        .connection
        .close(VarInt::from(code), reason.as_bytes());
}
