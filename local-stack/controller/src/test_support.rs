//! Actions for tests.

use scheduler::{Action, ActionKind, NodeName, ResourceName};

/// An action on node `n` of an agent `ocf:test:agent`.
pub(crate) fn action(id: u32, resource: &str, operation: &str) -> Action {
    let target_rc = if operation == "monitor" { 7 } else { 0 };
    Action {
        id,
        kind: ActionKind::Resource,
        operation: operation.to_owned(),
        key: format!("{resource}_{operation}_0"),
        internal_key: None,
        node: Some(NodeName {
            uname: "n".into(),
            id: "n".into(),
        }),
        router: None,
        resource: Some(ResourceName {
            id: resource.to_owned(),
            long_id: None,
            class: "ocf".into(),
            provider: Some("test".into()),
            kind: "agent".into(),
        }),
        attributes: vec![("CRM_meta_timeout".into(), "20000".into())],
        interval_ms: 0,
        timeout_ms: 20_000,
        target_rc,
        downed: Vec::new(),
        can_fail: false,
    }
}
