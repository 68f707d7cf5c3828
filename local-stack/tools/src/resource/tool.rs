//! `crm_resource`: looking at resources and changing their configuration.

use std::process::ExitCode;

use cib::Cib;
use scheduler::{Inputs, Status};

use super::{agents, change, digests, place, show};
use crate::answer::{self, Answer, Call};
use crate::args::{Given, Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::{cibadmin, live, simulate, source};

const TOOL: Tool = Tool {
    name: "crm_resource",
    about: "crm_resource - perform tasks related to Pacemaker cluster resources",
    flags: &[
        switch('L', "list", "List all cluster resources with status"),
        switch('l', "list-raw", "List IDs of all instantiated resources"),
        switch('O', "list-operations", "List active resource operations"),
        switch('o', "list-all-operations", "List all resource operations"),
        switch(
            'q',
            "query-xml",
            "Show XML configuration of resource (after template expansion)",
        ),
        switch(
            'w',
            "query-xml-raw",
            "Show XML configuration of resource (as written)",
        ),
        valued(
            'g',
            "get-parameter",
            "PARAM",
            "Display named parameter for resource",
        ),
        switch('W', "locate", "Show node(s) currently running resource"),
        switch(
            'a',
            "constraints",
            "Display the constraints that apply to a resource",
        ),
        switch('A', "stack", "Equivalent to --constraints --recursive"),
        switch('Y', "why", "Show why resources are not running"),
        valued(
            'p',
            "set-parameter",
            "PARAM",
            "Set named parameter for resource (requires -v)",
        ),
        valued(
            'd',
            "delete-parameter",
            "PARAM",
            "Delete named parameter for resource",
        ),
        switch('M', "move", "Create a constraint to move resource"),
        switch(
            'B',
            "ban",
            "Create a constraint to keep resource off a node",
        ),
        switch(
            'U',
            "clear",
            "Remove all constraints created by --ban and --move",
        ),
        switch(
            'e',
            "expired",
            "With --clear: only constraints whose lifetimes have expired",
        ),
        valued(
            'u',
            "lifetime",
            "TIMESPEC",
            "Lifespan (ISO 8601 duration) of created constraints",
        ),
        switch(' ', "promoted", "Limit scope of command to promoted role"),
        switch(' ', "master", "Deprecated: Use --promoted instead"),
        switch(
            'D',
            "delete",
            "Delete a resource from the CIB (requires -t)",
        ),
        switch(' ', "digests", "Show parameter hashes (requires -r and -N)"),
        switch(' ', "list-standards", "List supported standards"),
        switch(
            ' ',
            "list-ocf-providers",
            "List all available OCF providers",
        ),
        valued(
            ' ',
            "list-agents",
            "STD:PROV",
            "List all agents of a standard and provider",
        ),
        valued(
            ' ',
            "list-ocf-alternatives",
            "AGENT",
            "List all providers of an OCF agent",
        ),
        valued(
            ' ',
            "show-metadata",
            "SPEC",
            "Show the metadata of class:provider:agent",
        ),
        switch('C', "cleanup", "Needs a running cluster"),
        switch('R', "refresh", "Needs a running cluster"),
        switch('F', "fail", "Needs a running cluster"),
        switch(' ', "restart", "Needs a running cluster"),
        switch(' ', "wait", "Needs a running cluster"),
        switch(' ', "force-start", "Needs a running cluster"),
        switch(' ', "force-stop", "Needs a running cluster"),
        switch(' ', "force-check", "Needs a running cluster"),
        switch(' ', "force-promote", "Needs a running cluster"),
        switch(' ', "force-demote", "Needs a running cluster"),
        valued('N', "node", "NAME", "Node name"),
        switch(' ', "recursive", "Follow colocation chains"),
        valued(
            't',
            "resource-type",
            "ELEMENT",
            "Resource XML element (with -D)",
        ),
        valued('v', "parameter-value", "VALUE", "Value to use with -p"),
        switch('m', "meta", "Use resource meta-attribute (with -p, -g, -d)"),
        switch(
            'z',
            "utilization",
            "Use resource utilization attribute (with -p, -g, -d)",
        ),
        valued(
            's',
            "set-name",
            "ID",
            "XML ID of attributes element to use (with -p, -d)",
        ),
        valued(
            'i',
            "nvpair",
            "ID",
            "XML ID of nvpair element to use (with -p, -d)",
        ),
        valued('T', "timeout", "N", "Taken for compatibility"),
        switch('f', "force", "Make the change even if it is unusual"),
        switch('Q', "quiet", "Be less descriptive in output"),
        valued('r', "resource", "ID", "Resource ID"),
    ],
};

/// What only a running cluster can do.
const LIVE: [&str; 8] = [
    "fail",
    "restart",
    "wait",
    "force-start",
    "force-stop",
    "force-check",
    "force-promote",
    "force-demote",
];

/// A run of the tool: what was asked for, and of which cluster.
pub(super) struct Run<'a> {
    pub(super) given: &'a Given,
    pub(super) call: &'a Call<'a>,
    pub(super) cib: &'a Cib,
    pub(super) inputs: Inputs,
    pub(super) status: Status,
}

impl Run<'_> {
    /// An answer with a frame if XML is wanted.
    pub(super) fn answer(&self) -> Answer {
        Answer {
            xml: self.call.frame(),
            ..Answer::default()
        }
    }

    /// The resource asked about.
    ///
    /// # Errors
    /// None is named, or the CIB does not have it.
    pub(super) fn resource(&self) -> Result<&str, Failure> {
        let Some(id) = self.given.value("resource") else {
            return Err(Failure::new(
                exit::USAGE,
                "Must supply a resource ID with -r",
            ));
        };
        if super::find(self.cib, id).is_none() && show::find(&self.status, id).is_none() {
            let message =
                format!("Resource '{id}' not found\nError performing operation: No such object");
            return Err(Failure::new(exit::NO_SUCH, message));
        }
        Ok(id)
    }

    /// The node named, if one is.
    ///
    /// # Errors
    /// The CIB does not have it.
    pub(super) fn node(&self) -> Result<Option<&str>, Failure> {
        let Some(name) = self.given.value("node") else {
            return Ok(None);
        };
        let known = self
            .status
            .nodes
            .iter()
            .find(|n| n.name.eq_ignore_ascii_case(name));
        known.map(|n| Some(n.name.as_str())).ok_or_else(|| {
            let message =
                format!("Node '{name}' not found\nError performing operation: No such object");
            Failure::new(exit::NO_SUCH, message)
        })
    }
}

/// Runs `crm_resource` with its arguments.
pub(crate) fn crm_resource(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, run)
}

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    if given.has("cleanup") || given.has("refresh") {
        return clean(given);
    }
    if let Some(word) = LIVE.iter().find(|l| given.has(l)) {
        let message = format!("--{word} is not there yet");
        return Err(Failure::new(exit::DISCONNECTED, message));
    }
    if let Some(answer) = agents::look(given) {
        return answer;
    }
    let path = source::cib_file()?;
    let cib = cibadmin::read(&path)?;
    let acl = cibadmin::access(&cib, given);
    let changes = [
        "set-parameter",
        "delete-parameter",
        "delete",
        "move",
        "ban",
        "clear",
    ];
    let wanted = changes.into_iter().find(|c| given.has(c));
    let seen = match (&acl, wanted) {
        (Some(acl), None) => acl.visible(&cib).unwrap_or_else(Cib::empty),
        _ => cib.clone(),
    };
    let now = simulate::recorded_time(&seen).unwrap_or_else(simulate::clock);
    let inputs = Inputs { now, grants: None };
    let status = scheduler::status(&seen, &inputs);
    let run = Run {
        given,
        call,
        cib: &seen,
        inputs,
        status,
    };
    let Some(wanted) = wanted else {
        return look(&run);
    };
    let mut changed = cib.clone();
    let said = match wanted {
        "set-parameter" => change::set(&run, &mut changed)?,
        "delete-parameter" => change::unset(&run, &mut changed)?,
        "delete" => change::delete(&run, &mut changed)?,
        "clear" => place::clear(&run, &mut changed)?,
        _ => place::constrain(&run, &mut changed, wanted)?,
    };
    if changed.to_text() != cib.to_text() {
        if let Some(acl) = &acl {
            let permitted = acl.permits(&cib, &changed);
            permitted.map_err(|e| Failure::new(exit::PRIVILEGES, e.to_string()))?;
        }
        changed.bump_epoch();
    }
    let mut answer = cibadmin::store(&cib, &changed, &path)?;
    if answer.code == exit::OK {
        answer.text = said;
        answer.xml = call.frame();
    }
    Ok(answer)
}

/// Forgets failures; the local stack then finds out anew what runs.
fn clean(given: &Given) -> Result<Answer, Failure> {
    let path = source::cib_file()?;
    if !live::is(&path) {
        let message = "--cleanup and --refresh need a running cluster, not a file";
        return Err(Failure::new(exit::DISCONNECTED, message));
    }
    let cleaned = live::cleanup(&path, given.value("resource"))?;
    let said = cleaned.into_iter().map(|id| format!("Cleaned up {id}\n"));
    Ok(Answer::text(said.collect::<String>()))
}

fn look(run: &Run<'_>) -> Result<Answer, Failure> {
    let given = run.given;
    let has = |name: &str| given.has(name);
    if has("list-raw") {
        return Ok(show::names(run));
    }
    if has("list-operations") || has("list-all-operations") {
        return Ok(show::operations(run));
    }
    if has("query-xml") || has("query-xml-raw") {
        return show::configuration(run);
    }
    if has("get-parameter") {
        return show::parameter(run);
    }
    if has("locate") {
        return show::locate(run);
    }
    if has("constraints") || has("stack") {
        return place::constraints(run);
    }
    if has("why") {
        return show::why(run);
    }
    if has("digests") {
        return digests::digests(run);
    }
    Ok(show::list(run))
}
