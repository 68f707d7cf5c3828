//! Shows what a cluster would do; by another tool's name, is that tool.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let called = arguments.next().unwrap_or_default();
    let name = Path::new(&called).file_name().and_then(|n| n.to_str());
    let rest: Vec<String> = arguments.collect();
    let done = name.and_then(|name| tools::dispatch(name, rest.iter().cloned()));
    done.unwrap_or_else(|| tools::crm_simulate(rest.into_iter()))
}
