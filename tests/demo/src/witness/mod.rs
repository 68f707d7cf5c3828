//! The witness: sees every life of the gated service on one clock, from outside the cluster.
//!
//! The service announces itself here before it serves, its agent reports what it did, each process
//! is followed by its pidfd, and the sample store refuses old terms. Each connection has a thread
//! of its own, so that a slow listener never delays an instant that is being taken.
//!
//! One line a request, one line an answer:
//!
//! ```text
//! serve SITE PID TERM BEATS-FILE   -> ok
//! claim TERM                       -> ok | refused TERM
//! ready                            -> ok
//! write TERM                       -> ok | refused TERM
//! note SITE ACTION PHASE CODE      -> ok
//! ```

pub(crate) mod beats;
pub(crate) mod store;
pub(crate) mod verdict;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::clock::{Mono, waiting_per_core};
use store::{Answer, Store};
use verdict::{Instance, Verdict};

/// A beat younger than this is proof that the service serves now. Beats come each millisecond; a
/// machine with both cores busy has been seen to hold them back for 20 ms.
const FRESH: Duration = Duration::from_millis(60);

/// So much older a beat may be for each process that waits for a core: with eleven of them one was
/// held back for half a second.
const FRESH_PER_WAITING: Duration = Duration::from_millis(60);

/// Longest line that a service or an agent sends: a path and four short words.
const LINE_BYTES_MAX: u64 = 8_192;

/// What the witness saw, as it happens.
#[derive(Clone, Debug)]
pub(crate) enum Sight {
    /// The service began to answer at a site.
    Serving { at: Mono, site: String, term: u64 },
    /// Its process is gone.
    Gone { at: Mono, site: String, pid: i32 },
    /// The store refused a term.
    Refused {
        at: Mono,
        site: String,
        term: u64,
        highest: u64,
    },
    /// An agent began (`code` is `None`) or ended an action.
    Action {
        at: Mono,
        site: String,
        action: String,
        code: Option<i32>,
    },
}

impl Sight {
    /// When it was seen.
    pub(crate) fn at(&self) -> Mono {
        match self {
            Self::Serving { at, .. }
            | Self::Gone { at, .. }
            | Self::Refused { at, .. }
            | Self::Action { at, .. } => *at,
        }
    }
}

/// What one agent action was seen to do; kept for the order of stop and start.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) at: Mono,
    pub(crate) site: String,
    pub(crate) action: String,
    pub(crate) code: Option<i32>,
}

#[derive(Debug, Default)]
struct Seen {
    lives: Vec<(Instance, PathBuf)>,
    notes: Vec<Note>,
    store: Store,
}

/// The running witness. Its threads live as long as the process.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
}

impl Witness {
    /// Listens on `socket`; everything seen is also sent to `sights`.
    pub(crate) fn start(socket: &Path, sights: Sender<Sight>) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let witness = Self {
            seen: Arc::default(),
        };
        let shared = witness.clone();
        thread::Builder::new()
            .name("witness".into())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let connection = Connection {
                        witness: shared.clone(),
                        sights: sights.clone(),
                        life: None,
                        site: String::new(),
                    };
                    let spawned = thread::Builder::new()
                        .name("witness-connection".into())
                        .spawn(move || connection.serve(stream));
                    if let Err(error) = spawned {
                        eprintln!("demo: the witness cannot follow a process: {error}");
                    }
                }
            })?;
        Ok(witness)
    }

    /// The site where the service answers now, if it does; several if several do.
    pub(crate) fn serving(&self) -> Vec<String> {
        let now = Mono::now();
        let fresh = FRESH + FRESH_PER_WAITING.mul_f64(waiting_per_core());
        let seen = self.lock();
        let mut sites: Vec<String> = seen
            .lives
            .iter()
            .filter(|(life, _)| life.ready.is_some() && life.gone.is_none())
            // The thread that waits for its end may be behind.
            .filter(|(life, _)| alive(life.pid))
            .filter(|(_, path)| beats::last(path).is_some_and(|at| now.since(at) < fresh))
            .map(|(life, _)| life.site.clone())
            .collect();
        sites.dedup();
        sites
    }

    /// Processes of the service that live at `site`.
    pub(crate) fn pids(&self, site: &str) -> Vec<i32> {
        let seen = self.lock();
        let alive = seen
            .lives
            .iter()
            .filter(|(life, _)| life.gone.is_none() && life.site == site);
        alive.map(|(life, _)| life.pid).collect()
    }

    /// The whole site stands still, guard included.
    pub(crate) fn frozen(&self, site: &str) {
        let now = Mono::now();
        let mut seen = self.lock();
        for (life, _) in &mut seen.lives {
            if life.site == site && life.gone.is_none() {
                life.frozen.push((now, None));
            }
        }
    }

    /// The site goes on.
    pub(crate) fn resumed(&self, site: &str) {
        let now = Mono::now();
        let mut seen = self.lock();
        for (life, _) in &mut seen.lives {
            if life.site == site && life.gone.is_none() {
                for (_, until) in &mut life.frozen {
                    until.get_or_insert(now);
                }
            }
        }
    }

    /// All lives, with their beats read from the files.
    pub(crate) fn lives(&self) -> Vec<Instance> {
        let lives = self.lock().lives.clone();
        lives
            .into_iter()
            .map(|(mut life, path)| {
                life.stretches = beats::read(&path).map(|found| found.0).unwrap_or_default();
                life
            })
            .collect()
    }

    /// The verdict on all that was seen so far.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::of(&self.lives(), Mono::now())
    }

    /// Writes that the store accepted, refused, and accepted although they were stale.
    pub(crate) fn writes(&self) -> (u64, u64, u64) {
        let seen = self.lock();
        (
            seen.store.accepted,
            seen.store.refused,
            seen.store.stale_accepted,
        )
    }

    /// What the agents did, in order.
    pub(crate) fn notes(&self) -> Vec<Note> {
        self.lock().notes.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process that talks to the witness.
struct Connection {
    witness: Witness,
    sights: Sender<Sight>,
    /// Index of the life that it announced.
    life: Option<usize>,
    site: String,
}

impl Connection {
    fn serve(mut self, stream: UnixStream) {
        let Ok(mut answers) = stream.try_clone() else {
            return;
        };
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        loop {
            line.clear();
            match (&mut lines).take(LINE_BYTES_MAX).read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let answer = self.answer(line.trim_end(), Mono::now());
            if answers.write_all(format!("{answer}\n").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, line: &str, at: Mono) -> String {
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        match words.as_slice() {
            ["serve", site, pid, term, path] => match (pid.parse(), term.parse()) {
                (Ok(pid), Ok(term)) => self.announce(at, site, pid, term, Path::new(path)),
                _ => "error: serve SITE PID TERM BEATS-FILE".into(),
            },
            ["claim", term] => self.ask(at, term, Store::claim),
            ["write", term] => self.ask(at, term, Store::write),
            ["ready"] => self.ready(at),
            ["note", site, action, "begin", _] => self.note(at, site, action, None),
            ["note", site, action, "end", code] => self.note(at, site, action, code.parse().ok()),
            _ => "error: serve, claim, write, ready or note".into(),
        }
    }

    fn announce(&mut self, at: Mono, site: &str, pid: i32, term: u64, path: &Path) -> String {
        let life = Instance {
            site: site.into(),
            pid,
            term,
            started: at,
            ..Instance::default()
        };
        let index = {
            let mut seen = self.witness.lock();
            seen.lives.push((life, path.to_owned()));
            seen.lives.len() - 1
        };
        (self.life, self.site) = (Some(index), site.to_owned());
        let witness = self.witness.clone();
        let sights = self.sights.clone();
        let followed = thread::Builder::new()
            .name("witness-pidfd".into())
            .spawn(move || follow(&witness, index, pid, &sights));
        match followed {
            Ok(_) => "ok".into(),
            Err(error) => format!("error: {error}"),
        }
    }

    fn ask(&mut self, at: Mono, term: &str, question: fn(&mut Store, u64) -> Answer) -> String {
        let Ok(term) = term.parse() else {
            return "error: a term is a number".into();
        };
        let answer = question(&mut self.witness.lock().store, term);
        match answer {
            Answer::Accepted => "ok".into(),
            Answer::Refused(highest) => {
                let site = self.site.clone();
                drop(self.sights.send(Sight::Refused {
                    at,
                    site,
                    term,
                    highest,
                }));
                format!("refused {highest}")
            }
        }
    }

    fn ready(&mut self, at: Mono) -> String {
        let Some(index) = self.life else {
            return "error: serve comes first".into();
        };
        let mut seen = self.witness.lock();
        let seen = &mut *seen;
        let life = &mut seen.lives[index].0;
        life.ready = Some(at);
        seen.store.serving(life.term);
        let (site, term) = (life.site.clone(), life.term);
        drop(self.sights.send(Sight::Serving { at, site, term }));
        "ok".into()
    }

    /// A process that is gone when its agent reports the stop was gone by then, however late the
    /// thread that watches the pidfd is. An agent's word alone proves nothing.
    fn note(&mut self, at: Mono, site: &str, action: &str, code: Option<i32>) -> String {
        let mut seen = self.witness.lock();
        if action == "stop" && code == Some(0) {
            for (life, _) in &mut seen.lives {
                if life.site == site && life.started < at && !alive(life.pid) {
                    life.gone = Some(life.gone.map_or(at, |known| known.min(at)));
                }
            }
        }
        let (site, action) = (site.to_owned(), action.to_owned());
        seen.notes.push(Note {
            at,
            site: site.clone(),
            action: action.clone(),
            code,
        });
        drop(self.sights.send(Sight::Action {
            at,
            site,
            action,
            code,
        }));
        "ok".into()
    }
}

/// Whether a process runs; one that waits to be collected does not.
pub(crate) fn alive(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name in parentheses may contain anything; the state follows the last one.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Waits until a process is gone and records when.
fn follow(witness: &Witness, index: usize, pid: i32, sights: &Sender<Sight>) {
    if let Some(pid) = Pid::from_raw(pid)
        && let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
    {
        // Interrupted by a signal: wait again; any other failure is taken as the process's end.
        while let Err(rustix::io::Errno::INTR) =
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], None)
        {}
    }
    let at = Mono::now();
    let site = {
        let mut seen = witness.lock();
        let life = &mut seen.lives[index].0;
        life.gone = Some(life.gone.map_or(at, |known| known.min(at)));
        life.site.clone()
    };
    drop(sights.send(Sight::Gone { at, site, pid }));
}
