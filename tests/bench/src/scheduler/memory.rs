//! The scheduler alone, without reading or writing XML.

use std::hint::black_box;
use std::time::Instant;

use ::scheduler::Inputs;
use cib::Cib;

/// Runs of which the quickest counts: everything else on the machine only ever adds.
const RUNS: usize = 3;

/// Used when a CIB does not say when it was judged.
const SOME_TIME: i64 = 1_800_000_000;

/// Seconds for one decision on a CIB that is in memory.
///
/// # Errors
/// The text is not a CIB.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let cib = Cib::parse(text, None).map_err(|e| e.to_string())?;
    let inputs = Inputs {
        now: SOME_TIME,
        grants: None,
    };
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let begin = Instant::now();
        black_box(::scheduler::simulate(&cib, &inputs));
        best = best.min(begin.elapsed().as_secs_f64());
    }
    Ok(best)
}
