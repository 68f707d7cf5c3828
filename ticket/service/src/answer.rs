//! What the protocol says of a command, in the words of the control socket.

use std::time::Duration;

use ticket_admin::{Action, Answer, Body, Check, Code, Failure, Plan, Verb};
use ticket_protocol::{Forecast, MemberId, Outcome, PhaseKind, Progress, Refused, Step, Term, Why};

use crate::conversion::Roster;

/// A span in milliseconds, rounded up, so that nobody comes back too early.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// The term as the operator reads it.
pub(crate) fn term_text(term: Term) -> Option<String> {
    (term != Term::NONE).then(|| term.to_string())
}

/// One line to the operator.
pub(crate) fn outcome(outcome: Outcome, action: &Action, roster: &Roster) -> Body {
    match outcome {
        Outcome::Progress(progress) => Body::Progress(self::progress(&progress, action, roster)),
        Outcome::Done { owner, term, phase } => done(owner, term, phase, action, roster),
        Outcome::Pending {
            holder,
            may_run_for,
        } => Body::Error(pending(holder, may_run_for, action, roster)),
        Outcome::Refused(refused) => match refused.why {
            Why::SameSite => already(&refused, action, roster),
            _ => Body::Error(self::refused(&refused, action, roster)),
        },
        Outcome::Unknown {
            step,
            missing,
            holder,
            may_run_for,
        } => {
            let who = roster.names(&missing);
            let mut text = format!(
                "it is not known whether {} of {} took effect: {}",
                action.verb.name(),
                action.ticket,
                unanswered(step, &who)
            );
            if let Some(holder) = holder {
                text += &format!("; {} may be running", roster.name(holder));
            }
            let mut failure = Failure::new(Code::Unknown, text);
            failure.missing = who;
            failure.may_run_ms = may_run_for.map(millis);
            Body::Error(failure)
        }
    }
}

fn unanswered(step: Step, missing: &[String]) -> String {
    let what = step_text(step);
    match missing {
        [] => format!("no end of \"{what}\""),
        who => format!("no answer of {} to \"{what}\"", who.join(", ")),
    }
}

fn done(
    owner: Option<MemberId>,
    term: Term,
    phase: PhaseKind,
    action: &Action,
    roster: &Roster,
) -> Body {
    let ticket = &action.ticket;
    let holder = owner.map(|owner| roster.name(owner));
    let site = holder.as_deref().unwrap_or("nobody");
    let summary = match (&action.verb, phase) {
        (Verb::Standby {}, _) => format!("{ticket} is on standby at {site} (term {term})"),
        (Verb::Activate {}, _) => format!("{ticket} is active at {site} (term {term})"),
        (_, PhaseKind::Granted | PhaseKind::Moving) => {
            format!("{ticket} is granted to {site} (term {term})")
        }
        (_, PhaseKind::Revoked | PhaseKind::Revoking) => format!("{ticket} is revoked"),
        (_, PhaseKind::None | PhaseKind::Vacant) => format!("{ticket} is granted to nobody"),
    };
    let held = matches!(phase, PhaseKind::Granted | PhaseKind::Moving);
    Body::Ok(Answer::Outcome(ticket_admin::Outcome {
        ticket: ticket.clone(),
        summary,
        holder: holder.filter(|_| held),
        term: term_text(term),
        ..Default::default()
    }))
}

/// A wish that was met before it was uttered.
fn already(refused: &Refused, action: &Action, roster: &Roster) -> Body {
    let holder = refused.holder.map(|holder| roster.name(holder));
    let site = holder.clone().unwrap_or_else(|| "that site".to_owned());
    Body::Ok(Answer::Outcome(ticket_admin::Outcome {
        ticket: action.ticket.clone(),
        summary: format!("{} is granted to {site} already", action.ticket),
        holder,
        already: true,
        ..Default::default()
    }))
}

fn pending(
    holder: MemberId,
    may_run_for: Option<Duration>,
    action: &Action,
    roster: &Roster,
) -> Failure {
    let until = match may_run_for {
        Some(span) => format!("may still run for {:.1} s", span.as_secs_f64()),
        None => "may still run, and nothing but its answer ends that".to_owned(),
    };
    let text = format!(
        "{} of {} is agreed, but {} has not confirmed its stop and {until}",
        action.verb.name(),
        action.ticket,
        roster.name(holder),
    );
    let mut failure = Failure::new(Code::Timeout, text);
    failure.may_run_ms = may_run_for.map(millis);
    failure
}

/// A refusal with its exit code.
pub(crate) fn refused(refused: &Refused, action: &Action, roster: &Roster) -> Failure {
    let (code, hint) = match &refused.why {
        Why::UnknownTicket => (Code::NoSuch, Some("`ticket list` shows them all")),
        Why::NotASite => (Code::NotApplicable, Some("name a site")),
        Why::NoMajority => (Code::Quorum, Some("`ticket peers` shows who is missing")),
        Why::Granted | Why::SameSite => (Code::Exists, Some("move it there, or revoke it first")),
        Why::MayRun => (Code::Unsafe, Some("wait, or make sure that it is down")),
        Why::OnHold(_) => (Code::Unsafe, None),
        Why::NotGranted => (Code::NotApplicable, None),
        Why::Changed => (Code::Old, Some("look with `ticket show` and decide again")),
        Why::TargetUnfit(_) | Why::StopFailed(_) | Why::StartFailed(_) => (Code::Error, None),
        Why::Unreachable => (Code::Unavailable, None),
        Why::Mute | Why::Busy => (Code::Temporary, Some("try again later")),
        Why::NotLost => (Code::NotApplicable, None),
    };
    let holder = refused.holder.map(|holder| roster.name(holder));
    let mut text = match (&refused.why, &holder) {
        (Why::Granted, Some(holder)) => format!("{} is held by {holder}", action.ticket),
        (Why::MayRun, Some(holder)) => {
            format!(
                "{holder}, which held {} last, may still be running",
                action.ticket
            )
        }
        (Why::TargetUnfit(_), Some(holder)) => {
            format!("{} stays at {holder}: {}", action.ticket, refused.why)
        }
        (why, Some(holder)) => format!("{}: {why} ({holder})", action.ticket),
        (why, None) => format!("{}: {why}", action.ticket),
    };
    let missing = roster.names(&refused.missing);
    let own_disk = refused.why == Why::NoMajority && refused.missing == [roster.me()];
    if own_disk {
        text += &format!(" (nobody was asked: {} was too slow)", disk(roster));
    } else if !missing.is_empty() {
        text += &format!(" (no answer from {})", missing.join(", "));
    }
    let mut failure = Failure::new(code, text);
    failure.hint = hint.filter(|_| !own_disk).map(str::to_owned);
    failure.missing = missing;
    // Who holds it and keeps it, or has just confirmed that nothing runs, is no danger.
    let harmless = matches!(refused.why, Why::StartFailed(_) | Why::TargetUnfit(_));
    if code != Code::Exists && !harmless {
        failure.may_run_ms = refused.may_run_for.map(millis);
    }
    if matches!(refused.why, Why::MayRun) {
        failure.retry_in_ms = failure.may_run_ms;
    }
    failure
}

/// What a round waits for before it leaves.
fn disk(roster: &Roster) -> String {
    format!("the disk of {}", roster.name(roster.me()))
}

fn progress(progress: &Progress, action: &Action, roster: &Roster) -> ticket_admin::Progress {
    let who = match progress.waiting_for.as_slice() {
        [me] if progress.step == Step::Agree && *me == roster.me() => vec![disk(roster)],
        others => roster.names(others),
    };
    let is_move = matches!(action.verb, Verb::Move { .. });
    let place = MOVE
        .iter()
        .position(|step| is_move && *step == progress.step);
    let phase = match who.as_slice() {
        [] => step_text(progress.step).to_owned(),
        who => format!("{} ({})", step_text(progress.step), who.join(", ")),
    };
    ticket_admin::Progress {
        phase,
        until_ms: progress.at_most.map(millis),
        step: place.and_then(|place| u32::try_from(place + 1).ok()),
        steps: place.and_then(|_| u32::try_from(MOVE.len()).ok()),
    }
}

/// The steps of a move, in their order.
const MOVE: [Step; 6] = [
    Step::Check,
    Step::Agree,
    Step::Stop,
    Step::Release,
    Step::Grant,
    Step::Start,
];

/// What a step waits for, to follow "waiting: ".
pub(crate) fn step_text(step: Step) -> &'static str {
    match step {
        Step::Read => "a majority to tell the ticket's state",
        Step::Check => "the target to check whether it can run it",
        Step::WaitForLease => "the old holder's lease and acquire-after to be over",
        Step::Agree => "a majority to agree",
        Step::Stop => "the confirmed stop of what depends on it",
        Step::Release => "the release",
        Step::Grant => "the grant at the new holder",
        Step::Start => "the cluster to read the grant back",
        Step::RollBack => "the old holder to take it back",
    }
}

/// What is known about how long things take here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    /// A round trip to the slowest member that a majority needs.
    pub(crate) round: Option<Duration>,
    /// The longest that a stop may take.
    pub(crate) stop_budget: Option<Duration>,
}

/// What a command would meet.
pub(crate) fn plan(forecast: &Forecast, action: &Action, roster: &Roster, pace: Pace) -> Plan {
    let failure = forecast
        .refused
        .as_ref()
        .map(|refused| self::refused(refused, action, roster));
    let detail = match &failure {
        Some(failure) => failure.message.clone(),
        None => "as far as this member knows".to_owned(),
    };
    let steps = forecast.steps.iter();
    let steps: Vec<ticket_admin::Step> = steps
        .map(|step| ticket_admin::Step {
            what: step_text(*step).to_owned(),
            takes_ms: match step {
                Step::WaitForLease => forecast.wait_first.map(millis),
                Step::Read | Step::Agree | Step::Release | Step::Grant => pace.round.map(millis),
                Step::Check | Step::Stop | Step::Start | Step::RollBack => None,
            },
            at_most_ms: match step {
                Step::Stop => pace.stop_budget.map(millis),
                _ => None,
            },
        })
        .collect();
    let takes: u64 = steps.iter().filter_map(|step| step.takes_ms).sum();
    Plan {
        ticket: action.ticket.clone(),
        feasible: failure.is_none(),
        code: failure.as_ref().map(|failure| failure.code),
        checks: vec![Check {
            what: format!("{} would be accepted", action.verb.name()),
            ok: failure.is_none(),
            detail,
        }],
        takes_ms: (!steps.is_empty()).then_some(takes),
        steps,
        gap_ms: None,
    }
}
