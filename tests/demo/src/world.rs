//! A run: the cluster, the witness, the observers, and the time line that shows what they see.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::{Human, Mono, waiting_per_core};
use crate::cluster::{Binaries, Cluster};
use crate::history::Record;
use crate::layout::Layout;
use crate::observer::{Claim, Look, Observer, claim};
use crate::process::describe;
use crate::settings::{SITES, Settings, TICKET, members};
use crate::timeline::{Lane, Timeline, Tone};
use crate::witness::{Sight, Witness};

/// How often the processes are looked after while nothing happens.
const TICK: Duration = Duration::from_millis(20);

/// Longest wait for anything that has no wait of its own: a ticket command ends before.
const COMMAND_WAIT_MAX: Duration = Duration::from_secs(150);

/// Longest time, in seconds, by which a deadline is put off on a busy machine.
const STRETCH_MAX: f64 = 60.0;

/// Lines of a failed daemon's log that are shown.
const LOG_TAIL_LINES: usize = 4;

/// Something that happened, from whatever thread saw it.
#[derive(Debug)]
enum News {
    Sight(Sight),
    Look(Box<Look>),
    /// A line of a ticket command, by its number.
    Output(usize, String),
    /// A line that the person typed, or the end of the input.
    Typed(Option<String>),
}

/// A ticket command, under way or ended.
#[derive(Debug)]
struct Call {
    number: usize,
    child: Child,
    text: String,
}

/// A finished ticket command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
}

/// The run.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) witness: Witness,
    pub(crate) observer: Observer,
    pub(crate) settings: Settings,
    pub(crate) timeline: Timeline,
    pub(crate) record: Record,
    /// The last disturbance: when, and what it was.
    pub(crate) disturbed: Option<(Mono, String)>,
    /// The ticket command that ended last.
    pub(crate) last: Ended,
    news: Receiver<News>,
    sender: Sender<News>,
    calls: Vec<Call>,
    outputs: BTreeMap<usize, String>,
    calls_made: usize,
    /// The last claim of each site, and when it was seen.
    claims: BTreeMap<String, (Mono, Claim)>,
    typed: VecDeque<Option<String>>,
    /// From a disturbance to the service's return: cause and time.
    pub(crate) figures: Vec<(String, Duration)>,
    pub(crate) started: Mono,
    /// The longest that a deadline was put off because the machine was busy.
    pub(crate) stretched: Duration,
    /// When a ticket command was given last.
    pub(crate) asked: Mono,
    /// When processes were ended, paused or started last: what was seen before tells nothing.
    pub(crate) touched: Mono,
    /// When each site's agent was last seen to end: until then it may have renewed unseen.
    ended: BTreeMap<String, Mono>,
}

impl World {
    /// Prepares and starts the cluster; returns as soon as the processes run.
    pub(crate) fn start(
        settings: &Settings,
        binaries: Binaries,
        mut timeline: Timeline,
    ) -> Result<Self, String> {
        let started = Mono::now();
        timeline.begin(started);
        let layout = Layout::make().map_err(|error| format!("temporary folder: {error}"))?;
        let (sender, news) = channel();
        let witness = {
            let sights = bridge(&sender, News::Sight)?;
            Witness::start(&layout.witness(), sights)
                .map_err(|error| format!("witness: {error}"))?
        };
        let mut cluster = Cluster::prepare(layout, binaries, settings)?;
        cluster.start()?;
        let observer = Observer::default();
        for member in members() {
            let looks = bridge(&sender, |look| News::Look(Box::new(look)))?;
            observer
                .watch(member, cluster.layout.control(member), looks)
                .map_err(|error| format!("observer: {error}"))?;
        }
        Ok(Self {
            cluster,
            witness,
            observer,
            settings: settings.clone(),
            timeline,
            record: Record::default(),
            disturbed: None,
            last: Ended::default(),
            news,
            sender,
            calls: Vec::new(),
            outputs: BTreeMap::new(),
            calls_made: 0,
            claims: BTreeMap::new(),
            typed: VecDeque::new(),
            figures: Vec::new(),
            started,
            stretched: Duration::ZERO,
            asked: started,
            touched: started,
            ended: BTreeMap::new(),
        })
    }

    /// Lets time pass until `until`, or until `done` says so; true if it did.
    pub(crate) fn pump(&mut self, until: Instant, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            match self.news.recv_timeout(left.min(TICK)) {
                Ok(news) => self.take(news),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            while let Ok(news) = self.news.try_recv() {
                self.take(news);
            }
            self.look_after();
        }
    }

    /// Lets `span` pass.
    pub(crate) fn wait(&mut self, span: Duration) {
        self.pump(Instant::now() + span, |_| false);
    }

    fn take(&mut self, news: News) {
        match news {
            News::Sight(sight) => self.show_sight(sight),
            News::Look(look) => self.show_look(&look),
            News::Output(number, line) => {
                self.timeline
                    .say(Tone::Quiet, &self.lanes(), &format!("ticket: {line}"));
                let output = self.outputs.entry(number).or_default();
                output.push_str(&line);
                output.push('\n');
            }
            News::Typed(line) => self.typed.push_back(line),
        }
    }

    /// Reports daemons that ended and services that went away without a word.
    fn look_after(&mut self) {
        for (name, status, log) in self.cluster.ended() {
            let text = format!("{name} {}", describe(status));
            self.timeline.say(Tone::Bad, &self.lanes(), &text);
            if status.code().is_some_and(|code| code != 0) {
                for line in tail(&log) {
                    self.timeline
                        .say(Tone::Quiet, &self.lanes(), &format!("  log: {line}"));
                }
            }
            let (member, daemon) = name.split_once('.').unwrap_or((&name, "agent"));
            if daemon != "agent" {
                continue;
            }
            self.observer.forget(member);
            self.ended.insert(member.to_owned(), Mono::now());
            // Whether it released before it died nobody saw: the history must not claim more than was
            // seen. What it ran is the witness's affair, and exact.
            if let Some((last, claim)) = self.claims.remove(member) {
                self.record.released(last, &claim);
            }
        }
    }

    fn show_sight(&mut self, sight: Sight) {
        let (tone, text) = match &sight {
            Sight::Serving { at, site, term } => {
                let gap = self.gap_before(*at);
                (
                    Tone::Good,
                    format!("web answers at {site} under term {term}{gap}"),
                )
            }
            Sight::Gone { site, pid, .. } => {
                (Tone::Plain, format!("web at {site} is gone ({pid})"))
            }
            Sight::Refused {
                site,
                term,
                highest,
                ..
            } => {
                if self.record.refused_before(*term) {
                    return;
                }
                let text = format!("the store refused {site}: term {term} is older than {highest}");
                (Tone::Warn, text)
            }
            Sight::Action {
                site,
                action,
                code: None,
                ..
            } => (Tone::Quiet, format!("agent at {site}: {action} begins")),
            Sight::Action {
                site,
                action,
                code: Some(0),
                ..
            } => (Tone::Quiet, format!("agent at {site}: {action} done")),
            Sight::Action {
                site,
                action,
                code: Some(code),
                ..
            } => (
                Tone::Bad,
                format!("agent at {site}: {action} failed with code {code}"),
            ),
        };
        self.record.sight(&sight);
        // What just happened follows from a grant or a loss: ask at once what the members say.
        self.observer.nudge();
        let at = sight.at();
        self.timeline.say_at(at, tone, &self.lanes(), &text);
    }

    /// How long nobody served before `at`.
    fn gap_before(&self, at: Mono) -> String {
        let lives = self.witness.lives();
        // The life that begins has its first beat already.
        let before = lives.iter().filter(|life| life.ready != Some(at));
        let beats = before
            .flat_map(|life| &life.stretches)
            .map(|stretch| stretch.last);
        match beats.filter(|last| *last < at).max() {
            Some(last) => format!(", {} without service", Human(at.since(last))),
            None => format!(", {} after the start", Human(at.since(self.started))),
        }
    }

    /// Shows a change of what a site says of itself.
    fn show_look(&mut self, look: &Look) {
        let member = look.view.member.clone();
        // The last words of an agent that has ended meanwhile: the next one begins anew.
        if self
            .ended
            .get(&member)
            .is_some_and(|ended| look.at <= *ended)
        {
            return;
        }
        let now = claim(look, TICKET);
        let before = self.claims.get(&member);
        // A new claim was true when the answer came, a known one already when it was asked for: so
        // the history never shows a claim at a moment when it may not have been made.
        let known =
            before.filter(|(_, before)| now.as_ref().is_some_and(|now| now.term == before.term));
        let at = known.map_or(look.answered, |(last, _)| look.at.max(*last));
        if let Some(claim) = &now {
            let alive = self.ended.remove(&member).unwrap_or(at);
            self.record.claim(at, claim, alive, self.settings.lease);
        }
        let text = match (before, &now) {
            (None, Some(claim)) => Some((Tone::Good, held(claim))),
            (Some((_, old)), Some(new)) if old.term != new.term => Some((Tone::Good, held(new))),
            (Some((_, old)), Some(new)) if old.standby != new.standby => {
                let state = if new.standby { "in standby" } else { "active" };
                Some((Tone::Plain, format!("{TICKET} at {member} is {state}")))
            }
            (Some((last, old)), None) => {
                let end = format!("{member} no longer holds {TICKET} (term {})", old.term);
                // It may have been released at once after the last look that saw it.
                self.record.disowned(*last, old);
                Some((Tone::Warn, end))
            }
            _ => None,
        };
        match now {
            Some(claim) => drop(self.claims.insert(member, (at, claim))),
            None => drop(self.claims.remove(&member)),
        }
        if let Some((tone, text)) = text {
            self.timeline.say(tone, &self.lanes(), &text);
        }
    }

    /// One cell per site for the time line.
    fn lanes(&self) -> Vec<Lane> {
        let serving = self.witness.serving();
        SITES
            .iter()
            .map(|site| {
                let holds = self.claims.contains_key(*site);
                let serves = serving.iter().any(|name| name == site);
                let up = self.cluster.is_up(site);
                Lane { serves, holds, up }
            })
            .collect()
    }

    /// What each site claims now, by its last look.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.values().map(|(_, claim)| claim)
    }

    /// Starts a ticket command; its output appears in the time line.
    pub(crate) fn call(&mut self, arguments: &[String]) -> Result<usize, String> {
        let member = self.speaker();
        let text = arguments.join(" ");
        let mut child = Command::new(self.cluster.binaries.path("ticket"))
            .arg("--config")
            .arg(self.cluster.layout.config(&member))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("ticket: {error}"))?;
        self.calls_made += 1;
        self.asked = Mono::now();
        let number = self.calls_made;
        self.follow(number, child.stdout.take())?;
        self.follow(number, child.stderr.take())?;
        self.timeline.say(
            Tone::Order,
            &self.lanes(),
            &format!("$ ticket {text}  (asked at {member})"),
        );
        self.calls.push(Call {
            number,
            child,
            text,
        });
        Ok(number)
    }

    /// The member that a command is given to: a site that answers, the arbitrator otherwise.
    fn speaker(&self) -> String {
        let answers = |member: &&str| self.observer.fresh(member).is_some();
        members().find(answers).unwrap_or(SITES[0]).to_owned()
    }

    fn follow(
        &self,
        number: usize,
        stream: Option<impl Read + Send + 'static>,
    ) -> Result<(), String> {
        let Some(stream) = stream else { return Ok(()) };
        let sender = self.sender.clone();
        let spawned = thread::Builder::new().name("output".into()).spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                // A countdown rewrites its line; the last state of it is what counts.
                let line = line
                    .rsplit('\r')
                    .find(|part| !part.is_empty())
                    .unwrap_or("")
                    .to_owned();
                if sender.send(News::Output(number, line)).is_err() {
                    return;
                }
            }
        });
        spawned
            .map(drop)
            .map_err(|error| format!("thread: {error}"))
    }

    /// Waits for one ticket command, or for all.
    pub(crate) fn join(&mut self, only: Option<usize>) -> Result<(), String> {
        let wanted = |call: &Call| only.is_none_or(|number| number == call.number);
        while let Some(index) = self.calls.iter().position(wanted) {
            let mut status = None;
            let until = Instant::now() + COMMAND_WAIT_MAX;
            self.pump(until, |world| {
                status = world.calls[index].child.try_wait().ok().flatten();
                status.is_some()
            });
            // Its last lines may still be on their way through the readers.
            self.wait(TICK);
            let mut call = self.calls.remove(index);
            let Some(status) = status else {
                drop(call.child.kill());
                drop(call.child.wait());
                return Err(format!(
                    "`ticket {}` did not end within {}",
                    call.text,
                    Human(COMMAND_WAIT_MAX)
                ));
            };
            let output = self.outputs.remove(&call.number).unwrap_or_default();
            self.last = Ended {
                code: status.code(),
                output,
            };
            if status.code() != Some(0) {
                let text = format!("ticket {}: {}", call.text, describe(status));
                self.timeline.say(Tone::Warn, &self.lanes(), &text);
            }
        }
        Ok(())
    }

    /// Whether a command under way has printed `text`.
    pub(crate) fn printed(&self, text: &str) -> bool {
        self.outputs.values().any(|output| output.contains(text))
    }

    /// How much longer than it says a deadline lasts now: nothing on a machine that can run what
    /// wants to run, a second for each process that waits for a core otherwise. Order and overlap
    /// are judged all the same, and the figures stay what they are.
    pub(crate) fn stretch(&mut self) -> Duration {
        let span = Duration::from_secs_f64(waiting_per_core().min(STRETCH_MAX));
        self.stretched = self.stretched.max(span);
        span
    }

    /// From the start of the first process to the first answer of the service.
    pub(crate) fn first_answer(&self) -> Option<Duration> {
        let lives = self.witness.lives();
        let first = lives.iter().filter_map(|life| life.ready).min()?;
        Some(first.since(self.started))
    }

    /// From here on the time counts until the service is back. A second disturbance adds its name
    /// to the first: both have to be survived.
    pub(crate) fn disturb(&mut self, cause: &str) {
        match &mut self.disturbed {
            Some((_, known)) if known == cause => {}
            Some((_, known)) => *known = format!("{known}, {cause}"),
            None => self.disturbed = Some((Mono::now(), cause.to_owned())),
        }
    }

    /// Keeps a figure and shows it.
    pub(crate) fn figure(&mut self, cause: &str, span: Duration) {
        self.say(
            Tone::Good,
            &format!("{cause}: service again after {}", Human(span)),
        );
        self.figures.push((cause.to_owned(), span));
    }

    /// Says something in the time line.
    pub(crate) fn say(&mut self, tone: Tone, text: &str) {
        let lanes = self.lanes();
        self.timeline.say(tone, &lanes, text);
    }

    /// Reads the person's lines from now on.
    pub(crate) fn listen(&self) -> Result<(), String> {
        let sender = self.sender.clone();
        let spawned = thread::Builder::new().name("input".into()).spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if sender.send(News::Typed(Some(line))).is_err() {
                    return;
                }
            }
            drop(sender.send(News::Typed(None)));
        });
        spawned.map(drop).map_err(|error| format!("input: {error}"))
    }

    /// The next line that was typed; `None` within it is the end of the input.
    pub(crate) fn typed(&mut self) -> Option<Option<String>> {
        self.typed.pop_front()
    }
}

/// A sender that turns what it is given into news.
fn bridge<T: Send + 'static>(
    sender: &Sender<News>,
    wrap: impl Fn(T) -> News + Send + 'static,
) -> Result<Sender<T>, String> {
    let (inner, outer) = (channel::<T>(), sender.clone());
    let (sender, receiver) = inner;
    let spawned = thread::Builder::new().name("bridge".into()).spawn(move || {
        for item in receiver {
            if outer.send(wrap(item)).is_err() {
                return;
            }
        }
    });
    spawned.map_err(|error| format!("thread: {error}"))?;
    Ok(sender)
}

fn held(claim: &Claim) -> String {
    let until = claim.until.map_or_else(
        || "until it is revoked".to_owned(),
        |until| {
            format!(
                "until {} unless renewed",
                crate::timeline::time_of_day(until)
            )
        },
    );
    format!(
        "{} holds {TICKET} under term {} {until}",
        claim.site, claim.term
    )
}

fn tail(log: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .rev()
        .take(LOG_TAIL_LINES)
        .rev()
        .map(|line| (*line).to_owned())
        .collect()
}
