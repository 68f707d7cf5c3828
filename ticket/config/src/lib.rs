//! `interlock.toml` and `conf.d/*.toml`: reading, checking, every error at once with its place.
//!
//! ```toml
//! [cluster]
//! name = "shop"
//! member = "berlin"            # which member this machine is; also --member and conf.d
//!
//! [member.berlin]
//! role = "site"
//! address = ["b.example:9929", "srv:_interlock._udp.b.example"]
//!
//! [member.paris]
//! role = "site"
//! address = "p.example"
//!
//! [member.arb]
//! role = "arbitrator"
//! address = "192.0.2.7"
//!
//! [ticket.db]
//! lease = "30s"
//! acquire-after = "20s"
//! stop-budget = "15s"
//! prefer = ["berlin", "paris"]
//!
//! [device.berlin]              # the arbitrator is quorum device of that site's nodes
//! nodes = ["b1=1", "b2=2"]     # names and numbers as in their messaging.toml
//! lease = "2s"
//! ```
//!
//! Keys are in kebab-case; a key that is not known is an error, because one that is silently
//! ignored is a setting that its author believes in. Every member reads the same files, except for
//! `member` (and paths), which belong in a file of their own in `conf.d`.
//!
//! Reading has no effect but reading files. [`load`] is all that a daemon needs.

mod address;
mod build;
mod check;
mod device;
mod diagnostic;
pub mod duration;
mod files;
mod raw;
mod reader;
mod suggest;
mod timings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use address::{Address, DEFAULT_PORT};
pub use device::DeviceSite;
pub use diagnostic::{Diagnostic, Severity};
pub use suggest::closest;
pub use timings::{GUARD_MARGIN, Timings};

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/interlock/interlock.toml";

/// Most members of a cluster. Every member talks to every other one and every ticket's register is
/// kept by all, so that a formation of more than a handful gains nothing.
pub const MEMBERS_MAX: usize = 31;

/// Most tickets. The durable state of a member holds all registers and is written as a whole.
pub const TICKETS_MAX: usize = 1_000;

/// Most addresses of one member: a few providers, two address families, one service name.
pub const ADDRESSES_MAX: usize = 16;

/// Longest name of a cluster, member or ticket, in bytes (booth's limit as well).
pub const NAME_MAX: usize = 63;

/// A configuration that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What holds for the cluster as a whole.
    pub cluster: Cluster,
    /// Which member this machine is. Always given after [`load`].
    pub member: Option<String>,
    /// All members, in order of the name, whatever the order in the files: so that a member's index
    /// is the same everywhere.
    pub members: Vec<Member>,
    /// All tickets, in order of the name.
    pub tickets: Vec<Ticket>,
    /// Nodes of sites for which the arbitrator is quorum device, as written.
    pub devices: Vec<DeviceSite>,
    /// Where files are.
    pub paths: Paths,
    /// What a site agent drives.
    pub cluster_manager: ClusterManager,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// What works, but probably not as intended.
    pub warnings: Vec<Diagnostic>,
}

/// What holds for the cluster as a whole: `[cluster]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name; part of every certificate's identity.
    pub name: String,
    /// Grows by one with every change of the members; members of different epochs do not agree.
    pub epoch: u64,
    /// How much the *rates* of any two members' clocks may differ, in parts per million.
    pub drift_ppm: u32,
    /// How long one round of messages waits for an answer before it is sent again.
    pub round_timeout: Duration,
    /// How often a renewal may be repeated and must still fit in the lease.
    pub retries: u32,
}

/// What a member is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs a cluster, holds tickets, votes.
    Site,
    /// Votes.
    Arbitrator,
}

impl Role {
    /// The word in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Arbitrator => "arbitrator",
        }
    }
}

/// A member: `[member.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name; part of its certificate's identity.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Where others reach it, in order of preference; never empty.
    pub addresses: Vec<Address>,
    /// Where it listens; never empty. Given as `listen`, or derived: a loopback address is taken as
    /// it is, anything else listens on all interfaces at the address's port.
    pub listen: Vec<SocketAddr>,
}

/// Who fails a ticket over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The members, by lease.
    Auto,
    /// The operator; the ticket has no lease.
    Manual,
}

/// What the cluster does with dependents when the ticket is lost. The constraint in the CIB decides;
/// here it is a statement that `ticket check` compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossPolicy {
    /// Stop them.
    Stop,
    /// Demote them.
    Demote,
    /// Fence the nodes that run them.
    Fence,
    /// Leave them alone: the ticket is on hold while it is held.
    Freeze,
}

/// A ticket: `[ticket.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its name.
    pub name: String,
    /// Who fails it over.
    pub mode: Mode,
    /// How long a grant holds without renewal. Manual tickets: not used.
    pub lease: Duration,
    /// How long after a lease's end nobody else may take the ticket: the time in which the losing
    /// site is certain to be down.
    pub acquire_after: Duration,
    /// How often the holder renews.
    pub renew_every: Duration,
    /// How long the cluster may take to stop what depends on the ticket; then the guard kills.
    pub stop_budget: Duration,
    /// Sites that take the ticket over, the preferred one first; sites that are not named follow in
    /// order of the name.
    pub prefer: Vec<String>,
    /// What the author expects of the CIB.
    pub loss_policy: Option<LossPolicy>,
}

/// Where files are: `[paths]`. A relative path is relative to the main configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Certificates and keys.
    pub pki: PathBuf,
    /// Durable state.
    pub state: PathBuf,
    /// Control sockets.
    pub run: PathBuf,
}

impl Paths {
    /// The cluster's CA certificate.
    pub fn ca(&self) -> PathBuf {
        self.pki.join("ca.crt")
    }

    /// A member's certificate.
    pub fn certificate(&self, member: &str) -> PathBuf {
        self.pki.join(format!("{member}.crt"))
    }

    /// A member's private key.
    pub fn key(&self, member: &str) -> PathBuf {
        self.pki.join(format!("{member}.key"))
    }

    /// The control socket of a member's daemon.
    pub fn control_socket(&self, member: &str) -> PathBuf {
        self.run.join(format!("{member}.sock"))
    }

    /// The mark that a member has never voted: it may start without a state file, once.
    pub fn first_start(&self) -> PathBuf {
        self.state.join("first-start")
    }
}

/// What a site agent drives: `[cluster-manager]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterManager {
    /// Nothing: grants have no effect but the grant. For arbitrators, and sites that use tickets
    /// only from scripts.
    None,
    /// Our own local stack.
    LocalStack {
        /// Its control socket.
        socket: PathBuf,
        /// The guard's socket.
        guard: Option<PathBuf>,
        /// How long one request may take.
        timeout: Duration,
    },
    /// A command: `COMMAND grant|revoke|extend|stop|standby|status TICKET TERM DEADLINE_MS`.
    Command {
        /// Program and leading arguments; never empty, the program an absolute path.
        command: Vec<String>,
        /// The guard's socket.
        guard: Option<PathBuf>,
        /// How long one call may take before it is killed and counts as failed.
        timeout: Duration,
    },
}

/// How to load a configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Which member this machine is, from the command line: wins over `member` in the files.
    pub member: Option<&'a str>,
    /// Whether it is an error not to know which member this machine is.
    pub need_member: bool,
}

/// Loads and checks the configuration at `path` and in `conf.d/*.toml` beside it, for a daemon: it
/// has to know which member it is.
///
/// # Errors
/// Everything that is wrong, sorted by place, at least one of them an [`Severity::Error`]: the
/// author's mistake, or files that cannot be read.
pub fn load(path: &Path, member: Option<&str>) -> Result<Config, Vec<Diagnostic>> {
    load_with(
        path,
        Options {
            member,
            need_member: true,
        },
    )
}

/// The same for tools, which need not be on a member's machine.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, options: Options<'_>) -> Result<Config, Vec<Diagnostic>> {
    let files = files::gather(path)?;
    build::build(path, &files, options)
}

/// Checks a configuration given as text, as if it stood alone in a file of that name.
///
/// # Errors
/// As [`load`].
pub fn load_text(path: &Path, text: &str, options: Options<'_>) -> Result<Config, Vec<Diagnostic>> {
    let file = files::SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    build::build(path, &[file], options)
}

impl Config {
    /// This machine's member. `None` only without [`Options::need_member`].
    pub fn me(&self) -> Option<&Member> {
        self.member
            .as_deref()
            .and_then(|name| self.find_member(name))
    }

    /// The member of that name.
    pub fn find_member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The ticket of that name.
    pub fn find_ticket(&self, name: &str) -> Option<&Ticket> {
        self.tickets.iter().find(|ticket| ticket.name == name)
    }

    /// The sites, in order of the name.
    pub fn sites(&self) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(|member| member.role == Role::Site)
    }

    /// How many votes make a majority.
    pub fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// What follows from a ticket's settings.
    pub fn timings(&self, ticket: &Ticket) -> Timings {
        Timings::of(&self.cluster, ticket)
    }
}
