//! What the kernel says of a process: resident memory and context switches of all its threads.

use std::fs;
use std::path::Path;

/// Resident memory in MB (10^6 bytes), of one process.
///
/// # Errors
/// The process is gone or its entry unreadable.
pub(crate) fn resident_mb(pid: u32) -> Result<f64, String> {
    let status = read(format!("/proc/{pid}/status"))?;
    Ok(field(&status, "VmRSS:") * 1024.0 / 1e6)
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
