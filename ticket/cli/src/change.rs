//! The verbs that change a ticket: ask, wait with a countdown, and tell done, refused and unknown
//! apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use ticket_admin::{
    Action, Answer, Body, Call, Client, Code, Failure, Mode, Outcome, Progress, REASON_MAX,
    RequestId, Role, TicketState, TicketView, Verb, View,
};

use crate::args::{Change, Global, Grant, Move, Which};
use crate::ask;
use crate::clock;
use crate::connect::{QUERY, Target, no_such};
use crate::output::{Output, Paint, Stop};
use crate::plan;
use crate::progress::Countdown;

/// A grant is a few round trips, unless an old lease has to end first.
const WAIT_GRANT: Duration = Duration::from_secs(30);
/// Stopping takes the stop budget, which is added.
const WAIT_STANDBY: Duration = Duration::from_secs(60);
/// A move stops and starts the services; the stop budget is added.
const WAIT_MOVE: Duration = Duration::from_secs(120);
/// A revoke ends when the holder has stopped or its lease is over, which is added.
const WAIT_REVOKE: Duration = Duration::from_secs(15);
/// A default never grows beyond this: whoever wants to wait longer says so.
const WAIT_OWN_MAX: Duration = Duration::from_secs(600);

/// The daemon answers by the deadline it was told; this much later its answer is not coming.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// How often the countdown is redrawn.
const TICK: Duration = Duration::from_millis(200);

/// One wish, ready to be sent.
pub(crate) struct Wish {
    pub(crate) verb: Verb,
    pub(crate) ticket: String,
    request: RequestId,
}

/// `ticket grant`.
pub(crate) fn grant(global: &Global, out: &Output, args: &Grant) -> Result<Code, Stop> {
    let force = forced(args)?;
    let to = args.target.site().map(str::to_owned);
    let verb = Verb::Grant { to, force };
    carry_out(global, out, &args.which, verb, args.dry_run)
}

/// `ticket move`.
pub(crate) fn move_ticket(global: &Global, out: &Output, args: &Move) -> Result<Code, Stop> {
    let Some(to) = args.target.site() else {
        let hint = "write ticket move TICKET --to SITE";
        return Err(Failure::new(Code::Usage, "where to?").hint(hint).into());
    };
    let verb = Verb::Move { to: to.to_owned() };
    carry_out(global, out, &args.which, verb, args.dry_run)
}

/// `ticket revoke`, `standby` and `activate`.
pub(crate) fn change(
    global: &Global,
    out: &Output,
    args: &Change,
    verb: Verb,
) -> Result<Code, Stop> {
    carry_out(global, out, &args.which, verb, false)
}

/// A forced grant says why; nothing else does.
fn forced(args: &Grant) -> Result<Option<String>, Failure> {
    let reason = args.reason.as_deref().map(str::trim).unwrap_or_default();
    if args.force && reason.is_empty() {
        let what = "a forced grant needs --reason TEXT";
        let hint = "say what you verified, such as --reason \"berlin is powered off, INC-1234\"";
        return Err(Failure::new(Code::Usage, what).hint(hint));
    }
    if reason.len() > REASON_MAX {
        let what = format!("the reason has {} bytes", reason.len());
        return Err(Failure::new(Code::Usage, what).hint(format!("write {REASON_MAX} at most")));
    }
    Ok(args.force.then(|| reason.to_owned()))
}

fn carry_out(
    global: &Global,
    out: &Output,
    which: &Which,
    verb: Verb,
    dry_run: bool,
) -> Result<Code, Stop> {
    let target = Target::find(global)?;
    let start = Instant::now();
    let mut client = target.connect(start + global.wait(QUERY).min(QUERY))?;
    if let Some(wish) = plain_grant(&target, which, &verb, dry_run)? {
        let wait = global.wait(WAIT_GRANT);
        let outcome = act(&target, &mut client, out, &wish, Instant::now(), wait)?;
        return Ok(done(out, &wish, &outcome, start.elapsed()));
    }
    let view = target.view(&mut client, start + global.wait(QUERY).min(QUERY))?;
    let ticket = choose(&view, which.ticket())?;
    let verb = check_target(&view, verb)?;
    let request = which.request_id.map_or_else(ask::new_request, Ok)?;
    let wish = Wish {
        ticket: ticket.name.clone(),
        verb,
        request,
    };
    let wait = global.wait(own_wait(&wish.verb, ticket));
    if dry_run {
        let known = plan::Known {
            view: &view,
            ticket,
        };
        return plan::dry_run(
            &target,
            &mut client,
            out,
            &wish,
            &known,
            wait.min(WAIT_GRANT),
        );
    }
    confirm(global, out, &wish, ticket)?;
    // The wait counts from the operator's last word.
    let mut outcome = act(&target, &mut client, out, &wish, Instant::now(), wait)?;
    if outcome.previous_holder.is_none() && holds(ticket) {
        outcome.previous_holder = ticket
            .holder
            .clone()
            .filter(|old| outcome.holder.as_ref() != Some(old));
    }
    Ok(done(out, &wish, &outcome, start.elapsed()))
}

/// A grant that can be asked for without a look at the ticket first: names that the configuration
/// knows, nothing forced. A look costs a round trip, in the command that people wait for when a
/// service is down.
fn plain_grant(
    target: &Target,
    which: &Which,
    verb: &Verb,
    dry_run: bool,
) -> Result<Option<Wish>, Failure> {
    let (Verb::Grant { to, force: None }, Some(ticket), false) = (verb, which.ticket(), dry_run)
    else {
        return Ok(None);
    };
    if !target.knows(ticket, to.as_deref()) {
        return Ok(None);
    }
    Ok(Some(Wish {
        verb: Verb::Grant {
            to: to.clone().or_else(|| target.member().map(str::to_owned)),
            force: None,
        },
        ticket: ticket.to_owned(),
        request: which.request_id.map_or_else(ask::new_request, Ok)?,
    }))
}

/// Whether the holder shown holds it now.
fn holds(ticket: &TicketView) -> bool {
    matches!(ticket.state, TicketState::Granted | TicketState::Moving)
}

/// The ticket that is named, or the only one.
pub(crate) fn choose<'v>(view: &'v View, name: Option<&str>) -> Result<&'v TicketView, Failure> {
    let names: Vec<&str> = view
        .tickets
        .iter()
        .map(|ticket| ticket.name.as_str())
        .collect();
    match (name, view.tickets.as_slice()) {
        (Some(name), tickets) => tickets
            .iter()
            .find(|ticket| ticket.name == name)
            .ok_or_else(|| no_such("ticket", name, &names)),
        (None, [only]) => Ok(only),
        (None, []) => {
            let failure = Failure::new(Code::NoSuch, "no ticket is configured");
            Err(failure.hint("write [ticket.NAME] in the configuration of every member"))
        }
        (None, _) => {
            let failure = Failure::new(Code::Usage, "which ticket?");
            Err(failure.hint(format!("there is {}", names.join(", "))))
        }
    }
}

/// The target must be a site; a grant without one goes to the member that is asked.
fn check_target(view: &View, verb: Verb) -> Result<Verb, Failure> {
    let name = match &verb {
        Verb::Grant { to: None, .. } => &view.member,
        Verb::Grant { to: Some(name), .. } | Verb::Move { to: name } => name,
        _ => return Ok(verb),
    };
    let is_site = |role| role == Role::Site;
    let sites: Vec<&str> = view
        .members
        .iter()
        .filter(|it| is_site(it.role))
        .map(|it| it.name.as_str())
        .collect();
    if !sites.contains(&name.as_str()) {
        if view.members.iter().any(|member| member.name == *name) {
            let what = format!("{name} is an arbitrator: it cannot hold a ticket");
            let hint = format!("write --to and one of {}", sites.join(", "));
            return Err(Failure::new(Code::NotApplicable, what).hint(hint));
        }
        return Err(no_such("site", name, &sites));
    }
    let name = name.clone();
    Ok(match verb {
        Verb::Grant { force, .. } => Verb::Grant {
            to: Some(name),
            force,
        },
        other => other,
    })
}

/// How long the verb takes at worst, if all works as it should.
fn own_wait(verb: &Verb, ticket: &TicketView) -> Duration {
    let ms = |ms: Option<u64>| Duration::from_millis(ms.unwrap_or(0));
    let own = match verb {
        Verb::Grant { .. } => WAIT_GRANT,
        Verb::Move { .. } => WAIT_MOVE.saturating_add(ms(ticket.stop_budget_ms)),
        Verb::Standby {} | Verb::Activate {} => {
            WAIT_STANDBY.saturating_add(ms(ticket.stop_budget_ms))
        }
        Verb::Revoke {} => {
            let obligation = ms(ticket.lease_ms).saturating_add(ms(ticket.acquire_after_ms));
            // Drift stretches it a little; a manual ticket has none.
            WAIT_REVOKE.saturating_add(obligation + obligation / 10)
        }
    };
    own.min(WAIT_OWN_MAX)
}

/// Asks back before a service is stopped or a safeguard overridden.
fn confirm(global: &Global, out: &Output, wish: &Wish, ticket: &TicketView) -> Result<(), Failure> {
    let name = &wish.ticket;
    let holder = ticket.holder.as_deref().unwrap_or("nobody");
    let question = match &wish.verb {
        Verb::Revoke {} => format!("Revoke {name} (held by {holder})? Its services stop."),
        Verb::Standby {} => format!("Stop what depends on {name} at {holder}?"),
        Verb::Move { to } => {
            format!("Move {name} from {holder} to {to}? Its services stop, then start there.")
        }
        Verb::Grant {
            to,
            force: Some(reason),
        } => {
            let to = to.as_deref().unwrap_or("this site");
            let until = ticket
                .may_run_ms
                .or_else(|| ticket.lease.as_ref().map(|lease| lease.left_ms));
            let danger = match until {
                Some(ms) => format!("{holder} may still run it for {}", clock::span(ms)),
                None => format!("nothing proves that {holder} is down"),
            };
            format!("FORCE {name} to {to} (\"{reason}\")? {danger}; two sites may run it at once.")
        }
        Verb::Grant { .. } | Verb::Activate {} => return Ok(()),
    };
    let dangerous = matches!(wish.verb, Verb::Grant { .. });
    ask::confirm(out, global.yes, dangerous, &question)
}

/// Sends the wish and waits for its outcome.
fn act(
    target: &Target,
    client: &mut Client,
    out: &Output,
    wish: &Wish,
    start: Instant,
    wait: Duration,
) -> Result<Outcome, Stop> {
    let end = start + wait;
    let stopped = watch_signals();
    let call = Call::Act(action(wish, wait));
    let id = client
        .send(call, end)
        .map_err(|error| lost(target, wish, &error.to_string()))?;
    let mut countdown = Countdown::new(out, wish.verb.name(), &wish.ticket, end);
    loop {
        let tick = (Instant::now() + TICK).min(end + GRACE);
        match client.next(id, tick) {
            Ok(Some(Body::Progress(progress))) => countdown.progress(&progress),
            Ok(Some(Body::Ok(Answer::Outcome(outcome)))) => {
                countdown.finish(true);
                return Ok(outcome);
            }
            Ok(Some(Body::Error(failure))) => {
                countdown.finish(false);
                return Err(advise(wish, failure).into());
            }
            Ok(Some(Body::Event(_))) => {}
            Ok(Some(Body::Ok(_))) => {
                countdown.finish(false);
                return Err(lost(target, wish, "it answered something else").into());
            }
            Ok(None) if stopped.load(Ordering::Relaxed) => {
                countdown.finish(false);
                return Err(not_waited_for(target, wish).into());
            }
            Ok(None) if Instant::now() >= end + GRACE => {
                countdown.finish(false);
                let after = format!("no answer within {}", clock::span(millis(wait)));
                return Err(lost(target, wish, &after).into());
            }
            Ok(None) => countdown.draw(),
            Err(error) => {
                countdown.finish(false);
                return Err(lost(target, wish, &error.to_string()).into());
            }
        }
    }
}

/// Becomes true when somebody asks this command to end: the wish goes on without it, and whoever
/// made it must learn how to look after it.
fn watch_signals() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Where it cannot be watched, the signal ends the command as it always did.
        let _unwatched = signal_hook::flag::register(signal, Arc::clone(&stopped));
    }
    stopped
}

/// The operator stopped waiting after the wish was sent.
fn not_waited_for(target: &Target, wish: &Wish) -> Failure {
    let what = format!(
        "you stopped waiting: {} goes on, and {} may yet be {}",
        target.daemon(),
        wish.ticket,
        participle(&wish.verb)
    );
    with_retry(wish, Failure::new(Code::Unknown, what))
}

/// What the daemon is told.
pub(crate) fn action(wish: &Wish, wait: Duration) -> Action {
    Action {
        request: wish.request,
        ticket: wish.ticket.clone(),
        verb: wish.verb.clone(),
        wait_ms: millis(wait),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The daemon fell silent after the wish was sent.
fn lost(target: &Target, wish: &Wish, why: &str) -> Failure {
    let what = format!(
        "whether {} was {}: {} {why}",
        wish.ticket,
        participle(&wish.verb),
        target.daemon()
    );
    with_retry(wish, Failure::new(Code::Unknown, what))
}

/// What the operator can do about a failure, where the daemon does not say.
fn advise(wish: &Wish, mut failure: Failure) -> Failure {
    if let (Code::Exists, Verb::Grant { to: Some(to), .. }) = (failure.code, &wish.verb) {
        // Its holder goes on renewing: the end of the lease is of no interest.
        failure.may_run_ms = None;
        let hint = format!(
            "`ticket move {} --to {to}`, or revoke it first",
            wish.ticket
        );
        failure.hint.get_or_insert(hint);
    }
    with_retry(wish, failure)
}

/// An unknown outcome can be asked for again without doing anything twice.
fn with_retry(wish: &Wish, failure: Failure) -> Failure {
    if failure.code != Code::Unknown {
        return failure;
    }
    let again = format!(
        "look with `ticket show {}`; repeat safely with {}",
        wish.ticket,
        command(wish)
    );
    let hint = match &failure.hint {
        Some(hint) => format!("{hint}; {again}"),
        None => again,
    };
    failure.hint(hint)
}

/// The command line that repeats the wish.
fn command(wish: &Wish) -> String {
    let mut text = format!("`ticket {} {}", wish.verb.name(), wish.ticket);
    match &wish.verb {
        Verb::Grant { to, force } => {
            if let Some(to) = to {
                text.push_str(&format!(" --to {to}"));
            }
            if let Some(reason) = force {
                text.push_str(&format!(" --force --reason {reason:?}"));
            }
        }
        Verb::Move { to } => text.push_str(&format!(" --to {to}")),
        Verb::Revoke {} | Verb::Standby {} | Verb::Activate {} => {}
    }
    text.push_str(&format!(" --request-id {}`", wish.request));
    text
}

fn participle(verb: &Verb) -> &'static str {
    match verb {
        Verb::Grant { .. } => "granted",
        Verb::Revoke {} => "revoked",
        Verb::Move { .. } => "moved",
        Verb::Standby {} => "put on standby",
        Verb::Activate {} => "activated",
    }
}

/// Says that the wish is met.
fn done(out: &Output, wish: &Wish, outcome: &Outcome, took: Duration) -> Code {
    let took_ms = millis(took);
    if out.json {
        out.print_json(json!({
            "result": "done",
            "request": wish.request.to_string(),
            "verb": wish.verb.name(),
            "ticket": outcome.ticket,
            "summary": outcome.summary,
            "holder": outcome.holder,
            "previous_holder": outcome.previous_holder,
            "term": outcome.term,
            "already": outcome.already,
            "took_seconds": clock::seconds(took_ms),
            "service_gap_seconds": outcome.gap_ms.map(clock::seconds),
            "warnings": outcome.warnings,
        }));
        return Code::Done;
    }
    let symbol = out.style.symbol('\u{2713}', '+');
    let mut text = out.style.paint(Paint::Good, &format!("{symbol} done"));
    let gap = outcome.gap_ms.map_or(String::new(), |gap| {
        format!(", service gap {}", clock::span(gap))
    });
    let time = if outcome.already {
        "it was so already".to_owned()
    } else {
        format!("in {}{gap}", clock::span(took_ms))
    };
    text.push_str(&format!(": {} ({time})\n", outcome.summary));
    for warning in &outcome.warnings {
        text.push_str(&format!(
            "  {} {warning}\n",
            out.style.paint(Paint::Warn, "! warning")
        ));
    }
    if let (Verb::Move { .. }, Some(previous), false) =
        (&wish.verb, &outcome.previous_holder, outcome.already)
    {
        let undo = format!("ticket move {} --to {previous}", wish.ticket);
        text.push_str(&format!(
            "  {} {undo}\n",
            out.style.paint(Paint::Dim, "undo")
        ));
    }
    out.print(&text);
    Code::Done
}

/// Whether a ticket is an operator's alone.
pub(crate) fn is_manual(ticket: &TicketView) -> bool {
    ticket.mode == Mode::Manual
}

/// What a progress line says.
pub(crate) fn progress_text(progress: &Progress) -> String {
    match progress.until_ms {
        Some(ms) => format!("{} (at most {} more)", progress.phase, clock::span(ms)),
        None => progress.phase.clone(),
    }
}
