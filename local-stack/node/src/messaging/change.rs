//! Nodes that come, go and move while the site runs, and certificates for them.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use link::ca;
use messaging::{Config, Mode, Preset};
use stack_client::words::{Answer, Do, NodeChange, NodeState};
use stack_client::{Client, Error};

use super::init::{TARGET, parse_node, write_node};
use super::{EXIT_NOT_CONNECTED, Where};

/// What becomes of a node.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Add a node; it may be started afterwards.
    Add {
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        files: Files,
        /// Its name and its addresses, one for each network: NAME=ADDRESS,ADDRESS ...
        #[arg(value_parser = parse_node)]
        node: (String, Vec<IpAddr>),
    },
    /// Remove a node: its connections are closed, and its certificate opens nothing any more.
    Remove {
        #[command(flatten)]
        place: Where,
        /// Its name.
        node: String,
    },
    /// Give a node other addresses; if it is there, it starts again on them by itself.
    Address {
        #[command(flatten)]
        place: Where,
        /// Its name and its addresses, one for each network: NAME=ADDRESS,ADDRESS ...
        #[arg(value_parser = parse_node)]
        node: (String, Vec<IpAddr>),
    },
    /// Issue a new certificate for a node, and write its files. Once they are in place, SIGHUP has
    /// its daemon read them; nothing is restarted.
    Certificate {
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        files: Files,
        /// Its name.
        node: String,
    },
}

/// Where a node's files are made of what.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The directory of the authority, as `messaging init` made it: the node's certificate, key and
    /// configuration go to DIR/NAME.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The configuration of this node: what the new one has in common with it.
    #[arg(long, default_value = "/etc/interlock/messaging.toml")]
    config: PathBuf,
}

/// Does it.
pub(super) fn main(verb: Verb) -> ExitCode {
    match change(verb) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err((code, why)) => {
            eprintln!("local-stack: {why}");
            ExitCode::from(code)
        }
    }
}

type Failure = (u8, String);

fn failed(error: &Error) -> Failure {
    let code = match error {
        Error::Connect { .. } => EXIT_NOT_CONNECTED,
        _ => 1,
    };
    (code, error.to_string())
}

fn change(verb: Verb) -> Result<String, Failure> {
    match verb {
        Verb::Add { place, files, node } => {
            let (name, addresses) = node;
            let add = NodeChange::Add {
                name: name.clone(),
                addresses,
            };
            let mut text = asked(&place, add)?;
            if files.dir.is_some() {
                text += &write_files(&place, &files, &name)?;
            }
            Ok(text)
        }
        Verb::Remove { place, node } => asked(&place, NodeChange::Remove { name: node }),
        Verb::Address { place, node } => {
            let (name, addresses) = node;
            asked(&place, NodeChange::Move { name, addresses })
        }
        Verb::Certificate { place, files, node } => write_files(&place, &files, &node),
    }
}

fn asked(place: &Where, change: NodeChange) -> Result<String, Failure> {
    let mut client = Client::connect(&place.socket).map_err(|error| failed(&error))?;
    match client
        .ask(Do::Node(change))
        .map_err(|error| failed(&error))?
    {
        Answer::Updated { version } => Ok(format!(
            "done, at every node of the view (version {version})\n"
        )),
        other => Err((1, format!("an answer that is not understood: {other:?}"))),
    }
}

/// Certificate, key and configuration of a node, from the authority and from what the site is now.
fn write_files(place: &Where, files: &Files, name: &str) -> Result<String, Failure> {
    let plain = |error: &dyn std::fmt::Display| (1, error.to_string());
    let Some(dir) = &files.dir else {
        return Err((1, "where is the authority? give --dir".to_owned()));
    };
    let mut client = Client::connect(&place.socket).map_err(|error| failed(&error))?;
    let Answer::Status(status) = client.ask(Do::Status).map_err(|error| failed(&error))? else {
        return Err((1, "a status was expected".to_owned()));
    };
    let here = Config::load(&files.config, Some(&status.node)).map_err(|error| plain(&error))?;
    let text = configuration(&here, &status.nodes);
    // Checked as the node will: nothing is written if it is wrong.
    Config::parse(&text, "its configuration", Some(name)).map_err(|error| plain(&error))?;
    let authority = ca::Ca::load(dir).map_err(|error| plain(&error))?;
    let target = dir.join(name);
    set_aside(&target, name).map_err(|error| plain(&error))?;
    write_node(&status.cluster, &authority, &target, name, &text).map_err(|error| plain(&error))?;
    let trusted = target.join("pki").join(ca::CA_CERTIFICATE);
    fs::copy(dir.join(ca::CA_CERTIFICATE), &trusted)
        .map_err(|error| plain(&format!("{}: {error}", trusted.display())))?;
    Ok(format!("{}: for {TARGET} of {name}\n", target.display()))
}

/// An earlier certificate and its key make room, and are kept beside the new ones.
fn set_aside(target: &Path, name: &str) -> std::io::Result<()> {
    for file in [ca::certificate_file(name), ca::key_file(name)] {
        let path = target.join("pki").join(&file);
        if path.exists() {
            fs::rename(&path, target.join("pki").join(format!("{file}.old")))?;
        }
    }
    Ok(())
}

/// The site's configuration as text, without saying which node it is for.
fn configuration(here: &Config, nodes: &[NodeState]) -> String {
    let mut text = format!("cluster = {:?}\nport = {}\n", here.cluster, here.port);
    if here.preset == Preset::Stretched {
        text += "preset = \"stretched\"\n";
    }
    if here.mode == Mode::Active {
        text += "mode = \"active\"\n";
    }
    if let Some(ms) = here.suspect_after_ms {
        let _ = writeln!(text, "suspect-after-ms = {ms}");
    }
    for network in &here.network {
        let _ = write!(
            text,
            "\n[[network]]\nname = {:?}\npriority = {}\nmtu = {}\n",
            network.name, network.priority, network.mtu
        );
    }
    for node in nodes {
        let addresses: Vec<String> = node
            .addresses
            .iter()
            .map(|one| format!("\"{one}\""))
            .collect();
        let _ = write!(
            text,
            "\n[[nodes]]\nname = {:?}\nid = {}\naddresses = [{}]\nvotes = {}\n",
            node.name,
            node.id,
            addresses.join(", "),
            node.votes
        );
    }
    text + &quorum(here, nodes.len())
}

fn quorum(here: &Config, nodes: usize) -> String {
    let quorum = &here.quorum;
    let mut text = "\n[quorum]\n".to_owned();
    for (name, set) in [
        ("two-node", quorum.two_node && nodes == 2),
        ("wait-for-all", quorum.wait_for_all),
        ("auto-tie-breaker", quorum.auto_tie_breaker),
        ("last-man-standing", quorum.last_man_standing),
    ] {
        if set {
            let _ = writeln!(text, "{name} = true");
        }
    }
    if let Some(votes) = quorum.expected_votes {
        let _ = writeln!(text, "expected-votes = {votes}");
    }
    if let Some(ms) = quorum.last_man_standing_window_ms {
        let _ = writeln!(text, "last-man-standing-window-ms = {ms}");
    }
    text
}
