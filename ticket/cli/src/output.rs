//! What goes to the terminal, to a pipe, and to programs.
//!
//! Answers go to standard output, everything else to standard error. Colour only on a terminal and
//! never alone: a symbol and a word say the same.

use std::io::{self, IsTerminal, Write};

use serde_json::{Map, Value, json};
use ticket_admin::{API_VERSION, Code, Failure};
use ticket_config::{Diagnostic, Severity};

use crate::args::Global;
use crate::clock::{self, Now};

/// Why a verb ended without an answer.
pub(crate) enum Stop {
    /// One thing went wrong.
    Failure(Box<Failure>),
    /// The configuration is wrong.
    Findings(Vec<Diagnostic>),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

/// How a piece of text looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it is.
    Plain,
    /// All is well.
    Good,
    /// Look at it.
    Warn,
    /// Wrong.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Bold,
}

/// What a terminal can show.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    colour: bool,
    unicode: bool,
}

impl Style {
    fn of(stream: &impl IsTerminal) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let colour = !set("NO_COLOR") && (forced || (stream.is_terminal() && !dumb));
        Self {
            colour,
            unicode: utf8_locale() && !dumb,
        }
    }

    /// Text in a colour, where there is one.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Plain => "",
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "1;31",
            Paint::Dim => "2",
            Paint::Bold => "1",
        };
        if !self.colour || code.is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A symbol, or its stand-in where only ASCII is safe.
    pub(crate) fn symbol(self, unicode: char, ascii: char) -> char {
        if self.unicode { unicode } else { ascii }
    }

    /// `[#####-----]`, `filled` of `width`.
    pub(crate) fn bar(self, part: u64, whole: u64, width: usize) -> String {
        let cells = u64::try_from(width).unwrap_or(0);
        let filled = part
            .saturating_mul(cells)
            .checked_div(whole)
            .unwrap_or(0)
            .min(cells);
        let filled = usize::try_from(filled).unwrap_or(width);
        let (full, empty) = (self.symbol('\u{2588}', '#'), self.symbol('\u{2591}', '-'));
        let bar = |c: char, n: usize| std::iter::repeat_n(c, n).collect::<String>();
        format!("[{}{}]", bar(full, filled), bar(empty, width - filled))
    }
}

/// The locale's encoding, by the variables' usual precedence.
fn utf8_locale() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Where a verb prints.
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// Of standard output.
    pub(crate) style: Style,
    /// Of standard error.
    pub(crate) err_style: Style,
    /// Whether standard error is a terminal, so that a line can be rewritten.
    pub(crate) live: bool,
    /// Whether standard output is one.
    pub(crate) terminal: bool,
}

impl Output {
    /// For a command line that could not be read.
    pub(crate) fn unparsed(arguments: &[std::ffi::OsString]) -> Self {
        let says = |word: &str| arguments.iter().any(|argument| argument == word);
        let environment = std::env::var("INTERLOCK_OUTPUT").is_ok_and(|form| form == "json");
        Self {
            json: environment || says("--json") || says("--output-as=json") || says("json"),
            quiet: false,
            style: Style::of(&io::stdout()),
            err_style: Style::of(&io::stderr()),
            live: false,
            terminal: false,
        }
    }

    /// As the command line and the environment say.
    pub(crate) fn new(global: &Global) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            json: global.json(),
            quiet: global.quiet,
            style: Style::of(&io::stdout()),
            err_style: Style::of(&io::stderr()),
            live: io::stderr().is_terminal() && !dumb && !global.quiet && !global.json(),
            terminal: io::stdout().is_terminal(),
        }
    }

    /// Prints an answer. A reader that has gone away is not our failure.
    pub(crate) fn print(&self, text: &str) {
        if !self.quiet {
            print_all(&mut io::stdout(), text);
        }
    }

    /// Prints an answer for programs, with the version of its form.
    pub(crate) fn print_json(&self, value: Value) {
        let mut object = Map::new();
        object.insert("api-version".to_owned(), json!(API_VERSION.to_string()));
        if let Value::Object(more) = value {
            object.extend(more);
        }
        self.print(&format!("{}\n", Value::Object(object)));
    }

    /// A remark to a person; programs do not get it.
    pub(crate) fn remark(&self, text: &str) {
        if !self.quiet && !self.json {
            print_all(&mut io::stderr(), &format!("{text}\n"));
        }
    }

    /// Rewrites the line that counts down; only on a terminal. What does not fit is cut by the
    /// terminal (no wrapping meanwhile), because a second line would not be rewritten.
    pub(crate) fn rewrite(&self, text: &str) {
        if self.live {
            print_all(
                &mut io::stderr(),
                &format!("\r\x1b[K\x1b[?7l{text}\x1b[?7h"),
            );
        }
    }

    /// Asks something; the answer is typed on the same line.
    pub(crate) fn question(&self, text: &str) {
        print_all(&mut io::stderr(), text);
    }

    /// Says why a verb ended without an answer, and returns the exit code.
    pub(crate) fn stop(&self, stop: Stop) -> Code {
        match stop {
            Stop::Failure(failure) => {
                let text = if self.json {
                    format!("{}\n", failure_json(&failure))
                } else {
                    failure_text(&failure, self.err_style)
                };
                print_all(&mut io::stderr(), &text);
                // A failure is never 0, whatever a daemon calls it.
                if failure.code.number() == 0 {
                    Code::Error
                } else {
                    failure.code
                }
            }
            Stop::Findings(found) => {
                self.findings(&found);
                Code::Config
            }
        }
    }

    /// Prints what is wrong with a configuration.
    pub(crate) fn findings(&self, found: &[Diagnostic]) {
        let text = if self.json {
            format!("{}\n", findings_json(found))
        } else {
            let errors = found
                .iter()
                .filter(|one| one.severity == Severity::Error)
                .count();
            let warnings = found.len() - errors;
            let mut text: String = found.iter().map(|one| format!("{one}\n")).collect();
            if errors > 0 {
                text.push_str(&format!(
                    "{}: {} (exit 78)\n",
                    self.bad("refused"),
                    count(errors, warnings)
                ));
            }
            text
        };
        print_all(&mut io::stderr(), &text);
    }

    fn bad(&self, word: &str) -> String {
        let symbol = self.err_style.symbol('\u{2717}', 'x');
        self.err_style
            .paint(Paint::Bad, &format!("{symbol} {word}"))
    }
}

/// `1 ticket`, `2 tickets`.
pub(crate) fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn count(errors: usize, warnings: usize) -> String {
    match warnings {
        0 => plural(errors, "error"),
        _ => format!(
            "{}, {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    }
}

fn print_all(stream: &mut impl Write, text: &str) {
    // A closed pipe (`ticket list | head -1`) ends the output and nothing else; there is nobody left
    // to tell of any other failure to print.
    let _gone = stream
        .write_all(text.as_bytes())
        .and_then(|()| stream.flush());
}

/// `✗ refused (quorum): what`, then what to do.
fn failure_text(failure: &Failure, style: Style) -> String {
    let code = failure.code;
    let (symbol, word, paint) = match code {
        Code::Unknown => ('?', "unknown", Paint::Warn),
        Code::Timeout => (style.symbol('\u{2026}', '.'), "timeout", Paint::Warn),
        Code::Usage | Code::Config | Code::NotConnected | Code::Io | Code::Unavailable => {
            (style.symbol('\u{2717}', 'x'), "failed", Paint::Bad)
        }
        _ => (style.symbol('\u{2717}', 'x'), "refused", Paint::Bad),
    };
    let mut text = format!(
        "{}: {} (exit {}, {})\n",
        style.paint(paint, &format!("{symbol} {word}")),
        failure.message,
        code.number(),
        code.name(),
    );
    if code == Code::Usage {
        // One line says it all.
        let hint = failure
            .hint
            .as_ref()
            .map_or(String::new(), |hint| format!("; {hint}"));
        return format!("ticket: {}{hint}\n", failure.message);
    }
    let mut line = |label: &str, value: &str| {
        text.push_str(&format!(
            "  {} {value}\n",
            style.paint(Paint::Dim, &format!("{label:<8}"))
        ));
    };
    if !failure.missing.is_empty() && !names_all(&failure.message, &failure.missing) {
        line("missing", &failure.missing.join(", "));
    }
    let now = Now::new();
    if let Some(ms) = failure.may_run_ms {
        line(
            "may run",
            &format!("until {} (in {})", now.clock_in(ms), clock::span(ms)),
        );
    }
    if let Some(ms) = failure.retry_in_ms {
        line(
            "possible",
            &format!("from {} on (in {})", now.clock_in(ms), clock::span(ms)),
        );
    }
    if let Some(hint) = &failure.hint {
        line("to do", hint);
    }
    text
}

fn names_all(message: &str, names: &[String]) -> bool {
    names.iter().all(|name| message.contains(name.as_str()))
}

fn failure_json(failure: &Failure) -> Value {
    let now = Now::new();
    let mut value = json!({
        "api-version": API_VERSION.to_string(),
        "code": failure.code.number(),
        "name": failure.code.name(),
        "message": failure.message,
        "hint": failure.hint,
    });
    if !failure.missing.is_empty() {
        value["missing"] = json!(failure.missing);
    }
    if let Some(ms) = failure.may_run_ms {
        value["may_run_until"] = json!(now.rfc3339_in(ms));
        value["may_run_seconds"] = json!(clock::seconds(ms));
    }
    if let Some(ms) = failure.retry_in_ms {
        value["possible_from"] = json!(now.rfc3339_in(ms));
        value["possible_in_seconds"] = json!(clock::seconds(ms));
    }
    value
}

fn findings_json(found: &[Diagnostic]) -> Value {
    let errors = found
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .count();
    let first = found
        .iter()
        .find(|one| one.severity == Severity::Error)
        .or_else(|| found.first());
    let code = if errors == 0 {
        Code::Done
    } else {
        Code::Config
    };
    json!({
        "api-version": API_VERSION.to_string(),
        "code": code.number(),
        "name": code.name(),
        "message": first.map(Diagnostic::headline),
        "hint": first.and_then(|one| one.hint.clone()),
        "findings": found.iter().map(finding_json).collect::<Vec<_>>(),
    })
}

/// One finding about a configuration, for programs.
pub(crate) fn finding_json(one: &Diagnostic) -> Value {
    json!({
        "severity": one.severity.to_string(),
        "file": one.file,
        "line": (one.line > 0).then_some(one.line),
        "column": (one.line > 0).then_some(one.column),
        "message": one.message,
        "hint": one.hint,
    })
}
