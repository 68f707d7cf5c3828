//! What happened, as a sentence: for `ticket watch` and for the log.

use std::time::Duration;

use ticket_admin::{Event, Level};
use ticket_protocol::{Alarm, MemberId, PhaseKind, Term, TicketName};

use crate::answer::term_text;
use crate::conversion::Roster;
use crate::pause::Noticed;

/// An event without number and time, which the loop adds.
fn event(level: Level, kind: &str, text: String) -> Event {
    Event {
        level,
        kind: kind.to_owned(),
        text,
        ..Event::default()
    }
}

fn of_ticket(level: Level, kind: &str, ticket: &TicketName, term: Term, text: String) -> Event {
    Event {
        ticket: Some(ticket.0.clone()),
        term: term_text(term),
        ..event(level, kind, text)
    }
}

fn of_member(level: Level, kind: &str, member: String, text: String) -> Event {
    Event {
        member: Some(member),
        ..event(level, kind, text)
    }
}

/// An event of the protocol.
pub(crate) fn protocol(happened: &ticket_protocol::Event, roster: &Roster) -> Event {
    use ticket_protocol::Event as Happened;
    let me = roster.name(roster.me());
    match happened {
        Happened::Granted {
            ticket,
            term,
            taken_over_from,
            forced,
        } => granted(ticket, *term, *taken_over_from, *forced, roster),
        Happened::Started { ticket, term } => {
            let text = format!("{ticket}: the cluster of {me} has the grant (term {term})");
            of_ticket(Level::Info, "started", ticket, *term, text)
        }
        Happened::Resumed { ticket, term } => {
            let text = format!("{ticket}: {me} goes on with term {term} after a restart");
            of_ticket(Level::Info, "resumed", ticket, *term, text)
        }
        Happened::Lapsed { ticket, term } => {
            let text = format!("{ticket}: the lease of {me} ran out (term {term})");
            of_ticket(Level::Warning, "lapsed", ticket, *term, text)
        }
        Happened::Released { ticket, term } => {
            let text = format!("{ticket}: released by {me}, everything stopped (term {term})");
            of_ticket(Level::Info, "released", ticket, *term, text)
        }
        Happened::Changed {
            ticket,
            owner,
            term,
            phase,
        } => changed(ticket, *owner, *term, *phase, roster),
        Happened::RolledBack { ticket, reason } => {
            let text = format!("{ticket}: the move was rolled back: {reason}");
            of_ticket(Level::Warning, "rolled-back", ticket, Term::NONE, text)
        }
        Happened::Hold { ticket, on, reason } => {
            let text = match on {
                true => format!("{ticket}: on hold: {reason}"),
                false => format!("{ticket}: no longer on hold"),
            };
            of_ticket(Level::Warning, "hold", ticket, Term::NONE, text)
        }
        Happened::Voting => {
            let text = format!("{me} votes again: its memory is complete");
            of_member(Level::Info, "voting", me, text)
        }
        Happened::Alarm(alarm) => self::alarm(alarm, roster),
    }
}

fn granted(
    ticket: &TicketName,
    term: Term,
    taken_over_from: Option<MemberId>,
    forced: bool,
    roster: &Roster,
) -> Event {
    let me = roster.name(roster.me());
    if let Some(old) = taken_over_from {
        let old = roster.name(old);
        let text = format!("{ticket}: taken over from {old} by {me} (term {term})");
        return of_ticket(Level::Warning, "takeover", ticket, term, text);
    }
    let (level, how) = match forced {
        true => (Level::Warning, " by force"),
        false => (Level::Info, ""),
    };
    let text = format!("{ticket}: granted to {me}{how} (term {term})");
    of_ticket(level, "granted", ticket, term, text)
}

fn changed(
    ticket: &TicketName,
    owner: MemberId,
    term: Term,
    phase: PhaseKind,
    roster: &Roster,
) -> Event {
    let site = roster.name(owner);
    let (kind, state) = match phase {
        PhaseKind::None => ("changed", "never granted".to_owned()),
        // The grant itself is told apart, as `granted` or `takeover`.
        PhaseKind::Granted if owner == roster.me() => ("changed", format!("granted to {site}")),
        PhaseKind::Granted => ("granted-elsewhere", format!("granted to {site}")),
        PhaseKind::Moving => ("moving", format!("moves away from {site}")),
        PhaseKind::Vacant => ("vacant", format!("released by {site}")),
        PhaseKind::Revoking => ("revoking", format!("revoked; {site} may still run")),
        PhaseKind::Revoked => ("revoked", "revoked, nothing runs".to_owned()),
    };
    let text = format!("{ticket}: {state} (term {term})");
    Event {
        member: Some(site),
        ..of_ticket(Level::Info, kind, ticket, term, text)
    }
}

fn alarm(alarm: &Alarm, roster: &Roster) -> Event {
    let me = roster.name(roster.me());
    let about = |kind: &str, member: String, text: String| {
        let text = format!("{member}: {text}");
        of_member(Level::Alarm, kind, member, text)
    };
    match alarm {
        Alarm::LostMemory { reason } => {
            let text =
                format!("it lost its memory and does not vote until it has recovered: {reason}");
            about("lost-memory", me, text)
        }
        Alarm::ClockRate { member, ppm } => {
            let text = format!(
                "its clock runs {ppm} ppm faster than ours, more than the configuration allows: \
                 two sites may hold one ticket; repair or remove it"
            );
            about("clock-rate", roster.name(*member), text)
        }
        Alarm::RolledBack { member } => {
            let text = "its state is older than what it has said before: not listened to";
            about("rolled-back", roster.name(*member), text.to_owned())
        }
        Alarm::TwoCopies { member } => {
            let text = "two copies of it are running: stop one and delete its state";
            about("two-copies", roster.name(*member), text.to_owned())
        }
        Alarm::OtherConfiguration { member, epoch } => {
            let text = format!("it has another configuration (epoch {epoch}): not listened to");
            about("other-configuration", roster.name(*member), text)
        }
        Alarm::WriteFailed { reason } => {
            let text = format!("its state could not be written: {reason}");
            about("write-failed", me, text)
        }
        Alarm::StopFailed {
            ticket,
            term,
            reason,
        } => {
            let text = format!("{ticket}: still running at {me} (term {term}): {reason}");
            of_ticket(Level::Alarm, "stop-failed", ticket, *term, text)
        }
        Alarm::GrantFailed {
            ticket,
            term,
            reason,
        } => {
            let text = format!("{ticket}: the cluster of {me} did not take it: {reason}");
            of_ticket(Level::Alarm, "grant-failed", ticket, *term, text)
        }
        Alarm::RestartsTooOften => {
            let text = "it restarts more often than its obligations last, so that they never end";
            about("restarts", me, text.to_owned())
        }
        Alarm::Impossible { what } => event(
            Level::Alarm,
            "impossible",
            format!("must not happen: {what}"),
        ),
    }
}

/// An event of the link; `None` for a message.
pub(crate) fn link(happened: &link::Event) -> Option<Event> {
    use link::Event as Happened;
    Some(match happened {
        Happened::Message { .. } => return None,
        Happened::Up { peer, address, .. } => {
            let text = format!("{peer} can be reached at {address}");
            of_member(Level::Info, "member-up", peer.to_string(), text)
        }
        Happened::Down { peer, why } => {
            let text = format!("{peer} cannot be reached: {why}");
            of_member(Level::Warning, "member-down", peer.to_string(), text)
        }
        Happened::Duplicate { member, why } => {
            let text = format!("{member} runs twice: {why}; stop one of them and delete its state");
            of_member(Level::Alarm, "two-copies", member.to_string(), text)
        }
        Happened::Refused { address, why } => {
            let text = format!("{address} was not let in: {why}");
            event(Level::Warning, "refused", text)
        }
        Happened::CertificateExpires { member, not_after } => {
            let at = not_after
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            let at = crate::log::Rfc3339(at.as_millis());
            let text = format!(
                "the certificate of {member} expires at {at}; renew it with `ticket issue`"
            );
            of_member(Level::Warning, "certificate", member.to_string(), text)
        }
    })
}

/// Something uneven in this machine's time.
pub(crate) fn pause(noticed: Noticed) -> Event {
    let shown = |span: Duration| format!("{:.3} s", span.as_secs_f64());
    match noticed {
        Noticed::Late(span) => {
            let text = format!(
                "this process did not run for {}: paused, or the machine is overloaded",
                shown(span)
            );
            event(Level::Warning, "paused", text)
        }
        Noticed::Suspended(span) => {
            let text = format!("this machine was suspended for {}", shown(span));
            event(Level::Warning, "suspended", text)
        }
        Noticed::RealtimeForward(span) => {
            let text = format!(
                "the real-time clock stepped forward by {}: it was set, or this machine was stopped \
                 by its hypervisor; leases are dropped if another member's clock says the latter",
                shown(span)
            );
            event(Level::Warning, "clock-step", text)
        }
        Noticed::RealtimeBackward(span) => {
            let text = format!(
                "the real-time clock stepped back by {}; leases do not depend on it",
                shown(span)
            );
            event(Level::Warning, "clock-step", text)
        }
    }
}

/// Logs an event at its level.
pub(crate) fn log(event: &Event) {
    let kind = event.kind.as_str();
    match event.level {
        Level::Info => tracing::info!(kind, "{}", event.text),
        Level::Warning => tracing::warn!(kind, "{}", event.text),
        Level::Alarm => tracing::error!(kind, "{}", event.text),
    }
}
