//! The nodes of the site as they are now: who they are is agreed by the membership core's list, where
//! they are found stands in keys of the store, and in the configuration file for those that were there
//! from the beginning.
//!
//! ```text
//!   file: nodes with addresses ----+
//!   nodes.json: (id, votes) * -----+--> nodes in force --> links, datagrams, quorum, membership
//!   store: config.node.ID ---------+
//! ```
//! A change is ordered among the members, written to this node's disk, then put in force.

use std::net::IpAddr;

use membership::{Change, NodeId, NodeList};
use stack_client::words::{NodeChange, Value};

use crate::config::{Config, NODES_MAX, NodeConfig};
use crate::store::Store;

/// Where nodes are found: a key each, followed by the node's number. Only [`NodeChange`] sets them.
pub(crate) const PLACES: &str = "config.node.";
/// Nodes that are listed and not in the view, with one that is added: more that join at a time are
/// refused, because each raises the votes that are needed before it gives its own.
const ABSENT_MAX: usize = 2;

/// The list that the file makes, before any change.
pub(crate) fn first_list(file: &Config) -> NodeList {
    let mut votes: Vec<_> = file
        .nodes
        .iter()
        .map(|node| (NodeId(node.id), node.votes))
        .collect();
    votes.sort_unstable();
    NodeList { version: 0, votes }
}

/// The configuration with the nodes that are in force. One whose place is not known yet (its key is
/// still to come) is left out of it.
pub(crate) fn in_force(file: &Config, list: &NodeList, store: &Store) -> Config {
    let place = |id: NodeId, votes: u32| {
        let key = format!("{PLACES}{id}");
        let (name, addresses) = match store.contents().keys.get(&key) {
            Some(Value::Text(text)) => read(text)?,
            _ => {
                let node = file.by_id(id)?;
                (node.name.clone(), node.addresses.clone())
            }
        };
        (addresses.len() == file.network.len()).then_some(NodeConfig {
            name,
            id: id.0,
            addresses,
            votes,
        })
    };
    let nodes = list
        .votes
        .iter()
        .filter_map(|(id, votes)| place(*id, *votes));
    let mut config = Config {
        nodes: nodes.collect(),
        ..file.clone()
    };
    // One of two is enough only as long as there are two.
    config.quorum.two_node &= list.votes.len() == 2;
    config
}

/// What is asked of the list and of the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) change: Option<Change>,
    /// A key with its text now and from then on.
    pub(crate) place: Option<(String, Option<String>, String)>,
}

/// What a change amounts to.
///
/// # Errors
/// Why it is refused, in the operator's words.
pub(crate) fn plan(
    config: &Config,
    list: &NodeList,
    store: &Store,
    absent: usize,
    change: NodeChange,
) -> Result<Plan, String> {
    let named = |name: &str| {
        let node = config.nodes.iter().find(|node| node.name == name);
        node.ok_or_else(|| format!("there is no node {name}"))
    };
    match change {
        NodeChange::Add { name, addresses } => {
            if named(&name).is_ok() {
                return Err(format!("{name} is a node already"));
            }
            check(config, &name, &addresses)?;
            if list.votes.len() >= NODES_MAX {
                return Err(format!("a site has at most {NODES_MAX} nodes"));
            }
            if absent >= ABSENT_MAX {
                return Err(format!(
                    "{absent} nodes are not there yet: start or remove them first, or quorum may be lost"
                ));
            }
            let id = free_id(config, list, store);
            Ok(Plan {
                change: Some(Change::Add(NodeId(id), 1)),
                place: Some((format!("{PLACES}{id}"), None, write(&name, &addresses))),
            })
        }
        NodeChange::Remove { name } => {
            let id = NodeId(named(&name)?.id);
            Ok(Plan {
                change: Some(Change::Remove(id)),
                place: None,
            })
        }
        NodeChange::Move { name, addresses } => {
            let id = named(&name)?.id;
            check(config, &name, &addresses)?;
            let key = format!("{PLACES}{id}");
            let before = match store.contents().keys.get(&key) {
                Some(Value::Text(text)) => Some(text.clone()),
                _ => None,
            };
            Ok(Plan {
                change: None,
                place: Some((key, before, write(&name, &addresses))),
            })
        }
    }
}

fn check(config: &Config, name: &str, addresses: &[IpAddr]) -> Result<(), String> {
    link::Identity::new(&config.cluster, crate::config::ROLE, name)
        .map_err(|error| error.to_string())?;
    if addresses.len() != config.network.len() {
        return Err(format!(
            "{} addresses for {} networks: give one for each, in their order",
            addresses.len(),
            config.network.len()
        ));
    }
    let taken = |node: &&NodeConfig| {
        node.name != name && node.addresses.iter().any(|one| addresses.contains(one))
    };
    match config.nodes.iter().find(taken) {
        Some(other) => Err(format!("{} has one of these addresses", other.name)),
        None => Ok(()),
    }
}

/// A number that no node has or had.
fn free_id(config: &Config, list: &NodeList, store: &Store) -> u32 {
    let listed = list.votes.iter().map(|(id, _)| id.0);
    let configured = config.nodes.iter().map(|node| node.id);
    let places = store.list(PLACES);
    let placed = places
        .iter()
        .filter_map(|(key, _)| key.strip_prefix(PLACES)?.parse().ok());
    let greatest = listed.chain(configured).chain(placed).max().unwrap_or(0);
    greatest + 1
}

fn write(name: &str, addresses: &[IpAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    format!("{name} {}", addresses.join(","))
}

fn read(text: &str) -> Option<(String, Vec<IpAddr>)> {
    let (name, addresses) = text.split_once(' ')?;
    let addresses: Result<_, _> = addresses.split(',').map(str::parse).collect();
    Some((name.to_owned(), addresses.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Contents;

    fn file() -> Config {
        let text = "cluster='s'\nnode='n1'\n[quorum]\ntwo-node = true\n[[nodes]]\nname='n1'\nid=1\n\
                    addresses=['10.0.0.1']\n[[nodes]]\nname='n2'\nid=2\naddresses=['10.0.0.2']\n";
        Config::parse(text, "m.toml", None).unwrap()
    }

    fn store(keys: &[(&str, &str)]) -> Store {
        let keys = keys
            .iter()
            .map(|(key, text)| ((*key).to_owned(), Value::Text((*text).to_owned())));
        let contents = Contents {
            epoch: 1,
            version: 1,
            keys: keys.collect(),
        };
        Store::new(NodeId(1), contents)
    }

    fn add(name: &str, address: &str) -> NodeChange {
        NodeChange::Add {
            name: name.to_owned(),
            addresses: vec![address.parse().unwrap()],
        }
    }

    #[test]
    fn the_store_goes_before_the_file_and_the_list_before_both() {
        let store = store(&[
            ("config.node.2", "n2 10.9.0.2"),
            ("config.node.3", "n3 10.0.0.3"),
            ("config.node.4", "n4 10.0.0.4"),
        ]);
        let votes = vec![(NodeId(2), 1), (NodeId(3), 1), (NodeId(7), 1)];
        let list = NodeList { version: 5, votes };
        let config = in_force(&file(), &list, &store);
        let found: Vec<String> = config
            .nodes
            .iter()
            .map(|node| format!("{} {} {}", node.id, node.name, node.addresses[0]))
            .collect();
        assert_eq!(
            found,
            ["2 n2 10.9.0.2", "3 n3 10.0.0.3"],
            "7 is nowhere yet"
        );
        assert!(!config.quorum.two_node, "there are three");
    }

    #[test]
    fn a_number_is_never_given_again() {
        let store = store(&[("config.node.8", "gone 10.0.0.8")]);
        let (config, list) = (file(), first_list(&file()));
        let plan = plan(&config, &list, &store, 0, add("n3", "10.0.0.3")).unwrap();
        assert_eq!(plan.change, Some(Change::Add(NodeId(9), 1)));
        let place = ("config.node.9".to_owned(), None, "n3 10.0.0.3".to_owned());
        assert_eq!(plan.place, Some(place));
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        let (config, list, store) = (file(), first_list(&file()), store(&[]));
        let why = |absent, change| plan(&config, &list, &store, absent, change).unwrap_err();
        assert!(why(0, add("n2", "10.0.0.3")).contains("already"));
        assert!(why(0, add("n3", "10.0.0.2")).contains("n2 has one"));
        assert!(why(2, add("n3", "10.0.0.3")).contains("start or remove"));
        let name = "n9".to_owned();
        assert!(why(0, NodeChange::Remove { name }).contains("no node n9"));
        let two = NodeChange::Add {
            name: "n3".to_owned(),
            addresses: vec!["10.0.0.3".parse().unwrap(), "10.1.0.3".parse().unwrap()],
        };
        assert!(why(0, two).contains("2 addresses for 1 networks"));
    }
}
