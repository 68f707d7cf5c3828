//! `expect`: what a script wants to see, and the words for what it saw instead.

use std::time::{Duration, Instant};

use ticket_admin::TicketState;

use crate::clock::{Human, Mono};
use crate::script::{Target, Wish};
use crate::service;
use crate::settings::{SITES, TICKET, members};
use crate::world::World;

/// Waits until a wish is met, at most `within`; with `during`, watches that it stays met.
pub(crate) fn expect(
    world: &mut World,
    wish: &Wish,
    within: Option<Duration>,
    during: Option<Duration>,
) -> Result<(), String> {
    if let Some(span) = during {
        let mut broken = None;
        world.pump(Instant::now() + span, |world| {
            broken = check(world, wish).err();
            broken.is_some()
        });
        return match broken {
            Some(seen) => Err(format!(
                "{seen} (it should have stayed so for {})",
                Human(span)
            )),
            None => {
                note_figure(world, wish);
                Ok(())
            }
        };
    }
    let mut seen = Ok(());
    // What is given no time is looked at once, however busy the machine is.
    let within = within.map(|span| span + world.stretch());
    let until = Instant::now() + within.unwrap_or_default();
    let met = world.pump(until, |world| {
        seen = check(world, wish);
        seen.is_ok()
    });
    // With no time given the wish is looked at once; `pump` does that before it looks at the clock.
    match seen {
        Ok(()) if met => {
            note_figure(world, wish);
            Ok(())
        }
        Ok(()) => Ok(()),
        Err(seen) => match within {
            Some(span) => Err(format!("{seen} (after {})", Human(span))),
            None => Err(seen),
        },
    }
}

/// A service that is back after a disturbance is a figure worth keeping; where it never went away
/// the disturbance is over and done with.
fn note_figure(world: &mut World, wish: &Wish) {
    if let (Wish::Serving(_) | Wish::Served, Some((at, cause))) = (wish, world.disturbed.take()) {
        let lives = world.witness.lives();
        let first = lives
            .iter()
            .filter_map(|life| life.ready)
            .filter(|ready| *ready > at)
            .min();
        if let Some(first) = first {
            world.figure(&cause, first.since(at));
        }
    }
}

/// Looks once. `Err` says what is seen instead.
fn check(world: &mut World, wish: &Wish) -> Result<(), String> {
    match wish {
        Wish::Serving(site) => serving(world, site),
        Wish::Served => {
            let sites = world.witness.serving();
            demand(sites.len() == 1, || {
                format!("web serves at: {}", list(&sites))
            })
        }
        Wish::NotServing(site) => {
            let sites = world.witness.serving();
            demand(!sites.contains(site), || {
                format!("web still serves at {site}")
            })
        }
        Wish::NothingServing => {
            let sites = world.witness.serving();
            demand(sites.is_empty(), || {
                format!("web serves at: {}", list(&sites))
            })
        }
        Wish::Holder(site) => holder(world, site.as_deref()),
        Wish::Dead(target) => {
            // A service is dead when the witness has seen its end: the lines that follow ask the witness.
            let left = match target {
                Target::Service(site) => world.witness.pids(site),
                _ => world.cluster.pids(target, &world.witness),
            };
            demand(left.is_empty(), || format!("still alive: {left:?}"))
        }
        Wish::Alive(target) => {
            let found = world.cluster.pids(target, &world.witness);
            demand(!found.is_empty(), || "it is not running".into())
        }
        Wish::Code(_) | Wish::NonZero | Wish::Output(_) => command(world, wish),
        Wish::GapBelow(span) => gap(world, span.value(&world.settings)),
        Wish::StopBeforeStart => stop_before_start(world),
        Wish::AllWell => all_well(world),
        Wish::Asked => demand(world.asked > world.started, || {
            "no ticket command was given".into()
        }),
        Wish::Since(action, ended) => since(world, action, *ended),
        Wish::FirstAnswerBelow(span) => first_answer(world, span.value(&world.settings)),
        Wish::NoStandby => no_standby(world),
        Wish::OneOwner => {
            let now = Mono::now();
            let owners: Vec<String> = world
                .claims()
                .filter(|claim| claim.until.is_none_or(|until| until > now))
                .map(|claim| claim.site.clone())
                .collect();
            demand(owners.len() <= 1, || {
                format!("{TICKET} is claimed by {}", list(&owners))
            })
        }
        Wish::StoreRefused => {
            let (_, refused, _) = world.witness.writes();
            demand(refused > 0, || "the store has refused nothing".into())
        }
        Wish::Overlap => {
            let overlap = world.witness.verdict().overlap();
            demand(!overlap.is_zero(), || {
                "no overlap: without the rule it must be seen, or the witness is blind".into()
            })
        }
        Wish::Protection(word) => protection(world, word),
    }
}

fn demand(met: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if met { Ok(()) } else { Err(seen()) }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "no site".into()
    } else {
        names.join(", ")
    }
}

fn serving(world: &mut World, site: &str) -> Result<(), String> {
    let sites = world.witness.serving();
    demand(sites == [site], || {
        format!("web serves at: {}", list(&sites))
    })?;
    // The beats say that it runs; only a request proves that it answers.
    match service::fetch(world.cluster.layout.web_port(site)) {
        Ok(answer) if answer.contains(site) => Ok(()),
        Ok(answer) => Err(format!("web at {site} answers `{answer}`")),
        Err(error) => Err(format!("web at {site} beats but does not answer: {error}")),
    }
}

/// Who holds the ticket, by the word of the members that answer now. Nobody: no site claims it and
/// no member believes that one does.
fn holder(world: &World, wanted: Option<&str>) -> Result<(), String> {
    let looks = world.observer.all_fresh();
    demand(!looks.is_empty(), || "no member answers".into())?;
    let now = Mono::now();
    let mut holders: Vec<String> = world
        .claims()
        .filter(|claim| claim.until.is_none_or(|until| until > now))
        .map(|claim| claim.site.clone())
        .collect();
    holders.dedup();
    match wanted {
        Some(site) => demand(holders == [site], || format!("held by: {}", list(&holders))),
        None => demand(holders.is_empty(), || {
            format!("held by: {}", list(&holders))
        }),
    }
}

fn command(world: &World, wish: &Wish) -> Result<(), String> {
    let last = &world.last;
    let code = last
        .code
        .map_or_else(|| "no code".to_owned(), |code| code.to_string());
    match wish {
        Wish::Code(wanted) => demand(last.code == Some(*wanted), || {
            format!("the command ended with {code}: {}", last.output.trim())
        }),
        Wish::NonZero => demand(last.code.is_some_and(|code| code != 0), || {
            format!("the command ended with {code}: {}", last.output.trim())
        }),
        Wish::Output(text) => demand(last.output.contains(text.as_str()), || {
            format!("the command said: {}", last.output.trim())
        }),
        _ => Ok(()),
    }
}

fn gap(world: &World, limit: Duration) -> Result<(), String> {
    let verdict = world.witness.verdict();
    let Some(gap) = verdict.gaps.last() else {
        return Err("there was no gap in service".into());
    };
    demand(gap.span < limit, || {
        format!(
            "the last gap was {} (from {} to {})",
            Human(gap.span),
            gap.from,
            gap.to
        )
    })
}

/// The stop that freed the service's last place was confirmed before the start at its new one began.
fn stop_before_start(world: &World) -> Result<(), String> {
    let notes = world.witness.notes();
    let start = notes
        .iter()
        .rposition(|note| note.action == "start" && note.code.is_none())
        .ok_or("no agent has started anything")?;
    let site = &notes[start].site;
    let stop = notes[..start]
        .iter()
        .rposition(|note| note.action == "stop" && &note.site != site);
    match stop.map(|index| &notes[index]) {
        Some(note) if note.code == Some(0) => Ok(()),
        Some(_) => Err(format!(
            "the start at {site} began before the stop was confirmed"
        )),
        None => Err(format!(
            "nothing was stopped elsewhere before the start at {site}"
        )),
    }
}

/// What an agent did since the last ticket command.
fn since(world: &World, action: &str, ended: bool) -> Result<(), String> {
    let notes = world.witness.notes();
    let mut later = notes.iter().filter(|note| note.at > world.asked);
    let seen = later.any(|note| note.action == action && note.code.is_some() == ended);
    let state = if ended { "ended" } else { "begun" };
    demand(seen, || format!("no agent has {state} a {action} since"))
}

fn first_answer(world: &World, limit: Duration) -> Result<(), String> {
    let first = world.first_answer().ok_or("the service has not answered")?;
    demand(first < limit, || {
        format!("the first answer came {} after the start", Human(first))
    })
}

fn no_standby(world: &World) -> Result<(), String> {
    for look in world.observer.all_fresh() {
        for ticket in look
            .view
            .tickets
            .iter()
            .filter(|ticket| ticket.name == TICKET)
        {
            let member = &look.view.member;
            demand(!ticket.standby, || {
                format!("{member} shows {TICKET} in standby")
            })?;
            let moving = ticket.moving.is_some() || ticket.state == TicketState::Moving;
            demand(!moving, || format!("{member} shows a move under way"))?;
        }
    }
    Ok(())
}

fn all_well(world: &World) -> Result<(), String> {
    for member in members() {
        let look = world.observer.fresh(member);
        let look = look.filter(|look| look.at > world.touched);
        let view = look
            .ok_or_else(|| format!("{member} does not answer"))?
            .view;
        let votes = view.votes;
        demand(votes.reachable == votes.configured, || {
            format!(
                "{member} sees {} of {} votes",
                votes.reachable, votes.configured
            )
        })?;
        for node in view.nodes.iter().filter(|node| node.site == member) {
            demand(node.guard && node.cluster == "ok", || {
                format!("{}: guard {}, {}", node.name, node.guard, node.cluster)
            })?;
        }
    }
    Ok(())
}

fn protection(world: &World, word: &str) -> Result<(), String> {
    for site in SITES {
        let Some(look) = world.observer.fresh(site) else {
            continue;
        };
        for node in look.view.nodes.iter().filter(|node| node.site == site) {
            demand(node.protection == word, || {
                format!("{} shows protection `{}`", node.name, node.protection)
            })?;
        }
        demand(!look.view.nodes.is_empty(), || {
            format!("{site} shows no node")
        })?;
    }
    Ok(())
}
