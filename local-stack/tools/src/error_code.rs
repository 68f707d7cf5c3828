//! `crm_error`: what a code means.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::answer::{self, Answer, Call};
use crate::args::{Tool, switch};
use crate::exit::{self, Failure};

const TOOL: Tool = Tool {
    name: "crm_error",
    about: "crm_error - display name or description of a Pacemaker error code",
    flags: &[
        switch('n', "name", "Show error's name with its description"),
        switch('l', "list", "Show all known errors"),
        switch(
            'X',
            "exit",
            "Interpret as exit code rather than legacy function return value",
        ),
        switch(
            'r',
            "rc",
            "Interpret as return code rather than legacy function return value",
        ),
    ],
};

/// Exit codes with their names in Pacemaker's headers, which scripts know.
const NAMES: [(u8, &str); 39] = [
    (0, "CRM_EX_OK"),
    (1, "CRM_EX_ERROR"),
    (2, "CRM_EX_INVALID_PARAM"),
    (3, "CRM_EX_UNIMPLEMENT_FEATURE"),
    (4, "CRM_EX_INSUFFICIENT_PRIV"),
    (5, "CRM_EX_NOT_INSTALLED"),
    (6, "CRM_EX_NOT_CONFIGURED"),
    (7, "CRM_EX_NOT_RUNNING"),
    (8, "CRM_EX_PROMOTED"),
    (9, "CRM_EX_FAILED_PROMOTED"),
    (64, "CRM_EX_USAGE"),
    (65, "CRM_EX_DATAERR"),
    (66, "CRM_EX_NOINPUT"),
    (67, "CRM_EX_NOUSER"),
    (68, "CRM_EX_NOHOST"),
    (69, "CRM_EX_UNAVAILABLE"),
    (70, "CRM_EX_SOFTWARE"),
    (71, "CRM_EX_OSERR"),
    (72, "CRM_EX_OSFILE"),
    (73, "CRM_EX_CANTCREAT"),
    (74, "CRM_EX_IOERR"),
    (75, "CRM_EX_TEMPFAIL"),
    (76, "CRM_EX_PROTOCOL"),
    (77, "CRM_EX_NOPERM"),
    (78, "CRM_EX_CONFIG"),
    (100, "CRM_EX_FATAL"),
    (101, "CRM_EX_PANIC"),
    (102, "CRM_EX_DISCONNECT"),
    (103, "CRM_EX_OLD"),
    (104, "CRM_EX_DIGEST"),
    (105, "CRM_EX_NOSUCH"),
    (106, "CRM_EX_QUORUM"),
    (107, "CRM_EX_UNSAFE"),
    (108, "CRM_EX_EXISTS"),
    (109, "CRM_EX_MULTIPLE"),
    (110, "CRM_EX_EXPIRED"),
    (111, "CRM_EX_NOT_YET_IN_EFFECT"),
    (112, "CRM_EX_INDETERMINATE"),
    (124, "CRM_EX_TIMEOUT"),
];

/// Runs `crm_error` with its arguments.
pub(crate) fn crm_error(arguments: &[String]) -> ExitCode {
    answer::run(&TOOL, arguments, run)
}

fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let given = call.given;
    let mut text = String::new();
    let mut line = |code: u8| {
        let known = NAMES.iter().find(|(known, _)| *known == code);
        let name = known.map_or("CRM_EX_NONE", |(_, name)| name);
        let meaning = exit::name(code);
        // Writing to a string does not fail.
        let _ = match (given.has("list"), given.has("name")) {
            (true, true) => writeln!(text, "{code:3}: {name:<25}  {meaning}"),
            (true, false) => writeln!(text, "{code:3}: {meaning}"),
            (false, true) => writeln!(text, "{name} - {meaning}"),
            (false, false) => writeln!(text, "{meaning}"),
        };
    };
    if given.has("list") {
        for (code, _) in NAMES {
            line(code);
        }
        return Ok(Answer::text(text));
    }
    if given.rest.is_empty() {
        return Err(Failure::new(exit::USAGE, "name a code, or give --list"));
    }
    for word in &given.rest {
        let code = word
            .parse()
            .map_err(|_| Failure::new(exit::USAGE, format!("'{word}' is no exit code")))?;
        line(code);
    }
    Ok(Answer::text(text))
}
