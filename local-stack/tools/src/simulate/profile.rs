//! Timing the scheduler over a directory of files.

use std::fmt::Write as _;
use std::time::Instant;

use scheduler::Inputs;

use crate::answer::{Answer, Call};
use crate::exit::{self, Failure};
use crate::source;

/// Most repetitions accepted: enough to time the smallest file, and no typing error runs for days.
const REPEAT_MAX: u32 = 1_000_000;

/// Reads and schedules every XML file of a directory, and says how long that took.
pub(super) fn run(call: &Call<'_>, directory: &str, now: Option<i64>) -> Result<Answer, Failure> {
    let repeat = match call.given.value("repeat") {
        None => 1,
        Some(text) => text
            .parse()
            .ok()
            .filter(|n| (1..=REPEAT_MAX).contains(n))
            .ok_or_else(|| {
                let message =
                    format!("--repeat takes a number from 1 to {REPEAT_MAX}, not '{text}'");
                Failure::new(exit::USAGE, message)
            })?,
    };
    let failed = |e| Failure::read(directory, &e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hidden = name.starts_with('.');
        if !hidden && (name.ends_with(".xml") || name.ends_with(".xml.bz2")) {
            files.push(path.to_string_lossy().into_owned());
        }
    }
    files.sort();
    let mut answer = Answer::text("Timings:\n");
    answer.xml = call.frame();
    let list = answer
        .xml
        .as_mut()
        .map(|frame| frame.add(frame.root, "timings", &[]));
    for file in files {
        let text = source::read(&file)?;
        let begin = Instant::now();
        let cib = source::parse_cib(text, &file)?;
        let now = now.or_else(|| super::recorded_time(&cib));
        let inputs = Inputs {
            now: now.unwrap_or_else(super::clock),
            grants: None,
        };
        scheduler::with_deep_stack(|| {
            for _ in 0..repeat {
                std::hint::black_box(scheduler::simulate(&cib, &inputs));
            }
        });
        let seconds = begin.elapsed().as_secs_f64();
        let _ = writeln!(answer.text, "  * Testing {file} ... {seconds:.2} secs");
        if let (Some(frame), Some(list)) = (&mut answer.xml, list) {
            let about = [
                ("file", file.as_str()),
                ("duration", &format!("{seconds:.6}")),
            ];
            frame.add(list, "timing", &about);
        }
    }
    Ok(answer)
}
