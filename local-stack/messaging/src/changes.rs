//! Changing the nodes of the site while it runs: the engine's half of `nodes.rs`.

use std::io;

use membership::{Change, NodeId, NodeList, NodeSet, RosterEvent, Time};
use stack_client::words::{self, Answer, NodeChange, Outcome};
use tracing::{info, warn};

use crate::engine::{Awaited, Ending, Engine};
use crate::keys::Settings;
use crate::nodes;
use crate::store::Update;

/// The store's client for changes that this daemon makes for one of its own: no answer is wanted.
const NOBODY: u64 = 0;

impl Engine {
    /// A client wants other nodes; the answer comes when it is decided.
    ///
    /// # Errors
    /// Why not, in the operator's words; nothing was changed.
    pub(crate) fn change_nodes(
        &mut self,
        client: u64,
        request: u64,
        change: NodeChange,
    ) -> Result<(), String> {
        if !self.quorum_state.quorate {
            let reason = self.quorum_state.reason;
            return Err(format!("not quorate ({reason}): nothing was changed"));
        }
        if self.awaited.is_some() || !self.lists_for_disk.is_empty() {
            return Err("another change is under way: ask again when it is done".to_owned());
        }
        let members = &self.node.view().members;
        let absent = self.list.nodes().without(members).len();
        let name = name_of(&change).to_owned();
        let plan = nodes::plan(&self.config, &self.list, &self.store, absent, change)?;
        if let Some((key, before, text)) = plan.place {
            let text = Some(words::Value::Text(text));
            let whose = if plan.change.is_some() {
                NOBODY
            } else {
                client
            };
            self.store.submit(Update {
                client: whose,
                request,
                conditions: vec![(key.clone(), before.map(words::Value::Text))],
                set: vec![(key, text)],
            })?;
        }
        if let Some(change) = plan.change {
            self.roster.propose(change)?;
            self.awaited = Some(Awaited {
                client,
                request,
                change,
                name,
            });
        }
        Ok(())
    }

    /// A word of the list of nodes, in the order of all messages.
    pub(crate) fn hear_of_nodes(&mut self, now: Time, sender: NodeId, word: &[u8]) {
        let quorate = self.quorum_state.quorate;
        if !self.roster.handle_message(sender, word, quorate) {
            warn!("node {sender} sent a list of nodes that we do not understand");
        }
        while let Some(event) = self.roster.poll_event() {
            match event {
                RosterEvent::Changed(list) => {
                    self.disk_number += 1;
                    self.disk.write_nodes(self.disk_number, list.clone());
                    self.lists_for_disk.push((self.disk_number, list));
                }
                RosterEvent::Refused { asked, change, why } => {
                    info!("a change of the nodes was refused: {change:?}, {why}");
                    if asked == self.me {
                        self.settle_change(Err(why.to_owned()));
                    }
                }
            }
        }
        if !self.unlisted.is_empty() {
            self.unlisted = self.unlisted.without(&NodeSet::from_iter([sender]));
            if self.unlisted.is_empty() {
                let state = self
                    .quorum
                    .update(now, &self.node.view().members.clone(), false);
                self.note_quorum(state);
            }
        }
    }

    /// The answer for who asked for the change that is under way.
    fn settle_change(&mut self, outcome: Result<u64, String>) {
        let Some(awaited) = self.awaited.take() else {
            return;
        };
        let outcome = match outcome {
            Ok(version) => Outcome::Ok(Answer::Updated { version }),
            Err(message) => Outcome::Error(words::Refusal { message }),
        };
        if let Some(client) = self.clients.get_mut(&awaited.client) {
            client.reply(awaited.request, outcome);
        }
    }

    /// Lists are on disk: the last of them is in force from now on.
    pub(crate) fn listed(&mut self, now: Time, number: u64, result: &io::Result<()>) {
        if self.moving.is_some_and(|at| at <= number) {
            self.ending.get_or_insert(Ending::Moved);
        }
        let Some((_, list)) = self
            .lists_for_disk
            .extract_if(.., |(at, _)| *at <= number)
            .last()
        else {
            return;
        };
        if let Err(error) = result {
            warn!("the list of nodes was not written, and is lost when this daemon ends: {error}");
        }
        let version = list.version;
        info!("list {version} of nodes: {}", described(&list));
        self.list = list;
        self.put_in_force(now);
        let done = self.awaited.as_ref().is_some_and(|one| self.is_so(one));
        self.settle_change(if done {
            Ok(version)
        } else {
            Err("another change came first: look at the nodes, and ask again".to_owned())
        });
    }

    /// Is in force what was asked for?
    fn is_so(&self, awaited: &Awaited) -> bool {
        match awaited.change {
            Change::Add(id, _) => {
                let node = self.config.by_id(id);
                node.is_some_and(|node| node.name == awaited.name)
            }
            Change::Remove(id) => !self.list.nodes().contains(id),
            Change::Votes(..) => false,
        }
    }

    /// Works by the nodes that there are now.
    pub(crate) fn put_in_force(&mut self, now: Time) {
        let nodes = self.list.nodes();
        if !nodes.contains(self.me) {
            info!("this node was removed from the site");
            self.ending.get_or_insert(Ending::Removed);
            return;
        }
        let config = nodes::in_force(&self.file, &self.list, &self.store);
        let here = |config: &crate::config::Config| config.me().map(|me| me.addresses.clone());
        if here(&config) != here(&self.config) {
            info!("this node is found at other addresses from now on");
            // Its next beginning reads them from the disk.
            self.moving.get_or_insert(self.disk_number);
            return;
        }
        let beat_every = config.core(self.me).heartbeat_every;
        self.transport.reconfigure(&config, beat_every);
        self.settings.send_modify(|settings: &mut Settings| {
            settings.config = config.clone();
        });
        self.config = config;
        self.node.reconfigure(now, nodes);
        let votes = crate::engine::quorum_config(&self.config, &self.list);
        let state = self.quorum.reconfigure(now, votes);
        self.note_quorum(state);
    }
}

fn name_of(change: &NodeChange) -> &str {
    match change {
        NodeChange::Add { name, .. }
        | NodeChange::Remove { name }
        | NodeChange::Move { name, .. } => name,
    }
}

fn described(list: &NodeList) -> String {
    let nodes: Vec<String> = list
        .votes
        .iter()
        .map(|(node, votes)| format!("{node} ({votes} votes)"))
        .collect();
    nodes.join(", ")
}
