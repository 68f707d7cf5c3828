//! Command lines in the classic style: `-x FILE`, `-xFILE`, `-SQ`, `--long=VALUE`, `--long VALUE`.

use crate::exit::{Failure, USAGE};

/// One option of a tool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) short: Option<char>,
    pub(crate) long: &'static str,
    /// What the value is called in the help; none for a switch.
    pub(crate) value: Option<&'static str>,
    pub(crate) help: &'static str,
}

/// A switch.
pub(crate) const fn switch(short: char, long: &'static str, help: &'static str) -> Flag {
    Flag {
        short: short_of(short),
        long,
        value: None,
        help,
    }
}

/// An option with a value.
pub(crate) const fn valued(
    short: char,
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag {
        short: short_of(short),
        long,
        value: Some(value),
        help,
    }
}

/// A blank stands for "no short form".
const fn short_of(short: char) -> Option<char> {
    if short == ' ' { None } else { Some(short) }
}

/// Options that every tool has.
const COMMON: &[Flag] = &[
    switch('?', "help", "Show help options"),
    switch('$', "version", "Display software version and exit"),
    switch(
        'V',
        "verbose",
        "Increase debug output (may be specified multiple times)",
    ),
    valued(
        ' ',
        "output-as",
        "FORMAT",
        "Output format: text (default) or xml",
    ),
    valued(
        ' ',
        "output-to",
        "DEST",
        "File name for output (or \"-\" for stdout)",
    ),
    switch(' ', "text-fancy", "Use more highly formatted output"),
    switch('h', "help-all", "Show all help options"),
];

/// What a tool is called and takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) flags: &'static [Flag],
}

/// The options given, in order, and what is no option.
#[derive(Debug, Default)]
pub(crate) struct Given {
    list: Vec<(&'static str, String)>,
    pub(crate) rest: Vec<String>,
}

impl Given {
    /// Whether an option was given.
    pub(crate) fn has(&self, long: &str) -> bool {
        self.list.iter().any(|(name, _)| *name == long)
    }

    /// How often an option was given.
    pub(crate) fn count(&self, long: &str) -> usize {
        self.list.iter().filter(|(name, _)| *name == long).count()
    }

    /// The value given last.
    pub(crate) fn value(&self, long: &str) -> Option<&str> {
        let last = self.list.iter().rev().find(|(name, _)| *name == long);
        last.map(|(_, value)| value.as_str())
    }

    /// All values given.
    pub(crate) fn values(&self, long: &str) -> impl Iterator<Item = &str> {
        let mine = self.list.iter().filter(move |(name, _)| *name == long);
        mine.map(|(_, value)| value.as_str())
    }

    /// The options given, in order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.list
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// Whether the answer is to be XML.
    ///
    /// # Errors
    /// A format that there is not.
    pub(crate) fn wants_xml(&self) -> Result<bool, Failure> {
        match self.value("output-as") {
            None | Some("text") => Ok(false),
            Some("xml") => Ok(true),
            Some(other) => Err(Failure::new(
                USAGE,
                format!("'{other}' is no output format; write text or xml"),
            )),
        }
    }
}

impl Tool {
    fn find_long(&self, name: &str) -> Option<Flag> {
        // A tool's own option goes before a common one of the same name.
        let all = self.flags.iter().chain(COMMON);
        all.copied().find(|f| f.long == name)
    }

    fn find_short(&self, short: char) -> Option<Flag> {
        let all = self.flags.iter().chain(COMMON);
        all.copied().find(|f| f.short == Some(short))
    }

    /// Reads a command line.
    ///
    /// # Errors
    /// An option that there is not, or one without its value.
    pub(crate) fn parse(&self, arguments: &[String]) -> Result<Given, Failure> {
        let mut given = Given::default();
        let mut arguments = arguments.iter().peekable();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                given.rest.extend(arguments.cloned());
                break;
            }
            if let Some(long) = argument.strip_prefix("--") {
                let (name, inline) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                let flag = self.find_long(name).ok_or_else(|| self.unknown(argument))?;
                let value = match (flag.value, inline) {
                    (None, None) => String::new(),
                    (None, Some(_)) => {
                        let message = format!("--{name} takes no value");
                        return Err(Failure::new(USAGE, message));
                    }
                    (Some(_), Some(value)) => value.to_owned(),
                    (Some(_), None) => {
                        arguments.next().cloned().ok_or_else(|| missing(argument))?
                    }
                };
                given.list.push((flag.long, value));
            } else if argument.len() > 1 && argument.starts_with('-') {
                let mut rest = argument[1..].chars();
                while let Some(short) = rest.next() {
                    let flag = self
                        .find_short(short)
                        .ok_or_else(|| self.unknown(&format!("-{short}")))?;
                    if flag.value.is_none() {
                        given.list.push((flag.long, String::new()));
                        continue;
                    }
                    let inline = rest.as_str();
                    let value = if inline.is_empty() {
                        arguments.next().cloned().ok_or_else(|| missing(argument))?
                    } else {
                        inline.trim_start_matches('=').to_owned()
                    };
                    given.list.push((flag.long, value));
                    break;
                }
            } else {
                given.rest.push(argument.clone());
            }
        }
        Ok(given)
    }

    fn unknown(&self, option: &str) -> Failure {
        let name = option.trim_start_matches('-');
        let name = name.split('=').next().unwrap_or(name);
        let near = self
            .flags
            .iter()
            .find(|f| name.len() > 3 && (f.long.starts_with(name) || name.starts_with(f.long)));
        let hint = near.map_or(String::new(), |f| format!("; did you mean --{}?", f.long));
        Failure::new(USAGE, format!("Unknown option {option}{hint}"))
    }

    /// The text for `--help`.
    pub(crate) fn help(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!(
            "Usage:\n  {} [OPTION?]\n\n{}\n\nOptions:\n",
            self.name, self.about
        );
        for flag in self.flags.iter().chain(COMMON) {
            let short = flag.short.map_or(String::new(), |c| format!("-{c}, "));
            let value = flag.value.map_or(String::new(), |v| format!("={v}"));
            let name = format!("{short}--{}{value}", flag.long);
            let _ = writeln!(text, "  {name:<32} {}", flag.help);
        }
        text
    }
}

fn missing(option: &str) -> Failure {
    Failure::new(USAGE, format!("Missing argument for {option}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: Tool = Tool {
        name: "t",
        about: "",
        flags: &[
            valued('x', "xml-file", "FILE", ""),
            switch('S', "simulate", ""),
            switch('Q', "quiet", ""),
        ],
    };

    fn parse(line: &str) -> Result<Given, Failure> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        TOOL.parse(&words)
    }

    #[test]
    fn all_ways_of_writing_an_option_mean_the_same() {
        for line in [
            "-x f -S -Q",
            "-SQxf",
            "-SQx f",
            "--xml-file=f -QS",
            "-Q --xml-file f -S",
        ] {
            let given = parse(line).expect(line);
            assert_eq!(given.value("xml-file"), Some("f"), "{line}");
            assert!(given.has("simulate") && given.has("quiet"), "{line}");
        }
    }

    #[test]
    fn what_is_not_an_option_is_refused_with_the_nearest() {
        let failure = parse("--simulate-all").expect_err("unknown");
        assert_eq!(failure.code, USAGE);
        assert!(failure.message.contains("--simulate?"), "{failure:?}");
        assert!(parse("-x").is_err() && parse("--quiet=1").is_err());
    }
}
