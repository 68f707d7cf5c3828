//! Answers as text.

use std::fmt::Write as _;

use stack_client::Value;
use stack_client::words::{Group, Link, LinkState, Quorum, Status};

pub(super) fn status(status: &Status) -> String {
    let mut text = format!(
        "cluster {}, node {}, view {}{}\n",
        status.cluster,
        status.node,
        status.view,
        if status.in_force {
            ""
        } else {
            " (the next one is being agreed)"
        }
    );
    text += &quorum(&status.quorum);
    text += &members(status);
    for cause in status.causes.iter().take(5) {
        let seconds = cause.ago_ms as f64 / 1_000.0;
        let _ = writeln!(text, "changed {seconds:.1} s ago: {}", cause.why);
    }
    let refused = &status.refused;
    let count = refused.unknown_key + refused.not_opened + refused.unreadable + refused.connections;
    if count > 0 {
        let _ = writeln!(
            text,
            "refused: {} connections, {} datagrams; last: {}",
            refused.connections,
            count - refused.connections,
            refused.last.as_deref().unwrap_or("-")
        );
    }
    for limit in &status.limits {
        let _ = writeln!(text, "note: {limit}");
    }
    text
}

pub(super) fn quorum(quorum: &Quorum) -> String {
    let word = if quorum.quorate {
        "quorate"
    } else {
        "NOT QUORATE"
    };
    let reason = if quorum.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", quorum.reason)
    };
    format!(
        "{word}, {} of {} votes, {} needed{reason}\n",
        quorum.votes, quorum.expected, quorum.needed
    )
}

pub(super) fn members(status: &Status) -> String {
    let line = |node: &stack_client::words::NodeState| {
        let state = if node.member { "member" } else { "absent" };
        format!(
            "{:>4}  {:<20} {state:<8} {} votes\n",
            node.id, node.name, node.votes
        )
    };
    status.nodes.iter().map(line).collect()
}

pub(super) fn links(links: &[Link]) -> String {
    let line = |link: &Link| {
        let state = match link.state {
            LinkState::InUse => "in use",
            LinkState::Standby => "standby",
            LinkState::Silent => "SILENT",
            LinkState::NotConnected => "not connected",
        };
        let trip = link
            .round_trip_us
            .map_or_else(|| "-".to_owned(), |us| format!("{us} us"));
        let counters = link.counters;
        format!(
            "{:<16} {:<10} {:<22} {state:<14} {trip:>9} {:>5} B/datagram  out {} ({} B, {} failed)  in {} ({} B)  {} changes\n",
            link.peer,
            link.network,
            link.address,
            link.datagram_bytes,
            counters.sent,
            counters.sent_bytes,
            counters.send_failed,
            counters.received,
            counters.received_bytes,
            counters.changes
        )
    };
    links.iter().map(line).collect()
}

pub(super) fn keys(keys: &[(String, Value)]) -> String {
    let line = |(key, value): &(String, Value)| {
        let value = match value {
            Value::Bool(value) => value.to_string(),
            Value::Unsigned(value) => value.to_string(),
            Value::Signed(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(value) => value.clone(),
            Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        };
        format!("{key} = {value}\n")
    };
    keys.iter().map(line).collect()
}

pub(super) fn groups(groups: &[Group]) -> String {
    groups
        .iter()
        .map(|group| format!("{}: {}\n", group.name, members_of(group)))
        .collect()
}

pub(super) fn members_of(group: &Group) -> String {
    let members: Vec<String> = group
        .members
        .iter()
        .map(|(node, client)| format!("{node}.{client}"))
        .collect();
    members.join(" ")
}
