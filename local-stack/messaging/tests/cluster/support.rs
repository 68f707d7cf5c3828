//! A site on loopback: keys, configurations, daemons, and questions to them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use link::{Identity, ca};
use messaging::{Config, Daemon, ROLE};
use stack_client::words::{Answer, Do, Status};
use stack_client::{Client, Event};
use tempfile::TempDir;

/// Everything has happened by then, or never will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Site {
    pub(crate) directory: TempDir,
    /// Distinguishes the tests' addresses.
    number: u8,
    nodes: u8,
}

impl Site {
    pub(crate) fn new(number: u8, nodes: u8) -> Self {
        let site = Self {
            directory: tempfile::tempdir().unwrap(),
            number,
            nodes,
        };
        let authority = ca::Ca::create("shop").unwrap();
        authority.save(site.directory.path()).unwrap();
        for node in 1..=nodes {
            let identity = Identity::new("shop", ROLE, &format!("n{node}")).unwrap();
            let issued = authority.issue(&identity, ca::MEMBER_VALIDITY).unwrap();
            std::fs::create_dir(site.pki(node)).unwrap();
            issued.save(&site.pki(node)).unwrap();
            let certificate = site.directory.path().join(ca::CA_CERTIFICATE);
            std::fs::copy(certificate, site.pki(node).join(ca::CA_CERTIFICATE)).unwrap();
        }
        site
    }

    pub(crate) fn pki(&self, node: u8) -> PathBuf {
        self.directory.path().join(format!("pki{node}"))
    }

    pub(crate) fn state(&self, node: u8) -> PathBuf {
        self.directory.path().join(format!("state{node}"))
    }

    pub(crate) fn socket(&self, node: u8) -> PathBuf {
        self.directory.path().join(format!("{node}.sock"))
    }

    /// The configuration of a node, with all nodes.
    pub(crate) fn config(&self, node: u8) -> Config {
        self.config_of(node, self.nodes)
    }

    /// The same with the first `listed` nodes only.
    pub(crate) fn config_of(&self, node: u8, listed: u8) -> Config {
        let path = |path: &Path| path.display().to_string();
        let mut text = format!(
            "cluster = 'shop'\nnode = 'n{node}'\npki = '{}'\nsocket = '{}'\nstate = '{}'\n\
             suspect-after-ms = 2000\n[[network]]\nname = 'front'\n[[network]]\nname = 'back'\npriority = 2\n",
            path(&self.pki(node)),
            path(&self.socket(node)),
            path(&self.state(node)),
        );
        for node in 1..=listed {
            let number = self.number;
            text += &format!(
                "[[nodes]]\nname = 'n{node}'\nid = {node}\naddresses = ['127.{number}.1.{node}', '127.{number}.2.{node}']\n"
            );
        }
        Config::parse(&text, "test.toml", None).unwrap()
    }

    pub(crate) fn start(&self, node: u8) -> Daemon {
        Daemon::start(self.config(node)).unwrap()
    }

    pub(crate) fn client(&self, node: u8) -> Client {
        Client::connect(&self.socket(node)).unwrap()
    }
}

pub(crate) fn status(client: &mut Client) -> Status {
    match client.ask(Do::Status).unwrap() {
        Answer::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn together(client: &mut Client, nodes: usize) {
    eventually("all are in one view", || {
        let status = status(client);
        let whole = status.in_force && status.quorum.quorate;
        whole && status.nodes.iter().filter(|node| node.member).count() == nodes
    });
}

/// The next messages to `group`, as (node, bytes).
pub(crate) fn messages(client: &mut Client, group: &str, count: usize) -> Vec<(u32, Vec<u8>)> {
    let mut found = Vec::new();
    while found.len() < count {
        let Some(event) = client.next(Some(PATIENCE)).unwrap() else {
            let stats = client.ask(Do::Stats);
            panic!(
                "{} of {count} came; {stats:?} {:?}",
                found.len(),
                status(client)
            );
        };
        if let Event::Message {
            group: to,
            from,
            bytes,
        } = event
            && to == group
        {
            found.push((from.node, bytes));
        }
    }
    found
}
