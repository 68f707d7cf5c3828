//! Carries out verbs, and judges a run at its end.

use std::time::{Duration, Instant};

use crate::clock::{Human, Mono};
use crate::cluster::Binaries;
use crate::expect::expect;
use crate::history::KILL_AFTER_RESUME_MAX;
use crate::observer::Look;
use crate::report::Report;
use crate::script::{HELP, Signal, Step, Target, Verb, Wish, parse};
use crate::service;
use crate::settings::{ARBITRATOR, SITES, Settings, members};
use crate::timeline::{Timeline, Tone};
use crate::world::World;

/// Longest time until the first member answers: the processes themselves need a tenth of it.
const START_WAIT_MAX: Duration = Duration::from_secs(20);

/// Daemons that must know a test feature.
const DAEMONS: [&str; 4] = ["site-agent", "arbitrator", "local-stack", "guard"];

/// Daemons that carry the ticket protocol.
const VOTERS: [&str; 2] = ["site-agent", "arbitrator"];

/// A run before and after its cluster exists.
pub(crate) struct Run {
    settings: Settings,
    binaries: Binaries,
    timeline: Option<Timeline>,
    keep: bool,
    overruled: Vec<String>,
    world: Option<World>,
    failures: Vec<String>,
    overlap_wanted: bool,
    skipped: Option<String>,
    figures: Vec<(String, Duration)>,
}

/// What to do after a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Go,
    Quit,
}

impl Run {
    pub(crate) fn new(binaries: Binaries, timeline: Timeline, keep: bool) -> Self {
        Self {
            settings: Settings::default(),
            binaries,
            timeline: Some(timeline),
            keep,
            overruled: Vec::new(),
            world: None,
            failures: Vec::new(),
            overlap_wanted: false,
            skipped: None,
            figures: Vec::new(),
        }
    }

    /// A setting that a script cannot change.
    pub(crate) fn overrule(&mut self, pair: &str) -> Result<(), String> {
        let (key, value) = pair.split_once('=').ok_or("write --set KEY=VALUE")?;
        self.settings.set(key, value)?;
        self.overruled.push(key.to_owned());
        Ok(())
    }

    /// Runs a script to its end. A failed expectation is noted and the script goes on, so that one
    /// run shows everything; a verb that cannot be carried out ends it.
    pub(crate) fn script(&mut self, steps: &[Step]) {
        for step in steps {
            let order = !matches!(step.verb, Verb::Say(_) | Verb::Set(..) | Verb::Ticket(..));
            if order && let Some(world) = &mut self.world {
                world.say(Tone::Order, &format!("> {}", step.text));
            }
            match self.carry_out(&step.verb) {
                Ok(Then::Go) if self.skipped.is_none() => {}
                Ok(_) => return,
                Err(error) => {
                    let text = format!("line {}: {}: {error}", step.line, step.text);
                    self.say(Tone::Bad, &format!("FAILED {text}"));
                    self.failures.push(text);
                    if !matches!(step.verb, Verb::Expect { .. }) {
                        return;
                    }
                }
            }
        }
    }

    /// Takes verbs from the person until they quit.
    pub(crate) fn interactive(&mut self) -> Result<(), String> {
        self.carry_out(&Verb::Start)?;
        let world = self.world.as_mut().ok_or("the cluster did not start")?;
        world.call(&[
            "grant".into(),
            crate::settings::TICKET.into(),
            "--to".into(),
            SITES[0].into(),
        ])?;
        world.join(None)?;
        world.timeline.raw(&format!("\n{HELP}\n"));
        world.listen()?;
        loop {
            let world = self.world.as_mut().ok_or("the cluster is gone")?;
            let mut line = None;
            // Wakes up once a minute at the latest, only to wait again.
            world.pump(Instant::now() + Duration::from_secs(60), |world| {
                line = world.typed();
                line.is_some()
            });
            let text = match line {
                None => continue,
                Some(None) => return Ok(()),
                Some(Some(text)) => text,
            };
            if text.trim().is_empty() {
                continue;
            }
            match parse(&text).and_then(|verb| self.carry_out(&verb)) {
                Ok(Then::Go) => {}
                Ok(Then::Quit) => return Ok(()),
                Err(error) => self.say(Tone::Bad, &error),
            }
        }
    }

    fn say(&mut self, tone: Tone, text: &str) {
        match (&mut self.world, &mut self.timeline) {
            (Some(world), _) => world.say(tone, text),
            (None, Some(timeline)) => timeline.raw(text),
            (None, None) => eprintln!("{text}"),
        }
    }

    fn carry_out(&mut self, verb: &Verb) -> Result<Then, String> {
        match verb {
            Verb::Set(key, _) if self.overruled.contains(key) => {}
            Verb::Set(key, value) if self.world.is_none() => self.settings.set(key, value)?,
            Verb::Set(..) => return Err("`set` must come before the cluster starts".into()),
            Verb::Require(feature) => self.require(feature)?,
            Verb::Start => self.start()?,
            Verb::Help => self.say(Tone::Plain, HELP),
            Verb::Quit => return Ok(Then::Quit),
            Verb::Say(text) => self.say(Tone::Order, text),
            _ => {
                self.start()?;
                let world = self.world.as_mut().ok_or("the cluster is gone")?;
                if matches!(
                    verb,
                    Verb::Expect {
                        wish: Wish::Overlap,
                        ..
                    }
                ) {
                    self.overlap_wanted = true;
                }
                act(world, verb)?;
            }
        }
        Ok(Then::Go)
    }

    /// A script whose binaries lack a feature is skipped, and that is said, counted and shown.
    fn require(&mut self, feature: &str) -> Result<(), String> {
        let programs: &[&str] = match feature {
            "test-clock" => &DAEMONS,
            "weaken" => &VOTERS,
            _ => return Err(format!("`{feature}`: test-clock or weaken")),
        };
        if !self.binaries.have(feature, programs) {
            let text = format!("needs binaries built with --features {feature}");
            self.say(Tone::Warn, &format!("SKIPPED: {text}"));
            self.skipped = Some(text);
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), String> {
        if self.world.is_some() {
            return Ok(());
        }
        let Some(mut timeline) = self.timeline.take() else {
            return Err("the cluster did not start before and does not now".into());
        };
        timeline.raw(&self.settings.summary());
        let mut world = World::start(&self.settings, self.binaries.clone(), timeline)?;
        if self.keep {
            world.cluster.layout.keep();
            let folder = world.cluster.root().display().to_string();
            world.say(Tone::Quiet, &format!("logs stay in {folder}"));
        }
        let wait = START_WAIT_MAX + world.stretch();
        let all_answer = world.pump(Instant::now() + wait, |world| {
            members().all(|member| world.observer.fresh(member).is_some_and(hears_all))
        });
        let took = Mono::now().since(world.started);
        let silent: Vec<&str> = members()
            .filter(|member| world.observer.fresh(member).is_none())
            .collect();
        if all_answer {
            let text = format!(
                "{} and {ARBITRATOR} answer and hear each other, {} after the start",
                SITES.join(", "),
                Human(took)
            );
            world.say(Tone::Plain, &text);
        }
        self.world = Some(world);
        if all_answer {
            return Ok(());
        }
        Err(format!(
            "no answer from {} within {}",
            silent.join(", "),
            Human(START_WAIT_MAX)
        ))
    }

    /// Ends the run and says what the witness saw.
    pub(crate) fn finish(mut self, script: &str) -> Report {
        let mut report = Report {
            script: script.into(),
            settings: self.settings.summary(),
            skipped: self.skipped.clone(),
            ..Report::default()
        };
        if let Some(mut world) = self.world.take() {
            self.figures.append(&mut world.figures);
            self.judge(&mut world, &mut report);
            world.cluster.end();
        }
        report.figures = self
            .figures
            .iter()
            .map(|(cause, span)| (cause.clone(), span.as_millis() as u64))
            .collect();
        report.failures = self.failures;
        report
    }

    fn judge(&mut self, world: &mut World, report: &mut Report) {
        let verdict = world.witness.verdict();
        let lives = world.witness.lives();
        let (accepted, refused, stale) = world.witness.writes();
        report.lives = lives.len() as u64;
        report.stretched_ms = world.stretched.as_millis() as u64;
        report.first_answer_ms = world.first_answer().map(|span| span.as_millis() as u64);
        report.overlap_us = verdict.overlap().as_micros() as u64;
        report.longest_gap_ms = verdict.longest_gap().map(|gap| gap.span.as_millis() as u64);
        report.last_gap_ms = verdict.gaps.last().map(|gap| gap.span.as_millis() as u64);
        (report.writes, report.refused, report.stale) = (accepted, refused, stale);
        report.after_resume_ms = verdict
            .after_resume
            .iter()
            .map(|(_, span)| span.as_millis() as u64)
            .max();
        if self.overlap_wanted {
            return;
        }
        for overlap in &verdict.overlaps {
            self.failures.push(format!(
                "OVERLAP of {}: web at {} (term {}) and at {} (term {})",
                Human(overlap.span),
                overlap.one.0,
                overlap.one.1,
                overlap.other.0,
                overlap.other.1
            ));
        }
        if stale > 0 {
            self.failures
                .push(format!("the store accepted {stale} stale writes"));
        }
        for (site, span) in &verdict.after_resume {
            if *span > KILL_AFTER_RESUME_MAX + world.stretched {
                let span = Human(*span);
                self.failures
                    .push(format!("{site} went on for {span} after it was resumed"));
            }
        }
        let late = world.stretched;
        let history = world.record.history(&world.settings, &lives, late);
        for violation in oracle::check(&history).list() {
            self.failures.push(format!("oracle: {violation}"));
        }
    }
}

/// A member that reaches every vote: a wish that comes earlier may find no majority.
fn hears_all(look: Look) -> bool {
    look.view.votes.reachable == look.view.votes.configured
}

/// A verb on a running cluster.
fn act(world: &mut World, verb: &Verb) -> Result<(), String> {
    match verb {
        Verb::Wait(span) => world.wait(span.value(&world.settings)),
        Verb::Ticket(arguments, beside) => {
            let asked = Mono::now();
            let number = world.call(arguments)?;
            if !beside {
                world.join(Some(number))?;
                let code = world.last.code;
                world.record.command(asked, arguments, code);
            }
        }
        Verb::Join => world.join(None)?,
        Verb::Until(text, span) => {
            let span = span.value(&world.settings);
            if !world.pump(Instant::now() + span, |world| world.printed(text)) {
                return Err(format!("`{text}` was not printed within {}", Human(span)));
            }
        }
        Verb::Signal(number, target) => signal(world, *number, target)?,
        Verb::Restart(target) => {
            let started = world.cluster.restart(target)?;
            world.touched = Mono::now();
            world.say(Tone::Plain, &format!("started {}", started.join(", ")));
        }
        Verb::Expect {
            wish,
            within,
            during,
        } => {
            let value = |span: &Option<crate::span::Span>| {
                span.as_ref().map(|span| span.value(&world.settings))
            };
            let (within, during) = (value(within), value(during));
            expect(world, wish, within, during)?;
        }
        Verb::Status => status(world),
        _ => return disturb(world, verb),
    }
    Ok(())
}

fn signal(world: &mut World, number: Signal, target: &Target) -> Result<(), String> {
    if number != Signal::Cont {
        world.disturb(&describe(number, target));
    }
    let count = world.cluster.signal(number, target, &world.witness);
    world.touched = Mono::now();
    if count == 0 {
        return Err("nothing of it runs".into());
    }
    Ok(())
}

fn describe(number: Signal, target: &Target) -> String {
    let verb = match number {
        Signal::Kill => "kill -9",
        Signal::Stop => "pause",
        Signal::Cont => "resume",
        Signal::Term => "clean stop",
    };
    let name = match target {
        Target::Member(member) if SITES.contains(&member.as_str()) => format!("site {member}"),
        Target::Member(member) => member.clone(),
        Target::Daemon(member, daemon) => format!("{member}.{}", daemon.word()),
        Target::Service(site) => format!("{site}.service"),
    };
    format!("{verb} {name}")
}

/// What happens to the network, to files and to clocks.
fn disturb(world: &mut World, verb: &Verb) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    match verb {
        Verb::Wipe(member) => world.cluster.wipe(member).map_err(text)?,
        Verb::Corrupt(member) => {
            if world.cluster.corrupt(member).map_err(text)? == 0 {
                return Err("it has stored nothing yet".into());
            }
        }
        Verb::Cut(paths) => {
            world.disturb("cut");
            change(world, paths, |path| path.cut = true);
        }
        Verb::Heal => {
            let mut all = Vec::new();
            for from in members() {
                all.extend(
                    members()
                        .filter(|to| *to != from)
                        .map(|to| (from.into(), to.into())),
                );
            }
            change(world, &all, |path| path.cut = false);
        }
        Verb::Latency(span, paths) => {
            let latency = span.value(&world.settings);
            change(world, paths, |path| path.latency = latency);
        }
        Verb::Loss(ppm, paths) => change(world, paths, |path| path.loss_ppm = *ppm),
        Verb::Fault(site, action, kind) => world.cluster.fault(site, action, kind).map_err(text)?,
        Verb::StepClock(member, seconds) => {
            world.cluster.step_clock(member, *seconds).map_err(text)?;
        }
        other => return Err(format!("{other:?} has no meaning here")),
    }
    Ok(())
}

fn change(world: &World, paths: &[(String, String)], edit: impl Fn(&mut crate::relay::Path)) {
    for (from, to) in paths {
        world.cluster.relay.change(from, to, |path| edit(path));
    }
}

fn status(world: &mut World) {
    let mut lines = Vec::new();
    for member in members() {
        let said = match world.observer.fresh(member) {
            None => "silent".to_owned(),
            Some(look) => {
                let votes = look.view.votes;
                let tickets: Vec<String> = look
                    .view
                    .tickets
                    .iter()
                    .map(|ticket| {
                        let holder = ticket.holder.as_deref().unwrap_or("nobody");
                        let left = ticket.lease.as_ref().map_or_else(String::new, |lease| {
                            format!(", {} left", Human(Duration::from_millis(lease.left_ms)))
                        });
                        format!("{}: {:?} {holder}{left}", ticket.name, ticket.state)
                    })
                    .collect();
                format!(
                    "votes {}/{}, {}",
                    votes.reachable,
                    votes.configured,
                    tickets.join("; ")
                )
            }
        };
        lines.push(format!(
            "{member:<7} {said}  [{}]",
            world.cluster.daemons(member)
        ));
    }
    for site in SITES {
        let port = world.cluster.layout.web_port(site);
        let answer = service::fetch(port).unwrap_or_else(|_| "no answer".into());
        lines.push(format!("curl http://127.0.0.1:{port}  # {site}: {answer}"));
    }
    for (from, to, path, passed, dropped) in world.cluster.relay.disturbed() {
        let state = if path.cut {
            "cut".to_owned()
        } else {
            format!("{}", Human(path.latency))
        };
        let loss = f64::from(path.loss_ppm) / 10_000.0;
        lines.push(format!(
            "{from} -> {to}: {state}, loss {loss} %, {passed} passed, {dropped} dropped"
        ));
    }
    for line in lines {
        world.say(Tone::Plain, &line);
    }
}
