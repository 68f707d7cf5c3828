use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::message::{Envelope, Guarantee};
use crate::node::Delivery;

const MS: Duration = Duration::from_millis(1);

/// Some nodes on a network that loses nothing and takes a millisecond.
struct Net {
    now: Time,
    nodes: BTreeMap<NodeId, Node>,
    under_way: BTreeMap<(Time, u64), (NodeId, NodeId, Envelope)>,
    packets: u64,
}

impl Net {
    fn new(ids: std::ops::RangeInclusive<u32>) -> Self {
        let mut net = Self {
            now: Time(1),
            nodes: BTreeMap::new(),
            under_way: BTreeMap::new(),
            packets: 0,
        };
        let all: NodeSet = ids.map(NodeId).collect();
        for node in all.iter() {
            net.start(node, all.clone());
        }
        net
    }

    fn start(&mut self, node: NodeId, nodes: NodeSet) {
        let incarnation = u64::from(node.0) + 100;
        self.nodes.insert(
            node,
            Node::new(Config::lan(node, nodes), incarnation, self.now),
        );
    }

    fn node(&mut self, id: u32) -> &mut Node {
        self.nodes.get_mut(&NodeId(id)).expect("it was started")
    }

    fn send(&mut self) {
        let at = self.now.after(MS);
        for (from, node) in &mut self.nodes {
            while node.poll_delivery(self.now).is_some() {}
            while let Some((to, envelope)) = node.poll_packet() {
                self.packets += 1;
                self.under_way
                    .insert((at, self.packets), (*from, to, envelope));
            }
        }
    }

    /// Runs until `over` or for so long; how long it took.
    fn run(&mut self, most: Duration, over: impl Fn(&Self) -> bool) -> Duration {
        let begun = self.now;
        self.send();
        while self.now.since(begun) < most && !over(self) {
            let timers = self.nodes.values().filter_map(Node::next_timeout).min();
            let packet = self.under_way.keys().next().map(|(at, _)| *at);
            let Some(next) = timers.into_iter().chain(packet).min() else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.under_way.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (from, to, envelope) = entry.remove();
                if let Some(node) = self.nodes.get_mut(&to) {
                    node.handle_packet(self.now, from, envelope);
                }
            }
            let now = self.now;
            self.nodes
                .values_mut()
                .filter(|node| node.next_timeout().is_some_and(|at| at <= now))
                .for_each(|node| node.handle_timeout(now));
            self.send();
        }
        self.now.since(begun)
    }

    /// Are all living nodes in one view of exactly these?
    fn together(&self, ids: &[u32]) -> bool {
        let set: NodeSet = ids.iter().map(|id| NodeId(*id)).collect();
        set.iter().all(|node| {
            self.nodes
                .get(&node)
                .is_some_and(|node| node.is_operational() && node.view().members == set)
        })
    }
}

#[test]
fn a_node_that_leaves_is_not_waited_for() {
    // The coordinator is the lowest: its leaving is the hardest.
    for leaver in [1, 3] {
        let mut net = Net::new(1..=4);
        net.run(Duration::from_secs(5), |net| net.together(&[1, 2, 3, 4]));
        assert!(net.together(&[1, 2, 3, 4]));
        let now = net.now;
        net.node(leaver).leave(now);
        let rest: Vec<u32> = (1..=4).filter(|id| *id != leaver).collect();
        let took = net.run(Duration::from_secs(5), |net| net.together(&rest));
        assert!(net.together(&rest));
        assert!(
            took < Duration::from_millis(20),
            "{took:?}: somebody was waited for"
        );
        net.run(Duration::from_secs(2), |_| false);
        assert!(net.together(&rest), "and it is not met again");
        assert_eq!(
            net.node(leaver).next_timeout(),
            None,
            "the farewell is over"
        );
    }
}

#[test]
fn a_node_that_has_left_takes_nothing_more() {
    let mut net = Net::new(1..=2);
    net.run(Duration::from_secs(5), |net| net.together(&[1, 2]));
    let now = net.now;
    net.node(2).leave(now);
    net.node(1)
        .submit(now, b"late".to_vec(), Guarantee::Agreed)
        .expect("there is room");
    net.run(Duration::from_secs(1), |_| false);
    assert!(net.node(2).has_left() && !net.node(2).is_operational());
    assert_eq!(net.node(2).poll_delivery(now), None);
}

#[test]
fn nodes_are_added_and_removed_while_the_others_work() {
    let mut net = Net::new(1..=3);
    net.run(Duration::from_secs(5), |net| net.together(&[1, 2, 3]));
    let four: NodeSet = (1..=4).map(NodeId).collect();
    net.start(NodeId(4), four.clone());
    net.run(Duration::from_secs(2), |_| false);
    assert!(net.together(&[1, 2, 3]), "a stranger changes nothing");
    for id in 1..=3 {
        let now = net.now;
        net.node(id).reconfigure(now, four.clone());
    }
    net.run(Duration::from_secs(5), |net| net.together(&[1, 2, 3, 4]));
    assert!(net.together(&[1, 2, 3, 4]));

    let rest: NodeSet = [1, 3, 4].map(NodeId).into_iter().collect();
    for id in 1..=4 {
        let now = net.now;
        net.node(id).reconfigure(now, rest.clone());
    }
    let took = net.run(Duration::from_secs(5), |net| net.together(&[1, 3, 4]));
    assert!(net.together(&[1, 3, 4]) && took < Duration::from_millis(20));
    assert!(net.node(2).has_left());
    net.run(Duration::from_secs(3), |_| false);
    assert!(net.together(&[1, 3, 4]));
}

#[test]
fn a_removed_node_that_heard_nothing_of_it_stays_outside() {
    let mut net = Net::new(1..=3);
    net.run(Duration::from_secs(5), |net| net.together(&[1, 2, 3]));
    let rest: NodeSet = [1, 2].map(NodeId).into_iter().collect();
    for id in [1, 2] {
        let now = net.now;
        net.node(id).reconfigure(now, rest.clone());
    }
    net.run(Duration::from_secs(5), |_| false);
    assert!(net.together(&[1, 2]));
    let alone = net.node(3);
    assert!(!alone.has_left() && alone.view().members.len() == 1);
    let views = net.node(1).status().views;
    net.run(Duration::from_secs(10), |_| false);
    assert_eq!(
        net.node(1).status().views,
        views,
        "it does not disturb the others"
    );
}

#[test]
fn what_was_delivered_before_leaving_is_what_the_others_delivered() {
    let mut net = Net::new(1..=3);
    net.run(Duration::from_secs(5), |net| net.together(&[1, 2, 3]));
    let now = net.now;
    net.node(3)
        .submit(now, b"last words".to_vec(), Guarantee::Safe)
        .expect("there is room");
    let mut heard = [false; 3];
    for _ in 0..200 {
        for (at, id) in [1, 2, 3].into_iter().enumerate() {
            let now = net.now;
            while let Some(delivery) = net.node(id).poll_delivery(now) {
                heard[at] |=
                    matches!(delivery, Delivery::Message { bytes, .. } if bytes == b"last words");
            }
        }
        if heard[2] && !net.node(3).has_left() {
            let now = net.now;
            net.node(3).leave(now);
        }
        step(&mut net);
    }
    assert_eq!(heard, [true; 3]);
    assert!(net.together(&[1, 2]));
}

/// One event, deliveries left to the caller.
fn step(net: &mut Net) {
    let at = net.now.after(MS);
    for (from, node) in &mut net.nodes {
        while let Some((to, envelope)) = node.poll_packet() {
            net.packets += 1;
            net.under_way
                .insert((at, net.packets), (*from, to, envelope));
        }
    }
    net.now = at;
    while let Some(entry) = net.under_way.first_entry() {
        if entry.key().0 > net.now {
            break;
        }
        let (from, to, envelope) = entry.remove();
        if let Some(node) = net.nodes.get_mut(&to) {
            node.handle_packet(net.now, from, envelope);
        }
    }
    for node in net.nodes.values_mut() {
        if node.next_timeout().is_some_and(|due| due <= at) {
            node.handle_timeout(at);
        }
    }
}

/// Node 2 is led into a view by node 1, with a process of node 3 that it has not heard: the one that
/// it hears is another one. Found by `ring-sim`, seed 277.
#[test]
fn a_view_of_a_process_that_is_no_more_is_not_installed() {
    for (process, installs) in [(9, true), (8, false)] {
        let all: NodeSet = [1, 2, 3].map(NodeId).into_iter().collect();
        let mut node = Node::new(Config::lan(NodeId(2), all.clone()), 7, Time(1));
        let info = |incarnation| crate::message::MemberInfo {
            incarnation,
            old_view: node.view().id,
            held: crate::ranges::Ranges::default(),
            stable: 0,
            obligation: NodeSet::default(),
        };
        let infos = [(1, 6), (2, 7), (3, process)].map(|(id, one)| (NodeId(id), info(one)));
        let view = crate::ids::ViewId {
            counter: 5,
            coordinator: NodeId(1),
            incarnation: 6,
        };
        let join = Packet::Join {
            counter: 4,
            promised: None,
            candidates: all.clone(),
            failed: NodeSet::default(),
        };
        let members = all.clone();
        let infos = std::sync::Arc::new(infos.to_vec());
        let story = [
            (1, 6, join.clone()),
            (3, 9, join),
            (1, 6, Packet::Propose { view, members }),
            (1, 6, Packet::Plan { view, infos }),
            (1, 6, Packet::Install { view }),
        ];
        for (from, incarnation, packet) in story {
            let envelope = Envelope {
                incarnation,
                packet,
            };
            node.handle_packet(Time(2), NodeId(from), envelope);
        }
        assert_eq!(node.view().id == view, installs, "process {process}");
    }
}
