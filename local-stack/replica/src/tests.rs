//! Some replicas on a bus that keeps one order per part of the site.

use std::collections::{BTreeMap, VecDeque};

use cib::{Cib, Section};

use crate::{Answer, Change, NodeRef, Output, Replica, Round, SKIP_AFTER_NS, Start, View, Word};

const CIB: &str = r#"<cib admin_epoch="0" epoch="1" num_updates="0"><configuration><crm_config/><nodes>
    <node id="1" uname="n1"/><node id="2" uname="n2"/><node id="3" uname="n3"/></nodes><resources/>
    <constraints/></configuration><status/></cib>"#;

struct Host {
    replica: Replica,
    /// What a crash leaves: the era and the CIB.
    disk: (u64, Cib),
    /// Its disk does not answer.
    hangs: bool,
    answers: Vec<(u64, Answer)>,
    lost: usize,
    logs: Vec<String>,
}

struct Site {
    hosts: BTreeMap<u32, Host>,
    /// The part of the site that each node is in, by the name of its view.
    parts: BTreeMap<u32, String>,
    bus: VecDeque<(String, u32, Word)>,
    now_ns: u64,
    views: u64,
    incarnations: u64,
    /// Nodes that never say hello.
    mute: Vec<u32>,
}

fn configured(epoch: u64, name: &str) -> String {
    let resource =
        format!(r#"<resources><primitive id="{name}" class="ocf" type="x"/></resources>"#);
    let whole = CIB.replace("<resources/>", &resource);
    whole.replace("epoch=\"1\" num", &format!("epoch=\"{epoch}\" num"))
}

impl Site {
    fn new() -> Self {
        let mut site = Self {
            hosts: BTreeMap::new(),
            parts: BTreeMap::new(),
            bus: VecDeque::new(),
            now_ns: 1,
            views: 0,
            incarnations: 0,
            mute: Vec::new(),
        };
        for node in 1..=3 {
            let cib = Cib::parse(CIB, None).unwrap();
            site.start(node, (0, cib));
        }
        site
    }

    fn start(&mut self, node: u32, disk: (u64, Cib)) {
        self.incarnations += 1_000;
        let start = Start {
            cib: disk.1.clone(),
            era: disk.0,
            incarnation: self.incarnations,
        };
        let host = Host {
            replica: Replica::of(node, start),
            disk,
            hangs: false,
            answers: Vec::new(),
            lost: 0,
            logs: Vec::new(),
        };
        self.hosts.insert(node, host);
    }

    fn crash(&mut self, node: u32) {
        let disk = self.hosts.remove(&node).unwrap().disk;
        self.parts.remove(&node);
        self.start(node, disk);
    }

    /// These nodes are one view now, and everything that follows from it happens.
    fn view(&mut self, members: &[u32]) {
        self.views += 1;
        let name = format!("{}.{}", self.views, members[0]);
        for node in members {
            let view = View {
                name: name.clone(),
                members: members.to_vec(),
                nodes: (1..=3).map(|n| (n, format!("n{n}"), 1)).collect(),
                quorate: members.len() >= 2,
                expected_votes: 3,
            };
            self.parts.insert(*node, name.clone());
            let host = self.hosts.get_mut(node).unwrap();
            host.replica.handle_view(self.now_ns, view, Vec::new());
        }
        self.run();
    }

    fn run(&mut self) {
        loop {
            let nodes: Vec<u32> = self.hosts.keys().copied().collect();
            for node in nodes {
                self.drain(node);
            }
            let Some((part, from, word)) = self.bus.pop_front() else {
                return;
            };
            let there = self.parts.iter().filter(|(_, known)| **known == part);
            let there: Vec<u32> = there.map(|(node, _)| *node).collect();
            for node in there {
                let host = self.hosts.get_mut(&node).unwrap();
                host.replica
                    .handle_word(self.now_ns, from, word.clone(), Vec::new);
                self.drain(node);
            }
        }
    }

    fn drain(&mut self, node: u32) {
        let host = self.hosts.get_mut(&node).unwrap();
        while let Some(output) = host.replica.poll() {
            match output {
                Output::Send(Word::Hello(_)) if self.mute.contains(&node) => {}
                Output::Send(word) => {
                    let bytes = word.encode();
                    let word = Word::decode(&bytes).expect("what was encoded");
                    if let Some(part) = self.parts.get(&node) {
                        self.bus.push_back((part.clone(), node, word));
                    }
                }
                Output::Store {
                    round,
                    number,
                    era,
                    cib,
                } if !host.hangs => {
                    host.disk = (era, *cib);
                    host.replica.handle_stored(&round, number);
                }
                Output::Answer { number, answer } => host.answers.push((number, answer)),
                Output::Lost { .. } => host.lost += 1,
                Output::Log(text) => host.logs.push(text),
                _ => {}
            }
        }
    }

    fn replace(&mut self, node: u32, cib: String) -> Option<Answer> {
        self.replace_for(node, cib, None)
    }

    fn replace_for(&mut self, node: u32, cib: String, forced: Option<&str>) -> Option<Answer> {
        let forced = forced.map(str::to_owned);
        let host = self.hosts.get_mut(&node).unwrap();
        let number = host.replica.propose(Change::Replace { cib, forced });
        self.run();
        self.answer(node, number)
    }

    fn answer(&self, node: u32, number: u64) -> Option<Answer> {
        let answers = &self.hosts[&node].answers;
        let found = answers.iter().find(|(known, _)| *known == number);
        found.map(|(_, answer)| answer.clone())
    }

    fn attribute(&mut self, node: u32, value: &str) {
        let change = Change::Attribute {
            node: self.node(node),
            name: "a".to_owned(),
            value: Some(value.to_owned()),
        };
        self.hosts.get_mut(&node).unwrap().replica.propose(change);
        self.run();
    }

    fn node(&self, node: u32) -> NodeRef {
        NodeRef {
            uname: format!("n{node}"),
            id: node.to_string(),
        }
    }

    fn text(&self, node: u32) -> String {
        self.hosts[&node].replica.cib().to_text()
    }

    fn has(&self, node: u32, name: &str) -> bool {
        let resources = self.hosts[&node].replica.cib().section(Section::Resources);
        resources.is_some_and(|list| list.children().any(|one| one.id() == name))
    }

    fn state(&self, at: u32, of: u32, attribute: &str) -> String {
        let status = self.hosts[&at].replica.cib().section(Section::Status);
        let state = status.and_then(|s| s.children().find(|s| s.id() == of.to_string()));
        let value = state.and_then(|state| state.attr(attribute).map(str::to_owned));
        value.unwrap_or_default()
    }

    fn assert_one_copy(&self, nodes: &[u32]) {
        for node in nodes {
            assert_eq!(self.text(*node), self.text(nodes[0]), "node {node}");
            assert!(self.hosts[node].replica.is_synced(), "node {node}");
        }
    }
}

#[test]
fn all_start_together_and_changes_reach_everybody() {
    let mut site = Site::new();
    site.view(&[1, 2, 3]);
    site.assert_one_copy(&[1, 2, 3]);
    assert_eq!(site.replace(2, configured(2, "a")), Some(Answer::Done));
    site.attribute(3, "x");
    site.assert_one_copy(&[1, 2, 3]);
    assert!(site.has(1, "a") && site.text(1).contains("value=\"x\""));
    assert!(site.hosts[&1].replica.is_coordinator());
    assert_eq!(site.state(2, 3, "join"), "member");
    assert!(
        site.hosts.values().all(|host| host.disk.0 == 1),
        "the first era"
    );
}

#[test]
fn the_coordinator_stays_when_a_lower_node_returns() {
    let mut site = Site::new();
    site.view(&[1, 2, 3]);
    site.crash(1);
    site.view(&[2, 3]);
    assert!(site.hosts[&2].replica.is_coordinator());
    assert_eq!(site.state(3, 1, "in_ccm"), "false");
    assert_eq!(site.state(3, 1, "expected"), "member", "it did not leave");
    site.view(&[1, 2, 3]);
    site.assert_one_copy(&[1, 2, 3]);
    assert!(site.hosts[&2].replica.is_coordinator());
    assert_eq!(site.state(3, 1, "in_ccm"), "true");
}

#[test]
fn an_acknowledged_change_is_on_a_quorum_of_disks() {
    let mut site = Site::new();
    site.view(&[1, 2, 3]);
    site.hosts.get_mut(&2).unwrap().hangs = true;
    assert_eq!(
        site.replace(1, configured(2, "a")),
        Some(Answer::Done),
        "two of three"
    );
    site.hosts.get_mut(&3).unwrap().hangs = true;
    assert_eq!(site.replace(1, configured(3, "b")), None, "one of three");
    assert!(site.has(3, "b"), "and yet in force");
}

#[test]
fn without_quorum_a_change_is_refused_unless_forced_and_loses_against_the_quorate_side() {
    let mut site = Site::new();
    site.view(&[1, 2, 3]);
    site.view(&[1]);
    site.view(&[2, 3]);
    let refused = site.replace(1, configured(9, "lonely"));
    assert!(matches!(refused, Some(Answer::Refused(_))), "{refused:?}");
    let forced = site.replace_for(1, configured(9, "lonely"), Some("the others burn"));
    assert_eq!(forced, Some(Answer::Done));
    assert_eq!(
        site.replace(3, configured(2, "quorate")),
        Some(Answer::Done)
    );
    site.view(&[1, 2, 3]);
    site.assert_one_copy(&[1, 2, 3]);
    assert!(
        site.has(1, "quorate") && !site.has(1, "lonely"),
        "whatever its version says"
    );
    assert_eq!(site.hosts[&1].lost, 1, "kept for the operator");
    assert_eq!(site.hosts[&2].lost, 0);
}

#[test]
fn the_last_quorate_view_is_known_after_everybody_was_down() {
    let mut site = Site::new();
    site.view(&[1, 2, 3]);
    site.view(&[2, 3]);
    assert_eq!(site.replace(2, configured(2, "new")), Some(Answer::Done));
    // The old one is given a greater version by hand, as an operator with an editor would.
    for node in 1..=3 {
        site.crash(node);
    }
    let by_hand = Cib::parse(&configured(50, "by-hand"), None).unwrap();
    let era = site.hosts[&1].disk.0;
    site.start(1, (era, by_hand));
    site.view(&[1, 2]);
    site.assert_one_copy(&[1, 2]);
    assert!(site.has(1, "new") && !site.has(1, "by-hand"));
}

#[test]
fn a_change_that_was_under_way_is_made_once() {
    let mut site = Site::new();
    site.view(&[1, 2, 3]);
    // Said, and not delivered to anybody: the view ends before.
    let change = Change::Attribute {
        node: site.node(3),
        name: "a".to_owned(),
        value: Some("late".to_owned()),
    };
    site.hosts
        .get_mut(&3)
        .unwrap()
        .replica
        .propose(change.clone());
    site.drain(3);
    site.bus.clear();
    site.view(&[2, 3]);
    assert!(site.text(2).contains("late"));
    // Delivered to node 2 alone, which goes on with node 3 after a cut.
    site.hosts
        .get_mut(&3)
        .unwrap()
        .replica
        .propose(Change::Cleanup { resource: None });
    site.drain(3);
    let (_, from, word) = site.bus.pop_front().unwrap();
    site.parts.remove(&3);
    let two = site.hosts.get_mut(&2).unwrap();
    two.replica.handle_word(1, from, word, Vec::new);
    let mut applied = 0;
    while let Some(output) = two.replica.poll() {
        applied += usize::from(matches!(output, Output::Applied { .. }));
    }
    assert_eq!(applied, 1);
    site.view(&[2, 3]);
    site.assert_one_copy(&[2, 3]);
    let version = site.hosts[&2].replica.standing().line.unwrap().1;
    assert_eq!(version, 0, "the change that came again did nothing");
}

#[test]
fn copies_that_differ_are_found_and_healed_from_the_coordinator() {
    let mut site = Site::new();
    site.view(&[1, 2, 3]);
    let three = &mut site.hosts.get_mut(&3).unwrap().replica;
    three.cib_mut().set_ticket_state("bit-rot", true, false);
    site.now_ns = site.hosts[&1].replica.next_timeout().unwrap();
    let now_ns = site.now_ns;
    site.hosts
        .get_mut(&1)
        .unwrap()
        .replica
        .handle_timeout(now_ns);
    site.run();
    site.assert_one_copy(&[1, 2, 3]);
    assert!(!site.text(3).contains("bit-rot"));
    assert!(
        site.hosts[&1]
            .logs
            .iter()
            .any(|text| text.contains("differ"))
    );
}

#[test]
fn a_node_without_a_replica_is_left_out_and_joins_when_it_listens() {
    let mut site = Site::new();
    site.mute = vec![3];
    site.view(&[1, 2, 3]);
    assert!(!site.hosts[&1].replica.is_synced());
    site.now_ns += SKIP_AFTER_NS;
    let now_ns = site.now_ns;
    site.hosts
        .get_mut(&1)
        .unwrap()
        .replica
        .handle_timeout(now_ns);
    site.mute.clear();
    site.run();
    // Node 3 hears that it was left out, and asks everybody again.
    site.assert_one_copy(&[1, 2, 3]);
    assert_eq!(site.hosts[&1].replica.members(), [1, 2, 3]);
    assert_eq!(site.state(1, 3, "join"), "member");
}

#[test]
fn who_leaves_in_order_is_expected_to_be_down() {
    let mut site = Site::new();
    site.view(&[1, 2, 3]);
    let node = site.node(3);
    let shutdown = Change::Attribute {
        node: node.clone(),
        name: "shutdown".to_owned(),
        value: Some("5".to_owned()),
    };
    let three = &mut site.hosts.get_mut(&3).unwrap().replica;
    three.propose(shutdown);
    three.propose(Change::Leave { node });
    site.run();
    site.view(&[1, 2, 3]);
    assert_eq!(
        site.state(1, 3, "expected"),
        "down",
        "another view does not take it back"
    );
    site.crash(3);
    site.view(&[1, 2]);
    assert_eq!(site.state(1, 3, "expected"), "down");
    site.view(&[1, 2, 3]);
    assert_eq!(site.state(1, 3, "expected"), "member", "it is back");
}

#[test]
fn words_of_another_round_change_nothing() {
    let mut site = Site::new();
    site.view(&[1, 2, 3]);
    let before = site.text(1);
    let old = Word::Change {
        round: Round::default(),
        number: 99,
        change: Box::new(Change::Replace {
            cib: configured(7, "old"),
            forced: None,
        }),
    };
    let one = site.hosts.get_mut(&1).unwrap();
    one.replica.handle_word(5, 2, old, Vec::new);
    assert_eq!(site.text(1), before);
    assert_eq!(Word::decode(&[255, 1, 2]), None);
}
