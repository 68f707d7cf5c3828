//! `crm_attribute`, and the commands that are it with some options set.

use std::process::ExitCode;

use super::{Key, Scope, own_node, store};
use crate::answer::{self, Answer, Call};
use crate::args::{Flag, Given, Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::{cibadmin, live, source};

const FLAGS: &[Flag] = &[
    valued('n', "name", "NAME", "Name of attribute/option"),
    valued('i', "id", "ID", "(Taken and not used)"),
    switch('G', "query", "Display current value of attribute/option"),
    switch('D', "delete", "Delete specified attribute/option"),
    valued('v', "update", "VALUE", "Update value of attribute/option"),
    valued(
        'd',
        "default",
        "VALUE",
        "Default value to display if none is found",
    ),
    valued('N', "node", "NODE", "Operate on attribute of named node"),
    valued('U', "node-uname", "NODE", "As --node"),
    valued(
        't',
        "type",
        "SECTION",
        "Which part of the configuration: nodes, status, crm_config, rsc_defaults, op_defaults",
    ),
    valued(
        'l',
        "lifetime",
        "LIFETIME",
        "Lifetime of the node attribute: forever or reboot",
    ),
    switch('p', "promotion", "Operate on a resource's promotion score"),
    valued(' ', "promotion-of", "RESOURCE", "As --promotion=RESOURCE"),
    valued('r', "resource-id", "RESOURCE", "The resource, for failures"),
    valued(
        ' ',
        "operation",
        "OPERATION",
        "With failures: of this operation only",
    ),
    valued(
        'I',
        "interval",
        "INTERVAL",
        "With --operation: its interval",
    ),
    switch(
        'z',
        "utilization",
        "Set an utilization attribute for the node",
    ),
    valued('s', "set-name", "ID", "The attribute block"),
    switch('q', "quiet", "Print only the value on stdout"),
    switch('Q', "Quiet", "Print only the value on stdout"),
    valued('W', "wait", "UNTIL", "(Taken and not used)"),
];

const TOOL: Tool = Tool {
    name: "crm_attribute",
    about: "crm_attribute - query and update Pacemaker cluster options and node attributes",
    flags: FLAGS,
};

/// Runs `crm_attribute` with its arguments.
pub(crate) fn crm_attribute(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, &plain(arguments), |call| run(call.given, None))
}

/// Runs `crm_master`: the promotion score of the agent's own resource.
pub(crate) fn crm_master(arguments: &[String]) -> ExitCode {
    let tool = Tool {
        name: "crm_master",
        about: "crm_master - query, update or delete a resource's promotion score (for agents)",
        flags: FLAGS,
    };
    let mut arguments = plain(arguments);
    arguments.insert(0, "--promotion".to_owned());
    answer::run(&tool, &arguments, |call| run(call.given, None))
}

/// Runs `crm_standby`: whether a node is in standby.
pub(crate) fn crm_standby(arguments: &[String]) -> ExitCode {
    let tool = Tool {
        name: "crm_standby",
        about: "crm_standby - query, enable, or disable standby mode for a node",
        flags: FLAGS,
    };
    answer::run(&tool, arguments, |call| run(call.given, Some("standby")))
}

/// Runs `crm_failcount`: what has failed on a node.
pub(crate) fn crm_failcount(arguments: &[String]) -> ExitCode {
    let tool = Tool {
        name: "crm_failcount",
        about: "crm_failcount - query or delete resource fail counts",
        flags: FLAGS,
    };
    // Here `-n` names the operation.
    let renamed: Vec<String> = arguments
        .iter()
        .map(|argument| match argument.as_str() {
            "-n" => "--operation".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    answer::run(&tool, &renamed, failures)
}

/// `-pRESOURCE` and `--promotion=RESOURCE` name a resource, `-p` alone does not.
fn plain(arguments: &[String]) -> Vec<String> {
    let mut list = Vec::new();
    for argument in arguments {
        let inline = argument
            .strip_prefix("--promotion=")
            .or_else(|| argument.strip_prefix("-p").filter(|rest| !rest.is_empty()));
        match inline {
            Some(resource) if !argument.starts_with("--promotion-of") => {
                list.push("--promotion".to_owned());
                list.push(format!("--promotion-of={resource}"));
            }
            _ => list.push(argument.clone()),
        }
    }
    list
}

fn usage(message: &str) -> Failure {
    Failure::new(exit::USAGE, message)
}

fn run(given: &Given, fixed: Option<&'static str>) -> Result<Answer, Failure> {
    let place = source::cib_file()?;
    let key = key(given, fixed, &place)?;
    if let Some(value) = given.value("update") {
        store::put(&place, &key, Some(value))?;
        return Ok(Answer::default());
    }
    if given.has("delete") {
        store::put(&place, &key, None)?;
        let named = key.scope.node().map(|node| format!(" id={node}"));
        let text = format!(
            "Deleted {} attribute:{} name={}\n",
            key.scope.name(),
            named.unwrap_or_default(),
            key.name
        );
        return Ok(Answer::text(text));
    }
    let cib = cibadmin::read(&place)?;
    let standby = (fixed == Some("standby")).then_some("off");
    let default = given.value("default").or(standby);
    let value = store::get(&cib, &key)?.or_else(|| default.map(str::to_owned));
    let value = value.ok_or_else(|| {
        let message = "Error performing operation: No such device or address";
        Failure::new(exit::NO_SUCH, message)
    })?;
    Ok(Answer::text(shown(given, &key, &value)))
}

fn shown(given: &Given, key: &Key, value: &str) -> String {
    if given.has("quiet") || given.has("Quiet") {
        return format!("{value}\n");
    }
    let (scope, name) = (key.scope.name(), &key.name);
    format!("scope={scope}  name={name} value={value}\n")
}

/// Which attribute the command line is about.
fn key(given: &Given, fixed: Option<&'static str>, place: &str) -> Result<Key, Failure> {
    let promotion = given.has("promotion");
    let name = match (promotion, fixed.or_else(|| given.value("name"))) {
        (true, _) => {
            let named = given.value("promotion-of").filter(|r| !r.is_empty());
            let own = || source::variable("OCF_RESOURCE_INSTANCE");
            let resource = named.map(str::to_owned).or_else(own);
            let resource = resource.ok_or_else(|| {
                usage("--promotion needs a resource, or OCF_RESOURCE_INSTANCE in the environment")
            })?;
            format!("master-{resource}")
        }
        (false, Some(name)) => name.to_owned(),
        (false, None) => return Err(usage("must specify attribute name or pattern")),
    };
    let named = given.value("node").or_else(|| given.value("node-uname"));
    let node = || match named {
        None | Some("localhost" | "auto") => own_node(place),
        Some(name) => Ok(name.to_owned()),
    };
    let lifetime = given.value("lifetime");
    let transient = match (given.value("type"), lifetime) {
        (Some("status"), _) | (_, Some("reboot")) => true,
        (None, None) => promotion,
        _ => false,
    };
    let scope = match given.value("type") {
        _ if given.has("utilization") => Scope::Utilization(node()?),
        _ if transient => Scope::Transient(node()?),
        Some("nodes") => Scope::Node(node()?),
        Some("rsc_defaults") => Scope::Section("rsc_defaults"),
        Some("op_defaults") => Scope::Section("op_defaults"),
        Some("crm_config") => Scope::Section("crm_config"),
        Some(other) => return Err(usage(&format!("'{other}' is no section with attributes"))),
        None if named.is_some() || lifetime.is_some() || fixed.is_some() => Scope::Node(node()?),
        None => Scope::Section("crm_config"),
    };
    Ok(Key {
        scope,
        name,
        set: given.value("set-name").map(str::to_owned),
    })
}

fn failures(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let place = source::cib_file()?;
    let resource = given
        .value("resource-id")
        .ok_or_else(|| usage("must supply a resource with -r"))?;
    if given.has("delete") {
        if !live::is(&place) {
            let message = "failures are forgotten by a running cluster, not in a file";
            return Err(Failure::new(exit::DISCONNECTED, message));
        }
        live::cleanup(&place, Some(resource))?;
        return Ok(Answer::text(format!("Cleaned up {resource}\n")));
    }
    let node = match given.value("node") {
        Some(node) => node.to_owned(),
        None => own_node(&place)?,
    };
    let cib = cibadmin::read(&place)?;
    let operation = given.value("operation");
    let prefix = match operation {
        Some(operation) => format!("fail-count-{resource}#{operation}_"),
        None => format!("fail-count-{resource}#"),
    };
    let states = cib.section(cib::Section::Status).into_iter();
    let mine = states
        .flat_map(cib::Element::children)
        .filter(|state| state.attr("uname") == Some(node.as_str()));
    let counts = mine
        .flat_map(cib::Element::descendants)
        .filter(|pair| pair.attr("name").is_some_and(|n| n.starts_with(&prefix)))
        .filter_map(|pair| pair.attr("value"));
    let infinity = 1_000_000_u64;
    let sum = counts.fold(0_u64, |sum, text| {
        let count = if text == "INFINITY" {
            infinity
        } else {
            text.parse().unwrap_or(0)
        };
        sum.saturating_add(count)
    });
    let value = if sum >= infinity {
        "INFINITY".to_owned()
    } else {
        sum.to_string()
    };
    let key = Key {
        scope: Scope::Transient(node),
        name: format!("fail-count-{resource}"),
        set: None,
    };
    Ok(Answer::text(shown(given, &key, &value)))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_promotion_score_may_name_its_resource() {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        for (given, meant) in [
            (&["-p", "-v", "5"][..], &["-p", "-v", "5"][..]),
            (&["-pdb"], &["--promotion", "--promotion-of=db"]),
            (&["--promotion=db"], &["--promotion", "--promotion-of=db"]),
            (&["--promotion"], &["--promotion"]),
        ] {
            assert_eq!(plain(&words(given)), words(meant));
        }
    }
}
