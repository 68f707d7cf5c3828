//! The command line's grammar.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use ticket_admin::RequestId;
use ticket_config::{DEFAULT_PATH, duration};

/// Grant, revoke, move and see tickets.
///
/// Exit codes: 0 the wish was met; 1 refused or failed; 64 wrong command line; 78 wrong configuration;
/// 102 no daemon answers; 105 no such ticket or member; 106 no majority; 107 not safe; 108 granted
/// already; 112 outcome unknown; 124 decided or asked, but not over at the deadline. `ticket codes`
/// lists all.
#[derive(Debug, Parser)]
#[command(name = "ticket", version, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every verb understands.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Configuration file [also: $INTERLOCK_CONFIG].
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Control socket to use, whatever the configuration says.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Member to ask, where several run on this machine [also: $INTERLOCK_MEMBER]. A daemon of another
    /// machine cannot be asked from here, and need not be: each acts for the whole cluster, and --to
    /// says where to.
    #[arg(
        short = 's',
        long = "host",
        alias = "member",
        global = true,
        value_name = "MEMBER"
    )]
    host: Option<String>,
    /// Output form [also: $INTERLOCK_OUTPUT].
    #[arg(
        short,
        long,
        alias = "output-format",
        global = true,
        value_name = "FORM"
    )]
    output_as: Option<Form>,
    /// The same as --output-as json.
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing but errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// How long to wait at most; without a duration, ten minutes. Every verb has a deadline of its own
    /// that this replaces.
    #[arg(short, long, global = true, value_name = "DURATION", num_args = 0..=1,
          require_equals = true, value_parser = parse_duration)]
    wait: Option<Option<Duration>>,
    /// Do not ask back.
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
}

/// `--wait` without a duration: longer than any lease that is usual.
const WAIT: Duration = Duration::from_secs(600);

/// Longest wait that is accepted. A command that needs longer is a monitoring job: `ticket watch`.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

impl Global {
    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        let given = self.config.clone();
        given
            .or_else(|| std::env::var_os("INTERLOCK_CONFIG").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))
    }

    /// The member to ask, where one is named.
    pub(crate) fn host(&self) -> Option<String> {
        self.host
            .clone()
            .or_else(|| std::env::var("INTERLOCK_MEMBER").ok())
    }

    /// Whether to print JSON.
    pub(crate) fn json(&self) -> bool {
        let environment = || std::env::var("INTERLOCK_OUTPUT").is_ok_and(|form| form == "json");
        match self.output_as {
            _ if self.json => true,
            Some(form) => form == Form::Json,
            None => environment(),
        }
    }

    /// The deadline from the command line, or the verb's own.
    pub(crate) fn wait(&self, own: Duration) -> Duration {
        self.wait
            .map_or(own, |wait| wait.unwrap_or(WAIT))
            .min(WAIT_MAX)
    }

    /// Whether the command line gives a deadline.
    pub(crate) fn has_wait(&self) -> bool {
        self.wait.is_some()
    }
}

/// Output form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Every ticket in one line: a table on a terminal, booth's lines in a pipe.
    List {
        /// Booth's lines.
        #[arg(long, conflicts_with = "table")]
        lines: bool,
        /// A table.
        #[arg(long)]
        table: bool,
    },
    /// One ticket: lease, votes, what blocks it.
    Show {
        /// The ticket; may be left out if there is only one.
        ticket: Option<String>,
    },
    /// Give a ticket that nobody holds to a site.
    Grant(Grant),
    /// Take a ticket from its holder; it never comes back by itself.
    Revoke(Change),
    /// Stop at the holder, confirm, start at another site.
    Move(Move),
    /// Stop what depends on a ticket where it is held, and keep the ticket.
    Standby(Change),
    /// Undo standby.
    Activate(Change),
    /// Members: links, round-trip times, certificates.
    Peers,
    /// The whole formation: votes, members, tickets, nodes and their protection.
    Status,
    /// Events as they happen.
    Watch {
        /// Only of this ticket.
        #[arg(long, short)]
        ticket: Option<String>,
        /// Go on after this sequence number.
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
        /// End after so many events.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Check configuration and certificates: everything that is wrong, at once.
    Check {
        /// Say what follows from the timings.
        #[arg(long, visible_alias = "timings")]
        explain: bool,
    },
    /// Make a certificate authority and a first configuration.
    Init(Box<Init>),
    /// Make a certificate for a member.
    Issue(Issue),
    /// Exit codes and what they mean.
    Codes,
}

/// A change that needs nothing but the ticket's name.
#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    #[command(flatten)]
    pub(crate) which: Which,
}

/// Which ticket, and which wish.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The ticket; may be left out if there is only one.
    #[arg(value_name = "TICKET")]
    ticket: Option<String>,
    /// The same, as booth has it.
    #[arg(short = 't', long = "ticket", hide = true, value_name = "TICKET")]
    named: Option<String>,
    /// Repeat an earlier wish whose outcome is not known: it is carried out once.
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<RequestId>,
}

impl Which {
    /// The ticket, where one is named.
    pub(crate) fn ticket(&self) -> Option<&str> {
        self.ticket.as_deref().or(self.named.as_deref())
    }
}

/// Where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The site that shall hold it.
    #[arg(value_name = "SITE", conflicts_with = "to")]
    site: Option<String>,
    /// The same.
    #[arg(long, value_name = "SITE")]
    to: Option<String>,
}

impl Target {
    /// The site, where one is named.
    pub(crate) fn site(&self) -> Option<&str> {
        self.to.as_deref().or(self.site.as_deref())
    }
}

/// `ticket grant`.
#[derive(Debug, clap::Args)]
pub(crate) struct Grant {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Only say what would happen.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Override what makes a grant unsafe. Needs --reason.
    #[arg(short = 'F', long)]
    pub(crate) force: bool,
    /// What you verified before you forced it; recorded with the ticket.
    #[arg(long, value_name = "TEXT", requires = "force")]
    pub(crate) reason: Option<String>,
}

/// `ticket move`.
#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Only say what would happen.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `ticket init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Name of the cluster.
    #[arg(long)]
    pub(crate) cluster: String,
    /// A site and where it is reached; several addresses with commas.
    #[arg(long = "site", value_name = "NAME=HOST[:PORT]", required = true)]
    pub(crate) sites: Vec<String>,
    /// An arbitrator and where it is reached.
    #[arg(long = "arbitrator", value_name = "NAME=HOST[:PORT]")]
    pub(crate) arbitrators: Vec<String>,
    /// A ticket.
    #[arg(long = "ticket", value_name = "NAME")]
    pub(crate) tickets: Vec<String>,
    /// The directory to make. Holds the CA key: keep it where nobody else comes.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Lease of the tickets.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) lease: Option<Duration>,
    /// How long after a lease's end nobody else takes over.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) acquire_after: Option<Duration>,
    /// How long the services may take to stop.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) stop_budget: Option<Duration>,
    /// The tickets fail over by an operator only.
    #[arg(long)]
    pub(crate) manual: bool,
    /// What the sites' agents drive: local-stack, none, or the path of a command.
    #[arg(long, value_name = "KIND", default_value = "local-stack")]
    pub(crate) cluster_manager: String,
    /// Keep state and sockets beside the configuration: for several members on one machine, without
    /// root.
    #[arg(long)]
    pub(crate) local: bool,
}

/// `ticket issue`.
#[derive(Debug, clap::Args)]
pub(crate) struct Issue {
    /// The member; must be in the configuration.
    pub(crate) member: String,
    /// The directory that `ticket init` made.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Replace a certificate that was issued before.
    #[arg(long)]
    pub(crate) renew: bool,
    /// How long it is good for.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) validity: Option<Duration>,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}
