//! What a transition amounts to, one line per resource.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use scheduler::{Action, ActionKind, ResourceKind, ResourceStatus, Status, Transition};

use crate::answer::Frame;

/// One line of the summary.
#[derive(Debug)]
pub(super) enum Line {
    /// Something happens to a node.
    Node { task: String, node: String },
    /// Something happens to a resource.
    Resource(Box<ResourceLine>),
}

/// What happens to a resource.
#[derive(Debug, Default)]
pub(super) struct ResourceLine {
    what: &'static str,
    id: String,
    from: Option<String>,
    to: Option<String>,
    role: &'static str,
    next: &'static str,
    /// Whether roles are worth mentioning.
    roles: bool,
    reason: Option<&'static str>,
}

/// The actions on one resource, and where.
#[derive(Debug, Default)]
struct Acts<'t> {
    start: Option<&'t str>,
    stop: Option<&'t str>,
    promote: Option<&'t str>,
    demote: Option<&'t str>,
    migrate: Option<(&'t str, &'t str)>,
    reload: Option<&'t str>,
}

/// Lists what will change: nodes first, then resources in the order of the status.
pub(super) fn changes(before: &Status, transition: &Transition) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut acts: BTreeMap<&str, Acts<'_>> = BTreeMap::new();
    for action in transition.synapses.iter().map(|s| &s.action) {
        let node = action.node.as_ref().map_or("", |n| n.uname.as_str());
        let task = match (action.kind, action.operation.as_str()) {
            (ActionKind::Cluster, "stonith") => {
                let how = action.attribute("CRM_meta_stonith_action").unwrap_or("");
                Some(format!("Fence ({how})"))
            }
            _ => None,
        };
        if let Some(task) = task {
            let node = node.to_owned();
            lines.push(Line::Node { task, node });
        }
        note(action, &mut acts);
    }
    for resource in &before.resources {
        collect(before, resource, false, &acts, &mut lines);
    }
    lines
}

fn note<'t>(action: &'t Action, changes: &mut BTreeMap<&'t str, Acts<'t>>) {
    let Some(node) = action.node.as_ref().map(|n| n.uname.as_str()) else {
        return;
    };
    let key = action.internal_key.as_ref().unwrap_or(&action.key);
    let id = match (&action.resource, action.kind) {
        (Some(resource), ActionKind::Resource) => {
            resource.long_id.as_deref().unwrap_or(&resource.id)
        }
        // What is implied by fencing, or by a migration, has no agent, only a key.
        (_, ActionKind::Pseudo) => {
            let tail = format!("_{}_0", action.operation);
            match key.strip_suffix(tail.as_str()) {
                Some(id) => id,
                None => return,
            }
        }
        _ => return,
    };
    let entry = changes.entry(id).or_default();
    let place = match action.operation.as_str() {
        "migrate_to" => {
            let target = action.attribute("CRM_meta_migrate_target").unwrap_or("");
            entry.migrate = Some((node, target));
            return;
        }
        "start" => &mut entry.start,
        "stop" => &mut entry.stop,
        "promote" => &mut entry.promote,
        "demote" => &mut entry.demote,
        "reload" | "reload-agent" => &mut entry.reload,
        _ => return,
    };
    *place = Some(node);
}

fn collect(
    status: &Status,
    resource: &ResourceStatus,
    promotable: bool,
    acts: &BTreeMap<&str, Acts<'_>>,
    lines: &mut Vec<Line>,
) {
    let promotable = match &resource.kind {
        ResourceKind::Clone { promotable, .. } => *promotable,
        _ => promotable,
    };
    if matches!(resource.kind, ResourceKind::Primitive(..)) && resource.parts.is_empty() {
        if let Some(acts) = acts.get(resource.instance.as_str())
            && let Some(line) = line_of(status, resource, promotable, acts)
        {
            lines.push(Line::Resource(Box::new(line)));
        }
        return;
    }
    for part in &resource.parts {
        let inside = part.role == "Promoted" || part.role == "Unpromoted";
        collect(status, part, promotable || inside, acts, lines);
    }
    for member in &resource.members {
        collect(status, member, promotable, acts, lines);
    }
}

fn line_of(
    status: &Status,
    resource: &ResourceStatus,
    promotable: bool,
    acts: &Acts<'_>,
) -> Option<ResourceLine> {
    let active = resource.node.filter(|_| resource.active.0);
    let current = active.map(|n| status.nodes[n].name.as_str());
    let promoting = acts.promote.is_some();
    let roles = promotable || promoting || acts.demote.is_some();
    let next = match (promoting, roles) {
        (true, _) => "Promoted",
        (false, true) => "Unpromoted",
        (false, false) => "Started",
    };
    let mut line = ResourceLine {
        id: resource.instance.clone(),
        role: resource.role,
        next,
        roles,
        ..ResourceLine::default()
    };
    let (what, from, to) = what_happens(acts, current, resource.failed)?;
    line.what = what;
    line.from = from.map(str::to_owned);
    line.to = to.map(str::to_owned);
    line.reason = (what == "Stop" && !resource.failed).then_some("node availability");
    if matches!(line.what, "Restart" | "Recover" | "Reload" | "Re-promote") && !promoting {
        line.next = line.role;
    }
    Some(line)
}

/// What the actions amount to, from where, to where.
fn what_happens<'t>(
    acts: &Acts<'t>,
    current: Option<&'t str>,
    failed: bool,
) -> Option<(&'static str, Option<&'t str>, Option<&'t str>)> {
    let again = if failed { "Recover" } else { "Restart" };
    Some(match *acts {
        Acts {
            migrate: Some((source, target)),
            ..
        } => ("Migrate", Some(source), Some(target)),
        Acts {
            start: Some(to),
            stop,
            promote,
            ..
        } => match stop.or(current) {
            Some(from) if from == to => (again, Some(from), Some(to)),
            Some(from) => {
                let what = if failed { again } else { "Move" };
                (what, Some(from), Some(to))
            }
            None if promote.is_some() => ("Promote", None, Some(to)),
            None => ("Start", None, Some(to)),
        },
        Acts {
            stop: Some(node), ..
        } => ("Stop", Some(node), None),
        Acts {
            promote: Some(node),
            demote,
            ..
        } => {
            let what = match demote {
                None => "Promote",
                Some(_) if failed => again,
                Some(_) => "Re-promote",
            };
            (what, Some(node), Some(node))
        }
        Acts {
            demote: Some(node), ..
        } => ("Demote", Some(node), Some(node)),
        Acts {
            reload: Some(node), ..
        } => ("Reload", Some(node), Some(node)),
        Acts { .. } => return None,
    })
}

impl ResourceLine {
    /// From where to where, with roles where there are any.
    fn place(&self) -> String {
        let (role, next) = (self.role, self.next);
        match (self.from.as_deref(), self.to.as_deref()) {
            (None, Some(to)) if self.what == "Promote" => format!("{role} -> {next} {to}"),
            (None, Some(one)) => one.to_owned(),
            (Some(one), None) if self.roles => format!("{role} {one}"),
            (Some(one), None) => one.to_owned(),
            (Some(from), Some(to)) if from == to => match (self.roles, role == next) {
                (false, _) => to.to_owned(),
                (true, true) => format!("{role} {to}"),
                (true, false) => format!("{role} -> {next} {to}"),
            },
            (Some(from), Some(to)) => match (self.roles, role == next) {
                (false, _) => format!("{from} -> {to}"),
                (true, true) => format!("{from} -> {to} {role}"),
                (true, false) => format!("{role} {from} -> {next} {to}"),
            },
            (None, None) => String::new(),
        }
    }
}

/// The summary as text.
pub(super) fn text(lines: &[Line]) -> String {
    let mut out = String::new();
    let resources = || {
        lines.iter().filter_map(|l| match l {
            Line::Resource(line) => Some(line),
            Line::Node { .. } => None,
        })
    };
    // Widths as Pacemaker's: at least 5, and two more than a name that does not fit.
    let width = resources().fold(5, |width, line| match line.id.len() {
        length if length > width => length + 2,
        _ => width,
    });
    let places = resources().map(|l| l.place().len());
    let place = places.max().unwrap_or(0).max(5);
    for line in lines {
        let _ = match line {
            Line::Node { task, node } => writeln!(out, "  * {task} {node}"),
            Line::Resource(line) => {
                let reason = line
                    .reason
                    .map_or(String::new(), |r| format!("  due to {r}"));
                let (what, id, at) = (line.what, &line.id, line.place());
                writeln!(
                    out,
                    "  * {what:<10} {id:<width$}   ( {at:>place$} ){reason}"
                )
            }
        };
    }
    out
}

/// The summary as XML.
pub(super) fn xml(lines: &[Line], frame: &mut Frame) {
    let root = frame.root;
    let list = frame.add(root, "actions", &[]);
    for line in lines {
        let line = match line {
            Line::Node { task, node } => {
                // The schema wants a reason; the graph has none.
                let about = [("task", task.as_str()), ("node", node), ("reason", "")];
                frame.add(list, "node_action", &about);
                continue;
            }
            Line::Resource(line) => line,
        };
        let action = line.what.to_ascii_lowercase();
        let mut about: Vec<(&str, &str)> = vec![("action", &action), ("resource", &line.id)];
        if line.roles && line.what != "Start" {
            about.push(("role", line.role));
            if line.role != line.next && line.to.is_some() {
                about.push(("next-role", line.next));
            }
        }
        match (line.from.as_deref(), line.to.as_deref()) {
            (Some(from), Some(to)) if from != to => about.extend([("source", from), ("dest", to)]),
            (Some(node), _) | (_, Some(node)) => about.push(("node", node)),
            (None, None) => {}
        }
        if let Some(reason) = line.reason {
            about.push(("reason", reason));
        }
        frame.add(list, "rsc_action", &about);
    }
}
