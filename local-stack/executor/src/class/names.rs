//! Names of agents that become names of files and units.

use crate::agent::{Agent, Missing};

/// Kinds of units; a name without one of them is a service.
const UNIT_KINDS: [&str; 7] = [
    ".service", ".socket", ".mount", ".timer", ".path", ".target", ".swap",
];

/// Checks that a name stays inside a directory.
///
/// # Errors
/// [`Missing::Name`].
pub(crate) fn component(agent: &Agent) -> Result<&str, Missing> {
    let name = agent.kind.as_str();
    let fine = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    if fine {
        Ok(name)
    } else {
        Err(Missing::Name(agent.to_string()))
    }
}

/// The unit that an agent names.
///
/// # Errors
/// [`Missing::Name`].
pub(crate) fn unit(agent: &Agent) -> Result<String, Missing> {
    let name = component(agent)?;
    Ok(if UNIT_KINDS.iter().any(|kind| name.ends_with(kind)) {
        name.to_owned()
    } else {
        format!("{name}.service")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_kind_is_a_service() {
        let agent = |kind: &str| Agent {
            class: "systemd".into(),
            provider: None,
            kind: kind.into(),
        };
        assert_eq!(unit(&agent("nginx")).unwrap(), "nginx.service");
        assert_eq!(unit(&agent("srv-data.mount")).unwrap(), "srv-data.mount");
        assert_eq!(unit(&agent("db@main")).unwrap(), "db@main.service");
        assert!(matches!(unit(&agent("../x")), Err(Missing::Name(_))));
    }
}
