//! The controller's state and its inputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cib::{Cib, Section, Version};
use replica::{Change, NodeRef, OrderId, Replica};
use scheduler::{Grant, Inputs, Transition};

use crate::call::{Call, Flight};
use crate::dependents;
use crate::fence::{self, Fencing};
use crate::gate::Gate;
use crate::graph::Graph;
use crate::record;
use crate::ring::SHUTDOWN_MAX_NS;
use crate::types::{Effect, Fenced, GuardHeld, Holding, Kept, Lease, Now, OperationResult, State};

/// A part of the site without quorum does nothing for so long after its start: the others may just be
/// starting as well. Pacemaker's `dc-deadtime`.
const ALONE_AFTER_NS: u64 = 20 * 1_000_000_000;

/// With nothing to wait for, time is looked at this often.
const IDLE_NS: u64 = 3_600 * 1_000_000_000;

/// How the controller is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node's name.
    pub node: String,
    /// Names this controller's transitions in their keys.
    pub uuid: String,
    /// The scheduler; [`scheduler::schedule`] but for tests.
    pub schedule: fn(&Cib, &Inputs) -> Transition,
    /// Tickets gate resources. Without (a single site), every ticket counts as granted.
    pub tickets: bool,
}

/// This node among those that messaging joins.
#[derive(Debug, Clone)]
pub struct Ring {
    /// Its number there.
    pub me: u32,
    /// This process, unlike every other that ever was.
    pub incarnation: u64,
    /// The era that was on disk with the CIB; 0 without one.
    pub era: u64,
}

/// What a controller starts from.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// What the daemon before this one kept in this boot.
    pub kept: Kept,
    /// Leases for which the guard is armed and whose deadline lies ahead.
    pub held: Vec<GuardHeld>,
}

/// One node's controller.
#[derive(Debug)]
pub struct Controller {
    pub(crate) settings: Settings,
    pub(crate) node: NodeRef,
    pub(crate) replica: Replica,
    pub(crate) gate: Gate,
    pub(crate) dependents: BTreeMap<String, Vec<dependents::Dependent>>,
    pub(crate) states: BTreeMap<String, State>,
    pub(crate) last_failure: BTreeMap<String, String>,
    pub(crate) graph: Graph,
    /// What runs on this node.
    pub(crate) calls: BTreeMap<u64, Call>,
    pub(crate) next_call: u64,
    /// What the coordinator waits for, on all nodes.
    pub(crate) flights: BTreeMap<OrderId, Flight>,
    /// Orders told to end: nothing joins them.
    pub(crate) aborted: BTreeSet<OrderId>,
    pub(crate) next_order: u64,
    pub(crate) incarnation: u64,
    /// Fencings asked for, by call.
    pub(crate) fencings: BTreeMap<u64, Fencing>,
    /// How long one may take, as the last transition says.
    pub(crate) fencing_timeout_ms: u64,
    /// The scheduler must be asked again.
    pub(crate) dirty: bool,
    /// What the scheduler was told last.
    pub(crate) grants: Vec<Grant>,
    /// Resources whose state is in doubt and that are probed again once nothing of theirs is in flight.
    pub(crate) doubtful: BTreeSet<String>,
    /// Holds that a configuration about to be taken needs, by ticket, with the reason.
    pub(crate) proposed: BTreeMap<String, String>,
    pub(crate) diagnostics: Vec<String>,
    pub(crate) start_failure_is_fatal: bool,
    pub(crate) recheck_ns: u64,
    pub(crate) stopping: bool,
    /// When a shutdown is given up, in `CLOCK_BOOTTIME`.
    pub(crate) stop_by_ns: u64,
    pub(crate) stopped: bool,
    /// From here on it acts without quorum, as far as the configuration lets it.
    pub(crate) alone_from_ns: u64,
    pub(crate) now: Now,
    pub(crate) effects: VecDeque<Effect>,
}

impl Controller {
    /// A controller for one node. Whatever the CIB's status says about this node's resources is
    /// forgotten: everything is probed, nothing is restarted.
    pub fn new(settings: Settings, cib: Cib, start: Start, now: Now) -> Self {
        let alone = replica::Start {
            cib: Cib::empty(),
            era: 0,
            incarnation: 0,
        };
        let mut controller = Self::with(settings, Replica::alone(alone), start.clone(), now);
        controller.take_configuration(cib);
        let node = controller.node.clone();
        let own = controller.replica.cib_mut();
        own.clear_node_status(&node.id);
        own.set_node_online(&node.id, &node.uname);
        controller.restore_failures(&start.kept.failures);
        controller
    }

    /// A controller of one node of several. Nothing is done before the first view.
    pub fn in_ring(settings: Settings, cib: Cib, start: Start, ring: &Ring, now: Now) -> Self {
        let own = replica::Start {
            cib,
            era: ring.era,
            incarnation: ring.incarnation,
        };
        let replica = Replica::of(ring.me, own);
        let failures = start.kept.failures.clone();
        let mut controller = Self::with(settings, replica, start, now);
        controller.incarnation = ring.incarnation;
        let known = controller.named(&controller.settings.node);
        let number = ring.me.to_string();
        let named = known.id != known.uname;
        controller.node = NodeRef {
            id: if named { known.id } else { number },
            uname: known.uname,
        };
        controller.restore_failures(&failures);
        controller.configuration_changed();
        controller
    }

    fn with(settings: Settings, replica: Replica, start: Start, now: Now) -> Self {
        let gate = Gate::restore(start.kept, &start.held);
        let node = NodeRef {
            uname: settings.node.clone(),
            id: settings.node.clone(),
        };
        Self {
            settings,
            node,
            replica,
            gate,
            dependents: BTreeMap::new(),
            states: BTreeMap::new(),
            last_failure: BTreeMap::new(),
            graph: Graph::default(),
            calls: BTreeMap::new(),
            next_call: 1,
            flights: BTreeMap::new(),
            aborted: BTreeSet::new(),
            next_order: 0,
            incarnation: 0,
            fencings: BTreeMap::new(),
            fencing_timeout_ms: fence::timeout_ms(""),
            dirty: true,
            grants: Vec::new(),
            doubtful: BTreeSet::new(),
            proposed: BTreeMap::new(),
            diagnostics: Vec::new(),
            start_failure_is_fatal: true,
            recheck_ns: 0,
            stopping: false,
            stop_by_ns: u64::MAX,
            stopped: false,
            alone_from_ns: now.boot_ns.saturating_add(ALONE_AFTER_NS),
            now,
            effects: VecDeque::new(),
        }
    }

    /// Failures that an earlier daemon of this boot counted.
    fn restore_failures(&mut self, failures: &[(String, String)]) {
        let node = self.node.clone();
        for (name, value) in failures {
            let own = self.replica.cib_mut();
            own.set_transient_attribute(&node.id, &node.uname, name, Some(value));
            // Who asks why nothing runs here is to be told, whichever daemon saw the failure.
            if let Some((resource, text)) = record::earlier_failure(name, value) {
                self.last_failure.insert(resource, text);
            }
        }
    }

    /// Takes a CIB's configuration; status and version stay what they were before.
    fn take_configuration(&mut self, mut cib: Cib) {
        let known = cib.section(Section::Nodes).and_then(|nodes| {
            let own = nodes
                .children()
                .find(|n| n.attr("uname") == Some(self.node.uname.as_str()))?;
            Some(own.id().to_owned())
        });
        self.node.id = known.unwrap_or_else(|| {
            let nodes = cib.section_or_append(Section::Nodes);
            let document = cib.document_mut();
            let node = document.child_with_id(nodes, "node", &self.node.uname);
            document.set_attr(node, "uname", &self.node.uname);
            self.node.uname.clone()
        });
        let root = cib.root().key();
        cib.document_mut().set_attr(root, "have-quorum", "1");
        cib.document_mut().set_attr(root, "dc-uuid", &self.node.id);
        *self.replica.cib_mut() = cib;
        self.configuration_changed();
    }

    /// Looks at the configuration anew.
    pub(crate) fn configuration_changed(&mut self) {
        if !self.replica.is_alone() {
            self.node.id = match self.named(&self.node.uname) {
                known if known.id == known.uname => self.node.id.clone(),
                known => known.id,
            };
        }
        self.dependents = dependents::by_ticket(self.replica.cib());
        for (resource, _) in dependents::all(self.replica.cib()) {
            self.states.entry(resource).or_default();
        }
        self.dirty = true;
    }

    /// The CIB, status included.
    pub fn cib(&self) -> &Cib {
        self.replica.cib()
    }

    /// The copy of the CIB and who else has it.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// What the next daemon of this boot must find; see [`Effect::Keep`].
    pub fn kept(&self) -> Kept {
        let failures = record::all_failures(self.replica.cib(), &self.node.id);
        Kept {
            failures,
            ..self.gate.kept()
        }
    }

    /// The site agent tells how it holds a ticket. An older word than known changes nothing.
    pub fn handle_lease(&mut self, now: Now, lease: Lease) {
        self.now = now;
        let manual_before = self.gate.kept().manual;
        self.expire_leases();
        self.gate.accept(lease, now.boot_ns);
        if self.gate.kept().manual != manual_before {
            self.effects.push_back(Effect::Keep);
        }
        self.drive();
    }

    /// An operation ended.
    pub fn handle_result(&mut self, now: Now, call: u64, result: OperationResult) {
        self.now = now;
        self.operation_ended(call, result);
        self.drive();
    }

    /// Whether a gated resource's start left a process; call it before the result of that start.
    pub fn handle_processes(&mut self, now: Now, resource: &str, has_process: bool) {
        self.now = now;
        if self.gate.note_process(resource, has_process) {
            self.effects.push_back(Effect::Keep);
            self.arm_again(resource);
        }
        self.drive();
    }

    /// A recurring operation is gone.
    pub fn handle_cancelled(&mut self, now: Now, call: u64) {
        self.now = now;
        self.operation_cancelled(call);
        self.drive();
    }

    /// A fencing ended: one of [`Effect::Fence`], or one that somebody else asked for.
    pub fn handle_fenced(&mut self, now: Now, fenced: &Fenced) {
        self.now = now;
        self.fencing_ended(fenced);
        self.drive();
    }

    /// The guard answers; `armed` are the terms it is armed for with this node's own markers.
    pub fn handle_guard_up(&mut self, now: Now, armed: Vec<Holding>) {
        self.now = now;
        self.gate.guard_came(armed.into_iter().collect());
        self.drive();
    }

    /// The guard is gone: nothing is covered by a deadline any more, so what depends on one stops.
    pub fn handle_guard_down(&mut self, now: Now) {
        self.now = now;
        self.gate.guard_went();
        self.drive();
    }

    /// Answer to [`Effect::Arm`].
    pub fn handle_armed(&mut self, now: Now, holding: &Holding, result: Result<(), String>) {
        self.now = now;
        self.gate.armed(holding, result);
        self.drive();
    }

    /// Answer to [`Effect::Disarm`]; one that failed is tried again with the next change.
    pub fn handle_disarmed(&mut self, now: Now, holding: &Holding, result: Result<(), String>) {
        self.now = now;
        if let Err(reason) = &result {
            let Holding { ticket, term } = holding;
            let text = format!("ticket {ticket}: the guard stays armed for term {term}: {reason}");
            self.effects.push_back(Effect::Log(text));
        }
        self.gate.disarmed(holding, result.is_ok());
        self.drive();
    }

    /// The guard ended everything that ran under a term: what is left is found out by probes.
    pub fn handle_fired(&mut self, now: Now, holding: &Holding) {
        self.now = now;
        self.gate.fired(holding);
        let resources: Vec<String> = self.names_under(&holding.ticket);
        self.doubtful.extend(resources);
        self.drive();
    }

    /// Gives a CIB the version that it will have when it replaces the one in force, so that it can be
    /// put on disk first. Nothing is changed.
    ///
    /// # Errors
    /// The version in force, when the new CIB is older.
    pub fn offer(&self, mut cib: Cib) -> Result<Cib, Version> {
        let current = self.replica.cib().version();
        let offered = cib.version();
        let (known, new) = (
            (current.admin_epoch, current.epoch),
            (offered.admin_epoch, offered.epoch),
        );
        if new < known {
            return Err(current);
        }
        if new == known {
            cib.set_version(current);
            cib.bump_epoch();
        }
        Ok(cib)
    }

    /// Announces a configuration that would keep dependents of leased tickets from being stopped: the
    /// tickets' holds are shown from now on, so that the site agent can have them agreed before the
    /// configuration takes effect. The tickets; none means that it may take effect at once.
    pub fn propose(&mut self, now: Now, cib: &Cib) -> Vec<String> {
        self.now = now;
        let mut proposed = BTreeMap::new();
        for (ticket, list) in dependents::by_ticket(cib) {
            let leased =
                |lease: &Lease| lease.granted && !lease.hold && lease.deadline_ns.is_some();
            if self.gate.lease(&ticket).is_some_and(leased)
                && let Some(reason) = self.hold_under(cib, &list)
            {
                proposed.insert(ticket, reason);
            }
        }
        let tickets = proposed.keys().cloned().collect();
        self.proposed = proposed;
        tickets
    }

    /// Every hold that the proposed configuration needs is agreed (or its lease is over).
    pub fn is_proposal_agreed(&self) -> bool {
        self.proposed.keys().all(|ticket| {
            self.gate
                .lease(ticket)
                .is_none_or(|lease| lease.hold || !lease.granted)
        })
    }

    /// The proposed configuration is in force, or given up.
    pub fn end_proposal(&mut self) {
        self.proposed.clear();
    }

    /// Replaces the configuration by one that [`Controller::offer`] gave; the status stays. The version
    /// in force afterwards.
    ///
    /// # Errors
    /// The version in force, when the new CIB is not newer; nothing was changed.
    pub fn handle_replace(&mut self, now: Now, mut cib: Cib) -> Result<Version, Version> {
        self.now = now;
        let (current, new) = (self.replica.cib().version(), cib.version());
        if (new.admin_epoch, new.epoch) <= (current.admin_epoch, current.epoch) {
            return Err(current);
        }
        if let Some(status) = cib.section(Section::Status).map(|status| status.key()) {
            cib.document_mut().remove(status);
        }
        let present = self.replica.cib();
        if let Some(status) = present.section(Section::Status) {
            let root = cib.root().key();
            let source = present.document();
            cib.document_mut().append_copy(root, source, status.key());
        }
        self.take_configuration(cib);
        self.drive();
        Ok(self.replica.cib().version())
    }

    /// Forgets failures and probes again: one resource, or all. The resources.
    ///
    /// # Errors
    /// The name, when there is no such resource; nothing was changed.
    pub fn handle_cleanup(
        &mut self,
        now: Now,
        resource: Option<&str>,
    ) -> Result<Vec<String>, String> {
        self.now = now;
        let chosen = self.own_resources(resource);
        if let (true, Some(name)) = (chosen.is_empty(), resource) {
            return Err(name.to_owned());
        }
        self.cleanup_everywhere(resource);
        self.drive();
        Ok(chosen)
    }

    /// Resources of the configuration, or the one of that name.
    pub(crate) fn own_resources(&self, resource: Option<&str>) -> Vec<String> {
        let all = dependents::all(self.replica.cib())
            .into_iter()
            .map(|(id, _)| id);
        all.filter(|id| resource.is_none_or(|wanted| wanted == id))
            .collect()
    }

    /// Stops all resources; [`Effect::Stopped`] tells the end.
    pub fn handle_shutdown(&mut self, now: Now) {
        self.now = now;
        if !self.stopping {
            self.stopping = true;
            self.stop_by_ns = now.boot_ns.saturating_add(SHUTDOWN_MAX_NS);
            self.gate.close();
            self.replica.propose(Change::Attribute {
                node: self.node.clone(),
                name: "shutdown".to_owned(),
                value: Some(now.wall_s.to_string()),
            });
        }
        self.drive();
    }

    /// A shutdown was asked for.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// A deadline or a recheck is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        if now.boot_ns >= self.recheck_ns {
            self.dirty = true;
        }
        self.replica.handle_timeout(now.boot_ns);
        self.drive();
    }

    /// When [`Controller::handle_timeout`] must be called, on `CLOCK_BOOTTIME`.
    pub fn next_timeout(&self) -> u64 {
        let times = [
            self.gate.next_deadline(),
            self.coordinates().then_some(self.recheck_ns),
            (self.alone_from_ns > self.now.boot_ns).then_some(self.alone_from_ns),
            self.replica.next_timeout(),
            (self.stopping && !self.replica.is_alone()).then_some(self.stop_by_ns),
        ];
        let latest = self.now.boot_ns.saturating_add(IDLE_NS);
        times.into_iter().flatten().min().unwrap_or(latest)
    }

    /// What to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Brings everything up to the present: what was delivered, tickets, then the transition.
    pub(crate) fn drive(&mut self) {
        loop {
            self.absorb();
            self.settle_doubts();
            self.drive_tickets();
            if self.coordinates() {
                self.reschedule_if_needed();
                self.fire();
            }
            if !self.replica.has_output() {
                break;
            }
        }
        self.finish_shutdown();
    }

    /// This node says what is done on all.
    pub(crate) fn coordinates(&self) -> bool {
        let settled = self.replica.is_quorate() || self.now.boot_ns >= self.alone_from_ns;
        self.replica.is_coordinator() && settled
    }

    /// Forgets what is known of doubtful resources that have nothing in flight.
    fn settle_doubts(&mut self) {
        let calm = |resource: &String| !self.has_flying(resource);
        let calm: Vec<String> = self.doubtful.iter().filter(|r| calm(r)).cloned().collect();
        for resource in calm {
            self.doubtful.remove(&resource);
            self.forget_own(resource);
        }
        self.absorb();
    }

    /// What runs on this node and would have been stopped.
    pub(crate) fn still_running(&self) -> Vec<String> {
        let runs = |state: &State| !matches!(state, State::Stopped | State::Unknown);
        let cib = self.replica.cib();
        self.states
            .iter()
            .filter(|(resource, state)| {
                runs(state) && dependents::not_managed(cib, resource, &self.node.uname).is_none()
            })
            .map(|(resource, _)| resource.clone())
            .collect()
    }

    fn finish_shutdown(&mut self) {
        if !self.stopping || self.stopped {
            return;
        }
        if !self.replica.is_alone() {
            // The coordinator lets this node go ([`replica::Change::Leave`]); without one nothing
            // was started here.
            let never = self.replica.view().members.is_empty();
            if never || self.now.boot_ns >= self.stop_by_ns {
                self.stop_now();
            }
            return;
        }
        let calm = !self.graph.is_busy() && self.calls.values().all(|call| !call.flying);
        if !calm || self.dirty {
            return;
        }
        if self.still_running().is_empty() && self.gate.is_disarming() {
            return;
        }
        self.stop_now();
    }
}
