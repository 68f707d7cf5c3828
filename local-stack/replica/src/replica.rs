//! One node's copy, what it wants to say, and what it tells its owner.

use std::collections::{BTreeMap, VecDeque};

use cib::{Cib, digest};

use crate::change::{Applied, Change, NodeRef};
use crate::sync::Phase;
use crate::words::{Answer, Command, OrderId, Round, Standing, Word};

/// A node of the view that says nothing for so long is left out of the round: it carries messages, and
/// no replica listens there.
pub const SKIP_AFTER_NS: u64 = 5_000_000_000;

/// Copies are compared this often.
const CHECK_EVERY_NS: u64 = 60_000_000_000;

/// Changes of our own that wait to be delivered; more are refused.
const OUTBOX_MAX: usize = 65_536;

/// What a replica starts from.
#[derive(Debug, Clone)]
pub struct Start {
    /// The CIB on disk.
    pub cib: Cib,
    /// The era that was on disk with it; 0 without one.
    pub era: u64,
    /// This process, unlike every other.
    pub incarnation: u64,
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its members.
    pub members: Vec<u32>,
    /// Every configured node: number, name, votes.
    pub nodes: Vec<(u32, String, u32)>,
    /// The view may act.
    pub quorate: bool,
    /// Votes of all configured nodes and devices.
    pub expected_votes: u32,
}

/// What the owner has to do or to know, in this order.
#[derive(Debug, Clone)]
pub enum Output {
    /// Say it to all replicas, this one included, in the site's order.
    Send(Word),
    /// Put the copy on disk; answer with [`Replica::handle_stored`]. A later one makes an earlier one
    /// superfluous. The status section need not be written.
    Store {
        /// The round.
        round: Round,
        /// The configuration's change in it.
        number: u64,
        /// To be written with the copy, in one.
        era: u64,
        /// The copy.
        cib: Box<Cib>,
    },
    /// This configuration of ours is not the one that the site goes on with: keep it.
    Lost {
        /// As it was.
        cib: Box<Cib>,
    },
    /// A change is in the copy (or was refused, everywhere alike).
    Applied {
        /// Whose.
        from: u32,
        /// What.
        change: Change,
        /// What it did.
        applied: Applied,
    },
    /// What became of a change of our own, by the number that [`Replica::propose`] gave.
    Answer {
        /// The number.
        number: u64,
        /// What became of it.
        answer: Answer,
    },
    /// The round is agreed: this copy is the site's.
    Synced {
        /// Operations under way: node and order.
        flying: Vec<(NodeRef, Command)>,
    },
    /// No round is agreed: nothing is ordered until the next one is.
    Unsynced,
    /// This node is to run something.
    Run(Command),
    /// This node is to end something.
    Abort(OrderId),
    /// A sentence for the log.
    Log(String),
}

/// A change of our own on its way.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    number: u64,
    configuration: bool,
    change: Change,
    sent: bool,
}

/// A change of the configuration that is in force and not yet on enough disks.
#[derive(Debug, Clone)]
pub(crate) struct Unstored {
    pub(crate) number: u64,
    /// The configuration's change in this round.
    pub(crate) at: u64,
}

/// One node's copy.
#[derive(Debug)]
pub struct Replica {
    pub(crate) me: u32,
    pub(crate) incarnation: u64,
    pub(crate) cib: Cib,
    pub(crate) era: u64,
    /// The round that the copy lives in, and its changes since.
    pub(crate) line: Option<(Round, u64)>,
    /// The last change of each sender and lane: incarnation and number.
    pub(crate) seen: BTreeMap<(u32, bool), (u64, u64)>,
    pub(crate) coordinator: Option<u32>,
    pub(crate) view: View,
    pub(crate) round: Round,
    pub(crate) phase: Phase,
    /// The nodes of the round that was agreed last.
    pub(crate) incarnations: BTreeMap<u32, u64>,
    pub(crate) quorate: bool,
    /// The configuration's changes in this round.
    pub(crate) configured: u64,
    /// How often this node asked all for a new round.
    pub(crate) asked: u64,
    /// What each node has on disk.
    pub(crate) stored: BTreeMap<u32, u64>,
    pub(crate) unstored: Vec<Unstored>,
    outbox: VecDeque<Waiting>,
    next_number: u64,
    /// Digests of a comparison under way.
    compared: BTreeMap<u32, String>,
    pub(crate) check_at_ns: u64,
    pub(crate) outputs: VecDeque<Output>,
}

impl Replica {
    /// The replica of a site of one node without messaging: changes are applied as they are proposed.
    pub fn alone(start: Start) -> Self {
        let mut replica = Self::of(0, start);
        replica.phase = Phase::Alone;
        replica.quorate = true;
        replica.coordinator = Some(0);
        replica
    }

    /// One of several; `me` is this node's number in messaging. Nothing happens before the first view.
    /// Whatever the status section says is forgotten: it is about a time when nobody looked.
    pub fn of(me: u32, mut start: Start) -> Self {
        let status = start.cib.section(cib::Section::Status);
        if let Some(status) = status.map(|status| status.key()) {
            start.cib.document_mut().clear(status);
        }
        Self {
            me,
            incarnation: start.incarnation,
            cib: start.cib,
            era: start.era,
            line: None,
            seen: BTreeMap::new(),
            coordinator: None,
            view: View::default(),
            round: Round::default(),
            phase: Phase::Apart,
            incarnations: BTreeMap::new(),
            quorate: false,
            configured: 0,
            asked: 0,
            stored: BTreeMap::new(),
            unstored: Vec::new(),
            outbox: VecDeque::new(),
            next_number: 1,
            compared: BTreeMap::new(),
            check_at_ns: 0,
            outputs: VecDeque::new(),
        }
    }

    /// The copy.
    pub fn cib(&self) -> &Cib {
        &self.cib
    }

    /// The copy of a site of one node, for its owner's own changes.
    pub fn cib_mut(&mut self) -> &mut Cib {
        &mut self.cib
    }

    /// There is no messaging.
    pub fn is_alone(&self) -> bool {
        matches!(self.phase, Phase::Alone)
    }

    /// The copy is the site's, as of what was delivered.
    pub fn is_synced(&self) -> bool {
        matches!(self.phase, Phase::Alone | Phase::Active)
    }

    /// The round may act.
    pub fn is_quorate(&self) -> bool {
        self.quorate && self.is_synced()
    }

    /// This node coordinates.
    pub fn is_coordinator(&self) -> bool {
        self.is_synced() && self.coordinator == Some(self.me)
    }

    /// Who coordinates, if a round is agreed.
    pub fn coordinator(&self) -> Option<NodeRef> {
        let node = self.coordinator.filter(|_| self.is_synced())?;
        Some(self.node_ref(node))
    }

    /// The view last told.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The members of the round that is agreed, by number.
    pub fn members(&self) -> Vec<u32> {
        match &self.phase {
            Phase::Active => self.incarnations.keys().copied().collect(),
            _ => Vec::new(),
        }
    }

    /// The number of a node of the round, by its name.
    pub fn number_of(&self, uname: &str) -> Option<u32> {
        let named = self.view.nodes.iter().find(|(_, name, _)| name == uname);
        let number = named.map(|(number, ..)| *number)?;
        self.members().contains(&number).then_some(number)
    }

    /// A node by both its names.
    pub fn node_ref(&self, node: u32) -> NodeRef {
        let named = self.view.nodes.iter().find(|(number, ..)| *number == node);
        let uname = named.map_or_else(|| node.to_string(), |(_, name, _)| name.clone());
        NodeRef {
            id: self.id_of(&uname).unwrap_or_else(|| node.to_string()),
            uname,
        }
    }

    /// The id that the CIB gives to a node.
    fn id_of(&self, uname: &str) -> Option<String> {
        let nodes = self.cib.section(cib::Section::Nodes)?;
        let node = nodes
            .children()
            .find(|node| node.attr("uname") == Some(uname))?;
        Some(node.id().to_owned())
    }

    /// Nodes of the site that the configuration does not name.
    pub fn unnamed(&self) -> Vec<NodeRef> {
        let numbers = self.view.nodes.iter().map(|(number, ..)| *number);
        numbers
            .map(|number| self.node_ref(number))
            .filter(|node| self.id_of(&node.uname).is_none())
            .collect()
    }

    pub(crate) fn standing(&self) -> Standing {
        let version = self.cib.version();
        Standing {
            era: self.era,
            version: (version.admin_epoch, version.epoch, version.num_updates),
            line: self.line.clone(),
            digest: digest::of_content(self.cib.document()),
            coordinator: self.coordinator,
        }
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// There is something to do.
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    pub(crate) fn say(&mut self, word: Word) {
        self.outputs.push_back(Output::Send(word));
    }

    /// Has a change made; its number. What becomes of a change of the configuration is told by
    /// [`Output::Answer`].
    pub fn propose(&mut self, change: Change) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let configuration = change.is_configuration();
        if self.is_alone() {
            let applied = change.apply(&mut self.cib);
            self.outputs.push_back(Output::Applied {
                from: self.me,
                change,
                applied,
            });
            return number;
        }
        if self.outbox.len() >= OUTBOX_MAX {
            let why = "too many changes wait to be delivered".to_owned();
            self.answer(number, Answer::Refused(why));
            return number;
        }
        self.outbox.push_back(Waiting {
            number,
            configuration,
            change,
            sent: false,
        });
        self.send_changes();
        number
    }

    fn answer(&mut self, number: u64, answer: Answer) {
        self.outputs.push_back(Output::Answer { number, answer });
    }

    /// Nothing that was sent in an earlier round counts as sent.
    pub(crate) fn forget_sent(&mut self) {
        for waiting in &mut self.outbox {
            waiting.sent = false;
        }
    }

    /// Sends what may be sent now. Changes of the configuration wait until the era is on enough disks,
    /// and are refused without quorum.
    pub(crate) fn send_changes(&mut self) {
        if !matches!(self.phase, Phase::Active) {
            return;
        }
        let ready = self.is_stored(0);
        let mut refused = Vec::new();
        let mut words = Vec::new();
        for waiting in self.outbox.iter_mut().filter(|waiting| !waiting.sent) {
            if waiting.configuration && !self.quorate && waiting.change.forced().is_none() {
                refused.push(waiting.number);
                continue;
            }
            if waiting.configuration && !ready {
                continue;
            }
            waiting.sent = true;
            words.push(Word::Change {
                round: self.round.clone(),
                number: waiting.number,
                change: Box::new(waiting.change.clone()),
            });
        }
        for word in words {
            self.say(word);
        }
        self.outbox
            .retain(|waiting| !refused.contains(&waiting.number));
        for number in refused {
            let why = "this part of the site has no quorum: a change made here would be lost, or \
                       undo another";
            self.answer(number, Answer::Refused(why.to_owned()));
        }
    }

    /// A change was delivered.
    pub(crate) fn change_came(&mut self, from: u32, number: u64, change: Change) {
        let configuration = change.is_configuration();
        let lane = (from, configuration);
        let Some(incarnation) = self.incarnations.get(&from).copied() else {
            // Not of this round; it says it again in the next.
            return;
        };
        let known = self.seen.get(&lane);
        let again = known.is_some_and(|(process, last)| *process == incarnation && *last >= number);
        if from == self.me {
            self.outbox.retain(|waiting| waiting.number != number);
        }
        if again {
            return;
        }
        self.seen.insert(lane, (incarnation, number));
        let before = self.cib.version();
        let applied = change.apply(&mut self.cib);
        if let Some((_, count)) = &mut self.line {
            *count += 1;
        }
        let after = self.cib.version();
        let changed = (before.admin_epoch, before.epoch) != (after.admin_epoch, after.epoch);
        if changed {
            self.configured += 1;
            self.store();
        }
        if from == self.me && configuration {
            match &applied {
                Applied::Refused(why) => self.answer(number, Answer::Refused(why.clone())),
                Applied::Done if changed => self.unstored.push(Unstored {
                    number,
                    at: self.configured,
                }),
                Applied::Done => self.answer(number, Answer::Done),
            }
        }
        self.outputs.push_back(Output::Applied {
            from,
            change,
            applied,
        });
    }

    pub(crate) fn store(&mut self) {
        self.outputs.push_back(Output::Store {
            round: self.round.clone(),
            number: self.configured,
            era: self.era,
            cib: Box::new(self.cib.clone()),
        });
    }

    /// The copy is on disk, as [`Output::Store`] asked.
    pub fn handle_stored(&mut self, round: &Round, number: u64) {
        if matches!(self.phase, Phase::Active) && *round == self.round {
            self.say(Word::Stored {
                round: round.clone(),
                number,
            });
        }
    }

    pub(crate) fn stored_came(&mut self, from: u32, number: u64) {
        let known = self.stored.entry(from).or_default();
        *known = (*known).max(number);
        self.acknowledge();
        self.send_changes();
    }

    /// Answers what is on enough disks by now.
    pub(crate) fn acknowledge(&mut self) {
        let waiting = std::mem::take(&mut self.unstored);
        for one in waiting {
            if self.is_stored(one.at) {
                self.answer(one.number, Answer::Done);
            } else {
                self.unstored.push(one);
            }
        }
    }

    /// A majority of the expected votes has it on disk, or everybody who is here: whichever later round
    /// is quorate knows it.
    pub(crate) fn is_stored(&self, number: u64) -> bool {
        let has = |node: u32| self.stored.get(&node).is_some_and(|last| *last >= number);
        let votes = self.view.nodes.iter().filter(|(node, ..)| has(*node));
        let votes: u32 = votes.map(|(.., votes)| votes).sum();
        let all = self.incarnations.keys().all(|node| has(*node));
        self.quorate && votes > self.view.expected_votes / 2 || all
    }

    /// Tells a node to run something, in this round.
    pub fn command(&mut self, to: u32, command: Command) {
        let round = self.round.clone();
        let command = Box::new(command);
        self.say(Word::Command { round, to, command });
    }

    /// Tells a node to end something that it runs.
    pub fn abort(&mut self, to: u32, order: OrderId) {
        let round = self.round.clone();
        self.say(Word::Abort { round, to, order });
    }

    /// Compares all copies, if it is time.
    pub(crate) fn check_if_due(&mut self, now_ns: u64) {
        if self.is_coordinator() && !self.is_alone() && now_ns >= self.check_at_ns {
            self.check_at_ns = now_ns.saturating_add(CHECK_EVERY_NS);
            let round = self.round.clone();
            self.say(Word::Check { round });
        }
    }

    pub(crate) fn check_came(&mut self) {
        self.compared.clear();
        let digest = digest::of_content(self.cib.document());
        let round = self.round.clone();
        self.say(Word::Digest { round, digest });
    }

    /// A copy that differs from the coordinator's is healed by a new round.
    pub(crate) fn digest_came(&mut self, from: u32, digest: String) {
        self.compared.insert(from, digest);
        let leader = self.compared.get(&self.me);
        let differs = |other: &String| leader.is_some_and(|leader| leader != other);
        if self.is_coordinator() && self.compared.values().any(differs) {
            self.compared.clear();
            let text = "copies of the CIB differ: all take the coordinator's";
            self.outputs.push_back(Output::Log(text.to_owned()));
            self.ask_all();
        }
    }

    /// When [`Replica::handle_timeout`] must be called.
    pub fn next_timeout(&self) -> Option<u64> {
        match &self.phase {
            Phase::Gathering { until_ns, .. } => Some(*until_ns),
            Phase::Active if self.coordinator == Some(self.me) => Some(self.check_at_ns),
            _ => None,
        }
    }
}
