//! Typed access to the parsed files that collects findings instead of stopping at the first.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Severity};
use crate::duration;
use crate::files::SourceFile;
use crate::suggest::closest;

/// Most findings reported: nobody reads more, and a file of garbage has one a line.
const FINDINGS_MAX: usize = 100;

/// Longest piece of an author's text that a message repeats, in characters.
const ECHO_MAX: usize = 64;

/// A place in one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) file: usize,
    pub(crate) span: Range<usize>,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Put<T> {
    pub(crate) value: T,
    pub(crate) at: At,
}

/// One table of one file, such as `[ticket.db]`.
pub(crate) struct Section<'a> {
    pub(crate) file: usize,
    pub(crate) name: String,
    pub(crate) table: &'a DeTable<'a>,
}

/// A word that users of other programs write, and what to write here.
pub(crate) type Aliases = &'static [(&'static str, &'static str)];

/// The files and what has been found so far.
pub(crate) struct Reader<'f> {
    pub(crate) files: &'f [SourceFile],
    found: Vec<(usize, Diagnostic)>,
    /// Findings not kept.
    omitted: usize,
    /// Lines that are not TOML: what else is said about them is noise.
    broken: BTreeSet<(usize, usize)>,
}

impl<'f> Reader<'f> {
    pub(crate) fn new(files: &'f [SourceFile]) -> Self {
        Self {
            files,
            found: Vec::new(),
            omitted: 0,
            broken: BTreeSet::new(),
        }
    }

    /// Whether some file is not TOML, so that what seems missing may only be unreadable.
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Everything found, sorted by place.
    pub(crate) fn finish(self, main: &Path) -> Vec<Diagnostic> {
        let mut found = self.found;
        found.sort_by(|a, b| {
            let key = |(file, d): &(usize, Diagnostic)| (*file, d.line, d.column);
            key(a)
                .cmp(&key(b))
                .then_with(|| a.1.message.cmp(&b.1.message))
        });
        let mut found: Vec<_> = found
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect();
        if self.omitted > 0 {
            let message = format!("{} more findings are not shown", self.omitted);
            found.push(Diagnostic::about_file(main, message));
        }
        found
    }

    pub(crate) fn error(&mut self, at: &At, message: impl Into<String>, hint: impl Into<String>) {
        let diagnostic = self.diagnostic(at, message.into()).hint(hint);
        self.push(at.file, diagnostic);
    }

    pub(crate) fn warn(&mut self, at: &At, message: impl Into<String>, hint: impl Into<String>) {
        let mut diagnostic = self.diagnostic(at, message.into()).hint(hint);
        diagnostic.severity = Severity::Warning;
        self.push(at.file, diagnostic);
    }

    /// A finding about the whole configuration, said of the main file.
    pub(crate) fn error_overall(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        let Some(main) = self.files.first() else {
            return;
        };
        let diagnostic = Diagnostic::about_file(main.path.clone(), message).hint(hint);
        self.push(0, diagnostic);
    }

    /// `FILE:LINE:COLUMN`, to mention another place.
    pub(crate) fn place(&self, at: &At) -> String {
        let diagnostic = self.diagnostic(at, String::new());
        format!(
            "{}:{}:{}",
            diagnostic.file.display(),
            diagnostic.line,
            diagnostic.column
        )
    }

    /// A file, or a part of it, is not TOML.
    pub(crate) fn syntax_error(&mut self, at: &At, message: String, hint: Option<String>) {
        let mut diagnostic = self.diagnostic(at, message);
        diagnostic.hint = hint;
        // A parser that lost its way finds more on the same line; the first is the cause.
        if self.broken.insert((at.file, diagnostic.line)) {
            self.keep(at.file, diagnostic);
        }
    }

    fn diagnostic(&self, at: &At, message: String) -> Diagnostic {
        let file = &self.files[at.file];
        Diagnostic::at(file.path.clone(), &file.text, at.span.clone(), message)
    }

    fn push(&mut self, file: usize, diagnostic: Diagnostic) {
        if !self.broken.contains(&(file, diagnostic.line)) {
            self.keep(file, diagnostic);
        }
    }

    fn keep(&mut self, file: usize, diagnostic: Diagnostic) {
        if self.found.len() < FINDINGS_MAX {
            self.found.push((file, diagnostic));
        } else {
            self.omitted += 1;
        }
    }

    /// Complains about every key of the section that is not in `known`.
    pub(crate) fn only(&mut self, section: &Section<'_>, known: &[&str], aliases: Aliases) {
        for key in section.table.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let at = At {
                file: section.file,
                span: key.span(),
            };
            let alias = aliases
                .iter()
                .find(|alias| alias.0 == name)
                .map(|alias| alias.1);
            let hint = match (alias, closest(name, known.iter().copied())) {
                (Some(instead), _) => instead.to_owned(),
                (None, Some(meant)) => format!("did you mean \"{meant}\"?"),
                (None, None) => format!("known here: {}", known.join(", ")),
            };
            let name = echo(name);
            self.error(
                &at,
                format!("unknown key \"{name}\" in {}", section.name),
                hint,
            );
        }
    }

    /// The tables below a table, such as each `[ticket.NAME]`.
    pub(crate) fn tables<'a>(
        &mut self,
        section: &Section<'a>,
        example: &str,
    ) -> Vec<(Put<String>, Section<'a>)> {
        let mut tables = Vec::new();
        for (key, value) in section.table {
            let name = key.get_ref().as_ref().to_owned();
            let at = At {
                file: section.file,
                span: key.span(),
            };
            let DeValue::Table(table) = value.get_ref() else {
                let what = format!("\"{}\" in {} must be a table", echo(&name), section.name);
                self.error(&at, what, format!("write {example}"));
                continue;
            };
            let kind = section.name.trim_matches(['[', ']']);
            let below = format!("[{kind}.{}]", echo(&name));
            tables.push((
                Put { value: name, at },
                Section {
                    file: section.file,
                    name: below,
                    table,
                },
            ));
        }
        tables
    }

    pub(crate) fn text(&mut self, section: &Section<'_>, key: &str) -> Option<Put<String>> {
        let value = section.table.get(key)?;
        let at = At {
            file: section.file,
            span: value.span(),
        };
        match value.get_ref() {
            DeValue::String(text) => Some(Put {
                value: text.clone().into_owned(),
                at,
            }),
            other => {
                self.wrong_type(&at, key, other, "a text in quotes", "\"...\"");
                None
            }
        }
    }

    /// A text or a list of texts.
    pub(crate) fn texts(
        &mut self,
        section: &Section<'_>,
        key: &str,
    ) -> Option<Put<Vec<Put<String>>>> {
        let value = section.table.get(key)?;
        let at = At {
            file: section.file,
            span: value.span(),
        };
        let wanted = ("a text or a list of texts", "[\"...\", \"...\"]");
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::String(_) => vec![value],
            DeValue::Array(array) => array.iter().collect(),
            other => {
                self.wrong_type(&at, key, other, wanted.0, wanted.1);
                return None;
            }
        };
        let mut texts = Vec::new();
        for item in items {
            let at = At {
                file: section.file,
                span: item.span(),
            };
            match item.get_ref() {
                DeValue::String(text) => texts.push(Put {
                    value: text.clone().into_owned(),
                    at,
                }),
                other => self.wrong_type(&at, key, other, wanted.0, wanted.1),
            }
        }
        Some(Put { value: texts, at })
    }

    pub(crate) fn number(&mut self, section: &Section<'_>, key: &str) -> Option<Put<u64>> {
        let value = section.table.get(key)?;
        let at = At {
            file: section.file,
            span: value.span(),
        };
        match value.get_ref() {
            DeValue::Integer(number) => {
                let read = u64::from_str_radix(number.as_str(), number.radix()).ok();
                if read.is_none() {
                    let what = format!("{key} must be a whole number from 0 up");
                    self.error(&at, what, format!("write {key} = 1"));
                }
                read.map(|value| Put { value, at })
            }
            other => {
                self.wrong_type(&at, key, other, "a whole number", "1");
                None
            }
        }
    }

    pub(crate) fn duration(&mut self, section: &Section<'_>, key: &str) -> Option<Put<Duration>> {
        let value = section.table.get(key)?;
        let at = At {
            file: section.file,
            span: value.span(),
        };
        let text = match value.get_ref() {
            DeValue::String(text) => text.clone().into_owned(),
            // A bare integer is seconds, as in booth.
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Float(number) => {
                let what = format!("{key} must be a duration with a unit, not a bare fraction");
                self.error(&at, what, format!("write {key} = \"{}s\"", number.as_str()));
                return None;
            }
            other => {
                self.wrong_type(&at, key, other, "a duration", "\"30s\"");
                return None;
            }
        };
        match duration::parse(&text) {
            Ok(value) => Some(Put { value, at }),
            Err(error) => {
                let (what, hint) = split(&error.to_string());
                self.error(&at, format!("{key}: \"{}\" is {what}", echo(&text)), hint);
                None
            }
        }
    }

    pub(crate) fn wrong_type(
        &mut self,
        at: &At,
        key: &str,
        value: &DeValue<'_>,
        wanted: &str,
        example: &str,
    ) {
        let what = format!("{key} must be {wanted}, not {}", type_name(value));
        self.error(at, what, format!("write {key} = {example}"));
    }
}

/// An author's text, cut to what a message can bear.
pub(crate) fn echo(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let cut: String = text.chars().take(ECHO_MAX).map(clean).collect();
    if text.chars().count() > ECHO_MAX {
        format!("{cut}...")
    } else {
        cut
    }
}

/// "what; hint" in its two halves.
fn split(text: &str) -> (String, String) {
    match text.split_once("; ") {
        Some((what, hint)) => (what.to_owned(), hint.to_owned()),
        None => (
            text.to_owned(),
            "write a number and a unit, such as \"30s\"".to_owned(),
        ),
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
