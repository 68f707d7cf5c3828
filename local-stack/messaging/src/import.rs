//! `corosync.conf` into `messaging.toml`, with a report of every line: taken, not needed, obsolete, or
//! wrong.

use std::fmt::Write as _;
use std::net::IpAddr;

/// What became of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The new configuration, if nothing is wrong.
    pub text: String,
    /// What was taken, is not needed, or is obsolete: `LINE: what`.
    pub notes: Vec<String>,
    /// What is wrong; then the text must not be used.
    pub errors: Vec<String>,
}

#[derive(Debug)]
enum Item {
    Key {
        line: usize,
        key: String,
        value: String,
    },
    Block {
        line: usize,
        name: String,
        items: Vec<Self>,
    },
}

#[derive(Debug, Default)]
struct Node {
    line: usize,
    name: Option<String>,
    id: Option<u32>,
    votes: Option<u32>,
    addresses: Vec<(usize, String)>,
}

/// Blocks that corosync itself does not know any more.
const OBSOLETE_BLOCKS: [(&str, &str); 5] = [
    (
        "service",
        "plugins ended with corosync 1: Pacemaker is started by itself",
    ),
    (
        "aisexec",
        "openais is gone: processes have the user of their unit",
    ),
    ("amf", "the availability management framework is gone"),
    ("quorumd", "the quorum disk was cman's: use a quorum device"),
    ("event", "the event service is gone"),
];

/// Keys of `totem` that have no use here, and why.
const NOT_NEEDED: [(&str, &str); 31] = [
    ("version", "there is one version"),
    ("secauth", "links are always authenticated and encrypted"),
    ("crypto_cipher", "links are always encrypted: AES-256-GCM"),
    ("crypto_hash", "links are always authenticated: AES-256-GCM"),
    ("crypto_model", "the library is ring"),
    ("crypto_reload", "keys are renewed every ten minutes"),
    (
        "key",
        "each node has a certificate of its own: local-stack messaging init",
    ),
    (
        "keyfile",
        "each node has a certificate of its own: local-stack messaging init",
    ),
    ("transport", "there is one: unicast, sealed datagrams"),
    ("ip_version", "addresses say it"),
    ("token_retransmit", "there is no token"),
    ("token_retransmits_before_loss_const", "there is no token"),
    ("token_warning", "there is no token"),
    ("hold", "there is no token"),
    ("consensus", "follows from suspect-after-ms"),
    ("join", "follows from suspect-after-ms"),
    ("send_join", "joins are not delayed"),
    ("merge", "follows from suspect-after-ms"),
    ("downcheck", "a lost network is noticed by its beats"),
    ("fail_recv_const", "missing messages are asked for"),
    ("seqno_unchanged_const", "there is no token"),
    ("heartbeat_failures_allowed", "heartbeats are always used"),
    ("max_network_delay", "delays are measured"),
    ("miss_count_const", "missing messages are asked for"),
    ("window_size", "follows from the sockets' buffers"),
    ("max_messages", "follows from the sockets' buffers"),
    ("clear_node_high_bit", "numbers of nodes are written down"),
    ("nodeid", "numbers of nodes are written down"),
    (
        "knet_pmtud_interval",
        "each network's mtu is written down, and a narrower path noticed",
    ),
    ("knet_compression_model", "nothing is compressed"),
    ("knet_compression_threshold", "nothing is compressed"),
];

/// Keys of `interface` that name multicast or broadcast.
const MULTICAST: [&str; 4] = ["bindnetaddr", "mcastaddr", "broadcast", "ttl"];

/// Everything else that corosync.conf(5) knows, by block.
const KNOWN: [(&str, &[&str]); 8] = [
    (
        "totem",
        &[
            "cluster_name",
            "token",
            "token_coefficient",
            "netmtu",
            "link_mode",
            "rrp_mode",
            "interface",
            "knet_mtu",
            "knet_compression_level",
            "block_unlisted_ips",
            "cancel_token_hold_on_retransmit",
            "autojoin",
            "threads",
            "vsftype",
        ],
    ),
    (
        "interface",
        &[
            "linknumber",
            "ringnumber",
            "mcastport",
            "knet_link_priority",
            "knet_ping_interval",
            "knet_ping_timeout",
            "knet_ping_precision",
            "knet_pong_count",
            "knet_transport",
        ],
    ),
    ("node", &["nodeid", "name", "quorum_votes", "ring0_addr"]),
    (
        "quorum",
        &[
            "provider",
            "expected_votes",
            "votes",
            "two_node",
            "wait_for_all",
            "auto_tie_breaker",
            "auto_tie_breaker_node",
            "last_man_standing",
            "last_man_standing_window",
            "allow_downscale",
            "device",
        ],
    ),
    ("nodelist", &["node"]),
    ("logging", &[]),
    ("system", &[]),
    (
        "",
        &[
            "totem",
            "logging",
            "quorum",
            "nodelist",
            "system",
            "resources",
            "uidgid",
            "nozzle",
        ],
    ),
];

/// Reads a `corosync.conf`.
pub fn corosync(text: &str) -> Imported {
    let mut out = Imported::default();
    let mut lines = text.lines().enumerate();
    let items = block(&mut lines, &mut out, None);
    let mut site = Site::default();
    for item in &items {
        match item {
            Item::Key { line, key, .. } => out
                .errors
                .push(format!("{line}: {key} stands outside of any block")),
            Item::Block { line, name, items } => site.block(&mut out, *line, name, items),
        }
    }
    // A plugin's file of corosync 1 (service.d/pcmk): nothing of a site in it, and nothing missing.
    let obsolete = |item: &Item| matches!(item, Item::Block { name, .. } if OBSOLETE_BLOCKS.iter().any(|(known, _)| known == name));
    if !items.is_empty() && items.iter().all(obsolete) && out.errors.is_empty() {
        return out;
    }
    site.finish(&mut out);
    out
}

fn block<'a>(
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
    out: &mut Imported,
    within: Option<usize>,
) -> Vec<Item> {
    let mut items = Vec::new();
    while let Some((number, line)) = lines.next() {
        let (line, number) = (line.trim(), number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "}" {
            if within.is_none() {
                out.errors.push(format!("{number}: a '}}' too many"));
            }
            return items;
        }
        if let Some(name) = line.strip_suffix('{') {
            let name = name.trim().to_owned();
            let items_within = block(lines, out, Some(number));
            items.push(Item::Block {
                line: number,
                name,
                items: items_within,
            });
        } else if let Some((key, value)) = line.split_once(':') {
            items.push(Item::Key {
                line: number,
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            });
        } else {
            out.errors.push(format!(
                "{number}: {line:?} is neither KEY: VALUE nor a block"
            ));
        }
    }
    if let Some(begun) = within {
        out.errors
            .push(format!("{begun}: the block is not closed by '}}'"));
    }
    items
}

#[derive(Default)]
struct Site {
    cluster: Option<String>,
    token: Option<u64>,
    active: bool,
    mtu: Option<u64>,
    port: Option<u16>,
    priorities: Vec<(usize, u8)>,
    nodes: Vec<Node>,
    quorum: Vec<(&'static str, String)>,
}

impl Site {
    fn block(&mut self, out: &mut Imported, line: usize, name: &str, items: &[Item]) {
        if let Some((_, why)) = OBSOLETE_BLOCKS.iter().find(|(known, _)| *known == name) {
            out.notes
                .push(format!("{line}: {name} {{}} is obsolete: {why}"));
            return;
        }
        match name {
            "totem" => items.iter().for_each(|item| self.totem(out, item)),
            "quorum" => items.iter().for_each(|item| self.quorum(out, item)),
            "nodelist" => items.iter().for_each(|item| self.nodelist(out, item)),
            "logging" | "system" | "resources" | "uidgid" | "nozzle" => {
                out.notes.push(format!(
                    "{line}: {name} {{}} is not needed: units and the journal do that"
                ));
            }
            _ => unknown(out, line, name, ""),
        }
    }

    fn totem(&mut self, out: &mut Imported, item: &Item) {
        let (line, key, value) = match item {
            Item::Key { line, key, value } => (*line, key.as_str(), value.as_str()),
            Item::Block { name, items, .. } if name == "interface" => {
                return self.interface(out, items);
            }
            Item::Block { line, name, .. } => return unknown(out, *line, name, "totem"),
        };
        if let Some((_, why)) = NOT_NEEDED.iter().find(|(known, _)| *known == key) {
            out.notes
                .push(format!("{line}: {key} is not needed: {why}"));
            return;
        }
        match key {
            "cluster_name" => self.cluster = Some(value.to_owned()),
            "token" => self.token = number(out, line, key, value),
            "netmtu" | "knet_mtu" => self.mtu = number(out, line, key, value),
            "link_mode" | "rrp_mode" => match value {
                "active" => self.active = true,
                "passive" | "none" => {}
                "rr" => out
                    .notes
                    .push(format!("{line}: {key} rr is not there: passive is used")),
                _ => out
                    .errors
                    .push(format!("{line}: {key} {value:?}: write active or passive")),
            },
            _ if known("totem", key) => out.notes.push(format!("{line}: {key} has no use here")),
            _ => unknown(out, line, key, "totem"),
        }
    }

    fn interface(&mut self, out: &mut Imported, items: &[Item]) {
        let (mut link, mut priority) = (0, None);
        for item in items {
            let Item::Key { line, key, value } = item else {
                continue;
            };
            match key.as_str() {
                "linknumber" | "ringnumber" => link = number(out, *line, key, value).unwrap_or(0),
                "knet_link_priority" => priority = number(out, *line, key, value),
                "mcastport" => self.port = number(out, *line, key, value),
                key if MULTICAST.contains(&key) => {
                    out.notes.push(format!("{line}: {key} is obsolete: there is no multicast, the nodes' addresses say where"));
                }
                key if known("interface", key) => {
                    out.notes.push(format!(
                        "{line}: {key} is not needed: beats follow from suspect-after-ms"
                    ));
                }
                key => unknown(out, *line, key, "interface"),
            }
        }
        if let Some(priority) = priority {
            self.priorities.push((link, priority));
        }
    }

    fn quorum(&mut self, out: &mut Imported, item: &Item) {
        let (line, key, value) = match item {
            Item::Key { line, key, value } => (*line, key.as_str(), value.as_str()),
            Item::Block { line, name, .. } if name == "device" => {
                out.errors.push(format!("{line}: a quorum device cannot be taken over: this version has none for messaging"));
                return;
            }
            Item::Block { line, name, .. } => return unknown(out, *line, name, "quorum"),
        };
        let yes = value == "1" || value == "yes";
        let mut switch = |name| self.quorum.push((name, yes.to_string()));
        match key {
            "provider" if value == "corosync_votequorum" => {}
            "two_node" => switch("two-node"),
            "wait_for_all" => switch("wait-for-all"),
            "auto_tie_breaker" => switch("auto-tie-breaker"),
            "last_man_standing" => switch("last-man-standing"),
            "last_man_standing_window" => {
                if let Some(ms) = number::<u64>(out, line, key, value) {
                    self.quorum
                        .push(("last-man-standing-window-ms", ms.to_string()));
                }
            }
            "expected_votes" => {
                if let Some(votes) = number::<u32>(out, line, key, value) {
                    self.quorum.push(("expected-votes", votes.to_string()));
                }
            }
            "auto_tie_breaker_node" if value == "lowest" => {}
            _ if known("quorum", key) => {
                out.errors.push(format!(
                    "{line}: {key} {value:?} is not there: decide without it, and take the line out"
                ));
            }
            _ => unknown(out, line, key, "quorum"),
        }
    }

    fn nodelist(&mut self, out: &mut Imported, item: &Item) {
        let (line, items) = match item {
            Item::Block { line, name, items } if name == "node" => (*line, items),
            Item::Block {
                line, name: key, ..
            }
            | Item::Key { line, key, .. } => {
                return unknown(out, *line, key, "nodelist");
            }
        };
        let mut node = Node {
            line,
            ..Node::default()
        };
        for item in items {
            let Item::Key { line, key, value } = item else {
                continue;
            };
            let ring = key
                .strip_prefix("ring")
                .and_then(|rest| rest.strip_suffix("_addr")?.parse().ok());
            match (key.as_str(), ring) {
                (_, Some(ring)) => node.addresses.push((ring, value.clone())),
                ("nodeid", _) => node.id = number(out, *line, key, value),
                ("quorum_votes", _) => node.votes = number(out, *line, key, value),
                ("name", _) => node.name = Some(value.clone()),
                _ => unknown(out, *line, key, "node"),
            }
        }
        node.addresses.sort_unstable();
        self.nodes.push(node);
    }

    fn finish(self, out: &mut Imported) {
        let mut text = String::new();
        let cluster = self.cluster.unwrap_or_else(|| {
            out.errors
                .push("totem has no cluster_name: write one, certificates carry it".to_owned());
            String::new()
        });
        let _ = writeln!(text, "cluster = {cluster:?}");
        if let Some(token) = self.token {
            let _ = writeln!(text, "suspect-after-ms = {token}");
            out.notes.push(format!(
                "token {token} became suspect-after-ms = {token}; the default here is 350"
            ));
        }
        if self.active {
            text += "mode = \"active\"\n";
        }
        if let Some(port) = self.port {
            let _ = writeln!(text, "port = {port}");
        }
        let networks = self
            .nodes
            .iter()
            .map(|node| node.addresses.len())
            .max()
            .unwrap_or(0);
        for network in 0..networks {
            let _ = write!(text, "\n[[network]]\nname = \"net{}\"\n", network + 1);
            if let Some((_, priority)) = self.priorities.iter().find(|(link, _)| *link == network) {
                let _ = writeln!(text, "priority = {}", u16::from(*priority) + 1);
            }
            if let Some(mtu) = self.mtu {
                let _ = writeln!(text, "mtu = {mtu}");
            }
        }
        for node in &self.nodes {
            write_node(&mut text, out, node);
        }
        if self.nodes.is_empty() {
            out.errors.push(
                "there is no nodelist: write the nodes down, nobody is found by multicast"
                    .to_owned(),
            );
        }
        if !self.quorum.is_empty() {
            text += "\n[quorum]\n";
            for (key, value) in &self.quorum {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        if out.errors.is_empty() {
            out.text = text;
        }
    }
}

fn write_node(text: &mut String, out: &mut Imported, node: &Node) {
    let line = node.line;
    let Some(id) = node.id else {
        out.errors.push(format!("{line}: the node has no nodeid"));
        return;
    };
    let name = node.name.clone().unwrap_or_else(|| {
        out.errors.push(format!(
            "{line}: node {id} has no name: write name: NAME, its certificate carries it"
        ));
        String::new()
    });
    for (ring, address) in &node.addresses {
        if address.parse::<IpAddr>().is_err() {
            out.errors.push(format!(
                "{line}: ring{ring}_addr {address:?} is a name: write its address"
            ));
        }
    }
    let addresses: Vec<String> = node
        .addresses
        .iter()
        .map(|(_, address)| format!("{address:?}"))
        .collect();
    let _ = write!(
        text,
        "\n[[nodes]]\nname = {name:?}\nid = {id}\naddresses = [{}]\n",
        addresses.join(", ")
    );
    if let Some(votes) = node.votes {
        let _ = writeln!(text, "votes = {votes}");
    }
}

fn number<T: std::str::FromStr>(
    out: &mut Imported,
    line: usize,
    key: &str,
    value: &str,
) -> Option<T> {
    let read = value.parse().ok();
    if read.is_none() {
        out.errors
            .push(format!("{line}: {key} {value:?} is not a number that fits"));
    }
    read
}

fn keys(within: &str) -> &'static [&'static str] {
    KNOWN
        .iter()
        .find(|(name, _)| *name == within)
        .map_or(&[], |(_, keys)| keys)
}

fn known(within: &str, key: &str) -> bool {
    keys(within).contains(&key)
}

/// A key that corosync does not know either: most likely a slip of the pen.
fn unknown(out: &mut Imported, line: usize, key: &str, within: &str) {
    let others = NOT_NEEDED
        .iter()
        .map(|(key, _)| *key)
        .filter(|_| within == "totem");
    let near = keys(within)
        .iter()
        .copied()
        .chain(others)
        .map(|one| (distance(one, key), one))
        .min()
        .filter(|(far, _)| *far <= 2);
    let hint = near.map_or_else(String::new, |(_, one)| format!(": is {one} meant?"));
    let place = if within.is_empty() {
        "corosync.conf"
    } else {
        within
    };
    out.errors
        .push(format!("{line}: {place} knows no {key}{hint}"));
}

/// Letters to change, add or take away.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (to, other_letter) in other.bytes().enumerate() {
            let change = before + usize::from(letter != other_letter);
            before = row[to + 1];
            row[to + 1] = change.min(row[to] + 1).min(before + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const GOOD: &str = "
# a comment
totem {
    version: 2
    cluster_name: shop
    transport: knet
    crypto_cipher: aes256
    token: 1000
    interface {
        linknumber: 1
        knet_link_priority: 10
        bindnetaddr: 10.0.0.0
        mcastaddr: 239.1.1.1
    }
}
service {
    name: pacemaker
}
nodelist {
    node {
        ring0_addr: 10.0.0.1
        ring1_addr: 10.1.0.1
        name: b1
        nodeid: 1
    }
    node {
        ring0_addr: 10.0.0.2
        ring1_addr: 10.1.0.2
        name: b2
        nodeid: 2
        quorum_votes: 3
    }
}
quorum {
    provider: corosync_votequorum
    two_node: 1
}
";

    #[test]
    fn a_usual_one_becomes_ours_and_every_line_is_told() {
        let imported = corosync(GOOD);
        assert_eq!(imported.errors, [""; 0]);
        let config = Config::parse(&imported.text, "x", Some("b2")).unwrap();
        assert_eq!(config.me().map(|node| node.votes), Some(3));
        assert_eq!((config.network.len(), config.network[1].priority), (2, 11));
        assert!(config.quorum.two_node);
        assert_eq!(config.suspect_after_ms, Some(1_000));
        for told in [
            "16: service {} is obsolete",
            "13: mcastaddr is obsolete",
            "7: crypto_cipher is not needed",
        ] {
            let found = imported.notes.iter().any(|note| note.starts_with(told));
            assert!(found, "{told}: {:?}", imported.notes);
        }
    }

    #[test]
    fn a_plugins_file_of_old_is_told_and_nothing_more() {
        let imported = corosync("service {\n  name: pacemaker\n  ver: 1\n}\n");
        assert_eq!((imported.errors.len(), imported.text.as_str()), (0, ""));
        assert!(imported.notes[0].starts_with("1: service {} is obsolete"));
    }

    #[test]
    fn slips_of_the_pen_are_errors_with_a_hint() {
        for (wrong, right, line) in [
            ("cluster_nam: x", "cluster_name", "cluster_name: shop"),
            ("two_nod: 1", "two_node", "two_node: 1"),
            (
                "crypto_ciphr: aes256",
                "crypto_cipher",
                "crypto_cipher: aes256",
            ),
        ] {
            let errors = corosync(&GOOD.replace(line, wrong)).errors;
            assert!(
                errors
                    .iter()
                    .any(|error| error.contains(&format!("is {right} meant?"))),
                "{errors:?}"
            );
        }
        let errors = corosync(&GOOD.replace("nodeid: 2", "nodeid: two")).errors;
        assert!(errors[0].contains("not a number"), "{errors:?}");
        assert!(corosync("totem {\n").errors[0].contains("not closed"));
        assert!(corosync("}\n").errors[0].contains("too many"));
    }

    #[test]
    fn names_instead_of_addresses_need_a_hand() {
        let imported = corosync(&GOOD.replace("10.0.0.1", "host1"));
        assert!(imported.errors[0].contains("host1") && imported.text.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[a-z_{}:# \\n0-9]{0,300}") {
            let _ = corosync(&text);
        }
    }
}
