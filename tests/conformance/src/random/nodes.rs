//! Options, nodes, defaults and the first status.

use cib::{ElementId, Section};

use super::sketch::{Feature, NOW, Sketch};

pub(super) fn options(s: &mut Sketch) {
    let fencing = s.has(Feature::Fencing) || s.has(Feature::Unfencing);
    let word = if fencing || s.dice.chance(4) {
        "true"
    } else {
        "false"
    };
    s.option("stonith-enabled", word);
    if s.has(Feature::OptIn) {
        s.option("symmetric-cluster", "false");
    }
    if s.uses(Feature::Quorum, 80) {
        let word = s
            .dice
            .word(&["stop", "freeze", "ignore", "demote", "suicide"]);
        s.option("no-quorum-policy", word);
        if s.dice.chance(60) {
            let root = s.cib.root().key();
            s.set(root, "have-quorum", "0");
        }
    }
    if s.has(Feature::Utilization) {
        let word = s.dice.word(&["utilization", "minimal", "balanced"]);
        s.option("placement-strategy", word);
    }
    if s.has(Feature::Health) {
        let word = s.dice.word(&[
            "migrate-on-red",
            "only-green",
            "progressive",
            "custom",
            "none",
        ]);
        s.option("node-health-strategy", word);
        if s.dice.chance(50) {
            s.option("node-health-base", "50");
            s.option("node-health-yellow", "-20");
        }
    }
    if s.has(Feature::ShutdownLock) {
        s.option("shutdown-lock", "true");
        if s.dice.chance(40) {
            s.option("shutdown-lock-limit", "30min");
        }
    }
    fencing_options(s);
    few_options(s);
}

fn fencing_options(s: &mut Sketch) {
    if s.uses(Feature::Fencing, 25) {
        s.option("priority-fencing-delay", "15s");
    }
    if s.dice.chance(97) {
        // What is left out here means one thing in version 2 and another in version 3.
        let word = s.dice.word(&["true", "true", "false"]);
        s.option("concurrent-fencing", word);
    }
    if s.uses(Feature::Fencing, 20) {
        s.option("stonith-action", "off");
    }
    if s.uses(Feature::Fencing, 15) {
        s.option("startup-fencing", "false");
    }
    if s.uses(Feature::Fencing, 5) {
        s.option("have-watchdog", "true");
        s.option("stonith-watchdog-timeout", "10s");
    }
}

fn few_options(s: &mut Sketch) {
    let rare = [
        (Feature::Maintenance, "maintenance-mode", "true", 10),
        (Feature::Threshold, "start-failure-is-fatal", "false", 30),
        (Feature::Defaults, "stop-all-resources", "true", 4),
        (Feature::Discovery, "enable-startup-probes", "false", 15),
        (Feature::Defaults, "stop-orphan-resources", "false", 10),
        (Feature::Defaults, "stop-orphan-actions", "false", 10),
    ];
    for (feature, name, value, percent) in rare {
        if s.uses(feature, percent) {
            s.option(name, value);
        }
    }
}

pub(super) fn defaults(s: &mut Sketch) {
    if s.uses(Feature::Stickiness, 60) {
        let section = s.section(Section::ResourceDefaults);
        let value = s.dice.word(&["1", "100", "INFINITY", "0"]);
        s.block(
            section,
            "meta_attributes",
            &[("resource-stickiness", value)],
        );
    }
    if !s.has(Feature::Defaults) {
        return;
    }
    if s.dice.chance(50) {
        let section = s.section(Section::OperationDefaults);
        let block = s.block(section, "meta_attributes", &[]);
        if s.dice.chance(40) {
            let id = s.id("rule");
            let rule = s.add(block, "rule", &[("id", &id), ("score", "INFINITY")]);
            let id = s.id("expr");
            s.add(rule, "op_expression", &[("id", &id), ("name", "monitor")]);
        }
        let timeout = s.dice.word(&["30s", "1min", "45"]);
        s.pair(block, "timeout", timeout);
        if s.uses(Feature::OnFail, 30) {
            s.pair(block, "on-fail", "stop");
        }
    }
    if s.dice.chance(50) {
        let section = s.section(Section::ResourceDefaults);
        let block = s.block(section, "meta_attributes", &[]);
        let id = s.id("rule");
        let rule = s.add(block, "rule", &[("id", &id), ("score", "INFINITY")]);
        let id = s.id("expr");
        let kind = s.dice.word(&["Dummy", "Stateful"]);
        s.add(
            rule,
            "rsc_expression",
            &[
                ("id", &id),
                ("class", "ocf"),
                ("provider", "pacemaker"),
                ("type", kind),
            ],
        );
        s.pair(block, "priority", "7");
    }
}

/// Cluster nodes with their attributes.
pub(super) fn nodes(s: &mut Sketch) {
    let count = s.dice.range(1, 5).max(s.dice.range(1, 4));
    let section = s.section(Section::Nodes);
    for number in 1..=count {
        let name = format!("node{number}");
        let id = number.to_string();
        let node = s.add(section, "node", &[("id", &id), ("uname", &name)]);
        s.nodes.push(name);
        node_details(s, node);
    }
}

/// Attributes and utilization of a node.
pub(super) fn node_details(s: &mut Sketch, node: ElementId) {
    let known = s.has(Feature::Attribute);
    if known || s.uses(Feature::Rule, 60) {
        let region = s.dice.word(&["a", "b", "c"]);
        s.value(node, "instance_attributes", "region", region);
        if known || s.dice.chance(40) {
            let rack = s.dice.range(1, 12).to_string();
            s.value(node, "instance_attributes", "rack", &rack);
        }
    }
    if s.uses(Feature::Standby, 25) {
        s.value(node, "instance_attributes", "standby", "on");
    }
    if s.uses(Feature::Maintenance, 15) {
        s.value(node, "instance_attributes", "maintenance", "true");
    }
    if s.uses(Feature::Utilization, 90) {
        let cpu = s.dice.range(1, 8).to_string();
        s.value(node, "utilization", "cpu", &cpu);
        if s.dice.chance(60) {
            let memory = s.dice.range(2, 16).to_string();
            s.value(node, "utilization", "memory", &memory);
        }
    }
}

/// The state in which the cluster nodes are at first.
pub(super) fn first_status(s: &mut Sketch) {
    let status = s.section(Section::Status);
    for index in 0..s.nodes.len() {
        if index > 0 && s.dice.chance(3) {
            continue;
        }
        let (name, id) = (s.nodes[index].clone(), (index + 1).to_string());
        let lost = index > 0 && s.dice.chance(6);
        let (member, crmd, join) = if lost {
            ("false", "offline", "down")
        } else {
            ("true", "online", "member")
        };
        let expected = if lost && s.dice.chance(50) {
            "down"
        } else {
            "member"
        };
        let state = s.add(
            status,
            "node_state",
            &[
                ("id", &id),
                ("uname", &name),
                ("in_ccm", member),
                ("crmd", crmd),
                ("join", join),
                ("expected", expected),
            ],
        );
        transient(s, state, &id);
    }
    tickets(s);
}

fn transient(s: &mut Sketch, state: ElementId, id: &str) {
    let outer = s.add(state, "transient_attributes", &[("id", id)]);
    let block = s.block(outer, "instance_attributes", &[]);
    if s.uses(Feature::Health, 50) {
        let word = s.dice.word(&["red", "yellow", "green", "-30", "20"]);
        s.pair(block, "#health-disk", word);
    }
    if s.uses(Feature::Standby, 8) {
        s.pair(block, "standby", "on");
    }
    let promotable: Vec<String> = (s.resources.iter().filter(|r| r.promotable))
        .map(|r| r.id.clone())
        .collect();
    for id in promotable {
        if s.dice.chance(70) {
            let score = s.dice.range(1, 20).to_string();
            s.pair(block, &format!("master-{id}"), &score);
        }
    }
}

fn tickets(s: &mut Sketch) {
    let tickets = s.tickets.clone();
    if tickets.is_empty() {
        return;
    }
    let status = s.section(Section::Status);
    let list = s.add(status, "tickets", &[]);
    for ticket in tickets {
        if s.dice.chance(15) {
            continue;
        }
        let granted = if s.dice.chance(65) { "true" } else { "false" };
        let state = s.add(
            list,
            "ticket_state",
            &[("id", &ticket), ("granted", granted)],
        );
        if s.dice.chance(25) {
            s.set(state, "standby", "true");
        }
        if s.dice.chance(50) {
            s.set(state, "last-granted", &(NOW - 100_000).to_string());
        }
    }
}
