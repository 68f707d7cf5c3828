//! Many tickets: renewals are shared, batched and seldom.

use std::time::Duration;

use crate::world::*;
use ticket_protocol::{Command, TicketConfig};

fn many(count: usize) -> World {
    let tickets = (0..count)
        .map(|n| TicketConfig::auto(&format!("ticket-{n}"), secs(20), secs(10)))
        .collect();
    let mut world = World::new(tickets);
    for t in 0..count {
        let ticket = world.tickets[t].name.clone();
        let wait = secs(60);
        world.command(
            A,
            Command::Grant {
                ticket,
                to: A,
                wait,
                force: None,
            },
        );
    }
    world.run_for(secs(30));
    assert_eq!(world.terms_of_all(), count);
    world
}

#[test]
fn a_hundred_tickets_share_their_renewals() {
    let mut world = many(100);
    (world.sent, world.bytes, world.wakes) = (0, 0, 0);
    world.run_for(secs(200));
    // 30 rounds of 2 datagrams and 2 answers to each of two peers.
    assert!(world.sent <= 250, "{} datagrams", world.sent);
    assert!(world.wakes <= 120, "{} timers", world.wakes);
    assert_eq!(
        world
            .view(A)
            .tickets
            .iter()
            .filter(|ticket| ticket.mine)
            .count(),
        100
    );
}

#[test]
fn an_idle_cluster_sleeps() {
    let mut world = World::new(auto());
    world.run_for(secs(5));
    (world.sent, world.wakes) = (0, 0);
    world.run_for(Duration::from_secs(3600));
    assert_eq!((world.sent, world.wakes), (0, 0));
}
