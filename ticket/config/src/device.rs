//! `[device.SITE]`: the site's nodes for which the arbitrator is quorum device.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::check::{self, NameKind};
use crate::raw::RawDevice;
use crate::reader::{Put, Reader, echo};
use crate::{Config, Role};

/// A vote counts so long without being renewed, if the file does not say: a node that loses the
/// arbitrator acts on for that long, and a half that takes over waits for it.
const LEASE: Duration = Duration::from_secs(2);
/// Shorter is a busy machine's pause, longer a takeover that nobody waits for.
const LEASES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// Most nodes of a site.
const NODES_MAX: usize = 32;

/// The nodes of a site, and how the arbitrator votes for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSite {
    /// The site's name.
    pub site: String,
    /// Each node's name, as in its certificate of this cluster, and its number.
    pub nodes: Vec<(String, u32)>,
    /// How long a vote counts without being renewed.
    pub lease: Duration,
    /// The half with most nodes, rather than the one with the lowest.
    pub prefer_most: bool,
}

/// The nodes with their numbers.
fn nodes(reader: &mut Reader<'_>, raw: &RawDevice) -> Vec<(String, u32)> {
    let mut nodes: Vec<(String, u32)> = Vec::new();
    let written = raw.nodes.as_ref();
    if written.is_none_or(|list| !(2..=NODES_MAX).contains(&list.value.len())) {
        let at = written.map_or(&raw.site.at, |list| &list.at);
        let what = format!(
            "[device.{}] needs 2 to {NODES_MAX} nodes",
            echo(&raw.site.value)
        );
        reader.error(
            at,
            what,
            "write nodes = [\"b1=1\", \"b2=2\"], names and numbers as in messaging.toml",
        );
    }
    for text in written.into_iter().flat_map(|list| &list.value) {
        let parts = text.value.split_once('=');
        let Some((name, id)) =
            parts.and_then(|(name, id)| Some((name.trim(), id.trim().parse().ok()?)))
        else {
            let what = format!("\"{}\" is not a node and its number", echo(&text.value));
            reader.error(
                &text.at,
                what,
                "write \"NAME=NUMBER\", both as in messaging.toml",
            );
            continue;
        };
        let put = Put {
            value: name.to_owned(),
            at: text.at.clone(),
        };
        check::name(reader, "node", &put, NameKind::Identity);
        if nodes
            .iter()
            .any(|(other, number)| other == name || *number == id)
        {
            let what = format!("node \"{}\" or its number is given twice", echo(name));
            reader.error(&text.at, what, "names and numbers are used once");
        }
        nodes.push((name.to_owned(), id));
    }
    nodes
}

/// Puts one table together.
pub(crate) fn device(reader: &mut Reader<'_>, raw: &RawDevice) -> DeviceSite {
    let nodes = nodes(reader, raw);
    let lease = raw.lease.as_ref().map_or(LEASE, |lease| lease.value);
    if let Some(put) = raw
        .lease
        .as_ref()
        .filter(|_| !(LEASES.0..=LEASES.1).contains(&lease))
    {
        reader.error(
            &put.at,
            "the vote's lease is out of range",
            "write 500ms to 60s; 2s is the default",
        );
    }
    let prefer_most = match raw.prefer.as_ref().map(|put| (put, put.value.as_str())) {
        None | Some((_, "lowest")) => false,
        Some((_, "most")) => true,
        Some((put, other)) => {
            let what = format!("prefer \"{}\" is not known", echo(other));
            reader.error(
                &put.at,
                what,
                "write \"lowest\" (the half with the lowest node) or \"most\"",
            );
            false
        }
    };
    DeviceSite {
        site: raw.site.value.clone(),
        nodes,
        lease,
        prefer_most,
    }
}

/// What a table says beside the rest.
pub(crate) fn beside(reader: &mut Reader<'_>, config: &Config, raw: &[RawDevice]) {
    if let Some(first) = raw.first()
        && !config.members.iter().any(|it| it.role == Role::Arbitrator)
    {
        reader.error(
            &first.site.at,
            "a quorum device is an arbitrator, and there is none",
            "write [member.NAME] with role = \"arbitrator\"",
        );
    }
    let mut taken: BTreeSet<&str> = config.members.iter().map(|it| it.name.as_str()).collect();
    for (device, raw) in config.devices.iter().zip(raw) {
        for (node, _) in &device.nodes {
            if !taken.insert(node) {
                let what = format!("\"{}\" is the name of another member or node", echo(node));
                reader.error(
                    &raw.site.at,
                    what,
                    "certificates of one cluster have one name each",
                );
            }
        }
    }
}
