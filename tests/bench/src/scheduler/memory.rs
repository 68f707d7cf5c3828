//! The scheduler alone, without reading or writing XML.

use std::hint::black_box;

use ::scheduler::Inputs;
use cib::Cib;
use rustix::time::{ClockId, clock_gettime};

/// Runs of which the quickest counts: everything else on the machine only ever adds.
const RUNS: usize = 3;

/// Used when a CIB does not say when it was judged.
const SOME_TIME: i64 = 1_800_000_000;

/// Processor seconds for one decision on a CIB that is in memory.
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
        let begin = processor();
        black_box(::scheduler::simulate(&cib, &inputs));
        best = best.min(processor() - begin);
    }
    Ok(best)
}

/// Processor seconds of this process so far.
#[allow(clippy::cast_precision_loss, reason = "far from the limit")]
fn processor() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
