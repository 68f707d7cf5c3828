//! The countdown: what a command waits for, and for how long.

use std::time::{Duration, Instant};

use ticket_admin::Progress;

use crate::change::progress_text;
use crate::clock;
use crate::output::{Output, Paint};

/// On a terminal one line that is rewritten, elsewhere a line whenever something new happens.
pub(crate) struct Countdown<'a> {
    out: &'a Output,
    what: String,
    start: Instant,
    end: Instant,
    /// The last progress and when it came.
    last: Option<(Progress, Instant)>,
    /// When the phase shown began.
    phase_since: Instant,
    /// Whether the phase was announced, where no line can be rewritten.
    announced: bool,
    /// Leaves a line behind for every phase: a move's are worth reading afterwards.
    record: bool,
}

/// A phase that is shorter is not worth a line in a log.
const WORTH_A_LINE: Duration = Duration::from_secs(1);

impl<'a> Countdown<'a> {
    /// For the wish `verb ticket`, which waits until `end`.
    pub(crate) fn new(out: &'a Output, verb: &str, ticket: &str, end: Instant) -> Self {
        let now = Instant::now();
        let what = format!("{verb} {ticket}");
        Self {
            out,
            what,
            start: now,
            end,
            last: None,
            phase_since: now,
            announced: false,
            record: verb == "move",
        }
    }

    /// The daemon says where it is.
    pub(crate) fn progress(&mut self, progress: &Progress) {
        let now = Instant::now();
        let fresh = self
            .last
            .as_ref()
            .is_none_or(|(last, _)| (&last.phase, last.step) != (&progress.phase, progress.step));
        if fresh {
            self.end_step(true);
            self.phase_since = now;
            self.announced = false;
        }
        self.last = Some((progress.clone(), now));
        self.draw();
    }

    /// Redraws the line.
    pub(crate) fn draw(&mut self) {
        let now = Instant::now();
        if !self.out.live {
            self.announce(now);
            return;
        }
        let left = self.end.saturating_duration_since(now);
        let waited = now.saturating_duration_since(self.start);
        let span = |duration: Duration| {
            clock::span(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
        };
        let waiting = match &self.last {
            None => "asking".to_owned(),
            Some((progress, at)) => {
                let progress = aged(progress, now.saturating_duration_since(*at));
                format!("{}waiting: {}", steps(&progress), progress_text(&progress))
            }
        };
        // The times first: the end of the line may not fit.
        let times = format!("{} of {}", span(waited), span(waited + left));
        let times = self.out.err_style.paint(Paint::Dim, &times);
        self.out
            .rewrite(&format!("{} [{times}] {waiting}", self.what));
    }

    /// In a log: one line for a phase that lasts.
    fn announce(&mut self, now: Instant) {
        let Some((progress, at)) = &self.last else {
            return;
        };
        let lasts = now.saturating_duration_since(self.phase_since) >= WORTH_A_LINE;
        if self.announced || !lasts {
            return;
        }
        let progress = aged(progress, now.saturating_duration_since(*at));
        self.announced = true;
        self.out.remark(&format!(
            "{}: waiting: {}",
            self.what,
            progress_text(&progress)
        ));
    }

    /// The last word has come.
    pub(crate) fn finish(&mut self, good: bool) {
        self.end_step(good);
        self.out.rewrite("");
    }

    /// Leaves a line behind for a step that is over.
    fn end_step(&mut self, good: bool) {
        let Some((progress, _)) = self.last.take() else {
            return;
        };
        if progress.step.is_none() && !self.record {
            return;
        }
        let took = u64::try_from(self.phase_since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let style = self.out.err_style;
        let word = match good {
            true => style.paint(
                Paint::Good,
                &format!("{} ok", style.symbol('\u{2713}', '+')),
            ),
            false => style.paint(Paint::Bad, &format!("{} no", style.symbol('\u{2717}', 'x'))),
        };
        self.out.rewrite("");
        let line = format!(
            " {}{:<44} {word} {:>6}",
            steps(&progress),
            progress.phase,
            clock::span(took)
        );
        self.out.remark(&line);
    }
}

/// The same, some time later.
fn aged(progress: &Progress, age: Duration) -> Progress {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let mut progress = progress.clone();
    progress.until_ms = progress.until_ms.map(|ms| ms.saturating_sub(age));
    progress
}

/// `2/5 `.
fn steps(progress: &Progress) -> String {
    match (progress.step, progress.steps) {
        (Some(step), Some(steps)) => format!("{step}/{steps} "),
        (Some(step), None) => format!("{step}. "),
        (None, _) => String::new(),
    }
}
