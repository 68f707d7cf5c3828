//! Random constraints.

use cib::{ElementId, Section};

use super::rules;
use super::sketch::{Feature, Resource, Sketch};

/// All constraints of a cluster.
pub(super) fn constraints(s: &mut Sketch) {
    if s.has(Feature::OptIn) {
        for resource in s.resources.clone() {
            if resource.top && s.dice.chance(85) {
                let node = s.some_node();
                plain_location(s, &resource, &node, "100");
            }
        }
        for device in s.devices.clone() {
            let node = s.some_node();
            let id = s.id("loc");
            let section = s.section(Section::Constraints);
            s.add(
                section,
                "rsc_location",
                &[
                    ("id", &id),
                    ("rsc", &device),
                    ("node", &node),
                    ("score", "0"),
                ],
            );
        }
    }
    type Make = fn(&mut Sketch);
    let kinds: [(Feature, Make); 5] = [
        (Feature::Location, location),
        (Feature::Rule, ruled_location),
        (Feature::Order, order),
        (Feature::Colocation, colocation),
        (Feature::Ticket, ticket),
    ];
    for (feature, make) in kinds {
        if s.has(feature) {
            for _ in 0..s.dice.range(1, 3) {
                make(s);
            }
        }
    }
    if s.has(Feature::Set) {
        for _ in 0..s.dice.range(1, 2) {
            set_constraint(s);
        }
    }
}

/// A location constraint for a node, added to what is there.
pub(super) fn plain_location(s: &mut Sketch, resource: &Resource, node: &str, score: &str) {
    let section = s.section(Section::Constraints);
    let id = s.id("loc");
    let fields = [
        ("id", id.as_str()),
        ("rsc", &resource.id),
        ("node", node),
        ("score", score),
    ];
    let element = s.add(section, "rsc_location", &fields);
    if resource.promotable && s.dice.chance(30) {
        s.set(element, "role", "Promoted");
    }
    if s.uses(Feature::Discovery, 40) {
        let word = s.dice.word(&["never", "exclusive", "always"]);
        s.set(element, "resource-discovery", word);
    }
}

pub(super) fn location(s: &mut Sketch) {
    let Some(resource) = s.some_resource() else {
        return;
    };
    let (node, score) = (s.some_node(), s.score());
    if s.dice.chance(10) {
        let section = s.section(Section::Constraints);
        let id = s.id("loc");
        let pattern = s.dice.word(&["rsc.*", "!rsc", "[a-z]+1", "cln"]);
        s.add(
            section,
            "rsc_location",
            &[
                ("id", &id),
                ("rsc-pattern", pattern),
                ("node", &node),
                ("score", &score),
            ],
        );
        return;
    }
    plain_location(s, &resource, &node, &score);
}

pub(super) fn ruled_location(s: &mut Sketch) {
    let Some(resource) = s.some_resource() else {
        return;
    };
    let section = s.section(Section::Constraints);
    let id = s.id("loc");
    let element = s.add(
        section,
        "rsc_location",
        &[("id", &id), ("rsc", &resource.id)],
    );
    let score = s.score();
    let known = s.has(Feature::Attribute) && s.remotes.is_empty();
    let mut attributes = if s.dice.chance(if known { 30 } else { 1 }) {
        vec![("score-attribute", "rack")]
    } else {
        vec![("score", score.as_str())]
    };
    if resource.promotable && s.dice.chance(50) {
        attributes.push(("role", "Promoted"));
    }
    rules::rule(s, element, &attributes);
}

/// Two resources of which neither contains the other.
fn pair(s: &mut Sketch) -> Option<(Resource, Resource)> {
    let (a, b) = (s.some_resource()?, s.some_resource()?);
    let inside = |x: &Resource, y: &Resource| {
        let document = s.cib.document();
        let mut at = Some(document.element(x.element));
        while let Some(element) = at {
            if element.key() == y.element {
                return true;
            }
            at = element.parent();
        }
        false
    };
    (!inside(&a, &b) && !inside(&b, &a)).then_some((a, b))
}

/// Constraints may name a tag or a template instead.
fn name(s: &mut Sketch, resource: &Resource) -> String {
    if s.uses(Feature::Tag, 12) {
        "tag1".into()
    } else if s.uses(Feature::Template, 8) {
        "tmpl".into()
    } else {
        resource.id.clone()
    }
}

pub(super) fn order(s: &mut Sketch) {
    let Some((first, then)) = pair(s) else {
        return;
    };
    let section = s.section(Section::Constraints);
    let id = s.id("ord");
    let (one, other) = (name(s, &first), then.id.clone());
    if one == other {
        return;
    }
    let element = s.add(
        section,
        "rsc_order",
        &[("id", &id), ("first", &one), ("then", &other)],
    );
    if s.dice.chance(40) {
        let kind = s.dice.word(&["Mandatory", "Optional", "Serialize"]);
        s.set(element, "kind", kind);
    }
    if first.promotable && s.dice.chance(50) {
        let action = s.dice.word(&["promote", "promote", "demote"]);
        s.set(element, "first-action", action);
        if !then.promotable {
            let action = s.dice.word(&["start", "start", "stop"]);
            s.set(element, "then-action", action);
        }
    }
    if then.promotable && s.dice.chance(40) {
        s.set(element, "then-action", "promote");
    }
    if !first.promotable && !then.promotable && s.dice.chance(8) {
        let actions = [("first-action", "stop"), ("then-action", "start")];
        for (name, value) in actions {
            s.set(element, name, value);
        }
    }
    if s.dice.chance(15) {
        s.set(element, "symmetrical", "false");
    }
    if s.dice.chance(8) {
        s.set(element, "require-all", "false");
    }
}

pub(super) fn colocation(s: &mut Sketch) {
    let Some((rsc, with)) = pair(s) else {
        return;
    };
    let section = s.section(Section::Constraints);
    let (id, score) = (s.id("col"), s.score());
    let (one, other) = (name(s, &rsc), with.id.clone());
    if one == other {
        return;
    }
    let element = s.add(
        section,
        "rsc_colocation",
        &[
            ("id", &id),
            ("rsc", &one),
            ("with-rsc", &other),
            ("score", &score),
        ],
    );
    let roles = ["Promoted", "Promoted", "Unpromoted", "Started"];
    if rsc.promotable && s.dice.chance(45) {
        let role = s.dice.word(&roles);
        s.set(element, "rsc-role", role);
    }
    if with.promotable && s.dice.chance(45) {
        let role = s.dice.word(&roles);
        s.set(element, "with-rsc-role", role);
    }
    if s.uses(Feature::Attribute, 40) {
        s.set(element, "node-attribute", "region");
    }
    if s.dice.chance(8) {
        let word = s.dice.word(&["true", "false"]);
        s.set(element, "influence", word);
    }
}

pub(super) fn ticket(s: &mut Sketch) {
    let Some(resource) = s.some_resource() else {
        return;
    };
    let section = s.section(Section::Constraints);
    let id = s.id("tck");
    let ticket = s.dice.word(&["ticketA", "ticketB"]);
    let element = s.add(
        section,
        "rsc_ticket",
        &[("id", &id), ("rsc", &resource.id), ("ticket", ticket)],
    );
    if s.dice.chance(70) {
        let word = s.dice.word(&["stop", "demote", "fence", "freeze"]);
        s.set(element, "loss-policy", word);
    }
    if resource.promotable && s.dice.chance(60) {
        let role = s.dice.word(&["Promoted", "Promoted", "Started"]);
        s.set(element, "rsc-role", role);
    }
    if !s.tickets.iter().any(|t| t == ticket) {
        s.tickets.push(ticket.into());
    }
}

fn set_constraint(s: &mut Sketch) {
    let section = s.section(Section::Constraints);
    let tops: Vec<Resource> = s.resources.iter().filter(|r| r.top).cloned().collect();
    let mut members = s.dice.some(&tops, 2, 5);
    if members.len() < 2 {
        return;
    }
    let kind = s.dice.below(4);
    let id = s.id("sets");
    let element = match kind {
        0 => {
            let element = s.add(section, "rsc_order", &[("id", &id)]);
            let kind = s
                .dice
                .word(&["Mandatory", "Mandatory", "Optional", "Serialize"]);
            s.set(element, "kind", kind);
            element
        }
        1 => {
            let score = s.score();
            s.add(section, "rsc_colocation", &[("id", &id), ("score", &score)])
        }
        2 => {
            let (node, score) = (s.some_node(), s.score());
            s.add(
                section,
                "rsc_location",
                &[("id", &id), ("node", &node), ("score", &score)],
            )
        }
        _ => {
            if !s.tickets.iter().any(|t| t == "ticketA") {
                s.tickets.push("ticketA".into());
            }
            let policy = s.dice.word(&["stop", "demote", "fence", "freeze"]);
            let fields = [
                ("id", id.as_str()),
                ("ticket", "ticketA"),
                ("loss-policy", policy),
            ];
            s.add(section, "rsc_ticket", &fields)
        }
    };
    while !members.is_empty() {
        let count = s.dice.range(1, members.len());
        let rest = members.split_off(count);
        one_set(s, element, kind, &members);
        members = rest;
    }
}

fn one_set(s: &mut Sketch, parent: ElementId, kind: usize, members: &[Resource]) {
    let id = s.id("rset");
    let set = s.add(parent, "resource_set", &[("id", &id)]);
    let promotable = members.iter().all(|m| m.promotable);
    match kind {
        0 => {
            if s.dice.chance(40) {
                s.set(set, "sequential", "false");
                if s.dice.chance(60) {
                    s.set(set, "require-all", "false");
                }
            }
            if promotable && s.dice.chance(50) {
                s.set(set, "action", "promote");
            }
        }
        1 => {
            if s.dice.chance(40) {
                s.set(set, "sequential", "false");
            }
            if promotable && s.dice.chance(50) {
                s.set(set, "role", "Promoted");
            }
        }
        _ => {
            if promotable && s.dice.chance(40) {
                s.set(set, "role", "Promoted");
            }
        }
    }
    for member in members {
        s.add(set, "resource_ref", &[("id", &member.id)]);
    }
}
