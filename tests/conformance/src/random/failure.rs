//! Histories that tell of trouble.

use cib::{Element, ElementId, Section};

use super::sketch::{NOW, Sketch};
use super::trouble::{states, transient};

const UUID: &str = "11111111-2222-3333-4444-555555555555";

/// A resource's history on a node.
struct History {
    state: ElementId,
    node: String,
    entry: ElementId,
    id: String,
}

fn histories(s: &Sketch) -> Vec<History> {
    let mut list = Vec::new();
    for (state, node) in states(s, true) {
        let element = s.cib.document().element(state);
        let entries = element.child("lrm").and_then(|l| l.child("lrm_resources"));
        for entry in entries.into_iter().flat_map(Element::children) {
            list.push(History {
                state,
                node: node.clone(),
                entry: entry.key(),
                id: entry.id().to_owned(),
            });
        }
    }
    list
}

fn some_history(s: &mut Sketch, active: bool) -> Option<History> {
    let mut list = histories(s);
    if active {
        let document = s.cib.document();
        list.retain(|h| {
            let operations = document.element(h.entry).children();
            let mut started = operations.filter(|o| o.attr("operation") == Some("start"));
            started.any(|o| o.attr("rc-code") == Some("0"))
        });
    }
    let at = s.dice.below(list.len());
    (at < list.len()).then(|| list.swap_remove(at))
}

fn next_call(s: &Sketch, entry: ElementId) -> i64 {
    let calls = s.cib.document().element(entry).children();
    let calls = calls.filter_map(|o| o.attr("call-id")?.parse::<i64>().ok());
    calls.max().unwrap_or(0) + 1
}

/// One result to record.
struct Outcome<'a> {
    id: &'a str,
    operation: &'a str,
    interval: u64,
    rc: i32,
    status: i32,
    expected: i32,
    age: i64,
}

fn write(s: &mut Sketch, h: &History, outcome: &Outcome<'_>) -> ElementId {
    let call = next_call(s, h.entry);
    let call = if outcome.status == -1 { -1 } else { call };
    let existing = s.cib.document().element(h.entry).children();
    let digest = existing
        .filter_map(|o| o.attr("op-digest"))
        .last()
        .map(str::to_owned);
    let existing = s.cib.document().element(h.entry).children();
    let existing = existing.into_iter().find(|o| o.id() == outcome.id);
    let op = match existing.map(Element::key) {
        Some(op) => op,
        None => s.add(h.entry, "lrm_rsc_op", &[("id", outcome.id)]),
    };
    let key = format!("{}_{}_{}", h.id, outcome.operation, outcome.interval);
    let transition = format!("5:7:{}:{UUID}", outcome.expected);
    let magic = format!("{}:{};{transition}", outcome.status, outcome.rc);
    let fields = [
        ("operation_key", key),
        ("operation", outcome.operation.to_owned()),
        ("crm-debug-origin", "generated".to_owned()),
        ("crm_feature_set", "3.16.1".to_owned()),
        ("transition-key", transition),
        ("transition-magic", magic),
        ("exit-reason", String::new()),
        ("on_node", h.node.clone()),
        ("call-id", call.to_string()),
        ("rc-code", outcome.rc.to_string()),
        ("op-status", outcome.status.to_string()),
        ("interval", outcome.interval.to_string()),
        ("last-rc-change", (NOW - outcome.age).to_string()),
        ("exec-time", "0".to_owned()),
        ("queue-time", "0".to_owned()),
    ];
    for (name, value) in fields {
        s.set(op, name, &value);
    }
    if let Some(digest) = digest
        && s.cib.document().element(op).attr("op-digest").is_none()
    {
        s.set(op, "op-digest", &digest);
    }
    op
}

/// An operation fails; its failcount rises.
pub(super) fn failed_operation(s: &mut Sketch) {
    let mostly_active = s.dice.chance(80);
    let Some(h) = some_history(s, mostly_active) else {
        return;
    };
    let (operation, interval) = match s.dice.below(10) {
        0..=4 => {
            let operations = s.cib.document().element(h.entry).children();
            let intervals = operations.filter_map(|o| o.attr("interval")?.parse::<u64>().ok());
            ("monitor", intervals.max().unwrap_or(0))
        }
        5 | 6 => ("start", 0),
        7 => ("stop", 0),
        8 => ("promote", 0),
        _ => (s.dice.word(&["demote", "migrate_to", "migrate_from"]), 0),
    };
    let rc = match s.dice.below(10) {
        0..=4 => 1,
        5 | 6 => 7,
        7 => 5,
        _ => s
            .dice
            .word(&["2", "4", "6", "8", "9", "3"])
            .parse()
            .unwrap_or(1),
    };
    let (rc, status) = match s.dice.below(8) {
        0 => (1, 2),
        _ if rc == 7 && operation == "monitor" => (7, 0),
        _ => (rc, if s.dice.chance(70) { 4 } else { 0 }),
    };
    let age = s.dice.word(&["30", "300", "1000", "10000"]);
    let outcome = |id| Outcome {
        id,
        operation,
        interval,
        rc,
        status,
        expected: if operation == "monitor" && interval == 0 {
            7
        } else {
            0
        },
        age: age.parse().unwrap_or(30),
    };
    let last_failure = format!("{}_last_failure_0", h.id);
    let op = write(s, &h, &outcome(&last_failure));
    migration_peers(s, op, operation, &h.node);
    if interval == 0 {
        let last = format!("{}_last_0", h.id);
        let op = write(s, &h, &outcome(&last));
        migration_peers(s, op, operation, &h.node);
    }
    if s.dice.chance(85) {
        let count = if operation == "start" && s.dice.chance(60) {
            "INFINITY"
        } else {
            s.dice.word(&["1", "2", "INFINITY"])
        };
        let what = format!("{}#{operation}_{interval}", h.id);
        transient(s, h.state, &format!("fail-count-{what}"), count);
        let at = (NOW - age.parse::<i64>().unwrap_or(30)).to_string();
        transient(s, h.state, &format!("last-failure-{what}"), &at);
    }
}

fn migration_peers(s: &mut Sketch, op: ElementId, operation: &str, node: &str) {
    if !operation.starts_with("migrate") {
        return;
    }
    let other = s.some_node();
    let (source, target) = if operation == "migrate_to" {
        (node, other.as_str())
    } else {
        (other.as_str(), node)
    };
    s.set(op, "migrate_source", source);
    s.set(op, "migrate_target", target);
}

/// What a node knows of a resource is wiped.
pub(super) fn lost_history(s: &mut Sketch) {
    if let Some(h) = some_history(s, false) {
        s.cib.document_mut().remove(h.entry);
    }
}

/// A probe finds a resource where it should not be.
pub(super) fn second_instance(s: &mut Sketch) {
    if let Some(h) = some_history(s, false) {
        let rc = if s.dice.chance(80) { 0 } else { 8 };
        let rc = if s.dice.chance(15) { 1 } else { rc };
        let id = format!("{}_last_0", h.id);
        s.cib.document_mut().clear(h.entry);
        let outcome = Outcome {
            id: &id,
            operation: "monitor",
            interval: 0,
            rc,
            status: 0,
            expected: 7,
            age: 100,
        };
        write(s, &h, &outcome);
    }
}

/// An operation is still under way.
pub(super) fn pending_operation(s: &mut Sketch) {
    let Some(h) = some_history(s, false) else {
        return;
    };
    let operation = s
        .dice
        .word(&["start", "stop", "monitor", "promote", "demote"]);
    let id = format!("{}_last_0", h.id);
    let outcome = Outcome {
        id: &id,
        operation,
        interval: 0,
        rc: 193,
        status: -1,
        expected: if operation == "monitor" { 7 } else { 0 },
        age: 10,
    };
    write(s, &h, &outcome);
}

/// A live migration has begun and was interrupted.
pub(super) fn half_migration(s: &mut Sketch) {
    let Some(h) = some_history(s, true) else {
        return;
    };
    let mut others = states(s, false);
    others.retain(|(_, node)| *node != h.node);
    let Some((state, target)) = s.dice.pick(&others).cloned() else {
        return;
    };
    let id = format!("{}_last_0", h.id);
    let pending = s.dice.chance(30);
    let outcome = |operation, pending: bool| Outcome {
        id: &id,
        operation,
        interval: 0,
        rc: if pending { 193 } else { 0 },
        status: if pending { -1 } else { 0 },
        expected: 0,
        age: 10,
    };
    let op = write(s, &h, &outcome("migrate_to", pending));
    s.set(op, "migrate_source", &h.node);
    s.set(op, "migrate_target", &target);
    if pending || s.dice.chance(40) {
        return;
    }
    let element = s.cib.document().element(state);
    let entries = element.child("lrm").and_then(|l| l.child("lrm_resources"));
    let entry = entries.and_then(|e| e.children().find(|r| r.id() == h.id));
    let Some(entry) = entry.map(Element::key) else {
        return;
    };
    let there = History {
        state,
        node: target.clone(),
        entry,
        id: h.id.clone(),
    };
    let pending = s.dice.chance(50);
    let op = write(s, &there, &outcome("migrate_from", pending));
    s.set(op, "migrate_source", &h.node);
    s.set(op, "migrate_target", &target);
}

/// Parameters are recorded such that only some need a restart when they change.
pub(super) fn reload(s: &mut Sketch) {
    let Some(h) = some_history(s, true) else {
        return;
    };
    let operations = s.cib.document().element(h.entry).children();
    let start = operations.filter(|o| o.attr("operation") == Some("start"));
    let Some(start) = start.map(Element::key).next() else {
        return;
    };
    let (names, restart) = if s.dice.chance(50) {
        (" state ", cib::digest::of(&[]))
    } else {
        (" fake ", cib::digest::of(&[("fake", "one")]))
    };
    s.set(start, "op-force-restart", names);
    s.set(start, "op-restart-digest", &restart);
    let resources = s.cib.section(Section::Resources);
    let element = resources.and_then(|r| r.descendants().find(|e| e.id() == h.id));
    if let Some(element) = element.map(Element::key) {
        let name = s.dice.word(&["fake", "other"]);
        s.value(element, "instance_attributes", name, "reloaded");
    }
}
