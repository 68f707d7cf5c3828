//! The shared store: the same keys at every node, because every change is a message of the one order.
//!
//! * A change is applied where it comes in the order, whole or not at all; its conditions are looked
//!   at there and nowhere else.
//! * At a new view every member says what it has: (epoch, version). If not all have the same, the
//!   greatest sends its keys and the others take them; what was ordered meanwhile is applied after
//!   that. The epoch is that of the last view that could act, so a half that could not never wins.
//! * Keys under `config.` are durable: on this node's disk before its client is answered. Keys under
//!   `runtime.` are this node's own counters and no part of this.

use std::collections::{BTreeMap, VecDeque};

use membership::{NodeId, NodeSet};
use serde::{Deserialize, Serialize};
use stack_client::words::Value;

/// Most bytes of all keys and values: one message must carry them.
const BYTES_MAX: usize = 512 << 10;
/// Longest key.
const KEY_BYTES_MAX: usize = 255;
/// What is kept on disk.
pub(crate) const DURABLE: &str = "config.";
/// What is not kept at all: the daemon's own counters.
pub(crate) const RUNTIME: &str = "runtime.";
/// Changes that wait for the keys of another node; more are refused by the node that sends them.
const DEFERRED_MAX: usize = 1_024;

/// What travels in the order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// What the sender has, at a new view, and whether it may act there.
    Have {
        view: u64,
        epoch: u64,
        version: u64,
        digest: u64,
        quorate: bool,
    },
    /// All its keys.
    Keys(Contents),
    /// A change.
    Update(Update),
}

/// A change of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) client: u64,
    pub(crate) request: u64,
    pub(crate) conditions: Vec<(String, Option<Value>)>,
    pub(crate) set: Vec<(String, Option<Value>)>,
}

/// All keys, and how old they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) keys: BTreeMap<String, Value>,
}

/// What the daemon has to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Tell the watchers.
    Changed {
        key: String,
        value: Option<Value>,
        version: u64,
    },
    /// Answer a client of this node. `durable`: once it is on disk.
    Answer {
        client: u64,
        request: u64,
        outcome: Result<u64, String>,
        durable: bool,
    },
}

struct Meeting {
    view: u64,
    missing: NodeSet,
    /// Epoch, version and digest of each, and whether it may act.
    told: Vec<(NodeId, (u64, u64), u64, bool)>,
    deferred: VecDeque<(NodeId, Update)>,
}

/// One node's copy.
pub(crate) struct Store {
    me: NodeId,
    contents: Contents,
    bytes: usize,
    meeting: Option<Meeting>,
    outgoing: VecDeque<Word>,
    effects: VecDeque<Effect>,
}

impl Store {
    pub(crate) fn new(me: NodeId, contents: Contents) -> Self {
        Self {
            me,
            bytes: contents
                .keys
                .iter()
                .map(|(key, value)| cost(key, value))
                .sum(),
            contents,
            meeting: None,
            outgoing: VecDeque::new(),
            effects: VecDeque::new(),
        }
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Keys that begin so.
    pub(crate) fn list(&self, prefix: &str) -> Vec<(String, Value)> {
        self.contents
            .keys
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    pub(crate) fn poll_word(&mut self) -> Option<Word> {
        self.outgoing.pop_front()
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// A new view: everybody says what it has.
    pub(crate) fn handle_view(&mut self, view: u64, members: &NodeSet, quorate: bool) {
        if let Some(meeting) = self.meeting.take() {
            let ours = meeting
                .deferred
                .into_iter()
                .filter(|(sender, _)| *sender == self.me);
            for (_, update) in ours {
                self.effects.push_back(Effect::Answer {
                    client: update.client,
                    request: update.request,
                    outcome: Err(
                        "the view changed; whether it was done is not known: read the keys"
                            .to_owned(),
                    ),
                    durable: false,
                });
            }
        }
        self.meeting = Some(Meeting {
            view,
            missing: members.clone(),
            told: Vec::new(),
            deferred: VecDeque::new(),
        });
        self.outgoing.push_back(Word::Have {
            view,
            epoch: self.contents.epoch,
            version: self.contents.version,
            digest: digest(&self.contents.keys),
            quorate,
        });
    }

    /// A local client wants a change.
    ///
    /// # Errors
    /// Why not, in the operator's words; nothing was sent.
    pub(crate) fn submit(&mut self, update: Update) -> Result<(), String> {
        let waiting = self
            .meeting
            .as_ref()
            .map_or(0, |meeting| meeting.deferred.len());
        if waiting >= DEFERRED_MAX {
            return Err("too many changes wait for the new view: try again".to_owned());
        }
        for (key, _) in &update.set {
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                return Err(format!("a key has 1 to {KEY_BYTES_MAX} bytes"));
            }
            if key.starts_with(RUNTIME) {
                return Err(format!(
                    "{key}: keys under {RUNTIME} are the daemon's own counters"
                ));
            }
        }
        self.outgoing.push_back(Word::Update(update));
        Ok(())
    }

    /// A word of the order.
    pub(crate) fn handle(&mut self, sender: NodeId, word: Word) {
        match word {
            Word::Have {
                view,
                epoch,
                version,
                digest,
                quorate,
            } => self.handle_have(sender, view, (epoch, version), digest, quorate),
            Word::Keys(contents) => {
                let expected = self.meeting.as_ref().is_some_and(|meeting| {
                    meeting.missing.is_empty() && winner(meeting) == Some(sender)
                });
                if expected {
                    self.adopt(contents);
                    self.settle();
                }
            }
            Word::Update(update) => match &mut self.meeting {
                Some(meeting) => meeting.deferred.push_back((sender, update)),
                None => self.apply(sender, update),
            },
        }
    }

    fn handle_have(
        &mut self,
        sender: NodeId,
        view: u64,
        age: (u64, u64),
        digest: u64,
        quorate: bool,
    ) {
        let Some(meeting) = self.meeting.as_mut().filter(|meeting| meeting.view == view) else {
            return;
        };
        let one = NodeSet::from_iter([sender]);
        meeting.missing = meeting.missing.without(&one);
        meeting.told.push((sender, age, digest, quorate));
        if !meeting.missing.is_empty() {
            return;
        }
        let same = meeting
            .told
            .iter()
            .all(|(_, other, seen, _)| (*other, *seen) == (age, digest));
        if same {
            self.settle();
        } else if winner(meeting) == Some(self.me) {
            self.outgoing.push_back(Word::Keys(self.contents.clone()));
        }
    }

    /// Takes the keys of another node.
    fn adopt(&mut self, contents: Contents) {
        let old = std::mem::replace(&mut self.contents, contents);
        let version = self.contents.version;
        let names: std::collections::BTreeSet<&String> =
            old.keys.keys().chain(self.contents.keys.keys()).collect();
        for key in names {
            let (before, after) = (old.keys.get(key), self.contents.keys.get(key));
            if before != after {
                self.effects.push_back(Effect::Changed {
                    key: key.clone(),
                    value: after.cloned(),
                    version,
                });
            }
        }
        self.bytes = self
            .contents
            .keys
            .iter()
            .map(|(key, value)| cost(key, value))
            .sum();
    }

    /// Everybody has the same: what was ordered meanwhile is applied.
    fn settle(&mut self) {
        let Some(meeting) = self.meeting.take() else {
            return;
        };
        if meeting.told.iter().any(|(.., quorate)| *quorate) {
            self.contents.epoch = meeting.view;
        }
        for (sender, update) in meeting.deferred {
            self.apply(sender, update);
        }
    }

    fn apply(&mut self, sender: NodeId, update: Update) {
        let outcome = self.try_apply(&update);
        if sender == self.me {
            self.effects.push_back(Effect::Answer {
                client: update.client,
                request: update.request,
                durable: outcome.is_ok()
                    && update.set.iter().any(|(key, _)| key.starts_with(DURABLE)),
                outcome,
            });
        }
    }

    fn try_apply(&mut self, update: &Update) -> Result<u64, String> {
        let keys = &self.contents.keys;
        for (key, value) in &update.conditions {
            if keys.get(key) != value.as_ref() {
                return Err(format!("{key} is {:?}: nothing was changed", keys.get(key)));
            }
        }
        let mut bytes = self.bytes;
        for (key, value) in &update.set {
            bytes -= keys.get(key).map_or(0, |old| cost(key, old)).min(bytes);
            bytes += value.as_ref().map_or(0, |new| cost(key, new));
        }
        if bytes > BYTES_MAX {
            return Err(format!(
                "the store holds at most {BYTES_MAX} bytes: nothing was changed"
            ));
        }
        self.bytes = bytes;
        self.contents.version += 1;
        let version = self.contents.version;
        for (key, value) in &update.set {
            match value {
                Some(value) => self.contents.keys.insert(key.clone(), value.clone()),
                None => self.contents.keys.remove(key),
            };
            self.effects.push_back(Effect::Changed {
                key: key.clone(),
                value: value.clone(),
                version,
            });
        }
        Ok(version)
    }
}

/// Whose keys count: the latest epoch, the greatest version, the lowest node.
fn winner(meeting: &Meeting) -> Option<NodeId> {
    meeting
        .told
        .iter()
        .max_by_key(|(node, age, ..)| (*age, std::cmp::Reverse(*node)))
        .map(|(node, ..)| *node)
}

fn cost(key: &str, value: &Value) -> usize {
    let content = match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 8,
    };
    key.len() + content + 16
}

/// Tells copies apart that have the same version for different reasons.
fn digest(keys: &BTreeMap<String, Value>) -> u64 {
    let bytes = postcard::to_allocvec(keys).unwrap_or_default();
    // FNV-1a: a comparison among friends, not a proof.
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u32]) -> NodeSet {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    fn set(store: &mut Store, key: &str, value: u64) {
        let update = Update {
            client: 1,
            request: value,
            conditions: Vec::new(),
            set: vec![(key.to_owned(), Some(Value::Unsigned(value)))],
        };
        store.submit(update).expect("it may be sent");
    }

    /// Hands what the stores say to all of them, in one order.
    fn exchange(stores: &mut [Store]) {
        while let Some((sender, word)) = stores
            .iter_mut()
            .find_map(|one| Some((one.me, one.poll_word()?)))
        {
            stores
                .iter_mut()
                .for_each(|one| one.handle(sender, word.clone()));
        }
    }

    fn answers(store: &mut Store) -> Vec<Result<u64, String>> {
        std::iter::from_fn(|| store.poll_effect())
            .filter_map(|effect| match effect {
                Effect::Answer { outcome, .. } => Some(outcome),
                Effect::Changed { .. } => None,
            })
            .collect()
    }

    #[test]
    fn all_have_the_same_and_conditions_hold_where_they_are_ordered() {
        let mut stores = [1, 2].map(|id| Store::new(NodeId(id), Contents::default()));
        stores
            .iter_mut()
            .for_each(|one| one.handle_view(1, &nodes(&[1, 2]), true));
        set(&mut stores[0], "a", 1);
        let both = |value| Update {
            client: 1,
            request: value,
            conditions: vec![("a".to_owned(), Some(Value::Unsigned(1)))],
            set: vec![
                ("a".to_owned(), Some(Value::Unsigned(value))),
                ("b".to_owned(), None),
            ],
        };
        stores[0].submit(both(2)).unwrap();
        stores[1].submit(both(3)).unwrap();
        exchange(&mut stores);
        assert_eq!(stores[0].contents, stores[1].contents);
        assert_eq!(answers(&mut stores[0]), [Ok(1), Ok(2)]);
        assert!(
            answers(&mut stores[1])[0].is_err(),
            "the other one was first"
        );
        assert_eq!(stores[0].list("a"), [("a".to_owned(), Value::Unsigned(2))]);
    }

    #[test]
    fn the_half_that_may_act_wins_whatever_the_other_has() {
        let mut stores = [1, 2, 3].map(|id| Store::new(NodeId(id), Contents::default()));
        stores
            .iter_mut()
            .for_each(|one| one.handle_view(1, &nodes(&[1, 2, 3]), true));
        set(&mut stores[0], "a", 1);
        exchange(&mut stores);
        let (alone, rest) = stores.split_at_mut(1);
        alone[0].handle_view(2, &nodes(&[1]), false);
        for value in 10..20 {
            set(&mut alone[0], "a", value);
        }
        exchange(alone);
        rest.iter_mut()
            .for_each(|one| one.handle_view(3, &nodes(&[2, 3]), true));
        set(&mut rest[0], "a", 2);
        exchange(rest);
        stores
            .iter_mut()
            .for_each(|one| one.handle_view(4, &nodes(&[1, 2, 3]), true));
        // Ordered before the keys have been compared.
        set(&mut stores[1], "b", 5);
        exchange(&mut stores);
        for store in &stores {
            assert_eq!(store.contents, stores[1].contents);
            assert_eq!(store.list("")[0].1, Value::Unsigned(2));
            assert_eq!(store.list("").len(), 2);
        }
        let told = std::iter::from_fn(|| stores[0].poll_effect()).any(
            |effect| matches!(effect, Effect::Changed { key, value: Some(Value::Unsigned(2)), .. } if key == "a"),
        );
        assert!(told, "watchers of the half that lost see what it took over");
    }

    #[test]
    fn the_daemons_own_keys_and_long_ones_are_refused() {
        let mut store = Store::new(NodeId(1), Contents::default());
        for key in ["runtime.x", "", &"k".repeat(300)] {
            let update = Update {
                client: 1,
                request: 1,
                conditions: Vec::new(),
                set: vec![(key.to_owned(), None)],
            };
            assert!(store.submit(update).is_err(), "{key}");
        }
    }
}
