//! Text for people.

use std::fmt::Write as _;

use stack_api::stack::{Resource, SiteNodes, Status, TicketStatus};

pub(crate) fn status(status: &Status) -> String {
    let mut out = String::new();
    let site = status
        .site
        .as_ref()
        .map(|site| format!(" of site {site}"))
        .unwrap_or_default();
    let busy = if status.busy { ", working" } else { "" };
    let _ = writeln!(out, "Node {}{site}: {}{busy}", status.node, status.phase);
    let _ = writeln!(
        out,
        "CIB {}; protection: {}",
        status.cib_version,
        status.protection.name()
    );
    if let Some(nodes) = &status.site_nodes {
        out.push_str(&self::site(nodes));
    }
    for limit in &status.limits {
        let _ = writeln!(out, "  limit: {limit}");
    }
    for error in &status.configuration_errors {
        let _ = writeln!(out, "Configuration: {error}");
    }
    out.push_str(&resources(&status.resources));
    for ticket in &status.tickets {
        out.push_str(&self::ticket(ticket));
    }
    out
}

fn site(site: &SiteNodes) -> String {
    let coordinator = site.coordinator.as_deref().unwrap_or("nobody yet");
    let quorum = match (site.agreed, site.quorate) {
        (false, _) => "the nodes are agreeing on the CIB",
        (true, true) => "quorate",
        (true, false) => "no quorum",
    };
    let view = &site.view;
    let mut out = format!("Nodes: {quorum}; coordinator (DC): {coordinator}; view {view}\n");
    for node in &site.nodes {
        let mark = if node.coordinates { ", DC" } else { "" };
        let _ = writeln!(
            out,
            "  {}: {}{mark}, {} active",
            node.name, node.state, node.running
        );
    }
    out
}

pub(crate) fn resources(resources: &[Resource]) -> String {
    let mut out = String::from("Resources:\n");
    if resources.is_empty() {
        out.push_str("  none\n");
    }
    for resource in resources {
        let managed = if resource.managed { "" } else { " (unmanaged)" };
        let place = if resource.nodes.is_empty() {
            String::new()
        } else {
            format!(" on {}", resource.nodes.join(", "))
        };
        let terms: Vec<String> = resource
            .terms
            .iter()
            .map(|(ticket, term)| format!("{ticket} term {term}"))
            .collect();
        let under = if terms.is_empty() {
            String::new()
        } else {
            format!(", {}", terms.join(", "))
        };
        let _ = writeln!(
            out,
            "  {} ({}): {}{place}{managed}{under}",
            resource.id,
            resource.agent,
            resource.state.name()
        );
        if let Some(failure) = &resource.last_failure {
            let count = match resource.fail_count {
                1_000_000.. => "INFINITY".to_owned(),
                count => count.to_string(),
            };
            let _ = writeln!(out, "    failures {count}, last: {failure}");
        }
    }
    out
}

fn ticket(ticket: &TicketStatus) -> String {
    let state = match (ticket.granted, ticket.quiet) {
        (true, _) if ticket.started => "granted, everything runs",
        (true, _) => "granted",
        (false, true) => "not granted, nothing runs",
        (false, false) => "not granted, still stopping or in doubt",
    };
    let mut out = format!("Ticket {}: {state}, term {}\n", ticket.ticket, ticket.term);
    if let Some(hold) = &ticket.hold {
        let _ = writeln!(out, "  hold: {hold}");
    }
    for problem in &ticket.problems {
        let _ = writeln!(out, "  problem: {problem}");
    }
    out
}
