//! Events for `ticket watch`: numbered, remembered for a while, sent to whoever watches.

use std::collections::VecDeque;

use ticket_admin::{Body, Event};

use crate::control::Client;

/// Events remembered for a watch that comes back. At some two events a takeover this is a busy
/// day, at about 300 bytes each.
const EVENTS_KEPT: usize = 512;

/// All events of this run and their readers.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    last_seq: u64,
    kept: VecDeque<Event>,
    readers: Vec<(u64, Client)>,
}

impl Watch {
    /// Numbers and sends an event.
    pub(crate) fn publish(&mut self, mut event: Event) {
        self.last_seq += 1;
        event.seq = self.last_seq;
        self.readers.retain(|(_, client)| client.is_listening());
        for (id, client) in &self.readers {
            client.answer(*id, Body::Event(event.clone()));
        }
        if self.kept.len() == EVENTS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(event);
    }

    /// Adds a reader, and sends it what is remembered after `after`. Without `after` it gets only
    /// what happens from now on.
    pub(crate) fn subscribe(&mut self, id: u64, client: Client, after: Option<u64>) {
        if let Some(after) = after {
            for event in self.kept.iter().filter(|event| event.seq > after) {
                client.answer(id, Body::Event(event.clone()));
            }
        }
        self.readers.retain(|(_, client)| client.is_listening());
        self.readers.push((id, client));
    }
}
