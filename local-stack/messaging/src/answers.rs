//! What clients ask of the daemon.

use membership::NodeId;
use stack_client::words::{self, Answer, Ask, Do, Outcome, Refusal, Value};

use crate::engine::{Engine, named, now};
use crate::nodes::PLACES;
use crate::store::{RUNTIME, Update};

/// Watched prefixes of one client.
const WATCHES_MAX: usize = 32;

fn refuse(message: impl Into<String>) -> Outcome {
    let message = message.into();
    Outcome::Error(Refusal { message })
}

impl Engine {
    /// Answers a request, now or (an update) when it has been ordered.
    pub(crate) fn answer(&mut self, client: u64, ask: Ask) {
        let done = Outcome::Ok(Answer::Done {
            node: self.me.0,
            client,
        });
        let outcome = match ask.what {
            Do::Join { group } => {
                if self.groups.join(&group, client) {
                    done
                } else {
                    let most = words::GROUP_BYTES_MAX;
                    refuse(format!(
                        "{group:?} has not 1 to {most} bytes, or you are a member already"
                    ))
                }
            }
            Do::Leave { group } => {
                if self.groups.leave(&group, client) {
                    done
                } else {
                    refuse(format!("you are no member of {group:?}"))
                }
            }
            Do::Groups => {
                let all = self
                    .groups
                    .all()
                    .map(|(name, members)| named(name, &members));
                Outcome::Ok(Answer::Groups(all.collect()))
            }
            Do::Status => Outcome::Ok(Answer::Status(Box::new(self.status()))),
            Do::Links => Outcome::Ok(Answer::Links(self.transport.links())),
            Do::Stats => Outcome::Ok(Answer::Stats(self.runtime())),
            Do::Follow => {
                if let Some(client) = self.clients.get_mut(&client) {
                    client.follows = true;
                }
                done
            }
            Do::Get { key } => {
                let found = self.list(&key).into_iter().filter(|(name, _)| *name == key);
                Outcome::Ok(Answer::Keys(found.collect()))
            }
            Do::List { prefix } => Outcome::Ok(Answer::Keys(self.list(&prefix))),
            Do::Update { conditions, set } => match self.update(client, ask.id, conditions, set) {
                Ok(()) => return,
                Err(why) => refuse(why),
            },
            Do::Watch { prefix } => return self.watch(client, ask.id, prefix),
            Do::Node(change) => match self.change_nodes(client, ask.id, change) {
                Ok(()) => return,
                Err(why) => refuse(why),
            },
        };
        if let Some(client) = self.clients.get_mut(&client) {
            client.reply(ask.id, outcome);
        }
    }

    fn list(&self, prefix: &str) -> Vec<(String, Value)> {
        let mut keys = self.store.list(prefix);
        keys.extend(
            self.runtime()
                .into_iter()
                .filter(|(key, _)| key.starts_with(prefix)),
        );
        keys
    }

    fn update(
        &mut self,
        client: u64,
        request: u64,
        conditions: Vec<words::Condition>,
        set: Vec<(String, Option<Value>)>,
    ) -> Result<(), String> {
        if !self.quorum_state.quorate {
            return Err(format!(
                "not quorate ({}): nothing was changed",
                self.quorum_state.reason
            ));
        }
        if let Some((key, _)) = set.iter().find(|(key, _)| key.starts_with(PLACES)) {
            return Err(format!(
                "{key}: only `node add` and `node address` change it"
            ));
        }
        let conditions = conditions
            .into_iter()
            .map(|one| (one.key, one.value))
            .collect();
        self.store.submit(Update {
            client,
            request,
            conditions,
            set,
        })
    }

    fn watch(&mut self, client: u64, id: u64, prefix: String) {
        let there = self.store.list(&prefix);
        let version = self.store.contents().version;
        let node = self.me.0;
        let Some(conn) = self.clients.get_mut(&client) else {
            return;
        };
        if prefix.starts_with(RUNTIME) || conn.watches.len() >= WATCHES_MAX {
            conn.reply(
                id,
                refuse(format!(
                    "counters are not watched, and at most {WATCHES_MAX} prefixes"
                )),
            );
            return;
        }
        conn.watches.push(prefix);
        conn.reply(id, Outcome::Ok(Answer::Done { node, client }));
        for (key, value) in there {
            let value = Some(value);
            conn.notice(&words::Notice::Changed {
                key,
                value,
                version,
            });
        }
    }

    fn status(&self) -> words::Status {
        let (view, now) = (self.node.view(), now());
        let node = |one: &crate::config::NodeConfig| words::NodeState {
            id: one.id,
            name: one.name.clone(),
            member: view.members.contains(NodeId(one.id)),
            votes: one.votes,
            addresses: one.addresses.clone(),
        };
        let causes = self
            .node
            .status()
            .causes
            .iter()
            .rev()
            .map(|(at, cause)| words::Cause {
                ago_ms: u64::try_from(now.since(*at).as_millis()).unwrap_or(u64::MAX),
                why: cause.to_string(),
            });
        let trouble = self.transport.trouble.as_ref();
        let trouble =
            trouble.map(|why| format!("certificate and nodes were not taken over: {why}"));
        words::Status {
            cluster: self.config.cluster.clone(),
            node: self.config.node.clone(),
            view: view.id.to_string(),
            in_force: self.node.is_operational(),
            nodes: self.config.nodes.iter().map(node).collect(),
            nodes_version: self.list.version,
            quorum: self.quorum_words(),
            causes: causes.collect(),
            refused: self.transport.refused.clone(),
            limits: self.limits.iter().cloned().chain(trouble).collect(),
        }
    }

    /// This node's counters, as keys.
    fn runtime(&self) -> Vec<(String, Value)> {
        let status = self.node.status();
        let mut keys = vec![
            ("clients".to_owned(), self.clients.len() as u64),
            ("delivered".to_owned(), self.delivered),
            ("lost-behind-gap".to_owned(), status.lost_behind_gap),
            ("path-changes".to_owned(), self.transport.failovers()),
            ("queued-bytes".to_owned(), self.node.queued_bytes() as u64),
            ("resent".to_owned(), status.resent),
            ("slow-client-stops".to_owned(), self.slow_stops),
            ("starved".to_owned(), status.starved),
            ("stray-packets".to_owned(), status.stray_packets),
            ("submitted".to_owned(), self.submitted),
            ("views".to_owned(), status.views),
        ];
        for link in self.transport.links() {
            let name = format!("link.{}.{}", link.peer, link.network);
            let counters = link.counters;
            for (what, count) in [
                ("changes", counters.changes),
                ("received", counters.received),
                ("received-bytes", counters.received_bytes),
                ("send-failed", counters.send_failed),
                ("sent", counters.sent),
                ("sent-bytes", counters.sent_bytes),
            ] {
                keys.push((format!("{name}.{what}"), count));
            }
        }
        keys.into_iter()
            .map(|(key, count)| (format!("{RUNTIME}{key}"), Value::Unsigned(count)))
            .collect()
    }
}
