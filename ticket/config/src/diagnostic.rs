//! What is wrong with a configuration: where, what, and what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Longest part of a source line that is shown, in characters; a longer line is cut around the
/// place that matters.
const SHOWN_MAX: usize = 120;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration works, but probably not as its author thinks.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One finding.
///
/// Its text form is one line `FILE:LINE:COLUMN: error: what; what to write instead`, then the source
/// line and a caret where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; 0 when it is about the file (or the whole configuration) as such.
    pub line: usize,
    /// Column in characters, from 1; 0 with `line` 0.
    pub column: usize,
    /// How many characters are meant.
    pub width: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The source line.
    pub source: Option<String>,
}

impl Diagnostic {
    /// A finding about a file as a whole.
    pub fn about_file(file: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.into(),
            line: 0,
            column: 0,
            width: 0,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// A finding about the bytes `span` of `text`, which is the content of `file`.
    pub(crate) fn at(file: PathBuf, text: &str, span: Range<usize>, message: String) -> Self {
        let place = Place::of(text, span);
        Self {
            severity: Severity::Error,
            file,
            line: place.line,
            column: place.column,
            width: place.width,
            message,
            hint: None,
            source: Some(place.source.to_owned()),
        }
    }

    /// The same with what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The first line of the text form.
    pub fn headline(&self) -> String {
        let place = match self.line {
            0 => format!("{}", self.file.display()),
            line => format!("{}:{line}:{}", self.file.display(), self.column),
        };
        let hint = self
            .hint
            .as_ref()
            .map_or(String::new(), |hint| format!("; {hint}"));
        format!("{place}: {}: {}{hint}", self.severity, self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        let Some(source) = &self.source else {
            return Ok(());
        };
        let (shown, lead) = window(source, self.column);
        let number = self.line.to_string();
        write!(f, "\n  {number} | {shown}")?;
        // Tabs stay tabs, so that the caret stands under its character in any terminal.
        let under: String = shown
            .chars()
            .take(lead)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let room = shown.chars().count().saturating_sub(lead).max(1);
        let carets = "^".repeat(self.width.clamp(1, room));
        write!(
            f,
            "\n  {:width$} | {under}{carets}",
            "",
            width = number.len()
        )
    }
}

/// The part of a line that is shown, and how many of its characters stand before the column.
fn window(source: &str, column: usize) -> (String, usize) {
    let lead = column.saturating_sub(1);
    let clean = |c: char| {
        if c.is_control() && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    if source.chars().count() <= SHOWN_MAX {
        return (source.chars().map(clean).collect(), lead);
    }
    let start = lead.saturating_sub(SHOWN_MAX / 3);
    (
        source
            .chars()
            .skip(start)
            .take(SHOWN_MAX)
            .map(clean)
            .collect(),
        lead - start,
    )
}

/// A span as an editor counts it.
struct Place<'a> {
    line: usize,
    column: usize,
    width: usize,
    source: &'a str,
}

impl<'a> Place<'a> {
    /// Spans that reach past the text or into a character are moved to the next place before.
    fn of(text: &'a str, span: Range<usize>) -> Self {
        let start = floor(text, span.start);
        let end = floor(text, span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let source = text[line_start..line_end].trim_end_matches('\r');
        let shown_end = end.min(line_start + source.len()).max(start);
        Self {
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            width: text[start..shown_end].chars().count().max(1),
            source,
        }
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_place_in_characters() {
        let text = "a = 1\n\u{e4}\u{f6}\tkey = \"x\"\n";
        let start = text.find("key").unwrap();
        let found = Diagnostic::at("f.toml".into(), text, start..start + 3, "wrong".into())
            .hint("write \"kay\"");
        assert_eq!(
            found.to_string(),
            "f.toml:2:4: error: wrong; write \"kay\"\n  2 | \u{e4}\u{f6}\tkey = \"x\"\n    |   \t^^^"
        );
    }

    #[test]
    fn survives_spans_out_of_range() {
        for (start, end) in [(0, 0), (3, 1), (99, 120), (1, 2)] {
            let found = Diagnostic::at("f".into(), "\u{e4}b", Range { start, end }, "x".into());
            assert_eq!(found.line, 1);
            let _ = found.to_string();
        }
    }

    #[test]
    fn cuts_long_lines_around_the_place() {
        let text = format!("{}KEY{}", "x".repeat(500), "y".repeat(500));
        let found = Diagnostic::at("f".into(), &text, 500..503, "m".into());
        let shown = found.to_string();
        assert!(shown.contains("xKEYy"), "{shown}");
        assert!(
            shown.lines().all(|line| line.chars().count() < 140),
            "{shown}"
        );
        assert_eq!(found.column, 501);
    }
}
