//! `crm_diff`: the difference between two configurations, and applying one.

use std::process::ExitCode;

use cib::{Cib, Document, patch};

use crate::answer::{self, Answer, Call};
use crate::args::{Tool, switch, valued};
use crate::exit::{self, Failure};
use crate::source;

const TOOL: Tool = Tool {
    name: "crm_diff",
    about: "Compare two Pacemaker configurations (in XML format) to produce a custom diff-like output, \
            or apply such an output as a patch",
    flags: &[
        valued(
            'o',
            "original",
            "FILE",
            "XML is contained in the named file",
        ),
        valued(
            'O',
            "original-string",
            "STRING",
            "XML is contained in the supplied string",
        ),
        valued(
            'n',
            "new",
            "FILE",
            "Compare the original XML to the contents of the named file",
        ),
        valued(
            'N',
            "new-string",
            "STRING",
            "Compare the original XML with the supplied string",
        ),
        valued(
            'p',
            "patch",
            "FILE",
            "Patch the original XML with the contents of the named file",
        ),
        switch(
            'c',
            "cib",
            "Compare/patch the inputs as a CIB (includes versions details)",
        ),
        switch('s', "stdin", "Retrieve what is not given from stdin"),
        switch(
            'u',
            "no-version",
            "Generate the difference without versions details",
        ),
        switch('r', "raw", "Taken for compatibility"),
    ],
};

/// Runs `crm_diff` with its arguments.
pub(crate) fn crm_diff(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, run)
}

fn document(text: String, name: &str, which: &str) -> Result<Document, Failure> {
    let parsed = Document::parse_owned(text, Some(name));
    parsed.map_err(|e| Failure::new(exit::DATA, format!("Could not parse the {which} XML: {e}")))
}

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let read = |string: Option<&str>, file: Option<&str>, which: &str| match (string, file) {
        (Some(text), _) => document(text.to_owned(), "string", which),
        (None, Some(path)) => document(source::read(path)?, path, which),
        (None, None) if given.has("stdin") => document(source::read("-")?, "stdin", which),
        (None, None) => {
            let message = format!("Could not parse the {which} XML: there is none; see --help");
            Err(Failure::new(exit::DATA, message))
        }
    };
    let old = read(
        given.value("original-string"),
        given.value("original"),
        "original",
    )?;
    if let Some(path) = given.value("patch") {
        let patch = document(source::read(path)?, path, "patch")?;
        let mut cib =
            Cib::from_document(old).map_err(|e| Failure::new(exit::DATA, e.to_string()))?;
        let done = patch::apply(&mut cib, &patch);
        done.map_err(|e| {
            let code = match e {
                patch::PatchError::Old { .. } => exit::OLD,
                patch::PatchError::Shape(_) => exit::DATA,
                _ => exit::DIFF_FAILED,
            };
            Failure::new(code, format!("Could not apply patch: {e}"))
        })?;
        return Ok(Answer::text(cib.to_text()));
    }
    let new = read(given.value("new-string"), given.value("new"), "new")?;
    let (a, b) = (old.root(), new.root());
    if a.name() != b.name() || a.attr("id") != b.attr("id") {
        let message =
            format!("{a:?} and {b:?} are not the same element: there is no patch between them");
        return Err(Failure::new(exit::DATA, message));
    }
    let options = patch::Options {
        versions: a.name() == "cib" && !given.has("no-version"),
        digest: given.has("cib"),
    };
    Ok(match patch::diff(&old, &new, options) {
        None => Answer::default(),
        Some(patch) => Answer {
            code: exit::ERROR,
            ..Answer::text(patch.to_text())
        },
    })
}
