//! Several nodes: what messaging delivers, and what the replica makes of it.

use replica::{Answer, Applied, Change, Output, Round, View, Word};

use crate::call::Flight;
use crate::controller::Controller;
use crate::graph::Graph;
use crate::types::{Effect, Now, State};

/// A node that is to stop everything and cannot gives up after this time: Pacemaker's
/// `shutdown-escalation`.
pub(crate) const SHUTDOWN_MAX_NS: u64 = 20 * 60 * 1_000_000_000;

impl Controller {
    /// A new view is in force.
    pub fn handle_view(&mut self, now: Now, view: View) {
        self.now = now;
        let owed = self.owed();
        self.replica.handle_view(now.boot_ns, view, owed);
        self.drive();
    }

    /// This node begins to listen in the middle of a view, or the view's quorum has changed.
    pub fn handle_attach(&mut self, now: Now, view: View) {
        self.now = now;
        self.replica.attach(view);
        self.drive();
    }

    /// A message of another replica, or of our own, was delivered. What makes no sense is dropped.
    pub fn handle_message(&mut self, now: Now, from: u32, bytes: &[u8]) {
        self.now = now;
        let Some(word) = Word::decode(bytes) else {
            let text = format!("node {from} says something that is not understood");
            self.effects.push_back(Effect::Log(text));
            return;
        };
        let calls = &self.calls;
        let owed = || {
            let owed = calls.values().filter(|call| call.flying || call.owed);
            owed.map(|call| call.command.clone()).collect()
        };
        self.replica.handle_word(now.boot_ns, from, word, owed);
        self.drive();
    }

    /// Answer to [`Effect::Store`].
    pub fn handle_stored(&mut self, now: Now, round: &Round, number: u64) {
        self.now = now;
        self.replica.handle_stored(round, number);
        self.drive();
    }

    /// Has the configuration replaced by that of a CIB, on all nodes; the number that
    /// [`Effect::Answer`] repeats. `forced`: why it is to be done without quorum.
    pub fn replace_everywhere(&mut self, now: Now, cib: String, forced: Option<String>) -> u64 {
        self.now = now;
        let number = self.replica.propose(Change::Replace { cib, forced });
        self.drive();
        number
    }

    /// Sets a transient attribute of this node, or of another by its name; none removes it.
    pub fn set_attribute(&mut self, now: Now, node: Option<&str>, name: &str, value: Option<&str>) {
        self.now = now;
        let node = self.named_or_this(node);
        self.replica.propose(Change::Attribute {
            node,
            name: name.to_owned(),
            value: value.map(str::to_owned),
        });
        self.drive();
    }

    /// A node by its name; this one if none is named.
    pub(crate) fn named_or_this(&self, uname: Option<&str>) -> replica::NodeRef {
        match uname {
            Some(uname) if uname != self.node.uname => self.named(uname),
            _ => self.node.clone(),
        }
    }

    /// A node by its name, as the configuration or messaging knows it.
    pub(crate) fn named(&self, uname: &str) -> replica::NodeRef {
        let nodes = self.replica.cib().section(cib::Section::Nodes);
        let node = nodes.and_then(|nodes| {
            nodes
                .children()
                .find(|node| node.attr("uname") == Some(uname))
        });
        let id = node.map(|node| node.id().to_owned());
        let number = || self.replica.number_of(uname).map(|n| n.to_string());
        replica::NodeRef {
            uname: uname.to_owned(),
            id: id.or_else(number).unwrap_or_else(|| uname.to_owned()),
        }
    }

    /// Takes what the replica tells.
    pub(crate) fn absorb(&mut self) {
        while let Some(output) = self.replica.poll() {
            match output {
                Output::Send(word) => self.effects.push_back(Effect::Send(word.encode())),
                Output::Store {
                    round,
                    number,
                    era,
                    cib,
                } => self.effects.push_back(Effect::Store {
                    round,
                    number,
                    era,
                    cib,
                }),
                Output::Lost { cib } => self.effects.push_back(Effect::Lost(cib)),
                Output::Answer { number, answer } => {
                    if let Answer::Refused(why) | Answer::Unknown(why) = &answer {
                        self.effects.push_back(Effect::Log(why.clone()));
                    }
                    self.effects.push_back(Effect::Answer { number, answer });
                }
                Output::Applied {
                    from,
                    change,
                    applied,
                } => self.applied(from, change, &applied),
                Output::Synced { flying } => {
                    self.flights = flying
                        .into_iter()
                        .map(|(node, command)| (command.order, Flight { node, command }))
                        .collect();
                    self.synced();
                }
                Output::Unsynced => self.graph = Graph::empty(self.graph.number),
                Output::Run(command) => self.carry_out(command),
                Output::Abort(order) => self.abort_order(order),
                Output::Log(text) => self.effects.push_back(Effect::Log(text)),
            }
        }
    }

    /// The site's copy is here: everything that was concluded from another one is void.
    fn synced(&mut self) {
        self.graph = Graph::empty(self.graph.number);
        self.configuration_changed();
        let coordinator = self.replica.coordinator().unwrap_or_default();
        let quorum = if self.replica.is_quorate() {
            "quorate"
        } else {
            "no quorum"
        };
        let text = format!(
            "the site's copy is agreed, {} coordinates, {quorum}",
            coordinator.uname
        );
        self.effects.push_back(Effect::Log(text));
        self.effects.push_back(Effect::Keep);
        self.name_nodes();
    }

    /// Nodes of the site that the configuration does not name are added to it.
    fn name_nodes(&mut self) {
        let unnamed = self.replica.unnamed();
        if self.replica.is_coordinator() && self.replica.is_quorate() && !unnamed.is_empty() {
            self.replica.propose(Change::Nodes(unnamed));
        }
    }

    fn applied(&mut self, from: u32, change: Change, applied: &Applied) {
        match change {
            Change::Ended(ended) => {
                self.flights.remove(&ended.order);
                self.aborted.remove(&ended.order);
                if ended.node.uname == self.node.uname {
                    self.settle_call(ended.order);
                    if ended.failure.is_some() {
                        self.effects.push_back(Effect::Keep);
                    }
                }
                self.confirm_or_reschedule(ended.order, ended.success);
            }
            Change::Cancelled { order, node, .. } => {
                self.flights.remove(&order);
                if node.uname == self.node.uname {
                    self.calls.retain(|_, call| call.command.order != order);
                }
                self.confirm_or_reschedule(order, true);
            }
            Change::NotDone { order, .. } => {
                self.flights.remove(&order);
                if let Some(id) = self.graph.action_of(order).map(|action| action.id) {
                    self.graph.fail(id);
                }
            }
            Change::Forget {
                node,
                resource,
                failures,
            } => {
                self.dirty |= failures;
                if failures && node.uname == self.node.uname {
                    self.last_failure.remove(&resource);
                    self.effects.push_back(Effect::Keep);
                }
            }
            Change::ClearFailures { node, resource } => {
                if node.uname == self.node.uname {
                    self.last_failure.remove(&resource);
                    self.effects.push_back(Effect::Keep);
                }
            }
            Change::Cleanup { resource } => {
                let own = self.own_resources(resource.as_deref());
                self.doubtful.extend(own);
            }
            Change::Fenced { node, order } => {
                self.flights
                    .retain(|_, flight| flight.node.uname != node.uname);
                match order {
                    Some(order) => self.confirm_or_reschedule(order, true),
                    None => self.dirty = true,
                }
            }
            Change::Leave { node } => self.left(&node.uname),
            Change::Attribute { .. } => self.dirty = true,
            Change::Tickets(_) => {}
            Change::Nodes(_) => self.configuration_changed(),
            Change::Replace { .. } => {
                if *applied == Applied::Done {
                    let version = self.replica.cib().version();
                    let text = format!("CIB {version} is in force, from node {from}");
                    self.effects.push_back(Effect::Log(text));
                    self.configuration_changed();
                    self.name_nodes();
                }
            }
        }
    }

    /// Everybody knows that the node goes, and that it is not to be fenced for it.
    fn left(&mut self, uname: &str) {
        if uname == self.node.uname && self.stopping && !self.stopped {
            self.stop_now();
        }
    }

    pub(crate) fn stop_now(&mut self) {
        self.stopped = true;
        let left = self.still_running();
        self.effects.push_back(Effect::Stopped { left });
    }

    /// Every node is to forget and probe a resource again, or all.
    pub(crate) fn cleanup_everywhere(&mut self, resource: Option<&str>) {
        let resource = resource.map(str::to_owned);
        self.replica.propose(Change::Cleanup { resource });
    }

    /// What is known of a resource on this node is in doubt, and nothing of it is under way.
    pub(crate) fn forget_own(&mut self, resource: String) {
        // Late words of its monitors do not count; the executor drops them with the next start.
        self.calls.retain(|_, call| call.resource() != resource);
        self.states.insert(resource.clone(), State::Unknown);
        self.last_failure.remove(&resource);
        self.replica.propose(Change::Forget {
            node: self.node.clone(),
            resource,
            failures: true,
        });
    }
}
