//! What an OCF agent finds in its environment.

use std::path::Path;

use crate::agent::Agent;

/// Major and minor version of the resource agent interface that agents are told.
const RA_VERSION: (&str, &str) = ("1", "1");

/// Agents' shell library decides by it which tools and words to use; the conventions followed are
/// those of this feature set.
const FEATURE_SET: &str = "3.20.5";

/// The prefix of a line on standard error that carries the agent's reason.
pub const EXIT_REASON_PREFIX: &str = "ocf-exit-reason:";

/// Variables of the daemon that agents must not inherit: they are meant for the daemon alone, or
/// would put a resource under a marker that is not its own.
pub const NOT_INHERITED: [&str; 10] = [
    "INTERLOCK_GUARD",
    "INTERLOCK_TICKET",
    "INTERLOCK_TERM",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
];

/// Where a classic command finds this node's local stack.
pub const SOCKET_VARIABLE: &str = "INTERLOCK_STACK_SOCKET";

/// Where programs are when this program was told nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The classic commands come from `tools`, whatever else is installed, and talk to `socket`: agents call
/// them by their names, and by the directory in which the shell library believes them.
pub fn commands(tools: &Path, socket: &Path, path: Option<&str>) -> Vec<(String, String)> {
    let tools = tools.display().to_string();
    let path = path.filter(|path| !path.is_empty()).unwrap_or(DEFAULT_PATH);
    [
        ("PATH", format!("{tools}:{path}")),
        ("HA_SBIN_DIR", tools),
        (SOCKET_VARIABLE, socket.display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The variables for one operation of an OCF agent. `attributes` are the action's, as the scheduler
/// gives them: parameters under their own names, meta-attributes as `CRM_meta_*`.
pub fn ocf(
    resource: &str,
    agent: &Agent,
    ocf_root: &str,
    attributes: &[(String, String)],
) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = [
        ("OCF_ROOT", ocf_root),
        ("OCF_RA_VERSION_MAJOR", RA_VERSION.0),
        ("OCF_RA_VERSION_MINOR", RA_VERSION.1),
        ("OCF_EXIT_REASON_PREFIX", EXIT_REASON_PREFIX),
        ("OCF_RESOURCE_INSTANCE", resource),
        ("OCF_RESOURCE_TYPE", &agent.kind),
        (
            "OCF_RESOURCE_PROVIDER",
            agent.provider.as_deref().unwrap_or_default(),
        ),
        ("OCF_RESKEY_crm_feature_set", FEATURE_SET),
        ("PCMK_service", "local-stack"),
        ("PCMK_logfacility", "daemon"),
        ("HA_LOGFACILITY", "daemon"),
        ("HA_logfacility", "daemon"),
        ("HA_debug", "0"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    for (name, value) in attributes {
        if name == "crm_feature_set" || name.contains(['=', '\0']) || value.contains('\0') {
            continue;
        }
        if name == "OCF_CHECK_LEVEL" {
            variables.push((name.clone(), value.clone()));
        }
        let name = if name.starts_with("CRM_meta_") {
            name.replace('-', "_")
        } else {
            name.clone()
        };
        variables.push((format!("OCF_RESKEY_{name}"), value.clone()));
    }
    for (role, legacy) in [
        ("promoted_max", "master_max"),
        ("promoted_node_max", "master_node_max"),
    ] {
        let find = |name: &str| {
            let name = format!("OCF_RESKEY_CRM_meta_{name}");
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| value.clone())
        };
        if let (Some(value), None) = (find(role), find(legacy)) {
            variables.push((format!("OCF_RESKEY_CRM_meta_{legacy}"), value));
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_meta_attributes_and_the_check_level() {
        let agent = Agent {
            class: "ocf".into(),
            provider: Some("heartbeat".into()),
            kind: "IPaddr2".into(),
        };
        let attributes: Vec<(String, String)> = [
            ("CRM_meta_on-node", "b1"),
            ("CRM_meta_promoted_max", "2"),
            ("OCF_CHECK_LEVEL", "10"),
            ("ip", "192.0.2.1"),
        ]
        .into_iter()
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect();
        let variables = ocf("ip", &agent, "/usr/lib/ocf", &attributes);
        let value = |name: &str| {
            variables
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.as_str())
        };
        assert_eq!(value("OCF_RESKEY_ip"), Some("192.0.2.1"));
        assert_eq!(value("OCF_RESKEY_CRM_meta_on_node"), Some("b1"));
        assert_eq!(value("OCF_RESKEY_CRM_meta_master_max"), Some("2"));
        assert_eq!(value("OCF_CHECK_LEVEL"), Some("10"));
        assert_eq!(value("OCF_RESOURCE_INSTANCE"), Some("ip"));
    }
}
