//! The measurements themselves: grant, failover, footprint, one after the other on both sides.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::booth::{Booth, Timings};
use crate::figures::{Line, Report, median};
use crate::hosts::{Hosts, run as shell};
use crate::interlock::{Binaries, Interlock};
use crate::process::{resident_mb, voluntary_switches};

/// What to run, from the command line.
pub(crate) struct Plan {
    pub(crate) binaries: Option<PathBuf>,
    pub(crate) arbitrator: Option<PathBuf>,
    pub(crate) full: bool,
}

/// The cluster command of both sides: it writes down what it was asked, and when. It takes booth's
/// words (`-t T -g ...`) and ours (`grant T TERM DEADLINE`), and costs both the same: one `sh`, no
/// further process.
const CLUSTER_COMMAND: &str = r#"#!/bin/sh
read -r now idle < /proc/uptime
case "$1" in
    status) if read -r state < "$CLUSTER_LOG.state"; then echo "$state"; else echo stopped; fi 2>/dev/null; exit 0 ;;
    check) exit 0 ;;
    grant) echo "granted $3" > "$CLUSTER_LOG.state"; echo "$now grant" >> "$CLUSTER_LOG"; exit 0 ;;
    revoke | stop) echo stopped > "$CLUSTER_LOG.state"; echo "$now revoke" >> "$CLUSTER_LOG"; exit 0 ;;
    extend | standby | activate | withdraw) exit 0 ;;
esac
case " $* " in
    *" -q "*) exit 6 ;;
    *" -g "*) echo "$now grant" >> "$CLUSTER_LOG" ;;
    *" -r "*) echo "$now revoke" >> "$CLUSTER_LOG" ;;
esac
exit 0
"#;

/// Where the cluster command of one member writes.
pub(crate) fn cluster_log(cluster: &Path, side: &str, index: usize) -> PathBuf {
    cluster.join(format!("{side}-{index}.log"))
}

/// Measures everything once.
///
/// # Errors
/// Which step failed and its words; hosts and daemons are gone afterwards.
pub(crate) fn run(plan: &Plan) -> Result<Report, String> {
    let beside = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = beside.parent().map(Path::to_path_buf).unwrap_or_default();
    let folder = plan.binaries.clone().unwrap_or(beside);
    let arbitrator = plan
        .arbitrator
        .clone()
        .unwrap_or_else(|| folder.join("arbitrator"));
    let binaries = Binaries { folder, arbitrator };
    let scratch = std::env::temp_dir().join(format!("interlock-bench-{}", std::process::id()));
    prepare(&scratch)?;
    let mut report = Report::default();
    let result = measure(plan, &binaries, &scratch, &mut report);
    match result {
        Ok(()) => {
            fs::remove_dir_all(&scratch).map_err(|error| error.to_string())?;
            Ok(report)
        }
        Err(error) => Err(format!("{error} (logs: {})", scratch.display())),
    }
}

fn prepare(scratch: &Path) -> Result<(), String> {
    let cluster = scratch.join("cluster");
    fs::create_dir_all(&cluster).map_err(|error| error.to_string())?;
    let command = cluster.join("crm_ticket");
    fs::write(&command, CLUSTER_COMMAND).map_err(|error| error.to_string())?;
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&command, open).map_err(|error| error.to_string())?;
    // booth gives up its privileges and writes there as another user.
    let any = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&cluster, any).map_err(|error| error.to_string())
}

fn measure(
    plan: &Plan,
    binaries: &Binaries,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), String> {
    let kernel = shell(&["uname", "-sr"])?;
    report.setting.push(format!(
        "{}; fdatasync of 512 bytes here: median {:.2} ms",
        kernel.trim(),
        milliseconds(fdatasync_time(scratch)?)
    ));
    let hosts = Hosts::up()?;
    grants(plan, &hosts, binaries, scratch, report)?;
    if plan.full {
        failovers(&hosts, binaries, scratch, report)?;
    }
    footprint(&hosts, binaries, scratch, report)?;
    weigh(&binaries.arbitrator, report)
}

/// Time of a grant with all members up, in turn on both sides.
fn grants(
    plan: &Plan,
    hosts: &Hosts,
    binaries: &Binaries,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), String> {
    let (rounds, timings) = (
        if plan.full { 100 } else { 20 },
        Timings {
            lease: Duration::from_secs(10),
        },
    );
    let ours = Interlock::start(
        hosts,
        binaries,
        &scratch.join("interlock-grant"),
        1,
        &timings,
    )?;
    let theirs = Booth::start(hosts, &scratch.join("booth-grant"), 1, &timings)?;
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let pair = (ours.grant("t0")?, theirs.grant("t0")?);
        ours.revoke("t0")?;
        theirs.revoke("t0")?;
        // The first grant of booth is its slow one (it waits for the sites): not counted on either.
        if round > 0 {
            our_times.push(pair.0);
            their_times.push(pair.1);
        }
    }
    let theirs = milliseconds(median(their_times));
    report.lines.push(Line {
        what: format!("grant, all members up (median of {rounds})"),
        ours: milliseconds(median(our_times)),
        theirs,
        unit: "ms",
        timing: true,
        goal: Some(theirs / 3.0),
    });
    Ok(())
}

/// From `kill -9` of the holder's daemon to the other site's cluster command being told.
fn failovers(
    hosts: &Hosts,
    binaries: &Binaries,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), String> {
    let lease = Duration::from_secs(10);
    let (rounds, timings) = (10, Timings { lease });
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let folder = scratch.join(format!("interlock-failover-{round}"));
        let mut ours = Interlock::start(hosts, binaries, &folder, 1, &timings)?;
        let folder = scratch.join(format!("booth-failover-{round}"));
        let mut theirs = Booth::start(hosts, &folder, 1, &timings)?;
        ours.grant("t0")?;
        theirs.grant("t0")?;
        // Somewhere within a renewal interval, the same place on both sides.
        std::thread::sleep(Duration::from_millis(6_000 + 700 * round));
        let cluster = scratch.join("cluster");
        let logs = ["interlock", "booth"].map(|side| cluster_log(&cluster, side, 1));
        let before = logs.clone().map(|log| grants_written(&log));
        let start = Instant::now();
        ours.kill_first_site();
        theirs.kill_first_site();
        let mut seen = [None, None];
        while seen.iter().any(Option::is_none) {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(format!("no failover within 60 s: {seen:?}"));
            }
            for side in 0..2 {
                if seen[side].is_none() && grants_written(&logs[side]) > before[side] {
                    seen[side] = Some(start.elapsed());
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        our_times.extend(seen[0]);
        their_times.extend(seen[1]);
    }
    report.lines.push(Line {
        what: format!("failover, lease 10 s, ours + 1 s to stop ({rounds})"),
        ours: median(our_times).as_secs_f64(),
        theirs: median(their_times).as_secs_f64(),
        unit: "s",
        timing: true,
        goal: None,
    });
    Ok(())
}

/// The arbitrator at rest: wake-ups with one ticket of 20 s, memory with a hundred.
fn footprint(
    hosts: &Hosts,
    binaries: &Binaries,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), String> {
    let timings = Timings {
        lease: Duration::from_secs(20),
    };
    for tickets in [1, 100] {
        let folder = scratch.join(format!("interlock-rest-{tickets}"));
        let ours = Interlock::start(hosts, binaries, &folder, tickets, &timings)?;
        let folder = scratch.join(format!("booth-rest-{tickets}"));
        let theirs = Booth::start(hosts, &folder, tickets, &timings)?;
        for index in 0..tickets {
            ours.grant(&format!("t{index}"))?;
            theirs.grant(&format!("t{index}"))?;
        }
        std::thread::sleep(Duration::from_secs(5));
        let pids = (ours.arbitrator(), theirs.arbitrator()?);
        let watched = Duration::from_secs(20);
        let before = (voluntary_switches(pids.0)?, voluntary_switches(pids.1)?);
        std::thread::sleep(watched);
        let after = (voluntary_switches(pids.0)?, voluntary_switches(pids.1)?);
        let per_second = |from: f64, to: f64| (to - from) / watched.as_secs_f64();
        report.lines.push(Line {
            what: format!("arbitrator, switches/s, {tickets} tickets of 20 s"),
            ours: per_second(before.0, after.0),
            theirs: per_second(before.1, after.1),
            unit: "/s",
            timing: false,
            goal: (tickets == 1).then_some(3.0),
        });
        report.lines.push(Line {
            what: format!("arbitrator, resident, {tickets} tickets"),
            ours: resident_mb(pids.0)?,
            theirs: resident_mb(pids.1)?,
            unit: "MB",
            timing: false,
            goal: (tickets == 100).then_some(6.0),
        });
    }
    Ok(())
}

fn weigh(arbitrator: &Path, report: &mut Report) -> Result<(), String> {
    let size = |path: &Path| {
        fs::metadata(path)
            .map(|meta| meta.len() as f64 / 1e6)
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    report.lines.push(Line {
        what: "arbitrator, size of the binary".to_owned(),
        ours: size(arbitrator)?,
        theirs: size(Path::new("/usr/sbin/boothd"))?,
        unit: "MB",
        timing: false,
        goal: Some(5.0),
    });
    Ok(())
}

fn grants_written(log: &Path) -> usize {
    fs::read_to_string(log)
        .unwrap_or_default()
        .matches("grant")
        .count()
}

fn fdatasync_time(scratch: &Path) -> Result<Duration, String> {
    let mut file = File::create(scratch.join("fdatasync")).map_err(|error| error.to_string())?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        file.write_all(&[0; 512])
            .and_then(|()| file.sync_data())
            .map_err(|error| error.to_string())?;
        times.push(start.elapsed());
    }
    Ok(median(times))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
