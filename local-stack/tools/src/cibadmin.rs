//! `cibadmin`: looking at a CIB and changing it.

use std::fmt::Write as _;
use std::process::ExitCode;

use cib::acl::Acl;
use cib::request::{self, Operation, Request, RequestError};
use cib::{Cib, Document, XPath, path_of};

use crate::answer::{self, Answer, Call};
use crate::args::{Given, Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::{live, source};

const TOOL: Tool = Tool {
    name: "cibadmin",
    about: "cibadmin - query and edit the Pacemaker configuration",
    flags: &[
        switch(
            'u',
            "upgrade",
            "Upgrade the configuration to the latest syntax",
        ),
        switch('Q', "query", "Query the contents of the CIB"),
        switch('E', "erase", "Erase the contents of the whole CIB"),
        switch('B', "bump", "Increase the CIB's epoch value by 1"),
        switch(
            'C',
            "create",
            "Create an object in the CIB (will fail if it exists)",
        ),
        switch('M', "modify", "Find an object in the CIB and update it"),
        switch('P', "patch", "Supply an update in the form of an XML diff"),
        switch('R', "replace", "Recursively replace an object in the CIB"),
        switch(
            'D',
            "delete",
            "Delete the first object matching the criteria",
        ),
        switch(
            'd',
            "delete-all",
            "With --xpath, remove all matching objects",
        ),
        switch('a', "empty", "Output an empty CIB"),
        switch('5', "md5-sum", "Calculate the on-disk CIB digest"),
        switch(
            '6',
            "md5-sum-versioned",
            "Calculate an on-the-wire versioned CIB digest",
        ),
        switch(
            ' ',
            "commit-transaction",
            "Apply all requests of a transaction, or none",
        ),
        switch(
            'S',
            "show-access",
            "With --query and --user: what the user may do where",
        ),
        switch('f', "force", "Do it even if it is dangerous"),
        valued(
            't',
            "timeout",
            "SECONDS",
            "Time to wait (nothing is waited for with files)",
        ),
        valued(
            'U',
            "user",
            "USER",
            "Run the command with the permissions of a user",
        ),
        switch('s', "sync-call", "Wait for the command to complete"),
        switch('l', "local", "Command takes effect locally"),
        switch(
            'c',
            "allow-create",
            "Allow the target of --modify to be created",
        ),
        switch('n', "no-children", "When querying, do not include children"),
        valued(
            'X',
            "xml-text",
            "XML",
            "Retrieve XML from the supplied string",
        ),
        valued('x', "xml-file", "FILE", "Retrieve XML from the named file"),
        switch('p', "xml-pipe", "Retrieve XML from stdin"),
        valued(
            'o',
            "scope",
            "SECTION",
            "Limit scope of operation to a section",
        ),
        valued(
            'A',
            "xpath",
            "PATH",
            "A valid XPath to use instead of --scope",
        ),
        switch(
            'e',
            "node-path",
            "With an XPath, return the path of any matches",
        ),
        valued(
            'N',
            "node",
            "NODE",
            "Send the command to the specified host",
        ),
        valued(
            ' ',
            "validate-with",
            "SCHEMA",
            "With --upgrade: the schema to upgrade to",
        ),
    ],
};

/// The commands; exactly one is given.
const COMMANDS: [&str; 15] = [
    "upgrade",
    "query",
    "erase",
    "bump",
    "create",
    "modify",
    "patch",
    "replace",
    "delete",
    "delete-all",
    "empty",
    "md5-sum",
    "md5-sum-versioned",
    "commit-transaction",
    "show-access",
];

/// Runs `cibadmin` with its arguments.
pub(crate) fn cibadmin(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, run)
}

fn command(given: &Given) -> Result<&'static str, Failure> {
    let mut found: Vec<&'static str> = Vec::new();
    for (name, _) in given.in_order() {
        if COMMANDS.contains(&name) && !found.contains(&name) {
            found.push(name);
        }
    }
    // Looking at access is a way to query.
    if found.len() > 1 {
        found.retain(|c| *c != "show-access");
    }
    // All that match are deleted if either word is there.
    if found.contains(&"delete-all") {
        found.retain(|c| *c != "delete");
    }
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::new(
            exit::USAGE,
            "Must specify a command option, such as --query; --help lists them",
        )),
        [one, other, ..] => Err(Failure::new(
            exit::USAGE,
            format!("--{one} and --{other} do not go together"),
        )),
    }
}

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let command = command(given)?;
    let dangerous = matches!(command, "upgrade" | "erase" | "delete-all");
    if dangerous && !given.has("force") {
        return Err(Failure::new(
            exit::UNSAFE,
            "The supplied command is considered dangerous.  To prevent accidental destruction of the \
             cluster, the --force flag is required in order to proceed.",
        ));
    }
    match command {
        "empty" => return Ok(Answer::text(empty(given)?.to_text())),
        "md5-sum" | "md5-sum-versioned" => return digest(given, command),
        _ => {}
    }
    let path = source::cib_file()?;
    let cib = read(&path)?;
    let acl = access(&cib, given);
    if matches!(command, "query" | "show-access") {
        return query(given, &cib, acl.as_ref());
    }
    let mut changed = cib.clone();
    if let Err(failure) = change(given, command, &mut changed) {
        return refusal(given, command, failure);
    }
    if let Some(acl) = &acl {
        let permitted = acl.permits(&cib, &changed);
        permitted
            .map_err(|e| Failure::new(exit::PRIVILEGES, call_failed("Permission denied", &e)))?;
    }
    store(&cib, &changed, &path)
}

/// What could not be added is shown, as scripts expect it.
fn refusal(given: &Given, command: &str, failure: Failure) -> Result<Answer, Failure> {
    if command != "create" || failure.code != exit::EXISTS {
        return Err(failure);
    }
    let Some(data) = input(given)? else {
        return Err(failure);
    };
    let mut list = Document::new("failed");
    let root = list.root().key();
    let element = list.append(root, "failed_update");
    for (name, value) in [
        ("id", data.root().id()),
        ("object_type", data.root().name()),
        ("operation", "cib_create"),
        ("reason", "File exists"),
    ] {
        list.set_attr(element, name, value);
    }
    list.append_copy(element, &data, data.root().key());
    Ok(Answer {
        code: failure.code,
        errors: vec![failure.message],
        ..Answer::text(list.to_text())
    })
}

/// Reads the CIB that takes the place of a cluster.
pub(crate) fn read(path: &str) -> Result<Cib, Failure> {
    if !live::is(path) && !std::path::Path::new(path).exists() {
        let message = format!("Could not connect to the CIB: No such device or address ({path})");
        return Err(Failure::new(exit::NO_SUCH, message));
    }
    source::read_cib(path)
}

/// Writes a changed CIB, unless it says what cannot be meant.
pub(crate) fn store(old: &Cib, new: &Cib, path: &str) -> Result<Answer, Failure> {
    let text = new.to_text();
    // What was wrong before is not made worse by a change elsewhere; only new errors are refused.
    let known: Vec<String> = errors(old).map(|p| p.element + &p.message).collect();
    let fresh = Cib::parse(&text, None).map_err(|e| Failure::new(exit::DATA, e.to_string()))?;
    let mut list: Vec<String> = errors(&fresh)
        .filter(|p| !known.contains(&format!("{}{}", p.element, p.message)))
        .map(|p| format!("{}: {}", p.element, p.message))
        .collect();
    if !list.is_empty() {
        list.push("Call failed: Update does not conform to the configured schema".to_owned());
        return Ok(Answer {
            code: exit::CONFIG,
            errors: list,
            plain_errors: true,
            ..Answer::default()
        });
    }
    if live::is(path) {
        live::replace(path, old, new)?;
    } else {
        source::write(path, &text)?;
    }
    Ok(Answer::default())
}

fn errors(cib: &Cib) -> impl Iterator<Item = cib::check::Problem> {
    cib::check::check(cib).into_iter().filter(|p| p.fatal)
}

fn call_failed(what: &str, why: &dyn std::fmt::Display) -> String {
    format!("Call failed: {what} ({why})")
}

/// What the user in whose name this runs may do; none for everything.
pub(crate) fn access(cib: &Cib, given: &Given) -> Option<Acl> {
    let user = given.value("user").map(str::to_owned);
    let user = user.or_else(|| source::variable("CIB_user"))?;
    let groups = groups_of(&user);
    Acl::of(cib, &user, &groups)
}

/// The groups of a user, as this machine knows them.
fn groups_of(user: &str) -> Vec<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(2).map(str::to_owned))?
    });
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let mine = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        let members = fields.next().unwrap_or("");
        let member = members.split(',').any(|m| m == user) || own.as_deref() == Some(id);
        member.then(|| name.to_owned())
    });
    mine.collect()
}

fn empty(given: &Given) -> Result<Cib, Failure> {
    let mut cib = Cib::empty();
    let root = cib.root().key();
    cib.document_mut().set_attr(root, "epoch", "1");
    if let Some(schema) = given
        .value("validate-with")
        .or_else(|| given.rest.first().map(String::as_str))
    {
        if !cib::check::known_schema(schema) {
            let message = format!("'{schema}' is no schema; write pacemaker-X.Y");
            return Err(Failure::new(exit::USAGE, message));
        }
        cib.document_mut().set_attr(root, "validate-with", schema);
    }
    Ok(cib)
}

/// The XML that was handed over, if any.
fn input(given: &Given) -> Result<Option<Document>, Failure> {
    let (text, name) = if let Some(text) = given.value("xml-text") {
        (text.to_owned(), "input string")
    } else if let Some(path) = given.value("xml-file") {
        (source::read(path)?, path)
    } else if given.has("xml-pipe") {
        (source::read("-")?, "stdin")
    } else {
        return Ok(None);
    };
    let document = Document::parse_owned(text, Some(name));
    document.map(Some).map_err(|e| {
        let message = format!("Couldn't parse input from {name}: {e}");
        Failure::new(exit::CONFIG, message)
    })
}

fn digest(given: &Given, command: &str) -> Result<Answer, Failure> {
    let Some(document) = input(given)? else {
        let message = "Please supply XML to process with -X, -x, or -p";
        return Err(Failure::new(exit::USAGE, message));
    };
    let (label, digest) = if command == "md5-sum" {
        ("Digest: ".to_owned(), cib::digest::of_file(&document))
    } else {
        let version = document.root().attr("crm_feature_set").unwrap_or("3.16.1");
        let label = format!("Versioned ({version}) digest: ");
        (label, cib::digest::of_content(&document))
    };
    // Scripts take the digest alone from standard output.
    eprint!("{label}");
    Ok(Answer::text(format!("{digest}\n")))
}

fn xpath(given: &Given) -> Result<Option<XPath>, Failure> {
    let Some(text) = given.value("xpath") else {
        return Ok(None);
    };
    let xpath = XPath::parse(text).map_err(|e| Failure::new(exit::USAGE, e.to_string()))?;
    Ok(Some(xpath))
}

fn scope(given: &Given) -> Result<Option<&str>, Failure> {
    let Some(scope) = given.value("scope") else {
        return Ok(None);
    };
    if request::SECTIONS.iter().any(|(name, _)| *name == scope) {
        return Ok(Some(scope));
    }
    let known: Vec<&str> = request::SECTIONS.iter().map(|(name, _)| *name).collect();
    let known = known.join(", ");
    let message = format!("Invalid value '{scope}' for --scope; there are {known}");
    Err(Failure::new(exit::USAGE, message))
}

fn missing() -> Failure {
    Failure::new(exit::NO_SUCH, "Call failed: No such device or address")
}

fn query(given: &Given, cib: &Cib, acl: Option<&Acl>) -> Result<Answer, Failure> {
    if given.has("show-access") {
        return Ok(show_access(cib, acl));
    }
    let seen = match acl {
        Some(acl) => acl.visible(cib).ok_or_else(|| {
            let why = "nothing in the acls section lets this user see anything";
            Failure::new(exit::PRIVILEGES, call_failed("Permission denied", &why))
        })?,
        None => cib.clone(),
    };
    let document = seen.document();
    let found = match (xpath(given)?, scope(given)?) {
        (Some(xpath), _) => {
            let found = xpath.elements(document);
            found.map_err(|e| Failure::new(exit::USAGE, e.to_string()))?
        }
        (None, Some(scope)) => {
            let section = request::SECTIONS.iter().find(|(name, _)| *name == scope);
            let path = section.map_or("/cib", |(_, path)| *path);
            cib::patch::path_element(document, path)
                .into_iter()
                .collect()
        }
        (None, None) => vec![seen.root().key()],
    };
    if found.is_empty() {
        return Err(missing());
    }
    if given.has("node-path") {
        let mut text = String::new();
        for element in found {
            let _ = writeln!(text, "{}", path_of(document, element));
        }
        return Ok(Answer::text(text));
    }
    let single = |element| {
        let mut copy = document.extract(element);
        if given.has("no-children") {
            let root = copy.root().key();
            copy.clear(root);
        }
        copy
    };
    if let [one] = found.as_slice() {
        return Ok(Answer::text(single(*one).to_text()));
    }
    let mut list = Document::new("xpath-query");
    let root = list.root().key();
    for element in found {
        let copy = single(element);
        list.append_copy(root, &copy, copy.root().key());
    }
    Ok(Answer::text(list.to_text()))
}

fn show_access(cib: &Cib, acl: Option<&Acl>) -> Answer {
    let Some(acl) = acl else {
        return Answer::text("everything is writable: ACLs do not restrict this user\n");
    };
    let mut text = String::new();
    for (path, what) in acl.annotated(cib) {
        let _ = writeln!(text, "{what:<9} {path}");
    }
    for why in &acl.unreadable {
        let _ = writeln!(text, "ignored   {why}");
    }
    Answer::text(text)
}

fn operation(command: &str) -> Operation {
    match command {
        "create" => Operation::Create,
        "modify" => Operation::Modify,
        "replace" => Operation::Replace,
        "delete" => Operation::Delete,
        "delete-all" => Operation::DeleteAll,
        "patch" => Operation::Patch,
        "bump" => Operation::Bump,
        _ => Operation::Erase,
    }
}

fn change(given: &Given, command: &str, cib: &mut Cib) -> Result<(), Failure> {
    if command == "upgrade" {
        let target = given.value("validate-with").unwrap_or(cib::upgrade::TARGET);
        let before = cib.to_text();
        let done = cib::upgrade::upgrade(cib, target);
        done.map_err(|e| {
            Failure::new(
                exit::CONFIG,
                call_failed("Schema is already the latest", &e),
            )
        })?;
        if cib.to_text() != before {
            cib.bump_epoch();
        }
        return Ok(());
    }
    let data = input(given)?;
    if command == "commit-transaction" {
        let Some(data) = data else {
            return Err(no_data());
        };
        let requests = request::read_transaction(&data).map_err(|e| refused(&e))?;
        return request::apply_all(cib, &requests).map_err(|(place, error)| {
            let failure = refused(&error);
            let message = format!("{} (request {})", failure.message, place + 1);
            Failure::new(failure.code, message)
        });
    }
    let xpath = xpath(given)?;
    let needs_data = matches!(command, "create" | "modify" | "replace" | "patch")
        || (command == "delete" && xpath.is_none());
    if needs_data && data.is_none() {
        return Err(no_data());
    }
    if command == "delete-all" && xpath.is_none() {
        let message = "--delete-all needs --xpath to say which";
        return Err(Failure::new(exit::USAGE, message));
    }
    let request = Request {
        operation: operation(command),
        section: scope(given)?.map(str::to_owned),
        xpath,
        data,
        may_create: given.has("allow-create"),
    };
    request::apply(cib, &request).map_err(|e| refused(&e))
}

fn no_data() -> Failure {
    let message = "Please supply XML to process with -X, -x, or -p";
    Failure::new(exit::USAGE, message)
}

/// In the words of the system's errors, which scripts look for.
pub(crate) fn refused(error: &RequestError) -> Failure {
    use cib::patch::PatchError;
    let (code, what) = match error {
        RequestError::Invalid(_) | RequestError::XPath(_) => (exit::USAGE, "Invalid argument"),
        RequestError::Missing(_) => (exit::NO_SUCH, "No such device or address"),
        RequestError::Exists(_) => (exit::EXISTS, "File exists"),
        RequestError::Old { .. } | RequestError::Patch(PatchError::Old { .. }) => {
            (exit::OLD, "Update was older than existing configuration")
        }
        RequestError::Patch(_) => (exit::DIFF_FAILED, "Application of an update diff failed"),
    };
    Failure::new(code, call_failed(what, error))
}
