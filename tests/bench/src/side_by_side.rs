//! The measurements themselves: grant, failover, footprint, one after the other on both sides.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
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
    pub(crate) ticket: Option<PathBuf>,
    pub(crate) full: bool,
}

/// The cluster command of both sides: it writes down what it was asked, and when. It takes booth's
/// words (`-t T -g ...`) and ours (`grant T TERM DEADLINE`), and costs both the same for each call:
/// one `sh`, no further process. (booth calls it more than once, through a shell of its own, for what
/// we say in one call: that is part of what a grant takes.)
const CLUSTER_COMMAND: &str = r#"#!/bin/sh
read -r now idle < /proc/uptime
echo "$now $*" >> "$CLUSTER_LOG.calls"
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

/// Where the binaries are, and a folder with the cluster command in it.
fn begin(plan: &Plan) -> Result<(Binaries, PathBuf), String> {
    let beside = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = beside.parent().map(Path::to_path_buf).unwrap_or_default();
    let folder = plan.binaries.clone().unwrap_or(beside);
    let one = |given: &Option<PathBuf>, name| given.clone().unwrap_or_else(|| folder.join(name));
    let binaries = Binaries {
        arbitrator: one(&plan.arbitrator, "arbitrator"),
        ticket: one(&plan.ticket, "ticket"),
        folder,
    };
    let scratch = std::env::temp_dir().join(format!("interlock-bench-{}", std::process::id()));
    prepare(&scratch)?;
    Ok((binaries, scratch))
}

/// Measures everything once.
///
/// # Errors
/// Which step failed and its words; hosts and daemons are gone afterwards.
pub(crate) fn run(plan: &Plan) -> Result<Report, String> {
    let (binaries, scratch) = begin(plan)?;
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

/// Time of a grant with all members up, in turn on both sides: what else the machine does meanwhile
/// hits both, so the ratio of the medians says something where the times do not.
fn grants(
    plan: &Plan,
    hosts: &Hosts,
    binaries: &Binaries,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), String> {
    let (rounds, timings) = (
        if plan.full { 100 } else { 40 },
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
    let class = ours.schedule_like(theirs.arbitrator()?)?;
    report.setting.push(format!(
        "grants: daemons of both in class {class}, as booth's put themselves; commands in the usual one"
    ));
    // The first grant of booth is its slow one (it waits for the sites): not counted on either.
    ours.grant("t0")?;
    theirs.grant("t0")?;
    let cluster = scratch.join("cluster");
    let logs = ["interlock", "booth"].map(|side| cluster_log(&cluster, side, 0));
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    let (mut our_calls, mut their_calls) = (0, 0);
    for round in 0..rounds {
        ours.revoke("t0")?;
        theirs.revoke("t0")?;
        let before = logs.clone().map(|log| calls(&log));
        // Nobody is always the one who finds warm caches.
        if round % 2 == 0 {
            our_times.push(ours.grant("t0")?);
            their_times.push(theirs.grant("t0")?);
        } else {
            their_times.push(theirs.grant("t0")?);
            our_times.push(ours.grant("t0")?);
        }
        our_calls += calls(&logs[0]) - before[0];
        their_calls += calls(&logs[1]) - before[1];
    }
    let each = |calls: usize| calls as f64 / f64::from(rounds);
    report.setting.push(format!(
        "cluster command of both: one `sh` of builtins, {:.2} ms a call; calls in a grant: \
         interlock {:.1}, booth {:.1}",
        milliseconds(cluster_command_time(&cluster)?),
        each(our_calls),
        each(their_calls),
    ));
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

/// How often the cluster command of one member was called.
fn calls(log: &Path) -> usize {
    let calls = log.with_extension("log.calls");
    fs::read_to_string(calls)
        .unwrap_or_default()
        .lines()
        .count()
}

/// What one call of the cluster command takes by itself.
fn cluster_command_time(cluster: &Path) -> Result<Duration, String> {
    let mut times = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        Command::new(cluster.join("crm_ticket"))
            .arg("check")
            .env("CLUSTER_LOG", cluster.join("alone"))
            .status()
            .map_err(|error| error.to_string())?;
        times.push(start.elapsed());
    }
    Ok(median(times))
}

/// From `kill -9` of the holder's daemon to the other site's cluster command being told.
fn failovers(
    hosts: &Hosts,
    binaries: &Binaries,
    scratch: &Path,
    report: &mut Report,
) -> Result<(), String> {
    let rounds = 10;
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let folder = scratch.join(format!("interlock-failover-{round}"));
        let mut ours = Interlock::start(hosts, binaries, &folder, 1, &FAILOVER)?;
        let folder = scratch.join(format!("booth-failover-{round}"));
        let mut theirs = Booth::start(hosts, &folder, 1, &FAILOVER)?;
        ours.grant("t0")?;
        theirs.grant("t0")?;
        std::thread::sleep(before_the_kill(round));
        let cluster = scratch.join("cluster");
        let logs = ["interlock", "booth"].map(|side| cluster_log(&cluster, side, 1));
        let watches = logs.map(TakeoverWatch::start);
        ours.kill_first_site();
        theirs.kill_first_site();
        let [our_watch, their_watch] = watches;
        our_times.push(our_watch.taken_over()?);
        their_times.push(their_watch.taken_over()?);
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

/// The timings of every failover.
const FAILOVER: Timings = Timings {
    lease: Duration::from_secs(10),
};

/// Somewhere within a renewal interval, another place in each round.
fn before_the_kill(round: u64) -> Duration {
    Duration::from_millis(6_000 + 700 * (round % 10))
}

/// Waits in the background for a grant to appear in a member's log.
struct TakeoverWatch {
    start: Instant,
    log: PathBuf,
    thread: std::thread::JoinHandle<Option<Duration>>,
}

impl TakeoverWatch {
    fn start(log: PathBuf) -> Self {
        let (start, before, seen) = (Instant::now(), grants_written(&log), log.clone());
        let thread = std::thread::spawn(move || {
            while start.elapsed() < Duration::from_secs(60) {
                if grants_written(&seen) > before {
                    return Some(start.elapsed());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            None
        });
        Self { start, log, thread }
    }

    fn taken_over(self) -> Result<Duration, String> {
        let seen = self.thread.join().map_err(|_| "the watch panicked")?;
        seen.ok_or_else(|| {
            format!(
                "no takeover within {} s in {}",
                self.start.elapsed().as_secs(),
                self.log.display()
            )
        })
    }
}

/// Only our failovers, for as long as somebody wants to look for one that does not come.
///
/// # Errors
/// A step failed, or no takeover came: logs and state are left for whoever looks.
pub(crate) fn our_failovers(plan: &Plan, rounds: u64) -> Result<(), String> {
    let (binaries, scratch) = begin(plan)?;
    let hosts = Hosts::up()?;
    for round in 0..rounds {
        let folder = scratch.join(format!("failover-{round}"));
        let mut ours = Interlock::start(&hosts, &binaries, &folder, 1, &FAILOVER)?;
        ours.grant("t0")?;
        std::thread::sleep(before_the_kill(round));
        let log = cluster_log(&scratch.join("cluster"), "interlock", 1);
        let watch = TakeoverWatch::start(log);
        ours.kill_first_site();
        let took = watch
            .taken_over()
            .map_err(|error| format!("round {round}: {error}"))?;
        println!("{round:>4}: taken over after {:.2} s", took.as_secs_f64());
        drop(ours);
        fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    }
    fs::remove_dir_all(&scratch).map_err(|error| error.to_string())
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
