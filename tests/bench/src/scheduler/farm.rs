//! A farm of virtual machines on shared storage, as one meets it.

use std::fmt::Write as _;

use super::xml::{Done, pairs, set};

/// Tickets that machines and promotable clones are spread over.
const TICKETS: usize = 4;

/// What every volume group waits for.
const BASE: [&str; 3] = ["ping", "dlm", "lvmlockd"];

/// What runs beside the promoted instance of each promotable clone.
const BESIDE: [&str; 3] = ["mount", "address", "database"];

/// What has just happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Nothing is known yet.
    Cold,
    /// The first node goes to standby.
    Standby,
    /// The first node is lost and must be fenced.
    Lost,
    /// The first ticket is revoked.
    Revoke,
}

impl Event {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Standby => "standby",
            Self::Lost => "lost",
            Self::Revoke => "revoke",
        }
    }
}

/// How much of everything there is: a fencing device per node, interleaved clones from the lock
/// manager up to a volume group and a file system per stack, machines that can migrate, promotable
/// clones that carry a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Farm {
    pub(crate) nodes: usize,
    pub(crate) machines: usize,
    pub(crate) promotable: usize,
    pub(crate) stacks: usize,
}

/// How a resource is on a node.
#[derive(Debug, Clone, Copy)]
enum Here {
    On,
    Off,
    Promoted,
    Unpromoted,
}

impl Farm {
    fn node(number: usize) -> String {
        format!("node{number:02}")
    }

    fn stack(&self) -> Vec<String> {
        let stacks = (0..self.stacks).flat_map(|k| [format!("vg{k}"), format!("gfs{k}")]);
        BASE.iter().map(|b| (*b).to_owned()).chain(stacks).collect()
    }

    /// The CIB.
    pub(crate) fn cib(&self, event: Event) -> String {
        let options = [
            ("stonith-enabled", "true"),
            ("placement-strategy", "balanced"),
            ("no-quorum-policy", "stop"),
        ];
        let mut text = format!(
            r#"<cib validate-with="pacemaker-3.9" crm_feature_set="3.16.1" admin_epoch="0" epoch="1" num_updates="0" have-quorum="1" dc-uuid="2"><configuration><crm_config>{}</crm_config><nodes>"#,
            set("cluster_property_set", "options", &options)
        );
        for number in 1..=self.nodes {
            self.node_element(number, event, &mut text);
        }
        text.push_str("</nodes><resources>");
        self.resources(&mut text);
        text.push_str("</resources><constraints>");
        self.order_storage(&mut text);
        (0..self.machines).for_each(|v| self.constrain_machine(v, &mut text));
        (0..self.promotable).for_each(|p| constrain_promotable(p, &mut text));
        text.push_str("</constraints><fencing-topology>");
        for n in 1..=self.nodes {
            let name = Self::node(n);
            let _ = write!(
                text,
                r#"<fencing-level id="level{n}" target="{name}" index="1" devices="fence{n}"/>"#
            );
        }
        let defaults = [("resource-stickiness", "100"), ("migration-threshold", "3")];
        let defaults = set("meta_attributes", "defaults", &defaults);
        let _ = write!(
            text,
            "</fencing-topology><rsc_defaults>{defaults}</rsc_defaults></configuration><status>"
        );
        text.push_str("<tickets>");
        for t in 0..TICKETS {
            let granted = event != Event::Revoke || t > 0;
            let _ = write!(text, r#"<ticket_state id="T{t}" granted="{granted}"/>"#);
        }
        text.push_str("</tickets>");
        let mut call = 0;
        for n in 1..=self.nodes {
            self.state(n, event, &mut call, &mut text);
        }
        text.push_str("</status></cib>");
        text
    }

    fn node_element(&self, number: usize, event: Event, text: &mut String) {
        let memory = (self.machines * 8 / self.nodes * 2 + 64).to_string();
        let cpu = (self.machines * 2 / self.nodes * 2 + 16).to_string();
        let offers = [("hv_memory", memory.as_str()), ("cpu", cpu.as_str())];
        let offers = set("utilization", &format!("offers{number}"), &offers);
        let standby = if event == Event::Standby && number == 1 {
            set("instance_attributes", "leaving", &[("standby", "on")])
        } else {
            String::new()
        };
        let name = Self::node(number);
        let _ = write!(
            text,
            r#"<node id="{number}" uname="{name}">{standby}{offers}</node>"#
        );
    }

    fn resources(&self, text: &mut String) {
        for n in 1..=self.nodes {
            let node = Self::node(n);
            let hosts = pairs(&format!("fence{n}-params"), &[("pcmk_host_list", &node)]);
            let _ = write!(
                text,
                r#"<primitive id="fence{n}" class="stonith" type="fence_ipmilan"><instance_attributes id="fence{n}-params">{hosts}</instance_attributes><operations><op id="fence{n}-monitor" name="monitor" interval="60s" timeout="20s"/></operations></primitive>"#
            );
        }
        for id in self.stack() {
            let inside = primitive(&id, "Dummy", "", false);
            clone(&id, &inside, &[("interleave", "true")], text);
        }
        for v in 0..self.machines {
            let (id, priority) = (format!("vm{v}"), (v % 5).to_string());
            let meta = [("allow-migrate", "true"), ("priority", priority.as_str())];
            let meta = set("meta_attributes", &format!("{id}-meta"), &meta);
            let (memory, cpu) = ((4 + v % 8).to_string(), (1 + v % 3).to_string());
            let needs = [("hv_memory", memory.as_str()), ("cpu", cpu.as_str())];
            let needs = set("utilization", &format!("{id}-needs"), &needs);
            text.push_str(&primitive(&id, "Dummy", &(meta + &needs), false));
        }
        for p in 0..self.promotable {
            let id = format!("drbd{p}");
            let meta = [
                ("promotable", "true"),
                ("clone-max", "2"),
                ("notify", "true"),
                ("interleave", "true"),
            ];
            clone(&id, &primitive(&id, "Stateful", "", true), &meta, text);
            let _ = write!(text, r#"<group id="beside{p}">"#);
            for member in BESIDE {
                text.push_str(&primitive(&format!("{member}{p}"), "Dummy", "", false));
            }
            text.push_str("</group>");
        }
    }

    /// Volume groups wait for the lock manager, file systems for their volume group.
    fn order_storage(&self, text: &mut String) {
        let mut steps = vec![("dlm".to_owned(), "lvmlockd".to_owned())];
        for k in 0..self.stacks {
            steps.push(("lvmlockd".into(), format!("vg{k}")));
            steps.push((format!("vg{k}"), format!("gfs{k}")));
        }
        for (number, (first, then)) in steps.iter().enumerate() {
            let name = format!("storage{number}");
            both(&name, &format!("{first}-c"), &format!("{then}-c"), text);
        }
    }

    fn constrain_machine(&self, v: usize, text: &mut String) {
        if let Some(k) = v.checked_rem(self.stacks) {
            both(
                &format!("on{v}"),
                &format!("gfs{k}-c"),
                &format!("vm{v}"),
                text,
            );
        }
        let _ = write!(
            text,
            r#"<rsc_location id="net{v}" rsc="vm{v}"><rule id="net{v}-rule" score="-INFINITY" boolean-op="or"><expression id="net{v}-none" attribute="pingd" operation="not_defined"/><expression id="net{v}-few" attribute="pingd" operation="lt" value="1" type="integer"/></rule></rsc_location>"#
        );
        if v.is_multiple_of(3) {
            let t = v % TICKETS;
            let _ = write!(
                text,
                r#"<rsc_ticket id="ticket-vm{v}" rsc="vm{v}" ticket="T{t}" loss-policy="stop"/>"#
            );
        }
    }

    fn state(&self, n: usize, event: Event, call: &mut usize, text: &mut String) {
        let there = if event == Event::Lost && n == 1 {
            r#"in_ccm="false" crmd="offline" join="down""#
        } else {
            r#"in_ccm="true" crmd="online" join="member""#
        };
        let name = Self::node(n);
        let mut values = vec![("pingd".to_owned(), "1000".to_owned())];
        for p in 0..self.promotable {
            match self.here(p, n) {
                Here::Promoted => values.push((format!("master-drbd{p}"), "10".into())),
                Here::Unpromoted => values.push((format!("master-drbd{p}"), "5".into())),
                _ => {}
            }
        }
        let values: Vec<(&str, &str)> = values.iter().map(|(n, v)| (&**n, &**v)).collect();
        let values = set("instance_attributes", &format!("status-{n}"), &values);
        let _ = write!(
            text,
            r#"<node_state id="{n}" uname="{name}" {there} expected="member"><transient_attributes id="{n}">{values}</transient_attributes><lrm id="{n}"><lrm_resources>"#
        );
        if event != Event::Cold {
            self.history(n, call, text);
        }
        text.push_str("</lrm_resources></lrm></node_state>");
    }

    /// Where the instances of a promotable clone, and what they carry, are.
    fn here(&self, p: usize, n: usize) -> Here {
        if n == p % self.nodes + 1 {
            Here::Promoted
        } else if n == (p + 1) % self.nodes + 1 {
            Here::Unpromoted
        } else {
            Here::Off
        }
    }

    fn history(&self, n: usize, call: &mut usize, text: &mut String) {
        let name = Self::node(n);
        for k in 1..=self.nodes {
            let (id, host) = (format!("fence{k}"), Self::node(k));
            let parameters = [("pcmk_host_list", host.as_str())];
            // No device runs on the node that it fences.
            let here = if k % self.nodes + 1 == n {
                Here::On
            } else {
                Here::Off
            };
            let what = (id.as_str(), r#"type="fence_ipmilan" class="stonith""#);
            record(what, &name, here, 60_000, &parameters, call, text);
        }
        let mut ocf = |id: &str, kind: &str, here: Here| {
            let state = format!("/tmp/{id}");
            let agent = format!(r#"type="{kind}" class="ocf" provider="pacemaker""#);
            let parameters = [("state", state.as_str())];
            record((id, &agent), &name, here, 10_000, &parameters, call, text);
        };
        let on = |there: bool| if there { Here::On } else { Here::Off };
        for id in self.stack() {
            ocf(&id, "Dummy", Here::On);
        }
        for v in 0..self.machines {
            ocf(&format!("vm{v}"), "Dummy", on(v % self.nodes + 1 == n));
        }
        for p in 0..self.promotable {
            ocf(&format!("drbd{p}"), "Stateful", self.here(p, n));
            for member in BESIDE {
                let there = matches!(self.here(p, n), Here::Promoted);
                ocf(&format!("{member}{p}"), "Dummy", on(there));
            }
        }
    }
}

/// An ordering and the colocation that goes with it.
fn both(name: &str, first: &str, then: &str, text: &mut String) {
    let _ = write!(
        text,
        r#"<rsc_order id="{name}-order" first="{first}" then="{then}" kind="Mandatory"/><rsc_colocation id="{name}-with" rsc="{then}" with-rsc="{first}" score="INFINITY"/>"#
    );
}

fn constrain_promotable(p: usize, text: &mut String) {
    let t = p % TICKETS;
    let _ = write!(
        text,
        r#"<rsc_order id="promoted{p}-order" first="drbd{p}-c" then="beside{p}" first-action="promote" then-action="start" kind="Mandatory"/><rsc_colocation id="promoted{p}-with" rsc="beside{p}" with-rsc="drbd{p}-c" with-rsc-role="Promoted" score="INFINITY"/><rsc_ticket id="ticket-drbd{p}" rsc="drbd{p}-c" rsc-role="Promoted" ticket="T{t}" loss-policy="demote"/>"#
    );
}

fn primitive(id: &str, kind: &str, sets: &str, roles: bool) -> String {
    let state = format!("/tmp/{id}");
    let parameters = set(
        "instance_attributes",
        &format!("{id}-params"),
        &[("state", &state)],
    );
    let monitor = |suffix: &str, interval: &str, role: &str| {
        format!(
            r#"<op id="{id}-monitor{suffix}" name="monitor" interval="{interval}" timeout="20s"{role}/>"#
        )
    };
    let operations = if roles {
        monitor("", "10s", r#" role="Promoted""#) + &monitor("2", "11s", r#" role="Unpromoted""#)
    } else {
        monitor("", "10s", "")
    };
    format!(
        r#"<primitive id="{id}" class="ocf" provider="pacemaker" type="{kind}">{parameters}{sets}<operations>{operations}</operations></primitive>"#
    )
}

fn clone(id: &str, inside: &str, meta: &[(&str, &str)], text: &mut String) {
    let meta = set("meta_attributes", &format!("{id}-clone-meta"), meta);
    let _ = write!(text, r#"<clone id="{id}-c">{inside}{meta}</clone>"#);
}

/// A resource's history on a node: its id and agent, how it is there, and how often it is looked at.
fn record(
    (id, agent): (&str, &str),
    node: &str,
    here: Here,
    interval: u32,
    parameters: &[(&str, &str)],
    call: &mut usize,
    text: &mut String,
) {
    *call += 2;
    let first = *call;
    let done = |operation, call, rc, interval| {
        Done {
            resource: id,
            node,
            operation,
            call,
            rc,
            interval,
            parameters,
        }
        .to_string()
    };
    let records = match here {
        Here::On => done("start", first, 0, 0) + &done("monitor", first + 1, 0, interval),
        Here::Promoted => done("promote", first, 0, 0) + &done("monitor", first + 1, 8, interval),
        Here::Unpromoted => {
            done("start", first, 0, 0) + &done("monitor", first + 1, 0, interval + 1000)
        }
        Here::Off => done("monitor", first, 7, 0),
    };
    let _ = write!(
        text,
        r#"<lrm_resource id="{id}" {agent}>{records}</lrm_resource>"#
    );
}
