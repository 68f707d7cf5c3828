//! `crm_shadow`: changing a copy of the configuration first.

use std::path::PathBuf;
use std::process::ExitCode;

use cib::{Cib, patch};

use crate::answer::{self, Answer, Call};
use crate::args::{Given, Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::{cibadmin, source};

const TOOL: Tool = Tool {
    name: "crm_shadow",
    about: "Perform Pacemaker configuration changes in a sandbox: tools work on a copy, which can be \
            looked at, tested and then committed",
    flags: &[
        switch('w', "which", "Indicate the active shadow copy"),
        switch(
            'p',
            "display",
            "Display the contents of the active shadow copy",
        ),
        switch('d', "diff", "Display the changes in the active shadow copy"),
        switch(
            'F',
            "file",
            "Display the location of the active shadow copy file",
        ),
        valued(
            'c',
            "create",
            "NAME",
            "Create the named shadow copy of the configuration",
        ),
        valued(
            'e',
            "create-empty",
            "NAME",
            "Create the named shadow copy, empty",
        ),
        valued(
            'C',
            "commit",
            "NAME",
            "Upload the contents of the named shadow copy",
        ),
        valued(
            'D',
            "delete",
            "NAME",
            "Delete the contents of the named shadow copy",
        ),
        switch('E', "edit", "Edit the active shadow copy with your $EDITOR"),
        valued(
            'r',
            "reset",
            "NAME",
            "Recreate the named shadow copy from the configuration",
        ),
        valued('s', "switch", "NAME", "Switch to the named shadow copy"),
        switch('f', "force", "Force the action to be performed"),
        switch('b', "batch", "Don't spawn a new shell (none is spawned)"),
        switch(
            'a',
            "all",
            "Upload the entire CIB, including status, with --commit",
        ),
        valued(
            'v',
            "validate-with",
            "SCHEMA",
            "Create an older configuration version",
        ),
    ],
};

/// Runs `crm_shadow` with its arguments.
pub(crate) fn crm_shadow(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, run)
}

fn file(name: &str) -> Result<PathBuf, Failure> {
    if name.is_empty() || name.contains('/') {
        let message = format!("'{name}' is no name for a shadow copy");
        return Err(Failure::new(exit::USAGE, message));
    }
    Ok(source::shadow_directory().join(format!("shadow.{name}")))
}

fn active() -> Result<String, Failure> {
    source::variable("CIB_shadow")
        .ok_or_else(|| Failure::new(exit::NO_SUCH, "No active shadow configuration defined"))
}

/// The file of the real configuration.
fn real() -> Result<String, Failure> {
    source::variable("CIB_file").ok_or_else(source::no_cluster)
}

const DANGEROUS: &str = "To prevent accidental destruction of the cluster, the --force flag is required in \
                         order to proceed.";

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    if given.has("which") {
        return Ok(Answer::text(format!("{}\n", active()?)));
    }
    if given.has("file") {
        let path = file(&active()?)?;
        return Ok(Answer::text(format!("{}\n", path.display())));
    }
    if given.has("display") {
        return Ok(Answer::text(open(&active()?)?.to_text()));
    }
    if given.has("diff") {
        return difference(&active()?);
    }
    if given.has("edit") {
        return edit(&active()?);
    }
    if let Some(name) = given.value("switch") {
        open(name)?;
        return Ok(use_it(
            name,
            "To switch to the named shadow instance, paste the following into your shell",
        ));
    }
    if let Some(name) = given.value("commit") {
        return commit(given, name);
    }
    if let Some(name) = given.value("delete") {
        return delete(given, name);
    }
    if let Some(name) = given.value("reset") {
        open(name)?;
        return create(name, &cibadmin::read(&real()?)?);
    }
    if let Some(name) = given.value("create") {
        fresh(given, name)?;
        return create(name, &cibadmin::read(&real()?)?);
    }
    if let Some(name) = given.value("create-empty") {
        fresh(given, name)?;
        let mut cib = Cib::empty();
        if let Some(schema) = given.value("validate-with") {
            if !cib::check::known_schema(schema) {
                let message = format!("'{schema}' is no schema; write pacemaker-X.Y");
                return Err(Failure::new(exit::USAGE, message));
            }
            let root = cib.root().key();
            cib.document_mut().set_attr(root, "validate-with", schema);
        }
        let schema = cib.root().attr("validate-with").unwrap_or("").to_owned();
        let mut answer = create(name, &cib)?;
        answer.text = format!("Created new {schema} configuration\n{}", answer.text);
        return Ok(answer);
    }
    Err(Failure::new(
        exit::USAGE,
        "Must supply a command; --help lists them",
    ))
}

fn open(name: &str) -> Result<Cib, Failure> {
    let path = file(name)?;
    let path = path.to_string_lossy();
    if !std::path::Path::new(&*path).exists() {
        let message =
            format!("Could not access shadow instance '{name}': No such file or directory");
        return Err(Failure::new(exit::NO_SUCH, message));
    }
    source::read_cib(&path)
}

/// Whether a name may be used for a new copy.
fn fresh(given: &Given, name: &str) -> Result<(), Failure> {
    if given.has("force") {
        return Ok(());
    }
    if let Some(active) = source::variable("CIB_shadow").filter(|a| a != name) {
        let message = format!(
            "The supplied shadow instance ({name}) is not the same as the active one ({active}).\n  {DANGEROUS}"
        );
        return Err(Failure::new(exit::USAGE, message));
    }
    if file(name)?.exists() {
        let message = format!("A shadow instance '{name}' already exists.\n  {DANGEROUS}");
        return Err(Failure::new(exit::CANNOT_CREATE, message));
    }
    Ok(())
}

fn create(name: &str, cib: &Cib) -> Result<Answer, Failure> {
    let path = file(name)?;
    source::write(&path.to_string_lossy(), &cib.to_text())?;
    let what =
        "A new shadow instance was created.  To begin using it paste the following into your shell";
    Ok(use_it(name, what))
}

fn use_it(name: &str, what: &str) -> Answer {
    Answer::text(format!(
        "Setting up shadow instance\n{what}:\n  CIB_shadow={name} ; export CIB_shadow\n"
    ))
}

/// What is left to do when the copy in use is gone.
fn done() -> Answer {
    Answer::text(
        "Please remember to unset the CIB_shadow variable by pasting the following into your shell:\n  \
         unset CIB_shadow\n",
    )
}

fn confirm(given: &Given) -> Result<(), Failure> {
    if given.has("force") {
        return Ok(());
    }
    let message = format!("The supplied command is considered dangerous.  {DANGEROUS}");
    Err(Failure::new(exit::USAGE, message))
}

fn delete(given: &Given, name: &str) -> Result<Answer, Failure> {
    confirm(given)?;
    let path = file(name)?;
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::write(&path.to_string_lossy(), &e))
        }
        _ => Ok(done()),
    }
}

fn commit(given: &Given, name: &str) -> Result<Answer, Failure> {
    confirm(given)?;
    let shadow = open(name)?;
    let path = real()?;
    let cib = cibadmin::read(&path)?;
    let mut changed = cib.clone();
    let request = |data| cib::request::Request::new(cib::request::Operation::Replace, Some(data));
    let data = if given.has("all") {
        shadow.document().clone()
    } else {
        let Some(configuration) = shadow.root().child("configuration") else {
            let message = format!("shadow copy '{name}' has no <configuration>");
            return Err(Failure::new(exit::DATA, message));
        };
        shadow.document().extract(configuration.key())
    };
    let applied = cib::request::apply(&mut changed, &request(data));
    applied.map_err(|e| cibadmin::refused(&e))?;
    if let Some(acl) = cibadmin::access(&cib, given) {
        let permitted = acl.permits(&cib, &changed);
        permitted.map_err(|e| Failure::new(exit::PRIVILEGES, e.to_string()))?;
    }
    let stored = cibadmin::store(&cib, &changed, &path)?;
    if stored.code != exit::OK {
        return Ok(stored);
    }
    Ok(done())
}

fn difference(name: &str) -> Result<Answer, Failure> {
    let shadow = open(name)?;
    let cib = cibadmin::read(&real()?)?;
    let options = patch::Options {
        versions: true,
        digest: false,
    };
    Ok(
        match patch::diff(cib.document(), shadow.document(), options) {
            None => Answer::default(),
            Some(patch) => Answer {
                code: exit::ERROR,
                ..Answer::text(crate::patch_text::describe(&patch))
            },
        },
    )
}

fn edit(name: &str) -> Result<Answer, Failure> {
    let path = file(name)?;
    open(name)?;
    let Some(editor) = source::variable("EDITOR") else {
        let message = "No value for EDITOR defined";
        return Err(Failure::new(exit::NO_SUCH, message));
    };
    let status = std::process::Command::new(&editor).arg(&path).status();
    match status {
        Ok(status) if status.success() => open(name).map(|_| Answer::default()),
        Ok(status) => Err(Failure::new(
            exit::ERROR,
            format!("{editor} ended with {status}"),
        )),
        Err(e) => Err(Failure::new(
            exit::ERROR,
            format!("could not run {editor}: {e}"),
        )),
    }
}
