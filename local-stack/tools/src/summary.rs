//! What a transition amounts to, one line per resource.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use scheduler::{Action, ActionKind, ResourceStatus, Status, Transition};

/// What happens to one resource, and where.
#[derive(Debug, Default)]
struct Change<'t> {
    start: Option<&'t str>,
    stop: Option<&'t str>,
    promote: Option<&'t str>,
    demote: Option<&'t str>,
    migrate: Option<(&'t str, &'t str)>,
    reload: Option<&'t str>,
}

/// Lists what will change.
pub(crate) fn summary(before: &Status, transition: &Transition) -> String {
    let mut text = String::new();
    let mut changes: BTreeMap<&str, Change<'_>> = BTreeMap::new();
    for action in transition.synapses.iter().map(|s| &s.action) {
        if action.kind == ActionKind::Cluster && action.operation == "stonith" {
            let how = action.attribute("CRM_meta_stonith_action").unwrap_or("");
            let node = action.node.as_ref().map_or("", |n| n.uname.as_str());
            let _ = writeln!(text, "  * Fence ({how}) {node}");
        }
        note(action, &mut changes);
    }
    let width = changes.keys().map(|id| id.len()).max().unwrap_or(0);
    for (id, change) in changes {
        let known = find(&before.resources, id);
        let from = known
            .and_then(|r| r.node.filter(|_| r.active.0))
            .map(|n| before.nodes[n].name.as_str());
        if let Some((what, place)) = describe(&change, from, known.is_some_and(|r| r.failed)) {
            let _ = writeln!(text, "  * {what:<10} {id:<width$}    ( {place} )");
        }
    }
    text
}

fn note<'t>(action: &'t Action, changes: &mut BTreeMap<&'t str, Change<'t>>) {
    let (Some(resource), Some(node)) = (&action.resource, &action.node) else {
        return;
    };
    if action.kind != ActionKind::Resource {
        return;
    }
    let id = resource.long_id.as_deref().unwrap_or(&resource.id);
    let node = node.uname.as_str();
    let place = match action.operation.as_str() {
        "migrate_to" => {
            let target = action.attribute("CRM_meta_migrate_target").unwrap_or("");
            changes.entry(id).or_default().migrate = Some((node, target));
            return;
        }
        "start" => &mut changes.entry(id).or_default().start,
        "stop" => &mut changes.entry(id).or_default().stop,
        "promote" => &mut changes.entry(id).or_default().promote,
        "demote" => &mut changes.entry(id).or_default().demote,
        "reload" | "reload-agent" => &mut changes.entry(id).or_default().reload,
        _ => return,
    };
    *place = Some(node);
}

fn find<'s>(resources: &'s [ResourceStatus], id: &str) -> Option<&'s ResourceStatus> {
    resources.iter().find_map(|r| {
        let this = r.members.is_empty() && r.id == id;
        if this { Some(r) } else { find(&r.members, id) }
    })
}

fn describe(
    change: &Change<'_>,
    from: Option<&str>,
    failed: bool,
) -> Option<(&'static str, String)> {
    let restart = if failed { "Recover" } else { "Restart" };
    Some(match change {
        Change {
            migrate: Some((source, target)),
            ..
        } => ("Migrate", format!("{source} -> {target}")),
        Change {
            start: Some(to),
            stop,
            ..
        } => match stop.or(from) {
            Some(from) if from == *to => (restart, (*to).to_owned()),
            Some(from) => (
                if failed { restart } else { "Move" },
                format!("{from} -> {to}"),
            ),
            None => ("Start", (*to).to_owned()),
        },
        Change {
            stop: Some(node), ..
        } => ("Stop", (*node).to_owned()),
        Change {
            promote: Some(node),
            demote: Some(_),
            ..
        } => (
            if failed { "Recover" } else { "Re-promote" },
            format!("Promoted {node}"),
        ),
        Change {
            promote: Some(node),
            ..
        } => ("Promote", format!("Unpromoted -> Promoted {node}")),
        Change {
            demote: Some(node), ..
        } => ("Demote", format!("Promoted -> Unpromoted {node}")),
        Change {
            reload: Some(node), ..
        } => ("Reload", (*node).to_owned()),
        _ => return None,
    })
}
