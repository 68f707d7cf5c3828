//! `attrd_updater`: transient attributes.

use std::process::ExitCode;

use cib::{Element, Section};

use super::{Key, Scope, own_node, store};
use crate::answer::{self, Answer, Call};
use crate::args::{Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::{cibadmin, source};

const TOOL: Tool = Tool {
    name: "attrd_updater",
    about: "attrd_updater - query and update Pacemaker node attributes",
    flags: &[
        valued('n', "name", "NAME", "The attribute's name"),
        valued('U', "update", "VALUE", "Update attribute's value"),
        valued('v', "value", "VALUE", "As --update"),
        valued(
            'B',
            "update-both",
            "VALUE",
            "Update attribute's value (and time to wait)",
        ),
        switch('Y', "update-delay", "(Taken and not used)"),
        switch('Q', "query", "Display the attribute's value"),
        switch('D', "delete", "Unset attribute"),
        switch(
            'R',
            "refresh",
            "(Everything is in force as soon as it is set)",
        ),
        valued(
            'd',
            "delay",
            "SECONDS",
            "(Taken and not used: values are in force at once)",
        ),
        valued('s', "set", "NAME", "(Taken and not used)"),
        valued('N', "node", "NODE", "Set attribute for named node"),
        switch('A', "all", "Show values of the attribute for all nodes"),
        valued('l', "lifetime", "LIFETIME", "(Taken and not used)"),
        valued('S', "section", "SECTION", "(Taken and not used)"),
        switch('p', "private", "(Private attributes are kept like others)"),
        switch('q', "quiet", "(Taken and not used)"),
        valued('W', "wait", "UNTIL", "(Taken and not used)"),
    ],
};

/// Runs `attrd_updater` with its arguments.
pub(crate) fn attrd_updater(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, run)
}

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let place = source::cib_file()?;
    if given.has("refresh") {
        return Ok(Answer::default());
    }
    let name = given
        .value("name")
        .ok_or_else(|| Failure::new(exit::USAGE, "Command requires --name argument"))?;
    let node = match given.value("node").filter(|n| *n != "localhost") {
        Some(node) => node.to_owned(),
        None => own_node(&place)?,
    };
    let value = ["update", "value", "update-both"]
        .into_iter()
        .find_map(|option| given.value(option));
    let key = |node: &str| Key {
        scope: Scope::Transient(node.to_owned()),
        name: name.to_owned(),
        set: None,
    };
    if value.is_some() || given.has("delete") {
        let value = value.filter(|_| !given.has("delete"));
        store::put(&place, &key(&node), value)?;
        return Ok(Answer::default());
    }
    if given.has("update-delay") {
        return Ok(Answer::default());
    }
    let cib = cibadmin::read(&place)?;
    let nodes: Vec<String> = if given.has("all") {
        let section = cib.section(Section::Nodes);
        let all = section.into_iter().flat_map(Element::children);
        all.filter_map(|n| n.attr("uname").map(str::to_owned))
            .collect()
    } else {
        vec![node]
    };
    let mut text = String::new();
    for node in nodes {
        if let Some(value) = store::get(&cib, &key(&node))? {
            text.push_str(&format!(
                "name=\"{name}\" host=\"{node}\" value=\"{value}\"\n"
            ));
        }
    }
    if text.is_empty() {
        let message = format!("Could not query value of {name}: attribute does not exist");
        return Err(Failure::new(exit::NO_SUCH, message));
    }
    Ok(Answer::text(text))
}
