//! What a link costs while nothing happens: one process with two peers, as an arbitrator has
//! them, one of which renews its lease every few seconds.
//!
//! ```text
//! cargo run --release -p link --example idle -- [seconds] [renewal period in ms]
//! ```
//!
//! Prints the resident memory and the voluntary context switches per second of the middle one.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use link::ca::{Ca, MEMBER_VALIDITY};
use link::{Credentials, Event, Identity, Link, LinkConfig, Peer, Pki};

type Outcome<T> = Result<T, Box<dyn Error>>;

const MEMBERS: [(&str, &str, &str); 3] = [
    ("arb", "arbitrator", "127.0.0.1:19929"),
    ("berlin", "site", "127.0.0.1:19930"),
    ("paris", "site", "127.0.0.1:19931"),
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("member") => member(
            &arguments[1],
            Path::new(&arguments[2]),
            arguments[3].parse()?,
        ),
        first => {
            let seconds = first.map_or(Ok(20), str::parse)?;
            let period = arguments.get(1).map_or(Ok(6_000), |ms| ms.parse())?;
            measure(seconds, period)
        }
    }
}

fn measure(seconds: u64, period_ms: u64) -> Outcome<()> {
    let pki = tempfile::tempdir()?;
    let ca = Ca::create("shop")?;
    ca.save(pki.path())?;
    let mut children = Vec::new();
    for (name, role, _) in MEMBERS {
        ca.issue(&Identity::new("shop", role, name)?, MEMBER_VALIDITY)?
            .save(pki.path())?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["member", name])
            .arg(pki.path())
            .arg(period_ms.to_string());
        children.push(command.spawn()?);
    }
    // Handshakes and the retired crossing connections are over by then.
    std::thread::sleep(Duration::from_secs(5));
    for child in &children {
        println!("{}", line(child, "VmRSS:")?);
    }
    let before: Vec<u64> = children.iter().map(switches).collect::<Outcome<_>>()?;
    std::thread::sleep(Duration::from_secs(seconds));
    for ((child, before), (name, _, _)) in children.iter().zip(before).zip(MEMBERS) {
        let rate = (switches(child)? - before) as f64 / seconds as f64;
        println!(
            "{name}: {rate:.2} voluntary switches/s, {}",
            line(child, "VmRSS:")?
        );
    }
    for child in &mut children {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

fn line(child: &Child, key: &str) -> Outcome<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    Ok(status
        .lines()
        .find(|l| l.starts_with(key))
        .ok_or("no such line")?
        .to_owned())
}

/// Over all threads of the process.
fn switches(child: &Child) -> Outcome<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{}/task", child.id()))? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        let line = status
            .lines()
            .find(|l| l.starts_with("voluntary_ctxt"))
            .ok_or("no line")?;
        sum += line
            .split_whitespace()
            .last()
            .ok_or("no number")?
            .parse::<u64>()?;
    }
    Ok(sum)
}

fn member(name: &str, pki: &Path, period_ms: u64) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (_, role, listen) = *MEMBERS
        .iter()
        .find(|m| m.0 == name)
        .ok_or("no such member")?;
    let me = Identity::new("shop", role, name)?;
    let credentials = Credentials::load(&Pki::in_directory(pki, name), &me)?;
    let peers = MEMBERS.iter().filter(|m| m.0 != name).map(|m| Peer {
        name: m.0.to_owned(),
        role: m.1.to_owned(),
        addresses: vec![m.2.to_owned()],
    });
    let listen: SocketAddr = listen.parse()?;
    let config = LinkConfig::new(credentials, vec![listen], peers.collect());
    runtime.block_on(async {
        let (link, mut events) = Link::bind(config).await?;
        let renewing = name == "berlin";
        let mut renewal = tokio::time::interval(Duration::from_millis(period_ms));
        loop {
            tokio::select! {
                event = events.recv() => {
                    if let Event::Message { from, bytes } = event
                        && !renewing
                    {
                        let _ = link.send(&from, &bytes);
                    }
                }
                _ = renewal.tick(), if renewing => {
                    let _ = link.send("arb", &[7; 120]);
                    let _ = link.send("paris", &[7; 120]);
                }
            }
        }
    })
}
