//! Many nodes whose capacities do not order them: one has more memory, another more processors.

use std::fmt::Write as _;

use cib::Cib;
use scheduler::{ActionKind, Inputs, Transition};

const NODES: usize = 48;
const MACHINES: usize = 60;
const KINDS: [&str; 3] = ["cpu", "memory", "disk"];

/// What a node offers (`size` 0) or a machine needs, different for each and each kind.
fn amount(index: usize, kind: usize) -> usize {
    let shuffled = (index + 1) * [7, 11, 13][kind] * (index + 3);
    20 + shuffled % 17
}

fn utilization(id: &str, amounts: impl Fn(usize) -> usize) -> String {
    let pairs = KINDS.iter().enumerate().map(|(kind, name)| {
        let value = amounts(kind);
        format!("<nvpair id='{id}-{name}' name='{name}' value='{value}'/>")
    });
    format!(
        "<utilization id='{id}-u'>{}</utilization>",
        pairs.collect::<String>()
    )
}

fn schedule() -> Transition {
    let (mut nodes, mut machines, mut states) = (String::new(), String::new(), String::new());
    for n in 0..NODES {
        let offers = utilization(&format!("n{n}"), |kind| amount(n, kind));
        let _ = write!(nodes, "<node id='{n}' uname='n{n}'>{offers}</node>");
        let _ = write!(
            states,
            "<node_state id='{n}' uname='n{n}' in_ccm='true' crmd='online' join='member' \
             expected='member'/>"
        );
    }
    for m in 0..MACHINES {
        let needs = utilization(&format!("m{m}"), |kind| amount(m, kind) / 4);
        let _ = write!(
            machines,
            "<primitive id='m{m}' class='ocf' provider='pacemaker' type='Dummy'>{needs}</primitive>"
        );
    }
    let text = format!(
        "<cib have-quorum='1' dc-uuid='1'><configuration><crm_config>\
         <cluster_property_set id='o'><nvpair id='o1' name='fencing-enabled' value='false'/>\
         <nvpair id='o2' name='placement-strategy' value='balanced'/></cluster_property_set>\
         </crm_config><nodes>{nodes}</nodes><resources>{machines}</resources></configuration>\
         <status>{states}</status></cib>"
    );
    let cib = Cib::parse(&text, None).expect("the case is XML");
    let inputs = Inputs {
        now: 1_780_000_000,
        grants: None,
    };
    scheduler::schedule(&cib, &inputs)
}

#[test]
fn nodes_that_no_order_fits_are_compared_without_a_panic_and_none_is_overfull() {
    let transition = schedule();
    let mut used = [[0; KINDS.len()]; NODES];
    let mut started = 0;
    for action in transition.synapses.iter().map(|s| &s.action) {
        if action.operation != "start" || action.kind != ActionKind::Resource {
            continue;
        }
        started += 1;
        let number = |name: &str| name[1..].parse::<usize>().expect("a number");
        let node = number(&action.node.as_ref().expect("a node").uname);
        let machine = number(&action.resource.as_ref().expect("a resource").id);
        for (kind, sum) in used[node].iter_mut().enumerate() {
            *sum += amount(machine, kind) / 4;
        }
    }
    assert_eq!(started, MACHINES, "there is room for all");
    for (n, sums) in used.iter().enumerate() {
        for (kind, sum) in sums.iter().enumerate() {
            assert!(
                *sum <= amount(n, kind),
                "n{n} has too little {}",
                KINDS[kind]
            );
        }
    }
}
