//! This node's part: running what the coordinator orders, and telling what came of it.

use replica::{Change, Command, Ended, OrderId};

use crate::call::{Call, changes_state};
use crate::controller::Controller;
use crate::record;
use crate::types::{Effect, Ending, OperationResult, Order, State};

impl Controller {
    /// Something about the resource is under way on this node.
    pub(crate) fn has_flying(&self, resource: &str) -> bool {
        self.calls
            .values()
            .any(|call| (call.flying || call.owed) && call.resource() == resource)
    }

    /// Runs what was ordered.
    pub(crate) fn carry_out(&mut self, command: Command) {
        let gives_way = changes_state(&command.operation);
        let conflict = |call: &&mut Call| {
            let monitors = call.command.interval_ms > 0;
            call.flying && call.resource() == command.resource && !(monitors && gives_way)
        };
        if let Some(call) = self.calls.values_mut().find(conflict) {
            if call.command.is_same(&command) && !call.aborted {
                // Ordered again by a coordinator that did not know: it runs once.
                call.command.order = command.order;
                return;
            }
            let why = format!("{} is under way", call.command.key);
            return self.not_done(&command, why);
        }
        if command.operation == "cancel" {
            self.cancel(command);
        } else {
            self.order(command);
        }
    }

    fn not_done(&mut self, command: &Command, why: String) {
        self.effects
            .push_back(Effect::Log(format!("{}: not done, {why}", command.key)));
        self.replica.propose(Change::NotDone {
            order: command.order,
            why,
        });
    }

    fn new_call(&mut self, command: &Command) -> u64 {
        let call = self.next_call;
        self.next_call += 1;
        let entry = Call {
            command: command.clone(),
            flying: true,
            owed: true,
            aborted: false,
        };
        self.calls.insert(call, entry);
        call
    }

    fn order(&mut self, command: Command) {
        let resource = command.resource.clone();
        let begins = matches!(command.operation.as_str(), "start" | "promote");
        let gates = if begins {
            match self.gates_to_begin(&resource, &command.operation) {
                Ok(gates) => gates,
                Err(ticket) => {
                    // The deadline passed, or the guard went, since the scheduler was asked; the next
                    // drive sees it.
                    return self.not_done(&command, format!("ticket {ticket} is not held"));
                }
            }
        } else {
            self.gate.started_under(&resource)
        };
        if begins && self.gate.note_started(&resource, &gates) {
            self.effects.push_back(Effect::Keep);
        }
        if changes_state(&command.operation) {
            self.calls
                .retain(|_, call| call.resource() != resource || call.command.interval_ms == 0);
        } else if command.interval_ms > 0 {
            self.calls.retain(|_, call| call.command.key != command.key);
        }
        let call = self.new_call(&command);
        self.effects.push_back(Effect::Run(Order {
            call,
            resource,
            class: command.class,
            provider: command.provider,
            kind: command.kind,
            action: command.operation,
            interval_ms: command.interval_ms,
            timeout_ms: command.timeout_ms,
            attributes: command.attributes,
            gates,
        }));
    }

    fn cancel(&mut self, command: Command) {
        let (what, interval_ms) = cancelled(&command);
        let resource = command.resource.clone();
        self.calls.retain(|_, call| {
            call.resource() != resource
                || call.command.operation != what
                || call.command.interval_ms != interval_ms
        });
        let call = self.new_call(&command);
        self.effects.push_back(Effect::Cancel {
            call,
            resource,
            action: what,
            interval_ms,
        });
    }

    pub(crate) fn operation_cancelled(&mut self, call: u64) {
        let Some(known) = self.calls.get_mut(&call) else {
            return;
        };
        known.flying = false;
        let (what, interval_ms) = cancelled(&known.command);
        let (order, resource) = (known.command.order, known.resource().to_owned());
        self.replica.propose(Change::Cancelled {
            order,
            node: self.node.clone(),
            record: format!("{resource}_{what}_{interval_ms}"),
            resource,
        });
    }

    pub(crate) fn operation_ended(&mut self, call: u64, result: OperationResult) {
        let Some(known) = self.calls.get_mut(&call) else {
            // A monitor that a stop has ended meanwhile.
            return;
        };
        known.flying = false;
        known.owed = true;
        let known = known.clone();
        let command = &known.command;
        let resource = known.resource().to_owned();
        let state = self.states.entry(resource.clone()).or_default();
        *state = record::state_after(*state, command, &result);
        let state = *state;
        self.note_terms(&resource, command, state);
        let success = record::succeeded(command, &result);
        let counts = record::counts_as_failure(command, &result) && !known.aborted;
        if counts || !success && state == State::Stopped && !matches!(result.rc, 0 | 7) {
            // A failure, or a probe that says why nothing can run here.
            self.last_failure
                .insert(resource.clone(), failure_text(command, &result));
        }
        let wall_s = self.now.wall_s;
        let ended = Ended {
            order: command.order,
            node: self.node.clone(),
            record: record::operation(command, call, wall_s, &result),
            success,
            failure: counts.then(|| record::failure(command)),
            wall_s,
        };
        self.replica.propose(Change::Ended(Box::new(ended)));
        self.effects.push_back(Effect::Operation {
            resource,
            action: command.operation.clone(),
            interval_ms: command.interval_ms,
            result,
        });
    }

    /// A result of this node is in the CIB.
    pub(crate) fn settle_call(&mut self, order: OrderId) {
        self.calls.retain(|_, call| {
            if call.command.order == order && !call.flying {
                call.owed = false;
            }
            call.flying || call.owed || call.command.interval_ms > 0
        });
    }

    /// Operations of this node whose result is not in the CIB.
    pub(crate) fn owed(&self) -> Vec<Command> {
        let owed = self.calls.values().filter(|call| call.flying || call.owed);
        owed.map(|call| call.command.clone()).collect()
    }

    fn note_terms(&mut self, resource: &str, command: &Command, state: State) {
        let mut news = false;
        if state == State::Stopped {
            news = self.gate.note_stopped(resource);
        } else if command.operation == "demote" && state == State::Started {
            let promoted = self.gated_promotion(resource);
            for ticket in promoted {
                news |= self.gate.note_demoted(resource, &ticket);
            }
        }
        if news {
            self.effects.push_back(Effect::Keep);
        }
    }

    /// Tells what starts or promotes under tickets that are not held any more to end: waiting for its
    /// own timeout could take longer than the lease allows.
    pub(crate) fn abort_what_lost_its_ticket(&mut self) {
        let mut aborts = Vec::new();
        for (id, call) in &self.calls {
            let begins = matches!(call.command.operation.as_str(), "start" | "promote");
            if call.flying && !call.aborted && begins && self.lost_its_ticket(call.resource()) {
                aborts.push((*id, call.resource().to_owned()));
            }
        }
        for (call, resource) in aborts {
            self.abort(call, resource);
        }
    }

    fn abort(&mut self, call: u64, resource: String) {
        if let Some(known) = self.calls.get_mut(&call) {
            known.aborted = true;
            self.aborted.insert(known.command.order);
        }
        self.effects.push_back(Effect::Abort { call, resource });
    }

    /// The coordinator wants an order ended.
    pub(crate) fn abort_order(&mut self, order: OrderId) {
        let ours =
            |(_, call): &(&u64, &Call)| call.command.order == order && call.flying && !call.aborted;
        let found = self.calls.iter().find(ours);
        if let Some((call, resource)) = found.map(|(id, call)| (*id, call.resource().to_owned())) {
            self.abort(call, resource);
        }
    }
}

/// Which recurring operation a cancellation is about.
fn cancelled(command: &Command) -> (String, u32) {
    let what = command.attribute("CRM_meta_operation").unwrap_or("monitor");
    let interval = command
        .attribute("CRM_meta_interval")
        .and_then(|text| text.parse().ok());
    (what.to_owned(), interval.unwrap_or(command.interval_ms))
}

fn failure_text(command: &Command, result: &OperationResult) -> String {
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
    format!(
        "{} of {}: {how}{reason}",
        command.operation, command.resource
    )
}
