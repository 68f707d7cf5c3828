//! Our messaging beside Debian's corosync: three nodes each in network namespaces, one side after the
//! other in one run, the same load, every receiver checking order and content.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::hosts::{Hosts, MEMBERS, run as shell};
use crate::process::pss_mb;
use crate::rings::{Programs, Ring, compile_load};

/// The node that sends; not the one that hands out our numbers, which has the shorter way.
const SENDER: usize = 1;
/// The node that is switched off.
const VICTIM: usize = 2;
/// Half of what corosync was seen to carry.
const HALF_RATE: &str = "30000";

/// How long each part takes.
pub(crate) struct Plan {
    pub(crate) binaries: Option<PathBuf>,
    /// Seconds of each load.
    pub(crate) seconds: u64,
    /// Seconds of doing nothing.
    pub(crate) idle: u64,
    /// Rounds; the best of each figure counts on both sides, because the machine is shared.
    pub(crate) rounds: usize,
}

/// One figure of both sides.
struct Figure {
    what: &'static str,
    unit: &'static str,
    /// Ours must be at least, or at most, this many times theirs, or this much where that is told.
    goal: Goal,
}

#[derive(Clone, Copy)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
    None,
}

const FIGURES: [Figure; 11] = [
    figure("idle: processor, all three", "% core", Goal::None),
    figure("idle: processor, one node", "% core", Goal::Below(0.3)),
    figure("64 byte messages, one sender", "1/s", Goal::AtLeast(3.0)),
    figure("40 kB messages, one sender", "MB/s", Goal::AtLeast(1.5)),
    figure("40 kB: processor per byte, all", "ns/B", Goal::AtMost(1.0)),
    figure(
        "round trip of 64 bytes, idle: median",
        "us",
        Goal::AtMost(1.0),
    ),
    figure("the same: 99th percentile", "us", Goal::None),
    figure("30,000/s of 64 bytes: median", "us", Goal::AtMost(1.0)),
    figure("the same: 99th percentile", "us", Goal::None),
    figure("memory of one node (PSS)", "MB", Goal::Below(20.0)),
    figure("power off to a new view", "ms", Goal::Below(500.0)),
];

const fn figure(what: &'static str, unit: &'static str, goal: Goal) -> Figure {
    Figure { what, unit, goal }
}

/// What one side did, in the order of [`FIGURES`].
type Side = [f64; FIGURES.len()];

/// Measures both sides.
///
/// # Errors
/// Which step failed, and where the logs are.
pub(crate) fn run(plan: &Plan) -> Result<(String, usize), String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = here.parent().map(Path::to_path_buf).unwrap_or_default();
    let folder = plan.binaries.clone().unwrap_or(folder);
    let scratch = std::env::temp_dir().join(format!("interlock-rings-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(|error| error.to_string())?;
    let programs = Programs {
        load: install_and_compile(&scratch)?,
        bench: here,
        stack: folder.join("local-stack"),
    };
    let result = both(plan, &programs, &scratch);
    match result {
        Ok(sides) => {
            std::fs::remove_dir_all(&scratch).map_err(|error| error.to_string())?;
            Ok(table(plan, &sides))
        }
        Err(error) => Err(format!("{error} (logs: {})", scratch.display())),
    }
}

/// Debian's corosync and what compiles a load for it.
pub(crate) fn install_and_compile(scratch: &Path) -> Result<PathBuf, String> {
    if shell(&["which", "corosync"]).is_err() || compile_load(scratch).is_err() {
        shell(&[
            "apt-get",
            "install",
            "-y",
            "--no-install-recommends",
            "corosync",
            "libcpg-dev",
            "gcc",
            "libc6-dev",
        ])?;
    }
    compile_load(scratch)
}

fn both(plan: &Plan, programs: &Programs, scratch: &Path) -> Result<[Side; 2], String> {
    let mut best: [Option<Side>; 2] = [None, None];
    for _ in 0..plan.rounds {
        for (index, ours) in [true, false].into_iter().enumerate() {
            let place = scratch.join(if ours { "ours" } else { "theirs" });
            let _ = std::fs::remove_dir_all(&place);
            std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
            let hosts = Hosts::up()?;
            let ring = if ours {
                Ring::ours(&hosts, programs, &place)?
            } else {
                Ring::corosync(&hosts, programs, &place, MEMBERS, "")?
            };
            let side = measure(plan, &hosts, ring)?;
            best[index] = Some(match best[index] {
                None => side,
                Some(old) => better(&old, &side),
            });
        }
    }
    match best {
        [Some(ours), Some(theirs)] => Ok([ours, theirs]),
        _ => Err("no round was asked for".to_owned()),
    }
}

fn better(old: &Side, new: &Side) -> Side {
    std::array::from_fn(|at| {
        if matches!(FIGURES[at].goal, Goal::AtLeast(_)) {
            old[at].max(new[at])
        } else {
            old[at].min(new[at])
        }
    })
}

/// What a load said of itself.
struct Outcome {
    received: f64,
    seconds: f64,
    cpu: f64,
    median: f64,
    late: f64,
}

fn parse(line: &str) -> Result<Outcome, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name);
        at.and_then(|at| words.get(at + 1)?.parse::<f64>().ok())
            .ok_or_else(|| format!("a load said {line:?}"))
    };
    if value("wrong")? > 0.0 {
        return Err(format!("order or content was wrong: {line}"));
    }
    Ok(Outcome {
        received: value("received")?,
        seconds: value("seconds")?,
        cpu: value("cpu")?,
        median: value("median_us")?,
        late: value("p99_us")?,
    })
}

/// One sender, receivers at the other nodes: what the slowest receiver saw, what the sender saw, and
/// the processor seconds of all processes.
fn load(
    plan: &Plan,
    hosts: &Hosts,
    ring: &Ring,
    role: &str,
    words: &[&str],
) -> Result<(Outcome, Outcome, f64), String> {
    let before = ring.processor_time()?;
    let mut receivers = Vec::new();
    for index in (0..MEMBERS).filter(|index| *index != SENDER) {
        let mut receiver = ring.load(hosts, index, "receive", &words[..1])?;
        receiver.line(Duration::from_secs(10))?;
        receivers.push(receiver);
    }
    let mut sender = ring.load(hosts, SENDER, role, words)?;
    let patience = Duration::from_secs(plan.seconds * 4 + 60);
    let own = parse(&sender.line(patience)?)?;
    let (mut slowest, mut cpu): (Option<Outcome>, f64) = (None, own.cpu);
    for receiver in &mut receivers {
        let seen = parse(&receiver.line(patience)?)?;
        if (seen.received - own.received).abs() > 0.5 {
            return Err(format!(
                "{} of {} messages came",
                seen.received, own.received
            ));
        }
        cpu += seen.cpu;
        if slowest
            .as_ref()
            .is_none_or(|one| seen.seconds > one.seconds)
        {
            slowest = Some(seen);
        }
    }
    cpu += (ring.processor_time()? - before) as f64 / 1e9;
    let slowest = slowest.ok_or("no receiver")?;
    Ok((slowest, own, cpu))
}

fn measure(plan: &Plan, hosts: &Hosts, mut ring: Ring) -> Result<Side, String> {
    let name = ring.name;
    let told = |error: String| format!("{name}: {error}");
    let seconds = plan.seconds.to_string();
    // A ring that has just formed settles first.
    std::thread::sleep(Duration::from_secs(3));
    let before = ring.processor_time().map_err(told)?;
    std::thread::sleep(Duration::from_secs(plan.idle));
    let idle = (ring.processor_time().map_err(told)? - before) as f64 / 1e7 / plan.idle as f64;
    let (small, ..) = load(plan, hosts, &ring, "send", &["64", &seconds, "0"]).map_err(told)?;
    let (large, _, cpu) =
        load(plan, hosts, &ring, "send", &["40000", &seconds, "0"]).map_err(told)?;
    let (_, echo, _) = load(plan, hosts, &ring, "echo", &["64", "1000", "0"]).map_err(told)?;
    let (_, half, _) =
        load(plan, hosts, &ring, "send", &["64", &seconds, HALF_RATE]).map_err(told)?;
    let mut memory: f64 = 0.0;
    for daemon in &ring.daemons {
        memory = memory.max(pss_mb(daemon.id()).map_err(told)?);
    }
    let off = power_off(hosts, &mut ring).map_err(told)?;
    let large_bytes = large.received * 40_000.0;
    Ok([
        idle,
        idle / MEMBERS as f64,
        small.received / small.seconds,
        large_bytes / large.seconds / 1e6,
        cpu * 1e9 / large_bytes,
        echo.median,
        echo.late,
        half.median,
        half.late,
        memory,
        off.as_secs_f64() * 1e3,
    ])
}

/// Packets dropped both ways, then the process killed; until a client elsewhere is told that the
/// group has one member less.
fn power_off(hosts: &Hosts, ring: &mut Ring) -> Result<Duration, String> {
    let mut watchers = Vec::new();
    for index in 0..MEMBERS {
        watchers.push(ring.load(hosts, index, "watch", &["3"])?);
    }
    for watcher in &mut watchers {
        watcher.line(Duration::from_secs(10))?;
    }
    let begun = Instant::now();
    hosts.cut(VICTIM)?;
    ring.daemons[VICTIM]
        .kill()
        .map_err(|error| error.to_string())?;
    let line = watchers[0].line(Duration::from_secs(60))?;
    let took = begun.elapsed();
    if line.starts_with("members 2 ") {
        Ok(took)
    } else {
        Err(format!("after the power was off: {line:?}"))
    }
}

fn table(plan: &Plan, sides: &[Side; 2]) -> (String, usize) {
    let kernel = shell(&["uname", "-sr"]).unwrap_or_default();
    let mut text = format!(
        "# {}; {} processors; three nodes in namespaces, veth MTU 1500; corosync {}: knet aes256/sha256, ours: AES-256-GCM; \
         same scheduling class; {} s each, best of {}\n{:<40} {:>12} {:>12} {:<7} {:>7} {:>16}\n",
        kernel.trim(),
        std::thread::available_parallelism().map_or(0, usize::from),
        shell(&["dpkg-query", "-W", "-f", "${Version}", "corosync"]).unwrap_or_default(),
        plan.seconds,
        plan.rounds,
        "",
        "interlock",
        "corosync",
        "",
        "ratio",
        "goal"
    );
    let mut missed = 0;
    for (at, figure) in FIGURES.iter().enumerate() {
        let (ours, theirs) = (sides[0][at], sides[1][at]);
        let ratio = ours / theirs.max(f64::MIN_POSITIVE);
        let (goal, met) = match figure.goal {
            Goal::AtLeast(times) => (format!(">= {times:.1} times"), ratio >= times),
            Goal::AtMost(times) => (format!("<= {times:.1} times"), ratio <= times),
            Goal::Below(most) => (format!("< {most}"), ours < most),
            Goal::None => ("-".to_owned(), true),
        };
        missed += usize::from(!met);
        let word = if met { "" } else { " MISSED" };
        let _ = writeln!(
            text,
            "{:<40} {ours:>12.2} {theirs:>12.2} {:<7} {ratio:>7.2} {goal:>16}{word}",
            figure.what, figure.unit
        );
    }
    (text, missed)
}
