//! `messaging.toml`: the nodes of a site, their networks, and how they decide.
//!
//! ```toml
//! cluster = "shop"
//! node = "b1"                       # this machine; or give it on the command line
//! pki = "/etc/interlock/pki"        # ca.crt, b1.crt, b1.key
//! preset = "lan"                    # or "stretched": timings for nodes that are apart
//! mode = "passive"                  # or "active": every network carries everything
//!
//! [[network]]
//! name = "front"
//! [[network]]
//! name = "back"
//! priority = 2                      # the greatest that works is used
//! mtu = 9000
//!
//! [[nodes]]
//! name = "b1"
//! id = 1
//! addresses = ["10.0.0.1", "10.1.0.1"]   # one for each network, in their order
//!
//! [quorum]
//! wait-for-all = true
//! device = { cluster = "geo", arbitrator = "arb", address = "a.example:9929", pki = "/etc/interlock/geo" }
//! ```
//! A key that is not known is an error. Every node can read the same file; only `node` differs.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use membership::{NodeId, QuorumConfig};
use serde::Deserialize;
use thiserror::Error;

use crate::path::Mode;

/// UDP port of the QUIC link; the next one is for sealed datagrams.
pub const DEFAULT_PORT: u16 = 9_930;
/// Most networks between two nodes.
pub const NETWORKS_MAX: usize = 8;
/// Most nodes of a site: what the simulator has shown.
pub const NODES_MAX: usize = 32;
/// Ethernet's.
const MTU: usize = 1_500;
/// Least of IPv6 (RFC 8200, section 5).
const MTU_MIN: usize = 1_280;
const MTU_MAX: usize = 9_216;
/// IPv6 and UDP headers.
const HEADERS_BYTES: usize = 48;
/// The role of a site's nodes in their certificates.
pub const ROLE: &str = "node";

/// A configuration that cannot be used. Nothing was started.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not what it should be: each fault with its place or what to write instead.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
}

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The cluster's name, which certificates carry.
    pub cluster: String,
    /// This node.
    #[serde(default)]
    pub node: String,
    /// Directory of the certificates.
    #[serde(default = "default_pki")]
    pub pki: PathBuf,
    /// The socket for applications.
    #[serde(default = "default_socket")]
    pub socket: PathBuf,
    /// Directory of durable keys of the store.
    #[serde(default = "default_state")]
    pub state: PathBuf,
    /// Port of the link; the next one is used as well.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Timings.
    #[serde(default)]
    pub preset: Preset,
    /// Silence in milliseconds after which a node is suspected, instead of the preset's.
    #[serde(default)]
    pub suspect_after_ms: Option<u64>,
    /// How several networks are used.
    #[serde(default = "default_mode")]
    pub mode: Mode,
    /// The networks; one without a name's worth if there are none.
    #[serde(default)]
    pub network: Vec<Network>,
    /// All nodes, this one included.
    pub nodes: Vec<NodeConfig>,
    /// How it is decided who may act.
    #[serde(default)]
    pub quorum: QuorumTable,
}

/// Timings by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Nodes of one building.
    #[default]
    Lan,
    /// Nodes that are apart.
    Stretched,
}

/// One network.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The greatest that works is used.
    #[serde(default = "default_priority")]
    pub priority: u8,
    /// Longest packet in bytes.
    #[serde(default = "default_mtu")]
    pub mtu: usize,
}

/// One node.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeConfig {
    /// Its name, as in its certificate.
    pub name: String,
    /// Its number, which decides ties; never given to another node.
    pub id: u32,
    /// Its address in each network, in their order.
    pub addresses: Vec<IpAddr>,
    /// Its votes.
    #[serde(default = "default_votes")]
    pub votes: u32,
}

/// Quorum, in the words of votequorum(5) with dashes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct QuorumTable {
    /// Instead of the sum of all votes.
    pub expected_votes: Option<u32>,
    /// One of two nodes is enough; needs fencing.
    #[serde(default)]
    pub two_node: bool,
    /// Not before all were there once. `two-node` implies it.
    #[serde(default)]
    pub wait_for_all: bool,
    /// Of two halves the one with the lowest node.
    #[serde(default)]
    pub auto_tie_breaker: bool,
    /// Expected votes follow the view down.
    #[serde(default)]
    pub last_man_standing: bool,
    /// After this long.
    pub last_man_standing_window_ms: Option<u64>,
    /// A quorum device, with one vote.
    pub device: Option<DeviceTable>,
}

/// An arbitrator of the geo cluster that is quorum device for this site: `[device.SITE]` in its
/// `interlock.toml` names these nodes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeviceTable {
    /// The geo cluster's name.
    pub cluster: String,
    /// The arbitrator's name there.
    pub arbitrator: String,
    /// Where it is, as `HOST:PORT`.
    pub address: String,
    /// Directory of this node's certificate of the geo cluster, of role `node`: ca.crt, NAME.crt,
    /// NAME.key.
    pub pki: PathBuf,
}

fn default_pki() -> PathBuf {
    "/etc/interlock/pki".into()
}
fn default_socket() -> PathBuf {
    "/run/interlock/messaging.sock".into()
}
fn default_state() -> PathBuf {
    "/var/lib/interlock/messaging".into()
}
const fn default_port() -> u16 {
    DEFAULT_PORT
}
const fn default_mode() -> Mode {
    Mode::Passive
}
const fn default_priority() -> u8 {
    1
}
const fn default_mtu() -> usize {
    MTU
}
const fn default_votes() -> u32 {
    1
}

impl Config {
    /// Reads and checks a file. `node` goes before what the file says.
    ///
    /// # Errors
    /// [`ConfigError`]; reading has no effect.
    pub fn load(path: &Path, node: Option<&str>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string(), node)
    }

    /// The same for a text; `name` is what it is called in errors.
    ///
    /// # Errors
    /// [`ConfigError::Faults`].
    pub fn parse(text: &str, name: &str, node: Option<&str>) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let (line, column) = error.span().map_or((1, 1), |span| place(text, span.start));
            ConfigError::Faults(vec![format!("{name}:{line}:{column}: {}", error.message())])
        })?;
        if let Some(node) = node {
            node.clone_into(&mut config.node);
        }
        if config.network.is_empty() {
            config.network.push(Network {
                name: "net".to_owned(),
                priority: default_priority(),
                mtu: default_mtu(),
            });
        }
        let faults = config.faults();
        if faults.is_empty() {
            Ok(config)
        } else {
            let named = faults.iter().map(|fault| format!("{name}: {fault}"));
            Err(ConfigError::Faults(named.collect()))
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !(1..=NETWORKS_MAX).contains(&self.network.len()) {
            faults.push(format!(
                "{} networks: there may be 1 to {NETWORKS_MAX}",
                self.network.len()
            ));
        }
        if !(1..=NODES_MAX).contains(&self.nodes.len()) {
            faults.push(format!(
                "{} nodes: there may be 1 to {NODES_MAX}",
                self.nodes.len()
            ));
        }
        for network in &self.network {
            if !(MTU_MIN..=MTU_MAX).contains(&network.mtu) {
                faults.push(format!(
                    "network {}: mtu {} is not between {MTU_MIN} and {MTU_MAX}",
                    network.name, network.mtu
                ));
            }
        }
        for (at, node) in self.nodes.iter().enumerate() {
            if node.addresses.len() != self.network.len() {
                faults.push(format!(
                    "node {} has {} addresses for {} networks: write one for each",
                    node.name,
                    node.addresses.len(),
                    self.network.len()
                ));
            }
            for other in &self.nodes[..at] {
                if other.name == node.name || other.id == node.id {
                    faults.push(format!(
                        "nodes {} ({}) and {} ({}): names and ids are used once",
                        other.name, other.id, node.name, node.id
                    ));
                }
                if let Some(shared) = node
                    .addresses
                    .iter()
                    .find(|one| other.addresses.contains(one))
                {
                    faults.push(format!(
                        "{shared} is an address of {} and of {}",
                        other.name, node.name
                    ));
                }
            }
        }
        if self.me().is_none() {
            faults.push(if self.node.is_empty() {
                "which node is this machine? write node = \"NAME\", or give --node".to_owned()
            } else {
                format!("node {:?} is not among the nodes", self.node)
            });
        }
        if self.port == 0 || self.port == u16::MAX {
            faults.push(format!(
                "port {}: write 1 to 65534, the next one is used too",
                self.port
            ));
        }
        faults.extend(self.quorum().faults());
        faults
    }

    /// This node.
    pub fn me(&self) -> Option<&NodeConfig> {
        self.nodes.iter().find(|node| node.name == self.node)
    }

    /// The node of that number.
    pub fn by_id(&self, id: NodeId) -> Option<&NodeConfig> {
        self.nodes.iter().find(|node| node.id == id.0)
    }

    /// Where a node's link is in a network.
    pub fn link_address(&self, node: &NodeConfig, network: usize) -> SocketAddr {
        SocketAddr::new(node.addresses[network], self.port)
    }

    /// Where a node takes sealed datagrams.
    pub fn data_address(&self, node: &NodeConfig, network: usize) -> SocketAddr {
        SocketAddr::new(node.addresses[network], self.port + 1)
    }

    /// Bytes of a whole datagram of a network.
    pub fn datagram_bytes(&self, network: usize) -> usize {
        self.network[network].mtu - HEADERS_BYTES
    }

    /// For the membership core.
    pub fn core(&self, me: NodeId) -> membership::Config {
        let nodes = self.nodes.iter().map(|node| NodeId(node.id)).collect();
        let mut core = match self.preset {
            Preset::Lan => membership::Config::lan(me, nodes),
            Preset::Stretched => membership::Config::stretched(me, nodes),
        };
        if let Some(ms) = self.suspect_after_ms {
            core.suspect_after = Duration::from_millis(ms.max(20));
            core.heartbeat_every = core.suspect_after / 5;
        }
        core
    }

    /// For the quorum.
    pub fn quorum(&self) -> QuorumConfig {
        let window = self.quorum.last_man_standing_window_ms.unwrap_or(10_000);
        QuorumConfig {
            votes: self
                .nodes
                .iter()
                .map(|node| (NodeId(node.id), node.votes))
                .collect(),
            expected_votes: self.quorum.expected_votes,
            two_node: self.quorum.two_node,
            wait_for_all: self.quorum.wait_for_all,
            auto_tie_breaker: self.quorum.auto_tie_breaker,
            last_man_standing: self
                .quorum
                .last_man_standing
                .then(|| Duration::from_millis(window)),
            device_votes: u32::from(self.quorum.device.is_some()),
        }
    }
}

/// Line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "cluster = \"shop\"\nnode = \"b1\"\n[[nodes]]\nname = \"b1\"\nid = 1\n\
                        addresses = [\"10.0.0.1\"]\n[[nodes]]\nname = \"b2\"\nid = 2\naddresses = [\"10.0.0.2\"]\n";

    fn faults(text: &str) -> String {
        Config::parse(text, "m.toml", None)
            .expect_err("it is wrong")
            .to_string()
    }

    #[test]
    fn a_small_one_has_every_default() {
        let config = Config::parse(GOOD, "m.toml", None).unwrap();
        assert_eq!(config.datagram_bytes(0), 1_452);
        assert_eq!(
            config.data_address(&config.nodes[1], 0).to_string(),
            "10.0.0.2:9931"
        );
        let other = Config::parse(GOOD, "m.toml", Some("b2")).unwrap();
        assert_eq!(other.me().map(|node| node.id), Some(2));
    }

    #[test]
    fn faults_say_where_and_what_instead() {
        assert!(faults("cluster = \"s\"\nnodes = []\nport = x").starts_with("m.toml:3:"));
        let typo = faults(&GOOD.replace("addresses = [\"10.0.0.2\"]", "adresses = [\"10.0.0.2\"]"));
        assert!(
            typo.contains("m.toml:10:1") && typo.contains("adresses"),
            "{typo}"
        );
        assert!(faults(&GOOD.replace("id = 2", "id = 1")).contains("used once"));
        assert!(
            faults(&GOOD.replace("10.0.0.2", "10.0.0.1")).contains("an address of b1 and of b2")
        );
        assert!(faults(&GOOD.replace("node = \"b1\"", "node = \"b9\"")).contains("b9"));
        let two = format!("{GOOD}[[network]]\nname = \"a\"\n[[network]]\nname = \"b\"\n");
        assert!(faults(&two).contains("1 addresses for 2 networks"));
        let tie = format!("{GOOD}[quorum]\ntwo-node = true\nauto-tie-breaker = true\n");
        assert!(faults(&tie).contains("exclude each other"));
        let device =
            "device = { cluster = \"geo\", arbitrator = \"arb\", address = \"a:1\", pki = \"/x\" }";
        let two = format!("{GOOD}[quorum]\ntwo-node = true\n{device}\n");
        assert!(faults(&two).contains("exclude each other"));
        let good = Config::parse(&format!("{GOOD}[quorum]\n{device}\n"), "m.toml", None).unwrap();
        assert_eq!(good.quorum().device_votes, 1);
        let typo = faults(&format!(
            "{GOOD}[quorum]\n{}\n",
            device.replace("pki", "pkl")
        ));
        assert!(typo.contains("pkl"), "{typo}");
    }
}
