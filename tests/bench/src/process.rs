//! What the kernel says of a process: resident memory and context switches of all its threads.

use std::fs;
use std::path::Path;

use crate::hosts::run;

/// Lets a daemon's threads run in the scheduling class that another's run in, and everything that
/// it starts as well.
///
/// # Errors
/// A class cannot be read or set; nothing was changed, or only some threads were.
pub(crate) fn schedule_like(pid: u32, other: u32) -> Result<String, String> {
    let said = run(&["chrt", "-p", &other.to_string()])?;
    let field = |name: &str| {
        let line = said.lines().find(|line| line.contains(name))?;
        Some(line.rsplit(": ").next()?.trim().to_owned())
    };
    let policy = field("policy").ok_or_else(|| format!("chrt said {said:?}"))?;
    let priority = field("priority").unwrap_or_else(|| "0".to_owned());
    let flag = match policy.as_str() {
        "SCHED_RR" => "-r",
        "SCHED_FIFO" => "-f",
        _ => "-o",
    };
    run(&["chrt", "-a", flag, "-p", &priority, &pid.to_string()])?;
    Ok(format!("{policy} {priority}"))
}

/// Resident memory in MB (10^6 bytes), of one process.
///
/// # Errors
/// The process is gone or its entry unreadable.
pub(crate) fn resident_mb(pid: u32) -> Result<f64, String> {
    let status = read(format!("/proc/{pid}/status"))?;
    Ok(field(&status, "VmRSS:") * 1024.0 / 1e6)
}

/// Proportional share of memory in MB (10^6 bytes): shared pages are counted in parts.
///
/// # Errors
/// The process is gone or its entry unreadable.
pub(crate) fn pss_mb(pid: u32) -> Result<f64, String> {
    let rollup = read(format!("/proc/{pid}/smaps_rollup"))?;
    Ok(field(&rollup, "Pss:") * 1024.0 / 1e6)
}

/// Nanoseconds of processor time so far, summed over all threads.
///
/// # Errors
/// The process is gone or its entry unreadable.
pub(crate) fn processor_ns(pid: u32) -> Result<u64, String> {
    let mut sum = 0;
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks)
        .map_err(|error| format!("{tasks}: {error}"))?
        .flatten()
    {
        let times = read(task.path().join("schedstat"))?;
        let first = times.split_whitespace().next();
        sum += first.and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

/// Voluntary context switches so far, summed over all threads.
///
/// # Errors
/// The process is gone or its entry unreadable.
pub(crate) fn voluntary_switches(pid: u32) -> Result<f64, String> {
    let mut sum = 0.0;
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks)
        .map_err(|error| format!("{tasks}: {error}"))?
        .flatten()
    {
        let status = read(task.path().join("status"))?;
        sum += field(&status, "voluntary_ctxt_switches:");
    }
    Ok(sum)
}

fn field(status: &str, name: &str) -> f64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

fn read(path: impl AsRef<Path>) -> Result<String, String> {
    let path = path.as_ref();
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
