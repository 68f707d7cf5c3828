//! From the command line to the running loop, and every way in which that can fail.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use link::Link;
use ticket_admin::Code;
use ticket_config::{Config, Diagnostic, Role};
use ticket_protocol::{Participant, Restored};
use tokio::sync::mpsc;

use crate::arguments::{self, Arguments, Run, USAGE};
use crate::clock::{Alarm, Clock};
use crate::cluster::{Cluster, REPORTS_WAITING_MAX, Reports};
use crate::contact::Contacts;
use crate::control::Control;
use crate::conversion::{self, Roster};
use crate::desk::Desk;
use crate::device::Device;
use crate::disk::{Disk, Found};
use crate::event_loop::{Ended, EventLoop, Signals};
use crate::manager::Manager;
use crate::pause::{PauseWatch, Readings};
use crate::reload::Reload;
use crate::watch::Watch;

/// How long a thread that wrote to the disk is kept for the next write: the writes of one grant
/// share it, and an idle member has none.
const DISK_THREAD_KEPT: Duration = Duration::from_millis(100);

/// Stack of such a thread: it copies a state and makes a few system calls.
const DISK_THREAD_STACK: usize = 256 * 1024;

/// Threads beside the loop at once: one writes, one reads files for a reload.
const THREADS_MAX: usize = 2;

/// A daemon's own part.
pub struct Daemon {
    /// Its name, for messages.
    pub program: &'static str,
    /// The role of the members that it serves.
    pub role: Role,
    /// Makes the cluster's backend. Called inside the runtime.
    ///
    /// # Errors
    /// What is wrong with the configuration of the cluster manager.
    pub cluster: MakeCluster,
}

/// Makes a site's backend from its configuration.
pub type MakeCluster = fn(&Config, Clock, Reports) -> Result<Box<dyn Cluster>, String>;

/// Why a daemon did not start, or ended. Nothing was changed unless the text says so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}\n\nusage: {1} {USAGE}")]
    Usage(String, &'static str),
    #[error("{}", listed(.0))]
    Config(Vec<Diagnostic>),
    #[error("{0}")]
    Setting(String),
    #[error(transparent)]
    Credentials(#[from] link::CredentialsError),
    #[error(transparent)]
    Protocol(#[from] ticket_protocol::StartError),
    #[error("{what}: {source}")]
    System { what: String, source: io::Error },
    #[error("{0}")]
    Store(String),
    #[error(transparent)]
    Link(#[from] link::LinkError),
    #[error(transparent)]
    Ended(#[from] Ended),
}

fn listed(findings: &[Diagnostic]) -> String {
    let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

impl Failure {
    fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }

    fn code(&self) -> Code {
        match self {
            Self::Usage(..) => Code::Usage,
            Self::Config(_) | Self::Setting(_) | Self::Credentials(_) | Self::Protocol(_) => {
                Code::Config
            }
            Self::System { .. } | Self::Store(_) | Self::Link(_) | Self::Ended(_) => Code::Error,
        }
    }
}

/// Runs a daemon until a signal ends it. Exit codes: 0 after a clean stop, 64 for a wrong command
/// line, 78 for wrong configuration, keys or certificates, 1 for everything else.
pub fn main(daemon: &Daemon) -> ExitCode {
    let words = std::env::args_os().skip(1);
    main_with(
        daemon,
        words.map(|word| word.to_string_lossy().into_owned()),
    )
}

/// [`main`] with a command line of its own, without the program's name.
pub fn main_with(daemon: &Daemon, words: impl IntoIterator<Item = String>) -> ExitCode {
    let run = match arguments::parse(words) {
        Ok(Arguments::Run(run)) => run,
        Ok(Arguments::Version) => {
            println!("{}", version(daemon.program));
            return ExitCode::SUCCESS;
        }
        Ok(Arguments::Help) => {
            println!("{}: {USAGE}", daemon.program);
            return ExitCode::SUCCESS;
        }
        Err(text) => return failed(daemon.program, &Failure::Usage(text, daemon.program)),
    };
    match begin(daemon, &run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(daemon.program, &failure),
    }
}

fn failed(program: &str, failure: &Failure) -> ExitCode {
    eprintln!("{program}: {failure}");
    ExitCode::from(failure.code().number())
}

fn version(program: &str) -> String {
    let features: Vec<&str> = [
        ("test-clock", cfg!(feature = "test-clock")),
        ("weaken", cfg!(feature = "weaken")),
    ]
    .into_iter()
    .filter_map(|(name, on)| on.then_some(name))
    .collect();
    let plain = format!("{program} {}", env!("CARGO_PKG_VERSION"));
    match features.as_slice() {
        [] => plain,
        features => format!("{plain} (test build: {})", features.join(", ")),
    }
}

fn begin(daemon: &Daemon, run: &Run) -> Result<(), Failure> {
    crate::log::start().map_err(Failure::Setting)?;
    let clock = Clock::from_environment().map_err(Failure::Setting)?;
    let config =
        ticket_config::load(&run.config, run.member.as_deref()).map_err(Failure::Config)?;
    for warning in &config.warnings {
        tracing::warn!("{}", warning.headline());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS_MAX)
        .thread_keep_alive(DISK_THREAD_KEPT)
        .thread_stack_size(DISK_THREAD_STACK)
        .build()
        .map_err(Failure::system("the runtime cannot start"))?;
    runtime.block_on(async {
        let event_loop = prepare(daemon, run, config, clock).await?;
        Ok(event_loop.run().await?)
    })
}

/// Everything that the loop needs, checked in the order in which it harms nobody to find out.
async fn prepare(
    daemon: &Daemon,
    run: &Run,
    config: Config,
    clock: Clock,
) -> Result<EventLoop, Failure> {
    let signals = Signals::new().map_err(Failure::system("signals cannot be received"))?;
    let me = config.me().cloned();
    let (Some(me), Some(roster)) = (me, Roster::new(&config)) else {
        let text = "the configuration does not say which member this is";
        return Err(Failure::Setting(text.to_owned()));
    };
    if me.role != daemon.role {
        return Err(Failure::Setting(format!(
            "{} is a member with role \"{}\": start it with `{}`, not with `{}`",
            me.name,
            me.role.name(),
            match me.role {
                Role::Site => "site-agent",
                Role::Arbitrator => "arbitrator",
            },
            daemon.program
        )));
    }
    let protocol = conversion::protocol(&config, &roster).map_err(Failure::Setting)?;
    let credentials = conversion::credentials(&config, &me)?;
    let started = clock.now();
    let (disk, found) = open_disk(&config, &me.name, run.first_start)?;
    let restored = restored(found, &config);
    let participant = Participant::new(protocol, restored, started, seed()?)?;
    let (reports, waiting) = mpsc::channel(REPORTS_WAITING_MAX);
    let cluster = (daemon.cluster)(&config, clock, reports).map_err(Failure::Setting)?;
    let settings = conversion::link(&config, &me, credentials);
    let (link, members) = Link::bind(settings).await?;
    let device = quorum_device(&config, me.role, clock, &link)?;
    let socket = config.paths.control_socket(&me.name);
    let control = bind_control(&socket)?;
    let alarm = Alarm::new(clock).map_err(Failure::system("no timer"))?;
    tracing::info!(
        cluster = config.cluster.name,
        member = me.name,
        control = %socket.display(),
        version = version(daemon.program),
        "started"
    );
    Ok(EventLoop {
        clock,
        roster,
        participant,
        disk,
        link,
        members,
        alarm,
        control,
        cluster,
        reports: waiting,
        signals,
        manager: Manager::from_environment(),
        reload: Reload::default(),
        pauses: PauseWatch::new(Readings::take(&clock)),
        started,
        desk: Desk::default(),
        watch: Watch::default(),
        contacts: Contacts::default(),
        device,
        alarms: BTreeMap::new(),
        ended: None,
        stale_status: true,
        not_before: started,
        alive_at: started,
        config,
    })
}

fn bind_control(path: &Path) -> Result<Control, Failure> {
    let what = format!("control socket {}", path.display());
    Control::bind(path).map_err(Failure::system(what))
}

fn open_disk(config: &Config, me: &str, first_start: bool) -> Result<(Disk, Found), Failure> {
    let mark = config.paths.first_start();
    let high_water = config.paths.run.join(format!("{me}.written"));
    make_folder(&config.paths.run)?;
    Disk::open(&config.paths.state, mark, first_start, high_water).map_err(Failure::Store)
}

/// An arbitrator of which the configuration says so is quorum device as well.
fn quorum_device(
    config: &Config,
    role: Role,
    clock: Clock,
    link: &Link,
) -> Result<Option<Device>, Failure> {
    if role != Role::Arbitrator || config.devices.is_empty() {
        return Ok(None);
    }
    let device = Device::start(config, clock, link.clone(), seed()?);
    device.map(Some).map_err(Failure::Store)
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(Failure::system(path.display().to_string()))
}

/// What the protocol is told of its memory. Whatever is not certainly the last state counts as
/// lost.
fn restored(found: Found, config: &Config) -> Restored {
    let directory = config.paths.state.display();
    let lost = |reason: String| Restored::Lost { reason };
    match found {
        Found::Fresh => Restored::Fresh,
        Found::Missing => lost(format!(
            "{directory} holds no state and no mark of a first start: it was deleted (a new member \
             gets the mark from `ticket init` or `ticket issue`)"
        )),
        Found::Damaged(reason) => lost(reason),
        Found::State(bytes) => match ticket_protocol::wire::decode_state(&bytes) {
            Ok(state) => Restored::State(state),
            Err(error) => lost(format!("{directory}: {error}")),
        },
    }
}

/// A number that differs from start to start.
fn seed() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(Failure::system("/dev/urandom"))?;
    Ok(u64::from_ne_bytes(bytes))
}
