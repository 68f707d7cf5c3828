//! Differences from Debian's Pacemaker 2.1.5 that are known, each with the reason.
//!
//! Our answers follow 3.0.2. Where the two versions read a configuration differently, or decide
//! differently, a random cluster differs as well. [`CLASSES`] lists what has been seen and explained;
//! [`known_class`] recognizes those that can be told from the cluster or from the difference. The generator
//! writes most clusters such that the first four do not come up.

use std::collections::BTreeSet;

use cib::{Cib, Element};

use crate::anchor::Verdict;
use crate::graph::Difference;

/// Classes of differences, and why they are no faults.
pub const CLASSES: [(&str, &str); 9] = [
    (
        "clone-node-max",
        "3.0: a clone with clone-node-max above 1 is globally unique unless it says otherwise; \
         2.1: it is not",
    ),
    (
        "score-attribute",
        "3.0: a rule's score-attribute that a node does not have is ignored for that node; 2.1: it \
         bans the node",
    ),
    (
        "concurrent-fencing",
        "3.0: nodes are fenced at the same time unless concurrent-fencing says otherwise; 2.1: one \
         after the other",
    ),
    (
        "rsc_expression",
        "3.0: an rsc_expression without provider fits agents with one; 2.1: it does not",
    ),
    (
        "cancel-timeout",
        "2.1: the cancelling of an operation has that operation's timeout; 3.0: its own, the default",
    ),
    (
        "instances stay",
        "since 2.1.7 instances of an anonymous clone that may stay where they are do not change \
         places; 2.1.5 moves one off and another on",
    ),
    (
        "maintenance",
        "since 2.1.6 a resource that is active on a node in maintenance is in maintenance itself, and \
         its monitors elsewhere are cancelled; in 2.1.5 it is only not managed",
    ),
    (
        "mandatory first",
        "since 2.1.6 mandatory colocations are applied before others, and one that would then leave no \
         node is passed over; 2.1.5 goes by priority and name",
    ),
    (
        "group members",
        "since 2.1.7 the colocations of a group's later members draw the group; in 2.1.5 only those \
         of the group and its first member do",
    ),
];

/// The class of a difference, if it is one of those that are explained and can be recognized.
pub fn known_class(case: &str, verdict: &Verdict) -> Option<&'static str> {
    let Verdict::Compared(difference) = verdict else {
        return None;
    };
    let cib = Cib::parse(case, None).ok()?;
    let tests: [(&'static str, bool); 7] = [
        ("clone-node-max", several_without_unique(&cib)),
        ("score-attribute", score_attribute_missing(&cib)),
        ("concurrent-fencing", only_fencing_order(&cib, difference)),
        ("rsc_expression", expression_without_provider(&cib)),
        ("cancel-timeout", only_cancel_timeouts(difference)),
        ("maintenance", only_maintenance(&cib, difference)),
        ("instances stay", instances_stay(&cib, difference)),
    ];
    let found = tests.into_iter().find(|(_, holds)| *holds);
    found.map(|(class, _)| class)
}

fn all<'a>(cib: &'a Cib, name: &'a str) -> impl Iterator<Item = Element<'a>> {
    cib.root().descendants().filter(move |e| e.name() == name)
}

fn pair<'a>(element: Element<'a>, block: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = element.children_named(block).flat_map(Element::children);
    pairs.find(|p| p.attr("name") == Some(name))?.attr("value")
}

fn several_without_unique(cib: &Cib) -> bool {
    all(cib, "clone").any(|clone| {
        let meta = |name| pair(clone, "meta_attributes", name);
        meta("clone-node-max").is_some_and(|v| v != "1") && meta("globally-unique").is_none()
    })
}

fn score_attribute_missing(cib: &Cib) -> bool {
    let mut names = all(cib, "rule").filter_map(|r| r.attr("score-attribute"));
    names.any(|name| {
        let has = |n: &Element<'_>| pair(*n, "instance_attributes", name).is_some();
        let remote = all(cib, "nvpair").any(|p| p.attr("name") == Some("remote-node"))
            || all(cib, "primitive").any(|p| p.attr("type") == Some("remote"));
        remote
            || !all(cib, "node")
                .filter(|n| n.attr("uname").is_some())
                .all(|n| has(&n))
    })
}

fn only_fencing_order(cib: &Cib, difference: &Difference) -> bool {
    let said = all(cib, "nvpair").any(|p| p.attr("name") == Some("concurrent-fencing"));
    let mut pairs = difference.unordered.iter().chain(&difference.overordered);
    let same = difference.missing.is_empty() && difference.extra.is_empty();
    !said && same && pairs.any(|(a, b)| a.contains("stonith") && b.contains("stonith"))
}

fn expression_without_provider(cib: &Cib) -> bool {
    all(cib, "rsc_expression")
        .any(|e| e.attr("provider").is_none() && e.attr("class") == Some("ocf"))
}

fn only_cancel_timeouts(difference: &Difference) -> bool {
    let bare = |list: &[String]| -> Vec<String> {
        let bare = list.iter().map(|action| {
            let fields = action.split(" | ").filter(|f| !f.starts_with("timeout="));
            fields.collect::<Vec<_>>().join(" | ")
        });
        bare.collect()
    };
    let mut both = difference.missing.iter().chain(&difference.extra);
    !difference.missing.is_empty()
        && both.all(|a| a.starts_with("rsc_op | cancel |"))
        && bare(&difference.missing) == bare(&difference.extra)
}

/// Whether we cancel monitors more, and a node is in maintenance.
fn only_maintenance(cib: &Cib, difference: &Difference) -> bool {
    let node = all(cib, "nvpair").any(|p| {
        let on_node = p.parent().and_then(Element::parent);
        p.attr("name") == Some("maintenance")
            && p.attr("value") == Some("true")
            && on_node.is_some_and(|e| matches!(e.name(), "node" | "transient_attributes"))
    });
    let mut extra = difference.extra.iter();
    node && difference.missing.is_empty()
        && !difference.extra.is_empty()
        && extra.all(|a| a.starts_with("rsc_op | cancel |"))
}

/// Whether only 2.1.5 moves anything, and only instances of anonymous clones.
fn instances_stay(cib: &Cib, difference: &Difference) -> bool {
    let cloned: BTreeSet<&str> = all(cib, "clone")
        .filter(|c| pair(*c, "meta_attributes", "globally-unique") != Some("true"))
        .flat_map(Element::descendants)
        .filter(|e| e.name() == "primitive")
        .map(Element::id)
        .collect();
    let of_clone = |action: &String| {
        let key = action.split(" | ").nth(2).unwrap_or("");
        cloned.iter().any(|id| {
            key.strip_prefix(id)
                .is_some_and(|rest| rest.starts_with('_'))
        })
    };
    let moves = |list: &[String]| {
        let stops = list
            .iter()
            .filter(|a| a.contains("| stop |") || a.contains("| migrate_to |"));
        stops.count()
    };
    let mut both = difference.missing.iter().chain(&difference.extra);
    moves(&difference.missing) > moves(&difference.extra) && both.all(of_clone)
}
