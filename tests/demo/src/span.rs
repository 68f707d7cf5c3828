//! Spans in scripts: `250ms`, `lease + acquire-after + 2s`, `3*lease`.

use std::time::Duration;

use crate::settings::Settings;

/// One term of a sum.
#[derive(Clone, Debug, PartialEq)]
enum Term {
    Fixed(Duration),
    /// So many times a named setting.
    Named(u32, Name),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Lease,
    AcquireAfter,
    StopBudget,
}

/// A sum of spans, some of them named settings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    terms: Vec<Term>,
}

impl Span {
    /// Reads a sum; the error says what may stand there.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let terms = text
            .split('+')
            .map(|term| parse_term(term.trim()))
            .collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Its value under the settings of this run.
    pub(crate) fn value(&self, settings: &Settings) -> Duration {
        let value = |term: &Term| match term {
            Term::Fixed(span) => *span,
            Term::Named(times, Name::Lease) => settings.lease * *times,
            Term::Named(times, Name::AcquireAfter) => settings.acquire_after * *times,
            Term::Named(times, Name::StopBudget) => settings.stop_budget * *times,
        };
        self.terms.iter().map(value).sum()
    }
}

fn parse_term(text: &str) -> Result<Term, String> {
    let (times, name) = match text.split_once('*') {
        Some((times, name)) => {
            let times = times
                .trim()
                .parse()
                .map_err(|_| format!("`{text}`: write as `3*lease`"))?;
            (times, name.trim())
        }
        None => (1, text),
    };
    match name {
        "lease" => Ok(Term::Named(times, Name::Lease)),
        "acquire-after" => Ok(Term::Named(times, Name::AcquireAfter)),
        "stop-budget" => Ok(Term::Named(times, Name::StopBudget)),
        fixed => parse_duration(fixed).map(|span| Term::Fixed(span * times)),
    }
}

/// Reads `250ms`, `2s`, `1.5s`, `3m`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let wrong = || format!("`{text}` is not a time: write 250ms, 2s, 3m, 1h or a sum with lease");
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_follow_the_settings() {
        let settings = Settings {
            lease: Duration::from_secs(2),
            acquire_after: Duration::from_millis(1_500),
            ..Settings::default()
        };
        let span = Span::parse("lease + acquire-after+ 2s").unwrap();
        assert_eq!(span.value(&settings), Duration::from_millis(5_500));
        let span = Span::parse("3*lease+10ms").unwrap();
        assert_eq!(span.value(&settings), Duration::from_millis(6_010));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "2", "soon", "2 days", "-1s", "lease*3", "1s++2s"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }
}
