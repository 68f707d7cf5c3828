//! `ticket watch`.

use std::time::{Duration, Instant};

use ticket_admin::{Body, Call, Code, Event, Failure, Level};

use crate::args::Global;
use crate::clock;
use crate::connect::{QUERY, Target};
use crate::json;
use crate::output::{Output, Paint, Stop};

/// A watch has no end of its own; this is how often it looks whether one was given.
const LOOK: Duration = Duration::from_secs(60);

/// What to watch.
pub(crate) struct Filter<'a> {
    /// Only this ticket.
    pub(crate) ticket: Option<&'a str>,
    /// Go on after this sequence number.
    pub(crate) after: Option<u64>,
    /// End after so many events.
    pub(crate) count: Option<u64>,
}

/// Prints events until the daemon ends, the count is reached, or `--wait` is over.
pub(crate) fn watch(global: &Global, out: &Output, filter: &Filter<'_>) -> Result<Code, Stop> {
    let target = Target::find(global)?;
    let start = Instant::now();
    let mut client = target.connect(start + QUERY)?;
    let end = global.has_wait().then(|| start + global.wait(QUERY));
    let id = client
        .send(
            Call::Watch {
                after: filter.after,
            },
            start + QUERY,
        )
        .map_err(|error| target.explain(&error))?;
    let mut last = filter.after;
    let mut shown = 0;
    loop {
        if filter.count.is_some_and(|count| shown >= count) {
            return Ok(Code::Done);
        }
        let look = Instant::now() + LOOK;
        let until = end.map_or(look, |end| end.min(look));
        match client.next(id, until) {
            Ok(Some(Body::Event(event))) => {
                gap(out, last, &event);
                last = Some(event.seq);
                if filter.ticket.is_none() || filter.ticket == event.ticket.as_deref() {
                    print(out, &event);
                    shown += 1;
                }
            }
            Ok(Some(Body::Progress(_))) => {}
            Ok(Some(Body::Error(failure))) => return Err(failure.into()),
            // The daemon ends the stream in good order: it stops.
            Ok(Some(Body::Ok(_))) => return Ok(Code::Done),
            Ok(None) if end.is_some_and(|end| Instant::now() >= end) => {
                return ended(filter, shown);
            }
            Ok(None) => {}
            Err(error) => {
                let failure = target.explain(&error);
                let go_on = match last {
                    Some(seq) => format!("go on with `ticket watch --after {seq}`"),
                    None => "start it, then watch again".to_owned(),
                };
                return Err(failure.hint(go_on).into());
            }
        }
    }
}

/// The given time is over: well, unless a number of events was wished for.
fn ended(filter: &Filter<'_>, shown: u64) -> Result<Code, Stop> {
    match filter.count {
        Some(count) => {
            let what = format!("{shown} of {count} events came in the given time");
            Err(Failure::new(Code::Timeout, what).into())
        }
        None => Ok(Code::Done),
    }
}

/// Numbers that are missing: the daemon had more to tell than it keeps.
fn gap(out: &Output, last: Option<u64>, event: &Event) {
    let Some(last) = last else { return };
    let missing = event.seq.saturating_sub(last).saturating_sub(1);
    if missing > 0 {
        out.remark(&format!(
            "! {missing} events before #{} were not kept",
            event.seq
        ));
    } else if event.seq <= last {
        out.remark("! the daemon was restarted: numbers begin again");
    }
}

fn print(out: &Output, event: &Event) {
    if out.json {
        out.print(&format!("{}\n", json::event(event)));
        return;
    }
    let (symbol, paint) = match event.level {
        Level::Info => (out.style.symbol('\u{b7}', '.'), Paint::Plain),
        Level::Warning => ('!', Paint::Warn),
        Level::Alarm => (out.style.symbol('\u{2717}', 'x'), Paint::Bad),
    };
    let about = event
        .ticket
        .as_deref()
        .or(event.member.as_deref())
        .unwrap_or("-");
    // Many texts begin with what stands in the column before.
    let text = event
        .text
        .strip_prefix(about)
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(&event.text);
    let kind = out
        .style
        .paint(paint, &format!("{symbol} {:<17}", event.kind));
    out.print(&format!(
        "{} #{:<4} {kind} {about:<12} {text}\n",
        clock::clock_of_unix(event.at_unix_ms),
        event.seq,
    ));
}
