//! Groups of four, in chains of eight, above a few clones.

use std::fmt::Write as _;

use super::xml::{Done, pairs, set};

/// The members of each group, in their order.
const MEMBERS: [&str; 4] = ["disk", "address", "database", "shop"];

/// Groups in a chain of optional orderings and weak colocations.
const CHAIN: usize = 8;

/// How many nodes and resources there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Groups {
    pub(crate) nodes: usize,
    pub(crate) groups: usize,
    pub(crate) clones: usize,
    /// Whether everything runs where it should (else nothing is known yet).
    pub(crate) running: bool,
}

impl Groups {
    pub(crate) fn name(&self) -> String {
        let state = if self.running { "running" } else { "cold" };
        format!("groups {}x{} {state}", self.nodes, self.groups)
    }

    /// The CIB.
    pub(crate) fn cib(&self) -> String {
        let options = [
            ("stonith-enabled", "false"),
            ("no-quorum-policy", "stop"),
            ("batch-limit", "0"),
        ];
        let mut text = format!(
            r#"<cib validate-with="pacemaker-3.0" crm_feature_set="3.16.1" admin_epoch="0" epoch="1" num_updates="0" have-quorum="1" dc-uuid="1"><configuration><crm_config>{}</crm_config><nodes>"#,
            set("cluster_property_set", "options", &options)
        );
        for node in 1..=self.nodes {
            let _ = write!(text, r#"<node id="{node}" uname="node{node}"/>"#);
        }
        text.push_str("</nodes><resources>");
        for clone in 0..self.clones {
            let values = [("interleave", "true")];
            let meta = set("meta_attributes", &format!("base{clone}-meta"), &values);
            let inside = primitive(&format!("base{clone}"));
            let _ = write!(
                text,
                r#"<clone id="base{clone}-clone">{inside}{meta}</clone>"#
            );
        }
        for group in 0..self.groups {
            let _ = write!(text, r#"<group id="group{group}">"#);
            for member in MEMBERS {
                text.push_str(&primitive(&format!("{member}{group}")));
            }
            text.push_str("</group>");
        }
        text.push_str("</resources><constraints>");
        for group in 0..self.groups {
            self.constrain(group, &mut text);
        }
        let stickiness = set(
            "meta_attributes",
            "defaults",
            &[("resource-stickiness", "200")],
        );
        let _ = write!(
            text,
            "</constraints><rsc_defaults>{stickiness}</rsc_defaults></configuration><status>"
        );
        for node in 1..=self.nodes {
            self.state(node, &mut text);
        }
        text.push_str("</status></cib>");
        text
    }

    fn constrain(&self, group: usize, text: &mut String) {
        let (first, second) = (group % self.nodes + 1, (group * 7 + 3) % self.nodes + 1);
        let _ = write!(
            text,
            r#"<rsc_location id="first{group}" rsc="group{group}" node="node{first}" score="100"/><rsc_location id="second{group}" rsc="group{group}" node="node{second}" score="50"/>"#
        );
        if let Some(clone) = group.checked_rem(self.clones) {
            let _ = write!(
                text,
                r#"<rsc_order id="above{group}" first="base{clone}-clone" then="group{group}" kind="Mandatory"/>"#
            );
        }
        if !group.is_multiple_of(CHAIN) {
            let before = group - 1;
            let _ = write!(
                text,
                r#"<rsc_order id="after{group}" first="group{before}" then="group{group}" kind="Optional"/><rsc_colocation id="near{group}" rsc="group{group}" with-rsc="group{before}" score="10"/>"#
            );
        }
    }

    fn state(&self, node: usize, text: &mut String) {
        let _ = write!(
            text,
            r#"<node_state id="{node}" uname="node{node}" in_ccm="true" crmd="online" join="member" expected="member">"#
        );
        if self.running {
            let _ = write!(text, r#"<lrm id="{node}"><lrm_resources>"#);
            for clone in 0..self.clones {
                history(&format!("base{clone}"), node, true, text);
            }
            for group in 0..self.groups {
                for member in MEMBERS {
                    let here = group % self.nodes + 1 == node;
                    history(&format!("{member}{group}"), node, here, text);
                }
            }
            text.push_str("</lrm_resources></lrm>");
        }
        text.push_str("</node_state>");
    }
}

fn primitive(id: &str) -> String {
    let state = format!("/tmp/{id}");
    let parameters = pairs(&format!("{id}-params"), &[("state", &state)]);
    format!(
        r#"<primitive id="{id}" class="ocf" provider="pacemaker" type="Dummy"><instance_attributes id="{id}-params">{parameters}</instance_attributes><operations><op id="{id}-monitor" name="monitor" interval="10s" timeout="20s"/><op id="{id}-start" name="start" interval="0s" timeout="20s"/><op id="{id}-stop" name="stop" interval="0s" timeout="20s"/></operations></primitive>"#
    )
}

fn history(id: &str, node: usize, here: bool, text: &mut String) {
    let (name, state) = (format!("node{node}"), format!("/tmp/{id}"));
    let done = |operation, call, rc, interval| {
        Done {
            resource: id,
            node: &name,
            operation,
            call,
            rc,
            interval,
            parameters: &[("state", &state)],
        }
        .to_string()
    };
    let records = if here {
        done("start", 2, 0, 0) + &done("monitor", 3, 0, 10_000)
    } else {
        done("monitor", 1, 7, 0)
    };
    let _ = write!(
        text,
        r#"<lrm_resource id="{id}" type="Dummy" class="ocf" provider="pacemaker">{records}</lrm_resource>"#
    );
}
