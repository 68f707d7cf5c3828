//! Many nodes in namespaces, restarted one after the other while all of them send: is anything lost?
//!
//! At every node a client sends safe messages and keeps everything that it receives. A message counts
//! as *taken* when its sender's own daemon has delivered it. Afterwards:
//!
//! * content is right, and from each sender the messages come in its order, without a gap, once;
//! * any two clients have received the same messages in the same order, from the first to the last
//!   that both have;
//! * every message that was taken is at every client that was there the whole time around it.
//!
//! Nodes are ended in turn by SIGTERM and by SIGKILL.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use stack_client::words::{Answer, Do};
use stack_client::{Client, Event, Guarantee};

use crate::hosts::Hosts;
use crate::rings::{Programs, Ring};

const GROUP: &str = "rolling";
/// A view is agreed, a node is back, a message has come: within this, or the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// A message is everywhere this long after its sender had it, at the latest.
const SPREAD: Duration = Duration::from_secs(5);
/// A client that joined this long before a message was taken had joined before it was sent.
const JOINED: Duration = Duration::from_secs(2);
/// What is sent goes on for this long before the first restart and after the last.
const AROUND: Duration = Duration::from_secs(2);
/// Bytes of a message: most fit into a packet with others, every tenth needs several packets.
const SMALL: usize = 100;
const LARGE: usize = 5_000;

/// How many, how fast.
#[derive(Args)]
pub(crate) struct Plan {
    /// Where the built `local-stack` is; default: beside this one.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// How many.
    #[arg(long, default_value_t = 16)]
    nodes: usize,
    /// How many of them are restarted; default: all.
    #[arg(long)]
    restarts: Option<usize>,
    /// Messages per second from each.
    #[arg(long, default_value_t = 50)]
    rate: u32,
}

impl Plan {
    fn restarts(&self) -> usize {
        self.restarts.unwrap_or(self.nodes)
    }
}

/// Which client's message: its session, and its number there, from 0.
type Name = (u32, u64);

/// What one client saw, from its connection's begin to its end.
struct Session {
    number: u32,
    node: usize,
    begun: Instant,
    ended: Instant,
    received: Vec<Name>,
    /// Its own messages that came back, and when.
    taken: Vec<(u64, Instant)>,
    wrong: Vec<String>,
}

/// Runs it: the report and the number of faults.
///
/// # Errors
/// Which step failed, and where the logs are.
pub(crate) fn run(plan: &Plan) -> Result<(String, usize), String> {
    if !(2..=32).contains(&plan.nodes) || plan.restarts() > plan.nodes {
        return Err("2 to 32 nodes, and no more restarts than nodes".to_owned());
    }
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = here.parent().map(Path::to_path_buf).unwrap_or_default();
    let folder = plan.binaries.clone().unwrap_or(folder);
    let scratch = std::env::temp_dir().join(format!("interlock-nodes-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(|error| error.to_string())?;
    let programs = Programs {
        load: PathBuf::new(),
        bench: here,
        stack: folder.join("local-stack"),
    };
    let told = |error: String| format!("{error} (logs: {})", scratch.display());
    let begun = Instant::now();
    let hosts = Hosts::on_a_bridge(plan.nodes).map_err(told)?;
    let mut ring = Ring::ours(&hosts, &programs, &scratch).map_err(told)?;
    let formed = begun.elapsed();
    let load = Load::start(plan, &ring);
    let rolled = roll(plan, &hosts, &mut ring);
    let sessions = load.end();
    rolled.map_err(told)?;
    let (text, faults) = judge(plan, &sessions);
    if faults == 0 {
        fs::remove_dir_all(&scratch).map_err(|error| error.to_string())?;
    }
    let spans = format!(
        "# {} nodes formed a ring after {:.1} s; {} restarted one after the other; {:.0} s in all\n",
        plan.nodes,
        formed.as_secs_f64(),
        plan.restarts(),
        begun.elapsed().as_secs_f64()
    );
    Ok((spans + &text, faults))
}

/// The restarts, each finished before the next begins.
fn roll(plan: &Plan, hosts: &Hosts, ring: &mut Ring) -> Result<(), String> {
    std::thread::sleep(AROUND);
    for turn in 0..plan.restarts() {
        let index = turn * plan.nodes / plan.restarts();
        let witness = ring.socket((index + 1) % plan.nodes);
        let signal = if turn % 2 == 0 {
            Signal::TERM
        } else {
            Signal::KILL
        };
        let daemon = &mut ring.daemons[index];
        kill_process(Pid::from_child(daemon), signal).map_err(|error| error.to_string())?;
        daemon.wait().map_err(|error| error.to_string())?;
        members(&witness, plan.nodes - 1)?;
        ring.restart(hosts, index)?;
        members(&witness, plan.nodes)?;
    }
    std::thread::sleep(AROUND);
    Ok(())
}

/// Waits until a node has a view of so many.
fn members(socket: &Path, wanted: usize) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    let mut seen = 0;
    while Instant::now() < until {
        let asked = Client::connect(socket).and_then(|mut client| client.ask(Do::Status));
        if let Ok(Answer::Status(status)) = asked {
            seen = status.nodes.iter().filter(|node| node.member).count();
            if status.in_force && seen == wanted {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!(
        "a view of {wanted} was waited for, there are {seen}"
    ))
}

/// A thread for each node.
struct Load {
    quiet: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Session>>>,
}

impl Load {
    fn start(plan: &Plan, ring: &Ring) -> Self {
        let quiet = Arc::new(AtomicBool::new(false));
        let over = Arc::new(AtomicBool::new(false));
        let numbers = Arc::new(AtomicU32::new(0));
        let threads = (0..plan.nodes)
            .map(|node| {
                let worker = Worker {
                    node,
                    socket: ring.socket(node),
                    pause: Duration::from_secs(1) / plan.rate.max(1),
                    quiet: Arc::clone(&quiet),
                    over: Arc::clone(&over),
                };
                let numbers = Arc::clone(&numbers);
                std::thread::spawn(move || worker.run(&numbers))
            })
            .collect();
        Self {
            quiet,
            over,
            threads,
        }
    }

    /// No more is sent; what is under way comes; then all end.
    fn end(self) -> Vec<Session> {
        self.quiet.store(true, Ordering::Relaxed);
        std::thread::sleep(SPREAD + JOINED / 2);
        self.over.store(true, Ordering::Relaxed);
        self.threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    }
}

struct Worker {
    node: usize,
    socket: PathBuf,
    pause: Duration,
    quiet: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Worker {
    /// One session after the other: a daemon that ends is waited for.
    fn run(&self, numbers: &AtomicU32) -> Vec<Session> {
        let mut sessions = Vec::new();
        while !self.over.load(Ordering::Relaxed) {
            let Ok(mut client) = Client::connect(&self.socket) else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            // Alone after a restart, a node would take its messages for delivered everywhere.
            if !quorate(&mut client) || client.join(GROUP).is_err() {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let mut session = Session {
                number: numbers.fetch_add(1, Ordering::Relaxed),
                node: self.node,
                begun: Instant::now(),
                ended: Instant::now(),
                received: Vec::new(),
                taken: Vec::new(),
                wrong: Vec::new(),
            };
            // Ends with the daemon, or when all is over.
            let _ = self.work(&mut client, &mut session);
            session.ended = Instant::now();
            sessions.push(session);
        }
        sessions
    }

    fn work(&self, client: &mut Client, session: &mut Session) -> Result<(), stack_client::Error> {
        let (mut count, mut due) = (0_u64, Instant::now());
        while !self.over.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now >= due && !self.quiet.load(Ordering::Relaxed) {
                client.send(GROUP, Guarantee::Safe, &message((session.number, count)))?;
                count += 1;
                due = (due + self.pause).max(now);
            }
            let left = due.saturating_duration_since(now);
            let wait = left.clamp(Duration::from_millis(1), Duration::from_millis(50));
            if let Some(Event::Message { bytes, .. }) = client.next(Some(wait))? {
                session.take(&bytes);
            }
        }
        Ok(())
    }
}

fn quorate(client: &mut Client) -> bool {
    matches!(client.ask(Do::Status), Ok(Answer::Status(status)) if status.in_force && status.quorum.quorate)
}

/// A message: session and number, then bytes that follow from them.
fn message((session, number): Name) -> Vec<u8> {
    let length = if number % 10 == 0 { LARGE } else { SMALL };
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&session.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    let fill = (u64::from(session) * 31 + number * 7) as u8;
    bytes.resize(length, fill);
    bytes
}

impl Session {
    fn take(&mut self, bytes: &[u8]) {
        let head = bytes.split_first_chunk::<4>().and_then(|(session, rest)| {
            let number = rest.first_chunk::<8>()?;
            Some((u32::from_le_bytes(*session), u64::from_le_bytes(*number)))
        });
        let Some(name) = head.filter(|name| message(*name) == bytes) else {
            self.wrong
                .push(format!("{} bytes that nobody sent", bytes.len()));
            return;
        };
        self.received.push(name);
        if name.0 == self.number {
            self.taken.push((name.1, Instant::now()));
        }
    }

    /// From each sender: in order, each once, no gap.
    fn faults(&self) -> Vec<String> {
        let mut next: BTreeMap<u32, u64> = BTreeMap::new();
        let mut faults = self.wrong.clone();
        for (session, number) in &self.received {
            let expected = next.entry(*session).or_insert(*number);
            if number != expected {
                faults.push(format!(
                    "client {} of n{}: message {number} of client {session} came where {expected} was due",
                    self.number,
                    self.node + 1
                ));
            }
            *expected = number + 1;
        }
        faults
    }
}

fn judge(plan: &Plan, sessions: &[Session]) -> (String, usize) {
    let mut faults: Vec<String> = sessions.iter().flat_map(Session::faults).collect();
    let places: Vec<BTreeMap<Name, usize>> = sessions
        .iter()
        .map(|one| {
            let numbered = one.received.iter().enumerate();
            numbered.map(|(at, name)| (*name, at)).collect()
        })
        .collect();
    for (a, one) in sessions.iter().enumerate() {
        for b in a + 1..sessions.len() {
            faults.extend(same_order(one, &sessions[b], &places[a], &places[b]));
        }
    }
    let (mut taken, mut looked) = (0, 0);
    for sender in sessions {
        for (number, at) in &sender.taken {
            taken += 1;
            for (other, place) in sessions.iter().zip(&places) {
                if other.begun + JOINED > *at || *at + SPREAD > other.ended {
                    continue;
                }
                looked += 1;
                if !place.contains_key(&(sender.number, *number)) {
                    faults.push(format!(
                        "message {number} of client {} was taken and is not at client {} of n{}",
                        sender.number,
                        other.number,
                        other.node + 1
                    ));
                }
            }
        }
    }
    let deliveries: usize = sessions.iter().map(|one| one.received.len()).sum();
    let mut text = format!(
        "{} clients, {} messages/s each: {taken} messages taken, {deliveries} deliveries, {looked} times looked for a taken one\n{} faults\n",
        sessions.len(),
        plan.rate,
        faults.len()
    );
    for fault in faults.iter().take(20) {
        let _ = writeln!(text, "  {fault}");
    }
    // A load that did nothing shows nothing.
    let idle = usize::from(taken == 0 || looked == 0);
    (text, faults.len() + idle)
}

/// From the first to the last message that both have: the same, in the same order.
fn same_order(
    one: &Session,
    other: &Session,
    ours: &BTreeMap<Name, usize>,
    theirs: &BTreeMap<Name, usize>,
) -> Option<String> {
    let first = one
        .received
        .iter()
        .find_map(|name| Some((ours.get(name)?, theirs.get(name)?)))?;
    let last = one
        .received
        .iter()
        .rev()
        .find_map(|name| Some((ours.get(name)?, theirs.get(name)?)))?;
    let mine = &one.received[*first.0..=*last.0];
    let same = other
        .received
        .get(*first.1..=*last.1)
        .is_some_and(|part| part == mine);
    (!same).then(|| {
        let theirs = other.received.get(*first.1..).unwrap_or_default();
        let at = mine.iter().zip(theirs).position(|(a, b)| a != b);
        format!(
            "clients {} of n{} and {} of n{} differ after {} messages that both have",
            one.number,
            one.node + 1,
            other.number,
            other.node + 1,
            at.unwrap_or_else(|| mine.len().min(theirs.len()))
        )
    })
}
