//! Where resources may be: constraints, and the ones that `--move` and `--ban` make.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cib::{Cib, Element, ElementId, Section};

use super::show;
use super::tool::Run;
use crate::answer::{Answer, Frame};
use crate::date::{self, Span};
use crate::exit::{self, Failure};

/// How deep chains of colocations are followed.
const DEPTH_MAX: usize = 50;

fn promoted(run: &Run<'_>) -> bool {
    run.given.has("promoted") || run.given.has("master")
}

/// Makes a constraint that moves or bans a resource.
pub(super) fn constrain(run: &Run<'_>, cib: &mut Cib, what: &str) -> Result<String, Failure> {
    let id = run.resource()?;
    let node = run.node()?.map(str::to_owned);
    let status = show::find(&run.status, id);
    let places: Vec<&str> = status.map_or(Vec::new(), |r| {
        r.nodes
            .iter()
            .map(|n| run.status.nodes[*n].name.as_str())
            .collect()
    });
    if what == "move"
        && let Some(node) = &node
    {
        if places.contains(&node.as_str()) && !run.given.has("force") {
            let message = format!(
                "{id} is already active on {node}\nError performing operation: Requested item already exists"
            );
            return Err(Failure::new(exit::EXISTS, message));
        }
        // An earlier ban from there, and an earlier move, are void.
        remove(run, cib, id, None, Some(node));
        prefer(run, cib, id, node)?;
        return Ok(String::new());
    }
    let node = match (node, places.as_slice()) {
        (Some(node), _) => node,
        (None, [one]) => (*one).to_owned(),
        (None, many) => {
            let message = format!(
                "Resource '{id}' not moved: active in {} locations.\nTo prevent '{id}' from running on a \
                 specific location, specify a node.",
                many.len()
            );
            return Err(Failure::new(exit::USAGE, message));
        }
    };
    ban(run, cib, id, &node)
}

fn lifetime(run: &Run<'_>) -> Result<Option<String>, Failure> {
    let Some(text) = run.given.value("lifetime") else {
        return Ok(None);
    };
    let Some(span) = Span::parse(text) else {
        let message = format!("Invalid duration specified: {text}; write it as P1D or PT5M");
        return Err(Failure::new(exit::USAGE, message));
    };
    Ok(Some(date::utc_text(date::after(run.inputs.now, &span))))
}

fn add(cib: &mut Cib, id: &str) -> ElementId {
    let section = cib.section_or_append(Section::Constraints);
    let known = cib
        .document()
        .element(section)
        .children()
        .find(|c| c.id() == id);
    if let Some(known) = known.map(Element::key) {
        cib.document_mut().remove(known);
    }
    let location = cib.document_mut().append(section, "rsc_location");
    cib.document_mut().set_attr(location, "id", id);
    location
}

/// Element, end of its id, attributes.
type Expression<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// A constraint that ends by itself has a rule; one that does not has a score and a node.
fn describe(
    cib: &mut Cib,
    (location, id): (ElementId, &str),
    (node, score): (&str, &str),
    until: Option<&str>,
) {
    let document = cib.document_mut();
    let Some(until) = until else {
        document.set_attr(location, "node", node);
        document.set_attr(location, "score", score);
        return;
    };
    let short = if score.starts_with('-') {
        id.to_owned()
    } else {
        format!("{id}-rule")
    };
    let suffix = if score.starts_with('-') { "-rule" } else { "" };
    let rule = document.append(location, "rule");
    let expressions: [Expression<'_>; 2] = [
        (
            "expression",
            "-expr",
            &[
                ("attribute", "#uname"),
                ("operation", "eq"),
                ("value", node),
                ("type", "string"),
            ],
        ),
        (
            "date_expression",
            "-lifetime",
            &[("operation", "lt"), ("end", until)],
        ),
    ];
    document.set_attr(rule, "id", &format!("{short}{suffix}"));
    document.set_attr(rule, "score", score);
    document.set_attr(rule, "boolean-op", "and");
    for (name, tail, attributes) in expressions {
        let element = document.append(rule, name);
        document.set_attr(element, "id", &format!("{id}{tail}"));
        for (name, value) in attributes {
            document.set_attr(element, name, value);
        }
    }
}

fn role(run: &Run<'_>) -> &'static str {
    if promoted(run) { "Promoted" } else { "Started" }
}

fn prefer(run: &Run<'_>, cib: &mut Cib, resource: &str, node: &str) -> Result<(), Failure> {
    let until = lifetime(run)?;
    let id = format!("cli-prefer-{resource}");
    let location = add(cib, &id);
    cib.document_mut().set_attr(location, "rsc", resource);
    cib.document_mut().set_attr(location, "role", role(run));
    describe(cib, (location, &id), (node, "INFINITY"), until.as_deref());
    Ok(())
}

fn ban(run: &Run<'_>, cib: &mut Cib, resource: &str, node: &str) -> Result<String, Failure> {
    let until = lifetime(run)?;
    let id = format!("cli-ban-{resource}-on-{node}");
    let location = add(cib, &id);
    cib.document_mut().set_attr(location, "rsc", resource);
    cib.document_mut().set_attr(location, "role", role(run));
    describe(cib, (location, &id), (node, "-INFINITY"), until.as_deref());
    if run.given.has("quiet") {
        return Ok(String::new());
    }
    let how = if promoted(run) {
        "being promoted"
    } else {
        "running"
    };
    let until = until.map_or(String::new(), |until| {
        format!("Migration will take effect until: {until}\n")
    });
    Ok(format!(
        "{until}WARNING: Creating rsc_location constraint '{id}' with a score of -INFINITY for resource \
         {resource} on {node}.\n\tThis will prevent {resource} from {how} on {node} until the constraint is \
         removed using the clear option or by editing the CIB with an appropriate tool\n\tThis will be the \
         case even if {node} is the last node in the cluster\n"
    ))
}

/// Removes constraints that were made by moving or banning; `ban`: only from that node.
fn remove(run: &Run<'_>, cib: &mut Cib, resource: &str, node: Option<&str>, ban: Option<&str>) {
    let mut doomed = Vec::new();
    let prefer_id = format!("cli-prefer-{resource}");
    let ban_prefix = format!("cli-ban-{resource}-on-");
    let constraints = cib.section(Section::Constraints).into_iter();
    for location in constraints.flat_map(|c| c.children_named("rsc_location")) {
        let id = location.id();
        let place = node_of(location);
        let is_ban = id.strip_prefix(&ban_prefix);
        let mine = match (is_ban, id == prefer_id) {
            (Some(at), _) => ban
                .or(node)
                .is_none_or(|n| n == at || place.as_deref() == Some(n)),
            (None, true) => {
                let any = ban.is_some() || run.given.has("force");
                any || node.is_none_or(|n| place.as_deref() == Some(n))
            }
            (None, false) => false,
        };
        let old = !run.given.has("expired") || expired(location, run.inputs.now);
        let right_role = !promoted(run)
            || location
                .attr("role")
                .is_some_and(|r| r == "Promoted" || r == "Master");
        if mine && old && right_role {
            doomed.push(location.key());
        }
    }
    for location in doomed {
        cib.document_mut().remove(location);
    }
}

/// The node that a constraint made by this tool is about.
fn node_of(location: Element<'_>) -> Option<String> {
    if let Some(node) = location.attr("node") {
        return Some(node.to_owned());
    }
    let mut all = location.descendants();
    let expression = all.find(|e| e.attr("attribute") == Some("#uname"))?;
    expression.attr("value").map(str::to_owned)
}

fn expired(location: Element<'_>, now: i64) -> bool {
    let mut all = location.descendants();
    let end = all.find_map(|e| scheduler::parse_time(e.attr("end")?));
    end.is_some_and(|end| end < now)
}

/// Removes what `--move` and `--ban` have made.
pub(super) fn clear(run: &Run<'_>, cib: &mut Cib) -> Result<String, Failure> {
    let id = run.resource()?;
    let node = run.node()?;
    let before: Vec<String> = ids(cib);
    remove(run, cib, id, node, None);
    let after = ids(cib);
    let gone: Vec<String> = before.into_iter().filter(|i| !after.contains(i)).collect();
    let mut said = String::new();
    if !run.given.has("quiet") {
        for id in gone {
            let _ = writeln!(said, "Removing constraint: {id}");
        }
    }
    Ok(said)
}

fn ids(cib: &Cib) -> Vec<String> {
    let constraints = cib.section(Section::Constraints).into_iter();
    constraints
        .flat_map(Element::children)
        .map(|c| c.id().to_owned())
        .collect()
}

/// The constraints of a resource.
pub(super) fn constraints(run: &Run<'_>) -> Result<Answer, Failure> {
    let id = run.resource()?;
    // What is in a group or a clone is placed with it.
    let mut element = super::find(run.cib, id);
    while let Some(parent) = element.and_then(Element::parent)
        && parent.name() != "resources"
        && !run.given.has("force")
    {
        element = Some(parent);
    }
    let id = element.map_or(id, Element::id);
    let mut answer = run.answer();
    match &mut answer.xml {
        Some(frame) => {
            let root = frame.root;
            let list = frame.add(root, "constraints", &[]);
            write_xml(run.cib, id, frame, list);
        }
        None => {
            let mut seen = BTreeSet::new();
            colocated(run.cib, id, (true, 0), &mut seen, &mut answer.text);
            locations(run.cib, id, 0, &mut answer.text);
            let mut seen = BTreeSet::new();
            colocated(run.cib, id, (false, 0), &mut seen, &mut answer.text);
        }
    }
    Ok(answer)
}

fn of<'a>(cib: &'a Cib, name: &'a str) -> impl Iterator<Item = Element<'a>> {
    let constraints = cib.section(Section::Constraints).into_iter();
    constraints.flat_map(move |c| c.children_named(name))
}

fn locations(cib: &Cib, id: &str, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let bullet = if depth == 0 { "" } else { "* " };
    let mut first = true;
    for location in of(cib, "rsc_location").filter(|l| l.attr("rsc") == Some(id)) {
        let score = location.attr("score").unwrap_or("0");
        let Some(node) = location.attr("node") else {
            continue;
        };
        if first {
            let _ = writeln!(text, "{indent}{bullet}Locations:");
            first = false;
        }
        let _ = writeln!(
            text,
            "{indent}  * Node {node} (score={score}, id={}, rsc={id})",
            location.id()
        );
    }
}

/// Resources that are colocated: those that this one is placed with, or those placed with it.
fn colocated(
    cib: &Cib,
    id: &str,
    (with, depth): (bool, usize),
    seen: &mut BTreeSet<String>,
    text: &mut String,
) {
    if depth > DEPTH_MAX || !seen.insert(id.to_owned()) {
        return;
    }
    let (mine, other) = if with {
        ("rsc", "with-rsc")
    } else {
        ("with-rsc", "rsc")
    };
    let found: Vec<Element<'_>> = of(cib, "rsc_colocation")
        .filter(|c| c.attr(mine) == Some(id) && c.attr(other).is_some())
        .collect();
    if found.is_empty() {
        return;
    }
    let indent = "  ".repeat(depth);
    let bullet = if depth == 0 { "" } else { "* " };
    let title = if with {
        format!("Resources {id} is colocated with")
    } else {
        format!("Resources colocated with {id}")
    };
    let _ = writeln!(text, "{indent}{bullet}{title}:");
    for colocation in found {
        let other = colocation.attr(other).unwrap_or("");
        let score = colocation.attr("score").unwrap_or("INFINITY");
        let _ = writeln!(
            text,
            "{indent}  * {other} (score={score}, id={})",
            colocation.id()
        );
        if with {
            locations(cib, other, depth + 2, text);
        }
        colocated(cib, other, (with, depth + 2), seen, text);
    }
}

fn write_xml(cib: &Cib, id: &str, frame: &mut Frame, parent: ElementId) {
    for location in of(cib, "rsc_location").filter(|l| l.attr("rsc") == Some(id)) {
        if let (Some(node), Some(score)) = (location.attr("node"), location.attr("score")) {
            let about = [
                ("node", node),
                ("rsc", id),
                ("id", location.id()),
                ("score", score),
            ];
            frame.add(parent, "rsc_location", &about);
        }
    }
    let mine = |c: &Element<'_>| c.attr("rsc") == Some(id) || c.attr("with-rsc") == Some(id);
    for colocation in of(cib, "rsc_colocation").filter(mine) {
        let attr = |name: &str| colocation.attr(name).unwrap_or("");
        let score = colocation.attr("score").unwrap_or("INFINITY");
        let about = [
            ("id", colocation.id()),
            ("rsc", attr("rsc")),
            ("with-rsc", attr("with-rsc")),
            ("score", score),
        ];
        frame.add(parent, "rsc_colocation", &about);
    }
}
