//! `crm_ticket`: the state of tickets in a CIB.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use cib::{Cib, Document, Element, ElementId, Section};

use crate::answer::{self, Answer, Call};
use crate::args::{Given, Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::{cibadmin, source};

const TOOL: Tool = Tool {
    name: "crm_ticket",
    about: "Perform tasks related to cluster tickets: query, modify and delete ticket attributes",
    flags: &[
        switch('l', "info", "Display the information of ticket(s)"),
        switch('L', "details", "Display the details of ticket(s)"),
        switch('w', "raw", "Display the IDs of ticket(s)"),
        switch('q', "query-xml", "Query the XML of ticket(s)"),
        switch(
            'c',
            "constraints",
            "Display the rsc_ticket constraints that apply to ticket(s)",
        ),
        switch('g', "grant", "Grant a ticket to this cluster site"),
        switch('r', "revoke", "Revoke a ticket from this cluster site"),
        switch(
            's',
            "standby",
            "Tell this cluster site this ticket is standby",
        ),
        switch(
            'a',
            "activate",
            "Tell this cluster site this ticket is active",
        ),
        valued(
            'G',
            "get-attr",
            "ATTRIBUTE",
            "Display the named attribute for a ticket",
        ),
        valued(
            'S',
            "set-attr",
            "ATTRIBUTE",
            "Set the named attribute for a ticket",
        ),
        valued(
            'D',
            "delete-attr",
            "ATTRIBUTE",
            "Delete the named attribute for a ticket",
        ),
        switch(
            'C',
            "cleanup",
            "Delete all state of a ticket at this cluster site",
        ),
        valued('v', "attr-value", "VALUE", "Attribute value to use with -S"),
        valued(
            'd',
            "default",
            "VALUE",
            "Default value to display if none is found (with -G)",
        ),
        switch('f', "force", "Force the action to be performed"),
        valued('t', "ticket", "ID", "Ticket ID"),
        valued('n', "set-name", "ID", "(Deprecated) taken and not used"),
        valued('i', "nvpair", "ID", "(Deprecated) taken and not used"),
        switch('Q', "quiet", "Print only the value on stdout"),
    ],
};

/// Why nothing was changed.
enum Refusal {
    Failure(Failure),
    /// Only with `--force`; what to think about first.
    Unsafe(String),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Runs `crm_ticket` with its arguments.
pub(crate) fn crm_ticket(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, run)
}

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let looks = ["info", "details", "raw", "query-xml", "constraints"];
    let changes = [
        "grant",
        "revoke",
        "standby",
        "activate",
        "set-attr",
        "delete-attr",
    ];
    let others = ["get-attr", "cleanup"];
    let all = looks.iter().chain(&changes).chain(&others);
    if !all.into_iter().any(|c| given.has(c)) {
        return Err(Failure::new(exit::USAGE, "Must supply a command"));
    }
    let path = source::cib_file()?;
    let cib = cibadmin::read(&path)?;
    let ticket = given.value("ticket");
    if let Some(look) = looks.into_iter().find(|l| given.has(l)) {
        let seen = match cibadmin::access(&cib, given) {
            Some(acl) => acl.visible(&cib).unwrap_or_else(Cib::empty),
            None => cib,
        };
        return match look {
            "query-xml" => query(&seen, ticket),
            "constraints" => constraints(&seen, ticket),
            look => list(call, &seen, ticket, look),
        };
    }
    let Some(ticket) = ticket else {
        return Err(Failure::new(exit::USAGE, "Must supply ticket ID with -t"));
    };
    if let Some(name) = given.value("get-attr") {
        return get(&cib, ticket, name, given.value("default"));
    }
    let mut changed = cib.clone();
    let done = if given.has("cleanup") {
        clean(given, &mut changed, ticket)
    } else {
        change(given, &mut changed, ticket).map(|()| String::new())
    };
    let said = match done {
        Ok(said) => said,
        Err(Refusal::Failure(failure)) => return Err(failure),
        Err(Refusal::Unsafe(warning)) => {
            return Ok(Answer {
                xml: call.frame(),
                code: exit::PRIVILEGES,
                errors: vec!["Ticket modification not allowed".to_owned()],
                ..Answer::text(format!("{warning}\n"))
            });
        }
    };
    if changed.to_text() != cib.to_text() {
        if let Some(acl) = cibadmin::access(&cib, given) {
            let permitted = acl.permits(&cib, &changed);
            permitted.map_err(|e| Failure::new(exit::PRIVILEGES, e.to_string()))?;
        }
        changed.bump_updates();
    }
    let mut answer = cibadmin::store(&cib, &changed, &path)?;
    answer.text = said;
    answer.xml = call.frame();
    Ok(answer)
}

fn state<'a>(cib: &'a Cib, ticket: &str) -> Option<Element<'a>> {
    let tickets = cib.section(Section::Status)?.child("tickets")?;
    tickets
        .children_named("ticket_state")
        .find(|t| t.id() == ticket)
}

fn names(cib: &Cib) -> BTreeSet<&str> {
    let tickets = cib
        .section(Section::Status)
        .and_then(|s| s.child("tickets"));
    let known = tickets
        .into_iter()
        .flat_map(|t| t.children_named("ticket_state"));
    let constraints = cib.section(Section::Constraints).into_iter();
    let wanted = constraints.flat_map(|c| c.children_named("rsc_ticket"));
    known
        .map(Element::id)
        .chain(wanted.filter_map(|c| c.attr("ticket")))
        .collect()
}

fn is_true(value: Option<&str>) -> bool {
    let truths = ["true", "yes", "on", "y", "1"];
    value.is_some_and(|v| truths.iter().any(|t| v.eq_ignore_ascii_case(t)))
}

fn list(call: &Call<'_>, cib: &Cib, only: Option<&str>, look: &str) -> Result<Answer, Failure> {
    let names: Vec<&str> = names(cib)
        .into_iter()
        .filter(|n| only.is_none_or(|o| o == *n))
        .collect();
    if let (Some(only), true) = (only, names.is_empty()) {
        return Err(Failure::new(
            exit::NO_SUCH,
            format!("No such ticket '{only}'"),
        ));
    }
    let mut answer = Answer {
        xml: call.frame(),
        ..Answer::default()
    };
    let parent = answer.xml.as_mut().map(|f| {
        let root = f.root;
        f.add(root, "tickets", &[])
    });
    for name in names {
        let state = state(cib, name);
        let attr = |name: &str| state.and_then(|s| s.attr(name));
        answer.text.push_str(&line(name, state, look));
        if let (Some(frame), Some(parent)) = (&mut answer.xml, parent) {
            let status = if is_true(attr("granted")) {
                "granted"
            } else {
                "revoked"
            };
            let standby = if is_true(attr("standby")) {
                "true"
            } else {
                "false"
            };
            let about = [("id", name), ("status", status), ("standby", standby)];
            frame.add(parent, "ticket", &about);
        }
    }
    Ok(answer)
}

/// A ticket on one line.
fn line(name: &str, state: Option<Element<'_>>, look: &str) -> String {
    if look == "raw" {
        return format!("{name}\n");
    }
    let attr = |name: &str| state.and_then(|s| s.attr(name));
    let granted = if is_true(attr("granted")) {
        "granted"
    } else {
        "revoked"
    };
    let standby = if is_true(attr("standby")) {
        "[standby]"
    } else {
        ""
    };
    let mut text = format!("{name}\t{granted} {standby:<9}");
    let last = attr("last-granted").and_then(|l| l.parse().ok());
    let last = last.map(|at| format!("last-granted='{}'", crate::date::local_text(at)));
    if look == "details" {
        let all = state.into_iter().flat_map(Element::attributes);
        let mut facts: Vec<String> = all
            .filter(|(name, _)| !matches!(*name, "id" | "last-granted"))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        facts.extend(last);
        if !facts.is_empty() {
            let _ = write!(text, " ({})", facts.join(", "));
        }
    } else if let Some(last) = last {
        let _ = write!(text, " {last}");
    }
    text.push('\n');
    text
}

fn query(cib: &Cib, ticket: Option<&str>) -> Result<Answer, Failure> {
    let found = match ticket {
        Some(ticket) => state(cib, ticket),
        None => cib
            .section(Section::Status)
            .and_then(|s| s.child("tickets")),
    };
    let Some(found) = found else {
        let message = "Could not query ticket XML: No such device or address";
        return Err(Failure::new(exit::NO_SUCH, message));
    };
    let text = cib.document().extract(found.key()).to_text();
    Ok(Answer::text(format!("State XML:\n\n{text}")))
}

fn constraints(cib: &Cib, ticket: Option<&str>) -> Result<Answer, Failure> {
    let section = cib.section(Section::Constraints).into_iter();
    let found: Vec<ElementId> = section
        .flat_map(|c| c.children_named("rsc_ticket"))
        .filter(|c| ticket.is_none_or(|t| c.attr("ticket") == Some(t)))
        .map(Element::key)
        .collect();
    let text = match found.as_slice() {
        [] => {
            let message = "Could not show ticket constraints: No such device or address";
            return Err(Failure::new(exit::NO_SUCH, message));
        }
        [one] => cib.document().extract(*one).to_text(),
        many => {
            let mut list = Document::new("xpath-query");
            let root = list.root().key();
            for one in many {
                list.append_copy(root, cib.document(), *one);
            }
            list.to_text()
        }
    };
    Ok(Answer::text(format!("Constraints XML:\n\n{text}")))
}

fn get(cib: &Cib, ticket: &str, name: &str, default: Option<&str>) -> Result<Answer, Failure> {
    let state = state(cib, ticket);
    let value = match state {
        // What is not said is false.
        Some(state) if matches!(name, "granted" | "standby") => {
            Some(state.attr(name).unwrap_or("false"))
        }
        Some(state) => state.attr(name),
        None => None,
    };
    match value.or(default) {
        Some(value) => Ok(Answer::text(format!("{value}\n"))),
        None => Err(Failure::new(
            exit::NO_SUCH,
            format!("ticket '{ticket}' has no attribute '{name}'"),
        )),
    }
}

fn grant_warning(ticket: &str) -> String {
    format!(
        "This command cannot help you verify whether '{ticket}' has been already granted elsewhere.\n\
         If you really want to grant '{ticket}' to this site now, and you know what you are doing,\n\
         please specify --force."
    )
}

fn revoke_warning(ticket: &str) -> String {
    format!(
        "Revoking '{ticket}' can trigger the specified 'loss-policy'(s) relating to '{ticket}'.\n\n\
         You can check that with:\ncrm_ticket --ticket {ticket} --constraints\n\n\
         Otherwise before revoking '{ticket}', you may want to make '{ticket}' standby with:\n\
         crm_ticket --ticket {ticket} --standby\n\n\
         If you really want to revoke '{ticket}' from this site now, and you know what you are doing,\n\
         please specify --force."
    )
}

/// What shall be set and removed, in the order of the command line.
fn wishes(given: &Given) -> Result<Vec<(String, Option<String>)>, Failure> {
    let mut list = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut values = given.values("attr-value");
    for (option, value) in given.in_order() {
        let set = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        match option {
            "grant" => list.push(set("granted", "true")),
            "revoke" => list.push(set("granted", "false")),
            "standby" => list.push(set("standby", "true")),
            "activate" => list.push(set("standby", "false")),
            "delete-attr" => list.push((value.to_owned(), None)),
            "set-attr" => names.push(value.to_owned()),
            _ => {}
        }
    }
    for name in names {
        let Some(value) = values.next() else {
            let message = format!("Must supply value with -v for -S {name}");
            return Err(Failure::new(exit::USAGE, message));
        };
        list.push((name, Some(value.to_owned())));
    }
    Ok(list)
}

fn change(given: &Given, cib: &mut Cib, ticket: &str) -> Result<(), Refusal> {
    let wishes = wishes(given)?;
    let granted = wishes.iter().rev().find(|(name, _)| name == "granted");
    if let (Some((_, value)), false) = (granted, given.has("force")) {
        return Err(Refusal::Unsafe(if is_true(value.as_deref()) {
            grant_warning(ticket)
        } else {
            revoke_warning(ticket)
        }));
    }
    let was = is_true(state(cib, ticket).and_then(|s| s.attr("granted")));
    let status = cib.section_or_append(Section::Status);
    let known = state(cib, ticket).map(Element::key);
    let only_removes = wishes.iter().all(|(_, value)| value.is_none());
    let target = match known {
        Some(target) => target,
        None if only_removes => return Ok(()),
        None => {
            let document = cib.document_mut();
            let tickets = document.child_or_append(status, "tickets");
            document.child_with_id(tickets, "ticket_state", ticket)
        }
    };
    for (name, value) in &wishes {
        match value {
            Some(value) => cib.document_mut().set_attr(target, name, value),
            None => {
                cib.document_mut().remove_attr(target, name);
            }
        }
    }
    let granted = granted.is_some_and(|(_, value)| is_true(value.as_deref()));
    if granted && !was {
        let now = crate::simulate::clock().to_string();
        cib.document_mut().set_attr(target, "last-granted", &now);
    }
    Ok(())
}

fn clean(given: &Given, cib: &mut Cib, ticket: &str) -> Result<String, Refusal> {
    let Some(found) = state(cib, ticket) else {
        return Ok(String::new());
    };
    if is_true(found.attr("granted")) && !given.has("force") {
        return Err(Refusal::Unsafe(revoke_warning(ticket)));
    }
    let found = found.key();
    cib.document_mut().remove(found);
    Ok(format!("Cleaned up {ticket}\n"))
}
