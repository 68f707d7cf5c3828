//! A stand-in for the scheduler and for the agents, for tests of the controller alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use cib::{Cib, Element, Section};
use scheduler::{Action, ActionKind, Inputs, NodeName, ResourceName, Synapse, Transition};

use crate::{Controller, Effect, Ending, Holding, Now, OperationResult, Order, Settings, Start};

/// An action on node `n` of an agent `ocf:test:agent`.
pub(crate) fn action(id: u32, resource: &str, operation: &str) -> Action {
    let target_rc = if operation == "monitor" { 7 } else { 0 };
    Action {
        id,
        kind: ActionKind::Resource,
        operation: operation.to_owned(),
        key: format!("{resource}_{operation}_0"),
        internal_key: None,
        node: Some(Arc::new(NodeName {
            uname: "n".into(),
            id: "n".into(),
        })),
        router: None,
        resource: Some(Arc::new(ResourceName {
            id: resource.to_owned(),
            long_id: None,
            class: "ocf".into(),
            provider: Some("test".into()),
            kind: "agent".into(),
        })),
        attributes: [("CRM_meta_timeout", "20000")].into_iter().collect(),
        interval_ms: 0,
        timeout_ms: 20_000,
        target_rc,
        downed: Vec::new(),
        can_fail: false,
    }
}

/// Enough of a scheduler for primitives, tickets with policy stop, and shutdown: probe what is
/// unknown, stop what may not run or has failed, start the rest, watch what runs.
pub(crate) fn stand_in(cib: &Cib, inputs: &Inputs) -> Transition {
    let mut transition = Transition {
        start_failure_is_fatal: true,
        ..Transition::default()
    };
    let Some(resources) = cib.section(Section::Resources) else {
        return transition;
    };
    let text = cib.to_text();
    let shutdown = text.contains("name=\"shutdown\"");
    for primitive in resources.children_named("primitive") {
        plan(
            cib,
            inputs,
            shutdown,
            primitive.id(),
            &mut transition.synapses,
        );
    }
    transition
}

fn plan(cib: &Cib, inputs: &Inputs, shutdown: bool, id: &str, out: &mut Vec<Synapse>) {
    let mut add = |operation: &str, interval_ms: u32, inputs: &[u32]| {
        let number = u32::try_from(out.len() + 1).unwrap();
        let mut action = action(number, id, operation);
        if interval_ms > 0 {
            action.interval_ms = interval_ms;
            action.key = format!("{id}_{operation}_{interval_ms}");
            action.target_rc = 0;
        }
        out.push(Synapse {
            priority: 0,
            action,
            inputs: inputs.to_vec(),
        });
        number
    };
    let history = history(cib, id);
    let last = |name: &str| history.iter().find(|op| op.id() == format!("{id}_{name}"));
    let banned = cib.to_text().contains(&format!("fail-count-{id}#start_0"));
    let wanted = allowed(cib, inputs, id) && !shutdown && !banned;
    let Some(one_shot) = last("last_0") else {
        let probe = add("monitor", 0, &[]);
        if wanted {
            let start = add("start", 0, &[probe]);
            add("monitor", 1000, &[start]);
        }
        return;
    };
    let word = |op: &Element<'_>, name: &str| op.attr(name).unwrap_or_default().to_owned();
    let number = |op: &Element<'_>| word(op, "call-id").parse::<i32>().unwrap();
    let (operation, rc) = (word(one_shot, "operation"), word(one_shot, "rc-code"));
    let watched = last("monitor_1000").filter(|op| number(op) > number(one_shot));
    let monitor_failed = watched.is_some_and(|op| word(op, "rc-code") != "0");
    let ok = rc == "0" && word(one_shot, "op-status") == "0";
    let active = match operation.as_str() {
        "stop" => !ok,
        "monitor" => ok,
        _ => true,
    };
    let failed = monitor_failed || (operation == "start" && !ok);
    let stop_failed = operation == "stop" && !ok;
    if stop_failed {
        return;
    }
    if active && (!wanted || failed) {
        let stop = add("stop", 0, &[]);
        if wanted {
            let start = add("start", 0, &[stop]);
            add("monitor", 1000, &[start]);
        }
    } else if !active && wanted {
        let start = add("start", 0, &[]);
        add("monitor", 1000, &[start]);
    } else if active && watched.is_none() {
        add("monitor", 1000, &[]);
    }
}

fn allowed(cib: &Cib, inputs: &Inputs, id: &str) -> bool {
    let grants = inputs.grants.as_deref().unwrap_or_default();
    let constraints = cib.section(Section::Constraints).unwrap();
    constraints
        .children_named("rsc_ticket")
        .filter(|c| c.attr("rsc") == Some(id))
        .all(|c| {
            let ticket = c.attr("ticket").unwrap();
            grants
                .iter()
                .any(|g| g.ticket == ticket && g.granted && !g.standby)
        })
}

fn history<'a>(cib: &'a Cib, id: &str) -> Vec<Element<'a>> {
    let status = cib.section(Section::Status).unwrap();
    let resource = status
        .descendants()
        .find(|e| e.name() == "lrm_resource" && e.id() == id);
    resource.map(|r| r.children().collect()).unwrap_or_default()
}

/// One node with agents that keep a state, and a guard that says yes.
pub(crate) struct Bench {
    pub(crate) controller: Controller,
    pub(crate) now: Now,
    /// What the agents would find.
    pub(crate) running: BTreeMap<String, bool>,
    /// Operations that are not answered, by `RESOURCE ACTION`.
    pub(crate) hang: Vec<String>,
    pub(crate) fail: Vec<String>,
    pub(crate) hanging: Vec<Order>,
    pub(crate) guard_answers: bool,
    pub(crate) log: Vec<String>,
    pub(crate) orders: Vec<Order>,
}

impl Bench {
    pub(crate) fn new(cib: &str, start: Start) -> Self {
        let settings = Settings {
            node: "n".into(),
            uuid: "u".into(),
            schedule: stand_in,
            tickets: true,
        };
        let now = Now {
            boot_ns: 1000,
            wall_s: 1_700_000_000,
        };
        let cib = Cib::parse(cib, None).unwrap();
        Self {
            controller: Controller::new(settings, cib, start, now),
            now,
            running: BTreeMap::new(),
            hang: Vec::new(),
            fail: Vec::new(),
            hanging: Vec::new(),
            guard_answers: true,
            log: Vec::new(),
            orders: Vec::new(),
        }
    }

    /// Lets everything happen that can without time passing.
    pub(crate) fn run(&mut self) -> &mut Self {
        self.controller.handle_timeout(self.now);
        while let Some(effect) = self.controller.poll_effect() {
            self.effect(effect);
        }
        self
    }

    pub(crate) fn at(&mut self, boot_ns: u64) -> &mut Self {
        self.now.boot_ns = boot_ns;
        self.run()
    }

    /// What was done since the last call.
    pub(crate) fn did(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Run(order) => {
                let name = format!("{} {}", order.resource, order.action);
                let every = if order.interval_ms > 0 {
                    " recurring"
                } else {
                    ""
                };
                self.log.push(format!("{name}{every}"));
                self.orders.push(order.clone());
                if self.hang.contains(&name) {
                    self.hanging.push(order);
                } else {
                    self.answer(&order);
                }
            }
            Effect::Abort { call, .. } => {
                self.log.push("abort".to_owned());
                self.hanging.retain(|order| order.call != call);
                self.result(call, Ending::Cancelled, 1);
            }
            Effect::Arm { holding, .. } => {
                self.log.push(format!("arm {}", holding.term));
                if self.guard_answers {
                    self.controller.handle_armed(self.now, &holding, Ok(()));
                }
            }
            Effect::Disarm(holding) => {
                self.log.push(format!("disarm {}", holding.term));
                self.controller.handle_disarmed(self.now, &holding, Ok(()));
            }
            Effect::Cancel { call, .. } => self.controller.handle_cancelled(self.now, call),
            Effect::Stopped { left } => self.log.push(format!("stopped {}", left.join(","))),
            Effect::Fence(order) => self.log.push(format!("fence {}", order.target)),
            Effect::Fire(holding) => self.log.push(format!("fire {}", holding.term)),
            Effect::Send(_) | Effect::Store { .. } | Effect::Lost(_) | Effect::Answer { .. } => {
                panic!("a node alone has nobody to tell")
            }
            Effect::Keep | Effect::Operation { .. } | Effect::Log(_) => {}
        }
    }

    fn answer(&mut self, order: &Order) {
        let name = format!("{} {}", order.resource, order.action);
        let failed = self.fail.contains(&name);
        let running = self.running.entry(order.resource.clone()).or_default();
        let rc = match order.action.as_str() {
            _ if failed => 1,
            "monitor" => {
                if *running {
                    0
                } else {
                    7
                }
            }
            "start" => {
                *running = true;
                0
            }
            "stop" => {
                *running = false;
                0
            }
            other => panic!("{other}"),
        };
        self.result(order.call, Ending::Complete, rc);
    }

    pub(crate) fn result(&mut self, call: u64, ending: Ending, rc: u8) {
        let result = OperationResult {
            ending,
            rc,
            reason: String::new(),
            exec_ms: 1,
            queue_ms: 0,
        };
        self.controller.handle_result(self.now, call, result);
    }

    /// The recurring monitor of a resource tells a change.
    pub(crate) fn monitor_tells(&mut self, resource: &str, rc: u8) {
        let monitor = |order: &&Order| order.resource == resource && order.interval_ms > 0;
        let call = self.orders.iter().rev().find(monitor).unwrap().call;
        self.result(call, Ending::Complete, rc);
        self.run();
    }

    pub(crate) fn guard_up(&mut self, armed: &[(&str, u64)]) -> &mut Self {
        let holding = |(ticket, term): &(&str, u64)| Holding {
            ticket: (*ticket).into(),
            term: *term,
        };
        self.controller
            .handle_guard_up(self.now, armed.iter().map(holding).collect());
        self.run()
    }
}
