//! The controller's state and its inputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cib::{Cib, Section, Version};
use scheduler::{Grant, Inputs, Transition};

use crate::call::Call;
use crate::dependents;
use crate::fence::{self, Fencing};
use crate::gate::Gate;
use crate::graph::Graph;
use crate::record::{self, Node};
use crate::types::{Effect, Fenced, GuardHeld, Holding, Kept, Lease, Now, OperationResult, State};

/// The scheduler is asked again after this time even if nothing happened: rules and expiries may
/// depend on the date. Pacemaker's default for the same.
const RECHECK_NS: u64 = 15 * 60 * 1_000_000_000;

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
    pub(crate) node: Node,
    pub(crate) cib: Cib,
    pub(crate) gate: Gate,
    pub(crate) dependents: BTreeMap<String, Vec<dependents::Dependent>>,
    pub(crate) states: BTreeMap<String, State>,
    pub(crate) last_failure: BTreeMap<String, String>,
    pub(crate) graph: Graph,
    pub(crate) calls: BTreeMap<u64, Call>,
    pub(crate) next_call: u64,
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
    pub(crate) stopped: bool,
    pub(crate) now: Now,
    pub(crate) effects: VecDeque<Effect>,
}

impl Controller {
    /// A controller for one node. Whatever the CIB's status says about this node's resources is
    /// forgotten: everything is probed, nothing is restarted.
    pub fn new(settings: Settings, cib: Cib, start: Start, now: Now) -> Self {
        let failures = start.kept.failures.clone();
        let gate = Gate::restore(start.kept, &start.held);
        let node = Node {
            uname: settings.node.clone(),
            id: settings.node.clone(),
        };
        let mut controller = Self {
            settings,
            node,
            cib: Cib::empty(),
            gate,
            dependents: BTreeMap::new(),
            states: BTreeMap::new(),
            last_failure: BTreeMap::new(),
            graph: Graph::default(),
            calls: BTreeMap::new(),
            next_call: 1,
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
            stopped: false,
            now,
            effects: VecDeque::new(),
        };
        controller.take_configuration(cib);
        let node = controller.node.clone();
        controller.cib.clear_node_status(&node.id);
        controller.cib.set_node_online(&node.id, &node.uname);
        for (name, value) in &failures {
            let (id, uname) = (&node.id, &node.uname);
            controller
                .cib
                .set_transient_attribute(id, uname, name, Some(value));
            // Who asks why nothing runs here is to be told, whichever daemon saw the failure.
            if let Some((resource, text)) = record::earlier_failure(name, value) {
                controller.last_failure.insert(resource, text);
            }
        }
        controller
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
        self.dependents = dependents::by_ticket(&cib);
        self.cib = cib;
        for (resource, _) in dependents::all(&self.cib) {
            self.states.entry(resource).or_default();
        }
        self.dirty = true;
    }

    /// The CIB, status included.
    pub fn cib(&self) -> &Cib {
        &self.cib
    }

    /// What the next daemon of this boot must find; see [`Effect::Keep`].
    pub fn kept(&self) -> Kept {
        let failures = record::all_failures(&self.cib, &self.node);
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
        let current = self.cib.version();
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
        let (current, new) = (self.cib.version(), cib.version());
        if (new.admin_epoch, new.epoch) <= (current.admin_epoch, current.epoch) {
            return Err(current);
        }
        if let Some(status) = cib.section(Section::Status).map(|status| status.key()) {
            cib.document_mut().remove(status);
        }
        if let Some(status) = self.cib.section(Section::Status) {
            let root = cib.root().key();
            let source = self.cib.document();
            cib.document_mut().append_copy(root, source, status.key());
        }
        self.take_configuration(cib);
        self.drive();
        Ok(self.cib.version())
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
        let all = dependents::all(&self.cib).into_iter().map(|(id, _)| id);
        let chosen: Vec<String> = all
            .filter(|id| resource.is_none_or(|wanted| wanted == id))
            .collect();
        if let (true, Some(name)) = (chosen.is_empty(), resource) {
            return Err(name.to_owned());
        }
        self.doubtful.extend(chosen.iter().cloned());
        self.drive();
        Ok(chosen)
    }

    /// Stops all resources; [`Effect::Stopped`] tells the end.
    pub fn handle_shutdown(&mut self, now: Now) {
        self.now = now;
        if !self.stopping {
            self.stopping = true;
            self.gate.close();
            let since = now.wall_s.to_string();
            let node = self.node.clone();
            self.cib
                .set_transient_attribute(&node.id, &node.uname, "shutdown", Some(&since));
            self.dirty = true;
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
        self.drive();
    }

    /// When [`Controller::handle_timeout`] must be called, on `CLOCK_BOOTTIME`.
    pub fn next_timeout(&self) -> u64 {
        self.gate
            .next_deadline()
            .map_or(self.recheck_ns, |deadline| deadline.min(self.recheck_ns))
    }

    /// What to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Brings everything up to the present: tickets first, then the transition.
    fn drive(&mut self) {
        self.settle_doubts();
        self.drive_tickets();
        self.reschedule_if_needed();
        self.fire();
        self.finish_shutdown();
    }

    /// Forgets what is known of doubtful resources that have nothing in flight.
    fn settle_doubts(&mut self) {
        let calm = |resource: &String| !self.has_flying(resource);
        let calm: Vec<String> = self.doubtful.iter().filter(|r| calm(r)).cloned().collect();
        for resource in calm {
            self.doubtful.remove(&resource);
            // Late words of its monitors do not count; the executor drops them with the next start.
            self.calls.retain(|_, call| call.resource() != resource);
            let node = self.node.clone();
            self.cib.forget_resource(&node.id, &resource);
            if record::clear_failures(&mut self.cib, &node, &resource) {
                self.effects.push_back(Effect::Keep);
            }
            self.last_failure.remove(&resource);
            self.states.insert(resource, State::Unknown);
            self.dirty = true;
        }
    }

    fn reschedule_if_needed(&mut self) {
        let grants = self.current_grants();
        if grants != self.grants {
            for grant in &grants {
                self.cib
                    .set_ticket_state(&grant.ticket, grant.granted, grant.standby);
            }
            self.grants = grants;
            self.dirty = true;
        }
        if !self.dirty {
            return;
        }
        self.dirty = false;
        let inputs = Inputs {
            now: self.now.wall_s,
            grants: Some(self.grants.clone()),
        };
        let transition = (self.settings.schedule)(&self.cib, &inputs);
        self.diagnostics.clone_from(&transition.diagnostics);
        self.fencing_timeout_ms = fence::timeout_ms(&transition.fencing_timeout);
        self.start_failure_is_fatal = transition.start_failure_is_fatal;
        self.recheck_ns = self.recheck_at(transition.recheck_by);
        self.graph = Graph::new(self.graph.number + 1, transition);
    }

    fn recheck_at(&self, recheck_by: Option<i64>) -> u64 {
        let latest = self.now.boot_ns.saturating_add(RECHECK_NS);
        let seconds = recheck_by.map(|at| at.saturating_sub(self.now.wall_s).max(1).unsigned_abs());
        seconds.map_or(latest, |seconds| {
            latest.min(
                self.now
                    .boot_ns
                    .saturating_add(seconds.saturating_mul(1_000_000_000)),
            )
        })
    }

    fn finish_shutdown(&mut self) {
        let calm = !self.graph.is_busy() && self.calls.values().all(|call| !call.flying);
        if !self.stopping || self.stopped || !calm || self.dirty {
            return;
        }
        let runs = |state: &State| !matches!(state, State::Stopped | State::Unknown);
        let left: Vec<String> = self
            .states
            .iter()
            .filter(|(resource, state)| {
                runs(state)
                    && dependents::not_managed(&self.cib, resource, &self.node.uname).is_none()
            })
            .map(|(resource, _)| resource.clone())
            .collect();
        if left.is_empty() && self.gate.is_disarming() {
            return;
        }
        self.stopped = true;
        self.effects.push_back(Effect::Stopped { left });
    }
}
