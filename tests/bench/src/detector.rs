//! Does the failure detector make mistakes? Our nodes, and three of corosync's with the same detection
//! time beside them on the same bad network and the same busy processors, at the same time. Nobody
//! fails: every view change is a false one. At the end a node is really switched off, because a
//! detector that finds nothing makes no mistakes either.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::thread::{CpuSet, gettid, sched_setaffinity};

use crate::hosts::{Hosts, MEMBERS, Wire, run as shell};
use crate::messaging::install_and_compile;
use crate::rings::{Programs, Ring, compile};

/// Silence after which a node is suspected: our default, and corosync's token timeout here.
const DETECTION: Duration = Duration::from_millis(350);
/// A packet in fifty is lost.
const LOSS_PPM: u32 = 20_000;
/// Each is delayed by up to this, by its own.
const JITTER_US: u32 = 50_000;
/// Busy processes for each processor.
const HOGS_PER_PROCESSOR: usize = 4;
/// Watchers of the machine run ahead of everything else here but the kernel.
const WATCHER_PRIORITY: &str = "50";
const WATCHER_SLEEP: Duration = Duration::from_millis(5);
/// Rings settle for this long before the network becomes a bad one.
const SETTLE: Duration = Duration::from_secs(4);

/// How long, how many.
#[derive(Args)]
pub(crate) struct Plan {
    /// Where the built `local-stack` is; default: beside this one.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// How many nodes of ours; corosync has three.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// How long.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
}

/// Processes that only use the processors; ended when dropped.
struct Hogs(Vec<Child>);

impl Hogs {
    fn start() -> Result<Self, String> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut hogs = Self(Vec::new());
        for _ in 0..processors * HOGS_PER_PROCESSOR {
            let hog = Command::new("sh")
                .args(["-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .spawn()
                .map_err(|error| format!("sh: {error}"))?;
            hogs.0.push(hog);
        }
        Ok(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

/// Threads that see when the machine itself stands still: one on each processor, in a real-time class.
struct Watchers {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Duration>>>,
}

impl Watchers {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..processors)
            .map(|processor| {
                let over = Arc::clone(&over);
                std::thread::spawn(move || watch(processor, &over))
            })
            .collect();
        Self { over, threads }
    }

    /// The longest stall, and those longer than half the detection time.
    fn end(self) -> (Duration, usize) {
        self.over.store(true, Ordering::Relaxed);
        let mut stalls: Vec<Duration> = Vec::new();
        for thread in self.threads {
            stalls.extend(thread.join().unwrap_or_default());
        }
        let longest = stalls.iter().max().copied().unwrap_or_default();
        let long = stalls.iter().filter(|stall| **stall > DETECTION / 2);
        (longest, long.count())
    }
}

/// Sleeps, and notes by how much each sleep was too long; the shortest ones are not worth keeping.
fn watch(processor: usize, over: &AtomicBool) -> Vec<Duration> {
    let mut set = CpuSet::new();
    set.set(processor);
    // Without its own processor or class it still watches, and sees more stalls than there are.
    let _ = sched_setaffinity(None, &set);
    let thread = gettid().as_raw_nonzero().to_string();
    let _ = shell(&["chrt", "-f", "-p", WATCHER_PRIORITY, &thread]);
    let mut stalls = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        std::thread::sleep(WATCHER_SLEEP);
        let late = begun.elapsed().saturating_sub(WATCHER_SLEEP);
        if late > WATCHER_SLEEP {
            stalls.push(late);
        }
    }
    stalls
}

/// One side's logs: how many views each node has seen, and since when they count.
struct Count<'a> {
    ring: &'a Ring,
    word: &'static str,
    before: Vec<usize>,
}

impl<'a> Count<'a> {
    fn begin(ring: &'a Ring, word: &'static str) -> Result<Self, String> {
        let mut count = Self {
            ring,
            word,
            before: Vec::new(),
        };
        for index in 0..ring.daemons.len() {
            count.before.push(count.views(index)?);
        }
        Ok(count)
    }

    fn views(&self, index: usize) -> Result<usize, String> {
        let log = self.log(index)?;
        Ok(log.lines().filter(|line| line.contains(self.word)).count())
    }

    fn log(&self, index: usize) -> Result<String, String> {
        let path = self.ring.log(index);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// View changes since then, at the node that saw most of them.
    fn changes(&self) -> Result<usize, String> {
        let mut most = 0;
        for (index, before) in self.before.iter().enumerate() {
            most = most.max(self.views(index)? - before);
        }
        Ok(most)
    }
}

/// Runs it: the report, and the false view changes of ours (one for a run that is void).
///
/// # Errors
/// Which step failed, and where the logs are.
pub(crate) fn run(plan: &Plan) -> Result<(String, usize), String> {
    if !(2..=32).contains(&plan.nodes) {
        return Err("2 to 32 nodes".to_owned());
    }
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = here.parent().map(Into::into).unwrap_or_default();
    let folder: PathBuf = plan.binaries.clone().unwrap_or(folder);
    let scratch = std::env::temp_dir().join(format!("interlock-detector-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(|error| error.to_string())?;
    let programs = Programs {
        load: install_and_compile(&scratch)?,
        bench: here,
        stack: folder.join("local-stack"),
    };
    let program = compile(&scratch, "wire", include_bytes!("wire.c"), &[])?;
    let told = |error: String| format!("{error} (logs: {})", scratch.display());
    let (hosts, wire) =
        Hosts::on_a_wire(plan.nodes, &program, LOSS_PPM, JITTER_US).map_err(told)?;
    let result = both(plan, &hosts, wire, &programs, &scratch).map_err(told)?;
    if result.1 == 0 {
        fs::remove_dir_all(&scratch).map_err(|error| error.to_string())?;
    } else {
        println!("logs: {}", scratch.display());
    }
    Ok(result)
}

fn both(
    plan: &Plan,
    hosts: &Hosts,
    wire: Wire,
    programs: &Programs,
    scratch: &std::path::Path,
) -> Result<(String, usize), String> {
    let mut ours = Ring::ours(hosts, programs, scratch)?;
    let token = format!("token: {}\n token_coefficient: 0\n", DETECTION.as_millis());
    let theirs = Ring::corosync(hosts, programs, scratch, MEMBERS.min(plan.nodes), &token)?;
    std::thread::sleep(SETTLE);
    let our_views = Count::begin(&ours, "INFO view ")?;
    let their_views = Count::begin(&theirs, "A new membership")?;
    let span = Duration::from_secs_f64(plan.minutes * 60.0);
    let watchers = Watchers::start();
    let hogs = Hogs::start()?;
    wire.worsen();
    let begun = Instant::now();
    while begun.elapsed() < span {
        std::thread::sleep(Duration::from_secs(1).min(span.saturating_sub(begun.elapsed())));
    }
    let (changes, others) = (our_views.changes()?, their_views.changes()?);
    let (longest, stalls) = watchers.end();
    let mut text = header(plan, longest, stalls);
    let _ = writeln!(
        text,
        "interlock, {} nodes: {changes} false view changes\ncorosync, {} nodes, token {} ms: {others} false view changes",
        plan.nodes,
        theirs.daemons.len(),
        DETECTION.as_millis()
    );
    for line in causes(&our_views)?.iter().filter(|_| changes > 0) {
        let _ = writeln!(text, "  {line}");
    }
    let found = power_off(hosts, &wire, &mut ours)?;
    let _ = writeln!(
        text,
        "a node switched off in the same conditions: gone from the view after {} ms",
        found.as_millis()
    );
    drop(hogs);
    drop(theirs);
    let _ = writeln!(text, "the network: {}", wire.end());
    if stalls > 0 {
        text += "VOID: the machine itself stood still for longer than half the detection time\n";
        return Ok((text, changes.max(1)));
    }
    Ok((text, changes))
}

fn header(plan: &Plan, longest: Duration, stalls: usize) -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "# {}; {processors} processors, {} busy processes; {} % loss, up to {} ms of jitter, both ways; {} minutes; all \
         daemons in one scheduling class (nice -20), detection after {} ms\n# longest stall of the machine {} ms; {stalls} \
         longer than half the detection time\n",
        shell(&["uname", "-sr"]).unwrap_or_default().trim(),
        processors * HOGS_PER_PROCESSOR,
        f64::from(LOSS_PPM) / 1e4,
        JITTER_US / 1_000,
        plan.minutes,
        DETECTION.as_millis(),
        longest.as_millis(),
    )
}

/// Why our views changed, as the nodes logged it.
fn causes(count: &Count<'_>) -> Result<Vec<String>, String> {
    const SHOWN: usize = 10;
    let mut causes = Vec::new();
    for (index, before) in count.before.iter().enumerate() {
        let log = count.log(index)?;
        let views = log.match_indices(count.word).nth(before.saturating_sub(1));
        let since = views.map_or("", |(at, _)| &log[at..]);
        let lines = since
            .lines()
            .filter(|line| line.contains("membership changes"));
        causes.extend(lines.map(|line| format!("n{}: {line}", index + 1)));
    }
    causes.truncate(SHOWN);
    Ok(causes)
}

/// Switches the last node off, until the first one has a view without it.
fn power_off(hosts: &Hosts, wire: &Wire, ring: &mut Ring) -> Result<Duration, String> {
    let count = ring.daemons.len();
    let mut watchers = Vec::new();
    for index in 0..count {
        watchers.push(ring.load(hosts, index, "watch", &[&count.to_string()])?);
    }
    for watcher in &mut watchers {
        watcher.line(Duration::from_secs(60))?;
    }
    let begun = Instant::now();
    wire.cut_last();
    let last = ring.daemons.last_mut().ok_or("no node")?;
    last.kill().map_err(|error| error.to_string())?;
    let line = watchers[0].line(Duration::from_secs(60))?;
    let took = begun.elapsed();
    if line.starts_with(&format!("members {} ", count - 1)) {
        Ok(took)
    } else {
        Err(format!("after a node was switched off: {line:?}"))
    }
}
