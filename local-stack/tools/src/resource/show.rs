//! Looking at resources.

use std::fmt::Write as _;

use cib::{Cib, Document, Element, Section};
use scheduler::{ResourceKind, ResourceStatus, Status, Subject};

use super::tool::Run;
use crate::answer::{Answer, Frame};
use crate::exit::{self, Failure};

/// The status of a resource, by its name with or without the number of its instance.
pub(super) fn find<'s>(status: &'s Status, id: &str) -> Option<&'s ResourceStatus> {
    fn inside<'s>(
        list: &'s [ResourceStatus],
        fits: &dyn Fn(&ResourceStatus) -> bool,
    ) -> Option<&'s ResourceStatus> {
        list.iter().find_map(|r| {
            if fits(r) {
                return Some(r);
            }
            inside(&r.members, fits).or_else(|| inside(&r.parts, fits))
        })
    }
    inside(&status.resources, &|r| r.instance == id)
        .or_else(|| inside(&status.resources, &|r| r.id == id))
}

fn primitives<'s>(list: &'s [ResourceStatus], out: &mut Vec<&'s ResourceStatus>) {
    for resource in list {
        if !resource.parts.is_empty() {
            primitives(&resource.parts, out);
        } else if resource.members.is_empty() {
            if matches!(resource.kind, ResourceKind::Primitive(..)) {
                out.push(resource);
            }
        } else {
            primitives(&resource.members, out);
        }
    }
}

/// The names of all resources that have an agent.
pub(super) fn names(run: &Run<'_>) -> Answer {
    let mut all = Vec::new();
    primitives(&run.status.resources, &mut all);
    let mut answer = run.answer();
    for resource in &all {
        let _ = writeln!(answer.text, "{}", resource.instance);
    }
    if let Some(frame) = &mut answer.xml {
        let root = frame.root;
        let count = all.len().to_string();
        let about = [("name", "resource names"), ("count", count.as_str())];
        let list = frame.add(root, "list", &about);
        for resource in all {
            let item = frame.add(list, "item", &[("name", "resource")]);
            frame.document.append_text(item, &resource.instance);
        }
    }
    answer
}

/// All resources with their state.
pub(super) fn list(run: &Run<'_>) -> Answer {
    let mut answer = run.answer();
    match &mut answer.xml {
        Some(frame) => {
            let root = frame.root;
            crate::status_xml::write_resources(run.cib, &run.status, frame, root);
        }
        None => {
            answer.text = String::from("Full List of Resources:\n");
            if run.status.resources.is_empty() {
                answer.text.push_str("  * No resources\n");
            }
            answer
                .text
                .push_str(&crate::status_text::resources(&run.status, 1));
        }
    }
    answer
}

/// The configuration of a resource, with its template's or as written.
pub(super) fn configuration(run: &Run<'_>) -> Result<Answer, Failure> {
    let id = run.resource()?;
    let Some(element) = super::find(run.cib, id) else {
        let message = format!("{id} is not configured");
        return Err(Failure::new(exit::NO_SUCH, message));
    };
    let mut copy = run.cib.document().extract(element.key());
    if run.given.has("query-xml") {
        expand(run.cib, &mut copy);
    }
    let text = copy.to_text();
    let mut answer = run.answer();
    let shown = find(&run.status, id);
    if let Some(frame) = &mut answer.xml {
        let root = frame.root;
        let parent = frame.add(root, "resource_config", &[]);
        if let Some(resource) = shown {
            crate::status_xml::write_resource(run.cib, &run.status, resource, frame, parent);
        }
        let xml = frame.add(parent, "xml", &[]);
        frame.document.append_text(xml, &text);
        return Ok(answer);
    }
    if let Some(resource) = shown {
        answer.text = crate::status_text::resource(&run.status, resource);
    }
    let _ = write!(answer.text, "Resource XML:\n{text}");
    Ok(answer)
}

/// Adds what a primitive has from its template.
fn expand(cib: &Cib, document: &mut Document) {
    let root = document.root().key();
    let template = document
        .root()
        .attr("template")
        .and_then(|t| cib.document().find_by_id(t));
    let Some(template) = template else {
        return;
    };
    for (name, value) in template.attributes() {
        if name != "id" && document.root().attr(name).is_none() {
            document.set_attr(root, name, value);
        }
    }
    document.remove_attr(root, "template");
    for child in template.children() {
        let operations = document.root().child("operations").map(Element::key);
        match operations.filter(|_| child.name() == "operations") {
            None => {
                document.append_copy(root, cib.document(), child.key());
            }
            Some(operations) => {
                for op in child.children() {
                    // An operation of its own goes before the template's.
                    let same = |o: &Element<'_>| {
                        o.attr("name") == op.attr("name")
                            && o.attr("interval") == op.attr("interval")
                    };
                    if !document.element(operations).children().any(|o| same(&o)) {
                        document.append_copy(operations, cib.document(), op.key());
                    }
                }
            }
        }
    }
}

/// The value of a parameter.
pub(super) fn parameter(run: &Run<'_>) -> Result<Answer, Failure> {
    let id = run.resource()?;
    let name = run.given.value("get-parameter").unwrap_or("");
    let value = if run.given.has("meta") {
        super::meta(run.cib, id, name)
    } else {
        let block = super::change::block(run.given);
        let own = super::find(run.cib, id);
        let template = own.and_then(|e| run.cib.document().find_by_id(e.attr("template")?));
        own.and_then(|e| super::value_in(e, block, name))
            .or_else(|| template.and_then(|t| super::value_in(t, block, name)))
    };
    let mut answer = run.answer();
    match value {
        Some(value) => {
            let _ = writeln!(answer.text, "{value}");
            if let Some(frame) = &mut answer.xml {
                let root = frame.root;
                let about = [("name", "attributes"), ("count", "1")];
                let list = frame.add(root, "list", &about);
                let item = frame.add(list, "item", &[("name", name)]);
                frame.document.append_text(item, &value);
            }
        }
        None => {
            answer
                .errors
                .push(format!("Attribute '{name}' not found for '{id}'"));
            answer.plain_errors = true;
        }
    }
    Ok(answer)
}

/// Where a resource runs.
pub(super) fn locate(run: &Run<'_>) -> Result<Answer, Failure> {
    let id = run.resource()?;
    let mut answer = run.answer();
    let places = find(&run.status, id).map_or(Vec::new(), |r| {
        let role = |place: usize| {
            let mut all = Vec::new();
            primitives(std::slice::from_ref(r), &mut all);
            all.iter()
                .any(|p| p.nodes.contains(&place) && p.role == "Promoted")
        };
        r.nodes
            .iter()
            .map(|n| (run.status.nodes[*n].name.clone(), role(*n)))
            .collect()
    });
    if places.is_empty() {
        answer.errors.push(format!("resource {id} is NOT running"));
        answer.plain_errors = true;
    }
    for (node, promoted) in &places {
        let state = if *promoted { " Promoted" } else { "" };
        let _ = writeln!(answer.text, "resource {id} is running on: {node}{state}");
    }
    if let Some(frame) = &mut answer.xml {
        let root = frame.root;
        let list = frame.add(root, "nodes", &[("resource", id)]);
        for (node, promoted) in &places {
            let element = frame.add(list, "node", &[]);
            if *promoted {
                frame.document.set_attr(element, "state", "promoted");
            }
            frame.document.append_text(element, node);
        }
    }
    Ok(answer)
}

/// The operations in the history.
pub(super) fn operations(run: &Run<'_>) -> Answer {
    let mut answer = run.answer();
    let parent = answer.xml.as_mut().map(|f| {
        let root = f.root;
        f.add(root, "operations", &[])
    });
    let states = run.cib.section(Section::Status).into_iter();
    for state in states.flat_map(|s| s.children_named("node_state")) {
        let node = state.attr("uname").unwrap_or("");
        if run.given.value("node").is_some_and(|n| n != node) {
            continue;
        }
        for entry in state.descendants().filter(|e| e.name() == "lrm_rsc_op") {
            let history = entry.parent();
            let id = history.map_or("", Element::id);
            if run.given.value("resource").is_some_and(|r| r != id) {
                continue;
            }
            operation(run, (id, node), entry, &mut answer.text);
            if let (Some(frame), Some(parent)) = (&mut answer.xml, parent) {
                let attr = |name: &str| entry.attr(name).unwrap_or("");
                let (call, rc) = (attr("call-id"), attr("rc-code"));
                let about = [
                    ("op", attr("operation_key")),
                    ("node", node),
                    ("call", if call.is_empty() { "0" } else { call }),
                    ("rc", if rc.is_empty() { "0" } else { rc }),
                    ("status", crate::failures::status_of(entry)),
                ];
                frame.add(parent, "operation", &about);
            }
        }
    }
    answer
}

fn operation(run: &Run<'_>, (id, node): (&str, &str), entry: Element<'_>, text: &mut String) {
    let attr = |name: &str| entry.attr(name).unwrap_or("");
    if let Some(resource) = find(&run.status, id) {
        let line = crate::status_text::resource_without_node(&run.status, resource);
        let _ = write!(text, "{line}: ");
    }
    let key = entry.attr("operation_key").unwrap_or_else(|| entry.id());
    let (call, rc) = (attr("call-id"), attr("rc-code"));
    let _ = write!(text, "{key} (node={node}, call={call}, rc={rc}");
    if let Some(at) = attr("last-rc-change").parse().ok().filter(|at| *at > 0) {
        let at = crate::date::local_text(at);
        let exec = entry.attr("exec-time").unwrap_or("(null)");
        let _ = write!(text, ", last-rc-change='{at}', exec={exec}ms");
    }
    let _ = writeln!(text, "): {}", crate::failures::status_of(entry));
}

/// Why resources are where they are: in Pacemaker's words first, then the reason itself.
pub(super) fn why(run: &Run<'_>) -> Result<Answer, Failure> {
    let node = run.node()?;
    let mut answer = run.answer();
    let one = match run.given.value("resource") {
        Some(_) => Some(run.resource()?),
        None => None,
    };
    let mut shown: Vec<&ResourceStatus> = Vec::new();
    match (one, node) {
        (Some(id), _) => shown.extend(find(&run.status, id)),
        (None, None) => shown.extend(&run.status.resources),
        (None, Some(_)) => primitives(&run.status.resources, &mut shown),
    }
    let runs_on = |r: &ResourceStatus| {
        r.nodes
            .iter()
            .any(|n| node.is_none_or(|node| run.status.nodes[*n].name == node))
    };
    if one.is_none() && node.is_some() {
        shown.retain(|r| runs_on(r));
    }
    for resource in &shown {
        let not = if runs_on(resource) { "" } else { "not " };
        let place = node.map_or(String::new(), |n| format!(" on host {n}"));
        let id = &resource.instance;
        let _ = writeln!(answer.text, "Resource {id} is {not}running{place}");
        let stopped = checks(resource);
        if stopped.0 {
            let _ = writeln!(
                answer.text,
                "Configuration specifies '{id}' should remain stopped"
            );
        }
        if stopped.1 {
            let _ = writeln!(
                answer.text,
                "Configuration specifies '{id}' should not be promoted"
            );
        }
        if stopped.2 {
            let _ = writeln!(answer.text, "Configuration specifies '{id}' is unmanaged");
        }
        if !runs_on(resource) && !stopped.0 {
            answer.text.push_str(&reason(run, &resource.id));
        }
    }
    if let Some(frame) = &mut answer.xml {
        let root = frame.root;
        let parent = frame.add(root, "reason", &[]);
        if let (Some(_), [resource]) = (one, shown.as_slice()) {
            let running = if runs_on(resource) { "true" } else { "false" };
            frame.document.set_attr(parent, "running", running);
            check(resource, frame, parent);
        } else {
            let list = frame.add(parent, "resources", &[]);
            for resource in &shown {
                let running = if runs_on(resource) { "true" } else { "false" };
                let mut about = vec![("id", resource.instance.as_str()), ("running", running)];
                about.extend(node.map(|n| ("host", n)));
                let element = frame.add(list, "resource", &about);
                check(resource, frame, element);
            }
        }
    }
    Ok(answer)
}

/// What the configuration itself says: stopped, not promoted, unmanaged.
fn checks(resource: &ResourceStatus) -> (bool, bool, bool) {
    let role = resource.target_role.as_deref().map(str::to_ascii_lowercase);
    let stopped = role.as_deref() == Some("stopped");
    let unpromoted = matches!(role.as_deref(), Some("unpromoted" | "slave"));
    (stopped, unpromoted, !resource.managed)
}

fn check(resource: &ResourceStatus, frame: &mut Frame, parent: cib::ElementId) {
    let (stopped, unpromoted, unmanaged) = checks(resource);
    let element = frame.add(parent, "check", &[("id", &resource.id)]);
    if stopped {
        frame.document.set_attr(element, "remain_stopped", "true");
    } else if unpromoted {
        frame.document.set_attr(element, "promotable", "false");
    }
    if unmanaged {
        frame.document.set_attr(element, "unmanaged", "true");
    }
}

/// The reason as `explain` gives it.
fn reason(run: &Run<'_>, id: &str) -> String {
    let subject = Subject::Resource(id.to_owned());
    let explained = scheduler::explain(run.cib, &run.inputs, &subject);
    let Some(explained) = explained else {
        return String::new();
    };
    let file = run.cib.document().file().unwrap_or("CIB");
    let text = crate::explanation_text(&explained.explanation, file);
    text.lines().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "  {line}");
        out
    })
}
