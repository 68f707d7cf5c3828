//! A site's configuration from one command: authority, certificates, one directory per node.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use link::{Identity, ca};
use messaging::{Config, ROLE};

/// Where a node finds its files.
pub(super) const TARGET: &str = "/etc/interlock";

/// What to make.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The cluster's name.
    #[arg(long)]
    cluster: String,
    /// A node and its addresses, one for each network: NAME=ADDRESS,ADDRESS ...
    #[arg(long = "node", required = true, value_parser = parse_node)]
    nodes: Vec<(String, Vec<IpAddr>)>,
    /// Where to write; each node gets a directory of its own there. The authority's key stays.
    #[arg(long)]
    dir: PathBuf,
    /// Copy each directory to its node with this command, called as COMMAND DIR/. NODE:/etc/interlock
    /// (`scp -rp` for example).
    #[arg(long)]
    hand_out_with: Option<String>,
}

pub(super) fn parse_node(text: &str) -> Result<(String, Vec<IpAddr>), String> {
    let (name, addresses) = text
        .split_once('=')
        .ok_or("write NAME=ADDRESS, as in b1=10.0.0.1")?;
    let addresses: Result<_, String> = addresses
        .split(',')
        .map(|one| one.parse().map_err(|error| format!("{one}: {error}")))
        .collect();
    Ok((name.to_owned(), addresses?))
}

/// Makes it, and says what to do next.
pub(super) fn main(arguments: &Arguments) -> ExitCode {
    match make(arguments) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("local-stack: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(arguments: &Arguments) -> Result<String, String> {
    let text = configuration(arguments);
    // Checked as every node will: nothing is written if it is wrong.
    for (name, _) in &arguments.nodes {
        Config::parse(&text, "the configuration", Some(name)).map_err(|error| error.to_string())?;
    }
    let authority = ca::Ca::create(&arguments.cluster).map_err(|error| error.to_string())?;
    fs::create_dir_all(&arguments.dir)
        .map_err(|error| format!("{}: {error}", arguments.dir.display()))?;
    authority
        .save(&arguments.dir)
        .map_err(|error| error.to_string())?;
    let mut told = String::new();
    for (name, _) in &arguments.nodes {
        let place = arguments.dir.join(name);
        write_node(&arguments.cluster, &authority, &place, name, &text)?;
        let trusted = place.join("pki").join(ca::CA_CERTIFICATE);
        fs::copy(arguments.dir.join(ca::CA_CERTIFICATE), &trusted)
            .map_err(|error| format!("{}: {error}", trusted.display()))?;
        let _ = writeln!(told, "{}: for {TARGET} of {name}", place.display());
    }
    if let Some(command) = &arguments.hand_out_with {
        for (name, _) in &arguments.nodes {
            hand_out(command, &arguments.dir.join(name), name)?;
            let _ = writeln!(told, "copied to {name}:{TARGET}");
        }
    }
    let _ = writeln!(
        told,
        "{} is needed only to issue certificates: keep it elsewhere",
        arguments.dir.join(ca::CA_KEY).display()
    );
    Ok(told)
}

fn configuration(arguments: &Arguments) -> String {
    let mut text = format!("cluster = {:?}\n", arguments.cluster);
    let networks = arguments
        .nodes
        .first()
        .map_or(0, |(_, addresses)| addresses.len());
    for network in 1..=networks {
        let _ = write!(text, "\n[[network]]\nname = \"net{network}\"\n");
    }
    for (id, (name, addresses)) in arguments.nodes.iter().enumerate() {
        let addresses: Vec<String> = addresses.iter().map(|one| format!("\"{one}\"")).collect();
        let _ = write!(
            text,
            "\n[[nodes]]\nname = {name:?}\nid = {}\naddresses = [{}]\n",
            id + 1,
            addresses.join(", ")
        );
    }
    text
}

pub(super) fn write_node(
    cluster: &str,
    authority: &ca::Ca,
    place: &Path,
    name: &str,
    text: &str,
) -> Result<(), String> {
    let pki = place.join("pki");
    let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", place.display());
    let identity = Identity::new(cluster, ROLE, name).map_err(|error| fault(&error))?;
    let issued = authority
        .issue(&identity, ca::MEMBER_VALIDITY)
        .map_err(|error| fault(&error))?;
    fs::create_dir_all(&pki).map_err(|error| fault(&error))?;
    issued.save(&pki).map_err(|error| fault(&error))?;
    let text = format!("node = {name:?}\n{text}");
    fs::write(place.join("messaging.toml"), text).map_err(|error| fault(&error))
}

fn hand_out(command: &str, from: &Path, name: &str) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("an empty command to hand out with")?;
    let status = Command::new(program)
        .args(words)
        .arg(from.join("."))
        .arg(format!("{name}:{TARGET}"))
        .status()
        .map_err(|error| format!("{program}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!(
            "{program} for {name} ended with {status}; the files stay in {}",
            from.display()
        ))
    }
}
