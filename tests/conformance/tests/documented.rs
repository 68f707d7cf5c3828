//! Small cases of our own: what the documentation promises, in the words of an administrator.

use cib::Cib;
use scheduler::{Grant, Inputs, Transition};

const NOW: i64 = 1_780_000_000;

/// A cluster of `paris` and `berlin` without fencing.
struct Cluster {
    resources: String,
    constraints: String,
    history: [String; 2],
}

impl Cluster {
    fn new(resources: &str) -> Self {
        Self {
            resources: resources.into(),
            constraints: String::new(),
            history: [String::new(), String::new()],
        }
    }

    fn constraint(mut self, text: &str) -> Self {
        self.constraints.push_str(text);
        self
    }

    /// Records operations of a resource on the first (0) or second (1) node as successful.
    fn done(mut self, node: usize, rsc: &str, operations: &[(&str, u32, i32)]) -> Self {
        let mut text =
            format!("<lrm_resource id='{rsc}' class='ocf' provider='pacemaker' type='Dummy'>");
        for (call, (operation, interval, rc)) in operations.iter().enumerate() {
            let id = format!("{rsc}_{operation}_{interval}");
            let expected = if *operation == "monitor" { *rc } else { 0 };
            text += &format!(
                "<lrm_rsc_op id='{id}' operation_key='{id}' operation='{operation}' \
                 transition-key='1:1:{expected}:u' transition-magic='0:{rc};1:1:{expected}:u' \
                 call-id='{}' rc-code='{rc}' op-status='0' interval='{interval}' op-digest='{}'/>",
                call + 1,
                digest(*interval)
            );
        }
        text += "</lrm_resource>";
        self.history[node].push_str(&text);
        self
    }

    fn schedule(&self, grants: Option<Vec<Grant>>) -> Transition {
        let state = |id: usize, name: &str| {
            format!(
                "<node_state id='{id}' uname='{name}' in_ccm='true' crmd='online' join='member' \
                 expected='member'><lrm id='{id}'><lrm_resources>{}</lrm_resources></lrm>\
                 </node_state>",
                self.history[id - 1]
            )
        };
        let text = format!(
            "<cib have-quorum='1' dc-uuid='1'><configuration><crm_config>\
             <cluster_property_set id='o'>\
             <nvpair id='o1' name='fencing-enabled' value='false'/></cluster_property_set>\
             </crm_config><nodes><node id='1' uname='paris'/><node id='2' uname='berlin'/></nodes>\
             <resources>{}</resources><constraints>{}</constraints></configuration>\
             <status>{}{}</status></cib>",
            self.resources,
            self.constraints,
            state(1, "paris"),
            state(2, "berlin")
        );
        let cib = Cib::parse(&text, None).expect("the case is XML");
        scheduler::schedule(&cib, &Inputs { now: NOW, grants })
    }
}

/// What the operations of a resource without parameters are recorded with.
fn digest(interval: u32) -> String {
    let timeout = [("CRM_meta_timeout", "20000")];
    cib::digest::of(if interval > 0 { &timeout } else { &[] })
}

fn primitive(id: &str) -> String {
    format!(
        "<primitive id='{id}' class='ocf' provider='pacemaker' type='Dummy'><operations>\
         <op id='{id}-m' name='monitor' interval='10s'/></operations></primitive>"
    )
}

/// Every real action but probes, as `operation resource@node`, in an order that respects inputs.
fn actions(transition: &Transition) -> Vec<String> {
    let mut done: Vec<u32> = Vec::new();
    let mut list = Vec::new();
    let all = &transition.synapses;
    while done.len() < all.len() {
        let next = all
            .iter()
            .filter(|s| !done.contains(&s.action.id))
            .filter(|s| s.inputs.iter().all(|i| done.contains(i)))
            .min_by_key(|s| s.action.id)
            .expect("no circle");
        done.push(next.action.id);
        let action = &next.action;
        let probe = action.operation == "monitor" && action.interval_ms == 0;
        if let (Some(node), Some(resource), false) = (&action.node, &action.resource, probe) {
            list.push(format!(
                "{} {}@{}",
                action.operation, resource.id, node.uname
            ));
        }
    }
    list
}

const STARTED: &[(&str, u32, i32)] = &[("start", 0, 0), ("monitor", 10_000, 0)];
const ABSENT: &[(&str, u32, i32)] = &[("monitor", 0, 7)];

#[test]
fn a_resource_is_probed_everywhere_before_it_is_started_once() {
    let transition = Cluster::new(&primitive("db")).schedule(None);
    let started = transition
        .synapses
        .iter()
        .find(|s| s.action.operation == "start")
        .expect("a start");
    assert_eq!(started.inputs.len(), 2, "both probes come first");
    assert_eq!(
        actions(&transition),
        ["start db@berlin", "monitor db@berlin"]
    );
}

#[test]
fn what_runs_stays() {
    let cluster = Cluster::new(&primitive("db"))
        .done(0, "db", STARTED)
        .done(1, "db", ABSENT);
    assert_eq!(actions(&cluster.schedule(None)), Vec::<String>::new());
}

#[test]
fn a_failed_resource_is_stopped_and_started_where_it_is() {
    let failed: &[(&str, u32, i32)] = &[("start", 0, 0)];
    let mut cluster = Cluster::new(&primitive("db"))
        .done(0, "db", failed)
        .done(1, "db", ABSENT);
    cluster.history[0] = cluster.history[0].replace(
        "</lrm_resource>",
        "<lrm_rsc_op id='db_last_failure_0' operation_key='db_monitor_10000' operation='monitor' \
         transition-key='1:1:0:u' transition-magic='0:7;1:1:0:u' call-id='9' rc-code='7' \
         op-status='0' interval='10000'/></lrm_resource>",
    );
    let done = actions(&cluster.schedule(None));
    assert_eq!(
        done,
        ["stop db@paris", "start db@paris", "monitor db@paris"]
    );
}

#[test]
fn a_group_starts_in_order_on_one_node() {
    let group = format!(
        "<group id='g'>{}{}</group>",
        primitive("ip"),
        primitive("db")
    );
    let done = actions(&Cluster::new(&group).schedule(None));
    let place = |what: &str| done.iter().position(|d| d.starts_with(what));
    assert!(place("start ip@") < place("start db@"), "{done:?}");
    let nodes: Vec<_> = done.iter().filter_map(|d| d.split('@').nth(1)).collect();
    assert!(nodes.iter().all(|n| *n == nodes[0]), "{done:?}");
}

#[test]
fn a_banned_resource_moves() {
    let cluster = Cluster::new(&primitive("db"))
        .constraint("<rsc_location id='l' rsc='db' node='paris' score='-INFINITY'/>")
        .done(0, "db", STARTED)
        .done(1, "db", ABSENT);
    let done = actions(&cluster.schedule(None));
    assert_eq!(
        done,
        ["stop db@paris", "start db@berlin", "monitor db@berlin"]
    );
}

fn grant(granted: bool, standby: bool) -> Option<Vec<Grant>> {
    Some(vec![Grant {
        ticket: "T".into(),
        granted,
        standby,
    }])
}

#[test]
fn a_resource_runs_only_while_its_ticket_is_held() {
    let cluster = || {
        Cluster::new(&primitive("db"))
            .constraint("<rsc_ticket id='t' rsc='db' ticket='T' loss-policy='stop'/>")
    };
    let idle = || cluster().done(0, "db", ABSENT).done(1, "db", ABSENT);
    let none: Vec<String> = Vec::new();
    assert_eq!(actions(&idle().schedule(grant(false, false))), none);
    assert_eq!(actions(&idle().schedule(Some(Vec::new()))), none);
    assert_eq!(actions(&idle().schedule(grant(true, false))).len(), 2);
    let running = || cluster().done(0, "db", STARTED).done(1, "db", ABSENT);
    assert_eq!(actions(&running().schedule(grant(true, false))), none);
    assert_eq!(
        actions(&running().schedule(grant(false, false))),
        ["stop db@paris"]
    );
    assert_eq!(
        actions(&running().schedule(grant(true, true))),
        ["stop db@paris"]
    );
}

#[test]
fn the_same_input_gives_the_same_answer() {
    let clone = format!("<clone id='c'>{}</clone>", primitive("web"));
    let cluster = Cluster::new(&(clone + &primitive("db"))).constraint(
        "<rsc_order id='o' first='db' then='c'/><rsc_colocation id='k' rsc='c' with-rsc='db' \
         score='10'/>",
    );
    let first = tools::graph_xml(&cluster.schedule(None));
    for _ in 0..5 {
        assert_eq!(first, tools::graph_xml(&cluster.schedule(None)));
    }
}
