//! Pieces of a CIB.

use std::fmt::{Display, Write as _};

/// When everything recorded happened.
const THEN: &str = "1700000000";

/// `<nvpair>` elements with identifiers that begin alike.
pub(crate) fn pairs(prefix: &str, pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let _ = write!(
            text,
            r#"<nvpair id="{prefix}-{name}" name="{name}" value="{value}"/>"#
        );
    }
    text
}

/// A set of name-value pairs, `meta_attributes` or the like.
pub(crate) fn set(element: &str, id: &str, values: &[(&str, &str)]) -> String {
    format!(r#"<{element} id="{id}">{}</{element}>"#, pairs(id, values))
}

/// One result in a history, by which nothing has to be done again.
pub(crate) struct Done<'a> {
    pub(crate) resource: &'a str,
    pub(crate) node: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) call: usize,
    pub(crate) rc: u8,
    /// Milliseconds.
    pub(crate) interval: u32,
    /// Parameters of the agent.
    pub(crate) parameters: &'a [(&'a str, &'a str)],
}

impl Display for Done<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            resource,
            node,
            operation,
            call,
            rc,
            interval,
            ..
        } = self;
        let mut digested = self.parameters.to_vec();
        if *interval > 0 {
            digested.push(("CRM_meta_timeout", "20000"));
        }
        let digest = cib::digest::of(&digested);
        let probe = *operation == "monitor" && *interval == 0;
        let expected = match *operation {
            "monitor" if probe => 7,
            "monitor" => *rc,
            _ => 0,
        };
        let key = format!("1:1:{expected}:00000000-0000-0000-0000-000000000000");
        let id = if *interval > 0 {
            format!("monitor_{interval}")
        } else {
            "last_0".to_owned()
        };
        write!(
            out,
            r#"<lrm_rsc_op id="{resource}_{id}" operation_key="{resource}_{operation}_{interval}" operation="{operation}" crm-debug-origin="bench" crm_feature_set="3.16.1" transition-key="{key}" transition-magic="0:{rc};{key}" exit-reason="" on_node="{node}" call-id="{call}" rc-code="{rc}" op-status="0" interval="{interval}" last-rc-change="{THEN}" exec-time="10" queue-time="0" op-digest="{digest}"/>"#
        )
    }
}
