//! Whole daemons on loopback, with real keys: what clients are promised.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod nodes;
mod support;

use std::net::UdpSocket;
use std::time::Duration;

use messaging::Daemon;
use stack_client::words::{Answer, Condition, Do, LinkState, Notice};
use stack_client::{Event, Guarantee, Value};

use support::{PATIENCE, Site, eventually, messages, status, together};

#[test]
fn messages_of_all_sizes_come_in_one_order_everywhere() {
    let site = Site::new(81, 3);
    let _daemons = [1, 2, 3].map(|node| site.start(node));
    let mut clients = [1, 2, 3].map(|node| site.client(node));
    for client in &mut clients {
        together(client, 3);
        client.join("db").unwrap();
    }
    assert!(status(&mut clients[0]).quorum.quorate);
    eventually("three are in the group", || {
        let Answer::Groups(groups) = clients[0].ask(Do::Groups).unwrap() else {
            return false;
        };
        groups
            .iter()
            .any(|group| group.name == "db" && group.members.len() == 3)
    });
    let sizes = [0, 1, 64, 1_378, 1_400, 40_000, 1 << 20];
    std::thread::scope(|scope| {
        let seen: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(index, client)| {
                scope.spawn(move || {
                    for round in 0..20_u8 {
                        for size in sizes.iter().take(if round == 0 { 7 } else { 6 }) {
                            let guarantee = if round % 2 == 0 {
                                Guarantee::Safe
                            } else {
                                Guarantee::Agreed
                            };
                            client
                                .send("db", guarantee, &vec![round ^ index as u8; *size])
                                .unwrap();
                        }
                    }
                    client.flush().unwrap();
                    messages(client, "db", 3 * (20 * 6 + 1))
                })
            })
            .collect();
        let seen: Vec<_> = seen.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(seen[0] == seen[1] && seen[1] == seen[2], "one order");
        for node in 1..=3_u32 {
            let ours: Vec<usize> = seen[0]
                .iter()
                .filter(|(from, _)| *from == node)
                .map(|(_, bytes)| bytes.len())
                .collect();
            assert_eq!(ours[..7], sizes, "in the order in which it sent them");
        }
    });
}

#[test]
fn the_store_is_the_same_everywhere_and_watched_in_order() {
    let site = Site::new(82, 3);
    let mut daemons = [1, 2, 3].map(|node| Some(site.start(node)));
    let mut first = site.client(1);
    together(&mut first, 3);
    let mut watcher = site.client(2);
    together(&mut watcher, 3);
    watcher
        .ask(Do::Watch {
            prefix: "config.".to_owned(),
        })
        .unwrap();
    for value in 0..10 {
        let conditions = vec![Condition {
            key: "config.a".to_owned(),
            value: (value > 0).then(|| Value::Unsigned(value - 1)),
        }];
        let set = vec![("config.a".to_owned(), Some(Value::Unsigned(value)))];
        first.ask(Do::Update { conditions, set }).unwrap();
    }
    let wrong = Do::Update {
        conditions: vec![Condition {
            key: "config.a".to_owned(),
            value: None,
        }],
        set: vec![("config.a".to_owned(), None)],
    };
    assert!(
        first
            .ask(wrong)
            .unwrap_err()
            .to_string()
            .contains("nothing was changed")
    );
    for expected in 0..10 {
        match watcher.next(Some(PATIENCE)).unwrap() {
            Some(Event::Notice(Notice::Changed {
                value: Some(Value::Unsigned(value)),
                ..
            })) => {
                assert_eq!(value, expected);
            }
            other => panic!("{other:?}"),
        }
    }
    let Answer::Stats(stats) = first.ask(Do::Stats).unwrap() else {
        panic!()
    };
    assert!(stats.iter().any(|(key, _)| key == "runtime.views"));
    // All end; the durable key is there again after a start of all.
    for daemon in &mut daemons {
        daemon.take().unwrap().stop().unwrap();
    }
    let _again = [1, 2, 3].map(|node| site.start(node));
    let mut client = site.client(3);
    together(&mut client, 3);
    let Answer::Keys(keys) = client
        .ask(Do::Get {
            key: "config.a".to_owned(),
        })
        .unwrap()
    else {
        panic!()
    };
    assert_eq!(keys, [("config.a".to_owned(), Value::Unsigned(9))]);
}

#[test]
fn a_slow_client_slows_the_senders_and_loses_nothing() {
    const COUNT: u32 = 3_000;
    let site = Site::new(83, 2);
    let _daemons = [1, 2].map(|node| site.start(node));
    let (mut sender, mut slow) = (site.client(1), site.client(2));
    together(&mut sender, 2);
    together(&mut slow, 2);
    slow.join("g").unwrap();
    let sending = std::thread::spawn(move || {
        for count in 0..COUNT {
            let mut message = vec![7; 10_000];
            message[..4].copy_from_slice(&count.to_le_bytes());
            sender.send("g", Guarantee::Agreed, &message).unwrap();
        }
        sender.flush().unwrap();
        sender
    });
    // More than all buffers hold is under way: the sender has to wait for the reader.
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(!sending.is_finished(), "30 MB went nowhere");
    let seen = messages(&mut slow, "g", COUNT as usize);
    for (count, (_, bytes)) in seen.iter().enumerate() {
        assert_eq!(bytes[..4], (count as u32).to_le_bytes());
    }
    sending.join().unwrap();
}

#[test]
fn strangers_are_refused_and_named() {
    let site = Site::new(84, 2);
    let _daemons = [1, 2].map(|node| site.start(node));
    let mut client = site.client(1);
    together(&mut client, 2);
    let stranger = UdpSocket::bind("127.84.1.99:0").unwrap();
    for length in [0_usize, 1, 11, 12, 28, 64, 1_400] {
        stranger
            .send_to(&vec![0xA5; length], "127.84.1.1:9931")
            .unwrap();
        stranger
            .send_to(&vec![0xA5; length], "127.84.1.1:9930")
            .unwrap();
    }
    eventually("they are counted", || {
        let refused = status(&mut client).refused;
        refused.unknown_key >= 6
            && refused
                .last
                .is_some_and(|last| last.contains("127.84.1.99"))
    });
    // A node whose name is ours but whose certificate is of another authority.
    let other = Site::new(84, 3);
    let mut config = other.config(3);
    config.nodes.truncate(3);
    let _intruder = Daemon::start(config).unwrap();
    eventually("its certificate is refused", || {
        let refused = status(&mut client).refused;
        refused.connections > 0
    });
    together(&mut client, 2);
    let Answer::Links(links) = client.ask(Do::Links).unwrap() else {
        panic!()
    };
    assert_eq!(links.len(), 2);
    eventually("the better network is used", || {
        let Answer::Links(links) = client.ask(Do::Links).unwrap() else {
            panic!()
        };
        links
            .iter()
            .any(|link| link.network == "back" && link.state == LinkState::InUse)
    });
}
