//! `ticket list` and `ticket show`.

use std::fmt::Write;

use ticket_admin::{Code, TicketState, TicketView, View, VoteView};

use crate::args::Global;
use crate::change::{choose, is_manual};
use crate::clock::{Now, span};
use crate::connect::look;
use crate::json;
use crate::output::{Output, Paint, Stop, Style};
use crate::table::{Cell, table};

/// Width of the lease bar.
const BAR: usize = 20;

/// `ticket list`.
pub(crate) fn list(global: &Global, out: &Output, lines: bool, wide: bool) -> Result<Code, Stop> {
    let view = look(global)?;
    let now = Now::new();
    if out.json {
        let tickets: Vec<_> = view
            .tickets
            .iter()
            .map(|it| json::ticket(it, &now))
            .collect();
        out.print_json(serde_json::json!({
            "cluster": view.cluster,
            "member": view.member,
            "tickets": tickets,
        }));
    } else if wide || (out.terminal && !lines) {
        out.print(&tickets_table(out.style, &view.tickets, &now, ""));
    } else {
        let text: String = view
            .tickets
            .iter()
            .map(|ticket| booth_line(ticket, &now))
            .collect();
        out.print(&text);
    }
    Ok(Code::Done)
}

/// As `booth list` prints it, for scripts that read that.
fn booth_line(ticket: &TicketView, now: &Now) -> String {
    let held = matches!(
        ticket.state,
        TicketState::Granted | TicketState::Granting | TicketState::Moving | TicketState::Revoking
    );
    let leader = ticket.holder.as_deref().filter(|_| held).unwrap_or("none");
    let expires = match (&ticket.lease, is_manual(ticket)) {
        _ if !held => String::new(),
        (_, true) => ", expires: INF".to_owned(),
        (Some(lease), false) => format!(", expires: {}", now.booth_in(lease.left_ms)),
        (None, false) => String::new(),
    };
    let manual = if is_manual(ticket) {
        " [manual mode]"
    } else {
        ""
    };
    format!(
        "ticket: {}, leader: {leader}{expires}{manual}\n",
        ticket.name
    )
}

/// Every ticket in a row.
pub(crate) fn tickets_table(
    style: Style,
    tickets: &[TicketView],
    now: &Now,
    indent: &str,
) -> String {
    let rows: Vec<Vec<Cell>> = tickets
        .iter()
        .map(|ticket| {
            let (symbol, word, paint) = state(style, ticket);
            let lease = match &ticket.lease {
                Some(lease) => {
                    let whole = ticket.lease_ms.unwrap_or(lease.left_ms);
                    format!(
                        "{} {}",
                        style.bar(lease.left_ms, whole, BAR / 2),
                        span(lease.left_ms)
                    )
                }
                None if is_manual(ticket) => "manual".to_owned(),
                None => "-".to_owned(),
            };
            vec![
                Cell::plain(&ticket.name),
                Cell::new(format!("{symbol} {word}"), paint),
                Cell::plain(holder(ticket)),
                Cell::plain(lease),
                Cell::plain(ticket.term.as_deref().unwrap_or("-")),
                Cell::plain(note(ticket, now)),
            ]
        })
        .collect();
    table(
        style,
        &["TICKET", "STATE", "HOLDER", "LEASE", "TERM", "NOTE"],
        &rows,
        indent,
    )
}

/// Who holds it, or held it last and may come back; nobody, when it is certain that nobody does.
fn holder(ticket: &TicketView) -> String {
    match (&ticket.holder, ticket.state) {
        (None, _) | (_, TicketState::None | TicketState::Revoked) => "-".to_owned(),
        (Some(holder), TicketState::Lost | TicketState::Unknown) => format!("was {holder}"),
        (Some(holder), _) => holder.clone(),
    }
}

/// Symbol, word and colour of a ticket's state.
fn state(style: Style, ticket: &TicketView) -> (char, String, Paint) {
    let full = style.symbol('\u{25cf}', '*');
    let half = style.symbol('\u{25d0}', '~');
    let empty = style.symbol('\u{25cb}', 'o');
    let (symbol, word, paint) = match ticket.state {
        TicketState::Granted => (full, "granted", Paint::Good),
        TicketState::Granting => (half, "granting", Paint::Warn),
        TicketState::Moving => (half, "moving", Paint::Warn),
        TicketState::Revoking => (half, "revoking", Paint::Warn),
        TicketState::Revoked => (empty, "revoked", Paint::Plain),
        TicketState::None => (empty, "not granted", Paint::Plain),
        TicketState::Lost => ('!', "lost", Paint::Bad),
        TicketState::Unknown => ('?', "unknown", Paint::Warn),
    };
    match (ticket.standby, ticket.hold.is_some()) {
        (true, _) => (symbol, format!("{word}, standby"), Paint::Warn),
        (false, true) => (symbol, format!("{word}, hold"), Paint::Warn),
        (false, false) => (symbol, word.to_owned(), paint),
    }
}

/// The one thing to know about a ticket.
fn note(ticket: &TicketView, now: &Now) -> String {
    if let Some(moving) = &ticket.moving {
        return format!("to {}: {}", moving.to, moving.phase);
    }
    if let Some(hold) = &ticket.hold {
        return format!("hold: {}", hold.reason);
    }
    if let Some(takeover) = &ticket.takeover
        && ticket.state == TicketState::Lost
    {
        let by = takeover.by.as_deref().unwrap_or("another site");
        return format!(
            "{by} takes over in {} at the earliest",
            span(takeover.in_ms)
        );
    }
    if let (Some(ms), Some(holder)) = (ticket.may_run_ms, &ticket.holder) {
        return format!(
            "may run at {holder} until {} (in {})",
            now.clock_in(ms),
            span(ms)
        );
    }
    if let Some(forced) = &ticket.forced {
        return format!("FORCED: {}", forced.reason);
    }
    ticket.blocked.first().cloned().unwrap_or_default()
}

/// `ticket show`.
pub(crate) fn show(global: &Global, out: &Output, name: Option<&str>) -> Result<Code, Stop> {
    let view = look(global)?;
    let now = Now::new();
    let ticket = choose(&view, name)?;
    if out.json {
        out.print_json(serde_json::json!({
            "cluster": view.cluster,
            "member": view.member,
            "ticket": json::ticket(ticket, &now),
            "votes": json::votes(&view),
        }));
    } else {
        out.print(&describe(out.style, &view, ticket, &now));
    }
    Ok(Code::Done)
}

/// A ticket on a dozen lines.
fn describe(style: Style, view: &View, ticket: &TicketView, now: &Now) -> String {
    let (symbol, word, paint) = state(style, ticket);
    let by = match (&ticket.holder, ticket.state) {
        (Some(holder), TicketState::Granted) => format!(" to {holder}"),
        (Some(holder), TicketState::Granting | TicketState::Moving) => format!(", holder {holder}"),
        (Some(holder), TicketState::None) => format!(", last held by {holder}"),
        (Some(holder), _) => format!(", was held by {holder}"),
        (None, _) => String::new(),
    };
    let mut text = format!(
        "{}   {}{by}\n",
        style.paint(Paint::Bold, &ticket.name),
        style.paint(paint, &format!("{symbol} {word}")),
    );
    let mut line = |label: &str, value: &str| {
        let label = style.paint(Paint::Dim, &format!("{label:<10}"));
        let _ = writeln!(text, "     {label} {value}");
    };
    for (label, value) in facts(style, view, ticket, now) {
        line(label, &value);
    }
    if ticket.blocked.is_empty() {
        let (label, value) = no_blocker(ticket);
        line(label, &value);
    }
    for (number, blocker) in ticket.blocked.iter().enumerate() {
        let label = if number == 0 { "blocked by" } else { "" };
        line(label, &style.paint(Paint::Warn, &format!("! {blocker}")));
    }
    text
}

/// What to say when nothing is in the way.
fn no_blocker(ticket: &TicketView) -> (&'static str, String) {
    let grant = format!("`ticket grant {} --to SITE`", ticket.name);
    match ticket.state {
        TicketState::None => ("waits for", format!("its first grant: {grant}")),
        TicketState::Revoked => (
            "waits for",
            format!("an operator, it never comes back by itself: {grant}"),
        ),
        TicketState::Lost if is_manual(ticket) => ("waits for", format!("an operator: {grant}")),
        _ => ("blocked by", "nothing".to_owned()),
    }
}

/// Everything known, one label and text each, the urgent first.
fn facts(style: Style, view: &View, ticket: &TicketView, now: &Now) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(moving) = &ticket.moving {
        let left = moving
            .left_ms
            .map(|ms| format!(", rolled back in {} at the latest", span(ms)));
        let rest = left.unwrap_or_default();
        facts.push((
            "move",
            format!("{} -> {}: {}{rest}", moving.from, moving.to, moving.phase),
        ));
    }
    if let Some(hold) = &ticket.hold {
        let agreed = if hold.agreed {
            "agreed by a majority: neither taken over nor released"
        } else {
            "NOT agreed: the deadline stays in force"
        };
        facts.push((
            "hold",
            style.paint(Paint::Warn, &format!("! {} ({agreed})", hold.reason)),
        ));
    }
    facts.extend(lease_facts(style, ticket, now));
    if let Some(forced) = &ticket.forced {
        let text = format!("! forced by an operator: {}", forced.reason);
        facts.push(("forced", style.paint(Paint::Bad, &text)));
    }
    if let Some(term) = &ticket.term {
        let packed = ticket
            .term_packed
            .as_ref()
            .map(|term| format!(" (as one number: {term})"));
        facts.push(("term", format!("{term}{}", packed.unwrap_or_default())));
    }
    facts.push(("votes", votes(style, view, ticket)));
    if !ticket.dependents.is_empty() {
        let each = ticket.dependents.iter().map(|dependent| {
            let node = dependent.node.as_ref().map(|node| format!(" on {node}"));
            format!(
                "{} {}{}",
                dependent.resource,
                dependent.state,
                node.unwrap_or_default()
            )
        });
        facts.push(("runs", each.collect::<Vec<_>>().join(", ")));
    }
    if !ticket.prefer.is_empty() {
        facts.push(("prefers", ticket.prefer.join(", then ")));
    }
    facts
}

/// What is about time.
fn lease_facts(style: Style, ticket: &TicketView, now: &Now) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if is_manual(ticket) {
        facts.push((
            "lease",
            "none: a manual ticket, only an operator fails it over".to_owned(),
        ));
    }
    if let Some(lease) = &ticket.lease {
        let whole = ticket.lease_ms.unwrap_or(lease.left_ms);
        let bar = style.bar(lease.left_ms, whole, BAR);
        let paint = match lease.left_ms.saturating_mul(3) < whole {
            true => Paint::Warn,
            false => Paint::Good,
        };
        let bar = style.paint(paint, &bar);
        let renewed = lease
            .renewed_ago_ms
            .map(|ms| format!(", renewed {} ago", span(ms)));
        let time = match lease.exact {
            true => format!("{} of {} left", span(lease.left_ms), span(whole)),
            // Another member only knows what it has to assume.
            false => format!(
                "{} of {} left at most",
                span(lease.left_ms.min(whole)),
                span(whole)
            ),
        };
        facts.push((
            "lease",
            format!("{bar} {time}{}", renewed.unwrap_or_default()),
        ));
    }
    if let Some(ms) = ticket.may_run_ms
        && ticket.state != TicketState::Granted
    {
        let holder = ticket.holder.as_deref().unwrap_or("the last holder");
        let text = format!(
            "! {holder} may still run until {} (in {})",
            now.clock_in(ms),
            span(ms)
        );
        facts.push(("may run", style.paint(Paint::Warn, &text)));
    }
    if let Some(takeover) = &ticket.takeover {
        let by = takeover.by.as_deref().unwrap_or("another site");
        let when = format!(
            "{} (in {})",
            now.clock_in(takeover.in_ms),
            span(takeover.in_ms)
        );
        match ticket.state {
            TicketState::Lost => {
                facts.push(("takeover", format!("{by}, at {when} at the earliest")))
            }
            _ => facts.push((
                "if lost",
                format!("{by} takes over at {when} at the earliest"),
            )),
        }
    }
    facts
}

/// `berlin ✓ · arb ✓ · paris ✗ unreachable   2 of 3 vote, majority 2`.
fn votes(style: Style, view: &View, ticket: &TicketView) -> String {
    let separator = style.symbol('\u{b7}', '|');
    let each: Vec<String> = ticket
        .votes
        .iter()
        .map(|vote| one_vote(style, vote))
        .collect();
    let reachable = view.votes.reachable;
    let majority = if reachable >= view.votes.needed {
        style.paint(Paint::Good, "majority")
    } else {
        style.paint(Paint::Bad, "NO MAJORITY")
    };
    let sum = format!("{reachable} of {} vote, {majority}", view.votes.configured);
    match each.is_empty() {
        true => format!("{sum} (needs {})", view.votes.needed),
        false => {
            let each = each.join(&format!(" {separator} "));
            format!("{each}   {sum} (needs {})", view.votes.needed)
        }
    }
}

fn one_vote(style: Style, vote: &VoteView) -> String {
    let (symbol, word, paint) = match (vote.voting, vote.agrees) {
        (true, true) => (style.symbol('\u{2713}', '+'), "yes", Paint::Good),
        (true, false) => ('-', "no", Paint::Plain),
        (false, _) => (style.symbol('\u{2717}', 'x'), "silent", Paint::Bad),
    };
    let note = vote
        .note
        .as_ref()
        .map(|note| format!(" ({note})"))
        .unwrap_or_default();
    format!(
        "{} {}{note}",
        vote.member,
        style.paint(paint, &format!("{symbol} {word}"))
    )
}
