//! Random resources.

use cib::{ElementId, Section};

use super::rules;
use super::sketch::{Feature, Kind, Resource, Sketch};

/// All resources of a cluster.
pub(super) fn resources(s: &mut Sketch) {
    let section = s.section(Section::Resources);
    if s.has(Feature::Template) {
        template(s, section);
    }
    devices(s, section);
    let most = if s.dice.chance(15) { 8 } else { 4 };
    for _ in 0..s.dice.range(1, most) {
        top(s, section);
    }
    if s.has(Feature::Remote) {
        for number in 1..=s.dice.range(1, 2) {
            remote(s, section, number);
        }
    }
    if s.has(Feature::Tag) {
        tag(s);
    }
}

fn top(s: &mut Sketch, section: ElementId) {
    if s.uses(Feature::Bundle, 45) {
        super::bundle::bundle(s, section);
    } else if s.uses(Feature::Promotable, 50) {
        clone(s, section, true);
    } else if s.uses(Feature::Clone, 45) {
        clone(s, section, false);
    } else if s.uses(Feature::Group, 60) {
        group(s, section, true);
    } else {
        let rsc = primitive(s, section, true, false);
        if s.uses(Feature::Guest, 50) {
            let name = format!("guest{}", s.remotes.len() + 1);
            s.value(rsc, "meta_attributes", "remote-node", &name);
            s.remotes.push(name);
        }
    }
}

fn template(s: &mut Sketch, section: ElementId) {
    let template = s.add(
        section,
        "template",
        &[
            ("id", "tmpl"),
            ("class", "ocf"),
            ("provider", "pacemaker"),
            ("type", "Dummy"),
        ],
    );
    s.block(template, "instance_attributes", &[("fake", "template")]);
    meta(s, template, false);
    operations(s, template, "tmpl", false);
}

fn record(s: &mut Sketch, id: &str, kind: Kind, promotable: bool, top: bool, element: ElementId) {
    s.resources.push(Resource {
        id: id.to_owned(),
        kind,
        promotable,
        top,
        element,
    });
}

/// A primitive; the agent of a promotable one knows roles.
pub(super) fn primitive(
    s: &mut Sketch,
    parent: ElementId,
    top: bool,
    promotable: bool,
) -> ElementId {
    let id = s.id("rsc");
    let element = s.add(parent, "primitive", &[("id", &id)]);
    if !promotable && s.uses(Feature::Template, 40) {
        s.set(element, "template", "tmpl");
    } else {
        let agents: &[&[(&str, &str)]] = &[
            &[
                ("class", "ocf"),
                ("provider", "pacemaker"),
                ("type", "Dummy"),
            ],
            &[
                ("class", "ocf"),
                ("provider", "heartbeat"),
                ("type", "IPaddr2"),
            ],
            &[("class", "systemd"), ("type", "unit")],
            &[("class", "lsb"), ("type", "script")],
            &[
                ("class", "ocf"),
                ("provider", "pacemaker"),
                ("type", "Stateful"),
            ],
        ];
        let which = match s.dice.below(10) {
            _ if promotable => 4,
            0 => 2,
            1 => 3,
            2 | 3 => 1,
            _ => 0,
        };
        for (name, value) in agents[which] {
            s.set(element, name, value);
        }
    }
    parameters(s, element);
    meta(s, element, false);
    operations(s, element, &id, promotable);
    if s.uses(Feature::Utilization, 80) {
        let cpu = s.dice.range(1, 4).to_string();
        s.value(element, "utilization", "cpu", &cpu);
        if s.dice.chance(50) {
            let memory = s.dice.range(1, 8).to_string();
            s.value(element, "utilization", "memory", &memory);
        }
    }
    record(s, &id, Kind::Primitive, promotable && top, top, element);
    element
}

fn parameters(s: &mut Sketch, element: ElementId) {
    if s.dice.chance(50) {
        let value = s.dice.word(&["one", "two"]);
        s.block(element, "instance_attributes", &[("fake", value)]);
    }
    if s.uses(Feature::Rule, 20) {
        let block = s.block(element, "instance_attributes", &[]);
        s.set(block, "score", "100");
        rules::rule(s, block, &[("score", "INFINITY")]);
        s.pair(block, "fake", "by-rule");
    }
    if s.has(Feature::IdRef) && s.dice.chance(30) {
        let blocks: Vec<String> = (s.cib.root().descendants())
            .filter(|e| e.name() == "instance_attributes" && e.attr("id").is_some())
            .filter(|e| e.parent().is_some_and(|p| p.name() == "primitive"))
            .map(|e| e.id().to_owned())
            .collect();
        if let Some(id) = s.dice.pick(&blocks).cloned() {
            s.add(element, "instance_attributes", &[("id-ref", &id)]);
        }
    }
}

/// Meta-attributes of a resource.
pub(super) fn meta(s: &mut Sketch, element: ElementId, instances: bool) {
    let kind = "meta_attributes";
    if s.uses(Feature::Stickiness, 50) {
        let value = s.dice.word(&["0", "1", "100", "INFINITY", "-1", "50"]);
        s.value(element, kind, "resource-stickiness", value);
    }
    if s.uses(Feature::Threshold, 50) {
        let value = s.dice.word(&["1", "2", "3", "INFINITY"]);
        s.value(element, kind, "migration-threshold", value);
    }
    if s.uses(Feature::Threshold, 50) {
        let value = s.dice.word(&["10min", "0", "2h", "60"]);
        s.value(element, kind, "failure-timeout", value);
    }
    if s.uses(Feature::Priority, 50) {
        let value = s.dice.word(&["1", "5", "10", "-3"]);
        s.value(element, kind, "priority", value);
    }
    if s.uses(Feature::MultipleActive, 50) {
        let value = s
            .dice
            .word(&["block", "stop_only", "stop_start", "stop_unexpected"]);
        s.value(element, kind, "multiple-active", value);
    }
    if s.uses(Feature::Maintenance, 15) {
        let name = s.dice.word(&["is-managed", "maintenance"]);
        let value = if name == "is-managed" {
            "false"
        } else {
            "true"
        };
        s.value(element, kind, name, value);
    }
    if s.uses(Feature::Requires, 40) {
        let value = s.dice.word(&["nothing", "quorum", "fencing", "unfencing"]);
        s.value(element, kind, "requires", value);
    }
    if s.uses(Feature::Migration, 60) && !instances {
        s.value(element, kind, "allow-migrate", "true");
    }
    if s.uses(Feature::Health, 15) {
        s.value(element, kind, "allow-unhealthy-nodes", "true");
    }
    if s.dice.chance(6) {
        let value = s.dice.word(&["Stopped", "Started"]);
        s.value(element, kind, "target-role", value);
    }
    if s.dice.chance(4) {
        s.value(element, kind, "critical", "false");
    }
}

fn operations(s: &mut Sketch, element: ElementId, rsc: &str, promotable: bool) {
    if s.dice.chance(8) {
        return;
    }
    let operations = s.add(element, "operations", &[]);
    if s.dice.chance(88) {
        operation(s, operations, rsc, "monitor", "10s");
        if promotable || s.uses(Feature::RoleMonitor, 20) {
            let op = operation(s, operations, rsc, "monitor", "11s");
            if promotable {
                s.set(op, "role", "Promoted");
            }
        }
    }
    if s.uses(Feature::RoleMonitor, 40) {
        let op = operation(s, operations, rsc, "monitor", "13s");
        s.set(op, "role", "Stopped");
    }
    for name in ["start", "stop", "monitor"] {
        if s.dice.chance(15) {
            operation(s, operations, rsc, name, "0s");
        }
    }
    if promotable {
        for name in ["promote", "demote"] {
            if s.dice.chance(20) {
                operation(s, operations, rsc, name, "0s");
            }
        }
    }
}

fn operation(
    s: &mut Sketch,
    parent: ElementId,
    rsc: &str,
    name: &str,
    interval: &str,
) -> ElementId {
    let id = s.id(&format!("{rsc}-{name}-"));
    let op = s.add(
        parent,
        "op",
        &[("id", &id), ("name", name), ("interval", interval)],
    );
    if s.dice.chance(40) {
        let timeout = s.dice.word(&["20s", "60s", "33"]);
        s.set(op, "timeout", timeout);
    }
    if s.uses(Feature::OnFail, 60) {
        let mut words = vec!["ignore", "block", "restart", "fence"];
        if name != "stop" {
            words.extend(["stop", "standby", "restart-container"]);
        }
        if name == "promote" {
            words.push("demote");
        }
        let word = s.dice.word(&words);
        s.set(op, "on-fail", word);
    }
    if s.dice.chance(3) {
        s.set(op, "enabled", "false");
    }
    if s.dice.chance(3) {
        s.set(op, "start-delay", "15s");
    } else if s.uses(Feature::Date, 10) && interval != "0s" {
        s.set(op, "interval-origin", "2026-05-28T20:00:03Z");
    }
    if s.dice.chance(4) {
        s.block(op, "instance_attributes", &[("OCF_CHECK_LEVEL", "10")]);
    }
    op
}

/// A group of primitives.
pub(super) fn group(s: &mut Sketch, parent: ElementId, top: bool) -> ElementId {
    let id = s.id("grp");
    let element = s.add(parent, "group", &[("id", &id)]);
    if s.dice.chance(40) {
        meta(s, element, false);
    }
    let start = s.resources.len();
    for _ in 0..s.dice.range(1, 3) {
        primitive(s, element, false, false);
    }
    s.resources.insert(
        start,
        Resource {
            id,
            kind: Kind::Group,
            promotable: false,
            top,
            element,
        },
    );
    element
}

fn clone(s: &mut Sketch, parent: ElementId, promotable: bool) {
    let id = s.id("cln");
    let element = s.add(parent, "clone", &[("id", &id)]);
    meta(s, element, true);
    clone_meta(s, element, promotable);
    let start = s.resources.len();
    if s.uses(Feature::Group, 40) {
        let group = group(s, element, false);
        if promotable {
            let members: Vec<_> = (s.cib.document().element(group).children())
                .filter(|c| c.name() == "primitive" && c.attr("template").is_none())
                .map(cib::Element::key)
                .collect();
            for member in members {
                s.set(member, "class", "ocf");
                s.set(member, "provider", "pacemaker");
                s.set(member, "type", "Stateful");
            }
        }
    } else {
        primitive(s, element, false, promotable);
    }
    s.resources.insert(
        start,
        Resource {
            id,
            kind: Kind::Clone,
            promotable,
            top: true,
            element,
        },
    );
}

fn clone_meta(s: &mut Sketch, element: ElementId, promotable: bool) {
    let kind = "meta_attributes";
    let some: [(&str, &[&str], usize); 6] = [
        ("clone-max", &["1", "2", "3", "4"], 35),
        ("globally-unique", &["true", "false"], 20),
        ("clone-node-max", &["1", "2"], 15),
        ("interleave", &["true", "false"], 40),
        ("ordered", &["true"], 20),
        ("clone-min", &["1", "2"], 10),
    ];
    for (name, values, percent) in some {
        if s.dice.chance(percent) {
            let value = s.dice.word(values);
            s.value(element, kind, name, value);
            if name == "clone-node-max" && s.dice.chance(95) {
                // What is left out here means one thing in version 2 and another in version 3.
                let unique = if value == "1" { "false" } else { "true" };
                s.value(element, kind, "globally-unique", unique);
            }
        }
    }
    if s.uses(Feature::Notify, 80) {
        s.value(element, kind, "notify", "true");
    }
    if promotable {
        s.value(element, kind, "promotable", "true");
        if s.dice.chance(25) {
            let value = s.dice.word(&["1", "2", "0"]);
            s.value(element, kind, "promoted-max", value);
        }
        if s.dice.chance(10) {
            s.value(element, kind, "promoted-node-max", "2");
        }
        if s.dice.chance(5) {
            let value = s.dice.word(&["Promoted", "Unpromoted"]);
            s.value(element, kind, "target-role", value);
        }
    }
}

fn devices(s: &mut Sketch, section: ElementId) {
    if !s.has(Feature::Fencing) && !s.has(Feature::Unfencing) {
        return;
    }
    for number in 1..=s.dice.range(1, 2) {
        let id = format!("fence{number}");
        let device = s.add(
            section,
            "primitive",
            &[("id", &id), ("class", "stonith"), ("type", "fence_xvm")],
        );
        let hosts = s.nodes.join(" ");
        s.block(device, "instance_attributes", &[("pcmk_host_list", &hosts)]);
        if s.uses(Feature::Unfencing, 70) {
            s.value(device, "meta_attributes", "provides", "unfencing");
        }
        if s.dice.chance(60) {
            let operations = s.add(device, "operations", &[]);
            operation(s, operations, &id, "monitor", "60s");
        }
        s.devices.push(id);
    }
    if s.has(Feature::Topology) {
        topology(s);
    }
}

fn topology(s: &mut Sketch) {
    let section = s.section(Section::FencingTopology);
    for node in s.nodes.clone() {
        let devices = s.devices.clone();
        let devices = s.dice.some(&devices, 1, 2).join(",");
        let id = s.id("level");
        s.add(
            section,
            "fencing-level",
            &[
                ("id", &id),
                ("target", &node),
                ("index", "1"),
                ("devices", &devices),
            ],
        );
    }
}

fn remote(s: &mut Sketch, section: ElementId, number: usize) {
    let id = format!("remote{number}");
    let element = s.add(
        section,
        "primitive",
        &[
            ("id", &id),
            ("class", "ocf"),
            ("provider", "pacemaker"),
            ("type", "remote"),
        ],
    );
    let mut pairs = vec![("server", "192.168.1.1")];
    if s.dice.chance(50) {
        pairs.push(("reconnect_interval", "60"));
    }
    s.block(element, "instance_attributes", &pairs);
    let operations = s.add(element, "operations", &[]);
    operation(s, operations, &id, "monitor", "60s");
    record(s, &id, Kind::Primitive, false, true, element);
    if s.dice.chance(50) {
        let nodes = s.section(Section::Nodes);
        let node = s.add(
            nodes,
            "node",
            &[("id", &id), ("uname", &id), ("type", "remote")],
        );
        super::nodes::node_details(s, node);
    }
    s.remotes.push(id);
}

fn tag(s: &mut Sketch) {
    let section = s.section(Section::Tags);
    let tag = s.add(section, "tag", &[("id", "tag1")]);
    let tops: Vec<String> = (s.resources.iter().filter(|r| r.top))
        .map(|r| r.id.clone())
        .collect();
    for id in s.dice.some(&tops, 1, 3) {
        s.add(tag, "obj_ref", &[("id", &id)]);
    }
}
