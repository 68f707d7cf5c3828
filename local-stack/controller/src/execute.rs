//! Carrying out a transition's actions and taking in their results.

use scheduler::{Action, ActionKind};

use crate::call::{Call, name};
use crate::controller::Controller;
use crate::record;
use crate::types::{Effect, Ending, OperationResult, Order, State};

/// Operations that change what the resource is: any monitor ends before them.
fn changes_state(operation: &str) -> bool {
    matches!(
        operation,
        "start" | "stop" | "promote" | "demote" | "migrate_to" | "migrate_from"
    )
}

impl Controller {
    pub(crate) fn has_flying(&self, resource: &str) -> bool {
        self.calls
            .values()
            .any(|call| call.flying && call.resource() == resource)
    }

    /// Fires everything that can be.
    pub(crate) fn fire(&mut self) {
        while let Some(action) = self.graph.next_ready() {
            match action.kind {
                ActionKind::Pseudo => self.graph.confirm(action.id),
                ActionKind::Cluster => self.cluster_action(&action),
                ActionKind::Resource => self.resource_action(action),
            }
        }
    }

    fn resource_action(&mut self, action: Action) {
        let here = action
            .node
            .as_ref()
            .is_none_or(|node| node.uname == self.node.uname);
        if !here {
            let text = format!("{} belongs to another node: not done", action.key);
            self.effects.push_back(Effect::Log(text));
            return self.graph.fail(action.id);
        }
        let resource = name(&action).to_owned();
        let busy = |call: &&(u64, Call)| call.1.flying && call.1.resource() == resource;
        let flying: Vec<(u64, Call)> = self.calls.iter().map(|(id, c)| (*id, c.clone())).collect();
        let flying: Vec<&(u64, Call)> = flying.iter().filter(busy).collect();
        if let Some((call, _)) = flying.iter().find(|(_, call)| {
            call.action.key == action.key
                && call.action.operation == action.operation
                && call.action.attributes == action.attributes
                && !call.aborted
        }) {
            // The same operation is under way already: its result counts for this transition.
            let call = *call;
            if let Some(known) = self.calls.get_mut(&call) {
                known.action = action.clone();
                known.transition = self.graph.number;
            }
            return self.graph.fly(action.id, call);
        }
        let only_monitors = flying.iter().all(|(_, call)| call.action.interval_ms > 0);
        let gives_way = only_monitors && changes_state(&action.operation);
        if !flying.is_empty() && !gives_way {
            return self.graph.hold(action.id);
        }
        match action.operation.as_str() {
            "cancel" => self.cancel(action),
            "delete" => {
                self.cib.forget_resource(&self.node.id, &resource);
                self.graph.confirm(action.id);
            }
            _ => self.order(action),
        }
    }

    fn new_call(&mut self, action: &Action) -> u64 {
        let call = self.next_call;
        self.next_call += 1;
        self.graph.fly(action.id, call);
        let transition = self.graph.number;
        let entry = Call {
            action: action.clone(),
            transition,
            flying: true,
            aborted: false,
        };
        self.calls.insert(call, entry);
        call
    }

    fn order(&mut self, action: Action) {
        let resource = name(&action).to_owned();
        let begins = matches!(action.operation.as_str(), "start" | "promote");
        let gates = if begins {
            match self.gates_to_begin(&resource, &action.operation) {
                Ok(gates) => gates,
                Err(ticket) => {
                    // The deadline passed, or the guard went, since the scheduler was asked; the next
                    // drive sees it.
                    let text = format!("{}: not done, ticket {ticket} is not held", action.key);
                    self.effects.push_back(Effect::Log(text));
                    return self.graph.fail(action.id);
                }
            }
        } else {
            self.gate.started_under(&resource)
        };
        if begins && self.gate.note_started(&resource, &gates) {
            self.effects.push_back(Effect::Keep);
        }
        if changes_state(&action.operation) {
            self.calls
                .retain(|_, call| call.resource() != resource || call.action.interval_ms == 0);
        } else if action.interval_ms > 0 {
            self.calls.retain(|_, call| call.action.key != action.key);
        }
        let call = self.new_call(&action);
        let agent = action.resource.as_deref().cloned().unwrap_or_default();
        self.effects.push_back(Effect::Run(Order {
            call,
            resource,
            class: agent.class,
            provider: agent.provider,
            kind: agent.kind,
            action: action.operation,
            interval_ms: action.interval_ms,
            timeout_ms: action.timeout_ms,
            attributes: action.attributes.to_vec(),
            gates,
        }));
    }

    fn cancel(&mut self, action: Action) {
        let resource = name(&action).to_owned();
        let what = action
            .attribute("CRM_meta_operation")
            .unwrap_or("monitor")
            .to_owned();
        let interval = action
            .attribute("CRM_meta_interval")
            .and_then(|text| text.parse().ok());
        let interval_ms = interval.unwrap_or(action.interval_ms);
        self.calls.retain(|_, call| {
            call.resource() != resource
                || call.action.operation != what
                || call.action.interval_ms != interval_ms
        });
        let call = self.new_call(&action);
        self.effects.push_back(Effect::Cancel {
            call,
            resource,
            action: what,
            interval_ms,
        });
    }

    pub(crate) fn operation_cancelled(&mut self, call: u64) {
        let Some(known) = self.calls.remove(&call) else {
            return;
        };
        let resource = known.resource().to_owned();
        let action = &known.action;
        let what = action.attribute("CRM_meta_operation").unwrap_or("monitor");
        let interval = action
            .attribute("CRM_meta_interval")
            .map_or_else(|| action.interval_ms.to_string(), str::to_owned);
        let id = format!("{resource}_{what}_{interval}");
        self.cib.forget_operation(&self.node.id, &resource, &id);
        self.confirm_or_reschedule(call, true);
    }

    fn confirm_or_reschedule(&mut self, call: u64, success: bool) {
        match self.graph.action_of(call).map(|action| action.id) {
            Some(id) if success => self.graph.confirm(id),
            Some(id) => {
                self.graph.fail(id);
                self.dirty = true;
            }
            None => self.dirty = true,
        }
    }

    pub(crate) fn operation_ended(&mut self, call: u64, result: OperationResult) {
        let Some(known) = self.calls.get_mut(&call) else {
            // A monitor that a stop has ended meanwhile.
            return;
        };
        known.flying = false;
        let known = known.clone();
        let action = &known.action;
        let resource = known.resource().to_owned();
        if action.interval_ms == 0 {
            self.calls.remove(&call);
        }
        let state = self.states.entry(resource.clone()).or_default();
        *state = record::state_after(*state, action, &result);
        let state = *state;
        self.note_terms(&resource, action, state);
        let written = record::operation(
            action,
            known.transition,
            &self.settings.uuid,
            call,
            self.now.wall_s,
            &result,
        );
        let node = self.node.clone();
        self.cib.record_operation(&node.id, &node.uname, &written);
        let success = record::succeeded(action, &result);
        if record::counts_as_failure(action, &result) && !known.aborted {
            let fatal = self.start_failure_is_fatal;
            record::count_failure(&mut self.cib, &node, action, fatal, self.now.wall_s);
            self.effects.push_back(Effect::Keep);
            self.last_failure
                .insert(resource.clone(), failure_text(action, &result));
        } else if !success && state == State::Stopped && !matches!(result.rc, 0 | 7) {
            // A probe that says why nothing can run here.
            self.last_failure
                .insert(resource.clone(), failure_text(action, &result));
        }
        self.effects.push_back(Effect::Operation {
            resource,
            action: action.operation.clone(),
            interval_ms: action.interval_ms,
            result,
        });
        self.confirm_or_reschedule(call, success);
    }

    fn note_terms(&mut self, resource: &str, action: &Action, state: State) {
        let mut news = false;
        if state == State::Stopped {
            news = self.gate.note_stopped(resource);
        } else if action.operation == "demote" && state == State::Started {
            let promoted = self.gated_promotion(resource);
            for ticket in promoted {
                news |= self.gate.note_demoted(resource, &ticket);
            }
        }
        if news {
            self.effects.push_back(Effect::Keep);
        }
    }

    fn cluster_action(&mut self, action: &Action) {
        match action.operation.as_str() {
            "clear_failcount" => {
                let node = self.node.clone();
                if record::clear_failures(&mut self.cib, &node, name(action)) {
                    self.effects.push_back(Effect::Keep);
                }
                self.last_failure.remove(name(action));
                self.graph.confirm(action.id);
            }
            "lrm_delete" => {
                self.cib.forget_resource(&self.node.id, name(action));
                self.graph.confirm(action.id);
            }
            "do_shutdown" => self.graph.confirm(action.id),
            "stonith" => self.fence(action),
            other => {
                self.effects
                    .push_back(Effect::Log(format!("{other}: not known, not done")));
                self.graph.fail(action.id);
            }
        }
    }

    /// Tells what starts or promotes under tickets that are not held any more to end: waiting for its
    /// own timeout could take longer than the lease allows.
    pub(crate) fn abort_what_lost_its_ticket(&mut self) {
        let mut aborts = Vec::new();
        for (id, call) in &self.calls {
            let begins = matches!(call.action.operation.as_str(), "start" | "promote");
            if call.flying && !call.aborted && begins && self.lost_its_ticket(call.resource()) {
                aborts.push((*id, call.resource().to_owned()));
            }
        }
        for (call, resource) in aborts {
            if let Some(known) = self.calls.get_mut(&call) {
                known.aborted = true;
            }
            self.effects.push_back(Effect::Abort { call, resource });
        }
    }
}

fn failure_text(action: &Action, result: &OperationResult) -> String {
    let how = match result.ending {
        Ending::Complete => format!("exit code {}", result.rc),
        Ending::Timeout => "timed out".to_owned(),
        Ending::NotInstalled => "not installed".to_owned(),
        Ending::Error => format!("could not be run (exit code {})", result.rc),
        Ending::Cancelled => "was ended".to_owned(),
    };
    let reason = if result.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", result.reason)
    };
    format!("{} of {}: {how}{reason}", action.operation, name(action))
}
