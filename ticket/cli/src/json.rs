//! What a member knows, for programs: snake_case, times in RFC 3339 UTC by this machine's clock,
//! spans in `_seconds`.

use serde_json::{Value, json};
use ticket_admin::{
    Event, Level, MemberState, MemberView, Mode, NodeView, Role, TicketState, TicketView, View,
};

use crate::clock::{Now, rfc3339_of_seconds, rfc3339_of_unix, seconds};

/// Everything.
pub(crate) fn view(view: &View, now: &Now) -> Value {
    json!({
        "cluster": view.cluster,
        "member": view.member,
        "role": role(view.role),
        "version": view.version,
        "at": now.rfc3339_in(0),
        "up_seconds": seconds(view.up_ms),
        "epoch": view.epoch,
        "votes": votes(view),
        "members": view.members.iter().map(|it| member(it, now)).collect::<Vec<_>>(),
        "tickets": view.tickets.iter().map(|it| ticket(it, now)).collect::<Vec<_>>(),
        "nodes": view.nodes.iter().map(node).collect::<Vec<_>>(),
        "alarms": view.alarms,
    })
}

/// Votes of the formation.
pub(crate) fn votes(view: &View) -> Value {
    json!({
        "configured": view.votes.configured,
        "needed": view.votes.needed,
        "reachable": view.votes.reachable,
        "majority": view.votes.reachable >= view.votes.needed,
    })
}

/// A member.
pub(crate) fn member(member: &MemberView, now: &Now) -> Value {
    let state = match member.state {
        MemberState::Me => "me",
        MemberState::Up => "up",
        MemberState::Down => "down",
        MemberState::Never => "never",
        MemberState::Refused => "refused",
    };
    json!({
        "name": member.name,
        "role": role(member.role),
        "state": state,
        "address": member.address,
        "rtt_seconds": member.rtt_us.map(|us| us as f64 / 1e6),
        "heard_at": member.heard_ago_ms.map(|ms| now.rfc3339_ago(ms)),
        "heard_ago_seconds": member.heard_ago_ms.map(seconds),
        "voting": member.voting,
        "why": member.why,
        "clock_skew_seconds": member.skew_ms.map(|ms| ms as f64 / 1e3),
        "certificate": member.certificate.as_ref().map(|certificate| json!({
            "not_after": rfc3339_of_seconds(certificate.not_after_unix),
            "days_left": now.days_until(certificate.not_after_unix),
            "fingerprint": certificate.fingerprint,
        })),
        "traffic": {
            "sent": member.traffic.sent,
            "received": member.traffic.received,
            "dropped": member.traffic.dropped,
            "connects": member.traffic.connects,
            "auth_failures": member.traffic.auth_failures,
        },
    })
}

/// A ticket.
pub(crate) fn ticket(ticket: &TicketView, now: &Now) -> Value {
    let lease = ticket.lease.as_ref().map(|lease| {
        json!({
            "expires_at": now.rfc3339_in(lease.left_ms),
            "left_seconds": seconds(lease.left_ms),
            "exact": lease.exact,
            "renewed_at": lease.renewed_ago_ms.map(|ms| now.rfc3339_ago(ms)),
            "renews_in_seconds": lease.renews_in_ms.map(seconds),
        })
    });
    let mut value = json!({
        "name": ticket.name,
        "mode": match ticket.mode { Mode::Auto => "auto", Mode::Manual => "manual" },
        "state": state(ticket.state),
        "holder": ticket.holder,
        "term": ticket.term,
        "term_packed": ticket.term_packed,
        "standby": ticket.standby,
        "lease": lease,
        "lease_seconds": ticket.lease_ms.map(seconds),
        "acquire_after_seconds": ticket.acquire_after_ms.map(seconds),
        "stop_budget_seconds": ticket.stop_budget_ms.map(seconds),
        "may_run_until": ticket.may_run_ms.map(|ms| now.rfc3339_in(ms)),
        "may_run_seconds": ticket.may_run_ms.map(seconds),
        "blocked": ticket.blocked,
        "prefer": ticket.prefer,
    });
    value["takeover"] = json!(ticket.takeover.as_ref().map(|takeover| json!({
        "at": now.rfc3339_in(takeover.in_ms),
        "in_seconds": seconds(takeover.in_ms),
        "by": takeover.by,
    })));
    value["hold"] = json!(
        ticket
            .hold
            .as_ref()
            .map(|hold| json!({"reason": hold.reason, "agreed": hold.agreed}))
    );
    value["moving"] = json!(ticket.moving.as_ref().map(|moving| json!({
        "from": moving.from,
        "to": moving.to,
        "phase": moving.phase,
        "deadline_at": moving.left_ms.map(|ms| now.rfc3339_in(ms)),
        "left_seconds": moving.left_ms.map(seconds),
    })));
    value["forced"] = json!(ticket.forced.as_ref().map(|forced| json!({
        "reason": forced.reason,
        "at": forced.at_unix.map(rfc3339_of_seconds),
    })));
    value["votes"] = ticket
        .votes
        .iter()
        .map(|vote| {
            json!({
                "member": vote.member,
                "voting": vote.voting,
                "agrees": vote.agrees,
                "obligation_left_seconds": vote.obligation_left_ms.map(seconds),
                "note": vote.note,
            })
        })
        .collect();
    value["dependents"] = ticket
        .dependents
        .iter()
        .map(|it| json!({"resource": it.resource, "state": it.state, "node": it.node}))
        .collect();
    value
}

fn node(node: &NodeView) -> Value {
    json!({
        "name": node.name,
        "site": node.site,
        "protection": node.protection,
        "guard": node.guard,
        "cluster": node.cluster,
    })
}

/// An event.
pub(crate) fn event(event: &Event) -> Value {
    json!({
        "api-version": ticket_admin::API_VERSION.to_string(),
        "seq": event.seq,
        "at": rfc3339_of_unix(event.at_unix_ms),
        "level": match event.level {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Alarm => "alarm",
        },
        "kind": event.kind,
        "ticket": event.ticket,
        "member": event.member,
        "term": event.term,
        "text": event.text,
    })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Site => "site",
        Role::Arbitrator => "arbitrator",
    }
}

fn state(state: TicketState) -> &'static str {
    match state {
        TicketState::None => "none",
        TicketState::Granting => "granting",
        TicketState::Granted => "granted",
        TicketState::Moving => "moving",
        TicketState::Revoking => "revoking",
        TicketState::Revoked => "revoked",
        TicketState::Lost => "lost",
        TicketState::Unknown => "unknown",
    }
}
