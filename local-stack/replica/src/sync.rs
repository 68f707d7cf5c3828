//! Rounds: agreeing on one copy after each view change.
//!
//! See the crate's documentation for the diagram. Every input here is delivered in one order to all
//! members of a view, so that all of them go from one phase to the next at the same place.

use std::collections::{BTreeMap, BTreeSet};

use cib::{Cib, Document, Section, digest};

use crate::change::NodeRef;
use crate::choice::{self, Choice};
use crate::record;
use crate::replica::{Output, Replica, SKIP_AFTER_NS, Unstored, View};
use crate::words::{Answer, Command, Hello, Round, Whole, Word};

/// Where a replica is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Without messaging.
    Alone,
    /// Before the first view.
    Apart,
    /// Waits for everybody's hello.
    Gathering {
        hellos: BTreeMap<u32, Hello>,
        skipped: BTreeSet<u32>,
        until_ns: u64,
    },
    /// Waits for the chosen copy, and for the own parts of those who do not hold it.
    Moving {
        hellos: BTreeMap<u32, Hello>,
        choice: Choice,
        whole: Option<Whole>,
        mine: BTreeMap<u32, String>,
    },
    /// The copy is the site's.
    Active,
}

impl Replica {
    /// Who is there now. `flying`: the operations that this node runs for others.
    pub fn handle_view(&mut self, now_ns: u64, view: View, flying: Vec<Command>) {
        let round = Round {
            view: view.name.clone(),
            attached: None,
        };
        self.view = view;
        self.begin(now_ns, round, flying);
    }

    /// This node begins to listen in the middle of a view, or the view's quorum is another: all are
    /// asked again.
    pub fn attach(&mut self, view: View) {
        self.view = view;
        self.ask_all();
    }

    pub(crate) fn ask_all(&mut self) {
        self.asked += 1;
        let word = Word::Attach {
            view: self.view.name.clone(),
            nonce: self.incarnation.wrapping_add(self.asked),
        };
        self.say(word);
    }

    fn begin(&mut self, now_ns: u64, round: Round, flying: Vec<Command>) {
        if self.is_synced() {
            self.outputs.push_back(Output::Unsynced);
        }
        self.round = round;
        self.forget_sent();
        self.phase = Phase::Gathering {
            hellos: BTreeMap::new(),
            skipped: BTreeSet::new(),
            until_ns: now_ns.saturating_add(SKIP_AFTER_NS),
        };
        let hello = Hello {
            round: self.round.clone(),
            incarnation: self.incarnation,
            standing: self.standing(),
            quorate: self.view.quorate,
            flying,
        };
        self.say(Word::Hello(Box::new(hello)));
    }

    /// A word was delivered. `flying` as for [`Replica::handle_view`].
    pub fn handle_word(
        &mut self,
        now_ns: u64,
        from: u32,
        word: Word,
        flying: impl FnOnce() -> Vec<Command>,
    ) {
        match word {
            Word::Attach { view, nonce } => {
                if view == self.view.name {
                    let attached = Some((from, nonce));
                    self.begin(now_ns, Round { view, attached }, flying());
                }
            }
            Word::Hello(hello) => {
                if hello.round == self.round {
                    self.hello_came(now_ns, from, *hello);
                }
            }
            Word::Skip { round, missing } => {
                if round == self.round {
                    self.skip(now_ns, &missing);
                }
            }
            Word::Whole(whole) => {
                if whole.round == self.round {
                    self.whole_came(now_ns, *whole);
                }
            }
            Word::Mine { round, state } => {
                if round == self.round {
                    self.mine_came(now_ns, from, state);
                }
            }
            Word::Check { round } if self.is_current(&round) => self.check_came(),
            Word::Digest { round, digest } if self.is_current(&round) => {
                self.digest_came(from, digest);
            }
            other => self.work_came(from, other),
        }
    }

    /// Words that only mean something in the round that they were said in.
    fn work_came(&mut self, from: u32, word: Word) {
        match word {
            Word::Change {
                round,
                number,
                change,
            } if self.is_current(&round) => self.change_came(from, number, *change),
            Word::Stored { round, number } if self.is_current(&round) => {
                self.stored_came(from, number);
            }
            Word::Command { round, to, command } if self.is_current(&round) && to == self.me => {
                self.outputs.push_back(Output::Run(*command));
            }
            Word::Abort { round, to, order } if self.is_current(&round) && to == self.me => {
                self.outputs.push_back(Output::Abort(order));
            }
            // Of a round that is over: its sender says it again, or has no reason to any more.
            _ => {}
        }
    }

    fn is_current(&self, round: &Round) -> bool {
        matches!(self.phase, Phase::Active) && *round == self.round
    }

    fn hello_came(&mut self, now_ns: u64, from: u32, hello: Hello) {
        if let Phase::Gathering { hellos, .. } = &mut self.phase {
            hellos.insert(from, hello);
            self.choose_if_all(now_ns);
        }
    }

    fn skip(&mut self, now_ns: u64, missing: &[u32]) {
        if let Phase::Gathering {
            hellos, skipped, ..
        } = &mut self.phase
        {
            let silent = missing.iter().filter(|node| !hellos.contains_key(node));
            skipped.extend(silent);
            self.choose_if_all(now_ns);
        }
    }

    /// Someone is silent for too long, or copies are to be compared.
    pub fn handle_timeout(&mut self, now_ns: u64) {
        if let Phase::Gathering {
            hellos, until_ns, ..
        } = &mut self.phase
            && now_ns >= *until_ns
        {
            *until_ns = now_ns.saturating_add(SKIP_AFTER_NS);
            let here = |node: &u32| hellos.contains_key(node);
            let missing: Vec<u32> = self
                .view
                .members
                .iter()
                .copied()
                .filter(|node| !here(node))
                .collect();
            let round = self.round.clone();
            self.say(Word::Skip { round, missing });
        }
        self.check_if_due(now_ns);
    }

    fn choose_if_all(&mut self, now_ns: u64) {
        let Phase::Gathering {
            hellos, skipped, ..
        } = &mut self.phase
        else {
            return;
        };
        let here = |node: &u32| hellos.contains_key(node) || skipped.contains(node);
        if !self.view.members.iter().all(here) {
            return;
        }
        let hellos = std::mem::take(hellos);
        let Some(choice) = choice::choose(&hellos) else {
            return;
        };
        self.hand_over(&choice);
        self.phase = Phase::Moving {
            hellos,
            choice,
            whole: None,
            mine: BTreeMap::new(),
        };
        self.install_if_complete(now_ns);
    }

    /// Says what the others need of this node.
    fn hand_over(&mut self, choice: &Choice) {
        if choice.others.contains(&self.me) {
            let node = self.node_ref(self.me);
            let round = self.round.clone();
            let state = self.state_text(&node);
            self.say(Word::Mine { round, state });
        } else if !choice.others.is_empty() && choice.holders.first() == Some(&self.me) {
            let seen = self.seen.iter();
            let seen = seen.map(|((node, lane), (process, last))| (*node, *lane, *process, *last));
            let whole = Whole {
                round: self.round.clone(),
                cib: self.cib.to_text(),
                seen: seen.collect(),
            };
            self.say(Word::Whole(Box::new(whole)));
        }
    }

    fn state_text(&self, node: &NodeRef) -> String {
        let status = self.cib.section(Section::Status);
        let state = status.and_then(|status| {
            status
                .children()
                .find(|state| state.attr("uname") == Some(node.uname.as_str()))
        });
        state.map(cib::Element::to_text).unwrap_or_default()
    }

    fn whole_came(&mut self, now_ns: u64, came: Whole) {
        if let Phase::Moving { whole, .. } = &mut self.phase {
            *whole = Some(came);
            self.install_if_complete(now_ns);
        }
    }

    fn mine_came(&mut self, now_ns: u64, from: u32, state: String) {
        if let Phase::Moving { mine, .. } = &mut self.phase {
            mine.insert(from, state);
            self.install_if_complete(now_ns);
        }
    }

    fn install_if_complete(&mut self, now_ns: u64) {
        let Phase::Moving {
            choice,
            whole,
            mine,
            ..
        } = &self.phase
        else {
            return;
        };
        let all = choice.others.iter().all(|node| mine.contains_key(node));
        if !all || whole.is_none() && !choice.others.is_empty() {
            return;
        }
        if let Phase::Moving {
            hellos,
            choice,
            whole,
            mine,
        } = std::mem::replace(&mut self.phase, Phase::Active)
        {
            self.install(&hellos, &choice, whole, &mine);
            self.check_at_ns = now_ns.saturating_add(SKIP_AFTER_NS);
        }
    }

    fn install(
        &mut self,
        hellos: &BTreeMap<u32, Hello>,
        choice: &Choice,
        whole: Option<Whole>,
        mine: &BTreeMap<u32, String>,
    ) {
        if let Some(whole) = whole
            && choice.others.contains(&self.me)
        {
            self.take(whole);
        }
        for (node, state) in mine {
            let node = self.node_ref(*node);
            put_state(&mut self.cib, &node, state);
        }
        self.incarnations = hellos.iter().map(|(n, h)| (*n, h.incarnation)).collect();
        if !hellos.contains_key(&self.me) {
            // The others thought that nobody listens here.
            self.ask_all();
        }
        self.quorate = choice.quorate;
        self.coordinator = Some(choice.coordinator);
        self.era = choice.era + u64::from(choice.quorate);
        self.line = Some((self.round.clone(), 0));
        self.configured = 0;
        self.stored.clear();
        self.mark_nodes(choice);
        self.judge_unstored();
        self.store();
        let flying = hellos.iter().flat_map(|(node, hello)| {
            let node = self.node_ref(*node);
            let flying = hello.flying.iter().cloned();
            flying.map(move |command| (node.clone(), command))
        });
        let flying = flying.collect();
        self.outputs.push_back(Output::Synced { flying });
        self.send_changes();
    }

    /// Takes another node's copy; our own configuration is kept if it said something else.
    fn take(&mut self, whole: Whole) {
        let Ok(cib) = Cib::parse(&whole.cib, None) else {
            let text = "the copy that came is no CIB: our own stays";
            self.outputs.push_back(Output::Log(text.to_owned()));
            return;
        };
        let version = self.cib.version();
        let says_something = (version.admin_epoch, version.epoch) != (0, 0);
        if says_something && configuration_digest(&cib) != configuration_digest(&self.cib) {
            let lost = Box::new(std::mem::replace(&mut self.cib, Cib::empty()));
            self.outputs.push_back(Output::Lost { cib: lost });
        }
        self.cib = cib;
        self.seen = whole
            .seen
            .into_iter()
            .map(|(node, lane, process, last)| ((node, lane), (process, last)))
            .collect();
    }

    /// Writes who is there into the status, as Pacemaker does.
    fn mark_nodes(&mut self, choice: &Choice) {
        let members: BTreeSet<u32> = self.incarnations.keys().copied().collect();
        for node in &members {
            let node = self.node_ref(*node);
            if !self.is_leaving(&node) {
                self.cib.set_node_online(&node.id, &node.uname);
            }
        }
        let here: BTreeSet<String> = members.iter().map(|n| self.node_ref(*n).id).collect();
        let status = self.cib.section(Section::Status);
        let states = status.into_iter().flat_map(|status| {
            let states = status.children_named("node_state");
            states.map(|state| {
                (
                    state.id().to_owned(),
                    state.attr("uname").map(str::to_owned),
                )
            })
        });
        let gone: Vec<(String, Option<String>)> =
            states.filter(|(id, _)| !here.contains(id)).collect();
        for (id, uname) in gone {
            self.cib.set_node_lost(&id, uname.as_deref().unwrap_or(&id));
        }
        let root = self.cib.root().key();
        let quorate = if choice.quorate { "1" } else { "0" };
        let coordinator = self.node_ref(choice.coordinator);
        let document = self.cib.document_mut();
        document.set_attr(root, "have-quorum", quorate);
        document.set_attr(root, "dc-uuid", &coordinator.id);
    }

    /// It may go already, and is about to.
    fn is_leaving(&self, node: &NodeRef) -> bool {
        let status = self.cib.section(Section::Status);
        let state = status.and_then(|status| status.children().find(|s| s.id() == node.id));
        state.is_some_and(|state| state.attr("expected") == Some("down"))
            && record::transients(&self.cib, &node.id)
                .iter()
                .any(|(name, value)| name == "shutdown" && value != "0")
    }

    /// Changes of ours that were not on enough disks: they are in the copy that goes on, or not.
    fn judge_unstored(&mut self) {
        let last = self.seen.get(&(self.me, true)).copied();
        for one in std::mem::take(&mut self.unstored) {
            let there = last
                .is_some_and(|(process, last)| process == self.incarnation && last >= one.number);
            if there {
                let Unstored { number, .. } = one;
                self.unstored.push(Unstored { number, at: 0 });
            } else {
                let why = "a quorate part of the site went on without it".to_owned();
                let number = one.number;
                let answer = Answer::Unknown(why);
                self.outputs.push_back(Output::Answer { number, answer });
            }
        }
    }
}

fn configuration_digest(cib: &Cib) -> String {
    let configuration = cib.section(Section::Configuration);
    configuration
        .map(|section| digest::of_content(&cib.document().extract(section.key())))
        .unwrap_or_default()
}

/// Puts what a node says of itself in the place of what is known of it.
fn put_state(cib: &mut Cib, node: &NodeRef, text: &str) {
    let state = cib.node_state(&node.id, &node.uname);
    cib.document_mut().clear(state);
    let Ok(own) = Document::parse(text, None) else {
        // It knows nothing of itself: it has just started.
        return;
    };
    for child in own.root().children() {
        cib.document_mut().append_copy(state, &own, child.key());
    }
}
