//! `local-stack messaging`: the daemon of the site's messaging, and its operator's verbs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use messaging::Config;
use stack_client::words::{Answer, Do, LinkState, Notice, Quorum, Status};
use stack_client::{Client, Error, Event, Guarantee};

mod change;
mod init;
mod print;

/// Exit code: nobody answers on the socket.
const EXIT_NOT_CONNECTED: u8 = 102;
/// Exit code: not quorate.
const EXIT_NO_QUORUM: u8 = 1;
/// Exit code: the configuration is wrong.
const EXIT_CONFIG: u8 = 78;

/// Messaging between the nodes of this site.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the daemon of this node.
    Daemon {
        /// The configuration.
        #[arg(long, default_value = "/etc/interlock/messaging.toml")]
        config: PathBuf,
        /// Which of its nodes this one is [default: what the configuration says]
        #[arg(long)]
        node: Option<String>,
    },
    /// Check a configuration; nothing is started.
    Check {
        /// The configuration.
        #[arg(long, default_value = "/etc/interlock/messaging.toml")]
        config: PathBuf,
        /// Which of its nodes this one is.
        #[arg(long)]
        node: Option<String>,
    },
    /// Make a site's configuration: authority, certificates, one directory for each node.
    Init(init::Arguments),
    /// Make a configuration of a corosync.conf; what becomes of each line goes to standard error.
    Import {
        /// The file.
        #[arg(default_value = "/etc/corosync/corosync.conf")]
        file: PathBuf,
    },
    /// View, quorum, members, and why the membership changed.
    Status(Where),
    /// The nodes, and who is in the view.
    Members(Where),
    /// Every path to every peer.
    Links(Where),
    /// May this view act, and why? Exit code 1 if not.
    Quorum(Where),
    /// Counters.
    Stats(Where),
    /// Groups and their members.
    Groups(Where),
    /// Add, remove or move a node of the site while it runs; the other nodes are not restarted.
    #[command(subcommand)]
    Node(change::Verb),
    /// Send a message to a group.
    Send {
        #[command(flatten)]
        place: Where,
        /// Delivered only once every member of the view has stored it.
        #[arg(long)]
        safe: bool,
        /// The group.
        group: String,
        /// The message; `-`: each line of standard input is one.
        message: String,
    },
    /// Print the messages of groups, views and quorum, as they come.
    Follow {
        #[command(flatten)]
        place: Where,
        /// End after so many messages.
        #[arg(long)]
        count: Option<u64>,
        /// The groups.
        groups: Vec<String>,
    },
}

/// Which daemon, how printed.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// The daemon's socket.
    #[arg(long, default_value = "/run/interlock/messaging.sock")]
    socket: PathBuf,
    /// How to print.
    #[arg(long, short = 'o', value_enum, default_value = "text")]
    output_as: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Does what was asked.
pub(crate) fn main(verb: Verb) -> ExitCode {
    let result = match verb {
        Verb::Daemon { config, node } => return daemon(&config, node.as_deref()),
        Verb::Check { config, node } => return check(&config, node.as_deref()),
        Verb::Import { file } => return import(&file),
        Verb::Init(arguments) => return init::main(&arguments),
        Verb::Status(place) => ask(&place, Do::Status),
        Verb::Members(place) => ask_status(&place, print::members),
        Verb::Quorum(place) => ask_status(&place, |status| print::quorum(&status.quorum)),
        Verb::Links(place) => ask(&place, Do::Links),
        Verb::Stats(place) => ask(&place, Do::Stats),
        Verb::Groups(place) => ask(&place, Do::Groups),
        Verb::Node(verb) => return change::main(verb),
        Verb::Send {
            place,
            safe,
            group,
            message,
        } => send(&place, safe, &group, &message),
        Verb::Follow {
            place,
            count,
            groups,
        } => follow(&place, count, &groups),
    };
    result.unwrap_or_else(|error| {
        eprintln!("local-stack: {error}");
        ExitCode::from(match error {
            Error::Connect { .. } => EXIT_NOT_CONNECTED,
            _ => 1,
        })
    })
}

fn load(path: &Path, node: Option<&str>) -> Result<Config, ExitCode> {
    Config::load(path, node).map_err(|error| {
        eprintln!("{error}");
        ExitCode::from(EXIT_CONFIG)
    })
}

fn check(path: &Path, node: Option<&str>) -> ExitCode {
    match load(path, node) {
        Ok(config) => {
            println!(
                "{}: {} nodes on {} networks",
                path.display(),
                config.nodes.len(),
                config.network.len()
            );
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn import(file: &Path) -> ExitCode {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("local-stack: {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    };
    let imported = messaging::import::corosync(&text);
    for note in &imported.notes {
        eprintln!("{}:{note}", file.display());
    }
    for error in &imported.errors {
        eprintln!("{}:error: {error}", file.display());
    }
    print!("{}", imported.text);
    ExitCode::from(if imported.errors.is_empty() {
        0
    } else {
        EXIT_CONFIG
    })
}

fn daemon(path: &Path, node: Option<&str>) -> ExitCode {
    crate::cli::log_to_stderr();
    let config = match load(path, node) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let ready = || {
        let state = [sd_notify::NotifyState::Ready];
        // Without systemd nobody listens.
        let _ = sd_notify::notify(&state);
    };
    match messaging::run(config, ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local-stack: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(place: &Where, what: Do) -> Result<ExitCode, Error> {
    let answer = Client::connect(&place.socket)?.ask(what)?;
    if place.output_as == Output::Json {
        println!("{}", serde_json::to_string(&answer).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    match &answer {
        Answer::Status(status) => print!("{}", print::status(status)),
        Answer::Links(links) => print!("{}", print::links(links)),
        Answer::Stats(keys) | Answer::Keys(keys) => print!("{}", print::keys(keys)),
        Answer::Groups(groups) => print!("{}", print::groups(groups)),
        Answer::Done { .. } | Answer::Updated { .. } => {}
    }
    Ok(match answer {
        Answer::Links(links) if links.iter().any(|link| link.state == LinkState::Silent) => {
            ExitCode::from(1)
        }
        _ => ExitCode::SUCCESS,
    })
}

fn ask_status(place: &Where, text: impl FnOnce(&Status) -> String) -> Result<ExitCode, Error> {
    let Answer::Status(status) = Client::connect(&place.socket)?.ask(Do::Status)? else {
        return Err(Error::Words("a status was expected".to_owned()));
    };
    match place.output_as {
        Output::Json => println!("{}", serde_json::to_string(&status).unwrap_or_default()),
        Output::Text => print!("{}", text(&status)),
    }
    Ok(exit_of(&status.quorum))
}

fn exit_of(quorum: &Quorum) -> ExitCode {
    ExitCode::from(if quorum.quorate { 0 } else { EXIT_NO_QUORUM })
}

fn send(place: &Where, safe: bool, group: &str, message: &str) -> Result<ExitCode, Error> {
    let guarantee = if safe {
        Guarantee::Safe
    } else {
        Guarantee::Agreed
    };
    let mut client = Client::connect(&place.socket)?;
    if message == "-" {
        for line in std::io::stdin().lines() {
            client.send(group, guarantee, line.map_err(Error::Broken)?.as_bytes())?;
        }
    } else {
        client.send(group, guarantee, message.as_bytes())?;
    }
    // An answer comes after everything before it was taken.
    client.ask(Do::Status)?;
    Ok(ExitCode::SUCCESS)
}

fn follow(place: &Where, count: Option<u64>, groups: &[String]) -> Result<ExitCode, Error> {
    let mut client = Client::connect(&place.socket)?;
    client.ask(Do::Follow)?;
    for group in groups {
        client.join(group)?;
    }
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        // None only with a limit of time, and there is none.
        let Some(event) = client.next(Some(Duration::from_secs(3_600)))? else {
            continue;
        };
        left -= u64::from(matches!(event, Event::Message { .. }));
        match event {
            Event::Message { group, from, bytes } if place.output_as == Output::Json => {
                let text = String::from_utf8_lossy(&bytes);
                let line = serde_json::json!({"message": {"group": group, "node": from.node, "client": from.client, "text": text}});
                println!("{line}");
            }
            Event::Message { group, from, bytes } => {
                println!(
                    "{group} {}.{}: {}",
                    from.node,
                    from.client,
                    String::from_utf8_lossy(&bytes)
                );
            }
            Event::Notice(notice) if place.output_as == Output::Json => {
                println!("{}", serde_json::to_string(&notice).unwrap_or_default());
            }
            Event::Notice(notice) => print_notice(&notice),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_notice(notice: &Notice) {
    match notice {
        Notice::Members(group) => {
            println!("# {} members: {}", group.name, print::members_of(group))
        }
        Notice::View { view, members } => println!("# view {view}: nodes {members:?}"),
        Notice::Transitional { members } => {
            println!("# the view ends, these go on together: {members:?}")
        }
        Notice::Quorum(quorum) => print!("# {}", print::quorum(quorum)),
        Notice::Changed {
            key,
            value,
            version,
        } => println!("# {key} = {value:?} ({version})"),
        Notice::Closing { why } => println!("# closed: {why}"),
    }
}
