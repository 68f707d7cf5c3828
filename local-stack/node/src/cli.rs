//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use stack_api::clock::BootClock;
use stack_api::stack::{Answer, Do, Status};
use stack_api::{Client, ClientError, ErrorBody, ErrorCode};

use crate::daemon::{self, Options};
use crate::disk::DiskError;
use crate::{explain, messaging, render};

/// Where the distribution's agents are.
const OCF_ROOT: &str = "/usr/lib/ocf";

/// Exit code: nobody answers on the socket.
const EXIT_NOT_CONNECTED: u8 = 102;

/// Agents at once, per processor, as Pacemaker's default for the same.
const PARALLEL_PER_PROCESSOR: usize = 2;

/// The local stack of one node.
#[derive(Debug, Parser)]
#[command(name = "local-stack", version = version())]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon of this node.
    Daemon(DaemonArguments),
    /// Node, resources and tickets.
    Status(Where),
    /// The configuration.
    #[command(subcommand)]
    Cib(CibVerb),
    /// Resources.
    #[command(subcommand)]
    Resource(ResourceVerb),
    /// Why something is as it is: the reason first, then each node's part, then how to change it.
    ///
    /// Exit code: 0 it is as it shall be, 7 it is stopped as intended, 1 it should run and cannot.
    Explain(explain::Explain),
    /// Stop all resources and end the daemon.
    Shutdown(Where),
    /// Messaging between the nodes of the site.
    #[command(subcommand)]
    Messaging(messaging::Verb),
    /// Run an agent and note what it leaves running (the daemon does this).
    #[command(hide = true)]
    Collect {
        /// The agent's file.
        file: PathBuf,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum CibVerb {
    /// Print the CIB, or one element of it.
    Query {
        #[command(flatten)]
        place: Where,
        /// Element name: configuration, status, resources ...
        #[arg(long)]
        scope: Option<String>,
    },
    /// Replace the configuration by that of a file (`-`: standard input).
    Replace {
        #[command(flatten)]
        place: Where,
        /// A `<cib>` document.
        file: PathBuf,
        /// Do it although this part of the site has no quorum, and say why. Another part that has one
        /// goes on without it.
        #[arg(long, value_name = "REASON")]
        force: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum ResourceVerb {
    /// All resources.
    List(Where),
    /// Forget failures and probe again.
    Cleanup {
        #[command(flatten)]
        place: Where,
        /// One resource; all without it.
        resource: Option<String>,
    },
}

/// Which daemon, how printed, how long waited for.
#[derive(Debug, clap::Args)]
pub(crate) struct Where {
    /// The daemon's control socket.
    #[arg(long, default_value = "/run/interlock/local-stack.sock")]
    socket: PathBuf,
    /// How to print.
    #[arg(long, short = 'o', value_enum, default_value = "text")]
    pub(crate) output_as: Output,
    /// Seconds to wait for an answer.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tickets {
    /// Resources that depend on a ticket run only while this site holds it.
    On,
    /// A single site: every ticket counts as granted.
    Off,
}

#[derive(Debug, clap::Args)]
struct DaemonArguments {
    /// The CIB; read at the start, rewritten by `cib replace`.
    #[arg(long, default_value = "/var/lib/interlock/cib.xml")]
    cib: PathBuf,
    /// Control socket.
    #[arg(long, default_value = "/run/interlock/local-stack.sock")]
    socket: PathBuf,
    /// State directory.
    #[arg(long, default_value = "/var/lib/interlock/local-stack")]
    state: PathBuf,
    /// The guard's socket; without it nothing that depends on a lease is started.
    #[arg(long)]
    guard: Option<PathBuf>,
    /// This node's name in the CIB.
    #[arg(long)]
    node: String,
    /// The site's name, for display.
    #[arg(long)]
    site: Option<String>,
    /// Directories of OCF agents, separated by colons [default: $OCF_RA_PATH, or resource.d under
    /// $OCF_ROOT]
    #[arg(long)]
    agents: Option<String>,
    /// Whether tickets gate resources.
    #[arg(long, value_enum, default_value = "on")]
    tickets: Tickets,
    /// The configuration of messaging, of a site of several nodes: they are one cluster. Needs
    /// `--tickets off` for now.
    #[arg(long)]
    messaging: Option<PathBuf>,
    /// Agents that may run at once, stops not counted [default: two per processor]
    #[arg(long)]
    parallel: Option<usize>,
}

const fn version() -> &'static str {
    if cfg!(feature = "test-clock") {
        concat!(env!("CARGO_PKG_VERSION"), " (test features: test-clock)")
    } else {
        env!("CARGO_PKG_VERSION")
    }
}

/// A classic tool, by the name this program was called by or by its first argument.
fn classic_tool() -> Option<ExitCode> {
    let mut arguments = std::env::args();
    let called = arguments.next().unwrap_or_default();
    let name = Path::new(&called).file_name()?.to_str()?.to_owned();
    let rest: Vec<String> = arguments.collect();
    tools::dispatch(&name, rest.iter().cloned())
        .or_else(|| tools::dispatch(rest.first()?, rest.iter().skip(1).cloned()))
}

pub(crate) fn main() -> ExitCode {
    if let Some(done) = classic_tool() {
        return done;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed standard error leaves nothing to tell.
            let _ = error.print();
            let usage = ErrorCode::Usage.exit_code();
            return ExitCode::from(if error.use_stderr() { usage } else { 0 });
        }
    };
    let (place, request) = match arguments.verb {
        Verb::Daemon(arguments) => return run_daemon(arguments),
        Verb::Explain(arguments) => return explain::run(&arguments),
        Verb::Messaging(verb) => return messaging::main(verb),
        Verb::Collect { file, arguments } => return executor::collect::main(&file, &arguments),
        Verb::Status(place) => (place, Do::Status),
        Verb::Shutdown(place) => (place, Do::Shutdown),
        Verb::Cib(CibVerb::Query { place, scope }) => (place, Do::CibQuery { scope }),
        Verb::Cib(CibVerb::Replace { place, file, force }) => match read_document(&file) {
            Ok(xml) => (place, Do::CibReplace { xml, force }),
            Err(error) => return refuse(place.output_as, &error),
        },
        Verb::Resource(ResourceVerb::List(place)) => (place, Do::Status),
        Verb::Resource(ResourceVerb::Cleanup { place, resource }) => {
            (place, Do::ResourceCleanup { resource })
        }
    };
    ask(&place, request)
}

fn read_document(file: &Path) -> Result<String, ErrorBody> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|error| ErrorBody::new(ErrorCode::Data, format!("{}: {error}", file.display())))
}

fn ask(place: &Where, what: Do) -> ExitCode {
    match request(place, what) {
        Ok(answer) => print(place.output_as, &answer),
        Err((error, exit)) => {
            let code = refuse(place.output_as, &error);
            exit.map_or(code, ExitCode::from)
        }
    }
}

/// Asks the daemon.
///
/// # Errors
/// What went wrong, and the exit code if it is not that of the error.
pub(crate) fn request(place: &Where, what: Do) -> Result<Answer, (ErrorBody, Option<u8>)> {
    let timeout = Duration::from_secs(place.timeout.max(1));
    let answer = Client::connect(&place.socket, timeout).and_then(|mut client| client.stack(what));
    answer.map_err(|error| match error {
        ClientError::Refused(error) => (error, None),
        error @ ClientError::Connect { .. } => {
            let body = ErrorBody::new(ErrorCode::Error, error.to_string())
                .hint("is the daemon running, and is --socket its socket?");
            (body, Some(EXIT_NOT_CONNECTED))
        }
        error @ ClientError::Timeout(_) => {
            (ErrorBody::new(ErrorCode::Timeout, error.to_string()), None)
        }
        error => {
            let hint = "whether it was done is not known; ask for the status";
            let body = ErrorBody::new(ErrorCode::Indeterminate, error.to_string());
            (body.hint(hint), None)
        }
    })
}

pub(crate) fn refuse(output: Output, error: &ErrorBody) -> ExitCode {
    match output {
        Output::Text => eprintln!("local-stack: {error}"),
        Output::Json => eprintln!("{}", serde_json::to_string(error).unwrap_or_default()),
    }
    ExitCode::from(error.code.exit_code())
}

fn print(output: Output, answer: &Answer) -> ExitCode {
    if output == Output::Json {
        println!("{}", serde_json::to_string(answer).unwrap_or_default());
    } else {
        match answer {
            Answer::Status(status) => print!("{}", render::status(status)),
            Answer::Cib { xml } => println!("{}", xml.trim_end()),
            Answer::Replaced { version, notes } => {
                println!("CIB {version} is in force");
                for note in notes {
                    println!("note: {note}");
                }
            }
            Answer::Cleaned { resources } => println!("probing again: {}", resources.join(", ")),
            Answer::ShuttingDown => println!("stopping all resources"),
            Answer::Ticket(_) | Answer::Check(_) | Answer::Subscribed | Answer::Attribute => {}
        }
    }
    ExitCode::from(match answer {
        Answer::Status(status) if has_failures(status) => 1,
        _ => 0,
    })
}

/// The status is printed in full; the exit code tells scripts that something needs a look.
fn has_failures(status: &Status) -> bool {
    use stack_api::stack::ResourceState::{Blocked, Failed};
    status
        .resources
        .iter()
        .any(|resource| matches!(resource.state, Blocked | Failed))
}

/// Logs go to standard error, from `info` on unless `RUST_LOG` says otherwise.
pub(crate) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false)
        .init();
}

fn run_daemon(arguments: DaemonArguments) -> ExitCode {
    log_to_stderr();
    match start(arguments) {
        Ok(left) if left.is_empty() => ExitCode::SUCCESS,
        Ok(left) => {
            tracing::error!(
                resources = left.join(", "),
                "ended, but these could not be stopped"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("local-stack: {error}");
            let bad_data = matches!(error.downcast_ref(), Some(DiskError::Cib(_)));
            ExitCode::from(if bad_data {
                ErrorCode::Data.exit_code()
            } else {
                1
            })
        }
    }
}

fn start(arguments: DaemonArguments) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    executor::descriptors::seal()?;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let ocf_root = variable("OCF_ROOT").unwrap_or_else(|| OCF_ROOT.to_owned());
    let agents = arguments.agents.or_else(|| variable("OCF_RA_PATH"));
    let agents = agents.unwrap_or_else(|| format!("{ocf_root}/resource.d"));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let messaging = arguments.messaging.as_deref();
    let messaging = messaging
        .map(|path| ::messaging::Config::load(path, Some(&arguments.node)))
        .transpose()?;
    if messaging.is_some() && arguments.tickets == Tickets::On {
        return Err(
            "several nodes (--messaging) need --tickets off: leases are not handed from node \
                    to node yet"
                .into(),
        );
    }
    let options = Options {
        messaging,
        cib: arguments.cib,
        socket: arguments.socket,
        state: arguments.state,
        guard: arguments.guard,
        node: arguments.node,
        site: arguments.site,
        agents: agents
            .split(':')
            .filter(|part| !part.is_empty())
            .map(PathBuf::from)
            .collect(),
        ocf_root,
        tickets: arguments.tickets == Tickets::On,
        parallel: arguments
            .parallel
            .unwrap_or(processors * PARALLEL_PER_PROCESSOR)
            .max(1),
        clock: BootClock::from_env()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(daemon::run(options))
}
