//! Nodes come and go, certificates change: the other daemons are not restarted.

use std::fs;
use std::net::IpAddr;

use link::{Identity, ca};
use messaging::{Daemon, ROLE, StartError};
use stack_client::words::{Answer, Do, NodeChange, Value};
use stack_client::{Client, Guarantee};

use crate::support::{Site, eventually, messages, status, together};

fn addresses(site: u8, node: u8) -> Vec<IpAddr> {
    let address = |network: u8| IpAddr::from([127, site, network, node]);
    vec![address(1), address(2)]
}

fn names(client: &mut Client) -> Vec<String> {
    let status = status(client);
    status.nodes.into_iter().map(|node| node.name).collect()
}

fn change(client: &mut Client, change: NodeChange) -> Result<u64, String> {
    match client.ask(Do::Node(change)) {
        Ok(Answer::Updated { version }) => Ok(version),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

fn add(site: u8, node: u8) -> NodeChange {
    NodeChange::Add {
        name: format!("n{node}"),
        addresses: addresses(site, node),
    }
}

#[test]
fn a_node_is_added_and_removed_while_the_others_run() {
    const SITE: u8 = 85;
    let site = Site::new(SITE, 4);
    let start = |node| Daemon::start(site.config_of(node, 3)).unwrap();
    let mut daemons = [1, 2, 3].map(|node| Some(start(node)));
    let mut first = site.client(1);
    together(&mut first, 3);
    let elsewhere = NodeChange::Add {
        name: "n4".to_owned(),
        addresses: addresses(SITE, 2),
    };
    assert!(change(&mut first, elsewhere).unwrap_err().contains("n2"));
    assert_eq!(change(&mut first, add(SITE, 4)), Ok(1));
    let fourth = site.start(4);
    together(&mut first, 4);
    let mut second = site.client(2);
    assert_eq!(names(&mut second), ["n1", "n2", "n3", "n4"]);
    assert_eq!(status(&mut second).quorum.expected, 4);
    second.join("g").unwrap();
    let mut newcomer = site.client(4);
    newcomer.send("g", Guarantee::Safe, b"hello").unwrap();
    newcomer.flush().unwrap();
    assert_eq!(messages(&mut second, "g", 1), [(4, b"hello".to_vec())]);
    // Its file knows of three nodes, its disk of four.
    daemons[2].take().unwrap().stop().unwrap();
    daemons[2] = Some(start(3));
    together(&mut first, 4);
    assert_eq!(names(&mut site.client(3)), ["n1", "n2", "n3", "n4"]);

    let name = "n4".to_owned();
    assert_eq!(change(&mut second, NodeChange::Remove { name }), Ok(2));
    // Each node works by the new list once it has it on disk; the view may end before that.
    eventually("the list without it is in force", || {
        names(&mut first) == ["n1", "n2", "n3"]
    });
    together(&mut first, 3);
    assert_eq!(status(&mut first).quorum.expected, 3);
    eventually("the removed node ends by itself", || {
        Client::connect(&site.socket(4)).is_err()
    });
    fourth.stop().unwrap();
    let again = Daemon::start(site.config(4)).err();
    assert!(matches!(again, Some(StartError::Removed(_))), "{again:?}");
    // Without its memory it tries, and its certificate opens nothing.
    fs::remove_dir_all(site.state(4)).unwrap();
    let _stranger = site.start(4);
    eventually("it is refused by name", || {
        [1, 2, 3].into_iter().all(|node| {
            let refused = status(&mut site.client(node)).refused;
            refused.connections > 0 && refused.last.is_some_and(|last| last.contains("n4"))
        })
    });
    together(&mut first, 3);
    assert!(!status(&mut site.client(4)).quorum.quorate);
}

#[test]
fn more_nodes_than_quorum_can_bear_are_not_added_at_once() {
    const SITE: u8 = 86;
    let site = Site::new(SITE, 6);
    let _daemons = [1, 2, 3].map(|node| Daemon::start(site.config_of(node, 3)).unwrap());
    let mut client = site.client(1);
    together(&mut client, 3);
    assert_eq!(change(&mut client, add(SITE, 4)), Ok(1));
    assert_eq!(change(&mut client, add(SITE, 5)), Ok(2));
    let refusal = change(&mut client, add(SITE, 6)).unwrap_err();
    assert!(refusal.contains("start or remove"), "{refusal}");
    assert!(status(&mut client).quorum.quorate);
    // Both join at a time.
    let _joiners = [4, 5].map(|node| Daemon::start(site.config_of(node, 5)).unwrap());
    together(&mut client, 5);
    let forged = Do::Update {
        conditions: Vec::new(),
        set: vec![(
            "config.node.1".to_owned(),
            Some(Value::Text("n1 127.0.0.1".to_owned())),
        )],
    };
    assert!(
        client.ask(forged).is_err(),
        "the nodes' keys are not anybody's"
    );
}

#[test]
fn a_node_is_found_at_other_addresses() {
    const SITE: u8 = 87;
    let site = Site::new(SITE, 3);
    let mut daemons = [1, 2, 3].map(|node| Some(site.start(node)));
    let mut client = site.client(1);
    together(&mut client, 3);
    let moved = NodeChange::Move {
        name: "n3".to_owned(),
        addresses: addresses(SITE, 33),
    };
    change(&mut client, moved).unwrap();
    // It ends by itself, and its next start takes the new addresses, whatever its file says.
    eventually("it lets go of the old addresses", || {
        Client::connect(&site.socket(3)).is_err()
    });
    daemons[2].take().unwrap().stop().unwrap();
    daemons[2] = Some(site.start(3));
    together(&mut client, 3);
    let Answer::Links(links) = client.ask(Do::Links).unwrap() else {
        panic!()
    };
    let address = |link: &stack_client::words::Link| link.address.clone();
    let found: Vec<String> = links
        .iter()
        .filter(|link| link.peer == "n3")
        .map(address)
        .collect();
    assert_eq!(found, ["127.87.1.33:9931", "127.87.2.33:9931"]);
}

#[test]
fn certificates_and_authority_change_without_a_restart() {
    let site = Site::new(88, 3);
    let mut daemons = [1, 2, 3].map(|node| Some(site.start(node)));
    let mut client = site.client(2);
    together(&mut client, 3);
    let views = |client: &mut Client| {
        let Answer::Stats(stats) = client.ask(Do::Stats).unwrap() else {
            panic!()
        };
        stats.into_iter().find(|(key, _)| key == "runtime.views")
    };
    let before = views(&mut client);
    let new = ca::Ca::create("shop").unwrap();
    let reload = |daemons: &[Option<Daemon>]| daemons.iter().flatten().for_each(Daemon::reload);
    // A certificate that is damaged changes nothing, and says so.
    let certificate = |node: u8| {
        site.pki(node)
            .join(ca::certificate_file(&format!("n{node}")))
    };
    let good = fs::read(certificate(2)).unwrap();
    fs::write(certificate(2), "nothing of the kind").unwrap();
    reload(&daemons);
    let troubled = |client: &mut Client| {
        let limits = status(client).limits;
        limits.iter().any(|limit| limit.contains("n2.crt"))
    };
    eventually("it is named", || troubled(&mut client));
    fs::write(certificate(2), good).unwrap();
    // First both authorities are trusted, then certificates come from the new one.
    for node in 1..=3 {
        let path = site.pki(node).join(ca::CA_CERTIFICATE);
        let both = fs::read_to_string(&path).unwrap() + new.certificate_pem();
        fs::write(path, both).unwrap();
    }
    reload(&daemons);
    for node in 1..=3 {
        let name = format!("n{node}");
        fs::remove_file(certificate(node)).unwrap();
        fs::remove_file(site.pki(node).join(ca::key_file(&name))).unwrap();
        let identity = Identity::new("shop", ROLE, &name).unwrap();
        let issued = new.issue(&identity, ca::MEMBER_VALIDITY).unwrap();
        issued.save(&site.pki(node)).unwrap();
    }
    reload(&daemons);
    eventually("it is good again", || !troubled(&mut client));
    assert_eq!(views(&mut client), before, "nobody noticed");
    // A node that trusts the new authority alone meets the others, which were never restarted.
    daemons[0].take().unwrap().stop().unwrap();
    fs::write(site.pki(1).join(ca::CA_CERTIFICATE), new.certificate_pem()).unwrap();
    daemons[0] = Some(site.start(1));
    together(&mut client, 3);
}
