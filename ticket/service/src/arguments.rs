//! The command line of the daemons: four flags, read by hand, because a parser of command lines
//! would be a tenth of the arbitrator.

use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// Run.
    Run(Run),
    /// Print the version.
    Version,
    /// Print the usage.
    Help,
}

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) config: PathBuf,
    pub(crate) member: Option<String>,
    pub(crate) first_start: bool,
}

/// The usage, to follow the program's name.
pub(crate) const USAGE: &str = "[--config FILE] [--member NAME] [--first-start]

  --config FILE   the configuration; /etc/interlock/interlock.toml if not given
  --member NAME   which member this is, if the configuration does not say it
  --first-start   this member has never voted: a missing state file is no loss of memory.
                  Only true once in a member's life; `ticket init` and `ticket issue` leave a mark
                  in the state directory that says the same and is used up by the first start
  --version       print version and test features
  --help          print this

SIGHUP reads configuration and certificates again; SIGTERM ends. INTERLOCK_LOG sets the log level
(error, warn, info, debug).";

/// Reads the arguments after the program's name.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
    let mut run = Run {
        config: PathBuf::from(ticket_config::DEFAULT_PATH),
        member: None,
        first_start: false,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (flag, joined) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => {
                (flag.to_owned(), Some(value.to_owned()))
            }
            _ => (word, None),
        };
        let mut value = || {
            joined
                .clone()
                .or_else(|| words.next())
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("{flag} needs a value"))
        };
        match flag.as_str() {
            "--config" | "-c" => run.config = PathBuf::from(value()?),
            "--member" | "-m" => run.member = Some(value()?),
            "--first-start" => run.first_start = true,
            "--version" | "-V" => return Ok(Arguments::Version),
            "--help" | "-h" => return Ok(Arguments::Help),
            other => return Err(format!("{other} is not known; --help shows what is")),
        }
    }
    Ok(Arguments::Run(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Arguments, String> {
        parse(words.iter().map(ToString::to_string))
    }

    #[test]
    fn flags_take_their_values_either_way() {
        let run = Arguments::Run(Run {
            config: PathBuf::from("a=b.toml"),
            member: Some("berlin".to_owned()),
            first_start: true,
        });
        let apart = [
            "--config",
            "a=b.toml",
            "--member",
            "berlin",
            "--first-start",
        ];
        assert_eq!(of(&apart), Ok(run.clone()));
        let joined = ["--config=a=b.toml", "--member=berlin", "--first-start"];
        assert_eq!(of(&joined), Ok(run));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, named) in [
            (vec!["--config"], "--config"),
            (vec!["--member="], "--member"),
            (vec!["--verbose"], "--verbose"),
            (vec!["start"], "start"),
        ] {
            assert!(of(&words).is_err_and(|text| text.contains(named)));
        }
    }
}
