//! `crm_node` and `crmadmin`: who is there.

use std::process::ExitCode;

use scheduler::Inputs;

use crate::answer::{self, Answer, Call};
use crate::args::{Tool, switch, valued};
use crate::attribute::own_node;
use crate::exit::{self, Failure};
use crate::{cibadmin, live, simulate, source};

const NODE: Tool = Tool {
    name: "crm_node",
    about: "crm_node - Tool for displaying low-level node information",
    flags: &[
        switch(
            'n',
            "name",
            "Display the name used by the cluster for this node",
        ),
        valued('N', "name-for-id", "ID", "Display the name for a node ID"),
        switch('i', "cluster-id", "Display this node's cluster id"),
        switch('l', "list", "Display all known members"),
        switch('p', "partition", "Display the members of this partition"),
        switch(
            'q',
            "quorum",
            "Display a 1 if our partition has quorum, 0 if not",
        ),
        switch('Q', "quiet", "Suppress progress messages"),
        switch('f', "force", "(Taken and not used)"),
    ],
};

const ADMIN: Tool = Tool {
    name: "crmadmin",
    about: "crmadmin - query and manage the Pacemaker controller",
    flags: &[
        valued(
            'S',
            "status",
            "NODE",
            "Display the status of the specified node",
        ),
        switch('H', "health", "(As --dc_lookup)"),
        switch('D', "dc_lookup", "Display the name of the coordinator"),
        switch('N', "nodes", "Display the names of all member nodes"),
        valued('t', "timeout", "TIME", "(Taken and not used)"),
        switch('B', "bash-export", "Display nodes as shell commands"),
        switch('q', "quiet", "Display only the essential query information"),
    ],
};

/// Runs `crm_node` with its arguments.
pub(crate) fn crm_node(arguments: &[String]) -> ExitCode {
    answer::run(&NODE, arguments, node)
}

/// Runs `crmadmin` with its arguments.
pub(crate) fn crmadmin(arguments: &[String]) -> ExitCode {
    answer::run(&ADMIN, arguments, admin)
}

/// The nodes and their states, and whether there is a quorum.
fn look(place: &str) -> Result<(scheduler::Status, bool), Failure> {
    let cib = cibadmin::read(place)?;
    let inputs = Inputs {
        now: simulate::clock(),
        grants: None,
    };
    let quorate = cib
        .root()
        .attr("have-quorum")
        .is_some_and(|q| q != "0" && q != "false");
    Ok((scheduler::status(&cib, &inputs), quorate))
}

fn node(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let place = source::cib_file()?;
    if given.has("name") {
        return Ok(Answer::text(format!("{}\n", own_node(&place)?)));
    }
    let (status, quorate) = look(&place)?;
    let text = if given.has("quorum") {
        format!("{}\n", u8::from(quorate))
    } else if given.has("partition") {
        let online = status.nodes.iter().filter(|n| n.online);
        let names: Vec<&str> = online.map(|n| n.name.as_str()).collect();
        format!("{}\n", names.join(" "))
    } else if given.has("list") {
        let lines = status.nodes.iter().map(|n| {
            let state = if n.online { "member" } else { "lost" };
            format!("{} {} {state}\n", n.id, n.name)
        });
        lines.collect()
    } else if given.has("cluster-id") {
        let own = own_node(&place)?;
        let mine = status.nodes.iter().find(|n| n.name == own);
        format!("{}\n", mine.map_or(own.as_str(), |n| n.id.as_str()))
    } else if let Some(id) = given.value("name-for-id") {
        let mine = status.nodes.iter().find(|n| n.id == id);
        let mine =
            mine.ok_or_else(|| Failure::new(exit::NO_SUCH, format!("Node {id} is not known")))?;
        format!("{}\n", mine.name)
    } else {
        let message = "Must specify a command option, such as --list; --help lists them";
        return Err(Failure::new(exit::USAGE, message));
    };
    Ok(Answer::text(text))
}

fn admin(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let place = source::cib_file()?;
    let (status, _) = look(&place)?;
    if let Some(name) = given.value("status") {
        let known = status.nodes.iter().any(|n| n.name == name && n.online);
        if !known {
            let message = format!("error: node {name} does not answer");
            return Err(Failure::new(exit::NO_SUCH, message));
        }
        let busy = live::is(&place) && live::status(&place)?.busy;
        let state = if busy {
            "S_TRANSITION_ENGINE"
        } else {
            "S_IDLE"
        };
        return Ok(Answer::text(format!(
            "Controller on {name} in state {state}: ok\n"
        )));
    }
    if given.has("nodes") {
        let lines = status.nodes.iter().map(|n| {
            if given.has("bash-export") {
                format!("export {}={}\n", n.name, n.id)
            } else {
                format!("member node: {} ({})\n", n.name, n.id)
            }
        });
        return Ok(Answer::text(lines.collect::<String>()));
    }
    if given.has("dc_lookup") || given.has("health") {
        let dc = status.nodes.iter().find(|n| n.is_dc);
        let dc = dc.ok_or_else(|| Failure::new(exit::NO_SUCH, "no coordinator is known"))?;
        let text = if given.has("quiet") {
            format!("{}\n", dc.name)
        } else {
            format!("Designated Controller is: {}\n", dc.name)
        };
        return Ok(Answer::text(text));
    }
    let message = "Must specify a command option, such as --dc_lookup; --help lists them";
    Err(Failure::new(exit::USAGE, message))
}
