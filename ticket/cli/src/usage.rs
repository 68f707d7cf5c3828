//! A wrong command line gets one line that names the right one, never a page of usage.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use ticket_admin::{Code, Failure};
use ticket_config::closest;

use crate::args::{Args, Global, Grant, Verb};

/// What people type who know other tools, and what to write here.
const REPLACED: [(&str, &str); 37] = [
    ("abort", "ticket revoke TICKET"),
    ("add", "a [ticket.NAME] in the configuration"),
    (
        "client",
        "ticket list, ticket grant or ticket revoke (without `client`)",
    ),
    ("cleanup", "ticket revoke TICKET"),
    ("config", "ticket check"),
    ("daemon", "site-agent or arbitrator"),
    ("delete", "remove its [ticket.NAME] from the configuration"),
    ("diagnose", "ticket status"),
    ("drain", "ticket standby TICKET"),
    ("error", "ticket codes"),
    ("events", "ticket watch"),
    ("exit-codes", "ticket codes"),
    ("explain", "ticket show TICKET, or ticket check --explain"),
    ("failover", "ticket move TICKET --to SITE"),
    ("geostore", "attrd_updater at the site"),
    ("handover", "ticket move TICKET --to SITE"),
    ("help", "ticket --help, or ticket VERB --help"),
    ("info", "ticket show TICKET"),
    ("invite", "ticket issue MEMBER --dir DIR"),
    ("join", "ticket issue MEMBER --dir DIR"),
    ("keygen", "ticket init (members have certificates)"),
    ("log", "ticket watch"),
    ("ls", "ticket list"),
    ("members", "ticket peers"),
    ("migrate", "ticket move TICKET --to SITE"),
    ("monitor", "ticket watch"),
    ("nodes", "ticket status"),
    ("online", "ticket activate TICKET"),
    ("ping", "ticket peers"),
    ("release", "ticket revoke TICKET"),
    ("resume", "ticket activate TICKET"),
    ("setup", "ticket init"),
    ("switch", "ticket move TICKET --to SITE"),
    ("switchover", "ticket move TICKET --to SITE"),
    ("unstandby", "ticket activate TICKET"),
    ("validate", "ticket check"),
    ("verify", "ticket check"),
];

/// Why there is nothing to run.
pub(crate) enum Early {
    /// Help or version, which were asked for.
    Asked(String),
    /// A wrong command line.
    Wrong(Box<Failure>),
}

/// Reads the command line.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Args, Early> {
    if let Some(args) = grant_only(arguments) {
        return Ok(args);
    }
    Args::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Early::Asked(error.to_string()),
        _ => Early::Wrong(Box::new(explain(&error))),
    })
}

/// The grammar of `ticket grant` alone. The whole one takes longer to set up than a grant's votes to
/// be counted, and this is the command that people wait for when a service is down.
#[derive(Parser)]
struct GrantOnly {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    grant: Grant,
}

/// Options before the verb that have a value of their own.
const WITH_VALUE: [&str; 9] = [
    "-c",
    "--config",
    "--socket",
    "-s",
    "--host",
    "--member",
    "-o",
    "--output-as",
    "--output-format",
];

/// A right command line of `ticket grant`; everything else is left to the whole grammar, which
/// knows what to say about it.
fn grant_only(arguments: &[OsString]) -> Option<Args> {
    let mut verb = 1;
    loop {
        let word = arguments.get(verb)?.to_str()?;
        match word {
            "grant" => break,
            _ if WITH_VALUE.contains(&word) => verb += 2,
            _ if word.starts_with('-') => verb += 1,
            _ => return None,
        }
    }
    let rest = arguments.iter().enumerate().filter(|(n, _)| *n != verb);
    let GrantOnly { global, grant } = GrantOnly::try_parse_from(rest.map(|(_, word)| word)).ok()?;
    Some(Args {
        global,
        verb: Verb::Grant(grant),
    })
}

/// One line for each way to be wrong.
fn explain(error: &clap::Error) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            unknown_verb(&text(ContextKind::InvalidSubcommand).unwrap_or_default())
        }
        ErrorKind::UnknownArgument => {
            let argument = argument.unwrap_or_default();
            let failure = usage(format!("`{}` is not known here", short(&argument)));
            // The parser suggests what is far away, too.
            let meant = text(ContextKind::SuggestedArg)
                .filter(|meant| closest(&argument, [meant.as_str()]).is_some());
            match meant {
                Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
                None => failure.hint(help_of(error)),
            }
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            usage("say what to do")
                .hint("`ticket status` shows everything, `ticket --help` all verbs")
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(all)) => all.join(" and "),
                _ => "an argument".to_owned(),
            };
            usage(format!("{missing} is missing")).hint(help_of(error))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = text(ContextKind::InvalidValue).unwrap_or_default();
            let argument = argument.unwrap_or_default();
            let choices = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(all)) if !all.is_empty() => Some(all.join(" or ")),
                _ => None,
            };
            let cause = std::error::Error::source(error).map(ToString::to_string);
            if value.is_empty() && cause.is_none() {
                return usage(format!("{argument} needs a value")).hint(help_of(error));
            }
            let failure = usage(format!("{argument}: `{}` cannot be used", short(&value)));
            failure.hint(match (choices, cause) {
                (Some(choices), _) => format!("write {choices}"),
                (None, Some(cause)) => cause,
                (None, None) => help_of(error),
            })
        }
        _ => {
            let whole = error.to_string();
            let line = whole.lines().next().unwrap_or_default();
            usage(line.trim_start_matches("error: ").to_owned()).hint(help_of(error))
        }
    }
}

fn unknown_verb(verb: &str) -> Failure {
    let failure = usage(format!("`{}` is not a verb", short(verb)));
    let replaced = REPLACED
        .iter()
        .find(|row| row.0 == verb)
        .map(|row| row.1.to_owned());
    let command = Args::command();
    let verbs = command.get_subcommands().map(clap::Command::get_name);
    let meant = replaced.or_else(|| closest(verb, verbs).map(|meant| format!("ticket {meant}")));
    match meant {
        Some(meant) => failure.hint(format!("write {meant}")),
        None => failure.hint("`ticket --help` lists all verbs"),
    }
}

/// Where the whole grammar of the verb is shown.
fn help_of(error: &clap::Error) -> String {
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let command = Args::command();
    let mut words = usage
        .split_whitespace()
        .skip_while(|word| *word != "ticket")
        .skip(1);
    let verb = words
        .next()
        .filter(|word| command.find_subcommand(word).is_some());
    match verb {
        Some(verb) => format!("see `ticket {verb} --help`"),
        None => "see `ticket --help`".to_owned(),
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Code::Usage, message)
}

/// Somebody's text, cut to what one line can bear.
fn short(text: &str) -> String {
    let clean = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c });
    clean.take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_reads_what_the_whole_grammar_reads() {
        let short = [
            "ticket grant",
            "ticket grant db",
            "ticket grant db paris --dry-run -y",
            "ticket grant --to paris -t db --wait=5s",
            "ticket -c grant grant db",
            "ticket --config=x -s berlin --json -q grant db --socket s",
            "ticket grant db -F --reason why -o json",
            "ticket grant grant grant",
        ];
        let long = [
            "ticket",
            "ticket grant --help",
            "ticket grant db --too paris",
            "ticket grant a b c",
            "ticket list grant",
            "ticket revoke grant",
            "ticket --help grant",
            "ticket -c grant",
            "ticket --wait 5s grant db",
        ];
        for (lines, is_short) in [(&short[..], true), (&long[..], false)] {
            for line in lines {
                let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
                let found = grant_only(&words);
                assert_eq!(found.is_some(), is_short, "{line}");
                if let Some(found) = found {
                    let whole = Args::try_parse_from(&words).expect("right as a whole");
                    assert_eq!(format!("{found:?}"), format!("{whole:?}"), "{line}");
                }
            }
        }
    }
}
