//! `ticket peers` and `ticket status`.

use std::fmt::Write;

use serde_json::json;
use ticket_admin::{Code, MemberState, MemberView, NodeView, Role, View};

use crate::args::Global;
use crate::clock::{Now, span};
use crate::connect::look;
use crate::json;
use crate::output::{Output, Paint, Stop, Style};
use crate::table::{Cell, table};
use crate::tickets::tickets_table;

/// A certificate that ends within so many days is shown in another colour: time enough to find
/// whoever keeps the CA key.
const CERTIFICATE_DAYS: i64 = 30;

/// Two members' real-time clocks this far apart make logs unreadable. Leases do not mind.
const SKEW_MS: u64 = 1_000;

/// `ticket peers`.
pub(crate) fn peers(global: &Global, out: &Output) -> Result<Code, Stop> {
    let view = look(global)?;
    let now = Now::new();
    if out.json {
        let members: Vec<_> = view
            .members
            .iter()
            .map(|it| json::member(it, &now))
            .collect();
        out.print_json(json!({
            "cluster": view.cluster,
            "member": view.member,
            "votes": json::votes(&view),
            "members": members,
        }));
        return Ok(Code::Done);
    }
    let mut text = members_table(out.style, &view.members, &now, "");
    text.push_str(&majority(out.style, &view));
    let counters: Vec<&MemberView> = view
        .members
        .iter()
        .filter(|member| member.traffic.auth_failures > 0)
        .collect();
    for member in counters {
        let _ = writeln!(
            text,
            "{} {}: {} handshakes failed authentication",
            out.style.paint(Paint::Bad, "!"),
            member.name,
            member.traffic.auth_failures
        );
    }
    out.print(&text);
    Ok(Code::Done)
}

fn majority(style: Style, view: &View) -> String {
    let votes = view.votes;
    let (word, paint) = match votes.reachable >= votes.needed {
        true => (
            format!("{} majority", style.symbol('\u{25cf}', '*')),
            Paint::Good,
        ),
        false => ("! NO MAJORITY".to_owned(), Paint::Bad),
    };
    let missing: Vec<&str> = view
        .members
        .iter()
        .filter(|member| member.voting == Some(false) || !reached(member))
        .map(|member| member.name.as_str())
        .collect();
    let missing = match missing.as_slice() {
        [] => String::new(),
        names => format!("; missing: {}", names.join(", ")),
    };
    format!(
        "{}: {} of {} voters reachable (need {}){missing}\n",
        style.paint(paint, &word),
        votes.reachable,
        votes.configured,
        votes.needed,
    )
}

fn reached(member: &MemberView) -> bool {
    match member.state {
        MemberState::Me => true,
        MemberState::Up => member.why.is_none(),
        _ => false,
    }
}

fn members_table(style: Style, members: &[MemberView], now: &Now, indent: &str) -> String {
    let rows: Vec<Vec<Cell>> = members
        .iter()
        .map(|member| row(style, member, now))
        .collect();
    let headings = [
        "MEMBER",
        "ROLE",
        "STATE",
        "ADDRESS",
        "RTT",
        "HEARD",
        "CERTIFICATE",
        "SKEW",
        "NOTE",
    ];
    table(style, &headings, &rows, indent)
}

fn row(style: Style, member: &MemberView, now: &Now) -> Vec<Cell> {
    let full = style.symbol('\u{25cf}', '*');
    let (symbol, word, paint) = match (member.state, member.voting) {
        (MemberState::Me | MemberState::Up, Some(false)) => ('!', "no vote", Paint::Warn),
        (MemberState::Me, _) => (full, "here", Paint::Good),
        // The daemon says why where it asked in vain.
        (MemberState::Up, _) if member.why.is_some() => {
            (style.symbol('\u{25d0}', '~'), "silent", Paint::Warn)
        }
        (MemberState::Up, _) => (full, "up", Paint::Good),
        (MemberState::Down, _) => (style.symbol('\u{2717}', 'x'), "down", Paint::Bad),
        (MemberState::Never, _) => (style.symbol('\u{25cb}', 'o'), "never seen", Paint::Bad),
        (MemberState::Refused, _) => ('!', "refused", Paint::Bad),
    };
    let role = match member.role {
        Role::Site => "site",
        Role::Arbitrator => "arbitrator",
    };
    let certificate = match &member.certificate {
        Some(certificate) => match now.days_until(certificate.not_after_unix) {
            days if days < 0 => Cell::new("EXPIRED", Paint::Bad),
            days if days < CERTIFICATE_DAYS => Cell::new(format!("{days} days"), Paint::Warn),
            days => Cell::plain(format!("{days} days")),
        },
        None => Cell::plain("-"),
    };
    let skew = match member.skew_ms {
        Some(ms) if ms.unsigned_abs() >= SKEW_MS => Cell::new(format!("{ms:+} ms"), Paint::Warn),
        Some(ms) => Cell::plain(format!("{ms:+} ms")),
        None => Cell::plain("-"),
    };
    vec![
        Cell::plain(&member.name),
        Cell::plain(role),
        Cell::new(format!("{symbol} {word}"), paint),
        Cell::plain(member.address.as_deref().unwrap_or("-")),
        Cell::plain(member.rtt_us.map_or_else(|| "-".to_owned(), rtt)),
        Cell::plain(
            member
                .heard_ago_ms
                .map_or_else(|| "-".to_owned(), |ms| format!("{} ago", span(ms))),
        ),
        certificate,
        skew,
        Cell::plain(member.why.as_deref().unwrap_or_default()),
    ]
}

fn rtt(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{} ms", us / 1_000),
    }
}

/// `ticket status`.
pub(crate) fn status(global: &Global, out: &Output) -> Result<Code, Stop> {
    let view = look(global)?;
    let now = Now::new();
    if out.json {
        out.print_json(json::view(&view, &now));
        return Ok(Code::Done);
    }
    let style = out.style;
    let role = match view.role {
        Role::Site => "site",
        Role::Arbitrator => "arbitrator",
    };
    let mut text = format!(
        "cluster {}, seen by {} ({role}, up {}, version {}) at {}\n",
        style.paint(Paint::Bold, &view.cluster),
        view.member,
        span(view.up_ms),
        view.version,
        now.clock_in(0),
    );
    for alarm in &view.alarms {
        let _ = writeln!(
            text,
            "{}",
            style.paint(Paint::Bad, &format!("! ALARM: {alarm}"))
        );
    }
    text.push_str(&majority(style, &view));
    let heading = |text: &mut String, name: &str| {
        let _ = writeln!(text, "\n{}", style.paint(Paint::Bold, name));
    };
    heading(&mut text, "Tickets");
    text.push_str(&match view.tickets.is_empty() {
        true => "  none configured\n".to_owned(),
        false => tickets_table(style, &view.tickets, &now, "  "),
    });
    heading(&mut text, "Members");
    text.push_str(&members_table(style, &view.members, &now, "  "));
    if !view.nodes.is_empty() {
        heading(&mut text, "Nodes");
        text.push_str(&nodes_table(style, &view.nodes));
    }
    out.print(&text);
    Ok(Code::Done)
}

fn nodes_table(style: Style, nodes: &[NodeView]) -> String {
    let rows: Vec<Vec<Cell>> = nodes
        .iter()
        .map(|node| {
            let (symbol, paint, meaning) = match node.protection.as_str() {
                "watchdog" => (
                    style.symbol('\u{25cf}', '*'),
                    Paint::Good,
                    "resets the node, a hung kernel too",
                ),
                "process" => (
                    style.symbol('\u{25d0}', '~'),
                    Paint::Plain,
                    "kills processes; not a hung kernel",
                ),
                _ => (
                    '!',
                    Paint::Bad,
                    "NOTHING ends a lease here if agent and stack die",
                ),
            };
            let guard = match node.guard {
                true => Cell::new(format!("{} up", style.symbol('\u{25cf}', '*')), Paint::Good),
                false => Cell::new(
                    format!("{} down", style.symbol('\u{2717}', 'x')),
                    Paint::Bad,
                ),
            };
            let cluster = match node.cluster.as_str() {
                "ok" => Cell::new("ok", Paint::Good),
                other => Cell::new(format!("! {other}"), Paint::Warn),
            };
            let protection = match node.protection.as_str() {
                "" => "none",
                known => known,
            };
            vec![
                Cell::plain(&node.name),
                Cell::plain(&node.site),
                Cell::new(format!("{symbol} {protection}"), paint),
                guard,
                cluster,
                Cell::new(meaning, Paint::Dim),
            ]
        })
        .collect();
    table(
        style,
        &["NODE", "SITE", "PROTECTION", "GUARD", "CLUSTER", "MEANING"],
        &rows,
        "  ",
    )
}
