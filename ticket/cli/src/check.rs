//! `ticket check`: configuration and certificates.

use std::fmt::Write;
use std::time::{Duration, Instant};

use link::{Credentials, Identity, Pki};
use serde_json::{Value, json};
use ticket_admin::{Answer, Body, Call, Client, Code};
use ticket_config::{
    Config, Diagnostic, GUARD_MARGIN, Mode, Options, Role, Severity, duration, load_with,
};

use crate::args::Global;
use crate::clock::Now;
use crate::output::{Output, Paint, Stop, finding_json, plural};

/// How long the running agent may take to answer: a check must not wait for a daemon that hangs.
const ASK: Duration = Duration::from_secs(2);

/// Checks, says what is wrong, or what there is.
pub(crate) fn check(global: &Global, out: &Output, explain: bool) -> Result<Code, Stop> {
    let path = global.config();
    let host = global.host();
    let options = Options {
        member: host.as_deref(),
        need_member: false,
    };
    let config = load_with(&path, options).map_err(Stop::Findings)?;
    let (certificates, mut wrong) = certificates(&config);
    let stops = stops(&config);
    wrong.extend(
        stops
            .iter()
            .flatten()
            .filter_map(|stop| stop.too_long(&config)),
    );
    if !wrong.is_empty() {
        wrong.extend(config.warnings);
        wrong.sort_by_key(|finding| finding.severity);
        return Err(Stop::Findings(wrong));
    }
    if out.json {
        out.print_json(report_json(&config, &certificates, stops.as_deref()));
        return Ok(Code::Done);
    }
    if !config.warnings.is_empty() && !out.quiet {
        out.findings(&config.warnings);
    }
    out.print(&report(
        out,
        &config,
        &certificates,
        stops.as_deref(),
        explain,
    ));
    Ok(Code::Done)
}

/// A certificate that is good.
struct Certificate {
    member: String,
    days: i64,
}

/// Certificates of this machine's member, and of any other whose key is in the same directory.
fn certificates(config: &Config) -> (Vec<Certificate>, Vec<Diagnostic>) {
    let mut good = Vec::new();
    let mut wrong: Vec<Diagnostic> = Vec::new();
    // Somebody who only writes the configuration has no certificates at hand.
    if !config.paths.ca().exists() && config.member.is_none() {
        return (good, wrong);
    }
    let pki_is_here = config.paths.pki.exists();
    for member in &config.members {
        let mine = config.member.as_deref() == Some(member.name.as_str());
        let (certificate, key) = (
            config.paths.certificate(&member.name),
            config.paths.key(&member.name),
        );
        let present = certificate.exists() || key.exists();
        if !(present || (mine && pki_is_here)) {
            continue;
        }
        let pki = Pki {
            ca: config.paths.ca(),
            certificate: certificate.clone(),
            key,
        };
        let loaded = Identity::new(&config.cluster.name, member.role.name(), &member.name)
            .map_err(|error| error.to_string())
            .and_then(|identity| {
                Credentials::load(&pki, &identity).map_err(|error| error.to_string())
            });
        match loaded {
            Ok(credentials) => {
                let end = credentials
                    .not_after()
                    .duration_since(std::time::UNIX_EPOCH);
                let end = end.map_or(0, |end| i64::try_from(end.as_secs()).unwrap_or(i64::MAX));
                let days = Now::new().days_until(end);
                good.push(Certificate {
                    member: member.name.clone(),
                    days,
                });
            }
            Err(message) => wrong.push(about(&certificate, &message)),
        }
    }
    (good, wrong)
}

/// How long the cluster of this site takes at most to stop what depends on a ticket, as it says.
struct StopTime {
    ticket: String,
    budget: Duration,
    takes: Duration,
}

impl StopTime {
    /// Longer than the configuration allows.
    fn too_long(&self, config: &Config) -> Option<Diagnostic> {
        if self.takes <= self.budget {
            return None;
        }
        let (takes, budget) = (duration::format(self.takes), duration::format(self.budget));
        let needs = duration::format(self.takes.saturating_add(GUARD_MARGIN));
        let message = format!(
            "what depends on ticket \"{}\" may take {takes} to stop (stop and demote timeouts in the \
             cluster, added up), and the guard kills it after the stop-budget of {budget}",
            self.ticket
        );
        let hint = format!(
            "write stop-budget = \"{takes}\" and acquire-after = \"{needs}\" or more, or shorter timeouts \
             in the cluster"
        );
        let file = config.files.first().cloned().unwrap_or_default();
        Some(Diagnostic::about_file(file, message).hint(hint))
    }
}

/// Asks this site's agent, if it runs: only the cluster knows what depends on a ticket.
fn stops(config: &Config) -> Option<Vec<StopTime>> {
    let me = config.me().filter(|me| me.role == Role::Site)?;
    let deadline = Instant::now() + ASK;
    let mut client = Client::connect(&config.paths.control_socket(&me.name), deadline).ok()?;
    let Ok(Some(Body::Ok(Answer::View(view)))) = client.call(Call::View {}, deadline) else {
        return None;
    };
    let stops = view.tickets.iter().filter_map(|ticket| {
        let configured = config.find_ticket(&ticket.name)?;
        let takes = Duration::from_millis(ticket.stop_budget_ms?);
        let budget = configured.stop_budget;
        Some(StopTime {
            ticket: ticket.name.clone(),
            budget,
            takes,
        })
    });
    Some(stops.collect())
}

/// The link's message begins with the path it is about, where it is about one.
fn about(certificate: &std::path::Path, message: &str) -> Diagnostic {
    let (path, rest) = match message.split_once(": ") {
        Some((path, rest)) if path.starts_with('/') && !path.contains(' ') => (path.into(), rest),
        _ => (certificate.to_owned(), message),
    };
    Diagnostic::about_file(path, rest)
}

fn report(
    out: &Output,
    config: &Config,
    certificates: &[Certificate],
    stops: Option<&[StopTime]>,
    explain: bool,
) -> String {
    let symbol = out.style.symbol('\u{2713}', '+');
    let good = out.style.paint(Paint::Good, &format!("{symbol} ok"));
    let me = config
        .member
        .as_ref()
        .map(|member| format!(", this is {member}"));
    let mut text = format!(
        "{good}: cluster {}: {}, {}, {}{}\n",
        config.cluster.name,
        plural(config.sites().count(), "site"),
        plural(config.members.len() - config.sites().count(), "arbitrator"),
        plural(config.tickets.len(), "ticket"),
        me.unwrap_or_default(),
    );
    for certificate in certificates {
        let _ = writeln!(
            text,
            "  certificate of {}: {} days left",
            certificate.member, certificate.days
        );
    }
    if certificates.is_empty() {
        let _ = writeln!(text, "  certificates: none here, none checked");
    }
    match stops {
        Some(stops) => {
            for stop in stops {
                let (takes, budget) = (duration::format(stop.takes), duration::format(stop.budget));
                let _ = writeln!(
                    text,
                    "  stop timeouts behind {}: {takes} at most, of a stop-budget of {budget}",
                    stop.ticket
                );
            }
        }
        None if config.me().is_none_or(|me| me.role != Role::Site) => {}
        None => text.push_str("  stop timeouts: no site-agent answers here, not compared\n"),
    }
    if explain {
        for ticket in &config.tickets {
            let _ = writeln!(
                text,
                "{}",
                out.style
                    .paint(Paint::Bold, &format!("ticket {}", ticket.name))
            );
            for line in config.timings(ticket).explain() {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    text
}

fn report_json(config: &Config, certificates: &[Certificate], stops: Option<&[StopTime]>) -> Value {
    let tickets: Vec<Value> = config
        .tickets
        .iter()
        .map(|ticket| {
            let timings = config.timings(ticket);
            let automatic = ticket.mode == Mode::Auto;
            json!({
                "name": ticket.name,
                "mode": if automatic { "auto" } else { "manual" },
                "lease_seconds": automatic.then_some(ticket.lease.as_secs_f64()),
                "acquire_after_seconds": automatic.then_some(ticket.acquire_after.as_secs_f64()),
                "renew_every_seconds": automatic.then_some(ticket.renew_every.as_secs_f64()),
                "stop_budget_seconds": ticket.stop_budget.as_secs_f64(),
                "renewal_needs_seconds": automatic.then_some(timings.renewal_needs.as_secs_f64()),
                "worst_failover_seconds": automatic.then_some(timings.worst_failover.as_secs_f64()),
                "explanation": timings.explain(),
            })
        })
        .collect();
    json!({
        "result": "done",
        "cluster": config.cluster.name,
        "member": config.member,
        "members": config.members.iter().map(|member| json!({
            "name": member.name,
            "role": member.role.name(),
            "address": member.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "round_timeout": duration::format(config.cluster.round_timeout),
        "tickets": tickets,
        "certificates": certificates.iter().map(|it| json!({
            "member": it.member,
            "days_left": it.days,
        })).collect::<Vec<_>>(),
        "stop_timeouts": stops.map(|stops| stops.iter().map(|it| json!({
            "ticket": it.ticket,
            "takes_seconds": it.takes.as_secs_f64(),
            "stop_budget_seconds": it.budget.as_secs_f64(),
        })).collect::<Vec<_>>()),
        "findings": config.warnings.iter().map(finding_json).collect::<Vec<_>>(),
        "warnings": config.warnings.iter().filter(|it| it.severity == Severity::Warning).count(),
    })
}
