//! `--dry-run`: what would be checked, done and waited for.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ticket_admin::{
    Answer, Body, Call, Check, Client, Code, MemberState, MemberView, Plan, TicketView, Verb, View,
};

use crate::change::{GRACE, Wish, action};
use crate::clock::{self, span};
use crate::connect::Target;
use crate::output::{Output, Paint, Stop};

/// Rounds to a majority that a grant takes: promise, then accept.
const GRANT_ROUNDS: u64 = 2;
/// A move agrees on its beginning, its release and the new grant.
const MOVE_ROUNDS: u64 = 6;

/// What was known when the command began.
pub(crate) struct Known<'a> {
    /// Everything.
    pub(crate) view: &'a View,
    /// The ticket.
    pub(crate) ticket: &'a TicketView,
}

/// Asks the daemon for its plan, adds what can be seen from here, and prints both.
pub(crate) fn dry_run(
    target: &Target,
    client: &mut Client,
    out: &Output,
    wish: &Wish,
    known: &Known<'_>,
    wait: Duration,
) -> Result<Code, Stop> {
    let end = Instant::now() + wait;
    let mut plan = match client.call(Call::Plan(action(wish, wait)), end + GRACE) {
        Ok(Some(Body::Ok(Answer::Plan(plan)))) => plan,
        Ok(Some(Body::Error(failure))) => return Err(failure.into()),
        Ok(Some(_)) => return Err(target.wrong_answer().into()),
        Ok(None) => return Err(target.silent().into()),
        Err(error) => return Err(target.explain(&error).into()),
    };
    let mut checks = known.checks(&wish.verb);
    checks.append(&mut plan.checks);
    plan.checks = checks;
    // What the daemon would try, an unmet check of ours makes improbable: say so, and exit so.
    if plan.feasible && plan.checks.iter().any(|check| !check.ok) {
        plan.feasible = false;
        plan.code = Some(Code::Quorum);
    }
    plan.takes_ms = plan.takes_ms.or_else(|| known.takes_ms(&wish.verb));
    let code = match (plan.feasible, plan.code) {
        (true, _) => Code::Done,
        (false, code) => code
            .filter(|code| code.number() != 0)
            .unwrap_or(Code::Error),
    };
    if out.json {
        out.print_json(plan_json(wish, &plan, code));
    } else {
        out.print(&plan_text(out, wish, &plan, code));
    }
    Ok(code)
}

impl Known<'_> {
    fn member(&self, name: &str) -> Option<&MemberView> {
        self.view.members.iter().find(|member| member.name == name)
    }

    /// Majority, target, holder.
    fn checks(&self, verb: &Verb) -> Vec<Check> {
        let votes = self.view.votes;
        let mut checks = vec![Check {
            what: "majority".to_owned(),
            ok: votes.reachable >= votes.needed,
            detail: format!(
                "{} of {} voters reachable (need {})",
                votes.reachable, votes.configured, votes.needed
            ),
        }];
        let target = match verb {
            Verb::Grant { to, .. } => to.as_deref(),
            Verb::Move { to } => Some(to.as_str()),
            _ => None,
        };
        checks.extend(target.and_then(|name| self.reach("target", name)));
        if let (Verb::Move { .. }, Some(holder)) = (verb, &self.ticket.holder) {
            checks.extend(self.reach("holder", holder));
        }
        checks
    }

    fn reach(&self, what: &str, name: &str) -> Option<Check> {
        let member = self.member(name)?;
        let ok = matches!(member.state, MemberState::Me | MemberState::Up);
        let detail = match (member.state, member.rtt_us) {
            (MemberState::Me, _) => "this member".to_owned(),
            (_, Some(us)) if ok => format!("connected, round trip {}", span(us.div_ceil(1_000))),
            _ if ok => "connected".to_owned(),
            _ => member
                .why
                .clone()
                .unwrap_or_else(|| "not connected".to_owned()),
        };
        Some(Check {
            what: format!("{what} {name}"),
            ok,
            detail,
        })
    }

    /// Time for the agreement alone: rounds to the slowest member of the fastest majority.
    fn takes_ms(&self, verb: &Verb) -> Option<u64> {
        let mut trips: Vec<u64> = self
            .view
            .members
            .iter()
            .filter_map(|it| it.rtt_us)
            .collect();
        trips.sort_unstable();
        // This member is one of the majority.
        let others = usize::try_from(self.view.votes.needed)
            .ok()?
            .checked_sub(1)?;
        let slowest = *trips.get(others.checked_sub(1)?)?;
        let rounds = match verb {
            Verb::Move { .. } => MOVE_ROUNDS,
            _ => GRANT_ROUNDS,
        };
        Some(slowest.saturating_mul(rounds).div_ceil(1_000))
    }
}

fn plan_json(wish: &Wish, plan: &Plan, code: Code) -> Value {
    let checks: Vec<_> = plan
        .checks
        .iter()
        .map(|check| json!({"what": check.what, "ok": check.ok, "detail": check.detail}))
        .collect();
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            json!({
                "what": step.what,
                "takes_seconds": step.takes_ms.map(clock::seconds),
                "at_most_seconds": step.at_most_ms.map(clock::seconds),
            })
        })
        .collect();
    json!({
        "result": "plan",
        "verb": wish.verb.name(),
        "ticket": wish.ticket,
        "feasible": plan.feasible,
        "code": code.number(),
        "name": code.name(),
        "checks": checks,
        "steps": steps,
        "takes_seconds": plan.takes_ms.map(clock::seconds),
        "service_gap_seconds": plan.gap_ms.map(clock::seconds),
    })
}

fn plan_text(out: &Output, wish: &Wish, plan: &Plan, code: Code) -> String {
    let style = out.style;
    let good = style.paint(
        Paint::Good,
        &format!("{} ok", style.symbol('\u{2713}', '+')),
    );
    let bad = style.paint(Paint::Bad, &format!("{} no", style.symbol('\u{2717}', 'x')));
    let mut text = format!(
        "dry run: {} {}; nothing is changed\n",
        wish.verb.name(),
        wish.ticket
    );
    let wide = plan
        .checks
        .iter()
        .map(|check| check.what.chars().count())
        .max()
        .unwrap_or(0);
    for check in &plan.checks {
        let mark = if check.ok { &good } else { &bad };
        let _ = writeln!(text, "  {mark}  {:wide$}  {}", check.what, check.detail);
    }
    let steps = plan.steps.len();
    let wide = plan
        .steps
        .iter()
        .map(|step| step.what.chars().count())
        .max()
        .unwrap_or(0);
    for (number, step) in plan.steps.iter().enumerate() {
        let time = match (step.takes_ms, step.at_most_ms) {
            (Some(ms), Some(most)) => format!("about {}, {} at most", span(ms), span(most)),
            (Some(ms), None) => format!("about {}", span(ms)),
            (None, Some(most)) => format!("{} at most", span(most)),
            (None, None) => String::new(),
        };
        let line = format!("  {}/{steps} {:wide$}  {time}", number + 1, step.what);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if !plan.feasible {
        let line = format!("would be refused (exit {}, {})", code.number(), code.name());
        let _ = writeln!(text, "{} {line}", style.paint(Paint::Bad, "result:"));
        return text;
    }
    let services = match wish.verb {
        Verb::Move { .. } => " and the services' stop and start",
        _ => " and the services' start",
    };
    let takes = match (plan.takes_ms, plan.gap_ms) {
        (Some(ms), None) => format!(", would take about {}{services}", span(ms)),
        (Some(ms), Some(gap)) => {
            format!(
                ", would take about {}, service gap about {}",
                span(ms),
                span(gap)
            )
        }
        (None, Some(gap)) => format!(", service gap about {}", span(gap)),
        (None, None) => String::new(),
    };
    let _ = writeln!(
        text,
        "{} possible{takes}",
        style.paint(Paint::Good, "result:")
    );
    text
}
